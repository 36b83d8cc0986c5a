"""A call log summed up in one pass: what is kept is a few floats a call, and the slowest calls."""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from orfallback._ending import Ending
from orfallback._record import Record, Try
from orfallback._verdict import Reason
from orfallback.cli._report import _words
from orfallback.cli._report._spread import spread_of
from orfallback.cli._report._summary import FELL_BACK, OTHER, OTHERS, OUTCOMES, Fallback, Model, Summary, Wasted
from orfallback.cli._report._timeline import Timeline

#: So many of the slowest calls are kept.
SLOWEST = 8
# So many models, reasons and steps between models are told apart; a log of nonsense may name a million.
_MOST_MODELS, _MOST_REASONS, _MOST_STEPS = 100, 50, 400
_ENDINGS = {str(ending) for ending in Ending}
_Value = TypeVar("_Value")


def summarise(records: Iterable[Record]) -> Summary | None:
    """Return what some calls come to; None if there are none.

    Names in it are fit to be shown.

    :param records: in any order; each is looked at once.
    """
    tally = _Tally()
    for record in records:
        tally.add(record)
    return tally.summary() if tally.calls else None


class _Asked:
    """What is known of a model so far."""

    def __init__(self) -> None:
        self.asked = self.answered = self.cancelled = self.served = 0
        self.latency, self.first_token = array("d"), array("d")
        self.reasons: Counter[str] = Counter()
        self.cost: float | None = None
        self.prompt_tokens = self.completion_tokens = 0

    def add(self, each: Try) -> None:
        self.asked += 1
        if each.first_token is not None:
            self.first_token.append(each.first_token)
        if each.reason is None:
            self.answered += 1
            self.latency.append(each.elapsed)
        elif each.reason == Reason.CANCELLED:
            self.cancelled += 1
        else:
            self.reasons[_known(_words.name(each.reason), self.reasons, _MOST_REASONS)] += 1
        if each.cost is not None:
            self.cost = (self.cost or 0.0) + each.cost
        self.prompt_tokens += each.prompt_tokens or 0
        self.completion_tokens += each.completion_tokens or 0

    def model(self, name: str) -> Model:
        return Model(
            name, self.asked, self.answered, self.cancelled, self.served, spread_of(self.latency),
            spread_of(self.first_token), dict(_ranked(self.reasons)), self.cost, self.prompt_tokens,
            self.completion_tokens,
        )  # fmt: skip


class _Tally:
    """What is known so far.

    :ivar calls: how many there were.
    """

    def __init__(self) -> None:
        self.calls = self._streams = self._fell_back = self._attempts = self._untold = 0
        self._first, self._last = float("inf"), float("-inf")
        self._outcomes: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        self._seconds, self._first_token = array("d"), array("d")
        self._waited = 0.0
        self._models: dict[str, _Asked] = {}
        self._steps: dict[tuple[str, str], Counter[str]] = {}
        self._slowest: list[tuple[float, int, Record]] = []
        self._cost: float | None = None
        self._wasted = Wasted(0, 0.0, 0.0, 0)
        self._timeline = Timeline()

    def add(self, record: Record) -> None:
        """Take a call into account."""
        self.calls += 1
        self._first, self._last = min(self._first, record.started), max(self._last, record.started)
        self._streams += record.mode == "stream"
        bucket = self._timeline.at(record.started)
        for each in record.attempts:
            model = self._add_attempt(each)
            if each.cost is not None:
                bucket.costs[model] = bucket.costs.get(model, 0.0) + each.cost
        self._attempts += len(record.attempts) + record.left_out
        self._waited += record.waited
        for before, behind in _steps(record):
            self._add_step(before, behind)
        fell_back = any(_target(each) != _target(record.attempts[0]) for each in record.attempts)
        self._fell_back += fell_back
        outcome = record.ending if record.ending in _ENDINGS else OTHER
        if outcome == Ending.ANSWERED:
            self._seconds.append(record.seconds)
            outcome = FELL_BACK if fell_back else outcome
        self._outcomes[outcome] += 1
        bucket.outcomes[outcome] += 1
        if record.first_token is not None:
            self._first_token.append(record.first_token)
        if record.served is not None:
            self._asked(record.served.model)[1].served += 1
        entry = (record.seconds, -self.calls, record)
        (heapq.heappush if len(self._slowest) < SLOWEST else heapq.heappushpop)(self._slowest, entry)

    def summary(self) -> Summary:
        """Return what it comes to."""
        models = sorted(self._models, key=lambda name: (-self._models[name].served, -self._models[name].asked, name))
        steps = [Fallback(*step, dict(_ranked(reasons))) for step, reasons in self._steps.items()]
        return Summary(
            self.calls, self._first, self._last, self._streams, dict(self._outcomes), self._fell_back, self._attempts,
            spread_of(self._seconds), spread_of(self._first_token), self._waited,
            tuple(self._models[name].model(name) for name in models),
            tuple(sorted(steps, key=lambda step: (-step.times, step.source, step.target))),
            tuple(_fit_to_show(record) for _, _, record in sorted(self._slowest, reverse=True)),
            self._cost, self._untold, self._wasted, self._timeline.width, tuple(self._timeline),
        )  # fmt: skip

    def _add_attempt(self, each: Try) -> str:
        name, asked = self._asked(each.model)
        asked.add(each)
        if each.cost is not None:
            self._cost = (self._cost or 0.0) + each.cost
        elif each.reason is None:
            self._untold += 1
        if each.reason not in (None, Reason.CANCELLED):
            attempts, seconds, cost, tokens = self._wasted
            tokens += (each.prompt_tokens or 0) + (each.completion_tokens or 0)
            self._wasted = Wasted(attempts + 1, seconds + each.elapsed, cost + (each.cost or 0.0), tokens)
        return name

    def _add_step(self, before: Try, behind: Try) -> None:
        names = (self._asked(before.model)[0], self._asked(behind.model)[0])
        if names[0] == names[1]:
            # The same model elsewhere.
            names = (f"{names[0]} at {_host(before)}", f"{names[1]} at {_host(behind)}")
        reasons = self._steps.setdefault(_known(names, self._steps, _MOST_STEPS, (OTHERS, OTHERS)), Counter())
        reasons[_known(_words.name(before.reason or "?"), reasons, _MOST_REASONS)] += 1

    def _asked(self, model: str) -> tuple[str, _Asked]:
        name = _known(_words.name(model), self._models, _MOST_MODELS)
        return name, self._models.setdefault(name, _Asked())


def _known(value: _Value, among: Mapping[_Value, object], most: int, others: object = OTHERS) -> _Value:
    """Return a value if it is known, or may still become so; else what stands for all others."""
    return value if value in among or len(among) < most else others  # type: ignore[return-value]  # of its type


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _target(each: Try) -> tuple[str, str]:
    return each.model, each.endpoint


def _host(each: Try) -> str:
    return _words.name(each.endpoint.partition("://")[2].partition("/")[0])


def _steps(record: Record) -> Iterator[tuple[Try, Try]]:
    """Yield each attempt that another target's followed, with that."""
    for index, (before, behind) in enumerate(zip(record.attempts, record.attempts[1:], strict=False), 1):
        # What a record leaves out lies in its middle.
        left_out_here = record.left_out and index == len(record.attempts) // 2
        if _target(before) != _target(behind) and not left_out_here:
            yield before, behind


def _fit_to_show(record: Record) -> Record:
    attempts = [
        each._replace(
            model=_words.name(each.model), endpoint="", message=_words.message(each.message),
            served_model=None, provider=None, generation_id=None,
            reason=None if each.reason is None else _words.name(each.reason),
        )
        for each in record.attempts
    ]  # fmt: skip
    ending = record.ending if record.ending in _ENDINGS else OTHER
    return record._replace(
        id=_words.name(record.id), ending=ending, attempts=tuple(attempts), extra={},
        error=None if record.error is None else _words.name(record.error),
    )  # fmt: skip
