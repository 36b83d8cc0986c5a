"""``orfallback serve``, as a process of its own that any client may ask."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from figures import Figures
from gateways import BUSY, GOOD, PATIENCE, PROMPT
from terminal import heeding

from conftest import KEY, Commands
from orfallback.testing import Gate, Simulator, answer, status

COMMAND = [sys.executable, "-m", "orfallback", "serve"]
MODELS = ("-m", BUSY, "-m", GOOD, "--delay", "0")
TOKEN = "a-token-of-the-gateway-0000"


class Serving:
    """A running command.

    :ivar line: its line on stdout.
    :ivar url: the base URL that stands there.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.line = process.stdout.readline().rstrip("\n")
        self.url = (re.findall(r"http://\S+", self.line) or [""])[0]

    def ask(self, *, token: str = "", **fields: Any) -> requests.Response:
        """Ask for an answer; a stream is returned before it is read."""
        body = {"messages": [{"role": "user", "content": PROMPT}], **fields}
        return requests.post(
            f"{self.url}/chat/completions", json=body, headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=PATIENCE, stream=bool(fields.get("stream")),
        )  # fmt: skip

    def interrupted(self) -> tuple[int, str, str]:
        """Press Ctrl-C, and return status, the rest of stdout and stderr."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


@contextmanager
def serving(*options: str, **environ: str) -> Iterator[Serving]:
    """A gateway on a free port."""
    with subprocess.Popen(
        heeding(*COMMAND, "--port", "0", *options),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environ},
    ) as process:
        try:
            yield Serving(process)
        finally:
            process.kill()


def test_a_chain_that_any_client_can_ask(at: Simulator) -> None:
    """One line says where it listens and with which models; fallbacks are told on stderr; Ctrl-C ends it with 130."""
    at.script(BUSY, status(502))
    with serving(*MODELS) as served:
        assert re.fullmatch(rf"Listening on http://127\.0\.0\.1:\d+/v1 for {BUSY}, {GOOD}", served.line)
        assert served.ask().headers["X-Orfallback-Model"] == GOOD
        assert served.ask(stream=True).text.endswith("data: [DONE]\n\n")
        assert [each["id"] for each in requests.get(f"{served.url}/models", timeout=PATIENCE).json()["data"]] == [
            BUSY, GOOD
        ]  # fmt: skip
        code, out, err = served.interrupted()
    assert (code, out) == (130, "")
    # The second question goes to the one that answers at once.
    assert at.models_asked == [BUSY, GOOD, GOOD]
    (told,) = [line for line in err.splitlines() if line]
    assert re.fullmatch(rf"\d\d:\d\d:\d\d ⏳ Model {BUSY} is busy, .*next: {GOOD}\)", told)
    assert KEY not in err
    assert PROMPT not in err


def test_ctrl_c_in_the_middle_of_a_stream(at: Simulator) -> None:
    """Ctrl-C ends it at once, whoever is answered; the connection upstream is closed, and the client sees a break."""
    at.script(GOOD, answer("one two three", gate=Gate(), role_first=False))
    with serving("-m", GOOD) as served:
        with served.ask(stream=True) as reply:
            lines = reply.iter_lines(chunk_size=1)
            assert b"one " in next(lines)
            code, _, err = served.interrupted()
            try:
                rest = b"".join(lines)
            except requests.RequestException:
                rest = b""
        assert b"[DONE]" not in rest
    assert (code, err.strip()) == (130, "")
    assert at.wait_idle(PATIENCE)


def test_ctrl_c_while_a_model_thinks(at: Simulator) -> None:
    """Ctrl-C ends it though a model has not said a word yet."""
    asked = threading.Event()
    gate = Gate()

    def thinking(_: Any) -> Iterator[Any]:
        asked.set()
        yield gate

    at.script(GOOD, thinking)
    with serving("-m", GOOD) as served:
        with socket.create_connection(("127.0.0.1", int(served.url.split(":")[2][:-3])), timeout=PATIENCE) as client:
            body = b'{"messages": [{"role": "user", "content": "?"}]}'
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            client.sendall(head.encode() + body)
            assert asked.wait(PATIENCE)
            code, _, err = served.interrupted()
    gate.open()
    assert (code, err.strip()) == (130, "")


def test_a_client_that_hangs_up(at: Simulator) -> None:
    """A client that leaves in the middle of a stream ends the answer upstream."""
    at.script(GOOD, answer("one two three", gate=Gate(), role_first=False))
    with serving("-m", GOOD) as served:
        with served.ask(stream=True) as reply:
            assert next(reply.iter_lines(chunk_size=1))
        assert at.wait_idle(PATIENCE)
        assert len(at.left_early) == 1
        assert served.interrupted()[0] == 130


def test_a_token(at: Simulator) -> None:
    """``--token-env`` names the variable of a token that clients must show; it is told nowhere."""
    with serving(*MODELS, "--token-env", "GATEWAY_TOKEN", GATEWAY_TOKEN=TOKEN) as served:
        assert served.ask().status_code == 401
        assert served.ask(token=KEY).status_code == 401
        assert served.ask(token=TOKEN).ok
        code, out, err = served.interrupted()
    assert code == 130
    assert TOKEN not in served.line + out + err


@pytest.mark.parametrize("options", [("--token-env", "GATEWAY_TOKEN"), ("--no-token",)], ids=["token", "no token"])
def test_other_machines(options: tuple[str, ...], at: Simulator) -> None:
    """It listens for other machines with a token, or where that is said; and warns of the latter."""
    with serving(*MODELS, "--host", "0.0.0.0", *options, GATEWAY_TOKEN=TOKEN) as served:
        assert served.line.startswith("Listening on http://0.0.0.0:")
        assert served.ask(token=TOKEN).ok
        _, _, err = served.interrupted()
    assert ("no token is asked for" in err) is ("--no-token" in options)


def test_a_page_that_is_no_page_of_this_machine(at: Simulator) -> None:
    """Without a token it answers for this machine's own names alone."""
    with serving(*MODELS) as served:
        for host, code in (("evil.example", 403), ("localhost", 200)):
            assert requests.get(f"{served.url}/models", headers={"Host": host}, timeout=PATIENCE).status_code == code


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_other_machines_without_a_token(host: str, command: Commands, at: Simulator) -> None:
    """It does not listen for other machines without a token, unless that is said."""
    ran = command("serve", "--host", host, "--port", "0")
    assert (ran.status, ran.out) == (3, "")
    assert "could reach" in ran.err
    assert "--token-env" in ran.err


def test_a_port_in_use(command: Commands, at: Simulator) -> None:
    """A port that somebody has is one sentence with its mend, and status 3."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = command("serve", "--port", str(port))
    assert (ran.status, ran.out) == (3, "")
    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use" in ran.err
    assert "--port 0" in ran.err


@pytest.mark.parametrize("host", ["nowhere.invalid", "x" * 100, "\u00e4" * 100])
def test_a_host_that_cannot_be(host: str, command: Commands, at: Simulator) -> None:
    """A name that is none of this machine is one sentence, and status 3."""
    ran = command("serve", "--host", host)
    assert (ran.status, ran.out) == (3, "")
    assert f"cannot listen on {host[:3]}" in ran.err


def test_without_waitress(command: Commands, at: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where waitress is missing one sentence says what to install."""
    monkeypatch.setitem(sys.modules, "waitress", None)
    monkeypatch.delitem(sys.modules, "orfallback.wsgi._waitress", raising=False)
    ran = command("serve", "--port", "0")
    assert (ran.status, ran.out) == (3, "")
    assert "pip install 'orfallback[gateway]'" in ran.err


@pytest.mark.parametrize(
    ("options", "environ", "code", "said"),
    [
        (("--token-env", "NO_SUCH"), {}, 3, "NO_SUCH is not set, or empty"),
        (("--token-env", "BAD"), {"BAD": "two words"}, 3, "--token-env"),
        (("--token-env", "sk-or-v1-a"), {}, 2, "and not the key"),
        (("--token-env", "A", "--no-token"), {"A": TOKEN}, 2, "exclude each other"),
        (("--threads", "0"), {}, 2, "--threads"),
        (("--port", "70000"), {}, 2, "--port"),
        (("-m", "two words"), {}, 3, "no spaces"),
    ],
    ids=str,
)
def test_wrong_options(
    options: tuple[str, ...], environ: dict[str, str], code: int, said: str, command: Commands, at: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Options that cannot be meant are told in a sentence."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    ran = command("serve", "--port", "0", *options)
    assert (ran.status, ran.out) == (code, "")
    assert said in ran.err
    assert "two words" not in ran.err or "-m" in options


def test_without_a_key(command: Commands) -> None:
    """A gateway that could only fail does not start."""
    ran = command("serve")
    assert ran.status == 3
    assert "There is no key for OpenRouter" in ran.err


def test_a_plugin_that_fails_is_told(at: Simulator, tmp_path: Path) -> None:
    """What a plugin raises is on stderr with its traceback, without a key; the client gets a 500."""
    (tmp_path / "failing.py").write_text(
        f"def orfallback_select(call):\n    raise RuntimeError('a plugin and {KEY}')\n", encoding="utf-8"
    )
    with serving(*MODELS, "--plugin", "failing", PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path])) as served:
        assert served.ask().status_code == 500
        code, _, err = served.interrupted()
    assert code == 130
    assert "A request failed in the gateway, or in a plugin" in err
    assert "RuntimeError: a plugin and …" in err
    assert KEY not in err


def test_requests_that_wait_for_a_thread_are_no_news(at: Simulator) -> None:
    """More requests than threads are answered one after the other, and nothing is said of it."""
    gate = Gate()
    at.script(GOOD, answer("one two three", gate=gate))
    with serving("-m", GOOD, "--threads", "1") as served, ThreadPoolExecutor(4) as clients:
        answers = [clients.submit(served.ask) for _ in range(4)]
        gate.open(100)
        assert [answer.result(PATIENCE).status_code for answer in answers] == [200] * 4
        code, _, err = served.interrupted()
    assert (code, err.strip()) == (130, "")


# -- metrics --


@pytest.mark.parametrize("plugins", ["", "prometheus"], ids=["by the option", "by the variable, too"])
def test_metrics(plugins: str, at: Simulator) -> None:
    """``--metrics`` says where they are, and counts each call once, also where the environment names the plugin."""
    at.script(BUSY, status(502))
    with serving(*MODELS, "--metrics", ORFALLBACK_PLUGINS=plugins) as served:
        assert served.process.stdout is not None
        told = served.process.stdout.readline().rstrip("\n")
        url = f"{served.url.removesuffix('/v1')}/metrics"
        assert told == f"Metrics for Prometheus at {url}"
        served.ask()
        assert "[DONE]" in served.ask(model="x/unheard-of", stream=True).text
        figures = Figures.told(requests.get(url, timeout=PATIENCE).text)
        assert figures("fallbacks_total", "from_model", "to_model", "reason") == {(BUSY, GOOD, "busy"): 1}
        assert figures("attempts_total", "model", "outcome") == {
            (BUSY, "busy"): 1, (GOOD, "answered"): 1, ("other", "answered"): 1
        }  # fmt: skip
        assert figures("rests_until_timestamp_seconds", "model").keys() == {BUSY}
        assert served.interrupted()[:2] == (130, "")


def test_metrics_behind_a_token(at: Simulator) -> None:
    """Metrics want the token as all else does; without the option there are none."""
    with serving(*MODELS, "--metrics", "--token-env", "GATEWAY_TOKEN", GATEWAY_TOKEN=TOKEN) as served:
        url = f"{served.url.removesuffix('/v1')}/metrics"
        assert requests.get(url, timeout=PATIENCE).status_code == 401
        shown = requests.get(url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=PATIENCE)
        assert "orfallback_calls_total{" in shown.text
        assert "python_info{" in shown.text
        assert not {TOKEN, KEY} & set(re.findall(r"[\w-]+", shown.text))
    with serving(*MODELS) as served:
        assert requests.get(f"{served.url.removesuffix('/v1')}/metrics", timeout=PATIENCE).status_code == 404


def test_without_prometheus_client(command: Commands, at: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where prometheus-client is missing one sentence says what to install."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    for name in ("prometheus", "_series"):
        monkeypatch.delitem(sys.modules, f"orfallback.plugins.{name}", raising=False)
    ran = command("serve", "--port", "0", "--metrics")
    assert (ran.status, ran.out) == (3, "")
    assert "--metrics needs prometheus-client" in ran.err
    assert "pip install 'orfallback[prometheus]'" in ran.err


@pytest.mark.parametrize("value", ["", "/no/such/directory"])
def test_processes_that_share_metrics_nowhere(value: str, command: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that names no directory for shared metrics is told, before anything is written."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", value)
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-CANARYKEY00000000")
    done = command("serve", "--metrics", "--port", "0")
    assert done.status == 3
    assert "PROMETHEUS_MULTIPROC_DIR names no directory" in done.err
