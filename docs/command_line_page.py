"""Writes usage and options of every command into their pages. Run it from anywhere; a test does, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orfallback.cli import cli

REFERENCE = Path(__file__).with_name("reference")
PAGES = {"command-line.md": [name for name in cli.list_commands(click.Context(cli)) if name != "simulate"],
         "simulator.md": ["simulate"]}  # fmt: skip
#: What most commands have; told of once.
SHARED = ("--model", "--base-url", "--key-env", "--deadline", "--delay", "--plugin")
_END = "<!-- end -->\n"


def command(name: str) -> click.Command:
    """Return a command."""
    found = cli.get_command(click.Context(cli), name)
    if found is None:
        raise LookupError(name)
    return found


def options(name: str) -> dict[str, click.Option]:
    """Return the options of a command, by their longest names."""
    return {max(each.opts, key=len): each for each in command(name).params if isinstance(each, click.Option)}


def own(name: str) -> list[click.Option]:
    """Return the options that a command has for itself, or by a name of its own."""
    shared = options("chat")
    return [each for long, each in options(name).items() if long not in SHARED or each.help != shared[long].help]


def regions() -> dict[str, str]:
    """Return what stands between the marks, by the mark."""
    chain = options("chat")
    found = {"options of a chain": _table([chain[long] for long in SHARED])}
    for name in cli.list_commands(click.Context(cli)):
        found[f"usage of {name}"] = _usage(name)
    return found


def _usage(name: str) -> str:
    arguments = [each.metavar or f"[{each.human_readable_name}]" for each in command(name).params
                 if isinstance(each, click.Argument)]  # fmt: skip
    lines = ["", "```text", " ".join(["orfallback", name, "[OPTION]...", *arguments]), "```", ""]
    if own(name):
        lines += [_table(own(name)).strip("\n"), ""]
    mine = {max(each.opts, key=len) for each in own(name)}
    shared = [each for long, each in options(name).items() if long in SHARED and long not in mine]
    if shared:
        names = ", ".join(f"`{each.opts[0]}`" for each in shared)
        begin = "Also" if own(name) else "It has"
        lines += [f"{begin} {names}: [options of a chain](command-line.md#options-of-a-chain).", ""]
    return "\n".join(lines)


def _table(rows: list[click.Option]) -> str:
    lines = ["", "| option | default | |", "|---|---|---|"]
    for each in rows:
        metavar = "" if each.is_flag else f" {each.metavar or 'KIND'}"
        names = ", ".join(f"`{name}{metavar}`" for name in (*each.opts, *each.secondary_opts))
        lines.append(f"| {names} | {_default(each)} | {_meaning(each)} |".replace("|  |", "| |"))
    return "\n".join([*lines, ""])


def _default(option: click.Option) -> str:
    if not option.show_default:
        return ""
    value: Any = option.default
    if option.is_flag:
        return f"`{(option.opts if value else option.secondary_opts)[0]}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _meaning(option: click.Option) -> str:
    kind, said = option.type, option.help or ""
    if isinstance(kind, click.Choice):
        return f"{said.rstrip('.')}: {', '.join(f'`{choice}`' for choice in kind.choices)}."
    least, most = getattr(kind, "min", None), getattr(kind, "max", None)
    if most is not None:
        return f"{said.rstrip('.')}, {least:g} to {most:g}."
    if getattr(kind, "min_open", False):
        return f"{said.rstrip('.')}, more than {least:g}."
    return said


def page(name: str) -> str:
    """Return a page with its regions as they ought to be."""
    text = (REFERENCE / name).read_text(encoding="utf-8")
    for mark, body in regions().items():
        begin, found, rest = text.partition(f"<!-- {mark} -->\n")
        if found:
            text = f"{begin}{found}{body}\n<!-- end -->\n{rest.partition(_END)[2]}"
    return text


if __name__ == "__main__":
    for each in PAGES:
        (REFERENCE / each).write_text(page(each), encoding="utf-8")
