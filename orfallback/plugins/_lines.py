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
# Lines that wait for the thread that writes to come back to itself.
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
        self._waiting: deque[bytes] = deque(maxlen=_MOST_WAITING)

    def add(self, line: bytes, patience: float) -> None:
        """Write a line, all of it or nothing.

        :param line: with its end.
        :param patience: the longest wait for other processes that write (s).
        :raises TimeoutError: if that was not enough.
        :raises OSError: if it cannot be written.
        """
        if self._turn.is_mine():
            # A signal handler, or the garbage collector, in the middle of a line of this very thread.
            self._waiting.append(line)
            return
        turn = self._take_turn()
        try:
            turn.is_of_this_thread()
            self._add(line, patience)
            while self._waiting:
                self._add(self._waiting.popleft(), patience)
        finally:
            turn.end()

    def _take_turn(self) -> _Turn:
        turn = self._turn
        if turn.pid == os.getpid() and turn.begin():
            return turn
        # Somebody was interrupted in it, or a thread of the parent's had it at the fork. The file is locked as well.
        turn = _Turn()
        turn.begin()
        self._turn = turn
        return turn

    def _add(self, line: bytes, patience: float) -> None:
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
    """Whose turn it is, among the threads of a process.

    :ivar pid: the process.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._lock = threading.Lock()
        self._whose: int | None = None

    def is_mine(self) -> bool:
        """Tell whether this thread has it."""
        return self._whose == threading.get_ident() and self.pid == os.getpid()

    def begin(self) -> bool:
        """Wait for it, and take it; False if that took too long."""
        return self._lock.acquire(timeout=_TURN)

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
