"""Thousands of faults of every kind leave nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rows import ROWS, delta

from orfallback.testing import Behaviour, Simulator, cut, error_in_200, events, reset

SOAK = Path(__file__).parent / "apps" / "soak.py"
COUNT = 2_000
#: Every row that waits for no limit, and streams that break after they began.
FAULTS: list[Behaviour] = [
    *(row.behaviour for row in ROWS if not row.timeouts),
    error_in_200(after="Hi"),
    cut("content"),
    cut("json", framing="close"),
    reset("content"),
    events(delta(content="Hi"), "{half"),
]


@pytest.mark.parametrize("collector", ["on", "off"])
def test_thousands_of_faults_leave_nothing(collector: str) -> None:
    """After 2,000 mixed faults no descriptor, thread or memory is left, with the collector of garbage and without."""
    with Simulator(remember=False) as simulator:
        for number, behaviour in enumerate(FAULTS):
            simulator.script(f"row/{number}", behaviour)
        command = [sys.executable, str(SOAK), simulator.base_url, str(len(FAULTS)), str(COUNT), collector]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    left = json.loads(done.stdout)
    assert (left["descriptors"], left["threads"]) == (0, 0)
    assert left["bytes"] < 1_000_000
    assert left["blocks"] < COUNT // 4
