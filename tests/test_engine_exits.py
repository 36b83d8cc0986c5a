"""The loop and its exits: whatever leaves it, every start that an observer heard of has its finish."""

from __future__ import annotations

from typing import Any

import pytest
from test_engine import BUSY, A, B, World

from orfallback import Chain, Outcome, Reason
from orfallback.testing import Recorder, Simulator


class SoftTimeLimitExceeded(Exception):
    """Thrown into any line of a task, as Celery does it."""


class GeventTimeout(BaseException):
    """gevent's Timeout is no Exception."""


ERRORS = [KeyboardInterrupt, SystemExit, SoftTimeLimitExceeded, GeventTimeout]


class Raiser:
    """Raises in one hook."""

    def __init__(self, hook: str, error: BaseException) -> None:
        def raiser() -> Any:
            raise error

        setattr(self, f"orfallback_{hook}", raiser)


@pytest.mark.parametrize("error", [kind("now") for kind in ERRORS], ids=lambda error: type(error).__name__)
class TestInterrupted:
    """An exception from outside passes out unchanged, and the observers hear of every end."""

    def test_while_a_target_is_asked(self, error: BaseException) -> None:
        """An interrupted attempt is told as cancelled, with its times, and nobody else is asked."""
        world = World((A, B), {"a": BUSY, "b": error}, took=1.5)
        with pytest.raises(type(error)) as caught:
            world.complete()
        assert caught.value is error
        assert world.told == "a 2 b"
        finished = world.recorder.seen[-2].facts["attempt"]
        assert (finished.number, finished.model, finished.reason) == (2, "b", Reason.CANCELLED)
        assert (finished.waited, finished.elapsed) == (2.0, 1.5)
        assert finished.endpoint == "https://one.test/v1"
        end = world.recorder.seen[-1].facts
        assert (end["error"], end["call"].attempts[1:]) == (type(error), (finished,))
        assert world.balanced()

    def test_while_it_waits(self, error: BaseException) -> None:
        """An interrupted wait ends the call, with the attempts so far."""
        world = World((A, B), {"a": BUSY})
        world.clock.error = error
        with pytest.raises(type(error)) as caught:
            world.complete()
        assert caught.value is error
        assert world.told == "a 2"
        end = world.recorder.seen[-1].facts
        assert (end["error"], [each.reason for each in end["call"].attempts]) == (type(error), [Reason.BUSY])
        assert world.balanced()

    @pytest.mark.parametrize(
        ("hook", "told", "reasons"),
        [
            ("select", "", []),
            ("admit", "", []),
            ("classify", "a", [Reason.CANCELLED]),
            ("delay", "a", [Reason.BUSY]),
            ("exhausted", "a 2 b", [Reason.BUSY, Reason.BUSY]),
        ],
    )
    def test_in_a_deciding_hook(self, error: BaseException, hook: str, told: str, reasons: list[Reason]) -> None:
        """What a deciding hook raises ends the call, and the observers hear of it."""
        world = World((A, B), {"a": BUSY, "b": BUSY}, Raiser(hook, error))
        with pytest.raises(type(error)) as caught:
            world.complete()
        assert caught.value is error
        assert world.told == told
        end = world.recorder.seen[-1].facts
        assert (end["error"], [each.reason for each in end["call"].attempts]) == (type(error), reasons)
        assert world.balanced()

    def test_a_good_answer_is_closed(self, error: BaseException) -> None:
        """An answer that came, and was not judged because of an interruption, is closed."""
        world = World((A,), {}, Raiser("classify", error))
        with pytest.raises(type(error)):
            world.complete()
        assert world.closed == ["a"]
        assert world.balanced()


WATCHED = ["call_started", "attempt_started", "attempt_finished", "falling_back", "call_finished"]


@pytest.mark.parametrize("error", [KeyboardInterrupt("now"), SystemExit(3)], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("hook", WATCHED)
def test_an_interruption_in_an_observer_leaves_no_start_without_its_finish(hook: str, error: BaseException) -> None:
    """An interruption that strikes inside an observer passes out, and the others still hear of every end."""
    world = World((A, B), {"a": BUSY}, Raiser(hook, error))
    with pytest.raises(type(error)) as caught:
        world.complete()
    assert caught.value is error
    assert world.balanced()
    end = world.recorder.seen[-1].facts
    assert end["error"] is (None if hook == "call_finished" else type(error))


def test_an_interruption_at_the_commit_closes_the_stream() -> None:
    """An interruption that strikes while observers hear of the commit closes the stream, and is told as cancelled."""
    world = World((A,), {}, Raiser("committed", KeyboardInterrupt()), stream=True)
    with pytest.raises(KeyboardInterrupt):
        world.run()
    assert world.closed == ["a"]
    assert world.recorder.seen[-2].facts["attempt"].reason is Reason.CANCELLED
    assert world.balanced()


def test_a_close_that_fails_leaves_no_start_without_its_finish() -> None:
    """An interruption that strikes while a refused answer is closed still ends the attempt."""

    def close() -> None:
        raise KeyboardInterrupt

    world = World((A,), {"a": Outcome(status=200, value="open", body=BUSY, close=close)})
    with pytest.raises(KeyboardInterrupt):
        world.complete()
    assert world.balanced()


@pytest.mark.parametrize("mode", ["complete", "stream"])
@pytest.mark.parametrize("hook", ["attempt_finished", "call_finished"])
def test_an_interruption_after_the_answer_ends_the_call_for_all(sim: Simulator, mode: str, hook: str) -> None:
    """An interruption in an observer of the end, after a good answer, leaves the others with a call that is over."""
    recorder = Recorder()
    plugins = [Raiser(hook, KeyboardInterrupt()), recorder]
    chain = Chain("a", api_key="sk-test", base_url=sim.base_url, plugins=plugins)
    with chain, pytest.raises(KeyboardInterrupt):
        chain.complete("hi") if mode == "complete" else chain.stream("hi").read()
    assert recorder.hooks.count("attempt_finished") == recorder.hooks.count("call_finished") == 1
    assert recorder.seen[-1].facts["error"] is (KeyboardInterrupt if hook == "attempt_finished" else None)
