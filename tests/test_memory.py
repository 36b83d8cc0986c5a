"""What memory is worth, over the real engine in virtual time, and the page that tells of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from docs_pages import script

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "explanation" / "memory.md"


memory: Any = script(ROOT / "benchmarks" / "memory.py")


@pytest.fixture(scope="module")
def results() -> dict[str, tuple[Any, Any]]:
    """Every weather, met by a plain chain and by one with its default memory."""
    return {
        name: (memory.simulate(weather, memory=False), memory.simulate(weather, memory=True))
        for name, weather in memory.WEATHERS.items()
    }


def test_one_of_four_is_out(results: dict[str, tuple[Any, Any]]) -> None:
    """While one of four models is out, every call is answered, by at most 1.05 requests; a plain chain makes 2."""
    plain, remembering = results["one of four is out"]
    assert (plain.requests, plain.answered) == (2.0, 1.0)
    assert remembering.requests <= 1.05
    assert remembering.answered == 1.0


def test_all_are_out(results: dict[str, tuple[Any, Any]]) -> None:
    """While all are out a call makes at most 1.05 requests, each at least one; a plain chain makes 4."""
    plain, remembering = results["all are out"]
    assert plain.requests == 4.0
    assert remembering.requests <= 1.05
    assert min(course.requests for course in remembering.courses) == 1


@pytest.mark.parametrize("share", ["5 %", "30 %"])
def test_each_fails_at_random(share: str, results: dict[str, tuple[Any, Any]]) -> None:
    """Where each model fails at random no fewer calls are answered than by a plain chain, by no more requests."""
    plain, remembering = results[f"each fails {share} at random"]
    assert remembering.answered >= plain.answered
    assert remembering.requests <= plain.requests * 1.01


@pytest.mark.parametrize("weather", ["one is out a minute in ten", "one flaps, 5 s on, 5 s off", "one recovers slowly"])
def test_changing_weather(weather: str, results: dict[str, tuple[Any, Any]]) -> None:
    """Where one model comes and goes all calls are answered, by fewer requests and sooner than by a plain chain."""
    plain, remembering = results[weather]
    assert remembering.answered == 1.0
    assert remembering.requests <= 1.05 < plain.requests
    assert remembering.lasted < plain.lasted


def test_in_good_weather_nothing_changes(results: dict[str, tuple[Any, Any]]) -> None:
    """While all are well each call makes one request, to the first model."""
    for result in results["all well"]:
        assert (result.requests, result.answered) == (1.0, 1.0)


def test_the_first_model_is_asked_again_when_it_is_well(results: dict[str, tuple[Any, Any]]) -> None:
    """After an outage the first model is back within the longest rest: its answers are those of the last calls."""
    weather = memory.WEATHERS["one recovers slowly"]
    asked: list[str] = []

    def noted(model: str, now: float, luck: float) -> Any:
        asked.append(model)
        return weather(model, now, luck)

    memory.simulate(noted, memory=True)
    assert set(asked[-500:]) == {"a"}


def test_the_page_has_these_figures(results: dict[str, tuple[Any, Any]]) -> None:
    """The table of the page is what the script prints."""
    assert memory.table(results) in PAGE.read_text(encoding="utf-8")
