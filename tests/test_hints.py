"""How long the server asks to wait: every way of saying so, the order of trust, and every nonsense."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from orfallback._hints import LONGEST_HINT, retry_after, until_midnight
from orfallback._types import Outcome, UpstreamError

PROPERTY = settings(max_examples=200, deadline=None, database=None)

NOW = 1_790_000_000.0  # Mon, 21 Sep 2026 14:13:20 GMT
DAY = 86_400.0


def outcome(headers: dict[str, str], received: float = NOW) -> Outcome:
    return Outcome(status=429, headers=CaseInsensitiveDict(headers), received=received)


def hint(headers: dict[str, str], error: UpstreamError | None = None) -> float | None:
    return retry_after(outcome(headers), error or UpstreamError())


@pytest.mark.parametrize(("value", "seconds"), [
    pytest.param("0", 0.0, id="zero"),
    pytest.param("1", 1.0, id="one"),
    pytest.param("1.5", 1.5, id="fraction"),
    pytest.param(" 7 ", 7.0, id="padded"),
    pytest.param("", None, id="empty"),
    pytest.param("abc", None, id="letters"),
    pytest.param("-1", None, id="negative"),
    pytest.param("-0.001", None, id="just-negative"),
    pytest.param("1e400", None, id="overflow"),
    pytest.param("-1e400", None, id="negative-overflow"),
    pytest.param("NaN", None, id="nan"),
    pytest.param("inf", None, id="infinity"),
    pytest.param("1, 2", None, id="two-headers-joined"),
    pytest.param("9" * 30, DAY, id="30-digits"),
    pytest.param("9" * 5_000, None, id="5000-digits"),
    pytest.param("86400", DAY, id="a-day"),
    pytest.param("86401", DAY, id="more-than-a-day"),
    pytest.param("Mon, 21 Sep 2026 14:14:20 GMT", 60.0, id="date"),
    pytest.param("Monday, 21-Sep-26 14:14:20 GMT", 60.0, id="rfc-850-date"),
    pytest.param("Mon, 21 Sep 2026 16:14:20 +0200", 60.0, id="date-with-offset"),
    pytest.param("Sun, 20 Sep 2026 14:13:20 GMT", 0.0, id="past-date"),
    pytest.param("Fri, 31 Dec 2066 23:59:59 GMT", DAY, id="far-date"),
    pytest.param("Mon, 99 Sep 2026 14:14:20 GMT", None, id="impossible-day"),
    pytest.param("Fri, 31 Dec 99999 23:59:59 GMT", None, id="impossible-year"),
    pytest.param("Mon, 21 Sep 2026 14:14:20 +9999", None, id="impossible-offset"),
])  # fmt: skip
def test_retry_after(value: str, seconds: float | None) -> None:
    """Retry-After is seconds or a date, clamped to a day; nonsense is no hint."""
    assert hint({"Retry-After": value}) == seconds
    assert hint({"retry-AFTER": value}) == seconds


def test_longest_hint() -> None:
    """No hint is longer than 24 hours."""
    assert LONGEST_HINT == DAY


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone cannot be changed here")
@pytest.mark.parametrize("value", [
    pytest.param("Mon Sep 21 14:14:20 2026", id="asctime"),
    pytest.param("Mon, 21 Sep 2026 14:14:20 -0000", id="minus-zero"),
])  # fmt: skip
def test_a_date_without_a_zone_is_gmt(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A date that names no zone is GMT (RFC 9110 section 5.6.7), whatever zone this machine is in."""
    monkeypatch.setenv("TZ", "EST5")
    time.tzset()
    try:
        assert hint({"Retry-After": value}) == 60.0
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(("date", "seconds"), [
    pytest.param("Mon, 21 Sep 2026 14:13:50 GMT", 30.0, id="server-is-ahead"),
    pytest.param("Mon, 21 Sep 2026 13:14:20 GMT", 3_600.0, id="server-is-behind"),
    pytest.param("Mon, 21 Sep 2026 14:14:21 GMT", 0.0, id="already-past"),
    pytest.param("rubbish", 60.0, id="unreadable"),
    pytest.param("", 60.0, id="empty"),
])  # fmt: skip
def test_dates_are_held_against_the_servers_clock(date: str, seconds: float) -> None:
    """A date hint counts from the response's own Date, and from our clock only if that cannot be read."""
    assert hint({"Retry-After": "Mon, 21 Sep 2026 14:14:20 GMT", "Date": date}) == seconds
    assert hint({"X-RateLimit-Reset": "1790000060000", "Date": date}) == seconds


@pytest.mark.parametrize(("value", "seconds"), [
    pytest.param("1790000007000", 7.0, id="milliseconds"),
    pytest.param("1790000007500", 7.5, id="half-a-second"),
    pytest.param("1790000007", 7.0, id="seconds"),
    pytest.param("1790000007.25", 7.25, id="fraction-of-seconds"),
    pytest.param("30", 30.0, id="a-span"),
    pytest.param("0", 0.0, id="zero"),
    pytest.param("1789999999000", 0.0, id="past-milliseconds"),
    pytest.param("1789999999", 0.0, id="past-seconds"),
    pytest.param("1790172800000", DAY, id="two-days"),
    pytest.param("1e400", None, id="overflow"),
    pytest.param("-5", None, id="negative"),
    pytest.param("NaN", None, id="nan"),
    pytest.param("soon", None, id="letters"),
    pytest.param("", None, id="empty"),
])  # fmt: skip
def test_rate_limit_reset(value: str, seconds: float | None) -> None:
    """X-RateLimit-Reset is an instant in milliseconds or seconds, or a short span; nonsense is no hint."""
    assert hint({"X-RateLimit-Reset": value}) == seconds
    assert hint({}, UpstreamError(metadata={"headers": {"X-RateLimit-Reset": value}})) == seconds


@pytest.mark.parametrize(("value", "seconds"), [
    pytest.param("250", 0.25, id="text"),
    pytest.param("0", 0.0, id="zero"),
    pytest.param("x", None, id="letters"),
    pytest.param("1e400", None, id="overflow"),
])  # fmt: skip
def test_retry_after_ms(value: str, seconds: float | None) -> None:
    """Retry-After-Ms is read as milliseconds."""
    assert hint({"Retry-After-Ms": value}) == seconds


@pytest.mark.parametrize(("value", "seconds"), [
    pytest.param(7, 7.0, id="int"),
    pytest.param(0.25, 0.25, id="float"),
    pytest.param("7", 7.0, id="text"),
    pytest.param(True, None, id="bool"),
    pytest.param(None, None, id="null"),
    pytest.param([7], None, id="list"),
    pytest.param({}, None, id="object"),
    pytest.param(-1, None, id="negative"),
    pytest.param(float("nan"), None, id="nan"),
    pytest.param(float("inf"), None, id="infinity"),
    pytest.param(10**400, None, id="int-too-large-for-a-float"),
    pytest.param(10**9, DAY, id="decades"),
])  # fmt: skip
@pytest.mark.parametrize("place", ["availability", "raw", "seconds"])
def test_hints_in_the_body(place: str, value: object, seconds: float | None) -> None:
    """The body's own fields are read as numbers, whatever JSON put there."""
    error = {
        "availability": UpstreamError(availability={"retry_after": value}),
        "raw": UpstreamError(metadata={"retry_after_seconds_raw": value}),
        "seconds": UpstreamError(metadata={"retry_after_seconds": value}),
    }[place]
    assert hint({}, error) == seconds


@pytest.mark.parametrize("copied", [None, [], "x", 5, {"Retry-After": None}, {"Retry-After": []}])
def test_copied_headers_of_any_shape(copied: object) -> None:
    """Copied headers that are no object, or hold no text, are no hint."""
    assert hint({}, UpstreamError(metadata={"headers": copied})) is None


def test_order_of_trust() -> None:
    """Each source is used when those before it are silent: openrouter.md section 1.9."""
    headers = {"Retry-After": "1", "X-RateLimit-Reset": "1790000005000"}
    availability: dict[str, Any] = {"retry_after": 2}
    metadata: dict[str, Any] = {
        "retry_after_seconds_raw": 3.5,
        "retry_after_seconds": 3,
        "headers": {"Retry-After": "4", "X-RateLimit-Reset": "1790000006000"},
    }
    found = []
    for silence in (
        lambda: headers.pop("Retry-After"),
        lambda: availability.pop("retry_after"),
        lambda: metadata.pop("retry_after_seconds_raw"),
        lambda: metadata.pop("retry_after_seconds"),
        lambda: metadata["headers"].pop("Retry-After"),
        lambda: headers.pop("X-RateLimit-Reset"),
        lambda: metadata["headers"].pop("X-RateLimit-Reset"),
    ):
        found.append(hint(headers, UpstreamError(availability=availability, metadata=metadata)))
        silence()
    assert found == [1.0, 2.0, 3.5, 3.0, 4.0, 5.0, 6.0]
    assert hint(headers, UpstreamError(availability=availability, metadata=metadata)) is None


@pytest.mark.parametrize("nonsense", ["abc", "-1", "NaN", "1e400", ""])
def test_nonsense_gives_way_to_the_next_source(nonsense: str) -> None:
    """A source that makes no sense does not hide the one after it."""
    assert hint({"Retry-After": nonsense, "X-RateLimit-Reset": "9"}) == 9.0


@pytest.mark.parametrize(("now", "seconds"), [
    pytest.param(0.0, DAY, id="midnight"),
    pytest.param(DAY - 1, 1.0, id="a-second-before"),
    pytest.param(DAY * 20_000 + 3_600, 82_800.0, id="one-in-the-morning"),
])  # fmt: skip
def test_until_midnight(now: float, seconds: float) -> None:
    """Daily counters start anew at 00:00 UTC by the server's clock, else by ours."""
    assert until_midnight(outcome({}, received=now)) == seconds
    assert until_midnight(outcome({"Date": "Mon, 21 Sep 2026 23:59:00 GMT"}, received=now)) == 60.0


HEADER_TEXT = st.one_of(
    st.text(max_size=40),
    st.text("0123456789.eE+-_ infnaNT", max_size=30),
    st.text("MonSepGMTUECZ0123456789 ,:+-/()\"", max_size=40),
    st.from_regex(r"\A(Mon, )?\d{1,3}[ -](Sep|Feb|Foo)[ -]\d{1,5} \d\d?:\d\d?(:\d\d?)? ?([+-]\d{1,6}|GMT|XYZ|)\Z"),
)  # fmt: skip


@PROPERTY
@given(
    headers=st.dictionaries(
        st.sampled_from(["Retry-After", "retry-after-ms", "X-RateLimit-Reset", "Date"]), HEADER_TEXT
    ),
    copied=st.dictionaries(st.sampled_from(["Retry-After", "X-RateLimit-Reset"]), HEADER_TEXT),
    received=st.floats(0, 4e9),
)
def test_any_header(headers: dict[str, str], copied: dict[str, str], received: float) -> None:
    """No header text raises, and a hint is None or 0 to 86,400 seconds."""
    came = outcome(headers, received)
    found = retry_after(came, UpstreamError(metadata={"headers": copied}))
    assert found is None or 0 <= found <= DAY
    assert 0 < until_midnight(came) <= DAY
