"""The public surface: what it exports, what importing it costs, what it says of itself."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import inspect
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import orfallback
from orfallback import hookspecs, testing

EXPORTS = [
    "Attempt",
    "Call",
    "CallRejected",
    "Chain",
    "ChainExhausted",
    "Classify",
    "Clock",
    "Completion",
    "Cooldown",
    "DEFAULT_MODELS",
    "DeadlineExceeded",
    "Delay",
    "Ending",
    "ExponentialBackoff",
    "FallbackAdapter",
    "FallbackError",
    "Fault",
    "Fit",
    "FixedDelay",
    "Health",
    "LoggingPlugin",
    "LowestLatency",
    "MemoryStore",
    "Outcome",
    "Reason",
    "RedisStore",
    "SQLiteStore",
    "Scope",
    "Select",
    "Sticky",
    "Store",
    "StoreError",
    "Stream",
    "StreamInterrupted",
    "Target",
    "TargetHealth",
    "Timeouts",
    "UpstreamError",
    "Verdict",
    "WatchedAdapter",
    "__version__",
    "default_classifier",
    "hookimpl",
    "in_order",
    "install",
    "uninstall",
    "weighted",
]  # fmt: skip


def modules_after(code: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after some code."""
    code = f"import sys; before = set(sys.modules); {code}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_exports_are_these() -> None:
    """``__all__`` is the sorted list of what is promised, no more and no less than what loads lazily."""
    assert orfallback.__all__ == EXPORTS == sorted(EXPORTS)
    assert orfallback.__all__ == sorted([*orfallback._HOME, "__version__"])


@pytest.mark.parametrize("name", EXPORTS)
def test_every_export_resolves_to_its_home(name: str) -> None:
    """Each exported name is there, and is the very object of the module that it comes from."""
    value = getattr(orfallback, name)
    if name != "__version__":
        home = importlib.import_module(f"orfallback.{orfallback._HOME[name]}")
        assert value is getattr(home, name)


def test_the_exports_for_type_checkers_are_the_same() -> None:
    """What the module imports for type checkers is what it loads lazily."""
    source = inspect.getsource(orfallback)
    block = source[source.index("if TYPE_CHECKING:") : source.index("# A name is imported")]
    lines = [line.split() for line in block.splitlines() if line.startswith("    from ")]
    assert {line[3]: line[1].removeprefix("orfallback.") for line in lines} == orfallback._HOME
    assert all(line[3] == line[5] for line in lines)


def test_dir_shows_the_exports() -> None:
    """``dir()`` lists every export, loaded or not."""
    code = "import orfallback; print(*sorted(set(orfallback.__all__) - set(dir(orfallback))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("module", [orfallback, testing], ids=lambda module: module.__name__)
def test_an_unknown_attribute_is_an_attribute_error(module: Any) -> None:
    """A name that is not exported raises AttributeError, and names the module."""
    assert not hasattr(module, "NoSuchThing")
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'NoSuchThing'"):
        module.NoSuchThing  # noqa: B018 - the access is the test


def test_importing_the_package_imports_nothing_else() -> None:
    """``import orfallback`` loads neither requests nor pluggy nor any module of its own."""
    modules = modules_after("import orfallback")
    assert {name for name in modules if name.startswith("orfallback")} == {"orfallback"}
    assert not {"requests", "urllib3", "pluggy", "sseclient", "json", "socket", "ssl", "dataclasses"} & modules


def test_a_chain_imports_what_it_needs_and_no_tools() -> None:
    """``Chain`` loads requests and pluggy, and no part of the command line, of the tests or of what is optional."""
    modules = modules_after("from orfallback import Chain")
    assert {"requests", "pluggy", "orfallback._chain"} <= modules
    assert not {"click", "rich", "hypothesis", "pytest", "responses", "asyncio", "orfallback.cli"} & modules
    assert not {name for name in modules if name.startswith(("orfallback.testing", "orfallback.plugins"))}
    assert not {"orfallback._fit", "orfallback._service", "orfallback._weighted"} & modules


def test_importing_the_test_tools_imports_nothing_else() -> None:
    """``import orfallback.testing`` loads no sockets, no TLS, no requests, and no module of the library."""
    modules = modules_after("import orfallback.testing")
    assert {name for name in modules if name.startswith("orfallback")} == {"orfallback", "orfallback.testing"}
    assert not {"socket", "ssl", "requests", "urllib3", "pluggy", "json"} & modules


def test_the_simulator_needs_nothing_of_the_library() -> None:
    """The simulator runs on the standard library: it loads neither the library's modules nor what they need."""
    modules = modules_after("from orfallback.testing import Simulator")
    ours = {name for name in modules if name.startswith("orfallback.")}
    assert {name for name in ours if not name.startswith("orfallback.testing")} == set()
    assert not {"requests", "urllib3", "pluggy", "sseclient"} & modules


def test_the_package_is_typed() -> None:
    """The marker for type checkers is installed with the package."""
    assert importlib.resources.files(orfallback).joinpath("py.typed").is_file()


def test_the_version_is_that_of_the_distribution() -> None:
    """The version told is the one installed."""
    assert orfallback.__version__ == importlib.metadata.version("orfallback")


def _public() -> Iterator[Any]:
    for name in orfallback.__all__:
        value = getattr(orfallback, name)
        if inspect.isclass(value):
            yield pytest.param(value, id=name)
            for attribute, member in vars(value).items():
                inner = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
                if not attribute.startswith("_") and (inspect.isfunction(inner) or isinstance(inner, property)):
                    yield pytest.param(inner, id=f"{name}.{attribute}")
        elif inspect.isfunction(value):
            yield pytest.param(value, id=name)
    for name in (*hookspecs.WATCHING, *hookspecs.DECIDING, "orfallback_prepare"):
        yield pytest.param(getattr(hookspecs, name), id=name)


@pytest.mark.parametrize("thing", list(_public()))
def test_what_is_public_is_documented(thing: Any) -> None:
    """Every public class, method, property and function has a docstring of its own, a sentence at least."""
    text = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    assert text
    assert not text.startswith(f"{getattr(thing, '__name__', '')}(")
    assert "." in text.strip().splitlines()[0]


@pytest.mark.parametrize("name", [*hookspecs.WATCHING, *hookspecs.DECIDING, "orfallback_prepare"])
def test_every_argument_of_a_hook_is_documented(name: str) -> None:
    """The reference of a hook names each of its arguments, in order."""
    hook = getattr(hookspecs, name)
    told = [line.split()[1].rstrip(":") for line in hook.__doc__.splitlines() if line.strip().startswith(":param ")]
    assert told == list(inspect.signature(hook).parameters)
