"""``orfallback doctor``: proxies, certificates, and what else stands on the way to an endpoint."""

from __future__ import annotations

import socket
import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import trustme
from doctors import Doctor, states
from places import bad_label

from conftest import KEY, Commands
from orfallback.testing import Simulator


@pytest.fixture
def doctor(command: Commands) -> Doctor:
    """A doctor."""
    return Doctor(command)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a port on which nobody listens, in the environment, with a key."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/api/v1"
    monkeypatch.setenv("OPENROUTER_BASE_URL", url)
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    return url


def test_nobody_listens(nobody: str, doctor: Doctor) -> None:
    """A port on which nobody listens is one problem; what would be asked there is skipped."""
    found = doctor()
    assert states(found)["endpoint"] == "problem"
    assert "connection refused" in found["endpoint"][0][1]
    assert states(found)["account"] == states(found)["models"] == "skipped"


def test_no_such_host(doctor: Doctor) -> None:
    """A host without an address is told as such."""
    ((state, found, mend),) = doctor("--base-url", "http://nowhere.invalid/v1")["endpoint"]
    assert (state, "has no address" in found, "network" in mend) == ("problem", True, True)


def test_a_name_that_no_resolver_takes(doctor: Doctor) -> None:
    """A host's name that cannot be looked up is a wrong base URL, not a network that is down."""
    with bad_label() as url:
        ((state, found, mend),) = doctor("--base-url", url)["endpoint"]
    assert (state, found, mend) == ("problem", f"{url} cannot be asked", "Is the base URL right?")


def test_a_dead_proxy(nobody: str, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that is dead is named with its variable, without its password."""
    monkeypatch.setenv("http_proxy", nobody.replace("http://", "http://me:HIDDEN@").removesuffix("/api/v1"))
    found = doctor("--base-url", "http://model.example/v1")
    assert "set by http_proxy" in found["proxy"][0][1]
    assert states(found)["endpoint"] == "problem"
    assert "http_proxy" in found["endpoint"][0][2]
    assert "HIDDEN" not in repr(found)


@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
def test_no_proxy(variable: str, at: Simulator, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that is not asked is told with what exempts the host."""
    monkeypatch.setenv("http_proxy", "http://model.example:3128")
    monkeypatch.setenv(variable, "127.0.0.1")
    assert doctor()["proxy"] == [("ok", f"none: the host is exempted by {variable}", "")]


def test_a_proxy_that_the_system_passes_by(at: Simulator, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no variable exempts the host, as on macOS and Windows, the system's settings are named."""
    monkeypatch.setenv("http_proxy", "http://model.example:3128")
    monkeypatch.setattr("requests.utils.proxy_bypass", lambda _: True)
    assert doctor("--offline")["proxy"] == [("ok", "none: the host is exempted by the system's settings", "")]


def test_a_proxy_that_speaks_socks(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy without the package that speaks it is a problem, with what to install."""
    monkeypatch.setenv("ALL_PROXY", "socks5://model.example:1080")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    ((state, _, mend),) = doctor("--offline")["proxy"]
    assert (state, "requests[socks]" in mend) == ("problem", True)


def expired(directory: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's certificate that ran out yesterday, and the file of its authority."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    now = datetime.now(timezone.utc)
    dates: dict[str, Any] = {"not_before": now - timedelta(days=9), "not_after": now - timedelta(days=1)}
    authority.issue_cert("127.0.0.1", **dates).configure_cert(context)
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    return context, directory / "ca.pem"


def test_an_expired_certificate(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A certificate that ran out is told as such, and the bundle that was used is named."""
    context, authority = expired(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
    with Simulator(ssl_context=context) as secure:
        found = doctor("--base-url", secure.base_url)
    assert states(found)["certificates"] == "ok"
    assert str(authority) in found["certificates"][0][1]
    assert states(found)["endpoint"] == "problem"
    assert "expired" in found["endpoint"][0][1]


@pytest.mark.parametrize(("content", "words"), [(None, "No such file"), ("no PEM", "holds no certificates")])
def test_a_bad_ca_bundle(
    content: str | None, words: str, doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A bundle that is not there, or holds no certificate, is a problem for https and a note for http."""
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    ((state, found, mend),) = doctor("--offline")["certificates"]
    assert (state, words in found, "REQUESTS_CA_BUNDLE" in mend) == ("problem", True, True)
    assert states(doctor("--offline", "--base-url", "http://127.0.0.1/v1"))["certificates"] == "note"


def test_a_directory_of_certificates(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A bundle may be a directory; nobody looks for faults in it."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    ((state, found, _),) = doctor("--offline")["certificates"]
    assert (state, found) == ("ok", f"those of {tmp_path}, named by REQUESTS_CA_BUNDLE")


def test_the_key_in_clear_text(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that would go over plain HTTP to another machine is a problem; to this machine it is none."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    for host, told in (("model.example", True), ("10.0.0.1", True), ("localhost:1", False), ("[::1]:1", False)):
        monkeypatch.setenv("OPENROUTER_BASE_URL", f"http://{host}/v1")
        assert ("clear text" in doctor("--offline")) is told


def test_netrc(at: Simulator, doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An entry of .netrc for the host is told as not used."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password HIDDEN\n")
    monkeypatch.setenv("NETRC", str(netrc))
    found = doctor("--offline")
    assert states(found)["netrc"] == "note"
    assert "HIDDEN" not in repr(found)
