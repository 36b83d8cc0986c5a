"""Which span is current while, and after, a chain is asked: in other threads, nested, interrupted, forked."""

from __future__ import annotations

import contextvars
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.util.genai.handler import TelemetryHandler
from telemetry import Propagating, Telemetry, asked_by, facts, id_of, nothing_is_current, parent_of

from orfallback import Attempt, Call, Chain, Target
from orfallback.testing import Simulator, answer, status


@pytest.fixture
def telemetry() -> Telemetry:
    """An SDK in memory."""
    return Telemetry()


@pytest.fixture
def chain(sim: Simulator, telemetry: Telemetry) -> Chain:
    """A chain of two models, the first of which is busy."""
    sim.script("a/busy", status(502))
    sim.script("b/good", answer("one two three"))
    return made(sim, telemetry)


def made(sim: Simulator, telemetry: Telemetry, *more: object) -> Chain:
    """Return a chain that waits for nobody."""
    plugins = [telemetry.plugin, Propagating(), *more]
    models = ["a/busy", "b/good"]
    return Chain(models, api_key="sk-test", base_url=sim.base_url, delay=0, cooldown=None, plugins=plugins)


@pytest.fixture(autouse=True)
def _no_complaint(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """OpenTelemetry and the chain's plugins have nothing to complain of, and no test leaves a span current."""
    yield
    complaints = [each for each in caplog.records if each.levelno >= logging.WARNING and each.name != "orfallback"]
    assert [each.getMessage() for each in complaints] == []
    assert nothing_is_current()


def current() -> int:
    """Return the identity of the current span, 0 if there is none."""
    return trace.get_current_span().get_span_context().span_id


def test_what_the_application_does_meanwhile(chain: Chain, telemetry: Telemetry) -> None:
    """While a stream is read the application's own span is current, and what it begins is no part of the call."""
    with telemetry.tracer.start_as_current_span("request") as mine:
        stream = chain.stream("Hi")
        assert current() == id_of(mine)
        for _ in stream:
            with telemetry.tracer.start_as_current_span("mine"):
                pass
        assert current() == id_of(mine)
        chain.complete("Hi")
        assert current() == id_of(mine)
    assert {parent_of(span) for span in telemetry.spans if span.name == "mine"} == {id_of(mine)}
    assert [parent_of(call.call) for call in telemetry.calls] == [id_of(mine)] * 2


def test_a_degraded_stream_leaves_nothing_current(chain: Chain, sim: Simulator, telemetry: Telemetry) -> None:
    """A stream that a plugin gave leaves nothing current, though it never had a first content."""

    class Sorry:
        def orfallback_exhausted(self) -> str:
            return "Sorry"

    chain.register(Sorry())
    sim.script("b/good", status(503))
    stream = chain.stream("Hi")
    assert nothing_is_current()
    stream.read()
    assert len(telemetry.calls[0].attempts) == 2


def test_the_attempt_is_current_while_it_is_made(sim: Simulator, chain: Chain, telemetry: Telemetry) -> None:
    """Hooks that run while a model is asked see the attempt's span; those around it the application's."""
    seen: list[tuple[str, int]] = []

    class Looking:
        def orfallback_select(self) -> None:
            seen.append(("select", current()))

        def orfallback_classify(self) -> None:
            seen.append(("classify", current()))

    chain.register(Looking())
    chain.complete("Hi")
    first, second = (id_of(each) for each in telemetry.calls[0].attempts)
    assert seen == [("select", 0), ("classify", first), ("select", 0), ("classify", second)]
    assert [asked_by(received) for received in sim.requests] == [first, second]


def elsewhere(work: Callable[[], object]) -> None:
    """Do something in another thread, whose context is empty."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def in_a_context(work: Callable[[], object]) -> None:
    """Do something in another context of this thread, as a web server that closes what it iterated."""
    contextvars.copy_context().run(work)


@pytest.mark.parametrize("place", [elsewhere, in_a_context])
@pytest.mark.parametrize("end", ["read", "close"])
def test_a_stream_ends_elsewhere(chain: Chain, telemetry: Telemetry, place: Any, end: str) -> None:
    """A stream that another thread, or another context, reads or closes ends its spans, and says nothing."""
    with telemetry.tracer.start_as_current_span("request") as mine:
        stream = chain.stream("Hi")
    place(getattr(stream, end))
    [call] = telemetry.calls
    assert parent_of(call.call) == id_of(mine)
    assert call.told == [("a/busy", "busy"), ("b/good", None)]
    assert telemetry.plugin._running == {}


def test_streams_that_overlap(chain: Chain, telemetry: Telemetry) -> None:
    """Streams that are open at once and end in the order in which they began keep to their own spans."""
    streams = []
    for number in range(3):
        with telemetry.tracer.start_as_current_span(f"request {number}"):
            streams.append(chain.stream("Hi"))
    for stream in streams:
        stream.read()
    parents = [span for span in telemetry.spans if span.name.startswith("request")]
    assert [parent_of(call.call) for call in telemetry.calls] == [id_of(each) for each in parents]
    assert [len(call.attempts) for call in telemetry.calls] == [2, 2, 2]


@pytest.mark.parametrize("hook", ["attempt_started", "classify", "attempt_finished", "falling_back", "call_finished"])
def test_nested_chains(sim: Simulator, chain: Chain, telemetry: Telemetry, hook: str) -> None:
    """A plugin that asks another chain makes a call with spans of its own; those of the outer one stay as they are."""
    inner = made(sim, telemetry)

    class Nested:
        def __init__(self) -> None:
            self.asked = 0

        def ask(self) -> None:
            if not self.asked:
                self.asked = current() or -1
                assert inner.complete("inner").text == "one two three"
                inner.stream("inner").read()

    nested = Nested()
    setattr(nested, f"orfallback_{hook}", nested.ask)
    chain.register(nested)
    chain.complete("outer")
    calls = telemetry.calls
    assert [call.told for call in calls] == [[("a/busy", "busy"), ("b/good", None)]] * 3
    served = [facts(call.attempts[0]).get("gen_ai.response.model") for call in calls]
    assert served == [None] * 3, "the outer attempt takes nothing over from an inner one"
    outer = calls[0]
    inside = [parent_of(call.call) for call in calls if call is not outer]
    assert inside == [max(nested.asked, 0)] * 2
    if hook == "classify":
        assert nested.asked == id_of(outer.attempts[0])
    assert sorted(asked_by(received) for received in sim.requests) == sorted(
        id_of(each) for call in calls for each in call.attempts
    )


def test_inside_of_an_inference_of_somebody_else(chain: Chain, telemetry: Telemetry) -> None:
    """Where an instrumentation of the application's has begun an inference, it alone counts it, as they agreed."""
    handler = TelemetryHandler(**telemetry.providers, instrumentation_scope_name="application")
    with handler.inference("acme", request_model="wrapper") as outer:
        chain.complete("Hi")
    [call] = telemetry.calls
    assert call.attempts == []
    assert parent_of(call.call) == id_of(outer.span)
    assert telemetry.metric("gen_ai.client.operation.duration", "gen_ai.provider.name") == {("acme",): 1}
    assert facts(telemetry.spans[0])["gen_ai.response.model"] == "b/good"


HOOKS = ["attempt_started", "committed", "attempt_finished", "call_finished"]


@pytest.mark.parametrize("hook", [*HOOKS, "classify", "prepare"])
@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_interruptions(
    sim: Simulator, telemetry: Telemetry, caplog: pytest.LogCaptureFixture, hook: str, early: bool, error: Any
) -> None:
    """Whatever strikes in a hook, before or after the plugin has its turn, nothing stays current, or under way."""

    class Struck:
        pass

    def strike() -> None:
        raise error

    struck = Struck()
    setattr(struck, f"orfallback_{hook}", strike)
    sim.script("a/busy", status(502))
    plugins = [struck, telemetry.plugin] if early else [telemetry.plugin, struck]
    options: dict[str, Any] = {"api_key": "sk-test", "base_url": sim.base_url, "delay": 0, "cooldown": None}
    chain = Chain(["a/busy", "b/good"], plugins=plugins, **options)
    for ask in (chain.complete, lambda prompt: chain.stream(prompt).read()):
        try:
            ask("Hi")
        except error:
            pass
        assert nothing_is_current()
    assert len(telemetry.calls) == 2
    assert telemetry.plugin._running == {}
    caplog.clear()


def test_calls_that_never_end_are_bounded(telemetry: Telemetry) -> None:
    """Calls of which the plugin never hears again are forgotten beyond ten thousand."""
    for number in range(20_100):
        telemetry.plugin.orfallback_call_started(Call(f"{number:016x}", {}))
    assert len(telemetry.plugin._running) <= 10_000


def test_a_call_that_it_never_saw_begin(telemetry: Telemetry) -> None:
    """Hooks for a call that it does not know, or has forgotten, change nothing."""
    call, attempt = Call("0123456789abcdef", {}), Attempt(1, "m", "")
    telemetry.plugin.orfallback_attempt_started(call, Target("m"), 1)
    telemetry.plugin.orfallback_committed(call, attempt)
    telemetry.plugin.orfallback_attempt_finished(call, attempt)
    telemetry.plugin.orfallback_call_finished(call, None)
    assert telemetry.spans == []


def test_an_attempt_whose_end_it_never_heard_of(telemetry: Telemetry) -> None:
    """Where a second interruption swallows the end of an attempt, it ends with its call, and is current no more."""
    call = Call("0123456789abcdef", {})
    telemetry.plugin.orfallback_call_started(call)
    telemetry.plugin.orfallback_attempt_started(call, Target("m", base_url="http://localhost/v1"), 1)
    assert current()
    telemetry.plugin.orfallback_call_finished(call, KeyboardInterrupt())
    assert nothing_is_current()
    assert [[span.name for span in traced.attempts] for traced in telemetry.calls] == [["chat m"]]


# -- processes --


def in_a_child(work: Callable[[], Any]) -> Any:
    """Return what a forked process finds."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        found = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(found)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork(chain: Chain, telemetry: Telemetry) -> None:
    """A child's calls have spans of their own; a stream that it inherits is its parent's, and ends there."""
    stream = chain.stream("Hi")

    def child() -> Any:
        stream.close()
        chain.complete("Hi")
        return [call.told for call in telemetry.calls], nothing_is_current()

    told = [["a/busy", "busy"], ["b/good", None]]
    assert in_a_child(child) == [[told], True]
    assert telemetry.calls == []
    stream.read()
    assert [call.told for call in telemetry.calls] == [[("a/busy", "busy"), ("b/good", None)]]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("hook", ["classify", "attempt_finished"])
def test_a_fork_in_a_call(chain: Chain, telemetry: Telemetry, hook: str) -> None:
    """A child that was forked in a hook, and goes on with its parent's call, ends no span of its parent's."""
    found: list[Any] = []
    child: list[int] = []

    class Forking:
        def fork(self) -> None:
            if found or child:
                return
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                child.extend([writer, len(telemetry.spans)])
                return
            os.close(writer)
            with os.fdopen(reader, "rb") as pipe:
                found.append(json.loads(pipe.read() or "null"))
            os.waitpid(pid, 0)

    forking = Forking()
    setattr(forking, f"orfallback_{hook}", forking.fork)
    chain.register(forking)
    try:
        chain.complete("Hi")
        if child:
            # What ended here of the parent's, whether anything stayed current, and what a call of its own tells.
            writer, before = child
            ended, empty = len(telemetry.spans) - before, nothing_is_current()
            chain.complete("Hi")
            os.write(writer, json.dumps([ended, empty, len(telemetry.spans) - before]).encode())
    finally:
        if child:
            os._exit(0)
    assert len(telemetry.spans) == 3
    assert found == [[0, True, 3]]
