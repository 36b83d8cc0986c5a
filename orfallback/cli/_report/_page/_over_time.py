"""When calls were made, and how they went."""

from __future__ import annotations

from collections.abc import Mapping

from orfallback._ending import Ending
from orfallback.cli._report import _words
from orfallback.cli._report._page import _parts
from orfallback.cli._report._page._markup import Markup, el, join
from orfallback.cli._report._page._scale import Linear, Tick, linear, timely
from orfallback.cli._report._page._style import kind
from orfallback.cli._report._summary import FELL_BACK, OUTCOMES, Summary, unanswered
from orfallback.cli._report._timeline import Bucket

# Above the bars there is room for what the uppermost line is called (pixels).
_HEAD, _COUNTS, _SHARES, _FOOT = 8, 130, 130, 37
# From the base line up: what went worst stands on it, where heights can be compared.
_STACK = (
    str(Ending.FAILED), str(Ending.ABORTED), str(Ending.BROKEN), "other", str(Ending.DEGRADED), str(Ending.LEFT),
    FELL_BACK, str(Ending.ANSWERED),
)  # fmt: skip


def over_time(summary: Summary) -> Markup:
    """Return the part of the page that shows calls over time."""
    there = [outcome for outcome in OUTCOMES if summary.outcomes[outcome]]
    first, last = summary.buckets[0].started, summary.buckets[-1].started + summary.width
    ticks = timely(first, last)
    length = _words.length(summary.width)
    most = max(bucket.outcomes.total() for bucket in summary.buckets)
    counts, levels = linear(most)
    worst = max(1 - _share(bucket, str(Ending.ANSWERED)) for bucket in summary.buckets)
    shares, steps = linear(worst)
    marks = {each: _words.number(each) for each in levels if each == int(each)}
    of_all = {each: f"{100 * each:.3g} %" for each in steps}
    totals = ", ".join(f"{each} {_words.number(summary.outcomes[each])}" for each in there)
    return _parts.section(
        "over-time", _finding(summary),
        f"Each bar is {length}; times are in UTC. Above: calls, by how they went. Below: the share of each bar's calls "
        "that the first model asked did not answer, on an axis of its own.",
        _parts.legend((_kind(outcome), outcome) for outcome in there),
        el("figure", el("h3", "Calls"), _chart(
            "Calls over time, by how they went", f"Stacked bars, {length} each. In all: {totals}.",
            summary, counts, _COUNTS, marks, ticks, in_shares=False,
        ), id="calls"),
        el("figure", el("h3", "Share not answered by the first model asked"), _chart(
            "Share of calls that fell back, were left, broke or failed", f"Stacked bars, {length} each, in percent.",
            summary, shares, _SHARES, of_all, ticks, in_shares=True,
        ), id="shares"),
        _parts.details("The figures", _table(summary, there)),
    )  # fmt: skip


def _finding(summary: Summary) -> str:
    """Say in a sentence what is seen."""
    fell = f"{_words.percent(summary.outcomes[FELL_BACK], summary.calls)} were answered after a fallback"
    bad = summary.unanswered
    if not bad:
        return f"No call was without an answer; {fell}" if summary.outcomes[FELL_BACK] else "No call needed a fallback"
    worst = max(summary.buckets, key=lambda bucket: unanswered(bucket.outcomes))
    return (
        f"{_words.things(bad, 'call')} ended without a whole answer, {_words.number(unanswered(worst.outcomes))} of "
        f"them in the {_words.length(summary.width)} from {_words.when(worst.started, '%H:%M on %d %b')}; {fell}"
    )


def _share(bucket: Bucket, outcome: str) -> float:
    """Return the share of an outcome; of no calls at all, that of answers is whole."""
    calls = bucket.outcomes.total()
    return bucket.outcomes[outcome] / calls if calls else float(outcome == Ending.ANSWERED)


def _kind(outcome: str) -> str:
    return "fallback" if outcome == FELL_BACK else kind(outcome)


def _chart(
    title: str, desc: str, summary: Summary, axis: Linear, height: int, levels: Mapping[float, str],
    ticks: list[Tick], *, in_shares: bool,
) -> Markup:  # fmt: skip
    bottom = _HEAD + height
    width = 1 / len(summary.buckets)
    named = [(bottom - height * axis.at(each), label) for each, label in levels.items()]
    slots = []
    for index, bucket in enumerate(summary.buckets):
        calls, y, drawn = bucket.outcomes.total(), float(bottom), []
        for outcome in _STACK[: -1 if in_shares else None]:
            count = bucket.outcomes[outcome]
            if count:
                tall = height * axis.at(_share(bucket, outcome) if in_shares else count)
                y -= tall
                drawn.append(_parts.box(_kind(outcome), index * width, y, width, tall, data_n=count))
        told = _told(bucket, summary.width)
        slots.append(_parts.slot(told, index * width, width, _HEAD, height, drawn, data_calls=calls))
    upright = (_parts.rule(tick.at, bottom, bottom + 4, "base") for tick in ticks)
    marks = join((_parts.level(y) for y, _ in named), slots, _parts.level(bottom, "base"), upright)
    named_below = _parts.below(ticks, bottom + 18, thinned=True)
    plot = _parts.picture(title, desc, bottom + _FOOT, marks, named_below, class_="bars")
    return _parts.beside(bottom + _FOOT, named, plot)


def _told(bucket: Bucket, width: int) -> str:
    calls = bucket.outcomes.total()
    lines = [f"{_span(bucket, width)}: {_words.things(calls, 'call')}"]
    for outcome in OUTCOMES:
        if bucket.outcomes[outcome]:
            share = _words.percent(bucket.outcomes[outcome], calls)
            lines.append(f"{outcome}: {_words.number(bucket.outcomes[outcome])} ({share})")
    return "\n".join(lines)


def _span(bucket: Bucket, width: int) -> str:
    if width >= 86_400:
        return _words.when(bucket.started, "%d %b %Y").lstrip("0")
    form = "%H:%M" if width >= 60 else "%H:%M:%S"
    begins = _words.when(bucket.started, f"%d %b {form}").lstrip("0")
    return f"{begins} to {_words.when(bucket.started + width, form)}"


def _table(summary: Summary, there: list[str]) -> Markup:
    rows = (
        [
            (_span(bucket, summary.width), bucket.started), (_words.number(bucket.outcomes.total()), 0),
            *((_words.number(bucket.outcomes[outcome]), 0) for outcome in there),
        ]
        for bucket in summary.buckets if bucket.outcomes
    )  # fmt: skip
    return _parts.table(("time (UTC)", "calls", *there), rows, caption="Calls over time")
