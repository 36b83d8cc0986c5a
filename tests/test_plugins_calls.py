"""Plugins during a call: who decides, who is told, and what neither can break."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Generator
from typing import Any

import pytest
from test_engine import BUSY, GONE, A, B, C, World, target

from orfallback import Call, Chain, ChainExhausted, Outcome, Target, Verdict, hookimpl
from orfallback.testing import FakeClock, Recorder, Simulator, answer, status


class Chooser:
    """Selects a model, if it is offered."""

    def __init__(self, model: str) -> None:
        self._model = model

    def orfallback_select(self, targets: tuple[Target, ...]) -> Target | None:
        """Choose it, or abstain."""
        return next((each for each in targets if each.model == self._model), None)


@pytest.mark.parametrize(
    ("models", "told"),
    [("", "a b c"), ("b", "b a c"), ("bc", "c b a"), ("cb", "b c a"), ("cz", "c a b")],
    ids=["none", "one", "the last wins", "the other way round", "the last abstains"],
)
def test_the_plugin_registered_last_decides(models: str, told: str) -> None:
    """The last registered that answers wins; one that abstains leaves it to the one before, in the end the chain."""
    world = World((A, B, C), dict.fromkeys("abc", GONE), *map(Chooser, models))
    with pytest.raises(ChainExhausted):
        world.complete()
    assert world.told == told


def test_a_wrapper_sees_and_replaces_the_verdict_of_the_chain() -> None:
    """A wrapper on a deciding hook gets what the others answered, and may answer otherwise."""
    seen: list[Verdict | None] = []

    class Wrapper:
        @hookimpl(wrapper=True)
        def orfallback_classify(self) -> Generator[None, Verdict | None, Verdict | None]:
            verdict = yield
            seen.append(verdict)
            return GONE if verdict == BUSY else verdict

    world = World((A, B), {"a": BUSY}, Wrapper())
    assert world.complete() == "b says hello"
    assert (world.told, seen) == ("a b", [BUSY, None])


class Faulty:
    """Raises in every watching hook."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def orfallback_call_started(self) -> None:
        """Raise."""
        raise self._error

    orfallback_attempt_started = orfallback_committed = orfallback_attempt_finished = orfallback_call_started
    orfallback_falling_back = orfallback_call_finished = orfallback_call_started


@pytest.mark.parametrize("error", [ValueError("a %s {}"), OSError(5, "io"), RecursionError()], ids=repr)
def test_an_observer_that_raises_changes_nothing(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """What an observer raises is logged with its name; the call goes on, and the others are told as ever."""
    earlier = Recorder()
    world = World((A, B), {"a": BUSY}, earlier, Faulty(error), stream=True)
    assert world.complete() == "b says hello"
    hooks = [
        "call_started", "attempt_started", "attempt_finished", "falling_back", "attempt_started", "committed",
        "attempt_finished", "call_finished",
    ]  # fmt: skip
    assert (earlier.hooks, world.recorder.hooks) == (hooks, hooks)
    assert [record.getMessage() for record in caplog.records] == [
        f"plugin Faulty failed in orfallback_{hook}; the call goes on without it" for hook in hooks
    ]
    assert {(record.name, record.levelname) for record in caplog.records} == {("orfallback.plugins", "ERROR")}
    assert all(record.exc_info is not None and record.exc_info[1] is error for record in caplog.records)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_an_exit_passes_through_an_observer(error: BaseException) -> None:
    """What is no Exception is no fault of telemetry: it ends the call."""
    with pytest.raises(type(error)) as caught:
        World((A,), {}, Faulty(error)).complete()
    assert caught.value is error


class _BadHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise OSError("disk full")


def test_a_log_that_cannot_be_written_breaks_no_call() -> None:
    """Where a handler raises while an observer's failure is logged, the call still gets its answer."""
    logger = logging.getLogger("orfallback")
    handler = _BadHandler()
    logger.addHandler(handler)
    try:
        assert World((A,), {}, Faulty(ValueError("telemetry"))).complete() == "a says hello"
    finally:
        logger.removeHandler(handler)


def test_what_is_registered_during_a_call_counts_from_the_next() -> None:
    """A call keeps the plugins that it began with; the next one has the new ones, and lacks those taken off."""
    added = Recorder()

    class Swap:
        def orfallback_attempt_started(self) -> None:
            if not world.manager.is_registered(added):
                world.manager.register(added)
                world.manager.unregister(world.recorder)

    world = World((A, B), {"a": BUSY}, Swap())
    world.complete()
    assert (added.hooks, world.balanced()) == ([], True)
    told = len(world.recorder.seen)
    world.complete()
    assert (added.hooks[0], added.hooks[-1]) == ("call_started", "call_finished")
    assert len(world.recorder.seen) == told


def test_a_plugin_may_call_the_chain_again() -> None:
    """A call made from inside a hook is a call of its own, without a deadlock."""
    answers: list[Any] = []

    class Nested:
        def orfallback_falling_back(self) -> None:
            answers.append(World((B,)).complete())

    assert World((A, C), {"a": BUSY}, Nested()).complete() == "c says hello"
    assert answers == ["b says hello"]


def test_prepare_changes_copies_that_the_plugins_share(sim: Simulator) -> None:
    """Each attempt has its own deep copy, which the plugins change in turn; what the caller gave stays as it was."""
    begun: list[Any] = []

    class First:
        def orfallback_prepare(self, target: Target, payload: dict[str, Any], headers: dict[str, str]) -> None:
            payload["messages"][0]["content"] += f" [{target.model}, {headers['X-Second']}]"
            payload["seen"] = payload.pop("mark")
            payload["model"], payload["stream"] = "stolen", True

    class Second:
        def orfallback_prepare(self, call: Call, payload: dict[str, Any], headers: dict[str, str]) -> None:
            begun.append(payload["messages"][0]["content"])
            payload["mark"] = len(call.attempts)
            headers.update({"X-Second": "2", "Authorization": "Bearer stolen"})

    sim.script("a", status(502))
    sim.script("b", answer("hello"))
    messages = [{"role": "user", "content": "hi", "parts": [{"deep": 1}]}]
    plugins = [First(), Second()]
    with Chain(["a", "b"], api_key="sk-test", base_url=sim.base_url, plugins=plugins, clock=FakeClock()) as chain:
        assert chain.complete(messages, temperature=0).text == "hello"
    assert messages == [{"role": "user", "content": "hi", "parts": [{"deep": 1}]}]
    assert begun == ["hi", "hi"]
    assert [received.body for received in sim.requests] == [
        {
            "model": model,
            "messages": [{"role": "user", "content": f"hi [{model}, 2]", "parts": [{"deep": 1}]}],
            "temperature": 0,
            "seen": seen,
        }
        for seen, model in enumerate("ab")
    ]
    assert [received.headers["x-second"] for received in sim.requests] == ["2", "2"]
    assert all(received.authorized for received in sim.requests)


def test_what_prepare_raises_ends_the_call(sim: Simulator) -> None:
    """A plugin that fails to prepare a request is loud: nothing is sent, and the attempt counts as cancelled."""

    class Plugin:
        def orfallback_prepare(self) -> None:
            raise RuntimeError("no tenant")

    recorder = Recorder()
    chain = Chain("a", api_key="sk-test", base_url=sim.base_url, plugins=[Plugin(), recorder])
    with chain, pytest.raises(RuntimeError, match="no tenant"):
        chain.complete("hi")
    assert sim.requests == []
    assert [seen.hook for seen in recorder.seen][-2:] == ["attempt_finished", "call_finished"]
    assert str(recorder.seen[-2].facts["attempt"].reason) == "cancelled"


def test_tracing_shows_hooks_and_plugins_but_no_content(capsys: pytest.CaptureFixture[str]) -> None:
    """A trace names the hook, the plugin and the kind of result, and shows neither arguments nor results."""
    secret = target("secret-model")
    world = World((secret, B), {"secret-model": BUSY}, Chooser("secret-model"))
    world.manager.tracing = True
    world.complete()
    lines = [line.rsplit(", ", 1) for line in capsys.readouterr().err.splitlines()]
    assert [line for line, _ in lines] == [
        "orfallback: orfallback_call_started [Recorder] -> NoneType",
        "orfallback: orfallback_select [Chooser, strategies] -> Target",
        "orfallback: orfallback_attempt_started [Recorder] -> NoneType",
        "orfallback: orfallback_classify [strategies] -> Verdict",
        "orfallback: orfallback_attempt_finished [Recorder] -> NoneType",
        "orfallback: orfallback_select [Chooser, strategies] -> Target",
        "orfallback: orfallback_delay [strategies] -> float",
        "orfallback: orfallback_falling_back [Recorder] -> NoneType",
        "orfallback: orfallback_attempt_started [Recorder] -> NoneType",
        "orfallback: orfallback_classify [strategies] -> NoneType",
        "orfallback: orfallback_attempt_finished [Recorder] -> NoneType",
        "orfallback: orfallback_call_finished [Recorder] -> NoneType",
    ]
    assert all(time.endswith(" µs") and time[:-3].isdigit() for _, time in lines)


def test_tracing_is_off_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Without tracing nothing is printed; switched off again, nothing more is."""
    world = World()
    world.complete()
    world.manager.tracing = True
    world.complete()
    assert "orfallback_call_started" in capsys.readouterr().err
    world.manager.tracing = False
    world.complete()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "none at all"])
def test_a_trace_that_cannot_be_printed_breaks_no_call(closed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stderr that is closed, or missing as under a service, costs the trace and nothing else."""
    stream = io.StringIO()
    stream.close()
    world = World()
    world.manager.tracing = True
    monkeypatch.setattr(sys, "stderr", stream if closed else None)
    assert world.complete() == "a says hello"


def test_a_plugin_judges_good_answers_too() -> None:
    """A plugin that rejects an answer sends the call on to the next target."""

    class Strict:
        def orfallback_classify(self, outcome: Outcome) -> Verdict | None:
            return GONE if outcome.value == "a says hello" else None

    assert World((A, B), {}, Strict()).complete() == "b says hello"


class Introduced:
    """Keeps the models of the chains that it was told of."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.told: list[list[str]] = []
        self._error = error

    def orfallback_registered(self, chain: Chain) -> None:
        """Keep them."""
        if self._error is not None:
            raise self._error
        self.told.append([target.model for target in chain.targets])


def test_a_plugin_is_told_of_its_chain() -> None:
    """A plugin learns of the chain that it is registered with, once it is whole; a copy only where it is new there."""
    early, late = Introduced(), Introduced()
    chain = Chain(["a", "b"], api_key="sk-test", plugins=[early])
    chain.register(late)
    newcomer = Introduced()
    chain.replace(models=["c"], plugins=[newcomer])
    assert (early.told, late.told, newcomer.told) == ([["a", "b"]], [["a", "b"]], [["c"]])


@pytest.mark.parametrize("error", [ValueError("no such directory"), KeyboardInterrupt()], ids=repr)
def test_a_plugin_that_refuses_its_chain(error: BaseException) -> None:
    """What a plugin raises there is seen by whoever registers it, and it is not registered."""
    chain = Chain(["a"], api_key="sk-test")
    plugin = Introduced(error)
    with pytest.raises(type(error)):
        chain.register(plugin)
    assert not chain.plugin_manager.is_registered(plugin)
