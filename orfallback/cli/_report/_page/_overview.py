"""What one wants to know first."""

from __future__ import annotations

from orfallback.cli._report import _words
from orfallback.cli._report._page._markup import Markup, el
from orfallback.cli._report._spread import Spread
from orfallback.cli._report._summary import FELL_BACK, Summary


def head(summary: Summary, source: str) -> Markup:
    """Return the head of the page.

    :param source: where the calls come from.
    """
    return el(
        "header",
        el("p", el("i"), "orfallback report", class_="mark"),
        el("h1", headline(summary)),
        el("p", f"{_words.period(summary.first, summary.last)}. {source}.", class_="soft"),
    )


def headline(summary: Summary) -> str:
    """Return the page in a sentence."""
    answered = _words.percent(summary.answered, summary.calls)
    after = summary.outcomes[FELL_BACK]
    told = f"{_words.things(summary.calls, 'call')}, {answered} answered"
    return f"{told}, {_words.number(after)} of them thanks to a fallback" if after else told


def tiles(summary: Summary) -> Markup:
    """Return the figures that count."""
    calls, wasted = summary.calls, summary.wasted
    cost = "no reply told any" if summary.cost is None else f"{_words.money(summary.per_thousand)} per 1,000 calls"
    paid = f"{_words.money(wasted.cost)} and " if wasted.cost else ""
    waits = f"{_words.seconds(summary.waited)} of waits"
    values = (
        ("Calls", _words.number(calls), f"{_words.number(summary.streams)} of them streams"),
        ("Answered", _words.percent(summary.answered, calls), _words.things(summary.answered, "call")),
        ("Fell back", _words.percent(summary.fell_back, calls), _words.things(summary.fell_back, "call")),
        ("No whole answer", _words.percent(summary.unanswered, calls), _words.things(summary.unanswered, "call")),
        ("Time to the whole answer", _words.seconds(summary.seconds.p50) or "–", _tail(summary.seconds)),
        ("Time to the first token", _words.seconds(summary.first_token.p50) or "–", _tail(summary.first_token)),
        ("Cost", _words.money(summary.cost) or "–", cost),
        ("Spent on failed attempts", _words.seconds(wasted.seconds), f"{paid}{waits}"),
    )
    return el("dl", (
        el("div", el("dt", label), el("dd", value, class_="value"), el("dd", more, class_="more"), class_="tile")
        for label, value, more in values
    ), class_="tiles")  # fmt: skip


def _tail(spread: Spread) -> str:
    if not spread.size:
        return "none had any"
    return f"median; p95 {_words.seconds(spread.p95)}, p99 {_words.seconds(spread.p99)}"
