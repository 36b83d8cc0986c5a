"""``orfallback chat``: the answer on stdout, everything else on stderr."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import COMMAND, Terminal, heeding, in_terminal

from conftest import Commands
from orfallback import cli
from orfallback.testing import Simulator, answer, error_in_200, reply, silence, status

BUSY, NEXT = "mistralai/mistral-nemo", "mistralai/mistral-small-3.2-24b-instruct"
KEY = "sk-or-v1-CANARYKEY00000000"


@pytest.fixture
def at(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """A simulator that the environment names, whose first model is busy, with a key and without waits."""
    sim.script(BUSY, status(502, message="too many users"))
    sim.default(answer("Blue light scatters most.\nAlways."))
    for name, value in {
        "OPENROUTER_BASE_URL": sim.base_url,
        "OPENROUTER_API_KEY": KEY,
        "ORFALLBACK_DELAY": "0",
    }.items():
        monkeypatch.setenv(name, value)
    return sim


class Keyboard(io.TextIOWrapper):
    """Stands for a terminal on stdin, at which this is typed."""

    def __init__(self, typed: str) -> None:
        super().__init__(io.BytesIO(typed.encode()))

    def isatty(self) -> bool:
        """Say so."""
        return True


class Screen(io.StringIO):
    """Stands for a terminal on stdout."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.mark.parametrize("mode", ["--stream", "--no-stream"])
def test_the_answer_alone_is_on_stdout(mode: str, at: Simulator, command: Commands) -> None:
    """stdout has the answer and a line end; stderr the busy model, and who served."""
    done = command("chat", mode, "Why", "is the sky blue?")
    assert (done.status, done.out) == (0, "Blue light scatters most.\nAlways.\n")
    assert f"{BUSY}  502 busy: too many users" in done.err
    assert f"{NEXT}  answers" in done.err
    assert at.requests[-1].body["messages"] == [{"role": "user", "content": "Why is the sky blue?"}]
    assert at.models_asked == [BUSY, NEXT]


def test_the_answer_goes_into_a_file(at: Simulator, tmp_path: Path) -> None:
    """``orfallback chat "Hi" > out.txt`` leaves the answer alone in the file while the first model is busy."""
    out = tmp_path / "out.txt"
    with out.open("wb") as file:
        done = subprocess.run([*COMMAND, "chat", "Hi"], stdout=file, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 0
    assert out.read_bytes() == b"Blue light scatters most.\nAlways.\n"


def test_quiet_tells_nothing(at: Simulator, command: Commands) -> None:
    """With -q nothing is told of attempts that failed on the way."""
    done = command("chat", "-q", "Hi")
    assert (done.status, done.err) == (0, "")


def test_quiet_tells_why_nobody_answered(at: Simulator, command: Commands) -> None:
    """With -q the error names each model and what it said, for nothing else did."""
    done = command("chat", "-q", "-m", BUSY, "Hi")
    assert done.status == 1
    assert done.err.startswith(f"✗ No model answered: {BUSY}: 502 busy: too many users. Worth another try in 30 s")


def test_verbose_tells_what_it_took(at: Simulator, command: Commands) -> None:
    """With -v tokens, cost and times are told."""
    done = command("chat", "-v", "Hi")
    last = done.err.splitlines()[-1]
    assert last.startswith(f"  {NEXT}, by Simulated, 3 tokens in, 5 tokens out, $0.000010, first token 0.")
    assert "s in all, gen-" in last


def test_options_reach_the_model(at: Simulator, command: Commands) -> None:
    """System message, models and parameters are sent; a value that is JSON as that, else as a string."""
    done = command(
        "chat", "--system", "Be brief.", "-m", "a/one,a/two", "-p", "temperature=0.2", "-p", 'stop=["x"]', "-p",
        "user=bob", "Hi",
    )  # fmt: skip
    assert done.status == 0
    body = at.requests[-1].body
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (body["model"], body["temperature"], body["stop"], body["user"]) == ("a/one", 0.2, ["x"], "bob")


def test_json_prints_the_reply(at: Simulator, command: Commands) -> None:
    """With --json the whole reply is printed, as one line of JSON."""
    done = command("chat", "--json", "Hi")
    assert json.loads(done.out)["choices"][0]["message"]["content"] == "Blue light scatters most.\nAlways."
    assert done.out.count("\n") == 1


# -- the prompt --


def test_the_prompt_from_stdin(at: Simulator, command: Commands) -> None:
    """Without words the prompt is what is on stdin."""
    done = command("chat", stdin="Why is the\nsky blue?\n")
    assert done.status == 0
    assert at.requests[-1].body["messages"] == [{"role": "user", "content": "Why is the\nsky blue?"}]


def test_stdin_stands_where_the_dash_is(at: Simulator, command: Commands) -> None:
    """A dash among the words stands for what is on stdin, set off by blank lines."""
    command("chat", "Explain", "this:", "-", "in one line", stdin="x = 1\n")
    assert at.requests[-1].body["messages"][0]["content"] == "Explain this:\n\nx = 1\n\nin one line"


def test_what_is_no_utf_8_is_replaced(at: Simulator, command: Commands) -> None:
    """Bytes that are no text get a stand-in, no traceback; a byte order mark is dropped."""
    assert command("chat", stdin=b"\xef\xbb\xbfcaf\xe9").status == 0
    assert at.requests[-1].body["messages"][0]["content"] == "caf\ufffd"


def test_a_forgotten_dash_is_told(at: Simulator, tmp_path: Path) -> None:
    """What was redirected in beside a prompt is not read, and that is told; nobody waits for it."""
    (tmp_path / "notes.txt").write_text("notes")
    with (tmp_path / "notes.txt").open() as given:
        done = subprocess.run([*COMMAND, "chat", "Hi"], stdin=given, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert 'put "-" where it belongs' in done.stderr
    reader, writer = os.pipe()
    try:
        # An open pipe into which nobody writes: reading it would wait for ever.
        done = subprocess.run([*COMMAND, "chat", "Hi"], stdin=reader, capture_output=True, text=True, timeout=60)
    finally:
        os.close(reader)
        os.close(writer)
    assert done.returncode == 0
    assert "not read" not in done.stderr


@pytest.mark.parametrize("asks", [True, False], ids=["counts", "cannot count"])
def test_a_forgotten_dash_behind_a_pipe(
    asks: bool, at: Simulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe that holds something is told as a file is; where no system says what it holds, the answer comes alone."""
    if not asks:
        monkeypatch.setitem(sys.modules, "fcntl", None)
    reader, writer = os.pipe()
    os.write(writer, b"notes")
    os.close(writer)
    with os.fdopen(reader) as given:
        monkeypatch.setattr("sys.stdin", given)
        assert cli.run(["chat", "Hi"]) == 0
        assert given.read() == "notes"
    out, err = capsys.readouterr()
    assert out == "Blue light scatters most.\nAlways.\n"
    assert ('put "-" where it belongs' in err) is asks


def test_quiet_tells_of_no_dash(
    at: Simulator, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With -q nothing is told of what was left on stdin."""
    (tmp_path / "notes.txt").write_text("notes")
    with (tmp_path / "notes.txt").open() as given:
        monkeypatch.setattr("sys.stdin", given)
        assert cli.run(["chat", "-q", "Hi"]) == 0
    assert capsys.readouterr().err == ""


def test_a_prompt_that_is_typed(
    at: Simulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dash where stdin is a terminal says what is waited for, and takes what is typed up to Ctrl-D."""
    monkeypatch.setattr("sys.stdin", Keyboard("Why?\nBriefly.\n"))
    assert cli.run(["chat", "-"]) == 0
    assert capsys.readouterr().err.startswith("Reading from the terminal; Ctrl-D ends.\n")
    assert at.requests[-1].body["messages"] == [{"role": "user", "content": "Why?\nBriefly."}]


def test_a_closed_stdin_holds_no_prompt(
    at: Simulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without words and without stdin there is no prompt."""
    monkeypatch.setattr("sys.stdin", None)
    assert cli.run(["chat"]) == 2
    assert "the prompt is empty" in capsys.readouterr().err
    assert at.requests == []


@pytest.mark.parametrize("words", [[], [""], ["  "], ["-"]])
def test_an_empty_prompt(words: list[str], at: Simulator, command: Commands) -> None:
    """A prompt of nothing is wrong usage, and nobody is asked."""
    done = command("chat", *words)
    assert (done.status, done.out) == (2, "")
    assert "the prompt is empty" in done.err
    assert at.requests == []


@pytest.mark.parametrize(
    ("parameter", "told"),
    [
        ("temperature", "'temperature' is not NAME=VALUE"),
        ("=1", "'=1' is not NAME=VALUE"),
        ("stream=true", "stream is no parameter: use --stream"),
        ("model=x", "model is no parameter: use -m"),
        ("headers={}", "headers is no parameter of a call"),
        ("temperature=NaN", "temperature is no JSON"),
    ],
)
def test_wrong_parameters(parameter: str, told: str, at: Simulator, command: Commands) -> None:
    """A parameter that cannot be sent is wrong usage, told in a sentence."""
    done = command("chat", "-p", parameter, "Hi")
    assert done.status == 2
    assert told in done.err
    assert at.requests == []


# -- how it can end --


def test_a_stream_that_breaks(at: Simulator, command: Commands) -> None:
    """A stream that breaks after text leaves the text on stdout, says so on stderr, and ends with 1."""
    at.script("a/one", error_in_200(502, "Provider disconnected", after="The sky is"))
    done = command("chat", "-m", "a/one", "-m", "a/two", "Hi")
    assert (done.status, done.out) == (1, "The sky is\n")
    assert "✗ The stream from a/one broke after 10 characters: 502 busy: Provider disconnected" in done.err
    assert "What came is not the whole answer" in done.err
    assert at.models_asked == ["a/one"]


def test_nobody_answers(at: Simulator, command: Commands) -> None:
    """When no model answers the command ends with 1, and says when another try is worth while."""
    at.script("a/one", status(429, headers={"Retry-After": "7"}))
    done = command("chat", "-m", BUSY, "-m", "a/one", "Hi")
    assert (done.status, done.out) == (1, "")
    assert done.err.endswith("✗ No model answered (2 attempts)\n  → Worth another try in 7 s\n")


def test_the_deadline(at: Simulator, command: Commands) -> None:
    """The deadline ends the call, and is named."""
    at.script("a/one", silence())
    done = command("chat", "--deadline", "0.2", "-m", "a/one", "Hi")
    assert done.status == 1
    assert "The deadline came before an answer (1 attempt)" in done.err


@pytest.mark.parametrize(
    ("finish", "told"), [("length", "cut off at its longest"), ("content_filter", "A filter cut the answer off")]
)
def test_an_answer_that_was_cut(finish: str, told: str, at: Simulator, command: Commands) -> None:
    """An answer that the model's limit or a filter ended is told as such."""
    at.default(answer("Half an", finish_reason=finish))
    done = command("chat", "Hi")
    assert (done.status, done.out) == (0, "Half an\n")
    assert told in done.err


def test_an_answer_without_text(at: Simulator, command: Commands) -> None:
    """An answer of tool calls alone prints nothing, and says where they are to be seen."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    at.default(answer("", tool_calls=[call]))
    done = command("chat", "Hi")
    assert (done.status, done.out) == (0, "")
    assert "No text came, but 1 tool call; see --json" in done.err


def test_a_reader_that_leaves(at: Simulator) -> None:
    """``| head -1`` gets its line, and the command ends without a traceback; the rest is not paid for."""
    at.default(answer(pieces=["one\n", *["more\n"] * 10_000]))
    done = subprocess.run(
        ["/bin/sh", "-c", f"{' '.join(COMMAND)} chat -q Hi | head -1"], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("one\n", "")


def test_ctrl_c_in_the_middle(at: Simulator) -> None:
    """Ctrl-C in the middle of an answer ends with 130, without a traceback; the connection is closed at once."""
    at.default(silence("end", text="The sky is"))
    process = subprocess.Popen(heeding(*COMMAND, "chat", "Hi"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert os.read(process.stdout.fileno(), 3) == b"The"
    process.send_signal(signal.SIGINT)
    out, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in told
    assert out.strip() in (b"sky is", b"sky", b"")
    assert at.wait_idle()
    assert len(at.left_early) == 1


def test_a_closed_stdout(at: Simulator) -> None:
    """With stdout closed nothing is asked for which there is no room: a sentence, and status 1."""
    done = subprocess.run(
        ["/bin/sh", "-c", f"{' '.join(COMMAND)} chat Hi >&-"], stderr=subprocess.PIPE, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "stdout is closed" in done.stderr
    assert "Traceback" not in done.stderr
    assert at.requests == []


@pytest.mark.parametrize("closed", ["2>&-", "<&-"])
def test_other_closed_streams(closed: str, at: Simulator) -> None:
    """Without stderr, or without stdin, the answer comes all the same."""
    done = subprocess.run(
        ["/bin/sh", "-c", f"{' '.join(COMMAND)} chat Hi {closed}"], stdout=subprocess.PIPE, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "Blue light scatters most.\nAlways.\n")


# -- what is looked at --


def test_a_terminal_gets_no_control_sequences(at: Simulator) -> None:
    """What a model or an upstream says cannot steer the terminal; a file gets it as it came."""
    nasty = "Red \x1b[31mtext\x07 and \u202eback\x9b2J"
    at.script("a/bad", status(502, message="busy\x1b[2J\x1b]0;owned\x07"))
    at.default(answer(pieces=[nasty[:5], nasty[5:]]))
    seen = in_terminal("chat", "-m", "a/bad", "-m", "a/one", "Hi", environ={"NO_COLOR": "1"})
    assert seen.status == 0
    assert "Red [31mtext and back2J" in seen.text
    for sequence in ("\x1b[31m", "\x1b[2J", "\x1b]0;", "\x07", "\u202e", "\x9b"):
        assert sequence not in seen.raw
    done = subprocess.run([*COMMAND, "chat", "-m", "a/one", "Hi"], capture_output=True, timeout=60)
    assert done.stdout.decode() == f"{nasty}\n"


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_a_conversation(columns: int, at: Simulator) -> None:
    """In a terminal without a prompt there is a conversation, which remembers what was said."""
    at.default(answer("Fine."))
    terminal = Terminal("chat", "--system", "Be brief.", columns=columns)
    terminal.wait_for("> ")
    terminal.type("How are you?\n")
    terminal.wait_for("Fine.")
    terminal.wait_for("> ")
    terminal.type("Really?\n")
    terminal.wait_for("Fine.")
    terminal.wait_for("> ")
    terminal.type("\x04")
    seen = terminal.end()
    assert seen.status == 0
    assert [message["content"] for message in at.requests[-1].body["messages"]] == [
        "Be brief.", "How are you?", "Fine.", "Really?",
    ]  # fmt: skip
    assert "Traceback" not in seen.text


def test_a_conversation_into_a_file(
    at: Simulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conversation whose stdout is no terminal has the answers alone there, and its prompts on stderr."""
    monkeypatch.setattr("sys.stdin", Keyboard("Why?\nReally?\n"))
    assert cli.run(["chat", "-m", "a/one"]) == 0
    out, err = capsys.readouterr()
    assert out == "Blue light scatters most.\nAlways.\n" * 2
    assert err.count("> ") == 3
    said = [message["content"] for message in at.requests[-1].body["messages"]]
    assert said == ["Why?", "Blue light scatters most.\nAlways.", "Really?"]


def test_a_conversation_without_readline(at: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python has no readline, lines are read all the same."""
    screen = Screen()
    monkeypatch.setitem(sys.modules, "readline", None)
    monkeypatch.setattr("sys.stdin", Keyboard("Why?\n"))
    monkeypatch.setattr("sys.stdout", screen)
    assert cli.run(["chat", "-m", "a/one"]) == 0
    assert screen.getvalue() == "> Blue light scatters most.\nAlways.\n> "


def test_ctrl_c_stops_an_answer_and_goes_on(at: Simulator) -> None:
    """In a conversation Ctrl-C stops the answer; what came of it is remembered."""
    at.default(silence("end", text="The sky is"))
    terminal = Terminal("chat", "-m", "a/one")
    terminal.wait_for("> ")
    terminal.type("Why?\n")
    terminal.wait_for("The sky is")
    at.default(answer("Fine."))
    terminal.type("\x03")
    terminal.wait_for("stopped")
    terminal.wait_for("> ")
    terminal.type("Go on\n")
    terminal.wait_for("Fine.")
    terminal.type("/quit\n")
    assert terminal.end().status == 0
    assert [message["content"] for message in at.requests[-1].body["messages"]] == ["Why?", "The sky is", "Go on"]


def test_nothing_shows_the_key(at: Simulator, command: Commands) -> None:
    """The key is sent, and shown by nothing that is printed."""
    at.script("a/echo", reply({"error": {"message": f"no such key {KEY}", "code": 401}}, code=401))
    done = command("chat", "-v", "-m", "a/echo", "Hi")
    assert done.status == 3
    assert at.requests[-1].authorized
    assert "CANARYKEY" not in done.out + done.err
    assert "…0000 of OPENROUTER_API_KEY" in done.err
