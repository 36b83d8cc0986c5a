"""The figures that the growth of counters makes; pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from orfallback import Ending, Reason
from orfallback.cli._top._counters import STARTED, Counters, Scrape, Series, Step
from orfallback.cli._top._figures import PIECES, Figures, Hops, Model, Piece, failed, ranked
from orfallback.cli._top._quantiles import spread

_CALLS = "orfallback_calls_total"
_ATTEMPTS = "orfallback_attempts_total"
_FALLBACKS = "orfallback_fallbacks_total"
_CALL_SECONDS = "orfallback_call_seconds_bucket"
_ATTEMPT_SECONDS = "orfallback_attempt_seconds_bucket"
_FIRST_TOKEN = "orfallback_first_token_seconds_bucket"  # noqa: S105 - the name of a metric
_WAITED = "orfallback_wait_seconds_total"
_TOKENS = "orfallback_tokens_total"
_COST = "orfallback_cost_usd_total"
_IN_PROGRESS = "orfallback_calls_in_progress"
_RESTS_UNTIL = "orfallback_rests_until_timestamp_seconds"
#: All that is read; a server may tell much more.
NAMES = frozenset(
    {
        _CALLS, _ATTEMPTS, _FALLBACKS, _CALL_SECONDS, _ATTEMPT_SECONDS, _FIRST_TOKEN, _WAITED, _TOKENS, _COST,
        _IN_PROGRESS, _RESTS_UNTIL, STARTED,
    }
)  # fmt: skip


class _Grown(NamedTuple):
    """By how much a series grew, which may be not at all."""

    series: Series
    amount: float


_ByName = Mapping[str, list[_Grown]]


def figures(counters: Counters, scrape: Scrape, at: float, now: float) -> Figures:
    """Return what the window says.

    :param counters: what grew in it.
    :param scrape: its last look.
    :param at: the end of the window, on the clock of the looks.
    :param now: the same instant in seconds since the epoch.
    """
    increase = counters.increase
    # One that did not grow says something, too: the bound of a bucket, the name of a model.
    grown: dict[str, list[_Grown]] = defaultdict(list)
    for series in {**scrape, **increase}:
        grown[series.name].append(_Grown(series, increase.get(series, 0.0)))
    grain = counters.window / PIECES
    place = math.floor(at / grain)
    hops, retries = _hops(grown[_FALLBACKS])
    progress = [value for series, value in scrape.items() if series.name == _IN_PROGRESS]
    return Figures(
        span=counters.span,
        endings=ranked(_counts(grown[_CALLS], "ending").items()),
        in_progress=sum(progress) if progress else None,
        seconds=spread(_buckets(grown[_CALL_SECONDS])),
        waited=_sum(grown[_WAITED]),
        hops=hops,
        retries=retries,
        models=tuple(_models(grown, _rests(scrape, now))),
        course=_course(counters.steps, place, grain),
        place=place,
    )


def _models(grown: _ByName, rests: Mapping[str, float]) -> Iterator[Model]:
    attempts, seconds = _by_model(grown[_ATTEMPTS]), _by_model(grown[_ATTEMPT_SECONDS])
    first, tokens, cost = (_by_model(grown[name]) for name in (_FIRST_TOKEN, _TOKENS, _COST))
    for name in sorted({*attempts, *seconds, *first, *tokens, *cost, *rests} - {""}):
        outcomes = _counts(attempts[name], "outcome")
        answered, left = (outcomes.pop(each, 0.0) for each in (Ending.ANSWERED.value, Reason.CANCELLED.value))
        yield Model(
            model=name,
            answered=answered,
            left=left,
            reasons=ranked(outcomes.items()),
            seconds=spread(_buckets(seconds[name])),
            first_token=spread(_buckets(first[name])),
            tokens=_sum(each for each in tokens[name] if each.series.label("kind") == "completion"),
            cost=_sum(cost[name]),
            rests=rests.get(name, 0.0),
        )


def _rests(scrape: Scrape, now: float) -> dict[str, float]:
    """Return for how long each model that has ever rested still does; 0 if it does not."""
    rests: dict[str, float] = {}
    for series, until in scrape.items():
        if series.name == _RESTS_UNTIL:
            # Processes that share no memory know of it each on its own.
            rests[series.label("model")] = max(until - now, rests.get(series.label("model"), 0.0))
    return rests


def _hops(grown: Iterable[_Grown]) -> tuple[tuple[Hops, ...], float]:
    """Return the fallbacks by kind, and how often a model was asked again."""
    kinds: dict[tuple[str, str, str], float] = defaultdict(float)
    for series, amount in grown:
        kinds[series.label("from_model"), series.label("to_model"), series.label("reason")] += amount
    hops = [Hops(*kind, count) for kind, count in kinds.items() if count > 0 and kind[0] != kind[1]]
    retries = sum(count for (start, goal, _), count in kinds.items() if start == goal)
    return tuple(sorted(hops, key=lambda each: (-each.times, each))), retries


def _by_model(grown: Iterable[_Grown]) -> defaultdict[str, list[_Grown]]:
    models: defaultdict[str, list[_Grown]] = defaultdict(list)
    for each in grown:
        models[each.series.label("model")].append(each)
    return models


def _counts(grown: Iterable[_Grown], label: str) -> dict[str, float]:
    counts: dict[str, float] = defaultdict(float)
    for series, amount in grown:
        counts[series.label(label)] += amount
    return counts


def _buckets(grown: Iterable[_Grown]) -> dict[float, float]:
    buckets: dict[float, float] = defaultdict(float)
    for series, amount in grown:
        bound = _bound(series.label("le"))
        if bound is not None:
            buckets[bound] += amount
    return buckets


def _bound(text: str) -> float | None:
    try:
        bound = float(text)
    except ValueError:
        return None
    return bound if bound > -math.inf else None


def _sum(grown: Iterable[_Grown]) -> float:
    return sum(each.amount for each in grown)


def _course(steps: Iterable[Step], last: int, grain: float) -> tuple[Piece, ...]:
    """Spread what happened in each step evenly over the pieces of time that it lies in.

    :param last: which piece is the last one.
    :param grain: how long each is, in seconds.
    """
    first = last - PIECES + 1
    counts, failures = [0.0] * PIECES, [0.0] * PIECES
    for step in steps:
        calls = _counts((_Grown(*each) for each in step.growth.items() if each[0].name == _CALLS), "ending")
        bad = sum(count for ending, count in calls.items() if failed(ending))
        for place, share in _shares(step.start / grain - first, step.end / grain - first):
            counts[place] += sum(calls.values()) * share
            failures[place] += bad * share
    return tuple(map(Piece, counts, failures))


def _shares(start: float, end: float) -> Iterator[tuple[int, float]]:
    """Yield the pieces that lie between two instants, and how many of 1 of that time lies in each."""
    for place in range(max(math.floor(start), 0), min(math.ceil(end), PIECES)):
        within = min(end, place + 1) - max(start, place)
        if within > 0 and end > start:
            yield place, within / (end - start)
