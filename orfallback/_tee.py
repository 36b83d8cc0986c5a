"""A body that is remembered while it is read."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import requests
from urllib3.response import BaseHTTPResponse

from orfallback._faults import WIRE_ERRORS


class Tee:
    """The body of a response, which keeps what is read of it until that is taken.

    :param response: its response, unread, or read by whoever made it.
    :param failed: told of what breaks the body off, before it is raised; returns whether that is for the application.
    :ivar error: what broke it off, as it was raised; None while it is whole, and where it is not for the application.
    :ivar ended: whether it was read to its end.
    :ivar held: whether it is to stay open when it is closed: somebody may read on.
    """

    def __init__(self, response: requests.Response, failed: Callable[[Exception], bool]) -> None:
        self._raw = response.raw
        self._read = _reader(response)
        self._failed = failed
        self._kept = bytearray()
        self.error: Exception | None = None
        self.ended = False
        self.held = False

    def read1(self, amt: int, decode_content: bool = True) -> bytes:
        """Read the next piece, as ``urllib3`` does, decoded."""
        try:
            piece = self._read(amt)
        except WIRE_ERRORS as error:
            if self._failed(error):
                self.error = error
            raise
        self._kept += piece
        self.ended = not piece
        return piece

    def take(self) -> bytes:
        """Return what was read since this was last asked for."""
        taken = bytes(self._kept)
        self._kept.clear()
        return taken

    def shutdown(self) -> None:
        """Wake a thread that reads."""
        self._raw.shutdown()

    def close(self) -> None:
        """Close the connection, unless it is held."""
        if not self.held and self._raw is not None:
            self._raw.close()

    def let_go(self) -> None:
        """Hold it no longer, and close it."""
        if self.held:
            self.held = False
            self.close()
            self.release_conn()

    def release_conn(self) -> None:
        """Give the connection back; one that is held would be taken for free, with half a body in it."""
        release = None if self.held else getattr(self._raw, "release_conn", None)
        if release is not None:
            release()


def _reader(response: requests.Response) -> Callable[[int], bytes]:
    """Return what reads a body piece by piece, each as soon as it is there."""
    # What an adapter has read stands in the response, and no longer on the socket.
    read_before, raw = response._content, response.raw
    if isinstance(raw, BaseHTTPResponse) and not isinstance(read_before, bytes):
        return _decoding(raw)
    if raw is None or isinstance(read_before, bytes):
        raw = io.BytesIO(read_before or b"")
    read1: Callable[[int], bytes] | None = getattr(raw, "read1", None)
    return read1 or _by_bytes(raw)


def _decoding(raw: BaseHTTPResponse) -> Callable[[int], bytes]:
    return lambda amt: raw.read1(amt, decode_content=True)


def _by_bytes(raw: Any) -> Callable[[int], bytes]:
    # A file of whatever kind would wait for as many as it is asked for.
    def read(_: int) -> bytes:
        piece: bytes = raw.read(1)
        return piece

    return read
