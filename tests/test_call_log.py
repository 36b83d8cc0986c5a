"""The call log: its records agree with what the simulator saw, however a call ends."""

from __future__ import annotations

import inspect
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hosting import asked
from recipes import DOCS

from conftest import KEY, Commands
from orfallback import Call, Chain, ChainExhausted, FallbackError, StreamInterrupted
from orfallback._record import Record, Try, from_line
from orfallback.plugins.call_log import CallLog
from orfallback.testing import Behaviour, FakeClock, Simulator, answer, cut, error_in_200, reply, status

PROMPT = "CANARYPROMPT"
TEXT = "CANARYANSWER with some pieces"
LEFT_OUT = "The call log leaves out what the host adds: it fails, or gives no JSON"


class Case(NamedTuple):
    """A model, and what becomes of an attempt at it.

    :ivar behaviour: what the simulator does.
    :ivar reason: why it is no answer, None if it is one.
    :ivar status: the status recorded.
    """

    behaviour: Behaviour
    reason: str | None
    status: int | None


MODELS = {
    "busy": Case(status(502, message="Provider returned error"), "busy", 502),
    "limited": Case(status(429), "rate_limited", 429),
    "gone": Case(status(404), "not_found", 404),
    "down": Case(status(500), "server_error", 500),
    "inside": Case(error_in_200(503), "busy", 503),
    "page": Case(reply("<html>", content_type="text/html"), "malformed", 200),
    "half": Case(cut("body"), "truncated", 200),
    "good": Case(answer(TEXT, usage=True), None, 200),
    "breaks": Case(cut("content", clean=True, text=TEXT), None, 200),
    "ctrl-c": Case(answer(TEXT), "cancelled", 200),
}


class CtrlC:
    """Breaks a call off as if somebody had pressed Ctrl-C while the model ``ctrl-c`` was being judged."""

    def orfallback_classify(self, outcome: Any) -> None:
        """Break it off."""
        if outcome.model == "ctrl-c":
            raise KeyboardInterrupt

    def orfallback_exhausted(self, call: Call) -> str | None:
        """Give a last resort where the host asked for it."""
        return "Sorry." if call.context.get("resort") else None


def read(chain: Chain, **context: Any) -> None:
    """Read a stream to its end."""
    chain.stream(asking(context), context=context).read()


def whole(chain: Chain, **context: Any) -> None:
    """Ask for a whole answer."""
    chain.complete(asking(context), context=context)


def leave(chain: Chain, **context: Any) -> None:
    """Leave a stream after its first piece."""
    with chain.stream(asking(context), context=context) as stream:
        next(stream.iter_text())


def drop(chain: Chain, **context: Any) -> None:
    """Forget a stream after its first piece."""
    stream = chain.stream(asking(context), context=context)
    next(stream)
    del stream


def asking(context: Mapping[str, Any]) -> str:
    """Return a question that names its number."""
    return f"{PROMPT} {context['number']}"


class Way(NamedTuple):
    """How a call goes.

    :ivar ask: makes it.
    :ivar models: whom it asks, in order.
    :ivar ending: how it ends.
    :ivar error: what the caller sees.
    :ivar context: what the host says of it.
    """

    ask: Callable[..., None]
    models: tuple[str, ...]
    ending: str
    error: type[BaseException] | None = None
    context: Mapping[str, Any] = {}


WAYS = {
    "answered": Way(whole, ("busy", "limited", "good"), "answered"),
    "streamed": Way(read, ("gone", "down", "inside", "good"), "answered"),
    "degraded": Way(whole, ("busy", "page"), "degraded", context={"resort": True}),
    "streamed degraded": Way(read, ("busy", "half"), "degraded", context={"resort": True}),
    "left": Way(leave, ("busy", "good"), "left"),
    "dropped": Way(drop, ("busy", "good"), "left"),
    "broken": Way(read, ("half", "breaks"), "broken", StreamInterrupted),
    "failed": Way(whole, ("busy", "gone", "page"), "failed", ChainExhausted),
    "failed at once": Way(read, ("down",), "failed", ChainExhausted),
    "aborted": Way(whole, ("busy", "ctrl-c"), "aborted", KeyboardInterrupt),
    "aborted stream": Way(read, ("limited", "ctrl-c"), "aborted", KeyboardInterrupt),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "calls.jsonl"


@pytest.fixture
def chain(sim: Simulator, path: Path) -> Chain:
    """A chain with a log, whose host adds its context."""
    for model, case in MODELS.items():
        sim.script(model, case.behaviour)
    log = CallLog(path, extra=lambda call: call.context)
    plugins = [CtrlC(), log]
    return Chain("good", api_key=KEY, base_url=sim.base_url, cooldown=None, delay=0, plugins=plugins)


def records(path: Path) -> list[Record]:
    """Return the records of a log, every line of which is one."""
    found = [from_line(line) for line in path.read_bytes().splitlines()]
    assert None not in found
    return [record for record in found if record is not None]


def go(chain: Chain, name: str, number: int) -> None:
    """Make a call in one of the ways."""
    way = WAYS[name]
    asked = chain.replace(models=way.models)
    context = {**way.context, "way": name, "number": number}
    if way.error is None:
        way.ask(asked, **context)
    else:
        with pytest.raises(way.error):
            way.ask(asked, **context)


def agree(path: Path, sim: Simulator, numbers: Mapping[int, str]) -> None:
    """Hold the records of some calls against what was meant, and against what the simulator saw."""
    found = {record.extra["number"]: record for record in records(path)}
    assert Counter(record.extra["number"] for record in records(path)) == Counter([*numbers])
    seen: dict[int, list[str]] = {number: [] for number in numbers}
    for request in sim.requests:
        seen[int(asked(request).split()[1])].append(str(request.model))
    for number, name in numbers.items():
        way, record = WAYS[name], found[number]
        assert (record.ending, record.mode) == (way.ending, "complete" if way.ask is whole else "stream"), name
        assert record.error == (None if way.error is None else way.error.__name__), name
        assert [each.model for each in record.attempts] == seen[number] == list(way.models)
        for each in record.attempts[:-1]:
            assert (each.reason, each.status) == (MODELS[each.model].reason, MODELS[each.model].status)
        assert (record.served is not None) == (way.ending in ("answered", "left", "broken"))
    assert len({record.id for record in records(path)}) == len(numbers)


@pytest.mark.parametrize("name", WAYS)
def test_a_call_is_one_record(name: str, chain: Chain, path: Path, sim: Simulator) -> None:
    """However a call ends, its one record names the models that the simulator was asked for, and why each failed."""
    go(chain, name, 1)
    agree(path, sim, {1: name})
    (record,) = records(path)
    way = WAYS[name]
    last = {"left": "cancelled", "broken": "truncated"}.get(way.ending, MODELS[way.models[-1]].reason)
    assert record.attempts[-1].reason == last
    if way.ending == "answered":
        assert record.attempts[-1].bytes > 0
        assert record.attempts[-1].completion_tokens == len(TEXT.split())
        assert (record.first_token is not None) == (record.mode == "stream")
    # Plugins take a little, too.
    assert 0 <= record.seconds - sum(each.waited + each.elapsed for each in record.attempts) + 1e-4 < 5


def test_a_storm_of_sixty_four_threads(chain: Chain, path: Path, sim: Simulator) -> None:
    """64 threads make 20 calls each, in every way there is: the log has 1,280 records, and each agrees."""
    names = list(WAYS)
    numbers = {number: names[number % len(names)] for number in range(64 * 20)}

    def work(thread: int) -> None:
        for number in range(thread * 20, thread * 20 + 20):
            go(chain, numbers[number], number)

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(work, range(64)))
    agree(path, sim, numbers)


def test_no_prompt_no_answer_no_key(chain: Chain, path: Path, sim: Simulator) -> None:
    """A log holds neither what was asked, nor what was answered, nor the key."""
    for number, name in enumerate(WAYS):
        go(chain, name, number)
    assert "CANARY" not in path.read_text()
    assert len(records(path)) == len(WAYS)


def test_the_time_of_a_record(sim: Simulator, path: Path, clock: FakeClock) -> None:
    """A record says when its call began, by the clock that the log was given."""
    sim.script("busy", status(502))
    log = CallLog(path, clock=clock)
    models = ["busy", "good"]
    chain = Chain(models, api_key=KEY, base_url=sim.base_url, clock=clock, delay=2, plugins=[log])
    chain.complete("Hi")
    (record,) = records(path)
    assert (record.started, record.seconds, record.waited) == (1_000.0, 2.0, 2.0)


# -- what the host adds --


def added(path: Path, extra: Any, times: int = 1) -> list[Mapping[str, Any]]:
    """Return what is in the records of some calls."""
    log = CallLog(path, extra=extra)
    for number in range(times):
        log.orfallback_call_finished(Call(f"{number:016x}", {}, context={"tenant": "acme"}), None)
    return [record.extra for record in records(path)]


def test_a_host_adds_fields_of_its_own(path: Path) -> None:
    """What a host takes out of the context is in the record; nothing to add is no field."""
    assert added(path, lambda call: {"tenant": call.context["tenant"], "tags": ("a", 1, None)}) == [
        {"tenant": "acme", "tags": ["a", 1, None]}
    ]
    path.unlink()
    assert added(path, lambda _: None) == [{}]
    assert '"extra"' not in path.read_text()


def test_what_a_host_adds_is_cleaned(path: Path) -> None:
    """Texts of a host lose what could steer a terminal, in names and lists as well, and are cut where they are long."""
    extra = {"a\x1b[2J": "one\ntwo\u2028three\x1b]0;x\x07", "list": ["\u202eabc", {"b\r": "\r"}], "long": "x" * 2_000}
    (found,) = added(path, lambda _: extra)
    assert found == {"a [2J": "one two three ]0;x", "list": ["abc", {"b": ""}], "long": "x" * 999 + "…"}


_CYCLE: dict[str, Any] = {}
_CYCLE["again"] = _CYCLE


@pytest.mark.parametrize(
    "extra",
    [
        lambda _: 1 / 0, lambda _: "text", lambda _: {"x": object()}, lambda _: {"x": float("nan")},
        lambda _: {1: "x"}, lambda _: {"x": ["y" * 1_000] * 5}, lambda _: _CYCLE, dict, lambda _: [("a", 1)],
    ],
    ids=["raises", "text", "object", "nan", "a number's name", "too long", "cycle", "signature", "pairs"],
)  # fmt: skip
def test_a_host_that_fails_at_adding(extra: Any, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where a host raises, or gives what is no JSON, the record is written without it, and the log says so once."""
    assert added(path, extra, times=3) == [{}] * 3
    (record,) = caplog.records
    assert (record.name, record.levelname, record.getMessage()) == ("orfallback.plugins", "ERROR", LEFT_OUT)
    assert record.exc_info is not None


# -- how it is turned on --


def test_by_the_environment(at: Simulator, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``ORFALLBACK_PLUGINS=call-log`` writes into the file that ``ORFALLBACK_CALL_LOG`` names."""
    monkeypatch.setenv("ORFALLBACK_PLUGINS", "call-log")
    monkeypatch.setenv("ORFALLBACK_CALL_LOG", f" {path} ")
    with Chain.from_env() as chain:
        chain.complete("Hi")
        assert repr(chain.plugin_manager.get_plugin("call-log")) == f"<CallLog '{path}'>"
    assert [record.ending for record in records(path)] == ["answered"]


NO_FILE = "the call log has no file: set ORFALLBACK_CALL_LOG to a path, or give CallLog one"


@pytest.mark.parametrize("value", [None, "", "  "])
def test_no_file_is_named(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a path a chain from the environment is not made, and the error says what to set."""
    monkeypatch.setenv("ORFALLBACK_PLUGINS", "call-log")
    if value is not None:
        monkeypatch.setenv("ORFALLBACK_CALL_LOG", value)
    with pytest.raises(ValueError, match=NO_FILE):
        Chain.from_env()


@pytest.mark.parametrize(
    "command_line", [["chat", "Hi"], ["plugins"], ["doctor", "--offline"]], ids=lambda each: each[0]
)
def test_the_commands_say_what_to_set(
    command_line: list[str], at: Simulator, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no file is named, every command says so in one sentence, and no command shows a traceback."""
    monkeypatch.setenv("ORFALLBACK_PLUGINS", "call-log")
    done = command(*command_line)
    told = " ".join((done.out + done.err).split())
    assert done.status != 0
    assert NO_FILE in told
    assert "Traceback" not in told
    if command_line[0] != "chat":
        assert "→ Correct that, or do without call-log" in told


def test_the_doctor_knows_its_variable(
    at: Simulator, path: Path, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that is set up well is none of the doctor's findings."""
    monkeypatch.setenv("ORFALLBACK_PLUGINS", "call-log")
    monkeypatch.setenv("ORFALLBACK_CALL_LOG", str(path))
    done = command("doctor", "--offline", "--json")
    findings = json.loads(done.out)["findings"]
    assert [each for each in findings if each["state"] in ("problem", "note")] == []
    assert not path.exists()


def test_trouble_is_told_on_the_command_line(
    at: Simulator, path: Path, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who chats while the file cannot be written is told so in a sentence, and gets the answer."""
    monkeypatch.setenv("ORFALLBACK_PLUGINS", "call-log")
    monkeypatch.setenv("ORFALLBACK_CALL_LOG", str(path.parent))
    done = command("chat", "Hi")
    assert (done.status, "Hello from the simulator." in done.out) == (0, True)
    assert "The call log cannot be written, calls go on without it" in " ".join(done.err.split())


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"most_bytes": 65_535}, ValueError, "most_bytes is 65536 or more, not 65535"),
        ({"most_bytes": 1e9}, TypeError, "most_bytes is an int, not float"),
        ({"kept": -1}, ValueError, "kept is 0 to 10000, not -1"),
        ({"kept": 10_001}, ValueError, "kept is 0 to 10000, not 10001"),
        ({"kept": True}, TypeError, "kept is an int, not bool"),
        ({"extra": {"a": 1}}, TypeError, "extra is a function of the call, not dict"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_an_option_that_cannot_be_meant(options: Any, error: type[Exception], text: str, path: Path) -> None:
    """A wrong option is refused where the log is made."""
    with pytest.raises(error, match=text):
        CallLog(path, **options)


def test_a_log_that_is_made_makes_no_file(path: Path) -> None:
    """A log makes its file with its first record."""
    CallLog(path)
    assert not path.exists()


def test_a_failed_call_raises_what_it_would(chain: Chain, path: Path) -> None:
    """A log that cannot be written changes nothing of how a call ends."""
    path.mkdir()
    with pytest.raises(FallbackError) as caught:
        chain.replace(models=["busy"]).complete("CANARYPROMPT 1", context={"number": 1})
    assert [attempt.model for attempt in caught.value.attempts] == ["busy"]
    assert chain.complete("CANARYPROMPT 2", context={"number": 2}).text == TEXT


# -- its page --


def test_the_page_explains_every_field(chain: Chain, path: Path) -> None:
    """The tables of the page name each field that a record can have, in the order in which it is written, no other."""
    page = (DOCS / "how-to" / "call-log.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (text|number|list|object|true) \|", page, re.MULTILINE)
    of_calls = [name for name in Record._fields if name not in ("started", "attempts", "extra")]
    assert [name for name, _ in rows] == ["time", *of_calls[:5], "attempts", "left_out", "extra", *Try._fields]
    assert sorted(of_calls) == sorted([*of_calls[:5], "left_out"])
    kinds: dict[str, Any] = {"text": str, "number": (int, float), "list": list, "object": dict, "true": bool}
    for number, name in enumerate(WAYS):
        go(chain, name, number)
    written: dict[str, Any] = {}
    for line in path.read_text().splitlines():
        call = json.loads(line)
        for found in (*call["attempts"], call):
            written.update(found)
    # Nobody waited, no call had too many attempts, and no connection died.
    assert set(written) == {name for name, _ in rows} - {"waited", "left_out", "resent"}
    assert all(isinstance(written[name], kinds[kind]) for name, kind in rows if name in written)
    sample = json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])
    assert from_line(json.dumps(sample)) is not None
    assert {*sample, *sample["attempts"][0], *sample["attempts"][1]} <= {name for name, _ in rows}


def test_the_page_tells_the_defaults() -> None:
    """The table of options names each of them, and says what it is by default."""
    page = (DOCS / "how-to" / "call-log.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", page.partition("## One record")[0], re.MULTILINE))
    parameters = inspect.signature(CallLog).parameters
    assert [*told] == [*parameters]
    assert told["most_bytes"] == f"{parameters['most_bytes'].default:,}"
    assert told["kept"] == str(parameters["kept"].default)
