"""A plugin for orfallback: one line in the log for each call, and a warning where somebody waited too long."""

from __future__ import annotations

import logging
import math
import os
from typing import Any

from orfallback import Call, Ending

#: One record for each call, with ``tenant``, ``call_id``, ``ending`` and ``seconds`` for programs.
logger = logging.getLogger("orfallback_example")

VARIABLE = "SLOW_CALLS_SECONDS"
DEFAULT = 5.0
# What comes from outside is bounded before it goes to a log (characters).
_LONGEST = 100


class SlowCalls:
    """Logs each call with the tenant that it was made for; at WARNING if it was slow or got no whole answer.

    The tenant is the host's word: ``chain.complete(..., context={"tenant": "acme"})``. Prompts and answers are not
    logged. It keeps nothing, so threads and forks need no care.

    :param seconds: what is slow; None takes ``SLOW_CALLS_SECONDS`` from the environment, or 5. Loaded by name, a plugin
        is made without arguments: the environment is where its options come from.
    :raises ValueError: for what is no number of seconds.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = _from_environment() if seconds is None else seconds
        if not self._seconds >= 0:
            raise ValueError(f"seconds are not negative, which {self._seconds!r} is")

    def orfallback_call_finished(self, call: Call, error: BaseException | None) -> None:
        """Write the line: every call comes by here once, whatever became of it."""
        ending = Ending.of(call, error)
        seconds = waited_for(call)
        slow = seconds >= self._seconds
        bad = ending in (Ending.FAILED, Ending.BROKEN, Ending.DEGRADED)
        tenant = _shown(call.context.get("tenant", "nobody"))
        logger.log(
            logging.WARNING if slow or bad else logging.INFO,
            "%s for %s: %s after %.2f s (%s)",
            "slow call" if slow else "call",
            tenant,
            ending,
            seconds,
            "; ".join(f"{_shown(attempt.model)} {attempt.summary}" for attempt in call.attempts) or "nobody was asked",
            extra={"tenant": tenant, "call_id": call.id, "ending": str(ending), "seconds": seconds},
        )


def waited_for(call: Call) -> float:
    """Return how long somebody waited for a call (seconds): for the first word of a stream, else for the whole.

    A stream is read as fast as its reader likes; how long that takes says little of the model.
    """
    seconds = sum(attempt.waited + attempt.elapsed for attempt in call.attempts)
    last = call.attempts[-1] if call.attempts else None
    if last is not None and last.first_token is not None:
        seconds += last.first_token - last.elapsed
    return seconds


def _from_environment() -> float:
    text = os.environ.get(VARIABLE, str(DEFAULT))
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if math.isnan(seconds):
        raise ValueError(f"{VARIABLE} is a number of seconds, not {text!r}")
    return seconds


def _shown(value: Any) -> str:
    """Return a word for a log: one line, without what would steer a terminal."""
    return "".join(char if char.isprintable() else "?" for char in str(value)[:_LONGEST])
