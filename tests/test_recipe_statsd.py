"""The recipe for StatsD, with a real socket that listens."""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from recipes import DOCS, load

from orfallback import Chain, ChainExhausted, StreamInterrupted
from orfallback.testing import Simulator, answer, cut, status

RECIPE = "statsd_metrics/statsd_metrics.py"


@pytest.fixture
def agent() -> Iterator[socket.socket]:
    """What listens for metrics."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        listening.bind(("127.0.0.1", 0))
        yield listening


@pytest.fixture
def plugin(agent: socket.socket) -> Iterator[Any]:
    """The plugin, which sends there."""
    made = load(RECIPE).StatsD(*agent.getsockname())
    with made._socket:
        yield made


@pytest.fixture
def chain(plugin: Any, sim: Simulator) -> Iterator[Chain]:
    """A chain with it, whose models fail in their ways, and are not passed over."""
    sim.script("a/busy.v1:free", status(502))
    sim.script("b/gone", status(404))
    sim.script("c/breaks", cut("content", clean=True))
    sim.default(answer("Hello"))
    models = ["a/busy.v1:free", "d/good"]
    with Chain(models, api_key="sk-test", base_url=sim.base_url, delay=0, cooldown=None, plugins=[plugin]) as chain:
        yield chain


def received(agent: socket.socket) -> list[str]:
    """Return all metrics that have come: over loopback what was sent is there."""
    agent.setblocking(False)
    lines: list[str] = []
    try:
        while True:
            lines += agent.recv(65_536).decode().splitlines()
    except BlockingIOError:
        return lines


def counts(lines: list[str]) -> Counter[str]:
    """Return the counters, summed up."""
    found: Counter[str] = Counter()
    for line in lines:
        if line.endswith("|c"):
            name, _, value = line.removesuffix("|c").partition(":")
            found[name.removeprefix("orfallback.")] += int(value)
    return found


def test_every_metric_agrees_with_what_happened(chain: Chain, agent: socket.socket) -> None:
    """Attempts, fallbacks, calls and times are sent for each way in which a call ends, and for 8 threads at once."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: chain.complete("CANARYPROMPT"), range(40)))
    with chain.stream("CANARYPROMPT") as stream:
        next(stream)
    with pytest.raises(ChainExhausted):
        chain.replace(models=["b/gone"]).complete("CANARYPROMPT")
    with pytest.raises(StreamInterrupted):
        chain.replace(models=["c/breaks"]).stream("CANARYPROMPT").read()
    lines = received(agent)
    assert counts(lines) == {
        "attempt.a_busy_v1_free.busy": 41, "attempt.d_good.answered": 40, "attempt.d_good.cancelled": 1,
        "attempt.b_gone.not_found": 1, "attempt.c_breaks.truncated": 1,
        "fallback.a_busy_v1_free.d_good": 41,
        "call.answered": 40, "call.left": 1, "call.failed": 1, "call.broken": 1,
    }  # fmt: skip
    assert all(re.fullmatch(r"orfallback(\.[A-Za-z0-9_-]+)+:\d+\|(c|ms)", line) for line in lines)
    timed = Counter(line.partition(":")[0].removeprefix("orfallback.") for line in lines if line.endswith("|ms"))
    assert timed == {
        "attempt.a_busy_v1_free.time": 41, "attempt.d_good.time": 41, "attempt.b_gone.time": 1,
        "attempt.c_breaks.time": 1, "attempt.d_good.first_token": 1, "attempt.c_breaks.first_token": 1,
    }  # fmt: skip


def test_nobody_listens(chain: Chain, agent: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
    """Where nothing listens, which the system tells with the next datagram, calls go on, and the log is silent."""
    agent.close()
    for _ in range(5):
        assert chain.complete("Hi").text == "Hello"
    assert "plugin" not in caplog.text


def test_a_socket_that_is_full(plugin: Any, chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    """A socket whose buffer is full costs the metric; nothing waits for it."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with plugin._socket, here, there:
        here.setblocking(False)
        plugin._socket = here
        for _ in range(1_000):
            plugin._send("filled:1|c")
        assert chain.complete("Hi").text == "Hello"
        there.setblocking(False)
        assert 0 < len(received(there)) < 1_000
    assert "plugin" not in caplog.text


def test_the_table_of_the_page(chain: Chain, agent: socket.socket) -> None:
    """The metrics on the page are those that are sent."""
    chain.stream("Hi").read()
    page = (DOCS / "how-to" / "statsd.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `([\w.]+)` \| (counter|timer) \|", page, re.MULTILINE)
    sent = {line.removeprefix("orfallback.") for line in received(agent)}
    for name, kind in told:
        pattern = (
            re.escape(name).replace("MODEL", "[ad]_[a-z_0-9]+").replace("REASON", "[a-z_]+").replace("ENDING", "[a-z]+")
        )
        mine = {line for line in sent if re.fullmatch(rf"{pattern}:\d+\|{'c' if kind == 'counter' else 'ms'}", line)}
        assert mine, name
        sent -= mine
    assert sent == set()
