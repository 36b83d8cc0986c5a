"""``orfallback plugins``: what is loaded, where it comes from, who is asked in which order."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from terminal import in_terminal

from conftest import Commands
from orfallback import Chain, hookspecs
from orfallback.cli import cli
from orfallback.testing import FakeClock, Simulator, answer, status

_RECORDERS = """
from orfallback import hookimpl
from orfallback.hookspecs import DECIDING, WATCHING

told = []
ALL = (*DECIDING, *WATCHING, "orfallback_prepare")


def recorder(name, hooks=ALL, **options):
    def made(hook):
        def tell(self):
            told.append((hook, f"recorders:{name}"))
        return hookimpl(**options)(tell)
    return type(name, (), {hook: made(hook) for hook in hooks})


First, Second = recorder("First"), recorder("Second")
Early = recorder("Early", tryfirst=True)
Late = recorder("Late", WATCHING, trylast=True)


class Round:
    @hookimpl(wrapper=True)
    def orfallback_classify(self):
        told.append(("orfallback_classify", "recorders:Round"))
        return (yield)
"""
_NAMES = ("Early", "First", "Late", "Round", "Second")
_HOOK = "def orfallback_call_started():\n    pass\n"
_METHOD = "    def orfallback_call_started(self):\n        pass\n"
_MODULES = {
    "good": f"class Plugin:\n{_METHOD}",
    "module": _HOOK,
    "broken": "import no_such_module_at_all\n",
    "zero": "1 / 0\n",
    "syntax": "def (\n",
    "leaves": "raise SystemExit(0)\n",
    "moody": f"class Plugin:\n    def __init__(self):\n        {{}}['x']\n{_METHOD}",
    "misspelt": "def orfallback_comitted():\n    pass\n",
}
_POINTS = """[orfallback]
good = good_plugin:Plugin
module = module_plugin
broken = broken_plugin
zero = zero_plugin
syntax = syntax_plugin
leaves = leaves_plugin
moody = moody_plugin:Plugin
misspelt = misspelt_plugin
missing = module_plugin:no_such_name
"""


#: The plugins that come with the library and are loaded by name alone.
OURS = ["call-log", "opentelemetry", "prometheus"]


def install(place: Path, points: str) -> Path:
    """Make a directory that holds a distribution with plugins."""
    place.mkdir(exist_ok=True)
    for name, text in _MODULES.items():
        (place / f"{name}_plugin.py").write_text(text)
    info = place / "fake_dist-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-dist\nVersion: 1.0\n")
    (info / "top_level.txt").write_text("".join(f"{name}_plugin\n" for name in _MODULES))
    (info / "entry_points.txt").write_text(points)
    return place


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A place with a distribution of nine plugins, two of which can be loaded."""
    return install(tmp_path / "site", _POINTS)


@pytest.fixture
def here(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same, where this process finds it."""
    monkeypatch.syspath_prepend(site)
    yield site
    for name in _MODULES:
        sys.modules.pop(f"{name}_plugin", None)


def run(*arguments: str, here: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-P" if sys.version_info >= (3, 11) else "-B", "-m", "orfallback", "plugins", *arguments],
        cwd=here, capture_output=True, text=True, encoding="utf-8", timeout=60, env={**os.environ, **environ},
    )  # fmt: skip


def shown(*arguments: str, here: Path | None = None, **environ: str) -> dict[str, Any]:
    """Run the command, and return its JSON."""
    done = run("--json", *arguments, here=here, **environ)
    assert (done.returncode, done.stderr) == (0, "")
    return without_ours(json.loads(done.stdout))


def without_ours(found: dict[str, Any]) -> dict[str, Any]:
    """Return what was found without those that come with the library and that nobody named."""
    idle = [each for each in found["plugins"] if each["state"] == "installed, not loaded"]
    ours = [each for each in idle if each["package"] == "orfallback"]
    assert [each["name"] for each in ours] == OURS
    return {**found, "plugins": [each for each in found["plugins"] if each not in ours]}


def states(found: dict[str, Any]) -> dict[str, str]:
    """Return each plugin's state by its name."""
    return {plugin["name"]: plugin["state"] for plugin in found["plugins"]}


def test_without_plugins() -> None:
    """A bare chain, without a key, has its own strategies and what logs; hooks that nobody implements are on a line."""
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^the chain's own +orfallback \d\S* +loaded$", done.stdout, re.MULTILINE)
    assert re.search(r"^logging +orfallback \d\S* +loaded$", done.stdout, re.MULTILINE)
    assert re.search(r"^orfallback_classify +decides +the chain's own$", done.stdout, re.MULTILINE)
    unused = done.stdout.splitlines()[-1]
    assert unused.startswith("Hooks that nobody implements: orfallback_registered, orfallback_prepare, ")
    assert "strategies" not in done.stdout
    assert not [line for line in done.stdout.splitlines() if line != line.rstrip()]


def test_the_order_shown_is_the_order_of_a_call(
    sim: Simulator, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each hook asks its plugins in the order shown: wrappers, then tryfirst, then the one registered last."""
    (tmp_path / "recorders.py").write_text(_RECORDERS)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    module = importlib.import_module("recorders")
    try:
        names = [f"recorders:{name}" for name in _NAMES]
        done = CliRunner().invoke(cli, ["plugins", "--json", *(f"--plugin={name}" for name in names)])
        hooks = json.loads(done.stdout)["hooks"]
        chain = Chain(["a/busy", "b/good"], api_key="sk-test", base_url=sim.base_url, clock=clock)
        for name in _NAMES:
            chain.register(getattr(module, name)(), f"recorders:{name}")
        sim.script("a/busy", status(502))
        sim.script("b/good", answer("Hello"))
        assert chain.stream("Hi").read().text == "Hello"
    finally:
        del sys.modules["recorders"]
    told: dict[str, list[str]] = {}
    for hook, name in module.told:
        told.setdefault(hook, []).append(name)
    assert set(told) == set(module.ALL) - {"orfallback_exhausted"}
    for hook, names in told.items():
        asked = [each["plugin"] for each in hooks[hook]["asked"] if each["plugin"].startswith("recorders:")]
        assert names == asked * (len(names) // len(asked))
    assert [each["plugin"].partition(":")[2] or each["plugin"] for each in hooks["orfallback_classify"]["asked"]] == [
        "Round", "Early", "Second", "First", "strategies",
    ]  # fmt: skip


def test_marks(tmp_path: Path) -> None:
    """A wrapper, and who wants to be asked first or last, is marked."""
    (tmp_path / "recorders.py").write_text(_RECORDERS)
    arguments = [f"-precorders:{name}" for name in _NAMES]
    told = run(*arguments, here=tmp_path).stdout
    asked = "recorders:Round (wrapper), recorders:Early (tryfirst), recorders:Second, recorders:First, the chain's own"
    assert f"orfallback_classify          decides  {asked}\n" in told
    asked = (
        "recorders:Early (tryfirst), recorders:Second, recorders:First, recorders:Late (trylast)\n"
        "orfallback_committed         watches  recorders:Early"
    )
    assert f"orfallback_attempt_started   watches  {asked}" in told
    hooks = shown(*arguments, here=tmp_path)["hooks"]
    marks = {"wrapper": True, "tryfirst": False, "trylast": False}
    assert hooks["orfallback_classify"]["asked"][0] == {"plugin": "recorders:Round", **marks}


def test_the_keys_of_the_json(site: Path) -> None:
    """The JSON has the same keys whatever is loaded, and every hook."""
    found = shown(PYTHONPATH=str(site), ORFALLBACK_PLUGINS="good,-logging")
    assert set(found) == {"plugins", "hooks"}
    assert {tuple(plugin) for plugin in found["plugins"]} == {("name", "package", "version", "state", "hooks")}
    kinds = {name: hook["kind"] for name, hook in found["hooks"].items()}
    assert kinds == {
        **dict.fromkeys(hookspecs.DECIDING, "decides"),
        **dict.fromkeys(hookspecs.WATCHING, "watches"),
        "orfallback_prepare": "changes",
        "orfallback_registered": "watches",
    }
    assert found["hooks"]["orfallback_exhausted"] == {"kind": "decides", "asked": []}
    (asked,) = found["hooks"]["orfallback_call_started"]["asked"]
    assert asked == {"plugin": "good", "wrapper": False, "tryfirst": False, "trylast": False}


def test_installed_plugins(site: Path) -> None:
    """One that the environment names is loaded, with package and version; others are told of, with how to load them."""
    found = shown(PYTHONPATH=str(site), ORFALLBACK_PLUGINS="module,good")
    own = ["strategies", "logging", "cooldown"]
    assert [plugin["name"] for plugin in found["plugins"][:5]] == [*own, "module", "good"]
    assert found["plugins"][4] == {
        "name": "good", "package": "fake-dist", "version": "1.0", "state": "loaded",
        "hooks": ["orfallback_call_started"],
    }  # fmt: skip
    assert found["plugins"][5] == {
        "name": "broken", "package": "fake-dist", "version": "1.0", "state": "installed, not loaded", "hooks": [],
    }  # fmt: skip
    told = run(PYTHONPATH=str(site), ORFALLBACK_PLUGINS="module,good").stdout
    assert re.search(r"^good +fake-dist 1\.0 +loaded$", told, re.MULTILINE)
    assert re.search(r"^zero +fake-dist 1\.0 +installed, not loaded$", told, re.MULTILINE)
    assert "To load what is not: ORFALLBACK_PLUGINS=module,good,broken,leaves,missing,misspelt,moody," in told


def test_nothing_is_imported_unasked(site: Path) -> None:
    """Plugins that are installed and not asked for are not imported: broken ones break nothing."""
    found = states(shown(PYTHONPATH=str(site)))
    assert found.pop("logging") == found.pop("strategies") == found.pop("cooldown") == "loaded"
    assert set(found.values()) == {"installed, not loaded"}


def test_all(tmp_path: Path) -> None:
    """``--all`` loads every installed plugin, behind those that the environment names."""
    site = install(tmp_path / "site", "[orfallback]\nb = good_plugin:Plugin\na = module_plugin\nc = recorders:First\n")
    (site / "recorders.py").write_text(_RECORDERS)
    found = states(shown("--all", PYTHONPATH=str(site), ORFALLBACK_PLUGINS="b"))
    own = ["strategies", "logging", "cooldown"]
    assert [name for name, state in found.items() if state == "loaded"] == [*own, "b", "a", "c"]


@pytest.mark.parametrize("named", ["module,good", "good,-logging,module,good"])
def test_the_chain_is_that_of_the_environment(named: str, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown as loaded is what ``Chain.from_env()`` registers, in its order."""
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    chain = Chain.from_env({"ORFALLBACK_PLUGINS": named})
    registered = [name for name, plugin in chain.plugin_manager.list_name_plugin() if plugin is not None]
    found = states(shown(PYTHONPATH=str(site), ORFALLBACK_PLUGINS=named))
    for name in _MODULES:
        sys.modules.pop(f"{name}_plugin", None)
    assert [name for name, state in found.items() if state == "loaded"] == registered


def test_logging_taken_off() -> None:
    """``-logging`` takes off what logs: it is told of, and no hook asks it."""
    found = shown(ORFALLBACK_PLUGINS="-logging")
    assert states(found) == {"strategies": "loaded", "cooldown": "loaded", "logging": "taken off"}
    assert "logging" not in json.dumps(found["hooks"])
    assert re.search(r"^logging .* taken off$", run(ORFALLBACK_PLUGINS="-logging").stdout, re.MULTILINE)


def test_a_module_of_the_current_directory(tmp_path: Path) -> None:
    """``-p`` loads a module that lies in the current directory, and its origin is its file."""
    (tmp_path / "local_plugin.py").write_text(_HOOK)
    found = shown("-p", "local_plugin", here=tmp_path)
    assert found["plugins"][-1] == {
        "name": "local_plugin", "package": str((tmp_path / "local_plugin.py").resolve()), "version": None,
        "state": "loaded", "hooks": ["orfallback_call_started"],
    }  # fmt: skip
    asked = found["hooks"]["orfallback_call_started"]["asked"]
    assert [each["plugin"] for each in asked] == ["local_plugin", "logging"]


def test_a_module_of_a_distribution(site: Path) -> None:
    """The origin of a module is the distribution that holds it, also where that has it as an entry point."""
    plugin = shown("-p", "good_plugin:Plugin", PYTHONPATH=str(site))["plugins"][3]
    assert (plugin["name"], plugin["package"], plugin["version"]) == ("good_plugin:Plugin", "fake-dist", "1.0")


def test_a_module_of_an_editable_distribution(site: Path, tmp_path: Path) -> None:
    """A distribution that was installed where its files lie is the origin of a module there."""
    source = tmp_path / "the source"
    source.mkdir()
    (source / "module_plugin.py").write_text(_HOOK)
    (site / "module_plugin.py").unlink()
    (site / "fake_dist-1.0.dist-info" / "direct_url.json").write_text(json.dumps({"url": source.as_uri()}))
    path = os.pathsep.join([str(site), str(source)])
    plugin = shown("-p", "module_plugin", PYTHONPATH=path)["plugins"][3]
    assert (plugin["name"], plugin["package"], plugin["version"]) == ("module_plugin", "fake-dist", "1.0")


def test_a_library_that_is_not_installed(command: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run from its directory, the library has no version to tell of its own plugins."""

    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", absent)
    found = json.loads(command("plugins", "--json").out)
    loaded = [each for each in found["plugins"] if each["name"] not in OURS]
    assert [(each["name"], each["package"], each["version"]) for each in loaded] == [
        ("strategies", "orfallback", None),
        ("logging", "orfallback", None),
        ("cooldown", "orfallback", None),
    ]
    assert re.search(r"^logging +orfallback +loaded$", command("plugins").out, re.MULTILINE)


def test_a_file_that_hides_a_distribution(site: Path, tmp_path: Path) -> None:
    """A file in the current directory is not taken for the installed package whose name it bears."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "module_plugin.py").write_text(_HOOK)
    plugin = shown("-p", "module_plugin", here=here, PYTHONPATH=str(site))["plugins"][3]
    assert plugin["package"] == str((here / "module_plugin.py").resolve())


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("nope", "no plugin named nope; installed: broken, call-log, good, "),
        ("good,-nope", "no plugin 'nope' is registered; there are: logging"),
        ("broken", "plugin broken of fake-dist cannot be imported: No module named 'no_such_module_at_all'"),
        ("missing", "plugin missing of fake-dist cannot be imported: module 'module_plugin' has no attribute"),
        ("zero", "plugin zero of fake-dist cannot be loaded: ZeroDivisionError: division by zero"),
        ("syntax", "plugin syntax of fake-dist cannot be loaded: SyntaxError: "),
        ("leaves", "plugin leaves of fake-dist cannot be loaded: SystemExit: 0"),
        ("moody", "plugin moody of fake-dist cannot be loaded: KeyError: 'x'"),
        ("misspelt", "plugin misspelt of fake-dist cannot be loaded: unknown hook 'orfallback_comitted'"),
    ],
)
def test_an_installed_plugin_that_cannot_be_loaded(named: str, says: str, site: Path) -> None:
    """It is named in one sentence, with status 3 and no traceback; the others are shown all the same."""
    done = run(PYTHONPATH=str(site), ORFALLBACK_PLUGINS=named)
    assert done.returncode == 3
    # What is to be taken off and is not there leaves no chain to show.
    assert ("logging" in done.stdout) is ("-nope" not in named)
    assert says in done.stderr
    assert "Traceback" not in done.stderr

def test_each_failure_is_told(here: Path, command: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that cannot be loaded are told, each with its mend, behind those that are loaded."""
    monkeypatch.setenv("ORFALLBACK_PLUGINS", "broken,good,nope")
    done = command("plugins", "-p", "zero_plugin")
    assert done.status == 3
    assert re.search(r"^good +fake-dist 1\.0 +loaded$", done.out, re.MULTILINE)
    assert re.search(r"^module +fake-dist 1\.0 +installed, not loaded$", done.out, re.MULTILINE)
    assert "To load what is not: ORFALLBACK_PLUGINS=broken,good,nope,leaves,missing," in done.out
    broken, lacks, nope, modules, zero, traceback = done.err.splitlines()
    assert broken == "✗ plugin broken of fake-dist cannot be imported: No module named 'no_such_module_at_all'"
    assert lacks == "  → Install what fake-dist lacks, or do without broken"
    assert nope.startswith("✗ no plugin named nope; installed: broken, call-log, good, ")
    assert modules == "  → ORFALLBACK_PLUGINS takes the names of installed plugins; modules are for --plugin"
    assert zero == "✗ plugin zero_plugin cannot be imported: ZeroDivisionError: division by zero"
    assert traceback == '  → The traceback is shown by: python -c "import zero_plugin"'


@pytest.mark.usefixtures("here")
def test_a_failure_is_told_once(command: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the library itself tells of a plugin is not told twice."""
    monkeypatch.setenv("ORFALLBACK_PLUGINS", "misspelt")
    told = command("plugins").err.splitlines()[0]
    assert told == (
        "✗ plugin misspelt of fake-dist cannot be loaded: unknown hook 'orfallback_comitted' in misspelt_plugin"
        " (did you mean orfallback_committed?)"
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no_such_plugin", "plugin no_such_plugin cannot be imported: No module named 'no_such_plugin'"),
        ("broken_plugin", "plugin broken_plugin cannot be imported: No module named 'no_such_module_at_all'"),
        ("good_plugin:Nope", "plugin good_plugin:Nope cannot be imported: module 'good_plugin' has no attribute"),
        ("zero_plugin", "plugin zero_plugin cannot be imported: ZeroDivisionError: division by zero"),
        ("leaves_plugin", "plugin leaves_plugin cannot be imported: SystemExit: 0"),
        ("moody_plugin:Plugin", "moody_plugin:Plugin is no plugin that can be used: KeyError: 'x'"),
        ("misspelt_plugin", "misspelt_plugin is no plugin that can be used: unknown hook 'orfallback_comitted'"),
        ("json", "json is no plugin that can be used: "),
        ("", "cannot be imported: ValueError: Empty module name"),
    ],
)
def test_a_module_that_cannot_be_loaded(name: str, says: str, site: Path) -> None:
    """It is named in one sentence, with status 3, nothing on stdout and no traceback."""
    done = run("-p", name, PYTHONPATH=str(site))
    assert done.returncode == 3
    # The others are shown all the same.
    assert "logging" in done.stdout
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_where_the_traceback_is(site: Path) -> None:
    """A plugin that raises while it is imported is told with the command that shows where."""
    told = run("-p", "zero_plugin", PYTHONPATH=str(site)).stderr
    assert 'The traceback is shown by: python -c "import zero_plugin"' in told


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(columns: int, tmp_path: Path) -> None:
    """Whatever the width, no line is longer, and no name of a hook or plugin is cut or broken."""
    (tmp_path / "recorders.py").write_text(_RECORDERS)
    arguments = [f"-precorders:{name}" for name in _NAMES]
    seen = in_terminal("plugins", *arguments, columns=columns, environ={"PYTHONPATH": str(tmp_path)})
    assert seen.status == 0
    assert max(map(len, seen.lines)) <= columns
    words = set(re.split(r"[\s,]+", seen.text))
    assert {*hookspecs.DECIDING, *hookspecs.WATCHING, *(f"recorders:{name}" for name in _NAMES)} <= words


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour(environ: dict[str, str], coloured: bool) -> None:
    """A terminal gets colour, unless NO_COLOR is set."""
    raw = in_terminal("plugins", environ=environ).raw
    assert bool(re.search("\x1b\\[[0-9;]*3[0-9]m", raw)) is coloured


def test_a_terminal_without_utf_8(site: Path) -> None:
    """Names that ASCII has not get stand-ins, not a traceback."""
    (site / "größe.py").write_text(_HOOK, encoding="utf-8")
    done = run("-p", "größe", PYTHONPATH=str(site), PYTHONIOENCODING="ascii", PYTHONUTF8="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "gr??e" in done.stdout


def test_a_name_that_would_steer_the_terminal(tmp_path: Path) -> None:
    """What is no text in a name goes to no terminal, and what looks like markup is shown as it is."""
    site = install(tmp_path / "site", "[orfallback]\n\x1b[31m[bold]evil\u202e[/] = module_plugin\n")
    for arguments in ([], ["--all"], ["--json"]):
        told = run(*arguments, PYTHONPATH=str(site)).stdout
        assert "[31m[bold]evil" in told
        assert not re.search("[\x1b\u202e]", told)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk() -> None:
    """What cannot be written is told in a sentence, with status 1."""
    for arguments in ([], ["--json"]):
        with Path("/dev/full").open("w") as full:
            command = [sys.executable, "-m", "orfallback", "plugins", *arguments]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
        assert done.returncode == 1
        assert "No space left" in done.stderr
        assert "Traceback" not in done.stderr
