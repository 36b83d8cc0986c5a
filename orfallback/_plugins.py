"""One plugin manager for each chain, and a snapshot of it for each call."""

from __future__ import annotations

import importlib.metadata
import inspect
import logging
import sys
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any, NamedTuple

import pluggy

from orfallback import hookspecs
from orfallback._classify import Classify
from orfallback._delay import Delay
from orfallback._hookcheck import check
from orfallback._select import Select
from orfallback._types import Attempt, Call, Outcome, Target
from orfallback._verdict import Verdict

_logger = logging.getLogger("orfallback.plugins")

_PREFIX = f"{hookspecs.PROJECT}_"
#: The name of the internal plugin that holds the constructor's strategies.
STRATEGIES = "strategies"
# A hook that takes so long is told of (s).
_SLOW = 1.0


class Strategies:
    """The constructor's strategies as a plugin: what answers when no other does."""

    def __init__(self, select: Select, classify: Classify, delay: Delay) -> None:
        self.select = select
        self.classify = classify
        self.delay = delay

    @hookspecs.hookimpl(trylast=True)
    def orfallback_select(self, call: Call, targets: tuple[Target, ...]) -> Target | None:
        """Ask the chain's own strategy."""
        return self.select(call, targets)

    @hookspecs.hookimpl(trylast=True)
    def orfallback_classify(self, call: Call, outcome: Outcome) -> Verdict | None:
        """Ask the chain's own strategy."""
        return self.classify(call, outcome)

    @hookspecs.hookimpl(trylast=True)
    def orfallback_delay(self, call: Call, attempt: Attempt) -> float:
        """Ask the chain's own strategy."""
        return self.delay(call, attempt)


class _Manager(pluggy.PluginManager):
    """pluggy's manager over the hooks, for which any function named ``orfallback_*`` is one, as pytest has it."""

    def __init__(self) -> None:
        super().__init__(hookspecs.PROJECT)
        self.add_hookspecs(hookspecs)

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        """Take every function with the prefix for a hook."""
        options = super().parse_hookimpl_opts(plugin, name)
        return {} if options is None and name.startswith(_PREFIX) else options


class PluginManager(_Manager):
    """A chain's plugins. It refuses what could only fail later; what is registered during a call counts from the next.

    :ivar tracing: whether each call of a hook is printed on stderr; counts from the next call of the chain.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tracing = False
        #: The plugins and hooks that the log has called slow.
        self.slow: set[tuple[str, str]] = set()
        # What says which plugins there are: another one after each change.
        self._state: object = object()
        self._hooks: Hooks | None = None

    def register(self, plugin: object, name: str | None = None) -> str | None:
        """Register a plugin.

        :param plugin: an object or module with functions named ``orfallback_*``.
        :param name: how logs and errors call it; its own name by default.
        :returns: the name.
        :raises TypeError: for a class, where an instance is wanted, or for what is no function.
        :raises ValueError: if the plugin, or the name, is registered already.
        :raises pluggy.PluginValidationError: for a hook, an argument or an option that does not exist, and for a
            function that would never run: one that is async, or yields.
        """
        if inspect.isclass(plugin):
            raise TypeError(f"register an instance of {plugin.__name__}, not the class")
        hooks = [name for name in dir(plugin) if name.startswith(_PREFIX)]
        if not hooks:
            raise TypeError(f"{plugin!r} is no plugin: it has no function named {_PREFIX}*")
        for hook in hooks:
            check(plugin, hook)
        if self.is_registered(plugin):
            raise ValueError(f"this plugin is registered already, as {self.get_name(plugin)}")
        try:
            registered = super().register(plugin, name or self._name_for(plugin))
            self._check(plugin)
        except pluggy.PluginValidationError:
            # Older pluggy registers before it looks at the arguments.
            if self.is_registered(plugin):
                self.unregister(plugin)
            raise
        finally:
            self._state = object()
        return registered

    def unregister(self, plugin: object | None = None, name: str | None = None) -> Any:
        """Unregister a plugin, by itself or by its name; from the next call on it is not asked."""
        try:
            return super().unregister(plugin, name)
        finally:
            # Afterwards: another thread may make a snapshot meanwhile.
            self._state = object()

    def introduce(self, plugin: object, chain: object) -> None:
        """Tell a plugin that was registered of the chain that has it; if it raises, it is not registered any more.

        :param chain: the chain, which nothing here looks into.
        """
        for implementation in self.hook.orfallback_registered.get_hookimpls():
            if implementation.plugin is plugin:
                try:
                    implementation.function(*[chain for _ in implementation.argnames])
                except BaseException:
                    self.unregister(plugin)
                    raise

    def load_entry_points(self, *names: str, chain: object = None) -> list[str]:
        """Load and register installed plugins of the entry point group ``orfallback``, up to one that cannot be used.

        :param names: which; none means all that other packages bring.
        :param chain: the chain that each is told of, if any.
        :returns: the names of those that were loaded now.
        :raises LookupError: if one of the names is not installed, or cannot be imported.
        :raises TypeError: for a class that cannot be called without arguments, or what is no plugin.
        :raises ValueError: for a plugin that is registered already, or that its class raises.
        :raises pluggy.PluginValidationError: for a hook, an argument or an option that does not exist.
        """
        found = installed()
        missing = set(names) - set(found)
        if missing:
            raise LookupError(
                f"no plugin named {', '.join(sorted(missing))}; installed: {', '.join(sorted(found)) or 'none'}"
            )
        loaded = []
        for name in names or sorted(name for name, point in found.items() if not comes_with_us(point)):
            if self.has_plugin(name) or self.is_blocked(name):
                continue
            plugin = self._load(found[name])
            if chain is not None:
                self.introduce(plugin, chain)
            loaded.append(name)
        return loaded

    def hooks(self) -> Hooks:
        """Return the snapshot for a call that begins now."""
        state, hooks = self._state, self._hooks
        if hooks is None or hooks.state is not state or hooks.tracing is not self.tracing:
            hooks = self._hooks = Hooks(self, state, tracing=self.tracing)
        return hooks

    def _load(self, point: importlib.metadata.EntryPoint) -> object:
        named = f"plugin {point.name} of {point.dist.name if point.dist else '?'}"
        try:
            plugin = point.load()
        except (ImportError, AttributeError) as error:
            mend = f"; pip install 'orfallback[{point.name}]'" if comes_with_us(point) else ""
            raise LookupError(f"{named} cannot be imported: {error}{mend}") from error
        try:
            plugin = plugin() if inspect.isclass(plugin) else plugin
            self.register(plugin, point.name)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{named} cannot be loaded: {error}") from error
        except pluggy.PluginValidationError as error:
            raise pluggy.PluginValidationError(plugin, f"{named} cannot be loaded: {error}") from error
        return plugin

    def _name_for(self, plugin: object) -> str:
        name = stem = getattr(plugin, "__name__", None) or type(plugin).__name__
        number = 1
        while self.has_plugin(name) or self.is_blocked(name):
            number += 1
            name = f"{stem}-{number}"
        return name

    def _check(self, plugin: object) -> None:
        self.check_pending()
        for caller in self.get_hookcallers(plugin) or ():
            for impl in caller.get_hookimpls():
                if impl.plugin is not plugin or isinstance(plugin, Strategies):
                    continue
                if caller.name in hookspecs.DECIDING and impl.trylast:
                    problem = "trylast on a deciding hook lands behind the chain's own strategy and is never asked"
                    raise pluggy.PluginValidationError(plugin, f"{caller.name}: {problem}")
                told = (*hookspecs.WATCHING, "orfallback_registered")
                if caller.name in told and (impl.wrapper or impl.hookwrapper):
                    problem = "a watching hook is told, it cannot be wrapped"
                    raise pluggy.PluginValidationError(plugin, f"{caller.name}: {problem}")


class _Implementation(NamedTuple):
    plugin: str
    function: Callable[..., Any]
    wanted: tuple[str, ...]
    wraps: bool


class Hooks:
    """The hooks as they were when a call began; one without implementations costs a look into a dict.

    :param manager: the manager to copy.
    :param state: says of which plugins.
    :param tracing: whether to print every call of a hook: its name, the plugin, the kind of result, microseconds.
    :ivar state: likewise.
    :ivar tracing: whether every call is printed.
    :ivar prepares: whether any plugin changes what is sent.
    """

    def __init__(self, manager: PluginManager, state: object = None, *, tracing: bool = False) -> None:
        self.state = state
        self._frozen = frozen = _Manager()
        for name, plugin in manager.list_name_plugin():
            if plugin is not None:
                frozen.register(plugin, name)
        self._watching = {name: self._implementations(name) for name in hookspecs.WATCHING}
        self._deciding = {name: self._implementations(name) for name in hookspecs.DECIDING}
        self._preparing = self._implementations("orfallback_prepare")
        self._slow = manager.slow
        self.prepares = bool(self._preparing)
        self.tracing = tracing

    def _implementations(self, name: str) -> tuple[_Implementation, ...]:
        found = reversed(getattr(self._frozen.hook, name).get_hookimpls())
        return tuple(
            _Implementation(impl.plugin_name, impl.function, tuple(impl.argnames), impl.wrapper or impl.hookwrapper)
            for impl in found
        )

    def notify(self, name: str, /, **facts: Any) -> None:
        """Tell every plugin, one by one; what one raises is logged and goes no further.

        :param name: a watching hook.
        :param facts: its arguments.
        """
        interruption: BaseException | None = None
        for implementation in self._watching[name]:
            started = perf_counter()
            try:
                implementation.function(*[facts[argument] for argument in implementation.wanted])
            except Exception:  # noqa: BLE001 - plugin code alone runs here, and none of it may break a chat
                _say_failed(implementation.plugin, name, facts["call"])
            except BaseException as error:  # noqa: BLE001 - raised below, when the others have been told
                # Not the plugin's own: Ctrl-C or the like struck in it.
                interruption = error
            spent = perf_counter() - started
            if spent >= _SLOW or self.tracing:
                self._tell(name, (implementation,), None, spent, facts["call"])
        if interruption is not None:
            try:
                raise interruption
            finally:
                del interruption

    def ask(self, name: str, /, **facts: Any) -> Any:
        """Ask the plugins in turn until one answers something other than None.

        :param name: a deciding hook.
        :param facts: its arguments.
        """
        implementations = self._deciding[name]
        if not implementations:
            return None
        started = perf_counter()
        first = implementations[0]
        if len(implementations) == 1 and not first.wraps and not self.tracing:
            answer = first.function(*[facts[argument] for argument in first.wanted])
        else:
            answer = getattr(self._frozen.hook, name)(**facts)
        spent = perf_counter() - started
        if spent >= _SLOW or self.tracing:
            self._tell(name, implementations, answer, spent, facts["call"])
        return answer

    def prepare(self, **facts: Any) -> None:
        """Let the plugins change an attempt's payload and headers."""
        started = perf_counter()
        self._frozen.hook.orfallback_prepare(**facts)
        spent = perf_counter() - started
        if spent >= _SLOW or self.tracing:
            self._tell("orfallback_prepare", self._preparing, None, spent, facts["call"])

    def _tell(
        self, name: str, implementations: tuple[_Implementation, ...], answer: Any, spent: float, call: Call
    ) -> None:
        """Print a trace, if it is wanted, and say once of a plugin that it is slow."""
        if self.tracing:
            _print_trace(name, implementations, answer, spent)
        if spent < _SLOW:
            return
        # The chain's own strategies are named where they were asked alone.
        plugins = _names([each for each in implementations if each.plugin != STRATEGIES] or implementations)
        if (plugins, name) not in self._slow:
            self._slow.add((plugins, name))
            _say_slow(plugins, spent, name, call)


def installed() -> dict[str, importlib.metadata.EntryPoint]:
    """Return the installed plugins by name: the entry points of the group ``orfallback``."""
    return {point.name: point for point in importlib.metadata.entry_points(group=hookspecs.PROJECT)}


def comes_with_us(point: importlib.metadata.EntryPoint) -> bool:
    """Tell whether a plugin is one of the library's own, some of which need what the library does not."""
    return point.module.partition(".")[0] == hookspecs.PROJECT


def _names(implementations: Iterable[_Implementation]) -> str:
    return ", ".join(implementation.plugin for implementation in implementations)


# What a handler of the application's log raises goes no further: maybe the plugin failed on the same.


def _say_failed(plugin: str, hook: str, call: Call) -> None:
    told = {"plugin": plugin, "hook": hook, "call_id": call.id}
    try:
        _logger.exception("plugin %s failed in %s; the call goes on without it", plugin, hook, extra=told)
    except Exception:  # noqa: BLE001 - see above
        return


def _say_slow(plugins: str, seconds: float, hook: str, call: Call) -> None:
    told = {"plugin": plugins, "hook": hook, "call_id": call.id}
    try:
        _logger.warning("plugin %s took %.1f s in %s; the call waited for it", plugins, seconds, hook, extra=told)
    except Exception:  # noqa: BLE001 - see above
        return


def _print_trace(name: str, implementations: tuple[_Implementation, ...], answer: Any, seconds: float) -> None:
    line = f"orfallback: {name} [{_names(implementations)}] -> {type(answer).__name__}, {seconds * 1e6:.0f} µs\n"
    try:
        sys.stderr.write(line)
    except (AttributeError, OSError, ValueError):
        # There is no stderr, or it is closed or full: a trace is not worth a call.
        return
