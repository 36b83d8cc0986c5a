"""The finished answer."""

from __future__ import annotations

from typing import Any

from orfallback import _reply
from orfallback._types import Attempt, Json


class Completion:
    """A whole answer.

    :param body: the reply as the service sent it, or as a stream's chunks join to.
    :param requested_model: the model that was asked.
    :param attempts: everything that was tried, the answer last.
    :param degraded: whether a plugin gave it as a last resort.
    :ivar requested_model: the model that was asked.
    :ivar attempts: everything that was tried, the answer last.
    :ivar degraded: whether a plugin gave it as a last resort, and no model answered.
    """

    __slots__ = ("_body", "attempts", "degraded", "requested_model")

    def __init__(
        self, body: Json, *, requested_model: str, attempts: tuple[Attempt, ...] = (), degraded: bool = False
    ) -> None:
        self._body = body
        self.requested_model = requested_model
        self.attempts = attempts
        self.degraded = degraded

    @property
    def text(self) -> str:
        """The text of the first choice; "" if it has none."""
        return _reply.text_of(self._message)

    @property
    def model(self) -> str:
        """The model that served, as the service names it; the one asked if it does not."""
        served = self._body.get("model")
        return served if isinstance(served, str) and served else self.requested_model

    @property
    def provider(self) -> str | None:
        """The provider that served, as OpenRouter names it, or None."""
        provider = self._body.get("provider")
        return provider if isinstance(provider, str) and provider else None

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended: "stop", "length", "tool_calls", "content_filter", or the service's own word."""
        return _reply.finish_reason(self._body)

    @property
    def refusal(self) -> str | None:
        """What the model said to refuse, where the service tells that apart from the text; else None."""
        refusal = self._message.get("refusal")
        return refusal if isinstance(refusal, str) and refusal else None

    @property
    def tool_calls(self) -> list[Json]:
        """The tool calls of the first choice, as received; [] if there are none."""
        calls = self._message.get("tool_calls")
        return calls if isinstance(calls, list) else []

    @property
    def usage(self) -> Json | None:
        """The usage object, as received, or None."""
        usage = self._body.get("usage")
        return usage if isinstance(usage, dict) else None

    @property
    def id(self) -> str | None:
        """The reply's id, or None."""
        return self._body.get("id")

    def json(self) -> Json:
        """Return the reply as it was received."""
        return self._body

    @property
    def _message(self) -> dict[str, Any]:
        choices = _reply.choices(self._body)
        return _reply.part(choices[0]) if choices else {}

    def __repr__(self) -> str:
        by = "degraded" if self.degraded else f"by {self.model}"
        return f"<Completion {by}: {len(self.text)} characters, {len(self.attempts)} attempts>"


def degraded_reply(answer: str | Json) -> Json:
    """Return a plugin's last resort in the form of a reply, which says that it is one: many see the body alone."""
    if isinstance(answer, dict):
        return {**answer, "degraded": True}
    message = {"role": "assistant", "content": answer}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return {"object": "chat.completion", "choices": choices, "degraded": True}
