"""The part of a page that a script makes of committed results: what stands between two marks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

#: Makes the lines of the tables.
Tables = Callable[[dict[str, Any]], Iterable[str]]
_END = "<!-- end of the figures -->\n"


def rendered(told: dict[str, Any], page: str, script: str, tables: Tables) -> str:
    """Return a page with the tables of these results between its marks.

    :param script: how the script is called, as the first mark says.
    """
    begin = f"<!-- figures: python {script} --page writes them -->\n"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(_END)
    return before + begin + "\n" + "\n".join(tables(told)) + "\n" + _END + after


def write(results: Path, page: Path, script: str, tables: Tables) -> None:
    """Write the tables of committed results into a page."""
    told = json.loads(results.read_text(encoding="utf-8"))
    page.write_text(rendered(told, page.read_text(encoding="utf-8"), script, tables), encoding="utf-8")
