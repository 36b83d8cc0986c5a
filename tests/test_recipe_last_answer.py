"""The example of a last resort, and that what it gives is marked degraded wherever it comes out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from gateways import MESSAGES, serving
from recipes import load
from test_engine import BUSY, A, B, World

from conftest import KEY, Commands
from orfallback import Chain, ChainExhausted, FallbackAdapter, LoggingPlugin
from orfallback.testing import FakeClock, Recorder, Simulator, answer, cut, status
from orfallback.wsgi import Gateway

BLUE = "Sunlight is scattered by the air."


@pytest.fixture
def last() -> Any:
    """The example's plugin."""
    return load("last_answer.py").LastAnswer(most=3)


@pytest.fixture
def chain(last: Any, sim: Simulator, clock: FakeClock) -> Iterator[Chain]:
    """A chain with it, that has answered before, and whose models are all busy now."""
    with Chain(["a/a", "b/b"], api_key=KEY, base_url=sim.base_url, clock=clock, plugins=[last]) as chain:
        sim.default(answer(BLUE))
        chain.complete(MESSAGES)
        sim.default(status(503))
        yield chain


def test_the_same_question_gets_the_answer_it_had(chain: Chain) -> None:
    """When no model answers, a question that was answered before gets that answer, whole or streamed."""
    whole, stream = chain.complete(MESSAGES), chain.stream(MESSAGES)
    assert (whole.text, stream.read().text) == (BLUE, BLUE)
    assert [attempt.model for attempt in whole.attempts] == ["a/a", "b/b"]


@pytest.mark.parametrize("changes", [{"messages": "Hello"}, {"temperature": 0.5}], ids=["messages", "parameters"])
def test_another_question_gets_none(changes: dict[str, Any], chain: Chain) -> None:
    """A question that differs in anything that is sent ends with its error."""
    with pytest.raises(ChainExhausted):
        chain.complete(**{"messages": MESSAGES, **changes})


def test_only_whole_texts_are_kept(last: Any, chain: Chain, sim: Simulator) -> None:
    """What was cut off, refused or a tool's call is no answer to be given again; nor is what a model failed with."""
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    behaviours = (answer("No", finish_reason="length"), answer("", tool_calls=[call]), status(404), cut("body"))
    for number, behaviour in enumerate(behaviours):
        sim.default(behaviour)
        try:
            chain.complete(f"Question {number}")
        except ChainExhausted:
            pass
    assert list(last._answers.values()) == [BLUE]


def test_the_last_few_are_kept(last: Any, chain: Chain, sim: Simulator) -> None:
    """So many answers are kept as it was told, the newest to each question."""
    for number in range(5):
        sim.default(answer(f"Answer {number}"))
        chain.complete(f"Question {number % 4}")
    assert list(last._answers.values()) == ["Answer 2", "Answer 3", "Answer 4"]


def test_an_application_can_keep_what_it_streamed(last: Any, chain: Chain, sim: Simulator) -> None:
    """What was read of a stream can be kept by hand; by itself it is not."""
    question = [{"role": "user", "content": "And the sea?"}]
    sim.default(answer("It mirrors the sky."))
    text = chain.stream(question).read().text
    sim.default(status(503))
    with pytest.raises(ChainExhausted):
        chain.stream(question)
    last.keep({"messages": question}, text)
    assert chain.stream(question).read().text == text


# -- marked everywhere --


def test_a_completion_is_marked(chain: Chain) -> None:
    """A degraded completion says so, names no model of its own, and its JSON says so, too."""
    completion = chain.complete(MESSAGES)
    assert (completion.degraded, completion.requested_model) == (True, "")
    assert completion.json()["degraded"] is True
    assert repr(completion).startswith("<Completion degraded:")


def test_a_stream_is_marked(chain: Chain) -> None:
    """A degraded stream says so from its beginning, and so do its chunk and what it is read to."""
    stream = chain.stream(MESSAGES)
    assert (stream.degraded, stream.requested_model) == (True, "")
    (chunk,) = stream
    assert chunk["degraded"] is True
    completion = stream.read()
    assert completion.degraded
    assert completion.json()["degraded"] is True


def test_a_whole_reply_of_a_plugin_is_marked_and_left_as_it_is(chain: Chain) -> None:
    """A plugin's reply is handed on with the mark; the plugin's own object is not changed."""
    kept = {"model": "a/a", "choices": [{"message": {"content": "Sorry"}}]}

    class Resort:
        def orfallback_exhausted(self) -> Any:
            return kept

    completion = chain.replace(plugins=[Resort()]).complete(MESSAGES)
    assert completion.json() == {**kept, "degraded": True}
    assert "degraded" not in kept


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_response_of_the_adapter_is_marked(stream: bool, chain: Chain, sim: Simulator) -> None:
    """What an application's own request gets says so in a header, in its body, and on the response."""
    with requests.Session() as session:
        session.mount(sim.base_url, FallbackAdapter(chain))
        body = {"model": "a/a", "messages": MESSAGES, "stream": stream}
        response: Any = session.post(f"{sim.base_url}/chat/completions", json=body, timeout=30)
    assert response.headers["X-Orfallback-Degraded"] == "1"
    assert response.orfallback.degraded
    assert told(response.text)["degraded"] is True
    assert BLUE in response.text


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_reply_of_the_gateway_is_marked(stream: bool, chain: Chain) -> None:
    """What a client of the gateway gets says so in a header and in its body."""
    with serving(Gateway(chain)) as served:
        response = served.ask(stream=stream)
    assert response.headers["X-Orfallback-Degraded"] == "1"
    assert told(response.text)["degraded"] is True
    assert BLUE in response.text


def told(text: str) -> Any:
    """Return the object of a body, or of a stream's first event."""
    return json.loads(text.removeprefix("data: ").splitlines()[0])


class Resort:
    """A plugin with a last resort."""

    def orfallback_exhausted(self) -> str:
        """Answer."""
        return "Sorry."


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_log_tells_of_it(stream: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The log says at WARNING that no model answered and a plugin did, with what was tried, and not what it said."""
    World((A, B), {"a": BUSY, "b": BUSY}, LoggingPlugin(), Resort(), stream=stream).complete()
    (record,) = [record for record in caplog.records if "last resort" in record.getMessage()]
    said = "🩹 No model answered after 2 attempts, a plugin gave its last resort: a: 503 busy; b: 503 busy"
    assert (record.levelname, record.getMessage()) == ("WARNING", said)
    assert (record.model, record.attempt) == ("b", 2)  # type: ignore[attr-defined]  # what the plugin puts there


def test_the_log_tells_of_one_where_nobody_was_asked(caplog: pytest.LogCaptureFixture) -> None:
    """Where the deadline left no time to ask anybody, the log says so."""
    World((A, B), {}, LoggingPlugin(plain=True), Resort(), seconds=0).complete()
    assert caplog.messages[-1] == "No model was asked, a plugin gave its last resort"


def test_the_log_tells_nothing_of_a_stream_that_was_left(caplog: pytest.LogCaptureFixture) -> None:
    """A stream that the application leaves was answered: it is no last resort."""
    caplog.set_level("INFO", "orfallback")
    with Simulator() as sim, Chain("a/a", api_key=KEY, base_url=sim.base_url, plugins=[Recorder()]) as chain:
        with chain.stream("Hi") as stream:
            next(stream)
    assert "last resort" not in caplog.text


@pytest.mark.parametrize("option", ["--no-stream", "--stream", "--json"])
def test_chat_tells_of_it(
    option: str, at: Simulator, command: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the command line the answer is on stdout, and that no model gave it is on stderr, even if quiet."""
    (tmp_path / "last_word.py").write_text("def orfallback_exhausted():\n    return 'Sorry.'\n")
    monkeypatch.syspath_prepend(tmp_path)
    at.default(status(404))
    options = [option] if option != "--stream" else []
    done = command("chat", "--quiet", "--plugin", "last_word", *options, "-m", "a/a", "Hi")
    assert (done.status, "Sorry." in done.out) == (0, True)
    assert "No model answered; this is the last resort of a plugin" in done.err
