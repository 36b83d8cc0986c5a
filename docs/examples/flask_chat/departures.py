"""Clients that leave while a model is silent.

WSGI tells of it only when something is written. Two servers hand out the connection itself, which can be looked at.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

# How often it is looked (s): so much longer than needed a model may speak to nobody.
_EVERY = 0.1


def left_of(environ: Mapping[str, Any]) -> Callable[[], bool] | None:
    """Return what tells whether the client of a request has left; None where the server does not let us know.

    :param environ: the request's; Flask's own server and gunicorn put the connection into it.
    """
    connection = environ.get("werkzeug.socket") or environ.get("gunicorn.socket")
    # What is encrypted cannot be looked at without being taken.
    if type(connection) is not socket.socket:
        return None
    return lambda: _has_left(connection)


def _has_left(connection: socket.socket) -> bool:
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            # Readable without a byte: the end. A byte is a further request, and stays where it is.
            return bool(selector.select(0)) and connection.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):
        # Reset, or closed already.
        return True


@contextmanager
def watching(left: Callable[[], bool] | None, stop: Callable[[], object]) -> Iterator[None]:
    """Call ``stop`` once a client has left, as long as the block runs.

    :param left: tells whether it has; None if nobody knows.
    :param stop: called in a thread of its own.
    """
    if left is None:
        yield
        return
    over = threading.Event()

    def look() -> None:
        while not over.wait(_EVERY):
            if left():
                stop()
                return

    watcher = threading.Thread(target=look, name="flask-chat-departures", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        # Before the connection goes to somebody else.
        watcher.join()
