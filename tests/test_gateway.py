"""The gateway over real sockets: a simulator behind it, waitress before it."""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from gateways import (
    BUSY,
    GOOD,
    KEY,
    MESSAGES,
    PATIENCE,
    PROMPT,
    TOOL,
    TOOL_CALL,
    Served,
    chain_at,
    events_in,
    next_event,
    serving,
    text_of,
)

from orfallback import Target, Timeouts
from orfallback.testing import Gate, Simulator, answer, cut, error_in_200, events, reset, silence, status
from orfallback.wsgi import Gateway

TOKEN = "a-token-of-the-gateway-0000"


@pytest.fixture
def busy(sim: Simulator) -> Simulator:
    """A simulator whose first model is busy."""
    sim.script(BUSY, status(502))
    return sim


@pytest.fixture
def served(busy: Simulator) -> Iterator[Served]:
    """A gateway that asks it."""
    with chain_at(busy) as chain, serving(Gateway(chain)) as served:
        yield served


# -- answers --


def test_a_whole_answer_while_the_first_model_is_busy(served: Served, busy: Simulator) -> None:
    """The second model answers, its reply goes on as it was received, and headers tell who it was."""
    reply = served.ask(temperature=0.5, provider={"sort": "price"})
    assert reply.status_code == 200
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["X-Orfallback-Model"] == GOOD
    assert reply.headers["X-Orfallback-Attempts"] == "2"
    assert "X-Orfallback-Degraded" not in reply.headers
    assert reply.json()["provider"] == "Simulated"
    assert reply.json()["choices"][0]["message"]["content"]
    assert busy.models_asked == [BUSY, GOOD]
    sent = {"model": GOOD, "messages": MESSAGES, "temperature": 0.5, "provider": {"sort": "price"}}
    assert busy.requests[-1].body == sent


def test_a_stream_while_the_first_model_is_busy(served: Served) -> None:
    """The chunks of the second model go on as they were received, and ``[DONE]`` ends them."""
    reply = served.ask(stream=True)
    assert reply.status_code == 200
    assert reply.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["X-Orfallback-Model"] == GOOD
    assert reply.headers["X-Orfallback-Attempts"] == "2"
    got = events_in(reply.text)
    assert got[-1] == "[DONE]"
    assert text_of(got) == "Hello from the simulator."
    assert {event["object"] for event in got[:-1]} == {"chat.completion.chunk"}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_tool_calls_pass(stream: bool, served: Served, busy: Simulator) -> None:
    """Tools go to the model, and its calls of them come back."""
    busy.script(GOOD, answer("", tool_calls=[TOOL_CALL], finish_reason="tool_calls"))
    reply = served.ask(stream=stream, tools=[TOOL], tool_choice="auto")
    assert busy.requests[-1].body["tools"] == [TOOL]
    if not stream:
        assert reply.json()["choices"][0]["message"]["tool_calls"] == [TOOL_CALL]
        return
    got = events_in(reply.text)
    calls = [call for event in got[:-1] for call in event["choices"][0]["delta"].get("tool_calls", [])]
    assert "".join(call["function"].get("arguments", "") for call in calls) == TOOL_CALL["function"]["arguments"]
    assert got[-1] == "[DONE]"


def test_events_leave_one_by_one(served: Served, busy: Simulator) -> None:
    """Each event is with the client before the model is let to say the next one."""
    gate = Gate()
    words = ["one ", "two ", "three ", "four"]
    busy.script(GOOD, answer(pieces=words, gate=gate, role_first=False))
    with served.streaming() as response:
        for word in words:
            # What comes next is still behind the gate.
            assert text_of([next_event(response)]) == word
            gate.open()
        gate.open(2)
        rest = list(iter(lambda: next_event(response), None))
    assert rest[-1] == "[DONE]"


def test_a_header_comes_before_the_second_event(served: Served, busy: Simulator) -> None:
    """The status and the headers are with the client as soon as a model has begun."""
    gate = Gate()
    busy.script(GOOD, answer("one two", gate=gate, role_first=False))
    with served.streaming() as response:
        assert response.getheader("X-Orfallback-Model") == GOOD
        gate.open(10)
        assert response.read().endswith(b"data: [DONE]\n\n")


def test_numbers_that_are_none_become_null(served: Served, busy: Simulator) -> None:
    """What a service sends that is no JSON, such as NaN, leaves the gateway as JSON."""
    chunk = '{"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop", "logprobs": NaN}]}'
    busy.script(GOOD, events(chunk, "[DONE]"))
    first, last = events_in(served.ask(stream=True).text)
    assert first["choices"][0]["logprobs"] is None
    assert last == "[DONE]"


class _LastResort:
    def orfallback_exhausted(self) -> str:
        return "Nobody is here now."


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_degraded_answer_is_marked(stream: bool, sim: Simulator) -> None:
    """A plugin's last resort is an answer like any other, and a header says that no model gave it."""
    sim.default(status(503))
    with chain_at(sim, plugins=[_LastResort()]) as chain, serving(Gateway(chain)) as served:
        reply = served.ask(stream=stream)
    assert reply.status_code == 200
    assert reply.headers["X-Orfallback-Degraded"] == "1"
    assert reply.headers["X-Orfallback-Model"] == ""
    assert reply.headers["X-Orfallback-Attempts"] == "2"
    if stream:
        chunk, done = events_in(reply.text)
        assert chunk["choices"][0]["delta"]["content"] == "Nobody is here now."
        assert done == "[DONE]"
    else:
        chunk = reply.json()
        assert chunk["choices"][0]["message"]["content"] == "Nobody is here now."
    assert chunk["object"] == ("chat.completion.chunk" if stream else "chat.completion")
    assert {"id", "created", "model"} <= set(chunk)


# -- whom to ask --


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({}, ["m/1", "m/2", "m/3"]),
        ({"model": None}, ["m/1", "m/2", "m/3"]),
        ({"model": "orfallback"}, ["m/1", "m/2", "m/3"]),
        ({"model": "auto"}, ["m/1", "m/2", "m/3"]),
        ({"model": "m/1"}, ["m/1", "m/2", "m/3"]),
        ({"model": "m/2"}, ["m/2", "m/1", "m/3"]),
        ({"model": "other/model"}, ["other/model", "m/1", "m/2", "m/3"]),
        ({"models": ["x/1", "m/3", "x/1"]}, ["x/1", "m/3"]),
        ({"model": "x/0", "models": ["x/1", "m/3"]}, ["x/0", "x/1", "m/3"]),
        ({"model": "auto", "models": ["x/1"]}, ["x/1"]),
    ],
    ids=str,
)
def test_whom_a_request_names(fields: dict[str, Any], asked: list[str], sim: Simulator) -> None:
    """A model that is named is asked first, the chain's others follow; a list is the chain of that call."""
    sim.default(status(502))
    with chain_at(sim, "m/1", "m/2", "m/3") as chain, serving(Gateway(chain)) as served:
        assert served.ask(**fields).status_code == 503
        assert served.ask(**fields).status_code == 503
    assert sim.models_asked == asked * 2
    assert not any("models" in request.body for request in sim.requests)


def test_a_named_model_keeps_its_endpoint_and_its_key(sim: Simulator) -> None:
    """A model that the chain has elsewhere is asked there, with its own key and parameters, when a client names it."""
    with Simulator() as other:
        sim.default(status(502))
        there = Target("m/there", base_url=other.base_url, api_key="sk-of-the-other", set={"max_tokens": 5})
        with chain_at(sim, "m/here", there) as chain, serving(Gateway(chain)) as served:
            assert served.ask(model="m/there").headers["X-Orfallback-Model"] == "m/there"
            assert served.ask(models=["m/there"]).ok
            assert sim.models_asked == []
            assert served.ask(model="m/unknown").ok
        assert sim.models_asked == ["m/unknown", "m/here"]
        digest = hashlib.sha256(b"sk-of-the-other").hexdigest()[:12]
        assert {request.key_digest for request in other.requests} == {digest}
        assert {request.body["max_tokens"] for request in other.requests} == {5}


def test_what_is_registered_later_counts(sim: Simulator) -> None:
    """A plugin that the application registers on its chain later sees the next request."""
    seen = []

    class Watching:
        def orfallback_call_started(self, call: Any) -> None:
            seen.append(call.id)

    with chain_at(sim, GOOD) as chain, serving(Gateway(chain)) as served:
        assert served.ask().ok
        chain.register(Watching())
        assert served.ask().ok
        assert served.ask(model="x/y").ok
    assert len(seen) == 2


# -- failures --


def test_a_break_after_the_first_content(served: Served, busy: Simulator) -> None:
    """A stream that breaks ends in one error event, and in no ``[DONE]``."""
    busy.script(GOOD, cut("content", text="The sky is"))
    reply = served.ask(stream=True)
    assert reply.status_code == 200
    *chunks, last = events_in(reply.text)
    assert text_of(chunks) == "The sky is"
    assert last["error"]["code"] == "truncated"
    assert set(last["error"]) == {"message", "type", "param", "code"}
    assert sum("error" in event for event in chunks) == 0
    assert "[DONE]" not in reply.text


def test_an_error_that_comes_inside_a_stream(served: Served, busy: Simulator) -> None:
    """What the service says in the middle of a stream is told in one event, in the gateway's own form."""
    busy.script(GOOD, error_in_200(502, "the provider went away", after="The sky", done=True))
    reply = served.ask(stream=True)
    *chunks, last = events_in(reply.text)
    assert text_of(chunks) == "The sky"
    assert "the provider went away" in last["error"]["message"]
    assert "[DONE]" not in reply.text


FAILURES = [
    pytest.param(status(502), 503, "busy", True, id="busy"),
    pytest.param(status(503, headers={"Retry-After": "7"}), 503, "busy", True, id="with a hint"),
    pytest.param(status(429), 503, "rate_limited", True, id="limited"),
    pytest.param(reset("accept"), 503, "connection", True, id="reset"),
    pytest.param(answer(""), 502, "empty", False, id="empty"),
    pytest.param(status(401), 502, "unauthorized", False, id="the gateway's key is refused"),
    pytest.param(status(402), 502, "payment", False, id="the gateway has no credit"),
    pytest.param(status(404), 404, "not_found", False, id="nobody serves the models"),
    pytest.param(status(400, message="temperature is too high"), 400, "invalid_request", False, id="a wrong request"),
    pytest.param(status(422, message="bad field"), 422, "invalid_request", False, id="422"),
    pytest.param(
        status(400, message="This endpoint's maximum context length is 4096 tokens"),
        400, "context_length_exceeded", False, id="too long for all",
    ),
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("behaviour", "code", "label", "retry"), FAILURES)
def test_failures_are_statuses(
    behaviour: Any, code: int, label: str, retry: bool, stream: bool, sim: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """What fails before the first content is a proper status, in OpenAI's form, that no client retries by itself."""
    sim.default(behaviour)
    with chain_at(sim) as chain, serving(Gateway(chain)) as served:
        reply = served.ask(stream=stream)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (code, label)
    assert error["type"] == ("server_error" if code >= 500 else "invalid_request_error")
    assert set(error) == {"message", "type", "param", "code"}
    assert reply.headers["x-should-retry"] == "false"
    assert ("Retry-After" in reply.headers) is retry
    assert reply.headers["X-Orfallback-Attempts"] == str(len(sim.models_asked))
    assert reply.headers["X-Orfallback-Model"] == sim.models_asked[-1]


def test_the_hint_is_handed_on(sim: Simulator) -> None:
    """``Retry-After`` is the soonest useful retry, in whole seconds."""
    sim.script(BUSY, status(503, headers={"Retry-After": "30"}))
    sim.script(GOOD, status(503, headers={"Retry-After": "7"}))
    with chain_at(sim) as chain, serving(Gateway(chain)) as served:
        assert served.ask().headers["Retry-After"] == "7"


def test_a_deadline(sim: Simulator) -> None:
    """A call whose time is up is a 504."""
    sim.default(silence())
    with chain_at(sim, timeouts=Timeouts(deadline=0.2)) as chain, serving(Gateway(chain)) as served:
        reply = served.ask()
    assert (reply.status_code, reply.json()["error"]["code"]) == (504, "timeout")


class _Broken:
    def __init__(self, hook: str) -> None:
        def fail() -> None:
            raise RuntimeError("a plugin's own business")

        setattr(self, hook, fail)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("hook", ["orfallback_select", "orfallback_classify"])
def test_a_plugin_that_fails(hook: str, stream: bool, sim: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    """A deciding plugin that raises is a 500 without a word of it; the log has the traceback."""
    with chain_at(sim, plugins=[_Broken(hook)]) as chain, serving(Gateway(chain)) as served:
        reply = served.ask(stream=stream)
        assert served.ask(model="a b").status_code == 400
    assert (reply.status_code, reply.json()["error"]["code"]) == (500, "internal_error")
    assert "business" not in reply.text
    assert "Traceback" not in reply.text
    (record,) = [record for record in caplog.records if record.name == "orfallback.gateway"]
    assert "a plugin's own business" in str(record.exc_info)


def test_a_plugin_that_fails_after_the_first_content(sim: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    """A plugin that fails at judging what broke a stream is one error event; the log has the traceback."""

    class Late:
        def orfallback_classify(self, outcome: Any) -> None:
            if outcome.value is None:
                raise RuntimeError("a plugin's own business")

    sim.default(cut("content", text="The sky is"))
    with chain_at(sim, plugins=[Late()]) as chain, serving(Gateway(chain)) as served:
        reply = served.ask(stream=True)
    *_, last = events_in(reply.text)
    assert last["error"]["code"] == "internal_error"
    assert "business" not in reply.text
    assert "[DONE]" not in reply.text
    assert any(record.name == "orfallback.gateway" for record in caplog.records)


# -- clients that leave --


def test_a_client_that_leaves(sim: Simulator) -> None:
    """The upstream connection of a client that hangs up between two events is closed at once."""
    gate = Gate()
    sim.script(GOOD, answer("one two three", gate=gate, role_first=False))
    with chain_at(sim, GOOD) as chain, serving(Gateway(chain)) as served:
        with served.streaming() as response:
            assert next_event(response)
        left = time.monotonic()
        assert sim.wait_idle(PATIENCE)
        # It takes a tenth of a second.
        assert time.monotonic() - left < 1.0
        assert len(sim.left_early) == 1
        # The thread that served it is free again.
        assert served.ask(model="x/y").ok


def test_a_client_that_leaves_before_the_first_content() -> None:
    """No further model is asked on behalf of a client that has left."""
    asked = threading.Event()
    gate = Gate()
    with Simulator(on_request=lambda _: asked.set()) as sim:
        busy = status(502)

        def late(received: Any) -> Iterator[Any]:
            yield gate
            yield from busy(received)

        sim.script(BUSY, late)
        with chain_at(sim) as chain:
            over = threading.Event()
            chain.register(_Finished(over))
            with serving(Gateway(chain)) as served:
                with socket.create_connection(served.server.address, timeout=PATIENCE) as client:
                    body = json.dumps({"messages": MESSAGES}).encode()
                    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
                    client.sendall(head.encode() + body)
                    assert asked.wait(PATIENCE)
                # Another request is through only when the server has seen the first one's end.
                assert requests.get(f"{served.url}/models", timeout=PATIENCE).ok
                gate.open()
                assert over.wait(PATIENCE)
        assert sim.models_asked == [BUSY]


class _Finished:
    def __init__(self, over: threading.Event) -> None:
        self._over = over

    def orfallback_call_finished(self) -> None:
        self._over.set()


def test_a_gateway_that_closes_ends_its_streams(sim: Simulator) -> None:
    """Closing the gateway closes what runs upstream; the client sees that its stream is not whole."""
    sim.script(GOOD, answer("one two three", gate=Gate(), role_first=False))
    with chain_at(sim, GOOD) as chain:
        gateway = Gateway(chain)
        with serving(gateway) as listening, listening.streaming() as response:
            assert next_event(response)
            gateway.close()
            assert next_event(response)["error"]["code"] == "cancelled"
            assert next_event(response) is None
        assert sim.wait_idle(PATIENCE)


# -- many at a time --


def test_64_streams_at_a_time(sim: Simulator) -> None:
    """64 clients are each in the middle of a stream at the same moment, and each gets all of its own."""
    count = 64
    gate = Gate()
    together = threading.Barrier(count)
    sim.default(answer("one two three", gate=gate, role_first=False))

    def ask(at: Served, number: int) -> list[Any]:
        with at.streaming(model=f"m/{number}") as response:
            first = next_event(response)
            together.wait(PATIENCE)
            gate.open(5)
            return [first, *iter(lambda: next_event(response), None)]

    with chain_at(sim, GOOD) as chain, serving(Gateway(chain), threads=count) as served:
        with ThreadPoolExecutor(count) as clients:
            streams = list(clients.map(ask, [served] * count, range(count)))
    assert [text_of(got) for got in streams] == ["one two three"] * count
    assert [got[0]["model"] for got in streams] == [f"m/{number}" for number in range(count)]
    assert {got[-1] for got in streams} == {"[DONE]"}


# -- who may ask --


@pytest.fixture
def locked(sim: Simulator) -> Iterator[Served]:
    """A gateway that wants a token."""
    with chain_at(sim, GOOD) as chain, serving(Gateway(chain, TOKEN)) as served:
        yield served


def test_the_right_token(locked: Served, sim: Simulator) -> None:
    """Whoever shows the token is answered, and the token does not go upstream."""
    assert locked.ask(token=TOKEN).ok
    assert requests.get(f"{locked.url}/models", headers={"Authorization": f"bearer  {TOKEN}"}, timeout=PATIENCE).ok
    (request,) = sim.requests
    assert request.key_digest == hashlib.sha256(KEY.encode()).hexdigest()[:12]
    assert TOKEN not in str(request.headers) + request.raw.decode()


@pytest.mark.parametrize("authorization", [
    None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer \xe9",
])  # fmt: skip
def test_a_wrong_token(authorization: str | None, locked: Served, sim: Simulator) -> None:
    """Whoever shows another token or none gets a 401 that says how to show one, whatever was asked."""
    headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}
    for method, path in [("POST", "/chat/completions"), ("GET", "/models"), ("GET", "/nowhere")]:
        reply = requests.request(method, f"{locked.url}{path}", headers=headers, timeout=PATIENCE)
        assert reply.status_code == 401
        assert reply.headers["WWW-Authenticate"].startswith("Bearer")
        assert reply.json()["error"]["code"] == "invalid_api_key"
        assert reply.json()["error"]["type"] == "authentication_error"
        assert TOKEN not in str(reply.headers) + reply.text
    assert requests.get(locked.url.replace("/v1", "/health"), timeout=PATIENCE).ok
    assert sim.requests == []


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://{host}"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:80", "Sec-Fetch-Site": "same-origin"}, 403),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]"}, 200),
        ({"Host": "[::1"}, 403),
        ({"Host": "my-own-name"}, 200),
    ],
    ids=str,
)
def test_pages_of_other_sites(headers: dict[str, str], code: int, sim: Simulator) -> None:
    """A page in a browser of this machine cannot spend its user's credit, by no trick with names either."""
    with chain_at(sim, GOOD) as chain, serving(Gateway(chain), names=("my-own-name",)) as served:
        host = "{}:{}".format(*served.server.address)
        sent = {name: value.format(host=host) for name, value in headers.items()}
        reply = requests.post(
            f"{served.url}/chat/completions", json={"messages": MESSAGES}, headers=sent, timeout=PATIENCE
        )
    assert reply.status_code == code
    assert "Access-Control-Allow-Origin" not in reply.headers
    assert len(sim.requests) == (code == 200)


# -- what is asked wrongly --


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"\xff\xfe{}", None),
        (b"[1]", None),
        (b"[" * 200_000, None),
        (b"{}", "messages"),
        (b'{"messages": "hi"}', "messages"),
        (b'{"messages": []}', "messages"),
        (b'{"messages": ["hi"]}', "messages"),
        (b'{"messages": [{}], "stream": "yes"}', "stream"),
        (b'{"messages": [{}], "model": 1}', "model"),
        (b'{"messages": [{}], "model": "two words"}', "model"),
        (b'{"messages": [{}], "models": []}', "models"),
        (b'{"messages": [{}], "models": "a/b"}', "models"),
        (b'{"messages": [{}], "models": [1]}', "models"),
        (b'{"messages": [{}], "models": ["two words"]}', "models"),
        (b'{"messages": [{}], "models": [%s]}' % b",".join([b'"a/b"'] * 33), "models"),
        (b'{"messages": [{}], "temperature": NaN}', "temperature"),
        (b'{"messages": [{"content": Infinity}]}', None),
        (b'{"messages": [{}], "timeout": 5}', "timeout"),
        (b'{"messages": [{}], "context": {}}', "context"),
        (b'{"messages": [{}], "self": 1}', "self"),
        (b'{"messages": [{}], "api_key": "sk-somebodys"}', "api_key"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_wrong_body(body: bytes, param: str | None, served: Served, busy: Simulator) -> None:
    """A body that cannot be meant is a 400 that names the field, and nobody is asked."""
    reply = served.ask(body)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert reply.headers["x-should-retry"] == "false"
    assert "sk-somebodys" not in reply.text
    assert busy.requests == []


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize(("size", "code"), [(2_000, 200), (2_001, 413), (100_000, 413)])
def test_the_size_of_a_body(size: int, code: int, chunked: bool, sim: Simulator) -> None:
    """A body is taken up to the limit, however it is framed."""
    empty = len(json.dumps({"messages": [{"role": "user", "content": ""}]}))
    body = json.dumps({"messages": [{"role": "user", "content": "x" * (size - empty)}]}).encode()
    assert len(body) == size
    with chain_at(sim, GOOD) as chain, serving(Gateway(chain, limit=2_000)) as served:
        reply = served.ask(iter([body[:1_000], body[1_000:]]) if chunked else body)
    assert reply.status_code == code
    assert code == 200 or reply.json()["error"]["code"] == "request_too_large"


@pytest.mark.parametrize("framing", ["Content-Length: 17000000", "Content-Length: 99999999999999999999"])
def test_a_size_that_is_only_told(framing: str, served: Served) -> None:
    """What the server itself refuses, a body that is too large by far, is refused in the same form."""
    with socket.create_connection(served.server.address, timeout=PATIENCE) as client:
        client.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n{framing}0\r\n\r\n".encode())
        response = http.client.HTTPResponse(client)
        response.begin()
        assert response.status == 413
        assert json.loads(response.read())["error"]["type"] == "invalid_request_error"
        assert response.getheader("x-should-retry") == "false"


def test_the_default_limit(served: Served) -> None:
    """Pictures fit: 15 MB are taken, 17 MB are refused, and the client gets to read that."""
    assert served.ask(messages=[{"role": "user", "content": "x" * 15_000_000}]).ok
    assert served.ask(messages=[{"role": "user", "content": "x" * 17_000_000}]).status_code == 413


def test_a_request_that_is_none(served: Served) -> None:
    """What is no HTTP is refused in the same form, too."""
    with socket.create_connection(served.server.address, timeout=PATIENCE) as client:
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: bread\r\n\r\n")
        response = http.client.HTTPResponse(client)
        response.begin()
        assert response.status == 501
        assert set(json.loads(response.read())["error"]) == {"message", "type", "param", "code"}


# -- what is told --


def test_no_key_and_no_prompt_is_told(sim: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the chain's key, nor the gateway's token, nor a prompt is in any reply or log, whatever fails."""
    caplog.set_level(logging.DEBUG)
    echo = f"\x1b[31mkey {KEY} said: {PROMPT}\r\nX-Evil: 1 " + "x" * 5_000
    replies = []
    with chain_at(sim, plugins=[]) as chain, serving(Gateway(chain, TOKEN)) as served:
        for behaviour in (
            status(400, message=echo), status(401, message=echo), status(502, message=echo), status(429, echo),
            error_in_200(502, echo), error_in_200(502, echo, after="The sky"), cut("content"), reset("body"), answer(),
        ):  # fmt: skip
            sim.default(behaviour)
            replies += [served.ask(token=TOKEN, stream=stream) for stream in (False, True)]
            replies.append(served.ask(token=KEY))
        replies += [served.ask(body, token=TOKEN) for body in (b"{" + PROMPT.encode(), b'{"messages": []}')]
        replies.append(served.ask(token=TOKEN, stream=PROMPT))
    told = "".join(f"{reply.status_code} {reply.headers} {reply.text}" for reply in replies)
    logged = "".join(caplog.handler.format(record) for record in caplog.records)
    for canary in (KEY, TOKEN, PROMPT, "\x1b", "X-Evil: 1 " + "x" * 2_500):
        assert canary not in told
        assert canary not in logged
    assert "sky" in told
    assert "No model answered" in logged


def test_a_gateway_shows_no_token(sim: Simulator) -> None:
    """The repr of a gateway tells its chain."""
    with chain_at(sim) as chain:
        assert repr(Gateway(chain, TOKEN)) == f"<Gateway of <Chain of {BUSY}, {GOOD}>>"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"token": ""}, ValueError),
        ({"token": "two words"}, ValueError),
        ({"token": 1}, ValueError),
        ({"limit": 0}, ValueError),
        ({"limit": 1.5}, TypeError),
        ({"limit": True}, TypeError),
        ({"metrics": "/metrics"}, TypeError),
    ],
    ids=str,
)
def test_options_that_cannot_be_meant(options: Any, error: type[Exception], sim: Simulator) -> None:
    """A gateway that cannot be meant is not made: an empty token above all, which would let everybody in."""
    with chain_at(sim) as chain, pytest.raises(error):
        Gateway(chain, **options)
    with pytest.raises(TypeError):
        Gateway("a/b")  # type: ignore[arg-type]  # that is the test
