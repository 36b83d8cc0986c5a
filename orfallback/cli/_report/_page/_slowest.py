"""The calls that took longest, attempt by attempt."""

from __future__ import annotations

from collections.abc import Mapping

from orfallback._record import Record
from orfallback.cli._report import _words
from orfallback.cli._report._course import Leg, legs
from orfallback.cli._report._page._markup import Markup, bdi, el
from orfallback.cli._report._page._parts import axis_lane, box, legend, picture, rule, section, swatch
from orfallback.cli._report._page._scale import Linear, Tick, linear
from orfallback.cli._report._page._style import kind
from orfallback.cli._report._summary import Summary

# So many attempts of a call are shown; one is as high as (pixels).
_LEGS, _HEIGHT = 8, 22


def slowest(summary: Summary) -> Markup:
    """Return the part of the page that shows the slowest calls."""
    calls = summary.slowest
    axis, values = linear(max(record.seconds for record in calls), 6, snug=True)
    ticks = [Tick(axis.at(value), f"{value:,.3g} s") for value in values]
    there = {kind(leg.outcome): leg.outcome for record in calls for leg in legs(record, _LEGS)}
    told = [(name, "other" if name == "other" else outcome) for name, outcome in there.items()]
    names = _words.short(each.name for each in summary.models)
    head, waited = calls[0], calls[0].waited
    attempts = _words.things(len(head.attempts) + head.left_out, "attempt")
    title = f"The slowest call took {_words.seconds(head.seconds)}: {attempts}"
    title += f", and {_words.seconds(waited)} of waiting in between" if waited else ""
    return section(
        "slowest", title,
        "Each bar is an attempt, from the call's start on, and says how it ended; a dotted line is a wait before it.",
        legend(told),
        el(
            "figure", (_call(record, axis, ticks, names) for record in calls),
            axis_lane(ticks, "seconds since the call began", "it took"), class_="attempts",
        ),
    )  # fmt: skip


def _call(record: Record, axis: Linear, ticks: list[Tick], names: Mapping[str, str]) -> Markup:
    error = f", {record.error}" if record.error else ""
    head = el(
        "p", el("strong", _words.seconds(record.seconds)), el("span", f"{record.ending}{error}"),
        el("span", f"{_words.when(record.started, '%d %b %H:%M:%S').lstrip('0')} UTC", class_="soft"),
        el("span", record.id, class_="id"),
    )  # fmt: skip
    lanes = [_lane(leg, axis, ticks, names) for leg in legs(record, _LEGS)]
    return el("div", head, lanes or el("p", "Nobody was asked.", class_="soft"), class_="call", data_s=record.seconds)


def _lane(leg: Leg, axis: Linear, ticks: list[Tick], names: Mapping[str, str]) -> Markup:
    attempt = leg.attempt
    model = names.get(attempt.model, attempt.model)
    begins, ends = axis.at(leg.begins), axis.at(leg.begins + attempt.elapsed)
    waits = axis.at(leg.begins - attempt.waited)
    y = _HEIGHT / 2
    line = el("line", x1=f"{100 * waits:.3f}%", x2=f"{100 * begins:.3f}%", y1=y, y2=y, class_="waited")
    waited = f"waited {_words.seconds(attempt.waited)}, then " if attempt.waited else ""
    quoted = f": {attempt.message}" if attempt.message else ""
    told = f"{attempt.model}: {waited}{leg.outcome} after {_words.seconds(attempt.elapsed)}"
    bar = box(
        kind(leg.outcome), begins, 4, max(ends - begins, 0.003), _HEIGHT - 8, data_s=attempt.elapsed,
        data_wait=attempt.waited,
    )  # fmt: skip
    plot = picture(
        told, f"Starts {_words.seconds(leg.begins)} after the call{quoted}", _HEIGHT,
        (rule(tick.at, 0, _HEIGHT) for tick in ticks), line if attempt.waited else "",
        el("g", el("title", f"{told}{quoted}"), bar),
    )  # fmt: skip
    status = f" {attempt.status}" if attempt.status is not None and attempt.reason is not None else ""
    gap = el("div", f"{_words.things(leg.left_out, 'attempt')} not shown", class_="soft") if leg.left_out else ""
    said = el("span", f"{leg.outcome}{status}", class_="said")
    name = el("span", swatch(kind(leg.outcome)), bdi(model), said, class_="name")
    time = el("span", _words.seconds(attempt.elapsed), class_="figures")
    return Markup(gap + el("div", name, el("div", plot, class_="plot"), time, class_="lane"))
