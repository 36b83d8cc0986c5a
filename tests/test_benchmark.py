"""The benchmark runs, and its figures are where they belong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bench._page import SCRIPT, tables
from figures_page import rendered

BENCH = Path(__file__).resolve().parent / "bench"
#: Far above the figures: both sides are measured in turns in one process, and noise falls on both.
FAR_ABOVE = {
    "import orfallback": 1.10,
    "complete()": 1.30,
    "FallbackAdapter under Session.post()": 3.0,
    "stream, a chunk for each event": 6.0,
    "stream, no chunks": 7.0,
}


def bench(path: Path, *only: str) -> dict[str, Any]:
    """Measure for a moment, and return the rows."""
    command = [sys.executable, str(BENCH), "--quick", "--json", str(path), "--only", *only]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    rows: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert all(name in told for name in rows)
    return rows


def test_the_benchmark_tells_what_we_cost(tmp_path: Path) -> None:
    """It gives imports, calls and streams as ratios to their peers; all are far below what they may be."""
    rows = bench(tmp_path / "told.json", "import", "complete-alone", "adapter", "events")
    ratios = {name: row["contestants"]["orfallback"]["ratio"]["median"] for name, row in rows.items()}
    assert {name for name, most in FAR_ABOVE.items() if ratios[name] > most} == set()
    assert all(row["contestants"][row["base"]]["ratio"]["median"] == 1 for row in rows.values())


@pytest.mark.parametrize("only", ["failover", "first-token", "memory"])
def test_every_part_of_it_runs(only: str, tmp_path: Path) -> None:
    """What is measured by the clock is measured, too; a machine under load says nothing of the figure."""
    (row,) = bench(tmp_path / "told.json", only).values()
    assert row["contestants"]["orfallback"]["wall_us"] > 0


def test_the_page_tells_what_was_measured() -> None:
    """The tables of the page are those of the committed results; ``python tests/bench --page`` writes them."""
    page = (BENCH.parent.parent / "docs" / "explanation" / "performance.md").read_text(encoding="utf-8")
    assert page == rendered(json.loads((BENCH / "results.json").read_text(encoding="utf-8")), page, SCRIPT, tables)


def test_the_record_names_no_machine() -> None:
    """The committed results say with what they were measured, and nothing of where."""
    told = json.loads((BENCH / "results.json").read_text(encoding="utf-8"))
    assert set(told["machine"]) == {"python", "system", "architecture", "cores", "openssl", "load_at_the_end"}
    assert told["versions"]["requests"]
    assert "/" not in json.dumps(told["machine"]).replace("PyPy/", "")
    assert {"complete()", "from orfallback import Chain", "stream, no chunks"} <= set(told["rows"])
