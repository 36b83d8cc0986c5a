"""A wait that grows; in a file of its own, for those who use it."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from orfallback._delay import check_seconds
from orfallback._types import Attempt, Call


@dataclass(frozen=True)
class ExponentialBackoff:
    """A wait that grows with each failed attempt of the call.

    :param initial: the first wait, in seconds.
    :param maximum: the longest, in seconds.
    :param multiplier: how much longer each is than the one before.
    :param jitter: the share by which a wait is varied at random, 0 to 1: 0.2 gives 80 to 120 % (gRPC A6's).
    """

    initial: float = 0.5
    maximum: float = 30.0
    multiplier: float = 2.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        check_seconds("initial", self.initial)
        check_seconds("maximum", self.maximum)
        if not (math.isfinite(self.multiplier) and self.multiplier >= 1):
            raise ValueError(f"multiplier is finite and at least 1, not {self.multiplier!r}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter is 0 to 1, not {self.jitter!r}")

    def __call__(self, call: Call, attempt: Attempt, /) -> float:
        """Return the wait after the nth failed attempt."""
        try:
            grown = self.initial * self.multiplier ** (attempt.number - 1)
        except OverflowError:
            grown = self.maximum
        spread = 1 + self.jitter * (2 * random.random() - 1)  # noqa: S311 - jitter is no secret
        return min(grown * spread, self.maximum)
