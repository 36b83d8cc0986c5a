"""The recipes for clients of the gateway: OpenAI's own, and LangChain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from gateways import BUSY, GOOD, PATIENCE, TOOL_CALL, chain_at, serving
from recipes import load

from orfallback.testing import Gate, Simulator, answer, cut, status
from orfallback.wsgi import Gateway

HELLO = "Hello from the simulator."
QUESTION = "Why is the sky blue?"
TOKEN = "a-token-of-the-gateway-0000"
CALLING = answer("", tool_calls=[TOOL_CALL], finish_reason="tool_calls")


@pytest.fixture(autouse=True)
def gateway(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A gateway that wants a token; its first model is busy."""
    sim.script(BUSY, status(502))
    with chain_at(sim) as chain, serving(Gateway(chain, TOKEN)) as served:
        monkeypatch.setenv("GATEWAY_URL", served.url)
        monkeypatch.setenv("GATEWAY_TOKEN", TOKEN)
        yield


@pytest.fixture
def client(gateway: None) -> Iterator[Any]:
    """The recipe for OpenAI's client."""
    module: Any = load("openai_client.py")
    with module.client:
        yield module


@pytest.fixture
def langchain(gateway: None) -> Any:
    """The recipe for LangChain."""
    return load("langchain_client.py")


@pytest.mark.parametrize("name", ["client", "langchain"])
def test_whole(name: str, request: pytest.FixtureRequest, sim: Simulator) -> None:
    """While the first model is busy the second one answers."""
    assert request.getfixturevalue(name).ask(QUESTION) == HELLO
    assert sim.models_asked == [BUSY, GOOD]


def test_the_client_shows_a_stream(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The answer alone is on stdout."""
    assert client.show(QUESTION) is True
    assert capsys.readouterr() == (f"{HELLO}\n", "")


def test_the_client_tells_that_nobody_answers(client: Any, sim: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    """The client asks once, and says when to try again."""
    sim.default(status(503, headers={"Retry-After": "7"}))
    assert client.show(QUESTION) is False
    out, err = capsys.readouterr()
    assert out == ""
    assert "(try again in 7 s)" in err
    assert sim.models_asked == [BUSY, GOOD]


def test_the_client_tells_a_break(client: Any, sim: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    """A stream that breaks off is not taken for a whole answer."""
    sim.default(cut("content", text="The sky is"))
    assert client.show(QUESTION) is False
    out, err = capsys.readouterr()
    assert out == "The sky is"
    assert "broken off: " in err


def test_the_client_leaves(client: Any, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception inside the loop, such as that of Ctrl-C, ends the answer upstream."""
    sim.script(GOOD, answer("one two three", gate=Gate(), role_first=False))

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(client, "print", interrupted, raising=False)
    with pytest.raises(KeyboardInterrupt):
        client.show(QUESTION)
    assert _left(sim) == [GOOD]


def test_langchain_stream(langchain: Any, sim: Simulator) -> None:
    """A stream comes in pieces; one that breaks off ends with a word of that."""
    pieces = list(langchain.stream(QUESTION))
    assert "".join(pieces) == HELLO
    assert len([piece for piece in pieces if piece]) > 1
    sim.script(GOOD, cut("content", text="The sky is"))
    assert "".join(langchain.stream(QUESTION)) == "The sky is\n[The answer broke off here.]"


def test_langchain_raises_when_nobody_answers(langchain: Any, sim: Simulator) -> None:
    """The error is that of OpenAI's client, and the chain was asked once."""
    sim.default(status(503))
    with pytest.raises(openai.InternalServerError):
        list(langchain.stream(QUESTION))
    assert sim.models_asked == [BUSY, GOOD]


@pytest.mark.parametrize("name", ["client", "langchain"])
def test_tools(name: str, request: pytest.FixtureRequest, sim: Simulator) -> None:
    """Calls of tools come through, and their results go back."""
    module = request.getfixturevalue(name)
    sim.script(GOOD, CALLING, answer("Wear a coat."))
    if name == "langchain":
        assert module.tools_called("Weather in Oslo?") == ["It is 7 degrees in Oslo."]
        return
    assert module.ask_with_a_tool("Weather in Oslo?") == "Wear a coat."
    assert [message["role"] for message in sim.requests[-1].body["messages"]] == ["user", "assistant", "tool"]
    assert sim.requests[-1].body["messages"][-1]["content"] == "It is 7 degrees in Oslo."
    sim.script(GOOD, CALLING)
    with pytest.raises(RuntimeError, match="after 5 rounds"):
        module.ask_with_a_tool("Weather in Oslo?")


def _left(sim: Simulator) -> list[str | None]:
    """Wait for the client's leaving to be noticed, and return whose answers it left."""
    assert sim.wait_idle(PATIENCE)
    return [received.model for received in sim.left_early]
