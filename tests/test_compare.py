"""The comparison with other products says what was measured, and our part of it is what the library does now."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from compare._faults import FAULTS, FIRST, SECOND
from compare._page import SCRIPT, tables
from compare._products import OURS, PRODUCTS
from compare._trial import arranged, asked, measured, outcome_of
from figures_page import rendered

COMPARE = Path(__file__).resolve().parent / "compare"
PAGE = COMPARE.parent.parent / "docs" / "explanation" / "comparison.md"
TRIALS = [(mode, fault) for fault in FAULTS.values() for mode in fault.modes]


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """The committed results."""
    found: dict[str, Any] = json.loads((COMPARE / "results.json").read_text(encoding="utf-8"))
    return found


def test_the_page_tells_what_was_measured(told: dict[str, Any]) -> None:
    """The tables of the page are those of the committed results; ``python tests/compare --page`` writes them."""
    page = PAGE.read_text(encoding="utf-8")
    assert page == rendered(told, page, SCRIPT, tables)


def test_everybody_was_measured(told: dict[str, Any]) -> None:
    """The results hold each product for each fault in each of its modes, and the version of each."""
    found = {(mode, fault): set(row) for mode, rows in told["trials"].items() for fault, row in rows.items()}
    assert found == {(mode, fault.name): set(PRODUCTS) for mode, fault in TRIALS}
    assert {product.package for product in PRODUCTS.values()} - {"orfallback"} <= set(told["versions"])


def test_everybody_answers_where_nothing_is_wrong(told: dict[str, Any]) -> None:
    """Each product is set up so that it works: with one request, the first model's whole answer."""
    for rows in told["trials"].values():
        for name, trial in rows["nothing wrong"].items():
            assert (trial["outcome"], trial["first"], trial["second"]) == ("first", 1, 0), name


def test_the_record_names_no_machine(told: dict[str, Any]) -> None:
    """The committed results say with what they were measured, and nothing of where."""
    assert set(told) == {"date", "limit", "python", "system", "versions", "trials"}


#: What the page says in words: the row, its mode, and what each gets of which it speaks.
SAID = [
    ("ends after some text, unfinished", "stream", "error half half half half half half"),
    ("keep-alive for ever", "whole", "second waits waits waits second waits waits"),
    ("keep-alive for ever", "stream", "second waits waits waits second waits waits"),
    ("keep-alive for ever after some text", "stream", "error waits waits waits error waits waits"),
    ("empty answer", "whole", "second empty empty empty error empty empty"),
    ("empty answer", "stream", "second empty empty empty error empty empty"),
    ("HTML page as a 200", "stream", "second empty empty second error error empty"),
    ("error as JSON where a stream belongs", "stream", "second empty empty second error error empty"),
]


@pytest.mark.parametrize(("fault", "mode", "outcomes"), SAID)
def test_the_words_of_the_page_are_true(told: dict[str, Any], fault: str, mode: str, outcomes: str) -> None:
    """What the page says below its tables of everybody is what stands in them."""
    row = told["trials"][mode][fault]
    main = [name for name, product in PRODUCTS.items() if not product.of]
    assert [row[name]["outcome"] for name in main] == outcomes.split()


PLAIN = ["502", "503", "connection refused", "connection reset", "404, model gone", "400, context too long"]


@pytest.mark.parametrize("fault", PLAIN)
def test_the_plain_cases_are_met_by_all(told: dict[str, Any], fault: str) -> None:
    """Everything that falls back at all gets the second model's answer."""
    for rows in told["trials"].values():
        got = {name for name, trial in rows[fault].items() if trial["outcome"] == "second"}
        assert got == {name for name in PRODUCTS if not name.startswith("open")}


@pytest.mark.parametrize("mode", ["whole", "stream"])
def test_where_another_model_cannot_help(told: dict[str, Any], mode: str) -> None:
    """A refused key, no credit and a wrong request cost one request here and with the SDKs, more with the others."""
    for fault in ("401 of both", "402 of both", "400 of both, the request is wrong"):
        row = told["trials"][mode][fault]
        once = {name for name, trial in row.items() if trial["first"] + trial["second"] == 1}
        assert once == {OURS, "openrouter", "openai", "openrouter, its own retries"}
        assert {trial["outcome"] for trial in row.values()} == {"error"}


def test_who_remembers(told: dict[str, Any]) -> None:
    """In ten calls the busy model is asked once here, twice by LiteLLM if told to rest it, else each time."""
    row = told["trials"]["whole"]["503, ten calls"]
    asked_first = {name: trial["first"] for name, trial in row.items()}
    assert asked_first.pop(OURS) == 1
    assert asked_first.pop("LiteLLM, `num_retries=0, allowed_fails=1`") == 2
    assert min(asked_first.values()) >= 10


@pytest.mark.parametrize("fault", [name for name in FAULTS if "after some text" in name])
def test_nobody_goes_on_after_some_text(told: dict[str, Any], fault: str) -> None:
    """No product asks the second model once there is text."""
    assert {trial["second"] for trial in told["trials"]["stream"][fault].values()} == {0}


def test_our_column_is_what_the_library_does(told: dict[str, Any]) -> None:
    """Asked now, with shorter limits and no wait, it ends each fault as was measured, with as many requests."""

    def ask(each: tuple[str, Any]) -> tuple[str, str, str, str, int, int]:
        mode, fault = each
        with arranged(fault) as (simulator, where):
            client = PRODUCTS[OURS].make(where._replace(silence=1.0, answer=1.0, delay=0.0))
            text, error, _ = asked(client, mode, fault.calls)
            models = simulator.models_asked
        return mode, fault.name, outcome_of(text, error), error, models.count(FIRST), models.count(SECOND)

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(ask, TRIALS))
    wanted = {
        (mode, fault.name, trial["outcome"], trial["error"], trial["first"], trial["second"])
        for mode, fault in TRIALS
        for trial in [told["trials"][mode][fault.name][OURS]]
    }
    assert found == wanted


def test_a_trial_is_a_process_of_its_own() -> None:
    """A trial as the script runs it: the client in a child, which ends by itself."""
    trial = measured(OURS, FAULTS["404, model gone"], "whole")
    assert trial[:5] == ("second", "", "The second model answers.", 1, 1)
    assert trial.ended


def test_the_script_measures_and_writes(tmp_path: Path) -> None:
    """It measures what it is told to, says so, and adds to the results."""
    path = tmp_path / "told.json"
    command = [sys.executable, str(COMPARE), "--only", OURS, "loop", "--faults", "402 of both", "--json", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert f"402 of both [stream] {OURS}: error CallRejected 1+0" in said
    rows = json.loads(path.read_text(encoding="utf-8"))["trials"]
    assert {mode: set(found["402 of both"]) for mode, found in rows.items()} == {
        "whole": {OURS, "loop"},
        "stream": {OURS, "loop"},
    }
