"""Stores: what each of them promises, in one process."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from redis_servers import RedisServer, redis_server

from orfallback import Clock, MemoryStore, RedisStore, SQLiteStore, Store, StoreError
from orfallback.stores import store_from_url
from orfallback.stores._store import PROBATION
from orfallback.testing import FakeClock

# A busy machine is to fail no test here: what is slow is the matter of others (s).
_PATIENCE = 10.0
PASSWORD = "CANARY/pass word"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server for this file."""
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


class Kept(NamedTuple):
    """A store, and how time passes for it.

    :ivar store: it.
    :ivar wait: lets some seconds pass.
    """

    store: Store
    wait: Callable[[float], None]


@pytest.fixture(params=["memory", "sqlite", "redis"])
def kept(request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path) -> Iterator[Kept]:
    """Each store in turn, with nothing in it."""
    if request.param == "memory":
        yield Kept(MemoryStore(clock), clock.advance)
    elif request.param == "sqlite":
        with closing(SQLiteStore(tmp_path / "store", timeout=_PATIENCE, clock=clock)) as sqlite:
            yield Kept(sqlite, clock.advance)
    else:
        server: RedisServer = request.getfixturevalue("server")
        namespace = f"test:{time.monotonic_ns()}"
        with closing(RedisStore(server.url, namespace=namespace, timeout=_PATIENCE)) as remote:
            # The server has a clock of its own, which waits for nobody.
            yield Kept(remote, time.sleep)


def test_a_key_that_nobody_knows(kept: Kept) -> None:
    """Of keys that never rested nothing is said, nor of none."""
    assert kept.store.resting(["a", "b"]) == {}
    assert kept.store.resting([]) == {}
    kept.store.clear("a")


def test_a_rest(kept: Kept) -> None:
    """A key rests for the seconds that it was given, and others do not."""
    kept.store.rest("a", 300)
    assert kept.store.resting(["b", "a"]) == {"a": pytest.approx(300, abs=_PATIENCE)}


def test_a_rest_is_not_shortened(kept: Kept) -> None:
    """Of two rests the one that lasts longer holds, whichever came first."""
    kept.store.rest("a", 300)
    kept.store.rest("a", 100)
    kept.store.rest("b", 100)
    kept.store.rest("b", 300)
    assert kept.store.resting(["a", "b"]) == dict.fromkeys("ab", pytest.approx(300, abs=_PATIENCE))


def test_a_rest_that_is_over(kept: Kept) -> None:
    """A rest that is over is remembered as one to be probed."""
    kept.store.rest("a", 0.02)
    kept.store.rest("b", 0)
    kept.wait(0.03)
    left = kept.store.resting(["a", "b"])
    assert -_PATIENCE < left["b"] < left["a"] <= 0


def test_a_claim(kept: Kept) -> None:
    """One caller may probe a key, and no other; a key besides it is another matter."""
    kept.store.rest("a", 0)
    assert [kept.store.claim("a", 300) for _ in range(3)] == [True, False, False]
    assert kept.store.claim("b", 300) is True


def test_a_claim_says_nothing_of_a_rest(kept: Kept) -> None:
    """A claim neither makes a key known nor changes its rest."""
    kept.store.rest("a", 300)
    assert kept.store.claim("a", 300) is True
    assert kept.store.claim("b", 300) is True
    assert kept.store.resting(["a", "b"]) == {"a": pytest.approx(300, abs=_PATIENCE)}


def test_a_lease_that_ends(kept: Kept) -> None:
    """When its lease is over a claim is nobody's."""
    assert kept.store.claim("a", 0.02) is True
    kept.wait(0.03)
    assert kept.store.claim("a", 300) is True


@pytest.mark.parametrize("ending", ["rest", "clear"])
def test_what_ends_a_claim(ending: str, kept: Kept) -> None:
    """The verdict on a probe, good or bad, ends the claim."""
    kept.store.claim("a", 300)
    if ending == "rest":
        kept.store.rest("a", 1)
    else:
        kept.store.clear("a")
    assert kept.store.claim("a", 300) is True


def test_a_key_that_is_cleared(kept: Kept) -> None:
    """A key that is cleared is not known, and others still are."""
    kept.store.rest("a", 300)
    kept.store.rest("b", 300)
    kept.store.clear("a")
    assert set(kept.store.resting(["a", "b"])) == {"b"}


ODD = {
    "empty": "",
    "unicode": "modèle/模型 🙂",
    "long": "m" * 100_000,
    "long, too": "m" * 100_000 + "n",
    "colons": "https://openrouter.ai:443/api/v1:m:free",
    "braces": "}{a}{b",
    "quotes": "'; DROP TABLE rests; --\"",
    "lines": "a\r\nb\0c",
    "surrogate": "\ud800",
    "wildcards": "%_*?[a]",
}


def test_odd_keys(kept: Kept) -> None:
    """Whatever a key looks like, it is told from every other."""
    for number, key in enumerate(ODD.values()):
        kept.store.rest(key, 100 * number)
        assert kept.store.claim(key, 300) is True
    left = kept.store.resting(list(ODD.values()))
    assert left == {key: pytest.approx(100 * number, abs=_PATIENCE) for number, key in enumerate(ODD.values())}
    for key in ODD.values():
        kept.store.clear(key)
    assert kept.store.resting(list(ODD.values())) == {}


def test_many_keys_at_once(kept: Kept) -> None:
    """A long chain is asked for at once."""
    kept.store.rest("m1999", 300)
    assert set(kept.store.resting([f"m{number}" for number in range(2_000)])) == {"m1999"}


def test_an_endless_rest(kept: Kept) -> None:
    """A rest that is longer than anybody lives is one."""
    kept.store.rest("a", 1e15)
    assert kept.store.resting(["a"])["a"] > 1e6


def test_64_threads_claim(kept: Kept) -> None:
    """Of 64 threads that claim a key at the same instant exactly one gets it."""
    start = threading.Barrier(64)

    def claim(_: int) -> bool:
        start.wait()
        return kept.store.claim("a", 300)

    with ThreadPoolExecutor(64) as threads:
        assert sorted(threads.map(claim, range(64))) == [False] * 63 + [True]


def test_a_store_that_is_closed(kept: Kept) -> None:
    """What is closed opens again when it is used."""
    if isinstance(kept.store, (SQLiteStore, RedisStore)):
        kept.store.rest("a", 300)
        kept.store.close()
        kept.store.close()
        assert set(kept.store.resting(["a"])) == {"a"}


class Alike(RuleBasedStateMachine):
    """A file and a dictionary that are told the same say the same."""

    path: Path

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.path.unlink(missing_ok=True)
        self.stores: list[Any] = [MemoryStore(self.clock), SQLiteStore(self.path, timeout=_PATIENCE, clock=self.clock)]

    def both(self, work: Callable[[Store], object]) -> None:
        """Do it with both, which have nothing different to say."""
        one, other = map(work, self.stores)
        assert one == other

    @rule(key=st.sampled_from("abc"), seconds=st.floats(0, 1_000))
    def rest(self, key: str, seconds: float) -> None:
        """Let one rest."""
        self.both(lambda store: store.rest(key, seconds))

    @rule(key=st.sampled_from("abc"), lease=st.floats(0.001, 1_000))
    def claim(self, key: str, lease: float) -> None:
        """Claim one."""
        self.both(lambda store: store.claim(key, lease))

    @rule(key=st.sampled_from("abc"))
    def clear(self, key: str) -> None:
        """Clear one."""
        self.both(lambda store: store.clear(key))

    @rule(seconds=st.floats(0, 1_000))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @invariant()
    def alike(self) -> None:
        """They know the same."""
        self.both(lambda store: dict(store.resting("abc")))

    def teardown(self) -> None:
        """Close the file."""
        self.stores[1].close()


def test_a_file_does_as_a_dictionary(tmp_path: Path) -> None:
    """Whatever is done to both, the store in a file says what the one in memory says."""
    machine: type[RuleBasedStateMachine] = type("Here", (Alike,), {"path": tmp_path / "store"})
    run_state_machine_as_test(machine, settings=settings(max_examples=50, stateful_step_count=20, deadline=None))


def test_the_end_of_the_probation(clock: FakeClock, tmp_path: Path, server: RedisServer) -> None:
    """What is not cleared is forgotten when the probation is over."""
    with closing(SQLiteStore(tmp_path / "store", clock=clock, timeout=_PATIENCE)) as file:
        for store in (MemoryStore(clock), file):
            store.rest("a", 1)
            clock.advance(PROBATION)
            assert store.resting(["a"]) == {"a": pytest.approx(1 - PROBATION)}
            clock.advance(1)
            assert store.resting(["a"]) == {}
    with closing(RedisStore(server.url, namespace="probation", timeout=_PATIENCE)) as remote:
        remote.rest("a", 1)
    with redis.Redis.from_url(server.url) as client:
        assert client.pttl("{probation}:rest:a") == pytest.approx(601_000, abs=1_000 * _PATIENCE)


class TwoClocks(FakeClock):
    """A clock whose wall time can be set.

    :ivar ahead: by how much that differs (s).
    """

    ahead = 1e9

    def time(self) -> float:
        """Return wall time."""
        return self.now + self.ahead


@pytest.mark.parametrize("jump", [-3_600.0, 3_600.0])
def test_a_wall_clock_that_is_set(jump: float, tmp_path: Path) -> None:
    """Setting the host's clock makes no rest and no claim longer: what it makes doubtful is forgotten."""
    clock = TwoClocks()
    with closing(SQLiteStore(tmp_path / "store", clock=clock, timeout=_PATIENCE)) as store:
        store.rest("a", 30)
        store.claim("a", 30)
        clock.ahead += 1
        assert store.resting(["a"]) == {"a": 30}
        clock.ahead += jump
        assert store.resting(["a"]) == {}
        assert store.claim("a", 30) is True
        store.rest("a", 10)
        assert store.resting(["a"]) == {"a": 10}


def test_a_reboot(tmp_path: Path) -> None:
    """What was written before a reboot means nothing to a monotonic clock that begins anew."""
    clock = TwoClocks()
    with closing(SQLiteStore(tmp_path / "store", clock=clock, timeout=_PATIENCE)) as store:
        store.rest("a", 300)
        clock.now, clock.ahead = 50.0, clock.ahead + clock.now + 60
        assert store.resting(["a"]) == {}


def test_a_file_holds_so_many_keys(clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is over leaves the file, and of too many keys those that are over first."""
    monkeypatch.setattr("orfallback.stores._sqlite._MOST_KEYS", 10)
    monkeypatch.setattr("orfallback.stores._sqlite._SWEEP", 4)
    with closing(SQLiteStore(tmp_path / "store", clock=clock, timeout=_PATIENCE)) as store:
        for number in range(100):
            store.rest(f"m{number}", 100 + number)
        left = store.resting([f"m{number}" for number in range(100)])
        assert list(left.values()) == [190 + number for number in range(10)]
        clock.advance(10_000)
        for _ in range(4):
            store.rest("a", 1)
        store.rest("a", 1)
        with closing(store._connect()) as connection:
            assert connection.execute("SELECT key FROM rests").fetchall() == [("a",)]


def test_a_server_holds_so_many_keys(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many keys a server forgets those that are over first, and in the end all of them."""
    monkeypatch.setattr("orfallback.stores._redis._MOST_KEYS", 10)
    with closing(RedisStore(server.url, namespace="many", timeout=_PATIENCE)) as store:
        for number in range(100):
            store.rest(f"m{number}", 100 * number)
        assert set(store.resting([f"m{number}" for number in range(100)])) == {f"m{n}" for n in range(90, 100)}
    with redis.Redis.from_url(server.url) as client:
        kept = client.keys("{many}:*")
        assert len(kept) == 11
        assert all(0 < client.pttl(key) < 11_000_000 for key in kept)


def test_namespaces(kept: Kept, tmp_path: Path, server: RedisServer) -> None:
    """Who shares a file or a server in another namespace knows nothing of it."""
    kept.store.rest("a", 300)
    kept.store.claim("b", 300)
    with closing(SQLiteStore(tmp_path / "store", namespace="other", timeout=_PATIENCE)) as file:
        with closing(RedisStore(server.url, namespace="other", timeout=_PATIENCE)) as remote:
            for other in (file, remote):
                assert other.resting(["a"]) == {}
                assert other.claim("b", 0.001) is True


def test_pickling(kept: Kept) -> None:
    """A copy of a store that is shared knows what it knows; one of the memory is empty."""
    kept.store.rest("a", 300)
    for again in (pickle.loads(pickle.dumps(kept.store)), copy.deepcopy(kept.store)):
        assert set(again.resting(["a"])) == (set() if isinstance(kept.store, MemoryStore) else {"a"})
        if isinstance(again, (SQLiteStore, RedisStore)):
            again.close()


def test_a_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Nobody else can read the file, nor its journal."""
    with closing(SQLiteStore(tmp_path / "store", timeout=_PATIENCE)) as store:
        store.rest("a", 1)
    assert {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {
        "store": 0o600,
        "store-journal": 0o600,
    }


@pytest.mark.parametrize("path", ["", ":memory:", "a\0b"])
def test_a_path_that_is_none(path: str) -> None:
    """A path that cannot be that of a file is refused at once."""
    with pytest.raises(ValueError, match="path must be"):
        SQLiteStore(path)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("make", [SQLiteStore, RedisStore])
def test_a_timeout_that_is_none(make: Any, timeout: float) -> None:
    """A time limit that is none is refused at once."""
    with pytest.raises(ValueError, match="timeout must be"):
        make("redis://127.0.0.1", timeout=timeout)


@pytest.mark.parametrize("namespace", ["", "a{b", "a b", "é", "a" * 101])
@pytest.mark.parametrize("make", [SQLiteStore, RedisStore])
def test_a_namespace_that_is_none(make: Any, namespace: str) -> None:
    """A namespace that could be taken for a part of a key is refused at once."""
    with pytest.raises(ValueError, match="namespace must be"):
        make("redis://127.0.0.1", namespace=namespace)


@pytest.mark.parametrize("url", ["", "http://CANARY", "redis://h:CANARY/0", "redis://h/0?CANARY=1", "redis://[CANARY"])
def test_a_url_that_is_none(url: str) -> None:
    """A URL that redis-py cannot use is refused at once, and not shown."""
    with pytest.raises(ValueError, match="url must be") as caught:
        RedisStore(url)
    assert "CANARY" not in str(caught.value)


def test_stores_of_urls(tmp_path: Path) -> None:
    """A URL names each of the stores."""
    assert isinstance(store_from_url("memory:"), MemoryStore)
    assert repr(store_from_url(f"sqlite://{tmp_path}/a%20b")) == f"SQLiteStore('{tmp_path}/a b')"
    assert repr(store_from_url("redis://h:1/2")) == "RedisStore('redis://h:1/2')"
    assert repr(store_from_url("rediss://u:p@h:1/2?db=3")) == "RedisStore('rediss://h:1/2')"
    assert repr(store_from_url("unix:///run/redis.sock?db=3")) == "RedisStore('unix:///run/redis.sock')"


@pytest.mark.parametrize(
    "url", ["", "memory", "memory://", "sqlite:", "sqlite:///", "sqlite://CANARY/x", "http://CANARY@h", "a://[CANARY"]
)
def test_a_url_that_names_no_store(url: str) -> None:
    """Any other URL is refused, and not shown."""
    with pytest.raises(ValueError, match="a store is memory:, sqlite:") as caught:
        store_from_url(url)
    assert "CANARY" not in str(caught.value)


def test_what_loads_with_the_stores() -> None:
    """The memory loads neither sqlite3 nor redis-py, and a file no redis-py."""
    code = "import sys; from orfallback import MemoryStore; print('sqlite3' in sys.modules, 'redis' in sys.modules)"
    code += "; from orfallback import SQLiteStore, RedisStore; SQLiteStore('x'); print('redis' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "False"]


def test_without_redis_py(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who lacks redis-py is told how to get it."""
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ImportError, match=r'pip install "orfallback\[redis\]"'):
        RedisStore("redis://127.0.0.1")


def test_a_password(tmp_path: Path) -> None:
    """A password is used, and told nowhere: not in a representation, an error or a pickle."""
    with redis_server(tmp_path, "--requirepass", PASSWORD) as guarded:
        good = guarded.url.replace("//", "//default:CANARY%2Fpass%20word@")
        with closing(RedisStore(good, timeout=_PATIENCE)) as store:
            store.rest("a", 300)
            assert set(store.resting(["a"])) == {"a"}
            assert "CANARY" not in repr(store)
            with pytest.raises(TypeError, match="cannot be pickled"):
                pickle.dumps(store)
        for wrong in (good.replace("CANARY", "CANARY2"), guarded.url):
            with closing(RedisStore(wrong, timeout=_PATIENCE)) as store:
                with pytest.raises(StoreError, match="AuthenticationError") as caught:
                    store.rest("a", 1)
            assert "CANARY" not in "".join(map(str, [caught.value, caught.value.__context__]))


def test_a_server_that_sends_a_password_back(tmp_path: Path) -> None:
    """A server that has no passwords, and says what it was sent, gets none of it into an error."""
    with redis_server(tmp_path, "--rename-command", "AUTH", "") as deaf:
        url = deaf.url.replace("//", "//CANARYname:CANARYpass@")
        with closing(RedisStore(url, timeout=_PATIENCE)) as store:
            with pytest.raises(StoreError, match="unknown command") as caught:
                store.claim("a", 1)
    assert "***" in str(caught.value)
    assert "CANARY" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_host_that_has_no_name() -> None:
    """A name that no resolver can be asked for is a store that is down."""
    with closing(RedisStore(f"redis://{'a' * 70}.example")) as store:
        with pytest.raises(StoreError):
            store.resting(["a"])


def test_a_socket_of_this_host(server: RedisServer) -> None:
    """A server is reached by its socket in the file system, too."""
    with closing(RedisStore(f"unix://{server.socket}?db=1", timeout=_PATIENCE)) as store:
        assert store.claim("a", 300) is True
    with redis.Redis.from_url(server.url.replace("/0", "/1")) as client:
        assert client.keys() == [b"{orfallback}:claim:a"]


def test_a_server_that_takes_nothing_in(tmp_path: Path) -> None:
    """A full server refuses to learn, and says so as a store that cannot do it."""
    with redis_server(tmp_path, "--maxmemory", "1", "--maxmemory-policy", "noeviction") as full:
        with closing(RedisStore(full.url, timeout=_PATIENCE)) as store:
            assert store.resting(["a"]) == {}
            with pytest.raises(StoreError, match="maxmemory"):
                store.claim("a", 1)


def test_the_clock_is_any(tmp_path: Path) -> None:
    """A store without a clock of its own takes the machine's."""
    with closing(SQLiteStore(tmp_path / "store", timeout=_PATIENCE)) as store:
        store.rest("a", 300)
        assert store.resting(["a"])["a"] == pytest.approx(300, abs=_PATIENCE)
    clock: Clock = FakeClock()
    assert MemoryStore(clock).claim("a", 1)
