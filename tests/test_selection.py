"""Which target is asked first: at random by weight, who worked, who was fast; alone and with others."""

from __future__ import annotations

import functools
import itertools
import math
import pickle
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engine import BUSY, A, B, C, Step, World, target
from test_fit import SEEN, SMALL, chain_of, fetched

from orfallback import (
    DEFAULT_MODELS,
    Attempt,
    Call,
    Chain,
    ChainExhausted,
    FallbackAdapter,
    Fit,
    LowestLatency,
    Outcome,
    Reason,
    Sticky,
    Target,
    Verdict,
    weighted,
)
from orfallback.plugins._common import keep
from orfallback.testing import FakeClock, Simulator, answer, reset, status

PROPERTY = settings(max_examples=100, deadline=None, database=None)
CALL = Call("0" * 16, {})
#: A failure that is the call's own.
UNFIT = Verdict.fallback(Reason.UNSUPPORTED)


def asked(*plugins: object, fails: Mapping[str, Step] | str = "", targets: Any = (A, B, C), **options: Any) -> str:
    """Return whom a call asks.

    :param fails: the models that are busy, or what each does.
    """
    script = dict.fromkeys(fails, BUSY) if isinstance(fails, str) else fails
    return told(World(targets, script, *plugins, delay=0, **options))


_numbers = itertools.count()


def told(world: World) -> str:
    """Return whom the one call of a world asks, answered or not."""
    world.call = replace(world.call, id=f"{next(_numbers):016x}")
    try:
        world.complete()
    except ChainExhausted:
        pass
    return world.told


class Rests:
    """A plugin that rests targets."""

    def __init__(self, **rests: float) -> None:
        self.rests = rests

    def orfallback_admit(self, target: Target, last_resort: bool) -> float | None:
        """Rest it, if it is one of them."""
        return None if last_resort else self.rests.get(target.model)


# -- weighted --


def drawn(weights: Mapping[str, float], number: float, *targets: Target) -> str:
    """Return the model that a number draws."""
    chosen = weighted(weights, random=lambda: number)(CALL, targets)
    assert chosen is not None
    return chosen.model


def test_each_is_drawn_as_its_weight_says() -> None:
    """Of evenly spread numbers each target gets the share of its weight; one without a weight gets none."""
    numbers = [(number + 0.5) / 1000 for number in range(1000)]
    shares = Counter(drawn({"a": 3, "b": 1}, number, A, B, C) for number in numbers)
    assert shares == {"a": 750, "b": 250}


def test_what_has_no_weight_comes_last_and_in_order() -> None:
    """When those with a weight are spent the others are asked in the chain's order."""
    assert drawn({"c": 1}, 0.5, A, B, C) == "c"
    assert drawn({"c": 1}, 0.5, A, B) == "a"
    assert asked(fails="abc", select=weighted({"c": 1, "b": 0})) == "c a b"


def test_a_name_goes_before_a_model() -> None:
    """A target's own name is looked up first, so that one model at two endpoints has two weights."""
    here, there = Target("m", name="here"), Target("m", name="there")
    weights = {"here": 0, "m": 1}
    chosen = weighted(weights, random=lambda: 0.0)(CALL, (here, there))
    assert chosen is there


@PROPERTY
@given(
    weights=st.dictionaries(st.sampled_from("abcde"), st.floats(0, 1e308), min_size=1).filter(
        lambda weights: any(weights.values()) and math.isfinite(sum(weights.values()))
    ),
    number=st.floats(0, 1),
    models=st.permutations("abcde"),
)
def test_whatever_is_drawn_was_offered(weights: dict[str, float], number: float, models: list[str]) -> None:
    """Any weights and any number draw one of those offered, and never one without a weight as long as others have."""
    targets = [target(model) for model in models]
    chosen = drawn(weights, number, *targets)
    assert weights.get(chosen, 0) > 0


@pytest.mark.parametrize(("weights", "error"), [
    ({}, ValueError), ({"a": 0}, ValueError), ({"a": -1}, ValueError), ({"a": math.nan}, ValueError),
    ({"a": math.inf}, ValueError), ({"a": "1"}, TypeError), ({"a": True}, TypeError),
])  # fmt: skip
def test_refused_weights(weights: Any, error: type[Exception]) -> None:
    """Weights that cannot be meant are refused when the strategy is made."""
    with pytest.raises(error):
        weighted(weights)


def test_without_a_source_it_is_pythons_own() -> None:
    """Numbers come from Python's generator, which differs between processes; a pickle brings none along."""
    select = pickle.loads(pickle.dumps(weighted({"a": 1, "b": 1})))
    assert {select(CALL, (A, B)).model for _ in range(200)} == {"a", "b"}
    assert select.random is None
    assert select == weighted({"a": 1, "b": 1})
    assert hash(select) == hash(weighted({"c": 1}))


# -- sticky --


def test_it_stays_on_what_works_and_then_tries_the_first_again(clock: FakeClock) -> None:
    """After the first failed the one that answered is asked first for so many seconds, then the first is."""
    sticky = Sticky(60, clock=clock)
    assert asked(sticky) == "a"
    assert asked(sticky, fails="a") == "a b"
    for _ in range(3):
        clock.advance(19)
        assert asked(sticky) == "b"
    clock.advance(4)
    assert asked(sticky, fails="a") == "a b"
    clock.advance(59)
    assert asked(sticky) == "b"
    clock.advance(2)
    assert asked(sticky) == "a"
    assert asked(sticky) == "a"


def test_it_leaves_what_fails(clock: FakeClock) -> None:
    """When the one that it stays on fails, the chain's order holds again."""
    sticky = Sticky(clock=clock)
    assert asked(sticky, fails="a") == "a b"
    assert asked(sticky, fails="b") == "b a"
    assert asked(sticky) == "a"


def test_it_moves_on(clock: FakeClock) -> None:
    """When the first and the one that it stays on both fail, it stays on the third."""
    sticky = Sticky(clock=clock)
    assert asked(sticky, fails="a") == "a b"
    assert asked(sticky, fails="ab") == "b a c"
    assert asked(sticky) == "c"


def test_a_failure_that_is_the_calls_own_counts_for_nothing(clock: FakeClock) -> None:
    """What a model does not take makes nobody stay on another one, and nobody leave it."""
    sticky = Sticky(clock=clock)
    assert asked(sticky, fails={"a": UNFIT}) == "a b"
    assert asked(sticky, fails={"a": UNFIT, "b": BUSY}) == "a b c"
    assert asked(sticky, fails="a") == "a b"
    assert asked(sticky, fails={"b": UNFIT}) == "b a"
    assert asked(sticky) == "b"


def test_what_left_is_nobodys_fault(clock: FakeClock) -> None:
    """An attempt that the application left neither makes it stay nor leave."""
    sticky = Sticky(clock=clock)
    assert asked(sticky, fails="a") == "a b"
    with pytest.raises(KeyboardInterrupt):
        asked(sticky, fails={"b": KeyboardInterrupt()})
    assert asked(sticky) == "b"


def test_it_stays_from_a_streams_first_content_on(clock: FakeClock) -> None:
    """A stream counts when it begins; one that breaks counts as a failure of its model."""
    sticky = Sticky(clock=clock)
    world = World((A, B), {"a": BUSY}, sticky, delay=0, stream=True)
    running = world.run()
    assert asked(sticky) == "b"
    running.finish(verdict=BUSY)
    running.end(None)
    assert asked(sticky) == "a"


def test_the_end_of_a_stream_prolongs_nothing(clock: FakeClock) -> None:
    """The time to stay is counted from a stream's first content, however long it runs."""
    sticky = Sticky(60, clock=clock)
    running = World((A, B), {"a": BUSY}, sticky, delay=0, stream=True).run()
    clock.advance(59)
    running.finish()
    running.end(None)
    clock.advance(2)
    assert asked(sticky) == "a"


def test_it_remembers_for_each_first_target(clock: FakeClock) -> None:
    """Calls whose own model comes first are told apart: one that is busy moves nobody else."""
    sticky = Sticky(clock=clock)
    assert asked(sticky, fails="a") == "a b"
    assert asked(sticky, targets=(C, A, B)) == "c"
    assert asked(sticky, fails="c", targets=(C, B, A)) == "c b"
    assert asked(sticky, targets=(C, B, A)) == "b"
    assert asked(sticky) == "b"


def test_the_one_it_stays_on_need_not_be_in_the_call(clock: FakeClock) -> None:
    """A call that does not list the one that works goes by the chain's order."""
    sticky = Sticky(clock=clock)
    assert asked(sticky, fails="a") == "a b"
    assert asked(sticky, targets=(A, C)) == "a"


def test_one_model_with_two_keys_is_two_targets(clock: FakeClock) -> None:
    """It stays on the very target that answered, though another has its model and its URL."""
    first, second = (Target("m", "http://x/v1", endpoint=f"http://x:80#{key}") for key in "12")
    sticky = Sticky(clock=clock)
    call = Call("1" * 16, {})
    assert sticky.orfallback_select(call, (first, second)) is None
    for each, verdict in ((first, BUSY), (second, None)):
        sticky.orfallback_attempt_started(call, each)
        sticky.orfallback_attempt_finished(call, Attempt(1, "m", "http://x/v1/chat/completions", verdict=verdict))
    assert sticky.orfallback_select(call, (first, second)) is second


def test_calls_that_are_over_are_forgotten(clock: FakeClock) -> None:
    """Nothing is kept of a call once it is over."""
    sticky, fastest = Sticky(clock=clock), LowestLatency()
    for fails in ("", "a", "abc"):
        asked(sticky, fastest, fails=fails)
    assert (sticky._running, fastest._asked) == ({}, {})


def test_a_call_that_began_without_them_teaches_nothing() -> None:
    """What is told of a call of which they saw no beginning is ignored."""
    sticky, fastest = Sticky(), LowestLatency()
    attempt = Attempt(1, "a", "http://x/v1/chat/completions")
    for finished in (attempt, replace(attempt, verdict=BUSY)):
        sticky.orfallback_attempt_finished(CALL, finished)
        fastest.orfallback_attempt_finished(CALL, finished)
    sticky.orfallback_committed(CALL)
    fastest.orfallback_committed(CALL, attempt)
    assert (sticky._kept, fastest._seen) == ({}, {})


# -- lowest latency --


class Slow(World):
    """A world whose models take their time."""

    seconds: Mapping[str, float]

    def send(self, call: Call, asked: Target) -> Outcome:
        """Take it; a stream's first content comes half way."""
        seconds = self.seconds[asked.model]
        self.clock.advance(seconds)
        outcome = super().send(call, asked)
        return replace(outcome, first_token=seconds / 2) if call.stream else outcome


class Pace:
    """Models that take so many seconds."""

    def __init__(self, plugin: LowestLatency, **seconds: float) -> None:
        self.plugin = plugin
        self.seconds = seconds

    def call(self, fails: str = "", *, stream: bool = False) -> str:
        """Return whom a call asks."""
        world = Slow((A, B, C), dict.fromkeys(fails, BUSY), self.plugin, delay=0, stream=stream)
        world.seconds = self.seconds
        return told(world)


def test_each_is_asked_a_few_times_then_the_fastest() -> None:
    """Every target is tried in turn, in the chain's order; after that the fastest is asked."""
    pace = Pace(LowestLatency(least=2, explore=0), a=3, b=1, c=2)
    assert [pace.call() for _ in range(6)] == ["a", "b", "c", "a", "b", "c"]
    assert {pace.call() for _ in range(10)} == {"b"}


def test_it_goes_on_when_another_becomes_faster() -> None:
    """One that slows down is left for one that is faster."""
    pace = Pace(LowestLatency(least=1, explore=0), a=3, b=1, c=2)
    assert [pace.call() for _ in range(4)] == ["a", "b", "c", "b"]
    pace.seconds["b"] = 9
    assert [pace.call() for _ in range(5)] == ["b", "c", "c", "c", "c"]


def test_a_fallback_goes_to_the_fastest_of_the_others() -> None:
    """After a failure the fastest of those left is asked; nothing is tried out in the middle of a call."""
    pace = Pace(LowestLatency(least=1, explore=0), a=3, b=1, c=2)
    for _ in range(3):
        pace.call()
    assert pace.call(fails="bc") == "b c a"
    pace.plugin._explore = 1.0
    pace.plugin._random = lambda: 0.0
    assert pace.call(fails="b") == "b a"


def test_a_failure_counts_as_a_slow_answer() -> None:
    """One that is fast at failing is not the fastest; a failure that is the call's own does not count."""
    pace = Pace(LowestLatency(least=1, explore=0), a=3, b=0.1, c=2)
    assert pace.call() == "a"
    assert pace.call(fails="b") == "b a"
    assert [pace.call(), pace.call()] == ["c", "c"]


def test_the_calls_own_fault_is_not_the_models() -> None:
    """A model that does not take this call keeps its figures."""
    plugin = LowestLatency(least=1, explore=0)
    for _ in range(3):
        asked(plugin)
    before = {key: figures.seconds for key, figures in plugin._seen.items()}
    assert asked(plugin, fails={"a": UNFIT})[:1] == "a"
    assert {key: figures.seconds for key, figures in plugin._seen.items()} == before


def test_streams_and_whole_answers_are_kept_apart() -> None:
    """A stream counts by its first content, and tells nothing of how long whole answers take."""
    pace = Pace(LowestLatency(least=1, explore=0), a=3, b=1, c=2)
    assert [pace.call() for _ in range(4)] == ["a", "b", "c", "b"]
    pace.seconds.update(a=0.5)
    assert [pace.call(stream=True) for _ in range(4)] == ["a", "b", "c", "a"]
    assert pace.call() == "b"
    assert {target.model: seen.seconds for (target, stream), seen in pace.plugin._seen.items() if stream} == {
        "a": 0.25, "b": 0.5, "c": 1.0,
    }  # fmt: skip


def test_the_others_are_tried_now_and_then() -> None:
    """Some calls ask one of the others, so that what was slow once can show that it is fast."""
    numbers = itertools.cycle([0.01, 0.0, 0.5, 0.01, 0.9, 0.5])
    pace = Pace(LowestLatency(least=1, explore=0.1, random=lambda: next(numbers)), a=1, b=5, c=5)
    for _ in range(3):
        pace.call()
    assert [pace.call() for _ in range(4)] == ["b", "a", "c", "a"]
    pace.seconds["c"] = 0.1
    assert {pace.call() for _ in range(60)} >= {"b", "c"}
    assert Counter(pace.call() for _ in range(40)).most_common(1)[0][0] == "c"


def test_one_that_hangs_holds_up_few() -> None:
    """While one call waits for a target that is new, others do not all go there to wait, too."""
    plugin = LowestLatency(least=2, explore=0)
    told = []
    for number in range(6):
        call = Call(f"{number:016}", {})
        chosen = plugin.orfallback_select(call, (A, B, C))
        assert chosen is not None
        plugin.orfallback_attempt_started(call, chosen)
        told.append(chosen.model)
    assert told == ["a", "b", "c", "a", "b", "c"]
    assert plugin.orfallback_select(CALL, (A, B, C)) is None


def driven(plugin: LowestLatency, seconds: Mapping[str, float], fails: str = "") -> list[str]:
    """Return whom a call asks, without a loop round it."""
    call, left = Call(f"{next(_numbers):016x}", {}), [A, B, C]
    while left:
        chosen = plugin.orfallback_select(call, left) or left[0]
        left.remove(chosen)
        plugin.orfallback_attempt_started(call, chosen)
        verdict = BUSY if chosen.model in fails else None
        attempt = Attempt(1, chosen.model, chosen.base_url, verdict=verdict, elapsed=seconds[chosen.model])
        call = replace(call, attempts=(*call.attempts, attempt))
        plugin.orfallback_attempt_finished(call, attempt)
        if verdict is None:
            break
    return [attempt.model for attempt in call.attempts]


@PROPERTY
@given(
    latencies=st.lists(st.tuples(*[st.floats(0, 100)] * 3), max_size=30),
    failing=st.lists(st.sampled_from(["", "a", "bc", "abc"]), min_size=1, max_size=5),
    seed=st.integers(),
)
def test_it_chooses_among_those_offered_and_gets_stuck_on_none(
    latencies: list[tuple[float, float, float]], failing: list[str], seed: int
) -> None:
    """Whatever the latencies and failures, it chooses one of those offered, and goes on trying every one of them."""
    plugin = LowestLatency(explore=0.1, random=Random(seed).random)
    for seconds, fails in zip(latencies, itertools.cycle(failing), strict=False):
        assert driven(plugin, dict(zip("abc", seconds, strict=True)), fails)
    # Each of the others has 1 in 20: 400 calls miss one in a billion cases.
    assert {driven(plugin, {"a": 1, "b": 1, "c": 1})[0] for _ in range(400)} == {"a", "b", "c"}


@pytest.mark.parametrize("options", [
    {"weight": 0}, {"weight": 1.5}, {"weight": math.nan}, {"explore": -0.1}, {"explore": 2}, {"explore": math.nan},
    {"least": 0}, {"penalty": 0}, {"penalty": math.inf},
])  # fmt: skip
def test_refused_figures(options: dict[str, Any]) -> None:
    """Figures that cannot be meant are refused when the plugin is made."""
    with pytest.raises(ValueError, match=next(iter(options))):
        LowestLatency(**options)


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_refused_times(seconds: float) -> None:
    """A time to stay that cannot be meant is refused when the plugin is made."""
    with pytest.raises(ValueError, match=r"^seconds is finite"):
        Sticky(seconds)


# -- together --


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))], ids=lambda order: "".join(map(str, order)))
@pytest.mark.parametrize("chooser", [Sticky, functools.partial(LowestLatency, explore=0)], ids=["sticky", "latency"])
def test_they_compose_in_any_order(
    chooser: Callable[[], object], order: tuple[int, ...], sim: Simulator, clock: FakeClock
) -> None:
    """A chooser's choice is passed over where it rests or does not fit, whichever plugin was registered first."""
    nemo, _, old_small, pixtral = DEFAULT_MODELS
    rests = Rests()
    made = [chooser(), Fit(clock=clock), rests]
    sim.default(status(502))
    with chain_of(sim, clock, *(made[index] for index in order)) as chain:
        with pytest.raises(ChainExhausted):
            chain.complete("Hi")
        fetched()
        sim.script(old_small, answer())
        sim.script(pixtral, answer())
        for _ in range(12):
            chain.complete("Hi")
        # Of the two that answer either may be chosen now.
        assert chain.complete("Hi").attempts[0].model in (old_small, pixtral)
        rests.rests = {pixtral: 30.0}
        before = len(sim.models_asked)
        assert chain.complete(SEEN).attempts[-1].model == pixtral
        assert sim.models_asked[before:] == [SMALL, pixtral]
        rests.rests = {SMALL: 30.0, nemo: 5.0}
        before = len(sim.models_asked)
        chain.complete(SEEN)
        assert sim.models_asked[before:] == [pixtral]


def test_weighted_composes_with_fit(sim: Simulator, clock: FakeClock) -> None:
    """A draw falls on those that fit: one that does not is drawn, passed over, and drawn no more."""
    select = weighted({DEFAULT_MODELS[0]: 99, DEFAULT_MODELS[3]: 1})
    with chain_of(sim, clock, Fit(clock=clock), select=select) as chain:
        chain.complete("Hi")
        fetched()
        for _ in range(10):
            assert chain.complete(SEEN).requested_model == DEFAULT_MODELS[3]


def test_the_last_registered_chooser_decides(clock: FakeClock) -> None:
    """Of two that choose, the one registered last is asked first; one that abstains leaves it to the other."""
    sticky, fastest = Sticky(clock=clock), LowestLatency(least=1, explore=0)
    for _ in range(3):
        asked(fastest)
    assert asked(sticky, fails="a", took=1) == "a b"
    assert asked(fastest, sticky) == "b"
    assert asked(sticky, fastest) == "a"


# -- threads, processes --


def test_threads_share_them(sim: Simulator) -> None:
    """Many threads use one chain with all of them, and every call is answered."""
    nemo = DEFAULT_MODELS[0]
    sim.script(nemo, status(502), answer(), reset(), answer(), status(429), answer())
    plugins = [Fit(), Sticky(0.01), LowestLatency(least=1, explore=0.5)]
    errors: list[BaseException] = []

    with Chain(api_key="sk-test", base_url=sim.base_url, plugins=plugins, delay=0, rounds=3) as chain:

        def work() -> None:
            try:
                for _ in range(10):
                    assert chain.complete("Hi").text
            except BaseException as error:  # noqa: BLE001 - told by the thread that started this one
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        fetched()
    assert errors == []


def test_they_pickle_as_their_settings(sim: Simulator, clock: FakeClock) -> None:
    """An adapter's chain takes them to another process with their settings; what they saw stays."""
    plugins: list[Any] = [Sticky(60), LowestLatency(least=2), Fit(max_age=60)]
    chain = Chain(api_key="sk-test", base_url=sim.base_url, plugins=plugins, select=weighted({"a": 1}), delay=0)
    sim.script(DEFAULT_MODELS[0], status(502))
    chain.complete("Hi")
    fetched()
    there = pickle.loads(pickle.dumps(FallbackAdapter(chain))).chain
    manager = there.plugin_manager
    assert [manager.get_plugin(type(plugin).__name__)._settings for plugin in plugins] == [p._settings for p in plugins]
    assert manager.get_plugin("Sticky")._kept == manager.get_plugin("LowestLatency")._seen == {}


def test_what_is_kept_is_bounded() -> None:
    """Beyond so many the older half is forgotten."""
    kept: dict[int, int] = {}
    for number in range(2_500):
        keep(kept, number, number, most=100)
        assert len(kept) <= 100
    assert max(kept) == 2_499
