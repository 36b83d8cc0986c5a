"""The JSON that OpenRouter sends: completions, chunks, errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from orfallback.testing._framing import to_bytes

if TYPE_CHECKING:
    from orfallback.testing._steps import Received

Json: TypeAlias = dict[str, Any]
Shape: TypeAlias = Literal[
    "top", "bare", "null_choices", "empty_choices", "choice", "finish", "native", "string", "string_code"
]

COMMENT = ": OPENROUTER PROCESSING"
EVENT_STREAM = "text/event-stream"

_CREATED = 1_767_225_600

_MESSAGES = {
    400: "Provider returned error",
    401: "User not found.",
    402: "This request requires more credits, or fewer max_tokens.",
    403: "Your chosen model requires moderation and your input was flagged.",
    404: "No endpoints found for {model}.",
    408: "Request timed out",
    429: "{model} is temporarily rate-limited upstream. Please retry shortly.",
    500: "Internal Server Error",
    503: "No backends available",
}


def sse(data: Json | str, line_end: str = "\n") -> bytes:
    """One server-sent event with the given payload.

    :param data: a dict is written as JSON.
    :param line_end: one line end of the event, which closes with two.
    """
    return b"data: " + to_bytes(data) + (2 * line_end).encode()


def comment(line_end: str = "\n") -> bytes:
    """The keep-alive comment of a stream that waits for its model."""
    return (COMMENT + 2 * line_end).encode()


def error_object(code: int | str, message: str, metadata: Json | None = None) -> Json:
    """The error object; without metadata it has no such member."""
    body: Json = {"code": code, "message": message}
    return body if metadata is None else {**body, "metadata": metadata}


def message_for(code: int, model: str | None) -> str:
    """What OpenRouter says with a status of its own accord."""
    return _MESSAGES.get(code, "Provider returned error").format(model=model)


@dataclass(frozen=True)
class Generation:
    """One answer's identity, repeated in everything that is sent of it."""

    id: str
    model: str
    provider: str

    @classmethod
    def of(cls, received: Received, *, model: str | None = None, provider: str = "Simulated") -> Generation:
        """The generation that answers a request.

        :param received: the request; its place on its connection makes the id, so that runs repeat.
        :param model: the model that claims to have served it; None for the one asked for.
        :param provider: the host that claims to have served it.
        """
        number = f"gen-{received.connection:010d}-{received.number:020d}"
        return cls(number, model or received.model or "unknown", provider)

    @property
    def headers(self) -> dict[str, str]:
        """The header that names it."""
        return {"X-Generation-Id": self.id}

    def chunk(self, delta: Json | None = None, *, finish: str | None = None, **extra: Any) -> Json:
        """One chunk of a stream.

        :param delta: what it adds; the role and an empty content are there in any case, as in live streams.
        :param finish: its finish_reason.
        :param extra: further top-level members.
        """
        choice = {"index": 0, "delta": {"role": "assistant", "content": "", **(delta or {})}}
        return self._whole("chat.completion.chunk", choice, finish, extra)

    def completion(self, message: Json, *, finish: str | None = None, **extra: Any) -> Json:
        """A whole answer.

        :param message: the assistant's message, its role apart.
        :param finish: its finish_reason.
        :param extra: further top-level members.
        """
        choice = {"index": 0, "message": {"role": "assistant", **message}}
        # Always null, and always there: OpenRouter's own client takes no answer without it.
        return self._whole("chat.completion", choice, finish, {"system_fingerprint": None, **extra})

    def _whole(self, kind: str, choice: Json, finish: str | None, extra: Json) -> Json:
        choices = [{**choice, "finish_reason": finish, "native_finish_reason": finish}]
        identity = {"id": self.id, "object": kind, "created": _CREATED, "model": self.model}
        return {**identity, "provider": self.provider, "choices": choices, **extra}


def failure(generation: Generation, shape: Shape, error: Json, *, text: str | None) -> Json:
    """A failure reported inside a 200, in one of the shapes seen in the wild.

    :param generation: the answer that fails.
    :param shape: where the failure is written; see ``error_in_200``.
    :param error: the error object.
    :param text: partial text of a whole answer; None for a chunk of a stream.
    """
    stream = text is None
    whole = generation.chunk() if stream else generation.completion({"content": text})
    choice = whole["choices"][0]
    if shape == "bare":
        return {"error": error}
    if shape == "string":
        return {"error": error["message"]}
    if shape == "null_choices":
        return {"id": None, "choices": None, "error": error}
    if shape == "empty_choices":
        return {**whole, "choices": [], "error": error}
    if shape == "native":
        choice["native_finish_reason"] = "error"
        return whole
    choice.update(finish_reason="error", native_finish_reason="error")
    if shape == "choice":
        choice["error"] = error
    elif shape in ("top", "string_code"):
        written = error if shape == "top" else {**error, "code": str(error["code"])}
        return {**whole, "error": written} if stream else {"id": generation.id, "error": written}
    return whole
