"""Measures what orfallback and its peers make of the same faults: ``python tests/compare``, from anywhere."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

if __name__ == "__main__":
    # This directory is a package of the one above it.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import figures_page

from compare import _page
from compare._faults import FAULTS
from compare._products import PRODUCTS
from compare._told import installed, write
from compare._trial import Trial, measured, one


def main() -> int:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PRODUCTS, help="whom to measure; by default all that are here")
    parser.add_argument("--faults", nargs="+", choices=FAULTS, help="which faults; by default all")
    parser.add_argument("--jobs", type=int, default=3, help="how many trials at once")
    parser.add_argument("--json", type=Path, help="the file of results, to which it adds")
    parser.add_argument("--page", type=Path, help="write the results into this page, and measure nothing")
    parser.add_argument("--one", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        product, mode, calls, *urls = options.one
        one(product, mode, int(calls), *urls)
    elif options.page is not None:
        results = options.json or Path(__file__).with_name("results.json")
        figures_page.write(results, options.page, _page.SCRIPT, _page.tables)
    else:
        trials = _measure(options.only or installed(), options.faults or list(FAULTS), options.jobs)
        if options.json is not None:
            write(trials, options.json)
    return 0


def _measure(products: list[str], faults: list[str], jobs: int) -> dict[tuple[str, str, str], Trial]:
    wanted = [(mode, name, product) for name in faults for mode in FAULTS[name].modes for product in products]

    def run(each: tuple[str, str, str]) -> Trial:
        mode, name, product = each
        trial = measured(product, FAULTS[name], mode)
        said = f"{trial.outcome} {trial.error} {trial.first}+{trial.second} {trial.seconds:.1f} s"
        print(f"{name} [{mode}] {product}: {said}", flush=True)
        return trial

    with ThreadPoolExecutor(jobs) as pool:
        return dict(zip(wanted, pool.map(run, wanted), strict=True))


if __name__ == "__main__":
    sys.exit(main())
