"""Mistakes that authors of plugins make: each is told at registration, in a sentence that says the mend."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pluggy
import pytest

from orfallback import Chain, hookimpl
from orfallback._plugins import PluginManager
from orfallback.testing import Simulator

#: What stands in a class ``Plugin``, and what is told of it.
MISTAKES = {
    "a misspelt hook": (
        "def orfallback_comitted(self, call): ...",
        "unknown hook 'orfallback_comitted' in Plugin (did you mean orfallback_committed?)",
    ),
    "a hook like no other": (
        "def orfallback_xyz(self): ...",
        "unknown hook 'orfallback_xyz' in Plugin",
    ),
    "a misspelt argument": (
        "def orfallback_committed(self, cal): ...",
        "orfallback_committed of Plugin has no argument 'cal' (did you mean call?); it may take: call, attempt",
    ),
    "an argument of another hook": (
        "def orfallback_committed(self, call, target): ...",
        "orfallback_committed of Plugin has no argument 'target'; it may take: call, attempt",
    ),
    "async": (
        "async def orfallback_committed(self, call): ...",
        "orfallback_committed of Plugin is async, and would never run: hooks are called, not awaited; write def",
    ),
    "async that decides": (
        "async def orfallback_classify(self, outcome): ...",
        "orfallback_classify of Plugin is async, and would never run: hooks are called, not awaited; write def",
    ),
    "an asynchronous generator": (
        "async def orfallback_registered(self, chain): yield",
        "orfallback_registered of Plugin is async, and would never run: hooks are called, not awaited; write def",
    ),
    "a yield": (
        "def orfallback_call_started(self, call): yield",
        (
            "orfallback_call_started of Plugin has a yield, and would never run: hooks return; only what is marked"
            " @hookimpl(wrapper=True) yields"
        ),
    ),
    "a yield that decides": (
        "def orfallback_select(self, targets): yield targets[0]",
        (
            "orfallback_select of Plugin has a yield, and would never run: hooks return; only what is marked"
            " @hookimpl(wrapper=True) yields"
        ),
    ),
    "no self": (
        "def orfallback_call_started(call): ...",
        "orfallback_call_started of Plugin lacks self: its first parameter is 'call'",
    ),
    "nothing but **facts": (
        "def orfallback_committed(self, **facts): ...",
        (
            "orfallback_committed of Plugin names no argument, and would be passed none; it may take: call, attempt;"
            " a decorator needs functools.wraps"
        ),
    ),
    "a decorator without functools.wraps": (
        "@lambda function: lambda *args: function(*args)\n    def orfallback_call_started(self, call): ...",
        (
            "orfallback_call_started of Plugin names no argument, and would be passed none; it may take: call;"
            " a decorator needs functools.wraps"
        ),
    ),
    "a default": (
        "def orfallback_call_finished(self, call, error=None): ...",
        (
            "orfallback_call_finished of Plugin gives 'error' a default, and would never be passed it:"
            " leave the default out"
        ),
    ),
    "an argument by keyword alone": (
        "def orfallback_call_finished(self, *, error): ...",
        (
            "orfallback_call_finished of Plugin takes 'error' by keyword alone, and would never be passed it:"
            " leave the * out"
        ),
    ),
    "a wrapper round what is told once": (
        "@hookimpl(wrapper=True)\n    def orfallback_registered(self): yield",
        "orfallback_registered: a watching hook is told, it cannot be wrapped",
    ),
    "functools.partial": (
        "def __init__(self): self.orfallback_call_started = __import__('functools').partial(print, 'started')",
        "orfallback_call_started is no function of Plugin but a partial; every attribute with this prefix is a hook",
    ),
    "a function that is not Python's": (
        "orfallback_call_started = [].append",
        (
            "orfallback_call_started is no function of Plugin but a builtin_function_or_method; every attribute with"
            " this prefix is a hook"
        ),
    ),
}


def made(body: str) -> Any:
    """Return an instance of a class ``Plugin`` with a body."""
    namespace: dict[str, Any] = {"hookimpl": hookimpl}
    exec(f"class Plugin:\n    {body}", namespace)
    return namespace["Plugin"]()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_when_the_plugin_is_registered(mistake: str) -> None:
    """What would never run, or never be passed what it wants, is refused, and nothing of the plugin is left behind."""
    body, says = MISTAKES[mistake]
    plugin, manager = made(body), PluginManager()
    for _ in range(2):
        with pytest.raises((TypeError, pluggy.PluginValidationError), match=f"^{re.escape(says)}$"):
            manager.register(plugin)
    assert manager.list_name_plugin() == []


def test_a_mistake_in_a_module_names_the_module() -> None:
    """A module is called by its name, not by its type."""
    module = SimpleNamespace(__name__="my_plugin", orfallback_committed=lambda cal: None)
    with pytest.raises(pluggy.PluginValidationError, match=r"^orfallback_committed of my_plugin has no argument 'cal'"):
        PluginManager().register(module)


def test_a_function_that_fits_one_hook_is_looked_at_for_each() -> None:
    """One function under two names is refused where it does not fit, though it fits the first."""

    class Plugin:
        def orfallback_falling_back(self, wait: float) -> None:
            """Fits."""

    manager = PluginManager()
    manager.register(Plugin())
    Plugin.orfallback_committed = Plugin.orfallback_falling_back  # type: ignore[attr-defined]  # added late
    with pytest.raises(pluggy.PluginValidationError, match="orfallback_committed of Plugin has no argument 'wait'"):
        manager.register(Plugin())


FINE = {
    "a static method": "@staticmethod\n    def orfallback_call_started(call): told.append(call)",
    "a class method": "@classmethod\n    def orfallback_call_started(cls, call): told.append(call)",
    "a default for what is no argument": "def orfallback_call_started(self, call, count=1): told.append(call)",
    "a name and the rest": "def orfallback_call_started(self, call, *args, **facts): told.append(call)",
    "by position alone": "def orfallback_call_started(self, call, /): told.append(call)",
    "a decorator with functools.wraps": "@wrapped\n    def orfallback_call_started(self, call): told.append(call)",
    "a hook of a later version": (
        "@hookimpl(optionalhook=True)\n    def orfallback_from_2040(self, whatever): 1 / 0\n"
        "    def orfallback_call_started(self, call): told.append(call)"
    ),
}


@pytest.mark.parametrize("fine", FINE)
def test_what_is_no_mistake_is_called(fine: str, sim: Simulator) -> None:
    """Every other way to write a function is taken, and is passed what it names."""
    import functools

    def wrapped(function: Any) -> Any:
        return functools.wraps(function)(lambda *args: function(*args))

    namespace: dict[str, Any] = {"hookimpl": hookimpl, "told": [], "wrapped": wrapped}
    exec(f"class Plugin:\n    {FINE[fine]}", namespace)
    chain = Chain("a", api_key="sk-test", base_url=sim.base_url, plugins=[namespace["Plugin"]()])
    chain.complete("Hi", context={"tenant": "acme"})
    assert [call.context for call in namespace["told"]] == [{"tenant": "acme"}]
