"""Targets that cannot serve a call are passed over, where that is known; nothing else changes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from orfallback import DEFAULT_MODELS, Call, Chain, ChainExhausted, FallbackAdapter, Fit, Target
from orfallback._needs import Facts, facts_in, facts_of, lacking, tokens_at_least
from orfallback.testing import Behaviour, FakeClock, Gate, Received, Simulator, Step, drip, raw, reply, status
from orfallback.testing._catalogue import models_listed
from orfallback.testing._script import listing

NEMO, SMALL, OLD_SMALL, PIXTRAL = DEFAULT_MODELS
ROUTE = "GET /models"
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
PROPERTY = settings(max_examples=200, deadline=None, database=None)
SEEN = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, PICTURE]}]
#: Some 60,000 tokens, of which five characters a token are 42,000.
LONG = "Colourless green ideas sleep furiously. " * 6_000
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
#: Longer than anything takes; what hangs ends, and fails (s).
PATIENCE = 30.0


def fetched() -> None:
    """Wait until no list is being fetched."""
    for thread in threading.enumerate():
        if thread.name == "orfallback-fit":
            thread.join(PATIENCE)
            assert not thread.is_alive()


def fetches(sim: Simulator) -> int:
    """Return how often the models were asked for."""
    return sum(received.method == "GET" for received in sim.requests)


def order(chain: Chain, sim: Simulator, messages: Any = "Hi", **params: Any) -> list[str]:
    """Return in which order a chain asks its models, none of which answers."""
    before = len(sim.models_asked)
    with pytest.raises(ChainExhausted):
        chain.complete(messages, **params)
    return sim.models_asked[before:]


@pytest.fixture
def busy(sim: Simulator) -> Iterator[Simulator]:
    """A simulator whose models are all busy, and which lists them."""
    sim.default(status(502))
    yield sim
    fetched()


@pytest.fixture
def chain(busy: Simulator, clock: FakeClock) -> Iterator[Chain]:
    """The default models, of which all is known."""
    with chain_of(busy, clock, Fit(clock=clock)) as chain:
        order(chain, busy)
        fetched()
        yield chain


def chain_of(sim: Simulator, clock: FakeClock, *plugins: object, **options: Any) -> Chain:
    """Return a chain of the default models with some plugins."""
    base: dict[str, Any] = {"api_key": "sk-test", "base_url": sim.base_url, "clock": clock, "cooldown": None}
    return Chain(**{**base, "plugins": plugins, **options})


# -- what it shows --


def test_with_an_image_those_that_take_images_are_asked_first(chain: Chain, busy: Simulator) -> None:
    """A message with an image goes to the models that take images first, each group in the chain's order."""
    assert order(chain, busy, SEEN) == [SMALL, PIXTRAL, NEMO, OLD_SMALL]
    assert order(chain, busy) == list(DEFAULT_MODELS)


def test_with_a_long_prompt_small_windows_are_passed_over(chain: Chain, busy: Simulator) -> None:
    """A prompt that is too long for some windows goes to the models with larger ones first."""
    assert order(chain, busy, LONG) == [NEMO, SMALL, OLD_SMALL, PIXTRAL]
    assert order(chain.replace(models=DEFAULT_MODELS[::-1]), busy, LONG) == [SMALL, NEMO, PIXTRAL, OLD_SMALL]
    assert order(chain.replace(models=DEFAULT_MODELS[::-1]), busy) == list(DEFAULT_MODELS[::-1])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_one_that_fits_is_the_only_one_asked(stream: bool, chain: Chain, busy: Simulator) -> None:
    """A call that the first model cannot serve costs one request, and its answer is the second's first attempt."""
    busy.script(SMALL, reply({"choices": [{"message": {"content": "A cat"}, "finish_reason": "stop"}]}))
    answer = chain.stream(SEEN).read() if stream else chain.complete(SEEN)
    assert (answer.text, [attempt.model for attempt in answer.attempts]) == ("A cat", [SMALL])


BROKEN: dict[str, Behaviour] = {
    "error": status(500),
    "refused": status(401),
    "page": reply("<html><title>Hello</title></html>", content_type="text/html"),
    "no list": reply({"data": {"id": NEMO}}),
    "empty list": reply({"data": []}),
    "no models": reply({"data": [1, None, {"id": 5}, {"id": NEMO}, {"id": PIXTRAL, "architecture": [7]}]}),
    "error in 200": reply({"error": {"code": 502, "message": "Bad gateway"}}),
    "no object": reply([1, 2]),
    "huge": reply({**models_listed(DEFAULT_MODELS), "more": "x" * 9_000_000}),
    "cut": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
    "endless drip": drip(every=0.01),
    "endless headers": drip("headers", every=0.01),
}


@pytest.mark.parametrize("behaviour", BROKEN.values(), ids=BROKEN)
def test_with_no_metadata_nothing_changes(behaviour: Behaviour, busy: Simulator, clock: FakeClock) -> None:
    """Where the models cannot be listed, the order is the chain's, for any call, and no wait is added."""
    busy.script(ROUTE, behaviour)
    with chain_of(busy, clock, Fit(clock=clock, timeout=0.2)) as chain:
        for messages in ("Hi", SEEN, LONG):
            assert order(chain, busy, messages) == list(DEFAULT_MODELS)
            fetched()
    assert fetches(busy) == 1
    assert clock.sleeps == [2.0] * 9


def test_an_endpoint_that_is_not_there_changes_nothing(busy: Simulator, clock: FakeClock) -> None:
    """A list that nobody serves is not known, and the call ends as it would have."""
    gone = Target(NEMO, "http://127.0.0.1:9/v1")
    with chain_of(busy, clock, Fit(clock=clock), models=[gone, PIXTRAL]) as chain:
        assert order(chain, busy, SEEN) == [PIXTRAL]
        fetched()


# -- the fetch --


def held(gate: Gate, behaviour: Behaviour) -> Behaviour:
    """Return a behaviour that waits for a gate."""

    def behave(received: Received) -> Iterator[Step]:
        yield gate
        yield from behaviour(received)

    return behave


def test_the_fetch_is_not_in_the_way_of_a_call(busy: Simulator, clock: FakeClock) -> None:
    """Calls are answered while the list is held back; once it came, it counts."""
    gate = Gate()
    busy.script(ROUTE, held(gate, listing(list(DEFAULT_MODELS), "models")))
    with chain_of(busy, clock, Fit(clock=clock)) as chain:
        for _ in range(3):
            assert order(chain, busy, SEEN) == list(DEFAULT_MODELS)
        gate.open()
        fetched()
        assert fetches(busy) == 1
        assert order(chain, busy, SEEN)[:2] == [SMALL, PIXTRAL]


def test_nothing_is_fetched_before_the_first_call(busy: Simulator, clock: FakeClock) -> None:
    """Making a chain asks nobody, and starts nothing."""
    threads = threading.active_count()
    with chain_of(busy, clock, Fit()):
        assert threading.active_count() == threads
    assert busy.requests == []


def test_the_list_is_fetched_once_per_age(busy: Simulator, clock: FakeClock) -> None:
    """However many calls there are, the list is fetched when it is older than its age, and no more often."""
    with chain_of(busy, clock, Fit(clock=clock, max_age=600), delay=0) as chain:
        for age, count in ((0, 1), (1, 1), (598, 1), (2, 2), (599, 2), (1, 3)):
            clock.advance(age)
            order(chain, busy)
            fetched()
            assert fetches(busy) == count


def test_a_failed_fetch_is_tried_again_after_a_minute(busy: Simulator, clock: FakeClock) -> None:
    """A list that could not be had is asked for again after a minute; meanwhile what was known before counts."""
    good = listing(list(DEFAULT_MODELS), "models")
    busy.script(ROUTE, status(500), good, status(500), good)
    with chain_of(busy, clock, Fit(clock=clock, max_age=600), delay=0) as chain:
        for age, count, known in ((0, 1, 0), (59, 1, 0), (2, 2, 0), (0, 2, 1), (600, 3, 1), (61, 4, 1)):
            clock.advance(age)
            assert (order(chain, busy, SEEN)[0] == SMALL) is bool(known)
            fetched()
            assert fetches(busy) == count


def test_a_fetch_brings_no_key(chain: Chain, busy: Simulator) -> None:
    """The list is asked for without the chain's key, by a GET below the endpoint's own URL."""
    (asked,) = [received for received in busy.requests if received.method == "GET"]
    assert (asked.path, asked.authorized, asked.raw) == ("/api/v1/models", False, b"")


def test_endpoints_that_are_not_asked_are_not_looked_up(busy: Simulator, clock: FakeClock) -> None:
    """Of two endpoints the one that a call does not come to hears nothing."""
    busy.script(NEMO, reply({"choices": [{"message": {"content": "Hi"}}]}))
    with Simulator() as other, chain_of(busy, clock, Fit(), models=[NEMO, Target(SMALL, other.base_url)]) as chain:
        assert chain.complete("Hi").text == "Hi"
        fetched()
        assert (fetches(busy), other.requests) == (1, [])


def test_threads_share_one_fetch(busy: Simulator, clock: FakeClock) -> None:
    """Many threads that meet an endpoint at once fetch its list once."""
    gate, start = Gate(), threading.Barrier(16)
    busy.script(ROUTE, held(gate, status(500)))
    fit = Fit()

    def call() -> None:
        start.wait(PATIENCE)
        fit.orfallback_admit(CALL, Target(NEMO, busy.base_url), last_resort=False)

    threads = [threading.Thread(target=call) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gate.open(16)
    fetched()
    assert fetches(busy) == 1


CALL = Call(id="0123456789abcdef", payload={"messages": SEEN})


def test_no_thread_to_be_had_is_no_failure(
    busy: Simulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no thread can be started the call goes on, and a minute later it is tried again."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with chain_of(busy, clock, Fit(clock=clock), delay=0) as chain:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            fit = next(p for p in chain.plugin_manager.get_plugins() if isinstance(p, Fit))
            assert fit.orfallback_admit(CALL, chain.targets[0], last_resort=False) is None
        order(chain, busy)
        assert fetches(busy) == 0
        clock.advance(61)
        order(chain, busy)
        fetched()
        assert fetches(busy) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_fetches_for_itself(busy: Simulator) -> None:
    """A fetch under way at a fork goes on in the parent alone; the child makes its own."""
    gate = Gate()
    busy.script(ROUTE, held(gate, listing(list(DEFAULT_MODELS), "models")))
    fit, target = Fit(), Target(NEMO, busy.base_url)
    assert fit.orfallback_admit(CALL, target, last_resort=False) is None
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            fit.orfallback_admit(CALL, target, last_resort=False)
            fetched()
            code = 0 if fit.orfallback_admit(CALL, target, last_resort=False) else 2
        finally:
            os._exit(code)
    gate.open(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    fetched()
    assert fit.orfallback_admit(CALL, target, last_resort=False) is not None
    assert fetches(busy) == 2


@pytest.mark.parametrize("when", ["at once", "in the reply"])
def test_a_program_ends_while_a_fetch_is_under_way(when: str, sim: Simulator) -> None:
    """A fetch holds up no end of a program, and nothing is said about it."""
    behaviour = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", 0.01, b" ", 600.0)
    sim.script(ROUTE, behaviour)
    code = (
        "import sys, time; from orfallback import Chain, Fit\n"
        "chain = Chain(api_key='sk-test', base_url=sys.argv[1], plugins=[Fit(timeout=600)])\n"
        "print(chain.complete('Hi').text)\n"
        f"time.sleep({0 if when == 'at once' else 0.3})"
    )
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", code, sim.base_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr, bool(done.stdout)) == (0, "", True)


# -- what a target says itself --


def test_what_a_target_declares_counts(busy: Simulator, clock: FakeClock) -> None:
    """Without a plugin, and without asking anybody, what targets say of themselves decides who is asked first."""
    both = Target("c/c", inputs=["text", "image"])
    models = [Target("a/a", inputs=["text"]), Target("b/b", context_length=100), both]
    with chain_of(busy, clock, models=models) as chain:
        assert order(chain, busy, SEEN) == ["b/b", "c/c", "a/a"]
        assert order(chain, busy, LONG) == ["a/a", "c/c", "b/b"]
        assert order(chain, busy, max_tokens=101) == ["a/a", "c/c", "b/b"]
        assert chain.plugin_manager.has_plugin("fit")
    assert fetches(busy) == 0


def test_what_a_target_declares_goes_before_what_is_listed(busy: Simulator, clock: FakeClock) -> None:
    """A target that says that it takes images, or has a larger window, is believed."""
    nemo = Target(NEMO, inputs=["text", "image"])
    pixtral = Target(PIXTRAL, context_length=1_000_000)
    with chain_of(busy, clock, Fit(clock=clock), models=[nemo, OLD_SMALL, pixtral]) as chain:
        order(chain, busy)
        fetched()
        assert order(chain, busy, SEEN) == [NEMO, PIXTRAL, OLD_SMALL]
        assert order(chain, busy, LONG) == [NEMO, PIXTRAL, OLD_SMALL]


def test_one_plugin_is_enough(busy: Simulator, clock: FakeClock) -> None:
    """A chain whose targets say something has one Fit, its own or the one given; a chain of plain models has none."""

    def fits(chain: Chain) -> list[str]:
        return [name for name, plugin in chain.plugin_manager.list_name_plugin() if isinstance(plugin, Fit)]

    declared = Target("a/a", inputs="text")
    assert fits(chain_of(busy, clock)) == []
    assert fits(chain_of(busy, clock, models=[declared])) == ["fit"]
    assert fits(chain_of(busy, clock, Fit(), models=[declared])) == ["Fit"]
    assert fits(chain_of(busy, clock, models=[declared]).replace(delay=1)) == ["fit"]
    assert fits(chain_of(busy, clock, Fit()).replace(models=[declared])) == ["Fit"]
    assert fits(chain_of(busy, clock).replace(models=[declared])) == ["fit"]
    taken_off = chain_of(busy, clock, models=[declared])
    taken_off.unregister("fit")
    assert fits(taken_off.replace(delay=1)) == []
    packed = pickle.loads(pickle.dumps(FallbackAdapter(taken_off))).chain
    assert fits(packed) == []
    again = pickle.loads(pickle.dumps(FallbackAdapter(chain_of(busy, clock, models=[declared])))).chain
    assert fits(again) == ["fit"]


def test_targets_of_an_application_are_looked_up(chain: Chain, busy: Simulator) -> None:
    """A request that an application makes by itself is passed to models that can serve it."""
    busy.script(PIXTRAL, reply({"choices": [{"message": {"content": "A cat"}, "finish_reason": "stop"}]}))
    with requests.Session() as session:
        session.mount(busy.base_url, FallbackAdapter(chain))
        body = {"model": NEMO, "messages": SEEN}
        before = len(busy.models_asked)
        response = session.post(f"{busy.base_url}/chat/completions", json=body, timeout=PATIENCE)
    assert response.json()["choices"][0]["message"]["content"] == "A cat"
    assert busy.models_asked[before:] == [SMALL, PIXTRAL]


# -- with others --


class Rests:
    """A plugin that rests targets."""

    def __init__(self, **rests: float) -> None:
        self._rests = {getattr(sys.modules[__name__], name): rest for name, rest in rests.items()}
        self.asked: list[str] = []

    def orfallback_admit(self, target: Target, last_resort: bool) -> float | None:
        """Rest it, if it is one of them."""
        if not last_resort:
            self.asked.append(target.model)
        return None if last_resort else self._rests.get(target.model)


@pytest.mark.parametrize("first", [True, False], ids=["rests, fit", "fit, rests"])
def test_it_composes_with_a_plugin_that_rests_targets(first: bool, busy: Simulator, clock: FakeClock) -> None:
    """One that fits and rests goes before one that does not fit, rested or not, in either order of registration."""
    rests = Rests(NEMO=1.0, SMALL=30.0, OLD_SMALL=2.0)
    plugins = [rests, Fit(clock=clock)] if first else [Fit(clock=clock), rests]
    with chain_of(busy, clock, *plugins) as chain:
        order(chain, busy)
        fetched()
        rests.asked.clear()
        assert order(chain, busy, SEEN) == [PIXTRAL, SMALL, NEMO, OLD_SMALL]
        assert set(rests.asked) == {SMALL, PIXTRAL}


def test_where_nobody_fits_all_are_asked_in_order(busy: Simulator, clock: FakeClock) -> None:
    """A call that no model seems to serve goes to all of them, in the chain's order, and the service answers."""
    with chain_of(busy, clock, Fit(clock=clock)) as chain:
        order(chain, busy)
        fetched()
        sound = [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]
        assert order(chain, busy, sound) == list(DEFAULT_MODELS)
        assert order(chain, busy, max_tokens=200_000) == list(DEFAULT_MODELS)


def test_what_is_passed_over_is_told_at_debug(
    chain: Chain, busy: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says at DEBUG who was passed over and why, and nothing of the prompt."""
    caplog.set_level("DEBUG", "orfallback.fit")
    order(chain, busy, SEEN)
    told = [record.getMessage() for record in caplog.records if record.name == "orfallback.fit"]
    assert told == [f"{model} is passed over: it has no image input" for model in (NEMO, OLD_SMALL)]


# -- what a call needs --

TEXT = Facts(inputs=frozenset({"text"}))
PLAIN = Facts(parameters=frozenset({"temperature", "max_tokens"}))
SCHEMA = {"type": "json_schema", "json_schema": {}}


def content(kind: str) -> dict[str, Any]:
    """Return a payload with a part of a kind."""
    return {"messages": [{"role": "user", "content": [{"type": kind}]}]}


@pytest.mark.parametrize(("payload", "target", "facts", "lack"), [
    pytest.param({"messages": "odd"}, Target("m"), TEXT, None, id="odd messages"),
    pytest.param(content("text"), Target("m"), TEXT, None, id="text"),
    pytest.param(content("image_url"), Target("m"), TEXT, "image input", id="image"),
    pytest.param(content("image_url"), Target("m"), Facts(), None, id="nothing known"),
    pytest.param(content("input_audio"), Target("m"), TEXT, "audio input", id="audio"),
    pytest.param(content("video_url"), Target("m"), TEXT, "video input", id="video"),
    pytest.param(content("file"), Target("m"), TEXT, "file input", id="file"),
    pytest.param(content("hologram"), Target("m"), TEXT, None, id="unheard of"),
    pytest.param({"tools": [TOOL]}, Target("m"), PLAIN, "tools", id="tools"),
    pytest.param({"tools": []}, Target("m"), PLAIN, None, id="no tools"),
    pytest.param({"tools": [TOOL]}, Target("m", drop=["tools"]), PLAIN, None, id="dropped tools"),
    pytest.param({}, Target("m", set={"tools": [TOOL]}), PLAIN, "tools", id="tools of its own"),
    pytest.param({"response_format": SCHEMA}, Target("m"), PLAIN, "response_format", id="schema"),
    pytest.param({"response_format": {"type": "json_object"}}, Target("m"), PLAIN, None, id="json"),
    pytest.param({"seed": 1}, Target("m"), PLAIN, None, id="a parameter that is left out"),
    pytest.param({"seed": 1, "provider": {"require_parameters": True}}, Target("m"), PLAIN, "seed", id="required"),
    pytest.param({"user": "x", "provider": {"require_parameters": True}}, Target("m"), PLAIN, None, id="the service's"),
    pytest.param({"max_tokens": 100}, Target("m"), Facts(window=100), None, id="just enough"),
    pytest.param({"max_tokens": 101}, Target("m"), Facts(window=100), "window of 101 tokens", id="too many"),
    pytest.param({"max_completion_tokens": 101}, Target("m"), Facts(window=100), "window of 101 tokens",
        id="too many in its new name"),
    pytest.param({"max_tokens": 101}, Target("m", set={"max_tokens": 9}), Facts(window=100), None, id="fewer"),
    pytest.param({"prompt": "x" * 505}, Target("m"), Facts(window=100), "window of 101 tokens", id="prompt"),
    pytest.param({"prompt": "x" * 505, "max_tokens": True}, Target("m"), Facts(window=101), None, id="odd limit"),
    pytest.param({"max_tokens": 101, "transforms": ["middle-out"]}, Target("m"), Facts(window=100), None,
        id="shortened by a transform"),
    pytest.param({"max_tokens": 101, "plugins": [{"id": "context-compression"}]}, Target("m"), Facts(window=100), None,
        id="shortened by a plugin"),
    pytest.param({"max_tokens": 101, "plugins": [{"id": "web"}, 5], "transforms": None}, Target("m"), Facts(window=100),
        "window of 101 tokens", id="not shortened"),
    pytest.param({"prompt": " x\n" * 500}, Target("m"), Facts(window=100), None, id="white space"),
])  # fmt: skip
def test_what_a_call_lacks(payload: dict[str, Any], target: Target, facts: Facts, lack: str | None) -> None:
    """What a call needs is held against what is known, and what is not known is no obstacle."""
    assert lacking(payload, target, facts) == lack


def test_what_a_list_tells() -> None:
    """An entry tells inputs, the larger of its windows, and parameters; files are read for a model by the service."""
    entry = {
        "id": "m",
        "context_length": 1000,
        "architecture": {"input_modalities": ["text", "image"]},
        "top_provider": {"context_length": 2000},
        "supported_parameters": ["structured_outputs"],
    }
    known = facts_in(entry)
    assert known.inputs == frozenset({"text", "image", "file"})
    assert known.window == 2000
    assert known.parameters == frozenset({"structured_outputs", "response_format"})
    assert facts_of(Target("m", inputs=["text"], context_length=5), known) == known._replace(
        inputs=frozenset({"text"}), window=5
    )
    assert facts_of(Target("m"), known) == known


@pytest.mark.parametrize("name", ["context_length", "max_model_len", "context_window", "max_context_length"])
def test_other_servers_tell_windows_by_other_names(name: str) -> None:
    """A window is known whatever a server calls it; what is no number of tokens is none."""
    assert facts_in({"id": "m", name: 8192}) == Facts(window=8192)
    assert facts_in({"id": "m", name: "8192"}) == facts_in({"id": "m", name: -1}) == Facts()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["type", "content", "messages", "text", "tools", "provider", "max_tokens", "prompt"])
        | st.sampled_from(["context_length", "architecture", "top_provider", "input_modalities", "response_format"]),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)


@PROPERTY
@given(payload=st.dictionaries(st.sampled_from(["messages", "prompt", "tools", "max_tokens", "response_format"]), JSON),
       entry=st.dictionaries(st.sampled_from(["architecture", "top_provider", "context_length",
                                              "supported_parameters"]), JSON))  # fmt: skip
def test_odd_payloads_and_odd_lists_break_nothing(payload: dict[str, Any], entry: dict[str, Any]) -> None:
    """Whatever JSON a call holds and a service lists, what is known of a model is asked without an error."""
    facts = facts_of(Target("m"), facts_in(entry))
    assert lacking(payload, Target("m"), facts) is None or facts != Facts()
    assert lacking(payload, Target("m"), Facts()) is None


@PROPERTY
@given(texts=st.lists(st.text(), max_size=5), parts=st.booleans())
def test_the_estimate_is_a_lower_bound(texts: list[str], parts: bool) -> None:
    """A prompt counts for no more than a token in five characters, however its text is cut."""
    messages = [{"content": [{"type": "text", "text": text}] if parts else text} for text in texts]
    assert 0 <= tokens_at_least({"messages": messages}) <= len("".join(texts)) / 5


def test_it_pickles_as_its_settings() -> None:
    """A plugin goes to another process with its settings, and knows nothing there."""
    fit = pickle.loads(pickle.dumps(Fit(fetch=False, max_age=5)))
    assert (fit._settings, fit._listings) == (Fit(fetch=False, max_age=5)._settings, {})


@pytest.mark.parametrize(("options", "error"), [
    ({"max_age": 0}, ValueError), ({"timeout": float("inf")}, ValueError), ({"max_age": "1h"}, TypeError),
    ({"timeout": True}, TypeError),
])  # fmt: skip
def test_refused_settings(options: dict[str, Any], error: type[Exception]) -> None:
    """An age or a limit that cannot be meant is refused when the plugin is made."""
    with pytest.raises(error):
        Fit(**options)


def test_what_is_kept_is_bounded() -> None:
    """Endpoints that an application's users choose do not fill the memory."""
    fit = Fit()
    for number in range(1_000):
        fit._keep(f"http://host{number}/v1", {"m": TEXT})
    assert len(fit._listings) <= 100
