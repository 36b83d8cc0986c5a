"""One call as one line of JSON, there and back."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orfallback import Attempt, Call, ChainExhausted, Reason, Verdict
from orfallback._record import MOST_ATTEMPTS, Record, Try, from_line, record_of, shortened, to_line

BUSY = Attempt(
    1, "a/busy", "http://localhost/v1/chat/completions?key=sk-secret", status=502, elapsed=0.5, bytes=40,
    verdict=Verdict.retry(Reason.BUSY), message="Provider returned error",
)  # fmt: skip
GOOD = Attempt(
    2, "b/good", "http://localhost/v1/chat/completions", served_model="b/good-1", provider="B", status=200, waited=2.0,
    first_token=0.25, elapsed=1.5, bytes=800, events=12, generation_id="gen-1", resent=True,
    usage={"prompt_tokens": 7, "completion_tokens": 30, "cost": 0.0015},
)  # fmt: skip


def made(*attempts: Attempt, stream: bool = True) -> Call:
    """Return a call that made these attempts."""
    return Call("0123456789abcdef", {"messages": [{"role": "user", "content": "SECRET"}]}, stream, attempts=attempts)


def test_the_line_of_a_call() -> None:
    """A line says what the call did, without prompt, answer or query; what says nothing is left out."""
    line = to_line(record_of(made(BUSY, GOOD), None, 1_000_000_004.0, {"tenant": "acme"}))
    assert json.loads(line) == {
        "time": "2001-09-09T01:46:40.000Z",
        "id": "0123456789abcdef",
        "mode": "stream",
        "ending": "answered",
        "seconds": 4.0,
        "attempts": [
            {
                "model": "a/busy", "endpoint": "http://localhost/v1/chat/completions", "status": 502, "reason": "busy",
                "message": "Provider returned error", "elapsed": 0.5, "bytes": 40,
            },
            {
                "model": "b/good", "endpoint": "http://localhost/v1/chat/completions", "served_model": "b/good-1",
                "provider": "B", "status": 200, "waited": 2.0, "first_token": 0.25, "elapsed": 1.5, "bytes": 800,
                "events": 12, "prompt_tokens": 7, "completion_tokens": 30, "cost": 0.0015, "generation_id": "gen-1",
                "resent": True,
            },
        ],
        "extra": {"tenant": "acme"},
    }  # fmt: skip
    assert "\n" not in line
    assert "SECRET" not in line
    assert "sk-secret" not in line


def test_what_it_tells_of_the_whole() -> None:
    """Who served, when the first token came, how long it waited and what it cost follow from the attempts."""
    record = record_of(made(BUSY, GOOD), None, 1e9)
    assert record.served is not None
    assert record.served.model == "b/good"
    assert (record.first_token, record.waited, record.cost) == (0.5 + 2.0 + 0.25, 2.0, 0.0015)
    failed = record_of(made(BUSY, BUSY), ChainExhausted("no"), 1e9)
    assert (failed.served, failed.first_token, failed.cost, failed.error) == (None, None, None, "ChainExhausted")


def test_too_many_attempts() -> None:
    """Of very many attempts the first and the last are told, and how many are not."""
    record = record_of(made(*[BUSY] * 500, GOOD), None, 1e9)
    assert (len(record.attempts), record.left_out) == (MOST_ATTEMPTS, 501 - MOST_ATTEMPTS)
    assert record.attempts[-1].model == "b/good"
    assert record.seconds == 500 * 0.5 + 3.5


@pytest.mark.parametrize(("most", "told"), [(2, [1, 9]), (3, [1, 9]), (4, [1, 2, 8, 9]), (9, [*range(1, 10)])])
def test_a_shortened_record(most: int, told: list[int]) -> None:
    """A shortened record tells of the first and the last attempts, and of how many others there were."""
    whole = Record(1e9, "0123456789abcdef", "complete", "failed", attempts=tuple(Try(f"{n}") for n in range(1, 10)))
    record = shortened(whole._replace(left_out=5), most)
    assert [int(each.model) for each in record.attempts] == told
    assert record.left_out == 5 + 9 - len(told)


def test_hostile_names_are_cut_and_cleaned() -> None:
    """What a server says of itself cannot fill a log, nor move a cursor."""
    hostile = Attempt(1, "a", "http://h", served_model="\x1b[2J" + "x" * 10_000, provider="\n", generation_id="\ud800")
    line = to_line(record_of(made(hostile), None, 1e9))
    assert len(line) < 500
    assert "\\u001b" not in line
    line.encode("ascii")


_texts = st.text(max_size=20)
_seconds = st.floats(0, 1e6).map(lambda value: round(value, 6))
_tries = st.builds(
    Try, model=_texts, endpoint=_texts, served_model=st.none() | _texts, status=st.none() | st.integers(100, 599),
    reason=st.none() | _texts, message=_texts, waited=_seconds, first_token=st.none() | _seconds, elapsed=_seconds,
    bytes=st.integers(0, 10**9), cost=st.none() | _seconds, prompt_tokens=st.none() | st.integers(1, 10**6),
    completion_tokens=st.none() | st.integers(1, 10**6), events=st.integers(0, 10**6),
)  # fmt: skip
_records = st.builds(
    Record, started=st.integers(0, 4 * 10**9).map(float), id=_texts, mode=st.sampled_from(["complete", "stream"]),
    ending=st.sampled_from(["answered", "failed"]), error=st.none() | _texts, seconds=_seconds,
    attempts=st.lists(_tries, max_size=4).map(tuple), left_out=st.integers(0, 9),
    extra=st.dictionaries(_texts, _texts, max_size=2),
)  # fmt: skip


@given(_records)
def test_a_line_is_read_as_it_was_written(record: Record) -> None:
    """What is read from a line is what was written into it."""
    assert from_line(to_line(record)) == record


@pytest.mark.parametrize("cut", range(1, 300, 13))
def test_a_torn_line_is_no_record(cut: int) -> None:
    """A line that was cut off anywhere is none."""
    line = to_line(record_of(made(BUSY, GOOD), None, 1e9))
    assert from_line(line[: len(line) - cut]) is None
    assert from_line(line[cut:]) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"time": "yesterday"}, {"time": 7}, {"time": None}, {"seconds": "1"}, {"seconds": True}, {"seconds": None},
        {"seconds": 1e300}, {"seconds": 10**400}, {"attempts": 7}, {"attempts": [7]}, {"attempts": [{}]},
        {"attempts": [{"model": 7}]}, {"attempts": [{"model": "a", "status": "502"}]},
        {"attempts": [{"model": "a", "resent": 1}]}, {"attempts": [{"model": "a", "events": True}]}, {"id": None},
        {"extra": 7},
    ],
    ids=str,
)  # fmt: skip
def test_nonsense_is_no_record(changes: dict[str, Any]) -> None:
    """A line with a value of another kind is none, and raises nothing."""
    fields = json.loads(to_line(record_of(made(BUSY, GOOD), None, 1e9)))
    assert from_line(json.dumps({**fields, **changes})) is None


@pytest.mark.parametrize("line", ["", "{}", "[]", "7", "null", '"x"', "[" * 100_000, "\x00", b"\xff\xfe", "NaN"])
def test_no_json_is_no_record(line: str | bytes) -> None:
    """A line of something else is none, and raises nothing."""
    assert from_line(line) is None


def test_what_a_later_version_adds_is_passed_over() -> None:
    """Fields that are not known do not make a record unreadable."""
    fields = json.loads(to_line(record_of(made(GOOD), None, 1e9)))
    fields["colour"] = "green"
    fields["attempts"][0]["shape"] = "round"
    assert from_line(json.dumps(fields)) == record_of(made(GOOD), None, 1e9)


@pytest.mark.parametrize("value", [math.nan, math.inf, object()], ids=["nan", "inf", "object"])
def test_what_a_host_adds_is_json(value: object) -> None:
    """What is no JSON is refused where it is written, not where it is read."""
    with pytest.raises((TypeError, ValueError)):
        to_line(record_of(made(GOOD), None, 1e9, {"x": value}))


def test_what_takes_time_beside_attempts() -> None:
    """A call takes as long as it took, where that is known; never less than its attempts and waits."""
    assert record_of(made(BUSY, GOOD), None, 1e9, took=9.0)[:1] == (1e9 - 9.0,)
    assert record_of(made(BUSY, GOOD), None, 1e9, took=1.0).seconds == 4.0


@pytest.mark.parametrize("now", [1e12, -1e12, math.nan])
def test_a_clock_that_no_calendar_knows(now: float) -> None:
    """A host's clock may say anything: the record is written all the same."""
    assert '"time":"1970-01-01T00:00:00.000Z"' in to_line(record_of(made(GOOD), None, now))


def test_next_to_nothing_is_nothing() -> None:
    """A time that no clock measures is none: what draws it would divide by it."""
    line = to_line(record_of(made(GOOD), None, 1e9)).replace('"seconds":3.5', '"seconds":5e-324')
    found = from_line(line)
    assert found is not None
    assert found.seconds == 0.0
