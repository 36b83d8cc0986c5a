"""Registration: what is refused at once, what is taken, and how a plugin is called."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pluggy
import pytest
from test_engine import BUSY, GONE, A, B, World

from orfallback import Call, Chain, Outcome, Target, Verdict, hookimpl
from orfallback._plugins import PluginManager
from orfallback.hookspecs import DECIDING, WATCHING
from orfallback.testing import Recorder


class Misspelt:
    """One letter is missing."""

    def orfallback_comitted(self, call: Call) -> None:
        """Never called."""


class WrongArgument:
    """Asks for what the hook does not have."""

    def orfallback_committed(self, cal: Call) -> None:
        """Never called."""


class NoFunction:
    """Has data where a hook is wanted."""

    orfallback_admit = 5.0


class Late:
    """Asks to come behind the chain's own strategy."""

    @hookimpl(trylast=True)
    def orfallback_admit(self) -> None:
        """Never called."""


class Wrapper:
    """Wraps what is only told."""

    @hookimpl(wrapper=True)
    def orfallback_call_started(self) -> Iterator[None]:
        """Never called."""
        yield


class OldWrapper:
    """Wraps what is only told, as pluggy had it before 1.2."""

    @hookimpl(hookwrapper=True)
    def orfallback_call_finished(self) -> Iterator[None]:
        """Never called."""
        yield


@pytest.mark.parametrize(
    ("plugin", "kind", "says"),
    [
        (Misspelt(), pluggy.PluginValidationError, "orfallback_comitted"),
        (WrongArgument(), pluggy.PluginValidationError, "cal"),
        (NoFunction(), TypeError, "orfallback_admit is no function"),
        (Recorder, TypeError, "register an instance of Recorder, not the class"),
        (Late(), pluggy.PluginValidationError, "trylast on a deciding hook"),
        (Wrapper(), pluggy.PluginValidationError, "cannot be wrapped"),
        (OldWrapper(), pluggy.PluginValidationError, "cannot be wrapped"),
    ],
    ids=["misspelt", "wrong argument", "no function", "a class", "trylast", "wrapper", "old wrapper"],
)
def test_a_plugin_that_could_only_fail_later_is_refused(plugin: object, kind: type[Exception], says: str) -> None:
    """A mistake in a plugin raises at registration, and leaves nothing of the plugin behind."""
    manager = PluginManager()
    with pytest.raises(kind, match=says):
        manager.register(plugin, "bad")
    assert manager.list_name_plugin() == []
    assert not manager.is_registered(plugin)
    manager.hooks().notify("orfallback_call_started", call=None)
    assert manager.register(Recorder(), "bad") == "bad"


@pytest.mark.parametrize("hook", DECIDING)
def test_trylast_is_refused_on_every_deciding_hook(hook: str) -> None:
    """No deciding hook takes ``trylast``: it would never be asked."""
    plugin = SimpleNamespace(**{hook: hookimpl(trylast=True)(lambda: None)})
    with pytest.raises(pluggy.PluginValidationError, match="never asked"):
        PluginManager().register(plugin)


@pytest.mark.parametrize("hook", WATCHING)
def test_trylast_is_taken_on_every_watching_hook(hook: str) -> None:
    """An observer may ask to be told last."""
    told: list[str] = []
    manager = PluginManager()
    manager.register(SimpleNamespace(**{hook: lambda: told.append("early")}))
    manager.register(SimpleNamespace(**{hook: hookimpl(trylast=True)(lambda: told.append("late"))}))
    manager.hooks().notify(hook)
    assert told == ["early", "late"]


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda: (), ()),
        (lambda number: (number,), (1,)),
        (lambda number, call: (number, call), (1, "call")),
        (lambda target, call, number: (target, call, number), ("target", "call", 1)),
    ],
    ids=["none", "the last", "in another order", "all"],
)
def test_a_hook_takes_any_subset_of_the_arguments(function: Callable[..., Any], got: object) -> None:
    """A plain function gets the arguments that it names, in its own order."""
    seen: list[Any] = []
    names = function.__code__.co_varnames
    told = eval(f"lambda {', '.join(names)}: seen.append(function({', '.join(names)}))", locals())
    manager = PluginManager()
    manager.register(SimpleNamespace(orfallback_attempt_started=told))
    manager.hooks().notify("orfallback_attempt_started", call="call", target="target", number=1)
    assert seen == [got]


def test_a_module_is_a_plugin() -> None:
    """A module's functions with the prefix are hooks, without any mark, and its name is the plugin's."""
    module = ModuleType("my_plugin")
    asked: list[str] = []

    def orfallback_admit(target: Target) -> None:
        asked.append(target.model)

    module.orfallback_admit = orfallback_admit  # type: ignore[attr-defined]  # a module made here has no hooks yet
    manager = PluginManager()
    assert manager.register(module) == "my_plugin"
    assert manager.hooks().ask("orfallback_admit", call=None, target=A, last_resort=False) is None
    assert asked == ["a"]


def test_plugins_are_named_after_their_class() -> None:
    """The first plugin of a class has the class's name; a second one gets another; a name given is kept."""
    manager = PluginManager()
    first, second, third = Recorder(), Recorder(), Recorder()
    assert manager.register(first) == "Recorder"
    other = manager.register(second)
    assert other == "Recorder-2"
    assert manager.register(third, "mine") == "mine"
    assert [manager.get_plugin(name) for name in ("Recorder", str(other), "mine")] == [first, second, third]
    with pytest.raises(ValueError, match="mine"):
        manager.register(Recorder(), "mine")
    with pytest.raises(ValueError, match=r"registered already, as Recorder$"):
        manager.register(first, "again")


def test_what_has_no_hook_is_no_plugin() -> None:
    """A string, as one writes it in settings, or an object without hooks is refused instead of doing nothing."""
    with pytest.raises(TypeError, match=r"'my\.module' is no plugin"):
        PluginManager().register("my.module")
    with pytest.raises(TypeError, match="no function named orfallback_"):
        PluginManager().register(object())


def test_a_plugin_is_unregistered_by_itself_or_by_its_name() -> None:
    """What is unregistered is told nothing from the next call on."""
    manager = PluginManager()
    first, second = Recorder(), Recorder()
    manager.register(first, "first")
    manager.register(second, "second")
    before = manager.hooks()
    manager.unregister(first)
    manager.unregister(name="second")
    manager.hooks().notify("orfallback_call_started", call=1)
    assert (first.hooks, second.hooks) == ([], [])
    before.notify("orfallback_call_started", call=1)
    assert (first.hooks, second.hooks) == (["call_started"], ["call_started"])


def test_a_plugin_registered_between_two_calls_counts_at_once() -> None:
    """What is registered after a call is told of the next one."""
    world = World((A,))
    world.complete()
    late = Recorder()
    world.manager.register(late)
    world.complete()
    assert late.hooks == ["call_started", "attempt_started", "attempt_finished", "call_finished"]


def test_a_wrapper_alone_on_a_hook_still_wraps() -> None:
    """A wrapper on a hook that nobody else implements gets None, and its answer counts."""
    seen: list[object] = []

    class Alone:
        @hookimpl(wrapper=True)
        def orfallback_admit(self, target: Target, last_resort: bool) -> Generator[None, object, float | None]:
            answer = yield
            seen.append(answer)
            return 5.0 if target.model == "a" and not last_resort else None

    world = World((A, B), {"b": GONE}, Alone())
    assert world.complete() == "a says hello"
    assert (world.told, seen) == ("b a", [None, None, None])


_MODULES = {
    "good_plugin": "class Plugin:\n    def orfallback_call_started(self):\n        pass\nseen = []\n",
    "module_plugin": "def orfallback_call_started():\n    pass\n",
    "broken_plugin": "import no_such_module_at_all\n",
    "needy_plugin": "class Plugin:\n    def __init__(self, limit):\n        pass\n",
    "wrong_plugin": "class Plugin:\n    def __init__(self):\n        raise ValueError('LIMIT is no number')\n",
    "factory_plugin": "def make():\n    pass\n",
    "misspelt_plugin": "def orfallback_comitted():\n    pass\n",
    "refusing_plugin": "def orfallback_registered():\n    raise OSError('no such directory')\n",
}
_ENTRY_POINTS = """[orfallback]
good = good_plugin:Plugin
module = module_plugin
broken = broken_plugin
missing = module_plugin:no_such_name
needy = needy_plugin:Plugin
wrong = wrong_plugin:Plugin
factory = factory_plugin:make
misspelt = misspelt_plugin
refusing = refusing_plugin
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution with plugins, two of which can be used."""
    for name, text in _MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    info = tmp_path / "fake_dist-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-dist\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(_ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in _MODULES:
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("installed")
class TestEntryPoints:
    """Installed plugins load when they are asked for, and not before."""

    def test_nothing_loads_by_itself(self) -> None:
        """A new manager, and a call on it, import no installed plugin."""
        world = World()
        world.complete()
        assert not set(_MODULES) & set(sys.modules)

    def test_only_what_is_named_is_loaded(self) -> None:
        """A name loads its plugin alone: an instance of a class, a module as it is."""
        manager = PluginManager()
        assert manager.load_entry_points("good") == ["good"]
        assert set(_MODULES) & set(sys.modules) == {"good_plugin"}
        assert type(manager.get_plugin("good")).__name__ == "Plugin"
        assert manager.load_entry_points("good", "module") == ["module"]
        assert manager.get_plugin("module") is sys.modules["module_plugin"]

    def test_an_unknown_name_loads_nothing(self) -> None:
        """A name that is not installed raises LookupError, with those that are, before anything is loaded."""
        manager = PluginManager()
        with pytest.raises(LookupError, match=r"no plugin named nope; installed: .*good"):
            manager.load_entry_points("good", "nope")
        assert manager.list_name_plugin() == []

    @pytest.mark.parametrize("name", ["broken", "missing"])
    def test_a_plugin_that_cannot_be_imported_names_its_distribution(self, name: str) -> None:
        """A plugin whose module, or whose name in it, is not there raises LookupError with the distribution's name."""
        with pytest.raises(LookupError, match=f"plugin {name} of fake-dist cannot be imported"):
            PluginManager().load_entry_points(name)

    @pytest.mark.parametrize(
        ("name", "kind", "says"),
        [
            ("needy", TypeError, r"Plugin\.__init__\(\) missing 1 required positional argument: 'limit'"),
            ("wrong", ValueError, "LIMIT is no number"),
            ("factory", TypeError, r"<function make at \w+> is no plugin: it has no function named orfallback_\*"),
            ("misspelt", pluggy.PluginValidationError, r"unknown hook 'orfallback_comitted' in misspelt_plugin"),
        ],
    )
    def test_a_plugin_that_cannot_be_used_names_its_distribution(
        self, name: str, kind: type[Exception], says: str
    ) -> None:
        """A class that cannot be made, or what is no plugin, is told with its name and its distribution's."""
        manager = PluginManager()
        with pytest.raises(kind, match=f"^plugin {name} of fake-dist cannot be loaded: {says}"):
            manager.load_entry_points("good", name, "module")
        assert [name for name, _ in manager.list_name_plugin()] == ["good"]

    def test_a_plugin_that_refuses_its_chain_leaves_no_other_untold(self) -> None:
        """Each plugin is told of its chain before the next is loaded; one that raises there is not registered."""
        chain = Chain(["a"], api_key="sk-test")
        before = [name for name, _ in chain.plugin_manager.list_name_plugin()]
        with pytest.raises(OSError, match="no such directory"):
            chain.load_entry_points("good", "refusing", "module")
        assert [name for name, _ in chain.plugin_manager.list_name_plugin()] == [*before, "good"]

    def test_a_blocked_plugin_stays_out(self) -> None:
        """A name that was blocked is passed over."""
        manager = PluginManager()
        manager.set_blocked("broken")
        manager.set_blocked("good")
        assert manager.load_entry_points("broken", "good", "module") == ["module"]


def test_a_decision_without_a_plugin_costs_no_call_into_pluggy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chain's own strategies, and hooks that nobody implements, run without pluggy's machinery."""
    calls: list[str] = []
    execute = pluggy.HookCaller.__call__

    def counted(caller: pluggy.HookCaller, **facts: object) -> Any:
        calls.append(caller.name)
        return execute(caller, **facts)

    monkeypatch.setattr(pluggy.HookCaller, "__call__", counted)
    World((A, B), {"a": BUSY}).complete()
    assert calls == []

    class Plugin:
        def orfallback_classify(self, outcome: Outcome) -> Verdict | None:
            return None

    World((A, B), {"a": BUSY}, Plugin()).complete()
    assert calls == ["orfallback_classify", "orfallback_classify"]


def test_a_method_without_its_object_is_refused_after_the_object_was_taken() -> None:
    """What was found fit as a method is not fit without an object, in whatever order they come."""

    class Plugin:
        def orfallback_call_started(self, call: object) -> None:
            """Do nothing."""

    PluginManager().register(Plugin())
    loose = SimpleNamespace(orfallback_call_started=Plugin.orfallback_call_started)
    with pytest.raises(pluggy.PluginValidationError, match="self"):
        PluginManager().register(loose)
