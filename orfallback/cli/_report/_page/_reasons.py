"""Why attempts failed, model by model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from orfallback.cli._report import _words
from orfallback.cli._report._page._markup import Markup, bdi, el
from orfallback.cli._report._page._models import listed
from orfallback.cli._report._page._parts import axis_lane, box, legend, picture, rule, section
from orfallback.cli._report._page._scale import Linear, Tick, linear
from orfallback.cli._report._page._style import kind
from orfallback.cli._report._summary import Model, Summary

# So many models are shown; a bar is as high as (pixels).
_MODELS, _HEIGHT = 12, 20


def reasons(summary: Summary) -> Iterator[Markup]:
    """Yield the part of the page that shows why attempts failed, if any did."""
    failing = sorted((model for model in summary.models if model.failed), key=lambda model: -model.failed)
    shown = failing[:_MODELS]
    if not shown:
        return
    total: Counter[str] = Counter()
    for model in failing:
        total.update(model.reasons)
    axis, values = linear(shown[0].failed, snug=True)
    ticks = [Tick(axis.at(value), _words.number(value)) for value in values if value == int(value)]
    more = f" {_words.things(len(failing) - len(shown), 'more model')} not shown." if len(failing) > len(shown) else ""
    names = _words.short(each.name for each in summary.models)
    (top, times), attempts = total.most_common(1)[0], total.total()
    title = f"{_words.things(attempts, 'attempt')} failed, most often {top} ({_words.number(times)}); "
    yield section(
        "reasons", f"{title}{_words.percent(shown[0].failed, attempts)} of them at {names[shown[0].name]}",
        f"Failed attempts of each model, by reason. Textured: what will not pass by waiting.{more}",
        _legend(total),
        el("figure", (_group(model, axis, ticks) for model in shown), axis_lane(ticks, "attempts", "failed of asked")),
    )  # fmt: skip


def _legend(total: Counter[str]) -> Markup:
    """Return what colours mean; reasons that this version does not know share one."""
    there: dict[str, str] = {}
    for reason, _ in total.most_common():
        there.setdefault(kind(reason), reason if kind(reason) != "other" else "others")
    others = there.pop("other", None)
    return legend([*there.items(), *([] if others is None else [("other", others)])])


def _group(model: Model, axis: Linear, ticks: list[Tick]) -> Markup:
    at, drawn = 0.0, []
    for reason, count in model.reasons.items():
        wide = axis.at(count)
        tip = el("title", f"{reason}: {_words.number(count)} of {_words.things(model.failed, 'failed attempt')}")
        marks = box(kind(reason), at, 1, wide, _HEIGHT - 2, data_reason=reason, data_n=count)
        drawn.append(el("g", tip, marks))
        at += wide
    share = _words.percent(model.failed, model.asked)
    told = f"{_words.number(model.failed)} of {_words.number(model.asked)} ({share})"
    plot = picture(
        f"{model.name}: {told} attempts failed", f"By reason: {listed(model.reasons)}", _HEIGHT,
        (rule(tick.at, 0, _HEIGHT) for tick in ticks), drawn, class_="bars",
    )  # fmt: skip
    lane = el(
        "div", el("span", "failed", class_="soft name"), el("div", plot, class_="plot"),
        el("span", told, class_="figures"), class_="lane",
    )  # fmt: skip
    said = el("p", listed(model.reasons), class_="soft", style="font-size: 13px")
    return el("div", el("p", bdi(model.name), class_="name"), lane, said, class_="group")
