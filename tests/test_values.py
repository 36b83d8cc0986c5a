"""The plain values that everything is made of: what they refuse, what they show, whether they pickle."""

from __future__ import annotations

import math
import pickle
import re
from typing import Any

import pytest

import orfallback
from orfallback import Fault, Outcome, Reason, Scope, Target, Timeouts, Verdict
from orfallback._request import Request
from orfallback._secret import Secret

LIMITS = ["connect", "first_token", "idle", "answer", "deadline"]


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("value", [0, 0.0, -1, -1e-9, math.nan, math.inf, -math.inf], ids=repr)
def test_a_limit_that_is_no_time(limit: str, value: float) -> None:
    """A limit is finite and greater than nothing; None lifts it."""
    said = f"Timeouts.{limit} is finite and greater than 0, not {value!r}; None lifts the limit"
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        Timeouts(**{limit: value})


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("value", ["5", True, [5], b"5"], ids=repr)
def test_a_limit_that_is_no_number(limit: str, value: Any) -> None:
    """A limit is a number of seconds, or None."""
    with pytest.raises(TypeError) as caught:
        Timeouts(**{limit: value})
    assert str(caught.value) == f"Timeouts.{limit} is a number of seconds or None, not {type(value).__name__}"


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("value", [None, 1e-9, 5, 86_400.0], ids=repr)
def test_a_limit(limit: str, value: float | None) -> None:
    """Any other time is one."""
    assert getattr(Timeouts(**{limit: value}), limit) == value


def test_the_limits_by_default() -> None:
    """The limits of a call that nobody has set."""
    assert Timeouts() == Timeouts(connect=5.0, first_token=30.0, idle=30.0, answer=120.0, deadline=600.0)


def test_a_target_pickles_without_a_key_alone() -> None:
    """A target goes through a pickle with all that it sets and drops; one that holds a key refuses."""
    target = Target("m", "http://x/v1", set={"seed": 1}, drop=["top_p"], name="mine", inputs=["text"], context_length=9)
    assert pickle.loads(pickle.dumps(target)) == target
    with pytest.raises(TypeError, match="a Target with an api_key does not pickle"):
        pickle.dumps(Target("m", api_key="sk-test"))


def test_what_a_target_takes_is_part_of_it() -> None:
    """Two targets that take different things are two; a list of inputs, or one alone, is kept as a tuple."""
    target = Target("m", inputs=["text", "image"], context_length=32_768)
    assert target.inputs == ("text", "image")
    assert Target("m", inputs="text").inputs == ("text",)
    assert target == Target("m", inputs=("text", "image"), context_length=32_768)
    assert len({target, Target("m"), Target("m", context_length=1), Target("m", inputs="text")}) == 4


def test_nothing_shows_what_was_said() -> None:
    """Requests and outcomes show what they are and how large, and no content."""
    request = Request("m", "http://x/v1", b"prompt", {"X": "header"}, Secret("sk-test"))
    assert repr(request) == "<Request POST http://x/v1 m: 6 bytes>"
    assert repr(Outcome(status=200, content=b"answer", bytes=6, events=2)) == "<Outcome 200: 6 bytes, 2 events>"
    assert repr(Outcome(status=200, fault=Fault.RESET)) == "<Outcome reset: 0 bytes, 0 events>"


@pytest.mark.parametrize("scope", [Scope.CALL, Scope.NONE])
def test_what_ends_a_call_cannot_be_asked_again(scope: Scope) -> None:
    """A verdict that lets something be asked again is for what ends somewhere."""
    with pytest.raises(ValueError, match=rf"^Verdict\.retry is for a scope that ends somewhere, not {scope.name}$"):
        Verdict.retry(Reason.BUSY, scope=scope)


def test_the_package_names_what_it_has() -> None:
    """Every public name is there and is listed, once it was asked for and before; any other is no name."""
    assert set(orfallback.__all__) <= set(dir(orfallback))
    assert [name for name in orfallback.__all__ if getattr(orfallback, name, None) is None] == []
    misspelt = "Chian"
    with pytest.raises(AttributeError, match="module 'orfallback' has no attribute 'Chian'"):
        getattr(orfallback, misspelt)
