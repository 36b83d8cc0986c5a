"""The plugin that stays on what works for a while."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from orfallback._clock import Clock, SystemClock, check_duration
from orfallback._types import Attempt, Call, Target
from orfallback.plugins._common import blamed, keep


class _Kept(NamedTuple):
    target: Target
    until: float


class _Running:
    """What is to be known of a call under way.

    :ivar first: the target that comes first in the chain's order, of those that are not passed over.
    :ivar asked: the one that is being asked.
    :ivar failed: whether the first one failed.
    """

    __slots__ = ("asked", "failed", "first")

    def __init__(self, first: Target) -> None:
        self.first = first
        self.asked: Target | None = None
        self.failed = False


class Sticky:
    """Stays on what works: when a target answered after the first one had failed, it is asked first for a while.

    Without it every call asks the first target, however long that has been failing. After so many seconds the first is
    tried again, and at once when the other one fails. A failure that is the call's own, such as an image for a text
    model, counts for nothing. What it remembers is this process's.

    :param seconds: how long to stay.
    :param clock: for measuring; None is the machine's.
    """

    def __init__(self, seconds: float = 300.0, *, clock: Clock | None = None) -> None:
        check_duration("seconds", seconds)
        self._settings: dict[str, Any] = {"seconds": seconds, "clock": clock}
        self._seconds = seconds
        self._clock = SystemClock() if clock is None else clock
        # By the target that would have come first: an application may call one chain for several models.
        self._kept: dict[Target, _Kept] = {}
        self._running: dict[str, _Running] = {}

    def orfallback_select(self, call: Call, targets: Sequence[Target]) -> Target | None:
        """Choose what worked, where it is among those left."""
        first = targets[0]
        if not call.attempts:
            keep(self._running, call.id, _Running(first))
        kept = self._kept.get(first)
        if kept is None or kept.target not in targets or self._clock.monotonic() >= kept.until:
            return None
        return kept.target

    def orfallback_attempt_started(self, call: Call, target: Target) -> None:
        """Remember who is asked."""
        running = self._running.get(call.id)
        if running is not None:
            running.asked = target

    def orfallback_committed(self, call: Call) -> None:
        """Stay, as soon as a stream has begun."""
        self._stay(call)

    def orfallback_attempt_finished(self, call: Call, attempt: Attempt) -> None:
        """Stay on what answered, or leave what failed."""
        if attempt.ok:
            self._stay(call)
        elif blamed(attempt):
            self._leave(call)

    def orfallback_call_finished(self, call: Call) -> None:
        """Forget the call."""
        self._running.pop(call.id, None)

    def _stay(self, call: Call) -> None:
        running = self._running.get(call.id)
        if running is not None and running.failed and running.asked is not None:
            keep(self._kept, running.first, _Kept(running.asked, self._clock.monotonic() + self._seconds))
            # The end of a stream does not prolong what its beginning began.
            running.failed = False

    def _leave(self, call: Call) -> None:
        running = self._running.get(call.id)
        if running is None or running.asked is None:
            return
        running.failed = running.failed or running.asked == running.first
        for first, kept in self._kept.copy().items():
            if kept.target == running.asked:
                self._kept.pop(first, None)

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(Sticky, **self._settings), ()
