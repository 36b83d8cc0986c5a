"""Writes ``reference/api.md``: every public name once, in groups. Run it anywhere; a test holds that it is current."""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

PAGE = Path(__file__).with_name("reference") / "api.md"


class Group(NamedTuple):
    """Some names of one module, and what there is to say of them together."""

    title: str
    module: str
    names: tuple[str, ...]
    text: str = ""


GROUPS = (
    Group("The chain", "orfallback", ("Chain", "Target", "Timeouts", "DEFAULT_MODELS")),
    Group("Answers", "orfallback", ("Completion", "Stream")),
    Group(
        "Errors", "orfallback",
        ("FallbackError", "CallRejected", "ChainExhausted", "DeadlineExceeded", "StreamInterrupted"),
        "What each means, and what to do then: [errors](errors.md).",
    ),
    Group(
        "What strategies and plugins see", "orfallback",
        ("Call", "Attempt", "Outcome", "UpstreamError", "Verdict", "Reason", "Scope", "Fault", "Ending"),
    ),
    Group(
        "Strategies", "orfallback",
        ("FixedDelay", "ExponentialBackoff", "in_order", "weighted", "default_classifier",
         "Classify", "Delay", "Select", "Clock"),
    ),
    Group(
        "Memory", "orfallback",
        ("Cooldown", "Health", "TargetHealth", "Store", "MemoryStore", "SQLiteStore", "RedisStore", "StoreError"),
        "What rests, and for how long: [memory](../explanation/memory.md). The stores that come with the library\n"
        "have the methods of `Store`, and those that are listed with them.",
    ),
    Group("More of stores", "orfallback.stores", ("store_from_url", "Guarded")),
    Group(
        "Plugins that come with it", "orfallback", ("LoggingPlugin", "Fit", "LowestLatency", "Sticky", "hookimpl"),
        "What they implement are [hooks](hooks.md), which a chain calls and nobody else.",
    ),
    Group(
        "The call log", "orfallback.plugins.call_log", ("CallLog",),
        "How to use it: [a log of calls](../how-to/call-log.md).",
    ),
    Group(
        "Prometheus", "orfallback.plugins.prometheus", ("Prometheus", "metrics_app"),
        "How to use it: [Prometheus and Grafana](../how-to/prometheus.md). Needs `orfallback[prometheus]`.",
    ),
    Group(
        "OpenTelemetry", "orfallback.plugins.opentelemetry", ("OpenTelemetry",),
        "How to use it: [OpenTelemetry](../how-to/opentelemetry.md). Needs `orfallback[opentelemetry]`.",
    ),
    Group(
        "For applications that call an endpoint themselves", "orfallback",
        ("install", "uninstall", "FallbackAdapter", "WatchedAdapter"),
        "How to use them: [drop in](../how-to/drop-in.md).",
    ),
    Group("The gateway", "orfallback.wsgi", ("Gateway",), "How to use it: [a gateway](../how-to/gateway.md)."),
    Group(
        "The simulator", "orfallback.testing", ("Simulator", "Received", "Gate", "End", "Step", "Behaviour"),
        "How to use it: [the simulator](simulator.md).",
    ),
    Group(
        "Behaviours of the simulator", "orfallback.testing",
        ("answer", "status", "reply", "error_in_200", "events", "redirect", "early_hints", "silence", "reset", "cut",
         "keep_alive", "empty_deltas", "drip", "raw"),
        "Each returns a `Behaviour`, for `Simulator.script()`.",
    ),
    Group("Stand-ins for tests", "orfallback.testing", ("FakeClock", "Recorder", "Seen", "no_delay")),
)  # fmt: skip

HEAD = """\
# The API

Every public class and function, by what it is for. The sections say which module a name is imported from; each is
loaded when it is first used. What a plugin may be told and may decide has a page of its own: [the hooks](hooks.md). So
do [the command line](command-line.md) and [settings and environment](configuration.md).

<!-- Written by docs/api_page.py. -->
"""


def page() -> str:
    """Return the page."""
    lines = [HEAD]
    for group in GROUPS:
        lines += [f"## {group.title}", "", f"From `{group.module}`.{f' {group.text}' if group.text else ''}", ""]
        lines += ["| | |", "|---|---|"]
        lines += [
            f"| [`{name}`](#{group.module}.{name}) | {_first_sentence(group.module, name)} |" for name in group.names
        ]
        lines.append("")
        for name in group.names:
            lines += ["```{eval-rst}", *_directive(group.module, name), "```", ""]
    return "\n".join(lines)


def found_as(name: str) -> Any:
    """Return what a name means; the first part of it may be missing.

    :param name: as the page shows it.
    """
    module, _, last = f"orfallback.{name.removeprefix('orfallback.')}".rpartition(".")
    return getattr(importlib.import_module(module), last)


def is_class(found: Any) -> bool:
    """Tell whether something is a class; Python 3.10 takes ``Callable[...]`` for one.

    :param found: anything.
    """
    return inspect.isclass(found) and not isinstance(found, types.GenericAlias)


def members(found: type) -> list[str]:
    """Return the members of a class that the page shows, in their order in the source.

    Not shown are hooks, which a chain alone calls; methods of a store that are those of ``Store``; and fields, which
    the class's own text tells of.
    """
    if issubclass(found, enum.Enum):
        return [member.name for member in found] + [name for name in _own(found) if name not in found.__members__]
    elsewhere: set[str] = set(getattr(found, "_fields", ()))
    store = importlib.import_module("orfallback").Store
    if found is not store and set(_own(store)) <= set(_own(found)):
        elsewhere |= set(_own(store))
    return [name for name in _own(found) if name not in elsewhere and not name.startswith("orfallback_")]


def _own(found: type) -> list[str]:
    """Return the public attributes, functions and properties that a class itself has."""
    kinds = (property, classmethod, staticmethod)
    said = re.findall(r"^ +#: .*\n +self\.(\w+)", inspect.getsource(found), re.MULTILINE)
    return said + [
        name
        for name, value in vars(found).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, kinds))
    ]


def _directive(module: str, name: str) -> Iterator[str]:
    found = found_as(f"{module}.{name}")
    if inspect.isfunction(found):
        yield f".. autofunction:: {module}.{name}"
    elif is_class(found):
        error = issubclass(found, BaseException)
        yield f".. {'autoexception' if error else 'autoclass'}:: {module}.{name}"
        if error:
            yield "   :show-inheritance:"
        shown = members(found)
        if shown:
            yield f"   :members: {', '.join(shown)}"
        if issubclass(found, enum.Enum):
            yield "   :undoc-members:"
        if getattr(found, "_is_protocol", False) and "__call__" in vars(found):
            yield "   :special-members: __call__"
    else:
        yield f".. autodata:: {module}.{name}"
        if not isinstance(found, tuple):
            yield "   :no-value:"


def _first_sentence(module: str, name: str) -> str:
    """Return the first sentence that is said of a name, in Markdown."""
    found = found_as(f"{module}.{name}")
    plain = is_class(found) or inspect.isfunction(found)
    text = inspect.cleandoc(found.__doc__) if plain else said_of(module, name)
    text = re.sub(r":\w+:`([^`]*)`", r"`\1`", text.split("\n\n")[0].replace("\n", " ")).replace("``", "`")
    return re.split(r"(?<=\.)\s+(?=[A-Z])|(?<=\.)$", text.split(": ``")[0])[0].replace("|", "\\|")


def said_of(module: str, name: str) -> str:
    """Return what the source says of what is no class or function: above it, after ``#:``, or below it."""
    home = _home(module, name)
    source = inspect.getsource(home)
    lines, body = source.splitlines(), ast.parse(source).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if [target.id for target in targets if isinstance(target, ast.Name)] != [name]:
            continue
        above = lines[node.lineno - 2]
        if above.startswith("#: "):
            return above.removeprefix("#: ")
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            return str(following.value.value)
    raise LookupError(f"nothing is said of {module}.{name}")


def _home(module: str, name: str) -> Any:
    """Return the module that a lazily loaded name comes from."""
    package = importlib.import_module(module)
    homes: dict[str, str] = vars(package).get("_HOME") or vars(package)["_HOME_OF"]
    return importlib.import_module(f"{module}.{homes[name]}")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
