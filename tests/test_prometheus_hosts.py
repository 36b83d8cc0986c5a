"""The metrics in hosts: processes that fork while they count, gunicorn's workers, and the page's own application."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from figures import Figures
from hosting import BUSY, GOOD, found, half_busy, host

from orfallback.testing import Simulator, answer, status

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "prometheus.md"
PATIENCE = 60.0


@pytest.mark.parametrize("shared", [False, True], ids=["one process", "shared files"])
def test_forks_in_the_middle_of_counting(
    shared: bool, sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """Children that are forked among counting threads count their own calls, exactly, and none waits for a lock."""
    sim.script(BUSY, half_busy)
    if shared:
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    children, total = found("counting.py", sim.base_url)
    expected = {BUSY: 6, GOOD: 2, "answered": 4, "left": 2}
    assert children == [[0, expected]] * 12
    asked = Counter(sim.models_asked)
    if not shared:
        asked -= Counter({BUSY: 6 * 12, GOOD: 2 * 12})
    assert {model: total.get(model) for model in (BUSY, GOOD)} == asked
    # Nothing is in progress.
    assert set(total) == {BUSY, GOOD, "answered", "left"}


def block(name: str) -> str:
    """Return the file that the page shows."""
    shown = re.search(rf"^```python\n(# {re.escape(name)}\n.*?)^```$", PAGE.read_text("utf-8"), re.M | re.DOTALL)
    assert shown is not None
    return shown[1]


def until(check: Callable[[], Any]) -> Any:
    """Wait until something is true, and return it."""
    end = time.monotonic() + PATIENCE
    while not (got := check()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return got


@pytest.mark.parametrize("preload", [False, True], ids=["each for itself", "preload"])
def test_gunicorn(preload: bool, sim: Simulator, tmp_path: Path) -> None:
    """The page's application under gunicorn: ``/metrics`` of any worker sums up what all did, dead ones too."""
    shared, code = tmp_path / "shared", tmp_path / "code"
    for folder in (shared, code):
        folder.mkdir()
    for name in ("chat.py", "gunicorn.conf.py"):
        (code / name).write_text(block(name), encoding="utf-8")
    sim.script(BUSY, half_busy)
    environ = {
        "OPENROUTER_BASE_URL": sim.base_url, "OPENROUTER_API_KEY": "sk-test-0000000000", "ORFALLBACK_DELAY": "0",
        "ORFALLBACK_MODELS": f"{BUSY},{GOOD}", "ORFALLBACK_PLUGINS": "-logging", "ORFALLBACK_COOLDOWN": "0.01",
        "PROMETHEUS_MULTIPROC_DIR": str(shared),
    }  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        command = ["gunicorn", "chat:app", "--chdir", str(code), "--config", str(code / "gunicorn.conf.py")]
        command += ["--workers", "2", "--worker-class", "gthread", "--threads", "4", "--log-level", "warning"]
        command += ["--bind", f"fd://{listener.fileno()}", "--worker-tmp-dir", str(tmp_path), "--keep-alive", "1"]
        command += ["--preload"] * preload
        with host(tmp_path / "log", *command, descriptors=(listener.fileno(),), **environ):
            ask_gunicorn(url, sim, shared)


def ask_gunicorn(url: str, sim: Simulator, shared: Path) -> None:
    """Ask until both workers have answered, let one of them die, and ask again."""

    def figures() -> Figures:
        return Figures.told(requests.get(f"{url}/metrics", timeout=PATIENCE).text)

    def ask(number: int) -> None:
        reply = requests.post(f"{url}/chat", json={"question": f"is {number}?"[:-1]}, timeout=PATIENCE)
        assert reply.status_code == 200

    def processes() -> set[int]:
        """Return the workers that have counted attempts."""
        names = [path.name for path in shared.glob("histogram_*.db") if b"attempt_seconds" in path.read_bytes()]
        return {int(name.split("_")[1].removesuffix(".db")) for name in names}

    def exact() -> None:
        shown, asked = figures(), Counter(sim.models_asked)
        assert shown("attempts_total", "model") == asked
        assert shown("attempts_total", "model", "outcome")[GOOD, "answered"] == asked[GOOD]
        assert shown.total("calls_total", ending="answered") == calls
        assert shown.total("call_seconds_count") == calls
        assert shown("calls_in_progress") == {}

    calls = 0
    with ThreadPoolExecutor(8) as clients:
        end = time.monotonic() + PATIENCE
        while len(processes()) < 2 or calls < 100:
            assert time.monotonic() < end
            list(clients.map(ask, range(20)))
            calls += 20
        exact()
        victim, survivor = sorted(processes())
        os.kill(victim, signal.SIGTERM)
        # Its gauges go with it.
        until(lambda: not list(shared.glob(f"gauge_livesum_{victim}.db")))
        while not processes() - {victim, survivor}:
            assert time.monotonic() < end
            list(clients.map(ask, range(20)))
            calls += 20
        exact()


def test_what_rests_between_processes(sim: Simulator, tmp_path: Path) -> None:
    """Where processes share files the latest news of any of them is what rests; one without news changes nothing."""
    # The first process finds it busy, the second has an answer, the first one, too; then the second finds it busy.
    sim.script(BUSY, status(502), answer(), answer(), status(502))
    done = found("resting.py", sim.base_url, str(tmp_path))
    assert done == {"first": ["a/busy"], "second is silent": ["a/busy"], "answers again": [], "second": ["a/busy"]}
