"""``orfallback report``: what a call log comes to."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import math
import os
import re
import statistics
import subprocess
import time
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import call_logs
import pytest
from call_logs import NASTY, answered, call, failed, nasty, summed
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from terminal import COMMAND, in_terminal

from conftest import KEY, Commands
from orfallback._ending import Ending
from orfallback._record import MOST_ATTEMPTS, Record, Try, to_line
from orfallback.cli._check._trial import percentile
from orfallback.cli._exits import SetupFailed
from orfallback.cli._report import _words
from orfallback.cli._report._course import legs
from orfallback.cli._report._logs import Logs
from orfallback.cli._report._page import page
from orfallback.cli._report._page._scale import linear, logarithmic, timely
from orfallback.cli._report._period import instant
from orfallback.cli._report._plain import as_json
from orfallback.cli._report._spread import Spread
from orfallback.cli._report._summary import FELL_BACK, OTHERS
from orfallback.cli._report._tally import SLOWEST, summarise
from orfallback.cli._report._terminal import show
from orfallback.cli._report._timeline import MOST, Timeline

ROOT = Path(__file__).resolve().parent.parent
NEMO, SMALL = call_logs.MODELS[:2]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log of a day."""
    return call_logs.write(tmp_path / "calls.jsonl", call_logs.records(400))


# -- the figures --


def test_the_figures_of_a_few_calls() -> None:
    """Every figure of a log of four calls is what one counts by hand."""
    summary = summed(
        call(answered(seconds=2.0, first_token=0.5, cost=0.002, prompt_tokens=10, completion_tokens=20)),
        call(failed(cost=0.001, prompt_tokens=5), answered(SMALL, 4.0, waited=2.0, first_token=1.0, cost=0.004), at=60),
        call(failed(), failed(SMALL, "timeout", 30.0, waited=2.0), at=120, ending="failed"),
        call(failed(reason="cancelled", seconds=1.0, first_token=0.25), at=180, ending="left"),
    )
    assert (summary.calls, summary.attempts, summary.fell_back, summary.answered) == (4, 6, 2, 2)
    assert {name: count for name, count in summary.outcomes.items() if count} == {
        "answered": 1, FELL_BACK: 1, "failed": 1, "left": 1,
    }  # fmt: skip
    assert summary.seconds == Spread(2, (2.0 + 6.5) / 2, 6.5, 6.5)
    # As the caller felt it: what went before counts.
    assert summary.first_token == Spread(3, 0.5, 3.5, 3.5)
    assert (summary.waited, summary.untold) == (4.0, 0)
    assert summary.cost == pytest.approx(0.007)
    assert summary.per_thousand == pytest.approx(1.75)
    assert summary.wasted == (3, 31.0, 0.001, 5)
    nemo, small = summary.models
    assert (nemo.name, nemo.asked, nemo.answered, nemo.cancelled, nemo.failed, nemo.served) == (NEMO, 4, 1, 1, 2, 2)
    assert (nemo.reasons, small.reasons) == ({"busy": 2}, {"timeout": 1})
    assert (nemo.prompt_tokens, nemo.completion_tokens) == (15, 20)
    assert nemo.cost == pytest.approx(0.003)
    assert (small.latency, small.first_token) == (Spread(1, 4.0, 4.0, 4.0), Spread(1, 1.0, 1.0, 1.0))
    assert [(step.source, step.target, step.times) for step in summary.fallbacks] == [(NEMO, SMALL, 2)]
    assert [record.seconds for record in summary.slowest] == [32.5, 6.5, 2.0, 1.0]
    assert sum(bucket.outcomes.total() for bucket in summary.buckets) == 4


_MODELS = st.sampled_from(["a/x", "b/x", "c/y"])
_SECONDS = st.floats(0, 100).map(lambda value: round(value, 6))
_TRIES = st.builds(
    Try, model=_MODELS, endpoint=st.sampled_from(["https://one/v1", "https://two/v1"]),
    reason=st.none() | st.sampled_from(["busy", "timeout", "cancelled"]), waited=_SECONDS, elapsed=_SECONDS,
    first_token=st.none() | _SECONDS, cost=st.none() | st.floats(0, 1), prompt_tokens=st.none() | st.integers(1, 99),
    completion_tokens=st.none() | st.integers(1, 99),
)  # fmt: skip
_RECORDS = st.lists(
    st.builds(
        Record, started=st.floats(1.7e9, 1.7e9 + 1e7), id=st.just("1"), mode=st.sampled_from(["complete", "stream"]),
        ending=st.sampled_from([*map(str, Ending), "later"]), error=st.none(), seconds=_SECONDS,
        attempts=st.lists(_TRIES, max_size=5).map(tuple), left_out=st.just(0), extra=st.just({}),
    ),
    min_size=1, max_size=30,
)  # fmt: skip


@given(_RECORDS)
def test_the_figures_are_those_of_the_records(records: list[Record]) -> None:
    """Whatever the calls were, one pass finds what counting each figure by itself finds."""
    summary = summed(*records)
    tries = [each for record in records for each in record.attempts]
    assert (summary.calls, summary.attempts) == (len(records), len(tries))
    assert summary.streams == sum(record.mode == "stream" for record in records)
    moved = [len({(each.model, each.endpoint) for each in record.attempts}) > 1 for record in records]
    assert summary.fell_back == sum(moved)
    whole = [record.ending == "answered" for record in records]
    assert summary.answered == sum(whole)
    assert summary.outcomes[FELL_BACK] == sum(a and b for a, b in zip(moved, whole, strict=True))
    for ending in set(Ending) - {Ending.ANSWERED}:
        assert summary.outcomes[str(ending)] == sum(record.ending == ending for record in records)
    assert sum(summary.outcomes.values()) == len(records)
    _same(summary.seconds, [record.seconds for record in records if record.ending == "answered"])
    _same(summary.first_token, [record.first_token for record in records])
    assert summary.waited == pytest.approx(sum(record.waited for record in records))
    costs = [each.cost for each in tries if each.cost is not None]
    assert summary.cost == (pytest.approx(sum(costs)) if costs else None)
    assert [record.seconds for record in summary.slowest] == sorted((r.seconds for r in records), reverse=True)[
        :SLOWEST
    ]
    bad = [each for each in tries if each.reason not in (None, "cancelled")]
    assert summary.wasted.attempts == len(bad)
    assert summary.wasted.seconds == pytest.approx(sum(each.elapsed for each in bad))
    assert summary.wasted.cost == pytest.approx(sum(each.cost or 0 for each in bad))
    pairs = [pair for record in records for pair in itertools.pairwise(record.attempts)]
    steps = [pair for pair in pairs if (pair[0].model, pair[0].endpoint) != (pair[1].model, pair[1].endpoint)]
    assert sum(step.times for step in summary.fallbacks) == len(steps)
    assert {model.name for model in summary.models} == {each.model for each in tries}
    for model in summary.models:
        own = [each for each in tries if each.model == model.name]
        assert (model.asked, model.answered) == (len(own), sum(each.reason is None for each in own))
        assert model.cancelled == sum(each.reason == "cancelled" for each in own)
        assert model.reasons == Counter(each.reason for each in own if each.reason not in (None, "cancelled"))
        assert model.served == sum(r.served is not None and r.served.model == model.name for r in records)
        _same(model.latency, [each.elapsed for each in own if each.reason is None])
        _same(model.first_token, [each.first_token for each in own])
        assert model.completion_tokens == sum(each.completion_tokens or 0 for each in own)
        seen = sum(bucket.costs.get(model.name, 0.0) for bucket in summary.buckets)
        assert seen == pytest.approx(model.cost or 0.0)
    for record in records:
        assert any(0 <= record.started - bucket.started < summary.width for bucket in summary.buckets)


def _same(spread: Spread, values: Sequence[float | None]) -> None:
    known = sorted(value for value in values if value is not None)
    assert spread.size == len(known)
    # As `orfallback check` counts.
    assert spread[1:] == tuple(percentile(known, share) for share in (0.5, 0.95, 0.99))
    if known:
        assert spread.p50 == statistics.median(known)


@given(st.lists(st.floats(-1e10, 2e11), min_size=1, max_size=50))
def test_buckets_hold_all_without_a_gap(instants: list[float]) -> None:
    """Whatever the instants, each is in the one bucket of its time, and there are never too many."""
    timeline = Timeline()
    for each in instants:
        timeline.at(each).outcomes["answered"] += 1
    buckets = list(timeline)
    assert len(buckets) <= MOST
    assert [each.started for each in buckets] == [buckets[0].started + n * timeline.width for n in range(len(buckets))]
    counted = Counter(math.floor(each) // timeline.width for each in instants)
    found = {round(each.started / timeline.width): each.outcomes.total() for each in buckets if each.outcomes}
    assert found == counted


def test_a_log_of_nonsense_is_bounded() -> None:
    """Of thousands of names the first are told apart, and none of the others is lost in a sum."""
    summary = summed(*(call(failed(f"a/{n}", f"why{n}"), answered(f"b/{n}")) for n in range(3000)))
    assert len(summary.models) <= 101
    assert sum(model.asked for model in summary.models) == summary.attempts == 6000
    assert OTHERS in {model.name for model in summary.models}
    assert sum(step.times for step in summary.fallbacks) == 3000
    assert len(page(summary, "")) < 500_000


@pytest.mark.parametrize("half", [MOST_ATTEMPTS // 2, 3])
def test_what_is_left_out_is_no_step(half: int) -> None:
    """Where a record leaves attempts out, the last before the gap and the first behind it are no fallback."""
    record = call(*[failed("a")] * half, *[failed("b")] * half, ending="failed", left_out=500 - 2 * half)
    summary = summed(record)
    assert (summary.attempts, summary.fallbacks) == (500, ())
    placed = list(legs(summary.slowest[0], 6))
    assert [leg.left_out for leg in placed] == [0, 0, 0, 494, 0, 0]


def test_the_same_model_elsewhere() -> None:
    """From a model to the same one at another endpoint is a fallback, told by the hosts; to itself again it is none."""
    elsewhere = answered()._replace(endpoint="http://localhost:11434/v1")
    summary = summed(call(failed(), elsewhere), call(failed(), answered()))
    assert summary.fell_back == 1
    (step,) = summary.fallbacks
    assert (step.source, step.target) == (f"{NEMO} at openrouter.ai", f"{NEMO} at localhost:11434")


def test_the_memory_of_many_calls() -> None:
    """A call more costs a few floats: the records themselves are not kept."""
    # What is made once, such as compiled expressions, is none of theirs.
    summarise(call_logs.records(100))

    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            summarise(call_logs.records(count))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = peak(2000), peak(8000)
    print(f"{(many - few) / 6000:.0f} bytes a call")
    assert (many - few) / 6000 < 100


# -- what is read --


def ids(log: Path, *others: Path) -> list[str]:
    """Return the ids of the calls of a log, as they are read."""
    return [record.id for record in Logs([str(log), *map(str, others)])]


def spread_out(tmp_path: Path, *, packed: bool = False) -> Path:
    """Write a log of which two thirds were rotated away."""
    records = list(call_logs.records(30))
    log = tmp_path / "calls.jsonl"
    oldest = call_logs.write(tmp_path / "calls.jsonl.10", records[:10])
    if packed:
        (tmp_path / "calls.jsonl.10.gz").write_bytes(gzip.compress(oldest.read_bytes()))
        oldest.unlink()
    call_logs.write(tmp_path / "calls.jsonl.2", records[10:20])
    return call_logs.write(log, records[20:])


@pytest.mark.parametrize("packed", [False, True])
def test_rotated_siblings(packed: bool, tmp_path: Path, command: Commands) -> None:
    """What was rotated away is read, too, the oldest first, also packed; how many files and calls is told."""
    log = spread_out(tmp_path, packed=packed)
    (tmp_path / "calls.jsonl.bak").write_text("something else")
    assert ids(log) == [record.id for record in call_logs.records(30)]
    done = command("report", str(log))
    oldest = "calls.jsonl.10.gz" if packed else "calls.jsonl.10"
    names = [str(tmp_path / name) for name in (oldest, "calls.jsonl.2", "calls.jsonl")]
    assert done.err == f"Read 30 calls from {', '.join(names)}\n"
    assert json.loads(command("report", str(log), "--json").out)["files"] == names


def test_a_file_is_read_once(tmp_path: Path) -> None:
    """Files that are named, and found beside another, are read once; so is one that is just being packed."""
    log = spread_out(tmp_path)
    rotated = tmp_path / "calls.jsonl.2"
    (tmp_path / "calls.jsonl.2.gz").write_bytes(gzip.compress(rotated.read_bytes())[:40])
    assert len(ids(log, rotated, tmp_path / "calls.jsonl.10", log)) == 30


def test_a_log_that_was_just_rotated(tmp_path: Path) -> None:
    """Between a rotation and the next call there is no file of the log's own name: its siblings are read."""
    log = spread_out(tmp_path)
    log.rename(tmp_path / "calls.jsonl.1")
    assert len(ids(log)) == 30


def test_a_rotation_while_it_is_read(tmp_path: Path) -> None:
    """A log that is rotated once reading has begun is read as it was."""
    log = spread_out(tmp_path)
    logs = Logs([str(log)])
    log.rename(tmp_path / "calls.jsonl.1")
    call_logs.write(log, call_logs.records(5, seed=9))
    assert sum(1 for _ in logs) == 30


def test_stdin_is_there_once(log: Path, command: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """stdin that is named twice is read once, among others in its place; without one that is told."""
    told = json.loads(command("report", "-", str(log), "-", "--json", stdin=log.read_bytes()).out)
    assert (told["calls"], told["files"]) == (800, ["stdin", str(log)])
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(SetupFailed, match="stdin is closed"):
        Logs(["-"])


@pytest.mark.parametrize("packed", [False, True])
def test_stdin(packed: bool, log: Path, command: Commands) -> None:
    """``-`` reads stdin, also packed."""
    text = log.read_bytes()
    done = command("report", "-", "--json", stdin=gzip.compress(text) if packed else text)
    assert json.loads(done.out)["calls"] == 400
    assert json.loads(done.out)["files"] == ["stdin"]


def test_torn_and_foreign_lines(tmp_path: Path, command: Commands) -> None:
    """Lines that are torn, foreign, too long or no text are counted and told, and do no harm to the others."""
    good = [to_line(record).encode() for record in call_logs.records(3)]
    torn = [b"{", good[0][:-7], b"GET / HTTP/1.1", b"[]", b"\xff\x00", b"x" * 9_000_000]
    log = tmp_path / "calls.jsonl"
    log.write_bytes(b"\xef\xbb\xbf" + b"\n".join([good[0], *torn, b"", b"  ", *good[1:]]) + b'\n{"time": "20')
    done = command("report", str(log), "--json")
    assert json.loads(done.out)["calls"] == 3
    assert json.loads(done.out)["lines_passed_over"] == 7
    assert done.err == "! Passed over 7 lines that are no records of calls, or torn\n"


def test_a_packed_log_that_is_cut_off(log: Path, command: Commands) -> None:
    """Of a packed log that is cut off what can be read is, and that it is cut off is told."""
    packed = log.with_suffix(".gz")
    packed.write_bytes(gzip.compress(log.read_bytes())[:-2000])
    done = command("report", str(packed), "--json")
    assert 0 < json.loads(done.out)["calls"] < 400
    assert "is cut off: what is behind that is missing" in done.err


def test_since_and_until(log: Path, command: Commands) -> None:
    """Calls of a time alone are told of: from its beginning on, and up to its end."""
    records = list(call_logs.records(400))
    noon = call_logs.BEGINS + 12 * 3600
    for option, wanted in (
        (("--since", "2026-11-22T12:00"), [r for r in records if r.started >= noon]),
        (("--until", "2026-11-22T13:00+01:00"), [r for r in records if r.started < noon]),
        (("--since", "2026-11-22", "--until", "2026-11-22 12:00:00Z"), [r for r in records if r.started < noon]),
        (("--since", "10000w"), records),
    ):
        assert json.loads(command("report", str(log), "--json", *option).out)["calls"] == len(wanted)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("30min", 1800), ("24h", 86_400), ("1.5d", 129_600), ("2w", 1_209_600)],
)
def test_how_long_ago(text: str, seconds: int) -> None:
    """A number with a unit is so long ago."""
    assert instant(text, 1e9) == 1e9 - seconds


def test_the_calls_of_a_model(log: Path, command: Commands) -> None:
    """``--model`` tells of the calls in which it was asked, and of whoever else was asked in them."""
    wanted = [r for r in call_logs.records(400) if any(each.model == SMALL for each in r.attempts)]
    told = json.loads(command("report", str(log), "--json", "-m", SMALL).out)
    assert told["calls"] == len(wanted)
    assert NEMO in [each["model"] for each in told["models"]]


def test_the_log_of_the_environment(log: Path, command: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a name the log is the one that the plugin writes."""
    monkeypatch.setenv("ORFALLBACK_CALL_LOG", str(log))
    assert json.loads(command("report", "--json").out)["files"] == [str(log)]


def _open_files() -> set[str]:
    return {each.name for each in Path("/proc/self/fd").iterdir()}


def test_very_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of more files than may be open at a time is read all the same, and what vanishes meanwhile is none."""
    records = list(call_logs.records(300))
    for number, record in enumerate(reversed(records[:-1]), 1):
        call_logs.write(tmp_path / f"calls.jsonl.{number}", [record])
    log = call_logs.write(tmp_path / "calls.jsonl", records[-1:])
    before = _open_files()
    with Logs([str(log)]) as logs:
        assert len(_open_files() - before) <= 201
        (tmp_path / "calls.jsonl.299").unlink()
        assert [record.id for record in logs] == [record.id for record in records[1:]]
    assert len(_open_files() - before) <= 1


# -- mistakes --

MEND = "The plugin call-log writes one: ORFALLBACK_PLUGINS=call-log, ORFALLBACK_CALL_LOG=calls.jsonl; - reads stdin"


@pytest.mark.parametrize(
    ("content", "status", "sentence", "mend"),
    [
        (None, 3, "There is no file {log}", MEND),
        ("", 1, "{log} is empty", "Calls are written when they end: make one with the plugin call-log loaded"),
        ("\n\n", 1, "{log} is empty", "Calls are written when they end: make one with the plugin call-log loaded"),
        (
            "GET /\nPOST /\n", 3, "{log} holds no record of a call: 2 lines of something else",
            "Name the file that the plugin call-log writes",
        ),
    ],
)  # fmt: skip
def test_nothing_to_tell_of(
    content: str | None, status: int, sentence: str, mend: str, tmp_path: Path, command: Commands
) -> None:
    """A log that is missing, empty or none is told in a sentence with the mend, and nothing else."""
    log = tmp_path / "calls.jsonl"
    if content is not None:
        log.write_text(content)
    for more in ((), ("--json",), ("--html", str(tmp_path / "report.html"))):
        done = command("report", str(log), *more)
        assert (done.status, done.out) == (status, "")
        assert done.err == f"✗ {sentence.format(log=log)}\n  → {mend}\n"
    assert not (tmp_path / "report.html").exists()


def test_what_is_no_file(tmp_path: Path, command: Commands) -> None:
    """A folder, a device without an end and a name that cannot be one are told as what they are, with status 3."""
    for path, told in ((str(tmp_path), "cannot be read: Is a directory"), ("/dev/zero", "is a device")):
        done = command("report", path)
        assert (done.status, done.out) == (3, "")
        assert f"{path} {told}" in done.err
    # A file that can be opened, and not read from its beginning.
    done = command("report", "/proc/self/mem")
    assert (done.status, done.out) == (3, "")
    assert "/proc/self/mem cannot be read: Input/output error" in done.err
    assert command("report", "a\0b").status == 3
    assert command("report", os.devnull).status == 1


def test_none_of_that_time_or_model(log: Path, command: Commands) -> None:
    """Where no call is left that is told, for a model with the nearest that was asked."""
    done = command("report", str(log), "--since", "2030-01-01")
    assert (done.status, done.out) == (1, "")
    assert f"None of the 400 calls of {log} is of that time\n  → They are of 2026-11-22 00:0" in done.err
    done = command("report", str(log), "-m", "mistralai/mistral-nmeo")
    assert (done.status, done.out) == (1, "")
    assert "No call asked mistralai/mistral-nmeo" in done.err
    assert f"Name one of those asked: {NEMO}" in done.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "name a call log, or set ORFALLBACK_CALL_LOG"),
        (("--since", "yesterday", "{log}"), "'yesterday' is no instant: write 24h, 7d"),
        (("--since", "2026-13-01", "{log}"), "'2026-13-01' is no instant"),
        (("--since", "999999999w", "{log}", "--until", "99999999999999d"), "is no instant"),
        (("--since", "1h", "--until", "2h", "{log}"), "--until is not behind --since"),
        (("--html", "-", "--json", "{log}"), "stdout is for one of --html - and --json"),
        (("--html", "{log}", "{log}"), "would write the page over the log"),
    ],
)
def test_wrong_usage(arguments: Sequence[str], told: str, log: Path, command: Commands) -> None:
    """Wrong usage ends with status 2 and a sentence; the log is as it was."""
    before = log.read_bytes()
    done = command("report", *(each.format(log=log) for each in arguments))
    assert (done.status, done.out) == (2, "")
    assert told in done.err
    assert log.read_bytes() == before


def test_a_page_that_cannot_be_written(log: Path, tmp_path: Path, command: Commands) -> None:
    """A page for which there is no place is told with the mend, and status 1."""
    for path in (tmp_path / "none" / "report.html", tmp_path, Path("/dev/full")):
        done = command("report", str(log), "--html", str(path))
        assert (done.status, done.out) == (1, "")
        assert f"✗ {path} cannot be written: " in done.err
        assert "  → Name a file in a folder that is there, and yours\n" in done.err


def test_the_page_on_stdout_and_in_a_file(log: Path, tmp_path: Path, command: Commands) -> None:
    """The page goes to a file, which is told with its size, or to stdout; the summary is not printed then."""
    file = tmp_path / "report.html"
    done = command("report", str(log), "--html", str(file))
    assert (done.status, done.out) == (0, "")
    assert re.fullmatch(rf"Wrote {file} \(\d+ kB\)\n", done.err)
    assert command("report", str(log), "--html", "-").out == file.read_text(encoding="utf-8")
    both = command("report", str(log), "--html", str(file), "--json")
    assert json.loads(both.out)["calls"] == 400


# -- what is shown --


def test_in_a_pipe(log: Path) -> None:
    """In a pipe there is no colour, no line is filled with blanks, and each row of a table is whole."""
    done = subprocess.run([*COMMAND, "report", log], capture_output=True, encoding="utf-8", timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert [line for line in done.stdout.splitlines() if line != line.rstrip()] == []
    row = next(line for line in done.stdout.splitlines() if line.startswith(f"{SMALL} "))
    assert len(row.split()) == 17


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_the_width_of_the_terminal(columns: int, colour: bool, log: Path) -> None:
    """At any width every model and figure can be read, and no line is longer than the terminal."""
    summary = summed(*call_logs.records(400))
    seen = in_terminal("report", str(log), columns=columns, environ={} if colour else {"NO_COLOR": "1"})
    assert seen.status == 0
    lines = [line for line in seen.lines if "reading" not in line]
    assert max(len(line.rstrip()) for line in lines) <= columns
    told = " ".join(seen.text.split())
    for model in summary.models:
        assert model.name in told
        for figure in (_words.number(model.asked), _words.money(model.cost), _words.seconds(model.latency.p95)):
            assert figure in told
    assert "busy" in told
    assert f"{_words.seconds(summary.slowest[0].seconds)} {summary.slowest[0].ending}" in told
    assert ("\x1b[31m" in seen.raw) is colour


def test_a_terminal_without_utf_8(log: Path) -> None:
    """A terminal that knows ASCII alone gets stand-ins, in bars as well."""
    environ = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C", "NO_COLOR": "1"}
    seen = in_terminal("report", str(log), columns=120, environ=environ)
    assert seen.status == 0
    assert seen.raw.replace("\x1b", "").isascii()
    assert "?" not in seen.text
    assert "xxxxxxxx" in seen.text


def test_the_json(log: Path, command: Commands) -> None:
    """The JSON holds what the log says, in numbers and instants."""
    summary = summed(*call_logs.records(400))
    told = json.loads(command("report", str(log), "--json").out)
    assert told == {"files": [str(log)], "lines_passed_over": 0, "torn": [], **json.loads(json.dumps(as_json(summary)))}
    assert set(told) == {
        "files", "lines_passed_over", "torn", "calls", "first", "last", "streams", "outcomes", "fell_back", "attempts",
        "seconds", "first_token", "waited", "cost", "wasted", "models", "fallbacks", "slowest", "timeline",
    }  # fmt: skip
    assert told["first"].startswith("2026-11-22T0")
    assert sum(sum(each["outcomes"].values()) for each in told["timeline"]["buckets"]) == 400


@pytest.mark.parametrize(
    "text", [NASTY, "\u05d0\u05d1\u05d2\u200f", "\ud800", "", "x" * 100_000, "a\u0301" * 500],
    ids=["nasty", "right to left", "surrogate", "empty", "long", "combining"],
)  # fmt: skip
def test_hostile_names(text: str, tmp_path: Path, command: Commands) -> None:
    """Nothing that stands in a record moves the cursor, is taken for markup, or breaks out of the page."""
    log = tmp_path / "calls.jsonl"
    record = nasty(text)
    log.write_text("".join(to_line(each) + "\n" for each in (record, record._replace(ending=text), call(answered()))))
    done = command("report", str(log))
    assert done.status == 0
    assert re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e-\u200f\u202a-\u202e\u2066-\u2069]", done.out) is None
    assert ("[red]x[/]" in done.out) is (text == NASTY)
    html = command("report", str(log), "--html", "-").out
    assert html.count("<script") == html.count("</script") == 1
    assert "<img" not in html
    assert command("report", str(log), "--json").status == 0
    seen = in_terminal("report", str(log), columns=80)
    assert seen.status == 0
    assert "\x1b[2J" not in seen.raw


@pytest.mark.parametrize("secret", [KEY, "sk-proj-0123456789ABCDEF"])
def test_a_key_in_a_log(secret: str, tmp_path: Path, command: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that a server sent back to where names belong is shown nowhere."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    record = nasty(f"for {secret} alone")
    log = call_logs.write(tmp_path / "calls.jsonl", [record, record._replace(attempts=record.attempts[::-1])])
    for more in ((), ("--json",), ("--html", "-")):
        done = command("report", str(log), *more)
        assert done.status == 0
        assert secret[-12:] not in done.out + done.err


# The years 1 to 9999, which are all that a record can name.
_FIRST, _LAST = -62_135_596_800.0, 253_402_300_799.0
_ANY = st.floats(-1e14, 1e14) | st.sampled_from([0.0, 1e-300, 1e14])
_ANY_TRY = st.builds(
    Try, model=st.text(max_size=8), endpoint=st.text(max_size=8), reason=st.none() | st.text(max_size=8), waited=_ANY,
    first_token=st.none() | _ANY, elapsed=_ANY, cost=st.none() | _ANY, message=st.text(max_size=8),
    status=st.none() | st.integers(-9, 9999), prompt_tokens=st.none() | st.integers(-9, 10**14),
)  # fmt: skip
_ANY_RECORD = st.builds(
    Record, started=st.floats(_FIRST, _LAST) | st.sampled_from([_FIRST, _LAST]), id=st.text(max_size=8),
    mode=st.text(max_size=8),
    ending=st.text(max_size=8) | st.sampled_from(list(map(str, Ending))), error=st.none() | st.text(max_size=8),
    seconds=_ANY, attempts=st.lists(_ANY_TRY, max_size=4).map(tuple), left_out=st.integers(0, 10**14),
    extra=st.just({}),
)  # fmt: skip


@given(st.lists(_ANY_RECORD, min_size=1, max_size=5))
def test_any_record_can_be_shown(records: list[Record]) -> None:
    """Whatever a record holds, of the year 1 or 9999, it is summed up, and shown in all three ways."""
    summary = summed(*records)
    json.dumps(as_json(summary), allow_nan=False)
    show(Console(file=io.StringIO(), width=80), summary)
    text = page(summary, "")
    assert text.count("<script") == 1
    assert "nan" not in re.sub(r">[^<]*<|title|=\"[^\"]*[a-z]{4}[^\"]*\"", "", text)


# -- figures in words, axes --


@pytest.mark.parametrize(
    ("part", "whole", "told"),
    [
        (1, 1, "100 %"), (0, 3, "0 %"), (1, 3, "33.3 %"), (9999, 10_000, "> 99.9 %"), (1, 10_000, "< 0.1 %"),
        (0, 0, ""), (9994, 10_000, "99.9 %"), (1, 1000, "0.1 %"),
    ],
)  # fmt: skip
def test_shares_in_words(part: int, whole: int, told: str) -> None:
    """Nearly all is not told as all, and not quite nothing not as nothing."""
    assert _words.percent(part, whole) == told


@pytest.mark.parametrize(
    ("dollars", "told"),
    [
        (None, ""), (0.0, "$0"), (1e-9, "< $0.000001"), (0.0000123, "$0.000012"), (0.0305, "$0.0305"), (0.999, "$1.00"),
        (12.345, "$12.35"), (1234.5, "$1,234"),
    ],
)  # fmt: skip
def test_money_in_words(dollars: float | None, told: str) -> None:
    """Amounts from a token's to a month's are told with the digits that count."""
    assert _words.money(dollars) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, ""), (0.0, "0 s"), (0.004, "4 ms"), (0.0994, "99 ms"), (0.0996, "0.10 s"), (9.996, "10.0 s"),
        (99.96, "100 s"), (121.0, "2 min"), (9e9, "2500000 h"),
    ],
)  # fmt: skip
def test_times_in_words(value: float | None, told: str) -> None:
    """Times are told with three digits or so."""
    assert _words.seconds(value) == told


def test_names_where_there_is_little_room() -> None:
    """The vendor is left out where the rest tells models apart."""
    assert _words.short(["a/x", "b/x", "c/y", "z"]) == {"a/x": "a/x", "b/x": "b/x", "c/y": "y", "z": "z"}


@given(st.floats(1e-9, 1e12))
def test_an_axis_holds_its_values(most: float) -> None:
    """An axis reaches as far as its greatest value, and its ticks are few, in order and on it."""
    for snug in (False, True):
        axis, ticks = linear(most, snug=snug)
        assert axis.most >= most * (1 - 1e-9)
        assert 2 <= len(ticks) <= 12
        assert ticks == sorted(ticks)
        assert ticks[-1] <= axis.most * (1 + 1e-9)


@given(st.lists(st.floats(0, 1e12), min_size=1))
def test_a_logarithmic_axis_holds_its_values(values: list[float]) -> None:
    """Its ends are no further from the values than they have to be, and its ticks lie within."""
    axis, ticks = logarithmic(values)
    assert axis.least <= max(min(values), 0.001) * (1 + 1e-9)
    assert axis.most >= max(values)
    assert all(0 <= tick.at <= 1 for tick in ticks)
    assert 2 <= len(ticks) <= 17


@given(st.integers(-(10**9), 10**10), st.integers(1, 10**10))
def test_the_ticks_of_an_axis_of_time(first: int, whole: int) -> None:
    """There are at most eight, or nine, on the axis, in order."""
    ticks = timely(float(first), float(first + whole))
    assert len(ticks) <= 9
    assert all(0 <= tick.at < 1 for tick in ticks)
    assert [tick.at for tick in ticks] == sorted(tick.at for tick in ticks)


# -- a hundred thousand calls --


def test_a_hundred_thousand_calls(tmp_path: Path) -> None:
    """A log of 100,000 calls is summed up in a minute and within 200 MB, and its page is no larger than of a few."""
    log = call_logs.write(tmp_path / "calls.jsonl", call_logs.records(100_000, days=30))
    measured = "import sys; from pathlib import Path; from orfallback.cli import run; status = run(sys.argv[1:])"
    measured += "; told = Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0]"
    measured += "; print(told, file=sys.stderr); sys.exit(status)"
    began = time.monotonic()
    done = subprocess.run(
        [*COMMAND[:1], "-c", measured, "report", log, "--html", tmp_path / "report.html"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    took, memory = time.monotonic() - began, int(done.stderr.splitlines()[-1]) / 1024
    size = (tmp_path / "report.html").stat().st_size
    print(
        f"100,000 calls, {log.stat().st_size / 1e6:.0f} MB: {took:.1f} s, {memory:.0f} MB, page of {size / 1000:.0f} kB"
    )
    assert done.returncode == 0
    assert took < 60
    assert memory < 200
    assert size < 500_000


def test_siblings_that_are_no_files(tmp_path: Path, command: Commands) -> None:
    """What is named as a rotated log, but is a directory or a pipe, is not read, and nobody waits for it."""
    path = call_logs.write(tmp_path / "calls.jsonl", call_logs.records(3))
    (tmp_path / "calls.jsonl.3").mkdir()
    os.mkfifo(tmp_path / "calls.jsonl.4")
    done = command("report", str(path))
    assert (done.status, done.err) == (0, "")
    assert "3 calls" in done.out
