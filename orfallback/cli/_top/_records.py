"""The window over a call log: its records, and the figures that they make; pure."""

from __future__ import annotations

import math
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence

from orfallback import Reason
from orfallback._record import Record, Try
from orfallback.cli._check._trial import percentile
from orfallback.cli._shown import shown
from orfallback.cli._top._figures import PIECES, Fallback, Figures, Hops, Model, Piece, Spread, failed, ranked

#: More records than this are not kept: of a busier log the window is shorter.
MOST_RECORDS = 50_000
# So many of the latest fallbacks are told, at most.
_LATEST = 200
# The longest ending or reason (characters).
_WORD = 40


class Window:
    """The records of calls that ended within the last so many seconds.

    :param seconds: how long it is.
    :ivar last: when the last call that is known ended, in seconds since the epoch; None if none is.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.last: float | None = None
        self._records: deque[Record] = deque(maxlen=MOST_RECORDS)
        # When the last one ended of those that are not all known.
        self._since = -math.inf

    def begin(self, at: float) -> None:
        """Leave out what ended before an instant: not all of that is known."""
        self._since = at

    def add(self, record: Record) -> None:
        """Take a record, in about the order in which the calls ended."""
        self.last = max(ended(record), self.last or 0.0)
        if len(self._records) == MOST_RECORDS:
            self._since = max(self._since, ended(self._records[0]))
        self._records.append(_slim(record))

    def figures(self, now: float) -> Figures:
        """Return what the records within the window say.

        :param now: its end, in seconds since the epoch.
        """
        start = max(now - self.seconds, self._since)
        grain = self.seconds / PIECES
        place = math.floor(now / grain)
        while self._records and ended(self._records[0]) <= start:
            self._records.popleft()
        records = [record for record in self._records if ended(record) > start]
        falls = [fall for record in records for fall in _falls(record)]
        hops = [fall for fall, again in falls if not again]
        kinds = Counter((fall.start, fall.goal, fall.reason) for fall in hops)
        return Figures(
            span=now - start,
            endings=ranked(Counter(record.ending for record in records).items()),
            seconds=_spread([record.seconds for record in records]),
            waited=sum(record.waited for record in records),
            fell_back=sum(any(not again for _, again in _falls(record)) for record in records),
            hops=tuple(
                Hops(*kind, count) for kind, count in sorted(kinds.items(), key=lambda each: (-each[1], each[0]))
            ),
            retries=len(falls) - len(hops),
            latest=tuple(sorted((fall for fall, _ in falls), reverse=True)[:_LATEST]),
            models=tuple(_models(records)),
            course=_course(records, place, grain),
            place=place,
        )


def ended(record: Record) -> float:
    """Return when a call ended, in seconds since the epoch."""
    return record.started + record.seconds


def _slim(record: Record) -> Record:
    """Return a record with what is shown alone, its words fit for a terminal."""
    attempts = tuple(
        Try(
            model=sys.intern(shown(each.model)),
            endpoint=sys.intern(each.endpoint),
            reason=None if each.reason is None else sys.intern(shown(each.reason, _WORD) or "?"),
            waited=each.waited,
            first_token=each.first_token,
            elapsed=each.elapsed,
            completion_tokens=each.completion_tokens,
            cost=each.cost,
        )
        for each in record.attempts
    )
    ending = sys.intern(shown(record.ending, _WORD) or "?")
    return Record(record.started, "", "", ending, seconds=record.seconds, attempts=attempts, left_out=record.left_out)


def _falls(record: Record) -> Iterator[tuple[Fallback, bool]]:
    """Yield what followed each failed attempt that had a next one, and whether that asked the same target again."""
    at = record.started
    # What is missing is missing behind the first half: there two attempts are no neighbours.
    gap = len(record.attempts) // 2 if record.left_out else 0
    for index, (this, following) in enumerate(zip(record.attempts, record.attempts[1:], strict=False), start=1):
        at += this.waited + this.elapsed
        if this.reason is not None and index != gap:
            again = (this.model, this.endpoint) == (following.model, following.endpoint)
            yield Fallback(at, this.model, following.model, this.reason, following.waited), again


def _models(records: Sequence[Record]) -> Iterator[Model]:
    tries: dict[str, list[Try]] = {}
    for record in records:
        for each in record.attempts:
            tries.setdefault(each.model, []).append(each)
    for name in sorted(tries):
        mine = tries[name]
        reasons = Counter(each.reason for each in mine if each.reason is not None)
        left = reasons.pop(Reason.CANCELLED.value, 0)
        yield Model(
            model=name,
            answered=sum(each.reason is None for each in mine),
            left=left,
            reasons=ranked(reasons.items()),
            seconds=_spread([each.elapsed for each in mine]),
            first_token=_spread([each.first_token for each in mine]),
            tokens=sum(each.completion_tokens or 0 for each in mine),
            cost=sum(each.cost or 0.0 for each in mine),
        )


def _spread(values: Sequence[float | None]) -> Spread:
    return Spread(percentile(values, 0.5), percentile(values, 0.95))


def _course(records: Sequence[Record], last: int, grain: float) -> tuple[Piece, ...]:
    """Count calls by pieces of time.

    :param last: which piece is the last one.
    :param grain: how long each is, in seconds.
    """
    counts, failures = [0] * PIECES, [0] * PIECES
    for record in records:
        # A clock that is ahead writes into the future.
        place = PIECES - 1 - max(last - math.floor(ended(record) / grain), 0)
        if place >= 0:
            counts[place] += 1
            failures[place] += failed(record.ending)
    return tuple(map(Piece, counts, failures))
