"""The plugin that asks first who was fast of late."""

from __future__ import annotations

import functools
import math
import random as _random
from collections.abc import Callable, Sequence
from typing import Any

from orfallback._clock import check_duration
from orfallback._types import Attempt, Call, Target
from orfallback.plugins._common import blamed, keep


class _Figures:
    """What was seen of a target.

    :ivar asked: how often it was asked.
    :ivar seconds: how long it takes; infinity as long as that is not known.
    """

    __slots__ = ("asked", "seconds")

    def __init__(self) -> None:
        self.asked = 0
        self.seconds = math.inf


class LowestLatency:
    """Asks first the target that was fastest of late, by an exponentially weighted mean of what it took.

    For a stream that is the time to its first content, for a whole answer the time to its end; the two are kept apart.
    Each target is asked a few times before the figures decide, and now and then one of the others is asked, so that
    what was slow once can show that it no longer is. A failure counts as a slow answer, unless it is the call's own.
    What it remembers is this process's.

    :param weight: how much the newest attempt counts, above 0, up to 1.
    :param least: how often each target is asked before the figures decide.
    :param explore: the share of calls that ask one of the others first, 0 to 1.
    :param penalty: what a failure counts as, in seconds, if it did not take longer.
    :param random: gives numbers from 0 up to 1; None is Python's own.
    """

    def __init__(
        self,
        *,
        weight: float = 0.3,
        least: int = 3,
        explore: float = 0.05,
        penalty: float = 10.0,
        random: Callable[[], float] | None = None,
    ) -> None:
        if not 0 < weight <= 1:
            raise ValueError(f"weight is above 0, and 1 at most, not {weight!r}")
        if not 0 <= explore <= 1:
            raise ValueError(f"explore is 0 to 1, not {explore!r}")
        if least < 1:
            raise ValueError(f"least is 1 or more, not {least!r}")
        check_duration("penalty", penalty)
        self._settings: dict[str, Any] = {
            "weight": weight, "least": least, "explore": explore, "penalty": penalty, "random": random,
        }  # fmt: skip
        self._weight = weight
        self._least = least
        self._explore = explore
        self._penalty = penalty
        self._random = random
        self._seen: dict[tuple[Target, bool], _Figures] = {}
        self._asked: dict[str, Target] = {}

    def orfallback_select(self, call: Call, targets: Sequence[Target]) -> Target | None:
        """Choose the fastest; at the beginning of a call sometimes another."""
        figures = [self._figures(target, call) for target in targets]
        if not call.attempts:
            rarest = min(figures, key=lambda each: each.asked)
            if rarest.asked < self._least:
                return targets[figures.index(rarest)]
        fastest = min(figures, key=lambda each: each.seconds)
        others = [target for target, each in zip(targets, figures, strict=True) if each is not fastest]
        if others and not call.attempts and self._chance() < self._explore:
            return others[min(int(self._chance() * len(others)), len(others) - 1)]
        return None if fastest.seconds == math.inf else targets[figures.index(fastest)]

    def orfallback_attempt_started(self, call: Call, target: Target) -> None:
        """Count it now: calls that come while one waits for a target that is new are not all to wait for it, too."""
        keep(self._asked, call.id, target)
        self._figures(target, call).asked += 1

    def orfallback_committed(self, call: Call, attempt: Attempt) -> None:
        """Learn how long a stream took to begin."""
        self._learn(call, attempt.elapsed if attempt.first_token is None else attempt.first_token)

    def orfallback_attempt_finished(self, call: Call, attempt: Attempt) -> None:
        """Learn how long a whole answer took, or that there is none."""
        if blamed(attempt):
            self._learn(call, max(attempt.elapsed, self._penalty))
        elif attempt.ok and not call.stream:
            self._learn(call, attempt.elapsed)
        self._asked.pop(call.id, None)

    def _learn(self, call: Call, seconds: float) -> None:
        target = self._asked.get(call.id)
        if target is None:
            return
        figures = self._figures(target, call)
        known = figures.seconds
        figures.seconds = seconds if known == math.inf else known + self._weight * (seconds - known)

    def _figures(self, target: Target, call: Call) -> _Figures:
        key = target, call.stream
        found = self._seen.get(key)
        if found is None:
            found = _Figures()
            keep(self._seen, key, found)
        return found

    def _chance(self) -> float:
        return _random.random() if self._random is None else self._random()  # noqa: S311 - no secret depends on it

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(LowestLatency, **self._settings), ()
