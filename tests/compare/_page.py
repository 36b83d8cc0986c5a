"""The tables of the documentation's page, from the committed results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compare._faults import FAULTS
from compare._products import OURS, PRODUCTS

SCRIPT = "tests/compare"
_MAIN = [name for name, product in PRODUCTS.items() if not product.of]
#: They have no second model of their own, and a table of theirs.
_SDKS = ["openrouter", "openai"]
_HEADS = {"whole": "Whole answers", "stream": "Streams"}
#: What is worse than an error: nobody is told.
_SILENT = ("half", "empty", "other")
#: No fault of a single call.
_APART = ("nothing wrong", *(fault.name for fault in FAULTS.values() if fault.calls > 1))
# Shorter is not worth a reader's eye (seconds).
_NOTABLE = 0.5


def tables(told: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the tables."""
    trials = told["trials"]
    for mode, head in _HEADS.items():
        yield from (f"### {head}", "")
        for names in ([name for name in _MAIN if name not in _SDKS], _SDKS):
            yield f"| the first model | {' | '.join(map(_head, names))} |"
            yield "|---" * (len(names) + 1) + "|"
            for fault, row in trials[mode].items():
                if FAULTS[fault].calls == 1:
                    yield f"| {fault} | {' | '.join(_cell(row[name]) for name in names)} |"
            yield ""
    yield from ("### Added up", "")
    yield from _sums(trials)
    yield from ("", "### Ten calls, one after the other", "")
    yield from _ten(trials)
    yield from ("", "### The exceptions", "", "| | |", "|---|---|")
    for name in _MAIN:
        kinds = sorted({trial["error"] for _, _, trial in _of(trials, name) if trial["error"]})
        yield f"| {_head(name)} | {', '.join(f'`{kind}`' for kind in kinds)} |"
    yield from ("", "### Other ways to use them", "")
    yield from _ways(trials)
    yield from ("", _ended(trials), "", _made_with(told))


def _head(name: str) -> str:
    return f"**{name}**" if name == OURS else name


def _word(trial: dict[str, Any]) -> str:
    outcome = "ok" if trial["outcome"] in ("first", "second") else trial["outcome"]
    return f"**{outcome}**" if outcome in (*_SILENT, "waits") else outcome


def _cell(trial: dict[str, Any]) -> str:
    """Return what a field says; it breaks before the time alone."""
    late = f", {trial['seconds']:.1f}\N{NO-BREAK SPACE}s" if trial["seconds"] >= _NOTABLE else ""
    told = "" if trial["outcome"] == "waits" else late
    return f"{_word(trial)}\N{NO-BREAK SPACE}{trial['first'] + trial['second']}{told}"


def _of(trials: dict[str, Any], name: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield mode, fault and trial of a product, for the faults of single calls."""
    for mode in _HEADS:
        for fault, row in trials[mode].items():
            if fault not in _APART:
                yield mode, fault, row[name]


def _sums(trials: dict[str, Any]) -> Iterator[str]:
    yield "| | ok | error | wrong | waits |"
    yield "|---|--:|--:|--:|--:|"
    for mode, head in _HEADS.items():
        for name in _MAIN:
            found = [trial["outcome"] for where, _, trial in _of(trials, name) if where == mode]
            kinds = (("second",), ("error",), _SILENT, ("waits",))
            counts = [sum(each in kind for each in found) for kind in kinds]
            yield f"| {_head(name)}, {head.lower()} | {' | '.join(map(str, counts))} |"
    least = [sum(_hopeless(fault) for where, fault, _ in _of(trials, OURS) if where == mode) for mode in _HEADS]
    yield ""
    yield f"An error is all that there can be in {least[0]} rows of whole answers and in {least[1]} of streams."


def _hopeless(fault: str) -> bool:
    return " of both" in fault or " after some text" in fault


def _ten(trials: dict[str, Any]) -> Iterator[str]:
    yield "| | answered in the end | asked the first model | requests | seconds |"
    yield "|---|---|--:|--:|--:|"
    (fault,) = (fault.name for fault in FAULTS.values() if fault.calls > 1)
    for name in PRODUCTS:
        trial = trials["whole"][fault][name]
        said = {"second": "yes", "waits": "not within the limit"}.get(trial["outcome"], "no")
        total = trial["first"] + trial["second"]
        yield f"| {_head(name)} | {said} | {trial['first']} | {total} | {trial['seconds']:.1f} |"


def _ways(trials: dict[str, Any]) -> Iterator[str]:
    yield "| | requests, all rows | seconds, all rows | outcomes that differ |"
    yield "|---|--:|--:|---|"
    for main in _MAIN:
        others = [name for name, product in PRODUCTS.items() if product.of == main]
        for name in [main, *others] if others else []:
            rows = list(zip(_of(trials, name), _of(trials, main), strict=True))
            requests = sum(trial["first"] + trial["second"] for (_, _, trial), _ in rows)
            seconds = sum(trial["seconds"] for (_, _, trial), _ in rows)
            unlike: dict[str, dict[str, list[str]]] = {}
            for (mode, fault, trial), (_, _, usual) in rows:
                if trial["outcome"] != usual["outcome"]:
                    unlike.setdefault(_word(trial), {}).setdefault(fault, []).append(mode)
            said = "" if name == main else "; ".join(map(_listed, unlike, unlike.values())) or "none"
            yield f"| {_head(name)} | {requests} | {seconds:.0f} | {said} |"


def _listed(word: str, faults: dict[str, list[str]]) -> str:
    """Say in which rows the outcome is this one; the mode where it is so in one alone."""
    rows = (
        fault if len(modes) == len(FAULTS[fault].modes) else f"{fault} ({modes[0]})" for fault, modes in faults.items()
    )
    return f"{word} for {', '.join(rows)}"


def _ended(trials: dict[str, Any]) -> str:
    stayed = {name for name in PRODUCTS for _, _, trial in _of(trials, name) if not trial["ended"]}
    if not stayed:
        return "Every process whose call ended within the limit ended by itself after it."
    return f"Some processes had to be ended after their call: {', '.join(sorted(stayed))}."


def _made_with(told: dict[str, Any]) -> str:
    known = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    return f"Measured on {told['date']} with {told['python']} on {told['system']}: {known}."
