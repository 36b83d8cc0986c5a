"""What OpenTelemetry is told: spans and metrics agree with what the simulator saw, and hold no word of a prompt."""

from __future__ import annotations

import json
import pickle
import re
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.util.genai import environment_variables as variables
from telemetry import Propagating, Telemetry, Traced, asked_by, facts, id_of, parent_of
from test_threads import together

from orfallback import Attempt, Call, Chain, ChainExhausted, StreamInterrupted, Target, Timeouts
from orfallback.plugins.opentelemetry import OpenTelemetry
from orfallback.testing import Simulator, answer, cut, error_in_200, reply, reset, silence, status

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "metrics.md"
DURATION, TOKENS = "gen_ai.client.operation.duration", "gen_ai.client.token.usage"
FIRST, WORKFLOW = "gen_ai.client.operation.time_to_first_chunk", "gen_ai.invoke_workflow.duration"
#: A word of a prompt, and one of an answer.
CANARY, SAID = "canaryprompt", "canaryanswer"


@pytest.fixture
def telemetry() -> Telemetry:
    """An SDK in memory."""
    return Telemetry()


@pytest.fixture
def chain(sim: Simulator, telemetry: Telemetry) -> Chain:
    """A chain of two models, the first of which is busy."""
    sim.script("a/busy", status(502))
    return made(sim, telemetry, "a/busy", "b/good")


def made(sim: Simulator, telemetry: Telemetry, *models: str | Target, **options: Any) -> Chain:
    """Return a chain that waits for nobody."""
    plugins = [telemetry.plugin, Propagating()]
    options = {"delay": 0, "cooldown": None, "plugins": plugins, **options}
    return Chain(models, api_key="sk-test", base_url=sim.base_url, **options)


def agrees(sim: Simulator, telemetry: Telemetry) -> list[Traced]:
    """Check that each request came from one attempt, in a call of its own, and return the calls."""
    calls = telemetry.calls
    attempts = [attempt for call in calls for attempt in call.attempts]
    assert len(telemetry.spans) == len(calls) + len(attempts)
    told = Counter((id_of(each), facts(each)["gen_ai.request.model"]) for each in attempts)
    assert told == Counter((asked_by(received), received.model) for received in sim.requests)
    assert telemetry.metric(DURATION, "gen_ai.request.model", "error.type") == Counter(
        facts for call in calls for facts in call.told
    )
    assert sum(telemetry.metric(WORKFLOW).values()) == len(calls)
    return calls


def test_a_fallback(chain: Chain, sim: Simulator, telemetry: Telemetry) -> None:
    """A call is a span below the application's, and each attempt one below the call's, with what is known of it."""
    with telemetry.tracer.start_as_current_span("request") as mine:
        chain.complete("Hi", temperature=0.5, max_tokens=100, seed=7, n=2, stop=[CANARY])
    server = {"server.address": "127.0.0.1", "server.port": int(sim.base_url.split(":")[2].split("/")[0])}
    sent = {"gen_ai.request.temperature": 0.5, "gen_ai.request.max_tokens": 100, "gen_ai.request.seed": 7}
    common = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.choice.count": 2,
        **server, **sent,
    }  # fmt: skip
    [(call, [first, second])] = [
        Traced(call, attempts) for call, attempts in telemetry.calls if parent_of(call) == id_of(mine)
    ]
    assert (call.name, call.kind, facts(call)) == (
        "invoke_workflow orfallback",
        SpanKind.INTERNAL,
        {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "orfallback"},
    )
    assert (first.name, first.kind, facts(first)) == (
        "chat a/busy",
        SpanKind.CLIENT,
        {**common, "gen_ai.request.model": "a/busy", "http.response.status_code": 502, "error.type": "busy"},
    )
    assert (second.name, facts(second)) == (
        "chat b/good",
        {
            **common, "gen_ai.request.model": "b/good", "gen_ai.response.model": "b/good",
            "gen_ai.response.id": facts(second)["gen_ai.response.id"], "gen_ai.usage.input_tokens": 3,
            "gen_ai.usage.output_tokens": 4, "http.response.status_code": 200, "http.request.resend_count": 1,
        },
    )  # fmt: skip
    assert [span.status.status_code for span in (call, first, second)] == [
        StatusCode.UNSET,
        StatusCode.ERROR,
        StatusCode.UNSET,
    ]
    assert first.status.description == "502 busy"
    assert [asked_by(received) for received in sim.requests] == [id_of(first), id_of(second)]


def test_a_stream(chain: Chain, sim: Simulator, telemetry: Telemetry) -> None:
    """A stream's attempt lasts until its end, and tells that it was one, and how long the first content took."""
    with chain.stream("Hi") as stream:
        next(stream)
        assert [span.name for span in telemetry.spans] == ["chat a/busy"]
        stream.read()
    [call] = agrees(sim, telemetry)
    assert call.told == [("a/busy", "busy"), ("b/good", None)]
    served = facts(call.attempts[1])
    assert (served["gen_ai.request.stream"], served["gen_ai.usage.output_tokens"]) == (True, 4)
    assert 0 < served["gen_ai.response.time_to_first_chunk"] < 30
    assert telemetry.metric(FIRST, "gen_ai.request.model", "gen_ai.response.model") == {("b/good", "b/good"): 1}


def test_what_tokens_were_for(sim: Simulator, telemetry: Telemetry) -> None:
    """Tokens read from a cache, and spent on reasoning, are told; they are counted once, by the attempt."""
    usage = {
        "prompt_tokens": 100, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 80},
        "completion_tokens_details": {"reasoning_tokens": 30},
    }  # fmt: skip
    choice = {"message": {"role": "assistant", "content": SAID}, "finish_reason": "stop"}
    sim.script("a/good", reply({"choices": [choice], "usage": usage}))
    made(sim, telemetry, "a/good").complete("Hi")
    [call] = agrees(sim, telemetry)
    told = {name: value for name, value in facts(call.attempts[0]).items() if ".usage." in name}
    assert told == {
        "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.cache_read.input_tokens": 80, "gen_ai.usage.reasoning.output_tokens": 30,
    }  # fmt: skip
    assert telemetry.total(TOKENS, "gen_ai.token.type") == {("input",): 100, ("output",): 50}


def test_endpoints(telemetry: Telemetry) -> None:
    """OpenRouter is told by its name; others by the form that they speak; each with its address, and no user."""
    attempts = (Attempt(1, "m", ""),)
    for url in (
        "https://openrouter.ai/api/v1",
        "https://notopenrouter.ai/v1",
        "https://u:s3cret@llm.example/v1",
        "http://[::1]:11434/v1",
    ):
        call = Call("0123456789abcdef", {})
        telemetry.plugin.orfallback_call_started(call)
        telemetry.plugin.orfallback_attempt_started(call, Target("m", base_url=url), 1)
        telemetry.plugin.orfallback_attempt_finished(call, attempts[0])
        telemetry.plugin.orfallback_call_finished(Call(call.id, {}, attempts=attempts), None)
    names = ("gen_ai.provider.name", "server.address", "server.port")
    assert [tuple(facts(each)[name] for name in names) for call in telemetry.calls for each in call.attempts] == [
        ("openrouter", "openrouter.ai", 443),
        ("openai", "notopenrouter.ai", 443),
        ("openai", "llm.example", 443),
        ("openai", "::1", 11434),
    ]


# -- endings --


def ended(telemetry: Telemetry) -> tuple[StatusCode, Any, str | None]:
    """Return status, ``error.type`` and description of the one call."""
    [call] = telemetry.calls
    return call.call.status.status_code, facts(call.call).get("error.type"), call.call.status.description


@pytest.mark.parametrize("dropped", [False, True], ids=["closed", "dropped"])
def test_a_stream_that_is_left(chain: Chain, sim: Simulator, telemetry: Telemetry, dropped: bool) -> None:
    """A stream that the application leaves, or drops, is no error; neither its attempt nor the call has one."""
    stream = chain.stream("Hi")
    next(stream)
    if not dropped:
        stream.close()
    del stream
    [call] = agrees(sim, telemetry)
    assert call.told == [("a/busy", "busy"), ("b/good", None)]
    assert call.attempts[1].status.status_code is StatusCode.UNSET
    assert ended(telemetry) == (StatusCode.UNSET, None, None)


def test_a_stream_that_breaks(chain: Chain, sim: Simulator, telemetry: Telemetry) -> None:
    """A stream that breaks is an error of its attempt, and of the call."""
    sim.script("b/good", cut("content"))
    with pytest.raises(StreamInterrupted):
        chain.stream("Hi").read()
    [call] = agrees(sim, telemetry)
    assert call.told == [("a/busy", "busy"), ("b/good", "truncated")]
    assert ended(telemetry) == (StatusCode.ERROR, "StreamInterrupted", "busy, truncated")
    assert telemetry.metric(FIRST, "gen_ai.request.model") == {("b/good",): 1}


@pytest.mark.parametrize("ask", [Chain.complete, Chain.stream])
def test_no_answer(chain: Chain, sim: Simulator, telemetry: Telemetry, ask: Any) -> None:
    """A call that nobody answered is an error, named after what the caller sees."""
    sim.script("b/good", status(429))
    with pytest.raises(ChainExhausted):
        ask(chain, "Hi")
    [call] = agrees(sim, telemetry)
    assert call.told == [("a/busy", "busy"), ("b/good", "rate_limited")]
    assert ended(telemetry) == (StatusCode.ERROR, "ChainExhausted", "busy, rate_limited")
    assert telemetry.metric(WORKFLOW, "gen_ai.workflow.name", "error.type") == {("orfallback", "ChainExhausted"): 1}


@pytest.mark.parametrize("ask", [Chain.complete, lambda *args: Chain.stream(*args).read()])
def test_a_last_resort(chain: Chain, sim: Simulator, telemetry: Telemetry, ask: Any) -> None:
    """A degraded answer is marked, on span and metric, and is no error: the caller saw none."""

    class Sorry:
        def orfallback_exhausted(self) -> str:
            return "Sorry"

    chain.register(Sorry())
    sim.script("b/good", status(503))
    ask(chain, "Hi")
    [call] = agrees(sim, telemetry)
    assert len(call.attempts) == 2
    assert ended(telemetry) == (StatusCode.UNSET, "degraded", None)
    assert telemetry.metric(WORKFLOW, "error.type") == {("degraded",): 1}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_something_else_ends_a_call(
    chain: Chain, sim: Simulator, telemetry: Telemetry, error: type[BaseException]
) -> None:
    """Ctrl-C, or what a plugin raises, is the call's error, and not the attempt's; what it says is not told."""

    class Struck:
        def orfallback_classify(self, call: Call) -> None:
            if call.attempts:
                raise error(CANARY)

    chain.register(Struck())
    with pytest.raises(error):
        chain.complete("Hi")
    [call] = agrees(sim, telemetry)
    assert call.told == [("a/busy", "busy"), ("b/good", None)]
    assert ended(telemetry) == (StatusCode.ERROR, error.__name__, "busy, cancelled")


def test_nobody_was_asked(sim: Simulator, telemetry: Telemetry) -> None:
    """A call that asked nobody has a span alone."""

    class Full:
        def orfallback_admit(self) -> float:
            return 60.0

    chain = made(sim, telemetry, "a/busy")
    chain.register(Full())
    with pytest.raises(ChainExhausted):
        chain.complete("Hi")
    assert agrees(sim, telemetry)[0].attempts == []
    assert ended(telemetry) == (StatusCode.ERROR, "ChainExhausted", None)


# -- many --

STORM = {
    "s/busy": status(502), "s/limited": status(429), "s/gone": status(404), "s/down": reset("body"),
    "s/mute": silence(), "s/inside": error_in_200(502), "s/half": cut("body"), "s/page": reply("<html>"),
    "s/empty": answer(""), "s/late": error_in_200(503, after="Well"), "s/cut": cut("content"), "s/good": answer(SAID),
}  # fmt: skip


def test_a_storm(sim: Simulator, telemetry: Telemetry) -> None:
    """Through every family of faults, whole and as streams, spans and metrics agree with the chain's own record."""
    for model, behaviour in STORM.items():
        sim.script(model, behaviour)
    timeouts = Timeouts(first_token=0.2, answer=0.2, idle=0.2)
    seen: list[tuple[tuple[str, Any], ...]] = []

    class Watching:
        def orfallback_call_finished(self, call: Call) -> None:
            seen.append(tuple((each.model, None if each.ok else str(each.reason)) for each in call.attempts))

    models = list(STORM)
    for first in range(len(models)):
        chain = made(sim, telemetry, *models[first:], timeouts=timeouts)
        chain.register(Watching())
        for ask in (chain.complete, lambda prompt, chain=chain: chain.stream(prompt).read()):
            with suppress(StreamInterrupted):
                ask("Hi")
    assert [tuple(call.told) for call in agrees(sim, telemetry)] == seen
    assert len({reason for call in seen for _, reason in call}) >= 7


def test_64_threads(sim: Simulator, telemetry: Telemetry) -> None:
    """64 threads of 20 calls each, whole, read, left or broken off: each attempt is below the span of its own call."""
    sim.script("a/busy", status(502))
    sim.script("b/cut", cut("content"))
    chains = [made(sim, telemetry, "a/busy", "b/good"), made(sim, telemetry, "a/busy", "b/cut")]
    parents: dict[int, int] = {}

    def ask(thread: int) -> None:
        for number in range(20):
            with telemetry.tracer.start_as_current_span("request") as mine:
                _ask(chains, number)
            assert not trace.get_current_span().get_span_context().is_valid
            parents[id_of(mine)] = number

    assert together(64, ask) == []
    calls = {parent_of(call.call): call for call in telemetry.calls}
    assert len(calls) == len(parents) == 64 * 20
    for mine, number in parents.items():
        broken = number % 4 == 3
        told = [("a/busy", "busy"), ("b/cut", "truncated") if broken else ("b/good", None)]
        assert calls[mine].told == told
        assert facts(calls[mine].call).get("error.type") == ("StreamInterrupted" if broken else None)
    asked = Counter(asked_by(received) for received in sim.requests)
    assert asked == Counter(id_of(each) for call in calls.values() for each in call.attempts)
    assert telemetry.plugin._running == {}


def _ask(chains: list[Chain], number: int) -> None:
    good, cut_off = chains
    if number % 4 == 0:
        good.complete("Hi")
    elif number % 4 == 1:
        good.stream("Hi").read()
    elif number % 4 == 2:
        good.stream("Hi").close()
    else:
        with pytest.raises(StreamInterrupted):
            cut_off.stream("Hi").read()


# -- what is not told --


@pytest.mark.parametrize("mode", ["SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT", "true"])
def test_no_prompt_and_no_answer(
    sim: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    mode: str,
) -> None:
    """Whatever the environment says, no signal holds a word of a prompt or an answer, not even where a server does."""
    monkeypatch.setenv(variables.OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT, mode)
    monkeypatch.setenv(variables.OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT, "true")
    monkeypatch.setenv(variables.OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK, "upload")
    monkeypatch.setenv(variables.OTEL_INSTRUMENTATION_GENAI_UPLOAD_BASE_PATH, tmp_path.as_uri())
    telemetry = Telemetry()
    sim.script("a/parrot", status(400, message=f"I refuse to answer '…{CANARY[:-1]}…'"))
    sim.script("b/good", answer(SAID))
    chain = made(sim, telemetry, "a/parrot", "b/good")
    tool = {"type": "function", "function": {"name": "f", "description": CANARY}}
    messages = [{"role": "system", "content": CANARY}, {"role": "user", "content": f"What is {CANARY}?"}]
    for ask in (chain.complete, lambda *args, **params: chain.stream(*args, **params).read()):
        assert ask(messages, tools=[tool], stop=[CANARY], user=CANARY).text == SAID
    told = json.dumps([json.loads(span.to_json()) for span in telemetry.spans])
    assert len(telemetry.events) == 4
    told += "".join(record.to_json() if hasattr(record, "to_json") else repr(record) for record in telemetry.events)
    told += "".join(metric.to_json() for metric in telemetry.metrics)
    assert "b/good" in told
    assert CANARY[:-1] not in told
    assert SAID not in told
    assert list(tmp_path.iterdir()) == []


def test_hostile_names(sim: Simulator, telemetry: Telemetry) -> None:
    """Names and counts that a server invents are cleaned and bounded; each is told, and none can break an exporter."""
    choice = {"message": {"role": "assistant", "content": SAID}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10**30, "completion_tokens": "7", "prompt_tokens_details": [1]}
    body = {"id": "\x1b]0;gen\u202e" * 99, "model": "\x1b[31mred\n" + "x" * 9_999, "choices": [choice], "usage": usage}
    sim.script("a/good", reply(body))
    made(sim, telemetry, "a/good").complete("Hi", temperature=10**30, seed=10**30, top_p=True, n="2", max_tokens=None)
    [call] = agrees(sim, telemetry)
    told = facts(call.attempts[0])
    assert told["gen_ai.response.model"] == "[31mred " + "x" * 191 + "…"
    assert len(told["gen_ai.response.id"]) == 200
    assert all(value.isprintable() for value in told.values() if isinstance(value, str))
    assert [name for name in told if "usage" in name or name.startswith("gen_ai.request.")] == ["gen_ai.request.model"]


def test_names_in_metrics_are_bounded(sim: Simulator, telemetry: Telemetry) -> None:
    """A server that invents a name for each answer fills no memory: beyond 500 they are one; those listed stay."""
    choice = {"message": {"role": "assistant", "content": SAID}, "finish_reason": "stop"}
    bodies = [reply({"model": f"x/{number}", "choices": [choice]}) for number in range(510)]
    sim.script("a/liar", *bodies)
    chain = made(sim, telemetry, "a/liar", "b/good")
    for _ in bodies:
        chain.complete("Hi")
    sim.script("a/liar", status(404))
    chain.complete("Hi")
    told = telemetry.metric(DURATION, "gen_ai.request.model", "gen_ai.response.model")
    assert told["a/liar", "_OTHER"] == 510 - 498
    assert told["b/good", "b/good"] == 1
    assert len(told) == 498 + 3
    assert facts(telemetry.calls[509].attempts[0])["gen_ai.response.model"] == "x/509"


# -- the plugin itself --


def test_it_is_loaded_by_its_name(at: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """``ORFALLBACK_PLUGINS=opentelemetry`` loads it, and without an SDK it tells nobody, and costs no answer."""
    monkeypatch.setenv("ORFALLBACK_PLUGINS", "opentelemetry")
    chain = Chain.from_env()
    assert isinstance(chain.plugin_manager.get_plugin("opentelemetry"), OpenTelemetry)
    assert chain.complete("Hi").text
    assert chain.stream("Hi").read().text


def test_it_pickles() -> None:
    """A plugin without providers of its own pickles, with its name."""
    plugin = pickle.loads(pickle.dumps(OpenTelemetry("chat")))
    assert plugin._name == "chat"


def test_what_it_costs_without_an_sdk() -> None:
    """Without an SDK it takes less than half a millisecond of a call, ten times of what was measured."""
    plugin = OpenTelemetry(tracer_provider=trace.NoOpTracerProvider(), meter_provider=NoOpMeterProvider())
    call, target = Call("0123456789abcdef", {"temperature": 0.5}), Target("m", base_url="https://openrouter.ai/api/v1")
    attempt = Attempt(1, "m", "", served_model="m", usage={"prompt_tokens": 3, "completion_tokens": 4})
    best = float("inf")
    for _ in range(20):
        began = time.process_time()
        for _ in range(20):
            plugin.orfallback_call_started(call)
            plugin.orfallback_attempt_started(call, target, 1)
            plugin.orfallback_attempt_finished(call, attempt)
            plugin.orfallback_call_finished(call, None)
        best = min(best, (time.process_time() - began) / 20)
    assert best < 0.000_6


def test_the_tables_of_the_page(chain: Chain, sim: Simulator, telemetry: Telemetry) -> None:
    """The page lists the attributes that spans carry, those of the call and those of an attempt, and no others."""
    sim.script("b/cut", cut("content"))
    numbers = ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty", "max_tokens")
    parameters: dict[str, Any] = dict.fromkeys(numbers, 1)
    chain.stream("Hi", n=2, **parameters).read()
    usage = {
        "prompt_tokens": 100, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 80},
        "completion_tokens_details": {"reasoning_tokens": 30},
    }  # fmt: skip
    choice = {"message": {"role": "assistant", "content": SAID}, "finish_reason": "stop"}
    sim.script("b/good", reply({"choices": [choice], "usage": usage}), status(503))
    chain.complete("Hi")
    with pytest.raises(ChainExhausted):
        chain.complete("Hi")
    calls = agrees(sim, telemetry)
    text = PAGE.read_text(encoding="utf-8")
    for heading, spans in (
        ("### The call", [call.call for call in calls]),
        ("### An attempt", [attempt for call in calls for attempt in call.attempts]),
    ):
        section = text.partition(f"{heading}\n")[2].partition("\n#")[0]
        assert set(re.findall(r"^\| `([a-z_.]+)`", section, re.MULTILINE)) == {
            name for span in spans for name in facts(span)
        }
    section = text.partition("### The metrics\n")[2].partition("\n#")[0]
    told = set(re.findall(r"^\| `([a-z_.]+)` \| [\w ]+; (\w+), `(\S+)` \|", section, re.MULTILINE))
    assert told == {(metric.name, type(metric.data).__name__.lower(), metric.unit) for metric in telemetry.metrics}
    for metric in telemetry.metrics:
        attributes = {name for point in metric.data.data_points for name in point.attributes}
        assert [name for name in sorted(attributes) if f"`{name}`" not in section] == [], metric.name
    every = [span for call in calls for span in (call.call, *call.attempts)]
    kinds = {span.name.partition(" ")[0]: span.kind.name.lower() for span in every}
    assert dict(re.findall(r"^\| `(\w+) [\w/]+` \| (internal|client) \|", text, re.MULTILINE)) == kinds
