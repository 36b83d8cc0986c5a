"""Real hosts: gunicorn with each kind of worker, and Celery with a pool of forked ones."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote_plus

import pytest
import requests
from hosting import BUSY, asked, echo, found, half_busy, host, worker

from orfallback.testing import Behaviour, Simulator, silence, status

# For whatever a host may need on a busy machine (s).
_PATIENCE = 60.0


@pytest.fixture
def echoing(sim: Simulator) -> Simulator:
    """A model that is busy now and then, and one that says what it was asked."""
    sim.script(BUSY, _or_told(half_busy))
    sim.default(_or_told(echo))
    return sim


def _or_told(behaviour: Behaviour) -> Behaviour:
    """Do as the question says, if it says something."""
    told = {"fail": status(503), "begin": silence("end")}
    return lambda received: told.get(asked(received), behaviour)(received)


WORKERS = {
    "sync": ("--worker-class", "sync"),
    "gthread": ("--worker-class", "gthread", "--threads", "20"),
    "gevent": ("--worker-class", "gevent"),
}


@pytest.mark.parametrize("preload", [False, True], ids=["", "preload"])
@pytest.mark.parametrize("workers", WORKERS)
def test_gunicorn(workers: str, preload: bool, echoing: Simulator, tmp_path: Path) -> None:
    """40 requests at once to two workers each get their own answer, also from a chain made and used before the fork."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener, ThreadPoolExecutor(40) as clients:
        command = ["gunicorn", "wsgi_app:application", "--workers", "2", *WORKERS[workers], *["--preload"] * preload]
        command += ["--bind", f"fd://{listener.fileno()}", "--worker-tmp-dir", str(tmp_path), "--log-level", "warning"]
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def ask(number: int) -> tuple[bool, str, str]:
            question = f"CANARYPROMPT client {number}"
            path = ("complete", "stream")[number // 2 % 2]
            reply = requests.get(f"{url}/{path}?{quote_plus(question)}", timeout=_PATIENCE)
            return reply.text == question, reply.headers["X-Process"], reply.headers["X-Made-In"]

        log = tmp_path / "log"
        replies: list[tuple[bool, str, str]] = []
        # It writes files of its own at home.
        with host(log, *command, descriptors=(listener.fileno(),), BASE_URL=echoing.base_url, HOME=str(tmp_path)):
            until = time.monotonic() + _PATIENCE
            # One that is told to stop while it starts does not always hear it.
            while len({process for _, process, _ in replies}) < 2 and time.monotonic() < until:
                replies += clients.map(ask, range(40))
    assert len({process for _, process, _ in replies}) == 2
    assert all(right for right, _, _ in replies)
    assert all((made_in != process) is preload for _, process, made_in in replies)
    written = log.read_text()
    assert not any(word in written for word in ("Traceback", "[ERROR]", "[CRITICAL]"))
    assert "CANARY" not in written
    assert "Model a/busy is busy" in written
    assert "POST /api/v1/chat/completions" in written
    assert echoing.wait_idle()


def test_celery(echoing: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two forked workers with a warm chain give right answers; time limits and errors come out of tasks whole."""
    for name, value in {"FOLDER": str(tmp_path), "BASE_URL": echoing.base_url}.items():
        monkeypatch.setenv(name, value)
    with host(tmp_path / "log", *worker("celery_app"), WARM="1"):
        results = found("celery_client.py")
    assert results["wrong"] == 0
    assert len(results["processes"]) == 2
    assert not set(results["processes"]) & set(results["made in"])
    limited = ["SoftTimeLimitExceeded", ["cancelled"], "call_finished", True]
    assert results["limited"] == [limited] * 2
    assert results["limit"][0] == "SoftTimeLimitExceeded"
    assert results["after"] == "after 7"
    written = (tmp_path / "log").read_text()
    assert "CANARY" not in written
    assert "Model a/busy is busy" in written
    assert "POST /api/v1/chat/completions" in written
    assert echoing.wait_idle()
    assert sorted(asked(received) for received in echoing.left_early) == ["begin", "stall", "stall"]
    kind, text, attempts = results["failed"]
    assert (kind, attempts) == ("ChainExhausted", [["a/busy", "busy"], ["b/good", "busy"]])
    assert "a/busy: 503 busy" in text
    # JSON keeps the class and the text alone, whatever the exception; the text tells every attempt.
    assert results["as JSON"] == [kind, text, []]
