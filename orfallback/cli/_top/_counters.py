"""The window over counters that only grow: what each grew by, across restarts; pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from orfallback.cli._top._figures import PIECES

#: Where a process tells since when it has been running.
STARTED = "process_start_time_seconds"
_CUMULATIVE = ("_total", "_bucket", "_count", "_sum")
# Sums of several processes are added up in any order (relative).
_JITTER = 1e-9


class Series(NamedTuple):
    """What a value is of.

    :ivar name: that of the metric, with ``_total``, ``_bucket``, ``_count`` or ``_sum``.
    :ivar labels: names and values, in the order of the names.
    """

    name: str
    labels: tuple[tuple[str, str], ...] = ()

    def label(self, name: str) -> str:
        """Return the value of a label; "" if there is none."""
        return next((value for each, value in self.labels if each == name), "")

    @property
    def grows(self) -> bool:
        """Whether it counts something, and so never decreases but by a restart."""
        return self.name.endswith(_CUMULATIVE)


#: One look at a metrics endpoint.
Scrape = Mapping[Series, float]


class Step(NamedTuple):
    """What happened between two looks.

    :ivar start: the first one, in seconds.
    :ivar end: the second one.
    :ivar growth: by how much each series grew that did.
    """

    start: float
    end: float
    growth: dict[Series, float]


class Counters:
    """Follows counters over the last so many seconds.

    :param window: how many.
    :ivar window: how many.
    :ivar steps: the growth within them, the oldest first.
    :ivar restarts: when the counters went back to 0, within them.
    """

    def __init__(self, window: float) -> None:
        self.window = window
        # Steps of this length draw the course; shorter ones become one.
        self._grain = window / PIECES
        self._last: tuple[float, Scrape] | None = None
        self.steps: deque[Step] = deque()
        self.restarts: deque[float] = deque()

    def take(self, at: float, scrape: Scrape) -> None:
        """Take a look.

        :param at: when, in seconds; not before the look before.
        """
        if self._last is not None:
            before, old = self._last
            again = restarted(old, scrape)
            if again:
                self.restarts.append(at)
            self._append(Step(before, at, growth({} if again else old, scrape)))
        self._last = at, scrape
        since = at - self.window
        while self.restarts and self.restarts[0] <= since:
            self.restarts.popleft()
        # A step that has begun before the window is in it only if none other is.
        while len(self.steps) > 1 and self.steps[0].start < since - self._grain / 2:
            self.steps.popleft()

    def _append(self, step: Step) -> None:
        if not self.steps or step.end - self.steps[-1].start > self._grain * 1.001:
            self.steps.append(step)
            return
        last = self.steps.pop()
        for series, amount in step.growth.items():
            last.growth[series] = last.growth.get(series, 0.0) + amount
        self.steps.append(Step(last.start, step.end, last.growth))

    @property
    def span(self) -> float:
        """How many seconds are known; 0 after the first look."""
        return self.steps[-1].end - self.steps[0].start if self.steps else 0.0

    @property
    def increase(self) -> dict[Series, float]:
        """By how much each series grew in the window; one that did not is not there."""
        total: dict[Series, float] = {}
        for step in self.steps:
            for series, amount in step.growth.items():
                total[series] = total.get(series, 0.0) + amount
        return total


def growth(old: Scrape, new: Scrape) -> dict[Series, float]:
    """Return by how much each series grew that did; one that is new began at 0."""
    grown = {series: value - old.get(series, 0.0) for series, value in new.items() if series.grows}
    return {series: amount for series, amount in grown.items() if amount > 0}


def restarted(old: Scrape, new: Scrape) -> bool:
    """Tell whether the counters began anew between two looks."""
    started = Series(STARTED)
    if started in old and started in new and old[started] != new[started]:
        return True
    counted = [(value, new.get(series)) for series, value in old.items() if series.grows]
    if any(now is not None and now < value * (1 - _JITTER) for value, now in counted):
        return True
    return bool(counted) and all(now is None for _, now in counted)
