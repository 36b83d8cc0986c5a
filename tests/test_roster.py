"""Which targets may still be asked: how far a fault reaches, who comes back, and that it ends."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orfallback._roster import Roster
from orfallback._types import Target
from orfallback._verdict import Reason, Scope, Verdict

PROPERTY = settings(max_examples=200, deadline=None, database=None)

PAID_1 = Target("paid-1", endpoint="one")
FREE_1 = Target("free-1:free", endpoint="one")
FREE_2 = Target("free-2:free", endpoint="one")
PAID_2 = Target("paid-2", endpoint="one")
FREE_ELSEWHERE = Target("free-3:free", endpoint="two")
ELSEWHERE = Target("paid-3", endpoint="two")
ALL = (PAID_1, FREE_1, FREE_2, PAID_2, FREE_ELSEWHERE, ELSEWHERE)

BUSY = Verdict.fallback(Reason.BUSY)
GONE = Verdict.fallback(Reason.NOT_FOUND)


def ask(roster: Roster, verdict: Verdict, now: float = 0.0) -> str | None:
    """Ask the first target that is ready; tell its model, or None when nothing is left."""
    if not roster.refill(now):
        return None
    target = roster.ready[0]
    roster.rule_out(target, verdict, now)
    return target.model


def ask_all(roster: Roster, verdict: Verdict, now: float = 0.0) -> list[str]:
    return list(iter(lambda: ask(roster, verdict, now) or "", ""))


def models(*targets: Target) -> list[str]:
    return [target.model for target in targets]


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(("asked", "scope", "left"), [
    pytest.param(PAID_1, Scope.MODEL, (FREE_1, FREE_2, PAID_2, FREE_ELSEWHERE, ELSEWHERE), id="model"),
    pytest.param(FREE_1, Scope.FREE_TIER, (PAID_1, PAID_2, FREE_ELSEWHERE, ELSEWHERE), id="free-tier"),
    pytest.param(PAID_1, Scope.FREE_TIER, (PAID_2, FREE_ELSEWHERE, ELSEWHERE), id="free-tier-told-by-a-paid-one"),
    pytest.param(FREE_ELSEWHERE, Scope.FREE_TIER, (PAID_1, FREE_1, FREE_2, PAID_2, ELSEWHERE),
        id="free-tier-elsewhere"),
    pytest.param(PAID_1, Scope.ENDPOINT, (FREE_ELSEWHERE, ELSEWHERE), id="endpoint"),
    pytest.param(ELSEWHERE, Scope.ENDPOINT, (PAID_1, FREE_1, FREE_2, PAID_2), id="other-endpoint"),
    pytest.param(PAID_1, Scope.CALL, (), id="call"),
])  # fmt: skip
def test_scope(asked: Target, scope: Scope, left: tuple[Target, ...], again: bool) -> None:
    """A verdict rules out what its scope reaches, and nothing else; the rest stays in order."""
    roster = Roster(ALL, 1)
    roster.rule_out(asked, Verdict(Reason.RATE_LIMITED, scope, None, again), 0.0)
    assert roster.ready == left


def test_scope_reaches_those_that_rest() -> None:
    """A target that was passed over is ruled out like any other."""
    roster = Roster((PAID_1, PAID_2, ELSEWHERE), 1)
    roster.pass_over(PAID_2, 5.0)
    roster.pass_over(ELSEWHERE, 9.0)
    roster.rule_out(PAID_1, Verdict.fallback(Reason.UNAUTHORIZED, Scope.ENDPOINT), 0.0)
    assert roster.resting == (ELSEWHERE,)


@pytest.mark.parametrize("verdict", [BUSY, GONE])
def test_each_is_asked_once_in_order(verdict: Verdict) -> None:
    """One round asks every target once, in the chain's order."""
    assert ask_all(Roster(ALL, 1), verdict) == models(*ALL)


def test_nothing_comes_back_after_call() -> None:
    """A verdict on the call ends it, whatever could have come back, in any round."""
    roster = Roster((PAID_1, PAID_2), 3)
    assert ask(roster, Verdict.retry(Reason.BUSY)) == "paid-1"
    assert ask(roster, Verdict.abort(Reason.INVALID_REQUEST)) == "paid-2"
    assert not roster.refill(0.0)


def test_again_is_once_when_nothing_else_is_left() -> None:
    """A target that may be asked again comes back once, after all others."""
    roster = Roster((PAID_1, PAID_2), 1)
    again = Verdict.retry(Reason.RATE_LIMITED, after=7.0)
    assert ask(roster, again) == "paid-1"
    assert ask(roster, GONE) == "paid-2"
    assert roster.refill(1.0)
    assert (roster.ready, roster.not_before) == ((PAID_1,), 7.0)
    assert ask(roster, again, now=7.0) == "paid-1"
    assert not roster.refill(7.0)


@pytest.mark.parametrize(("scope", "back"), [
    pytest.param(Scope.FREE_TIER, (FREE_1, FREE_2), id="free-tier"),
    pytest.param(Scope.ENDPOINT, (PAID_1, FREE_1, FREE_2, PAID_2), id="endpoint"),
])  # fmt: skip
def test_again_reaches_as_far_as_the_fault(scope: Scope, back: tuple[Target, ...]) -> None:
    """All that the fault reached, asked or not, comes back together, after the hint and in the chain's order."""
    targets = back[1:] + back[:1]
    roster = Roster(targets, 1)
    first = targets[0]
    roster.rule_out(first, Verdict.retry(Reason.RATE_LIMITED, 30.0, scope), 100.0)
    assert roster.refill(101.0)
    assert (roster.ready, roster.not_before) == (targets, 130.0)


def test_again_comes_back_soonest_first() -> None:
    """Those with unlike hints come back one after the other, the soonest first."""
    roster = Roster((PAID_1, PAID_2, ELSEWHERE), 1)
    for seconds in (30.0, 10.0, 20.0):
        ask(roster, Verdict.retry(Reason.RATE_LIMITED, after=seconds))
    back = []
    while roster.refill(0.0):
        back.append((roster.ready[0].model, roster.not_before))
        ask(roster, GONE, now=roster.not_before)
    assert back == [("paid-2", 10.0), ("paid-3", 20.0), ("paid-1", 30.0)]


@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize(("hint", "asked"), [(60.0, True), (60.001, False), (86_400.0, False), (math.inf, False)])
def test_a_long_hint_is_never_waited_for(hint: float, asked: bool, rounds: int) -> None:
    """A hint of more than 60 seconds means "go on": its target does not come back, in any round."""
    roster = Roster((PAID_1,), rounds)
    ask(roster, Verdict.retry(Reason.RATE_LIMITED, after=hint), now=1_000.0)
    assert roster.refill(1_000.0) is asked


def test_a_long_hint_that_ran_down_is_waited_for() -> None:
    """What counts is the wait that remains when nothing else is left."""
    roster = Roster((PAID_1, PAID_2), 1)
    ask(roster, Verdict.retry(Reason.RATE_LIMITED, after=90.0), now=0.0)
    ask(roster, GONE, now=40.0)
    assert roster.refill(40.0)
    assert (roster.ready, roster.not_before) == ((PAID_1,), 90.0)


def test_a_final_verdict_takes_back_again() -> None:
    """What was to be asked again is not, once a fault without return reaches it."""
    roster = Roster((PAID_1, PAID_2), 1)
    ask(roster, Verdict.retry(Reason.RATE_LIMITED, after=5.0))
    ask(roster, Verdict.fallback(Reason.UNAUTHORIZED, Scope.ENDPOINT))
    assert not roster.refill(10.0)


def test_a_final_verdict_ends_the_rounds_of_all_it_reaches() -> None:
    """A target that was busy does not come back in a new round once its whole endpoint has refused for good."""
    roster = Roster((PAID_1, PAID_2), 2)
    ask(roster, BUSY)
    ask(roster, Verdict.fallback(Reason.UNAUTHORIZED, Scope.ENDPOINT))
    assert not roster.refill(10.0)


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_rounds(rounds: int) -> None:
    """Each round asks those whose last verdict was transient, and only those, in order."""
    roster = Roster((PAID_1, PAID_2, ELSEWHERE), rounds)
    first = [ask(roster, BUSY), ask(roster, GONE), ask(roster, BUSY)]
    assert first == ["paid-1", "paid-2", "paid-3"]
    assert ask_all(roster, BUSY) == ["paid-1", "paid-3"] * (rounds - 1)


def test_a_round_waits_for_the_soonest_hint() -> None:
    """A new round begins when the soonest of its hints is due, and leaves out those of more than 60 seconds."""
    roster = Roster((PAID_1, PAID_2, ELSEWHERE), 2)
    for seconds in (20.0, 61.0, 8.0):
        ask(roster, Verdict.fallback(Reason.BUSY, after=seconds))
    assert roster.refill(0.0)
    assert (roster.ready, roster.not_before) == ((PAID_1, ELSEWHERE), 8.0)


def test_again_comes_before_the_next_round() -> None:
    """Those that may be asked again are, before the list is gone through once more."""
    roster = Roster((PAID_1, PAID_2), 2)
    assert [ask(roster, BUSY), ask(roster, Verdict.retry(Reason.BUSY))] == ["paid-1", "paid-2"]
    assert ask_all(roster, BUSY) == ["paid-2", "paid-1", "paid-2"]


def test_resting_order() -> None:
    """Those passed over are offered last, the shortest rest first; equal ones in the chain's order."""
    roster = Roster(ALL, 1)
    for target, seconds in zip(ALL, (5.0, math.inf, 1.0, 5.0, 0.0), strict=False):
        roster.pass_over(target, seconds)
    assert roster.ready == (ELSEWHERE,)
    assert roster.resting == (FREE_ELSEWHERE, FREE_2, PAID_1, PAID_2, FREE_1)
    roster.strike(ELSEWHERE)
    assert roster.refill(0.0), "those that rest are left"
    for target in roster.resting:
        roster.strike(target)
    assert not roster.refill(0.0)


VERDICTS = st.builds(
    Verdict,
    st.sampled_from(Reason),
    st.sampled_from([Scope.MODEL, Scope.FREE_TIER, Scope.ENDPOINT, Scope.CALL]),
    st.none() | st.floats(0, 90) | st.sampled_from([0.0, 5.0, 60.0, 86_400.0]),
    st.booleans(),
)


@PROPERTY
@given(
    targets=st.lists(st.sampled_from(ALL), min_size=1, unique=True), rounds=st.integers(1, 4),
    verdicts=st.lists(VERDICTS, min_size=1),
    rests=st.lists(st.sampled_from([None, None, 0.0, 5.0, math.inf]), min_size=1),
)  # fmt: skip
def test_it_ends(targets: list[Target], rounds: int, verdicts: list[Verdict], rests: list[float | None]) -> None:
    """For any faults and any rests no target is asked more than rounds + 1 times, no wait is over 60 s, and it ends."""
    roster, now, step = Roster(targets, rounds), 0.0, 0
    asked: Counter[Target] = Counter()
    while roster.refill(now):
        while roster.ready or roster.resting:
            step += 1
            assert step <= 4 * len(targets) * (rounds + 1)
            rest = rests[step % len(rests)]
            if roster.ready and rest is not None:
                roster.pass_over(roster.ready[0], rest)
                continue
            target = (roster.ready or roster.resting)[0]
            roster.strike(target)
            assert target not in (*roster.ready, *roster.resting)
            asked[target] += 1
            assert asked[target] <= rounds + 1
            wait = max(0.0, roster.not_before - now)
            assert wait <= 60.0
            now += wait
            roster.rule_out(target, verdicts[step % len(verdicts)], now)
    assert asked, "a call never fails without having asked"
    assert not roster.ready
    assert not roster.resting
