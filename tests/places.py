"""Places at which no endpoint answers as it ought to, each for as long as it is wanted."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import trustme

from orfallback.testing import Simulator


@contextmanager
def talking(reply: bytes) -> Iterator[str]:
    """A server that is asked for TLS, says something else, and hangs up."""

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                peer.recv(4096)
                peer.sendall(reply)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def plain_port() -> AbstractContextManager[str]:
    """A server that speaks no TLS."""
    return talking(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def hanging_up() -> AbstractContextManager[str]:
    """A TLS server that goes away in the handshake."""
    return talking(b"")


@contextmanager
def unknown_certificate() -> Iterator[str]:
    """A server whose certificate nobody vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with Simulator(ssl_context=context) as sim:
        yield sim.base_url


@contextmanager
def refusing() -> Iterator[str]:
    """A port on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/v1"


@contextmanager
def full_backlog() -> Iterator[str]:
    """A port whose queue of connections is full: no handshake ends."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


@contextmanager
def mute() -> Iterator[str]:
    """A server that accepts, and never says a word of the TLS handshake."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/v1"


@contextmanager
def no_name() -> Iterator[str]:
    """A host name that cannot exist (RFC 6761)."""
    yield "http://nowhere.invalid/v1"


@contextmanager
def bad_label() -> Iterator[str]:
    """A host name that no resolver takes."""
    yield f"http://{'a' * 70}.example/v1"
