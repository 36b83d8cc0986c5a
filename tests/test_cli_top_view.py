"""The view of ``orfallback top``: what stands where, in any width and height, with colour and without."""

from __future__ import annotations

import io
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from tops import record

from orfallback._record import Try
from orfallback.cli._shown import shown
from orfallback.cli._top._figures import PIECES, Figures, Hops, Model, Piece, Spread
from orfallback.cli._top._json import as_json
from orfallback.cli._top._records import Window
from orfallback.cli._top._sources import Look
from orfallback.cli._top._spark import means, spark
from orfallback.cli._top._view import Frame, view

# 14:13:20 in UTC.
NOW = 1_700_000_000.0
NEMO, SMALL = "mistralai/mistral-nemo", "mistralai/mistral-small-3.2-24b-instruct"


@pytest.fixture(autouse=True)
def _somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be the same time of day wherever the tests run."""
    monkeypatch.setenv("TZ", "UTC")
    __import__("time").tzset()


def of_log() -> Look:
    """Return a look at a call log: every second a call, of which every third falls back."""
    window = Window(60)
    for ago in range(60):
        good = Try(SMALL, waited=2.0, elapsed=1.5, first_token=0.4, completion_tokens=40, cost=0.0001)
        tries = (Try(NEMO, reason="busy", elapsed=0.2), good) if ago % 3 == 0 else (good._replace(waited=0.0),)
        window.add(record(NOW - ago, *tries, ending="failed" if ago == 33 else "answered"))
    return Look(NOW, window.figures(NOW))


def of_metrics() -> Look:
    """Return a look at metrics."""
    models = (
        Model(NEMO, answered=30, reasons={"busy": 12.0, "timeout": 3.0}, seconds=Spread(0.8, 2.1), rests=12.3),
        Model(SMALL, 40, 2, {}, Spread(0.6, 1.1), Spread(0.2, 0.5), tokens=900, cost=0.01),
    )
    figures = Figures(
        span=60.0,
        endings={"answered": 70.0, "failed": 3.0, "left": 2.0},
        in_progress=4.0,
        seconds=Spread(0.7, 2.4),
        waited=30.0,
        hops=(Hops(NEMO, SMALL, "busy", 12.0), Hops(NEMO, SMALL, "timeout", 3.0)),
        models=models,
        course=tuple(Piece(place % 7, place % 2) for place in range(PIECES)),
    )
    return Look(NOW, figures)


def shown_in(look: Look, width: int, height: int | None, *, colour: bool = False, pretty: bool = True) -> list[str]:
    """Return the lines that a terminal of that size gets."""
    console = Console(
        file=io.StringIO(), width=width, force_terminal=True, color_system="256" if colour else None, highlight=False
    )
    for line in view("calls.jsonl", look, Frame(width, height, pretty, "q ends")):
        console.print(line)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue().splitlines()


def test_the_view_of_a_log() -> None:
    """Calls, failures and fallbacks, the models, and the latest fallbacks stand in 24 lines of 80 columns."""
    lines = shown_in(of_log(), 80, 24)
    assert [line.rstrip() for line in lines[:13]] == [
        "orfallback top  calls.jsonl                          last 60 s  22:13:20  q ends",
        "",
        "calls       1.0/s  ███████████████  p50 1.5 s · p95 3.7 s",
        "failures   0.02/s       ▃           98 % answered · failed 1",
        "fallbacks  0.33/s                   0.33 a call · 33 % of calls",
        "",
        "model                   tries/s  answered     p95  1st p50  not answered",
        "mistral-nemo               0.33       0 %  0.20 s        -  busy 20",
        "mistral-sma…b-instruct      1.0     100 %   1.5 s   0.40 s",
        "",
        "latest fallbacks: when, why, wait, from → to",
        "22:13:16  busy  2.0 s  mistral-nemo → mistral-small-3.2-24b-instruct",
        "22:13:13  busy  2.0 s  mistral-nemo → mistral-small-3.2-24b-instruct",
    ]
    assert len(lines) == 24


def test_the_view_of_metrics() -> None:
    """In 120 columns each figure has its place; what rests is told first, then why it did not answer."""
    lines = [line.rstrip() for line in shown_in(of_metrics(), 120, 24)]
    assert lines[2].endswith("4 in progress · p50 0.70 s · p95 2.4 s")
    assert lines[3].endswith("96 % answered · failed 3 · left 2")
    assert lines[4].endswith("0.20 a call · waited 0.40 s a call")
    figures = "tries/s  answered     p50     p95  1st p50  1st p95  tokens/s   $/hour  not answered"
    nemo = "mistral-nemo                   0.75      67 %  0.80 s   2.1 s        -        -         0       $0"
    assert lines[6:9] == [
        f"model                       {figures}",
        f"{nemo}  rests 13 s, busy 12…",
        "mistral-small…24b-instruct     0.70     100 %  0.60 s   1.1 s   0.20 s   0.50 s        15    $0.60",
    ]
    assert lines[10:] == [
        "fallbacks: how many, why, from → to",
        f"      12  busy     {NEMO} → {SMALL}",
        f"       3  timeout  {NEMO} → {SMALL}",
    ]


def test_in_200_columns_nothing_is_cut() -> None:
    """A wide terminal shows every name and reason whole."""
    lines = shown_in(of_metrics(), 200, 40)
    assert "…" not in "\n".join(lines)
    assert any(line.startswith(SMALL) for line in lines)
    assert any(line.rstrip().endswith("rests 13 s, busy 12, timeout 3") for line in lines)


SIZES = [(width, height) for width in (60, 80, 120, 200) for height in (12, 24, 40)]


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("look", [of_log, of_metrics])
def test_it_fits(look: object, width: int, height: int, colour: bool) -> None:
    """No line is wider than the terminal, none too many, and what matters most is in all of them."""
    assert callable(look)
    lines = shown_in(look(), width, height, colour=colour)
    assert len(lines) <= height
    plain = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines]
    assert (plain != lines) is colour
    assert max(map(cell_len, plain)) <= width
    told = "\n".join(plain)
    for part in ("calls ", "failures ", "fallbacks ", "answered", "p95", "not answered", "mistral-", "busy", "→"):
        assert part in told


def test_a_short_terminal_tells_the_busiest_models() -> None:
    """Where there is no room for all models the busiest are told, by name, and how many are missing."""
    models = tuple(Model(f"m/{name}", answered=count) for name, count in zip("abcdefghijkl", range(12), strict=True))
    lines = shown_in(Look(NOW, of_metrics().figures._replace(models=models)), 80, 12)
    names = [line.split()[0] for line in lines if line.startswith("m/")]
    assert names == ["m/j", "m/k", "m/l"]
    assert "and 9 more" in [line.rstrip() for line in lines]


def test_models_are_told_apart_by_their_ends() -> None:
    """Ids that are cut keep their beginnings and their ends; a vendor goes first, unless two share a name."""
    models = (Model(f"vendor/{'x' * 30}-one"), Model(f"vendor/{'x' * 30}-two"))
    lines = shown_in(Look(NOW, Figures(models=models)), 60, 24)
    assert [line.split()[0] for line in lines if "x…" in line] == ["xxxxxxxx…xxxx-one", "xxxxxxxx…xxxx-two"]
    models = (Model(f"one/{'x' * 30}"), Model(f"two/{'x' * 30}"))
    lines = shown_in(Look(NOW, Figures(models=models)), 60, 24)
    assert [line.split("…")[0] for line in lines if "x…" in line] == ["one/xxxx", "two/xxxx"]


def test_trouble_is_told_at_the_top() -> None:
    """What is amiss stands below the title, in as many lines as it takes, with the time since when."""
    look = of_log()._replace(trouble="127.0.0.1:8088/metrics cannot be read: connection refused", since=NOW - 20)
    lines = [line.rstrip() for line in shown_in(look, 60, 24)]
    assert lines[1:4] == [
        "! since 22:13:00 127.0.0.1:8088/metrics cannot be read:",
        "  connection refused",
        "",
    ]


def test_before_anything_is_known() -> None:
    """Without figures what is not known is a dash, and nothing is divided by nothing."""
    lines = [line.rstrip() for line in shown_in(Look(NOW, Figures(), notes=("looking at calls.jsonl",)), 80, 24)]
    assert lines == [
        "orfallback top  calls.jsonl                                     22:13:20  q ends",
        "! looking at calls.jsonl",
        "",
        "calls         -",
        "failures      -",
        "fallbacks     -",
    ]


def test_a_terminal_of_ascii() -> None:
    """Where more than ASCII cannot be shown, nothing else is."""
    for look in (of_log(), of_metrics()._replace(notes=("so",), trouble="no")):
        assert "\n".join(shown_in(look, 60, 24, pretty=False)).isascii()


NASTY = "\x1b]0;owned\x07\x1b[2J[bold red]x[/bold red]:smile: \u202e\r\n\x9b31m"


@pytest.mark.parametrize("width", [60, 80, 200])
def test_hostile_words_steer_no_terminal(width: int) -> None:
    """Markup is shown as it is; wide letters break no line; control characters were taken out before."""
    name = shown(NASTY)
    model = Model(name, reasons={shown("漢字" * 50): 3.0, "[/]": 2.0}, rests=math.inf)
    figures = Figures(
        span=60.0, endings={name: 5.0}, hops=(Hops(name, "漢字" * 100, name, 3.0),), models=(model, Model("漢字" * 100))
    )
    lines = shown_in(Look(NOW, figures, trouble=name, notes=(name,)), width, 40)
    assert max(map(cell_len, lines)) <= width
    assert all(line.isprintable() for line in lines)
    told = "\n".join(lines)
    assert "[bold red]x" in told
    assert "rests" in told


@given(
    st.text(max_size=60), st.text(max_size=60), st.floats(0, 1e14), st.integers(20, 220), st.integers(1, 60),
    st.booleans(),
)  # fmt: skip
def test_any_view_fits(model: str, reason: str, amount: float, width: int, height: int, pretty: bool) -> None:
    """Whatever the names and the figures, in terminals of any size, it fits."""
    name, why, both = shown(model), shown(reason, 40), Spread(amount, amount)
    figures = Figures(
        span=60.0,
        endings={"answered": amount, why: 1.0},
        in_progress=amount,
        seconds=both,
        waited=amount,
        fell_back=1.0,
        hops=(Hops(name, name, why, amount),),
        retries=amount,
        course=(Piece(amount, 1.0),) * PIECES,
        models=(Model(name, amount, amount, {why: amount}, both, both, amount, amount, amount),),
    )
    lines = view("calls.jsonl", Look(NOW, figures, notes=(why,)), Frame(width, height, pretty, "q ends"))
    assert len(lines) <= height
    assert all(line.cell_len <= width and "\n" not in line.plain for line in lines)


# -- the bars --


def test_bars() -> None:
    """The highest bar is the most, nothing is a blank, and a little is seen still."""
    assert spark([0, 1, 4, 8], 8) == " ▂▅█"
    assert spark([0, 0.0001, 8, 8], 8, pretty=False) == " .@@"
    assert spark([0, 0], 0) == "  "


def test_groups_stand_still() -> None:
    """A piece that is added changes the last group alone, till that is full; no bar wavers."""
    pieces = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
    assert means(pieces[:6], 2, 5) == [2, 5]
    assert means(pieces[1:7], 2, 6) == [5, 7]
    assert means(pieces[2:8], 2, 7) == [5, 7.5]
    assert means(pieces[3:9], 2, 8) == [5, 8]
    assert means(pieces[4:10], 2, 9) == [8, 10]
    assert means(pieces[:6], 6, 5) == pieces[:6]


@given(
    st.lists(st.floats(0, 1e12), min_size=60, max_size=60), st.sampled_from([12, 15, 20, 30, 60]), st.integers(0, 1000)
)
def test_a_course_has_a_bar_for_each_cell(values: list[float], cells: int, place: int) -> None:
    """A course takes the cells that it is given, and shows something where something was."""
    drawn = means(values, cells, place)
    bars = spark(drawn, max(drawn))
    assert len(bars) == cells
    assert [bar == " " for bar in bars] == [value == 0 for value in drawn]


# -- for programs --


def test_json() -> None:
    """As JSON all figures are told, in full; what is not known is null, endless rests too."""
    told = as_json("here", of_metrics())
    assert (told["source"], told["time"], told["seconds"]) == ("here", NOW, 60.0)
    assert told["calls"] == {
        "ended": 75.0, "per_second": 1.25, "in_progress": 4.0, "answered": 70 / 73,
        "endings": {"answered": 70.0, "failed": 3.0, "left": 2.0}, "total": {"p50": 0.7, "p95": 2.4},
    }  # fmt: skip
    assert told["fallbacks"] == {
        "count": 15.0, "per_call": 0.2, "share_of_calls": None, "retries": 0.0, "waited": 30.0,
        "kinds": [
            {"from": NEMO, "to": SMALL, "reason": "busy", "count": 12.0},
            {"from": NEMO, "to": SMALL, "reason": "timeout", "count": 3.0},
        ],
    }  # fmt: skip
    assert told["models"][0] == {
        "model": NEMO, "attempts": 45.0, "attempts_per_second": 0.75, "answered": 30 / 45,
        "reasons": {"busy": 12.0, "timeout": 3.0}, "total": {"p50": 0.8, "p95": 2.1},
        "first_token": {"p50": None, "p95": None}, "tokens_per_second": 0.0, "cost_per_hour": 0.0, "rests": 12.3,
        "resting": True,
    }  # fmt: skip
    (model,) = as_json("here", Look(NOW, Figures(models=(Model("a", rests=math.inf),))))["models"]
    assert (model["rests"], model["resting"], model["cost_per_hour"]) == (None, True, None)
