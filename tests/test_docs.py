"""The documentation says what the code does."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from rows import ELSEWHERE, ROWS

from orfallback import Reason, Scope, hookspecs
from orfallback._classify import ROWS as TABLE

ROOT = Path(__file__).resolve().parent.parent
VERDICTS = ROOT / "docs" / "reference" / "verdicts.md"

HEAD = """\
# From signal to verdict

The first row that matches decides. A **transient** reason is waited after, before the next target, and only it. The
scope says who is ruled out for the rest of the call: this target (MODEL), every `:free` model of its endpoint
(FREE_TIER), every target with the same origin and key (ENDPOINT), or all (CALL). *Again* means that, when nobody is
left, what was ruled out is asked once more, after the server's hint.

What each reason means is in [errors](errors.md#reasons); how far a failure reaches, with examples, in
[scopes](../explanation/scopes.md). `orfallback explain` says which row a reply of yours is.

After the first content of a stream every row becomes `StreamInterrupted` with the same reason (row 31). An answer that
ends with `length` or `content_filter` is an answer if it has text (row 28).

| row | signal | reason | scope |
|---|---|---|---|
"""


def shown(number: str) -> tuple[Reason, Scope, bool]:
    """Return the verdict that the tests show for a row."""
    for row in ROWS:
        if row.id.split()[0] == number:
            return row.reason, row.scope, row.again
    return ELSEWHERE[number]


def rendered() -> str:
    """Return the page, from the table and the tests' own rows."""
    lines = []
    for row in TABLE:
        reason, scope, again = shown(row.number)
        why = f"{reason} (transient)" if reason.transient else str(reason)
        reach = f"{scope.name}, again" if again else scope.name
        lines.append(f"| {row.number} | {row.signal} | {why} | {reach} |\n")
    return HEAD + "".join(lines)


def test_the_table_of_verdicts_is_what_the_tests_show() -> None:
    """Each row of the classifier is shown by a test row, and the page says the same."""
    assert VERDICTS.read_text(encoding="utf-8") == rendered()


def test_every_row_of_the_tests_is_a_row_of_the_table() -> None:
    """No test row claims a number that the table does not have."""
    numbers = {row.number for row in TABLE}
    assert {row.id.split()[0] for row in ROWS} <= numbers
    assert set(ELSEWHERE) <= numbers


def test_every_hook_says_when_and_what() -> None:
    """The docstring of every hook names each of its arguments."""
    for name in (*hookspecs.WATCHING, *hookspecs.DECIDING, "orfallback_prepare"):
        spec = getattr(hookspecs, name)
        arguments = spec.__code__.co_varnames[: spec.__code__.co_argcount]
        documented = re.findall(r":param (\w+):", spec.__doc__)
        assert documented == list(arguments), name


if __name__ == "__main__":
    sys.stdout.write(rendered())
