"""The recipe that judges vendors' errors by their own words."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from recipes import DOCS, load, recipe
from rows import BOTH

from conftest import Commands
from orfallback import Chain, FallbackError, Reason, Scope
from orfallback.testing import Behaviour, FakeClock, Simulator, error_in_200, status

NAME = "vendor_errors.py"
QUOTA = {"message": "You exceeded your current quota", "type": "insufficient_quota", "code": "insufficient_quota"}
FILTER = {"message": "The prompt was filtered", "type": None, "param": "prompt", "code": "content_filter"}


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("fault", "reason", "scope", "asked"),
    [
        pytest.param(status(429, {"error": QUOTA}), Reason.PAYMENT, Scope.ENDPOINT, ["a/a"], id="quota"),
        pytest.param(status(400, {"error": FILTER}), Reason.MODERATED, Scope.MODEL, ["a/a", "b/b"], id="filter"),
        pytest.param(status(400, message="No capacity"), Reason.BUSY, Scope.MODEL, ["a/a", "b/b"], id="capacity"),
        pytest.param(status(400, message="odd"), Reason.INVALID_REQUEST, Scope.MODEL, ["a/a", "b/b"], id="another"),
        pytest.param(status(503), Reason.BUSY, Scope.MODEL, ["a/a", "b/b"], id="the table's own"),
        pytest.param(error_in_200(400, "No capacity"), Reason.BUSY, Scope.MODEL, ["a/a", "b/b"], id="inside a 200"),
    ],
)
def test_it_judges_what_it_knows(
    fault: Behaviour, reason: Reason, scope: Scope, asked: list[str], mode: str, sim: Simulator, clock: FakeClock
) -> None:
    """Each vendor's error is taken for what it means, and all else is left to the chain."""
    module: Any = load(NAME)
    sim.script("a/a", fault)
    with Chain(
        ["a/a", "b/b"], api_key="sk-0", base_url=sim.base_url, clock=clock, plugins=[module.VendorErrors()]
    ) as chain:
        try:
            attempts = (chain.complete("hi") if mode == "complete" else chain.stream("hi").read()).attempts
        except FallbackError as error:
            attempts = error.attempts
    verdict = attempts[0].verdict
    assert verdict is not None
    assert (verdict.reason, verdict.scope) == (reason, scope)
    assert sim.models_asked == asked


def test_the_page_shows_what_explain_says(command: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page shows of ``explain`` with the plugin is what the command prints."""
    page = (DOCS / "how-to" / "classify.md").read_text(encoding="utf-8")
    shown = re.search(r"^\$ orfallback (explain .*--plugin .*)\n((?:.+\n)+)", page, re.MULTILINE)
    assert shown is not None
    shutil.copy(recipe(NAME), tmp_path)
    (tmp_path / "quota.json").write_text(
        '{"error": {"message": "You exceeded your current quota", "type": "insufficient_quota"}}'
    )
    monkeypatch.chdir(tmp_path)
    done = command(*shown[1].split())
    assert [line.split() for line in done.out.splitlines()] == [line.split() for line in shown[2].splitlines()[:-1]]
