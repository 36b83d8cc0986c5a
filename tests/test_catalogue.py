"""The table of faults says what the tests show, and the documentation says what the table says."""

from __future__ import annotations

import configparser
import re
import sys
from pathlib import Path

import pytest
from catalogue import FAULTS, Fault
from rows import BOTH, ROWS, Row

from orfallback import Chain
from orfallback.testing import FakeClock, Simulator, answer, status

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "reference" / "faults.md"

HEAD = """\
# Faults

What the real world has shown, what the chain makes of it, what the caller gets. Each line is a test; the page is made
of the tests' own rows. [From signal to verdict](verdicts.md) is the table behind it.

A wait follows a transient reason. "The next model" means that the caller gets an answer of the next one, with the
failure in `attempts`; when nobody is left, a `FallbackError` that lists them all. After a stream's first content every
fault is `StreamInterrupted` with the text so far.

| | fault | verdict | what the caller gets | shown by |
|--:|---|---|---|---|
"""


def rows_of(fault: Fault) -> list[Row]:
    """Return the rows that show a fault."""
    return [row for each in fault.shown for row in ROWS if row.id.startswith(each)]


def rendered() -> str:
    """Return the page."""
    lines = []
    for fault in FAULTS:
        verdicts = dict.fromkeys(f"{row.reason} {row.scope.name}" for row in rows_of(fault))
        shown = []
        for each in fault.shown:
            if each.startswith("test_"):
                file, _, name = each.partition("::")
                shown.append(f"`{file}.py{f'::{name}' if name else ''}`")
            else:
                shown += [f"row {row.id}" for row in ROWS if row.id.startswith(each)]
        told = shown if len(shown) <= _MOST else [*shown[: _MOST - 1], f"{len(shown) - _MOST + 1} more"]
        lines.append(f"| {fault.number} | {fault.what} | {', '.join(verdicts)} | {fault.gets} | {'; '.join(told)} |\n")
    return HEAD + "".join(lines)


# So many tests are named for each fault.
_MOST = 5


def test_all_faults_are_there() -> None:
    """Each of the 80 faults has its line."""
    assert [fault.number for fault in FAULTS] == list(range(1, 81))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault.number))
def test_what_shows_a_fault_exists(fault: Fault) -> None:
    """Every test, and every row, that is named for a fault is there."""
    assert fault.shown
    for each in fault.shown:
        if each.startswith("test_"):
            file, _, name = each.partition("::")
            text = (HERE / f"{file}.py").read_text(encoding="utf-8")
            assert re.search(rf"^ *def {name}\(" if name else r"^ *def test_", text, re.MULTILINE), each
        else:
            assert any(row.id.startswith(each) for row in ROWS), each


def test_the_page_is_what_the_tests_show() -> None:
    """The page in the documentation is made of the table, and of the rows of the tests."""
    assert PAGE.read_text(encoding="utf-8") == rendered()


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
@pytest.mark.parametrize("mode", BOTH)
def test_the_wall_clock_changes_nothing(mode: str, jump: float, sim: Simulator) -> None:
    """A wall clock that jumps by an hour in the middle of a call changes neither waits nor limits nor records."""

    class Jumping(FakeClock):
        def time(self) -> float:
            return self.now + jump * len(self.sleeps)

    clock = Jumping()
    sim.script("a/a", status(502))
    sim.script("b/b", status(503, headers={"Retry-After": "5"}))
    sim.default(answer("Hi"))
    with Chain(["a/a", "b/b", "c/c"], base_url=sim.base_url, clock=clock) as chain:
        completion = chain.complete("?") if mode == "complete" else chain.stream("?").read()
    assert completion.text == "Hi"
    assert clock.sleeps == [2.0, 2.0]
    assert [attempt.waited for attempt in completion.attempts] == [0.0, 2.0, 2.0]
    assert all(0 <= attempt.elapsed < 60 for attempt in completion.attempts)


def test_warnings_are_errors() -> None:
    """Any warning, an unclosed socket's too, fails the test that brings it about."""
    config = configparser.ConfigParser()
    config.read(HERE.parent / "setup.cfg")
    assert config["tool:pytest"]["filterwarnings"].split() == ["error"]


if __name__ == "__main__":
    sys.stdout.write(rendered())
