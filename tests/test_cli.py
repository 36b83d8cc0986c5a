"""The command line, as processes of their own."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from terminal import heeding

ANSWER = "Sunlight holds every colour."
DEMO = [sys.executable, "-m", "orfallback", "demo"]


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        arguments, capture_output=True, text=True, encoding="utf-8", timeout=60, env={**os.environ, **environ}
    )


def test_demo_shows_a_fallback() -> None:
    """The demo puts the answer alone on stdout, and on stderr each attempt, who served, and what to do next."""
    done = run(*DEMO, "--delay", "0")
    assert done.returncode == 0
    assert done.stdout.startswith(ANSWER)
    assert done.stdout.count("\n") == 2
    told = " ".join(done.stderr.split())
    assert re.search(r"\d+\.\d\d s mistralai/mistral-nemo 502 busy: mistralai/mistral-nemo is busy", told)
    assert re.search(r"\d+\.\d\d s mistralai/mistral-small-3.2-24b-instruct connection: ", told)
    assert re.search(r"\d+\.\d\d s mistralai/mistral-small-24b-instruct-2501 answers", told)
    assert "Served by mistralai/mistral-small-24b-instruct-2501 after 3 attempts" in told
    assert "OPENROUTER_API_KEY" in told
    assert "\x1b[" not in done.stderr


def test_demo_asks_again() -> None:
    """A second question goes straight to the model that is well, and the demo says why."""
    done = run(*DEMO, "--delay", "0")
    told = " ".join(done.stderr.split())
    rests = r"rests for [\d.]+ s, until \d\d:\d\d:\d\d"
    why = r"The chain remembers who was busy, so the next question goes to another one at once: "
    why += rf"mistralai/mistral-nemo {rests} \(busy\) "
    why += rf"mistralai/mistral-small-3\.2-24b-instruct {rests} \(connection\) "
    match = re.search(why, told)
    assert match is not None, told
    rest = told[match.end() :]
    assert rest.count(" answers") == 1
    assert "busy" not in rest
    assert "Served by mistralai/mistral-small-24b-instruct-2501 after 1 attempt and" in rest


def test_demo_takes_a_question() -> None:
    """A question of one's own is asked."""
    done = run(*DEMO, "--delay", "0", "Who are you?")
    assert done.returncode == 0
    assert "Question: Who are you?" in done.stderr
    assert done.stdout.strip()


def test_demo_waits_two_seconds() -> None:
    """Without an option the demo waits as a chain does: two seconds after each failure."""
    started = time.monotonic()
    done = run(*DEMO)
    assert time.monotonic() - started >= 4
    assert done.stderr.count("waiting 2 s") == 2


def test_the_script_is_installed() -> None:
    """``orfallback`` is a command, and tells its version."""
    script = Path(sys.executable).with_name("orfallback")
    done = run(str(script), "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert "0.1.0" in done.stdout


def test_wrong_usage() -> None:
    """Wrong usage ends with status 2 and a sentence, no traceback."""
    done = run(sys.executable, "-m", "orfallback", "demmo")
    assert done.returncode == 2
    assert "demmo" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_question() -> None:
    """A question of nothing is wrong usage."""
    done = run(*DEMO, "")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the question is empty" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "at once"])
@pytest.mark.parametrize("arguments", [("demo", "--delay", "0"), ("plugins",), ("--version",)], ids=lambda it: it[0])
def test_a_full_disk(arguments: tuple[str, ...], unbuffered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written is told in a sentence, with status 1, also where it was to be written at the very end."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "orfallback", *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 1
    assert "could not be: No space left" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra(missing: str, tmp_path: Path) -> None:
    """Without the extra the command says what to install, with status 3 and no traceback."""
    (tmp_path / f"{missing}.py").write_text(f"raise ImportError('no {missing}', name='{missing}')\n")
    done = run(*DEMO, PYTHONPATH=str(tmp_path))
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr == f'The command line needs {missing}: pip install "orfallback[cli]"\n'


def test_a_closed_pipe_is_quiet() -> None:
    """A reader that leaves ends the demo without a traceback."""
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m orfallback demo --delay 0 | head -c 1"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == ANSWER[0]
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr


def test_ctrl_c_ends_with_130() -> None:
    """Ctrl-C in a wait ends the demo with status 130 and no traceback."""
    process = subprocess.Popen(
        heeding(*DEMO, "--delay", "30"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "waiting" in line:
            break
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in told
    assert "cancelled" not in told


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_in_a_terminal(environ: dict[str, str], coloured: bool) -> None:
    """A terminal gets colour, unless NO_COLOR is set."""
    main, terminal = pty.openpty()
    try:
        clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
        process = subprocess.Popen(
            [*DEMO, "--delay", "0"],
            stdout=subprocess.DEVNULL,
            stderr=terminal,
            env={**clean, "TERM": "xterm", **environ},
        )
        os.close(terminal)
        told = b""
        while True:
            try:
                piece = os.read(main, 4096)
            except OSError:
                break  # Linux's way of saying that the terminal's other end was closed.
            if not piece:
                break
            told += piece
        assert process.wait(60) == 0
    finally:
        os.close(main)
    assert (b"\x1b[31m" in told) is coloured


def test_a_terminal_without_utf_8() -> None:
    """A terminal that knows ASCII alone gets stand-ins for signs, not a traceback."""
    done = run(*DEMO, "--delay", "0", PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert done.returncode == 0
    assert re.search(r"x \d+\.\d\d s  mistralai/mistral-nemo", done.stderr)
    assert done.stderr.isascii()
