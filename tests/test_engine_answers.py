"""The loop and its end: what counts as an answer, which error it is otherwise, and nonsense from plugins."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import requests
from test_engine import BUSY, GONE, A, B, Step, World, good, scripted, target

from orfallback import (
    CallRejected,
    ChainExhausted,
    DeadlineExceeded,
    Fault,
    Outcome,
    Reason,
    Scope,
    StreamInterrupted,
    Target,
    Verdict,
)
from orfallback._types import Call

KEYLESS = Verdict.fallback(Reason.UNAUTHORIZED, Scope.ENDPOINT)
ELSEWHERE = target("e", "two")


class Judge:
    """Classifies by a function."""

    def __init__(self, judge: Callable[[Outcome], Any]) -> None:
        self._judge = judge

    def orfallback_classify(self, outcome: Outcome) -> Any:
        """Ask the function."""
        return self._judge(outcome)


class LastResort:
    """Gives a degraded answer."""

    def __init__(self, answer: Any) -> None:
        self.calls: list[Call] = []
        self._answer = answer

    def orfallback_exhausted(self, call: Call) -> Any:
        """Remember the call, and answer."""
        self.calls.append(call)
        return self._answer


@pytest.mark.parametrize(
    ("targets", "script", "kind", "reason", "retry_after", "tried"),
    [
        pytest.param((A, B), {"a": KEYLESS}, CallRejected, Reason.UNAUTHORIZED, None, 1, id="the key is refused"),
        pytest.param(
            (A, B),
            {"a": Verdict.abort(Reason.INVALID_REQUEST)},
            CallRejected,
            Reason.INVALID_REQUEST,
            None,
            1,
            id="the call is refused",
        ),
        pytest.param((A, B), {"a": Verdict.abort(Reason.BUSY)}, ChainExhausted, Reason.BUSY, 30.0, 1, id="busy to all"),
        pytest.param(
            (A, B),
            {"a": Verdict.fallback(Reason.RATE_LIMITED, Scope.ENDPOINT, 90.0)},
            ChainExhausted,
            Reason.RATE_LIMITED,
            90.0,
            1,
            id="the endpoint is limited",
        ),
        pytest.param(
            (A, B),
            {"a": GONE, "b": Verdict.fallback(Reason.MODERATED)},
            ChainExhausted,
            Reason.MODERATED,
            None,
            2,
            id="no hope",
        ),
        pytest.param((A, B), {"a": BUSY, "b": GONE}, ChainExhausted, Reason.NOT_FOUND, 30.0, 2, id="no hint: 30 s"),
        pytest.param(
            (A, B),
            {"a": Verdict.fallback(Reason.BUSY, after=7.0), "b": BUSY},
            ChainExhausted,
            Reason.BUSY,
            7.0,
            2,
            id="the soonest hint",
        ),
        pytest.param(
            (A, ELSEWHERE), {"a": KEYLESS, "e": BUSY}, ChainExhausted, Reason.BUSY, 30.0, 2, id="the last one counts"
        ),
        pytest.param(
            (A, ELSEWHERE),
            {"a": BUSY, "e": KEYLESS},
            ChainExhausted,
            Reason.UNAUTHORIZED,
            30.0,
            2,
            id="hope at another endpoint",
        ),
        pytest.param((A, B), {"a": BUSY, "b": KEYLESS}, CallRejected, Reason.UNAUTHORIZED, None, 2, id="no hope here"),
        pytest.param(
            (A, ELSEWHERE), {"a": GONE, "e": KEYLESS}, CallRejected, Reason.UNAUTHORIZED, None, 2, id="rejected last"
        ),
    ],
)
def test_the_last_verdict_chooses_the_error(
    targets: Sequence[Target],
    script: Mapping[str, Step],
    kind: type[Exception],
    reason: Reason,
    retry_after: float | None,
    tried: int,
) -> None:
    """A call that no repetition would help is rejected, any other is exhausted; both tell the soonest useful retry."""
    world = World(targets, script)
    with pytest.raises(requests.RequestException) as caught:
        world.complete()
    error = caught.value
    assert isinstance(error, (CallRejected, ChainExhausted))
    assert (type(error), error.reason, error.retry_after, len(error.attempts)) == (kind, reason, retry_after, tried)
    assert world.recorder.seen[-1].facts["error"] is kind
    assert world.balanced()


def test_an_error_shows_the_last_response_there_was() -> None:
    """The error's response is that of the last attempt that had one, as plain data."""
    refused = Outcome(status=503, headers={"X-Id": "7"}, content=b"busy", url="https://one.test/v1", body=BUSY)
    world = World((A, B), {"a": refused, "b": Outcome(fault=Fault.CONNECT, detail="refused", body=BUSY)})
    with pytest.raises(ChainExhausted) as caught:
        world.complete()
    response = caught.value.response
    assert response is not None
    assert (response.status_code, response.headers["x-id"], response.text) == (503, "7", "busy")
    assert str(caught.value) == "no model answered: a: 503 busy; b: busy: refused. Worth another try in 30 s"


def test_an_error_without_any_response_has_none() -> None:
    """Where no attempt had a response, neither has the error."""
    world = World((A,), {"a": Outcome(fault=Fault.CONNECT, detail="refused", body=BUSY)})
    with pytest.raises(ChainExhausted) as caught:
        world.complete()
    assert caught.value.response is None


def test_a_plugin_takes_what_the_default_refuses() -> None:
    """``Verdict.accept()`` makes an answer of what the chain's classifier would refuse."""
    odd = Outcome(status=200, value="odd", body=GONE)
    assert World((A,), {"a": odd}, Judge(lambda outcome: Verdict.accept())).complete() == "odd"
    with pytest.raises(ChainExhausted):
        World((A,), {"a": odd}, Judge(lambda outcome: None)).complete()


def test_what_holds_no_answer_cannot_be_accepted() -> None:
    """A plugin that accepts a failure without an answer in it is told so, loudly."""
    world = World((A, B), {"a": BUSY}, Judge(lambda outcome: Verdict.accept()))
    with pytest.raises(ValueError, match=r"^the classifier, or a plugin, accepted an outcome that holds no answer$"):
        world.complete()
    assert world.balanced()


def test_a_classifier_that_lets_a_failure_pass_is_no_answer() -> None:
    """A classifier of the user's that answers None to a failure does not make an empty answer of it."""
    world = World((A,), {"a": BUSY}, classify=lambda call, outcome: None)
    with pytest.raises((ValueError, ChainExhausted)):
        world.complete()


@pytest.mark.parametrize("verdict", [Verdict.accept(), None], ids=["accepted", "nobody answers"])
def test_a_broken_stream_stays_broken_whatever_a_plugin_says(verdict: Verdict | None) -> None:
    """The verdict on a committed stream that broke gives its reason: accepting it cannot make it whole."""

    def judge(outcome: Outcome) -> Verdict | None:
        return verdict if outcome.fault is Fault.TRUNCATED else None

    answered = World((A,), {}, Judge(judge), classify=lambda call, outcome: None, stream=True).run()
    assert answered.judge(Outcome(status=200, fault=Fault.TRUNCATED)) == Verdict.fallback(Reason.TRUNCATED)


def test_a_broken_stream_is_judged_with_its_call() -> None:
    """Who judges a broken stream is told of the call, with the attempts that failed before."""
    judged: list[tuple[int, Outcome]] = []

    def classify(call: Call, outcome: Outcome) -> Verdict | None:
        judged.append((len(call.attempts), outcome))
        return scripted(call, outcome)

    answered = World((A, B), {"a": BUSY}, classify=classify, stream=True).run()
    broken = Outcome(status=200, fault=Fault.TRUNCATED, body=GONE)
    assert answered.judge(broken) == GONE
    assert [count for count, _ in judged] == [0, 1, 1]
    assert judged[-1][1] is broken


def test_whoever_decides_is_told_of_the_call() -> None:
    """Each deciding hook has the call as it is then, with the attempts that were made."""
    told: list[tuple[str, int]] = []

    class Deciding:
        def orfallback_select(self, call: Call) -> None:
            told.append(("select", len(call.attempts)))

        def orfallback_admit(self, call: Call) -> None:
            told.append(("admit", len(call.attempts)))

        def orfallback_classify(self, call: Call) -> None:
            told.append(("classify", len(call.attempts)))

        def orfallback_delay(self, call: Call) -> None:
            told.append(("delay", len(call.attempts)))

        def orfallback_exhausted(self, call: Call) -> str:
            told.append(("exhausted", len(call.attempts)))
            return "sorry"

    assert World((A, B), {"a": BUSY, "b": GONE}, Deciding()).complete() == "sorry"
    assert told == [
        ("select", 0), ("admit", 0), ("classify", 0),
        ("select", 1), ("admit", 1), ("delay", 1), ("classify", 1),
        ("exhausted", 2),
    ]  # fmt: skip


@pytest.mark.parametrize("how", ["rejects", "raises", "nonsense"])
def test_a_good_open_value_is_closed_when_it_is_not_taken(how: str) -> None:
    """An answer that a plugin refuses, or fails over, has its connection closed."""
    asked: list[int] = []

    def judge(outcome: Outcome) -> Any:
        asked.append(1)
        if len(asked) > 1:
            return None
        if how == "raises":
            raise RuntimeError("plugin")
        return GONE if how == "rejects" else "nonsense"

    world = World((A, B), {}, Judge(judge))
    if how == "rejects":
        assert world.complete() == "b says hello"
    else:
        with pytest.raises((RuntimeError, TypeError)):
            world.complete()
    assert world.closed == ["a"]
    assert world.balanced()


@pytest.mark.parametrize("answer", ["sorry", "", {"choices": []}], ids=["text", "empty text", "a whole reply"])
@pytest.mark.parametrize(("seconds", "told"), [(math.inf, "a 2 b"), (1.0, "a")], ids=["exhausted", "too late"])
def test_a_last_resort_answers_instead_of_an_error(answer: Any, seconds: float, told: str) -> None:
    """When the list is spent, or the time, a plugin's degraded answer is taken, and credited to no attempt."""
    plugin = LastResort(answer)
    world = World((A, B), {"a": BUSY, "b": BUSY}, plugin, seconds=seconds)
    answered = world.run()
    call = answered.finish()
    answered.end(None)
    assert (answered.value, answered.attempt, call.attempts) == (answer, None, plugin.calls[0].attempts)
    assert (world.told, len(plugin.calls)) == (told, 1)
    assert world.recorder.seen[-1].facts["error"] is None
    assert world.balanced()


def test_a_rejected_call_has_no_last_resort() -> None:
    """Nobody is asked for a degraded answer where the call itself was at fault."""
    plugin = LastResort("sorry")
    with pytest.raises(CallRejected):
        World((A, B), {"a": KEYLESS}, plugin).complete()
    assert plugin.calls == []


def test_the_errors_are_those_of_requests() -> None:
    """Code that catches requests' errors catches these: a timeout, a connection error, any error."""
    assert issubclass(DeadlineExceeded, requests.Timeout)
    assert issubclass(StreamInterrupted, requests.ConnectionError)
    assert all(issubclass(each, requests.RequestException) for each in (CallRejected, ChainExhausted))


def test_an_answer_is_handed_over_open() -> None:
    """The engine closes nothing that it returns."""
    closed: list[str] = []
    world = World((A,), {"a": good("open", close=lambda: closed.append("a"))})
    assert (world.complete(), closed) == ("open", [])
