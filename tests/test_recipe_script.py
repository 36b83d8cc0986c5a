"""The recipe of a script, as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from recipes import PATIENCE, recipe

from orfallback.testing import Behaviour, Gate, Simulator, answer, cut, status

QUESTION = "Why is the CANARYPROMPT blue?"
BUSY, GOOD = "a/busy", "b/good"


@contextmanager
def script(*arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Start the script."""
    command = [sys.executable, str(recipe("ask.py")), *arguments]
    pipe = subprocess.PIPE
    environ = {**os.environ, **variables}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environ, encoding="utf-8") as process:
        try:
            yield process
        finally:
            process.kill()


def ran(*arguments: str, stdin: str = "", **variables: str) -> tuple[int, str, str]:
    """Run the script to its end, and return exit status, stdout and stderr."""
    with script(*arguments, **variables) as process:
        out, err = process.communicate(stdin, PATIENCE)
        return process.returncode, out, err


@pytest.fixture(autouse=True)
def _environment(at: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first model is busy, and nobody waits."""
    monkeypatch.setenv("ORFALLBACK_MODELS", f"{BUSY},{GOOD}")
    monkeypatch.setenv("ORFALLBACK_DELAY", "0")
    # It would flush for the script.
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    at.script(BUSY, status(502))


def test_the_answer_alone_is_on_stdout(at: Simulator) -> None:
    """While the first model is busy the second one answers, and nothing else is written."""
    assert ran(QUESTION) == (0, "Hello from the simulator.\n", "")
    assert at.models_asked == [BUSY, GOOD]


def test_the_question_may_stand_on_stdin(at: Simulator) -> None:
    """Without an argument the question is read from stdin, to its end."""
    assert ran(stdin="What is\n§ 7?")[0] == 0
    assert at.requests[-1].body["messages"][-1]["content"] == "What is\n§ 7?"


def test_the_answer_is_shown_while_it_comes(at: Simulator) -> None:
    """Each piece is on stdout before the model is let to say the next one."""
    gate = Gate()
    at.script(GOOD, answer("one two", gate=gate, role_first=False))
    with script(QUESTION) as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == "one "
        gate.open(5)
        assert process.stdout.read() == "two\n"
        assert process.wait(PATIENCE) == 0


def test_what_stdout_cannot_take_is_replaced(at: Simulator) -> None:
    """A character that the encoding of stdout lacks costs that character, not the answer."""
    at.script(GOOD, answer("7 € are fine"))
    assert ran(QUESTION, PYTHONIOENCODING="ascii", PYTHONUTF8="0") == (0, "7 ? are fine\n", "")


@pytest.mark.parametrize(
    ("behaviour", "code", "out", "err"),
    [
        (status(503), 3, "", "no model answered: a/busy: 502 busy: "),
        (status(401), 1, "", "the call was rejected: "),
        (cut("content", text="The sky is"), 4, "The sky is\n", "the stream broke after 10 characters: "),
    ],
    ids=["nobody", "rejected", "broken"],
)
def test_what_failed_is_told_apart(behaviour: Behaviour, code: int, out: str, err: str, at: Simulator) -> None:
    """Nobody, not so, and broken off have an exit status each; stderr tells what was tried, in one line."""
    at.script(GOOD, behaviour)
    told = ran(QUESTION)
    assert told[:2] == (code, out)
    assert told[2].startswith(f"ask: {err}")
    assert told[2].count("\n") == 1
    assert "CANARY" not in told[2]


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [((" ",), {}), ((QUESTION,), {"ORFALLBACK_DELAY": "soon"}), ((QUESTION,), {"ORFALLBACK_PLUGINS": "nobodys"})],
    ids=["no question", "variable", "plugin"],
)
def test_wrong_use(arguments: tuple[str, ...], variables: dict[str, str], at: Simulator) -> None:
    """A missing question and a variable that cannot be meant are told in a line, and nobody is asked."""
    code, out, err = ran(*arguments, **variables)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert at.requests == []


def test_ctrl_c_ends_the_answer_upstream(at: Simulator) -> None:
    """Ctrl-C ends with 130 without a traceback, and closes the connection to the model."""
    at.script(GOOD, answer("one two", gate=Gate(), role_first=False))
    with script(QUESTION) as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == "one "
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert at.wait_idle(PATIENCE)
    assert [received.model for received in at.left_early] == [GOOD]


def test_a_reader_that_leaves_ends_the_answer_upstream(at: Simulator) -> None:
    """``| head`` ends the script at the next words, without a traceback, and the answer with it."""
    gate = Gate()
    at.script(GOOD, answer("one two three four five six", gate=gate, role_first=False))
    with script(QUESTION) as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == "one "
        process.stdout.close()
        gate.open(1)
        assert process.wait(PATIENCE) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert at.wait_idle(PATIENCE)
    assert [received.model for received in at.left_early] == [GOOD]
