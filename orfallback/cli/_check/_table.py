"""The results of a check, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from orfallback import TargetHealth
from orfallback.cli._check._trial import Result, State
from orfallback.cli._console import SIGNS, put, sign
from orfallback.cli._shown import shown

# A note beside the figures needs this much room (columns).
_NOTE = 24
_STATE_WIDTH = max(len(state.value) for state in State)


def show(console: Console, results: Sequence[Result]) -> None:
    """Print the results: as a table where it fits, else each on lines of its own."""
    figures = [_figures(result) for result in results]
    # Sign, state and model; each figure beneath its name; two columns between them.
    widths = [2 + _STATE_WIDTH, max(len(result.model) for result in results)]
    widths += [max(len(row[name]) for row in [*figures, {name: name}]) for name in figures[0]]
    if sum(width + 2 for width in widths) + _NOTE <= console.width:
        put(console, _table(console, results, figures))
    else:
        for result, row in zip(results, figures, strict=True):
            _stacked(console, result, row)


def as_json(
    results: Sequence[Result], used: str | None, base_url: str, resting: Sequence[TargetHealth], *, stream: bool
) -> dict[str, Any]:
    """Return the results for programs; what is measured is in seconds and US dollars, None where it is not known.

    :param results: in the order of the chain.
    :param used: the model that the chain would use, or None.
    :param base_url: the endpoint asked.
    :param resting: what the chain knows of those of its targets that rest.
    :param stream: whether streams were asked for.
    """
    rests = {health.model: health.resting for health in resting}
    return {
        "base_url": base_url,
        "stream": stream,
        "would_use": used,
        "usable": sum(result.usable for result in results),
        "models": [{**_plain(result), "rests": rests.get(result.model)} for result in results],
    }


def _plain(result: Result) -> dict[str, Any]:
    attempt = next(trial.attempt for trial in reversed(result.trials) if trial.state is result.state)
    return {
        "model": result.model,
        "state": result.state.value,
        "usable": result.usable,
        "asked": len(result.trials),
        "answered": result.answered,
        "reason": None if attempt.reason is None else str(attempt.reason),
        "status": attempt.status,
        "served_model": None if attempt.served_model is None else shown(attempt.served_model),
        "provider": None if attempt.provider is None else shown(attempt.provider),
        "first_token": {"p50": result.first_token(0.5), "p95": result.first_token(0.95)},
        "total": {"p50": result.total(0.5), "p95": result.total(0.95)},
        "tokens_per_second": result.tokens_per_second,
        "tokens_counted": all(trial.counted for trial in result.trials),
        "cost": result.cost,
        "note": shown(result.note),
    }


def _figures(result: Result) -> dict[str, str]:
    speed = result.tokens_per_second
    about = "" if all(trial.counted for trial in result.trials) else "~"
    figures = {
        "first": _seconds(result.first_token(0.5)),
        "total": _seconds(result.total(0.5)),
        "tokens/s": "" if speed is None else f"{about}{speed:.0f}" if speed >= 10 else f"{about}{speed:.1f}",
        "cost": "" if result.cost is None else f"${result.cost:.6f}",
    }
    if len(result.trials) == 1:
        return figures
    return {
        "first p50": figures.pop("first"),
        "p95": _seconds(result.first_token(0.95)),
        "total p50": figures.pop("total"),
        "total p95": _seconds(result.total(0.95)),
        **figures,
    }


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f} s"


def _state(console: Console, result: Result) -> Text:
    kind = "served" if result.usable else "failed"
    word = Text(f"{result.state.value:{_STATE_WIDTH}}", style=SIGNS[kind][2])
    return Text.assemble(sign(console, kind), " ", word)


def _table(console: Console, results: Sequence[Result], figures: Sequence[dict[str, str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("state", no_wrap=True)
    table.add_column("model", no_wrap=True, style="bold")
    for name in figures[0]:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("note", overflow="fold")
    for result, row in zip(results, figures, strict=True):
        table.add_row(_state(console, result), Text(result.model), *row.values(), Text(shown(result.note)))
    return table


def _stacked(console: Console, result: Result, figures: dict[str, str]) -> None:
    indent = 2 + _STATE_WIDTH + 2
    put(console, Text.assemble(_state(console, result), "  ", (result.model, "bold"), overflow="fold"))
    told = [f"{name} {value}" for name, value in figures.items() if value]
    for line in (", ".join(told), shown(result.note)):
        if line:
            # A narrow terminal has no room for the indentation.
            left = min(indent, console.width // 6)
            put(console, Padding(Text(line, style="dim", overflow="fold"), (0, 0, 0, left)))
