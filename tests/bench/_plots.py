"""The plots that the documentation shows, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench._measure import OURS, Row

_OURS, _OTHERS, _BASE = "#1a62c2", "#c9ced6", "#7d8794"


def draw(rows: Sequence[Row], directory: Path) -> None:
    """Draw what was measured into ``performance-*.svg``; what was not is left out."""
    import matplotlib as mpl

    mpl.use("Agg")
    # The same figures give the same file.
    mpl.rcParams.update({"svg.hashsalt": "orfallback", "svg.fonttype": "none", "font.size": 9})
    directory.mkdir(parents=True, exist_ok=True)
    _bars([row for row in rows if row.name == "complete()"], directory / "performance-calls.svg")
    _bars([row for row in rows if row.name.startswith("stream, ")], directory / "performance-streams.svg")
    _growth([row for row in rows if row.name.startswith("growth: ")], directory / "performance-growth.svg")


def _bars(rows: Sequence[Row], path: Path) -> None:
    """Draw for each row a bar for each contestant, the cheapest on top; logarithmic, for peers take up to 50 times."""
    import matplotlib.pyplot as plt

    if not rows:
        return
    figure, axes = plt.subplots(
        1, len(rows), figsize=(3.2 * len(rows) + 3, 3.2), sharex=True, squeeze=False, layout="constrained"
    )
    for axis, row in zip(axes[0], rows, strict=True):
        names = sorted(row.costs, key=row.micros, reverse=True)
        ratios = [row.ratio(name)[0] for name in names]
        colours = [_OURS if name == OURS else _BASE if name == row.base else _OTHERS for name in names]
        bars = axis.barh(names, ratios, color=colours)
        axis.bar_label(bars, [f"{ratio:.2f}" for ratio in ratios], padding=2)
        axis.set_xscale("log")
        axis.set_xlim(right=max(ratios) * 2)
        axis.set_title(row.name)
        axis.set_xlabel(f"CPU for each {row.unit}, ratio")
        axis.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _growth(rows: Sequence[Row], path: Path) -> None:
    """Draw the cost over the work, both logarithmic, beside a line of cost that grows as the work does."""
    import matplotlib.pyplot as plt

    kinds: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        number, _, what = row.name.removeprefix("growth: ").partition(" ")
        kinds.setdefault(what, []).append((int(number), row.micros(OURS)))
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
