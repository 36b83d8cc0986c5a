"""The store of the processes of one host: a file."""

from __future__ import annotations

import functools
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from orfallback._clock import Clock, SystemClock
from orfallback.stores._forks import ForkGate
from orfallback.stores._store import PROBATION, TIMEOUT, StoreError, check_namespace, check_timeout, short

_T = TypeVar("_T")
# What says in the file's header that it is one of ours, and how it is laid out.
_APPLICATION, _VERSION = 0x6F726662, 1
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS rests (
        namespace TEXT NOT NULL, key TEXT NOT NULL, boot REAL NOT NULL, until REAL NOT NULL, claimed REAL NOT NULL,
        PRIMARY KEY (namespace, key)
    ) WITHOUT ROWID
"""
# Far more than there are models; each is some hundred bytes.
_MOST_KEYS = 10_000
# Among so many changes there is one that also looks for what is over.
_SWEEP = 64
# Keys in one query: old versions of SQLite take no more than 999 parameters.
_AT_ONCE = 500
# Connections kept; more than that are open only while so many threads are inside at once.
_KEPT = 8
# An instant of the monotonic clock that is over for every host.
_LONG_AGO = -1e12
# The wall clock is now and then put right by a second or so; a boot lies further from the next one (s).
_SAME_BOOT = 5.0
# One for all files: it is the library that has locks.
_GATE = ForkGate()


class _Connection(sqlite3.Connection):
    def __del__(self) -> None:
        # Python from 3.13 warns of one that is dropped open, also at the end of the interpreter.
        try:
            self.close()
        except sqlite3.ProgrammingError:
            # It never opened.
            pass


class _Opened:
    """The idle connections of one process to one file.

    They are kept without a lock, which a fork or an interruption could leave held.
    """

    def __init__(self, process: int, file: tuple[int, int]) -> None:
        self.process = process
        self.file = file
        self.idle: deque[_Connection] = deque()

    def take(self) -> _Connection | None:
        try:
            return self.idle.pop()
        except IndexError:
            return None

    def close(self) -> None:
        while connection := self.take():
            connection.close()


class SQLiteStore:
    """Keeps rests in a file, for the processes of one host. It pickles.

    The file is made where it is missing, for its owner alone. It is to be on a disk of this host, in a directory that
    exists. Instants are those of the host's monotonic clock, which all its processes share: setting its wall clock
    makes no rest longer. After a reboot everything is forgotten.

    :param path: of the file; a relative one is resolved now.
    :param namespace: keeps apart those who share the file.
    :param timeout: how long to wait for others who change the file, at each step (s).
    :param clock: for measuring; None is the machine's.
    :raises ValueError: if an argument makes no sense.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        namespace: str = "orfallback",
        timeout: float = TIMEOUT,
        clock: Clock | None = None,
    ) -> None:
        given = os.fspath(path)
        if not given or "\0" in given or given == ":memory:":
            raise ValueError("path must be that of a file; for the memory of one process there is MemoryStore")
        self._path = os.path.abspath(given)  # noqa: PTH100 - what was deleted is a path all the same
        self._namespace = check_namespace(namespace)
        self._timeout = check_timeout(timeout)
        self._clock = SystemClock() if clock is None else clock
        self._opened: _Opened | None = None
        self._inherited: list[_Opened] = []
        self._changes = 0

    def resting(self, keys: Sequence[str]) -> Mapping[str, float]:
        """Return how long each of some keys rests, in seconds."""
        names = {short(key): key for key in keys}
        if not names:
            return {}
        until = self._with(lambda connection: self._read(connection, list(names)))
        now = self._clock.monotonic()
        return {names[name]: at - now for name, at in until.items() if at - now > -PROBATION}

    def rest(self, key: str, seconds: float) -> None:
        """Let a key rest, and end the claim on it."""

        def change(connection: _Connection, now: float, until: float, claimed: float) -> None:
            self._write(connection, key, max(now + seconds, until), _LONG_AGO)

        self._change(key, change)

    def claim(self, key: str, lease: float) -> bool:
        """Let one caller probe a key."""

        def look(connection: _Connection) -> bool:
            return self._row(connection, key)[1] > self._clock.monotonic()

        # Most who come late are told so by a look, for which nobody has to wait.
        if self._with(look):
            return False

        def change(connection: _Connection, now: float, until: float, claimed: float) -> bool:
            if claimed > now:
                return False
            self._write(connection, key, until, now + lease)
            return True

        return self._change(key, change)

    def clear(self, key: str) -> None:
        """Forget a key, and the claim on it."""
        forget = "DELETE FROM rests WHERE namespace = ? AND key = ?"
        self._with(lambda connection: connection.execute(forget, (self._namespace, short(key))).close())

    def close(self) -> None:
        """Close the connections of this process that are idle; the next call opens one."""
        with _GATE:
            self._drop()

    def _drop(self) -> None:
        opened, self._opened = self._opened, None
        if opened is None:
            return
        if opened.process == os.getpid():
            opened.close()
        else:
            # A child closes nothing of its parent's.
            self._inherited.append(opened)

    def _read(self, connection: _Connection, names: list[str]) -> dict[str, float]:
        boot = self._boot()
        until: dict[str, float] = {}
        for first in range(0, len(names), _AT_ONCE):
            some = names[first : first + _AT_ONCE]
            marks = ",".join("?" * len(some))
            query = f"SELECT key, until FROM rests WHERE namespace = ? AND abs(boot - ?) < ? AND key IN ({marks})"  # noqa: S608 - marks alone
            until.update(connection.execute(query, (self._namespace, boot, _SAME_BOOT, *some)))
        return until

    def _row(self, connection: _Connection, key: str) -> tuple[float, float]:
        """Return until when a key rests, and until when it is claimed; instants long past where it does neither."""
        query = "SELECT until, claimed FROM rests WHERE namespace = ? AND key = ? AND abs(boot - ?) < ?"
        row = connection.execute(query, (self._namespace, short(key), self._boot(), _SAME_BOOT)).fetchone()
        return row or (_LONG_AGO, _LONG_AGO)

    def _write(self, connection: _Connection, key: str, until: float, claimed: float) -> None:
        values = self._namespace, short(key), self._boot(), until, claimed
        connection.execute("INSERT OR REPLACE INTO rests VALUES (?, ?, ?, ?, ?)", values)

    def _change(self, key: str, change: Callable[[_Connection, float, float, float], _T]) -> _T:
        """Change what is known of a key, while nobody else does.

        :param change: gets the instant, and until when the key rests and is claimed.
        """

        def locked(connection: _Connection) -> _T:
            connection.execute("BEGIN IMMEDIATE")
            until, claimed = self._row(connection, key)
            result = change(connection, self._clock.monotonic(), until, claimed)
            self._changes += 1
            if self._changes % _SWEEP == 0:
                self._sweep(connection)
            connection.execute("COMMIT")
            return result

        return self._with(locked)

    def _sweep(self, connection: _Connection) -> None:
        """Forget what is over, and of too many keys those that are over first."""
        now = self._clock.monotonic()
        over = "DELETE FROM rests WHERE until <= ? AND claimed <= ? OR abs(boot - ?) >= ?"
        connection.execute(over, (now - PROBATION, now, self._boot(), _SAME_BOOT))
        (count,) = connection.execute("SELECT count(*) FROM rests").fetchone()
        if count > _MOST_KEYS:
            first = """
                DELETE FROM rests WHERE (namespace, key) IN (SELECT namespace, key FROM rests ORDER BY until LIMIT ?)
            """
            connection.execute(first, (count - _MOST_KEYS,))

    def _boot(self) -> float:
        """Return when the monotonic clock began, by the wall clock: instants of another one mean nothing."""
        return self._clock.time() - self._clock.monotonic()

    def _with(self, work: Callable[[_Connection], _T]) -> _T:
        """Work with a connection that is nobody else's meanwhile.

        :raises StoreError: if it cannot be done, or not in time.
        """
        try:
            with _GATE:
                opened = self._here()
                connection = opened.take() or self._connect()
                try:
                    result = work(connection)
                except BaseException:
                    # It may be in the middle of a change.
                    connection.close()
                    raise
                if len(opened.idle) < _KEPT and opened is self._opened:
                    opened.idle.append(connection)
                else:
                    connection.close()
                return result
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self._path}: {error}") from error

    def _here(self) -> _Opened:
        """Return this process's connections to what is at the path now."""
        process, opened = os.getpid(), self._opened
        try:
            status = os.stat(self._path)  # noqa: PTH116 - a microsecond or ten
        except FileNotFoundError:
            _create(self._path)
            status = os.stat(self._path)  # noqa: PTH116
        file = status.st_dev, status.st_ino
        if opened is not None and opened.process == process and opened.file == file:
            return opened
        self._drop()
        self._opened = opened = _Opened(process, file)
        return opened

    def _connect(self) -> _Connection:
        connection = sqlite3.connect(
            self._path, timeout=self._timeout, isolation_level=None, check_same_thread=False, factory=_Connection
        )
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: _Connection) -> None:
        if _layout(connection) != (_APPLICATION, _VERSION):
            connection.execute("BEGIN IMMEDIATE")
            found = _layout(connection)
            if found == (0, 0) and connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
                connection.execute(_SCHEMA)
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")
            elif found != (_APPLICATION, _VERSION):
                raise StoreError(f"{self._path}: a database of something else, or of another version of orfallback")
            connection.execute("COMMIT")
        # Not WAL: it shares memory between connections, which a child that outlives its parent would use unguarded.
        connection.execute("PRAGMA journal_mode = PERSIST").close()
        connection.execute("PRAGMA synchronous = OFF")

    def __repr__(self) -> str:
        return f"SQLiteStore({self._path!r})"

    def __reduce__(self) -> tuple[Callable[[], SQLiteStore], tuple[()]]:
        settings = {"namespace": self._namespace, "timeout": self._timeout, "clock": self._clock}
        return functools.partial(SQLiteStore, self._path, **settings), ()  # type: ignore[arg-type]  # of three types


def _layout(connection: _Connection) -> tuple[int, int]:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return application, version


def _create(path: str) -> None:
    """Make an empty file that is for its owner alone."""
    try:
        # It opens nothing: to close a descriptor would end the locks that other threads hold on the file.
        os.mknod(path, 0o600)
    except FileExistsError:
        pass
    except (AttributeError, PermissionError):
        # Windows has none; elsewhere it may be for root alone.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
