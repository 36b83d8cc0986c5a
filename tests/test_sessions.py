"""A session of the application's own: used as it is, and never closed."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from rows import BOTH, delta
from urllib3.util import Retry

from orfallback import Chain, ChainExhausted, Reason, Target, Timeouts, WatchedAdapter
from orfallback.testing import FakeClock, Gate, Simulator, answer, drip, events, redirect, status

KEY = "sk-test-0000000000000000"
OWN = "sk-the-sessions-own-0000"
TWO = ["a/a", "b/b"]


def digest(key: str) -> str:
    """How the simulator tells keys apart."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


@pytest.fixture
def session() -> Iterator[requests.Session]:
    """A session with a key of its own."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {OWN}"
        yield session


def test_it_keeps_its_headers_and_hooks_and_stays_open(
    sim: Simulator, session: requests.Session, clock: FakeClock
) -> None:
    """Its headers, key and hooks count, in both modes, and it is usable when the chain is closed."""
    seen: list[int] = []

    def hook(response: requests.Response, *args: Any, **kwargs: Any) -> None:
        seen.append(response.status_code)

    session.headers["X-Title"] = "mine"
    session.hooks["response"].append(hook)
    sim.script("a/a", status(502))
    with Chain(TWO, base_url=sim.base_url, session=session, clock=clock, cooldown=None) as chain:
        assert chain.complete("hi").model == "b/b"
        assert chain.stream("hi").read().model == "b/b"
    assert session.get(f"{sim.base_url}/models").ok
    assert [request.headers.get("x-title") for request in sim.requests] == ["mine"] * 5
    assert {request.key_digest for request in sim.requests} == {digest(OWN)}
    assert seen == [502, 200, 502, 200, 200]


def test_its_own_send_is_called(sim: Simulator, clock: FakeClock) -> None:
    """A subclass's ``send`` is not passed by: tracing and mocking tools put themselves there."""

    class Traced(requests.Session):
        sent = 0

        def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
            Traced.sent += 1
            request.headers["X-Trace"] = "1"
            return super().send(request, **kwargs)

    with Traced() as session, Chain(TWO, api_key=KEY, base_url=sim.base_url, session=session, clock=clock) as chain:
        assert chain.complete("hi").text
    assert Traced.sent == 1
    assert sim.requests[0].headers["x-trace"] == "1"


def test_its_key_stays_at_the_chains_origin(sim: Simulator, session: requests.Session, clock: FakeClock) -> None:
    """A key in its headers goes to the chain's own origin, not to a target elsewhere."""
    with Simulator() as elsewhere:
        sim.default(status(502))
        targets: list[str | Target] = ["a/a", Target("b/b", elsewhere.base_url)]
        with Chain(targets, base_url=sim.base_url, session=session, clock=clock) as chain:
            assert chain.complete("hi").model == "b/b"
        assert [request.authorized for request in elsewhere.requests] == [False]
    assert [request.key_digest for request in sim.requests] == [digest(OWN)]


@pytest.mark.parametrize("name", ["api-key", "X-Api-Key", "Cookie", "X-Session-Id", "X-Goog-Api-Key"])
@pytest.mark.parametrize("key", [None, KEY])
def test_nor_does_whatever_else_lets_it_in(
    name: str, key: str | None, sim: Simulator, session: requests.Session, clock: FakeClock
) -> None:
    """A header of the session that is a key by another name, such as Azure's, stays there, too; all others go along."""
    session.headers.update({name: OWN, "X-Title": "An application"})
    with Simulator() as elsewhere:
        sim.default(status(502))
        targets: list[str | Target] = ["a/a", Target("b/b", elsewhere.base_url, api_key=key)]
        with Chain(targets, base_url=sim.base_url, session=session, clock=clock) as chain:
            assert chain.complete("hi").model == "b/b"
        (there,) = elsewhere.requests
    (here,) = sim.requests
    assert here.headers[name.lower()] == OWN
    assert name.lower() not in there.headers
    assert there.key_digest == (None if key is None else digest(key))
    assert here.headers["x-title"] == there.headers["x-title"] == "An application"


def test_its_cookies_stay_there(sim: Simulator, session: requests.Session, clock: FakeClock) -> None:
    """A cookie of the session that names no host is for the chain's own origin."""
    session.cookies.set("sid", OWN)
    with Simulator() as elsewhere:
        sim.default(status(502))
        targets: list[str | Target] = ["a/a", Target("b/b", elsewhere.base_url)]
        with Chain(targets, base_url=sim.base_url, session=session, clock=clock) as chain:
            assert chain.complete("hi").model == "b/b"
        assert ["cookie" in request.headers for request in elsewhere.requests] == [False]
    assert [request.headers["cookie"] for request in sim.requests] == [f"sid={OWN}"]


def test_its_certificate_stays_there(sim: Simulator, clock: FakeClock) -> None:
    """A client's certificate of the session is shown to the chain's own origin alone."""
    shown = []

    class Noting(HTTPAdapter):
        def send(self, request: Any, *args: Any, cert: Any = None, **kwargs: Any) -> requests.Response:
            shown.append(cert)
            return super().send(request, *args, **kwargs)

    with requests.Session() as session, Simulator() as elsewhere:
        session.cert = "client.pem"
        session.mount("http://", Noting())
        sim.default(status(502))
        targets: list[str | Target] = ["a/a", Target("b/b", elsewhere.base_url)]
        with Chain(targets, base_url=sim.base_url, session=session, clock=clock) as chain:
            assert chain.complete("hi").model == "b/b"
    assert shown == ["client.pem", None]


def test_a_plugin_may_send_a_key_elsewhere(sim: Simulator, session: requests.Session, clock: FakeClock) -> None:
    """What a plugin sets for one attempt goes where the attempt goes, whatever the session holds under that name."""

    class Keys:
        def orfallback_prepare(self, target: Target, headers: Any) -> None:
            if target.model == "b/b":
                headers["api-key"] = KEY
                headers["Authorization"] = f"Bearer {KEY}"

    session.headers["api-key"] = OWN
    session.auth = ("me", OWN)
    with Simulator() as elsewhere:
        sim.default(status(502))
        targets: list[str | Target] = ["a/a", Target("b/b", elsewhere.base_url)]
        with Chain(targets, base_url=sim.base_url, session=session, clock=clock, plugins=[Keys()]) as chain:
            assert chain.complete("hi").model == "b/b"
        assert [request.headers["api-key"] for request in elsewhere.requests] == [KEY]
        assert [request.key_digest for request in elsewhere.requests] == [digest(KEY)]


def test_the_chains_key_goes_before_its_own(sim: Simulator, session: requests.Session, clock: FakeClock) -> None:
    """A key given to the chain is the one that is sent."""
    with Chain(TWO, api_key=KEY, base_url=sim.base_url, session=session, clock=clock) as chain:
        chain.complete("hi")
    assert [request.key_digest for request in sim.requests] == [digest(KEY)]


def test_a_hook_that_raises_for_status(sim: Simulator, session: requests.Session, clock: FakeClock) -> None:
    """A hook that calls ``raise_for_status()`` does not hide the status from the chain."""

    def strict(response: requests.Response, *args: Any, **kwargs: Any) -> None:
        response.raise_for_status()

    session.hooks["response"].append(strict)
    sim.script("a/a", status(502))
    with Chain(TWO, base_url=sim.base_url, session=session, clock=clock) as chain:
        completion = chain.complete("hi")
    assert [(attempt.status, attempt.reason) for attempt in completion.attempts] == [(502, Reason.BUSY), (200, None)]


def test_retries_of_its_own(sim: Simulator, session: requests.Session, clock: FakeClock) -> None:
    """Retries mounted on it are used up first, and count as one transient failure."""
    retry = Retry(total=1, status_forcelist=[502], allowed_methods=None, backoff_factor=0)
    session.mount("http://", HTTPAdapter(max_retries=retry))
    sim.script("a/a", status(502))
    with Chain(TWO, base_url=sim.base_url, session=session, clock=clock) as chain:
        completion = chain.complete("hi")
    assert sim.models_asked == ["a/a", "a/a", "b/b"]
    assert completion.attempts[0].reason is Reason.CONNECTION
    assert clock.sleeps == [2.0]


def read_in_send(session: requests.Session) -> None:
    """Read the body where a subclass's send() would log it."""
    send = session.send

    def logging_send(request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        response = send(request, **kwargs)
        assert response.text
        return response

    session.send = logging_send  # type: ignore[method-assign]  # what a subclass does


def read_in_hook(session: requests.Session) -> None:
    """Read the body in a hook."""
    session.hooks["response"].append(lambda response, **_: response.text and None)


@pytest.mark.parametrize("read", [read_in_send, read_in_hook])
def test_a_body_that_was_read_before(read: Any, sim: Simulator, session: requests.Session, clock: FakeClock) -> None:
    """An application that logs bodies in its session leaves an answer for the chain."""
    read(session)
    with Chain(TWO, base_url=sim.base_url, session=session, clock=clock) as chain:
        assert chain.complete("hi").text
        assert chain.stream("hi").read().text
    assert sim.models_asked == ["a/a", "a/a"]


def test_first_token_is_no_limit_for_the_rest(sim: Simulator, session: requests.Session, clock: FakeClock) -> None:
    """A pause that idle allows is no fault, though first_token would not."""
    timeouts = Timeouts(first_token=0.4, idle=5)
    sim.script("a/a", events(delta(content="a"), 0.8, delta("stop", content="b")))
    with Chain(TWO, base_url=sim.base_url, session=session, clock=clock, timeouts=timeouts) as chain:
        assert chain.stream("hi").read().text == "ab"


def test_a_redirect_is_not_read(sim: Simulator, session: requests.Session, clock: FakeClock) -> None:
    """A redirect is judged, neither followed nor read on without limit as ``Session.send`` would."""
    sim.script("a/a", redirect(302, "http://127.0.0.2:9/"))
    with Chain(TWO, base_url=sim.base_url, session=session, clock=clock) as chain:
        completion = chain.complete("hi")
    assert [attempt.status for attempt in completion.attempts] == [302, 200]


@pytest.mark.parametrize("mode", BOTH)
def test_limits_may_be_lifted(mode: str, sim: Simulator, session: requests.Session, clock: FakeClock) -> None:
    """A session is told of no limit where there is none."""
    told: list[Any] = []

    class Telling(HTTPAdapter):
        def send(self, *args: Any, **kwargs: Any) -> requests.Response:
            told.append(kwargs["timeout"])
            return super().send(*args, **kwargs)

    session.mount("http://", Telling())
    limits = Timeouts(connect=None, first_token=None, idle=None, answer=None, deadline=None)
    with Chain(TWO, base_url=sim.base_url, session=session, clock=clock, timeouts=limits) as chain:
        completion = chain.complete("hi") if mode == "complete" else chain.stream("hi").read()
    assert completion.text
    assert told == [(None, None)]


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("body", [b'{"choices": [{"message": {"content": "Hi"}}]}', None], ids=["file", "none"])
def test_a_response_that_no_connection_made(body: Any, mode: str, session: requests.Session, clock: FakeClock) -> None:
    """An adapter that answers by itself, as test doubles do, is read whatever holds its body."""

    class Double(HTTPAdapter):
        def send(self, *args: Any, **kwargs: Any) -> requests.Response:
            response = requests.Response()
            response.status_code, response.raw = 200, None if body is None else io.BytesIO(body)
            return response

    session.mount("http://", Double())
    with Chain("a/a", base_url="http://x/v1", session=session, clock=clock) as chain:
        try:
            completion = chain.complete("hi") if mode == "complete" else chain.stream("hi").read()
        except ChainExhausted as error:
            assert body is None
            assert error.reason in (Reason.MALFORMED, Reason.TRUNCATED)  # noqa: PT017 - the other one answers
        else:
            assert completion.text == "Hi"


def test_a_hook_that_raises_of_its_own(sim: Simulator, session: requests.Session, clock: FakeClock) -> None:
    """An HTTPError that a session's hook raises without a response is a fault of the attempt, and the next is asked."""
    raised: list[int] = []

    def hook(response: requests.Response, *args: Any, **kwargs: Any) -> None:
        if not raised:
            raised.append(response.status_code)
            raise requests.HTTPError("of its own")

    session.hooks["response"].append(hook)
    with Chain(TWO, base_url=sim.base_url, session=session, clock=clock) as chain:
        completion = chain.complete("hi")
    assert [attempt.ok for attempt in completion.attempts] == [False, True]


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_watched_adapter_holds_the_limits(
    part: Any, sim: Simulator, session: requests.Session, clock: FakeClock
) -> None:
    """With a WatchedAdapter mounted the limits hold to the byte, dripped headers included."""
    session.mount("http://", WatchedAdapter())
    sim.script("a/a", drip(part))
    options: dict[str, Any] = {"timeouts": Timeouts(answer=0.4, first_token=0.4), "cooldown": None}
    with Chain(TWO, base_url=sim.base_url, session=session, clock=clock, **options) as chain:
        assert chain.complete("hi").attempts[0].reason is Reason.TIMEOUT
        sim.script("b/b", answer("Hi"))
        assert chain.stream("hi").read().attempts[0].reason is Reason.TIMEOUT


@pytest.mark.parametrize("options", [{"pool_block": True, "pool_maxsize": 1}, {"pool_maxsize": 1}], ids=repr)
def test_a_watched_adapter_with_a_pool_of_another_kind(
    options: dict[str, Any], sim: Simulator, session: requests.Session, clock: FakeClock
) -> None:
    """Its pools keep as many connections as they are told to, and wait for one if they are told that."""
    session.mount("http://", WatchedAdapter(**options))
    gate = Gate()
    sim.script("a/a", answer("one", gate=gate), answer("two"), answer("three"))
    with Chain(TWO, base_url=sim.base_url, session=session, clock=clock) as chain:
        if "pool_block" in options:
            gate.open(100)
            assert [chain.complete("hi").text for _ in range(3)] == ["one", "two", "three"]
        else:
            gate.open()
            first = chain.stream("hi")
            assert chain.complete("hi").text == "two"
            gate.open(100)
            # Its connection comes back to a pool that is full.
            assert first.read().text == "one"
            assert chain.complete("hi").text == "three"
    assert sim.models_asked == ["a/a"] * 3


def test_a_watched_adapter_serves_others_too(sim: Simulator, session: requests.Session) -> None:
    """For requests that are none of the chain's a WatchedAdapter is an HTTPAdapter."""
    session.mount("http://", WatchedAdapter())
    assert session.get(f"{sim.base_url}/models", timeout=5).json()["data"]
    sim.default(drip("body"))
    with pytest.raises(requests.RequestException):
        session.post(f"{sim.base_url}/chat/completions", json={"model": "a/a"}, timeout=0.01)
    assert session.get(f"{sim.base_url}/key").ok
