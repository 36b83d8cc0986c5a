"""Measures what orfallback costs: ``python tests/bench``, from anywhere."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    # This directory is a package of the one above it.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import figures_page

from bench import _calls, _imports, _load, _observers, _page, _streams
from bench._measure import QUICK, Effort, Row
from bench._server import running
from bench._told import table, write

#: Everything that is measured, by the name that ``--only`` takes.
SUITE: dict[str, Callable[[str, Effort], list[Row]]] = {
    "import": _imports.imports,
    "memory": _imports.memory,
    "complete": _calls.complete,
    "complete-alone": partial(_calls.complete, alone=True),
    "adapter": _calls.adapter,
    "hooks": _observers.hooks,
    "watched": _observers.watched,
    "failover": _calls.failover,
    "events": _streams.events,
    "first-token": _streams.first_token,
    "paced": _streams.paced,
    "many": _streams.many,
    "threads": _load.threads,
    "growth": _load.growth,
}


def main() -> int:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SUITE, help="what to measure; everything by default")
    parser.add_argument("--quick", action="store_true", help="one short run: for a look, not for the record")
    parser.add_argument("--json", type=Path, help="the file of results, to which it adds")
    parser.add_argument("--plots", type=Path, help="draw the results into this directory, and measure nothing")
    parser.add_argument("--page", type=Path, help="write the results into this page, and measure nothing")
    options = parser.parse_args()
    if options.page is None and options.plots is None:
        chosen = options.only or [name for name in SUITE if name != "complete-alone"]
        _measure(chosen, options.json, quick=options.quick)
        return 0
    results = options.json or Path(__file__).with_name("results.json")
    if options.page is not None:
        figures_page.write(results, options.page, _page.SCRIPT, _page.tables)
    if options.plots is not None:
        from bench._plots import draw

        draw(results, options.plots)
    return 0


def _measure(chosen: list[str], results: Path | None, *, quick: bool) -> None:
    rows: list[Row] = []
    with running() as base:
        for name in chosen:
            found = SUITE[name](base, QUICK if quick else Effort())
            print(table(found), flush=True)
            rows += found
    if results is not None:
        write(rows, results)


if __name__ == "__main__":
    sys.exit(main())
