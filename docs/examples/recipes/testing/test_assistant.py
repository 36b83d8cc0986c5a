"""Tests of the application. They talk HTTP to a simulator on this machine, which comes with orfallback's fixture."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from assistant import BROKEN, BUSY, Assistant

from orfallback import Chain, Timeouts
from orfallback.testing import Behaviour, FakeClock, Gate, Simulator, answer, cut, error_in_200, keep_alive, status


@pytest.fixture
def clock() -> FakeClock:
    """A clock on which waiting takes no time."""
    return FakeClock()


@pytest.fixture
def chain(orfallback_simulator: Simulator, clock: FakeClock) -> Iterator[Chain]:
    """The application's chain, at the simulator."""
    models, base_url = ["a/first", "b/second"], orfallback_simulator.base_url
    with Chain(models, api_key="sk-test", base_url=base_url, clock=clock) as chain:
        yield chain


@pytest.fixture
def shown() -> list[str]:
    """What the user sees, piece by piece."""
    return []


def test_all_is_well(orfallback_simulator: Simulator, chain: Chain, shown: list[str]) -> None:
    """The user sees the summary; the model was asked for one."""
    orfallback_simulator.script("a/first", answer("In short: blue."))
    assert Assistant(chain).sum_up("The sky is blue.", shown.append)
    assert "".join(shown) == "In short: blue."
    (request,) = orfallback_simulator.requests
    assert request.body["messages"] == [{"role": "user", "content": "Sum up:\n\nThe sky is blue."}]
    assert request.body["temperature"] == 0.2


@pytest.mark.parametrize(
    "fault",
    [status(502), status(429), error_in_200(), cut("start")],
    ids=["busy", "limited", "error in a 200", "connection closed"],
)
def test_the_first_model_fails(
    fault: Behaviour, orfallback_simulator: Simulator, chain: Chain, shown: list[str], clock: FakeClock
) -> None:
    """The second model answers after two seconds, and the user sees nothing of the first."""
    orfallback_simulator.script("a/first", fault)
    orfallback_simulator.script("b/second", answer("In short: blue."))
    assert Assistant(chain).sum_up("The sky is blue.", shown.append)
    assert "".join(shown) == "In short: blue."
    assert orfallback_simulator.models_asked == ["a/first", "b/second"]
    assert clock.sleeps == [2.0]


def test_a_stream_breaks(orfallback_simulator: Simulator, chain: Chain, shown: list[str]) -> None:
    """The user is told that half a summary is one."""
    orfallback_simulator.script("a/first", cut("content", text="In short"))
    assert not Assistant(chain).sum_up("The sky is blue.", shown.append)
    assert "".join(shown) == f"In short{BROKEN}"


def test_all_are_down(orfallback_simulator: Simulator, chain: Chain, shown: list[str]) -> None:
    """The user is told in words, once, and no model was asked twice."""
    orfallback_simulator.default(status(503))
    assert not Assistant(chain).sum_up("The sky is blue.", shown.append)
    assert shown == [BUSY]
    assert orfallback_simulator.models_asked == ["a/first", "b/second"]


def test_a_model_says_nothing(orfallback_simulator: Simulator, chain: Chain, shown: list[str]) -> None:
    """A model that sends signs of life alone is given up. Silence takes real time, so the clock is a real one here."""
    orfallback_simulator.script("a/first", keep_alive())
    impatient = chain.replace(clock=None, timeouts=Timeouts(first_token=0.5), delay=0)
    assert Assistant(impatient).sum_up("The sky is blue.", shown.append)
    assert orfallback_simulator.models_asked == ["a/first", "b/second"]


def test_the_user_goes_away(orfallback_simulator: Simulator, chain: Chain) -> None:
    """An exception of the user interface ends the request, and so what it costs."""
    # The gate never opens: after its first words the model has more to say for as long as anyone listens.
    orfallback_simulator.script("a/first", answer("In short: blue.", gate=Gate(), role_first=False))

    def gone(_: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        Assistant(chain).sum_up("The sky is blue.", gone)
    assert orfallback_simulator.wait_idle()
    assert [request.model for request in orfallback_simulator.left_early] == ["a/first"]
