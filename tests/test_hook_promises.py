"""What the reference of the hooks promises of all hooks: what they share, where streams end, what a fork leaves."""

from __future__ import annotations

import os
import pickle
import threading
from typing import Any

import pytest
import requests
from test_hook_reference import HOOKS, Told, everything

import orfallback
from orfallback import Attempt, Call, Chain, ChainExhausted, Outcome, Target
from orfallback.testing import FakeClock, Recorder, Simulator, silence, status


@pytest.fixture
def told() -> list[Told]:
    """What the chain's plugin with all hooks was told."""
    return []


@pytest.fixture
def chain(sim: Simulator, told: list[Told]) -> Chain:
    """A chain of two models, the first of which is busy."""
    sim.script("a/busy", status(502))
    plugins = [everything(told)]
    return Chain(["a/busy", "b/good"], api_key="sk-test", base_url=sim.base_url, clock=FakeClock(), plugins=plugins)


def test_the_manager_alone_knows_no_chain(chain: Chain, told: list[Told]) -> None:
    """``orfallback_registered`` is told by the chain; a copy, and the plugin manager itself, tell nobody."""
    late: list[Told] = []
    chain.plugin_manager.register(everything(late), "late")
    chain.replace(rounds=2)
    assert [each.hook for each in told] == ["registered"]
    assert late == []


def test_what_cannot_be_sent_tells_nobody(chain: Chain, told: list[Told]) -> None:
    """Messages, parameters or a context that are none raise before the call begins."""
    with pytest.raises(ValueError, match="messages"):
        chain.complete([])
    with pytest.raises(TypeError, match="timeout"):
        chain.complete("Hi", timeout=5)
    with pytest.raises(TypeError, match="context"):
        chain.complete("Hi", context="acme")  # type: ignore[arg-type]  # the mistake is the test
    assert [each.hook for each in told] == ["registered"]


def test_the_context_is_the_hosts_own(chain: Chain, told: list[Told], sim: Simulator) -> None:
    """Every hook gets the very mapping that the host gave, and nothing of it is sent."""
    context = {"tenant": "SECRETTENANT"}
    chain.complete("Hi", context=context)
    calls = [each.facts["call"] for each in told if "call" in each.facts]
    assert len(calls) > 10
    assert all(call.context is context for call in calls)
    assert "SECRETTENANT" not in repr([(request.body, request.headers, request.path) for request in sim.requests])


def test_calls_of_an_application_have_no_context(sim: Simulator) -> None:
    """A call that an application makes by itself through ``install()`` has an empty context, and its own id."""
    told: list[Told] = []
    chain = Chain(["a/good"], api_key="sk-test", base_url=sim.base_url, plugins=[everything(told)])
    orfallback.install(chain)
    try:
        body = {"model": "a/good", "messages": [{"role": "user", "content": "Hi"}]}
        headers = {"Authorization": "Bearer sk-test"}
        for _ in range(2):
            reply = requests.post(f"{sim.base_url}/chat/completions", json=body, headers=headers, timeout=10)
            assert reply.status_code == 200
    finally:
        orfallback.uninstall()
    calls = [each.facts["call"] for each in told if "call" in each.facts]
    assert [dict(call.context) for call in calls] == [{}] * len(calls)
    assert len({call.id for call in calls}) == 2


def test_a_call_is_known_by_its_id(chain: Chain, told: list[Told]) -> None:
    """The object changes with each attempt, the id does not."""
    chain.complete("Hi")
    calls = [each.facts["call"] for each in told if "call" in each.facts]
    assert len({call.id for call in calls}) == 1
    assert len({id(call) for call in calls}) == 3


def test_the_body_of_an_outcome_is_the_answer(sim: Simulator) -> None:
    """What a plugin looks at when it judges is the reply itself, which the caller gets."""
    seen: list[Any] = []

    class Judge:
        def orfallback_classify(self, outcome: Outcome) -> None:
            seen.append(outcome.body)

    chain = Chain(["a/good"], api_key="sk-test", base_url=sim.base_url, plugins=[Judge()])
    assert chain.complete("Hi").json() is seen[0]


def test_what_hooks_are_told_pickles(chain: Chain, told: list[Told], sim: Simulator) -> None:
    """Calls, targets, attempts and errors pickle, and hold no key."""
    sim.script("b/good", status(503))
    with pytest.raises(ChainExhausted):
        chain.complete("Hi", context={"tenant": "acme"})
    kinds = set()
    for each in told:
        for fact in each.facts.values():
            if isinstance(fact, (Call, Target, Attempt, BaseException)):
                kinds.add(type(fact))
                assert b"sk-test" not in pickle.dumps(fact)
                assert type(pickle.loads(pickle.dumps(fact))) is type(fact)
    assert kinds == {Call, Target, Attempt, ChainExhausted}


def test_the_reader_tells_of_a_stream_that_another_thread_closes(sim: Simulator) -> None:
    """Where one thread closes what another one reads, the reader tells of the end; it is told once."""
    sim.script("a/good", silence("end", text="One"))
    told: list[Told] = []
    chain = Chain(["a/good"], api_key="sk-test", base_url=sim.base_url, plugins=[everything(told)])
    stream = chain.stream("Hi")
    begun = len(told)

    def read() -> None:
        with pytest.raises(requests.exceptions.StreamConsumedError):
            stream.read()

    reader = threading.Thread(target=read)
    reader.start()
    pause = threading.Event()
    while stream.text != "One":
        pause.wait(0.001)
    # It has the words, and goes on to wait for more.
    pause.wait(0.05)
    stream.close()
    reader.join(10)
    assert [(each.hook, each.thread) for each in told[begun:]] == [
        ("attempt_finished", reader.ident),
        ("call_finished", reader.ident),
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_tells_nothing_of_its_parents_stream(sim: Simulator) -> None:
    """A child that closes, and drops, the stream of its parent tells nobody; the parent's is told as ever."""
    recorder = Recorder()
    chain = Chain(["a/good"], api_key="sk-test", base_url=sim.base_url, plugins=[recorder])
    stream = chain.stream("Hi")
    before = len(recorder.seen)
    child = os.fork()
    if child == 0:
        code = 100
        try:
            stream.close()
            del stream
            code = len(recorder.seen) - before
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    stream.close()
    assert recorder.hooks[before:] == ["attempt_finished", "call_finished"]


def test_a_call_within_a_call_is_one_of_its_own(sim: Simulator) -> None:
    """A plugin that calls its own chain is told of that call, from start to finish, in the middle of the other."""
    told: list[tuple[str, str]] = []

    class Asking:
        def orfallback_call_started(self, call: Call) -> None:
            told.append(("started", call.id))
            if not call.context.get("nested"):
                assert own.complete("And?", context={"nested": True}).text

        def orfallback_call_finished(self, call: Call) -> None:
            told.append(("finished", call.id))

    own = Chain(["a/good"], api_key="sk-test", base_url=sim.base_url, plugins=[Asking()])
    own.complete("Hi")
    outer, inner = told[0][1], told[1][1]
    assert told == [("started", outer), ("started", inner), ("finished", inner), ("finished", outer)]
    assert outer != inner


@pytest.mark.parametrize("hook", [hook for hook in HOOKS if hook in orfallback.hookspecs.WATCHING])
def test_ctrl_c_in_an_observer_passes_when_the_others_were_told(hook: str, sim: Simulator) -> None:
    """What is no Exception ends the call, and no other observer misses an end for it."""
    sim.script("a/busy", status(502))
    told: list[Told] = []

    def strike(self: object) -> None:
        raise KeyboardInterrupt

    # Asked before the one that looks on.
    plugins = [everything(told), type("Struck", (), {hook: strike})()]
    chain = Chain(["a/busy", "b/good"], api_key="sk-test", base_url=sim.base_url, clock=FakeClock(), plugins=plugins)
    with pytest.raises(KeyboardInterrupt):
        chain.stream("Hi").read()
    hooks = [each.hook for each in told]
    assert hook.removeprefix("orfallback_") in hooks
    assert hooks.count("call_started") == hooks.count("call_finished") == 1
    assert hooks.count("attempt_started") == hooks.count("attempt_finished")
