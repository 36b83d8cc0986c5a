"""Every call ends in time, and reads no more than it has to, whatever the server does; slow readers lose nothing."""

from __future__ import annotations

import gc
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
from rows import BOTH, delta

from orfallback import Chain, ChainExhausted, FallbackError, Reason, Timeouts, WatchedAdapter
from orfallback.testing import (
    Behaviour,
    FakeClock,
    Received,
    Simulator,
    Step,
    answer,
    drip,
    empty_deltas,
    events,
    keep_alive,
    silence,
    status,
)

KEY = "sk-test-0000000000000000"
MEGABYTE = 1024 * 1024
#: Ten times what was measured here at most, 4.2 ms after a deadline of 0.5 s (s).
OVERSHOOT = 0.042
#: What the buffers of two sockets hold, and is sent though nobody reads it, with room to spare (bytes).
IN_FLIGHT = 24 * MEGABYTE


class Tap:
    """A behaviour that counts what it sends of another.

    :ivar sent: bytes so far.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.sent = 0

    def __call__(self, received: Received) -> Iterator[Step]:
        for step in self._behaviour(received):
            yield step
            if isinstance(step, bytes):
                self.sent += len(step)


def ask(chain: Chain, mode: str, prompt: str = "hi") -> Any:
    """Ask in one mode."""
    return chain.complete(prompt) if mode == "complete" else chain.stream(prompt).read()


def lasted(action: Callable[[], object]) -> float:
    """How long something takes that ends in an error of the chain, in seconds."""
    started = time.monotonic()
    with pytest.raises(FallbackError):
        action()
    return time.monotonic() - started


# -- the deadline --

DEADLINE = 0.25
DRIPPED = [
    pytest.param(drip("headers", every=0.02), id="headers dripped"),
    pytest.param(drip("body", every=0.02), id="body dripped"),
]
DRIPS = [
    *DRIPPED,
    pytest.param(keep_alive(every=0.02), id="comments or newlines"),
    pytest.param(keep_alive(every=0.0), id="a flood of comments or newlines"),
    pytest.param(silence("headers"), id="silence"),
    pytest.param(silence("body"), id="silence in the body"),
    pytest.param(silence("end"), id="silence in the text"),
    pytest.param(empty_deltas(after="Hi", every=0.02), id="empty deltas"),
    pytest.param(empty_deltas(after="Hi", every=0.0), id="a flood of empty deltas"),
    pytest.param(events(*[delta(content="x")] * 200, pace=0.01), id="text for ever"),
]


def lateness(sim: Simulator, mode: str, session: requests.Session | None = None) -> float:
    """How long after its deadline a call ends, in seconds."""
    late = []
    options: dict[str, Any] = {"session": session, "timeouts": Timeouts(deadline=DEADLINE), "cooldown": None}
    with Chain(["a/a", "b/b"], api_key=KEY, base_url=sim.base_url, **options) as chain:
        # A machine that is busy makes one late, but not all.
        for _ in range(5):
            late.append(lasted(lambda: ask(chain, mode)) - DEADLINE)
            if late[-1] < OVERSHOOT:
                break
    assert sim.models_asked == ["a/a"] * len(late)
    return min(late)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("behaviour", DRIPS)
def test_the_deadline_is_kept(behaviour: Behaviour, mode: str, sim: Simulator) -> None:
    """A server that goes on and on, or stops, holds a call up no longer than its deadline."""
    sim.default(behaviour)
    assert lateness(sim, mode) < OVERSHOOT


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("behaviour", DRIPPED)
def test_a_watched_session_keeps_the_deadline(behaviour: Behaviour, mode: str, sim: Simulator) -> None:
    """A session of the application with a ``WatchedAdapter`` is as punctual as the chain's own."""
    sim.default(behaviour)
    with requests.Session() as session:
        session.mount("http://", WatchedAdapter())
        assert lateness(sim, mode, session) < OVERSHOOT


# -- slow consumers --


@pytest.mark.parametrize("framing", ["chunked", "gzip", "length", "close"])
def test_a_slow_consumer_of_a_prompt_stream_loses_nothing(framing: Any, sim: Simulator) -> None:
    """A reader that takes three times ``idle`` for each piece gets all of a stream that was sent at once."""
    idle = 0.05
    pieces = [f"{number} " for number in range(4)]
    sim.script("a/a", answer(pieces=pieces, framing=framing))
    seen = []
    with Chain("a/a", api_key=KEY, base_url=sim.base_url, timeouts=Timeouts(idle=idle)) as chain:
        with chain.stream("hi") as stream:
            for text in stream.iter_text():
                seen.append(text)
                # Real time: what is shown is that real time spent here does not count.
                threading.Event().wait(3 * idle)
    assert seen == pieces
    assert stream.finish_reason == "stop"


def test_a_slow_consumer_finds_a_silent_server(sim: Simulator) -> None:
    """What the reader takes is not counted, and the server's silence after it is."""
    sim.script("a/a", silence("end", text="Hi"))
    with Chain("a/a", api_key=KEY, base_url=sim.base_url, timeouts=Timeouts(idle=0.2)) as chain:
        text = chain.stream("hi").iter_text()
        assert next(text) == "Hi"
        threading.Event().wait(0.6)
        assert 0.1 < lasted(lambda: next(text)) < 1


# -- odd streams --


def forever(start: list[Any], item: bytes) -> Behaviour:
    """A stream that begins so, and then repeats itself as fast as it is read."""

    def behave(received: Received) -> Iterator[Step]:
        begun = events(*start, framing="close")(received)
        yield from (step for step in begun if isinstance(step, bytes))
        while True:
            yield item

    return behave


EMPTY = b'data: {"choices":[{"index":0,"delta":{"content":""}}]}\n\n'
REASONING = b'data: {"choices":[{"index":0,"delta":{"reasoning":"hm"}}]}\n\n'
TEXT = delta(content="Hi")

#: How each ends, and after how many seconds.
ODD = [
    pytest.param(forever([TEXT], EMPTY * 100), Reason.TIMEOUT, 0.3, id="empty deltas after text"),
    pytest.param(forever([TEXT], b": x\n\n" * 100), Reason.TIMEOUT, 0.3, id="comments after text"),
    pytest.param(forever([], REASONING * 100), Reason.TIMEOUT, 1.0, id="reasoning without end"),
    pytest.param(forever([TEXT], b"data: x\n" * 80_000), Reason.MALFORMED, 0.3, id="an event of 80,000 lines"),
    pytest.param(forever([TEXT], b"data: x" * 80_000), Reason.MALFORMED, 0.3, id="an event of one line"),
]


@pytest.mark.parametrize(("behaviour", "reason", "seconds"), ODD)
def test_a_stream_without_end_is_interrupted(
    behaviour: Behaviour, reason: Reason, seconds: float, sim: Simulator
) -> None:
    """What goes on for ever without saying anything ends by the limit that it hits, bounded in time and bytes."""
    tap = Tap(behaviour)
    sim.script("a/a", tap)
    timeouts = Timeouts(idle=0.3, deadline=1)
    with Chain("a/a", api_key=KEY, base_url=sim.base_url, timeouts=timeouts) as chain:
        started = time.monotonic()
        with pytest.raises(FallbackError) as caught:
            chain.stream("hi").read()
        elapsed = time.monotonic() - started
    assert caught.value.reason is reason
    assert elapsed < seconds + 0.5
    assert sim.wait_idle()
    assert tap.sent < 64 * MEGABYTE + IN_FLIGHT


#: What may follow a whole answer.
FAREWELLS = [
    pytest.param(events(TEXT, delta("stop"), 10.0), 1.0, id="finish_reason, then silence"),
    pytest.param(forever([TEXT, delta("stop")], b": x\n\n"), 1.0, id="finish_reason, then comments"),
    pytest.param(forever([TEXT, delta("stop")], EMPTY), 1.0, id="finish_reason, then empty deltas"),
    pytest.param(forever([TEXT, delta("stop")], b"x" * MEGABYTE), 1.0, id="finish_reason, then a long line"),
    pytest.param(events(TEXT, "[DONE]", 10.0), 0.1, id="[DONE], then silence"),
    pytest.param(forever([TEXT, "[DONE]"], b"x" * MEGABYTE), 0.1, id="[DONE], then anything"),
    pytest.param(forever([TEXT, "[DONE]"], b"data: [DONE]\n\n"), 0.1, id="[DONE] for ever"),
]


@pytest.mark.parametrize(("behaviour", "seconds"), FAREWELLS)
def test_a_farewell_without_end_is_not_waited_for(behaviour: Behaviour, seconds: float, sim: Simulator) -> None:
    """A whole answer is handed out a second after its end at the latest, whatever follows it."""
    tap = Tap(behaviour)
    sim.script("a/a", tap)
    with Chain("a/a", api_key=KEY, base_url=sim.base_url) as chain:
        started = time.monotonic()
        assert chain.stream("hi").read().text == "Hi"
        assert time.monotonic() - started < seconds + 0.5
    assert sim.wait_idle()
    assert tap.sent < 16 * MEGABYTE + IN_FLIGHT


@pytest.mark.parametrize("unread", [True, False], ids=["unread", "begun"])
def test_a_dropped_stream_is_read_no_further(unread: bool, sim: Simulator) -> None:
    """A stream that nobody holds any more ends at the server, with the collector of garbage off."""
    tap = Tap(forever([TEXT], b'data: {"choices":[{"index":0,"delta":{"content":"more "}}]}\n\n' * 100))
    sim.script("a/a", tap)
    with Chain("a/a", api_key=KEY, base_url=sim.base_url) as chain:
        gc.disable()
        try:
            stream: Any = chain.stream("hi")
            if not unread:
                next(stream)
            del stream
            assert sim.wait_idle()
        finally:
            gc.enable()
    assert [request.model for request in sim.left_early] == ["a/a"]
    assert tap.sent < IN_FLIGHT


# -- refusals --


def large(code: int, *headers: str) -> Behaviour:
    """A refusal with a body of 300 MB."""
    lines = [f"HTTP/1.1 {code} X", f"Content-Length: {300 * MEGABYTE}", *headers, "", ""]

    def behave(_: Received) -> Iterator[Step]:
        yield "\r\n".join(lines).encode()
        yield from itertools.repeat(b"x" * MEGABYTE, 300)

    return behave


SESSIONS = ["own", "given", "watched"]


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("kind", SESSIONS)
@pytest.mark.parametrize(
    ("code", "headers", "reason"),
    [
        pytest.param(302, ["Location: http://127.0.0.2:9/"], Reason.MISCONFIGURED, id="302"),
        pytest.param(307, ["Location: /elsewhere"], Reason.MISCONFIGURED, id="307"),
        pytest.param(503, [], Reason.BUSY, id="503"),
    ],
)
def test_a_large_refusal_is_not_read(
    code: int, headers: list[str], reason: Reason, kind: str, mode: str, sim: Simulator, clock: FakeClock
) -> None:
    """Of 300 MB behind a redirect or an error next to nothing is read, through a given session too."""
    tap = Tap(large(code, *headers))
    sim.script("a/a", tap)
    with requests.Session() as session:
        if kind == "watched":
            session.mount("http://", WatchedAdapter())
        given = None if kind == "own" else session
        with Chain(["a/a", "b/b"], api_key=KEY, base_url=sim.base_url, session=given, clock=clock) as chain:
            started = time.monotonic()
            attempts = ask(chain, mode).attempts
            assert time.monotonic() - started < 2
    assert [attempt.reason for attempt in attempts] == [reason, None]
    assert attempts[0].bytes <= 128 * 1024
    assert tap.sent < IN_FLIGHT


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("code", [402, 429, 503])
def test_an_hour_is_not_waited_for(code: int, mode: str, sim: Simulator, clock: FakeClock) -> None:
    """``Retry-After: 3600`` is told to the caller, and neither slept nor asked again after."""
    sim.default(status(code, headers={"Retry-After": "3600"}))
    with Chain(["a/a", "b/b"], api_key=KEY, base_url=sim.base_url, clock=clock) as chain:
        with pytest.raises(ChainExhausted) as caught:
            ask(chain, mode)
    assert caught.value.retry_after == 3600
    # The usual wait before another model, where there is one at all.
    assert clock.sleeps == ([] if code == 402 else [2.0])
    assert len(sim.requests) == (1 if code == 402 else 2)


# -- uploads --


def test_a_large_upload_needs_no_long_limit_for_connecting(sim: Simulator, clock: FakeClock) -> None:
    """12 MB are sent though they take longer than a connection may, fresh or kept."""
    timeouts = Timeouts(connect=0.001)
    with Chain("a/a", api_key=KEY, base_url=sim.base_url, clock=clock, timeouts=timeouts) as chain:
        for _ in range(2):
            assert chain.complete("x" * 12_000_000).attempts[-1].ok


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("every", [None, 0.02], ids=["not at all", "bit by bit"])
def test_an_upload_that_nobody_takes(
    every: float | None, secure: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that takes a large request slowly, or not at all, holds a call up no longer than its limit."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    done = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        peer, _ = listener.accept()
        try:
            if secure:
                peer = context.wrap_socket(peer, server_side=True)
            while not done.wait(10 if every is None else every):
                peer.recv(4096)
        except OSError:
            return
        finally:
            peer.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    base_url = f"http{'s' if secure else ''}://127.0.0.1:{listener.getsockname()[1]}/v1"
    with Chain("a/a", api_key=KEY, base_url=base_url, timeouts=Timeouts(answer=0.5)) as chain:
        started = time.monotonic()
        with pytest.raises(ChainExhausted, match=r"could not be sent within 0.5 s") as caught:
            chain.complete("x" * 24_000_000)
        elapsed = time.monotonic() - started
    done.set()
    thread.join(5)
    listener.close()
    assert caught.value.reason is Reason.TIMEOUT
    assert elapsed < 1.5
