"""The recipe for Django, on Django's own threaded server."""

from __future__ import annotations

import importlib
import json
import sys
import threading
from collections.abc import Iterator
from typing import Any

import django
import pytest
import requests
from django.conf import settings
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.test import RequestFactory, override_settings
from django.views.debug import SafeExceptionReporterFilter
from gateways import KEY
from recipes import PATIENCE, RECIPES

from orfallback.testing import Behaviour, Gate, Simulator, answer, cut, error_in_200, keep_alive, silence, status

FILES = ("django_chat/settings.py", "django_chat/urls.py", "django_chat/views.py")
QUESTION = {"question": "Why is the CANARYPROMPT blue?"}
BUSY, GOOD = "mistralai/mistral-nemo", "mistralai/mistral-small-3.2-24b-instruct"


@pytest.fixture(scope="module")
def views() -> Iterator[Any]:
    """The recipe's views, in a Django that has the recipe's settings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_SETTINGS_MODULE", "django_chat.settings")
        patch.syspath_prepend(str(RECIPES))
        django.setup()
        yield [importlib.import_module(name.removesuffix(".py").replace("/", ".")) for name in FILES][-1]
    for name in [name for name in sys.modules if name.partition(".")[0] == "django_chat"]:
        del sys.modules[name]


@pytest.fixture
def sim(views: Any, sim: Simulator) -> Iterator[Simulator]:
    """A simulator that the site's chain asks, without a wait; its first model is busy."""
    sim.script(BUSY, status(502))
    changed = {**settings.ORFALLBACK, "api_key": KEY, "base_url": sim.base_url, "delay": 0, "cooldown": 0}
    with override_settings(ORFALLBACK=changed):
        views.chain.cache_clear()
        yield sim
        views.chain().close()
        views.chain.cache_clear()


class Quiet(WSGIRequestHandler):  # type: ignore[misc]  # Django is not typed
    """Writes no log of requests."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url(views: Any) -> Iterator[str]:
    """The site, on a socket."""
    server = ThreadedWSGIServer(("127.0.0.1", 0), Quiet)
    server.set_app(get_wsgi_application())
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(PATIENCE)
    server.server_close()


def ask(url: str, path: str, **options: Any) -> requests.Response:
    """Ask the site."""
    return requests.post(f"{url}/{path}", data=QUESTION, timeout=PATIENCE, **options)


def events(text: str) -> list[tuple[str, Any]]:
    """Return the name and the data of each event."""
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in text.split("\n\n")[:-1]]
    return [(block["event"], json.loads(block["data"])) for block in blocks]


def said(told: list[tuple[str, Any]]) -> str:
    """Return the text in events."""
    return "".join(data for name, data in told if name == "text")


def test_whole(url: str, sim: Simulator) -> None:
    """While the first model is busy the second one answers."""
    response = ask(url, "answer")
    assert response.json() == {"answer": "Hello from the simulator.", "model": GOOD}
    assert sim.models_asked == [BUSY, GOOD]


def test_stream(url: str, sim: Simulator) -> None:
    """A stream ends with ``done``, and line ends in its text stay inside the event."""
    sim.script(GOOD, answer("one\n\ntwo: 2"))
    response = ask(url, "stream")
    assert response.headers["Content-Type"] == "text/event-stream"
    told = events(response.text)
    assert said(told) == "one\n\ntwo: 2"
    assert told[-1] == ("done", "stop")
    assert [name for name, _ in told].count("done") == 1


def test_the_chain_is_made_once(url: str, views: Any, sim: Simulator) -> None:
    """Every request has the same chain, and its connection to the endpoint."""
    sim.script(BUSY, answer("Hi"))
    assert all(ask(url, path).ok for path in ("answer", "stream", "answer", "stream"))
    assert views.chain.cache_info().misses == 1
    assert sim.connections == 1


@pytest.mark.parametrize("path", ["answer", "stream"])
@pytest.mark.parametrize(
    ("code", "again", "upstream", "deadline"),
    [
        (503, "7", status(503, headers={"Retry-After": "6.5"}), 50),
        (503, None, status(404), 50),
        (502, None, status(401), 50),
        (504, "30", silence(), 0.2),
    ],
    ids=["busy", "gone", "rejected", "late"],
)
def test_the_status_when_nobody_answers(
    code: int, again: str | None, upstream: Behaviour, deadline: float, path: str, url: str, sim: Simulator, views: Any
) -> None:
    """In both views the status tells whether asking again helps, and the body neither key nor prompt nor models."""
    sim.default(upstream)
    sim.script(BUSY, upstream)
    with override_settings(ORFALLBACK={**settings.ORFALLBACK, "timeouts": {"deadline": deadline}}):
        response = ask(url, path)
    assert (response.status_code, response.headers.get("Retry-After")) == (code, again)
    assert list(response.json()) == ["error"]
    assert not any(word in response.text for word in ("CANARY", "mistral", "401"))


@pytest.mark.parametrize("path", ["answer", "stream"])
@pytest.mark.parametrize("question", ["", " ", "x" * 10_001], ids=["empty", "blank", "long"])
def test_a_wrong_question_asks_nobody(question: str, path: str, url: str, sim: Simulator) -> None:
    """What is no question is a 400, before any model hears of it."""
    assert requests.post(f"{url}/{path}", data={"question": question}, timeout=PATIENCE).status_code == 400
    assert sim.requests == []


def test_a_failure_inside_a_200_is_none_of_the_visitors(url: str, sim: Simulator) -> None:
    """Where a stream begins with an error, or with comments alone, the visitor sees the next one's answer alone."""
    sim.script(BUSY, error_in_200(), keep_alive())
    with override_settings(ORFALLBACK={**settings.ORFALLBACK, "timeouts": {"first_token": 0.5}}):
        for _ in range(2):
            assert said(events(ask(url, "stream").text)) == "Hello from the simulator."
    assert sim.models_asked == [BUSY, GOOD] * 2


def test_a_break_is_told_in_the_stream(url: str, sim: Simulator) -> None:
    """A stream that breaks after its first words ends with ``broken``, not with ``done`` or with another's words."""
    sim.script(BUSY, cut("content", text="The sky is"))
    response = ask(url, "stream")
    told = events(response.text)
    assert response.status_code == 200
    assert said(told) == "The sky is"
    assert [name for name, _ in told if name != "text"] == ["broken"]
    assert sim.models_asked == [BUSY]


def test_a_visitor_who_leaves_ends_the_answer(url: str, sim: Simulator) -> None:
    """At the model's next words the server notices that the visitor has gone, and the connection upstream is closed."""
    gate = Gate()
    sim.script(GOOD, answer(" ".join(["word"] * 50), gate=gate, role_first=False))
    with ask(url, "stream", stream=True) as response:
        assert next(response.iter_lines(chunk_size=1)) == b"event: text"
        assert sim.open_connections > 0
    gate.open(10)
    assert sim.wait_idle(PATIENCE)
    assert [received.model for received in sim.left_early] == [GOOD]


def test_a_response_that_nobody_reads_ends_the_answer(views: Any, sim: Simulator) -> None:
    """Django closes a response of which it has sent nothing, and the connection upstream is closed with it."""
    sim.script(GOOD, answer("one two", gate=Gate(), role_first=False))
    response = views.stream(RequestFactory().post("/stream", QUESTION))
    response.close()
    assert sim.wait_idle(PATIENCE)
    # Kept until here, so that it was no garbage collector that closed it.
    assert response.status_code == 200
    assert [received.model for received in sim.left_early] == [GOOD]


def test_a_stream_with_an_encoding_is_not_collected(views: Any, sim: Simulator) -> None:
    """With ``Content-Encoding: identity`` Django's compression lets an event out before the model says the next one."""
    gate = Gate()
    sim.script(GOOD, answer("one two", gate=gate, role_first=False))

    def told(request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = views.stream(request)
        response["Content-Encoding"] = "identity"
        return response

    response = GZipMiddleware(told)(RequestFactory().post("/stream", QUESTION, headers={"Accept-Encoding": "gzip"}))
    parts = iter(response)
    assert next(parts) == b'event: text\ndata: "one "\n\n'
    gate.open(5)
    assert list(parts) == [b'event: text\ndata: "two"\n\n', b'event: done\ndata: "stop"\n\n']
    response.close()


def test_an_error_page_shows_no_key(views: Any, sim: Simulator) -> None:
    """Django's page for developers hides the key in the settings, by its name."""
    assert KEY in str(settings.ORFALLBACK)
    shown = SafeExceptionReporterFilter().get_safe_settings()["ORFALLBACK"]
    assert shown["models"] == settings.ORFALLBACK["models"]
    assert KEY not in str(shown)
