"""The chain: what an application builds once and calls."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import requests

from orfallback import _config
from orfallback._classify import Classify, default_classifier
from orfallback._clock import Clock, SystemClock
from orfallback._completion import Completion, degraded_reply
from orfallback._cooldown import Cooldown
from orfallback._delay import DEFAULT_DELAY, REST, Delay, FixedDelay, check_seconds
from orfallback._engine import Answered, Send, run
from orfallback._health import Health
from orfallback._logging import LoggingPlugin, warn_of
from orfallback._payload import Messages, Payload
from orfallback._plugins import STRATEGIES, Hooks, PluginManager, Strategies
from orfallback._secret import Secret, Unshown
from orfallback._select import Select, in_order
from orfallback._sender import Sender
from orfallback._stream import Stream
from orfallback._transport import Transport
from orfallback._types import Call, Outcome, Target, Timeouts
from orfallback._wire import Wire

if TYPE_CHECKING:
    from urllib3.util import Timeout

    from orfallback._asked import Addressees, Asked
    from orfallback._through import Through

_OPTIONS = (
    "models", "api_key", "base_url", "session", "timeouts", "delay", "classify", "select", "cooldown", "rounds",
    "plugins", "clock",
)  # fmt: skip
_DEFAULT_TIMEOUTS = Timeouts()
#: The name of the plugin that lets targets rest.
COOLDOWN = "cooldown"
# Longer lists of tries are a mistake in the configuration.
_MOST_ROUNDS = 100


class Chain:
    """Models in order of preference, and what to do when one does not answer. Built once, shared by threads.

    Of the environment it reads ``OPENROUTER_API_KEY`` alone; :meth:`from_env` reads the rest.

    :param models: model ids or :class:`Target` objects, the preferred first; None means the default ones.
    :param api_key: the key for ``base_url``. None takes ``OPENROUTER_API_KEY`` from the environment, for OpenRouter's
        own base URL alone.
    :param base_url: the endpoint, up to and without ``/chat/completions``; None is OpenRouter's.
    :param session: the application's own, used as it is and never closed; None makes one for each process. A key that
        it holds goes to the origin of ``base_url`` only. A server that drips its headers can hold it up past every
        limit, unless a :class:`WatchedAdapter` is mounted on it.
    :param timeouts: the limits, in seconds.
    :param delay: the wait before the next attempt after a transient failure: seconds, 0 to 60, or a callable
        ``(call, attempt) -> seconds``.
    :param classify: judges what comes back: a callable ``(call, outcome) -> Verdict | None``, where None is a good
        answer.
    :param select: chooses the next target: a callable ``(call, targets) -> target``.
    :param cooldown: how targets rest that were busy: seconds for the first rest of one that gave no hint, or a
        :class:`Cooldown`; None or 0 lets none rest.
    :param rounds: how often the list is gone through, for targets whose failure was transient.
    :param plugins: objects or modules with functions named ``orfallback_*``.
    :param clock: for measuring and waiting.
    :raises TypeError: for an option of the wrong type.
    :raises ValueError: for an option that cannot be meant.
    """

    def __init__(
        self,
        models: Iterable[str | Target] | str | Target | None = None,
        *,
        api_key: str | Secret | _config.Keyless | None = None,
        base_url: str | None = None,
        session: requests.Session | None = None,
        timeouts: Timeouts = _DEFAULT_TIMEOUTS,
        delay: float | Delay = DEFAULT_DELAY,
        classify: Classify = default_classifier,
        select: Select = in_order,
        cooldown: float | Cooldown | None = REST,
        rounds: int = 1,
        plugins: Iterable[object] = (),
        clock: Clock | None = None,
    ) -> None:
        try:
            self._secret = secret = _config.secret_for(api_key, base_url)
        finally:
            # The frame of an error may be rendered with its variables.
            del api_key
        url = _config.DEFAULT_BASE_URL if base_url is None else _config.check_base_url(base_url)
        if isinstance(models, Iterable) and not isinstance(models, str):
            models = tuple(models)
        self._targets, self._secrets = _config.resolve(models, url, secret)
        self._origin = _config.origin(url)
        self._addressees: Addressees | None = None
        _check_options(timeouts=timeouts, rounds=rounds, session=session, clock=clock, plugins=plugins)
        for name, strategy in (("classify", classify), ("select", select)):
            if not callable(strategy):
                raise TypeError(f"{name} is a callable, not {type(strategy).__name__}")
        if not callable(delay):
            check_seconds("delay", delay)
        self._timeouts = timeouts
        self._rounds = rounds
        self._clock = SystemClock() if clock is None else clock
        self._transport = Transport(session)
        self._owns_transport = True
        self._options: dict[str, Any] = {
            "models": models, "api_key": secret or _config.Keyless(), "base_url": base_url, "session": session,
            "timeouts": timeouts, "delay": delay, "classify": classify, "select": select, "cooldown": cooldown,
            "rounds": rounds, "clock": clock,
        }  # fmt: skip
        #: The chain's plugins; what is registered here counts from the next call.
        self.plugin_manager = PluginManager()
        strategies = Strategies(select, classify, delay if callable(delay) else FixedDelay(delay))
        self.plugin_manager.register(strategies, STRATEGIES)
        self.plugin_manager.register(LoggingPlugin(), "logging")
        # Before all others, so that it is asked last: it claims what nobody else has passed over.
        if cooldown is not None and cooldown != 0:
            memory = cooldown if isinstance(cooldown, Cooldown) else Cooldown(cooldown, clock=self._clock)
            self.plugin_manager.register(memory, COOLDOWN)
        plugins = tuple(plugins)
        self._heed_targets(plugins)
        for plugin in plugins:
            self.register(plugin)

    def _heed_targets(self, plugins: Sequence[object]) -> None:
        """Let count what targets say that they take, unless a plugin sees to it."""
        if any(target.inputs or target.context_length for target in self._targets):
            # Few chains have such targets.
            from orfallback._fit import Fit

            if not any(isinstance(plugin, Fit) for plugin in plugins):
                self.plugin_manager.register(Fit(fetch=False), "fit")

    # -- other ways to make one --

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Chain:
        """Make a chain from the environment.

        Read are ``OPENROUTER_API_KEY``, ``OPENROUTER_BASE_URL``, ``ORFALLBACK_MODELS`` (comma), ``ORFALLBACK_DELAY``
        and ``ORFALLBACK_DEADLINE`` (seconds), ``ORFALLBACK_COOLDOWN`` (seconds, or ``none``), ``ORFALLBACK_STORE``
        (``sqlite:///path``, ``redis://host``: what was learnt is shared there), ``ORFALLBACK_PLUGINS`` (names of
        installed plugins, comma; ``-name`` takes one off), ``ORFALLBACK_TRACE_PLUGINS`` and ``ORFALLBACK_PLAIN_LOG``
        (1 or 0).

        :param environ: another mapping to read.
        :raises ValueError: for a variable that cannot be meant.
        :raises LookupError: for a plugin that is not installed.
        """
        environ = Unshown(os.environ if environ is None else environ)
        chain = cls(**_config.options_from_env(environ))
        if _config.flag(environ, "ORFALLBACK_PLAIN_LOG"):
            chain.plugin_manager.unregister(name="logging")
            chain.register(LoggingPlugin(plain=True), "logging")
        wanted, unwanted = _config.plugins_from_env(environ)
        for name in unwanted:
            chain.unregister(name)
        if wanted:
            chain.load_entry_points(*wanted)
        chain.plugin_manager.tracing = _config.flag(environ, "ORFALLBACK_TRACE_PLUGINS")
        return chain

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Chain:
        """Make a chain from a settings mapping, such as Django's ``settings.ORFALLBACK``.

        :param mapping: the constructor's options, their names in any case.
        :raises ValueError: for an unknown option.
        """
        mapping = Unshown(mapping)
        return cls(**Unshown(_config.options_from_mapping(mapping, _OPTIONS)))

    def replace(self, **changes: Any) -> Chain:
        """Return a chain that differs in some options, and shares session, connections and plugins with this one.

        :param changes: the constructor's options. ``plugins`` are added to this chain's. A new ``base_url`` without an
            ``api_key`` has no key: a key belongs to one origin.
        :returns: a chain whose ``close()`` closes nothing, unless it was given a session of its own.
        :raises TypeError: for an unknown option.
        """
        changes = Unshown(changes)
        options = Unshown({**self._options, **changes})
        if "base_url" in changes and "api_key" not in changes:
            options["api_key"] = None
        elif "api_key" in changes and changes["api_key"] is not None:
            options["api_key"] = Secret(changes["api_key"])
        plugins = options.pop("plugins", ())
        chain = Chain(**options)
        if "session" not in changes:
            chain._transport = self._transport
            chain._owns_transport = False
        for name in ("logging", "fit"):
            chain.plugin_manager.unregister(name=name)
        if "cooldown" not in changes and ("clock" not in changes or isinstance(options["cooldown"], Cooldown)):
            chain._share_memory(self)
        made_anew = (STRATEGIES, COOLDOWN)
        registered = self.plugin_manager.list_name_plugin()
        inherited = [(name, plugin) for name, plugin in registered if name not in made_anew and plugin is not None]
        for name, plugin in inherited:
            chain.plugin_manager.register(plugin, name)
        if "models" in changes:
            chain._heed_targets([plugin for _, plugin in inherited])
        for plugin in plugins:
            if not chain.plugin_manager.is_registered(plugin):
                chain.register(plugin)
        chain.plugin_manager.tracing = self.plugin_manager.tracing
        return chain

    # -- calls --

    def complete(self, messages: Messages, *, context: Mapping[str, Any] | None = None, **params: Any) -> Completion:
        """Ask for a whole answer.

        :param messages: one user message, or a sequence of message objects.
        :param context: the host's own mapping for its plugins; never sent.
        :param params: further parameters, put into the JSON as they are.
        :returns: the answer, with what was tried for it.
        :raises FallbackError: when no model answered.
        :raises TypeError: for messages or parameters that cannot be sent.
        :raises ValueError: likewise.
        """
        payload = Payload(messages, params, stream=False)
        # A traceback rendered with its variables is not to show the prompt.
        del messages, params
        answered = self._ask(payload, context)
        call = answered.finish()
        answered.end(None)
        return _completion(answered, call)

    def stream(self, messages: Messages, *, context: Mapping[str, Any] | None = None, **params: Any) -> Stream:
        """Ask for an answer that is handed out while it comes; return once a model has begun to answer.

        Every failure before that is raised here, so that a web view can still choose its status.

        :param messages: one user message, or a sequence of message objects.
        :param context: the host's own mapping for its plugins; never sent.
        :param params: further parameters, put into the JSON as they are.
        :returns: the stream, which has begun.
        :raises FallbackError: when no model answered.
        :raises TypeError: for messages or parameters that cannot be sent.
        :raises ValueError: likewise.
        """
        payload = Payload(messages, params, stream=True)
        del messages, params
        return Stream(self._ask(payload, context))

    def _ask(self, payload: Payload, context: Mapping[str, Any] | None) -> Answered:
        if context is not None and not isinstance(context, Mapping):
            raise TypeError(f"context is a mapping, not {type(context).__name__}")
        hooks = self.plugin_manager.hooks()
        wire = Wire(self._transport, self._timeouts, self._clock)
        send = Sender(wire, payload, hooks, self._secrets, self._origin)
        return self._run(payload, self._targets, hooks, send, self._timeouts, context)

    def _ask_for(self, asked: Asked, through: Through, timeout: Timeout) -> Answered:
        """Make the call that an application makes by its own request; what it brings goes before what the chain has.

        :param through: sends it.
        :param timeout: the application's own.
        """
        # What the adapter alone needs has been loaded with it, so that no fork can strike in the middle of that.
        from orfallback._asked import Addressees, under

        hooks = self.plugin_manager.hooks()
        limits = under(self._timeouts, timeout)
        own = f"{asked.origin}#{self._secret.digest}" if self._secret and asked.origin == self._origin else asked.origin
        if self._addressees is None:
            self._addressees = Addressees(self._targets)
        targets = self._addressees.of(asked, own)
        secrets = dict(self._secrets)
        if asked.secret is not None:
            secrets[targets[0].endpoint] = asked.secret
        if self._options["models"] is None and not asked.listed and asked.models[0] not in _config.DEFAULT_MODELS:
            # The built-in list says nothing of what could stand in for a model that is not on it.
            warn_of(asked.models[0])
            targets = targets[:1]
        sender = Sender(Wire(through, limits, self._clock), asked.payload, hooks, secrets, asked.origin, asked.path)

        def send(call: Call, target: Target) -> Outcome:
            through.begin()
            return sender(call, target)

        return self._run(asked.payload, targets, hooks, send, limits)

    def _run(
        self,
        payload: Payload,
        targets: Sequence[Target],
        hooks: Hooks,
        send: Send,
        timeouts: Timeouts,
        context: Mapping[str, Any] | None = None,
    ) -> Answered:
        """Make a call with this chain's strategies and plugins, whoever sends it, and to whomever."""
        started = self._clock.monotonic()
        deadline = timeouts.deadline
        call = Call(
            id=os.urandom(8).hex(),
            payload=payload.fields,
            stream=payload.stream,
            context={} if context is None else context,
            started=started,
            deadline=math.inf if deadline is None else started + deadline,
        )
        return run(call, targets, hooks, send, self._clock, self._rounds)

    # -- plugins --

    def register(self, plugin: object, name: str | None = None) -> str | None:
        """Register a plugin, from the next call on.

        :param plugin: an object or module with functions named ``orfallback_*``.
        :param name: how logs and errors call it; its own name by default.
        :returns: the name.
        :raises pluggy.PluginValidationError: for a hook that does not exist.
        :raises TypeError: for a second cooldown.
        """
        if isinstance(plugin, Cooldown):
            raise TypeError("a chain has one cooldown: Chain(cooldown=Cooldown(...)), or chain.replace(cooldown=...)")
        registered = self.plugin_manager.register(plugin, name)
        self.plugin_manager.introduce(plugin, self)
        return registered

    def unregister(self, plugin: object) -> None:
        """Take a plugin off, from the next call on.

        :param plugin: the plugin, or its name; the one that logs is ``logging``.
        :raises LookupError: if it is not registered.
        """
        name = plugin if isinstance(plugin, str) else self.plugin_manager.get_name(plugin)
        if name is None or name == STRATEGIES or not self.plugin_manager.has_plugin(name):
            known = ", ".join(n for n, p in self.plugin_manager.list_name_plugin() if p is not None and n != STRATEGIES)
            raise LookupError(f"no plugin {name or plugin!r} is registered; there are: {known or 'none'}")
        self.plugin_manager.unregister(name=name)

    def load_entry_points(self, *names: str) -> list[str]:
        """Load installed plugins of the entry point group ``orfallback``; nothing is loaded unless asked.

        :param names: which; none means all that other packages bring: those that come with this one, some of which
            need more than it does, are loaded by name.
        :returns: the names of those that were loaded now.
        :raises LookupError: if one is not installed, or cannot be imported.
        :raises TypeError: for a class that cannot be called without arguments, or what is no plugin.
        :raises ValueError: for a plugin that is registered already, or that its class raises.
        :raises pluggy.PluginValidationError: for a hook, an argument or an option that does not exist.
        """
        return self.plugin_manager.load_entry_points(*names, chain=self)

    # -- the rest --

    @property
    def targets(self) -> tuple[Target, ...]:
        """The resolved targets, in order, without keys."""
        return self._targets

    @property
    def health(self) -> Health:
        """What the chain knows of its targets, to be seen and steered by hand."""
        return Health(self.plugin_manager.get_plugin(COOLDOWN), self._targets)

    def close(self) -> None:
        """Close the connections that this chain made; it can be used again."""
        if self._owns_transport:
            self._transport.close()

    def _share_memory(self, other: Chain) -> None:
        """Remember what another chain does; this one has no plugins yet that would be asked after it."""
        memory = other.plugin_manager.get_plugin(COOLDOWN)
        if self.plugin_manager.has_plugin(COOLDOWN):
            self.plugin_manager.unregister(name=COOLDOWN)
        if memory is not None:
            self.plugin_manager.register(memory, COOLDOWN)

    def __enter__(self) -> Chain:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        # A chain whose making failed has no targets yet; a traceback may show it all the same.
        return f"<Chain of {', '.join(target.name for target in getattr(self, '_targets', ()))}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Chain does not pickle: it holds a key; make one in each process, as Chain.from_env() does")


def _check_options(*, timeouts: object, rounds: object, session: object, clock: object, plugins: object) -> None:
    if not isinstance(timeouts, Timeouts):
        raise TypeError(f"timeouts is a Timeouts, not {type(timeouts).__name__}")
    if isinstance(rounds, bool) or not isinstance(rounds, int):
        raise TypeError(f"rounds is an int, not {type(rounds).__name__}")
    if not 1 <= rounds <= _MOST_ROUNDS:
        raise ValueError(f"rounds is 1 to {_MOST_ROUNDS}, not {rounds}")
    if session is not None and not isinstance(session, requests.Session):
        raise TypeError(f"session is a requests.Session, not {session!r}")
    if clock is not None and not all(callable(getattr(clock, name, None)) for name in ("monotonic", "sleep", "time")):
        raise TypeError(f"clock has monotonic(), sleep() and time(), which {type(clock).__name__} has not")
    if isinstance(plugins, (str, Mapping)) or not isinstance(plugins, Iterable):
        raise TypeError(f"plugins is a list of plugins, not {type(plugins).__name__}")


def _completion(answered: Answered, call: Call) -> Completion:
    attempt = answered.attempt
    if attempt is None:
        return Completion(degraded_reply(answered.value), requested_model="", attempts=call.attempts, degraded=True)
    return Completion(answered.value, requested_model=attempt.model, attempts=call.attempts)
