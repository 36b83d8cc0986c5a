"""The tables of the documentation's page, from the committed results."""

from __future__ import annotations

from typing import Any

from bench._measure import OURS

SCRIPT = "tests/bench"


def tables(told: dict[str, Any]) -> list[str]:
    """Return the lines of the tables."""
    judged = {name: row for name, row in told["rows"].items() if row["must"] is not None}
    lines = [
        "| what | held against | ratio | spread | must | aim | |",
        "|---|---|--:|--:|--:|--:|---|",
        *(_judged(name, row) for name, row in judged.items()),
    ]
    for name, row in told["rows"].items():
        if name.startswith(("complete()", "stream, ")):
            lines += ["", f"**{name}**, CPU for each {row['unit']}:", "", *_everybody(row, "cpu_us")]
        elif "200 streams" in name:
            lines += ["", f"**{name}**:", "", *_everybody(row, "wall_us")]
    memory = told["rows"].get("memory after the import")
    if memory is not None:
        without, with_us = (memory["contestants"][each]["cpu_us"] for each in (memory["base"], OURS))
        more = f"with `from orfallback import Chain` it has {with_us - without:.1f} MiB more"
        lines += ["", f"A process after `{memory['base']}` has {without:.1f} MiB; {more}."]
    growth = {name.removeprefix("growth: "): row for name, row in told["rows"].items() if name.startswith("growth: ")}
    if growth:
        lines += ["", "| work | CPU, ms | ratio | to |", "|---|--:|--:|---|"]
        lines += [_grown(name, row) for name, row in growth.items()]
    machine, versions = told["machine"], told["versions"]
    known = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    lines += ["", f"Measured with {machine['python']} on {machine['system']}, {machine['cores']} cores; {known}."]
    if machine["load_at_the_end"] > machine["cores"]:
        load = machine["load_at_the_end"]
        lines += [f"The machine was busy with other things (load {load}): figures of wall time are rough."]
    return lines


def _judged(name: str, row: dict[str, Any]) -> str:
    ratio = row["contestants"][OURS]["ratio"]
    spread = f"{ratio['least']:.2f} to {ratio['most']:.2f}"
    wanted = f"{row['must']:g} | {row['aim']:g} | {row['verdict'].lower()}"
    return f"| {name} ({row['kind']}) | {row['base']} | **{ratio['median']:.2f}** | {spread} | {wanted} |"


def _grown(name: str, row: dict[str, Any]) -> str:
    ours = row["contestants"][OURS]
    to = f"{ours['ratio']['median']:.2f} | {row['base']}" if row["base"] != OURS else "|"
    return f"| {name} | {ours['cpu_us'] / 1000:.2f} | {to} |"


def _everybody(row: dict[str, Any], kind: str) -> list[str]:
    found = sorted(row["contestants"].items(), key=lambda each: each[1]["ratio"]["median"])
    lines = ["| | µs | ratio |", "|---|--:|--:|"]
    for name, each in found:
        mark = "**" if name == OURS else ""
        lines.append(f"| {mark}{name}{mark} | {each[kind]:.1f} | {mark}{each['ratio']['median']:.2f}{mark} |")
    return lines
