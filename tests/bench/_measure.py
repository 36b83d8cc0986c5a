"""Measuring in turns: samples, rows of the table, and what they come to."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

#: The name of this library among the contestants.
OURS = "orfallback"


class Effort(NamedTuple):
    """How much is measured.

    :ivar runs: how often all is repeated; the spread is that of their medians.
    :ivar rounds: how often everybody has a turn in a run.
    :ivar times: calls in a turn.
    """

    runs: int = 3
    rounds: int = 9
    times: int = 100


QUICK = Effort(runs=1, rounds=5, times=40)


class Cost(NamedTuple):
    """What one turn took, for each unit of its work, in microseconds."""

    cpu: float
    wall: float


#: Takes one turn, and tells what it took.
Turn = Callable[[], Cost]


class Row(NamedTuple):
    """One row of the table.

    :ivar name: what is measured.
    :ivar kind: ``cpu`` or ``wall``: which of the two counts.
    :ivar unit: what one unit of work is.
    :ivar base: whom the others are held against.
    :ivar costs: by contestant, for each run, what each turn took.
    :ivar must: what our ratio must not be above; None where nothing is asked.
    :ivar aim: what it is to be at best.
    :ivar absent: contestants that are not installed.
    :ivar scale: in what it is told: microseconds, if nothing else is measured.
    """

    name: str
    kind: str
    unit: str
    base: str
    costs: Mapping[str, list[list[Cost]]]
    must: float | None = None
    aim: float | None = None
    absent: tuple[str, ...] = ()
    scale: str = "µs"

    def micros(self, contestant: str, kind: str | None = None) -> float:
        """Return the median of what a contestant takes (µs)."""
        place = Cost._fields.index(kind or self.kind)
        return statistics.median(cost[place] for run in self.costs[contestant] for cost in run)

    def ratio(self, contestant: str) -> tuple[float, float, float]:
        """Return a contestant's ratio to the base: the median of the runs' medians, the smallest and the largest."""
        place = Cost._fields.index(self.kind)
        runs = [
            statistics.median(mine[place] / base[place] for mine, base in zip(*pair, strict=True))
            for pair in zip(self.costs[contestant], self.costs[self.base], strict=True)
        ]
        return statistics.median(runs), min(runs), max(runs)

    @property
    def verdict(self) -> str:
        """Whether our ratio is what it is to be, in a word."""
        if self.must is None:
            return ""
        ratio = self.ratio(OURS)[0]
        if self.aim is not None and ratio <= self.aim:
            return "aim reached"
        return "must reached" if ratio <= self.must else "NOT REACHED"


def turn_of(call: Callable[[], object], times: int, units: int = 1) -> Turn:
    """Return a turn of so many calls.

    :param units: how many units of work one call is.
    """

    def turn() -> Cost:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(times):
            call()
        return Cost(
            (time.process_time() - cpu) / times / units * 1e6, (time.perf_counter() - wall) / times / units * 1e6
        )

    return turn


def in_turns(turns: Mapping[str, Turn], effort: Effort) -> dict[str, list[list[Cost]]]:
    """Let everybody have a turn, again and again, after one that does not count."""
    for turn in turns.values():
        turn()
    # What has been imported is no garbage of anybody's.
    gc.collect()
    gc.freeze()
    costs: dict[str, list[list[Cost]]] = {name: [] for name in turns}
    for _ in range(effort.runs):
        for found in costs.values():
            found.append([])
        for _ in range(effort.rounds):
            for name, turn in turns.items():
                costs[name][-1].append(turn())
    gc.unfreeze()
    return costs
