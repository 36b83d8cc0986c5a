"""Accepts connections, gives each a thread, and takes all of them down again."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

from orfallback.testing._steps import End
from orfallback.testing._wire import ClientLeft, Wire

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

_BACKLOG = 256
_ACCEPT_POLL = 0.2
_JOIN_TIMEOUT = 5.0


class Server:
    """A listening socket and the connections that came of it.

    :param address: host and port; port 0 for any free one, which is kept for a second start.
    :param ssl_context: a server's context, or None.
    :param serve: serves one connection in a thread of its own, and says how it ends.
    """

    def __init__(
        self, address: tuple[str, int], ssl_context: ssl.SSLContext | None, serve: Callable[[Wire], End]
    ) -> None:
        self.address = address
        self.closing = False
        self._ssl_context = ssl_context
        self._serve = serve
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        # Guards what follows; never held over I/O.
        self._changed = threading.Condition()
        self._accepted = 0
        self._open: dict[int, Wire] = {}
        self._servants: list[threading.Thread] = []

    def start(self) -> None:
        """Listen.

        :raises RuntimeError: when it listens already.
        """
        if self._listener is not None:
            raise RuntimeError("the simulator is running")
        listener = socket.create_server(self.address, backlog=_BACKLOG)
        # Where shutting a listener down does not wake its accept, the poll does.
        listener.settimeout(_ACCEPT_POLL)
        self.address = listener.getsockname()
        self.closing = False
        self._listener = listener
        self._acceptor = threading.Thread(target=self._accept, args=(listener,), daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        """Stop listening, cut every connection and wait for every thread, 5 s at most."""
        listener, acceptor = self._listener, self._acceptor
        if listener is None or acceptor is None:
            return
        self._listener = self._acceptor = None
        self.closing = True
        until = time.monotonic() + _JOIN_TIMEOUT
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        acceptor.join(_JOIN_TIMEOUT)
        listener.close()
        with self._changed:
            wires, servants = list(self._open.values()), self._servants
        for wire in wires:
            wire.shut()
        for servant in servants:
            servant.join(max(0.0, until - time.monotonic()))

    @property
    def accepted(self) -> int:
        """How many connections were accepted in all."""
        with self._changed:
            return self._accepted

    @property
    def open(self) -> int:
        """How many connections are open now."""
        with self._changed:
            return len(self._open)

    def wait_idle(self, timeout: float) -> bool:
        """Wait until no connection is open.

        :param timeout: longest wait in seconds.
        :returns: whether none is.
        """
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, timeout)

    def _accept(self, listener: socket.socket) -> None:
        while not self.closing:
            try:
                sock, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                # The listener's end, or else a lack of descriptors, which passes.
                time.sleep(0.001)
                continue
            try:
                self._welcome(sock)
            except OSError:
                # The client has gone again already.
                sock.close()

    def _welcome(self, sock: socket.socket) -> None:
        if self._ssl_context is not None:
            sock = self._ssl_context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        with self._changed:
            self._accepted += 1
            wire = Wire(sock, self._accepted)
            servant = threading.Thread(target=self._attend, args=(wire,), daemon=True)
            self._open[wire.number] = wire
            self._servants = [*filter(threading.Thread.is_alive, self._servants), servant]
        servant.start()

    def _attend(self, wire: Wire) -> None:
        end = End.CLOSE
        try:
            wire.shake_hands()
            end = self._serve(wire)
        except ClientLeft:
            pass
        finally:
            wire.close(reset=end is End.RESET)
            with self._changed:
                del self._open[wire.number]
                self._changed.notify_all()
