"""What a call log comes to, for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from orfallback._ending import Ending
from orfallback.cli._console import put
from orfallback.cli._report import _words
from orfallback.cli._report._bars import Part, course, pretty, share
from orfallback.cli._report._course import Leg, legs
from orfallback.cli._report._rows import beneath, fits, listed, table_of
from orfallback.cli._report._summary import FELL_BACK, OTHERS, OUTCOMES, Model, Summary

# A bar has this much room at most, and at least (columns).
_BAR, _NARROWEST = 60, 10
# So many rows of a table are looked at; so many attempts of a call.
_ROWS, _LEGS = 12, 6
# What is told of a model; its name aside, these many belong together.
_COLUMNS = (
    "model", "asked", "answered", "served", "share", "p50", "p95", "first p50", "first p95", "cost", "tokens"
)  # fmt: skip
_GROUPS = (4, 4, 2)
_STYLES = {
    str(Ending.ANSWERED): "green", FELL_BACK: "cyan", str(Ending.DEGRADED): "yellow", str(Ending.LEFT): "dim",
    str(Ending.BROKEN): "magenta", str(Ending.FAILED): "red",
}  # fmt: skip


def show(console: Console, summary: Summary) -> None:
    """Print a summary: as tables where they fit, else each row on lines of its own."""
    put(console, *_overview(console, summary))
    _section(console, "Models", _models(console, summary))
    failing = [model for model in summary.models if model.failed][:_ROWS]
    if failing:
        rows = [(_cell(each.name), _right(each.failed), _reasons(each.reasons)) for each in failing]
        _section(console, "Why attempts failed", listed(console, ("model", "failed", "because of"), rows))
    if summary.fallbacks:
        arrow = "→" if pretty(console) else "->"
        brief = _brief(summary)
        rows = [
            (_cell(f"{brief(step.source)} {arrow} {brief(step.target)}"), _right(step.times), _reasons(step.reasons))
            for step in summary.fallbacks[:_ROWS]
        ]
        _section(console, "Fallbacks", listed(console, ("from and to", "times", "because of"), rows))
    _section(console, "The slowest calls", _slowest(console, summary))


def _brief(summary: Summary) -> Callable[[str], str]:
    """Return what says what a model is called where there is little room."""
    names = _words.short(model.name for model in summary.models)
    return lambda name: names.get(name, name)


def _section(console: Console, title: str, parts: Iterator[RenderableType]) -> None:
    put(console, Text(), Text(title, style="bold"), *parts)


# -- the whole --


def _overview(console: Console, summary: Summary) -> Iterator[RenderableType]:
    period = _words.period(summary.first, summary.last)
    yield Text(f"{_words.things(summary.calls, 'call')}, {period}", style="bold")
    width = max(min(console.width - 48, _BAR), _NARROWEST)
    rows = []
    for outcome in OUTCOMES:
        count = summary.outcomes[outcome]
        if count or outcome in (Ending.ANSWERED, FELL_BACK, Ending.FAILED):
            bar = share(console, count, summary.calls, width, _STYLES.get(outcome, ""))
            rows.append((Text(outcome), _right(count), _right(_words.percent(count, summary.calls)), bar))
    table = table_of(("",) * 4, rows)
    table.show_header = False
    yield table
    facts = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for label, text in _facts(summary):
        facts.add_row(label, Text(text))
    yield from (Text(), facts)


def _facts(summary: Summary) -> Iterator[tuple[str, str]]:
    calls, wasted = summary.calls, summary.wasted
    more = _words.things(summary.attempts, "attempt")
    fell_back = f"{_words.number(summary.fell_back)} calls, {_words.percent(summary.fell_back, calls) or '0 %'}"
    yield "fell back", f"{fell_back}; {more} in all"
    for label, spread in (("answered in", summary.seconds), ("first token in", summary.first_token)):
        if spread.size:
            told = ", ".join(f"{name} {_words.seconds(getattr(spread, name))}" for name in ("p50", "p95", "p99"))
            yield label, told
    if summary.cost is None:
        yield "cost", "no reply told any"
    else:
        told = f"{_words.money(summary.cost)} in all, {_words.money(summary.per_thousand)} per 1,000 calls"
        untold = f"; {_words.things(summary.untold, 'answer')} told none" if summary.untold else ""
        yield "cost", told + untold
    if wasted.attempts or summary.waited:
        cost = f", {_words.money(wasted.cost)}" if wasted.cost else ""
        told = f"{_words.seconds(wasted.seconds)}{cost} on {_words.things(wasted.attempts, 'failed attempt')}"
        yield "wasted", f"{told}, {_words.seconds(summary.waited)} of waits"


# -- tables --


def _models(console: Console, summary: Summary) -> Iterator[RenderableType]:
    """Yield what models did: in one table where that fits, else in several, else in lines."""
    rows = [_model(each, summary.calls) for each in summary.models[:_ROWS]]
    tables: list[Table] = []
    begin, ends = 1, [1 + sum(_GROUPS[: index + 1]) for index in range(len(_GROUPS))]
    while begin < len(_COLUMNS):
        fitting = [end for end in ends if end > begin and fits(console, _model_table(rows, begin, end))]
        if not fitting:
            yield from listed(console, _COLUMNS, rows)
            return
        tables.append(_model_table(rows, begin, fitting[-1]))
        begin = fitting[-1]
    for index, table in enumerate(tables):
        if index:
            yield Text()
        yield table


def _model_table(rows: Sequence[Sequence[Text]], begin: int, end: int) -> Table:
    return table_of((_COLUMNS[0], *_COLUMNS[begin:end]), [(row[0], *row[begin:end]) for row in rows])


def _model(model: Model, calls: int) -> tuple[Text, ...]:
    latency, first = model.latency, model.first_token
    figures = (
        _words.number(model.asked), _words.percent(model.answered, model.asked - model.cancelled),
        _words.number(model.served), _words.percent(model.served, calls), _words.seconds(latency.p50),
        _words.seconds(latency.p95), _words.seconds(first.p50), _words.seconds(first.p95), _words.money(model.cost),
        _words.number(model.prompt_tokens + model.completion_tokens),
    )  # fmt: skip
    return (_cell(model.name), *map(_right, figures))


def _reasons(reasons: Mapping[str, int]) -> Text:
    told = [f"{reason} {_words.number(count)}" for reason, count in list(reasons.items())[:5]]
    rest = sum(list(reasons.values())[5:])
    return Text(", ".join([*told, *([f"{OTHERS} {_words.number(rest)}"] if rest else [])]))


def _cell(text: str) -> Text:
    return Text(text, style="bold")


def _right(figure: str | int) -> Text:
    return Text(figure if isinstance(figure, str) else _words.number(figure), justify="right")


# -- the slowest calls --


def _slowest(console: Console, summary: Summary) -> Iterator[RenderableType]:
    longest = max(record.seconds for record in summary.slowest)
    width = max(min(console.width, 100) - 2, _NARROWEST)
    brief = _brief(summary)
    for record in summary.slowest:
        when = _words.when(record.started, "%Y-%m-%d %H:%M:%S")
        head = Text.assemble((f"{_words.seconds(record.seconds)}  ", "bold"), record.ending)
        yield head.append(f"  {when}  {record.id}", style="dim")
        parts, told = [], []
        for leg in legs(record, _LEGS):
            waited = max(leg.attempt.waited, 0.0)
            parts += [Part("waited", waited)] if waited else []
            parts.append(Part(leg.kind, leg.attempt.elapsed))
            told.append(_leg(leg, brief(leg.attempt.model)))
        yield Padding(course(console, parts, longest, width), (0, 0, 0, 2))
        yield from beneath(console, ", ".join(told) or "nobody was asked", "dim")


def _leg(leg: Leg, model: str) -> str:
    attempt = leg.attempt
    told = f"{_words.things(leg.left_out, 'attempt')} left out, " if leg.left_out else ""
    told += f"waited {_words.seconds(attempt.waited)}, " if attempt.waited else ""
    return f"{told}{model} {leg.outcome} {_words.seconds(attempt.elapsed)}"
