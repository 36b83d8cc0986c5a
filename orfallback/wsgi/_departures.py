"""Clients that leave: what runs for them is ended."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from orfallback._stream import Stream
from orfallback._types import Call

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: Tells whether a client has left.
Left = Callable[[], bool]

# How often running streams are looked at (s): so much longer than needed a model may speak to nobody.
_EVERY = 0.1
# Under which name a call carries it.
_CONTEXT = "orfallback.gateway.left"


class ClientLeft(Exception):
    """The client left before its answer began; no other model is asked."""


def left_of(environ: WSGIEnvironment) -> Left | None:
    """Return what tells whether the client of a request has left; None where the server does not know.

    waitress knows, if ``channel_request_lookahead`` is more than 0. Other servers notice at the next event.
    """
    told = environ.get("waitress.client_disconnected")
    return told if callable(told) else None


class Departures:
    """Closes the streams of clients that have left, and keeps the chain from asking further models for them.

    WSGI tells of it only when something is written, and a model may think for a long time. A plugin of the chain.
    """

    def __init__(self) -> None:
        # Guards what follows; never held over I/O.
        self._lock = threading.Lock()
        self._streams: weakref.WeakKeyDictionary[Stream, Left | None] = weakref.WeakKeyDictionary()
        self._watcher: threading.Thread | None = None

    def context(self, left: Left | None) -> Mapping[str, Any]:
        """Return the context of a call for a client."""
        return {} if left is None else {_CONTEXT: left}

    def orfallback_admit(self, call: Call) -> None:
        """Ask nobody on behalf of a client that has left.

        :raises ClientLeft: if it has.
        """
        left: Left | None = call.context.get(_CONTEXT)
        if left is not None and left():
            raise ClientLeft

    def watch(self, stream: Stream, left: Left | None) -> None:
        """Close a stream once its client has left."""
        with self._lock:
            self._streams[stream] = left
            # One that a fork left behind is not alive in the child.
            if left is not None and (self._watcher is None or not self._watcher.is_alive()):
                self._watcher = threading.Thread(target=self._look, name="orfallback-departures", daemon=True)
                self._watcher.start()

    def forget(self, stream: Stream) -> None:
        """Look at a stream no more."""
        with self._lock:
            self._streams.pop(stream, None)

    def close(self) -> None:
        """Close every stream."""
        with self._lock:
            streams = [*self._streams]
        for stream in streams:
            stream.close()

    def _look(self) -> None:
        while True:
            time.sleep(_EVERY)
            with self._lock:
                watched = [(stream, left) for stream, left in self._streams.items() if left is not None]
                if not watched:
                    # Under the lock: whoever comes next makes another one.
                    self._watcher = None
                    return
            for stream, left in watched:
                if left():
                    self.forget(stream)
                    stream.close()
            # Not to be kept until the next look: dropping a stream closes it.
            del watched, stream, left
