"""What to do about a call that failed: for each mistake in the set-up one sentence, and its mend. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from orfallback import Fault, Reason
from orfallback.cli import _mends
from orfallback.cli._settings import Settings
from orfallback.cli._surroundings import proxy_for
from orfallback.cli._watching import Failure


class Advice(NamedTuple):
    """What is wrong with the set-up, and what to do about it.

    :ivar sentence: what is wrong.
    :ivar mend: what to do.
    """

    sentence: str
    mend: str


def advise(failures: Sequence[Failure], settings: Settings, closest: Callable[[str], list[str]]) -> Advice | None:
    """Say what is wrong with the set-up, if that is why a call failed; None if it is not.

    :param failures: the attempts of the call, in order.
    :param settings: what the command worked with.
    :param closest: finds the names most like that of a model that is not served.
    """
    if failures and all(_reason(Reason.NOT_FOUND)(failure) for failure in failures):
        return _unknown(failures, settings, closest)
    for kind, advice in _ADVICE:
        if failures and all(kind(failure) for failure in failures):
            return advice(failures[-1], settings)
    return None


def unknown(models: Sequence[str], closest: Callable[[str], list[str]]) -> str:
    """Say what to ask instead of models that are not served.

    :param models: their ids.
    :param closest: finds the names most like one.
    """
    near = {model: closest(model) for model in models[:3]}
    found = "; ".join(f"instead of {model}: {', '.join(ids)}" for model, ids in near.items() if ids)
    mend = "Name other models with -m, or in ORFALLBACK_MODELS"
    return f"{mend} ({found})" if found else mend


# -- what is wrong --


def _fault(*faults: Fault) -> Callable[[Failure], bool]:
    return lambda failure: failure.fault in faults


def _reason(*reasons: Reason) -> Callable[[Failure], bool]:
    return lambda failure: failure.attempt.reason in reasons and failure.fault is None


def _page(failure: Failure) -> bool:
    """A page where an answer ought to be: a web server stands there, and no API."""
    return failure.fault is Fault.MALFORMED and "an HTML page" in failure.attempt.message


def _no_handshake(failure: Failure) -> bool:
    """Somebody took the connection, and never said a word of TLS."""
    return failure.fault is Fault.TIMEOUT and failure.attempt.message.startswith("no connection")


def _wrong_path(failure: Failure) -> bool:
    status = failure.attempt.status or 0
    return _page(failure) or (failure.attempt.reason is Reason.MISCONFIGURED and status in (404, 405))


# -- what to do --


def _denied(failure: Failure, settings: Settings) -> Advice:
    said = _said(failure)
    if settings.secret is None:
        mend = (
            f"{settings.key_variable} goes to the endpoint it is set for alone; "
            "name the variable that holds the key of this one with --key-env"
        )
        return Advice(f"{settings.host} wants a key, and none was sent{said}", mend)
    key = f"the key {settings.secret.hint} of {settings.key_variable}"
    if failure.attempt.status == 403:
        return Advice(f"{settings.host} does not permit this with {key}{said}", "See what the key is allowed to do")
    where = f"keys are listed at {_mends.KEYS}" if settings.at_openrouter else "keys of other endpoints need --key-env"
    return Advice(f"{settings.host} refused {key}{said}", f"Is it whole, and not disabled? {where}")


def _unpaid(failure: Failure, settings: Settings) -> Advice:
    mend = "See the account that the key belongs to"
    if settings.at_openrouter:
        mend = f"Add credit at {_mends.CREDITS}, raise the key's limit, or ask models whose id ends in :free"
    return Advice(f"{settings.host} wants payment{_said(failure)}", mend)


def _unknown(failures: Sequence[Failure], settings: Settings, closest: Callable[[str], list[str]]) -> Advice:
    models = list(dict.fromkeys(failure.attempt.model for failure in failures))
    sentence = f"{settings.host} does not serve {', '.join(models)}{_said(failures[-1])}"
    return Advice(sentence, unknown(models, closest))


def _unreachable(failure: Failure, settings: Settings) -> Advice:
    mend = {
        "connection refused": "Does a server listen there? Is the base URL right?",
        "the host name has no address": "Is this machine on the network, and the name right?",
    }.get(failure.attempt.message, "Is this machine on the network? Does it need a proxy (HTTPS_PROXY)?")
    if _no_handshake(failure) and settings.base_url.startswith("https:"):
        mend = "Does the server speak plain HTTP? Then the base URL begins with http://"
    return Advice(f"{settings.host} cannot be reached{_said(failure)}", mend)


def _proxy(failure: Failure, settings: Settings) -> Advice:
    found = proxy_for(settings.base_url)
    if found is None:
        return Advice(f"The proxy to {settings.host} failed{_said(failure)}", "See the proxy settings of this machine")
    variable, proxy = found
    if "SOCKS" in failure.attempt.message:
        return Advice(f"The proxy {proxy} to {settings.host} speaks SOCKS", _mends.SOCKS)
    sentence = f"The proxy {proxy} to {settings.host} failed"
    if failure.attempt.status == 407:
        sentence = f"The proxy {proxy} wants a login"
    return Advice(sentence, f"It is set by {variable}: correct it, unset it, or add the host to NO_PROXY")


def _certificate(failure: Failure, settings: Settings) -> Advice:
    message = failure.attempt.message
    mend = "If a proxy signs here, let REQUESTS_CA_BUNDLE name the file with its certificate"
    if "expired" in message or "not yet valid" in message:
        now = datetime.now().astimezone()
        mend = f"The server has to renew it, unless this machine's clock is wrong: it says {now:%Y-%m-%d %H:%M}"
    elif "mismatch" in message or "doesn't match" in message:
        mend = "Is the host in the base URL the right one?"
    elif "WRONG_VERSION" in message or "RECORD" in message:
        mend = "Does the server speak plain HTTP? Then the base URL begins with http://"
    elif "REQUESTS_CA_BUNDLE" in message:
        mend = "Correct the path in that variable, or unset it"
    return Advice(f"{settings.host}: {message}", mend)


def _bad_url(_: Failure, settings: Settings) -> Advice:
    return Advice(f"{settings.base_url} cannot be asked", "Is the base URL right?")


def _no_api(failure: Failure, settings: Settings) -> Advice:
    status = f" ({failure.attempt.status})" if failure.fault is None else " (a web page came)"
    return Advice(f"There is no chat API at {settings.base_url}{status}", _mends.BASE_URL)


def _redirected(failure: Failure, settings: Settings) -> Advice:
    mend = "Name the address that it points to; a redirect is not followed, for the key would go along"
    return Advice(f"{settings.base_url} points elsewhere ({failure.attempt.status})", mend)


def _misconfigured(failure: Failure, settings: Settings) -> Advice:
    return Advice(f"{settings.host} is not set up right: {failure.attempt.summary}", "Whoever runs it has to mend it")


def _said(failure: Failure) -> str:
    return f": {failure.attempt.message}" if failure.attempt.message else ""


#: What all attempts of a call have to be, and what is said then; the first that holds.
_ADVICE: tuple[tuple[Callable[[Failure], bool], Callable[[Failure, Settings], Advice]], ...] = (
    (_fault(Fault.PROXY), _proxy),
    (lambda failure: failure.attempt.status == 407, _proxy),
    (_fault(Fault.CERTIFICATE), _certificate),
    (_fault(Fault.BAD_URL), _bad_url),
    (lambda failure: failure.fault is Fault.CONNECT or _no_handshake(failure), _unreachable),
    (_wrong_path, _no_api),
    (lambda failure: 300 <= (failure.attempt.status or 0) < 400, _redirected),
    (_reason(Reason.UNAUTHORIZED), _denied),
    (_reason(Reason.PAYMENT), _unpaid),
    (_reason(Reason.MISCONFIGURED), _misconfigured),
)
