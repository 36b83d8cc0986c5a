"""How long to wait before the next attempt, after a transient failure; pure."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Protocol

from orfallback._types import Attempt, Call

#: The wait before the next model after a transient failure, in seconds.
DEFAULT_DELAY = 2.0
#: No single wait inside a call is longer, in seconds; a target that asks for more is passed over.
LONGEST_WAIT = 60.0


class Delay(Protocol):
    """Chooses the wait before the next attempt; any function of this shape will do."""

    def __call__(self, call: Call, attempt: Attempt, /) -> float:
        """Return seconds to wait.

        :param call: the call, with ``attempt`` as the last of its attempts.
        :param attempt: the attempt that failed for a transient reason.
        """


@dataclass(frozen=True)
class FixedDelay:
    """The same wait each time.

    :param seconds: 0 to 60.
    """

    seconds: float = DEFAULT_DELAY

    def __post_init__(self) -> None:
        _check("seconds", self.seconds)

    def __call__(self, call: Call, attempt: Attempt, /) -> float:
        """Return ``seconds``."""
        return self.seconds


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
        _check("initial", self.initial)
        _check("maximum", self.maximum)
        if not (math.isfinite(self.multiplier) and self.multiplier >= 1):
            raise ValueError(f"multiplier is finite and at least 1, not {self.multiplier!r}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter is 0 to 1, not {self.jitter!r}")

    def __call__(self, call: Call, attempt: Attempt, /) -> float:
        """Return the wait after the nth failed attempt."""
        # Past 64 doublings every wait is the maximum; a larger power would overflow a float.
        grown = self.initial * self.multiplier ** min(attempt.number - 1, 64)
        spread = 1 + self.jitter * (2 * random.random() - 1)  # noqa: S311 - jitter is no secret
        return min(grown * spread, self.maximum)


def _check(name: str, seconds: float) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{name} is a number of seconds, not {type(seconds).__name__}")
    if not 0 <= seconds <= LONGEST_WAIT:
        raise ValueError(f"{name} is 0 to {LONGEST_WAIT:g} seconds, not {seconds!r}")
