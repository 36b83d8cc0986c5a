"""``orfallback plugins``: who implements which hook, from which package, in which order."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import click
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from orfallback._config import plugins_from_env
from orfallback._plugins import STRATEGIES, comes_with_us, installed
from orfallback._secret import Unshown
from orfallback.cli import _provenance
from orfallback.cli._console import output, put
from orfallback.cli._exits import SetupFailed
from orfallback.cli._loading import load_installed
from orfallback.cli._provenance import INSTALLED, LOADED, TAKEN_OFF, Asked, Hook, Origin, Plugin
from orfallback.cli._settings import Settings, register
from orfallback.cli._shown import shown

_VARIABLE = "ORFALLBACK_PLUGINS"
# A table is measured as if there were this much room (columns).
_WIDEST = 10_000


@click.command(short_help="Show who implements which hook.")
@click.option("-p", "--plugin", "modules", multiple=True, metavar="MODULE[:NAME]", help="A plugin to load; repeatable.")
@click.option("--all", "everything", is_flag=True, help="Load all that other packages bring.")
@click.option("--json", "machine", is_flag=True, help="Print JSON.")
def plugins(modules: tuple[str, ...], everything: bool, machine: bool) -> None:
    """Show the plugins, where they come from, and who is asked in which order.

    Shown is the chain that Chain.from_env() makes: ORFALLBACK_PLUGINS=name,-name loads installed plugins by name, and
    takes others off. No key is needed, and nobody is asked.

    \b
    orfallback plugins
    orfallback plugins -p my_plugin:Budget
    """
    failed: list[SetupFailed] = []
    found, hooks = _inventory(modules, everything, failed)
    if machine:
        click.echo(json.dumps(_provenance.as_json(found, hooks), indent=2))
    else:
        _show(output(), found, hooks)
    for failure in failed[:-1]:
        failure.show()
    if failed:
        raise failed[-1]


# -- the chain --


def _inventory(
    modules: Sequence[str], everything: bool, failed: list[SetupFailed]
) -> tuple[list[Plugin], dict[str, Hook]]:
    """Make the chain, and return its plugins with those that are not in force, and its hooks.

    :param failed: gets what was wrong with those that cannot be loaded; the others are told of all the same.
    """
    wanted, unwanted = plugins_from_env(os.environ)
    points = installed()
    # What is taken off the chain takes off; what is loaded is loaded here, to know where each comes from.
    environ = Unshown({**os.environ, _VARIABLE: ",".join(f"-{name}" for name in unwanted)})
    origins: dict[str, Origin] = {}
    with Settings(environ).chain() as chain:
        others = sorted(name for name, point in points.items() if not comes_with_us(point))
        for name in [*wanted, *(others if everything else ())]:
            with _noting(failed):
                if load_installed(chain, name, points.get(name)):
                    origins[name] = _provenance.origin_of_point(points[name])
        loaded = set(origins)
        for name in modules:
            with _noting(failed):
                register(chain, name)
                origins[name] = _provenance.origin_of_module(name.partition(":")[0])
        hooks = _provenance.hooks_of(chain)
        found = _provenance.plugins_of(chain, hooks, origins)
    names = {plugin.name for plugin in found}
    found += [Plugin(name, _provenance.own(), TAKEN_OFF) for name in unwanted if name not in names]
    idle = [points[name] for name in sorted(set(points) - loaded)]
    return found + [Plugin(point.name, _provenance.origin_of_point(point), INSTALLED) for point in idle], hooks


@contextmanager
def _noting(failed: list[SetupFailed]) -> Iterator[None]:
    try:
        yield
    except SetupFailed as failure:
        failed.append(failure)


# -- what is shown --


def _show(console: Console, found: Sequence[Plugin], hooks: Mapping[str, Hook]) -> None:
    rows = [(_name(each.name), _origin(each.origin), Text(each.state, style=_STYLES[each.state])) for each in found]
    put(console, Text("Plugins, in the order in which they were registered", style="bold"))
    put(console, *_rows(console, ("plugin", "from", "state"), rows))
    # What is named already, and failed, would fail again.
    wanted, _ = plugins_from_env(os.environ)
    others = [plugin for plugin in found if plugin.state == INSTALLED and plugin.origin != _provenance.own()]
    idle = [shown(plugin.name) for plugin in others if plugin.name not in wanted]
    if idle:
        names = ",".join([*filter(None, [shown(os.environ.get(_VARIABLE, ""))]), *idle])
        put(console, Text(f"To load what is not: {_VARIABLE}={names}"))
    rows = [
        (Text(name), Text(hook.kind), Text(", ").join(map(_asked, hook.asked)))
        for name, hook in hooks.items()
        if hook.asked
    ]
    put(console, Text(), Text("Hooks, and who implements them", style="bold"))
    put(console, *_rows(console, ("hook", "", "asked in this order"), rows))
    unused = [name for name, hook in hooks.items() if not hook.asked]
    if unused:
        put(console, Text(), Text(f"Hooks that nobody implements: {', '.join(unused)}"))


_STYLES = {LOADED: "green", INSTALLED: "dim", TAKEN_OFF: "yellow"}


def _rows(console: Console, columns: Sequence[str], rows: Sequence[tuple[Text, ...]]) -> Iterator[RenderableType]:
    """Yield a table where it fits, else each row on lines of its own."""
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for row in rows:
        table.add_row(*row)
    if console.measure(table, options=console.options.update(max_width=_WIDEST)).maximum <= console.width:
        yield table
        return
    for first, *others in rows:
        yield first
        yield Padding(Text("  ").join(others), (0, 0, 0, 2))


def _name(plugin: str) -> Text:
    return Text("the chain's own" if plugin == STRATEGIES else shown(plugin))


def _origin(origin: Origin) -> Text:
    return Text(shown(f"{origin.package} {origin.version or ''}"))


def _asked(asked: Asked) -> Text:
    marks = [mark for mark in ("wrapper", "tryfirst", "trylast") if getattr(asked, mark)]
    # Its own strategies are always asked last.
    shown = marks and asked.plugin != STRATEGIES
    return Text.assemble(_name(asked.plugin), (f" ({', '.join(marks)})" if shown else "", "dim"))
