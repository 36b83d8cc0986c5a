"""How values are spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from typing import NamedTuple


class Spread(NamedTuple):
    """Of some values: the median, and what a share of them do not exceed (nearest rank); None where there are none.

    :ivar size: how many there are.
    :ivar p50: the median.
    :ivar p95: 95 % are no greater.
    :ivar p99: 99 % are no greater.
    """

    size: int
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


def spread_of(values: Iterable[float]) -> Spread:
    """Return how some values are spread."""
    known = sorted(values)
    if not known:
        return Spread(0)
    p95, p99 = (known[math.ceil(share * len(known)) - 1] for share in (0.95, 0.99))
    return Spread(len(known), statistics.median(known), p95, p99)
