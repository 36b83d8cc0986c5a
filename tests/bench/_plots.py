"""The plots that the documentation shows, as SVG."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench._measure import OURS

#: Rows by name, as the results have them.
Rows = Mapping[str, Any]

_OURS, _OTHERS, _BASE = "#1a62c2", "#c9ced6", "#7d8794"


def draw(results: Path, directory: Path) -> None:
    """Draw the results into ``performance-*.svg``; what was not measured is left out."""
    import matplotlib as mpl

    mpl.use("Agg")
    # The same figures give the same file.
    mpl.rcParams.update({"svg.hashsalt": "orfallback", "svg.fonttype": "none", "font.size": 9})
    directory.mkdir(parents=True, exist_ok=True)
    rows: Rows = json.loads(results.read_text(encoding="utf-8"))["rows"]
    _bars(_of(rows, "complete()"), directory / "performance-calls.svg")
    _bars(_of(rows, "stream, "), directory / "performance-streams.svg")
    _growth(_of(rows, "growth: "), directory / "performance-growth.svg")


def _of(rows: Rows, beginning: str) -> Rows:
    return {name: row for name, row in rows.items() if name.startswith(beginning)}


def _bars(rows: Rows, path: Path) -> None:
    """Draw for each row a bar for each contestant, the cheapest on top; logarithmic, for peers take up to 50 times."""
    import matplotlib.pyplot as plt

    if not rows:
        return
    figure, axes = plt.subplots(
        1, len(rows), figsize=(3.2 * len(rows) + 3, 3.2), sharex=True, squeeze=False, layout="constrained"
    )
    for axis, (title, row) in zip(axes[0], rows.items(), strict=True):
        found = {name: each["ratio"]["median"] for name, each in row["contestants"].items()}
        names = sorted(found, key=lambda name: found[name], reverse=True)
        ratios = [found[name] for name in names]
        colours = [_OURS if name == OURS else _BASE if name == row["base"] else _OTHERS for name in names]
        bars = axis.barh(names, ratios, color=colours)
        axis.bar_label(bars, [f"{ratio:.2f}" for ratio in ratios], padding=2)
        axis.set_xscale("log")
        axis.set_xlim(right=max(ratios) * 2)
        axis.set_title(title)
        axis.set_xlabel(f"CPU for each {row['unit']}, ratio")
        axis.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _growth(rows: Rows, path: Path) -> None:
    """Draw the cost over the work, both logarithmic, beside a line of cost that grows as the work does."""
    import matplotlib.pyplot as plt

    kinds: dict[str, list[tuple[int, float]]] = {}
    for name, row in rows.items():
        number, _, what = name.removeprefix("growth: ").partition(" ")
        kinds.setdefault(what, []).append((int(number), row["contestants"][OURS]["cpu_us"]))
    if not kinds:
        return
    figure, axes = plt.subplots(1, len(kinds), figsize=(9, 3), squeeze=False, layout="constrained")
    for axis, (what, points) in zip(axes[0], kinds.items(), strict=True):
        work, micros = zip(*points, strict=True)
        axis.loglog(work, micros, "o-", color=_OURS, label=OURS)
        axis.loglog(work, [micros[-1] * each / work[-1] for each in work], "--", color=_BASE, label="as the work grows")
        axis.set_xlabel(what)
        axis.set_ylabel("µs of CPU")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].legend(frameon=False)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    import matplotlib.pyplot as plt

    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
