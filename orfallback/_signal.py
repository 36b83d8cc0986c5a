"""The evidence of an outcome, digested once, for the table of :mod:`orfallback._classify`; pure."""

from __future__ import annotations

from typing import Any

from orfallback import _hints, _reply
from orfallback._types import Call, Outcome, UpstreamError
from orfallback._verdict import Reason

# How much of an upstream's own body is searched for words, in characters.
_WORDS_LIMIT = 4_000

# The canonical status of each error_type, for an error that names no code inside a 200 (OpenRouter, "Errors"); the
# last three are Anthropic's words.
_STATUS_OF = {
    "authentication": 401,
    "permission_denied": 403,
    "payment_required": 402,
    "rate_limit_exceeded": 429,
    "provider_overloaded": 503,
    "provider_unavailable": 502,
    "not_found": 404,
    "precondition_failed": 412,
    "payload_too_large": 413,
    "unprocessable": 422,
    "content_policy_violation": 403,
    "refusal": 403,
    "image_not_found": 404,
    "server": 500,
    "server_error": 500,
    "unmapped": 500,
    "timeout": 504,
    "authentication_error": 401,
    "overloaded_error": 529,
    "rate_limit_error": 429,
}


class Signal:
    """What an outcome says of why it is no answer.

    :ivar status: the status that the error names, else HTTP's, else the canonical one of its type; 0 if there is none.
    :ivar kind: its ``error_type``, lower case.
    :ivar availability: its ``availability.code``, lower case.
    :ivar limit: its ``limit_source``, else its ``reason``, lower case.
    :ivar upstream: whether it names the provider that refused.
    :ivar message: its message, lower case.
    :ivar hint: seconds that the server asks to wait, or None.
    """

    def __init__(self, call: Call, outcome: Outcome) -> None:
        error = outcome.error or UpstreamError()
        http = outcome.status or 0
        self.call = call
        self.outcome = outcome
        self.fault = outcome.fault
        self.body = outcome.body
        self.refused = self.fault is None and (outcome.error is not None or http // 100 != 2)
        self.status = (error.code or (_STATUS_OF.get(error.kind, 0) if http // 100 == 2 else http)) * self.refused
        self.kind = error.kind
        self.metadata = error.metadata
        self.availability = _lower(error.availability.get("code"))
        self.limit = _lower(self.metadata.get("limit_source")) or _lower(self.metadata.get("reason"))
        self.upstream = bool(self.metadata.get("provider_name"))
        self.message = _lower(error.message).strip()
        self._words = f"{self.message} {_lower(self.metadata.get('raw'))}"
        self.hint = _hints.retry_after(outcome, error)

    def says(self, *words: str) -> bool:
        """Tell whether any of these words stand in the message or in the upstream's own body."""
        return any(word in self._words for word in words)

    def is_any(self, *kinds: str) -> bool:
        """Tell whether the error's type, or its availability code, is one of these."""
        return self.kind in kinds or self.availability in kinds

    def has(self, *keys: str) -> bool:
        """Tell whether its metadata hold something under any of these keys."""
        return any(self.metadata.get(key) for key in keys)

    @property
    def edge(self) -> bool:
        """Whether it came from something in front of the service: a page, or Cloudflare's bare line."""
        return self.body is None and (_reply.is_page(self.outcome.content) or self.message.startswith("error code: 5"))

    @property
    def repeated(self) -> bool:
        """Whether an earlier attempt of this call was refused with the same status and the same words."""
        return any(
            attempt.reason is Reason.INVALID_REQUEST
            and attempt.status == self.status
            and _masked(attempt.message, attempt.model) == _masked(self.outcome.message, self.outcome.model)
            for attempt in self.call.attempts
        )


def _masked(message: str, model: str) -> str:
    """Return a message without the name of the model it speaks of."""
    for name in (model, model.rpartition("/")[2]):
        if name:
            message = message.replace(name, "*")
    return message


def _lower(value: Any) -> str:
    return _reply.as_text(value)[:_WORDS_LIMIT].lower()
