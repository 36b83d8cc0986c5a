"""Time, looked up when it is used: patching ``time`` late (gevent, tests) still takes effect."""

from __future__ import annotations

import math
import time
from typing import Protocol


class Clock(Protocol):
    """Where a chain takes its time from; give your own to make tests instant."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""

    def sleep(self, seconds: float) -> None:
        """Wait.

        :param seconds: for so long; 0 or more.
        """

    def time(self) -> float:
        """Return wall time, in seconds since the epoch. Only HTTP dates are held against it, and reboots."""


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """Return :func:`time.monotonic`."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait with :func:`time.sleep`."""
        time.sleep(seconds)

    def time(self) -> float:
        """Return :func:`time.time`."""
        return time.time()


def check_duration(name: str, seconds: float) -> None:
    """Refuse what is no duration.

    :raises TypeError: for what is no number.
    :raises ValueError: for a number that is not finite, or not greater than 0.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{name} is a number of seconds, not {type(seconds).__name__}")
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"{name} is finite and greater than 0 seconds, not {seconds!r}")
