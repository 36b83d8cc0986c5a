"""The clock of one attempt: how long the socket may still be waited for."""

from __future__ import annotations

import math
import time

from orfallback._clock import Clock

#: How an attempt is told that the call's deadline ended.
OUT_OF_TIME = "the call's deadline came"


class Watch:
    """Counts the time spent waiting on the socket against the limit of the moment, and the call's deadline.

    What the consumer of a stream does between two reads is not waiting, so it is not counted; only the deadline
    runs on. Waiting is measured in real time, which is what sockets live in; the deadline is held against the
    chain's own clock.

    :param clock: the chain's clock.
    :param deadline: the instant on it by which the call ends; infinity if there is none.
    :param connect: the limit for TCP and TLS, in seconds; None lifts it.
    :ivar limit: the name of the limit of the moment, as in :class:`~orfallback.Timeouts`.
    :ivar seconds: that limit, in seconds.
    :ivar patience: the longest that any limit to come lets a read wait, for sockets that are told once, in seconds.
    :ivar single: the longest that a single read may wait, whatever the limits, in seconds.
    :ivar received: bytes that came from the socket.
    :ivar connected: whether there is a connection.
    :ivar sent: whether the request has left.
    :ivar reused: whether the connection had served before.
    """

    __slots__ = (
        "_budget", "_clock", "_connect", "_deadline", "_since",
        "connected", "limit", "patience", "received", "reused", "seconds", "sent",
        "single",
    )  # fmt: skip

    def __init__(self, clock: Clock, deadline: float, connect: float | None) -> None:
        self._clock = clock
        self._deadline = deadline
        self._connect = math.inf if connect is None else connect
        self._since = time.monotonic()
        self._budget = self.seconds = self.patience = self.single = math.inf
        self.limit = ""
        self.received = 0
        self.connected = False
        self.sent = False
        self.reused = False

    def allow(self, limit: str, seconds: float | None) -> None:
        """Start a limit anew: so many seconds of waiting from now on; None lifts it.

        :param limit: its name.
        """
        self.limit = limit
        self._budget = self.seconds = math.inf if seconds is None else seconds
        self._since = time.monotonic()

    def start(self) -> None:
        """Begin to wait."""
        self._since = time.monotonic()

    def stop(self) -> None:
        """Wait no longer; the time waited is taken off the limit."""
        now = time.monotonic()
        self._budget -= now - self._since
        self._since = now

    def remaining(self) -> float:
        """Return how many seconds may still be waited, counted from :meth:`start`; 0 or less when time is up."""
        left = self._budget - (time.monotonic() - self._since)
        return left if self._deadline == math.inf else min(left, self._deadline - self._clock.monotonic())

    def at_once(self) -> float:
        """Return how long a single read may wait on a socket that is told once, whatever limit holds when it waits."""
        if self._deadline == math.inf:
            return self.patience
        return min(self.patience, self._deadline - self._clock.monotonic())

    def connecting(self) -> float:
        """Return how many seconds a connection may take to be made."""
        if self._deadline == math.inf:
            return self._connect
        return min(self._connect, self._deadline - self._clock.monotonic())

    def no_connection(self) -> str:
        """Say in words that the limit for connecting was hit."""
        return f"no connection within {self._connect:g} s"

    def what_ran_out(self) -> str:
        """Say in words which limit was hit."""
        if self._deadline - self._clock.monotonic() <= 0:
            return OUT_OF_TIME
        if not self.connected:
            return self.no_connection()
        if not self.sent:
            return f"the request could not be sent within {self.seconds:g} s"
        return f"{_MEANING.get(self.limit, self.limit)} {self.seconds:g} s"


_MEANING = {
    "first_token": "no content within",
    "idle": "no more content for",
    "answer": "no whole answer within",
}
