"""The chain as an application uses it."""

from __future__ import annotations

import hashlib
import json
import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import responses
from rows import BOTH

from orfallback import (
    DEFAULT_MODELS,
    Call,
    CallRejected,
    Chain,
    ChainExhausted,
    Completion,
    ExponentialBackoff,
    FixedDelay,
    Outcome,
    Reason,
    Target,
    Verdict,
)
from orfallback.testing import FakeClock, Recorder, Simulator, answer, no_delay, status

KEY = "sk-test-0000000000000000"
FOUR = ["a/a", "b/b", "c/c", "d/d"]


@pytest.fixture
def chain(sim: Simulator, clock: FakeClock) -> Iterator[Chain]:
    """A chain of four models."""
    with Chain(FOUR, api_key=KEY, base_url=sim.base_url, clock=clock) as chain:
        yield chain


def ask(chain: Chain, mode: str) -> Completion:
    """Ask in one mode."""
    return chain.complete("hi") if mode == "complete" else chain.stream("hi").read()


@pytest.mark.parametrize("mode", BOTH)
def test_busy_busy_busy_ok(mode: str, sim: Simulator, chain: Chain, clock: FakeClock) -> None:
    """Three busy models lead to the fourth one's answer, each asked once, two seconds apart."""
    for model in FOUR[:3]:
        sim.script(model, status(502))
    sim.script("d/d", answer("from d"))
    completion = ask(chain, mode)
    assert completion.text == "from d"
    assert completion.model == completion.requested_model == "d/d"
    assert sim.models_asked == FOUR
    assert clock.sleeps == [2.0, 2.0, 2.0]
    assert [attempt.waited for attempt in completion.attempts] == [0.0, 2.0, 2.0, 2.0]
    assert [attempt.status for attempt in completion.attempts] == [502, 502, 502, 200]


def test_models_by_one_variable(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reordering or adding a model is one variable."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.setenv("OPENROUTER_BASE_URL", sim.base_url)
    monkeypatch.setenv("ORFALLBACK_DELAY", "0")
    sim.default(status(502))
    for models in ("a/a,b/b", "b/b, a/a", "b/b,a/a,new/model"):
        monkeypatch.setenv("ORFALLBACK_MODELS", models)
        before = len(sim.models_asked)
        with Chain.from_env() as chain, pytest.raises(ChainExhausted):
            chain.complete("hi")
        assert sim.models_asked[before:] == [model.strip() for model in models.split(",")]


def test_the_default_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a list the four default models are asked, at OpenRouter."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    chain = Chain()
    assert tuple(target.model for target in chain.targets) == DEFAULT_MODELS
    assert {target.base_url for target in chain.targets} == {"https://openrouter.ai/api/v1"}
    assert KEY not in repr(vars(chain)) + repr(chain) + repr(chain.targets)
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(chain)


def test_parameters_go_into_the_body(sim: Simulator, chain: Chain) -> None:
    """Parameters are put into the JSON as they are, messages too; context is never sent."""
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "\u00dcber?"}]
    chain.complete(messages, context={"user": "u"}, temperature=0.5, tools=[{"type": "function"}])
    chain.stream("hi", max_tokens=3).close()
    assert [request.body for request in sim.requests] == [
        {"model": "a/a", "messages": messages, "temperature": 0.5, "tools": [{"type": "function"}]},
        {"model": "a/a", "stream": True, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3},
    ]


def test_a_completion_tells_what_came(sim: Simulator, chain: Chain) -> None:
    """A completion gives text, model, usage, id and the reply as received."""
    sim.script("a/a", answer("Hi", model="a/a-2026"))
    completion = chain.complete("hi")
    body = completion.json()
    assert completion.text == body["choices"][0]["message"]["content"] == "Hi"
    assert (completion.model, completion.requested_model) == ("a/a-2026", "a/a")
    assert completion.id == body["id"]
    assert completion.usage == body["usage"]
    assert completion.attempts[0].served_model == "a/a-2026"
    assert completion.attempts[0].usage == body["usage"]
    assert completion.attempts[0].generation_id == body["id"]
    assert completion.degraded is False


def test_a_classifier_plugin_rejects_an_answer_that_is_no_json(sim: Simulator, chain: Chain) -> None:
    """A plugin that wants JSON refuses a good answer that is none, and the next model is asked."""

    class OnlyJSON:
        def orfallback_classify(self, outcome: Outcome) -> Verdict | None:
            if outcome.error is None and outcome.fault is None:
                try:
                    json.loads(outcome.body["choices"][0]["message"]["content"])
                except ValueError:
                    return Verdict.fallback(Reason.MALFORMED)
            return None

    chain.register(OnlyJSON())
    sim.script("a/a", answer("Sure, here it is"))
    sim.script("b/b", answer('{"ok": true}'))
    completion = chain.complete("hi")
    assert completion.text == '{"ok": true}'
    assert [attempt.reason for attempt in completion.attempts] == [Reason.MALFORMED, None]


def test_a_rejected_stream_is_closed(sim: Simulator, chain: Chain) -> None:
    """A stream that a plugin rejects at its commit is closed, and the next model streams."""

    def reject(call: Call, outcome: Outcome, /) -> Verdict | None:
        return Verdict.fallback(Reason.UNSUPPORTED) if outcome.model == "a/a" else None

    sim.script("a/a", answer(pieces=["x"] * 1000, pace=0.01))
    with chain.replace(classify=reject) as other:
        assert other.stream("hi").read().requested_model == "b/b"
    chain.close()
    assert sim.wait_idle()
    assert [request.model for request in sim.left_early] == ["a/a"]


@pytest.mark.parametrize("mode", BOTH)
def test_a_last_resort(mode: str, sim: Simulator, chain: Chain) -> None:
    """A plugin's answer of last resort is handed out as a degraded one."""

    class Apology:
        def orfallback_exhausted(self) -> str:
            return "Please try again later."

    recorder = Recorder()
    chain.register(Apology())
    chain.register(recorder)
    sim.default(status(503))
    completion = ask(chain, mode)
    assert (completion.text, completion.degraded) == ("Please try again later.", True)
    assert len(completion.attempts) == 4
    assert recorder.hooks[-1] == "call_finished"
    assert recorder.seen[-1].facts["error"] is None


def test_replace_shares_connections_and_plugins(sim: Simulator, chain: Chain) -> None:
    """A copy differs in what was changed, shares connections and plugins, and closes nothing."""
    recorder = Recorder()
    chain.register(recorder)
    chain.complete("hi")
    with chain.replace(models=["x/x"]) as copy:
        assert copy.complete("hi").model == "x/x"
    chain.complete("hi")
    assert sim.connections == 1
    assert sim.models_asked == ["a/a", "x/x", "a/a"]
    assert recorder.hooks.count("call_started") == 3
    assert {request.key_digest for request in sim.requests} == {sim.requests[0].key_digest}
    with pytest.raises(TypeError):
        chain.replace(modles=[])


def test_a_call_goes_past_pluggy(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call of a chain with nothing but what comes with it makes no call into pluggy, whose calls take their time."""
    with Chain(["a/a", "b/b"], api_key=KEY, base_url=sim.base_url, delay=0) as chain:
        # Without the manager that it was taken from, the snapshot has nothing of pluggy's left.
        monkeypatch.setattr(chain.plugin_manager.hooks(), "_frozen", None)
        sim.script("a/a", status(502))
        assert chain.complete("hi").text
        assert chain.stream("hi").read().text


@responses.activate
def test_under_responses(clock: FakeClock) -> None:
    """The chain works under ``responses``, so that an application's own tests go on."""
    url = "https://openrouter.ai/api/v1/chat/completions"
    responses.post(url, status=502, json={"error": {"code": 502, "message": "busy"}})
    responses.post(url, json={"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})
    assert Chain(FOUR, api_key=KEY, clock=clock).complete("hi").text == "Hi"
    assert len(responses.calls) == 2


@responses.activate
def test_a_stream_under_responses(clock: FakeClock) -> None:
    """A stream works under ``responses`` too."""
    url = "https://openrouter.ai/api/v1/chat/completions"
    chunk = 'data: {"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    responses.post(url, body=chunk, content_type="text/event-stream")
    assert Chain(FOUR, api_key=KEY, clock=clock).stream("hi").read().text == "Hi"


def test_prepare_changes_what_is_sent(sim: Simulator, chain: Chain) -> None:
    """A plugin changes this attempt's body and headers; the model and the key are set after it."""

    class Prepare:
        def orfallback_prepare(self, target: Target, payload: dict[str, Any], headers: dict[str, str]) -> None:
            payload["messages"].insert(0, {"role": "system", "content": target.model})
            payload["model"] = "not/this"
            headers["X-Title"] = "mine"
            headers["Authorization"] = "Bearer not-this"

    messages = [{"role": "user", "content": "hi"}]
    chain.register(Prepare())
    sim.script("a/a", status(502))
    chain.complete(messages)
    assert messages == [{"role": "user", "content": "hi"}]
    assert [request.body["messages"][0]["content"] for request in sim.requests] == ["a/a", "b/b"]
    assert [len(request.body["messages"]) for request in sim.requests] == [2, 2]
    assert sim.models_asked == ["a/a", "b/b"]
    assert [request.headers["x-title"] for request in sim.requests] == ["mine", "mine"]
    assert {request.key_digest for request in sim.requests} == {hashlib.sha256(KEY.encode()).hexdigest()[:12]}


BAD_OPTIONS = [
    pytest.param({"models": []}, ValueError, id="no models"),
    pytest.param({"models": [3]}, TypeError, id="a model that is a number"),
    pytest.param({"timeouts": 3}, TypeError, id="timeouts that are a number"),
    pytest.param({"delay": -1}, ValueError, id="a negative delay"),
    pytest.param({"delay": float("nan")}, ValueError, id="a delay that is not a number"),
    pytest.param({"delay": "2"}, TypeError, id="a delay that is text"),
    pytest.param({"rounds": 0}, ValueError, id="no rounds"),
    pytest.param({"rounds": True}, TypeError, id="rounds that are a bool"),
    pytest.param({"classify": None}, TypeError, id="a classifier that cannot be called"),
    pytest.param({"base_url": "openrouter.ai"}, ValueError, id="a URL without scheme"),
    pytest.param({"api_key": "sk\nnew"}, ValueError, id="a key with a newline inside"),
    pytest.param({"plugins": [Recorder]}, TypeError, id="a class for a plugin"),
    pytest.param({"modles": []}, TypeError, id="an unknown option"),
    pytest.param({"models": 5}, TypeError, id="models that are a number"),
    pytest.param({"plugins": "my.module"}, TypeError, id="plugins that are text"),
    pytest.param({"plugins": ["my.module"]}, TypeError, id="a plugin that is text"),
    pytest.param({"plugins": [object()]}, TypeError, id="a plugin without hooks"),
    pytest.param({"session": requests.Session}, TypeError, id="a session that is a class"),
    pytest.param({"clock": 5}, TypeError, id="a clock that is a number"),
    pytest.param({"base_url": "http://x/v1/chat/completions"}, ValueError, id="a URL of the endpoint itself"),
    pytest.param({"api_key": "Bearer sk-x"}, ValueError, id="a key with Bearer"),
]


@pytest.mark.parametrize(("options", "kind"), BAD_OPTIONS)
def test_mistakes_are_told_at_construction(options: dict[str, Any], kind: type[Exception]) -> None:
    """What cannot be meant is refused when the chain is built."""
    with pytest.raises(kind):
        Chain(**options)


def test_the_mapping_is_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain made from a mapping has no key of the process's own environment, nor has a copy of it."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    chain = Chain.from_env({})
    for keyless in (chain, chain.replace(models=["a/a"])):
        with pytest.raises(CallRejected, match="no key for OpenRouter"):
            keyless.complete("hi")


def test_the_default_url_spelt_out_has_the_environments_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenRouter's own URL is the same endpoint, whether it is spelt out or not."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    assert Chain(base_url="https://openrouter.ai/api/v1/").targets == Chain().targets


def test_a_mapping_of_plain_data() -> None:
    """What settings can only write as plain data is made into targets, timeouts and plugins."""
    chain = Chain.from_mapping(
        {
            "MODELS": ["a/a", {"model": "b/b", "base_url": "http://localhost:1/v1", "drop": ["seed"]}],
            "TIMEOUTS": {"deadline": 5},
            "PLUGINS": ["orfallback.testing.Recorder"],
            "DELAY": "orfallback.testing.no_delay",
        }
    )
    assert chain.targets[1].drop == ("seed",)
    assert chain.plugin_manager.has_plugin("Recorder")
    with pytest.raises(ImportError, match=r"'no\.such'"):
        Chain.from_mapping({"plugins": ["no.such"]})


def test_a_plugin_is_taken_off_by_name_or_by_itself(sim: Simulator, chain: Chain) -> None:
    """``unregister`` takes a plugin off from the next call on, and tells a name that is not there."""
    recorder = Recorder()
    chain.register(recorder)
    chain.complete("hi")
    chain.unregister(recorder)
    chain.unregister("logging")
    chain.unregister("cooldown")
    chain.complete("hi")
    assert recorder.hooks.count("call_started") == 1
    with pytest.raises(LookupError, match=r"'logging' is registered; there are: none"):
        chain.unregister("logging")


def test_a_copy_with_another_key(sim: Simulator, chain: Chain) -> None:
    """A copy that is given a key asks with it, and the chain that it was made of asks with its own."""
    other = "sk-or-v1-other-000000000"
    for each in (chain.replace(api_key=other), chain):
        each.complete("hi")
    assert [request.key_digest for request in sim.requests] == [
        hashlib.sha256(key.encode()).hexdigest()[:12] for key in (other, KEY)
    ]


def test_a_copy_with_a_session_of_its_own(sim: Simulator, chain: Chain) -> None:
    """A copy that is given a session sends through it, and the chain that it was made of does not."""
    with requests.Session() as session:
        session.headers["X-Mine"] = "yes"
        for each in (chain.replace(session=session), chain):
            each.complete("hi")
    assert ["x-mine" in request.headers for request in sim.requests] == [True, False]


def test_a_copy_registers_a_plugin_once(chain: Chain) -> None:
    """A plugin that is registered with the chain, and named for its copy, hears of a call once."""
    recorder = Recorder()
    chain.register(recorder)
    chain.replace(plugins=[recorder]).complete("hi")
    assert recorder.hooks.count("call_started") == 1


@pytest.mark.parametrize("context", ["user 5", 5, [("user", 5)]], ids=repr)
def test_a_context_is_a_mapping(context: Any, sim: Simulator, chain: Chain) -> None:
    """A context that is no mapping is told before anything is sent."""
    for ask in (chain.complete, chain.stream):
        with pytest.raises(TypeError, match=f"^context is a mapping, not {type(context).__name__}$"):
            ask("hi", context=context)
    assert sim.requests == []


def test_plain_logs_from_the_environment(sim: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    """``ORFALLBACK_PLAIN_LOG`` makes a chain of the environment log without pictures, once."""
    caplog.set_level("INFO", "orfallback")
    sim.script("a/a", status(502))
    environ = {"ORFALLBACK_MODELS": "a/a, b/b", "OPENROUTER_BASE_URL": sim.base_url, "ORFALLBACK_DELAY": "0"}
    with Chain.from_env({**environ, "ORFALLBACK_PLAIN_LOG": "1"}) as chain:
        chain.complete("hi")
    busy = [record.getMessage() for record in caplog.records if "trying next" in record.getMessage()]
    assert len(busy) == 1
    assert busy[0].startswith("Model a/a is busy, ")


@pytest.mark.parametrize("answer", ["sorry", {"choices": [{"message": {"content": "sorry"}}], "id": "mine"}], ids=type)
def test_a_last_resort_is_an_answer(answer: Any, sim: Simulator, chain: Chain) -> None:
    """A plugin's last resort, text or a whole reply, is a degraded answer, whole or streamed."""

    class LastResort:
        def orfallback_exhausted(self) -> Any:
            return answer

    sim.default(status(404))
    desperate = chain.replace(plugins=[LastResort()])
    whole, stream = desperate.complete("hi"), desperate.stream("hi")
    assert (whole.text, whole.degraded) == ("sorry", True)
    assert repr(whole) == "<Completion degraded: 5 characters, 4 attempts>"
    assert repr(stream) == "<Stream by a last resort: open, 0 characters so far>"
    assert "".join(stream.iter_text()) == "sorry"
    assert (stream.degraded, stream.requested_model) == (True, "")
    assert repr(stream) == "<Stream by a last resort: done, 5 characters so far>"


def test_a_plugin_that_is_blocked_is_none(chain: Chain) -> None:
    """A name that pluggy was told to block can be in nobody's way."""
    chain.plugin_manager.set_blocked("logging")
    chain.plugin_manager.set_blocked("nobody")
    assert chain.complete("hi").text
    assert chain.complete("hi").text


def test_from_mapping() -> None:
    """A settings mapping takes the constructor's names in any case, and unknown ones raise."""
    chain = Chain.from_mapping({"MODELS": ["a/a"], "Delay": 0, "api_key": KEY})
    assert [target.model for target in chain.targets] == ["a/a"]
    with pytest.raises(ValueError, match="modles"):
        Chain.from_mapping({"modles": []})


@pytest.mark.parametrize("value", ["a\nb", "\u00e9", 5, None])
def test_a_header_that_cannot_be_sent_is_the_plugins_fault(value: Any, sim: Simulator, chain: Chain) -> None:
    """A header that no request can carry raises, with the plugin's mistake in words, and no model is blamed."""

    class Prepare:
        def orfallback_prepare(self, headers: dict[str, Any]) -> None:
            headers["X-Title"] = value

    chain.register(Prepare())
    with pytest.raises(ValueError, match="'X-Title'"):
        chain.complete("hi")
    assert sim.requests == []


def broken_chain() -> None:
    """Make a chain that cannot be."""
    Chain("a/a", api_key=KEY, base_url="bad")


def broken_mapping() -> None:
    """Make a chain of settings that cannot be."""
    Chain.from_mapping({"api_key": KEY, "rounds": 0})


def broken_environment() -> None:
    """Make a chain of an environment that cannot be."""
    Chain.from_env({"OPENROUTER_API_KEY": KEY, "ORFALLBACK_DELAY": "soon"})


def broken_copy() -> None:
    """Make a copy that cannot be."""
    Chain("a/a", base_url="http://x").replace(api_key=KEY, rounds=0)


@pytest.mark.parametrize("make", [broken_chain, broken_mapping, broken_environment, broken_copy])
def test_a_mistake_can_be_rendered_without_the_key(make: Any) -> None:
    """The traceback of a refused option renders with its variables, and the library's frames show no key."""
    with pytest.raises(ValueError, match=r"base_url|rounds|ORFALLBACK_DELAY") as caught:
        make()
    rendered = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in rendered.stack if "orfallback" in Path(frame.filename).parts]
    assert ours
    assert KEY not in str([frame.locals for frame in ours])


def test_strategies_by_argument(sim: Simulator, clock: FakeClock) -> None:
    """A strategy is a plain callable, or a number of seconds for the delay."""
    sim.script("d/d", status(502))
    sim.script("c/c", status(502))

    def last_first(call: Call, targets: Any, /) -> Target:
        target: Target = targets[-1]
        return target

    options: dict[str, Any] = {"api_key": KEY, "base_url": sim.base_url, "clock": clock, "select": last_first}
    for delay, waits in (
        (0.5, [0.5, 0.5]),
        (FixedDelay(1.0), [1.0, 1.0]),
        (ExponentialBackoff(initial=1.0, jitter=0.0), [1.0, 2.0]),
        (no_delay, []),
    ):
        clock.sleeps.clear()
        with Chain(FOUR, delay=delay, **options) as chain:
            assert chain.complete("hi").model == "b/b"
        assert clock.sleeps == waits


def test_params_that_the_chain_sets(chain: Chain) -> None:
    """model, models and stream are refused before any I/O, with what to do instead."""
    for name in ("model", "models", "stream"):
        options: dict[str, Any] = {name: "x"}
        with pytest.raises(TypeError, match=r"replace\(models="):
            chain.complete("hi", **options)
