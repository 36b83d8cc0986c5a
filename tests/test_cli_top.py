"""``orfallback top``: the command, and the terminal that it runs in."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from terminal import COMMAND, Terminal
from tops import Log, Metrics, record, served, told

from conftest import Commands
from orfallback import Chain, FallbackError
from orfallback._record import Try, to_line
from orfallback.cli._top import _keyboard
from orfallback.cli._top._figures import Figures
from orfallback.cli._top._live import Poller, follow, watch
from orfallback.cli._top._sources import Look
from orfallback.testing import FakeClock, Simulator, answer, cut, status

TOKEN = "tok-CANARY-0123456789abcdef"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A call log of three calls that ended a moment ago."""
    path = tmp_path / "calls.jsonl"
    write(path, 3)
    return path


def write(path: Path, calls: int, model: str = "b/good") -> None:
    """Write calls that end now; each falls back."""
    tries = (Try("a/busy", reason="busy", elapsed=0.1), Try(model, waited=0.5, elapsed=0.4))
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{to_line(record(time.time(), *tries))}\n" for _ in range(calls))


@pytest.fixture
def metrics() -> Metrics:
    """What an application counts."""
    metrics = Metrics()
    metrics.calls.labels("stream", "answered").inc(5)
    metrics.attempts.labels("a/busy", "stream", "busy").inc(2)
    metrics.rests_until.labels("a/busy").set(time.time() + 20.5)
    return metrics


# -- one view --


def test_one_view_of_a_log(command: Commands, path: Path) -> None:
    """With --once a view of the log is printed, and nothing else; in a pipe it has no end of lines to fit."""
    done = command("top", str(path), "--once")
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith(f"orfallback top  {path}  last 60 s  ")
    assert lines[2].startswith("calls      0.05/s  ")
    assert [line.split()[:3] for line in lines[7:9]] == [["a/busy", "0.05", "0"], ["b/good", "0.05", "100"]]
    assert lines[-1].endswith("  busy  0.50 s  a/busy → b/good")
    assert not any(line.endswith(" ") for line in lines)
    assert "\x1b" not in done.out


def test_what_is_no_terminal_gets_one_view(path: Path) -> None:
    """Where stdout is no terminal one view is printed without being asked for, colour forced or not."""
    environ = {**os.environ, "FORCE_COLOR": "1"}
    done = subprocess.run(
        [*COMMAND, "top", str(path)], capture_output=True, text=True, encoding="utf-8", timeout=60, env=environ
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("orfallback top") == 1
    assert "\x1b[?1049h" not in done.stdout


def test_one_view_of_metrics(command: Commands, metrics: Metrics) -> None:
    """Of an endpoint two looks are taken, an interval apart; what rests is told."""

    def text() -> str:
        metrics.calls.labels("stream", "answered").inc(1)
        return metrics.text()

    with served(told(text)) as url:
        done = command("top", url, "--once", "--interval", "0.2")
    assert (done.status, done.err) == (0, "")
    assert "  last 0.2" in done.out
    assert "100 % answered" in done.out
    assert re.search(r"^a/busy .*  rests (20|21) s$", done.out, re.MULTILINE)


def test_json(command: Commands, path: Path, metrics: Metrics) -> None:
    """With --json one object is printed, whatever the source."""
    told_of_log = json.loads(command("top", str(path), "--json").out)
    assert (told_of_log["source"], told_of_log["seconds"]) == (str(path), 60)
    assert told_of_log["calls"]["endings"] == {"answered": 3}
    assert told_of_log["fallbacks"]["share_of_calls"] == 1
    with served(told(metrics.text)) as url:
        told_of_metrics = json.loads(command("top", url, "--json", "--interval", "0.1").out)
    assert told_of_metrics["source"] == url.removeprefix("http://")
    assert [(model["model"], model["resting"]) for model in told_of_metrics["models"]] == [("a/busy", True)]


def test_both_sources_tell_the_same(sim: Simulator, clock: FakeClock, tmp_path: Path, command: Commands) -> None:
    """What calls to the simulator leave in a log and in metrics makes the same figures: those of the simulator."""
    sim.script("a/busy", status(502), status(429), answer("Hi."), status(502))
    sim.script("b/good", answer("Hello there."), answer("Hello."), cut("content"), status(503))
    log, counted = tmp_path / "calls.jsonl", Metrics()
    pages = [Metrics().text()]
    chain = Chain(
        ["a/busy", "b/good"], api_key="sk-test", base_url=sim.base_url, clock=clock, cooldown=None,
        plugins=[counted, Log(log)],
    )  # fmt: skip
    for _ in range(5):
        with contextlib.suppress(FallbackError):
            chain.stream("Hi").read()
    with served(told(lambda: pages.pop() if pages else counted.text())) as url:
        of_metrics = json.loads(command("top", url, "--json", "--interval", "0.1").out)
    of_log = json.loads(command("top", str(log), "--json").out)
    for told_ in (of_log, of_metrics):
        assert told_["calls"]["endings"] == {"answered": 3, "broken": 1, "failed": 1}
        assert told_["calls"]["answered"] == 0.6
        assert told_["fallbacks"]["count"] == len(sim.requests) - 5
        assert [(m["model"], m["attempts"], m["reasons"]) for m in told_["models"]] == [
            ("a/busy", 5, {"busy": 3, "rate_limited": 1}),
            ("b/good", 4, {"busy": 1, "truncated": 1}),
        ]
        assert told_["fallbacks"]["waited"] == pytest.approx(sum(clock.sleeps))
    assert of_log["fallbacks"]["kinds"] == of_metrics["fallbacks"]["kinds"]


# -- the source --


def test_the_log_that_the_environment_names(command: Commands, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a source it is the call log of ORFALLBACK_CALL_LOG; one that is named comes first."""
    monkeypatch.setenv("ORFALLBACK_CALL_LOG", str(path))
    assert command("top", "--once").status == 0
    done = command("top", "elsewhere.jsonl", "--once")
    assert (done.status, done.out) == (1, "")
    assert "elsewhere.jsonl does not exist yet" in done.err


@pytest.mark.parametrize(
    ("arguments", "status", "why"),
    [
        ((), 2, "nothing to watch is named: a metrics endpoint (http://127.0.0.1:8000/metrics), or a call log"),
        (("127.0.0.1:8088/metrics",), 2, "is '127.0.0.1:8088/metrics' an address? Then it begins with http://"),
        (("http://user:secret@127.0.0.1:1/metrics",), 2, "the address holds a user or a password"),
        (("http://",), 2, "is no URL"),
        (("http://[::1/",), 2, "is no URL"),
        (("http://a b/",), 2, "is no URL"),
        ((".",), 2, ". is a directory"),
        (("calls.jsonl", "--interval", "5", "--window", "2"), 2, "--window is no shorter than --interval"),
        (("calls.jsonl", "--interval", "0"), 2, "0.1<=x<=3600"),
        (("calls.jsonl", "--token-env", "TOKEN"), 2, "--token-env is for a metrics endpoint"),
        (("http://127.0.0.1:1", "--token-env", TOKEN), 2, "it is the name of a variable"),
        (("http://127.0.0.1:1", "--token-env", "NOT_SET"), 3, "NOT_SET is not set, or empty"),
        (("http://127.0.0.1:1", "--token-env", "ODD"), 3, "a key holds printable ASCII only"),
        (("calls.jsonl",), 1, "calls.jsonl does not exist yet"),
        (("http://127.0.0.1:1",), 1, "127.0.0.1:1/metrics cannot be read: connection refused"),
    ],
)
def test_what_cannot_be_watched(
    arguments: tuple[str, ...], status: int, why: str, command: Commands, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """What is no source, or cannot be read now, is told in a sentence; a key or a password is not."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ODD", "white space")
    done = command("top", *arguments, "--once")
    assert (done.status, done.out) == (status, "")
    assert why in " ".join(done.err.split())
    assert "secret" not in done.err
    assert "CANARY" not in done.err
    assert "Traceback" not in done.err


def test_a_protected_endpoint(command: Commands, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token is taken from the variable that is named, and told nowhere, even if the server sends it back."""
    metrics.attempts.labels(f"a/{TOKEN}", "stream", "busy").inc(2)
    monkeypatch.setenv("METRICS_TOKEN", TOKEN)

    def reply(handler: object) -> tuple[int, dict[str, str], bytes]:
        good = getattr(handler, "headers")["Authorization"] == f"Bearer {TOKEN}"  # noqa: B009 - any handler has them
        return (200, {}, metrics.text().encode()) if good else (401, {}, b"")

    with served(reply) as url:
        done = command("top", url, "--once", "--interval", "0.1", "--token-env", "METRICS_TOKEN")
        assert (done.status, done.err) == (0, "")
        assert "a/…" in done.out
        assert "CANARY" not in done.out
        done = command("top", url, "--once")
    assert done.status == 1
    assert "wants a token (401): --token-env names the variable that holds it" in " ".join(done.err.split())


def test_without_prometheus_client(command: Commands, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A metrics endpoint needs an extra, which is named; a call log does not."""
    monkeypatch.setitem(sys.modules, "prometheus_client.parser", None)
    monkeypatch.delitem(sys.modules, "orfallback.cli._top._exposition", raising=False)
    done = command("top", "http://127.0.0.1:1/metrics", "--once")
    assert done.status == 3
    assert "a metrics endpoint needs prometheus-client" in done.err
    assert "pip install 'orfallback[prometheus]'" in done.err
    assert command("top", str(path), "--once").status == 0


def test_a_call_log_loads_no_prometheus_client(path: Path) -> None:
    """Neither the command's help nor a call log loads what a metrics endpoint needs."""
    code = f"""
import sys
from orfallback.cli import run
run(["top", "--help"])
run(["top", {str(path)!r}, "--once"])
print(*[name for name in sys.modules if name.startswith("prometheus_client")], "none")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "none"


def test_ctrl_c_between_two_looks(metrics: Metrics) -> None:
    """Ctrl-C between the two looks of --once ends it with 130, and without a traceback."""
    looked = threading.Event()

    def text() -> str:
        looked.set()
        return metrics.text()

    with served(told(text)) as url:
        terminal = Terminal("top", url, "--once", "--interval", "60")
        assert looked.wait(60)
        time.sleep(0.3)
        terminal.type("\x03")
        seen = terminal.end()
    assert seen.status == 130
    assert "Traceback" not in seen.text


# -- the terminal --

ENTERED, LEFT, SHOWN = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


class Watched(Terminal):
    """A terminal in which ``orfallback top`` shows something, and that is looked at afterwards."""

    def __init__(self, *arguments: str, columns: int = 80, lines: int = 24) -> None:
        super().__init__("top", *arguments, columns=columns)
        self.before = self.attributes()
        self.resize(columns, lines)

    def attributes(self) -> list[object]:
        """Return what the terminal does with keys and characters."""
        return list(termios.tcgetattr(self._main))

    def resize(self, columns: int, lines: int) -> None:
        """Make it another size, as a window manager does."""
        fcntl.ioctl(self._main, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def ended(self) -> tuple[int, str]:
        """Wait for its end; tell the status, and what was shown in all, after checking that the terminal is whole."""
        self.wait_for(LEFT)
        status = self.process.wait(60)
        after = self.attributes()
        seen = self.end()
        assert after == self.before
        assert seen.raw.count(ENTERED) == seen.raw.count(LEFT)
        # The cursor is seen in the end.
        assert seen.raw.rindex(SHOWN) > seen.raw.rindex("\x1b[?25l")
        assert "Traceback" not in seen.raw
        assert "Exception" not in seen.raw
        return status, seen.raw


@pytest.mark.parametrize("key", ["q", "Q", "xyzq", "\x03"], ids=["q", "Q", "others", "Ctrl-C"])
def test_a_key_ends_it(key: str, path: Path) -> None:
    """q and Ctrl-C end the view with status 0; what was typed is not shown, and the terminal is as it was."""
    terminal = Watched(str(path), "--interval", "0.1")
    terminal.wait_for("q ends")
    terminal.wait_for("b/good")
    assert terminal.attributes() != terminal.before
    terminal.type(key)
    status, raw = terminal.ended()
    assert status == 0
    assert "xyz" not in raw
    assert raw.endswith((LEFT, SHOWN))


def test_a_signal_ends_it(path: Path) -> None:
    """A command that is told to end does so, by that signal, and leaves the terminal as it was."""
    terminal = Watched(str(path))
    terminal.wait_for("b/good")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.ended()[0] == -signal.SIGTERM


def test_it_makes_way_and_comes_back(path: Path) -> None:
    """Ctrl-Z gives the terminal back; when the command is continued, the view is there again."""
    terminal = Watched(str(path))
    terminal.wait_for("b/good")
    terminal.process.send_signal(signal.SIGTSTP)
    terminal.wait_for(LEFT)
    # In a session of its own nobody could continue it, so the kernel stops it not: it comes back at once.
    terminal.wait_for(ENTERED)
    terminal.wait_for("b/good")
    terminal.type("q")
    assert terminal.ended()[0] == 0


def test_a_new_size_is_taken(path: Path) -> None:
    """A terminal that becomes wider or shorter is filled as it is, without waiting for the next look."""
    terminal = Watched(str(path), "--interval", "60", columns=60, lines=12)
    terminal.wait_for("b/good")
    terminal.resize(140, 40)
    terminal.wait_for("1st p95")
    terminal.resize(60, 12)
    terminal.wait_for("calls ")
    terminal.type("q")
    assert terminal.ended()[0] == 0


def test_new_calls_are_shown(path: Path) -> None:
    """What is written while it is watched is shown; a log that is deleted is told of, and followed when it is back."""
    terminal = Watched(str(path), "--interval", "0.1")
    terminal.wait_for("b/good")
    write(path, 1, "c/new")
    terminal.wait_for("c/new")
    path.unlink()
    terminal.wait_for("is gone")
    write(path, 1, "d/back")
    terminal.wait_for("d/back")
    terminal.type("q")
    assert terminal.ended()[0] == 0


def test_a_server_that_restarts(metrics: Metrics) -> None:
    """A gateway that goes is told of in a line; when it is back the view goes on, and says that counters began anew."""
    with served(told(metrics.text)) as url:
        terminal = Watched(url, "--interval", "0.1", columns=120)
        terminal.wait_for("a/busy")
        terminal.wait_for("rests")
    terminal.wait_for("connection refused")
    again = Metrics()
    again.attempts.labels("e/other", "stream", "answered").inc()
    again.calls.labels("stream", "answered").inc()
    with served(told(again.text), int(url.split(":")[2].partition("/")[0])):
        terminal.wait_for("e/other")
        terminal.wait_for("the counters began anew")
        terminal.type("q")
        assert terminal.ended()[0] == 0


def test_a_server_that_hangs_holds_up_no_key() -> None:
    """While an endpoint says nothing q ends the view at once."""
    over = threading.Event()

    def reply(_: object) -> None:
        over.wait(30)

    with served(reply) as url:
        terminal = Watched(url)
        terminal.wait_for("looking at 127.0.0.1")
        began = time.monotonic()
        terminal.type("q")
        assert terminal.ended()[0] == 0
        assert time.monotonic() - began < 3
        over.set()


def test_keys_of_another_terminal_are_not_needed(path: Path) -> None:
    """With stdin from elsewhere the view is shown, and Ctrl-C ends it."""
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environ = {**os.environ, "TERM": "xterm"}
    process = subprocess.Popen(
        [*COMMAND, "top", str(path)], stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal, env=environ,
        start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    raw = b""
    while b"b/good" not in raw:
        raw += os.read(main, 65536)
    process.send_signal(signal.SIGINT)
    while LEFT.encode() not in raw:
        raw += os.read(main, 65536)
    assert process.wait(60) == 0
    os.close(main)


@pytest.mark.parametrize("columns", [60, 200])
def test_hostile_labels_in_a_terminal(columns: int, metrics: Metrics) -> None:
    """What a hostile server names models reaches the terminal without what could steer it."""
    metrics.attempts.labels("\x1b]0;owned\x07\x1b[2J[bold]evil", "stream", "\x1b[31mwhy\u202e").inc()
    with served(told(metrics.text)) as url:
        terminal = Watched(url, "--interval", "0.1", columns=columns)
        terminal.wait_for("evil")
        terminal.type("q")
        status, raw = terminal.ended()
    assert status == 0
    assert "\x1b]0;" not in raw
    assert "\x07" not in raw
    assert "\u202e" not in raw


def test_a_dumb_terminal_gets_one_view(path: Path) -> None:
    """A terminal that cannot move its cursor gets one view, and the command ends."""
    seen = Terminal("top", str(path), environ={"TERM": "dumb"}).end()
    assert seen.status == 0
    assert ENTERED not in seen.raw
    assert "b/good" in seen.text


# -- the loop --


class Once:
    """Wants to see what is there, and then the end."""

    paused = False

    def __init__(self, waits: int = 3) -> None:
        self.waits = 0
        self._most = waits

    @property
    def over(self) -> bool:
        """Whether it was enough."""
        return self.waits >= self._most

    @over.setter
    def over(self, _: bool) -> None:
        """Take nothing."""

    def wait(self) -> None:
        """Count."""
        self.waits += 1


def test_nothing_is_drawn_twice() -> None:
    """A view that has not changed is not drawn again: a terminal far away is left in peace."""
    looks = iter([Look(0.0, Figures())] * 3 + [Look(1.0, Figures())] * 3)
    drawn: list[object] = []
    console = Console(file=io.StringIO(), width=80, height=24)
    follow("here", lambda: next(looks), Once(6), console, lambda view, **_: drawn.append(view))
    assert len(drawn) == 2


class Broken:
    """A source with a bug."""

    name = "broken"
    looks = 1
    closed = False

    def look(self) -> Look:
        """Fail."""
        raise ZeroDivisionError

    def close(self) -> None:
        """Remember it."""
        self.closed = True


def _ask(poller: Poller, until: float) -> None:
    while time.monotonic() < until:
        poller.latest()


def test_a_bug_is_not_swallowed() -> None:
    """What nobody expected in the thread that looks comes up in the one that has the terminal; the source is closed."""
    source = Broken()
    poller = Poller(source, 1.0)
    poller.start()
    until = time.monotonic() + 60
    with pytest.raises(ZeroDivisionError):
        _ask(poller, until)
    while not source.closed and time.monotonic() < until:
        time.sleep(0.01)
    assert source.closed


def test_handlers_of_signals_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that calls the command in its own process keeps its handlers, also after a bug."""
    monkeypatch.setattr(_keyboard, "is_terminal", lambda _: False)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTSTP)]
    with pytest.raises(ZeroDivisionError):
        watch(Broken(), 1.0, Console(file=io.StringIO(), width=80, height=24, force_terminal=True))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTSTP)] == before


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """See to it that no look outlives its test."""
    yield
    until = time.monotonic() + 10
    while time.monotonic() < until and any(thread.name == "orfallback-top" for thread in threading.enumerate()):
        time.sleep(0.01)
