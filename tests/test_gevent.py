"""gevent: a chain made before or after it patches the world, and timeouts that strike anywhere."""

from __future__ import annotations

import pytest
from hosting import BUSY, echo, found, half_busy, slowly
from places import full_backlog

from orfallback.testing import Simulator, silence, status

WHEN = pytest.mark.parametrize("when", ["early", "late"])


@pytest.fixture
def echoing(sim: Simulator) -> Simulator:
    """Models that say what they were asked, break off, or stall."""
    sim.default(echo)
    sim.script(BUSY, half_busy)
    sim.script("a/waits", status(502))
    sim.script("a/half", silence("body"))
    sim.script("a/begins", silence("end"))
    return sim


@WHEN
def test_fifty_greenlets_ask_at_once(when: str, echoing: Simulator) -> None:
    """Each gets the answers to its own questions, and all of them together wait no longer than one does."""
    echoing.default(slowly(0.1))
    echoing.script(BUSY, slowly(0.1))
    wrong, elapsed = found("greenlets.py", when, "many", echoing.base_url)
    assert wrong == 0
    # One after the other they would take 25 s; at best it is 0.5 s.
    assert elapsed < 5
    assert echoing.connections <= 51


@WHEN
def test_a_timeout_strikes_anywhere(when: str, echoing: Simulator) -> None:
    """A gevent.Timeout passes out unchanged wherever it strikes; hooks are finished, and connections closed."""
    with full_backlog() as full:
        results = found("greenlets.py", when, "interrupted", echoing.base_url, full)
    cancelled = [True, ["cancelled"], "call_finished", True, 1]
    places = ("connect", "headers", "body", "commit", "iteration")
    assert results == {**dict.fromkeys(places, cancelled), "wait": [True, ["busy"], "call_finished", True, 1]}
    assert echoing.wait_idle()
    assert len(echoing.left_early) == 4


@WHEN
def test_a_greenlet_is_killed(when: str, echoing: Simulator) -> None:
    """A greenlet that is killed in mid-call closes its connection, finishes its hooks, and leaves the chain usable."""
    result = found("greenlets.py", when, "killed", echoing.base_url)
    assert result == ["GreenletExit", ["cancelled"], "call_finished", 0]
    assert len(echoing.left_early) == 1


@WHEN
def test_a_greenlet_closes_anothers_stream(when: str, echoing: Simulator) -> None:
    """The greenlet that reads is woken, and told so."""
    assert found("greenlets.py", when, "closed", echoing.base_url) == "StreamConsumedError"
    assert len(echoing.left_early) == 1
