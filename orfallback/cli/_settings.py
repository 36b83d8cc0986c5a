"""What a command works with: the environment, and the command's own options laid over it."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orfallback import DEFAULT_MODELS, Chain
from orfallback._config import DEFAULT_BASE_URL, KEY_VARIABLE, OPENROUTER, check_base_url, origin
from orfallback._secret import Secret, Unshown
from orfallback._service import Service
from orfallback.cli import _mends
from orfallback.cli._exits import SetupFailed
from orfallback.cli._loading import loading, tell_of_plugins
from orfallback.cli._service import Model, closest, listed
from orfallback.cli._shown import hide

#: The variable that names the models.
MODELS = "ORFALLBACK_MODELS"
_BASE_URL = "OPENROUTER_BASE_URL"
# How long a list of models is waited for, where it only makes a message better (s).
_PATIENCE = 5.0


class Settings:
    """The environment of a command, with its options laid over it. It shows no key.

    :param environ: the environment.
    :param models: model ids; none leaves those of the environment, or the default ones.
    :param base_url: the endpoint; None leaves that of the environment, or OpenRouter.
    :param key_variable: the variable that holds the key; None is ``OPENROUTER_API_KEY``, which is for the endpoint of
        the environment alone: it does not go to another origin that is named by ``base_url``.
    :param deadline: seconds for a whole call.
    :param delay: seconds before the next attempt.
    :param plugins: modules, or names in modules as in ``package.module:name``.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        models: Iterable[str] = (),
        base_url: str | None = None,
        key_variable: str | None = None,
        deadline: float | None = None,
        delay: float | None = None,
        plugins: Iterable[str] = (),
    ) -> None:
        own = _url(environ.get(_BASE_URL, "").strip() or DEFAULT_BASE_URL)
        self.key_variable = KEY_VARIABLE if key_variable is None else key_variable
        self.plugins = tuple(plugins)
        #: The base URL, checked.
        self.base_url = own if base_url is None else _url(base_url)
        key = environ.get(self.key_variable, "").strip()
        if key_variable is not None and not key:
            raise SetupFailed(f"{key_variable} is not set, or empty", "--key-env names the variable that holds the key")
        if key_variable is None and origin(own) != origin(self.base_url):
            # A key belongs to one origin.
            key = ""
        laid = {
            MODELS: ",".join(models),
            _BASE_URL: base_url or "",
            "ORFALLBACK_DEADLINE": "" if deadline is None else str(deadline),
            "ORFALLBACK_DELAY": "" if delay is None else str(delay),
        }
        laid = {name: value for name, value in laid.items() if value}
        self.environ: Mapping[str, str] = Unshown({**environ, **laid, KEY_VARIABLE: key})
        hide(key, environ.get(KEY_VARIABLE, ""))
        del key

    @classmethod
    def of_process(cls, **options: Any) -> Settings:
        """Return the settings of this process, with the options of its command."""
        return cls(os.environ, **options)

    @property
    def host(self) -> str:
        """The host of the endpoint, with its port if it names one."""
        return urlsplit(self.base_url).netloc

    @property
    def at_openrouter(self) -> bool:
        """Whether the endpoint is OpenRouter's."""
        return origin(self.base_url) == OPENROUTER

    @property
    def default_models(self) -> bool:
        """Whether the models are those that come with the library."""
        return not self.environ.get(MODELS, "").strip()

    @property
    def models(self) -> tuple[str, ...]:
        """The models, in order."""
        named = [model.strip() for model in self.environ.get(MODELS, "").split(",") if model.strip()]
        return tuple(dict.fromkeys(named)) or DEFAULT_MODELS

    @property
    def deadline(self) -> float | None:
        """Seconds for a whole call, if they were named; None if not, or if they are no number."""
        try:
            return float(self.environ.get("ORFALLBACK_DEADLINE", ""))
        except ValueError:
            return None

    @property
    def secret(self) -> Secret | None:
        """The key, or None.

        :raises SetupFailed: for one that no header can carry.
        """
        key = self.environ.get(KEY_VARIABLE, "")
        try:
            return Secret(key) if key else None
        except ValueError as error:
            raise SetupFailed(
                f"{self.key_variable}: {error}", f"Set {self.key_variable} anew: the key, and nothing round it"
            ) from None
        finally:
            del key

    def closest(self, model: str) -> list[str]:
        """Return the models of the endpoint whose ids are most like one that it does not serve; [] if it tells none.

        It is asked for its list, within seconds.
        """
        return closest(model, self._listed)

    @functools.cached_property
    def _listed(self) -> tuple[Model, ...]:
        with Service(self.base_url, self.secret, _PATIENCE) as service:
            return listed(service.get("/models")) or ()

    def require_key(self) -> None:
        """Make sure that there is a key where one is needed.

        :raises SetupFailed: if OpenRouter is to be asked without one.
        """
        if self.secret is None and self.at_openrouter:
            raise SetupFailed(*_mends.no_key(self.key_variable))

    def chain(self, *plugins: object) -> Chain:
        """Return the chain, as :meth:`Chain.from_env` makes it.

        :param plugins: objects to register first.
        :raises SetupFailed: if it cannot be made.
        """
        self.secret  # noqa: B018 - a key that cannot be sent is told with its variable's name
        mend = "orfallback doctor looks at all of the configuration"
        with loading("the chain cannot be made", mend, plain=(TypeError, ValueError)):
            chain = Chain.from_env(self.environ)
        tell_of_plugins()
        for plugin in plugins:
            chain.register(plugin)
        for name in self.plugins:
            register(chain, name)
        return chain


def register(chain: Chain, name: str) -> None:
    """Register a plugin by the name of its module, or of something in one.

    :param name: ``package.module`` or ``package.module:name``.
    :raises SetupFailed: if it cannot be imported, or is no plugin.
    """
    # As ``python -m`` and other tools that load what they are told: what lies in the directory can be named.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    module, _, attribute = name.partition(":")
    with loading(f"plugin {name} cannot be imported", "A plugin is named as module:name", module=module):
        plugin: Any = importlib.import_module(module)
        for part in attribute.split(".") if attribute else ():
            plugin = getattr(plugin, part)
    with loading(f"{name} is no plugin that can be used", module=module, plain=(TypeError, ValueError)):
        chain.register(plugin() if isinstance(plugin, type) else plugin, name)


def _url(url: str) -> str:
    try:
        return check_base_url(url)
    except ValueError as error:
        raise SetupFailed(_said(error), _mends.BASE_URL) from None


def _said(error: BaseException) -> str:
    return str(error.args[0] if error.args else error)
