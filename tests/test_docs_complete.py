"""Nothing that a user can name is missing in the reference: hooks, errors, options, variables, metrics, headers."""

from __future__ import annotations

import ast
import configparser
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
import requests
from docs_pages import DOCS, ROOT, code, firsts, page, rows, script, section, struck, words
from werkzeug.test import Client

import orfallback
from orfallback import (
    DEFAULT_MODELS,
    Chain,
    Cooldown,
    Ending,
    ExponentialBackoff,
    FallbackAdapter,
    FallbackError,
    Fit,
    FixedDelay,
    Health,
    LoggingPlugin,
    LowestLatency,
    MemoryStore,
    Reason,
    RedisStore,
    SQLiteStore,
    Sticky,
    Stream,
    StreamInterrupted,
    Target,
    Timeouts,
    WatchedAdapter,
    hookspecs,
    install,
    stores,
    testing,
    weighted,
    wsgi,
)
from orfallback.cli import _exits, cli
from orfallback.cli._report._summary import OUTCOMES
from orfallback.plugins import _series, call_log, opentelemetry, prometheus
from orfallback.testing import Received, Simulator, status
from orfallback.wsgi import Gateway

SOURCE = Path(orfallback.__file__).parent
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCE.rglob("*.py"))}


API, COMMANDS = script(DOCS / "api_page.py"), script(DOCS / "command_line_page.py")
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")

HOOKS = [name for name in hookspecs.__all__ if name.startswith("orfallback_")]
#: The public modules, and what each exports.
PUBLIC: dict[str, Iterable[str]] = {
    "": [name for name in orfallback.__all__ if name != "__version__"],
    "testing.": testing.__all__,
    "wsgi.": wsgi.__all__,
    "stores.": [name for name in stores.__all__ if name not in orfallback.__all__],
    "plugins.call_log.": call_log.__all__,
    "plugins.opentelemetry.": ["OpenTelemetry"],
    "plugins.prometheus.": ["Prometheus", "metrics_app"],
}


# -- what there is --


def parameters(of: Callable[..., Any]) -> list[str]:
    """Return the names of what a function takes, or a class."""
    return [name for name in inspect.signature(of).parameters if name not in ("self", "cls")]


def signature(of: Callable[..., Any]) -> str:
    """Return how the reference writes a call, with its defaults."""
    return f"{of.__name__}({', '.join(map(_argument, inspect.signature(of).parameters.values()))})"


def _argument(parameter: inspect.Parameter) -> str:
    default = parameter.default
    if default is parameter.empty:
        return parameter.name
    if isinstance(default, tuple) and len(default) > 2:
        return f"{parameter.name}=({default[0]}, …, {default[-1]})"
    large = isinstance(default, int) and not isinstance(default, bool) and default >= 1_000
    return f"{parameter.name}={f'{default:_}' if large else repr(default)}"


def errors() -> set[str]:
    """Return the exceptions that are exported."""
    return {
        name
        for name in orfallback.__all__
        if inspect.isclass(getattr(orfallback, name)) and issubclass(getattr(orfallback, name), BaseException)
    }


def attributes() -> set[str]:
    """Return what errors carry."""
    return {*parameters(FallbackError), *parameters(StreamInterrupted), "request"} - {"message"}


#: What looks like a variable in the source, and is none that is read.
_NO_VARIABLES = {
    "DEFAULT_MODELS", "ORFALLBACK_", "OPENROUTER_SITE_URL", "WRONG_VERSION", "O_BINARY", "O_NOCTTY", "O_NONBLOCK",
}  # fmt: skip


def variables() -> set[str]:
    """Return the variables of the environment that the package reads, by the strings in its source."""
    found = {"SHELL"}
    for path, tree in TREES.items():
        # There ``environ`` is that of a request.
        if path.is_relative_to(SOURCE / "wsgi"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.update(re.findall(r"^(?:[A-Z]+(?:_[A-Z]+)+_?|PYTHONPATH)$", node.value))
    return found - _NO_VARIABLES


def test_the_search_for_variables_finds_those_that_are_known() -> None:
    """The search does not pass over a variable that is read through a constant, in a loop, or by a plugin."""
    assert {"OPENROUTER_API_KEY", "CURL_CA_BUNDLE", "ORFALLBACK_CALL_LOG", "PROMETHEUS_MULTIPROC_DIR"} <= variables()


def statuses() -> set[str]:
    """Return the statuses with which commands end."""
    own = {value for name, value in vars(_exits).items() if name.isupper() and isinstance(value, int)}
    return {str(each) for each in (*own, click.UsageError.exit_code)}


def raised() -> set[str]:
    """Return what the public calls say that they raise."""
    found: set[str] = set()
    for owner in (Chain, Stream, Health):
        for each in (owner, *(member for name, member in vars(owner).items() if not name.startswith("_"))):
            found.update(re.findall(r":raises ([\w.]+):", inspect.getdoc(getattr(each, "__func__", each)) or ""))
    return {name for name in found if name != "FallbackError"}


def requirements(*parts: str) -> dict[str, str]:
    """Return the packages that are needed, with their ranges."""
    found: dict[str, str] = {}
    for part in parts:
        lines = SETUP["options" if part == "install_requires" else "options.extras_require"][part].split()
        found.update(re.findall(r"^([\w-]+)(.*)$", "\n".join(lines), re.MULTILINE))
    return found


EXTRAS = [name for name in SETUP["options.extras_require"] if name not in ("test", "dev", "bench", "docs")]


def ranges() -> set[str]:
    """Return the ranges of versions that the package and its extras take."""
    return {*requirements("install_requires", *EXTRAS).values()}


def entry_points() -> set[str]:
    """Return the names of all entry points."""
    lines = "\n".join(SETUP["options.entry_points"].values()).splitlines()
    return {line.partition(" = ")[0] for line in lines if line}


def labels() -> set[str]:
    """Return the labels of all metrics, and what they may say where that is a closed list."""
    values = {str(ending) for ending in Ending} | {*_series.MODES, _series.OTHER}
    return values | {label for kind in _series._KINDS.values() for label in kind.labels}


# -- what the pages tell --


class Check(NamedTuple):
    """What a page tells of.

    :ivar page: the page, below ``docs/reference``.
    :ivar names: what there is.
    :ivar told: finds the names on the page.
    :ivar exact: whether the page may tell of nothing else there.
    """

    page: str
    names: Callable[[], Iterable[str]]
    told: Callable[[str], Iterable[str]]
    exact: bool = True


def first_column(heading: str) -> Callable[[str], Iterable[str]]:
    """Return what finds the code in the first column of the tables of a section."""
    return lambda text: firsts(section(text, heading))


def first_table(heading: str) -> Callable[[str], Iterable[str]]:
    """Return what finds the code in the first column of the first table of a section."""

    def found(text: str) -> Iterable[str]:
        body = section(text, heading)
        return firsts(re.split(r"(?<=\|\n)\n", body[body.index("\n|") :], maxsplit=1)[0])

    return found


def all_code(heading: str = "") -> Callable[[str], Iterable[str]]:
    """Return what finds the names that stand in code, in a section or on all of a page."""
    return lambda text: [*words(section(text, heading) if heading else text)]


def all_calls(text: str) -> Iterable[str]:
    """Return the pieces of code of a page."""
    return code(text)


def directives(text: str) -> Iterable[str]:
    """Return what a page lets Sphinx render."""
    return re.findall(r"^\.\. auto\w+:: orfallback\.([\w.]+)$", text, re.MULTILINE)


def specifiers(text: str) -> Iterable[str]:
    """Return the ranges of versions in the tables of a page."""
    return [each for row in rows(text) for cell in row for each in code(cell) if each[0] in "<>="]


def simulated() -> set[str]:
    """Return what the simulator and its vocabulary take and have."""
    found = {name for name in testing.__all__ if name not in ("Step",)}
    for name in testing.__all__:
        each = getattr(testing, name)
        if inspect.isfunction(each) and name != "no_delay":
            found.update(parameters(each))
    found.update(parameters(Simulator))
    for owner in (Simulator, Received):
        found.update(name for name in vars(owner) if not name.startswith("_"))
    return found


WRITTEN_OUT: list[Callable[..., Any]] = [
    FixedDelay, ExponentialBackoff, weighted, LoggingPlugin, Fit, Sticky, LowestLatency, call_log.CallLog,
    prometheus.Prometheus, opentelemetry.OpenTelemetry, MemoryStore, SQLiteStore, RedisStore, FallbackAdapter, Gateway,
    install,
]  # fmt: skip

CHECKS = {
    "hooks": Check("hooks.md", lambda: HOOKS,
                   lambda text: re.findall(r"^## (orfallback_\w+)$", text, re.MULTILINE)),
    "errors": Check("errors.md", lambda: errors() - {"FallbackError"},
                    lambda text: {*firsts(section(text, "The tree").partition("### ")[0])} - {"FallbackError"}),
    "attributes of errors": Check("errors.md", attributes, first_column("Attributes")),
    "reasons": Check("errors.md", lambda: map(str, Reason), first_column("Reasons")),
    "what is raised": Check("errors.md", raised, all_code("Which call raises what"), exact=False),
    "options of a chain": Check("configuration.md", lambda: parameters(Chain), first_table("In code")),
    "limits": Check("configuration.md", lambda: parameters(Timeouts), first_table("Time")),
    "options of a cooldown": Check("configuration.md", lambda: parameters(Cooldown), first_table("Rests")),
    "fields of a target": Check("configuration.md", lambda: parameters(Target), first_table("A target")),
    "calls": Check("configuration.md", lambda: map(signature, WRITTEN_OUT), all_calls, exact=False),
    "variables": Check("configuration.md", variables, all_code("From the environment"), exact=False),
    "commands": Check("command-line.md", lambda: cli.list_commands(click.Context(cli)),
                      lambda text: re.findall(r"^## (\w+)$", text, re.MULTILINE)),
    "exit statuses": Check("command-line.md", statuses,
                           lambda text: [row[0] for row in rows(section(text, "Exit statuses"))]),
    "metrics": Check("metrics.md", lambda: [f"orfallback_{name}" for name in _series._KINDS],
                     first_table("Prometheus")),
    "labels": Check("metrics.md", labels, all_code("Prometheus"), exact=False),
    "public names": Check("api.md", lambda: [f"{where}{name}" for where, names in PUBLIC.items() for name in names],
                          directives),
    "extras": Check("compatibility.md", lambda: SETUP["options.extras_require"], all_code("Packages"), exact=False),
    "packages": Check("compatibility.md", lambda: requirements("install_requires", *EXTRAS),
                      lambda text: [each.replace(".", "-") for each in code(section(text, "Packages"))], exact=False),
    "ranges": Check("compatibility.md", ranges, specifiers),
    "entry points": Check("compatibility.md", entry_points, lambda text: code(section(text, "Packages")), exact=False),
    "groups of entry points": Check("compatibility.md", lambda: SETUP["options.entry_points"],
                                    lambda text: code(section(text, "Packages")), exact=False),
    "the simulator": Check("simulator.md", simulated, all_code(), exact=False),
}  # fmt: skip


def told_in(check: Check, text: str) -> set[str]:
    """Return what a page tells of; nothing, where it has no such section any more."""
    try:
        return {*check.told(text)}
    except LookupError:
        return set()


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_everything_is_on_its_page(check: Check) -> None:
    """Each name that there is stands on its page; where the page has a table of its own for them, no other does."""
    there, told = {*check.names()}, told_in(check, page(f"reference/{check.page}"))
    assert there
    assert sorted(there - told) == []
    assert not check.exact or sorted(told - there) == []


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_a_name_that_is_taken_out_is_missed(check: Check) -> None:
    """Each name, taken out of its page, is found missing: no check is one that cannot fail."""
    text = page(f"reference/{check.page}")
    assert [name for name in check.names() if name in told_in(check, _without(text, name))] == []


def _without(text: str, name: str) -> str:
    return text.replace(f"`{name}`", "`…`") if "(" in name or name[0] in "<>=" else struck(text, name)


def test_reasons_say_whether_they_pass() -> None:
    """The table of reasons says of each whether it is transient."""
    told = {code(row[0])[0]: row[1] for row in rows(section(page("reference/errors.md"), "Reasons"))}
    assert told == {str(reason): "yes" if reason.transient else "no" for reason in Reason}


def test_limits_have_their_defaults() -> None:
    """The table of limits has the defaults, in seconds, and so has the line on all of them."""
    text = page("reference/configuration.md")
    told = {code(row[0])[0]: float(row[1]) for row in rows(section(text, "Time"))[:5]}
    defaults = {name: getattr(Timeouts(), name) for name in parameters(Timeouts)}
    assert told == defaults
    assert f"Timeouts({', '.join(f'{name}={value:g}' for name, value in defaults.items())})" in text


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    """Each error hangs where its first base is, and what else it is stands beside it."""
    found = re.search(r"```text\n(.*?)```", section(page("reference/errors.md"), "The tree"), re.DOTALL)
    assert found is not None
    above: dict[int, str] = {}
    for line in found[1].splitlines():
        tree = re.fullmatch(r"([ │├└─]*)([\w.]+)(?: +also ([\w.]+))?", line)
        assert tree is not None, line
        name = tree[2].rpartition(".")[2]
        above[len(tree[1])] = name
        kind = getattr(orfallback, name, None) or getattr(requests, name, None)
        if kind is None or name not in errors():
            continue
        bases = [each.__name__ for each in kind.__bases__]
        assert bases[0] == above[max((depth for depth in above if depth < len(tree[1])), default=0)], name
        assert bases[1:] == ([tree[3].rpartition(".")[2]] if tree[3] else []), name


def test_nothing_is_warned_of_in_python_s_own_way() -> None:
    """The library calls ``warnings`` nowhere, as the page on errors says."""
    imported = {
        alias.name
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert "warnings" not in imported
    assert "warn" not in imported


# -- generated pages --


@pytest.mark.parametrize("name", COMMANDS.PAGES)
def test_the_options_of_commands_are_what_the_commands_say(name: str) -> None:
    """Usage and options of each command are as ``docs/command_line_page.py`` writes them; each is there once."""
    text = page(f"reference/{name}")
    assert text == COMMANDS.page(name)
    marks = [f"usage of {command}" for command in COMMANDS.PAGES[name]]
    for mark in marks:
        assert text.count(f"<!-- {mark} -->\n") == 1


def test_every_command_is_on_a_page() -> None:
    """The pages that are written share out all the commands; no option of one is left out."""
    names = cli.list_commands(click.Context(cli))
    assert sorted(name for page in COMMANDS.PAGES.values() for name in page) == sorted(names)
    shared = set(code(section(page("reference/command-line.md"), "Options of a chain")))
    for name, mine in COMMANDS.PAGES.items():
        text = page(f"reference/{name}")
        for command in mine:
            usage = text.partition(f"<!-- usage of {command} -->")[2].partition("<!-- end -->")[0]
            every = [*code(usage), *(shared if "options-of-a-chain" in usage else ())]
            told = {each.partition(" ")[0] for each in every}
            options = {opt for long in COMMANDS.options(command).values() for opt in (*long.opts, *long.secondary_opts)}
            assert sorted(options - told) == [], command


def test_the_page_of_the_api_is_current() -> None:
    """The page is as ``docs/api_page.py`` writes it."""
    assert page("reference/api.md") == API.page()


# -- what commands print --


def keys(value: Any) -> Iterator[str]:
    """Yield the names of all members of some JSON."""
    if isinstance(value, dict):
        yield from value
        for each in value.values():
            yield from keys(each)
    elif isinstance(value, list):
        for each in value:
            yield from keys(each)


#: Members that are called by what they tell of.
_TOLD_OF = {*HOOKS, *map(str, Reason), *map(str, Ending), *OUTCOMES}


_PRINT_JSON = [
    "check", "explain --status 502", "explain --status 200", "doctor", "plugins", "report calls.jsonl",
    "top calls.jsonl",
]  # fmt: skip


@pytest.mark.parametrize("command", _PRINT_JSON)
def test_fields_of_json(command: str, sim: Simulator, tmp_path: Path) -> None:
    """Each member of what a command prints as JSON is named in its section; one that is taken out would be missed."""
    sim.script(DEFAULT_MODELS[0], status(502))
    log = call_log.CallLog(tmp_path / "calls.jsonl")
    with Chain(api_key="sk-test", base_url=sim.base_url, delay=0, plugins=[log]) as chain:
        chain.complete("Hi")
        chain.stream("Hi").read()
    environ = {**os.environ, "OPENROUTER_API_KEY": "sk-or-v1-0123456789abcdef", "OPENROUTER_BASE_URL": sim.base_url}
    done = subprocess.run(
        [sys.executable, "-m", "orfallback", *command.split(), "--json"],
        cwd=tmp_path, env=environ, capture_output=True, encoding="utf-8", timeout=60,
    )  # fmt: skip
    there = {name for name in keys(json.loads(done.stdout)) if "/" not in name} - _TOLD_OF
    text = section(page("reference/command-line.md"), command.partition(" ")[0])
    assert there
    assert sorted(there - {*words(text)}) == []
    assert [name for name in there if name in words(struck(text, name))] == []


# -- versions --


def test_ranges_and_lowest_versions() -> None:
    """Each package stands beside its range, and beside the lowest version that CI tests."""
    text = section(page("reference/compatibility.md"), "Packages")
    told = {}
    for row in rows(text):
        cells = row if len(row) == 4 else row[1:]
        if len(cells) == 4 and code(cells[1]):
            told[code(cells[0])[0]] = code(cells[1])[0], cells[2]
    lowest = dict(re.findall(r"([\w-]+)==([\w.]+)", (ROOT / ".ci" / "run").read_text(encoding="utf-8")))
    needed = requirements("install_requires", *EXTRAS)
    assert told == {name: (spec, lowest.get(name, "")) for name, spec in needed.items()}


def test_the_versions_of_python() -> None:
    """The page names the lowest version that is needed, and the range that the package says it is for."""
    text = section(page("reference/compatibility.md"), "Python")
    versions = re.findall(r"Python :: (3\.\d+)", SETUP["metadata"]["classifiers"])
    assert SETUP["options"]["python_requires"] == f">={versions[0]}"
    assert text.strip().startswith(f"{versions[0]} or newer")
    assert f"from {versions[0]} to {versions[-1]}" in text


# -- headers --


def heads(heading: str) -> set[str]:
    """Return the headers of a table, in small letters."""
    return {name.lower() for name in first_table(heading)(page("reference/headers.md"))}


def test_headers_of_the_gateway(sim: Simulator) -> None:
    """The page has every header of the gateway's answers, whole, streamed, degraded and refused; and no other."""
    token = "t" * 20
    asked = {"messages": [{"role": "user", "content": "Hi"}]}
    seen: set[str] = set()
    sim.script("a/down", status(503))

    class Resort:
        def orfallback_exhausted(self) -> str:
            return "Later."

    def ask(model: str, *plugins: object, method: str = "POST", key: str = token, **more: Any) -> int:
        with Chain([model], api_key="sk-test", base_url=sim.base_url, plugins=plugins) as chain:
            client, body = Client(Gateway(chain, token)), {**asked, **more}
            shown = {"Authorization": f"Bearer {key}"}
            reply = client.open("/v1/chat/completions", method=method, json=body, headers=shown)
            assert reply.get_data()
            seen.update(name.lower() for name, _ in reply.headers)
            return reply.status_code

    assert [ask("a/a"), ask("a/a", stream=True)] == [200, 200]
    assert [ask("a/down", Resort()), ask("a/down", Resort(), stream=True)] == [200, 200]
    assert [ask("a/down"), ask("a/a", method="GET"), ask("a/a", key="wrong")] == [503, 405, 401]
    assert seen == heads("Of the gateway")


def test_headers_of_an_application_s_own_request(sim: Simulator) -> None:
    """The page has every header that is put on the response of an application; and no other."""
    sim.script("a/down", status(503))
    seen: set[str] = set()

    class Resort:
        def orfallback_exhausted(self) -> str:
            return "Later."

    for model, plugins in (("a/a", ()), ("a/down", ()), ("a/down", (Resort(),))):
        chain = Chain([model], api_key="sk-test", base_url=sim.base_url, plugins=plugins)
        body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
        with install(chain):
            reply = requests.post(f"{sim.base_url}/chat/completions", json=body, timeout=60)
        seen.update(name.lower() for name in reply.headers if name.lower().startswith("x-orfallback"))
    assert seen == heads("Of an application's own request")


def test_headers_that_a_chain_sends(sim: Simulator) -> None:
    """The page has every header of a chain's own request; and no other."""
    with Chain(["a/a"], api_key="sk-test", base_url=sim.base_url) as chain:
        chain.complete("Hi")
        chain.stream("Hi").read()
    assert {name for request in sim.requests for name in request.headers} == heads("Of a chain's own requests")


def test_headers_that_are_read() -> None:
    """Each header of a reply that the source looks at by its name is on the page."""
    found = set()
    for path in ("_hints", "_exchange", "_classify", "_wire", "_chunks"):
        source = (SOURCE / f"{path}.py").read_text(encoding="utf-8")
        found.update(re.findall(r'headers\.get\("([\w-]+)"', source))
        found.update(re.findall(r'"([\w-]+)" (?:not )?in (?:self|s)\.(?:outcome\.)?headers', source))
    assert {"Retry-After", "Content-Encoding"} <= found
    assert sorted(name for name in found if name.lower() not in heads("Read of a server's reply")) == []


# -- docstrings --


class Documented(NamedTuple):
    """Something public that takes parameters.

    :ivar said: the docstring that tells of them.
    :ivar takes: their names.
    :ivar contract: what of the same name, elsewhere, says what they are.
    """

    said: str
    takes: list[str]
    contract: Callable[..., Any] | None


#: What methods of the same names may be implementations of: hooks, protocols, and what requests calls.
CONTRACTS: tuple[object, ...] = (
    hookspecs, orfallback.Store, orfallback.Clock, orfallback.Delay, requests.adapters.HTTPAdapter,
    requests.adapters.BaseAdapter,
)  # fmt: skip


def documented() -> Iterator[Any]:
    """Yield everything public that can be called."""
    for where, names in PUBLIC.items():
        for name in names:
            thing = API.found_as(f"{where}{name}")
            if API.is_class(thing):
                yield from _of_class(f"{where}{name}", thing)
            elif inspect.isfunction(thing):
                yield pytest.param(Documented(thing.__doc__ or "", parameters(thing), None), id=f"{where}{name}")
    for name in HOOKS:
        hook = getattr(hookspecs, name)
        yield pytest.param(Documented(hook.__doc__, parameters(hook), None), id=name)


def _of_class(name: str, kind: type) -> Iterator[Any]:
    if not getattr(kind, "_is_protocol", False) and not issubclass(kind, (str, BaseException, WatchedAdapter)):
        # What an instance is made of stands in the docstring of the class.
        said = (kind.__doc__ or "") + (vars(kind).get("__init__").__doc__ or "" if "__init__" in vars(kind) else "")
        if not hasattr(kind, "__members__"):
            yield pytest.param(Documented(said, parameters(kind), None), id=name)
    for attribute, member in vars(kind).items():
        method = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
        if not inspect.isfunction(method) or (attribute.startswith("_") and attribute != "__call__"):
            continue
        if attribute == "__call__" and kind is Gateway:
            # PEP 3333's.
            continue
        found = (getattr(each, attribute) for each in CONTRACTS if attribute in vars(each) and each is not kind)
        contract = next(found, None)
        yield pytest.param(Documented(method.__doc__ or "", parameters(method), contract), id=f"{name}.{attribute}")


@pytest.mark.parametrize("thing", [*documented()])
def test_a_docstring_names_each_parameter(thing: Documented) -> None:
    """What is public says of each parameter what it is, in order; an implementation may leave that to its contract."""
    # Those of a tuple, or dataclass, are its attributes.
    told = re.findall(r":param (\w+):", thing.said) or (re.findall(r":ivar (\w+):", thing.said) if thing.takes else [])
    if not told and thing.contract is not None:
        assert {*thing.takes} <= {*parameters(thing.contract), "args", "kwargs"}
        return
    assert told == thing.takes
