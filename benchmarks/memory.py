"""What a chain's memory is worth: 10,000 calls at ten a second, in virtual time, over the real engine.

Run it from anywhere: ``python benchmarks/memory.py`` prints a table, ``--plot FILE`` draws the courses. It needs
greenlet, and matplotlib to draw. No model is asked and nobody waits: models fail by a schedule, and calls overlap as
they would. What a model does with a call is settled beforehand, so that a chain with memory and one without meet the
same weather.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import math
import random
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from greenlet import getcurrent, greenlet

from orfallback import Cooldown, FallbackError, Outcome, Reason, Target, Verdict, in_order
from orfallback._engine import run
from orfallback._plugins import STRATEGIES, PluginManager, Strategies
from orfallback._types import Call

CALLS, A_SECOND = 10_000, 10
MODELS = "abcd"
#: How long a model takes to answer, and to say that it is busy (s).
ANSWERS, REFUSES = 1.0, 0.2
#: The default wait before the next model (s).
DELAY = 2.0

#: Tells whether a model answers a call at an instant; the last argument is a number of the two's own, 0 to 1.
Weather = Callable[[str, float, float], bool]


def _first_out(model: str, now: float, luck: float) -> bool:
    return model != "a"


def _all_out(model: str, now: float, luck: float) -> bool:
    return False


def _at_random(share: float) -> Weather:
    return lambda model, now, luck: luck >= share


def _a_minute_in_ten(model: str, now: float, luck: float) -> bool:
    return model != "a" or now % 600 >= 60


def _flapping(model: str, now: float, luck: float) -> bool:
    return model != "a" or now % 10 >= 5


def _slow_recovery(model: str, now: float, luck: float) -> bool:
    """Out for 100 s, and then well again little by little, for 500 s."""
    return model != "a" or luck < (now - 100) / 500


def _seldom(model: str, now: float, luck: float) -> bool:
    return model != "a" or luck >= 0.01


def _out_and_hiccups(model: str, now: float, luck: float) -> bool:
    return model == "b" and luck >= 0.01


WEATHERS: Mapping[str, Weather] = {
    "all well": _at_random(0.0),
    "one of four is out": _first_out,
    "all are out": _all_out,
    "each fails 5 % at random": _at_random(0.05),
    "each fails 30 % at random": _at_random(0.3),
    "one is out a minute in ten": _a_minute_in_ten,
    "one flaps, 5 s on, 5 s off": _flapping,
    "one recovers slowly": _slow_recovery,
    "the first fails 1 % at random": _seldom,
    "three are out, one fails 1 %": _out_and_hiccups,
}


class VirtualTime:
    """A clock on which calls overlap and nobody waits: whoever sleeps lets the others run until then.

    :ivar now: the instant (s).
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, greenlet]] = []
        self._numbers = itertools.count()

    def monotonic(self) -> float:
        """Return the instant."""
        return self.now

    def time(self) -> float:
        """Return the instant as wall time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let the others run until then."""
        me = getcurrent()
        heapq.heappush(self._due, (self.now + seconds, next(self._numbers), me))
        assert me.parent is not None
        me.parent.switch()

    def at(self, instant: float, function: Callable[[], None]) -> None:
        """Let something begin at an instant."""
        heapq.heappush(self._due, (instant, next(self._numbers), greenlet(function)))

    def run(self) -> None:
        """Run until nobody has anything left to do."""
        while self._due:
            self.now, _, task = heapq.heappop(self._due)
            task.switch()


class Course(NamedTuple):
    """What one call came to.

    :ivar at: when it began (s).
    :ivar requests: how many were made for it.
    :ivar answered: whether it has an answer.
    :ivar lasted: how long it took (s).
    :ivar model: who answered, or None.
    """

    at: float
    requests: int
    answered: bool
    lasted: float
    model: str | None


@dataclass
class Result:
    """What all calls came to."""

    courses: list[Course] = field(default_factory=list)

    @property
    def requests(self) -> float:
        """Requests for each call."""
        return statistics.fmean(course.requests for course in self.courses)

    @property
    def answered(self) -> float:
        """The share of calls that have an answer, 0 to 1."""
        return statistics.fmean(course.answered for course in self.courses)

    @property
    def first(self) -> float:
        """The share of calls that the preferred model answered, 0 to 1."""
        return statistics.fmean(course.model == MODELS[0] for course in self.courses)

    @property
    def lasted(self) -> float:
        """How long a call took (s)."""
        return statistics.fmean(course.lasted for course in self.courses)


def simulate(weather: Weather, *, memory: bool, calls: int = CALLS) -> Result:
    """Make the calls.

    :param memory: whether the chain has its default cooldown, or none.
    """
    clock = VirtualTime()
    plugins = PluginManager()
    plugins.register(Strategies(in_order, _by_body, lambda call, attempt: DELAY), STRATEGIES)
    if memory:
        plugins.register(Cooldown(clock=clock))
    hooks = plugins.hooks()
    targets = [Target(model, base_url="https://models.test/v1", endpoint="https://models.test") for model in MODELS]
    result = Result()

    def send(call: Call, target: Target) -> Outcome:
        # One number a call and model, whoever asks when: both chains meet the same luck.
        good = weather(target.model, clock.now, random.Random(f"{call.id} {target.model}").random())
        clock.sleep(ANSWERS if good else REFUSES)
        verdict = None if good else Verdict.fallback(Reason.BUSY)
        return Outcome(status=200 if good else 503, value="hi" if good else None, body=verdict, url=target.base_url)

    def make(number: int) -> None:
        began = clock.now
        call = Call(f"{number}", {"messages": []}, stream=False, started=began, deadline=math.inf)
        try:
            answered = run(call, targets, hooks, send, clock, rounds=1)
            ended = answered.finish()
            answered.end(None)
            attempts, model = len(ended.attempts), ended.attempts[-1].model
        except FallbackError as error:
            attempts, model = len(error.attempts), None
        result.courses.append(Course(began, attempts, model is not None, clock.now - began, model))

    for number in range(calls):
        clock.at(number / A_SECOND, lambda number=number: make(number))  # type: ignore[misc]
    clock.run()
    return result


def _by_body(call: Call, outcome: Outcome, /) -> Verdict | None:
    body: Any = outcome.body
    return body if isinstance(body, Verdict) else None


def table(results: Mapping[str, tuple[Result, Result]]) -> str:
    """Return the results as a table, for a page or a terminal."""
    lines = ["| weather | requests a call | answered | by the first | seconds a call |", "|---|--:|--:|--:|--:|"]
    for name, (plain, memory) in results.items():
        lines.append(
            f"| {name} | {plain.requests:.3f} → {memory.requests:.3f} | {plain.answered:.1%} → {memory.answered:.1%} "
            f"| {plain.first:.0%} → {memory.first:.0%} | {plain.lasted:.2f} → {memory.lasted:.2f} |"
        )
    return "\n".join(lines)


def plot(results: Mapping[str, tuple[Result, Result]], path: str) -> None:
    """Draw requests and answers over time, plain and with memory."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    shown = ["one of four is out", "all are out", "one is out a minute in ten", "one recovers slowly"]
    mpl.rcParams.update({"svg.hashsalt": "orfallback", "svg.fonttype": "none", "font.size": 9})
    figure, axes = plt.subplots(2, len(shown), figsize=(11, 4.6), sharex=True, sharey="row", layout="constrained")
    for column, name in enumerate(shown):
        # Where both are the same, the wide one shows behind the narrow one.
        styles = ({"color": "#e0a078", "linewidth": 4.0}, {"color": "#1a62c2", "linewidth": 1.4})
        for result, label, style in zip(results[name], ("plain", "with memory"), styles, strict=True):
            times, requests, answered = _courses(result)
            axes[0, column].plot(times, requests, label=label, **style)
            axes[1, column].plot(times, answered, label=label, **style)
        axes[0, column].set_title(name)
        axes[1, column].set_xlabel("seconds")
        axes[1, column].set_ylim(-5, 105)
        for axis in axes[:, column]:
            axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("requests a second")
    axes[0, 0].set_ylim(0, 45)
    axes[1, 0].set_ylabel("calls answered (%)")
    axes[0, 0].legend(frameon=False)
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)


def _courses(result: Result, window: float = 10.0) -> tuple[list[float], list[float], list[float]]:
    """Return, for each window of time, requests a second and the share of calls answered (%)."""
    parts: dict[int, list[Course]] = {}
    for course in result.courses:
        parts.setdefault(int(course.at // window), []).append(course)
    times = sorted(parts)
    return (
        [time * window for time in times],
        [sum(course.requests for course in parts[time]) / window for time in times],
        [100 * statistics.fmean(course.answered for course in parts[time]) for time in times],
    )


def main() -> None:
    """Print the table, and draw the plot where one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", metavar="FILE", help="draw the courses over time, as SVG or PNG")
    arguments = parser.parse_args()
    results = {
        name: (simulate(weather, memory=False), simulate(weather, memory=True)) for name, weather in WEATHERS.items()
    }
    print(table(results))
    if arguments.plot:
        plot(results, arguments.plot)


if __name__ == "__main__":
    main()
