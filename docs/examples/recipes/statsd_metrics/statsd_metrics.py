"""Metrics for StatsD: a plugin of a few lines on the hooks, and a socket."""

from __future__ import annotations

import re
import socket

from orfallback import Attempt, Call, Ending, Target


class StatsD:
    """Counts and times attempts, fallbacks and calls. What cannot be sent at once is lost; no call waits or fails.

    :param host: where StatsD listens; a name is looked up once, here.
    :param port: its port.
    :param prefix: what every name begins with.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 8125, prefix: str = "orfallback") -> None:
        self._prefix = prefix
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect((host, port))

    def orfallback_attempt_finished(self, call: Call, attempt: Attempt) -> None:
        """Count what became of it, and time it."""
        name = f"attempt.{_part(attempt.model)}"
        self._send(f"{name}.{attempt.reason or 'answered'}:1|c", f"{name}.time:{attempt.elapsed * 1000:.0f}|ms")
        if attempt.first_token is not None:
            self._send(f"{name}.first_token:{attempt.first_token * 1000:.0f}|ms")

    def orfallback_falling_back(self, attempt: Attempt, target: Target) -> None:
        """Count who stands in for whom."""
        self._send(f"fallback.{_part(attempt.model)}.{_part(target.model)}:1|c")

    def orfallback_call_finished(self, call: Call, error: BaseException | None) -> None:
        """Count how it ended: answered, degraded, left, broken, failed or aborted."""
        self._send(f"call.{Ending.of(call, error)}:1|c")

    def _send(self, *metrics: str) -> None:
        try:
            self._socket.send("\n".join(f"{self._prefix}.{metric}" for metric in metrics).encode())
        except OSError:
            # Nobody listens, or the socket's buffer is full.
            pass


def _part(model: str) -> str:
    """Return a model's id as a part of a name, in which dots, colons and slashes mean something."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", model)
