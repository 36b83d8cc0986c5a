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
from typing import BinaryIO, cast

from orfallback._record import Record, from_line
from orfallback.cli._exits import SetupFailed

#: How stdin is called.
STDIN = "-"
# A record of a hundred attempts, each with all that it may say, is shorter (bytes).
_LONGEST_LINE = 4 * 1024 * 1024
_GZIP = b"\x1f\x8b"
# So many files of a log are open at a time; what is older than those is opened when it is read.
_AT_ONCE = 200
_STDIN = "stdin"
_MEND = "The plugin call-log writes one: ORFALLBACK_PLUGINS=call-log, ORFALLBACK_CALL_LOG=calls.jsonl; - reads stdin"


class Logs:
    """The calls of some logs and their rotated siblings (``.1``, ``.2.gz``), oldest first; for one pass, then closed.

    The newest files are opened at once, so that a rotation in the meantime neither loses a call nor doubles one.

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
        self._opened: dict[str, BinaryIO] = {}
        self._close = contextlib.ExitStack()
        with contextlib.ExitStack() as opening:
            opening.callback(self._close.close)
            self.files = [name for path in paths for name in self._log(path)]
            opening.pop_all()

    def __enter__(self) -> Logs:
        return self

    def __exit__(self, *_: object) -> None:
        self._close.close()

    def __iter__(self) -> Iterator[Record]:
        with self._close:
            for name in self.files:
                source = self._opened.pop(name, None) or self._open(name)
                if source is not None:
                    with source:
                        yield from self._records(name, source)

    def is_among(self, path: str) -> bool:
        """Tell whether a file is one of those that are read.

        :param path: of the file, which need not be there.
        """
        for name in self.files:
            with contextlib.suppress(OSError, ValueError):
                if Path(name).samefile(path):
                    return True
        return False

    def _log(self, path: str) -> list[str]:
        """Open what can be of a log and its siblings, and return the names of those not seen before, oldest first."""
        if path == STDIN:
            return self._stdin()
        siblings = _siblings(path)
        # Between a rotation and the next call there is no file of the log's own name.
        names = [path, *siblings]
        passed = {name for name in names[:_AT_ONCE] if not self._keep(name, needed=not siblings)}
        return [name for name in reversed(names) if name not in passed]

    def _keep(self, name: str, *, needed: bool) -> bool:
        source = self._open(name, needed=needed)
        if source is not None:
            self._opened[name] = self._close.enter_context(source)
        return source is not None

    def _stdin(self) -> list[str]:
        if sys.stdin is None:
            raise SetupFailed("stdin is closed", _MEND)
        if _STDIN in self._opened:
            return []
        self._opened[_STDIN] = sys.stdin.buffer
        return [_STDIN]

    def _open(self, name: str, *, needed: bool = False) -> BinaryIO | None:
        """Open a file; None if it was read before, or is gone, and not needed."""
        try:
            source = Path(name).open("rb")  # noqa: SIM115 - who asked for it closes it
            about = os.fstat(source.fileno())
        except FileNotFoundError:
            if not needed:
                return None
            raise SetupFailed(f"There is no file {name}", _MEND) from None
        except (OSError, ValueError) as error:
            raise SetupFailed(f"{name} cannot be read: {_told(error)}", _MEND) from None
        if stat.S_ISCHR(about.st_mode) and not source.isatty() and name != os.devnull:
            source.close()
            raise SetupFailed(f"{name} is a device", _MEND)
        if stat.S_ISREG(about.st_mode):
            if _identity(about) in self._seen:
                source.close()
                return None
            self._seen.add(_identity(about))
        return source

    def _records(self, name: str, source: BinaryIO) -> Iterator[Record]:
        try:
            for line in _lines(source):
                record = from_line(line)
                if record is not None:
                    self.calls += 1
                    yield record
                elif line.strip():
                    self.strange += 1
        except (EOFError, zlib.error, gzip.BadGzipFile):
            self.torn.append(name)
        except OSError as error:
            raise SetupFailed(f"{name} cannot be read: {_told(error)}", _MEND) from None


def _siblings(name: str) -> list[str]:
    """Return the paths of a log's rotated siblings, the newest first."""
    numbers: dict[int, str] = {}
    try:
        # Beside the file itself, if this is a link to it.
        path = Path(os.path.realpath(name))
        names = sorted(each.name for each in path.parent.iterdir())
    except (OSError, ValueError):
        return []
    for name in names:
        match = re.fullmatch(re.escape(path.name) + r"\.(\d{1,9})(\.gz)?", name)
        # Where both are there one is being made of the other: the first in order is the whole one.
        if match is not None and (path.parent / name).is_file():
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
