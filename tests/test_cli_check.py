"""``orfallback check``: every model of the chain, asked at once."""

from __future__ import annotations

import json
import queue
import re
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from terminal import COMMAND, Terminal, heeding, in_terminal

from conftest import Commands
from orfallback import DEFAULT_MODELS, Attempt, Reason, Verdict
from orfallback.cli._check._together import together
from orfallback.cli._check._trial import Result, State, Trial, percentile
from orfallback.cli._watching import Failure
from orfallback.testing import Simulator, answer, cut, drip, empty_deltas, error_in_200, reply, silence, status

KEY = "sk-or-v1-CANARYKEY00000000"
#: A model for each state.
WEATHER = {
    "a/ok": answer("Hello there."),
    "a/busy": status(502, message="too many \x1b[31musers"),
    "a/limited": status(429, headers={"Retry-After": "7"}),
    "a/gone": status(404),
    "a/denied": status(403, message="no", metadata={"provider_name": "SomeHost"}),
    "a/slow": silence("content"),
    "a/broken": cut("content"),
}
NUMBER = {"type": ["number", "null"], "minimum": 0}
TEXT = {"type": ["string", "null"]}
SPREAD = {
    "type": "object",
    "properties": {"p50": NUMBER, "p95": NUMBER},
    "required": ["p50", "p95"],
    "additionalProperties": False,
}
MODEL = {
    "model": {"type": "string"},
    "state": {"enum": [state.value for state in State]},
    "usable": {"type": "boolean"},
    "asked": {"type": "integer", "minimum": 1},
    "answered": {"type": "integer", "minimum": 0},
    "reason": TEXT,
    "status": {"type": ["integer", "null"]},
    "served_model": TEXT,
    "provider": TEXT,
    "first_token": SPREAD,
    "total": SPREAD,
    "tokens_per_second": NUMBER,
    "tokens_counted": {"type": "boolean"},
    "cost": NUMBER,
    "note": {"type": "string"},
    "rests": {"type": ["number", "null"], "exclusiveMinimum": 0},
}
SCHEMA = {
    "type": "object",
    "properties": {
        "base_url": {"type": "string"},
        "stream": {"type": "boolean"},
        "would_use": TEXT,
        "usable": {"type": "integer", "minimum": 0},
        "models": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": MODEL,
                "required": list(MODEL),
                "additionalProperties": False,
            },
        },
    },
    "required": ["base_url", "stream", "would_use", "usable", "models"],
    "additionalProperties": False,
}


@pytest.fixture
def at(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """A simulator that the environment names, with a model for each state, and a key."""
    for model, behaviour in WEATHER.items():
        sim.script(model, behaviour)
    monkeypatch.setenv("OPENROUTER_BASE_URL", sim.base_url)
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    return sim


def models(*names: str) -> list[str]:
    """The options that name models."""
    return [part for name in names for part in ("-m", f"a/{name}")]


def plain(*arguments: str, command: Commands) -> tuple[int, dict[str, Any]]:
    """Run a check with --json, and return its status and what it printed, which is as the schema says."""
    done = command("check", "--json", *arguments)
    printed = json.loads(done.out)
    jsonschema.validate(printed, SCHEMA)
    return done.status, printed


@pytest.mark.parametrize("mode", ["--stream", "--no-stream"])
def test_each_state_is_named(mode: str, at: Simulator, command: Commands) -> None:
    """Models that are ok, busy, limited, gone, denied, slow and broken are named so, in the chain's order."""
    names = ["busy", "limited", "gone", "denied", "slow", "broken", "ok"]
    code, printed = plain(mode, "--deadline", "0.5", *models(*names), command=command)
    assert code == 0
    assert [(each["model"], each["state"]) for each in printed["models"]] == [(f"a/{name}", name) for name in names]
    assert (printed["would_use"], printed["usable"]) == ("a/ok", 1)
    # A hint to ask again is for calls that have nobody else: here each is asked once.
    assert sorted(at.models_asked) == sorted(f"a/{name}" for name in names)


@pytest.mark.parametrize(
    ("behaviour", "state"),
    [
        (empty_deltas(), "slow"),
        (drip("headers"), "slow"),
        (error_in_200(502, after="Hel"), "busy"),
        (error_in_200(429, after="Hel"), "limited"),
        (status(401), "denied"),
        (status(402), "denied"),
        (status(410), "gone"),
        (status(504), "slow"),
        (status(500), "broken"),
        (reply({"choices": []}), "broken"),
        (silence("end"), "slow"),
    ],
)
def test_other_weather(behaviour: Any, state: str, at: Simulator, command: Commands) -> None:
    """What happens inside a 200, or after the first words, is named as what it is."""
    at.script("a/other", behaviour)
    assert plain("--deadline", "0.4", *models("ok", "other"), command=command)[1]["models"][1]["state"] == state


def test_the_table(at: Simulator, command: Commands) -> None:
    """The table says by word and sign how each is, with times, speed, cost and the upstream's words, cleaned."""
    done = command("check", *models("ok", "busy"))
    head, ok, busy = (line.split() for line in done.out.splitlines())
    assert head == ["state", "model", "first", "total", "tokens/s", "cost", "note"]
    assert ok[:3] == ["✓", "ok", "a/ok"]
    assert ok[-3:] == ["$0.000010", "by", "Simulated"]
    assert busy == ["✗", "busy", "a/busy", *["502", "busy:", "too", "many", "[31musers"]]
    assert done.err == "The chain would use a/ok.\n"


@pytest.mark.parametrize(
    ("names", "options", "code"),
    [
        (["busy", "ok"], [], 0),
        (["busy", "ok"], ["--all"], 1),
        (["ok"], ["--all"], 0),
        (["busy", "limited"], [], 1),
        (["busy", "gone"], [], 1),
        (["gone"], [], 3),
    ],
)
def test_exit_statuses(names: list[str], options: list[str], code: int, at: Simulator, command: Commands) -> None:
    """0 if a model is usable, 1 if none is, 3 if the set-up is why; --all: 1 if any is not."""
    assert command("check", *options, *models(*names)).status == code
    assert command("check", "--json", *options, *models(*names)).status == code


def test_a_model_that_is_not_done_in_time(at: Simulator, command: Commands) -> None:
    """A model that answers, and takes longer than it may, is slow, and when it began is told."""
    at.script("a/long", silence("end"))
    done = command("check", "--deadline", "0.4", *models("long"))
    assert "slow" in done.out
    assert re.search(r"answers after 0\.\d\d s, but was not done after 0\.\d+ s", done.out)


def test_when_none_is_usable(at: Simulator, command: Commands) -> None:
    """When no model is usable that is said, with what to do."""
    done = command("check", *models("busy", "limited"))
    assert done.err == "✗ No model is usable now\n  → One of them asks to be left alone for 7 s\n"


def test_the_default_models_may_be_retired(at: Simulator, command: Commands) -> None:
    """A default model that is gone is told as one that may be retired, with the closest names that are served."""
    at.script(DEFAULT_MODELS[3], status(404))
    done = command("check")
    assert done.status == 0
    assert f"may be retired by now; gone: {DEFAULT_MODELS[3]}" in done.err
    assert "Name other models with -m, or in ORFALLBACK_MODELS (instead of mistralai/pixtral-12b: " in done.err


def test_a_typing_error_finds_the_closest(at: Simulator, command: Commands) -> None:
    """A model that nobody serves, for a slip of the finger, leads to the names most like it."""
    at.script("mistralai/mistral-nemmo", status(400, message="mistralai/mistral-nemmo is not a valid model ID"))
    done = command("check", "-m", "mistralai/mistral-nemmo", "-m", "a/ok")
    assert "instead of mistralai/mistral-nemmo: mistralai/mistral-nemo" in done.err


def test_repeat(at: Simulator, command: Commands) -> None:
    """With --repeat each model is asked so often; the state is the most frequent, medians and p95 are told."""
    at.script("a/moody", answer("Hi"), status(502), answer("Hi"), answer("Hi"))
    code, printed = plain("--repeat", "4", *models("moody", "ok"), command=command)
    moody, ok = printed["models"]
    assert (code, moody["state"], moody["asked"], moody["answered"]) == (0, "ok", 4, 3)
    assert moody["note"].startswith("3 of 4 answered; 502 busy")
    assert 0 < ok["total"]["p50"] <= ok["total"]["p95"]
    assert ok["cost"] == pytest.approx(0.00004)
    assert len(at.requests) == 8
    assert "p95" in command("check", "--repeat", "2", *models("ok")).out


def test_all_are_asked_at_once(at: Simulator, command: Commands) -> None:
    """Models that keep one waiting are waited for together, not one after the other."""
    names = [f"slow{number}" for number in range(8)]
    for name in names:
        at.script(f"a/{name}", silence())
    plain("--deadline", "0.5", *models(*names), command=command)
    times = [got.time for got in at.requests]
    # All had arrived before the first was given up.
    assert len(times) == 8
    assert max(times) - min(times) < 0.5


def test_waiting_in_short_glances_loses_nothing(
    at: Simulator, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits looks up again and again, so that Ctrl-C is heard everywhere, and has every result all the same."""
    monkeypatch.setattr("orfallback.cli._check._together._GLANCE", 0.001)
    found = plain("--deadline", "0.2", *models("slow", "ok", "busy"), command=command)[1]["models"]
    assert [each["state"] for each in found] == ["slow", "ok", "busy"]


@pytest.mark.parametrize("error", [queue.Empty, ZeroDivisionError, SystemExit])
def test_what_a_thread_raises_is_raised(error: type[BaseException]) -> None:
    """Whatever the work in a thread raises reaches the one that waits, behind what was made before."""

    def work(thing: int) -> Iterator[int]:
        yield thing
        raise error

    made = together(work, [1], 1)
    assert next(made) == (1, 1)
    with pytest.raises(error):
        next(made)


def test_what_is_asked(at: Simulator, command: Commands) -> None:
    """The question, parameters and a bound for the answer are sent; a parameter of one's own wins."""
    command("check", *models("ok"))
    assert at.requests[-1].body["max_tokens"] == 256
    command("check", "--prompt", "Hm?", "-p", "max_tokens=5", "--no-stream", *models("ok"))
    body = at.requests[-1].body
    assert (body["messages"][0]["content"], body["max_tokens"]) == ("Hm?", 5)
    assert "stream" not in body


def test_an_empty_question(at: Simulator, command: Commands) -> None:
    """A question of nothing is wrong usage, and nobody is asked."""
    done = command("check", "--prompt", " ", *models("ok"))
    assert (done.status, done.out) == (2, "")
    assert "the prompt is empty" in done.err
    assert at.requests == []


@pytest.mark.parametrize("mode", ["--stream", "--no-stream"])
def test_what_is_odd_about_an_answer_is_noted(mode: str, at: Simulator, command: Commands) -> None:
    """An answer that was cut at its longest, or has no text, is an answer; the note says so."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    at.script("a/long", answer("Half an", finish_reason="length"))
    at.script("a/tool", answer("", tool_calls=[call], finish_reason="tool_calls"))
    found = plain(mode, *models("long", "tool", "ok"), command=command)[1]["models"]
    assert [each["state"] for each in found] == ["ok"] * 3
    assert [each["note"] for each in found] == [
        "by Simulated, finish_reason length",
        "by Simulated, no text, finish_reason tool_calls",
        "by Simulated",
    ]


def test_tokens_that_nobody_counted(at: Simulator, command: Commands) -> None:
    """Where the service tells no usage the pieces of the stream are counted, and marked as an estimate."""
    at.script("a/ok", answer("one two three four", usage=False, pace=0.01))
    done = command("check", *models("ok"))
    assert "~" in done.out
    assert plain(*models("ok"), command=command)[1]["models"][0]["tokens_counted"] is False


def test_plugins_count(at: Simulator, command: Commands, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that rejects an answer makes a model unusable here, as it would in the application."""
    (tmp_path / "strict_judge.py").write_text(
        "from orfallback import Reason, Verdict\n"
        "def orfallback_classify(outcome):\n"
        "    return Verdict.fallback(Reason.EMPTY)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    done = command("check", "--plugin", "strict_judge", *models("ok"))
    assert done.status == 1
    assert "broken" in done.out


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_the_width_of_the_terminal(columns: int, colour: bool, at: Simulator) -> None:
    """At any width each model, state and reason can be read, and no line is longer than the terminal."""
    long = "mistralai/mistral-small-24b-instruct-2501"
    environ = {} if colour else {"NO_COLOR": "1"}
    seen = in_terminal("check", "-m", long, *models("busy"), columns=columns, environ=environ)
    assert seen.status == 0
    assert max(len(line.rstrip()) for line in seen.lines if "would use" not in line) <= columns
    told = " ".join(seen.text.split())
    assert f"ok {long}" in told
    assert "502 busy: too many [31musers" in told
    assert ("\x1b[31m" in seen.raw) is colour


def test_a_terminal_without_utf_8(at: Simulator) -> None:
    """A terminal that knows ASCII alone gets stand-ins."""
    environ = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C", "NO_COLOR": "1"}
    seen = in_terminal("check", *models("ok", "busy"), columns=120, environ=environ)
    assert "+ ok" in seen.text
    assert "x busy" in seen.text
    assert seen.raw.replace("\x1b", "").isascii()


def test_ctrl_c(at: Simulator) -> None:
    """Ctrl-C ends a check at once with 130, though a model keeps it waiting."""
    terminal = Terminal("check", *models("slow"))
    terminal.wait_for("a/slow")
    terminal.type("\x03")
    seen = terminal.end()
    assert seen.status == 130
    assert "Traceback" not in seen.text


def test_progress_is_no_data(at: Simulator) -> None:
    """The progress is shown on a terminal alone: stderr in a pipe has the conclusion, and nothing else."""
    done = subprocess.run([*COMMAND, "check", *models("ok")], capture_output=True, text=True, timeout=60)
    assert done.stderr == "The chain would use a/ok.\n"
    assert "a/ok" in done.stdout


def test_a_signal_to_a_process(at: Simulator) -> None:
    """SIGINT to a check in a pipe ends it with 130, too."""
    process = subprocess.Popen(
        heeding(*COMMAND, "check", *models("slow")), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while not at.requests:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in told


# -- figures --


@pytest.mark.parametrize(
    ("values", "share", "found"),
    [
        ([], 0.5, None),
        ([None], 0.95, None),
        ([3.0], 0.95, 3.0),
        ([1.0, None, 3.0], 0.5, 2.0),
        ([float(n) for n in range(1, 101)], 0.95, 95.0),
        ([float(n) for n in range(1, 11)], 0.95, 10.0),
    ],
)
def test_percentiles(values: list[float | None], share: float, found: float | None) -> None:
    """Percentiles are those of the values that are known; the median is the middle."""
    assert percentile(values, share) == found


def test_speed_is_counted_from_the_first_token() -> None:
    """The speed of a stream leaves out the wait for its first token; a whole answer's counts from the start."""
    stream = Trial(Attempt(1, "a", "u", first_token=1.0, elapsed=3.0), tokens=10)
    whole = Trial(Attempt(1, "a", "u", elapsed=2.0), tokens=10)
    assert (stream.tokens_per_second, whole.tokens_per_second) == (5.0, 5.0)
    assert Trial(Attempt(1, "a", "u", first_token=1.0, elapsed=1.0), tokens=10).tokens_per_second is None


def test_of_two_states_as_frequent_the_worse_counts() -> None:
    """Half the answers are not enough to be called ok."""
    bad = Attempt(1, "a", "u", verdict=Verdict.fallback(Reason.BUSY))
    result = Result("a", [Trial(Attempt(1, "a", "u")), Trial(bad, Failure(bad, None))])
    assert result.state is State.BUSY
    assert not result.usable
