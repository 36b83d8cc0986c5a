"""Faults of an endpoint itself, and chains over several endpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import requests
from places import (
    bad_label,
    full_backlog,
    hanging_up,
    mute,
    no_name,
    plain_port,
    refusing,
    unknown_certificate,
)
from rows import BOTH, said

from orfallback import CallRejected, Chain, FallbackError, Reason, Scope, Target, Timeouts
from orfallback.testing import FakeClock, Simulator, answer, redirect, status

KEY = "sk-or-v1-main-000000000000"


def digest(key: str) -> str:
    """How the simulator tells keys apart."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


Place = Callable[[], AbstractContextManager[str]]
PLACES = [
    pytest.param(plain_port, Reason.MISCONFIGURED, Scope.ENDPOINT, "TLS failed", id="22a TLS to a plain port"),
    pytest.param(
        unknown_certificate, Reason.MISCONFIGURED, Scope.ENDPOINT, "certificate refused", id="22a certificate refused"
    ),
    pytest.param(
        bad_label, Reason.MISCONFIGURED, Scope.ENDPOINT, "cannot be asked", id="22a a URL that cannot be asked"
    ),
    pytest.param(no_name, Reason.CONNECTION, Scope.MODEL, "no address", id="23 no such host"),
    pytest.param(refusing, Reason.CONNECTION, Scope.MODEL, "connection refused", id="23 refused"),
    pytest.param(full_backlog, Reason.CONNECTION, Scope.MODEL, "no connection within 0.3 s", id="23 connect timeout"),
    pytest.param(mute, Reason.TIMEOUT, Scope.MODEL, "no connection within 0.3 s", id="24 TLS handshake hangs"),
    pytest.param(hanging_up, Reason.CONNECTION, Scope.MODEL, "TLS handshake", id="24 hangs up in the TLS handshake"),
]


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(("place", "reason", "scope", "words"), PLACES)
def test_endpoint_fault(
    place: Place, reason: Reason, scope: Scope, words: str, mode: str, sim: Simulator, clock: FakeClock
) -> None:
    """An endpoint that cannot be reached is judged as the table says, and a target elsewhere answers."""
    with place() as url:
        key = "sk-elsewhere-0000000"
        targets: list[str | Target] = [Target("a/a", url, key), Target("b/b", url, key), "last/model"]
        timeouts = Timeouts(connect=0.3, first_token=2, answer=2)
        with Chain(targets, api_key=KEY, base_url=sim.base_url, clock=clock, timeouts=timeouts) as chain:
            completion = chain.complete("hi") if mode == "complete" else chain.stream("hi").read()
    verdict = completion.attempts[0].verdict
    assert verdict is not None
    assert (verdict.reason, verdict.scope) == (reason, scope)
    assert words in completion.attempts[0].message
    assert completion.attempts[0].status is None
    # What reaches the endpoint rules out its other model; what does not, does not.
    asked = ["a/a", "last/model"] if scope is Scope.ENDPOINT else ["a/a", "b/b", "last/model"]
    assert [attempt.model for attempt in completion.attempts] == asked
    assert sim.models_asked == ["last/model"]
    assert sim.wait_idle()


def test_dead_proxy(sim: Simulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that is dead is a fault of the set-up: the call stops, and the password of the proxy is not told."""
    with refusing() as url:
        monkeypatch.setenv("http_proxy", url.replace("http://", "http://me:PROXYSECRET@").removesuffix("/v1"))
        with Chain(["a/a", "b/b"], api_key=KEY, base_url="http://model.example/v1", clock=clock) as chain:
            with pytest.raises(CallRejected) as caught:
                chain.complete("hi")
    assert caught.value.reason is Reason.MISCONFIGURED
    assert "proxy" in caught.value.attempts[0].message or "refused" in caught.value.attempts[0].message
    assert "PROXYSECRET" not in repr(caught.value)
    assert len(caught.value.attempts) == 1


def test_a_socks_proxy_without_its_package(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy for which a package is missing is told as that: the URL, which requests names, is sound."""

    def missing(*_: object, **__: object) -> None:
        raise requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support.")

    monkeypatch.setattr("requests.adapters.SOCKSProxyManager", missing)
    monkeypatch.setenv("ALL_PROXY", "socks5://me:PROXYSECRET@127.0.0.1:1")
    with Chain(["a/a", "b/b"], api_key=KEY, base_url="http://model.example/v1", clock=clock) as chain:
        with pytest.raises(CallRejected, match=r"a SOCKS proxy needs a package: pip install") as caught:
            chain.complete("hi")
    assert [attempt.reason for attempt in caught.value.attempts] == [Reason.MISCONFIGURED]
    assert "PROXYSECRET" not in repr(caught.value)


def test_missing_ca_bundle(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CA bundle that is not there is named as a fault of the set-up, not raised as a bare OSError."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/at/all.pem")
    with mute() as url, Chain("a/a", api_key=KEY, base_url=url, clock=clock) as chain:
        with pytest.raises(CallRejected, match="REQUESTS_CA_BUNDLE") as caught:
            chain.complete("hi")
    assert caught.value.reason is Reason.MISCONFIGURED


@pytest.mark.parametrize("mode", BOTH)
def test_no_key_for_openrouter(mode: str, clock: FakeClock) -> None:
    """A call to OpenRouter without a key is rejected before any I/O, and the error says what to set."""
    chain = Chain(clock=clock)
    with pytest.raises(CallRejected, match="OPENROUTER_API_KEY") as caught:
        chain.complete("hi") if mode == "complete" else chain.stream("hi")
    assert caught.value.reason is Reason.UNAUTHORIZED
    assert [attempt.status for attempt in caught.value.attempts] == [None]


def test_unauthorized_goes_elsewhere(sim: Simulator, clock: FakeClock) -> None:
    """A refused key rules out every model of its endpoint, and a target with another key is asked with its own."""
    sim.script("a/a", said(401, "User not found."))
    other = "sk-other-00000000000000"
    targets: list[str | Target] = ["a/a", "b/b", Target("c/c", api_key=other)]
    with Chain(targets, api_key=KEY, base_url=sim.base_url, clock=clock) as chain:
        assert chain.complete("hi").requested_model == "c/c"
    assert sim.models_asked == ["a/a", "c/c"]
    assert [request.key_digest for request in sim.requests] == [digest(KEY), digest(other)]


def test_the_key_stays_at_its_origin(sim: Simulator, clock: FakeClock) -> None:
    """A target at another origin gets its own key or none, never the chain's."""
    with Simulator() as elsewhere:
        sim.default(said(502))
        targets: list[str | Target] = ["a/a", Target("b/b", elsewhere.base_url)]
        with Chain(targets, api_key=KEY, base_url=sim.base_url, clock=clock) as chain:
            assert chain.complete("hi").requested_model == "b/b"
        assert [request.authorized for request in elsewhere.requests] == [False]
    assert [request.key_digest for request in sim.requests] == [digest(KEY)]


def test_the_environments_key_is_openrouters(sim: Simulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of the environment is never sent to a base_url that was passed in code."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    with Chain("a/a", base_url=sim.base_url, clock=clock) as chain:
        chain.complete("hi")
    assert [request.authorized for request in sim.requests] == [False]


@pytest.mark.parametrize("where", ["machine 127.0.0.1", "default"])
def test_netrc_does_not_replace_the_key(
    where: str, sim: Simulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An entry of .netrc does not replace the key."""
    netrc = tmp_path / "netrc"
    netrc.write_text(f"{where} login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with Chain("a/a", api_key=KEY, base_url=sim.base_url, clock=clock) as chain:
        chain.complete("hi")
    assert [request.key_digest for request in sim.requests] == [digest(KEY)]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(code: int, sim: Simulator, clock: FakeClock) -> None:
    """A redirect to another host takes neither the key nor the prompt there."""
    with Simulator() as elsewhere:
        sim.script("a/a", redirect(code, f"{elsewhere.base_url}/chat/completions"))
        with Chain(["a/a", "b/b"], api_key=KEY, base_url=sim.base_url, clock=clock) as chain:
            assert chain.complete("hi").requested_model == "b/b"
        assert elsewhere.requests == []


@pytest.mark.parametrize("mode", ["complete", "stream"])
@pytest.mark.parametrize(
    "location",
    [
        "/v1/models",
        "/v1/chat/completions",
        "",
        "file:///etc/passwd",
        "http://[::bad",
        "//",
        "http://x:99999/",
        "\x80",
        "%zz",
    ],
)
def test_a_redirect_leads_nowhere(location: str, mode: str, sim: Simulator, clock: FakeClock) -> None:
    """A redirect to the same host, to itself, to a file or to no address at all is one request, and the next model."""
    sim.script("a/a", redirect(307, location))
    with Chain(["a/a", "b/b"], api_key=KEY, base_url=sim.base_url, clock=clock) as chain:
        served = chain.complete("hi") if mode == "complete" else chain.stream("hi").read()
    assert [attempt.reason for attempt in served.attempts] == [Reason.MISCONFIGURED, None]
    assert sim.models_asked == ["a/a", "b/b"]


def test_repeated_refusal_stops(sim: Simulator, clock: FakeClock) -> None:
    """The second model that refuses with the same status and words, its own name aside, ends the call."""
    sim.script("a/one", said(400, "a/one cannot read messages[3]"))
    sim.script("b/two", said(400, "b/two cannot read messages[3]"))
    with Chain(["a/one", "b/two", "c/three"], api_key=KEY, base_url=sim.base_url, clock=clock) as chain:
        with pytest.raises(CallRejected) as caught:
            chain.complete("hi")
    assert sim.models_asked == ["a/one", "b/two"]
    assert [attempt.reason for attempt in caught.value.attempts] == [Reason.INVALID_REQUEST] * 2


def test_different_refusals_go_on(sim: Simulator, clock: FakeClock) -> None:
    """Two models that refuse with different words leave the third to be asked."""
    sim.script("a/one", said(400, "odd"))
    sim.script("b/two", said(400, "strange"))
    with Chain(["a/one", "b/two", "c/three"], api_key=KEY, base_url=sim.base_url, clock=clock) as chain:
        assert chain.complete("hi").requested_model == "c/three"


def test_set_and_drop(sim: Simulator, clock: FakeClock) -> None:
    """A target's own parameters go over the call's, and those it does not take are left out, for it alone."""
    sim.script("a/a", said(502))
    second = Target("b/b", set={"max_tokens": 5, "provider": {"sort": "price"}}, drop=("seed",))
    targets: list[str | Target] = ["a/a", second]
    with Chain(targets, api_key=KEY, base_url=sim.base_url, clock=clock) as chain:
        chain.complete("hi", max_tokens=99, seed=1, temperature=0.5)
    messages = [{"role": "user", "content": "hi"}]
    assert [request.body for request in sim.requests] == [
        {"model": "a/a", "messages": messages, "max_tokens": 99, "seed": 1, "temperature": 0.5},
        {"model": "b/b", "messages": messages, "max_tokens": 5, "temperature": 0.5, "provider": {"sort": "price"}},
    ]


def test_one_model_at_two_endpoints_is_asked_at_both(sim: Simulator, clock: FakeClock) -> None:
    """The same model at two endpoints is two targets, whose names tell them apart."""
    with Simulator() as elsewhere:
        sim.default(said(502))
        elsewhere.default(answer("from elsewhere"))
        with Chain(
            ["a/a", Target("a/a", elsewhere.base_url)], api_key=KEY, base_url=sim.base_url, clock=clock
        ) as chain:
            assert chain.complete("hi").text == "from elsewhere"
            names = [target.name for target in chain.targets]
    assert len(set(names)) == 2
    assert all(name.startswith("a/a@127.0.0.1:") for name in names)


def test_a_foreign_server_with_fastapi_errors(sim: Simulator, clock: FakeClock) -> None:
    """An error body in FastAPI's form is read as well as OpenRouter's."""
    sim.script("a/a", status(503, {"detail": [{"msg": "engine is dead"}]}))
    with Chain("a/a", api_key=KEY, base_url=sim.base_url, clock=clock) as chain, pytest.raises(FallbackError) as caught:
        chain.complete("hi")
    assert caught.value.attempts[0].message == "engine is dead"
