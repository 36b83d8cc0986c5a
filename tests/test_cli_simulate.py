"""``orfallback simulate``, as a process of its own that any client may ask."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from terminal import heeding

COMMAND = [sys.executable, "-m", "orfallback", "simulate"]
KEY = "sk-or-v1-canary-0123456789abcdef"
PATIENCE = 30.0


class Server:
    """A running command.

    :ivar url: its first line on stdout.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        assert process.stderr is not None
        self.stderr = process.stderr
        self.url = process.stdout.readline().rstrip("\n")

    def ask(self, model: str | None = "a/b", **body: Any) -> requests.Response:
        """Send a chat request."""
        body = {"model": model, "messages": [{"role": "user", "content": "a secret question"}], **body}
        headers = {"Authorization": f"Bearer {KEY}"}
        return requests.post(f"{self.url}/chat/completions", json=body, headers=headers, timeout=PATIENCE)

    def told_until(self, mark: str) -> str:
        """The line on stderr that holds a mark."""
        return next(line for line in self.stderr if mark in line)

    def interrupted(self) -> tuple[int, str, str]:
        """Press Ctrl-C, and return status, the rest of stdout and of stderr."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


@contextmanager
def serving(*options: str, stdin: str | None = None) -> Iterator[Server]:
    """A server on a free port."""
    with subprocess.Popen(
        heeding(*COMMAND, "--port", "0", *options),
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    ) as process:
        try:
            if process.stdin is not None:
                process.stdin.write(stdin or "")
                process.stdin.close()
                process.stdin = None
            yield Server(process)
        finally:
            process.kill()


def run(*options: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the command to an end that comes by itself."""
    return subprocess.run([*COMMAND, *options], input=stdin, capture_output=True, timeout=PATIENCE)


def test_any_client_is_answered_and_told_of() -> None:
    """The base URL is alone on stdout; each request is a line on stderr, without key, prompt or query."""
    with serving() as server:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/api/v1", server.url)
        assert server.ask(stream=True).text.endswith("data: [DONE]\n\n")
        assert server.ask().json()["choices"][0]["message"]["content"]
        assert requests.get(f"{server.url}/models?key={KEY}", timeout=PATIENCE).json()["data"]
        status, out, err = server.interrupted()
    assert (status, out) == (130, "")
    first, second, *lines = err.splitlines()
    log = [line for line in lines if line and "answered 200" not in line]
    assert sum("answered 200" in line for line in lines) == len(log) == 3
    assert "simulator" in first
    assert "Ctrl-C" in first
    assert second.strip() == f"OPENROUTER_BASE_URL={server.url} orfallback chat"
    size = r"  \d+ bytes"
    chat = r"\d\d:\d\d:\d\d  {}\.1  POST /api/v1/chat/completions  a/b  {}  key sk-\.\.\.cdef"
    assert re.fullmatch(chat.format(1, "stream") + size, log[0])
    assert re.fullmatch(chat.format(2, "whole") + size, log[1])
    assert re.fullmatch(r"\d\d:\d\d:\d\d  3\.1  GET /api/v1/models  no model  whole  no key  0 bytes", log[2])
    assert "Traceback" not in err
    assert KEY not in err
    assert "secret" not in err


def test_ctrl_c_ends_it_in_the_middle_of_an_answer() -> None:
    """Ctrl-C is heeded at once, whoever waits; the status is 130, and there is no traceback."""
    with serving("--script", "-", stdin='{"default": "silence"}') as server:
        host, port = re.findall(r"//(.+):(\d+)", server.url)[0]
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as client:
            client.sendall(b"POST /api/v1/chat/completions HTTP/1.1\r\n\r\n")
            server.told_until("POST")
            status, _, err = server.interrupted()
            assert client.recv(1) == b""
    assert status == 130
    assert err.strip() == ""


def test_who_leaves_early_is_told_of() -> None:
    """A client that leaves before its answer is through is a line of its own."""
    with serving("--script", "-", stdin='{"default": "silence"}') as server:
        host, port = re.findall(r"//(.+):(\d+)", server.url)[0]
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as client:
            client.sendall(b"POST /api/v1/chat/completions HTTP/1.1\r\n\r\n")
            server.told_until("POST")
        assert re.fullmatch(r"\d\d:\d\d:\d\d  1\.1  left early\n", server.told_until("left"))
        assert server.interrupted()[0] == 130


def test_quiet() -> None:
    """If quiet, there is the base URL and nothing else."""
    with serving("-q") as server:
        assert server.ask().ok
        status, out, err = server.interrupted()
    assert (status, out, err.strip()) == (130, "", "")


def test_what_clients_send_cannot_drive_the_terminal() -> None:
    """Controls in a model's name, a path or a key do not reach the log, and long names are cut."""
    with serving() as server:
        assert server.ask("a/\x1b[31m\n\u202eb" + "x" * 500).ok
        line = server.told_until("POST")
        host, port = re.findall(r"//(.+):(\d+)", server.url)[0]
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as client:
            client.sendall(b"GET /\x1b[31m HTTP/1.1\r\nAuthorization: Bearer canary-0123456789 a\x9b\x1b\r\n\r\n")
            line += server.told_until("GET")
    assert "a/ [31m b" in line
    assert "GET / [31m" in line
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", line)
    assert "canary" not in line
    assert len(line) < 700


def test_a_log_that_nobody_reads() -> None:
    """Who reads the log may leave; who asks is answered all the same."""
    with serving() as server:
        server.stderr.close()
        assert [server.ask().status_code for _ in range(3)] == [200, 200, 200]
        assert server.interrupted()[0] == 130


def test_a_script_from_a_file(tmp_path: Path) -> None:
    """A script says what models and routes do, and what is listed."""
    script = tmp_path / "script.json"
    routes = {"GET /key": {"status": 401}, "POST /embeddings": {"reply": {"data": [1]}}}
    models = {"a/b": [{"status": 502}, {"answer": "Grüß dich"}], **routes}
    script.write_text(json.dumps({"models": models, "listed": [{"id": "a/b", "top": 1}]}), encoding="utf-8-sig")
    with serving("--script", str(script)) as server:
        assert [server.ask().status_code for _ in range(3)] == [502, 200, 200]
        assert server.ask().json()["choices"][0]["message"]["content"] == "Grüß dich"
        assert requests.get(f"{server.url}/key", timeout=PATIENCE).status_code == 401
        assert requests.post(f"{server.url}/embeddings", json={}, timeout=PATIENCE).json() == {"data": [1]}
        (listed,) = requests.get(f"{server.url}/models", timeout=PATIENCE).json()["data"]
    assert (listed["id"], listed["top"]) == ("a/b", 1)


def test_a_script_from_stdin() -> None:
    """``-`` reads the script from stdin."""
    with serving("--script", "-", stdin='{"default": {"status": 418}}') as server:
        assert server.ask().status_code == 418


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (b'{"models": {"a/b": [{"answer": "x", "pcae": 1}]}}', 'models["a/b"][0]: answer takes no "pcae"; it takes'),
        (b'{"models":\n {"a/b" "silence"}}', "no JSON: Expecting ':' delimiter in line 2, column 9"),
        (b"", "no JSON: Expecting value in line 1, column 1"),
        (b'{"models": {"a/b": "silence", "a/b": "answer"}}', '"a/b" stands twice in one object'),
        (b'{"default": {"answer": "x", "pace": NaN}}', 'default["pace"] is NaN, which is no JSON'),
        pytest.param(b"[" * 200_000, "nested too deeply", id="deep"),
        (b'"\xff"', "can't decode byte 0xff"),
    ],
)
def test_a_wrong_script(script: bytes, said: str) -> None:
    """A script that is wrong ends it with status 2 and one sentence that names the place."""
    done = run("--script", "-", stdin=script)
    assert (done.returncode, done.stdout) == (2, b"")
    told = done.stderr.decode()
    assert "Invalid value for --script: " in told
    assert said in told
    assert "Traceback" not in told


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    """A file that cannot be read is named, with status 2."""
    for path in (tmp_path / "none.json", tmp_path):
        done = run("--script", str(path))
        assert (done.returncode, done.stdout) == (2, b"")
        assert str(path) in done.stderr.decode()
        assert b"Traceback" not in done.stderr


def test_a_port_in_use() -> None:
    """A port that somebody has is told in a sentence, with status 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--port", str(port))
    assert (done.returncode, done.stdout) == (1, b"")
    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use" in done.stderr.decode()
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("letter", ["x", "\u00e4"], ids=["ASCII", "beyond ASCII"])
def test_a_host_that_cannot_be(letter: str) -> None:
    """A name that no host can have is told in a sentence, with status 1."""
    done = run("--port", "0", "--host", letter * 100)
    told = done.stderr.decode()
    assert (done.returncode, done.stdout) == (1, b"")
    assert f"cannot listen on {letter * 3}" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("localhost", False)])
def test_other_machines_draw_a_warning(host: str, warned: bool) -> None:
    """Whoever listens for other machines is warned, even if quiet."""
    with serving("-q", "--host", host) as server:
        _, _, err = server.interrupted()
    assert ("Other machines may reach this address" in err) is warned


def test_a_log_that_nobody_reads_holds_up_nobody() -> None:
    """Where stderr is a pipe that nobody reads, requests are answered all the same, and Ctrl-C ends it."""
    with serving() as server:
        with requests.Session() as session:
            for _ in range(1500):
                assert session.get(f"{server.url}/key", timeout=PATIENCE).status_code == 200
        assert server.interrupted()[0] == 130


def test_replies_are_told() -> None:
    """The log says what was answered, and where nothing was."""
    script = '{"models": {"a/busy": {"status": 502}, "a/gone": {"reset": "accept"}}}'
    with serving("--script", "-", stdin=script) as server:
        server.ask("a/busy")
        assert server.told_until("answered").endswith("answered 502\n")
        with pytest.raises(requests.ConnectionError):
            server.ask("a/gone")
        assert server.told_until("without a reply")
