"""Interruptions that strike in a call: they pass out unchanged, and leave nothing open, unfinished or held."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import requests
from hosting import BUSY, GOOD, echo, half_busy
from places import full_backlog, mute

from orfallback import Chain, Reason, Timeouts
from orfallback.testing import Behaviour, Recorder, Simulator, answer, silence, status

KEY = "sk-test-0000000000000000"
# Long enough for whoever is interrupted to be at the place where it waits (s).
_SOON = 0.1
_PATIENT = Timeouts(connect=60, first_token=60, idle=60, answer=60)


class SoftTimeLimitExceeded(Exception):
    """Raised by a signal in the middle of a task, as Celery does it."""


class GeventTimeout(BaseException):
    """gevent's Timeout is no Exception."""


class Interruption:
    """Raises an exception in the main thread, where it is when it is told to.

    :ivar error: the exception.
    """

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def soon(self, *_: object, **__: object) -> None:
        """Let it strike, from whatever thread."""
        signal.setitimer(signal.ITIMER_REAL, _SOON)

    def strike(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal: raise, or try again soon where Python would print what is raised, and drop it."""
        if any(each.f_code.co_name == "__del__" or "weakref" in each.f_code.co_filename for each in frames(frame)):
            self.soon()
        else:
            raise self.error


def frames(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield a frame and those that called it."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def test_an_interruption_is_not_lost_in_a_destructor(interruption: Interruption) -> None:
    """One that finds Python at cleaning up, where what is raised is dropped, strikes afterwards."""

    class Slow:
        def __del__(self) -> None:
            interruption.soon()
            signal.sigtimedwait([], 2 * _SOON)

    with pytest.raises(type(interruption.error)):  # noqa: PT012 - it strikes in one of them
        del [Slow()][0]
        # The system may wake another thread: Python heeds the signal here all the same, when it is awake.
        for _ in range(1_000):
            signal.sigtimedwait([], 0.01)


KINDS = [KeyboardInterrupt, SystemExit, GeventTimeout, SoftTimeLimitExceeded]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def interruption(request: pytest.FixtureRequest) -> Iterator[Interruption]:
    """An interruption of each kind."""
    it = Interruption(request.param("now"))
    before = signal.signal(signal.SIGALRM, it.strike)
    yield it
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


class Place:
    """A chain whose call is interrupted at a certain place.

    :param sim: what it asks.
    :param interruption: what strikes.
    """

    def __init__(self, interruption: Interruption, sim: Simulator) -> None:
        self.interruption = interruption
        self.sim = sim
        self.recorder = Recorder()

    def chain(self, base_url: str = "", **options: Any) -> Chain:
        """Return the chain, with limits that do not come into play."""
        url = base_url or self.sim.base_url
        return Chain(
            ["a/a", "b/b"], api_key=KEY, base_url=url, timeouts=_PATIENT, plugins=[self.recorder], delay=30, **options
        )

    def strikes(self, act: Callable[[], object], *reasons: Reason) -> None:
        """Act, and expect the interruption as it was raised, and the observers to be told everything.

        :param reasons: those of the attempts; None for one without.
        """
        error = self.interruption.error
        with pytest.raises(type(error)) as caught:
            act()
        assert caught.value is error
        assert (error.args, error.__cause__) == (("now",), None)
        seen = self.recorder.seen
        assert [each.facts["attempt"].reason for each in seen if each.hook == "attempt_finished"] == list(reasons)
        assert self.recorder.hooks.count("attempt_started") == len(reasons)
        assert [each.facts["error"] for each in seen if each.hook == "call_finished"] == [type(error)]
        assert self.recorder.hooks[-1] == "call_finished"


@pytest.fixture
def place(interruption: Interruption, sim: Simulator) -> Place:
    """A place to be interrupted at."""
    return Place(interruption, sim)


class Starting:
    """A plugin that lets an interruption strike soon after an attempt began."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def orfallback_attempt_started(self) -> None:
        """Wind up the clock."""
        self._place.interruption.soon()


def descriptors() -> int:
    """Count the file descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("where", [full_backlog, mute], ids=["TCP", "TLS"])
def test_while_it_connects(where: Any, place: Place) -> None:
    """Between the attempt's start and the connection's: the socket is closed."""
    with where() as url, place.chain(url) as chain:
        chain.register(Starting(place))
        before = descriptors()
        place.strikes(lambda: chain.complete("hi"), Reason.CANCELLED)
        assert descriptors() == before


def test_while_it_waits(place: Place) -> None:
    """Between two models: nobody else is asked, and the attempt that failed keeps its reason."""
    place.sim.script("a/a", status(502))

    class Falling:
        def orfallback_falling_back(self) -> None:
            place.interruption.soon()

    with place.chain() as chain:
        chain.register(Falling())
        place.strikes(lambda: chain.complete("hi"), Reason.BUSY)
    assert place.sim.models_asked == ["a/a"]


OWN = pytest.mark.parametrize("own", [True, False], ids=["own session", "given session"])
READ: dict[str, Behaviour] = {
    "headers": silence("headers"),
    "inside headers": lambda _: iter([b"HTTP/1.1 200 OK\r\nX-Half: ", 60.0]),
    "body": silence("body"),
    "content": silence("content"),
    "a refusal": lambda _: iter([b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 9\r\n\r\n{", 60.0]),
}


@OWN
@pytest.mark.parametrize("mode", ["complete", "stream"])
@pytest.mark.parametrize("part", READ)
def test_while_it_reads(part: str, mode: str, own: bool, place: Place) -> None:
    """Before the headers, in them and in a body: the connection is closed, and the chain can be used on."""
    place.sim.script("a/a", answer("before"), READ[part], answer("after"))
    with requests.Session() as session, place.chain(session=None if own else session) as chain:
        chain.complete("hi")
        place.recorder.seen.clear()
        chain.register(Starting(place), "starting")
        place.strikes(lambda: getattr(chain, mode)("hi"), Reason.CANCELLED)
        assert place.sim.wait_idle()
        chain.unregister("starting")
        assert chain.complete("hi").text == "after"
    assert place.sim.models_asked == ["a/a"] * 3


@OWN
@pytest.mark.parametrize("way", ["chunks", "text", "read"])
def test_while_it_iterates(way: str, own: bool, place: Place) -> None:
    """In a stream that was begun: it is closed, with the text so far, and is over."""
    place.sim.script("a/a", silence("end", text="so far"), answer("after"))

    def consume() -> None:
        place.interruption.soon()
        if way == "read":
            stream.read()
        for _ in stream if way == "chunks" else stream.iter_text():
            pass

    with requests.Session() as session, place.chain(session=None if own else session) as chain:
        stream = chain.stream("hi")
        place.strikes(consume, Reason.CANCELLED)
        assert place.sim.wait_idle()
        assert stream.text == "so far"
        with pytest.raises(requests.exceptions.StreamConsumedError):
            stream.read()
        assert chain.complete("hi").text == "after"


def test_in_the_consumers_own_code(place: Place) -> None:
    """Inside a with block, where the chain does nothing: the stream is closed, as cancelled."""
    place.sim.script("a/a", silence("end", text="so far"))

    def consume() -> None:
        with chain.stream("hi") as stream:
            next(stream)
            place.interruption.soon()
            threading.Event().wait(60)

    with place.chain() as chain, pytest.raises(type(place.interruption.error)) as caught:
        consume()
    assert caught.value is place.interruption.error
    assert place.sim.wait_idle()
    assert place.recorder.seen[-2].facts["attempt"].reason is Reason.CANCELLED
    assert place.recorder.hooks[-1] == "call_finished"


# -- at every line --


class Struck(BaseException):
    """What strikes at a certain line."""


class Tracer:
    """Counts the lines that run, and strikes at one of them.

    A signal's handler runs between two instructions, so at any of these lines.

    :param files: the files whose lines count.
    :ivar lines: how many have run.
    :ivar target: the number of the one at which it strikes; 0 for none.
    """

    def __init__(self, *files: str) -> None:
        self._files = files
        self.lines = 0
        self.target = 0

    def __call__(self, frame: FrameType, event: str, arg: object) -> Any:
        """Trace."""
        if not frame.f_code.co_filename.endswith(self._files):
            return None
        if event in ("line", "return"):
            self.lines += 1
            if self.lines == self.target:
                raise Struck
        return self

    def run(self, act: Callable[[], object], target: int = 0) -> bool:
        """Act, and tell whether it was interrupted."""
        self.lines, self.target = 0, target
        before = sys.gettrace()
        sys.settrace(self)
        try:
            act()
        except Struck:
            return True
        finally:
            sys.settrace(before)
        return False


@pytest.mark.parametrize("mode", ["complete", "stream"])
def test_at_every_line_of_the_pool(mode: str, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it strikes as a connection is taken or given back, the next calls are answered, and rightly."""
    # A socket in the hands of a frame is closed with that frame, and what is half made is dropped: Python complains.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    sim.script(BUSY, half_busy)
    sim.default(echo)
    ours = ("_sockets.py", "_socket_reader.py", "_transport.py")
    tracer = Tracer("connectionpool.py", "queue.py", "threading.py", *ours)
    struck = []

    def ask(chain: Chain, question: str) -> None:
        got = chain.complete(question) if mode == "complete" else chain.stream(question).read()
        assert got.text == question

    def strike_everywhere() -> None:
        with Chain([BUSY, GOOD], api_key=KEY, base_url=sim.base_url, delay=0) as chain:
            ask(chain, "warm 0")
            tracer.run(partial(ask, chain, "count 0"))
            for target in range(1, tracer.lines + 1):
                struck.append(tracer.run(partial(ask, chain, f"struck at {target} 0"), target))
                ask(chain, f"after {target} 1")

    # In a thread of its own, so that a call that never ends fails the test.
    thread = threading.Thread(target=strike_everywhere, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert struck.count(True) > 100
    assert sim.wait_idle()


def test_a_stream_whose_making_is_interrupted(sim: Simulator) -> None:
    """Nothing is said on stderr of a stream that never came to be."""
    sim.default(echo)
    tracer = Tracer("_stream.py")
    with Chain(GOOD, api_key=KEY, base_url=sim.base_url) as chain:
        # pytest makes a failure of what __del__ cannot raise.
        for target in range(1, 12):
            tracer.run(lambda: chain.stream("hi").close(), target)
    assert sim.wait_idle()
