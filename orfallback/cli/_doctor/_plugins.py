"""Examines the plugins."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Callable

from orfallback import Chain
from orfallback._config import plugins_from_env
from orfallback._plugins import STRATEGIES, installed
from orfallback.cli._doctor._finding import Finding
from orfallback.cli._exits import SetupFailed
from orfallback.cli._loading import load_installed, loading
from orfallback.cli._settings import Settings, register

_SUBJECT = "plugins"
_VARIABLE = "ORFALLBACK_PLUGINS"


def plugins(settings: Settings) -> list[Finding]:
    """Load the plugins one by one, so that one that fails does not hide the next."""
    wanted, unwanted = plugins_from_env(settings.environ)
    points = installed()
    with Chain.from_env({}) as chain:
        steps: list[Callable[[], object]] = [
            *(functools.partial(_take_off, chain, name) for name in unwanted),
            *(functools.partial(_load, chain, name, points.get(name)) for name in wanted),
            *(functools.partial(register, chain, name) for name in settings.plugins),
        ]
        faults = [fault for fault in map(_fault, steps) if fault is not None]
        loaded = [name for name, plugin in chain.plugin_manager.list_name_plugin() if plugin and name != STRATEGIES]
    return [*faults, Finding("ok", _SUBJECT, f"{', '.join(loaded)} loaded" if loaded else "none is loaded")]


def _load(chain: Chain, name: str, point: importlib.metadata.EntryPoint | None) -> None:
    if point is None:
        mend = f"Install the package that brings it, or take it out of {_VARIABLE}"
        raise SetupFailed(f"{name} of {_VARIABLE} is not installed", mend)
    load_installed(chain, name, point)


def _take_off(chain: Chain, name: str) -> None:
    with loading(f"-{name}", f"Take -{name} out of {_VARIABLE}"):
        chain.unregister(name)


def _fault(step: Callable[[], object]) -> Finding | None:
    try:
        step()
    except SetupFailed as error:
        return Finding("problem", _SUBJECT, error.message, error.mend or f"Correct it, or take it out of {_VARIABLE}")
    return None
