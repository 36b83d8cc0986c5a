"""Examines the configuration: variables and options, and the key."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from orfallback import Chain
from orfallback._config import KEY_VARIABLE, STORE_VARIABLE, check_base_url
from orfallback._secret import Unshown
from orfallback.cli import _mends
from orfallback.cli._doctor._finding import Finding
from orfallback.cli._exits import SetupFailed
from orfallback.cli._settings import Settings
from orfallback.cli._shown import hide

_BASE_URL = "OPENROUTER_BASE_URL"
_MODELS = "ORFALLBACK_MODELS"
_PREFIX = "ORFALLBACK_"
# Each is read by itself, so that one mistake does not hide the next; the others are looked at by name.
_READ = (
    _MODELS, "ORFALLBACK_DELAY", "ORFALLBACK_DEADLINE", "ORFALLBACK_COOLDOWN", STORE_VARIABLE, "ORFALLBACK_PLAIN_LOG",
    "ORFALLBACK_TRACE_PLUGINS",
)  # fmt: skip
_KNOWN = (KEY_VARIABLE, _BASE_URL, *_READ, "ORFALLBACK_PLUGINS", "ORFALLBACK_CALL_LOG")
# Other tools read it: it only looks like one of ours.
_OTHERS = ("OPENROUTER_SITE_URL",)
# OPENROUTER_KEY is like a known name, OPENAI_API_KEY is not.
_LIKE = 0.84
_KEY_PREFIX = "sk-or-"
_QUOTES = "'\"`"
# Stands where no endpoint is known: it is nobody's (RFC 6761), so no key goes there.
_NOWHERE = "https://nowhere.invalid"


class Setup(NamedTuple):
    """What there is to examine.

    :ivar settings: what can be made of the environment and the options; without the key if it cannot be sent.
    :ivar addressed: whether they name an endpoint that can be asked.
    :ivar findings: what is wrong with them.
    """

    settings: Settings
    addressed: bool
    findings: tuple[Finding, ...]

    def __repr__(self) -> str:
        return "<Setup>"


def set_up(environ: Mapping[str, str], options: Mapping[str, Any]) -> Setup:
    """Make the settings of the environment and the options, leaving out what is wrong.

    :param environ: the environment.
    :param options: those that :class:`Settings` takes.
    """
    wrong_urls, addressed, environ, options = _addressed(environ, options)
    settings, wrong_key = _settings(environ, options)
    findings = [
        *wrong_urls,
        *_variables(settings, "-m" if options.get("models") else _MODELS),
        *_strangers(environ, settings),
    ] or [Finding("ok", "configuration", _read(environ))]
    findings += [wrong_key] if wrong_key is not None else _key(settings, environ, addressed)
    hide(environ.get(settings.key_variable, ""), environ.get(KEY_VARIABLE, ""))
    return Setup(settings, addressed, tuple(findings))


# -- configuration --


def _addressed(
    environ: Mapping[str, str], options: Mapping[str, Any]
) -> tuple[list[Finding], bool, dict[str, str], dict[str, Any]]:
    """Return what is wrong with the base URLs, whether one is left, and what was given with the wrong ones replaced."""
    environ, options = Unshown(environ), dict(options)
    by_option = options.get("base_url") is not None
    wrong_option = _wrong_url("--base-url", options["base_url"]) if by_option else None
    wrong_variable = _wrong_url(_BASE_URL, environ[_BASE_URL]) if environ.get(_BASE_URL, "").strip() else None
    if wrong_option is not None:
        options["base_url"] = None
    if wrong_variable is not None:
        environ[_BASE_URL] = _NOWHERE
    addressed = wrong_option is None and (by_option or wrong_variable is None)
    return [wrong for wrong in (wrong_variable, wrong_option) if wrong is not None], addressed, environ, options


def _wrong_url(source: str, value: str) -> Finding | None:
    try:
        check_base_url(value)
    except ValueError as error:
        return Finding("problem", "configuration", f"{source}: {error}", _mends.BASE_URL)
    return None


def _settings(environ: Mapping[str, str], options: Mapping[str, Any]) -> tuple[Settings, Finding | None]:
    """Return the settings; those without a key, and what is wrong with it, if it cannot be sent."""
    try:
        settings = Settings(environ, **options)
        settings.secret  # noqa: B018 - it is made, and its mistakes found, when it is asked for
    except SetupFailed as error:
        keyless = Unshown({name: value for name, value in environ.items() if name != KEY_VARIABLE})
        settings = Settings(keyless, **{**options, "key_variable": None})
        settings.key_variable = options.get("key_variable") or KEY_VARIABLE
        return settings, Finding("problem", "key", error.message, error.mend)
    return settings, None


def _variables(settings: Settings, models_source: str) -> list[Finding]:
    sources = {variable: models_source if variable == _MODELS else variable for variable in _READ}
    found = [_misread(variable, settings.environ.get(variable, ""), source) for variable, source in sources.items()]
    return [finding for finding in found if finding is not None]


def _misread(variable: str, value: str, source: str) -> Finding | None:
    try:
        Chain.from_env({variable: value})
    except (ValueError, TypeError) as error:
        told = f"{error}" if source in f"{error}" else f"{source}: {error}"
        return Finding("problem", "configuration", told, f"Correct {source}, or leave it out")
    return None


def _strangers(environ: Mapping[str, str], settings: Settings) -> list[Finding]:
    """Look for variables that nobody reads, and that look as if they were meant for this library."""
    findings = []
    for name in sorted(set(environ) - {*_KNOWN, *_OTHERS, settings.key_variable}):
        ours = name.upper().startswith(_PREFIX)
        near = difflib.get_close_matches(name.upper(), _KNOWN, n=1, cutoff=_LIKE)
        # Beside the one that it is like, it belongs to somebody else.
        if ours or (near and not environ.get(near[0])):
            mend = f"Is {near[0]} meant? Rename it" if near else f"There are {', '.join(_KNOWN)}"
            findings.append(Finding("note", "configuration", f"{name} is set, and nobody reads it", mend))
    return findings


def _read(environ: Mapping[str, str]) -> str:
    named = [name for name in _KNOWN if environ.get(name, "").strip()]
    return f"valid, with {', '.join(named)}" if named else "no variable is set: the defaults hold"


# -- the key --


def _key(settings: Settings, environ: Mapping[str, str], addressed: bool) -> list[Finding]:
    variable, secret = settings.key_variable, settings.secret
    raw = environ.get(variable, "")
    if secret is None:
        return [_no_key(settings, raw, addressed)]
    told = f"{secret.hint} of {variable}"
    if raw.strip() != raw.strip().strip(_QUOTES):
        return [Finding("problem", "key", f"{told} has quotes around it", f"Set {variable} anew, without quotes")]
    notes = []
    if raw != raw.strip():
        found = f"{told} has white space around it, which is not sent"
        notes.append(Finding("note", "key", found, f"Set {variable} anew; other programs may send it"))
    if settings.at_openrouter and addressed and not secret.reveal().startswith(_KEY_PREFIX):
        found = f"{told} looks like no key of OpenRouter's, which begin with {_KEY_PREFIX}"
        notes.append(Finding("note", "key", found, "Is it the key of another service?"))
    return notes or [Finding("ok", "key", told)]


def _no_key(settings: Settings, raw: str, addressed: bool) -> Finding:
    if raw.strip():
        found = f"{settings.key_variable} is set, but not sent: it is not for the endpoint of --base-url"
        return Finding(
            "note", "key", found, f"If {settings.host} wants one, name the variable that holds it with --key-env"
        )
    if not addressed:
        return Finding("note", "key", f"{settings.key_variable} is not set", "Set it if the endpoint wants a key")
    try:
        settings.require_key()
    except SetupFailed as error:
        return Finding("problem", "key", error.message, error.mend)
    found = f"{settings.key_variable} is not set: {urlsplit(settings.base_url).netloc} is asked without a key"
    return Finding("note", "key", found, "If it wants one, name the variable that holds it with --key-env")
