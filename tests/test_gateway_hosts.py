"""The gateway as a WSGI application: routes and methods, mounted under a prefix, and to the letter of PEP 3333."""

from __future__ import annotations

import http.client
import inspect
import io
import json
import re
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import pytest
import requests
from gateways import BUSY, GOOD, KEY, MESSAGES, PATIENCE, chain_at, events_in, next_event, text_of
from hosting import host
from test_public_api import modules_after
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client, TestResponse
from werkzeug.wrappers import Response

from orfallback import Chain, wsgi
from orfallback.testing import Gate, Simulator, answer, status
from orfallback.wsgi import Gateway

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

BODY = {"messages": MESSAGES}


@pytest.fixture
def chain(sim: Simulator) -> Iterator[Chain]:
    """A chain whose first model is busy."""
    sim.script(BUSY, status(502))
    with chain_at(sim) as chain:
        yield chain


def metrics(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Tell where it is mounted."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}|{environ['REQUEST_METHOD']}".encode()]


# -- routes --


@pytest.mark.parametrize(
    ("method", "path", "code", "allow"),
    [
        ("POST", "/v1/chat/completions", 200, None),
        ("POST", "/chat/completions", 200, None),
        ("POST", "/v1/chat/completions/", 200, None),
        ("GET", "/v1/chat/completions", 405, "POST"),
        ("HEAD", "/v1/chat/completions", 405, "POST"),
        ("PUT", "/v1/chat/completions", 405, "POST"),
        ("OPTIONS", "/v1/chat/completions", 405, "POST"),
        ("GET", "/v1/models", 200, None),
        ("HEAD", "/v1/models", 200, None),
        ("GET", "/models", 200, None),
        ("POST", "/v1/models", 405, "GET, HEAD"),
        ("GET", "/health", 200, None),
        ("HEAD", "/health", 200, None),
        ("DELETE", "/health", 405, "GET, HEAD"),
        ("GET", "/metrics", 404, None),
        ("GET", "/", 404, None),
        ("GET", "", 404, None),
        ("POST", "/v1/embeddings", 404, None),
        ("POST", "/v1/chat/completions/x", 404, None),
    ],
)
def test_each_route_and_method(method: str, path: str, code: int, allow: str | None, chain: Chain) -> None:
    """Each path takes its methods; others are a 405 that names them, unknown paths a 404, in the same form."""
    reply = Client(validator(Gateway(chain))).open(path, method=method, json=BODY, buffered=True)
    assert (reply.status_code, reply.headers.get("Allow")) == (code, allow)
    assert reply.content_type == "application/json"
    if method == "HEAD":
        assert reply.data == b""
        assert int(reply.headers["Content-Length"]) > 0
    elif code != 200:
        assert set(reply.get_json()["error"]) == {"message", "type", "param", "code"}
        assert reply.headers["x-should-retry"] == "false"


def test_the_list_of_models(chain: Chain) -> None:
    """The chain's models are listed in OpenAI's form, in order."""
    listed = Client(Gateway(chain)).get("/v1/models").get_json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == [BUSY, GOOD]
    assert {(model["object"], model["owned_by"]) for model in listed["data"]} == {("model", "a"), ("model", "b")}
    assert all(isinstance(model["created"], int) for model in listed["data"])


def test_health(chain: Chain) -> None:
    """Health needs no token and asks no model."""
    assert Client(Gateway(chain, "a-token")).get("/health").get_json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("path", "below"), [("/metrics", "/metrics|"), ("/metrics/", "/metrics|/"), ("/metrics/a/b", "/metrics|/a/b")]
)
def test_metrics(path: str, below: str, chain: Chain) -> None:
    """What is handed in as metrics is mounted, behind the token as all else is."""
    client = Client(validator(Gateway(chain, "a-token", metrics)))
    shown = {"Authorization": "Bearer a-token"}
    assert client.get(path, headers=shown, buffered=True).text == f"{below}|GET"
    assert client.get(path, buffered=True).status_code == 401
    assert client.get("/metricsx", headers=shown, buffered=True).status_code == 404


def test_metrics_that_fail(chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    """Metrics that raise are a 500 in the gateway's form, and stand in the log."""

    def failing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise RuntimeError("their own business")

    reply = Client(Gateway(chain, metrics=failing)).get("/metrics")
    assert (reply.status_code, reply.get_json()["error"]["code"]) == (500, "internal_error")
    assert "business" not in reply.text
    assert caplog.records[-1].name == "orfallback.gateway"


# -- mounted --


@pytest.mark.parametrize("path", ["/llm/v1/chat/completions", "/llm/chat/completions"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_mounted_under_a_prefix(path: str, stream: bool, chain: Chain) -> None:
    """Below a prefix of werkzeug's DispatcherMiddleware it answers as it does alone."""
    host = DispatcherMiddleware(Response("the host", status=404), {"/llm": Gateway(chain, metrics=metrics)})
    client = Client(validator(host))
    reply = client.post(path, json={**BODY, "stream": stream}, buffered=True)
    assert reply.status_code == 200
    assert reply.headers["X-Orfallback-Model"] == GOOD
    assert ("[DONE]" in reply.text) is stream
    assert client.get("/llm/health", buffered=True).status_code == 200
    assert client.get("/llm/metrics/x", buffered=True).text == "/llm/metrics|/x|GET"
    assert client.get("/elsewhere", buffered=True).text == "the host"


def test_mounted_at_v1(chain: Chain) -> None:
    """A host that mounts it at ``/v1`` serves OpenAI's own paths."""
    host = DispatcherMiddleware(Response("the host", status=404), {"/v1": Gateway(chain)})
    assert Client(host).post("/v1/chat/completions", json=BODY).status_code == 200
    assert Client(host).get("/v1/models").status_code == 200


# -- PEP 3333 --


def test_a_stream_to_the_letter(chain: Chain) -> None:
    """wsgiref has nothing to complain of in a stream that is read to its end, or left."""
    client = Client(validator(Gateway(chain)))
    read = client.post("/v1/chat/completions", json={**BODY, "stream": True}, buffered=True)
    assert text_of(events_in(read.text)) == "Hello from the simulator."
    left = client.post("/v1/chat/completions", json={**BODY, "stream": True})
    assert next(iter(left.response))
    left.close()


def test_a_server_that_closes_closes_upstream(sim: Simulator) -> None:
    """``close()`` on what the gateway returns closes the upstream connection, read or not."""
    sim.script(GOOD, answer("one two three", gate=Gate(), role_first=False))
    for read in (0, 1):
        with chain_at(sim, GOOD) as chain:
            reply: TestResponse = Client(Gateway(chain)).post("/chat/completions", json={**BODY, "stream": True})
            body = iter(reply.response)
            assert [next(body) for _ in range(read)].__len__() == read
            reply.close()
            assert sim.wait_idle(PATIENCE)
            assert len(sim.left_early) == read + 1


def test_a_server_that_fails_closes_upstream(sim: Simulator) -> None:
    """Where the server cannot begin the reply, the upstream connection is closed."""
    sim.script(GOOD, answer("one two three", gate=Gate(), role_first=False))
    raw = json.dumps({**BODY, "stream": True}).encode()
    environ = {**_environ("/v1/chat/completions", raw), "CONTENT_LENGTH": str(len(raw))}

    def failing(*_: Any) -> Any:
        raise OSError("the client is gone")

    with chain_at(sim, GOOD) as chain:
        with pytest.raises(OSError, match="the client is gone"):
            Gateway(chain)(environ, failing)
        assert sim.wait_idle(PATIENCE)


def _environ(path: str, raw: bytes, **more: Any) -> WSGIEnvironment:
    return {
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": path, "SERVER_NAME": "x", "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(raw), "wsgi.errors": sys.stderr, **more,
    }  # fmt: skip


class _Failing(io.RawIOBase):
    def read(self, _: int = -1) -> bytes:
        raise OSError("reset by peer")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"CONTENT_LENGTH": "{size}"}, 200),
        ({"CONTENT_LENGTH": "{size}", "wsgi.input_terminated": True}, 200),
        ({"CONTENT_LENGTH": "", "wsgi.input_terminated": True}, 200),
        ({"wsgi.input_terminated": True}, 200),
        ({}, 400),
        ({"CONTENT_LENGTH": "9999"}, 400),
        ({"CONTENT_LENGTH": "-1"}, 400),
        ({"CONTENT_LENGTH": "1e3"}, 400),
        ({"CONTENT_LENGTH": "٣"}, 400),
        ({"CONTENT_LENGTH": "9" * 5_000}, 413),
        ({"CONTENT_LENGTH": str(16 * 1024 * 1024 + 1)}, 413),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, 411),
        ({"CONTENT_LENGTH": "5", "wsgi.input": _Failing()}, 400),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_how_servers_frame_a_body(more: dict[str, Any], code: int, chain: Chain) -> None:
    """A body is read as PEP 3333 and ``wsgi.input_terminated`` say, and never waited for beyond that."""
    raw = json.dumps(BODY).encode()
    told = {name: value.format(size=len(raw)) if isinstance(value, str) else value for name, value in more.items()}
    began: list[str] = []
    body = Gateway(chain)(
        _environ("/v1/chat/completions", raw, **told),
        lambda status, headers: began.append(status),  # type: ignore[arg-type]  # as simple as it can be
    )
    assert began[0].startswith(str(code))
    assert json.loads(b"".join(body))


def test_a_client_that_has_left_is_asked_nobody_for(chain: Chain, sim: Simulator) -> None:
    """Where waitress says that the client is gone, no model is asked."""
    raw = json.dumps(BODY).encode()
    environ = _environ("/v1/chat/completions", raw, CONTENT_LENGTH=str(len(raw)))
    environ["waitress.client_disconnected"] = lambda: True
    began: list[str] = []
    Gateway(chain)(environ, lambda status, headers: began.append(status))  # type: ignore[arg-type]  # it writes by no other way
    assert began == ["499 Client Closed Request"]
    assert sim.requests == []


def test_the_gateway_imports_no_server() -> None:
    """A host that mounts the gateway needs neither waitress nor the command line."""
    modules = modules_after("import orfallback.wsgi")
    assert "orfallback.wsgi" in modules
    assert not {"waitress", "click", "rich", "werkzeug", "orfallback.wsgi._waitress"} & modules


def test_waitress_is_imported_in_its_own_file_alone() -> None:
    """The optional server is one file's business."""
    package = Path(wsgi.__file__).parent.parent
    users = [path.name for path in package.rglob("*.py") if "from waitress" in path.read_text(encoding="utf-8")]
    assert users == ["_waitress.py"]


def test_what_the_gateway_exports() -> None:
    """The public name is ``Gateway``, and each of its options is documented."""
    assert wsgi.__all__ == ["Gateway"]
    options = list(inspect.signature(Gateway).parameters)
    assert re.findall(r":param (\w+):", Gateway.__doc__ or "") == options == ["chain", "token", "metrics", "limit"]


# -- gunicorn --


def test_gunicorn(tmp_path: Path) -> None:
    """Behind gunicorn's threads events leave one by one, and a client that left is noticed when more is written."""
    left = threading.Event()
    with Simulator(on_left=lambda _: left.set()) as sim:
        _ask_gunicorn(sim, tmp_path, left)
        assert len(sim.left_early) == 1


def _ask_gunicorn(sim: Simulator, tmp_path: Path, left: threading.Event) -> None:
    gate = Gate()
    sim.script(BUSY, status(502))
    sim.script(GOOD, answer("one two three four five", gate=gate, role_first=False))
    environ = {
        "OPENROUTER_BASE_URL": sim.base_url, "OPENROUTER_API_KEY": KEY, "ORFALLBACK_MODELS": f"{BUSY},{GOOD}",
        "ORFALLBACK_DELAY": "0", "ORFALLBACK_PLUGINS": "-logging",
    }  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = ["gunicorn", "gateway_app:application", "--worker-class", "gthread", "--threads", "8"]
        command += ["--bind", f"fd://{listener.fileno()}", "--worker-tmp-dir", str(tmp_path), "--log-level", "warning"]
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/llm/v1"
        with host(tmp_path / "log", *command, descriptors=(listener.fileno(),), **environ):
            for chunked in (False, True):
                raw = json.dumps({**BODY, "model": "x/y"}).encode()
                data = iter([raw[:5], raw[5:]]) if chunked else raw
                assert requests.post(f"{url}/chat/completions", data=data, timeout=PATIENCE).ok
            connection = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=PATIENCE)
            connection.request("POST", "/llm/chat/completions", json.dumps({**BODY, "stream": True}))
            with connection.getresponse() as response:
                for word in ("one ", "two "):
                    assert text_of([next_event(response)]) == word
                    gate.open()
                assert next_event(response)
            connection.close()
            # What is written first goes into the void, and the answer to it is what tells; five events are left.
            for _ in range(5):
                gate.open()
                if left.wait(0.5):
                    break
