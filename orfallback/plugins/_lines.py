"""A file of lines that threads and processes write together, and that does not grow without end."""

from __future__ import annotations

import io
import os
import random
import stat
import threading
import time
from collections import deque
from pathlib import Path

try:
    from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock

    _SHARED = True
except ImportError:
    # Windows: threads take turns, processes do not.
    _SHARED = False

# For its owner alone, unless somebody made it otherwise.
_MODE = 0o600
# A pipe or a device in the file's place is not waited for.
_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
# The longest that the threads of a process wait for each other (s): one of them may have been interrupted in its turn.
_TURN = 1.0
# Lines that wait for a file that is not free: a disk that stands still, a process that was stopped as it wrote.
_MOST_WAITING = 1_000
# Between two tries for the file that another process holds (s): whoever writes has it for some microseconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0001, 0.005


class LineFile:
    """A file that is opened, locked, written and closed for each line, so that nothing is held between two.

    The threads of a process take turns, and processes lock the file. What was moved or deleted meanwhile is made anew;
    a line that a process left unfinished as it was killed is ended. A full file becomes ``<path>.1``, that one
    ``<path>.2``, and so on.

    :param path: the file; its directory exists.
    :param most_bytes: the longest it gets; no line is longer.
    :param kept: how many full ones are kept.
    """

    def __init__(self, path: Path, most_bytes: int, kept: int) -> None:
        # A host may change its directory later on; and behind a link is where the full ones belong.
        self.path = path.resolve()
        self._most_bytes = most_bytes
        self._kept = kept
        self._turn = _Turn()

    def add(self, line: bytes, patience: float) -> None:
        """Write a line, all of it or nothing; one for which the file is not free in time is written with the next.

        :param line: with its end.
        :param patience: the longest wait for others that write (s).
        :raises TimeoutError: if that was not enough.
        :raises OSError: if it cannot be written, or one before it that waited.
        """
        turn = self._turn_of_this_process()
        turn.waiting.append(line)
        if turn.is_mine():
            # A signal handler, or the garbage collector, in the middle of a line of this very thread.
            return
        written = turn.written
        if not turn.begin(_TURN):
            turn = self._turn_after(turn, written)
            if not turn.begin(0):
                # Whoever has it writes this one, too.
                return
        mine = True
        while mine:
            try:
                turn.is_of_this_thread()
                self._write_all(turn, patience)
            finally:
                turn.end()
            # One that came between the last look and the end saw the turn taken, and relies on it.
            mine = bool(turn.waiting) and turn.begin(0)

    def _turn_of_this_process(self) -> _Turn:
        turn = self._turn
        if turn.pid != os.getpid():
            # A thread of the parent's may have had it at the fork; what waits there, the parent writes.
            turn = self._turn = _Turn()
        return turn

    def _turn_after(self, turn: _Turn, written: int) -> _Turn:
        """Return the turn to take after one was waited for in vain; so many lines had been written in it before."""
        if self._turn is turn and turn.written == written:
            # Somebody was interrupted in it, or the disk stands still. The file is locked as well.
            self._turn = _Turn(turn.waiting)
        return self._turn

    def _write_all(self, turn: _Turn, patience: float) -> None:
        """Write the lines that wait, the oldest first."""
        while True:
            try:
                line = turn.waiting.popleft()
            except IndexError:
                return
            try:
                self._write(line, patience)
            except TimeoutError:
                if len(turn.waiting) < _MOST_WAITING:
                    turn.waiting.appendleft(line)
                raise
            turn.written += 1

    def _write(self, line: bytes, patience: float) -> None:
        until = time.monotonic() + patience
        pause = _FIRST_PAUSE
        while (written := self._try(line)) is not True:
            if written is None:
                continue
            if time.monotonic() >= until:
                raise TimeoutError(f"somebody else holds {str(self.path)!r} for longer than {patience:g} s")
            # At random, or those who wait come back together.
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - it keeps no secret
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _try(self, line: bytes) -> bool | None:
        """Write a line; False if somebody else has the file, or has moved it; None if it was full and is a new one."""
        with io.FileIO(self.path, "a+", opener=_open) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise OSError(f"{str(self.path)!r} is no file")
            if not self._lock(file):
                return False
            try:
                # Only now does it stay as it is.
                found = os.fstat(file.fileno())
                if not self._is_ours(found):
                    return False
                # One byte may be needed to end a torn line.
                if found.st_size and found.st_size + len(line) >= self._most_bytes:
                    self._rotate(file, stat.S_IMODE(found.st_mode))
                    return None
                _append(file, found.st_size, line)
                return True
            finally:
                self._unlock(file)

    def _lock(self, file: io.FileIO) -> bool:
        if not _SHARED:
            return True
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(self, file: io.FileIO) -> None:
        if _SHARED:
            # Closing it is not enough: a process that was forked just now has it open, too.
            flock(file, LOCK_UN)

    def _is_ours(self, found: os.stat_result) -> bool:
        """Tell whether an open file is the one at the path: somebody may have moved it away."""
        try:
            return os.path.samestat(found, self.path.stat())
        except FileNotFoundError:
            return False

    def _rotate(self, file: io.FileIO, mode: int) -> None:
        """Move the full files on by one, and begin a new one with the mode of the last."""
        if not _SHARED:
            # Windows moves no file that is open.
            file.close()
        old = [self.path, *(self.path.with_name(f"{self.path.name}.{number}") for number in range(1, self._kept + 1))]
        # One that is missing takes in those before it; of a whole row the last one goes.
        last = next((number for number, path in enumerate(old) if number and not path.exists()), self._kept)
        for number in range(last, 0, -1):
            old[number - 1].replace(old[number])
        if not last:
            self.path.unlink()
        with io.FileIO(self.path, "a", opener=_open):
            pass
        try:
            self.path.chmod(mode)
        except PermissionError:
            # Another user's process was faster, who will have it so.
            return

    def __repr__(self) -> str:
        return f"LineFile({str(self.path)!r})"


class _Turn:
    """Whose turn it is, among the threads of a process, and what they wait to write.

    :param waiting: the lines of the turn that it stands in for; None is none yet.
    :ivar pid: the process.
    :ivar waiting: the lines that are not written yet; of too many the oldest goes.
    :ivar written: how many lines were written in it.
    """

    def __init__(self, waiting: deque[bytes] | None = None) -> None:
        self.pid = os.getpid()
        self.waiting: deque[bytes] = deque(maxlen=_MOST_WAITING) if waiting is None else waiting
        self.written = 0
        self._lock = threading.Lock()
        self._whose: int | None = None

    def is_mine(self) -> bool:
        """Tell whether this thread has it."""
        return self._whose == threading.get_ident() and self.pid == os.getpid()

    def begin(self, patience: float) -> bool:
        """Wait for it (s), and take it; False if that took too long."""
        return self._lock.acquire(timeout=patience)

    def is_of_this_thread(self) -> None:
        """Say whose it is now: not when it is taken, for an interruption could strike before it can be left."""
        self._whose = threading.get_ident()

    def end(self) -> None:
        """Leave it to the next."""
        self._whose = None
        self._lock.release()


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | _FLAGS, _MODE)


def _append(file: io.FileIO, size: int, line: bytes) -> None:
    """Write a line behind what is there, which is so long."""
    if size:
        file.seek(size - 1)
        if file.read(1) != b"\n":
            # Somebody was killed in the middle of one.
            line = b"\n" + line
    try:
        while line:
            line = line[file.write(line) :]
    except BaseException:
        # A disk that is nearly full took a part of it.
        file.truncate(size)
        raise
