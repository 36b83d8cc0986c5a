"""The loop, with scripted targets on a fake clock: whom it asks, in which order, and what it waits before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from orfallback import ChainExhausted, Outcome, Reason, Scope, Target, Verdict, in_order
from orfallback._engine import Answered, run
from orfallback._plugins import STRATEGIES, PluginManager, Strategies
from orfallback._types import Call
from orfallback.testing import FakeClock, Recorder

#: What a target does when asked: answer (None), be refused by this verdict, bring this outcome, or raise.
Step = Verdict | Outcome | BaseException | None

BUSY = Verdict.fallback(Reason.BUSY)
GONE = Verdict.fallback(Reason.NOT_FOUND)
TRANSIENT = [reason for reason in Reason if reason.transient]
LASTING = [reason for reason in Reason if not reason.transient]


def target(model: str, endpoint: str = "one") -> Target:
    """Return a resolved target."""
    return Target(model, base_url=f"https://{endpoint}.test/v1", endpoint=endpoint)


A, B, C, D = (target(model) for model in "abcd")


def good(text: str = "hello", **more: Any) -> Outcome:
    """Return an outcome that can be an answer."""
    return Outcome(status=200, value=text, **more)


def scripted(call: Call, outcome: Outcome, /) -> Verdict | None:
    """Classify by the verdict that the outcome carries."""
    return outcome.body if isinstance(outcome.body, Verdict) else None


class LoudClock(FakeClock):
    """A fake clock that tells a log of its sleeps, and raises in them when told so."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self._log = log
        self.error: BaseException | None = None

    def sleep(self, seconds: float) -> None:
        """Note it."""
        self._log.append(f"{seconds:g}")
        if self.error is not None:
            raise self.error
        super().sleep(seconds)


class World:
    """A call over scripted targets.

    :ivar log: whom it asked and how long it waited, in order.
    """

    def __init__(
        self,
        targets: Sequence[Target] = (A, B, C, D),
        script: Mapping[str, Step | Sequence[Step]] | None = None,
        *plugins: object,
        delay: Any = 2.0,
        select: Any = in_order,
        classify: Any = scripted,
        rounds: int = 1,
        seconds: float = math.inf,
        took: float = 0.0,
        stream: bool = False,
    ) -> None:
        self.log: list[str] = []
        self.clock = LoudClock(self.log)
        self.recorder = Recorder()
        self.closed: list[str] = []
        self._targets = targets
        self._script = {
            model: list(cast("Sequence[Step]", steps)) if isinstance(steps, (list, tuple)) else [cast("Step", steps)]
            for model, steps in (script or {}).items()
        }
        self._rounds = rounds
        self._took = took
        self.call = Call("c0ffee", {"messages": []}, stream, started=1_000.0, deadline=1_000.0 + seconds)
        self.manager = PluginManager()
        wait = delay if callable(delay) else lambda call, attempt: delay
        self.manager.register(Strategies(select, classify, wait), STRATEGIES)
        for plugin in plugins:
            self.manager.register(plugin)
        self.manager.register(self.recorder)

    def send(self, call: Call, asked: Target) -> Outcome:
        """Do what the script says; the last step repeats, a target without one answers."""
        self.log.append(asked.model)
        self.clock.advance(self._took)
        steps = self._script.get(asked.model, [None])
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, Outcome):
            return step
        if step is None:
            return good(f"{asked.model} says hello", close=lambda: self.closed.append(asked.model))
        return Outcome(status=503, body=step, url=asked.base_url)

    def run(self) -> Answered:
        """Run the loop."""
        return run(self.call, self._targets, self.manager.hooks(), self.send, self.clock, self._rounds)

    def complete(self) -> Any:
        """Run the loop, and end it as ``Chain.complete`` does."""
        answered = self.run()
        answered.finish()
        answered.end(None)
        return answered.value

    @property
    def told(self) -> str:
        """The log as one line: ``"a 2 b"`` asked a, waited 2 s, asked b."""
        return " ".join(self.log)

    def balanced(self) -> bool:
        """Tell whether every start that an observer heard of had its finish, once and in order."""
        started = [seen.facts["number"] for seen in self.recorder.seen if seen.hook == "attempt_started"]
        finished = [seen.facts["attempt"].number for seen in self.recorder.seen if seen.hook == "attempt_finished"]
        ends = self.recorder.hooks
        once = ends.count("call_started") == ends.count("call_finished") == 1 and ends[-1] == "call_finished"
        return once and started == finished == list(range(1, len(started) + 1))


@pytest.mark.parametrize(
    ("script", "told"),
    [
        pytest.param({}, "a", id="the first answers"),
        pytest.param({"a": BUSY}, "a 2 b", id="one is busy"),
        pytest.param({"a": BUSY, "b": BUSY, "c": BUSY}, "a 2 b 2 c 2 d", id="three are busy"),
        pytest.param({"a": GONE, "b": GONE}, "a b c", id="two are gone"),
        pytest.param({"a": GONE, "b": BUSY, "c": GONE}, "a b 2 c d", id="mixed"),
        pytest.param({"a": Verdict.fallback(Reason.BUSY, after=45.0)}, "a 2 b", id="a hint lengthens no wait"),
    ],
)
def test_targets_are_asked_in_order_with_waits_after_transient_failures_alone(
    script: Mapping[str, Step], told: str
) -> None:
    """The targets are asked in the chain's order, 2 s after a busy one, at once after one that is gone."""
    world = World(script=script)
    assert world.complete() == f"{told[-1]} says hello"
    assert world.told == told
    assert world.balanced()


@pytest.mark.parametrize("reason", TRANSIENT, ids=str)
def test_every_transient_reason_is_waited_after(reason: Reason) -> None:
    """After a transient reason the next target is asked 2 s later."""
    world = World((A, B), {"a": Verdict.fallback(reason)})
    world.complete()
    assert world.told == "a 2 b"


@pytest.mark.parametrize("reason", LASTING, ids=str)
def test_no_other_reason_is_waited_after(reason: Reason) -> None:
    """After a reason that is not transient the next target is asked at once."""
    world = World((A, B), {"a": Verdict.fallback(reason)})
    world.complete()
    assert world.told == "a b"


def test_the_last_failure_is_not_waited_after() -> None:
    """When every target is busy there is a wait between two attempts and none after the last."""
    world = World(script=dict.fromkeys("abcd", BUSY))
    with pytest.raises(ChainExhausted) as caught:
        world.complete()
    assert world.told == "a 2 b 2 c 2 d"
    assert [attempt.waited for attempt in caught.value.attempts] == [0.0, 2.0, 2.0, 2.0]
    assert world.balanced()


FREE, ALSO_FREE, PAID = target("x:free"), target("y:free"), target("p")
FREE_ELSEWHERE, ELSEWHERE = target("z:free", "two"), target("e", "two")
MIXED = (FREE, ALSO_FREE, PAID, FREE_ELSEWHERE, ELSEWHERE)


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        pytest.param(Scope.MODEL, "x:free y:free p z:free e", id="model"),
        pytest.param(Scope.FREE_TIER, "x:free p z:free e", id="free tier"),
        pytest.param(Scope.ENDPOINT, "x:free z:free e", id="endpoint"),
        pytest.param(Scope.CALL, "x:free", id="call"),
    ],
)
def test_a_verdict_rules_out_all_within_its_reach(scope: Scope, told: str) -> None:
    """A target within the reach of another's failure is not asked."""
    script = {each.model: GONE for each in MIXED[1:]}
    world = World(MIXED, {**script, "x:free": Verdict.fallback(Reason.PAYMENT, scope)})
    with pytest.raises(Exception, match="x:free"):
        world.complete()
    assert world.told == told


@pytest.mark.parametrize(
    ("rounds", "script", "told"),
    [
        pytest.param(1, {"a": BUSY, "b": BUSY}, "a 2 b", id="one round"),
        pytest.param(2, {"a": BUSY, "b": BUSY}, "a 2 b 2 a 2 b", id="two rounds"),
        pytest.param(3, {"a": BUSY, "b": GONE}, "a 2 b a 2 a", id="the lasting ones stay away"),
        pytest.param(2, {"a": GONE, "b": GONE}, "a b", id="nobody comes back"),
        pytest.param(2, {"a": [BUSY, GONE], "b": BUSY}, "a 2 b 2 a b", id="the last verdict decides the wait"),
        pytest.param(
            2,
            {"a": Verdict.fallback(Reason.BUSY, after=10.0), "b": Verdict.fallback(Reason.BUSY, after=30.0)},
            "a 2 b 8 a 2 b",
            id="the soonest hint",
        ),
        pytest.param(2, {"a": Verdict.fallback(Reason.BUSY, after=100.0), "b": GONE}, "a 2 b", id="a hint too long"),
        pytest.param(2, {"a": BUSY, "b": Verdict.abort(Reason.INVALID_REQUEST)}, "a 2 b", id="the call is refused"),
        pytest.param(2, {"a": Verdict.abort(Reason.BUSY)}, "a", id="the call is refused for now"),
        pytest.param(
            2,
            {"a": BUSY, "b": Verdict.fallback(Reason.UNAUTHORIZED, Scope.ENDPOINT)},
            "a 2 b",
            id="the endpoint of one that was busy refuses the key",
        ),
    ],
)
def test_rounds_bring_back_those_whose_failure_was_transient(
    rounds: int, script: Mapping[str, Step | Sequence[Step]], told: str
) -> None:
    """When the list is spent, transient failures come back as long as rounds are left, and nobody else does."""
    world = World((A, B), script, rounds=rounds)
    with pytest.raises(Exception, match="a: "):
        world.complete()
    assert world.told == told
    assert world.balanced()


def test_a_wait_is_told_before_it_begins() -> None:
    """Observers learn of the failed attempt, the next target and the wait, in this order of events."""
    world = World((A, B), {"a": BUSY})
    world.complete()
    assert world.recorder.hooks == [
        "call_started", "attempt_started", "attempt_finished", "falling_back", "attempt_started", "attempt_finished",
        "call_finished",
    ]  # fmt: skip
    facts = world.recorder.seen[3].facts
    assert (facts["attempt"].model, facts["target"], facts["wait"]) == ("a", B, 2.0)
    assert [len(seen.facts["call"].attempts) for seen in world.recorder.seen] == [0, 0, 1, 1, 1, 2, 2]
    assert [seen.facts["target"] for seen in world.recorder.seen if seen.hook == "attempt_started"] == [A, B]


def test_a_stream_is_committed_before_its_attempt_is_over() -> None:
    """For a stream, observers hear of the commit from ``run``, and of the end only from ``finish`` and ``end``."""
    world = World((A,), stream=True, took=3.0)
    answered = world.run()
    assert world.recorder.hooks == ["call_started", "attempt_started", "committed"]
    world.clock.advance(4.0)
    call = answered.finish(events=7)
    answered.end(None)
    assert world.recorder.hooks[3:] == ["attempt_finished", "call_finished"]
    assert (call.attempts[0].events, call.attempts[0].elapsed, call.attempts[0].ok) == (7, 7.0, True)


def test_an_attempt_carries_the_time_it_took() -> None:
    """An attempt's elapsed time and wait are those of the chain's clock."""
    world = World((A, B), {"a": BUSY}, took=1.5)
    world.complete()
    attempts = world.recorder.seen[-1].facts["call"].attempts
    assert [(each.number, each.waited, each.elapsed) for each in attempts] == [(1, 0.0, 1.5), (2, 2.0, 1.5)]
