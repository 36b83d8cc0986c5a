"""The metrics for Prometheus: they say what the simulator saw, to the last attempt."""

from __future__ import annotations

import functools
import gc
import pickle
import re
import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from figures import Figures
from hosting import BUSY, GOOD, half_busy
from prometheus_client import REGISTRY, CollectorRegistry
from rows import BOTH, ROWS
from test_threads import together

from orfallback import (
    Attempt,
    Call,
    Chain,
    ChainExhausted,
    FallbackError,
    Outcome,
    Reason,
    Scope,
    StreamInterrupted,
    Target,
    Timeouts,
    Verdict,
)
from orfallback.plugins import _series
from orfallback.plugins.prometheus import Prometheus, metrics_app
from orfallback.testing import FakeClock, Received, Simulator, Step, answer, cut, error_in_200, reply, reset, status

KEY = "sk-test-0000000000000000"
PAGE = Path(__file__).parents[1] / "docs" / "reference" / "metrics.md"


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry of the test's own."""
    return CollectorRegistry()


_open: list[Chain] = []


@pytest.fixture(autouse=True)
def _closing() -> Iterator[None]:
    """Close what a test made: some of them look for what is left over."""
    yield
    while _open:
        _open.pop().close()


def chain_of(sim: Simulator, registry: CollectorRegistry, *models: str | Target, **options: Any) -> Chain:
    """Return a chain that is counted, and neither waits nor remembers."""
    plugins = [*options.pop("plugins", ()), Prometheus(registry)]
    defaults: dict[str, Any] = {"delay": 0, "cooldown": None}
    options = {"api_key": KEY, "base_url": sim.base_url, "plugins": plugins, **defaults, **options}
    _open.append(Chain(models or (BUSY, GOOD), **options))
    return _open[-1]


# -- exactly what the simulator saw --


def test_every_ending(sim: Simulator, registry: CollectorRegistry, clock: FakeClock) -> None:
    """Calls by ending, attempts by outcome, fallbacks, waits, tokens and cost are what was scripted, and no more."""
    chain = chain_of(sim, registry, BUSY, "a/limited", GOOD, delay=2.0, clock=clock)
    sim.script(BUSY, status(502), error_in_200(503), reset("headers"), cut("json"))
    sim.script("a/limited", status(429, headers={"Retry-After": "1"}))
    for _ in range(4):
        chain.complete("answered")
    sim.script(BUSY, status(502))
    chain.stream("answered").read()
    chain.stream("left").close()
    sim.script(GOOD, cut("content"), status(422), status(503))
    with pytest.raises(StreamInterrupted):
        chain.stream("broken").read()
    for ask in (chain.complete, chain.stream):
        with pytest.raises(ChainExhausted):
            ask("failed")

    class Sorry:
        def orfallback_exhausted(self) -> str:
            return "Sorry"

    chain.register(Sorry(), "sorry")
    chain.complete("degraded")
    chain.stream("degraded").read()
    figures = Figures.of(registry)
    assert figures("calls_total", "mode", "ending") == {
        ("complete", "answered"): 4, ("stream", "answered"): 1, ("stream", "left"): 1, ("stream", "broken"): 1,
        ("complete", "failed"): 1, ("stream", "failed"): 1, ("complete", "degraded"): 1, ("stream", "degraded"): 1,
    }  # fmt: skip
    assert figures("attempts_total", "model") == Counter(sim.models_asked)
    assert figures("attempts_total", "mode") == {
        "stream": sum(request.stream for request in sim.requests),
        "complete": sum(not request.stream for request in sim.requests),
    }
    assert figures("attempts_total", "outcome", model="a/limited") == {"rate_limited": 11}
    assert figures("attempts_total", "outcome", model=GOOD) == {
        "answered": 5, "cancelled": 1, "truncated": 1, "unsupported": 1, "busy": 3,
    }  # fmt: skip
    assert sum(figures("attempts_total", "outcome", model=BUSY).values()) == 11
    assert figures("fallbacks_total", "from_model", "to_model") == {(BUSY, "a/limited"): 11, ("a/limited", GOOD): 11}
    assert figures("attempt_seconds_count", "model") == Counter(sim.models_asked)
    assert figures("first_token_seconds_count", "model") == {GOOD: 3}
    assert figures.total("wait_seconds_total") == pytest.approx(sum(clock.sleeps))
    assert figures("calls_in_progress") == {}


@pytest.mark.parametrize("mode", BOTH)
def test_every_fault(mode: str, sim: Simulator, registry: CollectorRegistry, clock: FakeClock) -> None:
    """Each fault of the table is counted once, under its reason, and so is what followed it."""
    rows = [row for row in ROWS if mode in row.modes]
    endings: Counter[str] = Counter()
    for row in rows:
        sim.script(BUSY, row.behaviour, answer())
        chain = chain_of(sim, registry, clock=clock, timeouts=Timeouts(**row.timeouts))
        try:
            chain.complete("Hi") if mode == "complete" else chain.stream("Hi").read()
            endings["answered"] += 1
        except StreamInterrupted:
            endings["broken"] += 1
        except FallbackError:
            endings["failed"] += 1
        chain.close()
    figures = Figures.of(registry)
    assert figures("calls_total", "ending", mode=mode) == endings
    # Where a whole endpoint is limited for a moment, the same model is asked again.
    again = sum(row.again and row.scope is Scope.ENDPOINT for row in rows)
    reasons = Counter(str(row.reason) for row in rows)
    assert figures("attempts_total", "outcome", model=BUSY, mode=mode) == {**reasons, "answered": again}
    # Who else was asked is the simulator's to say.
    others = sim.models_asked.count(GOOD)
    assert figures("attempts_total", "outcome", model=GOOD) == {"answered": others}
    assert figures("fallbacks_total", "from_model", "to_model") == {(BUSY, BUSY): again, (BUSY, GOOD): others}
    assert endings["answered"] == again + others > 50
    assert figures("fallbacks_total", "reason").keys() > {"busy", "rate_limited", "truncated", "malformed", "empty"}
    assert figures.total("calls_total") == figures.total("call_seconds_count") == len(rows)


def test_usage_and_time(registry: CollectorRegistry, clock: FakeClock) -> None:
    """Tokens and cost are summed up as replies told them; times are those of the chain's own clock."""
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "cost": 0.25}
    message = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}], "usage": usage}

    with Simulator(on_request=lambda got: clock.advance(3.0)) as slow:
        slow.script(BUSY, status(502))
        slow.script(GOOD, reply(message))
        chain = chain_of(slow, registry, clock=clock, delay=2.0)
        for _ in range(3):
            chain.complete("Hi")
    figures = Figures.of(registry)
    assert figures("tokens_total", "model", "kind") == {(GOOD, "prompt"): 33, (GOOD, "completion"): 21}
    assert figures("cost_usd_total", "model") == {GOOD: 0.75}
    assert figures("attempt_seconds_sum", "model") == {BUSY: 9.0, GOOD: 9.0}
    assert figures("call_seconds_sum", "mode") == {"complete": 24.0}
    assert figures("call_seconds_bucket", "le") == {"10.0": 3, "15.0": 3} | dict.fromkeys(
        ["20.0", "30.0", "45.0", "60.0", "120.0", "300.0", "600.0", "+Inf"], 3
    )
    assert figures.total("wait_seconds_total") == 6.0


@pytest.mark.parametrize(
    "value",
    ["NaN", "Infinity", "-1", "true", '"12"', "null", "[]", "{}", "1e999", "9" * 400, "1e13", "-0.0"],
    ids=lambda value: value[:10],
)
def test_hostile_usage(value: str, sim: Simulator, registry: CollectorRegistry) -> None:
    """What a server tells that is no number of tokens or dollars is not counted, and spoils nothing that is."""
    text = '{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}], "usage": {%s}}'
    good = text % '"prompt_tokens": 2, "completion_tokens": 3, "cost": 0.5'
    bad = text % f'"prompt_tokens": {value}, "completion_tokens": {value}, "cost": {value}'
    sim.script(GOOD, reply(good), reply(bad), reply(text % ""), reply(good))
    chain = chain_of(sim, registry, GOOD)
    for _ in range(4):
        assert chain.complete("Hi").text == "Hi"
    figures = Figures.of(registry)
    assert figures("tokens_total", "kind") == {"prompt": 4, "completion": 6}
    assert figures.total("cost_usd_total") == 1.0
    assert figures.total("attempts_total", outcome="answered") == 4


@pytest.mark.parametrize("hook", ["orfallback_classify", "orfallback_select", "orfallback_call_started"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_interrupted_calls(
    hook: str, error: type[BaseException], sim: Simulator, registry: CollectorRegistry
) -> None:  # fmt: skip
    """What Ctrl-C or a plugin ends is counted as aborted, whichever hook it struck in, and is not in progress."""

    def strike() -> None:
        raise error

    struck = type("Struck", (), {hook: staticmethod(strike)})()
    chain = chain_of(sim, registry, GOOD, plugins=[struck])
    if (hook, error) == ("orfallback_call_started", ValueError):
        # A watching plugin's own exception is the log's business.
        chain.complete("Hi")
        assert Figures.of(registry)("calls_total", "ending") == {"answered": 1}
        return
    for ask in (chain.complete, chain.stream):
        with pytest.raises(error):
            ask("Hi")
    figures = Figures.of(registry)
    assert figures("calls_total", "mode", "ending") == {("complete", "aborted"): 1, ("stream", "aborted"): 1}
    assert figures("attempts_total", "model", "outcome") == ({(GOOD, "cancelled"): 2} if sim.models_asked else {})
    assert figures("calls_in_progress") == {}


# Of what is lost in a cycle Python ends whichever it likes first: the socket warns if it comes before its stream.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_streams_that_are_dropped(sim: Simulator, registry: CollectorRegistry) -> None:
    """Streams that are left, dropped or lost in a cycle are left early, and no longer in progress."""
    chain = chain_of(sim, registry, GOOD)
    held = [chain.stream("Hi") for _ in range(3)]
    figures = Figures.of(registry)
    assert figures("calls_in_progress", "mode") == {"stream": 3}
    assert figures("attempts_total") == {}
    assert figures("first_token_seconds_count") == {"": 3}
    next(iter(held[0].iter_text()))
    held.pop().close()
    cycle: list[Any] = [held.pop()]
    cycle.append(cycle)
    del cycle
    gc.collect()
    held.clear()
    figures = Figures.of(registry)
    assert figures("calls_total", "ending") == {"left": 3}
    assert figures("attempts_total", "outcome") == {"cancelled": 3}
    assert figures("calls_in_progress") == {}


def test_64_threads(registry: CollectorRegistry) -> None:
    """Of 64 threads with 20 calls each nothing is lost, whole answers and streams, read or left, scraped meanwhile."""
    asked: Counter[str] = Counter()
    lock = threading.Lock()

    def seen(received: Any) -> None:
        with lock:
            asked[received.model] += 1

    with Simulator(remember=False, on_request=seen) as sim:
        sim.script(BUSY, half_busy)
        chain = chain_of(sim, registry)

        def work(thread: int) -> None:
            for number in range(20):
                question = f"{thread} asks {number}"
                if number % 4 == 0:
                    chain.stream(question).close()
                elif number % 4 == 1:
                    chain.stream(question).read()
                else:
                    chain.complete(question)
                if number == 10:
                    Figures.of(registry)

        assert together(64, work) == []
    figures = Figures.of(registry)
    assert figures("calls_total", "mode", "ending") == {
        ("stream", "left"): 320, ("stream", "answered"): 320, ("complete", "answered"): 640,
    }  # fmt: skip
    assert figures("attempts_total", "model") == asked == {BUSY: 1280, GOOD: 640}
    assert figures("attempts_total", "model", "outcome")[BUSY, "busy"] == 640
    assert figures("fallbacks_total", "from_model", "to_model", "reason") == {(BUSY, GOOD, "busy"): 640}
    assert figures("call_seconds_count", "mode") == {"stream": 640, "complete": 640}
    assert figures("calls_in_progress") == {}


# -- labels --


def test_names_of_targets(sim: Simulator, registry: CollectorRegistry) -> None:
    """A model's label is its target's name, told apart also where two targets differ by that alone."""
    sim.script("m/one", status(502), answer())
    targets = [Target("m/one", name="hot", set={"temperature": 1}), Target("m/one", name="cold"), Target("m/two")]
    chain_of(sim, registry, *targets).complete("Hi")
    figures = Figures.of(registry)
    assert figures("attempts_total", "model", "outcome") == {("hot", "busy"): 1, ("cold", "answered"): 1}
    assert figures("fallbacks_total", "from_model", "to_model") == {("hot", "cold"): 1}


def test_whatever_else_is_asked_for(sim: Simulator, registry: CollectorRegistry) -> None:
    """What ``replace()`` asks for beside the chain's models is ``other``, unless ``models`` names it."""
    chain = chain_of(sim, registry, GOOD)
    Prometheus(registry, models=["extra/one"])
    for model in ("extra/one", "extra/two", "extra/three", GOOD):
        chain.replace(models=[model]).complete("Hi")
    sim.script("extra/two", status(502))
    chain.replace(models=["extra/two", GOOD]).complete("Hi")
    figures = Figures.of(registry)
    assert figures("attempts_total", "model") == {"extra/one": 1, "other": 3, GOOD: 2}
    assert figures("fallbacks_total", "from_model", "to_model") == {("other", GOOD): 1}
    assert figures("calls_total", "ending") == {"answered": 5}


def test_10000_names(sim: Simulator, registry: CollectorRegistry) -> None:
    """10,000 names that clients ask for make no more series than one of them."""
    plugin = Prometheus(registry)
    chain_of(sim, registry).complete("Hi")

    def ask(name: str) -> None:
        call = Call("0" * 16, {}, stream=len(name) % 2 == 0)
        busy = Verdict.fallback(Reason.BUSY)
        attempt = Attempt(1, name, "http://x", verdict=busy, first_token=1.0, usage={"cost": 1})
        plugin.orfallback_attempt_started(call, Target(name))
        plugin.orfallback_committed(call, attempt)
        plugin.orfallback_attempt_finished(call, attempt)
        plugin.orfallback_falling_back(call, attempt, Target(f"{name}/next"))
        plugin.orfallback_call_finished(call, None)

    for name in ("a", "ab"):
        ask(name)
    before = Figures.of(registry).series
    for number in range(10_000):
        ask(f"hostile/{number}")
    figures = Figures.of(registry)
    assert figures.series == before
    assert figures("attempts_total", "model", "outcome")["other", "busy"] == 10_002


def test_many_chains(sim: Simulator, registry: CollectorRegistry) -> None:
    """An application that makes a chain of other models for each request has a hundred labels, and ``other``."""
    for number in range(150):
        chain_of(sim, registry, f"user/{number}").complete("Hi")
    models = Figures.of(registry)("attempts_total", "model")
    assert len(models) == 101
    assert models["other"] == 50


def test_odd_names(sim: Simulator, registry: CollectorRegistry) -> None:
    """A name with quotes, line ends, control characters or half a character is shown, in a form that can be read."""
    names = ['say "hi"', "back\\slash", "two\nlines", "\x1b[31mred", "half \ud800", "x" * 1_000, "ünï"]
    chain = chain_of(sim, registry, *(Target("m/one", name=name, set={"n": i}) for i, name in enumerate(names)))
    sim.script("m/one", *[status(502)] * 6, answer())
    chain.complete("Hi")
    shown = Figures.told(b"".join(app_reply(registry)).decode())("attempts_total", "model")
    assert set(shown) == {
        'say "hi"', "back\\slash", "two lines", "[31mred", "half", f"{'x' * 199}…", "ünï",
    }  # fmt: skip


def app_reply(registry: CollectorRegistry) -> list[bytes]:
    """Return what the application for ``/metrics`` answers."""
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": ""}
    return [*metrics_app(registry)(environ, lambda *_: None)]  # type: ignore[arg-type]  # nobody writes


def test_a_verdict_of_a_plugins_own(sim: Simulator, registry: CollectorRegistry) -> None:
    """A reason that is none of the library's, which ends the call, makes no series of its own."""

    class Own:
        def orfallback_classify(self, outcome: Outcome) -> Verdict:
            reason: Any = f"my own {outcome.generation_id}"
            return Verdict.fallback(reason)

    with pytest.raises(AttributeError):
        chain_of(sim, registry, plugins=[Own()]).complete("Hi")
    figures = Figures.of(registry)
    assert figures("attempts_total", "outcome") == {"other": 1}
    assert figures("calls_total", "ending") == {"aborted": 1}


def test_a_clock_that_runs_backwards(sim: Simulator, registry: CollectorRegistry) -> None:
    """An attempt that took less than no time, or no number of seconds, is counted as one that took none."""
    plugin = Prometheus(registry)
    for elapsed in (-5.0, float("nan"), float("inf")):
        attempt = Attempt(1, GOOD, "http://x", elapsed=elapsed, waited=elapsed, first_token=elapsed)
        call = Call("0" * 16, {}, attempts=(attempt,))
        plugin.orfallback_committed(call, attempt)
        plugin.orfallback_attempt_finished(call, attempt)
        plugin.orfallback_call_finished(call, None)
    figures = Figures.of(registry)
    assert (figures.total("attempt_seconds_sum"), figures.total("attempt_seconds_count")) == (0.0, 3)
    assert (figures.total("call_seconds_sum"), figures.total("calls_total")) == (0.0, 3)
    assert figures.total("wait_seconds_total") == 0.0


# -- several of them --


def test_two_chains(sim: Simulator, registry: CollectorRegistry) -> None:
    """Two chains with a plugin each count into the same metrics, in one registry, or each into its own."""
    other = CollectorRegistry()
    chains = [chain_of(sim, each, "a/one", "a/two") for each in (registry, registry, other)]
    for chain in chains:
        chain.complete("Hi")
    assert Figures.of(registry)("attempts_total", "model") == {"a/one": 2}
    assert Figures.of(other)("attempts_total", "model") == {"a/one": 1}
    assert Figures.of(registry).series == Figures.of(other).series


def test_one_plugin_of_two_chains(sim: Simulator, registry: CollectorRegistry) -> None:
    """One plugin may be registered with several chains, and knows the models of all."""
    plugin = Prometheus(registry)
    for model in ("a/one", "a/two"):
        with Chain([model], api_key=KEY, base_url=sim.base_url, plugins=[plugin]) as chain:
            chain.complete("Hi")
    assert Figures.of(registry)("attempts_total", "model") == {"a/one": 1, "a/two": 1}


def test_a_chain_is_counted_once(sim: Simulator, registry: CollectorRegistry) -> None:
    """A second plugin of the same registry is refused, also by ``replace()``; taken off and on again it counts."""
    chain = chain_of(sim, registry)
    with pytest.raises(ValueError, match="already"):
        chain.register(Prometheus(registry))
    with pytest.raises(ValueError, match="already"):
        chain.replace(plugins=[Prometheus(registry)])
    chain.complete("Hi")
    chain.unregister("Prometheus")
    chain.complete("Hi")
    chain.register(Prometheus(registry))
    chain.replace(delay=0).complete("Hi")
    assert Figures.of(registry)("calls_total", "ending") == {"answered": 2}


def test_what_it_takes(registry: CollectorRegistry) -> None:
    """Buckets are the same for a registry; models are names, one or several."""
    Prometheus(registry, models="a/one", buckets=[1, 2])
    with pytest.raises(ValueError, match="other buckets"):
        Prometheus(registry)
    wrong: Any = [Target("a/one")]
    with pytest.raises(TypeError, match="not Target"):
        Prometheus(registry, models=wrong, buckets=[1, 2])
    resting = {labels for name, labels in Figures.of(registry).series if "rests" in name}
    assert resting == {(("model", "a/one"),)}


def test_by_its_name(sim: Simulator) -> None:
    """``ORFALLBACK_PLUGINS=prometheus`` counts into prometheus-client's own registry."""
    environ = {"OPENROUTER_API_KEY": KEY, "OPENROUTER_BASE_URL": sim.base_url, "ORFALLBACK_PLUGINS": "prometheus"}
    model = "only/in-this-test"
    with Chain.from_env({**environ, "ORFALLBACK_MODELS": model}) as chain:
        chain.complete("Hi")
    assert Figures.of(REGISTRY)("attempts_total", "model")[model] == 1


# -- what rests --


def resting(registry: CollectorRegistry) -> dict[str, float]:
    """Return for how long each model rests, in seconds from now."""
    until = Figures.of(registry)("rests_until_timestamp_seconds", "model")
    return {model: instant - time.time() for model, instant in until.items()}


def test_what_rests(sim: Simulator, registry: CollectorRegistry, clock: FakeClock) -> None:
    """A model rests until the instant that is shown, and no longer when it answers again, or was released."""
    sim.script(BUSY, status(429, headers={"Retry-After": "100"}), answer())
    chain = chain_of(sim, registry, cooldown=30, clock=clock)
    assert resting(registry) == {}
    chain.complete("Hi")
    assert resting(registry) == {BUSY: pytest.approx(100, abs=5)}
    clock.advance(50)
    assert resting(registry) == {BUSY: pytest.approx(50, abs=5)}
    clock.advance(51)
    assert resting(registry) == {}
    chain.complete("Hi")
    assert sim.models_asked[-1] == BUSY
    assert resting(registry) == {}
    chain.health.park(GOOD, 60)
    assert resting(registry) == {GOOD: pytest.approx(60, abs=5)}
    chain.health.release(GOOD)
    assert resting(registry) == {}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_rests_without_a_scrape(
    stream: bool, sim: Simulator, registry: CollectorRegistry, clock: FakeClock
) -> None:  # fmt: skip
    """As processes that share files show it: what failed is told at once, and what answers again when it answers."""
    sim.script(BUSY, status(502), answer())
    chain = chain_of(sim, registry, cooldown=30, clock=clock)
    metrics = _series.shared(registry, _series.BUCKETS)
    seen = []

    class Looking:
        def orfallback_call_finished(self) -> None:
            seen.append(metrics._metrics["rests_until_timestamp_seconds"].labels(BUSY)._value.get() - time.time() > 0)

        def orfallback_falling_back(self) -> None:
            self.orfallback_call_finished()

    chain.register(Looking())

    def ask() -> None:
        if stream:
            # It is told when a stream begins, not when it ends.
            chain.stream("Hi").close()
        else:
            chain.complete("Hi")

    ask()
    assert seen == [True, True]
    clock.advance(31)
    ask()
    assert seen == [True, True, False]
    assert metrics.rested(BUSY) is False


def test_what_is_under_way_without_a_scrape(
    sim: Simulator, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """As processes that share files show it: a call is under way while its model is asked, and not when it is over."""
    chain = chain_of(sim, registry, GOOD)
    metrics = _series.shared(registry, _series.BUCKETS)
    monkeypatch.setattr(metrics, "_files", True)
    seen = []

    def look() -> None:
        seen.append(metrics._metrics["calls_in_progress"].labels("complete")._value.get())

    def asked(received: Received) -> Iterator[Step]:
        look()
        return answer()(received)

    sim.script(GOOD, asked)
    chain.complete("Hi")
    look()
    assert seen == [1, 0]


def test_what_rests_in_one_of_two_chains(sim: Simulator, registry: CollectorRegistry) -> None:
    """What rests in one chain is shown, though it answers another one that has a memory of its own."""
    sim.script(BUSY, status(429, headers={"Retry-After": "100"}), answer())
    chain_of(sim, registry, cooldown=30).complete("Hi")
    chain_of(sim, registry, cooldown=30).complete("Hi")
    assert sim.models_asked == [BUSY, GOOD, BUSY]
    assert resting(registry) == {BUSY: pytest.approx(100, abs=5)}


def test_an_instant_that_does_not_tremble(sim: Simulator, registry: CollectorRegistry) -> None:
    """As long as a model rests each scrape shows the same instant, though it is computed anew."""
    sim.script(BUSY, status(502))
    chain_of(sim, registry, cooldown=100).complete("Hi")
    first = Figures.of(registry)("rests_until_timestamp_seconds")
    time.sleep(0.002)
    assert Figures.of(registry)("rests_until_timestamp_seconds") == first != {}


def test_a_chain_that_is_gone(sim: Simulator, registry: CollectorRegistry) -> None:
    """The metrics keep no chain alive."""
    chain = Chain([GOOD], api_key=KEY, base_url=sim.base_url, plugins=[Prometheus(registry)])
    metrics = _series.shared(registry, _series.BUCKETS)
    del chain
    gc.collect()
    assert [each() for each in metrics._chains] == [None]
    assert Figures.of(registry).total("calls_total") == 0


# -- in the middle of counting --


class Probing:
    """A value's lock in which a signal strikes once; it complains where a lock would wait for ever."""

    def __init__(self) -> None:
        self.armed = True
        self.held = False

    def __enter__(self) -> None:
        if self.held:
            raise RuntimeError("this thread waits for itself")
        self.held = True
        if self.armed:
            self.armed = False
            signal.raise_signal(signal.SIGUSR1)

    def __exit__(self, *_: object) -> None:
        self.held = False


@pytest.mark.parametrize("scraped", [False, True], ids=["counting", "reading"])
def test_a_signal_in_the_middle_of_counting(
    scraped: bool, sim: Simulator, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that a signal handler makes while this very thread counts, or is read, waits for nothing, and counts."""
    monkeypatch.setattr(_series, "_TOGETHER", 1)
    chain = chain_of(sim, registry, GOOD)
    calls: list[str] = []

    def handle(number: int, frame: FrameType | None) -> None:
        calls.append(chain.complete("in the handler").text)

    counter = _series.shared(registry, _series.BUCKETS)._metrics["calls_total"].labels("complete", "answered")
    before = signal.signal(signal.SIGUSR1, handle)
    try:
        counter._value._lock = Probing()
        Figures.of(registry) if scraped else chain.complete("Hi")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(calls) == 1
    assert Figures.of(registry)("calls_total", "ending") == {"answered": 1 if scraped else 2}
    assert not counter._value._lock.armed


def test_a_plugin_that_reads_the_metrics(sim: Simulator, registry: CollectorRegistry) -> None:
    """A hook may read the registry, and ask the chain, in the middle of a call."""
    figures = []

    class Reading:
        def orfallback_attempt_finished(self, call: Call) -> None:
            figures.append(Figures.of(registry).total("calls_in_progress"))
            if "nested" not in call.context:
                chain.complete("Hi", context={"nested": True})

    chain = chain_of(sim, registry, GOOD, plugins=[Reading()])
    chain.complete("Hi")
    assert figures == [1, 2]
    assert Figures.of(registry)("calls_total", "ending") == {"answered": 2}


def test_what_waits_to_be_counted(sim: Simulator, registry: CollectorRegistry) -> None:
    """Where nobody looks, what waits to be counted is little, and none of it is a prompt."""
    chain = chain_of(sim, registry)
    metrics = _series.shared(registry, _series.BUCKETS)
    most = 0
    for _ in range(100):
        chain.complete("CANARYPROMPT")
        most = max(most, len(metrics._pending))
    assert 0 < most < _series._TOGETHER
    assert "CANARYPROMPT" not in pickle.dumps([facts for _, facts in metrics._pending]).decode("latin-1")
    assert Figures.of(registry)("calls_total", "ending") == {"answered": 100}


# -- the page --


def rows() -> list[str]:
    """Return the table of the page, from the code."""
    return [
        f"| `orfallback_{name}` | {' '.join(f'`{label}`' for label in kind.labels)} "
        f"| {kind.help} {kind.make.__name__}, in {unit(name)} |".replace("|  |", "| |")
        for name, kind in _series._KINDS.items()
    ]


def unit(name: str) -> str:
    """Return the unit of a metric, which its name ends in unless it counts something."""
    if "timestamp" in name:
        return "seconds since the epoch"
    counted = {"fallbacks": "attempts", "wait": "seconds", "cost": "US dollars", "first": "seconds"}
    first, _, rest = name.partition("_")
    return "seconds" if rest == "seconds" else counted.get(first, first)


def test_the_table_of_metrics() -> None:
    """The page lists every metric with its labels, help, type and unit, as the registry has them."""
    row = r"^\| `orfallback_\w+` \| .*$"
    assert re.findall(row, PAGE.read_text("utf-8"), re.MULTILINE) == rows()


def test_the_table_is_what_is_shown(sim: Simulator, registry: CollectorRegistry) -> None:
    """Names, types, labels and help of the table are those that Prometheus sees."""
    sim.script(BUSY, status(502))
    chain = chain_of(sim, registry)
    chain.complete("Hi")
    chain.stream("Hi").read()
    shown = {}
    for metric in registry.collect():
        labels = {name for sample in metric.samples for name in sample.labels} - {"le"}
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        shown[name.removeprefix("orfallback_")] = metric.type, metric.documentation, labels
    assert shown == {
        name: (kind.make.__name__.lower(), kind.help, set(kind.labels)) for name, kind in _series._KINDS.items()
    }


# -- cost --


def test_what_it_costs(sim: Simulator, registry: CollectorRegistry) -> None:
    """Counting a call costs microseconds (printed, with what a whole call takes; the bound is far beyond)."""
    plugin = Prometheus(registry)
    Chain([GOOD], api_key=KEY, base_url=sim.base_url, plugins=[plugin])
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "cost": 0.25}
    attempt = Attempt(1, GOOD, "http://x", elapsed=0.5, usage=usage)
    call = Call("0" * 16, {}, attempts=(attempt,))
    target = Target(GOOD)

    def counted() -> None:
        plugin.orfallback_attempt_started(call, target)
        plugin.orfallback_attempt_finished(call, attempt)
        plugin.orfallback_call_finished(call, None)

    counted()
    spent = min(cpu_of(counted, 1_000) for _ in range(5))
    bare, watched = (Chain([GOOD], api_key=KEY, base_url=sim.base_url, plugins=each) for each in ([], [plugin]))
    with bare, watched:
        for chain in (bare, watched):
            cpu_of(functools.partial(chain.complete, "Hi"), 50)
        with_it, without = (
            statistics.median(cpu_of(functools.partial(chain.complete, "Hi"), 50) for _ in range(5))
            for chain in (watched, bare)
        )
    print(f"{spent:.1f} µs CPU to count a call; a call takes {without:.0f} µs without it, {with_it:.0f} µs with it")
    assert spent < 250


def cpu_of(work: Callable[[], object], times: int) -> float:
    """Return what something takes of this thread's CPU, in microseconds."""
    before = time.thread_time()
    for _ in range(times):
        work()
    return (time.thread_time() - before) / times * 1e6
