"""The adapter: applications that call by themselves get the answer of whoever has one, and notice nothing else."""

from __future__ import annotations

import copy
import gc
import hashlib
import io
import json
import logging
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from types import FrameType, ModuleType
from typing import Any

import pytest
import requests
import responses
import sseclient
from hosting import echo, half_busy
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.auth import HTTPDigestAuth
from requests.exceptions import StreamConsumedError
from rows import choice, delta
from test_threads import together
from urllib3.util import Retry, Timeout

import orfallback
from orfallback import (
    DEFAULT_MODELS,
    Chain,
    ChainExhausted,
    Cooldown,
    FallbackAdapter,
    Outcome,
    Reason,
    StreamInterrupted,
    Target,
    Timeouts,
    Verdict,
    WatchedAdapter,
)
from orfallback.testing import (
    Behaviour,
    End,
    FakeClock,
    Gate,
    Received,
    Recorder,
    Simulator,
    Step,
    answer,
    cut,
    drip,
    empty_deltas,
    error_in_200,
    events,
    keep_alive,
    raw,
    redirect,
    reply,
    reset,
    silence,
    status,
)

#: The application's own key, and the chain's.
THEIRS = "sk-or-v1-theirs-0000000000"
OURS = "sk-or-v1-the-chains-00000000"
FRAMINGS = ["chunked", "gzip", "length", "close", "byte"]
QUICK = Timeouts(first_token=1, idle=0.3, answer=2)
ASKED: dict[str, Any] = {"model": "a/a", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}
STREAMED: dict[str, Any] = {**ASKED, "stream": True}


def digest(key: str) -> str:
    """How the simulator tells keys apart."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


@pytest.fixture
def recorder() -> Recorder:
    """A plugin that remembers what it is told."""
    return Recorder()


@pytest.fixture
def chain(sim: Simulator, clock: FakeClock, recorder: Recorder) -> Chain:
    """A chain of two models that forgets what it saw."""
    options: dict[str, Any] = {"clock": clock, "plugins": [recorder], "timeouts": QUICK, "cooldown": None}
    return Chain(["a/a", "b/b"], api_key=OURS, base_url=sim.base_url, **options)


class App(requests.Session):
    """An application that calls the simulator with a key of its own."""

    def __init__(self, sim: Simulator, adapter: BaseAdapter) -> None:
        super().__init__()
        self.url = f"{sim.base_url}/chat/completions"
        self.headers["Authorization"] = f"Bearer {THEIRS}"
        self.mount("http://", adapter)

    def ask(self, body: Mapping[str, Any] = ASKED, **options: Any) -> requests.Response:
        """Ask for a completion."""
        return self.post(self.url, json=body, **options)

    def begin(self, **options: Any) -> requests.Response:
        """Ask for a stream."""
        return self.post(self.url, json=STREAMED, stream=True, **options)


@pytest.fixture
def app(sim: Simulator, chain: Chain) -> Iterator[App]:
    """An application whose session has the adapter."""
    with App(sim, FallbackAdapter(chain)) as app:
        yield app


@pytest.fixture
def plain(sim: Simulator) -> Iterator[App]:
    """The same application without it."""
    with App(sim, HTTPAdapter()) as plain:
        yield plain


def said(response: requests.Response) -> Any:
    """Return what a model said."""
    return response.json()["choices"][0]["message"]["content"]


# -- what it acts on --


@pytest.mark.parametrize(
    "options",
    [
        {"json": ASKED},
        {"data": json.dumps(ASKED)},
        {"data": json.dumps(ASKED).encode()},
        {"data": json.dumps({**ASKED, "stream": None})},
        {"data": json.dumps(ASKED), "headers": {"Content-Type": "application/json; charset=utf-8"}},
    ],
    ids=["json", "str", "bytes", "a stream of null", "with its own content type"],
)
def test_a_chat_falls_back(options: dict[str, Any], sim: Simulator, app: App) -> None:
    """A POST of JSON, however the application gives it, gets the answer of the next model."""
    sim.script("a/a", status(502))
    sim.script("b/b", answer("Because."))
    response = app.post(app.url, **options)
    assert (response.status_code, said(response)) == (200, "Because.")
    assert sim.models_asked == ["a/a", "b/b"]
    expected = options.get("headers", {"Content-Type": "application/json"})["Content-Type"]
    assert {request.headers["content-type"] for request in sim.requests} == {expected}


@pytest.mark.parametrize("streamed", [False, True])
def test_the_older_interface_falls_back(streamed: bool, sim: Simulator, app: App) -> None:
    """``/completions`` has text where a chat has messages, and falls back like one."""
    replies = [{"choices": [{"index": 0, "text": "Be", "finish_reason": None}]}]
    replies.append({"choices": [{"index": 0, "text": "cause", "finish_reason": "stop"}]})
    bad, good = error_in_200(), events(*replies, "[DONE]") if streamed else reply(replies[1])
    sim.script("POST /completions", bad, good)
    response = app.post(f"{sim.base_url}/completions", json={"model": "a/a", "prompt": "Why?", "stream": streamed})
    assert b"cause" in response.content
    assert [(request.path, request.model) for request in sim.requests] == [
        ("/api/v1/completions", "a/a"),
        ("/api/v1/completions", "b/b"),
    ]
    assert sim.requests[1].body["prompt"] == "Why?"


def generated() -> Iterator[bytes]:
    """A body that is made while it is sent."""
    yield json.dumps(ASKED).encode()


UNTOUCHED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "GET": ("GET", "/chat/completions", {}),
    "PUT": ("PUT", "/chat/completions", {"json": ASKED}),
    "the models": ("GET", "/models", {}),
    "embeddings": ("POST", "/embeddings", {"json": {"model": "a/a", "input": "x"}}),
    "another path": ("POST", "/chat/completions/more", {"json": ASKED}),
    "a word before": ("POST", "/autocompletions", {"json": ASKED}),
    "a query": ("POST", "/chat/completions?version=2", {"json": ASKED}),
    "an upload": ("POST", "/chat/completions", {"files": {"file": b"x"}, "data": {"model": "a/a"}}),
    "a form": ("POST", "/chat/completions", {"data": {"model": "a/a", "messages": "x"}}),
    "a generator": ("POST", "/chat/completions", {"data": generated}),
    "a file": ("POST", "/chat/completions", {"data": lambda: io.BytesIO(json.dumps(ASKED).encode())}),
    "no body": ("POST", "/chat/completions", {}),
    "no JSON": ("POST", "/chat/completions", {"data": "{"}),
    "a list": ("POST", "/chat/completions", {"json": [ASKED]}),
    "NaN": ("POST", "/chat/completions", {"data": '{"model": "a/a", "messages": [], "x": NaN}'}),
    "no model": ("POST", "/chat/completions", {"json": {"messages": []}}),
    "a model of spaces": ("POST", "/chat/completions", {"json": {**ASKED, "model": "a b"}}),
    "a model that is no text": ("POST", "/chat/completions", {"json": {**ASKED, "model": 7}}),
    "models that are no list": ("POST", "/chat/completions", {"json": {**ASKED, "models": "b/b"}}),
    "models that are no text": ("POST", "/chat/completions", {"json": {**ASKED, "models": [None]}}),
    "a stream of one": ("POST", "/chat/completions", {"json": {**ASKED, "stream": 1}}),
    "no messages": ("POST", "/chat/completions", {"json": {"model": "a/a"}}),
    "packed": ("POST", "/chat/completions", {"json": ASKED, "headers": {"Content-Encoding": "gzip"}}),
}


@pytest.mark.parametrize("case", UNTOUCHED)
def test_all_else_goes_through_untouched(case: str, sim: Simulator, app: App, plain: App, recorder: Recorder) -> None:
    """What is no request for a completion is sent as it is, once, and its reply is handed back as it is."""
    method, path, options = UNTOUCHED[case]
    for route in ("/chat/completions", "/embeddings"):
        sim.script(f"POST {route}", status(503, b"busy", headers={"X-It": "is"}))
    seen = []
    for each in (app, plain):
        given = {name: value() if callable(value) else value for name, value in options.items()}
        response = each.request(method, sim.base_url + path, **given)
        seen.append((response.status_code, response.content, response.headers, hasattr(response, "orfallback")))
    assert seen[0] == seen[1]
    mine, theirs = sim.requests
    assert recorder.seen == []
    assert (mine.method, mine.path, mine.headers.keys()) == (theirs.method, theirs.path, theirs.headers.keys())
    assert case == "an upload" or mine.raw == theirs.raw


@pytest.mark.parametrize("wrong", ["5", (1, 2, 3), 0, -1.0, True, [1, 2]], ids=repr)
def test_a_timeout_that_requests_refuses(wrong: Any, sim: Simulator, app: App, plain: App) -> None:
    """What is no timeout is refused in the words of requests, and nobody is asked."""
    refusals = []
    for each in (app, plain):
        with pytest.raises(ValueError, match=r"[Tt]imeout") as caught:
            each.ask(timeout=wrong)
        refusals.append(str(caught.value))
    assert refusals[0] == refusals[1]
    assert sim.requests == []


# -- streams, whichever way they are read --


TEXT = ["one ", "two ", "drei f\u00fcr ", "four"]


def by_lines(response: requests.Response, **options: Any) -> Iterator[bytes]:
    """Read lines, and give back the line ends that it took away."""
    for line in response.iter_lines(**options):
        text: bytes = line.encode() if isinstance(line, str) else line
        yield text + b"\n"


def by_text(response: requests.Response) -> Iterator[bytes]:
    """Read text."""
    for text in response.iter_content(16, decode_unicode=True):
        assert isinstance(text, str)
        yield text.encode()


def by_calls(read: Callable[[], bytes]) -> Iterator[bytes]:
    """Call until there is nothing."""
    return iter(read, b"")


def by_text_wrapper(response: requests.Response) -> Iterator[bytes]:
    """Read lines of text."""
    raw: Any = response.raw
    for line in io.TextIOWrapper(raw, encoding="utf-8", newline="\n"):
        yield line.encode()


def by_events(response: requests.Response) -> Iterator[bytes]:
    """Read with sseclient-py, and write the events anew."""
    for event in sseclient.SSEClient(response).events():  # type: ignore[arg-type]  # what everybody gives to it
        yield f"data: {event.data}\n\n".encode()


#: How applications read streams.
READERS: dict[str, Callable[[requests.Response], Iterator[bytes]]] = {
    "iter_lines": by_lines,
    "iter_lines, decoded": lambda response: by_lines(response, decode_unicode=True),
    "iter_lines, one by one": lambda response: by_lines(response, chunk_size=1),
    "iter_lines, large": lambda response: by_lines(response, chunk_size=100_000),
    "iter_lines, none": lambda response: by_lines(response, chunk_size=None),
    "iter_lines, delimiter": lambda response: by_lines(response, delimiter=b"\n"),
    "iter_content": lambda response: response.iter_content(),
    "iter_content(10)": lambda response: response.iter_content(10),
    "iter_content(100000)": lambda response: response.iter_content(100_000),
    "iter_content(None)": lambda response: response.iter_content(None),
    "iter_content, decoded": by_text,
    "iteration": iter,
    "raw.read(7)": lambda response: by_calls(lambda: response.raw.read(7)),
    "raw.read(8192)": lambda response: by_calls(lambda: response.raw.read(8192)),
    "raw.read1()": lambda response: by_calls(response.raw.read1),
    "raw.read1(5)": lambda response: by_calls(lambda: response.raw.read1(5)),
    "raw.readline": lambda response: by_calls(response.raw.readline),
    "raw lines": lambda response: iter(response.raw),
    "raw.stream": lambda response: response.raw.stream(),
    "raw.stream(3)": lambda response: response.raw.stream(3, decode_content=True),
    "raw.read_chunked": lambda response: response.raw.read_chunked(),
    "BufferedReader": lambda response: by_calls(io.BufferedReader(response.raw).readline),
    "TextIOWrapper": by_text_wrapper,
    "sseclient": by_events,
}

#: How those read who want all of it.
WHOLE: dict[str, Callable[[requests.Response], bytes]] = {
    "content": lambda response: response.content,
    "text": lambda response: response.text.encode(),
    "raw.read()": lambda response: response.raw.read(),
    "raw.read(-1)": lambda response: response.raw.read(-1),
    "raw.data": lambda response: response.raw.data + response.raw.data[:0],
    "raw.data twice": lambda response: response.raw.data and response.raw.data,
    "BufferedReader": lambda response: io.BufferedReader(response.raw).read(),
    "pickled": lambda response: pickle.loads(pickle.dumps(response)).content,
}


def as_events(content: bytes) -> bytes:
    """Return the data of a stream alone."""
    return b"".join(line for line in content.splitlines() if line.startswith(b"data:"))


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("way", READERS)
def test_a_stream_is_prompt_and_complete(way: str, framing: Any, sim: Simulator, app: App, plain: App) -> None:
    """Event n is seen before the server may send event n + 1, and no byte is lost, whoever reads whatever framing."""
    gate = Gate()
    sent = [delta(role="assistant"), *(delta(content=piece) for piece in TEXT), delta("stop", content="")]
    sim.script("a/a", events(*sent, "[DONE]", gate=gate, framing=framing))
    awaited = [json.dumps(each, ensure_ascii=False, separators=(",", ":")).encode() for each in sent[1:]]
    awaited.append(b"[DONE]")
    gate.open()
    seen = b""
    with app.begin() as response:
        for got in READERS[way](response):
            seen += got
            while awaited and awaited[0] in seen:
                awaited.pop(0)
                gate.open()
    assert awaited == []
    assert response.orfallback.attempts[-1].ok  # type: ignore[attr-defined]  # what it adds
    gate.open(100)
    assert as_events(seen) == as_events(plain.begin().content)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("way", WHOLE)
def test_a_stream_that_is_read_whole(way: str, framing: Any, sim: Simulator, app: App, plain: App) -> None:
    """Who wants all of a stream gets all of it, byte for byte."""
    chunks = [delta(content="f\u00fcr \u2028 mich"), delta("stop", content=""), {"id": "x", "usage": {"n": 1.0}}]
    sim.script("a/a", events(b": a comment\r\n\r\n", *chunks, "[DONE]", framing=framing, line_end="\r\n"))
    assert WHOLE[way](app.begin()) == plain.begin().content
    assert b"\r\n" in plain.begin().content


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_reply_is_read_whole(framing: Any, streamed: bool, sim: Simulator, app: App, plain: App) -> None:
    """A reply is the same to the byte, whatever its framing and whether it is read as a stream."""
    body = {"id": "1", **choice("stop", {"content": "f\u00fcr mich"})}
    sim.script("a/a", reply(body, framing=framing, leading=b"\n\n"))
    mine, theirs = app.ask(stream=streamed), plain.ask(stream=streamed)
    if streamed:
        assert b"".join(mine.iter_content(3)) == b"".join(theirs.iter_content(3))
    else:
        assert (mine.content, mine.text, mine.json()) == (theirs.content, theirs.text, theirs.json())
    assert app.ask(stream=True).raw.read(5) == b"\n\n" + plain.ask().content[2:5]


def test_a_reply_to_a_stream(sim: Simulator, app: App) -> None:
    """A server that does not know ``stream`` is handed on with its JSON."""
    body = choice("stop", {"content": "Hi"})
    sim.script("a/a", reply(body))
    response = app.begin()
    assert response.json() == body
    assert response.headers["Content-Type"] == "application/json"
    assert response.orfallback.attempts[-1].ok  # type: ignore[attr-defined]  # what it adds


def test_it_is_held_until_the_first_content(sim: Simulator, app: App) -> None:
    """What fails before any content falls back, though its status was good."""
    sim.script("a/a", error_in_200(), cut("body"), events(delta(role="assistant"), "[DONE]"))
    sim.script("b/b", answer("Hi"))
    for _ in range(3):
        assert b'"Hi"' in app.begin().content
    assert sim.models_asked == ["a/a", "b/b"] * 3


def test_a_comment_is_handed_on_too(sim: Simulator, app: App) -> None:
    """What was held back comes first, as it was received."""
    sim.script("a/a", events(b": wait\n\n", 0.01, b": wait\n\n", delta(content="Hi"), delta("stop"), "[DONE]"))
    assert app.begin().content.startswith(b": wait\n\n: wait\n\ndata: {")


# -- what the application brings --


class Watching(HTTPAdapter):
    """An adapter that remembers what it was told to send, and how."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[dict[str, Any]] = []

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        self.told.append({"headers": dict(request.headers), **options})
        return super().send(request, **{**options, "proxies": None, "cert": None})


def test_its_headers_settings_and_hooks_count(sim: Simulator, chain: Chain) -> None:
    """Headers, cookies, auth, TLS settings and proxies go with each attempt; its hooks are told once, of the answer."""
    inner, hooked = Watching(), []
    sim.script("a/a", status(502, headers={"Set-Cookie": "lost=1"}))
    sim.script("b/b", answer("Hi", headers=[("Set-Cookie", "got=1"), ("Set-Cookie", "two=2; Path=/")]))
    with App(sim, FallbackAdapter(chain, inner)) as app:
        app.cookies.set("sent", "1")
        app.headers["X-Title"] = "mine"
        app.hooks["response"].append(lambda response, **_: hooked.append(response.status_code))
        settings: dict[str, Any] = {"verify": False, "cert": "/their.pem", "proxies": {"http": "http://proxy"}}
        response = app.ask(params={}, **settings)
    assert [told["headers"]["X-Title"] for told in inner.told] == ["mine", "mine"]
    assert [told["headers"]["Cookie"] for told in inner.told] == ["sent=1", "sent=1"]
    assert [{name: told[name] for name in settings} for told in inner.told] == [settings, settings]
    assert {told["stream"] for told in inner.told} == {True}
    assert {request.key_digest for request in sim.requests} == {digest(THEIRS)}
    assert hooked == [200]
    assert app.cookies.get_dict() == {"sent": "1", "got": "1", "two": "2"}
    assert response.cookies.get_dict() == {"got": "1", "two": "2"}
    assert len(response.raw.headers.getlist("Set-Cookie")) == 2


def test_a_response_is_sane(sim: Simulator, app: App, plain: App) -> None:
    """Everything that a response tells is as it is without the adapter."""
    sim.script("a/a", reply(choice("stop", {"content": "Hi"}), framing="gzip", headers={"X-It": "is"}))
    sim.script("b/b", events(delta(content="Hi"), "[DONE]", framing="chunked"))
    for body in (ASKED, {**STREAMED, "model": "b/b"}):
        mine, theirs = app.ask(body), plain.ask(body)
        for name in ("status_code", "ok", "reason", "url", "history", "is_redirect", "links", "next", "content"):
            assert (name, getattr(mine, name)) == (name, getattr(theirs, name))
        assert mine.request.body == theirs.request.body
        assert mine.request.headers["Authorization"] == f"Bearer {THEIRS}"
        assert vars(mine)["connection"] is app.get_adapter(app.url)
        assert 0 < mine.elapsed.total_seconds() < 60
        assert {name: value for name, value in mine.headers.items() if not name.startswith("X-Orfallback")} == {
            **theirs.headers
        }
        if body is ASKED:
            assert dict(mine.raw.headers) == dict(theirs.raw.headers)
            assert mine.raw.read() == theirs.raw.read() == b""
        else:
            # What would be undone once more.
            assert {"Content-Encoding", "Transfer-Encoding", "Content-Length"}.isdisjoint(mine.raw.headers)
            assert mine.raw.tell() == len(mine.content)
            assert mine.raw.read() == mine.raw.read1() == b""
        assert (mine.raw.status, mine.raw.reason, mine.raw.version) == (200, "OK", theirs.raw.version)
        assert pickle.loads(pickle.dumps(mine)).headers == copy.copy(mine).headers == mine.headers
    assert (mine.encoding, theirs.encoding) == ("utf-8", "ISO-8859-1")


def test_a_response_tells_who_served_it(sim: Simulator, app: App) -> None:
    """The model that answered and what was tried stand on the response, and in its headers."""
    sim.script("a/a", status(502, headers={"X-Orfallback-Model": "forged", "X-Orfallback-Degraded": "1"}))
    sim.script("b/b", answer("Hi", headers={"X-Orfallback-Degraded": "1"}))
    response: Any = app.ask()
    served = response.orfallback
    assert (served.requested_model, served.degraded, served.error) == ("b/b", False, None)
    assert [attempt.reason for attempt in served.attempts] == [Reason.BUSY, None]
    assert repr(served) == "<Served by b/b: 2 attempts>"
    told = {name: value for name, value in response.headers.items() if name.startswith("X-Orfallback")}
    assert told == {
        "X-Orfallback-Model": "b/b",
        "X-Orfallback-Attempts": "2",
        "X-Orfallback-Tried": "a/a busy; b/b ok",
    }
    sim.script("b/b", status(502))
    nobody: Any = app.ask()
    assert repr(nobody.orfallback) == "<Served by nobody: 2 attempts>"
    assert nobody.orfallback.error.attempts == nobody.orfallback.attempts
    assert "X-Orfallback-Model" not in nobody.headers


def test_the_attempts_of_a_stream_are_whole_at_its_end(sim: Simulator, app: App) -> None:
    """What is known only at a stream's end stands in the record then."""
    response: Any = app.begin()
    assert [attempt.usage for attempt in response.orfallback.attempts] == [None]
    assert response.content
    (attempt,) = response.orfallback.attempts
    assert (attempt.ok, attempt.bytes, bool(attempt.usage)) == (True, len(response.content), True)


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        (None, (5.0, 2)),
        (1.5, (1.5, 1.5)),
        ((1, None), (1, 2)),
        ((None, 1), (5.0, 1)),
        ((100, 100), (5.0, 2)),
        ((float("inf"), float("inf")), (5.0, 2)),
        (Timeout(connect=1), (1, 2)),
        (Timeout(read=1), (5.0, 1)),
    ],
    ids=repr,
)
@pytest.mark.parametrize("watched", [False, True])
def test_the_smaller_limit_holds(watched: bool, timeout: Any, expected: Any, sim: Simulator, chain: Chain) -> None:
    """Of the application's timeout and the chain's limits each attempt is told the smaller."""
    told: list[Any] = []

    class Telling(WatchedAdapter if watched else HTTPAdapter):  # type: ignore[misc]  # either is one
        def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
            told.append(options["timeout"])
            response: requests.Response = super().send(request, **options)
            return response

    with App(sim, FallbackAdapter(chain.replace(timeouts=Timeouts(answer=2)), Telling())) as app:
        assert app.ask(timeout=timeout).ok
    if isinstance(told[0], Timeout):
        assert watched
        assert told[0].connect_timeout == expected[0]
    else:
        assert told == [pytest.approx(expected)]


def test_a_timeout_for_all_of_it(sim: Simulator, chain: Chain) -> None:
    """A ``urllib3.Timeout`` with a total is handed on with it."""
    inner = Watching()
    with App(sim, FallbackAdapter(chain, inner)) as app:
        assert app.ask(timeout=Timeout(total=1.5)).ok
    (told,) = inner.told
    assert (told["timeout"].total, told["timeout"].connect_timeout) == (1.5, 1.5)


def test_its_timeout_bounds_a_read_as_it_does_in_requests(sim: Simulator, chain: Chain) -> None:
    """A reply that comes piece by piece may take longer than the application's timeout, and not than the chain's."""
    body = json.dumps(choice("stop", {"content": "Hi"})).encode()

    def slowly(received: Received) -> Iterator[Step]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (len(body) + 8)
        for _ in range(8):
            yield b"\n"
            yield 0.1
        yield body

    sim.script("a/a", slowly)
    with App(sim, FallbackAdapter(chain)) as app:
        assert said(app.ask(timeout=0.5)) == "Hi"
    assert sim.models_asked == ["a/a"]


@pytest.mark.parametrize("before", ["headers", "body"])
@pytest.mark.parametrize("streamed", [False, True])
def test_its_timeout_is_named(before: Any, streamed: bool, sim: Simulator, chain: Chain) -> None:
    """Where the application's timeout was hit, the record says so."""
    sim.script("a/a", silence(before))
    with App(sim, FallbackAdapter(chain.replace(timeouts=Timeouts()))) as app:
        response: Any = app.ask(STREAMED if streamed else ASKED, timeout=0.2)
    first, second = response.orfallback.attempts
    assert (first.reason, first.message) == (Reason.TIMEOUT, "nothing came within the application's 0.2 s")
    assert second.ok


def test_digest_auth(sim: Simulator, app: App) -> None:
    """An auth of requests that answers a challenge sends its answer through the adapter, too."""

    def challenge(received: Received) -> Iterator[Step]:
        if "digest" in seen[-1].lower():
            return answer("Hi")(received)
        return status(401, headers={"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'})(received)

    seen: list[str] = []

    class Inner(HTTPAdapter):
        def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
            seen.append(str(request.headers.get("Authorization")))
            return super().send(request, **options)

    sim.script("a/a", challenge)
    with App(sim, FallbackAdapter(app.get_adapter(app.url).chain, Inner())) as challenged:  # type: ignore[attr-defined]
        del challenged.headers["Authorization"]
        response = challenged.ask(auth=HTTPDigestAuth("me", "secret"))
    assert said(response) == "Hi"
    assert [each.partition(" ")[0] for each in seen] == ["Bearer", "Digest"]


# -- keys --


@pytest.mark.parametrize(
    "brought",
    [f"Bearer {THEIRS}", f"bearer {THEIRS}", f"Bearer {THEIRS}".encode(), "Basic bWU6c2VjcmV0", "Bearer two words"],
    ids=["bearer", "lower case", "bytes", "basic", "odd"],
)
def test_its_own_key_serves_where_it_called(brought: Any, sim: Simulator, chain: Chain) -> None:
    """What authorizes the application authorizes every model at the origin that it called; the chain's key does not."""
    sim.script("a/a", status(502))
    keyed = chain.replace(models=["a/a", Target("b/b", sim.base_url, api_key="sk-of-the-target-0000")])
    with App(sim, inner := Watching()) as app:
        app.mount("http://", FallbackAdapter(keyed, inner))
        assert app.ask(headers={"Authorization": brought}).ok
    one, other = (told["headers"]["Authorization"] for told in inner.told)
    assert one == other
    text = brought.decode() if isinstance(brought, bytes) else brought
    assert (one.decode() if isinstance(one, bytes) else one).lower() == text.lower()


def test_the_chains_key_serves_an_application_without_one(sim: Simulator, app: App) -> None:
    """An application that brings no key has the chain's."""
    del app.headers["Authorization"]
    sim.script("a/a", status(502))
    assert app.ask().ok
    assert [request.key_digest for request in sim.requests] == [digest(OURS)] * 2


def test_nothing_personal_goes_elsewhere(sim: Simulator, clock: FakeClock) -> None:
    """A target elsewhere gets neither key, cookies, certificate nor Host of the application's; its own key or none."""
    private = {"X-Api-Key": THEIRS, "Cookie": "id=1", "Host": "mine.example", "X-Session-Id": "7", "Helicone-Auth": "x"}
    with Simulator() as elsewhere:
        sim.default(status(502, headers={"Set-Cookie": "mine=1"}))
        elsewhere.default(status(502))
        elsewhere.script("d/d", answer("Hi", headers={"Set-Cookie": "theirs=1"}))
        targets: list[str | Target] = [
            "a/a",
            Target("c/c", elsewhere.base_url),
            Target("d/d", elsewhere.base_url, api_key=OURS),
        ]
        inner = Watching()
        chain = Chain(targets, base_url=sim.base_url, clock=clock)
        with App(sim, FallbackAdapter(chain, inner)) as app:
            response = app.ask(headers={**private, "X-Title": "mine"}, cert="/their.pem")
        there = elsewhere.requests
        assert [request.key_digest for request in there] == [None, digest(OURS)]
        for request, told in zip(there, inner.told[1:], strict=True):
            assert {"x-api-key", "cookie", "x-session-id", "helicone-auth"}.isdisjoint(request.headers)
            assert request.headers["host"] in elsewhere.base_url
            assert (request.headers["x-title"], told["cert"]) == ("mine", None)
        assert response.url.startswith(elsewhere.base_url)
    assert inner.told[0]["headers"]["Host"] == "mine.example"
    # A cookie from there would be sent here.
    assert app.cookies.get_dict() == {}
    assert sim.requests[0].key_digest == digest(THEIRS)


def test_no_key_at_all_is_for_the_server_to_say(sim: Simulator, chain: Chain, recorder: Recorder) -> None:
    """An application without a key gets the server's own refusal, even where OpenRouter wants a key."""
    with responses.RequestsMock() as mock:
        url = "https://openrouter.ai/api/v1/chat/completions"
        mock.post(url, status=401, json={"error": {"code": 401, "message": "No auth credentials found"}})
        session = requests.Session()
        session.mount("https://", FallbackAdapter(Chain(["a/a", "b/b"])))
        response: Any = session.post(url, json=ASKED)
        assert len(mock.calls) == 1
        assert "Authorization" not in mock.calls[0].request.headers
    assert (response.status_code, response.json()["error"]["code"]) == (401, 401)
    assert response.orfallback.error.reason is Reason.UNAUTHORIZED


def test_a_user_in_the_url_is_in_no_record(sim: Simulator, app: App, caplog: pytest.LogCaptureFixture) -> None:
    """A URL with a password and a fragment is asked like any other, and what is recorded has neither."""
    sim.default(status(502))
    with caplog.at_level(logging.DEBUG):
        url = app.url.replace("//", "//me:hidden-0000@") + "#part"
        response: Any = app.post(url, json=ASKED)
    assert response.url == url
    assert [request.path for request in sim.requests] == ["/api/v1/chat/completions"] * 2
    assert {attempt.endpoint for attempt in response.orfallback.attempts} == {app.url}
    assert "hidden" not in caplog.text + str(response.orfallback.error)


@pytest.mark.parametrize(
    "behaviour", [status(502), cut("start"), silence("body"), error_in_200()], ids=["502", "closed", "silence", "error"]
)
def test_keys_and_prompts_are_told_nowhere(
    behaviour: Behaviour, sim: Simulator, chain: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the application's key nor the chain's, nor the prompt, stands in a log, error, repr or pickle."""
    sim.default(behaviour)
    adapter = FallbackAdapter(chain.replace(timeouts=Timeouts(answer=0.2), plugins=[], models=["a/a", "b/b"]))
    found = [repr(adapter), repr(adapter.chain)]
    with caplog.at_level(logging.DEBUG), App(sim, adapter) as app:
        try:
            response: Any = app.ask()
        except requests.RequestException as error:
            chained: Any = error
            found += [str(error), repr(error), *traceback.format_exception(error)]
            if error.request is not None:
                found.append(str(error.request.headers).replace(THEIRS, ""))
            found += [str(pickle.dumps(error.__cause__)), str(vars(chained.__cause__))]
        else:
            found += [repr(response.orfallback), str(response.headers), str(pickle.dumps(response.orfallback.error))]
    found.append("\n".join(record.getMessage() for record in caplog.records if record.name.startswith("orfallback")))
    for private in (THEIRS, OURS, "Why is the sky"):
        assert not [text for text in found if private in text]


@pytest.mark.parametrize(
    ("name", "value", "private"),
    [
        ("api-key", "azure-CANARY-0123456789", "azure-CANARY-0123456789"),
        ("Authorization", "Basic bWU6Q0FOQVJZLWhlcmU=", "bWU6Q0FOQVJZLWhlcmU="),
        ("Authorization", b"Token CANARY-of-bytes-0123", "CANARY-of-bytes-0123"),
        ("Cookie", "session=CANARY-cookie-0123", "session=CANARY-cookie-0123"),
    ],
    ids=lambda value: value if value in ("api-key", "Authorization", "Cookie") else "",
)
def test_what_authorizes_it_is_in_no_record(
    name: str, value: Any, private: str, sim: Simulator, app: App, caplog: pytest.LogCaptureFixture
) -> None:
    """A server may send back whatever header let the application in: the records do not hold it."""
    del app.headers["Authorization"]
    sim.default(status(403, message=f"{private} is not allowed here"))
    with caplog.at_level(logging.DEBUG, "orfallback"):
        response: Any = app.ask(headers={name: value})
    assert private in response.text
    error = response.orfallback.error
    assert "*** is not allowed here" in error.attempts[0].message
    assert private not in f"{error} {caplog.text} {error.response.text} {pickle.dumps(error)!r}"


def test_a_redirect_elsewhere_is_not_the_sessions_to_follow(sim: Simulator, clock: FakeClock) -> None:
    """While its own model rests, a redirect of another endpoint's takes nothing of the application's anywhere."""
    with Simulator() as elsewhere, Simulator() as third:
        sim.default(status(502))
        elsewhere.script("b/b", redirect(307, f"{third.base_url}/chat/completions"))
        chain = Chain(["a/a", Target("b/b", elsewhere.base_url)], base_url=sim.base_url, clock=clock)
        with App(sim, FallbackAdapter(chain)) as app:
            seen = [app.ask(headers={"X-Api-Key": THEIRS}).status_code for _ in range(3)]
        assert third.requests == []
        assert len(elsewhere.requests) >= 2
    assert seen == [502] * 3


def test_it_sees_what_its_own_endpoint_said(sim: Simulator, clock: FakeClock) -> None:
    """When its own model rests and all fail, the application gets the outcome of where it called, if that was asked."""
    with Simulator() as elsewhere:
        sim.default(status(503, headers={"Retry-After": "50"}))
        elsewhere.default(status(401, message="no such account here"))
        chain = Chain(["a/a", Target("b/b", elsewhere.base_url)], base_url=sim.base_url, clock=clock)
        with App(sim, FallbackAdapter(chain)) as app:
            assert [app.ask().status_code for _ in range(4)] == [503] * 4


# -- proxies --


def localhost(sim: Simulator) -> str:
    """Return a simulator's base URL by name, as ``no_proxy`` may exempt it and no other."""
    return sim.base_url.replace("127.0.0.1", "localhost")


def test_no_proxy_counts_for_a_target_elsewhere(
    sim: Simulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target that the environment exempts from its proxy is asked directly, whatever was said of the first one."""
    with Simulator() as elsewhere:
        monkeypatch.setenv("http_proxy", sim.base_url.removesuffix("/api/v1"))
        monkeypatch.setenv("no_proxy", "localhost")
        sim.default(status(502))
        chain = Chain(["a/a", Target("b/b", localhost(elsewhere))], base_url="http://model.example/v1", clock=clock)
        with requests.Session() as session:
            session.mount("http://", FallbackAdapter(chain))
            assert session.post("http://model.example/v1/chat/completions", json=ASKED).ok
        (request,) = elsewhere.requests
        assert (request.path, request.model) == ("/api/v1/chat/completions", "b/b")
    assert len(sim.requests) == 1


@pytest.mark.parametrize("trusting", [True, False])
def test_a_proxy_counts_for_a_target_elsewhere(
    trusting: bool, sim: Simulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first target is exempted, the next is asked through the proxy of the environment, if that counts."""
    with Simulator() as proxy, Simulator() as elsewhere:
        monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/api/v1"))
        monkeypatch.setenv("no_proxy", "localhost")
        sim.default(status(502))
        chain = Chain(["a/a", Target("b/b", elsewhere.base_url)], base_url=localhost(sim), clock=clock)
        with requests.Session() as session, orfallback.install(chain):
            session.trust_env = trusting
            assert session.post(f"{localhost(sim)}/chat/completions", json=ASKED).ok
        assert (len(proxy.requests), len(elsewhere.requests)) == ((1, 0) if trusting else (0, 1))
    assert len(sim.requests) == 1


# -- whom it asks --


def test_models_in_a_body_are_the_chain_of_that_call(sim: Simulator, app: App) -> None:
    """OpenRouter's own list is asked from here, more than three of them, and never sent on."""
    sim.default(status(502))
    listed = [f"x/{number}" for number in range(5)]
    assert app.ask({**ASKED, "models": listed}).status_code == 502
    assert sim.models_asked == ["a/a", *listed]
    assert not any("models" in request.body for request in sim.requests)
    assert app.post(app.url, json={"messages": ASKED["messages"], "models": ["x/9"]}).status_code == 502
    assert sim.models_asked[6:] == ["x/9"]
    assert app.ask({**ASKED, "models": []}).status_code == 502
    assert sim.models_asked[7:] == ["a/a", "b/b"]


def test_its_model_is_asked_first(sim: Simulator, clock: FakeClock) -> None:
    """The model of the body goes before the chain's, which follow in order; each is asked once, as the chain has it."""
    sim.default(status(502))
    models: list[str | Target] = [Target("a/a", set={"temperature": 1}), "b/b", Target("c/c", drop=["seed"])]
    with App(sim, FallbackAdapter(Chain(models, base_url=sim.base_url, clock=clock, cooldown=None))) as app:
        app.ask({**ASKED, "model": "c/c", "seed": 7})
        app.ask({**ASKED, "model": "x/x", "seed": 7})
    assert sim.models_asked == ["c/c", "a/a", "b/b", "x/x", "a/a", "b/b", "c/c"]
    assert [request.body.get("temperature") for request in sim.requests] == [None, 1, None, None, 1, None, None]
    assert ["seed" in request.body for request in sim.requests] == [False, True, True, True, True, True, False]


def test_the_default_models_stand_in_for_one_another_alone(
    sim: Simulator, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no models were given, one that is not among the default ones is asked alone, and one warning says so."""
    sim.default(status(502))
    with App(sim, FallbackAdapter(Chain(base_url=sim.base_url, clock=clock))) as app, caplog.at_level(logging.WARNING):
        app.ask({**ASKED, "model": DEFAULT_MODELS[1]})
        assert sim.models_asked == [DEFAULT_MODELS[1], DEFAULT_MODELS[0], *DEFAULT_MODELS[2:]]
        caplog.clear()
        for _ in range(2):
            assert app.ask({**ASKED, "model": "foreign/model"}).status_code == 502
        assert sim.models_asked[4:] == ["foreign/model"] * 2
        (warning,) = [record.getMessage() for record in caplog.records if "ORFALLBACK_MODELS" in record.getMessage()]
        assert "foreign/model" in warning


def test_a_plugin_changes_what_is_sent(sim: Simulator, chain: Chain) -> None:
    """A plugin's headers and parameters go with each attempt."""

    class Plugin:
        def orfallback_prepare(self, payload: dict[str, Any], headers: dict[str, str]) -> None:
            payload["seed"] = 7
            headers["X-Trace"] = "1"

    with App(sim, FallbackAdapter(chain.replace(plugins=[Plugin()]))) as app:
        assert app.ask().ok
    assert (sim.requests[0].body["seed"], sim.requests[0].headers["x-trace"]) == (7, "1")


def test_a_header_that_no_request_can_carry(sim: Simulator, chain: Chain) -> None:
    """What a plugin sets wrongly is the plugin's fault, and nobody is asked."""

    class Plugin:
        def orfallback_prepare(self, headers: dict[str, str]) -> None:
            headers["X-Trace"] = "1\n2"

    with App(sim, FallbackAdapter(chain.replace(plugins=[Plugin()]))) as app:
        with pytest.raises(ValueError, match="X-Trace"):
            app.ask()
    assert sim.requests == []


def test_openrouter_elsewhere_wants_a_key(sim: Simulator, clock: FakeClock) -> None:
    """An application's key for another host is none for OpenRouter, which is not asked without one."""
    sim.script("a/a", status(502))
    chain = Chain(["a/a", Target("b/b", "https://openrouter.ai/api/v1")], base_url=sim.base_url, clock=clock)
    with App(sim, FallbackAdapter(chain)) as app:
        response: Any = app.ask()
    assert response.status_code == 502
    assert "no key for OpenRouter" in response.orfallback.attempts[1].message


# -- what comes back when nobody answers --


def test_a_redirect_is_the_sessions_to_follow(sim: Simulator, app: App, plain: App) -> None:
    """A redirect is handed back untouched; where the session follows it, the call falls back there."""
    place = f"{sim.base_url}/moved/chat/completions"
    sim.script("a/a", redirect(307, place))
    sim.script("POST /moved/chat/completions", status(502))
    response = app.ask()
    assert (said(response), response.url) == ("Hello from the simulator.", app.url)
    assert [each.status_code for each in response.history] == [307]
    assert [request.model for request in sim.requests] == ["a/a", "a/a", "b/b"]
    assert [request.path for request in sim.requests][1:] == [
        "/api/v1/moved/chat/completions",
        "/api/v1/chat/completions",
    ]
    kept = app.ask(allow_redirects=False)
    assert (kept.status_code, kept.headers["Location"], kept.content) == (307, place, b"")
    assert kept.next is not None
    assert kept.request.body == plain.ask(allow_redirects=False).request.body
    assert vars(kept)["connection"] is app.get_adapter(app.url)


def test_a_redirect_of_the_next_is_a_failure(sim: Simulator, app: App) -> None:
    """One that another model answers with is nothing that the application could follow."""
    sim.script("a/a", status(502))
    sim.script("b/b", redirect(302, "/x"))
    assert app.ask().status_code == 502


FAILING: dict[str, Behaviour] = {
    "502": status(502, headers={"X-It": "is", "Retry-After": "1"}),
    "504": status(504),
    "401": status(401),
    "429, a page": status(429, "<html>busy</html>", content_type="text/html"),
    "500, nothing": status(500, b""),
    "200 with an error": error_in_200(),
    "200 with a page": reply("<html></html>", content_type="text/html"),
    "200, empty": reply(b""),
    "no content": events(delta(role="assistant"), "[DONE]"),
    "no JSON": reply(b"{half"),
    "refused gzip": raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"),
    "closed": cut("start"),
    "cut": cut("body"),
    "cut, of known length": cut("body", framing="length"),
    "reset": reset("accept"),
    "reset in the body": reset("body"),
    "garbled": raw(b"\x00\x01\x02\r\n\r\n"),
    "chunks of no size": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
    "silence": silence("headers"),
    "silence in the body": silence("body"),
}


def outcome(app: App, body: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what an application sees."""
    try:
        response = app.ask(body, stream=True, timeout=0.5)
    except requests.RequestException as error:
        return type(error), type(error.args[0]), getattr(error.request, "body", None), error.response
    told = {name: value for name, value in response.headers.items() if not name.startswith("X-Orfallback")}
    for name in ("X-Generation-Id", "Date"):
        told.pop(name, None)
    try:
        content = response.content
    except requests.RequestException as error:
        return response.status_code, told, type(error)
    return response.status_code, told, len(content)


@pytest.mark.parametrize("body", [ASKED, STREAMED], ids=["whole", "stream"])
@pytest.mark.parametrize("failing", FAILING)
def test_when_all_fail_it_sees_its_own_models_outcome(
    failing: str, body: Mapping[str, Any], sim: Simulator, chain: Chain, plain: App
) -> None:
    """The status, headers and body of the model that it named, or the exception that it would have seen."""
    sim.default(FAILING[failing])
    with App(sim, FallbackAdapter(chain.replace(timeouts=Timeouts()))) as app:
        assert outcome(app, body) == outcome(plain, body)
    plain.close()
    assert sim.wait_idle()


def test_the_cause_tells_everything(sim: Simulator, app: App) -> None:
    """The exception of the first attempt has the error of the chain for its cause; the others are in there."""
    sim.script("a/a", cut("start"))
    sim.script("b/b", status(502))
    with pytest.raises(requests.ConnectionError, match="aborted") as caught:
        app.ask()
    cause = caught.value.__cause__
    assert isinstance(cause, ChainExhausted)
    assert [attempt.status for attempt in cause.attempts] == [None, 502]


def test_a_fault_that_is_none_of_requests(sim: Simulator, chain: Chain, plain: App) -> None:
    """An exception that leaks out of requests comes out as it does without the adapter."""
    base_url = sim.base_url.replace("http:", "https:")
    for adapter in (FallbackAdapter(chain.replace(base_url=base_url)), HTTPAdapter()):
        plain.mount("https://", adapter)
        with pytest.raises(OSError, match="invalid path") as caught:
            plain.post(f"{base_url}/chat/completions", json=ASKED, verify="/nowhere.pem")
        assert type(caught.value) is OSError


LARGE = json.dumps({"error": {"code": 502, "message": "x" * 300_000}}).encode()


@pytest.mark.parametrize("framing", FRAMINGS[:-1])
def test_a_large_refusal_is_whole(framing: Any, sim: Simulator, app: App) -> None:
    """What an application sees of a refusal is all of it, though the chain reads no more than it needs."""
    sim.script("a/a", reply(LARGE, code=502, framing=framing))
    sim.script("b/b", status(503))
    assert app.ask().content == LARGE
    with app.ask(stream=True) as response:
        assert response.raw.read(10) == LARGE[:10]
    del response
    app.close()
    assert sim.wait_idle()


def test_a_large_refusal_is_closed_when_another_answers(sim: Simulator, app: App) -> None:
    """Nobody reads on then, and nobody is handed what is left of it on its connection."""
    sim.script("a/a", reply(LARGE + b"x" * 5_000_000, code=502))
    for _ in range(3):
        assert app.ask().ok
    assert len({request.connection for request in sim.requests if request.model == "b/b"}) == 1
    app.close()
    assert sim.wait_idle()


def test_a_limit_of_the_chains_in_the_body(sim: Simulator, app: App) -> None:
    """A body that the chain has waited for long enough ends in a timeout, after the bytes that came."""
    sim.default(keep_alive(every=0.02))
    chain = app.get_adapter(app.url).chain  # type: ignore[attr-defined]  # it has one
    with App(sim, FallbackAdapter(chain.replace(timeouts=Timeouts(first_token=0.1, answer=0.1)))) as impatient:
        for body in (ASKED, STREAMED):
            response = impatient.ask(body, stream=True)
            assert response.raw.read(1) in (b"\n", b":")
            with pytest.raises(requests.ReadTimeout, match="within"):
                response.raw.read()
            assert response.raw.read() == b""


REFUSED = [
    pytest.param(events(delta(content="Hi"), "[DONE]"), True, id="a stream that a plugin refuses"),
    pytest.param(events(delta(role="assistant"), "{half", delta(content="Hi")), True, id="an event that is no JSON"),
    pytest.param(events({"error": {"message": "no"}}, 9.0), False, id="an event that tells an error"),
]


@pytest.mark.parametrize(("behaviour", "raises"), REFUSED)
def test_what_was_not_read_is_no_whole_answer(behaviour: Behaviour, raises: bool, sim: Simulator, chain: Chain) -> None:
    """Where the chain has left a stream, what there is of it does not look like all of it."""

    class Refusing:
        def orfallback_classify(self, outcome: Outcome) -> Verdict | None:
            return Verdict.fallback(Reason.MODERATED) if outcome.first_token is not None else None

    sim.default(behaviour)
    with App(sim, FallbackAdapter(chain.replace(plugins=[Refusing()]))) as app:
        response = app.begin()
        assert next(response.iter_lines()).startswith(b"data: {")
        if raises:
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                assert response.content
        else:
            assert response.content == b""


def test_nobody_was_asked(sim: Simulator, clock: FakeClock) -> None:
    """Where no attempt was made at all, there is nothing but the chain's own error to raise."""

    class Dawdling:
        def orfallback_call_started(self) -> None:
            clock.advance(100)

    chain = Chain("a/a", base_url=sim.base_url, clock=clock, plugins=[Dawdling()], timeouts=Timeouts(deadline=1))
    with App(sim, FallbackAdapter(chain)) as app:
        with pytest.raises(requests.Timeout) as caught:
            app.ask()
    assert caught.value.request is None
    assert sim.requests == []


def test_what_a_plugin_raises_passes_out(sim: Simulator, chain: Chain) -> None:
    """A plugin that decides and fails is loud, and the attempt is closed."""

    class Failing:
        def orfallback_classify(self) -> None:
            raise ZeroDivisionError

    sim.script("a/a", reply(LARGE, code=502))
    with App(sim, FallbackAdapter(chain.replace(plugins=[Failing()]))) as app:
        with pytest.raises(ZeroDivisionError):
            app.ask()
        assert sim.wait_idle()


# -- the end of a stream --


BROKEN = [
    pytest.param(cut("content", text="Hi "), Reason.TRUNCATED, id="cut"),
    pytest.param(cut("content", text="Hi ", framing="length"), Reason.TRUNCATED, id="cut, of known length"),
    pytest.param(cut("content", text="Hi ", framing="close", clean=False), Reason.TRUNCATED, id="ended"),
    pytest.param(cut("json", text="Hi "), Reason.TRUNCATED, id="cut in the JSON"),
    pytest.param(reset("content", text="Hi "), Reason.CONNECTION, id="reset"),
    pytest.param(silence("end", text="Hi "), Reason.TIMEOUT, id="silence"),
    pytest.param(empty_deltas(after="Hi "), Reason.TIMEOUT, id="empty deltas"),
    pytest.param(error_in_200(after="Hi "), Reason.BUSY, id="an error"),
]


@pytest.mark.parametrize(("behaviour", "reason"), BROKEN)
@pytest.mark.parametrize("way", READERS)
def test_a_break_is_told_by_every_reader(
    way: str, behaviour: Behaviour, reason: Reason, sim: Simulator, app: App, recorder: Recorder
) -> None:
    """A stream that breaks after its first content raises after the bytes that came, and nobody else is asked."""
    sim.script("a/a", behaviour)
    response: Any = app.begin()
    seen = b""
    with pytest.raises(StreamInterrupted) as caught:  # noqa: PT012 - it is the reading that raises
        for got in READERS[way](response):
            seen += got
    error = caught.value
    assert (error.text, error.reason, error.request) == ("Hi ", reason, None)
    assert error.__context__ is None
    assert b"Hi" in seen
    assert (reason is Reason.BUSY) == (b"Provider returned error" in seen)
    # The readers of io close what they read.
    with nullcontext() if response.raw.closed else pytest.raises(StreamInterrupted, match="after 3 characters"):
        response.raw.read()
    assert [attempt.reason for attempt in response.orfallback.attempts] == [reason]
    assert recorder.hooks.count("attempt_finished") == recorder.hooks.count("call_finished") == 1
    assert recorder.seen[-1].facts["error"] is StreamInterrupted
    assert sim.models_asked == ["a/a"]
    app.close()
    assert sim.wait_idle()


def test_a_break_is_raised_by_the_call_that_reads(sim: Simulator, app: App) -> None:
    """Where requests reads the stream itself, the call raises."""
    sim.script("a/a", cut("content", text="Hi "))
    with pytest.raises(requests.ConnectionError, match="stream broke"):
        app.ask(STREAMED)


ENDLESS = answer(pieces=["x"] * 1000, pace=0.01)


def leave_by_close(app: App) -> None:
    """Close it."""
    response = app.begin()
    assert next(response.iter_lines())
    response.close()
    response.close()
    assert response.raw.read(10) == b""


def leave_with(app: App) -> None:
    """Leave the with block."""
    with app.begin() as response:
        assert next(response.iter_content(1))


def leave_unread(app: App) -> None:
    """Drop it unread."""
    app.begin()


def leave_a_loop(app: App) -> None:
    """Break out of the loop, and return."""
    for line in app.begin().iter_lines():
        assert line
        break


def leave_a_loop_of_bytes(app: App) -> None:
    """Break out of a loop over a few bytes."""
    response = app.begin()
    for got in response.iter_content(3):
        assert len(got) == 3
        break


def leave_by_an_error(app: App) -> None:
    """Stumble over what was read."""

    def stumble() -> None:
        for _ in app.begin().iter_lines():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stumble()


def leave_raw(app: App) -> None:
    """Close what stands below."""
    raw = app.begin().raw
    assert raw.readline()
    raw.close()
    assert raw.closed
    assert raw.isclosed()


LEAVING = [
    leave_by_close, leave_with, leave_unread, leave_a_loop, leave_a_loop_of_bytes, leave_by_an_error, leave_raw,
]  # fmt: skip


@pytest.mark.parametrize("leave", LEAVING)
def test_leaving_early_closes_the_connection(
    leave: Callable[[App], None], sim: Simulator, app: App, recorder: Recorder
) -> None:
    """Whoever leaves a stream stops it at once, with the collector off, and the call ends once, as cancelled."""
    sim.script("a/a", ENDLESS)
    gc.disable()
    try:
        leave(app)
        assert sim.wait_idle()
    finally:
        gc.enable()
    assert [request.model for request in sim.left_early] == ["a/a"]
    assert recorder.hooks == ["call_started", "attempt_started", "committed", "attempt_finished", "call_finished"]
    assert recorder.seen[-2].facts["attempt"].reason is Reason.CANCELLED
    assert recorder.seen[-1].facts["error"] is None


def test_a_loop_that_was_left_can_be_taken_up(sim: Simulator, app: App) -> None:
    """As in requests, a response that is still held is read on."""
    sim.script("a/a", answer("one two three"))
    response = app.begin()
    first = next(response.iter_content(5))
    rest = b"".join(response.iter_content(5))
    assert first == b"data:"
    assert b"three" in rest
    assert rest.endswith(b"[DONE]\n\n")


def at_once(text: str, *more: Any, end: Any = None) -> Behaviour:
    """A stream whose events all come in one piece."""
    sent = [delta(role="assistant"), delta(content=text), *more]
    lines = [each if isinstance(each, str) else json.dumps(each) for each in sent]
    return events("".join(f"data: {line}\n\n" for line in lines).encode(), *([] if end is None else [end]))


STOPPING = {
    "piece by piece": answer("Hi there"),
    "no [DONE]": answer("Hi there", done=False),
    "in one piece": at_once("Hi", delta("stop", content=""), "[DONE]"),
    "in one piece without [DONE]": at_once("Hi", delta("stop", content="")),
    "[DONE] without a reason": at_once("Hi", "[DONE]"),
    "a ping between": at_once("Hi", "", delta("stop", content=""), "[DONE]"),
}


@pytest.mark.parametrize("behaviour", STOPPING)
@pytest.mark.parametrize("last", [b"[DONE]", b'"stop"'])
def test_stopping_at_the_end_is_a_whole_answer(
    last: bytes, behaviour: str, sim: Simulator, app: App, recorder: Recorder
) -> None:
    """Who stops at ``[DONE]``, or when the reason to finish came, has had it all: the connection is kept."""
    if (last == b"[DONE]") == ("out" in behaviour) and "piece by" not in behaviour:
        last = b"[DONE]" if last != b"[DONE]" else b'"stop"'
    sim.script("a/a", STOPPING[behaviour])
    for _ in range(3):
        for line in app.begin().iter_lines():
            if last in line:
                break
    assert [seen.facts["attempt"].ok for seen in recorder.seen if seen.hook == "attempt_finished"] == [True] * 3
    assert recorder.hooks.count("call_finished") == 3
    assert sim.connections == 1
    assert sim.left_early == []


def test_one_of_two_choices_is_no_whole_answer(sim: Simulator, app: App, recorder: Recorder) -> None:
    """Who stops when one choice of several is finished does not wait for the others."""
    two = delta(content="x")
    two["choices"].append({"index": 1, "finish_reason": None, "delta": {"content": "y"}})
    sim.script("a/a", at_once("Hi", two, delta("stop", content=""), end=End.HANG))
    with app.begin() as response:
        assert response.raw.read(10_000).count(b"data:") == 4
    assert sim.wait_idle()
    assert recorder.seen[-2].facts["attempt"].reason is Reason.CANCELLED


def test_what_stands_behind_an_answer_does_not_break_it(sim: Simulator, app: App, recorder: Recorder) -> None:
    """A fault behind a whole answer is no error of who closes it."""
    sim.script("a/a", at_once("Hi", delta("stop", content=""), {"error": {"message": "late"}}, end=End.RESET))
    with app.begin() as response:
        assert response.raw.readline()
        assert response.raw.read(10_000)
    assert sim.wait_idle()
    assert recorder.hooks.count("call_finished") == 1


def test_another_thread_closes_a_response_that_is_read(sim: Simulator, app: App, recorder: Recorder) -> None:
    """The reader is woken at once, and the call ends once."""
    chain = app.get_adapter(app.url).chain.replace(timeouts=Timeouts())  # type: ignore[attr-defined]  # it has one
    sim.script("a/a", silence("end", text="Hi"))
    with App(sim, FallbackAdapter(chain)) as patient:
        response = patient.begin()
        closing = threading.Timer(0.1, response.close)
        with pytest.raises(StreamConsumedError, match="another thread"):  # noqa: PT012 - it is the reading that raises
            for line in response.iter_lines():
                if line and not closing.ident:
                    closing.start()
        closing.join()
    assert sim.wait_idle()
    assert recorder.hooks.count("attempt_finished") == recorder.hooks.count("call_finished") == 1
    assert recorder.seen[-2].facts["attempt"].reason is Reason.CANCELLED


class Interruption(BaseException):
    """Raised by a signal."""


@pytest.mark.parametrize("kind", [KeyboardInterrupt, Interruption])
@pytest.mark.parametrize(
    ("behaviour", "body"),
    [(silence("headers"), ASKED), (silence("body"), ASKED), (silence("content"), STREAMED), (silence("end"), STREAMED)],
    ids=["headers", "body", "before the content", "in a stream"],
)
def test_an_interruption_passes_out(
    behaviour: Behaviour,
    body: dict[str, Any],
    kind: type[BaseException],
    sim: Simulator,
    chain: Chain,
    recorder: Recorder,
) -> None:
    """What a signal raises while something is waited for comes out unchanged, and the connection is closed."""
    interruption = kind("now")

    def strike(number: int, frame: FrameType | None) -> None:
        if sim.models_asked:
            raise interruption
        # A machine that is busy is not that far.
        signal.setitimer(signal.ITIMER_REAL, 0.15)

    sim.default(behaviour)
    before = signal.signal(signal.SIGALRM, strike)
    try:
        with App(sim, FallbackAdapter(chain.replace(timeouts=Timeouts()))) as app:
            with pytest.raises(kind) as caught:  # noqa: PT012 - it strikes in one of them
                signal.setitimer(signal.ITIMER_REAL, 0.15)
                assert app.ask(body, stream=True).content
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert caught.value is interruption
    assert (interruption.args, interruption.__cause__) == (("now",), None)
    assert sim.wait_idle()
    assert sim.models_asked == ["a/a"]
    assert recorder.hooks.count("attempt_finished") == recorder.hooks.count("call_finished") == 1


CALLS = [
    pytest.param(answer("Hi"), ASKED, id="an answer"),
    pytest.param(answer("Hi"), STREAMED, id="a stream"),
    pytest.param(status(502), ASKED, id="a refusal"),
    pytest.param(reply(LARGE, code=502), ASKED, id="a large refusal"),
    pytest.param(cut("start"), ASKED, id="an exception"),
    pytest.param(cut("body"), ASKED, id="a cut body"),
    pytest.param(cut("content"), STREAMED, id="a broken stream"),
    pytest.param(silence("content"), STREAMED, id="a silent stream"),
    pytest.param(redirect(302, "/x"), ASKED, id="a redirect"),
    pytest.param(keep_alive(every=0.01), ASKED, id="a limit"),
]


@pytest.mark.parametrize("lone", [False, True], ids=["two models", "one model"])
@pytest.mark.parametrize(("behaviour", "body"), CALLS)
def test_no_cycle_is_left(behaviour: Behaviour, body: dict[str, Any], lone: bool, sim: Simulator, chain: Chain) -> None:
    """No call, however it ends, leaves work for the collector of garbage."""
    chain = chain.replace(
        models=["a/a"] if lone else ["a/a", "b/b"], timeouts=Timeouts(answer=0.1, first_token=0.1, idle=0.1)
    )
    sim.default(behaviour)

    def use(stream: bool) -> None:
        try:
            response = using.ask(body, stream=stream, allow_redirects=False)
            assert response.content is not None
        except requests.RequestException:
            pass

    with App(sim, FallbackAdapter(chain)) as using:
        use(stream=True)
        gc.collect()
        gc.disable()
        try:
            use(stream=True)
            use(stream=False)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = sorted(f"{type(thing).__module__}.{type(thing).__qualname__}" for thing in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    kinds = ("orfallback.", "requests.", "urllib3.response")
    assert [name for name in left if name.startswith(kinds) and not name.startswith("orfallback.testing")] == []


# -- a last resort --


class Resort:
    """A plugin with a last resort."""

    def __init__(self, last: Any) -> None:
        self._last = last

    def orfallback_exhausted(self) -> Any:
        """Answer."""
        return self._last


@pytest.mark.parametrize("path", ["/chat/completions", "/completions"])
@pytest.mark.parametrize("last", ["Sorry.", choice("stop", {"content": "Sorry."})], ids=["str", "dict"])
def test_a_last_resort_is_a_response(last: Any, path: str, sim: Simulator, chain: Chain) -> None:
    """A plugin's last resort comes as a 200, whole or as a stream, and says that it is one."""
    sim.default(status(502))
    sim.script("POST /completions", status(502))
    body = {"model": "a/a", "messages": [], "prompt": ""}
    with App(sim, FallbackAdapter(chain.replace(plugins=[Resort(last)]))) as app:
        url = sim.base_url + path
        whole: Any = app.post(url, json=body)
        stream: Any = app.post(url, json={**body, "stream": True}, stream=True)
    for response in (whole, stream):
        assert (response.status_code, response.reason, response.url) == (200, "OK", url)
        assert response.headers["X-Orfallback-Degraded"] == "1"
        assert response.orfallback.degraded
        assert repr(response.orfallback) == "<Served by a last resort: 2 attempts>"
    (told,) = whole.json()["choices"]
    first, done = [line for line in stream.iter_lines(decode_unicode=True) if line]
    (chunk,) = json.loads(first.removeprefix("data: "))["choices"]
    assert done == "data: [DONE]"
    if path == "/completions":
        assert told["text"] == chunk["text"] == "Sorry."
        assert {"message", "delta"}.isdisjoint({*told, *chunk})
    else:
        assert told["message"]["content"] == chunk["delta"]["content"] == "Sorry."


def test_a_last_resort_with_text_is_left_as_it_is(sim: Simulator, chain: Chain) -> None:
    """One in the older form already is handed on in it."""
    sim.script("POST /completions", status(502))
    last = {"choices": [{"index": 0, "text": "Sorry.", "finish_reason": "stop"}]}
    with App(sim, FallbackAdapter(chain.replace(plugins=[Resort(last)]))) as app:
        response = app.post(f"{sim.base_url}/completions", json={"model": "a/a", "prompt": ""})
    assert response.json()["choices"] == last["choices"]


# -- the adapter itself --


def pausing(seconds: Any, attempt: Any) -> float:
    """A delay that pickles, being a function of a module."""
    return 0.0


def test_it_pickles_without_the_key(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes with its settings and plugins; the key stays, and that of the environment there takes its place."""
    plugin: Any = ModuleType("their_plugin")
    plugin.orfallback_call_started = lambda: None
    monkeypatch.setitem(sys.modules, "their_plugin", plugin)
    targets: list[str | Target] = ["a/a", Target("b/b", set={"seed": 7})]
    chain = Chain(
        targets, api_key=OURS, base_url=sim.base_url, delay=pausing, plugins=[Recorder(), plugin], timeouts=QUICK,
        rounds=2, session=requests.Session(), cooldown=Cooldown(7.0),
    )  # fmt: skip
    chain.plugin_manager.tracing = True
    chain.unregister("logging")
    with App(sim, FallbackAdapter(chain, HTTPAdapter(pool_maxsize=7))) as app:
        data = pickle.dumps(app.adapters["http://"])
        del app.headers["Authorization"]
        session = pickle.dumps(app)
    assert OURS.encode() not in data + session
    monkeypatch.setenv("OPENROUTER_API_KEY", THEIRS)
    assert authorized(pickle.loads(session), app.url, sim) is None
    monkeypatch.setenv("OPENROUTER_BASE_URL", sim.base_url + "/")
    copied = pickle.loads(session)
    assert authorized(copied, app.url, sim) == digest(THEIRS)
    adapter = copied.get_adapter(app.url)
    options, kept = adapter.chain._options, chain._options
    for name in ("base_url", "timeouts", "rounds", "delay", "models"):
        assert (name, options[name]) == (name, kept[name])
    assert [name for name, _ in adapter.chain.plugin_manager.list_name_plugin()][1:] == [
        "cooldown", "Recorder", "their_plugin"
    ]  # fmt: skip
    assert adapter.chain._options["cooldown"].seconds == 7.0
    assert adapter.chain.plugin_manager.tracing
    assert adapter.inner._pool_maxsize == 7


def authorized(session: requests.Session, url: str, sim: Simulator) -> str | None:
    """Return which key a session's call brings."""
    assert session.post(url, json=ASKED).ok
    return sim.requests[-1].key_digest


def test_one_without_a_key_stays_without(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain that had no key is given none where it is unpickled."""
    data = pickle.dumps(FallbackAdapter(Chain("a/a", base_url=sim.base_url)))
    monkeypatch.setenv("OPENROUTER_API_KEY", THEIRS)
    monkeypatch.setenv("OPENROUTER_BASE_URL", sim.base_url)
    session = requests.Session()
    session.mount("http://", pickle.loads(data))
    assert authorized(session, f"{sim.base_url}/chat/completions", sim) is None


def test_a_target_with_a_key_does_not_pickle(sim: Simulator) -> None:
    """Nothing would bring that key back."""
    adapter = FallbackAdapter(Chain(Target("a/a", api_key=OURS), base_url=sim.base_url))
    with pytest.raises(TypeError, match="does not pickle"):
        pickle.dumps(adapter)


def test_copies_share_the_chain(app: App) -> None:
    """A copy of the adapter, or of a session with it, asks the same chain, with its key."""
    adapter: Any = app.get_adapter(app.url)
    shallow, deep, session = copy.copy(adapter), copy.deepcopy(adapter), dict[str, Any](copy.deepcopy(app.adapters))
    assert shallow.chain is deep.chain is session["http://"].chain is adapter.chain
    assert shallow.inner is adapter.inner
    assert deep.inner is not adapter.inner


def test_it_has_what_the_inner_adapter_has(app: App) -> None:
    """What others look for on the adapter of a session is there, and what is nowhere is nowhere."""
    adapter: Any = app.get_adapter(app.url)
    assert adapter.poolmanager is adapter.inner.poolmanager
    assert adapter.max_retries.total == 0
    with pytest.raises(AttributeError, match="nothing"):
        _ = adapter.nothing
    with pytest.raises(AttributeError, match="inner"):
        _ = FallbackAdapter.__new__(FallbackAdapter).max_retries


def test_it_makes_a_chain_of_the_environment(at: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments it asks whom the environment names."""
    monkeypatch.setenv("ORFALLBACK_MODELS", "b/b, c/c")
    at.default(status(401))
    with App(at, FallbackAdapter()) as app:
        assert app.ask().status_code == 401
    assert [target.model for target in FallbackAdapter().chain.targets] == ["b/b", "c/c"]


def test_a_chain_with_a_session_that_has_the_adapter(sim: Simulator, app: App, clock: FakeClock) -> None:
    """What a chain sends through such a session falls back in one place alone."""
    sim.default(status(502))
    with pytest.raises(ChainExhausted) as caught:
        Chain(["a/a", "b/b"], base_url=sim.base_url, session=app, clock=clock).complete("hi")
    assert [attempt.model for attempt in caught.value.attempts] == sim.models_asked == ["a/a", "b/b"]


def test_retries_of_the_inner_adapter(sim: Simulator, chain: Chain) -> None:
    """They are used up first, for each model."""
    retry = Retry(total=1, status_forcelist=[502], allowed_methods=None, backoff_factor=0)
    sim.script("a/a", status(502))
    with App(sim, FallbackAdapter(chain, HTTPAdapter(max_retries=retry))) as app:
        assert app.ask().ok
        assert sim.models_asked == ["a/a", "a/a", "b/b"]
        sim.default(status(502))
        with pytest.raises(requests.exceptions.RetryError):
            app.ask()


def test_retries_of_the_inner_adapter_wait_for_nobody(sim: Simulator, chain: Chain) -> None:
    """They are made at once, whatever the server or their settings ask for, and the adapter remains what it was."""

    class Counting(HTTPAdapter):
        sent = 0

        def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
            self.sent += 1
            return super().send(request, **options)

    inner = Counting(max_retries=Retry(3, status_forcelist=[429, 502], allowed_methods=None, backoff_factor=9))
    sim.script("a/a", status(429, headers={"Retry-After": "30"}), status(502))
    began = time.monotonic()
    with App(sim, FallbackAdapter(chain, inner)) as app:
        assert app.ask().ok
    # What was asked for is a minute and more.
    assert time.monotonic() - began < 20
    assert sim.models_asked == ["a/a"] * 4 + ["b/b"]
    assert (inner.sent, inner.max_retries.backoff_factor) == (2, 9)


def read_before(response: requests.Response) -> requests.Response:
    """Read the body, as one that logs it does."""
    assert response.content is not None
    return response


def a_file(response: requests.Response) -> requests.Response:
    """Put the body into a file, as test doubles do."""
    response.raw = io.BytesIO(response.content)
    response._content, response._content_consumed = False, False  # type: ignore[attr-defined, assignment]  # unread
    return response


def a_slow_file(response: requests.Response) -> requests.Response:
    """Put the body into a file that can do next to nothing."""

    class Slow:
        def __init__(self, content: bytes) -> None:
            self._file = io.BytesIO(content)

        def read(self, size: int) -> bytes:
            return self._file.read(size)

        def close(self) -> None:
            self._file.close()

    read_before(response).raw = Slow(response.content)
    response._content, response._content_consumed = False, False  # type: ignore[attr-defined, assignment]  # unread
    return response


def nothing(response: requests.Response) -> requests.Response:
    """Have no body at all."""
    read_before(response).raw = None
    response._content = None  # as requests has it then
    return response


@pytest.mark.parametrize("change", [read_before, a_file, a_slow_file, nothing])
@pytest.mark.parametrize("body", [ASKED, STREAMED], ids=["whole", "stream"])
def test_an_adapter_of_another_kind(change: Any, body: dict[str, Any], sim: Simulator, chain: Chain) -> None:
    """Whatever the inner adapter puts into a response, it is judged, and handed on."""

    class Changing(HTTPAdapter):
        def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
            response: requests.Response = change(super().send(request, **options))
            return response

    with App(sim, FallbackAdapter(chain, Changing())) as app:
        sim.script("a/a", error_in_200())
        sim.script("b/b", answer("Hi"))
        response = app.ask(body)
        if change is nothing:
            assert (response.status_code, response.content) == (200, b"")
        else:
            assert b'"Hi"' in response.content
        sim.script("b/b", status(502))
        assert (b"Provider returned error" in app.ask(body).content) == (change is not nothing)


@responses.activate
def test_it_works_with_responses() -> None:
    """A mocked service falls back like a real one."""
    url = "https://openrouter.ai/api/v1/chat/completions"
    responses.post(url, status=502, json={})
    responses.post(url, json=choice("stop", {"content": "Hi"}))
    chain = Chain(["a/a", "b/b"], api_key=OURS, clock=FakeClock())
    with requests.Session() as session:
        session.mount("https://", FallbackAdapter(chain))
        assert said(session.post(url, json=ASKED)) == "Hi"
    bodies = [json.loads(call.request.body or b"") for call in responses.calls]
    assert [body["model"] for body in bodies] == ["a/a", "b/b"]


@pytest.mark.parametrize("timeout", [None, 5.0, (5.0, 5.0)], ids=["no timeout", "a timeout", "a pair"])
def test_the_limits_hold_to_the_byte(timeout: Any, sim: Simulator, chain: Chain) -> None:
    """Where the adapter has made what sends, or a watched one is inside, dripped headers are not waited for either."""
    for inner in (None, WatchedAdapter()):
        sim.script("a/a", drip("headers"))
        with App(sim, FallbackAdapter(chain.replace(timeouts=Timeouts(answer=0.3)), inner)) as app:
            response: Any = app.ask(timeout=timeout)
        assert response.ok
        assert response.orfallback.attempts[0].reason is Reason.TIMEOUT
        assert "no whole answer within 0.3 s" in response.orfallback.attempts[0].message


def test_an_applications_own_timeout_bounds_each_read(sim: Simulator, chain: Chain) -> None:
    """What comes in time, each time, is waited for; silence is not, and the record names the application's limit."""
    sim.script("a/a", events(delta(content="Hi"), 0.1, delta(content=" there"), 0.1, "[DONE]"))
    sim.script("b/b", silence())
    with App(sim, FallbackAdapter(chain)) as app:
        assert "there" in app.post(app.url, json=STREAMED, timeout=(5, 2)).text
        sim.script("a/a", silence())
        with pytest.raises(requests.ReadTimeout) as failed:
            app.ask(timeout=0.2)
    error: Any = failed.value.__cause__
    assert [attempt.message for attempt in error.attempts] == ["nothing came within the application's 0.2 s"] * 2


def test_a_stale_connection_is_sent_to_once_more(sim: Simulator, chain: Chain) -> None:
    """A kept connection that is closed under a request is no failure of the model."""
    sim.script("a/a", answer("one"), cut("start"), answer("two"))
    with App(sim, FallbackAdapter(chain, WatchedAdapter())) as app:
        assert [said(app.ask()) for _ in range(2)] == ["one", "two"]
    assert sim.models_asked == ["a/a"] * 3


def test_threads_share_a_session(sim: Simulator, chain: Chain) -> None:
    """Each of sixteen threads gets the answer to its own question."""
    sim.default(echo)
    sim.script("a/a", half_busy)
    threaded = chain.replace(clock=None, delay=0)

    def work(number: int) -> None:
        for turn in range(6):
            question = f"{number} {turn} {number + turn}"
            body = {**ASKED, "messages": [{"role": "user", "content": question}], "stream": turn % 2 == 0}
            response = shared.ask(body, stream=True)
            text = (
                "".join(
                    part
                    for line in response.iter_lines()
                    if line.startswith(b"data: {")
                    for part in [json.loads(line[6:])["choices"][0]["delta"].get("content") or ""]
                )
                if body["stream"]
                else said(response)
            )
            assert text == question

    with App(sim, FallbackAdapter(threaded, HTTPAdapter(pool_maxsize=16))) as shared:
        assert together(16, work) == []
