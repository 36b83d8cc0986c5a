"""Which plugins a chain has, where they come from, and in which order they are asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from orfallback import Chain, hookspecs

LOADED = "loaded"
INSTALLED = "installed, not loaded"
TAKEN_OFF = "taken off"
_OWN = hookspecs.PROJECT


class Origin(NamedTuple):
    """Where a plugin comes from.

    :ivar package: the distribution, or the path of the file where it is of none.
    :ivar version: the distribution's version; None if there is none.
    """

    package: str
    version: str | None = None


class Plugin(NamedTuple):
    """A plugin, in force or not.

    :ivar name: how the chain calls it.
    :ivar origin: where it comes from.
    :ivar state: ``LOADED``, ``INSTALLED`` or ``TAKEN_OFF``.
    :ivar hooks: the hooks that it implements; none where it is not loaded.
    """

    name: str
    origin: Origin
    state: str = LOADED
    hooks: tuple[str, ...] = ()


class Asked(NamedTuple):
    """A plugin's place in a hook.

    :ivar plugin: its name.
    :ivar wrapper: whether it is asked round all the others.
    :ivar tryfirst: whether it wants to be asked before others.
    :ivar trylast: whether it wants to be asked behind others.
    """

    plugin: str
    wrapper: bool
    tryfirst: bool
    trylast: bool


class Hook(NamedTuple):
    """A hook, and who implements it.

    :ivar kind: decides, changes or watches.
    :ivar asked: who implements it, in the order in which they are asked.
    """

    kind: str
    asked: tuple[Asked, ...]


def own() -> Origin:
    """Return the origin of what comes with the library."""
    try:
        return Origin(_OWN, metadata.version(_OWN))
    except metadata.PackageNotFoundError:
        return Origin(_OWN)


def origin_of_point(point: metadata.EntryPoint) -> Origin:
    """Return the origin of an installed plugin."""
    return Origin(point.dist.name, point.dist.version) if point.dist else Origin(point.module)


def origin_of_module(name: str) -> Origin:
    """Return the origin of an imported module: the distribution that its file belongs to, or else the file.

    :param name: its full name.
    """
    module = sys.modules[name]
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    file = Path(next((place for place in places if place), name)).resolve()
    candidates = metadata.packages_distributions().get(name.partition(".")[0], ())
    for distribution in map(metadata.distribution, dict.fromkeys(candidates)):
        # A file in the working directory can bear the name of an installed package, and hide it.
        if any(file.is_relative_to(root) for root in _roots(distribution)):
            return Origin(distribution.name, distribution.version)
    return Origin(str(file))


def hooks_of(chain: Chain) -> dict[str, Hook]:
    """Return all hooks by name, in the order of their documentation."""
    callers = chain.plugin_manager.hook
    names = [name for name in vars(hookspecs) if name.startswith(f"{hookspecs.PROJECT}_")]
    return {
        name: Hook(
            _kind(name),
            tuple(
                Asked(impl.plugin_name, impl.wrapper or impl.hookwrapper, impl.tryfirst, impl.trylast)
                for impl in reversed(getattr(callers, name).get_hookimpls())
            ),
        )
        for name in names
    }


def plugins_of(chain: Chain, hooks: Mapping[str, Hook], origins: Mapping[str, Origin]) -> list[Plugin]:
    """Return a chain's plugins, in order of registration.

    :param chain: the chain.
    :param hooks: its hooks.
    :param origins: where those come from that do not come with the library.
    """
    names = [name for name, plugin in chain.plugin_manager.list_name_plugin() if plugin is not None]
    builtin = own()
    return [Plugin(name, origins.get(name, builtin), LOADED, tuple(_implemented(name, hooks))) for name in names]


def as_json(plugins: Sequence[Plugin], hooks: Mapping[str, Hook]) -> dict[str, object]:
    """Return plugins and hooks as plain data."""
    return {
        "plugins": [
            {
                "name": plugin.name,
                "package": plugin.origin.package,
                "version": plugin.origin.version,
                "state": plugin.state,
                "hooks": list(plugin.hooks),
            }
            for plugin in plugins
        ],
        "hooks": {
            name: {"kind": hook.kind, "asked": [asked._asdict() for asked in hook.asked]}
            for name, hook in hooks.items()
        },
    }


def _implemented(plugin: str, hooks: Mapping[str, Hook]) -> Iterator[str]:
    return (name for name, hook in hooks.items() if any(asked.plugin == plugin for asked in hook.asked))


def _kind(hook: str) -> str:
    if hook in hookspecs.DECIDING:
        return "decides"
    return "changes" if hook == "orfallback_prepare" else "watches"


def _roots(distribution: metadata.Distribution) -> Iterator[Path]:
    """Yield the directories in which a distribution's files lie."""
    yield Path(str(distribution.locate_file(""))).resolve()
    # An editable installation leaves them where they were.
    url = urlsplit(json.loads(distribution.read_text("direct_url.json") or "{}").get("url", ""))
    if url.scheme == "file":
        yield Path(unquote(url.path)).resolve()
