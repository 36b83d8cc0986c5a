"""A chunked body that is read past urllib3: nothing comes of it but speed."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from orfallback import Chain, ChainExhausted, FallbackError, StreamInterrupted, Timeouts, WatchedAdapter
from orfallback.testing import Behaviour, End, FakeClock, Gate, Simulator, answer, cut, events, raw

KEY = "sk-test-0000000000000000"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
LAST = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
REPLY = b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}'


def piece(content: bytes) -> bytes:
    """An HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(content), content)


@pytest.fixture(params=[True, False], ids=["past", "through"])
def past(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether bodies are read past urllib3, or through it as all others."""
    if not request.param:
        monkeypatch.setattr("orfallback._exchange.past_urllib3", lambda raw, size: None)
    return bool(request.param)


@pytest.fixture
def chain(sim: Simulator, clock: FakeClock) -> Iterator[Chain]:
    """A chain of one model."""
    with Chain(["a/a"], api_key=KEY, base_url=sim.base_url, clock=clock) as chain:
        yield chain


def hurried(chain: Chain, reason: str) -> Chain:
    """Give a chain short limits where one of them is to be hit."""
    return chain.replace(timeouts=Timeouts(idle=0.3, answer=0.3)) if reason == "timeout" else chain


def ended(call: Callable[[], Any]) -> tuple[str, str, str, str]:
    """Return how a call ended that fails: the error's class, its text so far, the attempt's reason and its detail."""
    with pytest.raises(FallbackError) as caught:
        call()
    attempt = caught.value.attempts[-1]
    return type(caught.value).__name__, getattr(caught.value, "text", ""), str(attempt.reason), attempt.message


BREAKS: dict[str, tuple[Behaviour, str]] = {
    "closed between chunks": (raw(HEAD + piece(EVENT), end=End.CLOSE), "truncated"),
    "closed in a chunk": (raw(HEAD + piece(EVENT) + b"40\r\ndata", end=End.CLOSE), "truncated"),
    "closed in a size": (raw(HEAD + piece(EVENT) + b"4", end=End.CLOSE), "truncated"),
    "closed before a chunk's end": (raw(HEAD + piece(EVENT)[:-2], end=End.CLOSE), "truncated"),
    "reset": (raw(HEAD + piece(EVENT), 0.05, end=End.RESET), "connection"),
    "no size": (raw(HEAD + piece(EVENT) + b"no size\r\n", end=End.CLOSE), "truncated"),
    "silent": (raw(HEAD + piece(EVENT), end=End.HANG), "timeout"),
    "silent in a chunk": (raw(HEAD + piece(EVENT) + b"40\r\ndata", end=End.HANG), "timeout"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_stream_that_breaks(name: str, past: bool, sim: Simulator, chain: Chain) -> None:
    """However a stream breaks, what came is handed on, the verdict is that of a body read through urllib3."""
    behaviour, reason = BREAKS[name]
    sim.script("a/a", behaviour)
    hasty = hurried(chain, reason)
    kind, text, found, detail = ended(lambda: hasty.stream("hi").read())
    assert (kind, text, found) == (StreamInterrupted.__name__, "a", reason)
    assert "TLS" not in detail


@pytest.mark.parametrize("name", BREAKS)
def test_a_reply_that_breaks(name: str, past: bool, sim: Simulator, chain: Chain) -> None:
    """A whole reply that breaks in its chunks: likewise."""
    behaviour, reason = BREAKS[name]
    sim.script("a/a", behaviour)
    hasty = hurried(chain, reason)
    kind, _, found, detail = ended(lambda: hasty.complete("hi"))
    assert (kind, found) == (ChainExhausted.__name__, reason)
    assert "TLS" not in detail


def fails(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let the next read of a body fail; what has been read ahead is still there."""

    def readinto(reader: Any, _: Any) -> int | None:
        if reader.over:
            return None
        raise error

    monkeypatch.setattr("orfallback._socket_reader.WatchedReader.readinto", readinto)


ERRORS = {
    "unreachable": (OSError(errno.EHOSTUNREACH, "No route to host"), "truncated"),
    "timeout": (TimeoutError("timed out"), "timeout"),
    "reset": (ConnectionResetError(errno.ECONNRESET, "reset"), "connection"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_of_the_socket(
    name: str, past: bool, sim: Simulator, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a socket raises in the middle of a body is a fault of the wire, and none of a set-up."""
    gate = Gate()
    sim.script("a/a", raw(HEAD + piece(EVENT), gate, piece(EVENT)))
    stream = chain.stream("hi")
    next(stream)

    error, reason = ERRORS[name]
    fails(monkeypatch, error)
    _, _, found, _ = ended(stream.read)
    gate.open()
    assert found == reason


def test_a_connection_is_kept_after_the_end_alone(past: bool, sim: Simulator, chain: Chain) -> None:
    """A connection whose body came to its end serves again; one whose body was cut, or left early, does not."""
    sim.script("a/a", answer("Hi"), answer("Hi"), cut("content"), answer("Hi"), answer("word " * 5_000), answer("Hi"))
    for _ in range(2):
        assert chain.stream("hi").read().text == "Hi"
    assert sim.connections == 1
    with pytest.raises(StreamInterrupted):
        chain.stream("hi").read()
    assert chain.stream("hi").read().text == "Hi"
    assert sim.connections == 2
    with chain.stream("hi") as stream:
        next(stream)
    assert chain.stream("hi").read().text == "Hi"
    assert sim.connections == 3
    chain.close()
    assert sim.wait_idle()


def test_an_interruption_closes_the_connection(sim: Simulator, chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no error of the wire passes as it is, and the half-read connection is closed at once."""

    class SoftTimeLimit(Exception):
        pass

    sim.script("a/a", raw(HEAD + piece(EVENT), end=End.HANG))
    stream = chain.stream("hi")
    next(stream)
    fails(monkeypatch, SoftTimeLimit())
    with pytest.raises(SoftTimeLimit):
        stream.read()
    assert sim.wait_idle()


@pytest.mark.parametrize("mode", ["stream", "complete"])
def test_a_body_of_which_a_hook_has_read(mode: str, past: bool, sim: Simulator, clock: FakeClock) -> None:
    """Where a session's hook has read a part of the body, the rest is read as ever."""
    with requests.Session() as session:
        session.mount("http://", WatchedAdapter())
        session.hooks["response"].append(lambda response, **_: response.raw.read(6) and None)
        with Chain(["a/a"], base_url=sim.base_url, session=session, clock=clock) as chain:
            if mode == "stream":
                sim.script("a/a", raw(HEAD + piece(b": one\n" + EVENT) + piece(EVENT) + piece(LAST) + b"0\r\n\r\n"))
                assert chain.stream("hi").read().text == "aa"
            else:
                sim.script("a/a", raw(HEAD + piece(b"      " + REPLY) + b"0\r\n\r\n"))
                assert chain.complete("hi").text == "Hi"


def chunk(text: str, finish: str | None) -> dict[str, Any]:
    """A chunk as OpenRouter writes it."""
    delta = {"role": "assistant", "content": text}
    return {"id": "gen-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]}


def test_the_calls_that_an_event_costs(sim: Simulator, chain: Chain) -> None:
    """An event that comes alone costs some 86 calls of functions; through urllib3 it would be 105."""

    def calls(count: int) -> int:
        made = 0

        def note(_: Any, event: str, __: Any) -> None:
            nonlocal made
            made += event in ("call", "c_call")

        words = [step for _ in range(count) for step in (0.004, chunk(" word", None))]
        sim.script("a/a", events(*words, chunk("", "stop")))
        stream = chain.stream("hi")
        next(stream)
        sys.setprofile(note)
        try:
            for _ in stream:
                pass
        finally:
            sys.setprofile(None)
        return made

    calls(5)
    assert (calls(120) - calls(20)) / 100 < 95
