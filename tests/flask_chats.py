"""The Flask chat of ``docs/examples``, served by threads of this process, and what talks to it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from flask_chat import create_app
from gateways import BUSY, GOOD, KEY, PATIENCE
from simple_websocket import Client
from werkzeug.serving import make_server

from orfallback import Chain
from orfallback.testing import Behaviour, Gate, Received, Simulator, Step, answer

Json = dict[str, Any]


def chain_at(sim: Simulator, **options: Any) -> Chain:
    """Return a chain that asks a simulator, without a wait between its models."""
    return Chain([BUSY, GOOD], api_key=KEY, base_url=sim.base_url, **{"delay": 0, **options})


def held(gate: Gate, then: Behaviour | None = None) -> Behaviour:
    """Say nothing at all until a gate is opened."""

    def behave(received: Received) -> Iterator[Step]:
        yield gate
        yield from (then or answer())(received)

    return behave


def eventually(seen: Callable[[], Any]) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not (value := seen()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
    return value


class Line:
    """A WebSocket to a conversation.

    :param url: its address.
    :param origin: the page that claims to ask.
    """

    def __init__(self, url: str, origin: str | None = None) -> None:
        self._client = Client.connect(url, headers={"Origin": origin} if origin else None)

    def send(self, asked: Any) -> None:
        """Send JSON, or a text as it is."""
        self._client.send(asked if isinstance(asked, str) else json.dumps(asked))

    def next(self) -> Json:
        """Return the next frame."""
        got = self._client.receive(timeout=PATIENCE)
        assert got is not None, "no frame came"
        frame: Json = json.loads(got)
        return frame

    def rest(self) -> list[Json]:
        """Return the frames up to the last one of an answer."""
        frames = [self.next()]
        while frames[-1]["type"] not in ("end", "broken", "stopped", "error"):
            frames.append(self.next())
        return frames

    def hang_up(self) -> None:
        """Leave."""
        if self._client.connected:
            self._client.close()
        self._client.thread.join(PATIENCE)


class Served:
    """A chat that listens.

    :ivar url: its address, without a slash at the end.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str) -> Any:
        """Read something of the API."""
        reply = requests.get(f"{self.url}/api/{path}", timeout=PATIENCE)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        """Send something to the API."""
        return requests.post(f"{self.url}/api/{path}", json=body or {}, timeout=PATIENCE, **options)

    def begin(self, character: str = "teacher") -> str:
        """Begin a conversation, and return its path in the API."""
        made = self.post("conversations", {"character": character})
        assert made.status_code == 201, made.text
        return f"conversations/{made.json()['id']}"

    def messages(self, conversation: str) -> list[Json]:
        """Return the messages of a conversation."""
        found: list[Json] = self.get(conversation)["messages"]
        return found

    def settled(self, conversation: str) -> list[Json]:
        """Return the messages of a conversation once no answer is being written."""
        eventually(lambda: not self.get(conversation)["writing"])
        return self.messages(conversation)

    @contextmanager
    def line(self, conversation: str, origin: str | None = None) -> Iterator[Line]:
        """Open a WebSocket."""
        line = Line(f"{self.url.replace('http', 'ws')}/api/{conversation}/socket", origin)
        try:
            yield line
        finally:
            line.hang_up()

    @contextmanager
    def asking(self, path: str, body: Json) -> Iterator[None]:
        """Send something to the API, and leave at the end of the block without an answer."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=PATIENCE)
        try:
            connection.request("POST", f"/api/{path}", json.dumps(body), {"Content-Type": "application/json"})
            yield
        finally:
            connection.close()

    @contextmanager
    def streaming(self, conversation: str, asked: Json) -> Iterator[Iterator[Json]]:
        """Open an SSE stream, and hang up at the end of the block."""
        with self.post(f"{conversation}/stream", asked, stream=True) as reply:
            assert reply.status_code == 200, reply.text
            assert reply.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            lines = (line for line in reply.iter_lines(chunk_size=1) if line)
            yield (json.loads(line.removeprefix(b"data: ")) for line in lines)


@contextmanager
def serving(chain: Chain, folder: Path) -> Iterator[Served]:
    """Serve a chat with Flask's own server.

    :param folder: where its database is.
    """
    server = make_server("127.0.0.1", 0, create_app(chain, folder / "chat.sqlite3"), threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield Served(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join(PATIENCE)
        server.server_close()


def tokens(frames: list[Json]) -> str:
    """Return the text that frames say."""
    return "".join(frame["text"] for frame in frames if frame["type"] == "token")
