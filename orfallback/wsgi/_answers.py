"""What goes back to the client."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from orfallback import _reply
from orfallback._completion import Completion
from orfallback._types import Attempt, Json

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Headers = list[tuple[str, str]]
#: Marks an answer that no model gave.
DEGRADED = ("X-Orfallback-Degraded", "1")


class Answer:
    """A reply that has not begun.

    :param status: the HTTP status.
    :param headers: its headers.
    :param body: its body; if it can be closed, the server does so.
    """

    def __init__(self, status: int, headers: Headers, body: Iterable[bytes]) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @classmethod
    def json(cls, status: int, body: Any, headers: Iterable[tuple[str, str]] = ()) -> Answer:
        """Return a reply of JSON."""
        raw = encode(body)
        own = [("Content-Type", "application/json"), ("Content-Length", str(len(raw)))]
        return cls(status, [*own, *headers], [raw])

    def begin(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Hand the reply to the server; one to HEAD has no body."""
        try:
            start_response(f"{self.status} {_phrase(self.status)}", self.headers)
        except BaseException:
            # Whatever it was, a server that was handed nothing closes nothing.
            close = getattr(self.body, "close", None)
            if close is not None:
                close()
            raise
        return [] if environ["REQUEST_METHOD"] == "HEAD" else self.body


def facts(model: str, attempts: Sequence[Attempt]) -> Headers:
    """Return the headers that tell who answered.

    :param model: the model that was asked; "" if none was.
    :param attempts: what was tried.
    """
    # An id may hold any printable character, and a header ASCII alone.
    told = model if model.isascii() else quote(model, safe="/:@")
    return [("X-Orfallback-Model", told), ("X-Orfallback-Attempts", str(len(attempts)))]


def of_completion(completion: Completion) -> Answer:
    """Return a whole answer, as it was received."""
    told = facts(completion.requested_model, completion.attempts)
    if completion.degraded:
        return Answer.json(200, dressed(completion.json(), "chat.completion"), [*told, DEGRADED])
    return Answer.json(200, completion.json(), told)


def encode(value: Any) -> bytes:
    """Return JSON; NaN and infinities, which some services send, become null."""
    try:
        return _reply.encode(value)
    except ValueError:
        return _reply.encode(_reply.finite(value))


def dressed(body: Json, kind: str) -> Json:
    """Return a last resort with what clients expect of every answer."""
    dress = {"id": "orfallback-degraded", "object": kind, "created": int(time.time()), "model": "orfallback"}
    return {**dress, **body}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Client Closed Request"
