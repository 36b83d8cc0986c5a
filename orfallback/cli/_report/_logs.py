"""Which files a call log is made of, and the calls in them: the oldest first, whatever else stands there."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import re
import stat
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from orfallback._record import Record, from_line
from orfallback.cli._exits import SetupFailed

#: How stdin is called.
STDIN = "-"
# A record of a hundred attempts, each with all that it may say, is shorter (bytes).
_LONGEST_LINE = 4 * 1024 * 1024
_GZIP = b"\x1f\x8b"
_MEND = "Name the file that the plugin call-log writes; - reads stdin"


class _Opened(NamedTuple):
    """A file that is to be read.

    :ivar name: its path, or how stdin is called.
    :ivar source: what is in it.
    """

    name: str
    source: BinaryIO


class Logs:
    """The calls of some logs and their rotated siblings (``.1``, ``.2.gz``), oldest first; for one pass, then closed.

    Files are opened at once, the newest first, so that a rotation in the meantime neither loses a call nor doubles one.

    :param paths: of the logs; ``-`` is stdin.
    :ivar files: the names of those that are read, in order.
    :ivar calls: how many there were so far.
    :ivar strange: how many lines were no record so far.
    :ivar torn: the names of those whose compressed content broke off.
    :raises SetupFailed: for one that is not there, or cannot be read.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.calls = 0
        self.strange = 0
        self.torn: list[str] = []
        self._seen: set[tuple[int, int]] = set()
        self._close = contextlib.ExitStack()
        with contextlib.ExitStack() as opening:
            opening.callback(self._close.close)
            self._opened = [opened for path in paths for opened in self._log(path)]
            opening.pop_all()
        self.files = [opened.name for opened in self._opened]

    def __enter__(self) -> Logs:
        return self

    def __exit__(self, *_: object) -> None:
        self._close.close()

    def __iter__(self) -> Iterator[Record]:
        with self._close:
            for opened in self._opened:
                yield from self._records(opened)

    def is_among(self, path: str) -> bool:
        """Tell whether a file is one of those that are read.

        :param path: of the file, which need not be there.
        """
        with contextlib.suppress(OSError, ValueError):
            return _identity(Path(path).stat()) in self._seen
        return False

    def _log(self, path: str) -> list[_Opened]:
        """Open a log and its siblings, and return those not opened before, the oldest first."""
        if path == STDIN:
            return [_Opened("stdin", sys.stdin.buffer)]
        siblings = _siblings(Path(path))
        names = [path, *siblings] if os.path.lexists(path) or not siblings else siblings
        opened = [each for each in map(self._open, names) if each is not None]
        return opened[::-1]

    def _open(self, name: str) -> _Opened | None:
        try:
            source = self._close.enter_context(Path(name).open("rb"))  # noqa: SIM115 - what it is entered into closes it
            about = os.fstat(source.fileno())
        except FileNotFoundError:
            raise SetupFailed(f"There is no file {name}", _MEND) from None
        except (OSError, ValueError) as error:
            raise SetupFailed(f"{name} cannot be read: {_told(error)}", _MEND) from None
        if stat.S_ISCHR(about.st_mode) and not source.isatty() and name != os.devnull:
            raise SetupFailed(f"{name} is a device", _MEND)
        if stat.S_ISREG(about.st_mode):
            if _identity(about) in self._seen:
                return None
            self._seen.add(_identity(about))
        return _Opened(name, source)

    def _records(self, opened: _Opened) -> Iterator[Record]:
        try:
            for line in _lines(opened.source):
                record = from_line(line)
                if record is not None:
                    self.calls += 1
                    yield record
                elif line.strip():
                    self.strange += 1
        except (EOFError, zlib.error, gzip.BadGzipFile):
            self.torn.append(opened.name)
        except OSError as error:
            raise SetupFailed(f"{opened.name} cannot be read: {_told(error)}", _MEND) from None


def _siblings(path: Path) -> list[str]:
    """Return the paths of a log's rotated siblings, the newest first."""
    numbers: dict[int, str] = {}
    try:
        names = sorted(each.name for each in path.parent.iterdir())
    except (OSError, ValueError):
        return []
    for name in names:
        match = re.fullmatch(re.escape(path.name) + r"\.(\d{1,9})(\.gz)?", name)
        # Where both are there one is being made of the other: the first in order is the whole one.
        if match is not None:
            numbers.setdefault(int(match[1]), str(path.parent / name))
    return [numbers[number] for number in sorted(numbers)]


def _lines(source: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file, which may be compressed; one that is too long as an empty record."""
    buffered = source if isinstance(source, io.BufferedReader) else io.BufferedReader(_raw(source))
    unpacked = gzip.GzipFile(fileobj=buffered) if buffered.peek(len(_GZIP)).startswith(_GZIP) else buffered
    while line := unpacked.readline(_LONGEST_LINE):
        if len(line) < _LONGEST_LINE or line.endswith(b"\n"):
            yield line
            continue
        while (rest := unpacked.readline(_LONGEST_LINE)) and not rest.endswith(b"\n"):
            pass
        yield b"{}\n"


def _raw(source: BinaryIO) -> io.RawIOBase:
    return cast("io.RawIOBase", source)


def _identity(about: os.stat_result) -> tuple[int, int]:
    return about.st_dev, about.st_ino


def _told(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
