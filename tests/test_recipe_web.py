"""Tutorials and recipes for the web: Flask, a browser, gunicorn and nginx."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from browsers import chromium
from flask import Flask
from flask_chats import eventually
from gateways import BUSY, GOOD, KEY, chain_at
from nginxes import nginx
from recipes import DOCS, PATIENCE, RECIPES, load, recipe
from tutorials import program_of
from werkzeug.serving import make_server

from orfallback import Chain, Timeouts
from orfallback.testing import Behaviour, Gate, Received, Simulator, Step, answer, cut, silence, status

QUESTION = {"question": "Why is the CANARYPROMPT blue?"}


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    """Serve an application with Flask's own server."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(PATIENCE)
        server.server_close()


def ask(url: str, path: str, **options: Any) -> requests.Response:
    """Ask a site."""
    return requests.post(f"{url}/{path}", data=QUESTION, timeout=PATIENCE, **options)


def text_of(name: str) -> str:
    """Return a recipe as it is written."""
    return recipe(name).read_text(encoding="utf-8")


def events(text: str) -> list[tuple[str, Any]]:
    """Return the name and the data of each event; comments are none."""
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in text.split("\n\n")[:-1]]
    return [(block["event"], json.loads(block["data"])) for block in blocks if "event" in block]


def said(told: list[tuple[str, Any]]) -> str:
    """Return the text in events."""
    return "".join(data for name, data in told if name == "text")


def held(gate: Gate, then: Behaviour) -> Behaviour:
    """Say nothing at all until a gate is opened."""

    def behave(received: Received) -> Iterator[Step]:
        yield gate
        yield from then(received)

    return behave


@pytest.fixture
def chain(sim: Simulator) -> Iterator[Chain]:
    """A chain that remembers nothing, whose first model is busy."""
    sim.script(BUSY, status(502))
    with chain_at(sim, cooldown=None) as chain:
        yield chain


# -- the tutorials --


@pytest.mark.parametrize(
    ("page", "until"), [("first-chain", "The first test"), ("flask-chat", "In a browser")], ids=["first", "flask"]
)
def test_a_tutorial_prints_what_it_shows(page: str, until: str, tmp_path: Path) -> None:
    """The blocks of a tutorial, put into one file as it says, print what stands beneath them."""
    code, shown = program_of(DOCS / "tutorials" / f"{page}.md", until)
    program = tmp_path / "steps.py"
    program.write_text(code, encoding="utf-8")
    command = [sys.executable, str(program)]
    ran = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=PATIENCE, check=False)
    assert (ran.returncode, "Traceback" in ran.stderr) == (0, False), ran.stderr
    assert [line for line in ran.stdout.splitlines() if line] == [line for line in shown.splitlines() if line]


def test_the_tutorials_chat_is_what_its_steps_made() -> None:
    """The file at the end of the tutorial holds what its last steps say, but for types and docstrings."""
    steps, _ = program_of(DOCS / "tutorials" / "flask-chat.md", "In a browser")
    whole = text_of("tutorial_chat/chat.py")
    for name in ("talk", "events", "event", "nobody_answered"):
        last = re.findall(rf"^def {name}\(.*?(?=^\S)", f"{steps}\n#", re.MULTILINE | re.DOTALL)[-1]
        [kept] = re.findall(rf"^def {name}\(.*?(?=^\S|\Z)", whole, re.MULTILINE | re.DOTALL)
        kept = re.sub(r'^ +""".*"""\n', "", kept, flags=re.MULTILINE)
        kept = re.sub(r"(?<=[(,])(\s*\w+): .+?(?=\)(?: ->|:)|, \w+:)| -> .*(?=:\n)", r"\1", kept)
        assert kept.strip() == last.strip()


# -- in an application that exists --


@pytest.fixture
def flask_answers() -> Any:
    """The recipe for Flask."""
    return load("flask_answers.py")


@pytest.fixture
def site(flask_answers: Any, chain: Chain) -> Iterator[str]:
    """The recipe for Flask, on a socket."""
    with serving(flask_answers.create_app(chain)) as url:
        yield url


def test_a_whole_answer(site: str, sim: Simulator) -> None:
    """While the first model is busy the second one answers."""
    assert ask(site, "answer").json() == {"answer": "Hello from the simulator.", "model": GOOD}
    assert sim.models_asked == [BUSY, GOOD]


def test_a_stream_is_prompt(site: str, sim: Simulator) -> None:
    """The first words are there before the model is let to say the others; the stream ends with ``done``."""
    gate = Gate()
    sim.script(GOOD, answer("one\n\ntwo: 2", gate=gate, role_first=False))
    with ask(site, "stream", stream=True) as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        lines = response.iter_lines(chunk_size=1)
        seen = [next(lines), next(lines)]
        gate.open(10)
        told = events("\n".join(line.decode() for line in [*seen, *lines]) + "\n")
    assert said(told) == "one\n\ntwo: 2"
    assert told[-1] == ("done", "stop")


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
    code: int, again: str | None, upstream: Behaviour, deadline: float, path: str, sim: Simulator, flask_answers: Any
) -> None:
    """In both views the status tells whether asking again helps, and the body neither key nor prompt nor models."""
    sim.default(upstream)
    with chain_at(sim, timeouts=Timeouts(deadline=deadline)) as chain:
        reply = flask_answers.create_app(chain).test_client().post(f"/{path}", data=QUESTION)
    assert (reply.status_code, reply.headers.get("Retry-After")) == (code, again)
    assert list(reply.json) == ["error"]
    assert not any(word in reply.text for word in ("CANARY", GOOD, "401"))


@pytest.mark.parametrize("path", ["answer", "stream"])
@pytest.mark.parametrize("question", ["", " ", "x" * 10_001], ids=["empty", "blank", "long"])
def test_a_wrong_question_asks_nobody(question: str, path: str, site: str, sim: Simulator) -> None:
    """What is no question is a 400, before any model hears of it."""
    assert requests.post(f"{site}/{path}", data={"question": question}, timeout=PATIENCE).status_code == 400
    assert sim.requests == []


def test_a_break_is_told_in_the_stream(site: str, sim: Simulator) -> None:
    """A stream that breaks after its first words ends with ``broken``, and nobody else is asked."""
    sim.script(GOOD, cut("content", text="The sky is"))
    told = events(ask(site, "stream").text)
    assert said(told) == "The sky is"
    assert [name for name, _ in told if name != "text"] == ["broken"]
    assert sim.models_asked == [BUSY, GOOD]


def test_a_visitor_who_leaves_ends_the_answer(site: str, sim: Simulator) -> None:
    """At the model's next words the server notices that the visitor has gone, and the connection upstream is closed."""
    gate = Gate()
    sim.script(GOOD, answer("word " * 50, gate=gate, role_first=False))
    with ask(site, "stream", stream=True) as response:
        assert next(response.iter_lines(chunk_size=1)) == b"event: text"
    gate.open(50)
    assert sim.wait_idle(PATIENCE)
    assert [received.model for received in sim.left_early] == [GOOD]


def test_a_response_that_nobody_reads_ends_the_answer(flask_answers: Any, chain: Chain, sim: Simulator) -> None:
    """A server closes a response of which it has sent nothing, and the connection upstream is closed with it."""
    sim.script(GOOD, answer("one two", gate=Gate(), role_first=False))
    with flask_answers.create_app(chain).test_request_context("/stream", method="POST", data=QUESTION):
        response = flask_answers.stream()
    response.close()
    assert sim.wait_idle(PATIENCE)
    assert [received.model for received in sim.left_early] == [GOOD]


def test_the_chain_of_the_environment(flask_answers: Any, at: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a chain handed in, the environment names models and endpoint; every request has the same connection."""
    monkeypatch.setenv("ORFALLBACK_MODELS", GOOD)
    browser = flask_answers.create_app().test_client()
    assert all(browser.post(path, data=QUESTION).text for path in ("/answer", "/stream", "/answer"))
    assert at.connections == 1


# -- a page in a browser --


@pytest.fixture
def browser_answers() -> Any:
    """The recipe for a page."""
    return load("browser/browser_answers.py")


def test_a_ping_while_a_model_is_waited_for(browser_answers: Any, chain: Chain, sim: Simulator) -> None:
    """A comment comes before the model is let to say its first word, and another before its last."""
    first, rest = Gate(), Gate()
    sim.script(GOOD, held(first, answer("one two", gate=rest, role_first=False)))
    with serving(browser_answers.create_app(chain, every=0.05)) as url, ask(url, "stream", stream=True) as response:
        lines = response.iter_lines(chunk_size=1)
        assert next(lines) == b": ping"
        first.open()
        assert next(line for line in lines if line not in (b": ping", b"")) == b"event: text"
        assert [next(lines), next(lines)] == [b'data: "one "', b""]
        assert next(lines) == b": ping"
        rest.open(10)
        assert [line for line in lines if line.startswith(b"data")] == [b'data: "two"', b'data: "stop"']


@pytest.mark.parametrize(
    ("upstream", "last"),
    [
        (answer("one"), ("done", "stop")),
        (cut("content", text="one"), ("broken", {"retry_after": 30.0})),
        (status(503, headers={"Retry-After": "7"}), ("failed", {"retry_after": 7.0})),
        (status(401), ("failed", {"retry_after": None})),
    ],
    ids=["whole", "broken", "nobody", "rejected"],
)
def test_how_it_ends(upstream: Behaviour, last: Any, browser_answers: Any, chain: Chain, sim: Simulator) -> None:
    """Each stream has one last event that says how it ended."""
    sim.script(GOOD, upstream)
    reply = browser_answers.create_app(chain).test_client().post("/stream", data=QUESTION)
    assert [event for event in events(reply.text) if event[0] != "text"] == [last]


def test_who_leaves_a_silent_model_is_noticed(browser_answers: Any, chain: Chain, sim: Simulator) -> None:
    """The next ping cannot be delivered, and the connection to a model that is silent half way is closed."""
    sim.script(GOOD, silence("end", text="one"))
    with serving(browser_answers.create_app(chain, every=0.05)) as url:
        with ask(url, "stream", stream=True) as response:
            assert next(response.iter_lines(chunk_size=1))
            eventually(lambda: sim.open_connections)
        assert sim.wait_idle(PATIENCE)
    assert [received.model for received in sim.left_early] == [GOOD]


def test_who_leaves_before_the_first_word_is_asked_nobody_else_for(
    browser_answers: Any, chain: Chain, sim: Simulator
) -> None:
    """When the first model fails after the visitor has left, no second one is asked."""
    gate = Gate()
    sim.script(BUSY, held(gate, status(502)))
    closed = threading.Event()
    app = browser_answers.create_app(chain, every=0.05)
    app.after_request(lambda response: response.call_on_close(closed.set) and response)
    with serving(app) as url:
        with ask(url, "stream", stream=True) as response:
            assert next(response.iter_lines(chunk_size=1)) == b": ping"
        assert closed.wait(PATIENCE)
        gate.open()
        eventually(lambda: not asking())
    assert sim.models_asked == [BUSY]


def asking() -> list[threading.Thread]:
    """Return the threads in which the recipe asks."""
    return [thread for thread in threading.enumerate() if "_ask" in thread.name]


def test_who_leaves_as_the_model_begins_is_not_read_to(browser_answers: Any, chain: Chain, sim: Simulator) -> None:
    """A model that says its first word after the visitor has left is hung up on at once."""
    gate = Gate()
    sim.script(GOOD, held(gate, answer("one two", gate=Gate(), role_first=False)))
    closed = threading.Event()
    app = browser_answers.create_app(chain, every=0.05)
    app.after_request(lambda response: response.call_on_close(closed.set) and response)
    with serving(app) as url:
        with ask(url, "stream", stream=True) as response:
            assert next(response.iter_lines(chunk_size=1)) == b": ping"
        assert closed.wait(PATIENCE)
        gate.open()
        assert sim.wait_idle(PATIENCE)
    assert [received.model for received in sim.left_early] == [GOOD]


class Page:
    """A page in a browser.

    :ivar driver: the browser.
    """

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def text(self, selector: str) -> str:
        """Return what an element shows."""
        shown: str = self.driver.find_element("css selector", selector).text
        return shown

    def click(self, selector: str) -> None:
        """Click on an element."""
        self.driver.find_element("css selector", selector).click()

    def shows(self, selector: str, text: str) -> None:
        """Wait until an element shows exactly this."""
        eventually(lambda: self.text(selector) == text)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A browser."""
    with chromium(tmp_path_factory.mktemp("browser")) as driver:
        yield Page(driver)


def test_the_page(page: Page, browser_answers: Any, chain: Chain, sim: Simulator) -> None:
    """The page shows words as they come, text as text, how it ended, and Stop ends the model's work."""
    gate = Gate()
    sim.script(GOOD, answer("one <b>two</b> three", gate=gate, role_first=False))
    with serving(browser_answers.create_app(chain, every=0.05)) as url:
        assert requests.get(url, timeout=PATIENCE).text == text_of("browser/browser_answers.html")
        page.driver.get(url)
        page.click("button")
        page.shows("#answer", "one")
        assert page.text("#state") == "text"
        gate.open(10)
        page.shows("#state", "done")
        assert page.text("#answer") == "one <b>two</b> three"

        sim.script(GOOD, cut("content", text="The sky is"))
        page.click("button")
        page.shows("#state", "broken")
        assert page.text("#answer") == "The sky is"

        sim.script(GOOD, status(503))
        page.click("button")
        page.shows("#state", "failed")

        sim.script(GOOD, silence("end", text="one"))
        page.click("button")
        page.shows("#answer", "one")
        before = len(sim.left_early)
        page.click("#stop")
        page.shows("#state", "stopped")
        eventually(lambda: len(sim.left_early) == before + 1)


def test_a_server_that_dies_is_no_end_of_an_answer(page: Page, browser_answers: Any, sim: Simulator) -> None:
    """Where the connection ends without a last event the page says that the answer is broken."""
    app = browser_answers.create_app(chain_at(sim))
    half = 'event: text\ndata: "half"\n\n'
    app.view_functions["stream"] = lambda: app.response_class(half, mimetype="text/event-stream")
    with serving(app) as url:
        page.driver.get(url)
        page.click("button")
        page.shows("#state", "broken")
        assert page.text("#answer") == "half"


def test_event_source(page: Page, browser_answers: Any, chain: Chain, sim: Simulator) -> None:
    """The EventSource of the page asks once, however its answer ends."""
    text = (DOCS / "how-to" / "stream-to-a-browser.md").read_text(encoding="utf-8")
    [script] = re.findall(r"^```js\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    script = script.replace("const source", "window.source")
    with serving(browser_answers.create_app(chain)) as url:
        page.driver.get(url)
        for upstream, shown, end in (
            (answer("Hi there"), "Hi there", "done"),
            (cut("content", text="Half"), "Half", "broken"),
            (status(401), "", "failed"),
        ):
            sim.script(GOOD, upstream)
            asked = len(sim.requests)
            page.driver.execute_script("document.querySelector('#answer').textContent = '';" + script)
            page.shows("#answer", shown)
            page.shows("#state", end)
            # EventSource waits for three seconds before it asks again; it says so at once.
            assert page.driver.execute_script("return window.source.readyState") == 2
            assert len(sim.requests) == asked + 2


def test_an_event_source_that_is_left_alone(page: Page, browser_answers: Any, chain: Chain, sim: Simulator) -> None:
    """Where nobody closes it, EventSource is about to connect, and so to ask, again when the answer is over."""
    with serving(browser_answers.create_app(chain)) as url:
        page.driver.get(url)
        page.driver.execute_script("window.source = new EventSource('/stream?question=Hello');")
        page.driver.execute_script("window.source.onerror = () => { window.again = window.source.readyState; };")
        # 0 is CONNECTING, 2 would be CLOSED.
        eventually(lambda: page.driver.execute_script("return window.again") == 0)
        page.driver.execute_script("window.source.close();")


def test_the_tutorials_page(page: Page, sim: Simulator, chain: Chain) -> None:
    """The chat of the tutorial works in a browser: an answer, one that breaks off, and nobody who answers."""
    chat = load("tutorial_chat/chat.py")
    with serving(chat.create_app(chain)) as url:
        assert requests.get(url, timeout=PATIENCE).text == text_of("tutorial_chat/page.html")
        page.driver.get(url)
        for upstream, shown in (
            (answer("one <b>two</b>"), "one <b>two</b>"),
            (cut("content", text="Half"), "⚠ The answer broke off. Please ask again."),
            (status(503), "⚠ All models are busy."),
        ):
            sim.script(GOOD, upstream)
            page.driver.find_element("css selector", "input").send_keys("Hello")
            page.click("button")
            page.shows("p:last-child", shown)
    assert [[message["role"] for message in kept] for kept in chat.CONVERSATIONS.values()] == [
        ["system", "user", "assistant"]
    ]


# -- gunicorn and nginx --


@contextmanager
def gunicorn(sim: Simulator, folder: Path, *options: str) -> Iterator[int]:
    """Serve the recipe for Flask as the recipe for gunicorn says.

    :param folder: where it may write.
    :param options: more of its command line.
    """
    environ = {
        **os.environ,
        "OPENROUTER_BASE_URL": sim.base_url, "OPENROUTER_API_KEY": KEY, "ORFALLBACK_MODELS": f"{BUSY},{GOOD}",
        "ORFALLBACK_DELAY": "0", "PYTHONDONTWRITEBYTECODE": "1",
        # It writes files of its own at home.
        "HOME": str(folder),
    }  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "gunicorn", "--config", str(recipe("deploy/gunicorn_conf.py"))]
        command += ["--bind", f"fd://{listener.fileno()}", "--worker-tmp-dir", str(folder), "--log-level", "warning"]
        command += [*options, "flask_answers:create_app()"]
        with (folder / "gunicorn.log").open("wb") as log, subprocess.Popen(
            command, cwd=RECIPES, env=environ, pass_fds=[listener.fileno()], stdout=log, stderr=log
        ) as process:
            try:
                yield listener.getsockname()[1]
                process.terminate()
                assert process.wait(PATIENCE) == 0
            except BaseException:
                print((folder / "gunicorn.log").read_text())
                raise
            finally:
                process.kill()


@pytest.fixture
def deployed(sim: Simulator, tmp_path: Path) -> Iterator[str]:
    """The recipes for gunicorn and nginx."""
    sim.script(BUSY, status(502))
    written = text_of("deploy/nginx.conf")
    assert written.count("127.0.0.1:8000") == 1
    with gunicorn(sim, tmp_path) as port:
        with nginx(tmp_path, written.replace("127.0.0.1:8000", f"127.0.0.1:{port}")) as url:
            yield url


def test_through_nginx_a_stream_is_prompt(deployed: str, sim: Simulator) -> None:
    """Each event is seen through nginx and gunicorn before the model is let to say the next one."""
    gate = Gate()
    sim.script(GOOD, answer("one two three", gate=gate, role_first=False))
    with ask(deployed, "stream", stream=True) as response:
        assert response.headers["Server"].startswith("nginx")
        datas = (line for line in response.iter_lines(chunk_size=1) if line.startswith(b"data"))
        for word in (b'"one "', b'"two "', b'"three"'):
            assert next(datas) == b"data: " + word
            gate.open()
        gate.open(10)
        assert list(datas) == [b'data: "stop"']
    assert ask(deployed, "answer").json()["model"] == GOOD


def test_through_nginx_a_visitor_who_leaves_ends_the_answer(deployed: str, sim: Simulator) -> None:
    """nginx hangs up on gunicorn, which notices at the model's next words, and the connection upstream is closed."""
    sim.script(GOOD, answer("word " * 2_000, pace=0.01, role_first=False))
    with ask(deployed, "stream", stream=True) as response:
        assert next(response.iter_lines(chunk_size=1)) == b"event: text"
    assert sim.wait_idle(PATIENCE)
    assert [received.model for received in sim.left_early] == [GOOD]


def test_through_nginx_nobody_answers(deployed: str, sim: Simulator) -> None:
    """The status and ``Retry-After`` of the application come through."""
    sim.script(GOOD, status(503, headers={"Retry-After": "7"}))
    for path in ("answer", "stream"):
        response = ask(deployed, path)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "7")


def test_the_limits_stand_in_order(flask_answers: Any) -> None:
    """The deadline of the recipe is shorter than each limit of gunicorn and nginx that could cut an answer."""
    deadline = flask_answers.TIMEOUTS.deadline
    gunicorn_conf = load("deploy/gunicorn_conf.py")
    written = text_of("deploy/nginx.conf")
    limits = [int(seconds) for seconds in re.findall(r"proxy_read_timeout (\d+)s", written)]
    assert deadline < min(gunicorn_conf.graceful_timeout, *limits)
    [kept] = re.findall(r"keepalive_timeout (\d+)s", written)
    assert int(kept) < gunicorn_conf.keepalive


def test_a_deadline_in_the_middle_of_a_stream_is_told(flask_answers: Any, sim: Simulator) -> None:
    """Where the deadline comes before the end of an answer, the visitor is told that it broke off."""
    sim.default(answer("word " * 2_000, pace=0.02, role_first=False))
    with chain_at(sim, timeouts=Timeouts(deadline=0.3)) as chain:
        told = events(flask_answers.create_app(chain).test_client().post("/stream", data=QUESTION).text)
    assert said(told).startswith("word ")
    assert told[-1][0] == "broken"
