"""Stores that processes share, and what a store costs that is down."""

from __future__ import annotations

import json
import logging
import os
import pickle
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest
import trustme
from hosting import APPS, found, run
from redis_servers import RedisServer, redis_server

from orfallback import MemoryStore, RedisStore, SQLiteStore, Store, StoreError
from orfallback.stores import Guarded
from orfallback.testing import FakeClock

# A busy machine is to fail no test here (s).
_PATIENCE = 10.0
#: What a store that is down may add to a call: ten times what is promised, for a busy machine (s).
_AT_MOST = 0.1


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that a test may kill."""
    with redis_server(tmp_path) as running:
        yield running


@pytest.fixture(params=["sqlite", "redis"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store is that processes can share."""
    if request.param == "sqlite":
        return str(tmp_path / "store")
    server: RedisServer = request.getfixturevalue("server")
    return server.url


def test_four_processes_claim(shared: str) -> None:
    """Of four processes that claim the same keys at once exactly one gets each."""
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, str(APPS / "storing.py"), "claim", shared],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                )
            )
            for _ in range(4)
        ]  # fmt: skip
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        results = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert sorted(number for result in results for number in result) == list(range(50))


def test_a_second_process(shared: str) -> None:
    """What one process found busy another knows at once."""
    found("storing.py", "find_busy", shared)
    assert found("storing.py", "look", shared) == ["busy"]


def test_a_process_that_is_killed(shared: str) -> None:
    """A process that is killed with a claim holds it until the lease is over, and no longer."""
    died = run("storing.py", "die", shared)
    assert died.returncode == -9
    claimed, at = json.loads(died.stdout)
    assert claimed is True
    with closing(_store(shared)) as store:
        while not store.claim("a", 300):
            assert time.time() - at < 1 + _PATIENCE
            time.sleep(0.01)
        # The clocks that count the lease and this one tick apart by a little.
        assert time.time() - at > 0.95


def _store(where: str) -> SQLiteStore | RedisStore:
    return RedisStore(where, timeout=_PATIENCE) if where.startswith("redis:") else SQLiteStore(where, timeout=_PATIENCE)


def test_a_used_store_over_a_fork(shared: str) -> None:
    """Parent and children share what they learn, one of them gets a claim, and none disturbs another's connection."""
    assert found("storing.py", "fork", shared) == [[0], 1, ["child", "parent"], ["child", "parent"]]


def test_forks_among_threads(shared: str) -> None:
    """A fork while threads are inside of the store holds up no child, and the parent goes on."""
    assert found("storing.py", "fork_among_threads", shared) == [[], ["a"]]


def test_an_orphan(shared: str) -> None:
    """A child goes on with a store whose parent has closed it, while others open and close it."""
    assert found("storing.py", "orphan", shared) == [0, ["a", "b"]]


@pytest.mark.parametrize("flags", [(), ("-W", "error", "-X", "dev")], ids=["plain", "warnings as errors"])
def test_the_end_of_the_interpreter(flags: tuple[str, ...], shared: str) -> None:
    """A store that nobody closes neither holds the end up nor adds a word to it."""
    ran = run("storing.py", "leave", shared, flags=flags)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "null\n", "")


def test_a_full_disk(tmp_path: Path) -> None:
    """A disk that is full is a store that is down, and one that has room again is used again."""
    assert found("storing.py", "full", str(tmp_path / "store")) == [True, ["a"]]


def test_a_file_that_cannot_be_written() -> None:
    """A file that may only be read is a store that is down, until it may be written again."""
    # Where any user can look, unlike in pytest's own.
    with tempfile.TemporaryDirectory() as folder:
        assert found("storing.py", "read_only", str(Path(folder) / "store")) == [True, ["a", "b"]]


def _spoil(path: Path) -> None:
    path.write_bytes(b"\0" * 100 + os.urandom(10_000))


def _text(path: Path) -> None:
    path.write_text("no database " * 1_000)


def _cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(4_096)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _lost(path: Path) -> None:
    shutil.rmtree(path.parent)


def _other(path: Path) -> None:
    import sqlite3

    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (a)")


@pytest.mark.parametrize("fault", [_spoil, _text, _cut, _directory, _lost, _other])
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_a_file_that_is_spoilt(fault: Callable[[Path], None], warm: bool, tmp_path: Path) -> None:
    """Whatever is wrong with a file is a store that is down; it works again when the file is good, or gone."""
    path = tmp_path / "folder" / "store"
    path.parent.mkdir()
    with closing(SQLiteStore(path, timeout=_PATIENCE)) as store, closing(SQLiteStore(path)) as other:
        other.rest("a", 300)
        other.close()
        if warm:
            store.rest("a", 300)
        fault(path)
        for work in (lambda: store.rest("b", 1), lambda: store.resting(["a"]), lambda: store.claim("a", 1)):
            with pytest.raises(StoreError, match=re.escape(str(path))):
                work()
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir()
        store.rest("a", 300)
        assert set(store.resting(["a"])) == {"a"}
        assert set(other.resting(["a"])) == {"a"}


def test_a_database_of_somebody_else(tmp_path: Path) -> None:
    """A database that is not the store's is left as it is."""
    path = tmp_path / "theirs"
    path.touch()
    _other(path)
    before = path.read_bytes()
    with closing(SQLiteStore(path)) as store, pytest.raises(StoreError, match="a database of something else"):
        store.rest("a", 1)
    assert path.read_bytes() == before


def test_a_file_that_is_replaced(tmp_path: Path) -> None:
    """Who deletes the file makes everybody forget, and all of them share the new one."""
    path = tmp_path / "store"
    with closing(SQLiteStore(path, timeout=_PATIENCE)) as one, closing(SQLiteStore(path, timeout=_PATIENCE)) as other:
        one.rest("a", 300)
        assert set(other.resting(["a"])) == {"a"}
        path.unlink()
        other.rest("b", 300)
        assert set(one.resting(["a", "b"])) == {"b"}


def test_a_file_that_is_locked(tmp_path: Path) -> None:
    """Somebody who keeps the file to himself is waited for some milliseconds, and works on undisturbed."""
    path = tmp_path / "store"
    with closing(SQLiteStore(path)) as store, closing(SQLiteStore(path, timeout=_PATIENCE)) as holder:
        holder.rest("a", 300)
        connection = holder._connect()
        connection.execute("BEGIN EXCLUSIVE")
        for work in (lambda: store.resting(["a"]), lambda: store.rest("a", 1), lambda: store.claim("a", 1)):
            assert timed(partial(refused, work)) < _AT_MOST
        connection.execute("ROLLBACK")
        connection.close()
        assert set(store.resting(["a"])) == {"a"}


def refused(work: Callable[[], object]) -> None:
    """Do what a store that is down does not do."""
    with pytest.raises(StoreError):
        work()


def timed(work: Callable[[], object]) -> float:
    """Return how long it takes (s)."""
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


def every(store: Store) -> list[float]:
    """Return how long each kind of call takes, as a call to a model makes them (s)."""
    return [
        timed(lambda: store.resting(["a", "b"])),
        timed(lambda: store.rest("a", 300)),
        timed(lambda: store.claim("a", 300)),
        timed(lambda: store.clear("b")),
    ]


def levels(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the levels of what was told of the store."""
    return [record.levelname for record in caplog.records if record.name == "orfallback"]


def test_a_server_that_is_killed(server: RedisServer, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """A server that is killed in mid-run costs some milliseconds once, is told of once, and is used when it is back."""
    caplog.set_level(logging.INFO, "orfallback")
    # The server is given time: what is measured is one that is gone.
    with closing(RedisStore(server.url, timeout=_PATIENCE)) as store, closing(RedisStore(server.url)) as other:
        guarded = Guarded(store, clock)
        guarded.rest("known", 300)
        server.kill()
        assert max(every(guarded)) < _AT_MOST
        for _ in range(10):
            assert max(every(guarded)) < _AT_MOST
            # It is tried again, and still down.
            clock.advance(6)
        assert levels(caplog) == ["WARNING"]
        assert str(server.port) in caplog.text
        assert set(guarded.resting(["known", "a", "b"])) == {"known", "a"}

        server.start()
        guarded.resting(["a"])
        # Left alone until its time comes.
        assert levels(caplog) == ["WARNING"]
        clock.advance(6)
        guarded.rest("new", 300)
        assert levels(caplog) == ["WARNING", "INFO"]
        assert set(guarded.resting(["known", "new"])) == {"new"}
        with closing(RedisStore(server.url, timeout=_PATIENCE)) as other:
            assert set(other.resting(["new"])) == {"new"}


def test_a_connection_that_the_server_closed(server: RedisServer) -> None:
    """A server that was started again between two calls is down for neither of them."""
    with closing(RedisStore(server.url, timeout=_PATIENCE)) as store:
        store.rest("a", 300)
        server.kill()
        server.start()
        assert store.resting(["a"]) == {}


def test_a_server_that_never_answers(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """A server that takes connections and says nothing is waited for some milliseconds, and then left alone."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}"
        with closing(RedisStore(url)) as store:
            assert timed(lambda: refused(lambda: store.resting(["a"]))) < _AT_MOST
            guarded = Guarded(store, clock)
            assert max(every(guarded)) < _AT_MOST
            # Once, by the warning: what follows does not even try.
            assert max(every(guarded)) < _AT_MOST
    assert levels(caplog) == ["WARNING"]


def test_tls(tmp_path: Path) -> None:
    """A server is reached over TLS, and one whose certificate nobody vouches for is none."""
    authority, issued = trustme.CA(), None
    issued = authority.issue_cert("127.0.0.1")
    files = {name: tmp_path / name for name in ("key", "certificate", "authority")}
    issued.private_key_pem.write_to_path(files["key"])
    issued.cert_chain_pems[0].write_to_path(files["certificate"])
    authority.cert_pem.write_to_path(files["authority"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--tls-port", str(port), "--tls-key-file", str(files["key"]), "--tls-auth-clients", "no"]
    options += ["--tls-cert-file", str(files["certificate"]), "--tls-ca-cert-file", str(files["authority"])]
    with redis_server(tmp_path, *options):
        url = f"rediss://127.0.0.1:{port}/0"
        with closing(RedisStore(f"{url}?ssl_ca_certs={files['authority']}", timeout=_PATIENCE)) as store:
            assert store.claim("a", 300) is True
            assert store.claim("a", 300) is False
        with closing(RedisStore(url, timeout=_PATIENCE)) as store:
            refused(lambda: store.claim("a", 300))


class Failing:
    """A store that does as it is told.

    :ivar error: what it raises, if anything.
    :ivar asked: how often it was asked.
    :ivar inside: what is done in mid-call.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.memory = MemoryStore(clock)
        self.error: BaseException | None = None
        self.asked = 0
        self.inside: Callable[[], object] = lambda: None

    def _fail(self) -> None:
        self.asked += 1
        self.inside()
        if self.error is not None:
            raise self.error

    def resting(self, keys: Sequence[str]) -> Mapping[str, float]:
        """Say who rests."""
        self._fail()
        return self.memory.resting(keys)

    def rest(self, key: str, seconds: float) -> None:
        """Let one rest."""
        self._fail()
        self.memory.rest(key, seconds)

    def claim(self, key: str, lease: float) -> bool:
        """Claim one."""
        self._fail()
        return self.memory.claim(key, lease)

    def clear(self, key: str) -> None:
        """Clear one."""
        self._fail()
        self.memory.clear(key)


@pytest.fixture
def failing(clock: FakeClock) -> Failing:
    """A store that does as it is told."""
    return Failing(clock)


def test_a_store_that_is_up(failing: Failing, clock: FakeClock) -> None:
    """What the shared store says holds, and not what this process thinks."""
    guarded = Guarded(failing, clock)
    guarded.rest("a", 300)
    failing.memory.clear("a")
    failing.memory.rest("b", 300)
    assert set(guarded.resting(["a", "b"])) == {"b"}
    failing.memory.claim("b", 300)
    assert guarded.claim("b", 300) is False


@pytest.mark.parametrize("error", [StoreError("slow"), OSError("no route"), TimeoutError()])
def test_a_store_that_is_down(
    error: Exception, failing: Failing, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """While the store is down this process knows what it learnt by itself, claims included."""
    guarded = Guarded(failing, clock, retry=5)
    guarded.rest("before", 300)
    assert guarded.claim("claimed", 300) is True
    failing.error = error
    guarded.rest("since", 300)
    assert guarded.resting(["before", "since"]) == {"before": 300, "since": 300}
    assert guarded.claim("claimed", 300) is False
    assert guarded.claim("other", 300) is True
    guarded.clear("before")
    assert set(guarded.resting(["before", "since"])) == {"since"}
    assert failing.asked == 3
    assert levels(caplog) == ["WARNING"]
    assert caplog.text.strip()[-1] != ":"


def test_when_a_store_is_tried_again(failing: Failing, clock: FakeClock) -> None:
    """A store that failed is left alone for some seconds, each time anew."""
    guarded = Guarded(failing, clock, retry=5)
    failing.error = StoreError()
    for tried in range(1, 4):
        guarded.resting(["a"])
        assert failing.asked == tried
        clock.advance(4.9)
        guarded.resting(["a"])
        assert failing.asked == tried
        clock.advance(0.2)


def test_a_store_that_fails_slowly(failing: Failing, clock: FakeClock) -> None:
    """Waiting for a store that takes long to fail is at most a hundredth of the time, and never given up."""
    guarded = Guarded(failing, clock, retry=5)
    failing.error, failing.inside = StoreError(), lambda: clock.advance(2)
    guarded.resting(["a"])
    clock.advance(199)
    guarded.resting(["a"])
    assert failing.asked == 1
    clock.advance(2)
    failing.inside = lambda: clock.advance(3_600)
    guarded.resting(["a"])
    clock.advance(601)
    guarded.resting(["a"])
    assert failing.asked == 3


def test_a_store_that_comes_and_goes(failing: Failing, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """A store that fails now and then is told of once a minute."""
    caplog.set_level(logging.INFO, "orfallback")
    guarded = Guarded(failing, clock, retry=5)
    for _ in range(12):
        failing.error = StoreError("down")
        guarded.resting(["a"])
        failing.error = None
        clock.advance(5)
        guarded.resting(["a"])
    assert levels(caplog) == ["WARNING", "INFO"]
    failing.error = StoreError("down")
    guarded.resting(["a"])
    assert levels(caplog) == ["WARNING", "INFO", "WARNING"]


def test_a_store_that_is_wrong(failing: Failing, clock: FakeClock) -> None:
    """An error of the one who wrote a store is loud, as is an interruption; neither is an outage."""
    guarded = Guarded(failing, clock)
    for error in (TypeError("wrong"), KeyboardInterrupt()):
        failing.error = error
        with pytest.raises(type(error)):
            guarded.claim("a", 1)
    failing.error = None
    guarded.rest("a", 300)
    assert set(failing.memory.resting(["a"])) == {"a"}


def test_threads_that_find_a_store_slow(failing: Failing, clock: FakeClock) -> None:
    """While one thread tries a store that was down, the others go on without it."""
    guarded = Guarded(failing, clock, retry=5)
    failing.error = StoreError()
    guarded.resting(["a"])
    clock.advance(6)
    inside, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        inside.set()
        assert go_on.wait(_PATIENCE)

    failing.inside = wait
    with ThreadPoolExecutor(20) as threads:
        first = threads.submit(guarded.resting, ["a"])
        assert inside.wait(_PATIENCE)
        for other in [threads.submit(guarded.claim, str(number), 1) for number in range(19)]:
            assert other.result(_PATIENCE) is True
        assert failing.asked == 2
        go_on.set()
        assert first.result(_PATIENCE) == {}


def test_a_guarded_store_that_is_pickled(tmp_path: Path) -> None:
    """It pickles as the store does that it guards."""
    with closing(SQLiteStore(tmp_path / "store", timeout=_PATIENCE)) as store:
        store.rest("a", 300)
        again = pickle.loads(pickle.dumps(Guarded(store, FakeClock())))
        assert set(again.resting(["a"])) <= {"a"}
        assert repr(again) == f"Guarded({store!r})"
