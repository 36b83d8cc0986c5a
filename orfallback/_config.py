"""What a chain is given, checked and resolved before any call."""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from orfallback import _reply
from orfallback._cooldown import MOST, Cooldown
from orfallback._delay import REST, check_seconds
from orfallback._secret import Secret, Unshown
from orfallback._types import Target, Timeouts

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
#: Where chains made of the environment keep what they know of targets that rest; it may hold a password.
STORE_VARIABLE = "ORFALLBACK_STORE"

# No model id is longer (characters).
_LONGEST_MODEL = 256
_RESERVED = ("model", "models", "messages", "stream")
# What OpenRouter calls the kinds of input.
_INPUTS = ("text", "image", "audio", "video", "file")


class Endpoints(NamedTuple):
    """Resolved targets, and the keys that only the chain knows.

    :ivar targets: in order, each once, without keys.
    :ivar secrets: by :attr:`Target.endpoint`; an endpoint without a key has no entry.
    """

    targets: tuple[Target, ...]
    secrets: Mapping[str, Secret]


class Keyless:
    """Stands for "no key, whatever the environment of the process says"."""


def secret_for(api_key: str | Secret | Keyless | None, base_url: str | None) -> Secret | None:
    """Return the chain's own key; the environment's is used for the default base URL alone.

    :param api_key: the key; None asks the environment.
    :param base_url: the chain's own endpoint; None is the default one.
    :raises ValueError: for a key that no header can carry, without showing it.
    """
    if isinstance(api_key, Keyless):
        return None
    if api_key is None and (base_url is None or str(base_url).rstrip("/") == DEFAULT_BASE_URL):
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
    elif not isinstance(models, Iterable):
        raise TypeError(f"models are model ids or Targets, not {type(models).__name__}")
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
    _check_told(target)
    url = check_base_url(target.base_url) if target.base_url else base_url
    if target.api_key is not None:
        secret = Secret(target.api_key)
    elif origin(url) != origin(base_url):
        # A key belongs to one origin.
        secret = None
    endpoint = f"{origin(url)}#{secret.digest}" if secret is not None else origin(url)
    resolved = replace(target, base_url=url, api_key=None, set=dict(target.set), endpoint=endpoint)
    return resolved, secret


def _check_told(target: Target) -> None:
    """Check what a target says that it takes."""
    for kind in target.inputs:
        if kind not in _INPUTS:
            raise ValueError(f"Target.inputs are of {', '.join(_INPUTS)}, not {kind!r}")
    length = target.context_length
    if length is None:
        return
    if isinstance(length, bool) or not isinstance(length, int):
        raise TypeError(f"Target.context_length is a number of tokens, not {type(length).__name__}")
    if length <= 0:
        raise ValueError(f"Target.context_length is greater than 0 tokens, not {length}")


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
            f"a model's id has at most {_LONGEST_MODEL} printable characters and no spaces "
            f"(several models are a list): {model[:80]!r}"
        )


def check_base_url(url: object) -> str:
    """Return a base URL without its trailing slashes.

    :raises ValueError: unless it is http or https with a host, and nothing but a path behind it.
    """
    if not isinstance(url, str):
        raise TypeError(f"base_url is a str, not {type(url).__name__}")
    url = url.strip()
    shown = _without_secrets(url)
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
    url = url.rstrip("/")
    if url.endswith("/chat/completions"):
        raise ValueError(f"base_url goes up to and without /chat/completions: {shown!r}")
    return url


def _without_secrets(url: str) -> str:
    """Return what of a wrong URL may be shown: no user, no password, no query, and nothing that may be a key."""
    plain = re.split("[?#]", url)[0].rpartition("@")[2][:200]
    host = r"(?:\[[0-9a-fA-F:.]+\]|[\w.\-]*)(?::\d*)?"
    harmless = re.fullmatch(rf"(?:\w+://)?{host}(?:[/\\][^/].*)?/?", plain)
    return plain if harmless and not plain.lower().startswith("sk-") else "…"


@functools.lru_cache(maxsize=256)
def origin(url: str) -> str:
    """Return scheme, host and port of a URL (RFC 6454)."""
    parts = urlsplit(url)
    port = (443 if parts.scheme == "https" else 80) if parts.port is None else parts.port
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


OPENROUTER = origin(DEFAULT_BASE_URL)


def options_from_env(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the constructor's options that the environment sets.

    :raises ValueError: for a variable that cannot be meant, which it names.
    """
    options: dict[str, Any] = Unshown({"api_key": Keyless()})
    models = environ.get("ORFALLBACK_MODELS", "").strip()
    if models:
        options["models"] = [model.strip() for model in models.split(",") if model.strip()]
        if not options["models"]:
            raise ValueError("ORFALLBACK_MODELS names no model; unset it for the default ones")
    if environ.get("OPENROUTER_BASE_URL", "").strip():
        options["base_url"] = environ["OPENROUTER_BASE_URL"]
    if environ.get(KEY_VARIABLE, "").strip():
        options["api_key"] = Secret(environ[KEY_VARIABLE])
    delay = _number(environ, "ORFALLBACK_DELAY")
    if delay is not None:
        check_seconds("ORFALLBACK_DELAY", delay)
        options["delay"] = delay
    cooldown = _cooldown_from_env(environ)
    if cooldown is not None:
        options["cooldown"] = cooldown
    deadline = _number(environ, "ORFALLBACK_DEADLINE")
    if deadline is not None:
        if not (math.isfinite(deadline) and deadline > 0):
            raise ValueError(f"ORFALLBACK_DEADLINE is greater than 0 seconds, not {deadline!r}")
        options["timeouts"] = Timeouts(deadline=deadline)
    return options


def _cooldown_from_env(environ: Mapping[str, str]) -> float | Cooldown | None:
    """Return the cooldown that the environment sets; None if it sets none.

    :raises ValueError: for a variable that cannot be meant, without showing a store, which may hold a password.
    """
    seconds = 0.0 if _off(environ.get("ORFALLBACK_COOLDOWN", "")) else _number(environ, "ORFALLBACK_COOLDOWN")
    if seconds is not None and not 0 <= seconds <= MOST:
        raise ValueError(f"ORFALLBACK_COOLDOWN is 0 to {MOST:g} seconds, or none, not {seconds!r}")
    if seconds == 0 or not environ.get(STORE_VARIABLE, "").strip():
        return seconds
    # Few have one; everybody imports this file.
    from orfallback.stores import store_from_url

    try:
        store = store_from_url(environ[STORE_VARIABLE].strip())
    except ValueError as error:
        raise ValueError(f"{STORE_VARIABLE}: {error}") from None
    return Cooldown(REST if seconds is None else seconds, store=store)


def plugins_from_env(environ: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the names of the plugins that the environment loads, and of those that it takes off."""
    names = [name.strip() for name in environ.get("ORFALLBACK_PLUGINS", "").split(",") if name.strip()]
    return [name for name in names if not name.startswith("-")], [name[1:] for name in names if name.startswith("-")]


def options_from_mapping(mapping: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Return the constructor's options that a mapping sets, its keys in any case.

    What a settings file can only write as plain data is made into what the constructor takes: a mapping for
    ``timeouts``, mappings for targets, and dotted names for plugins and strategies.

    :raises ValueError: for a key that the constructor does not know, or that stands there twice.
    :raises ImportError: for a dotted name of nothing.
    """
    options: dict[str, Any] = Unshown()
    for key, value in mapping.items():
        name = str(key).lower()
        if name not in known:
            raise ValueError(f"unknown option {key!r}; known: {', '.join(sorted(known))}")
        if name in options:
            raise ValueError(f"option {key!r} is given twice")
        options[name] = _from_plain(name, value)
    # A setting of nothing is one that is not set.
    return Unshown({name: value for name, value in options.items() if value is not None and value != ""})


def _from_plain(name: str, value: Any) -> Any:
    if name == "timeouts" and isinstance(value, Mapping):
        return Timeouts(**value)
    if name == "models" and isinstance(value, (list, tuple)):
        return [Target(**item) if isinstance(item, Mapping) else item for item in value]
    if name == "delay" and isinstance(value, str) and _is_number(value):
        return float(value)
    if name == "cooldown" and isinstance(value, str):
        if _off(value):
            return 0.0
        return float(value) if _is_number(value) else _named_object(value)
    if name == "plugins" and isinstance(value, (list, tuple, set, frozenset)):
        return [_named_object(item) if isinstance(item, str) else item for item in value]
    if name in ("classify", "select", "delay", "clock", "session") and isinstance(value, str):
        return _named_object(value)
    return value


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def _off(text: str) -> bool:
    """Tell whether a setting says that nothing is wanted."""
    return text.strip().lower() in ("none", "off", "no", "false")


def _named_object(name: str) -> Any:
    """Return what a dotted name stands for: a module, or something in one; a class is called for an instance."""
    # Few chains are made of settings; everybody imports this file.
    import pkgutil

    try:
        found = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImportError(f"{name!r} names nothing that can be imported: {error}") from None
    return found() if isinstance(found, type) else found


def flag(environ: Mapping[str, str], name: str) -> bool:
    """Tell whether a variable is on.

    :raises ValueError: unless it is 1, true, yes or on; or 0, false, no, off or empty.
    """
    value = environ.get(name, "").strip().lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("", "0", "false", "no", "off"):
        return False
    raise ValueError(f"{name} is 1 or 0, not {value[:80]!r}")


def _number(environ: Mapping[str, str], name: str) -> float | None:
    text = environ.get(name, "").strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} is a number of seconds, not {text[:80]!r}") from None
