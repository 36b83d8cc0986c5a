"""What a chain is given, checked and resolved before any call."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from orfallback import _reply
from orfallback._secret import Secret
from orfallback._types import Target

#: The models that are asked, in order, where none are named.
DEFAULT_MODELS = (
    "mistralai/mistral-nemo",
    "mistralai/mistral-small-3.2-24b-instruct",
    "mistralai/mistral-small-24b-instruct-2501",
    "mistralai/pixtral-12b",
)
#: OpenRouter's API.
DEFAULT_BASE_URL = "https://openrouter.ai/api/v1"
#: The one variable that a Chain reads by itself, and only for the default base URL.
KEY_VARIABLE = "OPENROUTER_API_KEY"

# No model id is longer (characters).
_LONGEST_MODEL = 256
_RESERVED = ("model", "models", "messages", "stream")


class Endpoints(NamedTuple):
    """Resolved targets, and the keys that only the chain knows.

    :ivar targets: in order, each once, without keys.
    :ivar secrets: by :attr:`Target.endpoint`; an endpoint without a key has no entry.
    """

    targets: tuple[Target, ...]
    secrets: Mapping[str, Secret]


def secret_for(api_key: str | Secret | None, base_url: str | None) -> Secret | None:
    """Return the chain's own key; the environment's is used for the default base URL alone.

    :raises ValueError: for a key that no header can carry, without showing it.
    """
    if api_key is None and base_url is None:
        api_key = os.environ.get(KEY_VARIABLE, "").strip() or None
    try:
        return api_key if api_key is None or isinstance(api_key, Secret) else Secret(api_key)
    finally:
        # The frame of an error may be rendered with its variables.
        del api_key


def resolve(models: Iterable[str | Target] | str | Target | None, base_url: str, secret: Secret | None) -> Endpoints:
    """Return the targets with their endpoints, each once.

    :param models: model ids or targets; None means the default ones; one alone is a list of one.
    :param base_url: the chain's own endpoint, checked.
    :param secret: its key.
    :raises TypeError: for what is neither a model id nor a target.
    :raises ValueError: for an empty list, and for ids and URLs that cannot be asked.
    """
    if models is None:
        models = DEFAULT_MODELS
    elif isinstance(models, (str, Target)):
        models = (models,)
    secrets: dict[str, Secret] = {}
    targets: list[Target] = []
    for model in models:
        target, own = _resolve_one(model if isinstance(model, Target) else Target(model), base_url, secret)
        if own is not None:
            secrets[target.endpoint] = own
        if target not in targets:
            targets.append(target)
    if not targets:
        raise ValueError("a chain needs at least one model")
    return Endpoints(tuple(_named(targets)), secrets)


def _resolve_one(target: Target, base_url: str, secret: Secret | None) -> tuple[Target, Secret | None]:
    _check_model(target.model)
    for field, names in (("set", target.set), ("drop", target.drop)):
        taken = sorted(set(_RESERVED) & set(names))
        if taken:
            raise ValueError(f"Target.{field} names {', '.join(taken)}, which the chain sets")
    try:
        _reply.encode(dict(target.set))
    except (TypeError, ValueError) as error:
        raise type(error)(f"Target.set of {target.model} is no JSON: {error}") from None
    url = check_base_url(target.base_url) if target.base_url else base_url
    if target.api_key is not None:
        secret = Secret(target.api_key)
    elif origin(url) != origin(base_url):
        # A key belongs to one origin.
        secret = None
    endpoint = f"{origin(url)}#{secret.digest}" if secret is not None else origin(url)
    drop = (target.drop,) if isinstance(target.drop, str) else tuple(target.drop)
    resolved = replace(target, base_url=url, api_key=None, set=dict(target.set), drop=drop, endpoint=endpoint)
    return resolved, secret


def _named(targets: list[Target]) -> Iterable[Target]:
    models = [target.model for target in targets]
    for target in targets:
        if target.name:
            yield target
        elif models.count(target.model) == 1:
            yield replace(target, name=target.model)
        else:
            yield replace(target, name=f"{target.model}@{urlsplit(target.base_url).netloc}")


def _check_model(model: object) -> None:
    if not isinstance(model, str):
        raise TypeError(f"a model is a str or a Target, not {type(model).__name__}")
    if not model.strip():
        raise ValueError("a model's id is not empty")
    if len(model) > _LONGEST_MODEL or not model.isprintable() or " " in model:
        raise ValueError(
            f"a model's id has at most {_LONGEST_MODEL} printable characters and no spaces: {model[:80]!r}"
        )


def check_base_url(url: object) -> str:
    """Return a base URL without its trailing slashes.

    :raises ValueError: unless it is http or https with a host, and nothing but a path behind it.
    """
    if not isinstance(url, str):
        raise TypeError(f"base_url is a str, not {type(url).__name__}")
    url = url.strip()
    # What may be a password, or a key in a query, is not shown.
    shown = re.split("[?#]", url.rpartition("@")[2])[0][:200]
    if not url.isprintable() or " " in url or "\\" in url:
        raise ValueError(f"base_url holds spaces, backslashes or control characters: {shown!r}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("base_url is no URL") from None
    if port == 0:
        raise ValueError(f"base_url names port 0: {shown!r}")
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"base_url begins with http:// or https:// and a host: {shown!r}")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"base_url holds a user or password; pass the key as api_key: {shown!r}")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise ValueError(f"base_url ends with its path; no query, no fragment: {shown!r}")
    return url.rstrip("/")


def origin(url: str) -> str:
    """Return scheme, host and port of a URL (RFC 6454)."""
    parts = urlsplit(url)
    port = (443 if parts.scheme == "https" else 80) if parts.port is None else parts.port
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


OPENROUTER = origin(DEFAULT_BASE_URL)


def options_from_env(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the constructor's options that the environment sets.

    :raises ValueError: for a number that is none.
    """
    from orfallback._types import Timeouts

    options: dict[str, Any] = {}
    models = [model.strip() for model in environ.get("ORFALLBACK_MODELS", "").split(",")]
    if any(models):
        options["models"] = [model for model in models if model]
    if environ.get("OPENROUTER_BASE_URL", "").strip():
        options["base_url"] = environ["OPENROUTER_BASE_URL"]
    if environ.get(KEY_VARIABLE, "").strip():
        options["api_key"] = Secret(environ[KEY_VARIABLE])
    delay = _number(environ, "ORFALLBACK_DELAY")
    if delay is not None:
        options["delay"] = delay
    deadline = _number(environ, "ORFALLBACK_DEADLINE")
    if deadline is not None:
        options["timeouts"] = Timeouts(deadline=deadline)
    return options


def options_from_mapping(mapping: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Return the constructor's options that a mapping sets, its keys in any case.

    :raises ValueError: for a key that the constructor does not know, or that stands there twice.
    """
    options: dict[str, Any] = {}
    for key, value in mapping.items():
        name = str(key).lower()
        if name not in known:
            raise ValueError(f"unknown option {key!r}; known: {', '.join(sorted(known))}")
        if name in options:
            raise ValueError(f"option {key!r} is given twice")
        options[name] = value
    return options


def flag(environ: Mapping[str, str], name: str) -> bool:
    """Tell whether a variable is set to anything but an empty string, 0, false, no or off."""
    return environ.get(name, "").strip().lower() not in ("", "0", "false", "no", "off")


def _number(environ: Mapping[str, str], name: str) -> float | None:
    text = environ.get(name, "").strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} is a number of seconds, not {text[:80]!r}") from None
