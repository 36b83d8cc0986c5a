"""How long to wait before the next attempt."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orfallback._backoff import ExponentialBackoff
from orfallback._delay import DEFAULT_DELAY, LONGEST_WAIT, FixedDelay
from orfallback._types import Attempt, Call

PROPERTY = settings(max_examples=200, deadline=None, database=None)
CALL = Call("0" * 16, {})


def attempt(number: int) -> Attempt:
    return Attempt(number, "m", "http://x/v1/chat/completions")


def test_the_figures() -> None:
    """The default wait is 2 seconds and no wait is longer than 60."""
    assert (DEFAULT_DELAY, LONGEST_WAIT) == (2.0, 60.0)


@pytest.mark.parametrize(("delay", "seconds"), [
    pytest.param(FixedDelay(), 2.0, id="default"),
    pytest.param(FixedDelay(0), 0, id="none"),
    pytest.param(FixedDelay(0.25), 0.25, id="fraction"),
    pytest.param(FixedDelay(60), 60, id="longest"),
])  # fmt: skip
def test_fixed(delay: FixedDelay, seconds: float) -> None:
    """A fixed delay is the same after every attempt."""
    assert [delay(CALL, attempt(number)) for number in (1, 2, 400)] == [seconds] * 3
    assert FixedDelay(seconds) == delay


@pytest.mark.parametrize(("seconds", "error"), [
    pytest.param(-1, ValueError, id="negative"),
    pytest.param(-0.001, ValueError, id="just-negative"),
    pytest.param(60.001, ValueError, id="too-long"),
    pytest.param(math.nan, ValueError, id="nan"),
    pytest.param(math.inf, ValueError, id="infinity"),
    pytest.param(10**400, ValueError, id="huge-int"),
    pytest.param(True, TypeError, id="bool"),
    pytest.param("2", TypeError, id="text"),
    pytest.param(None, TypeError, id="none"),
])  # fmt: skip
@pytest.mark.parametrize("name", ["seconds", "initial", "maximum"])
def test_refused_seconds(name: str, seconds: Any, error: type[Exception]) -> None:
    """What is no number of seconds from 0 to 60 is refused at construction, by its name."""
    make: Any = FixedDelay if name == "seconds" else ExponentialBackoff
    wants = "a number of seconds" if error is TypeError else "0 to 60 seconds"
    found = type(seconds).__name__ if error is TypeError else repr(seconds)
    with pytest.raises(error) as caught:
        make(**{name: seconds})
    assert str(caught.value) == f"{name} is {wants}, not {found}"


@pytest.mark.parametrize(("options", "message"), [
    pytest.param({"multiplier": 0.9}, r"^multiplier is finite and at least 1, not 0\.9$", id="shrinking"),
    pytest.param({"multiplier": math.nan}, r"^multiplier is finite and at least 1, not nan$", id="nan"),
    pytest.param({"multiplier": math.inf}, r"^multiplier is finite and at least 1, not inf$", id="infinity"),
    pytest.param({"jitter": -0.1}, r"^jitter is 0 to 1, not -0\.1$", id="negative-jitter"),
    pytest.param({"jitter": 1.1}, r"^jitter is 0 to 1, not 1\.1$", id="jitter-over-1"),
    pytest.param({"jitter": math.nan}, r"^jitter is 0 to 1, not nan$", id="jitter-nan"),
])  # fmt: skip
def test_refused_backoff(options: dict[str, float], message: str) -> None:
    """A multiplier that shrinks, a jitter that is no share, and NaN are refused at construction."""
    with pytest.raises(ValueError, match=message):
        ExponentialBackoff(**options)


def test_backoff_grows_to_its_maximum() -> None:
    """Without jitter each wait is the multiple of the one before, up to the maximum, at any number of attempts."""
    delay = ExponentialBackoff(initial=0.5, maximum=30, multiplier=2, jitter=0)
    waits = [delay(CALL, attempt(number)) for number in range(1, 9)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert delay(CALL, attempt(100_000)) == 30.0


@pytest.mark.parametrize("multiplier", [1.0, 2.0, 1e3, 1e6, 1e300])
def test_backoff_never_overflows(multiplier: float) -> None:
    """However steep it is, a wait is a number within the maximum."""
    delay = ExponentialBackoff(initial=1, maximum=30, multiplier=multiplier, jitter=0)
    assert delay(CALL, attempt(500)) == (30.0 if multiplier > 1 else 1.0)


@pytest.mark.parametrize(("drawn", "wait"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
def test_jitter(drawn: float, wait: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A jitter of 0.2 gives 80 to 120 %."""
    monkeypatch.setattr(random, "random", lambda: drawn)
    assert ExponentialBackoff(initial=1, jitter=0.2)(CALL, attempt(1)) == pytest.approx(wait)


@PROPERTY
@given(
    initial=st.floats(0, 60), maximum=st.floats(0, 60), multiplier=st.floats(1, 10), jitter=st.floats(0, 1),
    number=st.integers(1, 10_000),
)  # fmt: skip
def test_any_backoff(initial: float, maximum: float, multiplier: float, jitter: float, number: int) -> None:
    """Every backoff that can be made waits 0 to its maximum."""
    wait = ExponentialBackoff(initial, maximum, multiplier, jitter)(CALL, attempt(number))
    assert 0 <= wait <= maximum


def test_values() -> None:
    """Delays compare by value and cannot be changed."""
    assert FixedDelay(2) == FixedDelay()
    assert ExponentialBackoff() == ExponentialBackoff(0.5, 30.0, 2.0, 0.2)
    with pytest.raises(AttributeError):
        FixedDelay().seconds = 3  # type: ignore[misc]  # what the test is about
