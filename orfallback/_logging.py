"""The plugin that tells the log what happens; on by default, as ``logging``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from orfallback import _failure
from orfallback._ending import Ending
from orfallback._errors import FallbackError, StreamInterrupted
from orfallback._text import clean
from orfallback._types import Attempt, Call, Target
from orfallback._verdict import Reason

logger = logging.getLogger("orfallback")
# What a model did that gave no answer for a reason that may pass; of any other reason the log says its name.
_FAILED: Mapping[Reason | None, str] = {
    Reason.BUSY: "is busy",
    Reason.RATE_LIMITED: "is busy",
    Reason.TIMEOUT: "took too long",
    Reason.CONNECTION: "is unreachable",
    Reason.SERVER_ERROR: "had a server error",
    Reason.TRUNCATED: "broke off",
}
# The models of which this process has been warned, and how many of them are worth it.
_warned: dict[str, object] = {}
_MOST_WARNED = 1_000


class LoggingPlugin:
    """Writes to the logger ``orfallback``; keys, prompts and answers never.

    Each record carries its facts in ``extra`` as well: ``call_id``, ``model``, ``attempt`` (its number), ``reason``,
    ``status``, ``next_model``, ``wait`` (seconds), ``elapsed`` (seconds).

    :param plain: whether to leave out the emoji.
    """

    def __init__(self, *, plain: bool = False) -> None:
        self._plain = plain
        self._activated = False

    def orfallback_call_started(self, call: Call) -> None:
        """Say once that the chain is at work."""
        if not self._activated:
            self._activated = True
            self._log(logging.INFO, "🔧", "OpenRouter fallback system activated", (), {"call_id": call.id})

    def orfallback_falling_back(self, call: Call, attempt: Attempt, target: Target, wait: float) -> None:
        """Say which model failed, why, and what comes next."""
        failed = _FAILED.get(attempt.reason) or f"failed ({attempt.reason})"
        again = target.model == attempt.model and attempt.endpoint.startswith(target.base_url)
        told = (
            attempt.model,
            failed,
            "it again" if again else "next fallback",
            attempt.summary,
            target.model,
            f", in {wait:g} s" if wait else "",
        )
        facts = {"next_model": clean(target.model), "wait": wait, **_facts(call, attempt)}
        self._log(logging.WARNING, "⏳", "Model %s %s, trying %s... (%s; next: %s%s)", told, facts)

    def orfallback_committed(self, call: Call, attempt: Attempt) -> None:
        """Say which model a stream comes from."""
        self._connected(call, attempt)

    def orfallback_attempt_finished(self, call: Call, attempt: Attempt) -> None:
        """Say which model a whole answer came from."""
        if attempt.verdict is None and not call.stream:
            self._connected(call, attempt)

    def orfallback_call_finished(self, call: Call, error: BaseException | None) -> None:
        """Say that a call got no answer, half of one, or a plugin's."""
        if error is None:
            if Ending.of(call, error) is Ending.DEGRADED:
                self._resorted(call)
            return
        if not isinstance(error, FallbackError):
            return
        if not call.attempts:
            self._log(logging.ERROR, "❌", "No model was asked: %s", (str(error),), {"call_id": call.id})
            return
        last = call.attempts[-1]
        facts = _facts(call, last)
        if isinstance(error, StreamInterrupted):
            self._log(logging.ERROR, "❌", "The stream from %s broke: %s", (last.model, last.summary), facts)
        else:
            self._log(logging.ERROR, "❌", "No model answered after %s: %s", _tried(call), facts)

    def _resorted(self, call: Call) -> None:
        """Say that a plugin gave the answer."""
        if not call.attempts:
            text = "No model was asked, a plugin gave its last resort"
            self._log(logging.WARNING, "🩹", text, (), {"call_id": call.id})
            return
        text = "No model answered after %s, a plugin gave its last resort: %s"
        self._log(logging.WARNING, "🩹", text, _tried(call), _facts(call, call.attempts[-1]))

    def _connected(self, call: Call, attempt: Attempt) -> None:
        text = "Successfully connected using model: %s"
        if logger.isEnabledFor(logging.INFO):
            self._log(logging.INFO, "✅", text, (attempt.model,), _facts(call, attempt))

    def _log(self, level: int, sign: str, text: str, args: tuple[str, ...], extra: dict[str, Any]) -> None:
        if logger.isEnabledFor(level):
            message = text if self._plain else f"{sign} {text}"
            cleaned = tuple([clean(arg, 2_000) for arg in args])
            # Looking through the frames for who logs takes a tenth of a record's time, and finds this method.
            logger.handle(logger.makeRecord(logger.name, level, __file__, 0, message, cleaned, None, "_log", extra))


def _tried(call: Call) -> tuple[str, str]:
    count = len(call.attempts)
    return f"{count} attempt{'' if count == 1 else 's'}", _failure.listed(call.attempts)


def _facts(call: Call, attempt: Attempt) -> dict[str, Any]:
    return {
        "call_id": call.id,
        "model": clean(attempt.model),
        "attempt": attempt.number,
        "reason": None if attempt.reason is None else str(attempt.reason),
        "status": attempt.status,
        "elapsed": attempt.elapsed,
    }


def warn_of(model: str) -> None:
    """Say once for each model how to name others that may stand in for it."""
    mine = object()
    # Of two threads that come here at once, one alone finds its own.
    if len(_warned) < _MOST_WARNED and _warned.setdefault(model, mine) is mine:
        logger.warning(
            "No models are named that may stand in for %s: set ORFALLBACK_MODELS, or give the chain its models",
            clean(model),
            extra={"model": clean(model)},
        )
