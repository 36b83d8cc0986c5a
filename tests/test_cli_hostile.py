"""Commands in a hostile world: what servers, shells, plugins and users can do to them."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from terminal import COMMAND, Terminal, in_terminal

from conftest import KEY, Commands
from orfallback import Attempt, _reply, cli
from orfallback._usage import cost_of, tokens_of
from orfallback.cli._check._trial import Result, Trial
from orfallback.cli._console import Narrator, span
from orfallback.cli._reading import LONGEST
from orfallback.cli._shown import shown
from orfallback.testing import Simulator, answer, reply, silence, status

NASTY = "\x1b[2Jowned\x07 \u202e[bold]x[/] [link=http://x]y[/link] :smile:"


@pytest.fixture
def at(at: Simulator, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """A simulator that the environment names, with a key, and without waits."""
    monkeypatch.setenv("ORFALLBACK_DELAY", "0")
    return at


def completion(**more: Any) -> dict[str, Any]:
    """A good reply, with further members."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    return {"id": "gen-1", "choices": [choice], **more}


# -- keys and passwords --


@pytest.mark.parametrize("name", ["", " ", KEY, "MY KEY", "1X", "A=B"])
def test_a_variable_s_name_is_one(
    name: str, sim: Simulator, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--key-env takes the name of a variable: what is none, the key itself above all, is refused and not shown."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    done = command("chat", "--key-env", name, "--base-url", sim.base_url, "Hi")
    assert done.status == 2
    assert "name of a variable" in done.err
    assert "CANARYKEY" not in done.err
    assert sim.requests == []


def test_a_key_cut_short_is_not_shown(at: Simulator, command: Commands) -> None:
    """A server that sends back a part of the key, or puts it where names belong, does not bring it to the screen."""
    at.script("a/cut", status(401, message=f"bad key {KEY[:22]}"))
    at.script("a/named", reply(completion(model=f"{KEY}/b", provider=KEY.upper())))
    at.script("a/gone", status(404))
    at.script("GET /models", reply({"data": [{"id": f"{KEY}/gone"}, {"id": "a/gone2"}]}))
    told = ""
    for model in ("a/cut", "a/named", "a/gone"):
        done = command("chat", "-v", "--no-stream", "-m", model, "Hi")
        told += done.out + done.err
        done = command("check", "--no-stream", "-m", model)
        told += done.out + done.err
        done = command("check", "--no-stream", "--json", "-m", model)
        told += done.out + done.err
    assert "canarykey" not in told.lower()
    assert "a/gone2" in told


@pytest.mark.parametrize(
    "url",
    [
        "http://h/v1?key=a@CANARYKEY",
        "http://user:CANARYKEY@h/v1?x",
        "http://us er:CANARYKEY",
        "http://h:CANARYKEY/v1",
        f"{KEY}",
    ],
)
def test_a_wrong_url_shows_no_secret(url: str, command: Commands) -> None:
    """What of a wrong base URL may be a password or a key is not told again."""
    done = command("chat", "--base-url", url, "Hi")
    assert done.status == 3
    assert "CANARYKEY" not in done.err


@pytest.mark.parametrize(
    "proxy",
    [
        "http://user:CANARYKEY@",
        "http://127.0.0.1:9/?token=CANARYKEY",
        "http://user:CANARYKEY@127.0.0.1:9",
        "http://user:CANARYKEY",
    ],
)
@pytest.mark.parametrize("arguments", [("chat", "Hi"), ("check",), ("doctor",)])
def test_a_proxy_that_is_none(
    arguments: tuple[str, ...], proxy: str, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy without a host, or with a secret in it, is told as a proxy that fails, and without the secret."""
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("ORFALLBACK_DELAY", "0")
    done = command(*arguments, "--base-url", "http://model.example/v1")
    assert done.status == (1 if arguments == ("doctor",) else 3)
    assert "HTTP_PROXY" in done.out + done.err
    assert "CANARYKEY" not in done.out + done.err


def test_what_is_hidden() -> None:
    """Text is shown on one line, without control characters, within its bound."""
    assert shown("a\x1b[31m\nb") == "a [31m b"
    assert len(shown("x" * 10_000)) == 500


# -- numbers --


NUMBERS: list[Any] = [10**400, -1, True, "1", None, [1], math.inf, math.nan, 1e308]


@pytest.mark.parametrize("number", NUMBERS)
def test_nonsense_is_no_amount(number: Any) -> None:
    """What a service says of cost and tokens counts where it is an amount, and nowhere else."""
    assert cost_of({"cost": number}) is None
    assert tokens_of({"completion_tokens": number}) is None
    assert (cost_of({"cost": 0.5}), tokens_of({"completion_tokens": 7})) == (0.5, 7)


@pytest.mark.parametrize("number", ["1e999", "NaN", "-Infinity", "true", '"x"', "9" * 400, "1e308"])
def test_nonsense_breaks_no_command(number: str, at: Simulator, command: Commands) -> None:
    """Usage that is nonsense neither breaks a command nor gets into its JSON."""
    usage = f'{{"cost": {number}, "completion_tokens": {number}, "prompt_tokens": {number}}}'
    body = json.dumps(completion())[:-1] + f', "usage": {usage}}}'
    at.default(reply(body.encode()))
    assert command("chat", "-v", "--no-stream", "Hi").status == 0
    done = command("chat", "--json", "--no-stream", "Hi")
    json.loads(done.out, parse_constant=pytest.fail)
    done = command("check", "--json", "--repeat", "2", "--no-stream", "-m", "a/b")
    assert done.status == 0
    assert json.loads(done.out, parse_constant=pytest.fail)["models"][0]["cost"] is None


def test_json_of_nonsense() -> None:
    """NaN and infinity become null, wherever they stand."""
    told = {"a": [math.nan, 1.5, {"b": math.inf}], "c": "NaN"}
    assert _reply.finite(told) == {"a": [None, 1.5, {"b": None}], "c": "NaN"}


@pytest.mark.parametrize(
    ("seconds", "told"), [(7, "7 s"), (1.25, "1.25 s"), (90, "90 s"), (600, "10 min"), (86_400, "24 h")]
)
def test_lengths_of_time(seconds: float, told: str) -> None:
    """A length of time is told in words that nobody has to compute."""
    assert span(seconds) == told


# -- what reaches a terminal --


def test_names_from_servers_steer_no_terminal(at: Simulator) -> None:
    """Models and providers named by a server, and ids of one's own with markup, are shown as what they are."""
    at.default(reply(completion(model=NASTY, provider=NASTY)))
    model = "[link=http://x]a/b[/link]"
    for arguments in (("chat", "-v", "--no-stream", "-m", model, "Hi"), ("check", "--no-stream", "-m", model)):
        seen = in_terminal(*arguments, columns=200, environ={"NO_COLOR": "1"})
        assert seen.status == 0
        assert "Traceback" not in seen.text
        assert "[link=http://x]" in seen.text
        for sequence in ("\x1b[2J", "\x07", "\u202e", "\x1b]8", "\U0001f604"):
            assert sequence not in seen.raw
        assert ":smile:" in seen.text


def test_names_from_servers_in_json(at: Simulator, command: Commands) -> None:
    """The JSON of a check holds such names cleaned, too: it is often shown."""
    at.default(reply(completion(model=NASTY, provider=NASTY)))
    model = json.loads(command("check", "--json", "--no-stream", "-m", "a/b").out)["models"][0]
    for name in ("served_model", "provider", "note"):
        assert not {"\x1b", "\x07", "\u202e"} & set(model[name])


@pytest.mark.parametrize("model", ["a[/b]", "[bold]", ":smile:/x"])
def test_markup_in_a_model_s_id(model: str, at: Simulator) -> None:
    """A model's id is no markup, in the progress either."""
    seen = in_terminal("check", environ={"ORFALLBACK_MODELS": model})
    assert seen.status == 0
    assert model in seen.text


def test_what_was_typed_is_told_again_harmlessly(command: Commands) -> None:
    """An argument with control sequences, pasted perhaps, is told again without them."""
    done = command("explain", "--body", "/tmp/\x1b]0;owned\x07x")
    assert done.status == 2
    assert not {"\x1b", "\x07"} & set(done.err)


# -- streams --


@pytest.mark.parametrize(
    "command_line", ["demo --delay 0", "plugins", "explain --status 502", "doctor --offline", "-h"]
)
def test_a_closed_stdout_is_told(command_line: str) -> None:
    """With stdout closed every command ends with 1, and says so."""
    done = subprocess.run(
        ["/bin/sh", "-c", f"{' '.join(COMMAND)} {command_line} >&-"], stderr=subprocess.PIPE, text=True, timeout=60
    )
    assert (done.returncode, "stdout is closed" in done.stderr) == (1, True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize(("arguments", "code"), [(["chat", "-p", "x"], 2), (["chat", "Hi"], 3)])
def test_a_full_stderr_changes_no_status(arguments: list[str], code: int) -> None:
    """Where an error cannot be told its status is still the right one."""
    environ = {name: value for name, value in os.environ.items() if name != "OPENROUTER_API_KEY"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=full, env=environ,
            timeout=60,
        )  # fmt: skip
    assert done.returncode == code


@pytest.mark.parametrize(
    "arguments",
    [("chat", "-"), ("explain", "--body", "-"), ("explain", "--response", "-"), ("simulate", "--script", "-")],
)
def test_input_without_end(arguments: tuple[str, ...], at: Simulator) -> None:
    """More on stdin than anybody means is refused, and not read on."""
    with Path("/dev/zero").open("rb") as endless:
        done = subprocess.run([*COMMAND, *arguments], stdin=endless, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"is longer than {LONGEST // 1024 // 1024} MB" in done.stderr


def test_input_that_cannot_be_read(
    at: Simulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stdin that nobody can read, here one that is open for writing alone, is told with the system's reason."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "rb") as unreadable:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(unreadable))
        status = cli.run(["chat"])
    os.close(reader)
    assert status == 2
    assert "what is on stdin cannot be read: Bad file descriptor" in capsys.readouterr().err
    assert at.requests == []


def test_a_coloured_pipe_keeps_whole_lines(at: Simulator, command: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """FORCE_COLOR makes no terminal of a pipe: there is no end of a line to break at."""
    at.script("a/busy", status(502, message="x" * 300))
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("FORCE_COLOR", "1")
    done = command("check", "-m", "a/busy", "-m", "a/ok")
    assert "x" * 300 in done.out


# -- what users and their shells do --


@pytest.mark.parametrize("model", ["", " ", ",", " , "])
def test_a_model_that_is_empty(model: str, at: Simulator, command: Commands) -> None:
    """-m with a variable of the shell that is not set asks nobody, least of all the default models."""
    for arguments in (("chat", "Hi"), ("check",)):
        done = command(*arguments, "-m", model)
        assert done.status == 2
        assert "a model's id is not empty" in done.err
    assert at.requests == []


@pytest.mark.parametrize(("option", "value"), [("--deadline", "nope"), ("--deadline", "nan"), ("--delay", "nan")])
def test_seconds_that_are_none(option: str, value: str, command: Commands) -> None:
    """What is no number of seconds is told as such."""
    done = command("chat", option, value, "Hi")
    assert done.status == 2
    assert f"{value!r} is no" in done.err.replace("is not a", "is no") or "number of seconds" in done.err


def test_a_command_that_is_misspelt(command: Commands) -> None:
    """A slip of the finger in a command leads to the one that was meant."""
    done = command("chta", "Hi")
    assert done.status == 2
    assert "did you mean 'chat'?" in done.err


def test_a_command_that_there_is_not(command: Commands) -> None:
    """A command that is like none is told as such."""
    done = command("frobnicate")
    assert (done.status, done.out) == (2, "")
    assert "No such command 'frobnicate'" in done.err


def test_a_refusal_is_told(at: Simulator, command: Commands) -> None:
    """What a model said to refuse is told, also to whoever wants quiet; check notes it."""
    at.default(answer("", refusal="I cannot do that."))
    done = command("chat", "-q", "Hi")
    assert (done.status, done.out, done.err) == (0, "", "! The model refused: I cannot do that.\n")
    assert "it refused" in command("check", "-m", "a/b").out


@pytest.mark.parametrize(
    ("code", "message", "mend"),
    [
        (400, "odd", "look at -p"),
        (400, "This endpoint's maximum context length is 5 tokens", "too long"),
        (403, "Request blocked: policy", "A filter refused it"),
    ],
)
def test_a_request_that_is_refused_for_what_it_is(
    code: int, message: str, mend: str, at: Simulator, command: Commands
) -> None:
    """A request that no other moment would mend is told with what would."""
    at.default(status(code, message=message))
    done = command("chat", "-m", "a/a", "-m", "b/b", "Hi")
    assert done.status == 1
    assert mend in done.err.splitlines()[-1]
    assert "Another time would not help" in command("check", "-m", "a/a").err


def test_a_model_behind_one_that_ends_the_chain(at: Simulator, command: Commands) -> None:
    """Where a verdict on one model reaches all, check says that the chain would end there, as chat does."""
    at.script("a/nokey", status(401))
    done = command("check", "--json", "-m", "a/nokey", "-m", "a/ok")
    printed = json.loads(done.out)
    assert (printed["would_use"], printed["usable"]) == (None, 1)
    assert "The chain would end at a/nokey (denied): a/ok would not be asked" in done.err
    assert command("chat", "-m", "a/nokey", "-m", "a/ok", "Hi").status == 3
    assert json.loads(command("check", "--json", "-m", "a/ok", "-m", "a/nokey").out)["would_use"] == "a/ok"


def test_check_asks_each_model_once(at: Simulator, command: Commands) -> None:
    """Also where a verdict lets a model be asked again in the same call, the first word counts."""
    at.script("a/held", status(402, headers={"Retry-After": "0"}))
    assert command("check", "-m", "a/held").status == 1
    assert len(at.requests) == 1


def test_a_dead_model_is_no_substitute(at: Simulator, command: Commands) -> None:
    """What to ask instead is neither the model itself nor another that fails."""
    at.script("mistralai/pixtral-12b", status(404))
    at.script("mistralai/mistral-nemo", status(502))
    done = command("check", "-m", "mistralai/pixtral-12b", "-m", "mistralai/mistral-nemo", "-m", "a/ok")
    mend = done.err.splitlines()[-1]
    assert "instead of" not in mend or "mistralai/pixtral-12b," not in mend.partition("instead of")[2].partition(":")[2]
    assert "mistralai/mistral-nemo" not in mend


def test_the_list_of_models_is_asked_for_once(at: Simulator, command: Commands) -> None:
    """However many models are gone, the endpoint is asked once for those that are not."""
    at.default(status(404))
    command("chat", "-m", "a/a", "-m", "b/b", "-m", "c/c", "Hi")
    assert sum(got.path.endswith("/models") for got in at.requests) == 1


# -- plugins --


def test_a_plugin_that_fails_while_it_watches(
    at: Simulator, tmp_path: Path, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watching plugin that raises is told with its name; the answer comes all the same."""
    (tmp_path / "booming.py").write_text("def orfallback_attempt_finished(attempt):\n    raise RuntimeError('boom')\n")
    monkeypatch.syspath_prepend(tmp_path)
    done = command("chat", "--plugin", "booming", "Hi")
    assert done.status == 0
    assert "! plugin booming failed in orfallback_attempt_finished" in done.err
    assert "(RuntimeError: boom)" in done.err


@pytest.mark.parametrize("arguments", [("explain", "--status", "502"), ("check", "-m", "a/b")])
def test_a_plugin_that_lets_nobody_be_asked(
    arguments: tuple[str, ...], at: Simulator, tmp_path: Path, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a plugin passes everybody over, that is said."""
    (tmp_path / "nobody.py").write_text("def orfallback_admit():\n    return 1e6\n")
    monkeypatch.syspath_prepend(tmp_path)
    done = command(*arguments, "--plugin", "nobody")
    assert done.status == 1
    assert "A plugin lets nobody be asked" in done.err


def test_a_last_resort_is_no_answer(
    at: Simulator, tmp_path: Path, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a plugin answers in the place of all models makes no model ok."""
    (tmp_path / "resort.py").write_text("def orfallback_exhausted():\n    return 'Sorry.'\n")
    monkeypatch.syspath_prepend(tmp_path)
    at.default(status(502))
    done = command("check", "--plugin", "resort", "-m", "a/b")
    assert (done.status, "busy" in done.out) == (1, True)
    assert "the last resort of a plugin" in command("explain", "--plugin", "resort", "--status", "502").out


@pytest.mark.parametrize("asked", [True, False], ids=["asked", "nobody asked"])
def test_a_last_resort_is_told_as_one(
    asked: bool, at: Simulator, tmp_path: Path, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a plugin answers in the place of all models is not told as an answer of the last one, or of none."""
    name = f"resort_{asked}"
    (tmp_path / f"{name}.py").write_text(
        f"def orfallback_admit():\n    return {None if asked else 1e6}\n\n\n"
        "def orfallback_exhausted():\n    return 'Sorry.'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    at.default(status(502))
    done = command("chat", "-v", "--plugin", name, "-m", "a/b", "Hi")
    assert (done.status, done.out) == (0, "Sorry.\n")
    assert done.err.splitlines()[-1] == "  the last resort of a plugin"
    assert len(at.requests) == asked


# -- explain --


def test_explain_knows_the_deadline(command: Commands) -> None:
    """A wait that would end behind the deadline is not waited, here as in a call."""
    done = command("explain", "-m", "a/b", "-m", "c/d", "--deadline", "3", "--delay", "5", "--status", "502")
    assert "DeadlineExceeded after 1 attempt" in done.out


@pytest.mark.parametrize("option", ["--body", "--sse", "--response"])
def test_explain_takes_a_recording_for_what_it_is(option: str, command: Commands) -> None:
    """A stream is known by what it says of itself or how it begins, a whole response by its first line."""
    stream = 'data: {"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}\n\n'
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Title: \u00c5ngstr\u00f6m\r\n\r\n"
    assert "an answer" in command("explain", option, "-", stdin=head + stream).out
    if option != "--response":
        assert "an answer" in command("explain", option, "-", stdin=stream).out


def test_a_body_that_speaks_of_http(command: Commands) -> None:
    """A body that begins like a response is a body where a response came before it."""
    done = command("explain", "--json", "--response", "-", stdin="HTTP/1.1 502 Bad\n\nHTTP/1.1 is what I speak")
    assert json.loads(done.out)["status"] == 502


def test_no_content_has_no_body(command: Commands) -> None:
    """A 204 has no body, whatever was recorded."""
    told = [command("explain", "--json", "--status", "204", "--body", "-", stdin=body).out for body in ("", "{}")]
    assert told[0] == told[1]


# -- terminals --


def test_waiting_is_shown(at: Simulator) -> None:
    """While a model keeps one waiting the terminal says whom."""
    at.default(silence())
    terminal = Terminal("chat", "-m", "a/slow", "Hi")
    terminal.wait_for("asking a/slow")
    terminal.type("\x03")
    assert terminal.end().status == 130


def test_words_are_not_broken(at: Simulator) -> None:
    """Sentences break between words, as the terminal would not."""
    at.script("a/busy", status(502, message="one two three four five six seven eight nine ten eleven twelve"))
    seen = in_terminal("chat", "-m", "a/busy", "Hi", columns=40, environ={"NO_COLOR": "1"})
    words = " ".join(seen.text.split())
    assert "one two three four five six seven eight nine ten eleven twelve" in words
    assert max(len(line.rstrip()) for line in seen.lines) <= 40


def test_quiet_leaves_what_has_to_be_known() -> None:
    """Who wants quiet is told what went wrong, and what has to be known; nothing else."""
    told = io.StringIO()
    narrator = Narrator(Console(file=told), quiet=True)
    narrator.say("said")
    narrator.note("noted")
    narrator.mend("mended")
    narrator.attempt(Attempt(1, "a", "u"))
    narrator.waits(2.0, "a")
    assert told.getvalue() == ""
    narrator.warn("warned")
    narrator.fail("failed", "do this")
    assert told.getvalue() == "! warned\n✗ failed\n  → do this\n"


def test_the_speed_of_what_came_at_once() -> None:
    """An answer that came all at once has no speed that would mean anything."""
    assert Trial(Attempt(1, "a", "u", first_token=0.01, elapsed=0.02), tokens=100).tokens_per_second is None
    assert Result("a", [Trial(Attempt(1, "a", "u"))]).verdict is None
