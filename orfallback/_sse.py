"""Server-sent events out of bytes. sseclient-py frames them; what it cannot stand is kept from it here.

sseclient-py 1.9 loses the first event after a byte order mark, merges events whose line ends are mixed, raises
UnicodeDecodeError on one bad byte, hands on an unfinished last event as if it were whole, and is quadratic in the
lines of an event. So it is fed nothing but whole, valid blocks with LF line ends.
Source of the rules: WHATWG HTML, section 9.2.6 "Interpreting an event stream".
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator
from typing import Protocol

import sseclient

_BOM = b"\xef\xbb\xbf"
#: More lines than any real event has; sseclient-py is quadratic in them.
MAX_LINES = 1_000


class Event(Protocol):
    """One event, as sseclient-py makes it."""

    event: str
    data: str


class EventTooLarge(ValueError):
    """An event is larger than the limit, or has more than 1,000 lines."""


class Blocks:
    """Turns pieces of bytes, cut anywhere, into whole blocks of lines, each ended by a blank line.

    Works in linear time. A last block without its blank line is dropped, as the standard says: it was cut. How the
    bytes were cut makes no difference, not even to the byte with which an event is too large.

    :param chunks: the bytes as they come.
    :param limit: the most bytes that one event may have: those since the last blank line, a CRLF counted as one.
    :ivar comments: how many comment lines came by.
    """

    def __init__(self, chunks: Iterable[bytes], limit: int) -> None:
        self._chunks = chunks
        self._limit = limit
        self.comments = 0

    def __iter__(self) -> Generator[bytes, None, None]:
        splitter = _Splitter()
        block: list[bytes] = []
        size = 0
        for chunk in self._chunks:
            if not size and len(chunk) <= self._limit and splitter.needs_not(chunk):
                yield _valid(chunk)
                continue
            done: list[bytes] = []
            for line in splitter.split(chunk):
                if not line:
                    if block:
                        done += block
                        done.append(b"")
                        block = []
                    size = 0
                    continue
                size += len(line) + 1
                if line.startswith(b":"):
                    self.comments += 1
                else:
                    block.append(line)
                if size > self._limit or len(block) > MAX_LINES:
                    break
            if done:
                done.append(b"")
                yield _valid(b"\n".join(done))
            # Raised after the whole events before it have been handed on.
            self._check(len(block), size, len(splitter.rest))

    def _check(self, lines: int, size: int, rest: int) -> None:
        if lines > MAX_LINES and size <= self._limit:
            raise EventTooLarge(f"an event has more than {MAX_LINES} lines")
        if size + rest > self._limit:
            raise EventTooLarge(f"an event is larger than {self._limit} bytes")


class _Splitter:
    """Turns pieces of bytes, cut anywhere, into whole lines, whatever ends them; a byte order mark is taken off.

    :ivar rest: as much as there is of the line that is not whole yet.
    """

    def __init__(self) -> None:
        # Not in pieces, which may be of one byte each.
        self.rest = bytearray()
        self._first = True
        self._after_cr = False

    def needs_not(self, chunk: bytes) -> bool:
        """Tell whether a chunk is one event of one line, as most come, so that there is nothing to take apart."""
        return (
            chunk.endswith(b"\n\n")
            and chunk.startswith(b"data:")
            and chunk.count(b"\n") == 2
            and b"\r" not in chunk
            and not self.rest
            and not self._first
            and not self._after_cr
        )

    def split(self, chunk: bytes) -> list[bytes]:
        """Return the lines that a chunk completes."""
        rest = self.rest
        if self._first and chunk:
            # A mark cut in two by the first read is put together before it is looked for.
            chunk = bytes(rest) + chunk
            rest.clear()
            if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
                rest += chunk
                return []
            self._first = False
            chunk = chunk.removeprefix(_BOM)
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        head, *lines = chunk.split(b"\n")
        if lines:
            rest += head
            lines.insert(0, bytes(rest))
            rest.clear()
            head = lines.pop()
        rest += head
        return lines


def _valid(block: bytes) -> bytes:
    try:
        block.decode()
    except UnicodeDecodeError:
        return block.decode(errors="replace").encode()
    return block


def iter_events(blocks: Iterable[bytes]) -> Iterator[Event]:
    """Yield the events of whole blocks, each as soon as its block is there.

    :param blocks: what :class:`Blocks` yields.
    """
    events: Iterator[Event] = _Client(iter(blocks)).events()
    return events


class _Client(sseclient.SSEClient):
    """sseclient-py's, which logs what a server sent to the logger of the module that its class is of: to ours."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        super().__init__(blocks)
        self._blocks = blocks

    def _read(self) -> Iterator[bytes]:
        """Yield block by block. What it is fed here is whole blocks: it need not look for their ends line by line."""
        for blocks in self._blocks:
            yield from blocks.split(b"\n\n")[:-1]


def _silence(logger: logging.Logger) -> None:
    logger.disabled = True
    # An application that configures its logging by a dict enables every logger that there is; filters it leaves alone.
    logger.addFilter(lambda _: False)


# Nobody is to read in a log what a server sent: it may have been the prompt.
_silence(logging.getLogger(_Client.__module__))
