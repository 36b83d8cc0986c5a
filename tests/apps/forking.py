"""Forks in a certain situation, and prints as JSON what parent and child found: ``forking.py SITUATION BASE_URL``."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import requests
from asking import MODELS, chain_for, wrong

from orfallback import Chain, FallbackAdapter

# Python 3.12 warns of what some of the situations are about.
warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
_PATIENCE = 20


def forked(work: Callable[[], Any]) -> Callable[[], Any]:
    """Let a child work; what is returned waits for it, and tells its exit status and what it found."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        # A child that hangs is ended, and found nothing.
        signal.alarm(_PATIENCE)
        os.write(writer, json.dumps(work()).encode())
        # Through the end of the interpreter, which drops everything that was inherited.
        sys.exit()
    os.close(writer)

    def wait() -> Any:
        with open(reader, "rb") as pipe:  # noqa: PTH123 - no path
            written = pipe.read()
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), json.loads(written or "null")

    return wait


def refused(work: Callable[[], object]) -> str:
    """Return what kind of exception comes of it."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - the parent judges it
        return type(error).__name__
    return ""


def warm(chain: Chain) -> Any:
    """Both ask at once, and each gets what it asked for."""
    wrong(chain, "before", 1)
    child = forked(lambda: wrong(chain, "child", 30))
    return wrong(chain, "parent", 30), *child()


def family(chain: Chain) -> Any:
    """Two children and a grandchild ask at once with their parent."""
    wrong(chain, "before", 1)

    def first() -> Any:
        grandchild = forked(lambda: wrong(chain, "grandchild", 5))
        return wrong(chain, "first", 5), *grandchild()

    one, two = forked(first), forked(lambda: wrong(chain, "second", 5))
    return wrong(chain, "parent", 5), one(), two()


def stream(chain: Chain) -> Any:
    """A child touches its parent's running stream in every way, asks for itself, and ends; the parent reads on."""
    running = chain.stream("parent reads all of it")
    text = running.iter_text()
    first = next(text)
    held: list[Any] = [running, text]

    def child() -> Any:
        tried = [refused(lambda: next(held[0])), refused(held[0].read), refused(lambda: next(held[1]))]
        mine = wrong(chain, "child", 2)
        held[0].close()
        held.clear()
        chain.close()
        return tried, mine

    del running, text
    result = forked(child)()
    # The question lets the rest of the stream come.
    chain.complete("open")
    return first, "".join(held[1]), *result


def close(chain: Chain) -> Any:
    """A child closes the chain, and drops it as it ends; the parent's connection lives on."""
    wrong(chain, "before", 1)
    result = forked(chain.close)()
    return wrong(chain, "after", 1), *result


def locks(chain: Chain) -> Any:
    """Another thread holds every lock of the library and of its pools while a child is made."""
    running = chain.stream("one two three")
    (own,) = chain._transport._own.values()
    adapter: Any = own.session.adapters["http://"]
    pools = adapter.poolmanager.pools
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with running._lock, pools.lock:
            held.set()
            done.wait(_PATIENCE)

    def child() -> Any:
        tried = refused(lambda: next(running))
        running.close()
        mine = wrong(chain, "child", 2)
        chain.close()
        return tried, mine

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(_PATIENCE)
    result = forked(child)()
    done.set()
    holder.join()
    return running.read().text, *result


def threads(chain: Chain) -> Any:
    """Threads ask without a pause, one of them forks, and each child asks for itself."""
    busy, done = threading.Event(), threading.Event()
    counts = []

    def ask(name: str) -> None:
        while not done.is_set():
            counts.append(wrong(chain, name, 1))
            busy.set()

    def breed() -> None:
        found.extend(forked(partial(wrong, chain, f"child {number}", 2))() for number in range(5))

    found: list[Any] = []
    others = [threading.Thread(target=ask, args=[f"thread {number}"]) for number in range(4)]
    for other in others:
        other.start()
    busy.wait(_PATIENCE)
    breeder = threading.Thread(target=breed)
    breeder.start()
    breeder.join()
    done.set()
    for other in others:
        other.join()
    return sum(counts), found


_SHARED: list[Chain] = []


def _ask_shared(name: str) -> int:
    return wrong(_SHARED[0], name, 2)


def _ask_own(base_url: str) -> int:
    with chain_for(base_url) as chain:
        return wrong(chain, f"process {os.getpid()}", 2)


def pool(chain: Chain) -> Any:
    """The workers of a pool use the chain that they inherited."""
    wrong(chain, "before", 1)
    _SHARED.append(chain)
    with multiprocessing.get_context("fork").Pool(2) as workers:
        counts = workers.map(_ask_shared, [f"task {number}" for number in range(10)], chunksize=1)
        workers.close()
        workers.join()
    return counts


def spawn(chain: Chain) -> Any:
    """A process that inherits nothing makes its own chain; this one's cannot be sent to it."""
    wrong(chain, "before", 1)
    base_url = chain.targets[0].base_url
    with multiprocessing.get_context("spawn").Pool(1) as workers:
        counts = workers.map(_ask_own, [base_url])
        unsent = refused(lambda: workers.apply(refused, [chain.complete]))
        workers.close()
        workers.join()
    return counts, unsent


def loading(chain: Chain) -> Any:
    """Return the modules of the library that a chain in use loads, and those that one under an application does."""

    def loaded(work: Callable[[], object]) -> list[str]:
        before = set(sys.modules)
        work()
        return sorted(name for name in set(sys.modules) - before if name.startswith("orfallback"))

    def ask() -> None:
        # Both models: one of them is busy.
        wrong(chain, "loading", 3)
        chain.health.snapshot()

    used = loaded(ask)
    with requests.Session() as session:
        session.mount("http://", FallbackAdapter(chain))
        body = {"model": MODELS[0], "messages": [{"role": "user", "content": "loading"}]}
        url = f"{chain.targets[0].base_url}/chat/completions"
        return used, loaded(lambda: [session.post(url, json={**body, "stream": stream}) for stream in (False, True)])


def main(situation: str, base_url: str) -> None:
    """Print what was found; a child leaves before."""
    with chain_for(base_url) as chain:
        print(json.dumps(globals()[situation](chain)))


if __name__ == "__main__":
    main(*sys.argv[1:])
