"""Follows a file of lines as ``tail -F`` does: through rotation, truncation, deletion, and half a line."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from orfallback.cli._top._scraping import Unread

#: So much is read of a file at once, at most; of more the end (bytes).
MOST = 16 * 1024 * 1024
# What is longer is no record (bytes).
_LONGEST_LINE = 4 * 1024 * 1024
# What is read first of the end of a file (bytes).
_END = 256 * 1024


class Tail:
    """The lines that are written to a file from now on, and those at its end that are young enough.

    :param path: the file; it may come later.
    :param old: whether a line is older than what is wanted; None if it says nothing of that.
    :ivar skipped: whether there was more than could be read since the last time.
    """

    def __init__(self, path: Path, old: Callable[[bytes], bool | None]) -> None:
        self._path = path
        self._old = old
        self._file: BinaryIO | None = None
        self._identity: tuple[int, int] | None = None
        self._rest = b""
        self._torn = False
        self._began = False
        self.skipped = False

    def read(self) -> list[bytes]:
        """Return the lines that have come since the last time.

        :raises Unread: if nothing has, and the file cannot be read now.
        """
        self.skipped = False
        lines: list[bytes] = []
        try:
            if self._file is not None:
                lines = self._drain(self._file)
            there = self._path.stat()
            if self._file is None or (there.st_dev, there.st_ino) != self._identity:
                lines += self._open()
        except OSError as error:
            if not lines:
                raise Unread(_why(error, began=self._began)) from None
        return lines

    def close(self) -> None:
        """Read no more."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> list[bytes]:
        """Begin with the file that is there now."""
        file = _opened(self._path)
        lines: list[bytes] = []
        if self._file is not None:
            # The last words, and what had no end, which will get none.
            lines = self._drain(self._file)
            lines += [self._rest] if self._rest else []
            self.close()
        status = os.fstat(file.fileno())
        self._file, self._identity = file, (status.st_dev, status.st_ino)
        self._rest, self._torn = b"", False
        if not self._began:
            lines += self._before() if self._seek_young(file) else []
        self._began = True
        return lines + self._drain(file)

    def _before(self) -> list[bytes]:
        """Return the young lines of the file that the first one was rotated from, if there is one."""
        # Beside the file itself, if this is a link to it.
        path = Path(os.path.realpath(self._path))
        older = Tail(path.with_name(f"{path.name}.1"), self._old)
        older._began = True
        try:
            older._file = _opened(older._path)
            older._seek_young(older._file)
            return older._drain(older._file)
        except (OSError, Unread):
            return []
        finally:
            older.close()

    def _seek_young(self, file: BinaryIO) -> bool:
        """Move to where the young lines begin, or a little before; tell whether all of the file is young."""
        size = os.fstat(file.fileno()).st_size
        back = _END
        while back < min(size, MOST):
            self._seek(file, size - back)
            block = file.read(min(back, _END)).split(b"\n")[1:-1]
            if any(map(self._old, block)):
                self._seek(file, size - back)
                return False
            back *= 2
        self._seek(file, max(size - MOST, 0))
        self.skipped = size > MOST
        if size > MOST:
            return False
        head = file.read(_END).split(b"\n")[:-1]
        file.seek(0)
        return not any(map(self._old, head))

    def _seek(self, file: BinaryIO, place: int) -> None:
        file.seek(place)
        self._rest, self._torn = b"", place > 0

    def _drain(self, file: BinaryIO) -> list[bytes]:
        """Return the whole lines behind the place where reading ended."""
        size = os.fstat(file.fileno()).st_size
        place = file.tell()
        if size < place:
            # Truncated: what is there now began at its beginning.
            self._seek(file, 0)
        elif size - place > MOST:
            self.skipped = True
            self._seek(file, size - MOST)
        pieces = [self._rest]
        left = MOST
        while left > 0 and (piece := file.read(min(left, 1024 * 1024))):
            pieces.append(piece)
            left -= len(piece)
        *lines, self._rest = b"".join(pieces).split(b"\n")
        if self._torn and lines:
            # The place was in the middle of a line.
            lines, self._torn = lines[1:], False
        if len(self._rest) > _LONGEST_LINE:
            self._rest, self._torn = b"", True
        return lines


def _opened(path: Path) -> BinaryIO:
    """Open a file for reading; nothing that could be waited for.

    :raises Unread: if it is none.
    """
    # The other end of a pipe may never be opened.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    number = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise Unread("is no file that can be followed")
    return os.fdopen(number, "rb", buffering=0)


def _why(error: OSError, *, began: bool) -> str:
    if isinstance(error, FileNotFoundError):
        return "is gone" if began else "does not exist yet"
    return f"cannot be read: {error.strerror or type(error).__name__}"
