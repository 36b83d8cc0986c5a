"""What a call spent its time on, attempt by attempt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from orfallback._record import Record, Try
from orfallback._verdict import Reason


class Leg(NamedTuple):
    """An attempt, placed in its call.

    :ivar attempt: what became of it.
    :ivar begins: seconds from the call's start to its own.
    :ivar left_out: how many attempts before it are not told of.
    """

    attempt: Try
    begins: float
    left_out: int = 0

    @property
    def kind(self) -> str:
        """``answered``, ``cancelled`` or ``failed``."""
        return kind_of(self.attempt)

    @property
    def outcome(self) -> str:
        """``answered``, or why not."""
        return self.attempt.reason or "answered"


def kind_of(attempt: Try) -> str:
    """Return whether an attempt ``answered``, was ``cancelled`` or ``failed``."""
    if attempt.reason is None:
        return "answered"
    return "cancelled" if attempt.reason == Reason.CANCELLED else "failed"


def legs(record: Record, most: int) -> Iterator[Leg]:
    """Yield the attempts of a call; of many the first and the last.

    :param record: the call.
    :param most: so many at most.
    """
    attempts = record.attempts
    # What the record itself leaves out lies in its middle.
    told = attempts if len(attempts) <= most else (*attempts[: most // 2], *attempts[-(most - most // 2) :])
    now, gap = 0.0, len(attempts) - len(told) + record.left_out
    middle = len(told) // 2
    for index, attempt in enumerate(told):
        left_out = gap if index == middle else 0
        if left_out:
            # From the end, for what happened in between is not all known.
            now = record.seconds - sum(each.waited + each.elapsed for each in told[index:])
        now += max(attempt.waited, 0.0)
        yield Leg(attempt, now, left_out)
        now += max(attempt.elapsed, 0.0)
