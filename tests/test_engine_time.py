"""The loop and time: what is asked again, what rests, and the deadline."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_engine import BUSY, GONE, A, B, C, D, Step, World, target

from orfallback import CallRejected, ChainExhausted, DeadlineExceeded, FallbackError, Reason, Scope, Target, Verdict
from orfallback._types import Call


@pytest.mark.parametrize(
    ("script", "told"),
    [
        pytest.param({"a": [Verdict.retry(Reason.BUSY, 9.0), None]}, "a 2 b 2 c 5 a", id="after its hint"),
        pytest.param({"a": [Verdict.retry(Reason.BUSY), None]}, "a 2 b 2 c 2 a", id="no hint: after the delay"),
        pytest.param({"a": Verdict.retry(Reason.BUSY, 9.0)}, "a 2 b 2 c 5 a", id="once"),
        pytest.param({"a": Verdict.retry(Reason.PAYMENT, 3.0)}, "a b 2 c 2 a", id="for a lasting reason too"),
        pytest.param({"a": [Verdict.retry(Reason.BUSY, 60.0), None]}, "a 2 b 2 c 56 a", id="60 s"),
        pytest.param({"a": Verdict.retry(Reason.BUSY, 300.0)}, "a 2 b 2 c", id="a hint too long"),
        pytest.param({"a": Verdict.retry(Reason.BUSY, math.inf)}, "a 2 b 2 c", id="an infinite hint"),
        pytest.param({"a": Verdict.retry(Reason.BUSY, math.nan)}, "a 2 b 2 c", id="a hint that is no number"),
    ],
)
def test_again_is_once_after_the_hint_when_nothing_else_is_left(
    script: Mapping[str, Step | Sequence[Step]], told: str
) -> None:
    """A target that may be asked again comes back once, after its hint, after all others."""
    world = World((A, B, C), {"b": BUSY, "c": BUSY, **script})
    try:
        world.complete()
    except ChainExhausted as error:
        assert error.attempts[-1].model == told[-1]  # noqa: PT017 - which scripts answer is not the point
    assert world.told == told
    assert world.balanced()


@pytest.mark.parametrize(("after", "told"), [(60.0, "a 60 a"), (60.1, "a"), (math.inf, "a")])
def test_a_hint_longer_than_a_minute_is_never_waited(after: float, told: str) -> None:
    """The one target left is waited for if it asks for 60 s, and given up if it asks for more."""
    world = World((A,), {"a": Verdict.retry(Reason.BUSY, after)})
    with pytest.raises(ChainExhausted):
        world.complete()
    assert world.told == told


def test_again_reaches_as_far_as_the_fault() -> None:
    """What an ``again`` verdict on the endpoint ruled out comes back with it, in order, after the hint."""
    verdict = Verdict.retry(Reason.PAYMENT, 4.0, Scope.ENDPOINT)
    other = target("o", "two")
    world = World((A, B, other), {"a": [verdict, GONE], "o": GONE})
    assert world.complete() == "b says hello"
    assert world.told == "a o 4 a b"


def test_a_refused_key_takes_back_an_again() -> None:
    """A target that might have been asked again is not, once its endpoint refused the key."""
    refused = Verdict.fallback(Reason.UNAUTHORIZED, Scope.ENDPOINT)
    world = World((A, B), {"a": Verdict.retry(Reason.BUSY), "b": refused})
    with pytest.raises(CallRejected):
        world.complete()
    assert world.told == "a 2 b"


class Resting:
    """Passes targets over, as long as the table says."""

    def __init__(self, rests: Mapping[str, Any], refused: str = "") -> None:
        self.asked: list[tuple[str, bool]] = []
        self._rests = rests
        self._refused = refused

    def orfallback_admit(self, target: Target, last_resort: bool) -> Any:
        """Answer from the table; in the last resort only the refused stay so."""
        self.asked.append((target.model, last_resort))
        if last_resort:
            return 1.0 if target.model in self._refused else None
        return self._rests.get(target.model)


@pytest.mark.parametrize(
    ("rests", "refused", "told"),
    [
        pytest.param({"a": 30.0}, "", "b 2 c 2 d 2 a", id="one rests"),
        pytest.param({"a": 30.0, "b": 10.0, "c": 20.0, "d": 40.0}, "", "b 2 c 2 a 2 d", id="the soonest first"),
        pytest.param({"a": 30, "b": 30, "c": 0}, "", "d 2 c 2 a 2 b", id="ties in the chain's order"),
        pytest.param({"a": 30, "b": 29.99, "c": 29.95}, "", "d 2 a 2 b 2 c", id="as good as ties"),
        pytest.param({"a": math.inf, "b": math.inf, "c": 5}, "", "d 2 c 2 a 2 b", id="some can never serve"),
        pytest.param({"a": 30.0, "b": 10.0}, "b", "c 2 d 2 a", id="refused in the last resort"),
        pytest.param(dict.fromkeys("abcd", math.inf), "abcd", "", id="nobody can serve"),
    ],
)
def test_resting_targets_are_asked_last(rests: Mapping[str, float], refused: str, told: str) -> None:
    """Those passed over are asked after all others, the soonest first, at once; those refused then are not asked."""
    plugin = Resting(rests, refused)
    world = World((A, B, C, D), dict.fromkeys("abcd", BUSY), plugin)
    with pytest.raises(ChainExhausted):
        world.complete()
    assert world.told == told
    assert len(plugin.asked) == len(set(plugin.asked)) == 4 + len(rests)
    assert {last_resort for _, last_resort in plugin.asked} == {False, True}


def test_a_call_that_nobody_admits_ends_without_an_attempt() -> None:
    """When every target is refused, the error says that no attempt was made, and why."""
    world = World((A,), {}, Resting({"a": math.inf}, "a"))
    words = r"^no model answered: no attempt was made\. Not asked, since they rest: a \(1 s\)\. Worth another"
    with pytest.raises(ChainExhausted, match=words) as caught:
        world.complete()
    assert (caught.value.attempts, caught.value.reason, caught.value.retry_after) == ((), None, 1.0)
    assert world.recorder.hooks == ["call_started", "call_finished"]


@pytest.mark.parametrize(
    ("seconds", "took", "script", "told"),
    [
        pytest.param(1.5, 0.0, {"a": BUSY}, "a", id="the wait would be past it"),
        pytest.param(2.0, 0.0, {"a": BUSY}, "a", id="the wait would end with it"),
        pytest.param(3.0, 0.0, {"a": BUSY, "b": BUSY}, "a 2 b", id="the second wait would be past it"),
        pytest.param(5.0, 6.0, {"a": GONE}, "a", id="the attempt took it all"),
        pytest.param(
            9.0, 0.0, {"a": Verdict.retry(Reason.BUSY, 20.0), "b": GONE, "c": GONE}, "a 2 b c", id="again is past it"
        ),
    ],
)
def test_the_deadline_is_never_waited_past(seconds: float, took: float, script: Mapping[str, Step], told: str) -> None:
    """A wait that would reach the deadline is not begun: the call fails at once, with the last cause."""
    world = World((A, B, C), script, seconds=seconds, took=took)
    with pytest.raises(DeadlineExceeded) as caught:
        world.complete()
    assert world.told == told
    assert caught.value.attempts[-1].model == told[-1]
    assert caught.value.reason is caught.value.attempts[-1].reason
    assert world.balanced()
    assert world.recorder.hooks.count("falling_back") == sum(map(str.isalpha, told)) - 1


@pytest.mark.parametrize(("took", "kind"), [(5.9, ChainExhausted), (6.0, DeadlineExceeded), (6.1, DeadlineExceeded)])
def test_the_deadline_itself_is_late(took: float, kind: type[Exception]) -> None:
    """A call whose last attempt ends at the very instant of the deadline is late."""
    world = World((A,), {"a": GONE}, seconds=6.0, took=took)
    with pytest.raises(FallbackError) as caught:
        world.complete()
    assert type(caught.value) is kind


@pytest.mark.parametrize("seconds", [0.0, -1.0, -math.inf])
def test_a_deadline_that_is_past_asks_nobody(seconds: float) -> None:
    """A call whose time is up before it begins makes no attempt."""
    world = World((A, B), seconds=seconds)
    with pytest.raises(DeadlineExceeded, match="no attempt was made") as caught:
        world.complete()
    assert (world.told, caught.value.attempts, caught.value.reason) == ("", (), Reason.TIMEOUT)
    assert caught.value.retry_after is None
    assert world.recorder.hooks == ["call_started", "call_finished"]


def test_a_hint_past_the_deadline_rules_out_its_own_target_alone() -> None:
    """A target that cannot be waited for within the deadline does not cost another its second round."""
    script: dict[str, Step | Sequence[Step]] = {"a": Verdict.retry(Reason.BUSY, 50.0), "b": [BUSY, None]}
    world = World((A, B), script, rounds=2, seconds=20.0)
    try:
        world.complete()
    except DeadlineExceeded:
        pass
    assert world.log.count("b") == 2


_VERDICTS = st.builds(
    Verdict,
    st.sampled_from(Reason),
    st.sampled_from([Scope.MODEL, Scope.MODEL, Scope.MODEL, Scope.FREE_TIER, Scope.ENDPOINT, Scope.CALL]),
    st.none() | st.floats(0, 100) | st.sampled_from([math.inf, math.nan, -5.0, 60.0]),
    st.booleans(),
)
_STEPS = st.lists(_VERDICTS | st.none(), min_size=1, max_size=4) | st.lists(_VERDICTS, min_size=1, max_size=2)


@st.composite
def _worlds(draw: st.DrawFn) -> tuple[World, list[Target], int, list[tuple[Target, ...]]]:
    kinds = draw(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=5))
    targets = [
        target(f"m{n}{':free' if free else ''}", "two" if away else "one") for n, (free, away) in enumerate(kinds)
    ]
    rounds = draw(st.integers(1, 3))
    offered: list[tuple[Target, ...]] = []

    def select(call: Call, targets: tuple[Target, ...], /) -> Target:
        offered.append(targets)
        return targets[0]

    rests = {each.model: draw(st.none() | st.floats(0)) for each in targets}
    world = World(
        targets,
        {each.model: draw(_STEPS) for each in targets},
        Resting(rests, draw(st.sampled_from([each.model for each in targets]))),
        select=select,
        delay=draw(st.floats(0, 100)),
        rounds=rounds,
        seconds=draw(st.just(math.inf) | st.floats(0, 200)),
        took=draw(st.sampled_from([0.0, 0.1, 7.0])),
    )
    return world, targets, rounds, offered


_ATTEMPT = "attempt_started attempt_finished"
_COURSE = f"call_started( {_ATTEMPT}( falling_back {_ATTEMPT})*)? call_finished"


@settings(max_examples=200, deadline=None)
@given(_worlds())
def test_every_script_ends_within_its_bounds(
    drawn: tuple[World, list[Target], int, list[tuple[Target, ...]]],
) -> None:
    """Whatever the verdicts, attempts, waits and hooks stay within the bounds, and targets in the chain's order."""
    world, targets, rounds, offered = drawn
    try:
        world.complete()
    except FallbackError as error:
        assert type(error) in {CallRejected, ChainExhausted, DeadlineExceeded}  # noqa: PT017 - not every script fails
        assert [attempt.ok for attempt in error.attempts] == [False] * len(error.attempts)  # noqa: PT017 - likewise
    asked = [each for each in world.log if each.startswith("m")]
    assert len(asked) <= len(targets) * (rounds + 1)
    assert max((asked.count(each) for each in asked), default=0) <= rounds + 1
    for some in offered:
        assert list(some) == sorted(set(some), key=targets.index)
    assert all(0 < wait <= 60 for wait in world.clock.sleeps)
    if world.clock.sleeps and world.call.deadline < math.inf:
        assert 1_000.0 + sum(world.clock.sleeps) < world.call.deadline
    assert world.balanced()
    assert len(asked) == world.recorder.hooks.count("attempt_started")
    # No wait before the first attempt, none after the last, and one at most between two.
    assert re.fullmatch(r"((m\S+)( [\d.e-]+)? )*(m\S+)|", world.told)
    assert re.fullmatch(_COURSE, " ".join(world.recorder.hooks))


@settings(max_examples=100, deadline=None)
@given(st.floats(0, 1e9), st.floats(0, 60))
@example(524_270.1943142735, 60.0)
def test_a_hint_of_at_most_a_minute_is_kept_at_any_instant(now: float, after: float) -> None:
    """The clock's reading, however large, does not round a hint of a minute into one too long."""
    world = World((A,), {"a": [Verdict.retry(Reason.BUSY, after), None]})
    world.clock.now = now
    assert world.complete() == "a says hello"
