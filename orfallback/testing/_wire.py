"""One client's connection: bytes in, bytes out, and notice of a client that leaves."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from typing import TYPE_CHECKING

from orfallback.testing._steps import End, Gate, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

GATE_TIMEOUT = 10.0

_RECEIVE = 1 << 18
_GLANCE = 0.001
_BETWEEN_GLANCES = 0.02
_LINGER_ZERO = struct.pack("ii", 1, 0)


class ClientLeft(Exception):
    """The client closed or reset its connection, or the simulator is closing."""


class Wire:
    """A client's socket, and what came in that nobody has read yet.

    Only :meth:`shut` may be called by another thread.

    :param sock: the accepted socket, owned from now on; a TLS one has not shaken hands yet.
    :param number: the connection's number, from 1.
    """

    def __init__(self, sock: socket.socket, number: int) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = number
        self._socket = sock
        self._unread = bytearray()

    def shake_hands(self) -> None:
        """Finish a TLS handshake; nothing to do without TLS.

        :raises ClientLeft: also when the client refuses.
        """
        if isinstance(self._socket, ssl.SSLSocket):
            try:
                self._socket.do_handshake()
            except OSError as error:
                raise ClientLeft from error

    def read(self, count: int) -> bytes:
        """Exactly so many bytes.

        :raises ClientLeft: when they do not come.
        """
        while len(self._unread) < count:
            self._receive(None)
        return self._take(count)

    def read_until(self, mark: bytes, limit: int) -> bytes:
        """Everything up to and with a mark.

        :param mark: the bytes that end it.
        :param limit: how many bytes may come before.
        :raises ValueError: when more come.
        :raises ClientLeft: when it does not come.
        """
        while (place := self._unread.find(mark)) < 0:
            if len(self._unread) > limit:
                raise ValueError(f"no {mark!r} in {limit} bytes")
            self._receive(None)
        return self._take(place + len(mark))

    def play(self, steps: Iterator[Step]) -> End | None:
        """Take the steps of a behaviour, up to its end.

        :returns: how the connection ends; None when it is kept.
        :raises ClientLeft: when the client left before that.
        """
        for step in steps:
            if isinstance(step, bytes):
                self.send(step)
            elif isinstance(step, Gate):
                if not self._passes(step):
                    return End.RESET
            elif step is End.HANG:
                self._listen()
            elif isinstance(step, End):
                return step
            else:
                self._pause(step)
        return None

    def send(self, data: bytes) -> None:
        """Send all of it.

        :raises ClientLeft: when the client takes no more.
        """
        self._socket.settimeout(None)
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise ClientLeft from error

    def shut(self) -> None:
        """End the connection under the feet of the thread that serves it."""
        # SSLSocket.shutdown would pull the TLS object away from a read in progress.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self, *, reset: bool) -> None:
        """Close the socket.

        :param reset: by RST, what is on its way being lost, rather than by FIN.
        """
        if reset:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        else:
            # A forked child may hold the socket too: closing alone would send nothing then.
            self.shut()
        self._socket.close()

    def _take(self, count: int) -> bytes:
        data = bytes(self._unread[:count])
        del self._unread[:count]
        return data

    def _receive(self, timeout: float | None) -> None:
        """Wait for bytes, or for the client to leave; a timeout is no fault."""
        self._socket.settimeout(timeout)
        try:
            data = self._socket.recv(_RECEIVE)
        except TimeoutError:
            return
        except OSError as error:
            raise ClientLeft from error
        if not data:
            raise ClientLeft
        self._unread += data

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._receive(left)

    def _listen(self) -> None:
        while True:
            self._receive(None)

    def _passes(self, gate: Gate) -> bool:
        until = time.monotonic() + GATE_TIMEOUT
        while not gate.wait(_BETWEEN_GLANCES):
            if time.monotonic() > until:
                return False
            self._receive(_GLANCE)
        return True
