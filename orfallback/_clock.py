"""Time, looked up when it is used: patching ``time`` late (gevent, tests) still takes effect."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where a chain takes its time from; give your own to make tests instant."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""

    def sleep(self, seconds: float) -> None:
        """Wait for that many seconds."""

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
