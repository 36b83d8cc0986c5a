"""A fallback loop written by hand, and the chain that replaces it, before the same faults."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from recipes import load

from orfallback import CallRejected, StreamInterrupted, Timeouts
from orfallback.testing import Behaviour, Gate, Simulator, answer, cut, error_in_200, keep_alive, reply, status

BEFORE, AFTER = "replace_a_loop/before.py", "replace_a_loop/after.py"
FIRST, SECOND = "mistralai/mistral-nemo", "mistralai/mistral-small-3.2-24b-instruct"
QUESTION = [{"role": "user", "content": "Why is the sky blue?"}]
HELLO = "Hello from the simulator."


@pytest.fixture
def waits() -> list[float]:
    """What the loop waits, without the waiting."""
    return []


@pytest.fixture
def before(at: Simulator, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The loop, which does not wait here."""
    module: Any = load(BEFORE)

    class Time:
        sleep = staticmethod(waits.append)

    monkeypatch.setattr(module, "time", Time)
    return module


@pytest.fixture
def after(at: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The chain, which does not wait here."""
    monkeypatch.setenv("ORFALLBACK_DELAY", "0")
    module: Any = load(AFTER)
    yield module
    module.chain.close()


def gathered(pieces: Iterator[str]) -> tuple[str, Exception | None]:
    """Return what a stream says, and how it fails."""
    text = ""
    try:
        for piece in pieces:
            text += piece
    except (requests.RequestException, RuntimeError) as error:
        return text, error
    return text, None


@pytest.mark.parametrize("name", ["before", "after"])
def test_both_survive_a_busy_model(name: str, request: pytest.FixtureRequest, at: Simulator) -> None:
    """What the loop was written for works in both: an error status leads to the next model."""
    module = request.getfixturevalue(name)
    at.script(FIRST, status(502))
    assert module.ask(QUESTION) == HELLO
    assert gathered(module.stream(QUESTION)) == (HELLO, None)


EMPTY: list[tuple[str, Behaviour, Behaviour]] = [
    ("error in a 200", error_in_200(shape="choice"), error_in_200()),
    ("empty answer", answer(""), answer("")),
    ("filtered", answer("", finish_reason="content_filter"), answer("", finish_reason="content_filter")),
]


@pytest.mark.parametrize(("whole", "streamed"), [row[1:] for row in EMPTY], ids=[row[0] for row in EMPTY])
def test_no_answer_is_taken_for_one(
    whole: Behaviour, streamed: Behaviour, before: Any, after: Any, at: Simulator
) -> None:
    """Behind a status 200 the loop takes nothing for an answer; the chain asks the next model."""
    for module, expected in ((before, ""), (after, HELLO)):
        at.script(FIRST, whole, streamed)
        assert module.ask(QUESTION) == expected
        assert gathered(module.stream(QUESTION)) == (expected, None)


def test_half_an_answer_is_taken_for_a_whole_one(before: Any, after: Any, at: Simulator) -> None:
    """A stream whose body ends in good order after half of its text ends quietly in the loop; the chain tells."""
    at.script(FIRST, cut("content", text="The sky is", clean=True))
    assert gathered(before.stream(QUESTION)) == ("The sky is", None)
    text, error = gathered(after.stream(QUESTION))
    assert text == "The sky is"
    assert isinstance(error, StreamInterrupted)
    assert error.text == text


def test_two_answers_are_joined(before: Any, after: Any, at: Simulator) -> None:
    """Where a stream breaks the loop begins anew behind the words that were shown; the chain joins nothing to them."""
    at.script(FIRST, cut("content", text="The sky is"), status(502))
    text, error = gathered(before.stream(QUESTION))
    assert (text, error) == (f"The sky is{HELLO}", None)
    at.script(FIRST, cut("content", text="The sky is"), status(502))
    text, error = gathered(after.stream(QUESTION))
    assert text == "The sky is"
    assert isinstance(error, StreamInterrupted)


@pytest.mark.parametrize("mode", ["whole", "stream"])
def test_signs_of_life_lift_the_timeout(mode: str, before: Any, after: Any, at: Simulator) -> None:
    """Comments and newlines keep the loop waiting, here for five times its timeout; the chain asks the next model."""

    def asked(module: Any) -> tuple[str, float]:
        began = time.monotonic()
        text = module.ask(QUESTION) if mode == "whole" else "".join(module.stream(QUESTION))
        return text, time.monotonic() - began

    before.TIMEOUT = 0.2
    at.script(FIRST, keep_alive(every=0.02, then=55))
    text, took = asked(before)
    assert text == HELLO
    assert took >= 5 * before.TIMEOUT
    assert at.models_asked == [FIRST]
    after.chain = after.chain.replace(timeouts=Timeouts(first_token=0.3, answer=0.3))
    at.script(FIRST, keep_alive(every=0.05))
    text, _ = asked(after)
    assert text == HELLO
    assert at.models_asked == [FIRST, FIRST, SECOND]


def test_retry_after_is_not_heeded(before: Any, after: Any, at: Simulator, waits: list[float]) -> None:
    """A model that asks for a minute is asked three times in seven seconds by the loop, and once by the chain."""
    at.script(FIRST, status(429, headers={"Retry-After": "60"}))
    assert before.ask(QUESTION) == HELLO
    assert (at.models_asked, waits) == ([FIRST] * 3 + [SECOND], [1, 2, 4])
    assert after.ask(QUESTION) == HELLO
    assert at.models_asked[4:] == [FIRST, SECOND]


def test_a_wrong_key_is_asked_with_again(before: Any, after: Any, at: Simulator, waits: list[float]) -> None:
    """With a wrong key the loop asks six times and tells nothing of it; the chain asks once, and says what to mend."""
    at.default(status(401, message="User not found."))
    with pytest.raises(RuntimeError, match=r"^all models failed$"):
        before.ask(QUESTION)
    assert len(at.requests) == 6
    assert sum(waits) == 14
    with pytest.raises(CallRejected, match="401 unauthorized: User not found"):
        after.ask(QUESTION)
    assert len(at.requests) == 7


def test_an_event_that_is_no_json_ends_the_loop(before: Any, after: Any, at: Simulator) -> None:
    """A broken event raises what the loop does not catch; the chain asks the next model."""
    at.script(FIRST, reply(b"data: {broken\n\n", content_type="text/event-stream"))
    with pytest.raises(ValueError, match="Expecting property name"):
        list(before.stream(QUESTION))
    assert gathered(after.stream(QUESTION)) == (HELLO, None)


def test_no_choices_end_the_loop(before: Any, after: Any, at: Simulator) -> None:
    """A failure that comes with ``"choices": null`` raises what the loop does not catch; the chain goes on."""
    at.script(FIRST, error_in_200(shape="null_choices"))
    with pytest.raises(TypeError, match="not subscriptable"):
        before.ask(QUESTION)
    assert after.ask(QUESTION) == HELLO


def test_a_chunk_without_choices_begins_anew(before: Any, after: Any, at: Simulator, waits: list[float]) -> None:
    """A whole answer whose last chunk has usage and no choices is asked for again, and shown twice and thrice."""
    told = answer("Hi.", empty_choices_usage=True, done=False)
    at.script(FIRST, told)
    at.script(SECOND, answer("Hello."))
    assert gathered(before.stream(QUESTION)) == ("Hi.Hi.Hi.Hello.", None)
    at.script(FIRST, told)
    assert gathered(after.stream(QUESTION)) == ("Hi.", None)


SPACELESS = f'data:{{"choices":[{{"delta":{{"content":"{HELLO}"}},"finish_reason":"stop"}}]}}\n\ndata:[DONE]\n\n'


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(reply({"choices": [{"message": {"content": HELLO}, "finish_reason": "stop"}]}), id="an answer"),
        pytest.param(reply({"error": {"code": 502, "message": "Provider returned error"}}), id="an error"),
        pytest.param(reply(SPACELESS, content_type="text/event-stream"), id="data: without a space"),
    ],
)
def test_what_is_framed_otherwise_is_passed_over(odd: Behaviour, before: Any, after: Any, at: Simulator) -> None:
    """JSON in place of a stream, and events without a space, are an empty answer to the loop; the chain reads both."""
    at.script(FIRST, odd)
    assert gathered(before.stream(QUESTION)) == ("", None)
    assert gathered(after.stream(QUESTION)) == (HELLO, None)


def test_it_waits_after_the_last_try(before: Any, at: Simulator, waits: list[float]) -> None:
    """The loop waits before it asks another model, and before it gives up."""
    at.default(status(503))
    with pytest.raises(RuntimeError):
        before.ask(QUESTION)
    assert waits == [1, 2, 4, 1, 2, 4]


def test_leaving_closes_the_connection(after: Any, at: Simulator) -> None:
    """Whoever leaves the chain's loop over the text closes the connection, as with the loop by hand."""
    at.script(FIRST, answer("one two three", gate=Gate(), role_first=False))
    pieces = after.stream(QUESTION)
    assert next(pieces) == "one "
    pieces.close()
    assert at.wait_idle()
    assert len(at.left_early) == 1
