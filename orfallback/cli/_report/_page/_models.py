"""What each model did, in figures; and who stepped in for whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orfallback.cli._report import _words
from orfallback.cli._report._page._markup import Markup, bdi
from orfallback.cli._report._page._parts import section, table
from orfallback.cli._report._summary import Model, Summary

# Rows beyond these are told of as so many more.
_ROWS = 20
_COLUMNS = (
    "model", "asked", "answered", "served", "share", "p50", "p95", "first token p50", "first token p95", "cost",
    "tokens in", "tokens out",
)  # fmt: skip


def models(summary: Summary) -> Markup:
    """Return the part of the page that has a row for each model."""
    top = summary.models[0] if summary.models else None
    title = "No model was asked"
    if top is not None:
        title = f"{_words.short(each.name for each in summary.models)[top.name]} served "
        title += f"{_words.percent(top.served, summary.calls)} of the calls"
        others = len(summary.models) - 1
        rest = _words.percent(sum(each.served for each in summary.models[1:]), summary.calls)
        title += f", {_words.things(others, 'other model')} {rest}" if others else ""
    left = len(summary.models) - _ROWS
    return section(
        "models", title,
        "Asked: attempts. Answered: the share of them with a whole answer, cancelled ones left aside. Served: calls "
        "whose caller got its answer. Times are those of its own attempts. A model that rested was not asked."
        + (f" {_words.things(left, 'more model')} not shown." if left > 0 else ""),
        table(_COLUMNS, (_cells(each, summary.calls) for each in summary.models[:_ROWS]),
              class_="sorting stacking", caption="Models"),
    )  # fmt: skip


def _cells(model: Model, calls: int) -> list[tuple[str, object]]:
    tried = model.asked - model.cancelled
    times = (model.latency.p50, model.latency.p95, model.first_token.p50, model.first_token.p95)
    return [
        (bdi(model.name), model.name),
        (_words.number(model.asked), model.asked),
        (_words.percent(model.answered, tried) or "–", model.answered / tried if tried else 0),
        (_words.number(model.served), model.served),
        (_words.percent(model.served, calls), model.served),
        *((_words.seconds(each) or "–", each or 0) for each in times),
        (_words.money(model.cost) or "–", model.cost or 0),
        (_words.number(model.prompt_tokens), model.prompt_tokens),
        (_words.number(model.completion_tokens), model.completion_tokens),
    ]


def fallbacks(summary: Summary) -> Iterator[Markup]:
    """Yield the part of the page that says who stepped in for whom, if anybody did."""
    if not summary.fallbacks:
        return
    steps = summary.fallbacks
    names = _words.short(each.name for each in summary.models)
    most = steps[0]
    title = f"{names.get(most.target, most.target)} stepped in for {names.get(most.source, most.source)} "
    title += f"{_words.number(most.times)} times, of {_words.things(sum(each.times for each in steps), 'fallback')}"
    rows = (
        [
            (bdi(step.source), step.source), (bdi(step.target), step.target), (_words.number(step.times), step.times),
            (listed(step.reasons), step.times),
        ]
        for step in steps[:_ROWS]
    )  # fmt: skip
    yield section(
        "fallbacks", title, "Each step from a model that failed to the one asked next, and why the first had failed.",
        table(("from", "to", "times", "because of"), rows, words=(1, 3), class_="stacking wide", caption="Fallbacks"),
    )  # fmt: skip


def listed(reasons: Mapping[str, int]) -> str:
    """Return reasons and how often, in words."""
    return ", ".join(f"{reason} {_words.number(count)}" for reason, count in reasons.items())
