"""Shares a store with other processes, and prints as JSON what it found: ``storing.py SITUATION URL``."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from forking import forked

from orfallback import RedisStore, SQLiteStore, StoreError

# What is slow here is a busy machine, and no matter of these situations (s).
_PATIENCE = 10.0
_Shared = SQLiteStore | RedisStore


def store_for(url: str) -> _Shared:
    """Return a store that waits for a busy machine."""
    if url.startswith("redis:"):
        return RedisStore(url, timeout=_PATIENCE)
    return SQLiteStore(url, timeout=_PATIENCE)


def claim(store: _Shared) -> Any:
    """When all are ready, claim 50 keys."""
    store.resting(["a"])
    print("ready", flush=True)
    sys.stdin.readline()
    return [number for number in range(50) if store.claim(f"m{number}", 300)]


def find_busy(store: _Shared) -> Any:
    """Find a model busy."""
    store.rest("busy", 300)
    return None


def look(store: _Shared) -> Any:
    """Look who rests."""
    return list(store.resting(["busy", "good"]))


def die(store: _Shared) -> Any:
    """Claim a key, and be killed before the answer comes."""
    print(json.dumps([store.claim("a", 1.0), time.time()]), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def fork(store: _Shared) -> Any:
    """A child uses and closes what it inherited, and drops it at its end; its parent goes on."""
    store.rest("parent", 300)

    def child() -> Any:
        before = set(store.resting(["parent", "child"]))
        store.rest("child", 300)
        won = store.claim("one", 300)
        store.close()
        return sorted(before), won, sorted(store.resting(["parent", "child"]))

    results = [forked(child) for _ in range(3)]
    won = store.claim("one", 300)
    found = [result() for result in results]
    exits = {status for status, _ in found}
    winners = sum(part[1] for _, part in found) + won
    seen = sorted({key for _, part in found for key in part[0] + part[2]})
    return sorted(exits), winners, seen, sorted(store.resting(["parent", "child"]))


def fork_among_threads(store: _Shared) -> Any:
    """Children are made while other threads are inside of the store, which works on in all of them."""
    # Before the first fork, so that every child can find it, however late the threads come to it.
    store.rest("a", 300)
    # As short as in earnest: a thread that waits for another holds up a fork.
    store._timeout = 0.02
    store.close()
    done = threading.Event()

    def patiently(work: Callable[[], Any]) -> Any:
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            with suppress(StoreError):
                return work()
        return None

    def use() -> None:
        while not done.is_set():
            patiently(lambda: store.rest("a", 300))
            patiently(lambda: store.resting(["a"]))

    def child() -> Any:
        patiently(lambda: store.rest("b", 300))
        return patiently(lambda: sorted(store.resting(["a", "b"])))

    users = [threading.Thread(target=use) for _ in range(4)]
    for user in users:
        user.start()
    found = [forked(child)() for _ in range(5)]
    done.set()
    for user in users:
        user.join()
    return [part for part in found if part != (0, ["a", "b"])], sorted(store.resting(["a"]))


def orphan(store: _Shared) -> Any:
    """A child goes on when its parent has closed and others come and go."""
    store.rest("a", 300)
    reader, writer = os.pipe()

    def child() -> Any:
        store.resting(["a"])
        os.read(reader, 1)
        return [sorted(store.resting(["a", "b"])) for _ in range(10)][-1]

    result = forked(child)
    store.close()
    for _ in range(5):
        other = store_for(sys.argv[2])
        other.rest("b", 300)
        other.close()
    os.write(writer, b"x")
    return result()


def full(store: _Shared) -> Any:
    """No file of this process may grow: a full disk, which is emptied later."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    refused = failing(lambda: store.rest("a", 300))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    store.rest("a", 300)
    return refused, list(store.resting(["a"]))


def read_only(store: _Shared) -> Any:
    """A file that this user may read alone, until it may write."""
    path = sys.argv[2]
    store.rest("a", 300)
    store.close()
    folder = os.path.dirname(path)  # noqa: PTH120
    for name, mode in ((folder, 0o755), (path, 0o444), (f"{path}-journal", 0o444)):
        os.chmod(name, mode)  # noqa: PTH101
    # Nothing is read-only for root.
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    refused = failing(lambda: store.rest("b", 300))
    os.seteuid(user)
    for name in (path, f"{path}-journal"):
        os.chmod(name, 0o600)  # noqa: PTH101
    store.rest("b", 300)
    return refused, sorted(store.resting(["a", "b"]))


def leave(store: _Shared) -> None:
    """End without closing anything."""
    store.rest("a", 300)
    held.append(store)
    # Part of a cycle, so that only the end itself collects it.
    held.append(held)


held: list[Any] = []


def failing(work: Callable[[], object]) -> bool:
    """Tell whether it is refused as a store does."""
    try:
        work()
    except StoreError:
        return True
    return False


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](store_for(sys.argv[2]))))
