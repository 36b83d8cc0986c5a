"""Gateways on waitress, in this process, and what asks them."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from orfallback import Chain
from orfallback.testing import Simulator
from orfallback.wsgi import Gateway
from orfallback.wsgi._waitress import Server

#: The models of most tests: the first one is busy.
BUSY, GOOD = "a/busy", "b/good"
#: What is to be told nowhere.
KEY, PROMPT = "sk-or-v1-CANARYKEY00000000", "CANARYPROMPT of a client"
#: Longer than anything takes; what hangs ends, and fails (s).
PATIENCE = 60.0
MESSAGES = [{"role": "user", "content": PROMPT}]
#: A call of a tool, as a model makes one.
TOOL_CALL: dict[str, Any] = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
}
#: The tool, as a client offers it.
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells it.", "parameters": {"type": "object", "properties": {}}},
}


def chain_at(sim: Simulator, *models: Any, **options: Any) -> Chain:
    """Return a chain that asks a simulator, without a wait between its models."""
    return Chain(models or (BUSY, GOOD), api_key=KEY, base_url=sim.base_url, **{"delay": 0, **options})


class Served:
    """A gateway that listens.

    :ivar server: what it listens with.
    :ivar url: its base URL.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.url = server.base_url

    def ask(self, body: Any = None, *, token: str | None = None, **fields: Any) -> requests.Response:
        """Ask for an answer.

        :param body: the body's bytes; None makes one of fields.
        :param token: to show.
        :param fields: of the body, beside the messages.
        """
        raw = json.dumps({"messages": MESSAGES, **fields}).encode() if body is None else body
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return requests.post(f"{self.url}/chat/completions", data=raw, headers=headers, timeout=PATIENCE)

    @contextmanager
    def streaming(self, **fields: Any) -> Iterator[http.client.HTTPResponse]:
        """Ask for a stream, and hang up at the end of the block."""
        connection = http.client.HTTPConnection(*self.server.address, timeout=PATIENCE)
        try:
            body = json.dumps({"messages": MESSAGES, "stream": True, **fields})
            connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
            with connection.getresponse() as response:
                assert response.status == 200, response.read()
                yield response
        finally:
            connection.close()


def next_event(response: http.client.HTTPResponse) -> Any:
    """Read one event, as soon as it is there: its JSON, or its text if it is none; None at the end."""
    line = response.readline()
    if not line:
        return None
    assert response.readline() == b"\n"
    data = line.removeprefix(b"data: ").strip()
    return data.decode() if data.startswith(b"[") else json.loads(data)


def events_in(text: str) -> list[Any]:
    """Return the events of a whole stream."""
    datas = [event.removeprefix("data: ") for event in text.split("\n\n")[:-1]]
    return [data if data.startswith("[") else json.loads(data) for data in datas]


def text_of(events: list[Any]) -> str:
    """Return what the chunks of a stream say."""
    chunks = [event for event in events if isinstance(event, dict) and "choices" in event]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])


@contextmanager
def serving(gateway: Gateway, *, threads: int = 8, names: tuple[str, ...] | None = None) -> Iterator[Served]:
    """Let a gateway listen."""
    server = Server(gateway, "127.0.0.1", 0, threads=threads, names=names)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield Served(server)
    finally:
        server.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()
