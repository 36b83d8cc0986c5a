"""The figures of ``orfallback top``: from records, and from counters."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tops import Metrics, record

from orfallback._record import Try
from orfallback.cli._top._counters import Counters, Scrape, Series, growth, restarted
from orfallback.cli._top._exposition import MOST_VALUES, parse
from orfallback.cli._top._figures import PIECES, Fallback, Figures, Hops, Spread
from orfallback.cli._top._metrics import figures as figures_of
from orfallback.cli._top._numbers import count, dollars, number, percent, seconds
from orfallback.cli._top._quantiles import histogram_quantile
from orfallback.cli._top._records import MOST_RECORDS, Window

NOW = 1_700_000_000.0


def near(*values: float, rel: float | None = None, abs: float | None = None) -> Any:  # noqa: A002 - as pytest says it
    """Return what equals a number, or several, but for rounding."""
    return pytest.approx(values[0] if len(values) == 1 else values, rel=rel, abs=abs)


# -- quantiles --


@pytest.mark.parametrize(
    ("share", "buckets", "value"),
    [
        # Those of Prometheus' own promql/promqltest/testdata/histograms.test.
        (0.0, {0.1: 5, 0.2: 7, 1.0: 11, math.inf: 12}, 0.0),
        (0.2, {0.1: 5, 0.2: 7, 1.0: 11, math.inf: 12}, 0.048),
        (0.5, {0.1: 5, 0.2: 7, 1.0: 11, math.inf: 12}, 0.15),
        (0.8, {0.1: 5, 0.2: 7, 1.0: 11, math.inf: 12}, 0.72),
        (1.0, {0.1: 5, 0.2: 7, 1.0: 11, math.inf: 12}, 1.0),
        # What lies below a bound of 0 is told as that bound.
        (0.1, {-0.2: 1, -0.1: 2, 0.3: 2, math.inf: 3}, -0.2),
        # A bucket that nothing fell into is passed over.
        (0.5, {1.0: 0, 2.0: 4, math.inf: 4}, 1.5),
        (0.0, {1.0: 0, 2.0: 4, math.inf: 4}, 1.0),
        # Beyond the last bound nothing is known.
        (0.95, {1.0: 1, math.inf: 100}, 1.0),
        # No values, no bounds, no last bucket.
        (0.5, {1.0: 0, math.inf: 0}, None),
        (0.5, {math.inf: 4}, None),
        (0.5, {1.0: 4, 2.0: 5}, None),
        # Read while others counted.
        (0.5, {1.0: 4, 2.0: 3, math.inf: 4}, 0.5),
    ],
)
def test_a_quantile_is_that_of_prometheus(share: float, buckets: dict[float, float], value: float | None) -> None:
    """Quantiles are interpolated as ``histogram_quantile`` does, at its edges too."""
    got = histogram_quantile(share, buckets)
    assert got == (None if value is None else near(value))


@given(st.lists(st.integers(0, 1_000), min_size=2, max_size=8), st.floats(0, 1), st.floats(0, 1))
def test_quantiles_grow_and_stay_within_bounds(counts: list[int], low: float, high: float) -> None:
    """A larger share never gives a smaller value, and none lies outside of the buckets."""
    bounds = [*range(1, len(counts)), math.inf]
    total, buckets = 0, {}
    for bound, more in zip(bounds, counts, strict=True):
        total += more
        buckets[float(bound)] = float(total)
    values = [histogram_quantile(share, buckets) for share in sorted((low, high))]
    if total == 0:
        assert values == [None, None]
    else:
        assert 0 <= (values[0] or 0) <= (values[1] or 0) <= bounds[-2]


# -- records --


@pytest.fixture
def window() -> Window:
    """A minute."""
    return Window(60)


def test_an_empty_log_says_nothing(window: Window) -> None:
    """Without records rates are 0, and what is a share of nothing is not known."""
    figures = window.figures(NOW)
    assert (figures.span, figures.calls, figures.rate(figures.calls)) == (60, 0, 0)
    assert (figures.answered, figures.per_call(3), figures.seconds) == (None, None, Spread(None, None))


def test_records_make_figures(window: Window) -> None:
    """Endings, fallbacks, waits, models, reasons, percentiles, tokens and cost are those of the records, exactly."""
    busy = Try("a/busy", reason="busy", elapsed=0.5)
    good = Try("b/good", waited=2.0, elapsed=1.0, first_token=0.25, completion_tokens=30, cost=0.001)
    window.add(record(NOW - 30, busy, good))
    window.add(record(NOW - 20, good._replace(waited=0.0, elapsed=3.0, first_token=0.75)))
    window.add(record(NOW - 10, busy, busy._replace(waited=1.0, reason="timeout"), ending="failed"))
    window.add(record(NOW - 5, Try("b/good", reason="cancelled", elapsed=0.1), ending="left"))
    figures = window.figures(NOW)
    assert figures.endings == {"answered": 2, "failed": 1, "left": 1}
    assert (figures.calls, figures.failures, figures.answered) == (4, 1, near(2 / 3))
    assert figures.rate(figures.calls) == near(4 / 60)
    assert figures.seconds == near(2.5, 3.5)
    assert figures.waited == 3.0
    assert figures.hops == (Hops("a/busy", "b/good", "busy", 1),)
    # Asked again is not asked elsewhere.
    assert (figures.fallbacks, figures.retries, figures.fell_back) == (1, 1, 1)
    assert figures.latest == (
        Fallback(near(NOW - 10 - 1.5), "a/busy", "a/busy", "busy", 1.0),
        Fallback(near(NOW - 30 - 3.0), "a/busy", "b/good", "busy", 2.0),
    )
    one, other = figures.models
    assert (one.model, one.attempts, one.share, one.reasons) == ("a/busy", 3, 0.0, {"busy": 2, "timeout": 1})
    assert (one.seconds, one.first_token, one.tokens, one.cost) == (Spread(0.5, 0.5), Spread(), 0, 0)
    assert (other.model, other.attempts, other.left, other.share, other.reasons) == ("b/good", 3, 1, 1.0, {})
    assert (other.seconds, other.first_token) == (Spread(1.0, 3.0), Spread(0.5, 0.75))
    assert (other.tokens, other.cost) == (60, near(0.002))


def test_a_record_leaves_the_window(window: Window) -> None:
    """A call counts from its end for as long as the window is, and no longer."""
    window.add(record(NOW))
    assert [window.figures(NOW + after).calls for after in (0, 59.9, 60)] == [1, 1, 0]


def test_the_same_model_elsewhere_is_a_fallback(window: Window) -> None:
    """A model that is asked again at another endpoint is a fallback, no retry."""
    first = Try("a/busy", endpoint="http://one", reason="busy", elapsed=1.0)
    window.add(record(NOW, first, Try("a/busy", endpoint="http://two", elapsed=1.0)))
    figures = window.figures(NOW)
    assert (figures.fallbacks, figures.retries) == (1, 0)


def test_attempts_that_were_left_out_are_no_neighbours(window: Window) -> None:
    """Where the record of a call leaves attempts out no fallback is told across the gap."""
    tries = [Try(f"m/{number}", reason="busy", elapsed=0.01) for number in range(100)]
    window.add(record(NOW, *tries, ending="failed")._replace(left_out=5))
    figures = window.figures(NOW)
    assert figures.fallbacks == 98
    assert ("m/49", "m/50") not in {(hops.start, hops.goal) for hops in figures.hops}


def test_of_a_busy_log_the_window_is_shorter() -> None:
    """More records than are kept shorten the window, so that rates stay right."""
    window = Window(60)
    for place in range(MOST_RECORDS + 10_000):
        window.add(record(NOW - 60 + place / 1_000))
    figures = window.figures(NOW)
    assert figures.calls == MOST_RECORDS
    assert figures.rate(figures.calls) == near(1_000, rel=0.001)


def test_the_course_of_records_stands_still(window: Window) -> None:
    """Calls stand in pieces whose bounds do not move with time; what is beyond the window's start is gone."""
    for ago, ending in ((0.5, "answered"), (0.6, "failed"), (59.5, "left"), (61.0, "failed")):
        window.add(record(NOW - ago, ending=ending))
    course = window.figures(NOW).course
    assert len(course) == PIECES
    assert (course[-2], course[-1], course[0]) == ((2, 1), (0, 0), (0, 0))
    later = window.figures(NOW + 1).course
    assert later[-3] == (2, 1)


def test_a_clock_that_is_ahead(window: Window) -> None:
    """A call of the future is told as one of now."""
    window.add(record(NOW + 100))
    assert window.figures(NOW).course[-1] == (1, 0)


# -- counters --


def calls(value: float, ending: str = "answered") -> Scrape:
    """Return a look at one counter."""
    return {Series("orfallback_calls_total", (("ending", ending),)): value}


def increases(*looks: tuple[float, Scrape], window: float = 60) -> Iterator[tuple[float, float]]:
    """Yield after each look how many calls grew in how many seconds."""
    counters = Counters(window)
    for at, scrape in looks:
        counters.take(at, scrape)
        yield sum(counters.increase.values()), counters.span


def test_counters_say_what_grew_between_two_looks() -> None:
    """The first look says nothing; after that the growth since the window began is told."""
    told = list(increases((0, calls(100)), (1, calls(103)), (3, calls(110))))
    assert told == [(0, 0), (3, 1), (10, 3)]


def test_growth_leaves_the_window() -> None:
    """Growth is forgotten when it is older than the window."""
    looks = [(float(at), calls(min(at, 5))) for at in range(200)]
    told = list(increases(*looks))
    assert [told[at] for at in (5, 60, 65, 66, 199)] == [(5, 5), (5, 60), (0, 60), (0, 60), (0, 60)]


def test_a_window_shorter_than_the_looks() -> None:
    """The last two looks make the figures where the window holds no two."""
    assert list(increases((0, calls(0)), (100, calls(5)), (200, calls(12)), window=10))[-1] == (7, 100)


def test_short_steps_become_one() -> None:
    """Ten looks a second make no more steps than pieces of the window."""
    counters = Counters(60)
    for place in range(2_000):
        counters.take(place / 10, calls(place))
    assert len(counters.steps) <= PIECES + 2
    assert counters.span == near(60, abs=1.1)
    assert sum(counters.increase.values()) == near(600, abs=11)


def test_a_restart_is_no_negative_rate() -> None:
    """A counter that went back began at 0: what it has now is what it grew by, and that is remembered."""
    counters = Counters(60)
    for at, scrape in ((0, calls(100)), (1, calls(101)), (2, calls(4)), (3, calls(6))):
        counters.take(at, scrape)
    assert (sum(counters.increase.values()), list(counters.restarts)) == (7, [2])
    counters.take(63, calls(6))
    assert list(counters.restarts) == []


def test_one_that_went_back_is_a_restart_of_all() -> None:
    """Where one counter went back all began anew, also one that has overtaken its old value since."""
    old, new = {**calls(5), **calls(50, "failed")}, {**calls(7), **calls(1, "failed")}
    assert restarted(old, new)
    counters = Counters(60)
    counters.take(0, old)
    counters.take(1, new)
    assert counters.increase == new


STARTED = Series("process_start_time_seconds")


@pytest.mark.parametrize(
    ("old", "new", "again"),
    [
        (calls(5), calls(5), False),
        # Sums of several processes are added up in any order.
        (calls(5.000000000000001), calls(5.0), False),
        # One of several may go; all of them do not.
        ({**calls(5), **calls(1, "failed")}, calls(5), False),
        (calls(5), {}, True),
        ({}, calls(5), False),
        # A gauge may go back.
        ({Series("orfallback_calls_in_progress"): 5}, {Series("orfallback_calls_in_progress"): 1}, False),
        # A process that tells when it began.
        ({**calls(5), STARTED: 1}, {**calls(9), STARTED: 2}, True),
    ],
)  # fmt: skip
def test_what_a_restart_is(old: Scrape, new: Scrape, again: bool) -> None:
    """A restart is known by a counter that went back, all that are gone, or another start."""
    assert restarted(old, new) is again


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.floats(0, 1e9)), min_size=1, max_size=20))
def test_no_growth_is_negative(looks: list[dict[str, float]]) -> None:
    """Whatever a server tells, nothing grows by less than nothing."""
    counters = Counters(5)
    for at, look in enumerate(looks):
        counters.take(at, {Series(f"{name}_total"): value for name, value in look.items()})
        assert all(amount > 0 for amount in counters.increase.values())
    assert growth({Series("a_total"): 5}, {Series("a_total"): 3}) == {}


# -- metrics --


def two_looks(metrics: Metrics, between: float = 10.0) -> Iterator[Figures]:
    """Yield the figures after the first look, and after what happened before the second one."""
    counters = Counters(60)
    at = 1_000.0
    while True:
        scrape = parse(metrics.text())
        counters.take(at, scrape)
        yield figures_of(counters, scrape, at, NOW)
        at += between


def test_metrics_make_figures() -> None:
    """Rates, endings, fallbacks, models, quantiles, tokens, cost and rests are what grew between two looks, exactly."""
    metrics = Metrics()
    metrics.calls.labels("stream", "answered").inc(1_000)
    metrics.attempts.labels("a/busy", "stream", "busy").inc(500)
    looks = two_looks(metrics)
    first = next(looks)
    assert (first.span, first.calls, first.rate(first.calls)) == (0, 0, None)
    metrics.calls.labels("stream", "answered").inc(6)
    metrics.calls.labels("complete", "answered").inc(2)
    metrics.calls.labels("complete", "failed").inc(2)
    metrics.calls.labels("stream", "left").inc(5)
    metrics.in_progress.labels("stream").set(3)
    metrics.in_progress.labels("complete").set(1)
    metrics.attempts.labels("a/busy", "stream", "busy").inc(4)
    metrics.attempts.labels("a/busy", "complete", "busy").inc(1)
    metrics.attempts.labels("a/busy", "stream", "timeout").inc(3)
    metrics.attempts.labels("b/good", "stream", "answered").inc(8)
    metrics.attempts.labels("b/good", "stream", "cancelled").inc(5)
    metrics.attempts.labels("b/good", "stream", "busy").inc(2)
    metrics.fallbacks.labels("a/busy", "b/good", "busy").inc(5)
    metrics.fallbacks.labels("a/busy", "b/good", "timeout").inc(3)
    metrics.fallbacks.labels("b/good", "b/good", "busy").inc(1)
    metrics.waited.inc(3)
    metrics.tokens.labels("b/good", "prompt").inc(999)
    metrics.tokens.labels("b/good", "completion").inc(50)
    metrics.cost.labels("b/good").inc(0.01)
    metrics.rests_until.labels("a/busy").set(NOW + 25)
    metrics.rests_until.labels("b/good").set(NOW - 25)
    for _ in range(4):
        # Between 0.75 and 1, and 2.5 and 5.
        metrics.seconds.labels("b/good", "stream").observe(0.8)
        metrics.seconds.labels("b/good", "complete").observe(3)
    metrics.first_token.labels("b/good").observe(0.3)
    metrics.call_seconds.labels("stream").observe(0.02)
    second = next(looks)
    assert (second.span, second.in_progress) == (10, 4)
    assert second.endings == {"answered": 8, "left": 5, "failed": 2}
    assert (second.rate(second.calls), second.answered) == (1.5, 0.8)
    assert second.seconds == near(0.0175, 0.02425)
    assert second.hops == (Hops("a/busy", "b/good", "busy", 5), Hops("a/busy", "b/good", "timeout", 3))
    assert (second.fallbacks, second.retries, second.fell_back, second.latest) == (8, 1, None, ())
    assert (second.per_call(second.fallbacks), second.per_call(second.waited)) == (near(8 / 15), 0.2)
    one, other = second.models
    assert (one.model, one.attempts, one.share, one.rests) == ("a/busy", 8, 0.0, 25)
    assert list(one.reasons.items()) == [("busy", 5), ("timeout", 3)]
    assert (one.seconds, one.first_token, one.tokens) == (Spread(), Spread(), 0)
    assert (other.model, other.attempts, other.left, other.share, other.rests) == ("b/good", 15, 5, 0.8, 0)
    assert other.seconds == near(1.0, 2.5 + 2.5 * 0.9)
    assert other.first_token == near(0.375, 0.4875)
    assert (second.rate(other.tokens), second.rate(other.cost)) == (5, near(0.001))


def test_bounds_that_are_none() -> None:
    """A bucket whose bound is no number is passed over."""
    lines = [f'orfallback_call_seconds_bucket{{le="{le}"}}' for le in ("1", "much", "NaN", "+Inf")]
    counters = Counters(60)
    for at, counts in enumerate(((0, 0, 0, 0), (4, 5, 6, 8))):
        scrape = parse("\n".join(f"{line} {count}" for line, count in zip(lines, counts, strict=True)))
        counters.take(at, scrape)
    assert figures_of(counters, scrape, 1, NOW).seconds == near(1.0, 1.0)


def test_an_idle_model_stays() -> None:
    """A model that nobody asks now is told with zeros; nothing jumps."""
    metrics = Metrics()
    metrics.attempts.labels("a/idle", "stream", "answered").inc(5)
    looks = two_looks(metrics)
    next(looks)
    (model,) = next(looks).models
    assert (model.model, model.attempts, model.share) == ("a/idle", 0, None)


def test_a_model_that_rests_for_ever() -> None:
    """One that rests until nobody knows when is told as resting."""
    metrics = Metrics()
    metrics.rests_until.labels("a/parked").set(math.inf)
    (model,) = next(two_looks(metrics)).models
    assert model.rests == math.inf


def test_the_course_of_counters() -> None:
    """What grew between two looks is spread evenly over the time between them; its sum is kept."""
    metrics = Metrics()
    metrics.calls.labels("stream", "answered")
    looks = two_looks(metrics, 2.5)
    next(looks)
    metrics.calls.labels("stream", "answered").inc(4)
    metrics.calls.labels("stream", "broken").inc(1)
    course = next(looks).course
    # From 1000 to 1002.5: two whole pieces and half of the one that now is in.
    assert [piece.calls for piece in course[-4:]] == [0, 2, 2, 1]
    assert [piece.failures for piece in course[-4:]] == [0, near(0.4), near(0.4), near(0.2)]
    assert sum(piece.calls for piece in course) == near(5)


# -- the format --


def test_labels_are_read_as_they_were() -> None:
    """Quotes, backslashes and braces in a model's id come through; what no terminal ought to see does not."""
    metrics = Metrics()
    metrics.attempts.labels('we"ird\\{}, id', "stream", "a\nb\x1b[31m\u202ec").inc(3)
    read = {series.labels: value for series, value in parse(metrics.text()).items() if "attempts" in series.name}
    assert read == {(("mode", "stream"), ("model", 'we"ird\\{}, id'), ("outcome", "a b [31m c")): 3}


def test_other_metrics_are_passed_over() -> None:
    """What else a page holds is not read, not even where it is nonsense."""
    text = 'process_start_time_seconds 17\nother_total{x="1} nonsense\n' + Metrics().text()
    scrape = parse(text)
    assert scrape == {Series("process_start_time_seconds"): 17, Series("orfallback_wait_seconds_total"): 0}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "serves no metric of orfallback"),
        ("<html>orfallback_calls_total</html>", "serves no metric of orfallback"),
        ("orfallback_calls_total{ 1", "not Prometheus' text format"),
        ("orfallback_calls_total{a=b} 1", "not Prometheus' text format"),
        ("orfallback_calls_total one", "not Prometheus' text format"),
        ("orfallback_calls_total", "not Prometheus' text format"),
        ("orfallback_calls_total{" + "," * 100 + "} 1", "not Prometheus' text format"),
        (f'orfallback_calls_total{{mode="{"x" * 3_000}"}} 1', "more than a gateway"),
        ("orfallback_calls_total 1\n" * (MOST_VALUES + 1), "more than a gateway"),
    ],
)
def test_a_page_that_is_none(text: str, why: str) -> None:
    """What is not the format, holds nothing of ours or too much is refused in a sentence."""
    with pytest.raises(ValueError, match=why):
        parse(text)


def test_numbers_that_are_none() -> None:
    """Counts that are negative, endless or no number are not there."""
    lines = (f'orfallback_calls_total{{ending="{value}"}} {value}\n' for value in ("-5", "NaN", "+Inf", "1e300", "7"))
    assert list(parse("".join(lines)).values()) == [7]


@given(st.sampled_from(["", "{mode=", '{mode="']), st.text(max_size=200))
def test_no_page_raises_anything_else(begun: str, text: str) -> None:
    """Whatever comes, it is read, or refused with a sentence."""
    with contextlib.suppress(ValueError):
        assert all(value >= 0 for value in parse(f"orfallback_calls_total{begun}{text}").values())


# -- in few characters --


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"), (0, "0"), (0.004, "0"), (0.042, "0.04"), (0.996, "1.0"), (3.14, "3.1"), (9.96, "10"), (42.4, "42"),
        (999.4, "999"), (999.6, "1.0k"), (12_345, "12k"), (2e6, "2.0M"), (9e9, "9.0G"), (5e13, "50T"), (1e16, "lots"),
    ],
)  # fmt: skip
def test_numbers(value: float | None, text: str) -> None:
    """A number takes at most four characters."""
    assert number(value) == text


@given(st.floats(0, 1e14))
def test_everything_fits_its_column(value: float) -> None:
    """No figure is wider than its column."""
    assert len(number(value)) <= 4
    assert len(seconds(value)) <= 6
    assert len(dollars(value)) <= 7
    assert len(percent(min(value, 1.0))) <= 6
    assert len(count(value)) <= 6


def test_what_is_not_all_is_not_told_as_all() -> None:
    """A share is rounded, but never to all, and never to none."""
    assert [percent(share) for share in (1, 0.99999, 0.991, 0.5, 0.0001, 0, None)] == [
        "100 %", "99.9 %", "99.1 %", "50 %", "<1 %", "0 %", "-",
    ]  # fmt: skip


def test_time_and_money() -> None:
    """Seconds and dollars are told in the unit that fits."""
    assert [seconds(each) for each in (0, 0.012, 0.61, 7.31, 42.2, 2_100, 90_000, None)] == [
        "0 ms", "12 ms", "0.61 s", "7.3 s", "42 s", "35 m", "25 h", "-",
    ]  # fmt: skip
    assert [dollars(each) for each in (0, 0.00001, 0.0123, 0.5, 12.3, 420, 12_000, None)] == [
        "$0", "<$.0001", "$0.0123", "$0.50", "$12.30", "$420", "$12k", "-",
    ]  # fmt: skip


def test_infinite_gauges_are_none() -> None:
    """Infinities and what is beyond all measure are no figures; of two instants of one model the later counts."""
    text = """# TYPE orfallback_calls_in_progress gauge
orfallback_calls_in_progress{mode="complete"} +Inf
orfallback_calls_in_progress{mode="stream"} -Inf
# TYPE orfallback_rests_until_timestamp_seconds gauge
orfallback_rests_until_timestamp_seconds{model="a  b"} 100
orfallback_rests_until_timestamp_seconds{model="a b"} 130
orfallback_rests_until_timestamp_seconds{model="c"} 1e308
"""
    rests = {"a b": 130.0, "c": math.inf}
    assert parse(text) == {
        Series("orfallback_rests_until_timestamp_seconds", (("model", name),)): until for name, until in rests.items()
    }
