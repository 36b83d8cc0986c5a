"""The Flask chat of the documentation, over real sockets: REST, SSE and WebSocket before it, a simulator behind it."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import flask_chat
import pytest
import requests
from flask_chat import storage
from flask_chat.characters import CHARACTERS
from flask_chat.prompts import prompt
from flask_chat.storage import Message, Store
from flask_chats import Json, Served, chain_at, eventually, held, serving, tokens
from gateways import BUSY, GOOD, KEY, PATIENCE, PROMPT
from simple_websocket import ConnectionClosed

from orfallback.testing import Gate, Recorder, Simulator, answer, cut, silence, status

HELLO = "Hello from the simulator."
TEACHER = CHARACTERS["teacher"].prompt
WAYS = pytest.mark.parametrize("way", ["rest", "sse", "socket"])
STREAMS = pytest.mark.parametrize("way", ["sse", "socket"])


@pytest.fixture
def chat(sim: Simulator, tmp_path: Path) -> Iterator[Served]:
    """A chat whose first model is busy."""
    sim.script(BUSY, status(502))
    with chain_at(sim) as chain, serving(chain, tmp_path) as served:
        yield served


def told(chat: Served, way: str, conversation: str, asked: Json) -> list[Json]:
    """Ask, and return the frames of a stream; of the whole answer the one that would be the last."""
    if way == "rest":
        path = "regenerate" if asked.get("regenerate") else "messages"
        reply = chat.post(f"{conversation}/{path}", asked)
        assert reply.status_code == 200, reply.text
        return [{"type": "end", **reply.json()}]
    if way == "sse":
        with chat.streaming(conversation, asked) as events:
            return list(events)
    with chat.line(conversation) as line:
        line.send(asked)
        return line.rest()


def sent(sim: Simulator) -> list[Json]:
    """Return the messages that a model was sent last."""
    messages: list[Json] = sim.requests[-1].body["messages"]
    return messages


# -- answers --


@WAYS
def test_an_answer_while_the_first_model_is_busy(way: str, chat: Served, sim: Simulator) -> None:
    """The second model answers in the character's voice, and it is stored who served and who was busy."""
    conversation = chat.begin()
    message = told(chat, way, conversation, {"text": PROMPT})[-1]["message"]
    assert (message["text"], message["state"], message["model"]) == (HELLO, "complete", GOOD)
    assert [(each["model"], each["reason"]) for each in message["attempts"]] == [(BUSY, "busy"), (GOOD, None)]
    assert sent(sim) == [{"role": "system", "content": TEACHER}, {"role": "user", "content": PROMPT}]
    question, stored = chat.messages(conversation)
    assert (question["role"], question["text"]) == ("user", PROMPT)
    assert stored == message


@STREAMS
def test_what_a_stream_tells(way: str, chat: Served) -> None:
    """A notice of the fallback, who begins, the text, and one end."""
    frames = told(chat, way, chat.begin(), {"text": PROMPT})
    assert frames[0]["text"] == "busy is busy, asking good…"
    assert (frames[0]["model"], frames[0]["reason"], frames[0]["next"]) == (BUSY, "busy", GOOD)
    assert frames[1]["model"] == GOOD
    assert tokens(frames) == HELLO
    kinds = [frame["type"] for frame in frames]
    assert kinds == ["notice", "begin", *["token"] * (len(frames) - 3), "end"]


def test_a_websocket_client_gets_tokens_as_they_come(chat: Served, sim: Simulator) -> None:
    """The notice is told before the next model answers, each token before the model is let to say the next one."""
    first, gate = Gate(), Gate()
    sim.script(GOOD, held(first, answer(pieces=["one ", "two ", "three"], gate=gate, role_first=False)))
    with chat.line(chat.begin()) as line:
        line.send({"text": "Count."})
        assert line.next()["type"] == "notice"
        first.open()
        assert line.next()["type"] == "begin"
        for word in ("one ", "two ", "three"):
            assert line.next()["text"] == word
            gate.open()
        gate.open(3)
        assert [frame["type"] for frame in line.rest()] == ["end"]


def test_the_events_of_sse_leave_one_by_one(chat: Served, sim: Simulator) -> None:
    """Each token is with the client before the model is let to say the next one."""
    gate = Gate()
    sim.script(GOOD, answer(pieces=["one ", "two"], gate=gate, role_first=False))
    with chat.streaming(chat.begin(), {"text": "Count."}) as events:
        assert [next(events)["type"] for _ in range(2)] == ["notice", "begin"]
        for word in ("one ", "two"):
            assert next(events)["text"] == word
            gate.open()
        gate.open(3)
        assert [event["type"] for event in events] == ["end"]


def test_a_conversation_goes_on(chat: Served, sim: Simulator) -> None:
    """A model is sent what was said before, over the same WebSocket or another way."""
    conversation = chat.begin()
    with chat.line(conversation) as line:
        for text in ("first", "second"):
            line.send({"text": text})
            assert line.rest()[-1]["type"] == "end"
    told(chat, "rest", conversation, {"text": "third"})
    assert [each["content"] for each in sent(sim)[1:]] == ["first", HELLO, "second", HELLO, "third"]
    (listed,) = chat.get("conversations")
    assert (listed["title"], listed["character"]) == ("first", "teacher")


class _LastResort:
    def orfallback_exhausted(self) -> str:
        return "Nobody is here now."


@WAYS
def test_a_last_resort_is_stored_as_one(way: str, sim: Simulator, tmp_path: Path) -> None:
    """What a plugin says when no model answers is shown as degraded, and no model is told that it had said it."""
    sim.default(status(503))
    with chain_at(sim, plugins=[_LastResort()]) as chain, serving(chain, tmp_path) as chat:
        conversation = chat.begin()
        message = told(chat, way, conversation, {"text": "first"})[-1]["message"]
        assert (message["text"], message["state"], message["model"]) == ("Nobody is here now.", "degraded", "")
        sim.default(answer())
        told(chat, way, conversation, {"text": "second"})
    assert sent(sim)[1:] == [{"role": "user", "content": "first\n\nsecond"}]


# -- answers that break --


@STREAMS
def test_a_break_is_told_and_stored_as_one(way: str, chat: Served, sim: Simulator) -> None:
    """An answer that breaks off has no end, is stored as broken, and the next model is told that it was cut off."""
    sim.script(GOOD, cut("content", text="The sky is b"), answer())
    conversation = chat.begin()
    *frames, last = told(chat, way, conversation, {"text": "Why?"})
    assert tokens(frames) == "The sky is b"
    assert last["type"] == "broken"
    assert not any(frame["type"] == "end" for frame in frames)
    stored = chat.messages(conversation)[-1]
    assert stored == last["message"]
    assert (stored["text"], stored["state"], stored["model"]) == ("The sky is b", "broken", GOOD)
    assert [each["reason"] for each in stored["attempts"]] == ["busy", "truncated"]
    told(chat, way, conversation, {"text": "Go on."})
    system, *turns = sent(sim)
    assert [each["content"] for each in turns] == ["Why?", "The sky is b […]", "Go on."]
    assert "was cut off" in system["content"]


def test_a_whole_answer_falls_back_where_a_model_breaks_off(chat: Served, sim: Simulator) -> None:
    """Over REST nobody has seen the first half, so that another model answers."""
    sim.script(BUSY, cut("json"))
    (frame,) = told(chat, "rest", chat.begin(), {"text": "Why?"})
    assert (frame["message"]["state"], frame["message"]["text"]) == ("complete", HELLO)


@pytest.mark.parametrize("way", ["rest", "sse"])
def test_nobody_answers(way: str, chat: Served, sim: Simulator) -> None:
    """It is a 503 that says when to try again, and stored as an answer that nobody gave."""
    sim.script(GOOD, status(503, headers={"Retry-After": "7"}))
    conversation = chat.begin()
    reply = chat.post(f"{conversation}/{'messages' if way == 'rest' else 'stream'}", {"text": PROMPT})
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "7")
    said = reply.json()["error"]["message"]
    assert said == "No model answered: busy was busy, good was busy. Try again in 7 s."
    question, failed = chat.messages(conversation)
    assert question["text"] == PROMPT
    assert (failed["state"], failed["text"], len(failed["attempts"])) == ("failed", "", 2)


def test_nobody_answers_a_websocket(chat: Served, sim: Simulator) -> None:
    """It is one frame with the status that it would have had, and the question can be asked again."""
    sim.script(GOOD, status(503), answer())
    conversation = chat.begin()
    with chat.line(conversation) as line:
        line.send({"text": PROMPT})
        last = line.rest()[-1]
        assert (last["type"], last["status"], last["retry_after"]) == ("error", 503, 30)
        assert last["message"]["state"] == "failed"
        line.send({"regenerate": True})
        assert line.rest()[-1]["type"] == "end"
    assert [each["state"] for each in chat.messages(conversation)] == ["complete", "complete"]


@WAYS
def test_what_a_service_says_of_a_failure_is_not_told(
    way: str, chat: Served, sim: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A service that does not take the key is a 502, and its words are neither told nor stored."""
    caplog.set_level(logging.DEBUG)
    sim.default(status(401, message=f"SERVICEWORDS {PROMPT} {KEY}"))
    sim.script(BUSY, status(401, message=f"SERVICEWORDS {PROMPT} {KEY}"))
    conversation = chat.begin()
    if way == "socket":
        with chat.line(conversation) as line:
            line.send({"text": "Hi"})
            last = line.rest()[-1]
        assert last["status"] == 502
        said = json.dumps(last)
    else:
        reply = chat.post(f"{conversation}/{'messages' if way == 'rest' else 'stream'}", {"text": "Hi"})
        assert reply.status_code == 502
        assert "Retry-After" not in reply.headers
        said = reply.text
    said += json.dumps(chat.get(conversation))
    # SQLite takes its journal away when the last one closes the file: this one keeps it open.
    with closing(sqlite3.connect(tmp_path / "chat.sqlite3")) as opened:
        opened.execute("SELECT count(*) FROM sqlite_master")
        said += b"".join(path.read_bytes() for path in tmp_path.iterdir()).decode("latin-1")
    for secret in ("SERVICEWORDS", PROMPT, KEY):
        assert secret not in said
    assert KEY not in caplog.text


# -- clients that leave, and Stop --


@STREAMS
def test_a_client_that_leaves_while_the_model_is_silent(way: str, chat: Served, sim: Simulator) -> None:
    """The connection to the model is closed, and what came is stored as stopped."""
    sim.script(GOOD, silence("end", text="Well, "))
    conversation = chat.begin()
    if way == "sse":
        with chat.streaming(conversation, {"text": "Why?"}) as events:
            assert [next(events)["type"] for _ in range(3)] == ["notice", "begin", "token"]
    else:
        with chat.line(conversation) as line:
            line.send({"text": "Why?"})
            assert [line.next()["type"] for _ in range(3)] == ["notice", "begin", "token"]
    eventually(lambda: sim.left_early)
    message = chat.settled(conversation)[-1]
    assert (message["state"], message["model"]) == ("stopped", GOOD)
    assert "Well, ".startswith(message["text"])
    assert message["text"]


@STREAMS
def test_a_client_that_leaves_before_the_model_has_begun(way: str, sim: Simulator, tmp_path: Path) -> None:
    """The answer is stored as stopped at once, and no further model is asked for it."""
    gate, recorder = Gate(), Recorder()
    sim.script(BUSY, held(gate, status(502)))
    with chain_at(sim, plugins=[recorder]) as chain, serving(chain, tmp_path) as chat:
        conversation = chat.begin()
        if way == "sse":
            with chat.asking(f"{conversation}/stream", {"text": "Why?"}):
                eventually(lambda: sim.models_asked)
        else:
            with chat.line(conversation) as line:
                line.send({"text": "Why?"})
                eventually(lambda: sim.models_asked)
        assert chat.settled(conversation)[-1]["state"] == "stopped"
        assert "attempt_finished" not in recorder.hooks
        gate.open()
        eventually(lambda: "call_finished" in recorder.hooks)
    assert sim.models_asked == [BUSY]


def test_stop(chat: Served, sim: Simulator) -> None:
    """What came is kept, the connection to the model is closed, and the conversation goes on at once."""
    sim.script(GOOD, silence("end", text="Well, "), answer())
    conversation = chat.begin()
    with chat.line(conversation) as line:
        line.send({"text": "Why?"})
        for _ in range(3):
            line.next()
        line.send({"type": "stop"})
        last = line.rest()[-1]
        assert (last["type"], last["message"]["state"]) == ("stopped", "stopped")
        eventually(lambda: sim.left_early)
        # With nothing to stop it does nothing.
        line.send({"type": "stop"})
        line.send({"text": "Go on."})
        assert line.rest()[-1]["type"] == "end"
    assert "Well" in sent(sim)[2]["content"]
    assert sent(sim)[2]["content"].endswith("[…]")


def test_stop_before_a_model_has_begun(chat: Served, sim: Simulator) -> None:
    """It is told at once, however long the model thinks, and the question is answered together with the next one."""
    gate = Gate()
    sim.script(GOOD, held(gate), answer())
    conversation = chat.begin()
    with chat.line(conversation) as line:
        line.send({"text": "Why?"})
        assert line.next()["type"] == "notice"
        line.send({"type": "stop"})
        last = line.next()
        assert (last["type"], last["message"]["text"]) == ("stopped", "")
        assert [each["model"] for each in last["message"]["attempts"]] == [BUSY]
        line.send({"text": "Hello?"})
        assert line.rest()[-1]["type"] == "end"
        gate.open()
    assert sent(sim)[1:] == [{"role": "user", "content": "Why?\n\nHello?"}]
    assert [each["state"] for each in chat.messages(conversation)] == ["complete", "stopped", "complete", "complete"]


# -- again --


@WAYS
def test_regenerate_replaces_the_last_answer(way: str, chat: Served, sim: Simulator) -> None:
    """The question is answered anew, without the answer that is replaced."""
    sim.script(GOOD, answer("first"), answer("second"))
    conversation = chat.begin()
    told(chat, way, conversation, {"text": "Why?"})
    told(chat, way, conversation, {"regenerate": True})
    assert [each["content"] for each in sent(sim)[1:]] == ["Why?"]
    assert [each["text"] for each in chat.messages(conversation)] == ["Why?", "second"]


@pytest.mark.parametrize("worse", [cut("content", text="Half"), status(503)], ids=["broken", "failed"])
def test_a_whole_answer_is_not_lost_to_one_that_fails(worse: Any, chat: Served, sim: Simulator) -> None:
    """An answer that breaks, or never begins, does not replace a whole one."""
    sim.script(GOOD, answer("first"), worse)
    conversation = chat.begin()
    told(chat, "rest", conversation, {"text": "Why?"})
    with chat.line(conversation) as line:
        line.send({"regenerate": True})
        message = line.rest()[-1]["message"]
    assert message["state"] in ("broken", "failed")
    assert not message["shown"]
    assert [each["text"] for each in chat.messages(conversation)] == ["Why?", "first"]


def test_a_broken_answer_is_replaced_by_a_broken_one(chat: Served, sim: Simulator) -> None:
    """The later of two halves is shown."""
    sim.script(GOOD, cut("content", text="One"), cut("content", text="Two"))
    conversation = chat.begin()
    told(chat, "socket", conversation, {"text": "Why?"})
    told(chat, "socket", conversation, {"regenerate": True})
    assert [(each["text"], each["state"]) for each in chat.messages(conversation)][1:] == [("Two", "broken")]


@pytest.mark.parametrize("way", ["rest", "sse"])
def test_nothing_to_regenerate(way: str, chat: Served) -> None:
    """A conversation without a question is a 409."""
    path = "regenerate" if way == "rest" else "stream"
    assert chat.post(f"{chat.begin()}/{path}", {"regenerate": True}).status_code == 409


# -- several at once --


def test_one_answer_at_a_time(chat: Served, sim: Simulator) -> None:
    """While an answer is written, further messages are a 409 and leave no trace; other conversations go on."""
    gate = Gate()
    sim.script(GOOD, held(gate), answer())
    conversation = chat.begin()
    with chat.line(conversation) as line, chat.line(conversation) as other:
        line.send({"text": "first"})
        assert line.next()["type"] == "notice"
        for path in ("messages", "stream", "regenerate"):
            reply = chat.post(f"{conversation}/{path}", {"text": "second"})
            assert (path, reply.status_code) == (path, 409)
        other.send({"text": "second"})
        refused = other.next()
        assert (refused["type"], refused["status"], refused["answer"]) == ("error", 409, None)
        assert told(chat, "rest", chat.begin(), {"text": "elsewhere"})
        gate.open()
        assert line.rest()[-1]["type"] == "end"
    assert [each["text"] for each in chat.messages(conversation)] == ["first", HELLO]


def test_many_messages_in_one_moment(chat: Served, sim: Simulator) -> None:
    """Of messages sent at once one is answered, all others are refused, and the conversation is whole."""
    gate = Gate()
    sim.script(GOOD, held(gate))
    conversation = chat.begin()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(chat.post, f"{conversation}/messages", {"text": f"{n}"}) for n in range(8)]
        eventually(lambda: sum(each.done() for each in asked) == 7)
        gate.open()
    assert sorted(each.result().status_code for each in asked) == [200, *[409] * 7]
    assert [each["role"] for each in chat.messages(conversation)] == ["user", "assistant"]


def test_a_process_that_died_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that nobody writes any more is broken after a while, and the conversation goes on."""
    store = Store(tmp_path / "chat.sqlite3")
    conversation = store.create("teacher")
    dead = store.ask(conversation, "first")
    later = time.time() + storage._LEASE + 1
    monkeypatch.setattr("time.time", lambda: later)
    store.ask(conversation, "second")
    assert [each.state for each in store.read(conversation).messages] == ["complete", "broken", "complete", "writing"]
    assert not store.finish(dead.answer, "complete", "It lived after all.")


# -- who may ask, and what --


def test_pages_of_other_sites_are_refused(chat: Served) -> None:
    """A WebSocket or a request that a page of another site opens is a 403; one of the chat's own page is not."""
    conversation = chat.begin()
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "eA==",
    }
    for origin in ("https://evil.example", f"{chat.url}.evil.example", "null"):
        url = f"{chat.url}/api/{conversation}/socket"
        assert requests.get(url, headers={"Origin": origin, **upgrade}, timeout=PATIENCE).status_code == 403
        reply = chat.post("conversations", {"character": "teacher"}, headers={"Origin": origin})
        assert reply.status_code == 403
    # The host that this client names has no port.
    with chat.line(conversation, "http://127.0.0.1") as line:
        line.send({"text": "Hi"})
        assert line.rest()[-1]["type"] == "end"
    assert chat.post(f"{conversation}/messages", {"text": "Hi"}, headers={"Origin": chat.url}).ok


def test_another_host_name_is_refused(chat: Served) -> None:
    """A name that is turned to this machine's address reads nothing."""
    reply = requests.get(f"{chat.url}/api/conversations", headers={"Host": "evil.example"}, timeout=PATIENCE)
    assert reply.status_code == 400


def test_messages_have_a_largest_size(chat: Served, sim: Simulator) -> None:
    """A message that is too long is a 413, and what is larger than any message is not read."""
    conversation = chat.begin()
    for size in (8_001, 200_000):
        assert chat.post(f"{conversation}/messages", {"text": "x" * size}).status_code == 413
    with chat.line(conversation) as line:
        line.send({"text": "x" * 8_001})
        assert line.next()["status"] == 413
        line.send({"text": "x" * 200_000})
        with pytest.raises(ConnectionClosed) as closed:
            line.next()
    assert closed.value.reason == 1009
    assert chat.messages(conversation) == []
    assert chat.post(f"{conversation}/messages", {"text": "\N{GRINNING FACE}" * 8_000}).ok
    assert sim.models_asked == [BUSY, GOOD]


@pytest.mark.parametrize(
    "raw",
    ["", "nonsense", "[]", "[" * 50_000, '{"text": " "}', '{"text": 7}', '{"text": "\\ud800"}'],
    ids=["nothing", "no JSON", "no object", "deep", "blank", "number", "half a character"],
)
def test_what_is_no_message(raw: str, chat: Served, sim: Simulator) -> None:
    """It is a 400 over REST and SSE, and an error over WebSocket, which goes on."""
    conversation = chat.begin()
    headers = {"Content-Type": "application/json"}
    for path in ("messages", "stream"):
        url = f"{chat.url}/api/{conversation}/{path}"
        assert requests.post(url, data=raw, headers=headers, timeout=PATIENCE).status_code == 400
    with chat.line(conversation) as line:
        line.send(raw)
        assert line.next()["status"] == 400
        line.send({"text": "Hi"})
        assert line.rest()[-1]["type"] == "end"
    assert len(sim.models_asked) == 2


def test_what_is_not_there(chat: Served) -> None:
    """A conversation that does not exist is a 404, a character that does not is a 400, a form is a 415."""
    assert requests.get(f"{chat.url}/api/conversations/none", timeout=PATIENCE).status_code == 404
    assert chat.post("conversations/none/messages", {"text": "Hi"}).status_code == 404
    with chat.line("conversations/none") as line:
        line.send({"text": "Hi"})
        assert line.next()["status"] == 404
    for character in ("nobody", None, ["teacher"]):
        assert chat.post("conversations", {"character": character}).status_code == 400
    form = requests.post(f"{chat.url}/api/conversations", data={"character": "teacher"}, timeout=PATIENCE)
    assert form.status_code == 415


def test_the_headers_of_a_page(chat: Served) -> None:
    """Scripts, styles and connections of its own alone, for the page and the API."""
    for path in ("/", "/c/any", "/api/characters", "/nowhere"):
        headers = requests.get(f"{chat.url}{path}", timeout=PATIENCE).headers
        assert "default-src 'none'; script-src 'self'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"


# -- prompts --


def said(role: str, text: str, state: storage.State = "complete") -> Message:
    """Return a message of a conversation."""
    return Message(0, role, text, state, "", [], True)


def test_a_prompt_takes_turns() -> None:
    """Questions without an answer are joined, and the oldest messages are left out from a question on."""
    history = [said("user", "1"), said("assistant", "", "failed"), said("user", "2"), said("assistant", "two")]
    assert [each["content"] for each in prompt(CHARACTERS["teacher"], history)] == [TEACHER, "1\n\n2", "two"]
    long = [said(role, f"{role} {n}") for n in range(40) for role in ("user", "assistant")]
    roles = [each["role"] for each in prompt(CHARACTERS["teacher"], [*long, said("user", "last")])]
    assert roles == ["system", *["user", "assistant"] * 19, "user"]


# -- as people start it --


def _started(*command: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    root = Path(flask_chat.__file__).parent.parent
    paths = os.pathsep.join(filter(None, [str(root), *sys.path]))
    variables = {"CHAT_DATABASE": str(folder / "chat.sqlite3"), "PYTHONPATH": paths}
    return subprocess.Popen(
        [sys.executable, "-u", "-m", *command],
        cwd=root,
        env={"PATH": "/usr/bin:/bin", **variables, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_without_a_key_a_simulator_answers(tmp_path: Path) -> None:
    """``python -m flask_chat`` says where it is, and shows a fallback, with no key."""
    with _started("flask_chat", "--port", "0", folder=tmp_path) as process:
        try:
            assert process.stdout is not None
            chat = Served(process.stdout.readline().strip().removeprefix("Chat at ").rstrip("/"))
            assert "a simulator answers" in process.stdout.readline()
            message = told(chat, "rest", chat.begin(), {"text": "Hi"})[-1]["message"]
        finally:
            process.terminate()
    assert message["attempts"][0]["said"] == "mistral-nemo was busy"
    assert message["state"] == "complete"


def test_under_gunicorn(sim: Simulator, tmp_path: Path) -> None:
    """With threads it serves both kinds of streams, and notices clients that leave a silent model."""
    sim.default(silence("end", text="Well, "))
    where = ("--bind", "127.0.0.1:0", "--worker-class", "gthread", "--threads", "8", "flask_chat:create_app()")
    key = {"OPENROUTER_API_KEY": KEY, "OPENROUTER_BASE_URL": sim.base_url}
    log = ""
    with _started("gunicorn", *where, folder=tmp_path, **key) as process:
        assert process.stdout is not None
        try:
            while "Listening at: " not in log:
                log += process.stdout.readline()
            chat = Served(log.partition("Listening at: ")[2].partition(" ")[0])
            conversation = chat.begin()
            with chat.streaming(conversation, {"text": "Why?"}) as events:
                assert [next(events)["type"] for _ in range(2)] == ["begin", "token"]
            eventually(lambda: len(sim.left_early) == 1)
            assert chat.settled(conversation)[-1]["state"] == "stopped"
            with chat.line(conversation) as line:
                line.send({"text": "Why?"})
                assert [line.next()["type"] for _ in range(2)] == ["begin", "token"]
            eventually(lambda: len(sim.left_early) == 2)
            assert chat.settled(conversation)[-1]["state"] == "stopped"
        finally:
            process.terminate()
            log += process.stdout.read()
    assert KEY not in log
    assert "Traceback" not in log
