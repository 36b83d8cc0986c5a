"""Streams: what is handed out, when, and how each of them ends."""

from __future__ import annotations

import gc
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from requests.exceptions import StreamConsumedError
from rows import choice, delta

from orfallback import Chain, ChainExhausted, DeadlineExceeded, Outcome, Reason, Stream, StreamInterrupted, Timeouts
from orfallback._chunks import Chunks
from orfallback._types import Json
from orfallback.testing import (
    Behaviour,
    FakeClock,
    Gate,
    Recorder,
    Simulator,
    answer,
    cut,
    empty_deltas,
    error_in_200,
    events,
    keep_alive,
    reply,
    reset,
    silence,
    status,
)

KEY = "sk-test-0000000000000000"
QUICK = Timeouts(first_token=2, idle=0.3, answer=2)


@pytest.fixture
def recorder() -> Recorder:
    """A plugin that remembers what it is told."""
    return Recorder()


@pytest.fixture
def chain(sim: Simulator, clock: FakeClock, recorder: Recorder) -> Iterator[Chain]:
    """A chain of two models."""
    with Chain(
        ["a/a", "b/b"], api_key=KEY, base_url=sim.base_url, clock=clock, plugins=[recorder], timeouts=QUICK
    ) as chain:
        yield chain


# -- promptness --


@pytest.mark.parametrize("framing", ["chunked", "gzip", "length", "close", "byte"])
def test_each_event_is_handed_out_when_it_is_sent(framing: Any, sim: Simulator, chain: Chain) -> None:
    """Event n is seen before the server is let to send event n + 1, whatever the framing."""
    gate = Gate()
    pieces = ["one ", "two ", "three ", "fo\u00fcr"]
    sim.script("a/a", answer("".join(pieces), pieces=pieces, gate=gate, framing=framing))
    gate.open()
    seen = []
    with chain.stream("hi") as stream:
        for text in stream.iter_text():
            seen.append(text)
            gate.open(1 if len(seen) < len(pieces) else 3)
    assert seen == pieces
    assert stream.finish_reason == "stop"


def test_chunks_before_the_commit_come_first_and_in_order(sim: Simulator, chain: Chain) -> None:
    """What was held back until the first content is handed out as it was received, in order."""
    sent = [
        {"id": "gen-1", "choices": [], "debug": {"x": 1}},
        delta(role="assistant", content=""),
        delta(content="Hi"),
        delta("stop", content=""),
        {"id": "gen-1", "choices": [], "usage": {"total_tokens": 3}},
    ]
    sim.script("a/a", events(*sent, "[DONE]"))
    with chain.stream("hi") as stream:
        assert stream.model == "a/a"
        assert [attempt.model for attempt in stream.attempts] == ["a/a"]
        assert list(stream) == sent
    assert stream.usage == {"total_tokens": 3}


# -- whole answers --

WHOLE = [
    pytest.param(answer("Hi"), id="usage and [DONE]"),
    pytest.param(answer("Hi", done=False), id="finish_reason without [DONE]"),
    pytest.param(answer("Hi", usage=False, empty_choices_usage=True), id="no usage"),
    pytest.param(answer("Hi", empty_choices_usage=True), id="usage in a chunk without choices"),
    pytest.param(answer("Hi", comments=3), id="comments first"),
    pytest.param(answer("Hi", line_end="\r\n"), id="CRLF"),
    pytest.param(answer("Hi", line_end="\r"), id="CR"),
    pytest.param(cut("finish", text="Hi"), id="cut after finish_reason"),
    pytest.param(cut("finish", text="Hi", clean=True), id="ended after finish_reason"),
    pytest.param(events(delta(content="Hi"), "[DONE]"), id="[DONE] without finish_reason"),
    pytest.param(events(delta(content="Hi"), " [DONE] "), id="padded [DONE]"),
    pytest.param(events(delta(content="Hi"), "[DONE]", delta(content="later"), "[DONE]"), id="data after [DONE]"),
    pytest.param(events(b"\xef\xbb\xbf", delta(content="Hi"), "[DONE]"), id="byte order mark"),
    pytest.param(events(b"data:\n\n", delta(content="Hi"), b"data: \n\n", "[DONE]"), id="empty data"),
    pytest.param(events(b"event: ping\ndata: now\n\n", delta(content="Hi"), "[DONE]"), id="another gateway's ping"),
    pytest.param(events(delta("stop", content="Hi"), "[DONE]"), id="the stop chunk carries text"),
    pytest.param(events(delta(content="Hi"), delta("stop"), "bye", "[DONE]"), id="a farewell that is no JSON"),
    pytest.param(events(delta(content="Hi"), delta("stop"), {"code": 1, "message": "bye"}), id="a status at the end"),
    pytest.param(events({"message": "queued", "code": 0}, delta("stop", content="Hi")), id="a status at the start"),
    pytest.param(events({"type": "status", "detail": None}, delta("stop", content="Hi")), id="an empty detail"),
    pytest.param(events(delta("null", content="H"), delta("stop", content="i")), id="a finish_reason spelt null"),
    pytest.param(
        events(
            delta(content="H"), delta(content="i"), {**choice("stop", {"content": "Hi"}), "object": "chat.completion"}
        ),
        id="all of it once more at the end",
    ),
    pytest.param(
        events({"choices": [{"index": 0, "delta": {}, "message": {"content": "Hi"}, "finish_reason": "stop"}]}),
        id="a message beside an empty delta",
    ),
    pytest.param(
        events({"choices": [{"index": 0, "delta": {"content": "Hi"}, "message": {}, "finish_reason": "stop"}]}),
        id="an empty message beside a delta",
    ),
    pytest.param(
        events(
            *[delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}])] * 50,
            delta("stop", content="Hi"),
        ),
        id="thoughts as parts of the content",
    ),
    pytest.param(events(*[delta(content="")] * 3_000, delta("stop", content="Hi")), id="much that says nothing first"),
    pytest.param(reply(choice("stop", {"content": "Hi"})), id="a server that does not know stream"),
    pytest.param(events(delta(content="Hi"), delta("stop"), 5.0), id="silence after finish_reason"),
    pytest.param(events(delta(content="Hi"), delta("stop"), "[DONE]", 5.0), id="silence after [DONE]"),
]


@pytest.mark.parametrize("behaviour", WHOLE)
def test_a_whole_answer_ends_the_stream(behaviour: Behaviour, sim: Simulator, chain: Chain, recorder: Recorder) -> None:
    """A finish_reason, or [DONE] after content, makes a stream complete, however the rest of it looks."""
    sim.script("a/a", behaviour)
    stream = chain.stream("hi")
    assert stream.read().text.startswith("Hi")
    assert stream.text.strip() in ("Hi", "Hi bl\u00e9u")
    assert sim.models_asked == ["a/a"]
    assert recorder.hooks[-2:] == ["attempt_finished", "call_finished"]
    assert recorder.seen[-2].facts["attempt"].ok


def test_read_joins_what_a_whole_reply_would_have_been(sim: Simulator, chain: Chain) -> None:
    """``read()`` gives the same message, finish reason and usage as ``complete()`` does."""
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    sim.script("a/a", answer("", tool_calls=[call], finish_reason="tool_calls", reasoning="hm"))
    whole, streamed = chain.complete("hi"), chain.stream("hi").read()
    assert streamed.tool_calls == whole.tool_calls == [call]
    assert streamed.finish_reason == whole.finish_reason == "tool_calls"
    assert streamed.usage == whole.usage
    assert streamed.model == whole.model == "a/a"
    assert streamed.text == whole.text == ""


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_a_flagged_answer_is_an_answer(finish: str, sim: Simulator, chain: Chain) -> None:
    """Text that ends for length or a filter is handed on, with its finish reason (row 28)."""
    sim.script("a/a", answer("Half a", finish_reason=finish))
    assert chain.complete("hi").finish_reason == finish
    assert chain.stream("hi").read().finish_reason == finish
    assert sim.models_asked == ["a/a", "a/a"]


def test_the_text_so_far_is_not_doubled(sim: Simulator, chain: Chain) -> None:
    """A server that sends all the text so far beside each delta does not make the text come twice."""
    pieces, said = ["He", "llo", "!"], ""
    chunks = []
    for piece in pieces:
        said += piece
        chunk = delta(content=piece)
        chunk["choices"][0]["message"] = {"role": "assistant", "content": said}
        chunks.append(chunk)
    sim.script("a/a", events(*chunks, "[DONE]"))
    stream = chain.stream("hi")
    assert list(stream.iter_text()) == pieces
    assert stream.read().text == "Hello!"


def test_white_space_in_the_middle_is_progress(sim: Simulator, chain: Chain) -> None:
    """Once something was said, an indented line from a slow model is no silence."""
    pause = 0.25
    blanks = [item for blank in ("\n", "    ", "\n") for item in (delta(content=blank), pause)]
    sim.script("a/a", events(delta(content="code"), pause, *blanks, delta("stop", content="x")))
    patient = chain.replace(timeouts=Timeouts(idle=0.6))
    assert patient.stream("hi").read().text == "code\n    \nx"


def test_tool_calls_of_other_shapes(sim: Simulator, chain: Chain) -> None:
    """Calls that all have the index 0, pieces without an index, and the older function_call are joined rightly."""

    def piece(**call: Any) -> dict[str, Any]:
        return delta(tool_calls=[call])

    first, second = {"name": "f", "arguments": ""}, {"name": "g", "arguments": ""}
    sim.script(
        "a/a",
        events(
            piece(index=0, id="1", function=first), piece(index=0, function={"arguments": '{"a":1}'}),
            piece(index=0, id="2", function=second), piece(index=0, function={"arguments": '{"b":2}'}), "[DONE]",
        ),
        events(piece(id="1", function=first), piece(function={"arguments": '{"a"'}),
            piece(function={"arguments": ":1}"}), piece(id="2", function={"name": "g", "arguments": "{}"}), "[DONE]"),
        events(delta(function_call={"name": "f", "arguments": ""}), delta(function_call={"arguments": '{"a":'}),
            delta(function_call={"arguments": "1}"}), "[DONE]"),
    )  # fmt: skip
    joined = [[call["function"] for call in chain.stream("hi").read().tool_calls] for _ in range(2)]
    assert joined == [
        [{"name": "f", "arguments": '{"a":1}'}, {"name": "g", "arguments": '{"b":2}'}],
        [{"name": "f", "arguments": '{"a":1}'}, {"name": "g", "arguments": "{}"}],
    ]
    message = chain.stream("hi").read().json()["choices"][0]["message"]
    assert message["function_call"] == {"name": "f", "arguments": '{"a":1}'}


def test_white_space_alone_does_not_commit(sim: Simulator, chain: Chain) -> None:
    """White space is held back until something is said; a model that says nothing else is passed over."""
    sim.script("a/a", events(delta(content="\n"), delta(content=" "), delta("stop"), "[DONE]"))
    sim.script("b/b", events(delta(content="\n"), delta(content="Hi"), delta("stop"), "[DONE]"))
    stream = chain.stream("hi")
    assert list(stream.iter_text()) == ["\n", "Hi"]
    assert [attempt.reason for attempt in stream.attempts] == [Reason.EMPTY, None]


# -- after the commit --

TEXT = "The sky is"
SHAPES: tuple[Any, ...] = (
    "top",
    "bare",
    "null_choices",
    "empty_choices",
    "choice",
    "finish",
    "native",
    "string",
    "string_code",
)
BROKEN = [
    *(pytest.param(error_in_200(shape=shape, after=TEXT), None, id=f"25 {shape}") for shape in SHAPES),
    pytest.param(error_in_200(shape="top", after=TEXT, done=True), Reason.BUSY, id="25 an error, then [DONE]"),
    pytest.param(
        events(delta(content=TEXT), {"object": "error", "message": "dead", "code": 500}, "[DONE]"),
        Reason.SERVER_ERROR,
        id="25 vLLM's error object",
    ),
    pytest.param(events(delta(content=TEXT), {"detail": "dead"}, "[DONE]"), Reason.SERVER_ERROR, id="25 FastAPI's"),
    pytest.param(
        events(delta(content=TEXT), b"event: error\ndata: upstream timed out\n\n", "[DONE]"),
        Reason.SERVER_ERROR,
        id="25 an error event of plain text",
    ),
    pytest.param(
        events(delta(content=TEXT), b"event: ERROR\ndata: {}\n\n", "[DONE]"),
        Reason.SERVER_ERROR,
        id="25 an error event that tells nothing",
    ),
    pytest.param(events(delta(content=TEXT), delta("abort"), "[DONE]"), Reason.SERVER_ERROR, id="25 abort"),
    pytest.param(cut("content", text=TEXT), Reason.TRUNCATED, id="29 cut"),
    pytest.param(cut("content", text=TEXT, clean=True), Reason.TRUNCATED, id="29 clean end, no finish, no [DONE]"),
    pytest.param(cut("content", text=TEXT, framing="close"), Reason.TRUNCATED, id="29 closed, no framing to tell"),
    pytest.param(cut("json", text=TEXT), Reason.TRUNCATED, id="29 cut inside the JSON"),
    pytest.param(cut("json", text=TEXT, framing="close"), Reason.TRUNCATED, id="29 closed inside the JSON"),
    pytest.param(cut("character", text=TEXT, framing="gzip"), Reason.TRUNCATED, id="29 cut inside a character"),
    pytest.param(events(delta(content=TEXT), "{half"), Reason.MALFORMED, id="29b an event that is no JSON"),
    pytest.param(reset("content", text=TEXT), Reason.CONNECTION, id="24 reset"),
    pytest.param(silence("end", text=TEXT), Reason.TIMEOUT, id="30 silence"),
    pytest.param(keep_alive(after=TEXT), Reason.TIMEOUT, id="30 comments for ever"),
    pytest.param(empty_deltas(after=TEXT), Reason.TIMEOUT, id="30 empty deltas for ever"),
]


@pytest.mark.parametrize(("behaviour", "reason"), BROKEN)
def test_a_broken_answer_is_interrupted(
    behaviour: Behaviour, reason: Reason | None, sim: Simulator, chain: Chain, recorder: Recorder
) -> None:
    """Once text was handed out, every failure is StreamInterrupted with the exact text; nobody else is asked (31)."""
    sim.script("a/a", behaviour)
    seen: list[str] = []
    stream = chain.stream("hi")
    with pytest.raises(StreamInterrupted) as caught:
        seen.extend(stream.iter_text())
    error = caught.value
    assert "".join(seen) == error.text == stream.text == TEXT
    assert reason is None or error.reason is reason
    assert isinstance(error, requests.ConnectionError)
    assert [attempt.reason for attempt in error.attempts] == [error.reason]
    assert pickle.loads(pickle.dumps(error)).text == TEXT
    assert error.__context__ is None
    assert sim.models_asked == ["a/a"]
    chain.close()
    assert sim.wait_idle()
    assert recorder.hooks == ["call_started", "attempt_started", "committed", "attempt_finished", "call_finished"]
    assert recorder.seen[-1].facts["error"] is StreamInterrupted
    with pytest.raises(StreamConsumedError):
        stream.read()


def test_reasoning_alone_is_no_answer(sim: Simulator, chain: Chain) -> None:
    """Reasoning commits a stream, and one that ends with nothing else is interrupted as empty."""
    sim.script("a/a", events(delta(reasoning="hm"), delta("stop"), "[DONE]"))
    with pytest.raises(StreamInterrupted) as caught:
        chain.stream("hi").read()
    assert caught.value.reason is Reason.EMPTY
    assert caught.value.text == ""


def test_the_deadline_holds_in_the_body(sim: Simulator) -> None:
    """The call's deadline interrupts a stream whose pieces keep coming."""
    sim.script("a/a", answer(pieces=["x"] * 1000, pace=0.02))
    timeouts = Timeouts(deadline=0.3)
    with Chain("a/a", api_key=KEY, base_url=sim.base_url, timeouts=timeouts) as chain:
        with pytest.raises(StreamInterrupted, match="deadline") as caught:
            chain.stream("hi").read()
    assert caught.value.reason is Reason.TIMEOUT


def test_the_deadline_before_the_commit(sim: Simulator) -> None:
    """A deadline that comes before any content is DeadlineExceeded, a requests.Timeout."""
    sim.default(silence("body"))
    timeouts = Timeouts(deadline=0.3)
    with Chain(["a/a", "b/b"], api_key=KEY, base_url=sim.base_url, timeouts=timeouts) as chain:
        with pytest.raises(DeadlineExceeded) as caught:
            chain.stream("hi")
    assert isinstance(caught.value, requests.Timeout)
    assert sim.models_asked == ["a/a"]


def test_failures_before_the_commit_are_raised_by_stream_itself(sim: Simulator, chain: Chain) -> None:
    """When nobody answers, ``stream()`` raises, so that a web view can still choose its status."""
    sim.default(status(503))
    with pytest.raises(ChainExhausted):
        chain.stream("hi")


def test_a_slow_consumer_loses_nothing(sim: Simulator, clock: FakeClock) -> None:
    """The time that the consumer takes is not counted as waiting for the model."""
    sim.script("a/a", answer(pieces=list("abc")))
    timeouts = Timeouts(first_token=2, idle=0.3)
    with Chain("a/a", api_key=KEY, base_url=sim.base_url, timeouts=timeouts, clock=clock) as chain:
        stream = chain.stream("hi")
        seen = []
        for text in stream.iter_text():
            seen.append(text)
            _spend(0.5)
    assert seen == ["a", "b", "c"]


def _spend(seconds: float) -> None:
    """Take real time: what is shown is that real time spent here does not count."""
    threading.Event().wait(seconds)


# -- leaving --


def test_leaving_early_closes_the_connection(sim: Simulator, chain: Chain, recorder: Recorder) -> None:
    """The end of the with block closes the connection at once, and counts as cancelled."""
    sim.script("a/a", answer(pieces=["x"] * 1000, pace=0.01))
    with chain.stream("hi") as stream:
        assert next(stream.iter_text()) == "x"
    assert sim.wait_idle()
    assert [request.model for request in sim.left_early] == ["a/a"]
    assert recorder.seen[-2].facts["attempt"].reason is Reason.CANCELLED
    assert recorder.seen[-1].facts["error"] is None


def test_dropping_a_stream_closes_the_connection(sim: Simulator, chain: Chain, recorder: Recorder) -> None:
    """A stream that is dropped unread closes its connection and ends the call, with the collector off."""
    sim.script("a/a", answer(pieces=["x"] * 1000, pace=0.01))
    gc.disable()
    try:
        stream: Stream | None = chain.stream("hi")
        assert stream is not None
        del stream
        assert sim.wait_idle()
    finally:
        gc.enable()
    assert recorder.hooks[-2:] == ["attempt_finished", "call_finished"]
    assert recorder.seen[-2].facts["attempt"].reason is Reason.CANCELLED


def test_an_exception_in_the_loop_closes_the_connection(sim: Simulator, chain: Chain, recorder: Recorder) -> None:
    """What the consumer raises inside the with block passes out, and the stream is closed."""
    sim.script("a/a", answer(pieces=["x"] * 1000, pace=0.01))

    def consume() -> None:
        with chain.stream("hi") as stream:
            for _ in stream:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        consume()
    assert sim.wait_idle()
    assert recorder.hooks[-1] == "call_finished"


def test_another_thread_closes_a_stream_that_waits(sim: Simulator, chain: Chain, recorder: Recorder) -> None:
    """The reader is woken at once, gets StreamConsumedError, and the hooks are finished once."""
    sim.script("a/a", silence("end", text="Hi"))
    patient = chain.replace(timeouts=Timeouts(idle=60))
    stream = patient.stream("hi")
    assert next(stream)["choices"]
    waiting = threading.Timer(0.1, stream.close)
    waiting.start()
    with pytest.raises(StreamConsumedError, match="another thread"):
        for _ in stream:
            pass
    waiting.join()
    assert sim.wait_idle()
    assert recorder.hooks.count("attempt_finished") == recorder.hooks.count("call_finished") == 1
    assert recorder.seen[-2].facts["attempt"].reason is Reason.CANCELLED


def stumble(stream: Stream, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> AttributeError:
    """Let the next read do something, and fail as http.client does where its connection is closed under it."""
    error = AttributeError("'NoneType' object has no attribute 'readline'")

    def fail(chunks: Chunks) -> Json:
        meanwhile()
        raise error

    monkeypatch.setattr(Chunks, "__next__", fail)
    return error


def test_what_http_client_stumbles_over_is_no_error_of_a_closed_stream(
    sim: Simulator, chain: Chain, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that another thread closed says so, however the read ended that it broke."""
    stream = chain.stream("hi")

    def close() -> None:
        other = threading.Thread(target=stream.close)
        other.start()
        other.join()

    stumble(stream, monkeypatch, close)
    with pytest.raises(StreamConsumedError, match="another thread"):
        next(stream)
    assert recorder.hooks.count("attempt_finished") == recorder.hooks.count("call_finished") == 1
    assert sim.wait_idle()


def test_a_mistake_of_the_librarys_is_not_hidden(
    sim: Simulator, chain: Chain, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same error in a stream that nobody closed passes out, and the call is told as cancelled."""
    stream = chain.stream("hi")
    error = stumble(stream, monkeypatch, lambda: None)
    with pytest.raises(AttributeError) as caught:
        next(stream)
    assert caught.value is error
    assert recorder.seen[-2].facts["attempt"].reason is Reason.CANCELLED
    assert recorder.seen[-1].facts["error"] is AttributeError
    assert sim.wait_idle()


def test_a_classifier_that_fails_over_a_broken_stream(sim: Simulator, chain: Chain, recorder: Recorder) -> None:
    """What a plugin raises while it judges a broken stream passes out, and the stream is closed and told of."""

    class Judge:
        def orfallback_classify(self, outcome: Outcome) -> None:
            if outcome.fault is not None:
                raise ZeroDivisionError

    sim.script("a/a", cut("content"))
    chain.register(Judge())
    with pytest.raises(ZeroDivisionError):
        chain.stream("hi").read()
    assert recorder.hooks.count("attempt_finished") == recorder.hooks.count("call_finished") == 1
    assert recorder.seen[-2].facts["attempt"].reason is Reason.CANCELLED
    assert recorder.seen[-1].facts["error"] is ZeroDivisionError
    assert sim.wait_idle()


def test_a_stream_that_was_read_stays_at_its_end(chain: Chain) -> None:
    """After its end a stream has no next chunk, as often as it is asked."""
    stream = chain.stream("hi")
    assert list(stream)
    assert [next(stream, None) for _ in range(2)] == [None, None]


def test_many_close_and_one_reads(sim: Simulator, chain: Chain, recorder: Recorder) -> None:
    """However closing and reading fall together, each call ends once and nothing foreign is raised."""
    sim.script("a/a", answer(pieces=["x"] * 30, pace=0.001))
    foreign: list[BaseException] = []

    def read(stream: Stream) -> None:
        try:
            stream.read()
        except requests.RequestException:
            pass
        except BaseException as error:  # noqa: BLE001 - the test is about what else there is
            foreign.append(error)

    for number in range(60):
        stream = chain.stream("hi")
        others = [threading.Thread(target=read, args=[stream])]
        others += [threading.Timer(number % 6 * 0.002, stream.close) for _ in range(3)]
        for other in others:
            other.start()
        for other in others:
            other.join()
        stream.close()
    assert foreign == []
    assert recorder.hooks.count("attempt_finished") == recorder.hooks.count("call_finished") == 60


def test_a_lock_held_at_the_fork_holds_up_no_child(sim: Simulator, chain: Chain) -> None:
    """A stream of another process is left alone without waiting for a lock that nobody there will release."""
    stream = chain.stream("hi")
    stream._pid = -1
    held = threading.Event()
    done = threading.Event()

    def hold() -> None:
        with stream._lock:
            held.set()
            done.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    other = threading.Thread(target=stream.close, daemon=True)
    other.start()
    other.join(2)
    waited = other.is_alive()
    done.set()
    holder.join()
    other.join()
    assert not waited
    with pytest.raises(StreamConsumedError, match="process"):
        next(stream)
    stream._pid = os.getpid()
    stream.close()


def test_a_signal_handler_may_close_a_stream(sim: Simulator, chain: Chain) -> None:
    """A handler that closes the stream in the thread that holds its lock does not wait for itself."""
    stream = chain.stream("hi")
    closed = threading.Event()

    def interrupted() -> None:
        with stream._lock:
            stream.close()
        closed.set()

    threading.Thread(target=interrupted, daemon=True).start()
    assert closed.wait(10)
    assert sim.wait_idle()


def test_two_threads_do_not_read_one_stream(sim: Simulator, chain: Chain) -> None:
    """A second reader is refused, and the first loses nothing."""
    gate = Gate()
    sim.script("a/a", answer(pieces=["a", "b"], gate=gate))
    gate.open()
    stream = chain.stream("hi")
    refused: list[BaseException] = []

    def second() -> None:
        try:
            next(stream)
        except StreamConsumedError as error:
            refused.append(error)
        gate.open(9)

    other = threading.Timer(0.1, second)
    other.start()
    assert stream.read().text == "ab"
    other.join()
    assert len(refused) == 1


def test_a_stream_is_iterated_once(sim: Simulator, chain: Chain) -> None:
    """Iterating again, or after close(), raises StreamConsumedError instead of giving nothing."""
    stream = chain.stream("hi")
    assert list(stream)
    with pytest.raises(StreamConsumedError):
        iter(stream)
    assert [attempt.ok for attempt in stream.attempts] == [True]
    closed = chain.stream("hi")
    closed.close()
    closed.close()
    with pytest.raises(StreamConsumedError):
        next(closed)


def test_read_after_the_loop(sim: Simulator, chain: Chain) -> None:
    """A stream that was shown to its end can still be read as a whole, with its tool calls and usage."""
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    sim.script("a/a", answer("Hi", tool_calls=[call]))
    stream = chain.stream("hi")
    assert "".join(stream.iter_text()) == "Hi"
    assert stream.read().tool_calls == [call]
    assert stream.read().text == "Hi"


def test_leaving_the_text_closes_the_stream(sim: Simulator, chain: Chain, recorder: Recorder) -> None:
    """A server that closes the text that it iterates stops the generation, though the stream is still held."""
    sim.script("a/a", answer(pieces=["x"] * 1000, pace=0.01))
    stream = chain.stream("hi")
    text = stream.iter_text()
    assert next(text) == "x"
    text.close()  # type: ignore[attr-defined]  # what WSGI servers call
    assert sim.wait_idle()
    assert recorder.seen[-2].facts["attempt"].reason is Reason.CANCELLED
    with pytest.raises(StreamConsumedError):
        stream.read()


def test_a_partial_loop_can_go_on(sim: Simulator, chain: Chain) -> None:
    """A loop that was left can be taken up again, and read() still gives the whole text."""
    sim.script("a/a", answer("one two three"))
    stream = chain.stream("hi")
    next(stream)
    next(stream)
    assert stream.read().text == "one two three"


CALLS = [
    pytest.param([answer("Hi")], False, id="an answer"),
    pytest.param([status(502)], False, id="a refusal"),
    pytest.param([cut("body")], False, id="a cut reply"),
    pytest.param([silence("body")], False, id="a silent one"),
    pytest.param([answer("Hi"), cut("start")], False, id="a stale connection"),
    pytest.param([answer("Hi")], True, id="a stream"),
    pytest.param([cut("content")], True, id="a broken stream"),
    pytest.param([error_in_200(after="Hi")], True, id="a stream with an error"),
]


@pytest.mark.parametrize(("script", "stream"), CALLS)
def test_no_cycle_is_left(script: list[Behaviour], stream: bool, sim: Simulator, chain: Chain) -> None:
    """No call, however it ends, leaves work for the collector of garbage."""
    impatient = chain.replace(timeouts=Timeouts(answer=0.1))

    def use() -> None:
        sim.script("a/a", *script)
        for _ in script:
            if not stream:
                impatient.complete("hi")
                continue
            try:
                impatient.stream("hi").read()
            except StreamInterrupted:
                pass

    use()
    gc.collect()
    gc.disable()
    try:
        use()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = sorted(type(thing).__name__ for thing in gc.garbage if type(thing).__module__.startswith("orfallback."))
        # The simulator's own threads run in this process, too.
        ours = [name for name in left if name not in ("Received", "Wire", "Generation", "Speech")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert ours == []
