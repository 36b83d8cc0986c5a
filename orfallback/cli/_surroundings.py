"""What of the machine's set-up is in force for a URL: proxies, files of certificates, files of passwords."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import ssl
import urllib.request
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import requests.utils

from orfallback.cli._shown import shown


class Set(NamedTuple):
    """A setting of the environment.

    :ivar variable: its name.
    :ivar value: what it says, without a password.
    """

    variable: str
    value: str


def proxy_for(url: str) -> Set | None:
    """Return what sets the proxy for a URL; None if there is none."""
    found = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    if not found:
        return None
    names = (f"{urlsplit(url).scheme}_proxy", "all_proxy")
    variables = [variable for name in names for variable in (name, name.upper()) if os.environ.get(variable)]
    return Set(variables[0] if variables else "the system's settings", shown(_address(found)))


def _address(proxy: str) -> str:
    """Return the host and the port of a proxy: all else may be a password."""
    try:
        parts = urlsplit(proxy if "://" in proxy else f"//{proxy}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return "with a port that is none"
    return f"{host or 'without a host'}{'' if port is None else f':{port}'}"


def ca_bundle() -> Set | None:
    """Return what names a file of certificates to trust; None if those that come with requests are trusted."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if os.environ.get(variable):
            return Set(variable, shown(os.environ[variable]))
    return None


def exempted(url: str) -> Set | None:
    """Return what keeps a URL from going through a proxy that is set; None if none is set, or none keeps it."""
    proxy = requests.utils.select_proxy(url, urllib.request.getproxies())
    if proxy is None or proxy_for(url) is not None:
        return None
    for variable in ("no_proxy", "NO_PROXY"):
        if os.environ.get(variable):
            return Set(variable, shown(os.environ[variable]))
    return Set("the system's settings", "")


def wants_socks(url: str) -> bool:
    """Tell whether the proxy for a URL is one that requests can use only with a package that is not there."""
    proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url)) or ""
    return proxy.lower().startswith("socks") and importlib.util.find_spec("socks") is None


def unreadable(bundle: Set) -> str:
    """Say why a file of certificates, or a directory of them, cannot be used; "" if it can be."""
    path = Path(os.environ.get(bundle.variable, ""))
    try:
        if path.is_dir():
            return ""
        ssl.create_default_context().load_verify_locations(path)
    except ssl.SSLError:
        return "holds no certificates"
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    return ""


def in_netrc(url: str) -> bool:
    """Tell whether a ``.netrc`` has an entry for the host of a URL."""
    return requests.utils.get_netrc_auth(url) is not None


def is_loopback(url: str) -> bool:
    """Tell whether a URL names this machine: what is sent there crosses no network."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
