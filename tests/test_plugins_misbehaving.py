"""Plugins that are slow, raise, ask the chain, change its plugins or fork in a hook harm nobody but themselves."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from typing import Any

import pluggy
import pytest
from test_threads import together

from orfallback import Chain, ChainExhausted, DeadlineExceeded, LowestLatency, Reason, Timeouts, hookspecs
from orfallback.testing import FakeClock, Recorder, Simulator, answer, silence, status

#: What the good model says.
TEXT = "one two three four"
WATCHING = [name.removeprefix("orfallback_") for name in hookspecs.WATCHING]
#: Those that are asked in a call that falls back and is answered.
DECIDING = ["select", "admit", "prepare", "classify", "delay"]


class Acting:
    """Does something in one of the hooks, or in several.

    :ivar times: how often it was told.
    """

    def __init__(self, *hooks: str, act: Callable[[], object]) -> None:
        self.times = 0
        self._act = act
        for hook in hooks:
            setattr(self, f"orfallback_{hook}", self._told)

    def _told(self) -> None:
        self.times += 1
        self._act()


@pytest.fixture(autouse=True)
def _models(sim: Simulator) -> None:
    """Make the first model busy, and let the second one talk for a while."""
    sim.script("a/busy", status(502))
    sim.script("b/good", answer(TEXT, pace=0.01))


def made(sim: Simulator, *plugins: object, **options: Any) -> Chain:
    """Return a chain that hardly waits, and lets none of its models rest."""
    options = {"delay": 0.01, "cooldown": None, "plugins": plugins, **options}
    return Chain(["a/busy", "b/good"], api_key="sk-test", base_url=sim.base_url, **options)


def streamed(chain: Chain) -> Any:
    """Read a stream."""
    return chain.stream("Hi").read()


def whole(chain: Chain) -> Any:
    """Ask for a whole answer."""
    return chain.complete("Hi")


both = pytest.mark.parametrize("ask", [whole, streamed])


def hooks_of(ask: Callable[[Chain], Any]) -> list[str]:
    """Return the hooks that an observer is told in such a call."""
    begun = ["call_started", "attempt_started", "attempt_finished", "falling_back", "attempt_started"]
    return [*begun, *(["committed"] if ask is streamed else []), "attempt_finished", "call_finished"]


def is_undisturbed(ask: Callable[[Chain], Any], chain: Chain, other: Recorder) -> None:
    """Check that a call is answered as ever, and that another observer is told everything, once and in order."""
    told = len(other.seen)
    answered = ask(chain)
    assert answered.text == TEXT
    assert [(each.model, each.reason) for each in answered.attempts] == [("a/busy", Reason.BUSY), ("b/good", None)]
    assert other.hooks[told:] == hooks_of(ask)


def resting(chain: Chain) -> list[str]:
    """Return the models that rest."""
    return [each.model for each in chain.health.snapshot() if each.resting]


def is_idle(sim: Simulator, chain: Chain) -> bool:
    """Close a chain, and tell whether no connection is left."""
    chain.close()
    return sim.wait_idle()


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the log says of plugins."""
    return [each.getMessage() for each in caplog.records if each.name == "orfallback.plugins"]


# -- slow --

#: Longer than any limit of the model's (s).
_LONG, _LIMIT = 0.5, 0.35


@both
@pytest.mark.parametrize("hook", WATCHING)
def test_a_slow_observer(sim: Simulator, ask: Callable[[Chain], Any], hook: str) -> None:
    """An observer that takes longer than a model may makes no model time out, and is not billed to any."""
    slow, other = Acting(hook, act=lambda: time.sleep(_LONG)), Recorder()
    timeouts = Timeouts(first_token=_LIMIT, idle=_LIMIT, answer=_LIMIT)
    is_undisturbed(ask, made(sim, slow, other, timeouts=timeouts), other)
    finished = [seen.facts["attempt"] for seen in other.seen if seen.hook == "attempt_finished"]
    assert all(each.elapsed < _LONG for each in finished[: 1 if ask is streamed else 2])
    assert all((each.first_token or 0) < _LONG for each in finished)
    assert slow.times == hooks_of(ask).count(hook)


def test_a_slow_classifier_is_not_billed_to_the_model(sim: Simulator) -> None:
    """What judging takes is no part of the time that a model took."""
    clock = FakeClock()
    chain = made(sim, Acting("classify", act=lambda: clock.advance(60)), clock=clock)
    assert [attempt.elapsed for attempt in chain.complete("Hi").attempts] == [0, 0]


@both
@pytest.mark.parametrize("hook", ["call_started", "attempt_started", "falling_back"])
def test_a_slow_observer_eats_up_the_deadline(sim: Simulator, ask: Callable[[Chain], Any], hook: str) -> None:
    """When an observer has used up the call's time no further model is asked, and none is blamed, or rests."""
    clock = FakeClock()
    slow, other, latency = Acting(hook, act=lambda: clock.advance(700)), Recorder(), LowestLatency(least=1, explore=0)
    chain = made(sim, slow, other, latency, clock=clock, cooldown=30)
    with pytest.raises(DeadlineExceeded) as caught:
        ask(chain)
    asked = ["a/busy"] if hook == "falling_back" else []
    assert sim.models_asked == asked
    assert [each.model for each in caught.value.attempts if each.reason is not Reason.CANCELLED] == asked
    started, finished = (other.hooks.count(f"attempt_{what}") for what in ("started", "finished"))
    assert started == finished == len(caught.value.attempts)
    assert "b/good" not in resting(chain)
    chain.unregister(slow)
    clock.advance(100)
    assert ask(chain).text == TEXT


def test_a_model_that_was_left_no_time_does_not_rest(sim: Simulator) -> None:
    """A model that is cut off by the deadline, of which an observer has used up the most, does not rest for it."""
    sim.script("a/busy", silence())
    chain = made(sim, Acting("call_started", act=lambda: time.sleep(0.4)), timeouts=Timeouts(deadline=0.6), cooldown=30)
    with pytest.raises(DeadlineExceeded):
        chain.complete("Hi")
    assert resting(chain) == []


@both
@pytest.mark.parametrize("hook", [*WATCHING, *DECIDING])
def test_the_log_names_a_slow_plugin(
    sim: Simulator, ask: Callable[[Chain], Any], hook: str, caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    """A hook that takes a second or more is named in the log, once for each plugin."""
    now = [0.0]
    monkeypatch.setattr("orfallback._plugins.perf_counter", lambda: now[0])

    def sleep() -> None:
        now[0] += 1.25

    chain = made(sim, Recorder())
    chain.register(Acting(hook, act=sleep), "sluggish")
    for _ in range(2):
        assert ask(chain).text == TEXT
    told = f"plugin sluggish took 1.2 s in orfallback_{hook}; the call waited for it"
    assert complaints(caplog) == ([told] if hook in hooks_of(ask) or hook in DECIDING else [])


def test_the_log_names_a_slow_last_resort(
    sim: Simulator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of hooks that are asked in one go all plugins are named, but not the chain's own strategies."""
    now = [0.0]
    monkeypatch.setattr("orfallback._plugins.perf_counter", lambda: now[0])

    def sleep() -> None:
        now[0] += 2

    sim.script("b/good", status(404))
    chain = made(sim)
    chain.register(Acting("exhausted", "select", act=sleep), "sluggish")
    chain.register(Acting("exhausted", act=lambda: None), "quick")
    with pytest.raises(ChainExhausted):
        chain.complete("Hi")
    assert complaints(caplog) == [
        "plugin sluggish took 2.0 s in orfallback_select; the call waited for it",
        "plugin quick, sluggish took 2.0 s in orfallback_exhausted; the call waited for it",
    ]


def test_a_quick_plugin_is_not_named(sim: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    """Plugins that take less than a second are not spoken of."""
    assert whole(made(sim, Acting(*WATCHING, *DECIDING, act=lambda: None))).text == TEXT
    assert complaints(caplog) == []


def test_a_trace_shows_what_prepares(sim: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    """With the trace on, a plugin that changes what is sent is shown as any other."""
    chain = made(sim)
    chain.register(Acting("prepare", act=lambda: None), "preparing")
    chain.plugin_manager.tracing = True
    assert whole(chain).text == TEXT
    assert capsys.readouterr().err.count("orfallback: orfallback_prepare [preparing] -> NoneType, ") == 2


# -- raising --


@both
@pytest.mark.parametrize("hook", WATCHING)
def test_an_observer_that_raises(
    sim: Simulator, ask: Callable[[Chain], Any], hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What an observer raises is in the log, with its name and its hook, and nowhere else."""
    faulty, other = Acting(hook, act=lambda: 1 // 0), Recorder()
    chain = made(sim, Recorder(), other)
    chain.register(faulty, "faulty")
    is_undisturbed(ask, chain, other)
    told = [f"plugin faulty failed in orfallback_{hook}; the call goes on without it"] * hooks_of(ask).count(hook)
    assert complaints(caplog) == told


def strike(error: type[BaseException]) -> Callable[[], None]:
    """Return what raises it."""

    def act() -> None:
        raise error

    return act


@both
@pytest.mark.parametrize("hook", WATCHING)
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_observer_that_exits(
    sim: Simulator, ask: Callable[[Chain], Any], hook: str, error: type[BaseException]
) -> None:
    """What is no Exception ends the call, the others are told of its end, and the next one is as good as any."""
    exiting, other = Acting(hook, act=strike(error)), Recorder()
    chain = made(sim, exiting, other)
    if hook in hooks_of(ask):
        with pytest.raises(error):
            ask(chain)
        assert (other.hooks[0], other.hooks[-1]) == ("call_started", "call_finished")
        assert other.hooks.count("attempt_started") == other.hooks.count("attempt_finished")
    chain.unregister(exiting)
    is_undisturbed(ask, chain, other)
    assert is_idle(sim, chain)


@both
@pytest.mark.parametrize("hook", DECIDING)
def test_a_decider_that_raises(sim: Simulator, ask: Callable[[Chain], Any], hook: str) -> None:
    """What a deciding plugin raises is seen by the caller, the others are told the end, and the next call is well."""
    faulty, other = Acting(hook, act=strike(ZeroDivisionError)), Recorder()
    chain = made(sim, faulty, other, cooldown=30)
    with pytest.raises(ZeroDivisionError):
        ask(chain)
    assert other.hooks.count("attempt_started") == other.hooks.count("attempt_finished")
    assert other.seen[-1].facts["error"] is ZeroDivisionError
    chain.unregister(faulty)
    assert ask(chain).text == TEXT
    assert is_idle(sim, chain)


# -- asking the chain --


@both
@pytest.mark.parametrize("inner", [whole, streamed])
@pytest.mark.parametrize("hook", [*WATCHING, *DECIDING])
def test_a_plugin_that_asks_its_own_chain(
    sim: Simulator, ask: Callable[[Chain], Any], inner: Callable[[Chain], Any], hook: str
) -> None:
    """A call in a hook, of the very chain that is in a call, is a call of its own, and neither disturbs the other."""
    asked: list[str] = []

    def again() -> None:
        if nested.times == 1:
            asked.append(inner(chain).text)

    nested, other = Acting(hook, act=again), Recorder()
    chain = made(sim, nested, other)
    answered = ask(chain)
    assert answered.text == TEXT
    assert [(each.model, each.reason) for each in answered.attempts] == [("a/busy", Reason.BUSY), ("b/good", None)]
    happens = hook in hooks_of(ask) or hook in DECIDING
    assert asked == ([TEXT] if happens else [])
    calls: dict[str, list[str]] = {}
    for seen in other.seen:
        calls.setdefault(seen.facts["call"].id, []).append(seen.hook)
    expected = [hooks_of(ask), hooks_of(inner)] if happens else [hooks_of(ask)]
    assert sorted(calls.values()) == sorted(expected)
    assert is_idle(sim, chain)


# -- changing the plugins --


@both
@pytest.mark.parametrize("hook", [*WATCHING, *DECIDING])
def test_a_plugin_that_registers_another(sim: Simulator, ask: Callable[[Chain], Any], hook: str) -> None:
    """What is registered, or taken off, in a hook counts from the next call; the call under way has what it had."""
    added, other = Recorder(), Recorder()

    def swap() -> None:
        if swapping.times == 1:
            chain.register(added, "added")
            chain.unregister(gone)
            chain.unregister(swapping)

    gone = Acting("call_started", "call_finished", act=lambda: None)
    swapping = Acting(hook, act=swap)
    chain = made(sim, gone, swapping, other)
    is_undisturbed(ask, chain, other)
    happens = hook in hooks_of(ask) or hook in DECIDING
    assert (added.hooks, gone.times) == ([], 2)
    is_undisturbed(ask, chain, other)
    assert (added.hooks, gone.times) == ((hooks_of(ask), 2) if happens else ([], 4))
    assert swapping.times == (hooks_of(ask).count(hook) if hook in WATCHING else swapping.times)


def test_a_call_while_a_plugin_is_registered(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that begins while a plugin is registered, or taken off, does not hide that from the calls after it."""
    chain, other = made(sim), Recorder()

    def overtaken(name: str) -> None:
        real = getattr(pluggy.PluginManager, name)

        def late(self: pluggy.PluginManager, *args: Any) -> Any:
            if self is chain.plugin_manager:
                # As another thread would, just then.
                chain.complete("Hi")
            return real(self, *args)

        monkeypatch.setattr(pluggy.PluginManager, name, late)

    overtaken("register")
    overtaken("unregister")
    chain.register(other)
    is_undisturbed(whole, chain, other)
    chain.unregister(other)
    told = len(other.hooks)
    chain.complete("Hi")
    assert len(other.hooks) == told


def test_threads_call_while_plugins_come_and_go(sim: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    """Of 16 threads that ask while others register plugins and take them off, each gets its answer."""
    caplog.set_level(logging.ERROR, "orfallback")
    sim.script("b/good", answer(TEXT))
    chain = made(sim, delay=0)

    def work(number: int) -> None:
        for _ in range(20):
            if number % 4:
                assert (whole if number % 2 else streamed)(chain).text == TEXT
            else:
                plugin = Recorder()
                chain.register(plugin, f"plugin {number}")
                chain.unregister(plugin)

    assert together(16, work) == []
    assert complaints(caplog) == []


# -- forking --


class Forking:
    """Forks in a hook, once: the nth time that it is told.

    :ivar child: where a child tells what it found; None in the parent.
    :ivar found: what the child told.
    """

    def __init__(self, hook: str, *, leaves: bool, at: int = 1) -> None:
        self.child: int | None = None
        self.found: Any = None
        self._leaves = leaves
        self._left = at
        setattr(self, f"orfallback_{hook}", self._fork)

    def _fork(self) -> None:
        self._left -= 1
        if self._left:
            return
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            if self._leaves:
                os._exit(0)
            self.child = writer
            return
        os.close(writer)
        # The child goes first, whatever it does to what it shares.
        with os.fdopen(reader, "rb") as pipe:
            self.found = json.loads(pipe.read() or "null")
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0


def outcome(ask: Callable[[Chain], Any], chain: Chain) -> str:
    """Return the text, or the error's class."""
    try:
        return str(ask(chain).text)
    except Exception as error:  # noqa: BLE001 - the test judges it
        return type(error).__name__


@both
@pytest.mark.parametrize("leaves", [True, False], ids=["the child leaves", "the child goes on"])
@pytest.mark.parametrize("hook", [*WATCHING, *DECIDING])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_plugin_that_forks(sim: Simulator, ask: Callable[[Chain], Any], hook: str, leaves: bool) -> None:
    """A child that is forked in a hook, and leaves, or goes on with the call and the chain, takes nothing away."""
    forking, other = Forking(hook, leaves=leaves), Recorder()
    chain = made(sim, forking, other)
    try:
        told = outcome(ask, chain)
        if forking.child is not None:
            again = [outcome(whole, chain), outcome(streamed, chain)]
            os.write(forking.child, json.dumps([told, *again]).encode())
    finally:
        if forking.child is not None:
            os._exit(0)
    assert told == TEXT
    assert other.hooks == hooks_of(ask)
    if not leaves and (hook in hooks_of(ask) or hook in DECIDING):
        mine, *others = forking.found
        assert others == [TEXT, TEXT]
        # What was on its way already is the parent's.
        assert mine in (TEXT, "StreamConsumedError")
    is_undisturbed(ask, chain, other)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_a_stream_is_judged(sim: Simulator) -> None:
    """A child that is forked when a stream has begun, and goes on, leaves the stream to its parent."""
    forking = Forking("classify", leaves=False, at=2)
    chain = made(sim, forking)
    try:
        told = outcome(streamed, chain)
        if forking.child is not None:
            os.write(forking.child, json.dumps([told, outcome(streamed, chain)]).encode())
    finally:
        if forking.child is not None:
            os._exit(0)
    assert told == TEXT
    assert forking.found == ["StreamConsumedError", TEXT]
