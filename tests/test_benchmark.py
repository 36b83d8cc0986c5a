"""The benchmark runs, and its figures are where they belong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "overhead.py"


def test_the_benchmark_prints_what_we_cost() -> None:
    """It prints the import and a call as ratios to their peers; both are far below what they may be."""
    command = [sys.executable, str(SCRIPT), "--rounds", "5", "--times", "40"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    ratios = {name: float(ratio) for name, ratio in re.findall(r"^(.+?): (\d+\.\d\d) x ", told, re.MULTILINE)}
    assert set(ratios) == {"import orfallback", "from orfallback import Chain", "Chain.complete()"}
    assert ratios["import orfallback"] <= 1.10
    # Twice the figure: both sides are measured in turns in one process, so that noise falls on both.
    assert ratios["Chain.complete()"] <= 1.40
