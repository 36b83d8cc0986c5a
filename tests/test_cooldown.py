"""Cooldown: who rests, for how long, who tries it afterwards, and what is asked when all rest."""

from __future__ import annotations

import itertools
import logging
import math
import pickle
import re
import threading
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import pytest
from test_engine import GONE, A, B, C, D, good, scripted, target
from test_threads import together

from orfallback import (
    Chain,
    ChainExhausted,
    Cooldown,
    FallbackError,
    Fit,
    LowestLatency,
    Outcome,
    Reason,
    Scope,
    Sticky,
    StreamInterrupted,
    Target,
    Verdict,
    hookimpl,
    in_order,
)
from orfallback._cooldown import MOST, keys_of
from orfallback._engine import Answered, run
from orfallback._plugins import STRATEGIES, PluginManager, Strategies
from orfallback._types import Call
from orfallback.stores import MemoryStore
from orfallback.testing import FakeClock, Gate, Received, Simulator, Step, answer, cut, error_in_200, silence, status

BUSY = Verdict.fallback(Reason.BUSY)
_ids = itertools.count()


class Town:
    """Targets that do as they are told, and calls that remember what they saw of them.

    :ivar down: what each of them is refused by; who is not there answers.
    :ivar asked: who was, since it was last looked.
    """

    def __init__(self, *plugins: object, targets: Sequence[Target] = (A, B), **options: Any) -> None:
        self.clock = FakeClock()
        self.down: dict[str, Verdict] = {}
        self.cooldown = Cooldown(clock=self.clock, **options)
        self._targets = targets
        self._asked: list[str] = []
        self._manager = PluginManager()
        self._manager.register(Strategies(in_order, scripted, lambda call, attempt: 0.0), STRATEGIES)
        for plugin in (self.cooldown, *plugins):
            self._manager.register(plugin)

    def send(self, call: Call, asked: Target) -> Outcome:
        """Do as told."""
        self._asked.append(asked.model)
        verdict = self.down.get(asked.model)
        return good() if verdict is None else Outcome(status=503, body=verdict, url=asked.base_url)

    def begin(self, *, stream: bool = False, seconds: float = math.inf, send: Any = None) -> Answered:
        """Make a call up to its answer."""
        now = self.clock.monotonic()
        call = Call(f"{next(_ids)}", {"messages": []}, stream, started=now, deadline=now + seconds)
        return run(call, self._targets, self._manager.hooks(), send or self.send, self.clock, rounds=1)

    def call(self, **options: Any) -> str:
        """Make a call, and return whom it asked, in order; with a bang if nobody answered."""
        end = ""
        try:
            answered = self.begin(**options)
            answered.finish()
            answered.end(None)
        except FallbackError:
            end = "!"
        asked, self._asked = "".join(self._asked), []
        return asked + end

    def rest(self, asked: Target = A) -> float:
        """Return how long a target rests."""
        return max((resting.seconds for resting in self.cooldown.resting(asked)), default=0.0)


def test_a_busy_target_rests() -> None:
    """After a failure the next calls go to the next target at once, for 30 s; then one tries it, and is answered."""
    town = Town()
    town.down["a"] = BUSY
    assert town.call() == "ab"
    assert [town.call() for _ in range(5)] == ["b"] * 5
    town.clock.advance(29.9)
    assert town.call() == "b"
    town.clock.advance(0.1)
    del town.down["a"]
    assert [town.call() for _ in range(3)] == ["a"] * 3


def test_a_rest_doubles() -> None:
    """A target that goes on failing rests for twice as long each time, up to 5 minutes; an answer starts it anew."""
    town = Town()
    town.down["a"] = BUSY
    rests = []
    for _ in range(7):
        assert town.call() == "ab"
        rests.append(town.rest())
        town.clock.advance(rests[-1])
    assert rests == [30, 60, 120, 240, 300, 300, 300]
    town.down.clear()
    assert town.call() == "a"
    town.down["a"] = BUSY
    town.call()
    assert town.rest() == 30


@pytest.mark.parametrize(
    ("hint", "rest"),
    [(7.0, 7.0), (0.0, 30.0), (400.0, 400.0), (1e9, MOST), (math.inf, 30.0), (math.nan, 30.0), (-1.0, 30.0)],
)
def test_the_servers_hint_is_the_rest(hint: float, rest: float) -> None:
    """A target rests for as long as its server asked for, a day at most; what is no such time counts as none."""
    town = Town()
    town.down["a"] = Verdict.fallback(Reason.RATE_LIMITED, after=hint)
    assert town.call() == "ab"
    assert town.rest() == rest


@pytest.mark.parametrize("reason", list(Reason), ids=str)
def test_which_reasons_let_a_target_rest(reason: Reason) -> None:
    """Transient failures do, and a model that is gone; what a model says of the call itself does not."""
    town = Town()
    town.down["a"] = Verdict.fallback(reason)
    assert town.call() == "ab"
    expected = 30.0 if reason.transient else 300.0 if reason is Reason.NOT_FOUND else 0.0
    assert town.rest() == expected


FREE, ALSO_FREE, ELSEWHERE = target("f:free"), target("g:free"), target("h:free", "two")


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (Verdict.fallback(Reason.RATE_LIMITED, Scope.FREE_TIER, 60.0), ["fba", "ba", "h"]),
        (Verdict.fallback(Reason.UNAUTHORIZED, Scope.ENDPOINT), ["fh", "h", "h"]),
        (Verdict.fallback(Reason.BUSY, Scope.MODEL), ["fg", "g", "g"]),
    ],
    ids=["the free tier", "the endpoint", "the model"],
)
def test_what_rests_reaches_as_far_as_the_fault(verdict: Verdict, told: list[str]) -> None:
    """The free models of an endpoint, or all that it has, rest with the one that was asked."""
    town = Town(targets=(FREE, ALSO_FREE, B, ELSEWHERE))
    town.down["f:free"] = verdict
    said = [town.call(), town.call()]
    reach = {each.model[0] for each in (FREE, ALSO_FREE, B, ELSEWHERE) if town.rest(each)}
    assert reach == {Scope.FREE_TIER: {"f", "g"}, Scope.ENDPOINT: {"f", "g", "b"}, Scope.MODEL: {"f"}}[verdict.scope]
    first = {Scope.FREE_TIER: ["f:freeb", "b"], Scope.ENDPOINT: ["f:freeh:free", "h:free"]}
    assert said == first.get(verdict.scope, ["f:freeg:free", "g:free"])


def test_keys_hold_no_key() -> None:
    """What is kept names models and endpoints; of an API's key it has a digest."""
    with Chain(["a/a", "b/b:free"], api_key="sk-or-v1-CANARYKEY00000000") as chain:
        names = " ".join(key for each in chain.targets for key in keys_of(each).values())
    assert re.search(r"model https://openrouter\.ai/api/v1 [0-9a-f]{16} a/a\b", names)
    assert "CANARY" not in names


def test_all_rest_and_one_is_asked() -> None:
    """When all rest, the one that rests shortest is asked all the same; further ones as long as answers allow it."""
    town = Town(targets=(A, B, C, D))
    for name, hint in zip("abcd", (40.0, 10.0, 30.0, 20.0), strict=True):
        town.down[name] = Verdict.fallback(Reason.BUSY, after=hint)
    assert town.call() == "abcd!"
    told = [town.call() for _ in range(5)]
    # Ten more in all, none of which is followed by an answer.
    assert told == ["bdca!", "bdca!", "bdca!", "bd!", "b!"]
    town.down.clear()
    assert town.call() == "b"


def test_answers_allow_for_more() -> None:
    """Each answer allows one more resting target to be asked in a call that has asked somebody already."""
    town = Town(targets=(A, B))
    town.down = {"a": BUSY, "b": BUSY}
    while town.call() != "a!":
        pass
    del town.down["a"]
    assert [town.call() for _ in range(4)] == ["a"] * 4
    town.down["a"] = BUSY
    assert [town.call() for _ in range(6)] == ["ab!"] * 4 + ["a!"] * 2


def test_time_allows_for_more() -> None:
    """One more is allowed for each first rest's time, so that an outage without answers ends in asking all."""
    town = Town(targets=(A, B), longest=30.0)
    town.down = {"a": Verdict.fallback(Reason.RATE_LIMITED, after=9_999.0), "b": BUSY}
    while town.call() != "b!":
        pass
    town.clock.advance(10)
    assert town.call() == "b!"
    town.clock.advance(90)
    assert [town.call() for _ in range(4)] == ["ba!"] * 3 + ["b!"]


def test_the_one_asked_longest_ago_is_asked_as_a_last_resort() -> None:
    """Of those whose servers named no time the one asked longest ago is asked first: whichever is well is found."""
    town = Town(targets=(A, B, C))
    town.down = dict.fromkeys("abc", BUSY)
    town.down["b"] = Verdict.fallback(Reason.RATE_LIMITED, after=5.0)
    while len(town.call()) > 2:
        town.clock.advance(0.2)
    asked = []
    for _ in range(6):
        town.clock.advance(0.2)
        asked.append(town.call())
    assert asked in (["a!", "c!"] * 3, ["c!", "a!"] * 3)


@pytest.mark.parametrize(("hint", "rest"), [(None, 0.0), (20.0, 20.0)])
def test_an_answer_on_its_way_clears_bad_luck(hint: float | None, rest: float) -> None:
    """What was asked before a failure and answers after it ends the rest, unless the server asked for one."""
    town = Town()
    slow = town.begin(stream=False)
    town.down["a"] = Verdict.fallback(Reason.RATE_LIMITED, after=hint)
    assert town.call() == "aab"
    slow.finish()
    slow.end(None)
    assert town.rest() == rest


@pytest.mark.parametrize(("hint", "rest"), [(None, 0.0), (20.0, 20.0)])
def test_a_failure_that_comes_late_is_no_news(hint: float | None, rest: float) -> None:
    """A call that began before the target answered another one, and fails, lets it rest only if its server says so."""
    town = Town()

    def late(call: Call, which: Target) -> Outcome:
        if which == A:
            town.clock.advance(5)
            assert town.call() == "a"
            return Outcome(status=503, body=Verdict.fallback(Reason.RATE_LIMITED, after=hint), url=which.base_url)
        return good()

    assert town.call(send=late) == ""
    assert town.rest() == rest


def test_a_deadline_of_the_callers_is_no_fault_of_the_targets() -> None:
    """A target that was cut off by the call's own deadline does not rest; one that hit a limit of its own does."""
    for seconds, rest in ((1.0, 0.0), (100.0, 29.0)):
        town = Town()

        def slow(call: Call, which: Target, town: Town = town) -> Outcome:
            town.clock.advance(1.0)
            return Outcome(status=None, body=Verdict.fallback(Reason.TIMEOUT), url=which.base_url)

        assert town.call(seconds=seconds, send=slow) == "!"
        assert town.rest() == rest


@pytest.mark.parametrize(
    "other",
    [
        Target("a", "https://one.test/v2", endpoint="one"),
        Target("a", A.base_url, endpoint="one#0123456789abcdef"),
        Target("a", A.base_url, endpoint="one", set={"seed": 7}),
        Target("a", A.base_url, endpoint="one", drop=["seed"]),
    ],
    ids=["another path", "another key", "set", "drop"],
)
def test_what_is_not_the_same_does_not_rest(other: Target) -> None:
    """The same model at another address of an origin, with another key or other parameters, is another target."""
    town = Town(targets=(A, other))
    town.down["a"] = Verdict.fallback(Reason.RATE_LIMITED, after=100.0)
    assert town.call(send=lambda call, which: good() if which == other else town.send(call, which)) == "a"
    assert (town.rest(A), town.rest(other)) == (100, 0)


@pytest.mark.parametrize(("reason", "rest"), [(Reason.RATE_LIMITED, 3_600.0), (Reason.BUSY, 300.0)])
def test_a_long_hint_is_for_limits(reason: Reason, rest: float, caplog: pytest.LogCaptureFixture) -> None:
    """A limit may last for long, which is told as a warning; of another failure no server knows so much."""
    town = Town()
    town.down["a"] = Verdict.fallback(reason, after=3_600.0)
    with caplog.at_level(logging.WARNING, "orfallback"):
        town.call()
    assert town.rest() == rest
    assert ("rests for 3600 s" in caplog.text) is (rest > 600)


def test_a_target_that_may_be_asked_at_once_rests_for_a_moment() -> None:
    """A verdict that allows for asking again at once keeps other calls away for two seconds."""
    town = Town()
    town.down["a"] = Verdict.retry(Reason.RATE_LIMITED, 0.0, Scope.ENDPOINT)
    town.call()
    assert town.rest() == 2


def test_a_free_tier_without_the_suffix() -> None:
    """A limit of the free tier on a model that is not called so lets that model rest."""
    town = Town()
    town.down["a"] = Verdict.fallback(Reason.RATE_LIMITED, Scope.FREE_TIER, 60.0)
    assert town.call() == "ab"
    assert (town.rest(A), town.rest(B)) == (60, 0)


def test_what_another_process_clears_rests_anew() -> None:
    """A rest that was ended elsewhere, in a shared store, does not keep the target from resting again."""
    town = Town()
    town.down["a"] = Verdict.fallback(Reason.RATE_LIMITED, after=600.0)
    town.call()
    for key in keys_of(A).values():
        town.cooldown.store.clear(key)
    town.down["a"] = BUSY
    assert [town.call(), town.call()] == ["ab", "b"]


def test_a_plugin_that_refuses_afterwards_holds_no_claim() -> None:
    """A target that is refused after the cooldown claimed it can be probed by the next call."""

    class Refusing:
        on = False

        @hookimpl(wrapper=True)
        def orfallback_admit(self, target: Target) -> Generator[None, float | None, float | None]:
            answer = yield
            return 9.0 if self.on and target.model == "a" else answer

    refusing = Refusing()
    town = Town(refusing)
    town.down["a"] = BUSY
    town.call()
    town.clock.advance(30)
    refusing.on = True
    assert town.call() == "b"
    refusing.on = False
    del town.down["a"]
    assert town.call() == "a"


def test_a_token_is_for_being_asked() -> None:
    """What the deadline keeps from being asked costs no token."""
    town = Town(targets=(A, B))
    town.down = {"a": BUSY, "b": BUSY}
    town.call()

    def slow(call: Call, which: Target) -> Outcome:
        town.clock.advance(0.5)
        return Outcome(status=503, body=BUSY, url=which.base_url)

    for _ in range(20):
        town.call(seconds=0.5, send=slow)
    assert town.call() in ("ab!", "ba!")


def test_hope_elsewhere_is_no_rejection() -> None:
    """A refused key is no final word while a target at another endpoint merely rests, unasked."""
    other = target("o", "two")
    town = Town(targets=(other, A))
    town.down = {"o": BUSY, "a": BUSY}
    while len(town.call()) > 2:
        pass
    town.cooldown.release(A)
    town.down["a"] = Verdict.fallback(Reason.UNAUTHORIZED, Scope.ENDPOINT)
    with pytest.raises(ChainExhausted, match="Not asked, since they rest: o") as caught:
        town.begin()
    assert caught.value.retry_after == pytest.approx(30)


def test_one_target_alone_is_always_asked() -> None:
    """A chain of one target asks it in every call, whatever it remembers."""
    town = Town(targets=(A,))
    town.down["a"] = BUSY
    assert [town.call() for _ in range(20)] == ["a!"] * 20
    # What was asked as a last resort does not make the rest longer.
    assert town.rest() == 30


@pytest.mark.parametrize("stream", [False, True])
def test_one_thread_of_64_probes(stream: bool) -> None:
    """At the instant at which a rest ends one call alone asks the target; the others go on to the next, at once."""
    town = Town()
    town.down["a"] = BUSY
    town.call()
    town.clock.advance(30)
    asked: list[str] = []
    others = threading.Semaphore(0)

    def send(call: Call, which: Target) -> Outcome:
        asked.append(which.model)
        if which == A:
            for _ in range(63):
                assert others.acquire(timeout=60)
        return good()

    def one(_: int) -> None:
        answered = town.begin(stream=stream, send=send)
        if answered.attempt is not None and answered.attempt.model == "b":
            others.release()
        answered.finish()
        answered.end(None)

    assert together(64, one) == []
    assert (asked.count("a"), asked.count("b")) == (1, 63)
    del town.down["a"]
    assert town.call() == "a"


def test_a_stream_clears_it_when_it_begins() -> None:
    """The first content of a stream that probes lets the others in; they need not wait for its end."""
    town = Town()
    town.down["a"] = BUSY
    town.call()
    town.clock.advance(30)
    del town.down["a"]
    stream = town.begin(stream=True)
    assert town.call() == "aa"
    stream.finish()
    stream.end(None)


def test_a_stream_that_breaks_later_rests() -> None:
    """A stream that breaks long after its first content lets its target rest: that content was its own."""
    town = Town()

    def slow(call: Call, which: Target) -> Outcome:
        town.clock.advance(5)
        return good()

    stream = town.begin(stream=True, send=slow)
    town.clock.advance(20)
    stream.finish(verdict=Verdict.fallback(Reason.TRUNCATED))
    stream.end(None)
    assert town.rest() == 30


class Quitting:
    """Ends a call that is about to ask, or has asked, a target."""

    def __init__(self, hook: str) -> None:
        setattr(self, f"orfallback_{hook}", self.quit)
        self.on = False

    def quit(self) -> None:
        """Be Ctrl-C."""
        if self.on:
            raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["attempt_started", "send", "classify"])
def test_a_probe_that_was_broken_off_is_made_by_the_next(where: str) -> None:
    """A call that is interrupted before its probe says anything lets the next one probe."""
    quitting = Quitting("classify" if where == "send" else where)
    town = Town(quitting)
    town.down["a"] = BUSY
    town.call()
    town.clock.advance(30)

    def interrupted(call: Call, which: Target) -> Outcome:
        raise KeyboardInterrupt

    quitting.on = where != "send"
    with pytest.raises(KeyboardInterrupt):
        town.call(send=interrupted if where == "send" else None)
    quitting.on = False
    assert town.call().endswith("ab")


def test_a_deadline_before_the_probe_gives_it_back() -> None:
    """A call whose deadline keeps it from making the probe that it claimed lets the next one make it."""
    town = Town(targets=(B, A))
    town.down["a"] = BUSY
    town.down["b"] = BUSY
    town.call()
    town.clock.advance(30)
    assert town.call(seconds=0.0) == "!"
    town.down.clear()
    assert town.call() == "b"
    assert town.call(seconds=0.0) == "!"


def test_a_claim_ends_by_itself() -> None:
    """Who claimed a probe and died holds it for the first rest's time, no longer."""
    town = Town()
    town.down["a"] = BUSY
    town.call()
    town.clock.advance(30)
    for key in keys_of(A).values():
        town.cooldown.store.claim(key, 30.0)
    del town.down["a"]
    town.clock.advance(29)
    assert town.call() == "b"
    town.clock.advance(1)
    assert town.call() == "a"


def test_what_is_asked_again_in_a_call_does_not_rest_in_it() -> None:
    """A target that a verdict, or a further round, brings back in the same call is asked, and rests for others."""
    town = Town(targets=(A, B))
    town.down = {"a": Verdict.retry(Reason.BUSY, 5.0), "b": GONE}
    assert town.call() == "aba!"
    assert town.rest() == 5.0


def test_another_plugin_is_asked_first() -> None:
    """A target that a plugin passes over is not claimed: the next call can probe it."""

    class Passing:
        on = True

        def orfallback_admit(self, target: Target) -> float | None:
            return 100.0 if self.on and target.model == "a" else None

    passing = Passing()
    town = Town(passing)
    passing.on = False
    town.down["a"] = BUSY
    town.call()
    town.clock.advance(30)
    passing.on = True
    assert town.call() == "b"
    passing.on = False
    del town.down["a"]
    assert town.call() == "a"


def test_nothing_is_kept_of_calls_that_are_over() -> None:
    """What is remembered is bounded by the number of targets, whatever came of the calls."""
    many = [target(f"m{number}") for number in range(50)]
    town = Town(targets=many)
    for number in range(300):
        town.down[f"m{number % 50}"] = BUSY
        town.call()
        town.clock.advance(number)
    assert town.cooldown._asking == {}
    assert len(town.cooldown._records) <= 50


def test_the_log_says_what_rests(caplog: pytest.LogCaptureFixture) -> None:
    """At INFO it is told once that a target rests, and that it answers again."""
    town = Town()
    town.down["a"] = BUSY
    with caplog.at_level(logging.INFO, "orfallback"):
        town.call()
        town.call()
        town.clock.advance(30)
        del town.down["a"]
        town.call()
    assert [record.getMessage() for record in caplog.records] == [
        "Model a rests for 30 s (busy)", "Model a answers again"
    ]  # fmt: skip


# -- a chain's --


@pytest.fixture
def chain(sim: Simulator, clock: FakeClock) -> Chain:
    """A chain of two models whose first is busy."""
    sim.script("a/a", status(502))
    return Chain(["a/a", "b/b"], api_key="sk-test-0000000000", base_url=sim.base_url, clock=clock)


def test_twenty_fallbacks_make_21_requests(sim: Simulator, chain: Chain) -> None:
    """20 times a busy model and a good one behind it make 21 requests: the busy one is asked once."""
    for turn in range(20):
        got = chain.complete("hi") if turn % 2 else chain.stream("hi").read()
        assert got.model == "b/b"
    assert sim.models_asked == ["a/a", *["b/b"] * 20]


@pytest.mark.parametrize("cooldown", [None, 0])
def test_without_memory(cooldown: Any, sim: Simulator, chain: Chain) -> None:
    """``cooldown=None``, or 0, asks in the chain's order in every call."""
    forgetful = chain.replace(cooldown=cooldown)
    for _ in range(3):
        forgetful.complete("hi")
    assert sim.models_asked == ["a/a", "b/b"] * 3
    assert [each.resting for each in forgetful.health.snapshot()] == [0, 0]
    with pytest.raises(RuntimeError, match="no cooldown"):
        forgetful.health.park("a/a")


def test_copies_share_what_is_known(sim: Simulator, chain: Chain) -> None:
    """``replace`` shares the memory, unless it is given another."""
    chain.complete("hi")
    chain.replace(delay=1).complete("hi")
    assert sim.models_asked == ["a/a", "b/b", "b/b"]
    chain.replace(cooldown=30).complete("hi")
    assert sim.models_asked[3:] == ["a/a", "b/b"]


def test_a_cooldown_is_shared_by_chains(sim: Simulator, clock: FakeClock) -> None:
    """One object given to two chains is one memory."""
    sim.script("a/a", status(502))
    shared = Cooldown(clock=clock)
    for _ in range(2):
        options: dict[str, Any] = {"base_url": sim.base_url, "clock": clock, "cooldown": shared}
        assert Chain(["a/a", "b/b"], **options).complete("hi").model == "b/b"
    assert sim.models_asked == ["a/a", "b/b", "b/b"]


def test_a_copy_with_another_clock_has_a_memory_of_its_own(sim: Simulator, chain: Chain) -> None:
    """Rests are measured with the clock of the chain, so one with another clock begins anew."""
    chain.complete("hi")
    other = FakeClock()
    copied = chain.replace(clock=other)
    copied.complete("hi")
    assert sim.models_asked == ["a/a", "b/b", "a/a", "b/b"]
    other.advance(60)
    copied.complete("hi")
    assert sim.models_asked[4:] == ["a/a", "b/b"]


def test_a_copy_of_one_without_has_none(sim: Simulator, chain: Chain) -> None:
    """A cooldown that was taken off stays off in copies."""
    chain.unregister("cooldown")
    for _ in range(2):
        chain.replace(delay=0).complete("hi")
    assert sim.models_asked == ["a/a", "b/b"] * 2


def test_there_is_one_cooldown() -> None:
    """A cooldown is an option, not one plugin more."""
    with pytest.raises(TypeError, match=r"cooldown=Cooldown"):
        Chain("a/a", plugins=[Cooldown()])


def test_health_shows_who_rests(chain: Chain, clock: FakeClock) -> None:
    """The snapshot tells of each target how long it rests, what rests, and why."""
    chain.complete("hi")
    clock.advance(10)
    first, second = chain.health.snapshot()
    assert (first.name, first.model, first.what, first.reason) == ("a/a", "a/a", "model", Reason.BUSY)
    # The wait before the second was in that time.
    assert first.resting == pytest.approx(18)
    assert (second.name, second.resting, second.what, second.reason) == ("b/b", 0, "", None)
    assert repr(chain.health) == "<Health: a/a for 18 s rests>"


def test_a_target_is_parked_and_released(sim: Simulator, chain: Chain) -> None:
    """Who is parked is not asked, also after it answered as a last resort, until it is released or its time is over."""
    chain.health.park("b/b", 100)
    sim.script("a/a", answer("Hi"))
    assert chain.complete("hi").model == "a/a"
    sim.script("a/a", status(502))
    assert chain.complete("hi").model == "b/b"
    assert chain.health.snapshot()[1].what == "parked"
    chain.health.release("a/a")
    assert [each.model for each in chain.complete("hi").attempts] == ["a/a", "b/b"]
    chain.health.release("b/b")
    assert [each.model for each in chain.complete("hi").attempts] == ["b/b"]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda health: health.park("x/x"), LookupError, "no target is called 'x/x'; there are: a/a, b/b"),
        (lambda health: health.release("x/x"), LookupError, "x/x"),
        (lambda health: health.park("a/a", 0), ValueError, "more than 0 seconds"),
        (lambda health: health.park("a/a", math.nan), ValueError, "more than 0 seconds"),
    ],
)
def test_mistakes_by_hand(call: Any, error: type[Exception], words: str, chain: Chain) -> None:
    """A target that is not there, and a time that is none, are refused."""
    with pytest.raises(error, match=words):
        call(chain.health)


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, 1e6, True, "soon", object()])
def test_mistakes_in_the_configuration(value: Any) -> None:
    """What is no positive number of seconds is refused at construction."""
    with pytest.raises((TypeError, ValueError), match="seconds"):
        Chain("a/a", cooldown=value)


def test_a_longer_first_rest_than_the_longest() -> None:
    """A number larger than five minutes is the longest rest, too."""
    found: Any = Chain("a/a", cooldown=900).plugin_manager.get_plugin("cooldown")
    assert (found.seconds, found.longest) == (900, 900)


@pytest.mark.parametrize(
    ("value", "seconds"), [("12", 12), ("0.5", 0.5), ("0", None), ("none", None), (" OFF ", None), ("", 30)]
)
def test_the_environments_cooldown(value: str, seconds: float | None) -> None:
    """``ORFALLBACK_COOLDOWN`` is a number of seconds, or says that there is none."""
    found: Any = Chain.from_env({"ORFALLBACK_COOLDOWN": value}).plugin_manager.get_plugin("cooldown")
    assert (None if found is None else found.seconds) == seconds


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "1e9", "inf"])
def test_mistakes_in_the_environment(value: str) -> None:
    """What is no time is refused by the variable's name."""
    with pytest.raises(ValueError, match="ORFALLBACK_COOLDOWN"):
        Chain.from_env({"ORFALLBACK_COOLDOWN": value})


@pytest.mark.parametrize(("value", "seconds"), [("12", 12), (7, 7), ("none", None), ("orfallback.Cooldown", 30)])
def test_the_cooldown_of_settings(value: Any, seconds: float | None) -> None:
    """A mapping has a number, ``none``, or the name of a cooldown."""
    found: Any = Chain.from_mapping({"COOLDOWN": value}).plugin_manager.get_plugin("cooldown")
    assert (None if found is None else found.seconds) == seconds


def test_a_stream_that_breaks_rests(sim: Simulator, chain: Chain) -> None:
    """A model whose stream broke after its first content rests as one that was busy."""
    sim.script("a/a", cut("content"))
    with pytest.raises(StreamInterrupted):
        chain.stream("hi").read()
    assert chain.stream("hi").read().model == "b/b"


def test_a_stream_that_is_left_does_not_rest(sim: Simulator, chain: Chain) -> None:
    """An application that leaves a stream says nothing of the model."""
    sim.script("a/a", silence("end"))
    with chain.stream("hi") as stream:
        next(stream)
    assert chain.health.snapshot()[0].resting == 0


def test_an_error_in_200_rests(sim: Simulator, chain: Chain) -> None:
    """A busy model that says so in a 200 rests as any other."""
    sim.script("a/a", error_in_200())
    assert chain.complete("hi").model == "b/b"
    assert chain.health.snapshot()[0].reason is Reason.BUSY


def test_threads_of_a_chain_probe_once(sim: Simulator, chain: Chain, clock: FakeClock) -> None:
    """Of 16 calls over real sockets at the end of a rest one asks the model that was busy."""
    chain.complete("hi")
    clock.advance(60)
    gate = Gate()
    seen: list[str] = []

    def thinking(received: Received) -> Iterator[Step]:
        yield gate
        yield from answer("x")(received)

    sim.script("a/a", thinking)
    lock = threading.Lock()

    def ask(_: int) -> None:
        stream = chain.stream("hi")
        with lock:
            seen.append(stream.attempts[-1].model if stream.attempts else stream.requested_model)
            if len(seen) == 15:
                gate.open(9)
        stream.read()

    before = len(sim.requests)
    assert together(16, ask) == []
    assert sim.models_asked[before:].count("a/a") == 1


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))], ids=str)
def test_it_composes(order: tuple[int, ...], sim: Simulator, clock: FakeClock) -> None:
    """With fit and each way to select, in any order of registration, a busy target and an unfit one are passed over."""
    plugins = [Sticky(clock=clock), LowestLatency(), Fit(fetch=False)]
    models: list[str | Target] = [
        Target("a/a", inputs=["text", "image"]),
        Target("t/t", inputs=["text"]),
        Target("b/b", inputs=["text", "image"]),
    ]
    sim.script("a/a", status(502))
    picture = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    with Chain(models, base_url=sim.base_url, clock=clock, plugins=[plugins[place] for place in order]) as chain:
        for _ in range(4):
            assert chain.complete([{"role": "user", "content": picture}]).model == "b/b"
        assert sim.models_asked == ["a/a", "b/b", "b/b", "b/b", "b/b"]
        sim.script("b/b", status(502))
        before = len(sim.requests)
        # Those that rest come before the one that cannot serve, which is asked all the same.
        assert chain.complete([{"role": "user", "content": picture}]).model == "t/t"
        assert sim.models_asked[before:] == ["b/b", "a/a", "t/t"]


def test_it_pickles() -> None:
    """Its settings go, with a store that does; what it knew in this process stays."""
    town = Town(seconds=7.0, longest=70.0)
    town.down["a"] = BUSY
    town.call()
    copied = pickle.loads(pickle.dumps(town.cooldown))
    assert (copied.seconds, copied.longest, repr(copied)) == (7.0, 70.0, "<Cooldown 7 s>")
    assert isinstance(copied.store, MemoryStore)
    assert [*copied.resting(A)] == []


def test_the_error_tells_who_was_not_asked() -> None:
    """Those that rest and were not asked any more are told in the error, with the time that is left."""
    town = Town(targets=(A, B, C))
    town.down = dict.fromkeys("abc", BUSY)
    while town.call() != "a!":
        pass
    with pytest.raises(ChainExhausted, match=r"Not asked, since they rest: b \(30 s\), c \(30 s\)"):
        town.begin()
