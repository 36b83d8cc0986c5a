"""How long models take: what half, and nearly all, of their answers stay below."""

from __future__ import annotations

from collections.abc import Iterator

from orfallback.cli._report import _words
from orfallback.cli._report._page._markup import Markup, bdi, el
from orfallback.cli._report._page._parts import axis_lane, picture, rule, section
from orfallback.cli._report._page._scale import Logarithmic, Tick, logarithmic
from orfallback.cli._report._spread import Spread
from orfallback.cli._report._summary import Model, Summary

# So many models are shown; a lane is as high as (pixels).
_MODELS, _HEIGHT = 12, 22
_MIDDLE = _HEIGHT / 2


def latency(summary: Summary) -> Iterator[Markup]:
    """Yield the part of the page that shows how long models take, if any answered."""
    timed = [model for model in summary.models if model.latency.size or model.first_token.size]
    shown = timed[:_MODELS]
    if not shown:
        return
    spreads = [spread for model in shown for spread in (model.latency, model.first_token)]
    axis, ticks = logarithmic(value for spread in spreads for value in spread[1:] if value is not None)
    names = _words.short(each.name for each in summary.models)
    more = f" {_words.things(len(timed) - len(shown), 'more model')} not shown." if len(timed) > len(shown) else ""
    yield section(
        "latency", _finding(shown, names),
        "Seconds on a logarithmic axis: half of the times are below the dot (p50), 95 % below the tall stroke (p95), "
        f"99 % below the end (p99). Filled: the whole answer. Hollow: the first token of streams.{more}",
        el("figure", (_group(model, axis, ticks) for model in shown), axis_lane(ticks, "seconds", "p50 · p95 · p99")),
    )  # fmt: skip


def _finding(models: list[Model], names: dict[str, str]) -> str:
    timed = sorted((model.latency.p50, model.name) for model in models if model.latency.p50 is not None)
    if not timed:
        return "No model gave a whole answer"
    (fast, first), (slow, last) = timed[0], timed[-1]
    if len(timed) == 1:
        return f"Half of the answers of {names[first]} took at most {_words.seconds(fast)}"
    return f"{names[first]} is the fastest: median {_words.seconds(fast)}; {names[last]} takes {_words.seconds(slow)}"


def _group(model: Model, axis: Logarithmic, ticks: list[Tick]) -> Markup:
    lanes = [("whole answer", "whole", model.latency), ("first token", "first", model.first_token)]
    drawn = (_lane(model, *lane, axis, ticks) for lane in lanes if lane[2].size)
    return el("div", el("p", bdi(model.name), class_="name"), drawn, class_="group")


def _lane(model: Model, label: str, kind: str, spread: Spread, axis: Logarithmic, ticks: list[Tick]) -> Markup:
    p50, p95, p99 = (axis.at(value or 0.0) for value in (spread.p50, spread.p95, spread.p99))
    told = " · ".join(_words.seconds(value) for value in spread[1:])
    plot = picture(
        f"{model.name}: {label}", f"p50, p95 and p99 of {_words.number(spread.size)}: {told}", _HEIGHT,
        (rule(tick.at, 0, _HEIGHT) for tick in ticks),
        el("g", el("title", f"{label}, {_words.number(spread.size)} timed\np50 {_words.seconds(spread.p50)}\n"
                            f"p95 {_words.seconds(spread.p95)}\np99 {_words.seconds(spread.p99)}"),
           el("rect", x=_percent(p50), y=0, width=_percent(max(p99 - p50, 0.004)), height=_HEIGHT, class_="hit"),
           el("line", x1=_percent(p50), x2=_percent(p99), y1=_MIDDLE, y2=_MIDDLE, class_="range"),
           rule(p95, _MIDDLE - 7, _MIDDLE + 7, "p95"), rule(p99, _MIDDLE - 3.5, _MIDDLE + 3.5, "p99"),
           el("circle", cx=_percent(p50), cy=_MIDDLE, r=5, class_="dot")),
        class_=kind,
    )  # fmt: skip
    return el(
        "div", el("span", label, class_="soft name"), el("div", plot, class_="plot"),
        el("span", told, class_="figures"), class_="lane", data_n=spread.size,
        **{f"data_{name}": getattr(spread, name) for name in ("p50", "p95", "p99")},
    )  # fmt: skip


def _percent(share: float) -> str:
    return f"{100 * share:.3f}%"
