"""``orfallback explain``: the verdict that the chain itself gives."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import requests
from rows import ELSEWHERE, ROWS, Row
from terminal import in_terminal

from conftest import Commands
from orfallback import Call, Chain, FallbackError, Fault, Outcome, StreamInterrupted, Timeouts, Verdict, hookimpl
from orfallback._classify import row_for
from orfallback._signal import Signal
from orfallback.testing import FakeClock, Simulator, answer, cut, error_in_200, events

MODELS = ("first/model:free", "twin/model:free", "last/model")
NAMED = [part for model in MODELS for part in ("-m", model)]
CASES = [pytest.param(row, mode, id=f"{row.id} [{mode}]") for row in ROWS for mode in row.modes]


class Watcher:
    """Remembers the first outcome and its verdict."""

    outcome: Outcome | None = None
    verdict: Verdict | None = None
    number = ""

    @hookimpl(wrapper=True)
    def orfallback_classify(self, call: Call, outcome: Outcome) -> Generator[None, Verdict | None, Verdict | None]:
        """See both, and the row that the chain's own classifier finds."""
        verdict = yield
        if self.outcome is None:
            self.outcome, self.verdict = outcome, verdict
            self.number = row_for(Signal(call, outcome)).number
        return verdict


def asked(sim: Simulator, row: Row, mode: str, clock: FakeClock) -> tuple[Watcher, list[str]]:
    """Let a chain meet the row, and return what it judged and whom it asked."""
    watcher = Watcher()
    timeouts = Timeouts(**dict(row.timeouts))
    # As a chain from the environment, whose clock tells the time of day.
    clock.now = time.time()
    with Chain(MODELS, base_url=sim.base_url, clock=clock, plugins=[watcher], timeouts=timeouts) as chain:
        try:
            if mode == "stream":
                chain.stream("?").read()
            else:
                chain.complete("?")
        except FallbackError:
            pass
    return watcher, sim.models_asked


def recorded(sim: Simulator, mode: str) -> tuple[int, dict[str, str], bytes] | None:
    """Return what any other client sees of the first model's reply; None if that is not whole."""
    body = b""
    asked = {"model": MODELS[0], "stream": mode == "stream"}
    try:
        with requests.post(
            f"{sim.base_url}/chat/completions", json=asked, stream=True, timeout=5, allow_redirects=False
        ) as response:
            for piece in response.iter_content(65536):
                body += piece
    except (requests.RequestException, ValueError):
        return None
    return response.status_code, dict(response.headers), body


def explained(*arguments: str, command: Commands) -> dict[str, Any]:
    """Return what explain prints as JSON."""
    done = command("explain", "--json", *NAMED, *arguments)
    assert (done.status, done.err) == (0, "")
    printed: dict[str, Any] = json.loads(done.out)
    return printed


@pytest.mark.parametrize(("row", "mode"), CASES)
def test_explain_says_what_the_chain_does(
    row: Row, mode: str, sim: Simulator, clock: FakeClock, tmp_path: Path, command: Commands
) -> None:
    """For every row of the fault table: the row, the verdict, and whom the chain asks next are those of the chain."""
    sim.script(MODELS[0], row.behaviour)
    watcher, order = asked(sim, row, mode, clock)
    assert watcher.outcome is not None
    assert watcher.verdict is not None
    # What never ends cannot be recorded.
    seen = None if watcher.outcome.fault is Fault.TIMEOUT else recorded(sim, mode)
    if seen is None:
        said = ["--fault", str(watcher.outcome.fault)]
    else:
        (tmp_path / "body").write_bytes(seen[2])
        said = ["--status", str(seen[0]), "--sse" if mode == "stream" else "--body", str(tmp_path / "body")]
        said += [part for name, value in seen[1].items() for part in ("--header", f"{name}: {value}")]
    told = explained(*said, command=command)
    verdict = watcher.verdict
    assert told["row"]["number"] == watcher.number
    assert (told["reason"], told["scope"], told["again"]) == (verdict.reason, verdict.scope.value, verdict.again)
    assert told["retry_after"] == pytest.approx(verdict.retry_after, abs=2)
    assert told["transient"] is row.reason.transient
    assert [MODELS[0], *(step["model"] for step in told["then"])] == order
    waits = [step["waited"] for step in told["then"] if step["waited"]]
    assert waits == pytest.approx([wait for wait in clock.sleeps if wait], abs=2)


@pytest.mark.parametrize(
    ("fault", "number"),
    [("no_key", "1b"), ("certificate", "22a"), ("bad_url", "22a"), ("proxy", "22a"), ("connect", "23")],
)
def test_faults_without_a_reply(fault: str, number: str, command: Commands) -> None:
    """Faults that no reply shows are explained by their names, as tests/test_endpoints.py sees them happen."""
    told = explained("--fault", fault, command=command)
    reason, scope, again = ELSEWHERE[number]
    assert (told["row"]["number"], told["reason"], told["scope"], told["again"]) == (number, reason, scope.value, again)


def test_every_fault_can_be_named(command: Commands) -> None:
    """Each kind of fault that the wire knows is one that can be asked about."""
    for fault in Fault:
        assert explained("--fault", str(fault), command=command)["fault"] == fault


BREAKS = [cut("content"), error_in_200(502, after="The sky"), events({"choices": [{"delta": {"content": "Hi"}}]})]


@pytest.mark.parametrize("behaviour", BREAKS)
def test_a_stream_that_breaks(behaviour: Any, sim: Simulator, tmp_path: Path, command: Commands) -> None:
    """A recorded stream that breaks after its first content is what the chain says it is: StreamInterrupted."""
    sim.default(behaviour)
    with Chain(MODELS, base_url=sim.base_url) as chain, pytest.raises(StreamInterrupted) as caught:
        chain.stream("?").read()
    asked = {"model": "x", "stream": True}
    body = b""
    with requests.post(f"{sim.base_url}/chat/completions", json=asked, stream=True) as response:
        try:
            for piece in response.iter_content(1):
                body += piece
        except requests.RequestException:
            pass
    (tmp_path / "stream").write_bytes(body)
    told = explained("--sse", str(tmp_path / "stream"), command=command)
    assert (told["raises"], told["reason"], told["then"]) == ("StreamInterrupted", caught.value.reason, [])
    shown = command("explain", "--sse", str(tmp_path / "stream"))
    assert f"StreamInterrupted, with the {len(caught.value.text)} characters so far" in shown.out


@pytest.mark.parametrize("mode", ["--body", "--sse"])
def test_an_answer(mode: str, sim: Simulator, tmp_path: Path, command: Commands) -> None:
    """A good reply is told to be an answer, and nobody else is asked."""
    sim.default(answer("Hi"))
    body = requests.post(f"{sim.base_url}/chat/completions", json={"model": "x", "stream": mode == "--sse"}).content
    (tmp_path / "body").write_bytes(body)
    told = explained(mode, str(tmp_path / "body"), command=command)
    assert (told["answer"], told["reason"], told["row"], told["then"], told["raises"]) == (True, None, None, [], None)
    assert "an answer" in command("explain", mode, str(tmp_path / "body")).out


def test_what_is_shown(command: Commands) -> None:
    """For people it says what came, the verdict, its row, how far it reaches, the hint, what follows, and the worst."""
    said = ("--status", "429", "--header", "Retry-After: 30", "--body", "-")
    done = command("explain", *said, stdin='{"error": "slow"}')
    assert done.status == 0
    assert [line.split(maxsplit=1) for line in done.out.replace("if all do so", "all").splitlines()] == [
        ["reply", "HTTP 429, from mistralai/mistral-nemo: slow"],
        ["verdict", "rate_limited (transient: it may pass)"],
        ["row", "12: 429 unattributed"],
        ["reaches", "MODEL: this model alone"],
        ["hint", "30 s"],
        ["then", "waits 2 s, asks mistralai/mistral-small-3.2-24b-instruct"],
        ["rests", "this model for 30 s"],
        ["all", "ChainExhausted after 4 attempts and 6 s of waiting; worth another try in 30 s"],
    ]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        pytest.param(["--status", "503"], "this model for 30 s", id="busy"),
        pytest.param(["--status", "503", "--header", "Retry-After: 12"], "this model for 12 s", id="with a hint"),
        pytest.param(["--status", "401"], "every model of the same endpoint and key for 30 s", id="a refused key"),
        pytest.param(["--status", "400"], "nothing", id="about the call"),
        pytest.param(["--status", "402", "--header", "Retry-After: 5"], "nothing", id="it answers the second time"),
    ],
)
def test_what_rests(said: list[str], told: str, command: Commands) -> None:
    """It tells what the chain's own memory would let rest for the next calls, and for how long."""
    assert f"\nrests {told}\n" in re.sub(" +", " ", command("explain", *said).out)


def test_all_free_models_rest(command: Commands) -> None:
    """A limit of the free tier lets all of it rest, and nothing but the explanation is written."""
    body = '{"error": {"message": "Rate limit exceeded: free-models-per-day"}}'
    done = command("explain", *NAMED, "--status", "429", "--header", "Retry-After: 7200", "--body", "-", stdin=body)
    assert "every :free model of the same endpoint for 2 h" in done.out
    assert done.err == ""


@pytest.mark.parametrize(("cooldown", "told"), [("10", "this model for 10 s"), ("none", "nothing: this chain forgets")])
def test_the_chains_own_memory_counts(
    cooldown: str, told: str, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long something rests is as the chain is set up; one without memory forgets."""
    monkeypatch.setenv("ORFALLBACK_COOLDOWN", cooldown)
    assert told in command("explain", "--status", "503").out


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_a_response_as_curl_prints_it(end: str, command: Commands) -> None:
    """All of a response can be given as ``curl -i`` prints it, interim responses and HTTP/2 included."""
    lines = [
        "HTTP/1.1 200 Connection established", "", "HTTP/1.1 103 Early Hints", "Link: </x>", "",
        "HTTP/2 503 ", "retry-after: 9", "transfer-encoding: chunked", "content-type: application/json", "",
        '{"error": {"code": 503, "message": "No backends available"}}',
    ]  # fmt: skip
    done = command("explain", "--json", "--response", "-", stdin=end.join(lines))
    told = json.loads(done.out)
    assert (told["status"], told["message"], told["reason"]) == (503, "No backends available", "busy")
    assert told["retry_after"] == 9.0
    assert told["row"]["number"] == "20"


@pytest.mark.parametrize(
    ("arguments", "stdin", "told"),
    [
        ([], "", "say what came back by one of these"),
        (["--status", "429", "--fault", "timeout"], "", "say what came back by one of these"),
        (["--status", "429", "--header", "Retry-After 30"], "", "'Retry-After 30' is no header"),
        (["--response", "-"], "hello", "this is no response: it begins with 'hello'"),
        (["--response", "-"], "", "this is no response"),
        (["--body", "/nowhere/body.json"], "", "No such file"),
        (["--fault", "gremlins"], "", "gremlins"),
        (["--status", "7"], "", "7 is not in the range"),
    ],
)
def test_wrong_usage(arguments: list[str], stdin: str, told: str, command: Commands) -> None:
    """What cannot be meant is wrong usage, told in a sentence."""
    done = command("explain", *arguments, stdin=stdin)
    assert (done.status, done.out) == (2, "")
    assert told in done.err


def test_a_plugin_that_decides(tmp_path: Path, command: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a plugin gives the verdict no row is named, and that is said."""
    (tmp_path / "stern_judge.py").write_text(
        "from orfallback import Reason, Verdict\n"
        "def orfallback_classify(outcome):\n"
        "    return Verdict.abort(Reason.MODERATED) if outcome.status == 503 else None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    done = command("explain", "--plugin", "stern_judge", "--status", "503")
    assert "none: a plugin decided" in done.out
    assert "moderated (not transient)" in done.out
    assert "CallRejected after 1 attempt" in done.out


def test_hostile_text(command: Commands) -> None:
    """What an upstream said cannot steer the terminal."""
    body = json.dumps({"error": {"message": "busy\x1b[2J\x9b\u202e\nnext line"}})
    done = command("explain", "--status", "502", "--body", "-", stdin=body)
    assert "busy [2J next line" in done.out
    assert not {"\x1b", "\x9b", "\u202e"} & set(done.out)


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_width_of_the_terminal(columns: int) -> None:
    """No line is longer than the terminal."""
    seen = in_terminal("explain", "--status", "402", "--header", "Retry-After: 3", columns=columns)
    assert seen.status == 0
    assert max(len(line.rstrip()) for line in seen.lines) <= columns
    assert "every model of the same endpoint" in " ".join(seen.text.split())
