"""What people point at the gateway: the official client, LangChain and curl, while the first model is busy."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from gateways import BUSY, GOOD, PATIENCE, TOOL, TOOL_CALL, Served, chain_at, events_in, serving, text_of
from langchain_core.messages import AIMessageChunk
from langchain_openai import ChatOpenAI

from orfallback.testing import Gate, Simulator, answer, cut, status
from orfallback.wsgi import Gateway

TOKEN = "a-token-of-the-gateway-0000"
HELLO = "Hello from the simulator."
QUESTION: Any = [{"role": "user", "content": "Why is the sky blue?"}]
CALLING = answer("", tool_calls=[TOOL_CALL], finish_reason="tool_calls")


@pytest.fixture
def busy(sim: Simulator) -> Simulator:
    """A simulator whose first model is busy."""
    sim.script(BUSY, status(502))
    return sim


@pytest.fixture
def served(busy: Simulator) -> Iterator[Served]:
    """A gateway that asks it, and wants a token."""
    with chain_at(busy) as chain, serving(Gateway(chain, TOKEN)) as served:
        yield served


# -- openai --


@pytest.fixture
def client(served: Served) -> Iterator[openai.OpenAI]:
    """The official client as it comes, its own two retries on."""
    with openai.OpenAI(base_url=served.url, api_key=TOKEN) as client:
        assert client.max_retries == 2
        yield client


def test_openai_whole(client: openai.OpenAI) -> None:
    """A whole answer of the second model."""
    completion = client.chat.completions.create(model="orfallback", messages=QUESTION)
    assert completion.choices[0].message.content == HELLO
    assert completion.model == GOOD


def test_openai_stream(client: openai.OpenAI) -> None:
    """A stream of the second model, with usage at its end."""
    stream = client.chat.completions.create(model=BUSY, messages=QUESTION, stream=True)
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == HELLO
    assert chunks[-1].usage is not None


def test_openai_tools_whole(client: openai.OpenAI, busy: Simulator) -> None:
    """Calls of tools in a whole answer."""
    busy.script(GOOD, CALLING)
    tools: Any = [TOOL]
    (choice,) = client.chat.completions.create(model="auto", messages=QUESTION, tools=tools).choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    assert choice.message.tool_calls[0].to_dict() == TOOL_CALL


def test_openai_tools_stream(client: openai.OpenAI, busy: Simulator) -> None:
    """Calls of tools in a stream, joined by the client itself."""
    busy.script(GOOD, CALLING)
    tools: Any = [TOOL]
    with client.chat.completions.stream(model="auto", messages=QUESTION, tools=tools) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls is not None
    (call,) = message.tool_calls
    assert (call.id, call.function.name, call.function.arguments) == ("call_1", "weather", '{"city": "Oslo"}')


def test_openai_extra_body(client: openai.OpenAI, busy: Simulator) -> None:
    """OpenRouter's list of models, in ``extra_body``, is the chain of that call."""
    extra = {"models": [BUSY, "x/y"]}
    assert client.chat.completions.create(model="auto", messages=QUESTION, extra_body=extra).model == "x/y"
    assert busy.models_asked == [BUSY, "x/y"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_openai_does_not_retry(stream: bool, client: openai.OpenAI, busy: Simulator) -> None:
    """When nobody answers the client raises at once, and asks the chain no second time."""
    busy.default(status(503))
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="orfallback", messages=QUESTION, stream=stream)
    assert caught.value.status_code == 503
    assert caught.value.code == "busy"
    assert busy.models_asked == [BUSY, GOOD]


def test_openai_errors(client: openai.OpenAI, served: Served, busy: Simulator) -> None:
    """The client knows the gateway's errors by their own classes."""
    busy.script(GOOD, status(400, message="This endpoint's maximum context length is 4096 tokens"))
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=GOOD, messages=QUESTION, extra_body={"models": [GOOD]})
    assert caught.value.code == "context_length_exceeded"
    with openai.OpenAI(base_url=served.url, api_key="wrong") as stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    assert [model.id for model in client.models.list()] == [BUSY, GOOD]


def test_openai_sees_a_break(client: openai.OpenAI, busy: Simulator) -> None:
    """A stream that breaks raises after the text that came."""
    busy.script(GOOD, cut("content", text="The sky is"))
    text = ""
    with pytest.raises(openai.APIError, match="broke after 10 characters"):  # noqa: PT012 - the break comes in the loop
        for chunk in client.chat.completions.create(model="auto", messages=QUESTION, stream=True):
            text += chunk.choices[0].delta.content or ""
    assert text == "The sky is"


def test_openai_leaves(busy: Simulator) -> None:
    """A client that closes its stream closes the one upstream."""
    busy.script(GOOD, answer("one two three", gate=Gate(), role_first=False))
    with chain_at(busy, GOOD) as chain, serving(Gateway(chain)) as served:
        with openai.OpenAI(base_url=served.url, api_key="any") as client:
            with client.chat.completions.create(model=GOOD, messages=QUESTION, stream=True) as stream:
                assert next(iter(stream)).choices[0].delta.content == "one "
            assert busy.wait_idle(PATIENCE)


# -- LangChain --


@pytest.fixture
def langchain(served: Served) -> ChatOpenAI:
    """LangChain's model of OpenAI's chats, as it comes."""
    secret: Any = TOKEN
    return ChatOpenAI(base_url=served.url, api_key=secret, model="orfallback")


def test_langchain_whole(langchain: ChatOpenAI) -> None:
    """A whole answer of the second model."""
    reply = langchain.invoke("Why is the sky blue?")
    assert reply.content == HELLO
    assert reply.response_metadata["model_name"] == GOOD


def test_langchain_stream(langchain: ChatOpenAI) -> None:
    """A stream of the second model, in pieces."""
    pieces = [piece.content for piece in langchain.stream("Why is the sky blue?")]
    assert "".join(str(piece) for piece in pieces) == HELLO
    assert len([piece for piece in pieces if piece]) > 1


def test_langchain_tools(langchain: ChatOpenAI, busy: Simulator) -> None:
    """Calls of tools, in both modes."""
    busy.script(GOOD, CALLING)
    bound = langchain.bind_tools([TOOL])
    (call,) = bound.invoke("Weather?").tool_calls
    assert (call["id"], call["name"], call["args"]) == ("call_1", "weather", {"city": "Oslo"})
    pieces: Iterator[Any] = bound.stream("Weather?")
    whole: AIMessageChunk = next(pieces)
    for piece in pieces:
        whole += piece
    assert [(call["id"], call["name"], call["args"]) for call in whole.tool_calls] == [
        ("call_1", "weather", {"city": "Oslo"})
    ]


# -- curl --

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here; CI installs it")


def curl(served: Served, *options: str, **fields: Any) -> list[str]:
    """Return the command that asks with curl."""
    body = json.dumps({"messages": QUESTION, **fields})
    url = f"{served.url}/chat/completions"
    headers = ("-H", "Content-Type: application/json", "-H", f"Authorization: Bearer {TOKEN}")
    return ["curl", "-sS", "-N", "--max-time", str(PATIENCE), *headers, *options, "-d", body, url]


@needs_curl
def test_curl(served: Served, busy: Simulator) -> None:
    """``curl -N`` in both modes, tool calls included."""
    whole = json.loads(subprocess.check_output(curl(served)))
    assert whole["choices"][0]["message"]["content"] == HELLO
    assert text_of(events_in(subprocess.check_output(curl(served, stream=True), text=True))) == HELLO
    busy.script(GOOD, CALLING)
    whole = json.loads(subprocess.check_output(curl(served, tools=[TOOL])))
    assert whole["choices"][0]["message"]["tool_calls"] == [TOOL_CALL]
    streamed = subprocess.check_output(curl(served, stream=True, tools=[TOOL]), text=True)
    assert '"name":"weather"' in streamed
    assert streamed.endswith("data: [DONE]\n\n")


@needs_curl
def test_curl_shows_each_event_as_it_comes(served: Served, busy: Simulator) -> None:
    """curl has written an event before the model is let to say the next one."""
    gate = Gate()
    busy.script(GOOD, answer("one two three", gate=gate, role_first=False))
    with subprocess.Popen(curl(served, stream=True), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for word in ("one ", "two ", "three"):
            line = process.stdout.readline()
            assert json.loads(line.removeprefix("data: "))["choices"][0]["delta"]["content"] == word
            assert process.stdout.readline() == "\n"
            gate.open()
        gate.open(5)
        assert process.stdout.read().endswith("data: [DONE]\n\n")
        assert process.wait(PATIENCE) == 0


@needs_curl
def test_curl_sends_a_large_body(served: Served) -> None:
    """A body for which curl waits to be told to go on (``Expect: 100-continue``)."""
    fields = {"messages": [{"role": "user", "content": "x" * 2_000_000}]}
    body = json.dumps(fields)
    options = curl(served)
    options[options.index("-d") :] = ["--data-binary", "@-", f"{served.url}/chat/completions"]
    done = subprocess.run(options, input=body, stdout=subprocess.PIPE, text=True, check=True)
    assert json.loads(done.stdout)["model"] == GOOD


@needs_curl
def test_ctrl_c_in_curl(busy: Simulator) -> None:
    """Ctrl-C in curl ends the answer upstream."""
    busy.script(GOOD, answer("one two three", gate=Gate(), role_first=False))
    with chain_at(busy, GOOD) as chain, serving(Gateway(chain)) as served:
        with subprocess.Popen(curl(served, stream=True), stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline()
            process.terminate()
        assert busy.wait_idle(PATIENCE)
