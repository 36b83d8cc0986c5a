"""Fallback for applications that call an endpoint through requests by themselves."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any, cast

import requests
from requests.adapters import BaseAdapter

from orfallback import _handed, _packed, _reply
from orfallback._asked import Asked, read, timeout_of
from orfallback._chain import Chain
from orfallback._completion import degraded_reply
from orfallback._engine import Answered
from orfallback._errors import FallbackError
from orfallback._faults import forget_frames
from orfallback._sender import CHAT
from orfallback._served import Served, telling
from orfallback._stream import Stream
from orfallback._through import Redirected, Reply, Sent, Through
from orfallback._transport import OwnAdapter, sending
from orfallback._types import Json
from orfallback._verdict import Reason


class FallbackAdapter(BaseAdapter):
    """An adapter for a ``requests.Session`` that lets requests for completions fall back.

    It acts on POSTs of JSON to ``/chat/completions`` and ``/completions``; anything else goes through it untouched.
    Mount it where the application calls: ``session.mount("https://openrouter.ai/", FallbackAdapter())``.

    It pickles, and a session that it is mounted on does, with the chain's settings and plugins and without any key:
    where it is unpickled, the key is that of the environment there.

    :param chain: whom to ask, and how; None makes one of the environment (:meth:`Chain.from_env`).
    :param inner: what sends; None makes a :class:`WatchedAdapter`, with which the limits hold to the byte. What else an
        adapter has is asked of this one.
    """

    _trust_env = True

    def __init__(self, chain: Chain | None = None, inner: BaseAdapter | None = None) -> None:
        super().__init__()
        self.chain = Chain.from_env() if chain is None else chain
        self.inner = OwnAdapter() if inner is None else inner

    @classmethod
    def of_session(cls, session: requests.Session, chain: Chain, inner: BaseAdapter) -> FallbackAdapter:
        """Return an adapter for one request of a session, whose own adapter sends.

        :param session: whether it trusts the environment counts for targets elsewhere, too.
        :param chain: whom to ask, and how.
        :param inner: the session's own adapter.
        """
        adapter = cls(chain, inner)
        adapter._trust_env = session.trust_env
        return adapter

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send a request, and return the response of the first model that answers.

        A stream is held until its first content. When no model answers, the outcome of the first one is given back: its
        response, or the exception that it ended in, with the :class:`FallbackError` for its cause.

        :param request: the request, prepared.
        :param stream: whether the caller reads the body itself.
        :param timeout: seconds, for connecting and reading or both; the chain's own limits count where smaller.
        :param verify: whether certificates are checked, or by which file.
        :param cert: the client's own certificate; it is for the origin of the request alone.
        :param proxies: as the session has put them together.
        :raises requests.RequestException: as without this adapter.
        """
        settings: dict[str, Any] = {"verify": verify, "cert": cert, "proxies": proxies}
        # What a chain sends through a session of the application's falls back there already.
        asked = None if sending.get() else read(request)
        try:
            limits = timeout_of(timeout)
        except ValueError:
            # requests has its own words for it.
            asked = None
        if asked is None:
            return self.inner.send(request, stream=stream, timeout=timeout, **settings)
        through = Through(self.inner, request, settings, limits, asked.url, trust_env=self._trust_env)
        try:
            came: requests.Response | Exception = self._ask(asked, through, read=not stream)
            if isinstance(came, FallbackError):
                came = _first(through.take_first(), came, request, stream=stream)
        finally:
            through.release()
        if isinstance(came, requests.Response):
            came.request = request
            came.connection = self  # type: ignore[assignment]  # typeshed knows one adapter alone
            return came
        try:
            raise came
        finally:
            # Its traceback holds this frame, which is not to hold it.
            del came, through

    def _ask(self, asked: Asked, through: Through, *, read: bool) -> requests.Response | FallbackError:
        try:
            answered = self.chain._ask_for(asked, through, through.timeout)
        except Redirected as redirected:
            return redirected.response
        except FallbackError as error:
            # It is handed on as a record; the frames that it passed hold the request and every reply.
            error.__traceback__ = None
            return error
        if answered.attempt is None:
            return _degraded(answered, asked)
        return _answer(answered, cast("Reply", through.last.reply), read=read)

    def close(self) -> None:
        """Close the connections of the adapter that sends."""
        self.inner.close()

    # -- copies --

    def __getattr__(self, name: str) -> Any:
        # An adapter that is being unpickled has none yet.
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def __copy__(self) -> FallbackAdapter:
        return FallbackAdapter(self.chain, self.inner)

    def __deepcopy__(self, memo: dict[int, Any]) -> FallbackAdapter:
        # The chain is shared by all that use it, as it always is.
        return FallbackAdapter(self.chain, copy.deepcopy(self.inner, memo))

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (_packed.packed(self.chain), self.inner)


def _unpickled(chain: dict[str, Any], inner: BaseAdapter) -> FallbackAdapter:
    return FallbackAdapter(_packed.unpacked(chain), inner)


def _answer(answered: Answered, reply: Reply, *, read: bool) -> requests.Response:
    """Return the response of the model that answered.

    :param read: whether the session would read its body at once.
    """
    model = "" if answered.attempt is None else answered.attempt.model
    if answered.call.stream:
        stream = Stream(answered)
        return telling(_handed.running(reply, stream), Served(model, stream))
    call = answered.finish()
    answered.end(None)
    return telling(_handed.read(reply) if read else _handed.replayed(reply), Served(model, call))


def _degraded(answered: Answered, asked: Asked) -> requests.Response:
    """Return a plugin's last resort as a response."""
    reply = degraded_reply(answered.value)
    if answered.call.stream:
        chunk = json.dumps(_of_text(_reply.as_chunk(reply), asked))
        response = _handed.made(f"data: {chunk}\n\ndata: [DONE]\n\n".encode(), "text/event-stream", asked.url)
    else:
        response = _handed.made(json.dumps(_of_text(reply, asked)).encode(), "application/json", asked.url)
    call = answered.finish()
    answered.end(None)
    return telling(response, Served("", call))


def _of_text(reply: Json, asked: Asked) -> Json:
    """Return a reply, or chunk, in the form of the interface that was called: the older one has text, no message."""
    if asked.path == CHAT:
        return reply
    choices = [
        choice if "text" in choice else {**_without(choice), "text": _reply.text_of(_reply.part(choice))}
        for choice in _reply.choices(reply)
    ]
    return {**reply, "object": "text_completion", "choices": choices}


def _without(choice: Json) -> Json:
    return {name: value for name, value in choice.items() if name not in ("message", "delta")}


def _first(
    first: Sent, error: FallbackError, request: requests.PreparedRequest, *, stream: bool
) -> requests.Response | Exception:
    """Return what the application would have seen of its own model alone: a response, or what to raise.

    :param stream: whether the application reads the body itself.
    """
    reply = first.reply
    if reply is not None:
        # What broke it off is kept by the body alone: raised, it holds the frames that it passed, of which this is one.
        body = _handed.replayed(reply, rest=reply.tee.held, error=_broken(reply, error))
        reply.tee.error = None
        response = telling(body, Served("", error, error))
        return response if stream else _read(response, error)
    if first.error is None:
        return error
    if isinstance(first.error, requests.RequestException):
        # The one that was sent has the chain's key in it, which need not be the application's.
        first.error.request = request
    first.error.__cause__ = error
    return first.error


def _read(response: requests.Response, error: FallbackError) -> requests.Response | Exception:
    """Return a response with its body, which the session would read next, or what that is broken off by."""
    try:
        _ = response.content
    except requests.RequestException as broken:
        broken.__cause__ = error
        # The frames that it passed hold it.
        forget_frames(broken)
        return broken
    return response


def _broken(reply: Reply, error: FallbackError) -> Exception | None:
    """Return what ends a body that was not read to its end, and will not be; None where it may end as it is."""
    tee, attempt = reply.tee, error.attempts[0]
    if tee.error is not None or tee.ended or tee.held:
        return tee.error
    if attempt.reason is Reason.TIMEOUT:
        # A limit of the chain's, which no exception of urllib3's told.
        return requests.ReadTimeout(attempt.message)
    if attempt.reason is Reason.MALFORMED or attempt.first_token is not None:
        return requests.exceptions.ChunkedEncodingError(attempt.message or f"refused as {attempt.reason}")
    # A stream that told an error has told everything.
    return None
