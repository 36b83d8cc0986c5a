"""Parameters of a call, as NAME=VALUE."""

from __future__ import annotations

import json
from typing import Any

import click

from orfallback._payload import Payload

# What is set otherwise here.
_OPTIONS = {
    "messages": "it is what PROMPT becomes",
    "model": "use -m",
    "models": "use -m, repeatedly",
    "stream": "use --stream or --no-stream",
    "timeout": "use --deadline",
    "deadline": "use --deadline",
    "api_key": "use --key-env",
    "base_url": "use --base-url",
}


def _parsed(_: click.Context, __: click.Parameter, pairs: tuple[str, ...]) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE, as in temperature=0.2")
        params[name.strip()] = _value(value)
        if name.strip() in _OPTIONS:
            raise click.BadParameter(f"{name.strip()} is no parameter: {_OPTIONS[name.strip()]}")
    try:
        Payload("?", params, stream=False)
    except (TypeError, ValueError) as error:
        raise click.BadParameter(str(error)) from None
    return params


def _value(text: str) -> Any:
    """Return what a value says in JSON; anything that is no JSON is a string."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


#: Gives a command ``params``, a dict.
parameter_option = click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_parsed,
    help="A parameter of the call, as temperature=0.2; the value is JSON, or else a string.",
)
