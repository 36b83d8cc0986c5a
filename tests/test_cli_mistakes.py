"""A stranger's mistakes: each ends in one clear sentence with the mend, status 3, and no traceback."""

from __future__ import annotations

import datetime
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
from places import bad_label, plain_port

from conftest import KEY, Commands
from orfallback import Attempt, Fault, Reason, Verdict
from orfallback.cli._advice import advise
from orfallback.cli._settings import Settings
from orfallback.cli._watching import Failure
from orfallback.testing import Simulator, redirect, reply, status

ASKING = [pytest.param(("chat", "Hi"), id="chat"), pytest.param(("check",), id="check")]
PAGE = "<!DOCTYPE html><html><head><title>Welcome</title></head></html>"


@pytest.fixture
def keyed(at: Simulator, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """A simulator that the environment names, with a key, and without waits."""
    monkeypatch.setenv("ORFALLBACK_DELAY", "0")
    return at


def mistaken(command: Commands, *arguments: str) -> tuple[str, str]:
    """Run a command that ends with status 3, and return its sentence and the mend."""
    done = command(*arguments)
    assert done.status == 3
    sentence, mend = done.err.splitlines()[-2:]
    assert sentence.startswith("✗ ")
    assert mend.startswith("  → ")
    assert "Traceback" not in done.err
    assert "CANARYKEY" not in done.out + done.err
    return sentence[2:], mend[4:]


@pytest.mark.parametrize("arguments", ASKING)
def test_no_key(arguments: tuple[str, ...], command: Commands) -> None:
    """Without a key it is said what to set, and that the demo needs none; nobody is asked."""
    done = command(*arguments)
    assert (done.status, done.out) == (3, "")
    assert done.err == (
        "✗ There is no key for OpenRouter\n"
        "  → Set OPENROUTER_API_KEY; keys are made at https://openrouter.ai/settings/keys. "
        "To see a fallback without one: orfallback demo\n"
    )


@pytest.mark.parametrize("arguments", ASKING)
def test_a_wrong_key(arguments: tuple[str, ...], keyed: Simulator, command: Commands) -> None:
    """A refused key is named by its last characters and its variable."""
    keyed.default(status(401))
    sentence, mend = mistaken(command, *arguments)
    assert sentence.endswith(" refused the key …0000 of OPENROUTER_API_KEY: User not found.")
    assert "not disabled" in mend


@pytest.mark.parametrize("arguments", ASKING)
def test_a_key_that_may_not(arguments: tuple[str, ...], keyed: Simulator, command: Commands) -> None:
    """A key that may not do this is told as such."""
    keyed.default(status(403, message="Only management keys can perform this operation"))
    sentence, _ = mistaken(command, *arguments)
    assert "does not permit this with the key …0000 of OPENROUTER_API_KEY: Only management keys" in sentence


@pytest.mark.parametrize("arguments", ASKING)
def test_a_key_for_another_endpoint(
    arguments: tuple[str, ...], sim: Simulator, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment's key does not go to an endpoint named on the command line; how to name its own is said."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    sim.default(status(401, message="missing key"))
    sentence, mend = mistaken(command, *arguments, "--base-url", sim.base_url)
    assert sentence.endswith("wants a key, and none was sent: missing key")
    assert "--key-env" in mend
    assert not any(got.authorized for got in sim.requests)
    monkeypatch.setenv("MY_KEY", "sk-other-00000000")
    command(*arguments, "--base-url", sim.base_url, "--key-env", "MY_KEY")
    assert sim.requests[-1].authorized


def test_a_variable_without_a_key(sim: Simulator, command: Commands) -> None:
    """A variable that is named for the key and holds none is told by its name."""
    done = command("chat", "--base-url", sim.base_url, "--key-env", "MY_KEY", "Hi")
    assert done.status == 3
    assert "MY_KEY is not set, or empty" in done.err


@pytest.mark.parametrize("key", [f'"{KEY}" "', f"Bearer {KEY}", "sk-\u00e9"])
@pytest.mark.parametrize("arguments", ASKING)
def test_a_key_that_cannot_be_sent(
    arguments: tuple[str, ...], key: str, keyed: Simulator, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key with something that no key holds is told with its variable, and not shown."""
    monkeypatch.setenv("OPENROUTER_API_KEY", key)
    sentence, _ = mistaken(command, *arguments)
    assert sentence.startswith("OPENROUTER_API_KEY: ")
    assert keyed.requests == []


@pytest.mark.parametrize("arguments", ASKING)
def test_no_credit(arguments: tuple[str, ...], keyed: Simulator, command: Commands) -> None:
    """Without credit it is said that payment is wanted, in the service's own words."""
    keyed.default(status(402, metadata={"limit_source": "openrouter_credits"}))
    sentence, mend = mistaken(command, *arguments)
    assert "wants payment: This request requires more credits" in sentence
    assert mend


@pytest.mark.parametrize("arguments", ASKING)
def test_a_typing_error_in_a_model(arguments: tuple[str, ...], keyed: Simulator, command: Commands) -> None:
    """A model that nobody serves is named, with the closest ones."""
    keyed.default(status(400, message="mistralai/mistral-nmeo is not a valid model ID"))
    sentence, mend = mistaken(command, *arguments, "-m", "mistralai/mistral-nmeo")
    assert "does not serve mistralai/mistral-nmeo" in sentence
    assert "instead of mistralai/mistral-nmeo: mistralai/mistral-nemo" in mend


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.parametrize("arguments", ASKING)
def test_no_server(
    arguments: tuple[str, ...], closed_port: int, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint on which nobody listens cannot be reached, and that is said."""
    monkeypatch.setenv("ORFALLBACK_DELAY", "0")
    sentence, mend = mistaken(command, *arguments, "--base-url", f"http://127.0.0.1:{closed_port}/api/v1")
    assert sentence == f"127.0.0.1:{closed_port} cannot be reached: connection refused"
    assert mend == "Does a server listen there? Is the base URL right?"


def unresolved(*_: object, **__: object) -> None:
    """Resolve no name, as without a network."""
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


@pytest.mark.parametrize("arguments", ASKING)
def test_no_network(arguments: tuple[str, ...], command: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network the name has no address, and whether there is one is asked."""
    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.setenv("ORFALLBACK_DELAY", "0")
    sentence, mend = mistaken(command, *arguments)
    assert sentence == "openrouter.ai cannot be reached: the host name has no address"
    assert "on the network" in mend


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("arguments", ASKING)
def test_a_dead_proxy(
    arguments: tuple[str, ...], variable: str, closed_port: int, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that does not answer is named, with the variable that sets it, and without its password."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.setenv("ORFALLBACK_DELAY", "0")
    monkeypatch.setenv(variable, f"http://user:CANARYKEY@127.0.0.1:{closed_port}")
    sentence, mend = mistaken(command, *arguments)
    assert sentence == f"The proxy 127.0.0.1:{closed_port} to openrouter.ai failed"
    assert mend == f"It is set by {variable}: correct it, unset it, or add the host to NO_PROXY"


@pytest.mark.parametrize("arguments", ASKING)
def test_a_proxy_that_speaks_socks(
    arguments: tuple[str, ...], keyed: Simulator, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A SOCKS proxy for which a package is missing is told with what to install."""

    def missing(*_: object, **__: object) -> None:
        raise requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support.")

    monkeypatch.setattr("requests.adapters.SOCKSProxyManager", missing)
    monkeypatch.setenv("ALL_PROXY", "socks5h://me:CANARYKEY@model.example:1080")
    sentence, mend = mistaken(command, *arguments, "--base-url", "http://endpoint.example/v1")
    assert sentence == "The proxy model.example:1080 to endpoint.example speaks SOCKS"
    assert "requests[socks]" in mend


@pytest.mark.parametrize("arguments", ASKING)
def test_a_proxy_that_wants_a_login(
    arguments: tuple[str, ...], sim: Simulator, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that refuses is told as that, not as the endpoint behind it."""
    sim.default(status(407, message="who are you?"))
    proxy = sim.base_url.removeprefix("http://").partition("/")[0]
    monkeypatch.setenv("HTTP_PROXY", f"http://{proxy}")
    sentence, mend = mistaken(command, *arguments, "--base-url", "http://model.example/api/v1", "--delay", "0")
    assert sentence == f"The proxy {proxy} wants a login"
    assert mend.startswith("It is set by HTTP_PROXY: ")


@pytest.mark.parametrize("arguments", ASKING)
def test_a_proxy_that_this_machine_does_not_know(
    arguments: tuple[str, ...], keyed: Simulator, command: Commands
) -> None:
    """A 407 where the environment names no proxy is a proxy's all the same."""
    keyed.default(status(407, message="who are you?"))
    sentence, mend = mistaken(command, *arguments)
    assert sentence.startswith("The proxy to 127.0.0.1:")
    assert sentence.endswith(" failed: who are you?")
    assert mend == "See the proxy settings of this machine"


@contextmanager
def certified(host: str, days: int) -> Iterator[tuple[Simulator, trustme.CA]]:
    """A server whose certificate is for a host, and runs out in so many days."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ends = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    ca.issue_cert(host, not_after=ends).configure_cert(context)
    with Simulator(ssl_context=context) as sim:
        yield sim, ca


@pytest.mark.parametrize(
    ("host", "days", "trusted", "told", "mend"),
    [
        ("127.0.0.1", -1, True, "certificate has expired", "this machine's clock is wrong: it says 20"),
        ("127.0.0.1", 30, False, "certificate refused", "REQUESTS_CA_BUNDLE"),
        ("other.example", 30, True, "mismatch", "Is the host in the base URL the right one?"),
    ],
)
@pytest.mark.parametrize("arguments", ASKING)
def test_certificates(
    arguments: tuple[str, ...], host: str, days: int, trusted: bool, told: str, mend: str, tmp_path: Path,
    command: Commands, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A certificate that is expired, unknown or another host's is told as what it is, each with its own mend."""
    with certified(host, days) as (sim, ca):
        if trusted:
            ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        sentence, what = mistaken(command, *arguments, "--base-url", sim.base_url)
    assert told in sentence
    assert mend in what


@pytest.mark.parametrize("arguments", ASKING)
def test_a_bundle_that_is_not_there(
    arguments: tuple[str, ...], command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of certificates that is not there is told by its variable."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    sentence, mend = mistaken(command, *arguments, "--base-url", "https://127.0.0.1:9/v1")
    assert "REQUESTS_CA_BUNDLE" in sentence
    assert mend == "Correct the path in that variable, or unset it"


@pytest.mark.parametrize("arguments", ASKING)
def test_tls_to_a_server_without(arguments: tuple[str, ...], command: Commands) -> None:
    """A server that speaks no TLS is recognised."""
    with plain_port() as url:
        _, mend = mistaken(command, *arguments, "--base-url", url)
    assert mend == "Does the server speak plain HTTP? Then the base URL begins with http://"


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(status(404, message="Not Found"), id="404"),
        pytest.param(status(404, PAGE, content_type="text/html"), id="404 page"),
        pytest.param(status(405), id="405"),
        pytest.param(reply(PAGE, content_type="text/html"), id="page"),
    ],
)
@pytest.mark.parametrize("arguments", ASKING)
def test_a_wrong_path(arguments: tuple[str, ...], behaviour: Any, sim: Simulator, command: Commands) -> None:
    """A base URL without an API behind it is told, with what one looks like."""
    sim.default(behaviour)
    sentence, mend = mistaken(command, *arguments, "--base-url", sim.base_url, "--delay", "0")
    assert sentence.startswith(f"There is no chat API at {sim.base_url} (")
    assert "https://openrouter.ai/api/v1" in mend


def test_a_path_that_the_server_does_not_know(sim: Simulator, command: Commands) -> None:
    """The same over a path that is really not there."""
    sentence, _ = mistaken(command, "chat", "--base-url", sim.base_url.replace("/api", "/ipa"), "Hi")
    assert sentence.startswith("There is no chat API at")


@pytest.mark.parametrize("arguments", ASKING)
def test_a_host_that_cannot_be_asked(arguments: tuple[str, ...], command: Commands) -> None:
    """A host's name that no resolver takes is told as a wrong base URL."""
    with bad_label() as url:
        sentence, mend = mistaken(command, *arguments, "--base-url", url, "--delay", "0")
    assert sentence == f"{url} cannot be asked"
    assert mend == "Is the base URL right?"


@pytest.mark.parametrize("arguments", ASKING)
def test_an_endpoint_that_is_not_set_up_right(arguments: tuple[str, ...], keyed: Simulator, command: Commands) -> None:
    """Where the endpoint's own edge cannot reach what is behind it, its keeper has to mend it."""
    keyed.default(status(526, message="invalid certificate at the origin"))
    sentence, mend = mistaken(command, *arguments)
    assert sentence.endswith(" is not set up right: 526 misconfigured: invalid certificate at the origin")
    assert mend == "Whoever runs it has to mend it"


@pytest.mark.parametrize("arguments", ASKING)
def test_a_redirect(arguments: tuple[str, ...], sim: Simulator, command: Commands) -> None:
    """A base URL that points elsewhere is told; it is not followed."""
    sim.default(redirect(308, "https://elsewhere.example/"))
    sentence, mend = mistaken(command, *arguments, "--base-url", sim.base_url)
    assert sentence.endswith("points elsewhere (308)")
    assert "not followed" in mend


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("openrouter.ai/api/v1", "begins with http"),
        ("https://openrouter.ai/api/v1/chat/completions", "without /chat/completions"),
        ("https://user:CANARYKEY@openrouter.ai/api/v1", "holds a user or password"),
        ("https://openrouter.ai/api/v1?key=CANARYKEY", "no query"),
    ],
)
@pytest.mark.parametrize("where", ["option", "environment"])
def test_a_url_that_is_none(
    where: str, url: str, told: str, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base URL that cannot be meant is told with what one looks like, and a secret in it is not shown."""
    if where == "environment":
        monkeypatch.setenv("OPENROUTER_BASE_URL", url)
    sentence, mend = mistaken(command, "chat", "Hi", *(["--base-url", url] if where == "option" else []))
    assert told in sentence
    assert "https://openrouter.ai/api/v1" in mend


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("ORFALLBACK_DELAY", "soon", "ORFALLBACK_DELAY is a number of seconds, not 'soon'"),
        ("ORFALLBACK_DELAY", "-1", "ORFALLBACK_DELAY"),
        ("ORFALLBACK_DEADLINE", "0", "ORFALLBACK_DEADLINE is greater than 0"),
        ("ORFALLBACK_MODELS", " , ", "ORFALLBACK_MODELS names no model"),
        ("ORFALLBACK_MODELS", "a b", "a model's id"),
        ("ORFALLBACK_PLAIN_LOG", "maybe", "ORFALLBACK_PLAIN_LOG is 1 or 0"),
        ("ORFALLBACK_PLUGINS", "gremlins", "no plugin named gremlins"),
        ("ORFALLBACK_PLUGINS", "-gremlins", "no plugin 'gremlins' is registered"),
    ],
)
@pytest.mark.parametrize("arguments", [*ASKING, pytest.param(("explain", "--status", "502"), id="explain")])
def test_a_variable_that_cannot_be_meant(
    arguments: tuple[str, ...], variable: str, value: str, told: str, keyed: Simulator, command: Commands,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A variable that cannot be meant is named."""
    monkeypatch.setenv(variable, value)
    sentence, mend = mistaken(command, *arguments)
    assert told in sentence
    assert "orfallback doctor" in mend
    assert keyed.requests == []


PLUGINS: list[tuple[str, str, str]] = [
    ("nothing_there", "", "No module named 'nothing_there'"),
    ("broken_syntax", "def (", "SyntaxError"),
    ("raising", "1 / 0", "ZeroDivisionError"),
    ("ending", "raise SystemExit(0)", "SystemExit"),
    ("no_hooks", "x = 1", "it has no function named orfallback_*"),
    ("misspelt", "def orfallback_clasify(): pass", "orfallback_clasify"),
]


@pytest.mark.parametrize(("name", "code", "told"), PLUGINS)
def test_a_plugin_that_cannot_be_used(
    name: str, code: str, told: str, keyed: Simulator, tmp_path: Path, command: Commands,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A plugin that cannot be imported, or is none, is told by its name and why."""
    if code:
        (tmp_path / f"{name}.py").write_text(f"{code}\n")
    monkeypatch.syspath_prepend(tmp_path)
    done = command("chat", "--plugin", name, "Hi")
    assert done.status == 3
    assert told in done.err
    assert name in done.err
    assert "Traceback (most" not in done.err
    assert keyed.requests == []


def test_a_message_that_is_no_mistake_in_the_set_up(keyed: Simulator, command: Commands) -> None:
    """A chain of which one model is merely busy is no mistake of the user's: status 1."""
    keyed.script("a/gone", status(404))
    keyed.script("a/busy", status(502))
    assert command("chat", "-m", "a/gone", "-m", "a/busy", "Hi").status == 1


# -- what no test can wait for, or nobody but OpenRouter says --


@pytest.mark.parametrize(
    ("url", "mend"),
    [
        ("https://model.example/v1", "Does the server speak plain HTTP? Then the base URL begins with http://"),
        ("http://model.example/v1", "Is this machine on the network? Does it need a proxy (HTTPS_PROXY)?"),
    ],
)
def test_a_connection_that_never_comes_about(url: str, mend: str) -> None:
    """Who takes a connection and says nothing in the TLS handshake may not speak TLS."""
    verdict = Verdict.fallback(Reason.TIMEOUT)
    silent = Failure(Attempt(1, "a/b", url, verdict=verdict, message="no connection within 5 s"), Fault.TIMEOUT)
    told = advise([silent], Settings({"OPENROUTER_BASE_URL": url}), lambda _: [])
    assert told == ("model.example cannot be reached: no connection within 5 s", mend)


def test_no_credit_at_openrouter() -> None:
    """Where OpenRouter wants payment it is said where credit is bought, and that there are free models."""
    unpaid = Attempt(1, "a/b", "u", status=402, verdict=Verdict.fallback(Reason.PAYMENT), message="no credits")
    told = advise([Failure(unpaid, None)], Settings({"OPENROUTER_API_KEY": KEY}), lambda _: [])
    assert told is not None
    assert told.sentence == "openrouter.ai wants payment: no credits"
    assert told.mend.startswith("Add credit at https://openrouter.ai/settings/credits, ")
    assert told.mend.endswith("ask models whose id ends in :free")
