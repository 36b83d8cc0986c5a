"""A chain taken to pieces that pickle, without its key, and put together again."""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import Any

from orfallback import _config
from orfallback._chain import COOLDOWN, Chain
from orfallback._plugins import STRATEGIES
from orfallback._secret import Secret

# The key, and connections with whatever they hold of it: neither goes anywhere.
_STAYS = ("api_key", "session")


def packed(chain: Chain) -> dict[str, Any]:
    """Return the settings and plugins of a chain, as far as they pickle, and without its key.

    A target with a key of its own refuses to be pickled: there is nothing that would bring its key back.
    """
    manager = chain.plugin_manager
    plugins = [
        (name, plugin)
        for name, plugin in manager.list_name_plugin()
        if name not in (STRATEGIES, COOLDOWN) and plugin is not None
    ]
    options = {**chain._options, "cooldown": manager.get_plugin(COOLDOWN)}
    return {
        "options": {name: value for name, value in options.items() if name not in _STAYS},
        "keyless": not isinstance(chain._options["api_key"], Secret),
        "plugins": [
            (name, _Named(plugin.__name__) if isinstance(plugin, ModuleType) else plugin) for name, plugin in plugins
        ],
        "tracing": manager.tracing,
    }


def unpacked(state: dict[str, Any]) -> Chain:
    """Return the chain of such settings, with the key of this process's environment if it had one.

    That is the key for the endpoint that the environment names, which is OpenRouter's own where it names none.
    """
    options = dict(state["options"])
    here = os.environ.get("OPENROUTER_BASE_URL", "").strip() or _config.DEFAULT_BASE_URL
    known = (options["base_url"] or _config.DEFAULT_BASE_URL).rstrip("/") == here.rstrip("/")
    key = "" if state["keyless"] or not known else os.environ.get(_config.KEY_VARIABLE, "").strip()
    chain = Chain(**options, api_key=Secret(key) if key else _config.Keyless())
    # What a chain registers by itself is among the others, unless it was taken off.
    for name in ("logging", "fit"):
        chain.plugin_manager.unregister(name=name)
    for name, plugin in state["plugins"]:
        chain.register(importlib.import_module(plugin) if isinstance(plugin, _Named) else plugin, name)
    chain.plugin_manager.tracing = state["tracing"]
    return chain


class _Named(str):
    """The name of a module, which does not pickle itself."""

    __slots__ = ()
