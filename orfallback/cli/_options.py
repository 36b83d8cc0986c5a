"""The options that make a chain."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from orfallback import DEFAULT_MODELS
from orfallback._config import KEY_VARIABLE
from orfallback.cli._exits import SetupFailed
from orfallback.cli._settings import MODELS, Settings
from orfallback.cli._shown import hide

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _offered(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the models that a shell can offer without asking anybody: the environment's own, and the default ones."""
    named = (model.strip() for model in os.environ.get(MODELS, "").split(","))
    return [model for model in dict.fromkeys([*named, *DEFAULT_MODELS]) if model and model.startswith(incomplete)]


class Seconds(click.FloatRange):
    """A number of seconds, told as such."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            seconds = super().convert(value, param, ctx)
        except click.BadParameter as error:
            told = error.message.replace("valid float range", "number of seconds")
            raise click.BadParameter(told, ctx, param) from None
        if math.isnan(seconds):
            raise click.BadParameter(f"{value!r} is no number of seconds", ctx, param)
        return seconds


def _named(_: click.Context, __: click.Parameter, models: tuple[str, ...]) -> tuple[str, ...]:
    # A variable of the shell that is not set; nobody means the default models by it.
    if any(not model.strip(" ,") for model in models):
        raise click.BadParameter("a model's id is not empty")
    return models


def variable(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    """Check the name of a variable that holds a key."""
    # Not shown: it may be the key itself.
    if name is not None and not (name.isascii() and name.isidentifier()):
        raise click.BadParameter("it is the name of a variable, as MY_KEY, and not the key")
    return name


def token_of(name: str | None) -> str | None:
    """Return the token that ``--token-env`` names; None if it names none.

    :raises SetupFailed: if the variable is not set.
    """
    if name is None:
        return None
    token = os.environ.get(name, "").strip()
    if not token:
        raise SetupFailed(f"{name} is not set, or empty", "--token-env names the variable that holds the token")
    hide(token)
    return token


model_option = click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    callback=_named,
    metavar="MODEL",
    shell_complete=_offered,
    help="A model of the chain; repeat it for more.",
)
base_url_option = click.option("--base-url", metavar="URL", help="The endpoint, up to and without /chat/completions.")
key_option = click.option(
    "--key-env",
    metavar="VARIABLE",
    callback=variable,
    help=f"The variable that holds the key, instead of {KEY_VARIABLE}.",
)
deadline_option = click.option(
    "--deadline", type=Seconds(0, min_open=True), metavar="SECONDS", help="For a whole call."
)
delay_option = click.option("--delay", type=Seconds(0, 60), metavar="SECONDS", help="Before the next model.")
plugin_option = click.option("--plugin", "plugins", multiple=True, metavar="MODULE[:NAME]", help="A plugin to load.")


def chain_options(function: _Command) -> _Command:
    """Give a command the options that make a chain; it receives them as ``settings``."""

    @functools.wraps(function)
    def command(
        *args: Any,
        models: tuple[str, ...],
        base_url: str | None,
        key_env: str | None,
        deadline: float | None,
        delay: float | None,
        plugins: tuple[str, ...],
        **kwargs: Any,
    ) -> Any:
        settings = Settings.of_process(
            models=models, base_url=base_url, key_variable=key_env, deadline=deadline, delay=delay, plugins=plugins
        )
        return function(*args, settings=settings, **kwargs)

    for option in (plugin_option, delay_option, deadline_option, key_option, base_url_option, model_option):
        command = option(command)
    return command  # type: ignore[return-value]  # a click option returns what it decorates
