"""install(): every session of a process falls back, and is otherwise what it was."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Iterator
from functools import wraps
from typing import Any

import pytest
import requests
import responses
from hosting import echo, half_busy
from requests.adapters import BaseAdapter, HTTPAdapter
from rows import choice
from test_threads import together
from urllib3.util import Retry

import orfallback
from orfallback import Chain, FallbackAdapter, WatchedAdapter
from orfallback.testing import FakeClock, Simulator, answer, drip, events, redirect, reply, silence, status

ASKED: dict[str, Any] = {"model": "a/a", "messages": [{"role": "user", "content": "Why?"}]}
BEFORE = requests.Session.get_adapter


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Nothing is installed when a test ends."""
    yield
    orfallback.uninstall()
    left, requests.Session.get_adapter = requests.Session.get_adapter, BEFORE  # type: ignore[method-assign]
    assert left is BEFORE


@pytest.fixture
def chain(sim: Simulator, clock: FakeClock) -> Chain:
    """A chain whose first model is busy."""
    sim.script("a/a", status(502))
    return Chain(["a/a", "b/b"], base_url=sim.base_url, clock=clock)


@pytest.fixture
def url(sim: Simulator) -> str:
    """Where applications ask."""
    return f"{sim.base_url}/chat/completions"


def falls_back(url: str, asking: Any = requests) -> bool:
    """Tell whether a call does."""
    ok: bool = asking.post(url, json=ASKED).ok
    return ok


class Subclass(requests.Session):
    """A session of an application's."""

    def get_adapter(self, url: Any) -> BaseAdapter:
        """Choose an adapter as it pleases."""
        return super().get_adapter(url)


def test_every_session_falls_back(chain: Chain, url: str) -> None:
    """Sessions made before and after, subclasses, bare calls and mounted retries do, until it is taken off."""
    before = [requests.Session(), Subclass()]
    orfallback.install(chain)
    retrying = requests.Session()
    retrying.mount("http://", HTTPAdapter(max_retries=Retry(3)))
    asking = [requests, requests.api, *before, requests.Session(), Subclass(), retrying]
    assert [falls_back(url, each) for each in asking] == [True] * 7
    orfallback.uninstall()
    assert [falls_back(url, each) for each in asking] == [False] * 7


def test_the_last_chain_counts(sim: Simulator, chain: Chain, url: str) -> None:
    """Called again it replaces the chain, and wraps nothing once more; taking it off twice does nothing."""
    orfallback.install(Chain("c/c", base_url=sim.base_url))
    wrapper = requests.Session.get_adapter
    orfallback.install(chain)
    assert requests.Session.get_adapter is wrapper
    assert falls_back(url)
    assert sim.models_asked == ["a/a", "b/b"]
    for _ in range(2):
        orfallback.uninstall()
        assert requests.Session.get_adapter is BEFORE


def test_it_is_a_context_manager(sim: Simulator, chain: Chain, url: str) -> None:
    """Its end puts back what was there before."""
    with orfallback.install(chain) as installed:
        assert installed is chain
        with orfallback.install(Chain("a/a", base_url=sim.base_url)):
            assert not falls_back(url)
        assert falls_back(url)
        with orfallback.install(chain):
            orfallback.uninstall()
        assert not falls_back(url)
    assert requests.Session.get_adapter is BEFORE
    with orfallback.install(chain):
        assert falls_back(url)
    assert not falls_back(url)


def test_it_makes_a_chain_of_the_environment(at: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument it is the environment's chain."""
    monkeypatch.setenv("ORFALLBACK_MODELS", "a/a, b/b")
    monkeypatch.setenv("ORFALLBACK_DELAY", "0")
    at.script("a/a", status(502))
    with orfallback.install():
        assert falls_back(f"{at.base_url}/chat/completions")


def test_wrappers_of_others_survive(chain: Chain, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What others put there, before or after, goes on working, also when they are not taken off in order."""
    told: list[str] = []

    def wrap(name: str) -> None:
        inner = requests.Session.get_adapter

        @wraps(inner)
        def get_adapter(self: requests.Session, url: Any) -> BaseAdapter:
            told.append(name)
            return inner(self, url)

        monkeypatch.setattr(requests.Session, "get_adapter", get_adapter)

    wrap("before")
    first = requests.Session.get_adapter
    orfallback.install(chain)
    wrap("after")
    last = requests.Session.get_adapter
    assert falls_back(url)
    assert told == ["after", "before"]
    orfallback.uninstall()
    assert requests.Session.get_adapter is last
    assert not falls_back(url)
    orfallback.install(chain)
    assert falls_back(url)
    assert told == ["after", "before"] * 3
    orfallback.uninstall()
    assert requests.Session.get_adapter is last
    monkeypatch.undo()
    assert first is not BEFORE


def test_an_adapter_of_another_kind_is_left_alone(chain: Chain, url: str) -> None:
    """One that is no HTTPAdapter answers for itself, and one that falls back already does so once."""

    class Double(BaseAdapter):
        def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
            response = requests.Response()
            response.status_code = 418
            return response

        def close(self) -> None:
            pass

    with orfallback.install(chain), requests.Session() as session:
        session.mount("http://", Double())
        assert session.post(url, json=ASKED).status_code == 418
        mounted = FallbackAdapter(chain)
        session.mount("http://", mounted)
        assert session.get_adapter(url) is mounted


def test_it_acts_at_the_chains_endpoints_alone(sim: Simulator, chain: Chain, url: str) -> None:
    """Other hosts have their own adapter, and a URL that is none has the complaint of requests."""
    with orfallback.install(chain), requests.Session() as session:
        plain = session.adapters["http://"]
        assert session.get_adapter("http://127.0.0.2:9/api/v1/chat/completions") is plain
        assert session.get_adapter("http://[bad/chat/completions") is plain
        for wrong in ("ftp://x/", b"http://x"):
            with pytest.raises((requests.exceptions.InvalidSchema, TypeError)):
                session.get_adapter(wrong)  # type: ignore[arg-type]  # it is wrong
        assert session.get_adapter(url.upper().replace("HTTP", "http")) is not plain
        with Simulator() as other:
            other.default(status(502))
            assert not falls_back(f"{other.base_url}/chat/completions")
    assert sim.requests == []


def test_a_url_of_bytes(chain: Chain, url: str) -> None:
    """What is no text goes to where it went before."""

    class Odd(requests.Session):
        def get_adapter(self, url: Any) -> BaseAdapter:
            return super().get_adapter(url if isinstance(url, str) else url.decode())

    class Bytes(str):
        __slots__ = ()

    with orfallback.install(chain):
        assert isinstance(Odd().get_adapter(url.encode()), FallbackAdapter)
        assert isinstance(requests.Session().get_adapter(Bytes(url)), FallbackAdapter)


def test_a_chain_with_a_session_of_the_applications(sim: Simulator, chain: Chain, clock: FakeClock) -> None:
    """What a chain sends through its given session does not fall back once more, and keeps its limits to the byte."""
    with requests.Session() as session, orfallback.install(chain):
        own = Chain(["a/a", "c/c"], base_url=sim.base_url, session=session, clock=clock, cooldown=None)
        assert own.complete("hi").model == "c/c"
        assert sim.models_asked == ["a/a", "c/c"]
        assert falls_back(f"{sim.base_url}/chat/completions", session)
        sim.script("a/a", drip("headers"))
        session.mount("http://", WatchedAdapter())
        quick = own.replace(timeouts=orfallback.Timeouts(answer=0.3))
        assert quick.complete("hi").attempts[0].reason is orfallback.Reason.TIMEOUT


def test_sessions_pickle(chain: Chain, url: str) -> None:
    """A session of requests pickles as it does without, and falls back where it is unpickled."""
    session = requests.Session()
    plain = pickle.dumps(session)
    with orfallback.install(chain):
        assert pickle.dumps(session) == plain
        assert falls_back(url, pickle.loads(plain))
        response = session.post(url, json=ASKED)
        assert pickle.loads(pickle.dumps(response)).json() == response.json()
    assert not falls_back(url, pickle.loads(plain))


@pytest.mark.parametrize("where", ["another path", "another host"])
def test_what_requests_promises_holds(where: str, sim: Simulator, chain: Chain) -> None:
    """Redirects, cookies, auth, proxies, uploads, downloads and timeouts are as they were, for all but completions."""
    if where == "another host":
        chain = chain.replace(base_url="http://127.0.0.2:9/api/v1")
    sim.script("GET /here", redirect(302, "/api/v1/there"))
    sim.script("GET /there", reply({"there": True}, headers={"Set-Cookie": "seen=1; Path=/"}))
    sim.script("POST /files", reply({"ok": True}))
    sim.script("GET /large", reply(b"x" * 1_000_000, framing="gzip"))
    sim.script("GET /slow", silence())
    seen = []
    for installed in (False, True):
        if installed:
            orfallback.install(chain)
        with requests.Session() as session:
            moved = session.get(f"{sim.base_url}/here", auth=("me", "secret"))
            sent = session.post(f"{sim.base_url}/files", files={"file": b"y" * 1000}, data={"model": "a/a"})
            with session.get(f"{sim.base_url}/large", stream=True) as large:
                pieces = [len(piece) for piece in large.iter_content(100_000)]
            with pytest.raises(requests.ReadTimeout):
                session.get(f"{sim.base_url}/slow", timeout=0.05)
            with pytest.raises(requests.exceptions.ProxyError):
                session.get(f"{sim.base_url}/there", proxies={"http": "http://127.0.0.1:9"})
            proxied = session.get("http://model.example/api/v1/there", proxies={"http": sim.base_url[:-7]})
            copied = pickle.loads(pickle.dumps(session))
            again = copied.get(f"{sim.base_url}/there")
            seen.append(
                (
                    [each.status_code for each in moved.history], moved.json(), session.cookies.get_dict(),
                    moved.request.headers["Authorization"], sent.json(), pieces, proxied.json(), again.json(),
                    copied.cookies.get_dict(), type(again), vars(again).keys(),
                )
            )  # fmt: skip
    assert seen[0] == seen[1]
    told = [(request.path, request.key_digest, request.headers.get("cookie")) for request in sim.requests]
    assert told[: len(told) // 2] == told[len(told) // 2 :]


@responses.activate
def test_it_works_with_responses() -> None:
    """Bare calls of a mocked service fall back, and calls are recorded as before."""
    url = "https://openrouter.ai/api/v1/chat/completions"
    responses.post(url, status=502, json={})
    responses.post(url, json=choice("stop", {"content": "Hi"}))
    with orfallback.install(Chain(["a/a", "b/b"], api_key="sk-test-0000000000000000", clock=FakeClock())):
        response = requests.post(url, json=ASKED, timeout=5)
    assert response.json()["choices"][0]["message"]["content"] == "Hi"
    assert [json.loads(call.request.body or b"")["model"] for call in responses.calls] == ["a/a", "b/b"]


def test_a_stream_of_a_bare_call(sim: Simulator, chain: Chain, url: str) -> None:
    """The session of a bare call is closed at once; its stream goes on all the same."""
    sim.script("b/b", answer("one two"))
    with orfallback.install(chain):
        response = requests.post(url, json={**ASKED, "stream": True}, stream=True, timeout=5)
        assert b"two" in b"".join(response.iter_lines())
        del response
        sim.script("b/b", events({"choices": [{"delta": {"content": "x"}}]}, 9.0))
        requests.post(url, json={**ASKED, "stream": True}, stream=True, timeout=5)
    assert sim.wait_idle()


def test_threads_share_a_session(sim: Simulator, chain: Chain, url: str) -> None:
    """Each of sixteen threads gets the answer to its own question, while the chain is replaced."""
    sim.default(echo)
    sim.script("a/a", half_busy)
    threaded = chain.replace(clock=None, delay=0)
    over = threading.Event()

    def install() -> None:
        while not over.is_set():
            orfallback.install(threaded)

    def work(number: int) -> None:
        for turn in range(6):
            question = f"{number} {turn} {number + turn}"
            body = {**ASKED, "messages": [{"role": "user", "content": question}]}
            response = session.post(url, json=body)
            assert response.json()["choices"][0]["message"]["content"] == question

    with orfallback.install(threaded), requests.Session() as session:
        session.mount("http://", HTTPAdapter(pool_maxsize=16))
        installing = threading.Thread(target=install)
        installing.start()
        died = together(16, work)
        over.set()
        installing.join()
    assert died == []
