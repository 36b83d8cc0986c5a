"""Chains of several processes that share what they learn, over real sockets, files and servers."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from hosting import APPS, BUSY, GOOD
from redis_servers import RedisServer, redis_server
from test_cli_run import gunicorn

from orfallback import Chain, Cooldown, RedisStore
from orfallback._cooldown import keys_of
from orfallback.testing import Simulator, answer, silence, status

_PATIENCE = 60.0
#: What a store that is down may add to a call: ten times what is promised (s).
_AT_MOST = 0.1
#: A busy machine is to take no store down in a test that is about something else (s).
_PATIENT = "?timeout=5"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that a test may kill."""
    with redis_server(tmp_path) as running:
        yield running


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that processes can share."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path / 'store'}{_PATIENT}"
    server: RedisServer = request.getfixturevalue("server")
    return f"{server.url}{_PATIENT}"


class Process:
    """A process that asks when it is told to.

    :param sim: what it asks.
    :param store: the URL of what it shares.
    :param seconds: how long a target rests.
    """

    def __init__(self, sim: Simulator, store: str, seconds: float = 30.0) -> None:
        command = [sys.executable, str(APPS / "remembering.py"), sim.base_url, store, str(seconds)]
        path = os.pathsep.join([str(APPS.parent), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
        )
        assert self._line() == "ready"

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.process.kill()
        self.process.communicate()

    def begin(self) -> None:
        """Let it ask."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def asked(self) -> list[str]:
        """Return whom it asked."""
        told: dict[str, Any] = json.loads(self._line())
        models: list[str] = told["asked"]
        return models

    def ask(self) -> list[str]:
        """Let it ask, and return whom it asked."""
        self.begin()
        return self.asked()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def test_what_one_process_learns_the_others_know(store: str, sim: Simulator) -> None:
    """Of four processes on one store the first finds a model busy; none of the others ever asks it."""
    sim.script(BUSY, status(502))
    with ExitStack() as stack:
        processes = [stack.enter_context(Process(sim, store)) for _ in range(4)]
        assert processes[0].ask() == [BUSY, GOOD]
        for _ in range(10):
            for process in processes[1:]:
                process.begin()
            assert [process.asked() for process in processes[1:]] == [[GOOD]] * 3
    assert sim.models_asked.count(BUSY) == 1


def test_one_process_probes_for_all(store: str, sim: Simulator) -> None:
    """When the rest is over one of four processes asks the model, and its answer lets the others in."""
    sim.script(BUSY, status(502))
    with ExitStack() as stack:
        processes = [stack.enter_context(Process(sim, store, seconds=0.3)) for _ in range(4)]
        assert processes[0].ask() == [BUSY, GOOD]
        sim.script(BUSY, answer("At last"))
        until = time.monotonic() + _PATIENCE
        while processes[1].ask() != [BUSY]:
            assert time.monotonic() < until
        assert [process.ask() for process in processes] == [[BUSY]] * 4


def test_a_process_that_is_killed_while_it_probes(store: str, sim: Simulator) -> None:
    """A process killed between its claim and the answer holds the others up until its lease is over, no longer."""
    sim.script(BUSY, status(502))
    with Process(sim, store, seconds=1.5) as first, Process(sim, store, seconds=1.5) as second:
        assert first.ask() == [BUSY, GOOD]
        sim.script(BUSY, silence())
        until = time.monotonic() + _PATIENCE
        while True:
            first.begin()
            claimed = time.monotonic()
            if len(sim.requests) > 2 and _waits_for(sim, 2):
                break
            assert first.asked() == [GOOD]
            assert time.monotonic() < until
        first.process.kill()
        sim.script(BUSY, answer("At last"))
        passed_over = 0
        while second.ask() == [GOOD]:
            passed_over += 1
            assert time.monotonic() < until
            time.sleep(0.01)
        # The claim was made after this program last looked, so the lease is over a little later at most.
        assert passed_over > 0
        assert time.monotonic() - claimed < 10 * 1.5


def _waits_for(sim: Simulator, count: int) -> bool:
    """Tell whether the busy model has been asked so often; soon, if it is to be."""
    until = time.monotonic() + 0.2
    while sim.models_asked.count(BUSY) < count and time.monotonic() < until:
        time.sleep(0.005)
    return sim.models_asked.count(BUSY) >= count


def test_a_server_killed_in_mid_run_loses_no_call(sim: Simulator, server: RedisServer) -> None:
    """While the server is down every call is answered, as fast as before; when it is back it is used again."""
    store = RedisStore(server.url)
    cooldown = Cooldown(store=store)
    with Chain([BUSY, GOOD], api_key="sk-test-00000000", base_url=sim.base_url, delay=0, cooldown=cooldown) as chain:

        def lasting(calls: int) -> list[float]:
            lasted = []
            for _ in range(calls):
                began = time.monotonic()
                assert chain.complete("hi").text
                lasted.append(time.monotonic() - began)
            return lasted

        # A machine that is busy makes one slow, but not all.
        for _ in range(5):
            usual = statistics.median(lasting(30))
            server.kill()
            added = max(lasting(100)) - usual
            server.start()
            if added < _AT_MOST:
                break
        assert added < _AT_MOST
        sim.script(BUSY, status(502))
        until = time.monotonic() + _PATIENCE
        while not (rests := store.resting([keys_of(chain.targets[0])["model"]])):
            chain.health.release(BUSY)
            lasting(1)
            assert time.monotonic() < until
            time.sleep(0.05)
    assert min(rests.values()) > 0
    store.close()


def test_workers_of_gunicorn_share_by_one_variable(sim: Simulator, tmp_path: Path) -> None:
    """Two workers of an application that knows nothing of it share what they learn, by a variable alone."""
    sim.script("a/first", status(502))
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("OPENROUTER", "ORFALLBACK"))},
        "OPENROUTER_BASE_URL": sim.base_url,
        "ORFALLBACK_MODELS": "a/first,b/second",
        "ORFALLBACK_DELAY": "0",
        "ORFALLBACK_STORE": f"sqlite://{tmp_path / 'store'}{_PATIENT}",
        "HOME": str(tmp_path),
    }
    seen: set[str] = set()
    with gunicorn(environ) as url:
        until = time.monotonic() + _PATIENCE
        while len(seen) < 2 and time.monotonic() < until:
            reply = requests.get(f"{url}/?hi", timeout=_PATIENCE)
            assert reply.status_code == 200
            seen.add(reply.headers["X-Process"])
    assert len(seen) == 2
    assert sim.models_asked.count("a/first") == 1


def test_threads_of_one_process_share_a_store(store: str, sim: Simulator) -> None:
    """16 threads over one store find a busy model once it rests, and never ask it again."""
    from orfallback.stores import store_from_url

    sim.script(BUSY, status(502))
    cooldown = Cooldown(store=store_from_url(store))
    with Chain([BUSY, GOOD], api_key="sk-test-00000000", base_url=sim.base_url, delay=0, cooldown=cooldown) as chain:
        chain.complete("hi")
        threads = [threading.Thread(target=lambda: [chain.complete("hi") for _ in range(5)]) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_PATIENCE)
    assert sim.models_asked.count(BUSY) == 1
    assert len(sim.requests) == 2 + 16 * 5
