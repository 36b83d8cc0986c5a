"""The example plugin, installed from its folder into a fresh environment: it is found, it is told, its tests pass."""

from __future__ import annotations

import ast
import os
import re
import shutil
import site
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

import pytest

from orfallback.testing import Simulator, status

EXAMPLE = Path(__file__).resolve().parent.parent / "docs" / "examples" / "orfallback-plugin-example"
# Longer than anything takes; what hangs ends, and fails (s).
PATIENCE = 300.0


class Environment(NamedTuple):
    """A fresh environment that has the example, and sees what this one has.

    :ivar python: its interpreter.
    :ivar source: the copy of the example that it was installed from.
    """

    python: Path
    source: Path

    def run(self, *arguments: str, here: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run its Python to the end."""
        return subprocess.run(
            [str(self.python), *arguments],
            cwd=self.source.parent if here is None else here,
            env={**os.environ, "PYTHONUTF8": "1", "NO_COLOR": "1", "COLUMNS": "100", **environ},
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
        )

    def install(self, source: Path) -> None:
        """Install a package from its folder, without a network."""
        offline = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        arguments = ["-m", "pip", "install", "--no-build-isolation", "--no-deps", "."]
        done = self.run(*arguments, here=source, **offline)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Make it, and install the example as its README.md says; there is no network, so what builds it is this one's."""
    place = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", str(place / "venv")], check=True, timeout=PATIENCE)
    scripts = place / "venv" / ("Scripts" if os.name == "nt" else "bin")
    fresh = Environment(scripts / "python", place / "example")
    # Building leaves files behind.
    shutil.copytree(EXAMPLE, fresh.source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    # Before Python 3.12 it comes with one that is too old, and would hide this environment's.
    fresh.run("-m", "pip", "uninstall", "--yes", "--quiet", "setuptools")
    own = fresh.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
    lines = [f"import site; site.addsitedir({each!r})" for each in site.getsitepackages() if Path(each).is_dir()]
    (Path(own) / "of_the_tests.pth").write_text("\n".join(lines), encoding="utf-8")
    fresh.install(fresh.source)
    return fresh


def test_it_is_not_here() -> None:
    """The environment of the tests does not have the example: what follows is of the fresh one."""
    assert "slow-calls" not in {point.name for point in entry_points(group="orfallback")}


def test_it_is_shown_as_installed(environment: Environment) -> None:
    """``orfallback plugins`` knows it, with package and version, and how to load it; nothing is loaded by itself."""
    done = environment.run("-m", "orfallback", "plugins")
    assert (done.returncode, done.stderr) == (0, "")
    line = r"^slow-calls +orfallback-plugin-example 1\.0\.0 +installed, not loaded$"
    assert re.search(line, done.stdout, re.MULTILINE)
    assert re.search(r"^To load what is not: ORFALLBACK_PLUGINS=.*slow-calls$", done.stdout, re.MULTILINE)


def test_it_is_shown_as_loaded(environment: Environment) -> None:
    """Named by the environment it is loaded, and stands in the order of its hook."""
    done = environment.run("-m", "orfallback", "plugins", ORFALLBACK_PLUGINS="slow-calls")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^slow-calls +orfallback-plugin-example 1\.0\.0 +loaded$", done.stdout, re.MULTILINE)
    assert re.search(r"^orfallback_call_finished +watches +slow-calls, cooldown, logging$", done.stdout, re.MULTILINE)


HOST = """
import logging
from orfallback import Chain

logging.basicConfig(level="INFO", format="%(name)s %(levelname)s %(message)s")
Chain.from_env().complete("Hello", context={"tenant": "acme"})
"""


@pytest.mark.parametrize(("seconds", "level", "kind"), [("0", "WARNING", "slow call"), ("3600", "INFO", "call")])
def test_it_is_in_the_log_of_a_call(
    seconds: str, level: str, kind: str, environment: Environment, sim: Simulator
) -> None:
    """A call of an application that never heard of it has its line, with the tenant and every model that was asked."""
    sim.script("vendor/first", status(404))
    done = environment.run(
        "-c", HOST, OPENROUTER_API_KEY="sk-test", OPENROUTER_BASE_URL=sim.base_url, ORFALLBACK_PLUGINS="slow-calls",
        ORFALLBACK_MODELS="vendor/first,vendor/second", SLOW_CALLS_SECONDS=seconds,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("orfallback_example ")]
    expected = rf"orfallback_example {level} {kind} for acme: answered after \d+\.\d\d s \((.*)\)"
    found = re.fullmatch(expected, line)
    assert found is not None, line
    models = [attempt.partition(" ")[0] for attempt in found[1].split("; ")]
    assert models == sim.models_asked == ["vendor/first", "vendor/second"]


def test_an_option_that_cannot_be_meant(environment: Environment) -> None:
    """What is wrong in its environment is told with its name and its package, before any call."""
    done = environment.run("-m", "orfallback", "plugins", ORFALLBACK_PLUGINS="slow-calls", SLOW_CALLS_SECONDS="soon")
    assert done.returncode == 3
    told = "plugin slow-calls of orfallback-plugin-example cannot be loaded: SLOW_CALLS_SECONDS is a number of seconds"
    assert told in " ".join(done.stderr.split())


def test_its_own_tests_pass(environment: Environment) -> None:
    """The tests that come with it pass where it is installed, warnings being errors, and none is left out."""
    written = (EXAMPLE / "tests" / "test_slow_calls.py").read_text(encoding="utf-8").count("\ndef test_")
    done = environment.run("-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", here=environment.source)
    assert done.returncode == 0, done.stdout
    assert re.search(rf"^{written} passed in ", done.stdout, re.MULTILINE), done.stdout


def test_its_types_are_installed(environment: Environment) -> None:
    """What says that it is typed is installed beside it."""
    code = "import orfallback_example as it, pathlib; print(pathlib.Path(it.__file__).with_name('py.typed').exists())"
    assert environment.run("-c", code).stdout == "True\n"


# -- the package that the tutorial ends with --

TUTORIAL = EXAMPLE.parent.parent / "tutorials" / "first-plugin.md"


def block(language: str, text: str) -> str:
    """Return the one sample in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return str(found)


def module_of(text: str, names: set[str]) -> str:
    """Return the imports of a page's samples, and its classes of these names."""
    kept: list[str | None] = []
    for sample in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        nodes = [
            node
            for node in ast.parse(sample).body
            if isinstance(node, (ast.Import, ast.ImportFrom)) or getattr(node, "name", None) in names
        ]
        kept += [ast.get_source_segment(sample, node) for node in nodes]
    return "\n\n\n".join(map(str, kept))


def test_the_package_of_the_tutorial(environment: Environment, tmp_path: Path) -> None:
    """What the tutorial writes into three files installs, is shown, and is loaded by its name with its option."""
    text = TUTORIAL.read_text(encoding="utf-8")
    (tmp_path / "setup.cfg").write_text(block("ini", text), encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(block("toml", text), encoding="utf-8")
    package = tmp_path / "src" / "orfallback_budget"
    package.mkdir(parents=True)
    classes = {"Budget", "SafeBudget", "BudgetFromEnvironment"}
    (package / "__init__.py").write_text(module_of(text, classes), encoding="utf-8")
    environment.install(tmp_path)
    done = environment.run("-m", "orfallback", "plugins", ORFALLBACK_PLUGINS="budget", BUDGET_DOLLARS="5")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^budget +orfallback-budget 1\.0\.0 +loaded$", done.stdout, re.MULTILINE)
    assert re.search(r"^orfallback_admit +decides +budget, cooldown$", done.stdout, re.MULTILINE)
    done = environment.run("-m", "orfallback", "plugins", ORFALLBACK_PLUGINS="budget", BUDGET_DOLLARS="much")
    assert "BUDGET_DOLLARS is a number, not 'much'" in " ".join(done.stderr.split())
