"""What happened when: buckets of time, which grow with the time that there is to show."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

#: More than this many buckets side by side are none that an eye could tell apart.
MOST = 96
_DAY = 86_400
# How wide a bucket may be (s); each divides the next. Beyond them it doubles.
_WIDTHS = (1, 5, 15, 60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, _DAY, 7 * _DAY, 28 * _DAY)


class Bucket(NamedTuple):
    """Some time.

    :ivar started: its start, in seconds since the epoch.
    :ivar outcomes: how many calls went how.
    :ivar costs: US dollars by model.
    """

    started: float
    outcomes: Counter[str]
    costs: dict[str, float]


class Timeline:
    """Calls by the time of their start, whatever order they come in.

    :ivar width: how long a bucket is (s).
    """

    def __init__(self) -> None:
        self.width = _WIDTHS[0]
        self._buckets: dict[int, Bucket] = {}
        self._first = self._last = 0

    def at(self, started: float) -> Bucket:
        """Return the bucket of an instant, to add to.

        :param started: seconds since the epoch.
        """
        index = math.floor(started) // self.width
        bucket = self._buckets.get(index)
        if bucket is None:
            if not self._buckets:
                self._first = self._last = index
            self._first, self._last = min(self._first, index), max(self._last, index)
            while self._last - self._first >= MOST:
                self._coarsen()
            index = math.floor(started) // self.width
            bucket = self._buckets.setdefault(index, self._empty(index))
        return bucket

    def __iter__(self) -> Iterator[Bucket]:
        """Yield all buckets from the first to the last, those without a call, too."""
        if self._buckets:
            for index in range(self._first, self._last + 1):
                yield self._buckets.get(index) or self._empty(index)

    def _empty(self, index: int) -> Bucket:
        return Bucket(float(index * self.width), Counter(), {})

    def _coarsen(self) -> None:
        factor = next((wider for wider in _WIDTHS if wider > self.width), 2 * self.width) // self.width
        self.width *= factor
        finer, self._buckets = self._buckets, {}
        for index in sorted(finer):
            wide = self._buckets.setdefault(index // factor, self._empty(index // factor))
            wide.outcomes.update(finer[index].outcomes)
            for model, cost in finer[index].costs.items():
                wide.costs[model] = wide.costs.get(model, 0.0) + cost
        self._first, self._last = self._first // factor, self._last // factor
