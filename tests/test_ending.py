"""How a call ended, in one word."""

from __future__ import annotations

from typing import Any

import pytest

from orfallback import Call, Chain, ChainExhausted, Ending, StreamInterrupted, Timeouts
from orfallback.testing import FakeClock, Simulator, answer, cut, status


class Endings:
    """Keeps how each call ended."""

    def __init__(self) -> None:
        self.seen: list[Ending] = []

    def orfallback_call_finished(self, call: Call, error: BaseException | None) -> None:
        """Keep it."""
        self.seen.append(Ending.of(call, error))


@pytest.fixture
def endings() -> Endings:
    """What the chain's observer keeps."""
    return Endings()


@pytest.fixture
def chain(sim: Simulator, clock: FakeClock, endings: Endings) -> Chain:
    """A chain of two models, the first of which is busy."""
    sim.script("a/busy", status(502))
    models = ["a/busy", "b/good"]
    return Chain(models, api_key="sk-test", base_url=sim.base_url, clock=clock, cooldown=None, plugins=[endings])


def test_an_answer(chain: Chain, endings: Endings) -> None:
    """A whole answer, and a stream that was read to its end, are answered."""
    chain.complete("Hi")
    chain.stream("Hi").read()
    assert endings.seen == [Ending.ANSWERED, Ending.ANSWERED]


def test_a_stream_that_is_left(chain: Chain, endings: Endings) -> None:
    """A stream that the application closes was left."""
    chain.stream("Hi").close()
    assert endings.seen == [Ending.LEFT]


def test_a_stream_that_breaks(chain: Chain, sim: Simulator, endings: Endings) -> None:
    """A stream that breaks after its first content is broken."""
    sim.script("b/good", cut("content"))
    with pytest.raises(StreamInterrupted):
        chain.stream("Hi").read()
    assert endings.seen == [Ending.BROKEN]


def test_no_answer(chain: Chain, sim: Simulator, endings: Endings) -> None:
    """A call that no model answered has failed."""
    sim.script("b/good", status(503))
    for ask in (chain.complete, chain.stream):
        with pytest.raises(ChainExhausted):
            ask("Hi")
    assert endings.seen == [Ending.FAILED, Ending.FAILED]


def test_a_last_resort(chain: Chain, sim: Simulator, endings: Endings) -> None:
    """What a plugin answered in the models' place is degraded."""

    class Sorry:
        def orfallback_exhausted(self) -> str:
            return "Sorry"

    chain.register(Sorry())
    sim.script("b/good", status(503))
    chain.complete("Hi")
    chain.stream("Hi").read()
    assert endings.seen == [Ending.DEGRADED, Ending.DEGRADED]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_something_else(chain: Chain, endings: Endings, error: type[BaseException]) -> None:
    """A call that Ctrl-C or a plugin's exception ended was aborted, though a model had answered."""

    class Struck:
        def orfallback_classify(self) -> None:
            raise error

    chain.register(Struck())
    with pytest.raises(error):
        chain.complete("Hi")
    assert endings.seen == [Ending.ABORTED]
    assert f"{Ending.ABORTED}" == "aborted"


def test_a_readers_own_exception(sim: Simulator, endings: Endings) -> None:
    """A reader's exception in the middle of a stream leaves it; it does not abort the call."""
    sim.default(answer("one two three"))
    chain = Chain(["a/good"], api_key="sk-test", base_url=sim.base_url, plugins=[endings])

    def read() -> None:
        with chain.stream("Hi") as stream:
            next(stream)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read()
    assert endings.seen == [Ending.LEFT]


def test_a_last_resort_where_the_time_ran_out(sim: Simulator, clock: FakeClock, endings: Endings) -> None:
    """A last resort is one also where an attempt came too late to be asked."""

    class Slow:
        def orfallback_attempt_started(self, number: int) -> None:
            clock.advance(100.0 if number == 2 else 0.0)

        def orfallback_exhausted(self) -> str:
            return "Sorry"

    sim.script("a/busy", status(502))
    options: dict[str, Any] = {"api_key": "sk-test", "base_url": sim.base_url, "clock": clock}
    chain = Chain(["a/busy", "b/late"], timeouts=Timeouts(deadline=10), plugins=[endings, Slow()], **options)
    assert chain.complete("Hi").degraded
    assert endings.seen == [Ending.DEGRADED]
