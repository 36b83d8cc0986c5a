"""Examines what of the machine is in force for an endpoint."""

from __future__ import annotations

from orfallback.cli import _mends
from orfallback.cli._doctor._finding import Finding
from orfallback.cli._doctor._versions import version_of
from orfallback.cli._settings import Settings
from orfallback.cli._surroundings import (
    ca_bundle,
    exempted,
    in_netrc,
    is_loopback,
    proxy_for,
    unreadable,
    wants_socks,
)


def surroundings(settings: Settings) -> list[Finding]:
    """Look at proxies, certificates, and at what else touches the key on its way."""
    url = settings.base_url
    plain = url.startswith("http://")
    found = [_proxy(url), _certificates(plain), _clear_text(settings) if plain else None, _netrc(settings)]
    return [finding for finding in found if finding is not None]


def _proxy(url: str) -> Finding:
    proxy = proxy_for(url)
    if proxy is None:
        exempt = exempted(url)
        return Finding("ok", "proxy", f"none: the host is exempted by {exempt.variable}" if exempt else "none")
    found = f"{proxy.value}, set by {proxy.variable}"
    if wants_socks(url):
        return Finding("problem", "proxy", f"{found}, speaks SOCKS", _mends.SOCKS)
    return Finding("ok", "proxy", found)


def _certificates(plain: bool) -> Finding | None:
    bundle = ca_bundle()
    if bundle is None:
        return None if plain else Finding("ok", "certificates", f"those of certifi {version_of('certifi')}")
    fault = unreadable(bundle)
    if not fault:
        return Finding("ok", "certificates", f"those of {bundle.value}, named by {bundle.variable}")
    # Over plain HTTP nobody opens the file.
    found = f"{bundle.value}, named by {bundle.variable}, {fault}"
    return Finding("note" if plain else "problem", "certificates", found, f"Correct {bundle.variable}, or unset it")


def _clear_text(settings: Settings) -> Finding | None:
    if settings.secret is None or is_loopback(settings.base_url):
        return None
    found = f"the key goes to {settings.host} over plain HTTP, for everybody on the way to read"
    return Finding("problem", "clear text", found, "Use https:// in the base URL, or send no key there")


def _netrc(settings: Settings) -> Finding | None:
    if not in_netrc(settings.base_url):
        return None
    found = f"the entry for {settings.host} in .netrc is not used"
    return Finding("note", "netrc", found, f"Nothing is to be done if {settings.key_variable} holds the key")
