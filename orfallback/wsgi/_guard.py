"""Who may ask."""

from __future__ import annotations

import hmac
import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from orfallback.wsgi._errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from orfallback._secret import Secret


def admit(environ: WSGIEnvironment, token: Secret | None) -> None:
    """Let a request in.

    :param environ: the request.
    :param token: what it has to show; None lets in everybody but pages of other sites, which a browser lets send what
        costs money, though not read the answer.
    :raises Problem: 401 or 403.
    """
    if token is not None:
        _check_token(environ.get("HTTP_AUTHORIZATION", ""), token)
    elif environ["REQUEST_METHOD"] not in ("GET", "HEAD") and _from_another_site(environ):
        raise Problem(403, "pages of other sites may not ask a gateway without a token")


def _check_token(authorization: str, token: Secret) -> None:
    scheme, _, given = authorization.strip().partition(" ")
    # WSGI's strings are bytes in disguise (PEP 3333).
    shown = given.strip().encode("latin-1", "replace")
    if scheme.lower() == "bearer" and hmac.compare_digest(shown, token.reveal().encode("ascii")):
        return
    said = "the token is wrong" if authorization else "a token is needed: Authorization: Bearer ..."
    wrong = ', error="invalid_token"' if authorization else ""
    challenge = [("WWW-Authenticate", f'Bearer realm="orfallback"{wrong}')]
    raise Problem(401, said, code="invalid_api_key", headers=challenge)


def _from_another_site(environ: WSGIEnvironment) -> bool:
    """Tell whether a browser says that a page of another site sends this; what is no browser says nothing."""
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = environ.get("HTTP_ORIGIN")
    return origin is not None and origin.partition("://")[2].lower() != environ.get("HTTP_HOST", "").lower()


def own_names_only(application: WSGIApplication, names: Iterable[str]) -> WSGIApplication:
    """Wrap an application so that it answers for this machine's own names alone.

    A page whose host name is turned to 127.0.0.1 once it is loaded (DNS rebinding) is of the same site to its browser.

    :param application: what answers.
    :param names: names beside those of the loopback interface.
    """
    known = {"localhost", *(name.lower() for name in names)}

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if _is_own(environ.get("HTTP_HOST", ""), known.__contains__):
            return application(environ, start_response)
        refusal = Problem(403, "the gateway answers for this machine's own names alone; give it a token for others")
        return refusal.answer().begin(environ, start_response)

    return guarded


def _is_own(host: str, known: Callable[[str], bool]) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        # HTTP/1.0 names no host, and no browser speaks it.
        return not host or known(name) or name.endswith(".localhost")
