"""The reading end of a socket: each read is given what is left of the attempt's clock."""

from __future__ import annotations

import io
import socket
from typing import Any

from orfallback._watch import Watch

#: What stands for "no limit" towards sockets, which take no infinity (s).
FOREVER = 86_400.0 * 365
# A limit is set on the socket anew only if it moved by more: each setting is a system call (s).
_SLACK = 0.005
# So much is read at once from a socket at most (bytes).
_READ_AHEAD = 16 * 1024


class WatchedReader(io.RawIOBase):
    """A socket's raw reader that gives each read the time that remains.

    :ivar over: whether the reply is read, and the socket no longer.
    """

    def __init__(self, raw: Any, sock: socket.socket, watch: Watch) -> None:
        self._raw = raw
        self._sock = sock
        self._watch = watch
        self.over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        if self.over:
            return None
        left = min(self._watch.remaining(), self._watch.single, FOREVER)
        if left <= 0:
            raise TimeoutError("timed out")
        now = self._sock.gettimeout()
        if now is None or abs(now - left) > _SLACK:
            self._sock.settimeout(left)
        count = self._sock.recv_into(buffer)
        self._watch.received += count
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class Buffered(io.BufferedReader):
    """Reads ahead, and tells in the end whether it read more than the reply.

    :ivar beyond: whether it did.
    """

    beyond = False

    def __init__(self, reader: WatchedReader) -> None:
        super().__init__(reader, _READ_AHEAD)
        self._reader = reader

    def held(self) -> bytes:
        """Return what was read ahead, without taking it, and read nothing."""
        self._reader.over = True
        try:
            return self.peek()
        finally:
            self._reader.over = False

    def close(self) -> None:
        try:
            if not self.closed:
                self.beyond = bool(self.held())
        finally:
            self._reader.over = True
            super().close()
