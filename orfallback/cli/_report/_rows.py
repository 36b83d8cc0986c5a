"""Rows of figures: a table where it fits, else lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

# A table is measured as if there were this much room (columns).
_WIDEST = 10_000


def table_of(columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> Table:
    """Return a table whose columns stand as the cells of its first row do."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column, cell in zip(columns, rows[0] if rows else [Text()] * len(columns), strict=True):
        table.add_column(column, no_wrap=True, justify=cell.justify or "left")
    for row in rows:
        table.add_row(*row)
    return table


def fits(console: Console, table: Table) -> bool:
    """Tell whether no line of a table would have to be cut."""
    return console.measure(table, options=console.options.update(max_width=_WIDEST)).maximum <= console.width


def listed(console: Console, columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> Iterator[RenderableType]:
    """Yield a table where it fits, else each row on lines of its own."""
    table = table_of(columns, rows)
    if fits(console, table):
        yield table
        return
    for first, *others in rows:
        yield Text(first.plain, style="bold", overflow="fold")
        named = [
            f"{name.strip()} {cell.plain}" if cell.justify else cell.plain
            for name, cell in zip(columns[1:], others, strict=True)
            if cell.plain
        ]
        yield from beneath(console, ", ".join(named))


def beneath(console: Console, text: str, style: str = "") -> Iterator[RenderableType]:
    """Yield what belongs to the line before it; where it has to end a line it ends one behind a comma, if it can."""
    line = Text(style=style, overflow="fold")
    for item in text.split(", "):
        if line and line.cell_len + 2 + cell_len(item) + 3 > console.width:
            yield Padding(line.append(","), (0, 0, 0, 2))
            line = Text(style=style, overflow="fold")
        line.append(f", {item}" if line else item)
    yield Padding(line, (0, 0, 0, 2))
