"""The loop and nonsense from strategies and plugins: loud, or clamped; the hooks stay balanced."""

from __future__ import annotations

import math
import re

import pytest
from test_engine import BUSY, A, B, World, target
from test_engine_answers import Judge, LastResort

from orfallback import ChainExhausted, Reason, Verdict


def exactly(text: str) -> str:
    """Return the pattern that is this text and no other."""
    return f"^{re.escape(text)}$"


def no_seconds(hook: str, answer: object, kind: type[Exception]) -> str:
    """Return the pattern of what a hook is told that answers no seconds."""
    found = f", not {type(answer).__name__}" if kind is TypeError else f" that are not negative, not {answer!r}"
    return exactly(f"{hook} answers seconds{found}")


@pytest.mark.parametrize("answer", [True, 5, b"sorry", ["sorry"]], ids=repr)
def test_a_last_resort_that_is_no_answer_is_loud(answer: object) -> None:
    """A degraded answer that is neither text nor a reply raises TypeError."""
    world = World((A,), {"a": BUSY}, LastResort(answer))
    said = f"orfallback_exhausted answers a str, a dict or None, not {type(answer).__name__}"
    with pytest.raises(TypeError, match=exactly(said)):
        world.complete()
    assert world.balanced()


@pytest.mark.parametrize("chosen", [None, "a", target("x"), target("a", "two"), 0], ids=repr)
def test_a_selected_target_that_was_not_offered_is_loud(chosen: object) -> None:
    """Selecting anything but one of the targets offered raises ValueError."""
    world = World((A, B), select=lambda call, targets: chosen)
    said = f"orfallback_select answered {chosen!r}, which was not among the targets offered"
    with pytest.raises(ValueError, match=exactly(said)):
        world.complete()
    assert (world.told, world.balanced()) == ("", True)


def test_a_target_that_was_asked_is_not_offered_again() -> None:
    """A strategy that insists on a target that failed is told so."""
    world = World((A, B), {"a": BUSY}, select=lambda call, targets: A)
    with pytest.raises(ValueError, match="not among the targets offered"):
        world.complete()
    assert world.told == "a"


@pytest.mark.parametrize(
    ("delay", "kind"),
    [(None, TypeError), ("2", TypeError), (True, TypeError), (math.nan, ValueError), (-1.0, ValueError)],
    ids=repr,
)
def test_a_delay_that_is_no_wait_is_loud(delay: object, kind: type[Exception]) -> None:
    """A delay strategy that answers nonsense raises, and nothing is waited."""
    world = World((A, B), {"a": BUSY}, delay=delay)
    with pytest.raises(kind, match=no_seconds("orfallback_delay", delay, kind)):
        world.complete()
    assert (world.told, world.balanced()) == ("a", True)


@pytest.mark.parametrize("delay", [math.inf, 1e300, 61, 60], ids=repr)
def test_a_delay_is_clamped_to_a_minute(delay: float) -> None:
    """No wait is longer than 60 s, whatever the strategy says."""
    world = World((A, B), {"a": BUSY}, delay=delay)
    world.complete()
    assert world.told == "a 60 b"


@pytest.mark.parametrize(
    ("rest", "kind"), [("5", TypeError), (False, TypeError), (math.nan, ValueError), (-1, ValueError)], ids=repr
)
def test_an_admission_that_is_no_rest_is_loud(rest: object, kind: type[Exception]) -> None:
    """A plugin whose ``orfallback_admit`` answers nonsense raises before anything is asked."""

    class Plugin:
        def orfallback_admit(self) -> object:
            return rest

    world = World((A, B), {}, Plugin())
    with pytest.raises(kind, match=no_seconds("orfallback_admit", rest, kind)):
        world.complete()
    assert (world.told, world.balanced()) == ("", True)


@pytest.mark.parametrize("verdict", [True, "busy", Reason.BUSY, 503, Verdict], ids=repr)
def test_a_verdict_that_is_none_is_loud(verdict: object) -> None:
    """A classifier that answers anything but a verdict raises TypeError."""
    world = World((A, B), {"a": BUSY}, Judge(lambda outcome: verdict))
    said = f"orfallback_classify answers a Verdict or None, not {type(verdict).__name__}"
    with pytest.raises(TypeError, match=exactly(said)):
        world.complete()
    assert (world.told, world.balanced()) == ("a", True)


@pytest.mark.parametrize("after", [math.nan, math.inf, -5.0], ids=repr)
def test_a_hint_that_is_no_time_counts_as_none(after: float) -> None:
    """A hint is used if it is finite and not negative; otherwise the error tells of 30 s, as without a hint."""
    world = World((A,), {"a": Verdict.fallback(Reason.BUSY, after=after)})
    with pytest.raises(ChainExhausted) as caught:
        world.complete()
    assert caught.value.retry_after == 30.0
    assert str(caught.value) == "no model answered: a: 503 busy. Worth another try in 30 s"
