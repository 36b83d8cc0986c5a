"""What goes wrong, and what people are told of it: in our own words, never in those of a service.

What a service says of a failure may quote the prompt. So only models' names and orfallback's reasons, a closed list,
are shown and stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from orfallback import Attempt, CallRejected, DeadlineExceeded, FallbackError, Reason

# "mistral-nemo is ..., asking mistral-small", and later "mistral-nemo was ...".
_WORDS = {
    Reason.BUSY: "busy",
    Reason.RATE_LIMITED: "over its limit",
    Reason.TIMEOUT: "too slow",
    Reason.CONNECTION: "out of reach",
    Reason.SERVER_ERROR: "out of order",
    Reason.TRUNCATED: "cut off",
    Reason.MALFORMED: "not understood",
    Reason.EMPTY: "silent",
    Reason.NOT_FOUND: "not available",
    Reason.CONTEXT_LENGTH: "too small for this conversation",
    Reason.UNSUPPORTED: "not able to do this",
    Reason.MODERATED: "kept from answering by a filter",
}


class Refusal(Exception):
    """A request that this application does not carry out.

    :param status: the HTTP status.
    :param message: why, in a sentence for the user.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def short(model: str) -> str:
    """Return a model's name without its maker's."""
    return model.rpartition("/")[2]


def told(attempts: Iterable[Attempt]) -> list[dict[str, Any]]:
    """Return what is stored and shown of attempts: who was asked, and why they did not answer."""
    return [
        {
            "model": attempt.model,
            "reason": None if attempt.reason is None else str(attempt.reason),
            "said": f"{short(attempt.model)} {'answered' if attempt.ok else f'was {why(attempt)}'}",
            "seconds": round(attempt.elapsed, 2),
        }
        for attempt in attempts
    ]


def why(attempt: Attempt) -> str:
    """Return why an attempt failed, after "is" or "was"."""
    return _WORDS.get(attempt.reason, "not able to answer") if attempt.reason is not None else "well"


def status_of(error: FallbackError) -> int:
    """Return the HTTP status of a call that got no answer.

    :returns: 502 where asking again would not help, which is never the user's fault: the key, the credit, the set-up.
        Else 503, or 504 when the call's time was up.
    """
    if isinstance(error, CallRejected):
        return 502
    if isinstance(error, DeadlineExceeded):
        return 504
    return 502 if error.retry_after is None else 503


def retry_after(error: FallbackError) -> int | None:
    """Return in how many whole seconds asking again is of use; None if it is not."""
    return None if error.retry_after is None else max(1, math.ceil(error.retry_after))


def sentence(error: FallbackError) -> str:
    """Return what the user is told of a call that got no answer, or half of one."""
    seconds = retry_after(error)
    hope = "" if seconds is None else f" Try again in {seconds} s."
    if isinstance(error, CallRejected):
        return "The models could not be asked. Whoever runs this chat finds the reason in its log."
    tried = ", ".join(f"{short(attempt.model)} was {why(attempt)}" for attempt in error.attempts if not attempt.ok)
    return f"No model answered: {tried}.{hope}" if tried else f"No model answered.{hope}"
