"""What calls cost: when, and at which model."""

from __future__ import annotations

from collections.abc import Iterator

from orfallback.cli._report import _words
from orfallback.cli._report._page import _parts
from orfallback.cli._report._page._markup import Markup, bdi, el, join
from orfallback.cli._report._page._scale import linear, timely
from orfallback.cli._report._summary import Model, Summary
from orfallback.cli._report._timeline import Bucket

# Models with a colour of their own; the others share one.
_OWN = 5
_HEAD, _HEIGHT, _FOOT, _BAR = 8, 130, 37, 16


def cost(summary: Summary) -> Iterator[Markup]:
    """Yield the part of the page that shows costs, if any are known."""
    paid = sorted((model for model in summary.models if model.cost), key=lambda model: -(model.cost or 0.0))
    if not summary.cost or not paid:
        return
    kinds = {model.name: f"m{min(index, _OWN)}" for index, model in enumerate(paid)}
    names = _words.short(each.name for each in summary.models)
    top, wasted = paid[0], summary.wasted
    share = _words.percent(top.cost or 0.0, summary.cost)
    title = f"{_words.money(summary.cost)} in all, {share} of it at {names[top.name]}"
    lost = f"Failed attempts cost {_words.money(wasted.cost)} ({_words.percent(wasted.cost, summary.cost)})"
    untold = f"{_words.things(summary.untold, 'answer')} told no cost and count as nothing. " if summary.untold else ""
    length = _words.length(summary.width)
    shared = [("m5", f"{len(paid) - _OWN} others")] if len(paid) > _OWN else []
    yield _parts.section(
        "cost", title,
        f"US dollars as the service told them, each bar {length}; times are in UTC. {untold}"
        f"{lost if wasted.cost else 'Failed attempts cost nothing that was told'}.",
        _parts.legend([*((kinds[model.name], model.name) for model in paid[:_OWN]), *shared]),
        el("figure", el("h3", "Over time"), _chart(
            "Cost over time, by model", f"Stacked bars, {length} each, {_words.money(summary.cost)} in all.",
            summary, kinds,
        ), id="cost-over-time"),
        el("figure", el("h3", "By model"), (_row(model, kinds[model.name], paid[0], summary) for model in paid[:12]),
           id="cost-by-model"),
    )  # fmt: skip


def _chart(title: str, desc: str, summary: Summary, kinds: dict[str, str]) -> Markup:
    bottom, width = _HEAD + _HEIGHT, 1 / len(summary.buckets)
    axis, levels = linear(max(sum(bucket.costs.values()) for bucket in summary.buckets))
    ticks = timely(summary.buckets[0].started, summary.buckets[-1].started + summary.width)
    named = [(bottom - _HEIGHT * axis.at(each), _round(each)) for each in levels]
    slots = []
    for index, bucket in enumerate(summary.buckets):
        y, drawn = float(bottom), []
        for kind, dollars in _by_kind(bucket, kinds):
            tall = _HEIGHT * axis.at(dollars)
            y -= tall
            drawn.append(_parts.box(kind, index * width, y, width, tall, data_cost=f"{dollars:.9g}"))
        slots.append(_parts.slot(_told(bucket), index * width, width, _HEAD, _HEIGHT, drawn))
    upright = (_parts.rule(tick.at, bottom, bottom + 4, "base") for tick in ticks)
    marks = join((_parts.level(y) for y, _ in named), slots, _parts.level(bottom, "base"), upright)
    named_below = _parts.below(ticks, bottom + 18, thinned=True)
    plot = _parts.picture(title, desc, bottom + _FOOT, marks, named_below, class_="bars")
    return _parts.beside(bottom + _FOOT, named, plot, class_="money")


def _round(dollars: float) -> str:
    return f"${dollars:,.3g}" if dollars < 1000 else _words.money(dollars)


def _by_kind(bucket: Bucket, kinds: dict[str, str]) -> list[tuple[str, float]]:
    summed: dict[str, float] = {}
    for model, dollars in bucket.costs.items():
        if dollars > 0:
            kind = kinds.get(model, "m5")
            summed[kind] = summed.get(kind, 0.0) + dollars
    return sorted(summed.items())


def _told(bucket: Bucket) -> str:
    lines = [f"{_words.when(bucket.started, '%d %b %H:%M').lstrip('0')}: {_words.money(sum(bucket.costs.values()))}"]
    ranked = sorted(bucket.costs.items(), key=lambda item: -item[1])
    return "\n".join([*lines, *(f"{model}: {_words.money(dollars)}" for model, dollars in ranked[:6])])


def _row(model: Model, kind: str, most: Model, summary: Summary) -> Markup:
    axis, dollars = linear(most.cost or 1.0, snug=True)[0], model.cost or 0.0
    told = f"{_words.money(dollars)} ({_words.percent(dollars, summary.cost or 0.0)})"
    each = f"{_words.money(1000 * dollars / model.answered)} per 1,000 answers" if model.answered else "no answers"
    drawn = _parts.box(kind, 0, 1, axis.at(dollars), _BAR - 2, data_cost=f"{dollars:.9g}")
    bar = _parts.picture(f"{model.name}: {told}", each, _BAR, drawn, class_="bars")  # fmt: skip
    lane = el(
        "div", el("span", each, class_="soft name"), el("div", bar, class_="plot"), el("span", told, class_="figures"),
        class_="lane wide",
    )  # fmt: skip
    return el("div", el("p", bdi(model.name), class_="name"), lane, class_="group")
