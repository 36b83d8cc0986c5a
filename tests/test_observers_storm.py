"""A storm of every kind of fault: what each observer counts is what the simulator saw, exactly."""

from __future__ import annotations

import gc
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from observers import NO_ERROR, Observers, Told
from rows import ROWS
from test_faults import MODELS, expected_order

from orfallback import Call, CallRejected, Chain, ChainExhausted, StreamInterrupted, Timeouts
from orfallback.testing import FakeClock, Received, Simulator, answer, cut, silence, status

_FIRST, _SECOND = "a/first", "b/second"
# How the spans tell of an ending: by the class that the caller saw; a last resort by what it is.
_ERRORS = {"answered": NO_ERROR, "left": NO_ERROR, "broken": "StreamInterrupted", "degraded": "degraded"}


def agree(observers: Observers, expected: Told, seen: Counter[tuple[str, str]], errors: dict[str, str]) -> None:
    """Hold what each observer counted against what is expected, and that against what arrived at the simulator.

    :param expected: calls, attempts and fallbacks, as the host and the scripts have them.
    :param seen: the requests that arrived, by model and mode.
    :param errors: what an ending is called as a span's error.
    """
    asked: Counter[tuple[str, str]] = Counter()
    for (model, mode, _), count in expected.attempts.items():
        asked[model, mode] += count
    assert asked == seen, "each request is an attempt"
    for told in (observers.prometheus(), observers.records()):
        assert told.calls == expected.calls
        assert told.attempts == expected.attempts
        assert told.fallbacks == expected.fallbacks
    spans = observers.spans()
    calls: Counter[tuple[str, str]] = Counter()
    for (mode, ending), count in expected.calls.items():
        calls[mode, errors[ending]] += count
    assert spans.calls == calls
    attempts: Counter[tuple[str, str, str]] = Counter()
    for (model, mode, outcome), count in expected.attempts.items():
        attempts[model, mode, NO_ERROR if outcome in ("answered", "cancelled") else outcome] += count
    assert spans.attempts == attempts
    assert observers.prometheus().tokens == observers.records().tokens == spans.tokens


def arrived(sim: Simulator) -> Counter[tuple[str, str]]:
    """Return the requests that arrived, by model and mode."""
    return Counter((str(got.model), "stream" if got.stream else "complete") for got in sim.requests)


def test_every_row_of_the_fault_table(sim: Simulator, clock: FakeClock, tmp_path: Path) -> None:
    """Over all rows of the table from signal to verdict, in both modes, the three observers count what arrived."""
    observers = Observers(tmp_path)
    options: dict[str, Any] = {"api_key": "sk-test", "base_url": sim.base_url, "clock": clock, "cooldown": None}
    chain = Chain(MODELS, plugins=observers.plugins, **options)
    expected = Told()
    sim.default(answer("Hi"))
    for row, mode in [(each, mode) for each in ROWS for mode in each.modes]:
        order = expected_order(row)
        sim.script(MODELS[0], row.behaviour, answer("Hi")) if row.again else sim.script(MODELS[0], row.behaviour)
        # What dies without a word on a kept connection would be sent once more, and arrive once or twice.
        chain.close()
        copy = chain.replace(timeouts=Timeouts(**dict(row.timeouts)))
        expected.attempts[order[0], mode, str(row.reason)] += 1
        try:
            copy.complete("Hi") if mode == "complete" else copy.stream("Hi").read()
        except CallRejected:
            expected.calls[mode, "failed"] += 1
        else:
            expected.calls[mode, "answered"] += 1
            expected.attempts[order[-1], mode, "answered"] += 1
            expected.fallbacks[order[0], order[-1], str(row.reason)] += 1
    assert len(expected.attempts) > 30
    agree(observers, expected, arrived(sim), {"answered": NO_ERROR, "failed": "CallRejected"})


class _Sorry:
    """Gives a last resort where the host says so."""

    def orfallback_exhausted(self, call: Call) -> str | None:
        """Give it."""
        return "Sorry" if call.context.get("sorry") else None


@pytest.fixture
def chain(sim: Simulator, clock: FakeClock, observers: Observers) -> Chain:
    """A chain of two models, the first of which is busy, without memory."""
    sim.script(_FIRST, status(502))
    options: dict[str, Any] = {"api_key": "sk-test", "base_url": sim.base_url, "clock": clock, "cooldown": None}
    return Chain([_FIRST, _SECOND], plugins=[*observers.plugins, _Sorry()], **options)


@pytest.fixture
def observers(tmp_path: Path) -> Observers:
    """The three of them."""
    return Observers(tmp_path)


def both_fail(expected: Told, mode: str, ending: str, reason: str) -> None:
    """Expect a call whose first model is busy, and whose second fails as well, or is cancelled."""
    expected.calls[mode, ending] += 1
    expected.attempts[_FIRST, mode, "busy"] += 1
    expected.attempts[_SECOND, mode, reason] += 1
    expected.fallbacks[_FIRST, _SECOND, "busy"] += 1


def test_streams_that_are_left_dropped_or_broken(chain: Chain, sim: Simulator, observers: Observers) -> None:
    """Streams left at once or after a few words, dropped or broken are counted as that, and the server saw them go."""
    # Long enough for the server to be in the middle of it when its reader goes.
    sim.script(_SECOND, *[answer(" ".join(["word"] * 400), pace=0.05)] * 5, cut("content"))
    expected = Told()
    for leave in (_close, _close, _read_and_close, _drop, _drop):
        leave(chain)
        both_fail(expected, "stream", "left", "cancelled")
    for _ in range(3):
        with pytest.raises(StreamInterrupted):
            chain.stream("Hi").read()
        both_fail(expected, "stream", "broken", "truncated")
    assert sim.wait_idle()
    assert [got.model for got in sim.left_early] == [_SECOND] * 5
    agree(observers, expected, arrived(sim), _ERRORS)


def _close(chain: Chain) -> None:
    chain.stream("Hi").close()


def _read_and_close(chain: Chain) -> None:
    with chain.stream("Hi") as stream:
        next(stream)
        next(stream)


def _drop(chain: Chain) -> None:
    chain.stream("Hi")
    gc.collect()


@pytest.mark.parametrize("mode", ["complete", "stream"])
def test_last_resorts_and_failures(mode: str, chain: Chain, sim: Simulator, observers: Observers) -> None:
    """Calls that nobody answers have failed, or are degraded where a plugin gives a last resort."""
    sim.script(_SECOND, status(503))
    ask = chain.complete if mode == "complete" else chain.stream
    expected = Told()
    for _ in range(3):
        answered = ask("Hi", context={"sorry": True})
        assert (answered if mode == "complete" else answered.read()).text == "Sorry"  # type: ignore[union-attr]
        both_fail(expected, mode, "degraded", "busy")
    for _ in range(2):
        with pytest.raises(ChainExhausted):
            ask("Hi")
        both_fail(expected, mode, "failed", "busy")
    agree(observers, expected, arrived(sim), {**_ERRORS, "failed": "ChainExhausted"})


@pytest.mark.parametrize("mode", ["complete", "stream"])
def test_ctrl_c(mode: str, tmp_path: Path, clock: FakeClock) -> None:
    """A call that Ctrl-C strikes while a model is asked was aborted, its attempt cancelled; the server saw it go."""
    observers = Observers(tmp_path)
    main = threading.main_thread().ident
    assert main is not None

    def strike(got: Received) -> None:
        if got.model == _SECOND:
            signal.pthread_kill(main, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    expected = Told()
    try:
        with Simulator(on_request=strike) as sim:
            sim.script(_FIRST, status(502))
            sim.script(_SECOND, silence())
            options: dict[str, Any] = {"api_key": "sk-test", "base_url": sim.base_url, "clock": clock}
            with Chain([_FIRST, _SECOND], cooldown=None, plugins=observers.plugins, **options) as chain:
                for _ in range(3):
                    with pytest.raises(KeyboardInterrupt):
                        chain.complete("Hi") if mode == "complete" else chain.stream("Hi")
                    both_fail(expected, mode, "aborted", "cancelled")
            assert sim.wait_idle()
            assert [got.model for got in sim.left_early] == [_SECOND] * 3
            agree(observers, expected, arrived(sim), {"aborted": "KeyboardInterrupt"})
    finally:
        signal.signal(signal.SIGINT, before)


def test_64_threads(chain: Chain, sim: Simulator, observers: Observers) -> None:
    """64 threads that call at the same time, in both modes, some leaving early, lose and double no count."""
    expected = Told()
    barrier = threading.Barrier(64)

    def work(number: int) -> None:
        barrier.wait(30)
        for _ in range(5):
            if number % 2:
                chain.complete("Hi")
            elif number % 4:
                chain.stream("Hi").read()
            else:
                chain.stream("Hi").close()

    with ThreadPoolExecutor(64) as pool:
        for done in [pool.submit(work, number) for number in range(64)]:
            done.result(60)
    for mode, ending, outcome, count in (
        ("complete", "answered", "answered", 160),
        ("stream", "answered", "answered", 80),
        ("stream", "left", "cancelled", 80),
    ):
        expected.calls[mode, ending] = count
        expected.attempts[_FIRST, mode, "busy"] += count
        expected.attempts[_SECOND, mode, outcome] = count
    expected.fallbacks[_FIRST, _SECOND, "busy"] = 320
    agree(observers, expected, arrived(sim), _ERRORS)
    assert observers.records().tokens[_SECOND, "completion"] > 0
