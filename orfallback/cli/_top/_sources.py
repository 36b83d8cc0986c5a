"""Where the figures come from: a metrics endpoint, or a call log. Each look tells what is known, and what is amiss."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from orfallback._clock import Clock
from orfallback._record import from_line
from orfallback.cli._console import span
from orfallback.cli._shown import shown
from orfallback.cli._top import _metrics
from orfallback.cli._top._counters import Counters, Scrape
from orfallback.cli._top._figures import Figures
from orfallback.cli._top._records import Window, ended
from orfallback.cli._top._scraping import Unread
from orfallback.cli._top._tail import Tail

# So many restarts within a window are none: several processes answer in turn, each with counters of its own.
_SEVERAL = 3


class Look(NamedTuple):
    """What one look at a source brought.

    :ivar at: when, in seconds since the epoch.
    :ivar figures: what is known.
    :ivar trouble: why the source cannot be read now; "" if it can.
    :ivar since: since when it cannot; seconds since the epoch.
    :ivar notes: what the figures mean, or do not mean.
    """

    at: float
    figures: Figures
    trouble: str = ""
    since: float = 0.0
    notes: tuple[str, ...] = ()


class Source(Protocol):
    """Something that can be looked at, again and again."""

    @property
    def name(self) -> str:
        """What it is called, fit for a terminal."""

    @property
    def looks(self) -> int:
        """How many looks it takes to know something."""

    def look(self) -> Look:
        """Look at it; no source that fails raises anything."""

    def close(self) -> None:
        """Look at it no more."""


class Pages(Protocol):
    """Where a metrics endpoint's page comes from."""

    @property
    def name(self) -> str:
        """What it is called, fit for a terminal."""

    def fetch(self) -> str:
        """Return what it says now, or raise :exc:`Unread`."""

    def close(self) -> None:
        """Fetch no more."""


class MetricsSource:
    """A metrics endpoint.

    :param page: its page.
    :param parse: reads what that says, or raises ValueError with a sentence.
    :param window: how long the window is, in seconds.
    :param clock: the time.
    """

    # Counters say something when they have grown.
    looks = 2

    def __init__(self, page: Pages, parse: Callable[[str], Scrape], window: float, clock: Clock) -> None:
        self.name = page.name
        self._page = page
        self._parse = parse
        self._clock = clock
        self._counters = Counters(window)
        self._figures = Figures()
        self._since = 0.0

    def look(self) -> Look:
        """Fetch the page once; while it cannot be, the figures stay what they were."""
        try:
            scrape = self._parse(self._page.fetch())
        except (Unread, ValueError) as error:
            now = self._clock.time()
            self._since = self._since or now
            return Look(now, self._figures, f"{self.name} {error}", self._since)
        at, now = self._clock.monotonic(), self._clock.time()
        self._since = 0.0
        self._counters.take(at, scrape)
        self._figures = _metrics.figures(self._counters, scrape, at, now)
        return Look(now, self._figures, notes=tuple(self._notes(at, now)))

    def close(self) -> None:
        """Close its connection."""
        self._page.close()

    def _notes(self, at: float, now: float) -> Iterator[str]:
        restarts = self._counters.restarts
        if len(restarts) >= _SEVERAL:
            yield f"the counters went back {len(restarts)} times: do several processes answer here, each for itself?"
        elif restarts:
            yield f"the counters began anew at {_shown(now - (at - restarts[-1]))}"
        if not self._counters.steps:
            yield "the first figures come with the second look"


class LogSource:
    """A call log.

    :param path: where it is; it may come later.
    :param window: how long the window is, in seconds.
    :param clock: the time.
    """

    looks = 1

    def __init__(self, path: Path, window: float, clock: Clock) -> None:
        self.name = shown(str(path))
        self._clock = clock
        self._window = Window(window)
        self._tail = Tail(path, self._is_old)
        self._since = 0.0
        # Lines that told a call, and lines that told none.
        self._calls = self._others = 0

    def look(self) -> Look:
        """Read what was written since the last look."""
        trouble = ""
        try:
            lines = self._tail.read()
            records = [record for record in map(from_line, lines) if record is not None]
            self._calls += len(records)
            self._others += sum(bool(line.strip()) for line in lines) - len(records)
            if self._tail.skipped and records:
                # What is known has a hole: rates are of what comes after it.
                self._window.begin(ended(records[0]))
            for record in records:
                self._window.add(record)
        except Unread as error:
            trouble = f"{self.name} {error}"
        now = self._clock.time()
        self._since = (self._since or now) if trouble else 0.0
        return Look(now, self._window.figures(now), trouble, self._since, tuple(self._notes(now)))

    def close(self) -> None:
        """Close the file."""
        self._tail.close()

    def _is_old(self, line: bytes) -> bool | None:
        record = from_line(line)
        return None if record is None else ended(record) <= self._clock.time() - self._window.seconds

    def _notes(self, now: float) -> Iterator[str]:
        if self._others and not self._calls:
            yield "no line of it is the record of a call"
        last = self._window.last
        if last is not None and now - last > self._window.seconds:
            yield f"the last call ended at {_shown(last)}, {span(now - last)} ago"


def _shown(instant: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(instant))
