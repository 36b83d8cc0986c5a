"""Draws the pictures of the documentation; ``python docs/diagrams.py`` writes them all.

Every text lies on a ground of its own, in colours that can be read on a white page and on a dark one: a page's theme is
switched independently of the system's, and a picture does not hear of it. They are narrow, for telephones.
"""

from __future__ import annotations

import ast
import io
import os
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock
from xml.sax.saxutils import escape

from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from orfallback._clock import SystemClock
from orfallback.cli._console import hang
from orfallback.cli._demo import demo

ROOT = Path(__file__).resolve().parent.parent

#: What a text may lie on; it is white there.
GROUNDS = {"step": "#2f6db5", "plain": "#5c6675", "good": "#2b7a4e", "bad": "#b5403c", "wait": "#8a6414"}
TEXT, LINE = "#ffffff", "#7d8794"
#: A terminal, which is dark on every page, and what is written on it.
TERMINAL = "#1b2027"
INKS = {"": "#e6edf3", "dim": "#a3adb8", "red": "#ff8f86", "green": "#7fe092"}

_SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', Helvetica, Arial, sans-serif"
_MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_WIDTH = 400.0
# How much larger than in its own units a picture is shown where there is room.
_LARGER = 1.2
_LARGE, _SMALL = 15.0, 12.5


class Picture:
    """A picture of boxes, arrows and labels.

    :param title: what it shows, in a few words.
    :param desc: what it says, for those who do not see it.
    :param height: in its own units, in which it is 400 wide.
    """

    def __init__(self, title: str, desc: str, height: float) -> None:
        self._title, self._desc, self._height = title, desc, height
        head = f'<path d="M0 0 L10 5 L0 10 z" fill="{LINE}"/>'
        size = 'viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7" orient="auto"'
        self._parts = [f'<defs><marker id="head" {size}>{head}</marker></defs>']

    def box(self, x: float, y: float, w: float, h: float, ground: str, head: str, *lines: str) -> None:
        """Draw a box with centred lines; those that begin with a backtick are code."""
        self.ground(x, y, w, h, ground)
        at = y + (h - _LARGE - (_SMALL + 5) * len(lines)) / 2 + _LARGE - 2
        self.text(x + w / 2, at, head, _LARGE, bold=True)
        for line in lines:
            at += _SMALL + 5
            self.text(x + w / 2, at, line)

    def ground(self, x: float, y: float, w: float, h: float, ground: str, radius: float = 7) -> None:
        """Draw an empty box."""
        place = f'x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}"'
        self._parts.append(f'<rect {place} rx="{radius:g}" fill="{GROUNDS[ground]}"/>')

    def label(self, x: float, y: float, text: str, ground: str = "plain") -> None:
        """Draw a small text on a ground of its own, around a point."""
        w = 6.9 * len(text) + 16
        self.ground(x - w / 2, y - 10, w, 20, ground, 10)
        self.text(x, y + 4.3, text)

    def text(
        self, x: float, y: float, text: str, size: float = _SMALL, *, bold: bool = False, left: bool = False
    ) -> None:
        """Draw a text; some box is its ground."""
        code = text.startswith("`")
        family, size = (_MONO, size - 1) if code else (_SANS, size)
        style = (
            f'font-size="{size:g}" font-family="{family}"{" font-weight=" + chr(34) + "600" + chr(34) if bold else ""}'
        )
        anchor = "start" if left else "middle"
        shown = escape(text.strip("`"))
        self._parts.append(f'<text x="{x:g}" y="{y:g}" {style} text-anchor="{anchor}" fill="{TEXT}">{shown}</text>')

    def arrow(self, *points: tuple[float, float]) -> None:
        """Draw an arrow through some points."""
        path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
        self._parts.append(f'<path d="{path}" fill="none" stroke="{LINE}" stroke-width="2" marker-end="url(#head)"/>')

    def svg(self) -> str:
        """Return it as a file."""
        return _file(self._title, self._desc, _WIDTH, self._height, self._parts)


def _file(title: str, desc: str, width: float, height: float, parts: Sequence[str]) -> str:
    shown = f'width="{width * _LARGER:g}" height="{height * _LARGER:g}"'
    first = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" {shown} role="img"'
    told = [f'<title id="title">{escape(title)}</title>', f'<desc id="desc">{escape(desc)}</desc>']
    return "\n".join([f'{first} aria-labelledby="title desc">', *told, *parts, "</svg>", ""])


def life_of_a_call() -> str:
    """Draw what happens between ``complete()`` and its return."""
    desc = (
        "A target is selected that does not rest, and waited for if the failure before was transient. It is asked "
        "once, and what comes back is judged. If it is an answer, the call ends in a Completion or Stream. If not, "
        "all that the fault reaches are ruled out; if somebody is left, and time, the next target is selected. "
        "Otherwise a plugin may give a last resort; if none does, the call ends in a FallbackError that lists every "
        "attempt."
    )
    picture = Picture("The life of a call", desc, 664)
    steps = (
        ("step", "Select", "the next in order that does not rest", "`orfallback_select  orfallback_admit"),
        ("wait", "Wait", "if the failure before was transient", "`orfallback_delay"),
        ("step", "Ask", "once, within the limits", "`orfallback_prepare"),
        ("step", "Judge", "a reason and a scope, by the table", "`orfallback_classify"),
    )
    picture.box(105, 6, 210, 34, "plain", "complete(), stream()")
    y = 40.0
    for ground, *lines in steps:
        picture.arrow((210, y), (210, y + 24))
        picture.box(60, y + 26, 300, 66, ground, *lines)
        y += 92
    picture.arrow((160, y), (160, y + 44))
    picture.arrow((325, y), (325, y + 202))
    picture.label(160, y + 20, "no answer", "bad")
    picture.label(325, y + 20, "an answer", "good")
    picture.box(36, y + 46, 200, 48, "step", "Rule out", "all that the fault reaches")
    # Back to the first step.
    picture.arrow((36, y + 70), (18, y + 70), (18, 99), (58, 99))
    picture.label(52, y + 20, "who is left")
    picture.arrow((136, y + 94), (136, y + 130))
    picture.label(160, y + 110, "nobody is left, or no time")
    picture.box(36, y + 132, 200, 48, "wait", "Last resort", "`orfallback_exhausted")
    picture.arrow((236, y + 156), (282, y + 156), (282, y + 202))
    picture.arrow((136, y + 180), (136, y + 202))
    picture.box(36, y + 204, 200, 46, "bad", "FallbackError", "with every attempt")
    picture.box(254, y + 204, 140, 46, "good", "Completion", "or Stream")
    return picture.svg()


def stream_commit() -> str:
    """Draw a stream from its first byte to its end."""
    desc = (
        "Before the first content comments, the delta with the role and white space are held back, under the limit "
        "first_token; a failure there leads to the next model. With the first content, which may be reasoning or a "
        "tool call, the stream is committed: from then on each event is handed on as it comes, under the limit idle, "
        "and a failure is StreamInterrupted, with the text so far. Once every choice has told its finish_reason the "
        "answer is whole: usage and [DONE] are waited for for one second, and a break there takes nothing away."
    )
    picture = Picture("When a stream is committed", desc, 456)
    stretches = (
        (
            "plain",
            (": OPENROUTER PROCESSING", 'role: "assistant"', r'content: "\n"'),
            "Held back",
            "limit: first_token",
        ),
        ("good", ('content: "The sky "', 'content: "is "', 'content: "blue."'), "Handed on", "limit: idle"),
        ("plain", ('finish_reason: "stop"', 'usage: {"cost": 0.00001}', "[DONE]"), "Waited for", "1 s at most"),
    )
    failures = (
        ("step", "A failure here", "the next model is asked"),
        ("bad", "A failure here", "StreamInterrupted"),
        ("plain", "A break here", "takes nothing away"),
    )
    bands = (("good", "Committed: the first content"), ("good", "Whole: every choice has its finish_reason"))
    y = 6.0
    for place, ((ground, events, *what), failure) in enumerate(zip(stretches, failures, strict=True)):
        picture.ground(6, y, 190, 114, ground)
        for line, event in enumerate(events):
            picture.text(16, y + 33 + 28 * line, f"`{event}", left=True)
        picture.box(206, y, 188, 52, ground, *what)
        picture.box(206, y + 62, 188, 52, *failure)
        y += 122
        if place < len(bands):
            band, said = bands[place]
            picture.ground(6, y, 388, 32, band, 16)
            picture.text(200, y + 21, said, _LARGE - 1, bold=True)
            y += 40
    return picture.svg()


def memory_states() -> str:
    """Draw what a chain's memory knows of a target."""
    desc = (
        "A target is well, and asked in its turn. After a failure that lets it rest it rests: all calls pass it over, "
        "for 30 seconds, twice as long after each failure, 5 minutes at most, or for as long as its server asked. "
        "When the time is over one call claims it, asks it, and all others pass it over until that one knows. If it "
        "answers it is well again; if it fails it rests again. An answer as a last resort ends a rest, too."
    )
    picture = Picture("The states of a target in a chain's memory", desc, 478)
    picture.box(100, 6, 200, 52, "good", "Well", "asked in its turn")
    picture.arrow((200, 58), (200, 100))
    picture.label(200, 77, "a failure that lets it rest", "bad")
    picture.box(
        100,
        102,
        200,
        106,
        "bad",
        "Rests",
        "all calls pass it over",
        "30 s, then twice as long,",
        "5 min at most, or for as",
        "long as its server asked",
    )
    picture.arrow((200, 208), (200, 250))
    picture.label(200, 227, "the time is over")
    picture.box(100, 252, 200, 70, "wait", "To be probed", "by whoever comes first,", "and by nobody else")
    picture.arrow((200, 322), (200, 364))
    picture.label(200, 341, "a call claims it")
    picture.box(
        100,
        366,
        200,
        104,
        "step",
        "Probed",
        "one call asks it, the others",
        "pass it over; if it dies on",
        "the way another one may",
        "after 30 s",
    )
    picture.arrow((100, 418), (46, 418), (46, 155), (98, 155))
    picture.label(46, 286, "it fails", "bad")
    picture.arrow((300, 418), (354, 418), (354, 32), (302, 32))
    picture.arrow((300, 155), (330, 155), (330, 45), (302, 45))
    picture.label(347, 112, "it answers", "good")
    return picture.svg()


def layers() -> str:
    """Draw the rows of modules, as the test of them has them."""
    table = ROOT / "tests" / "test_layers.py"
    assigned = {
        node.target.id: node.value
        for node in ast.parse(table.read_text(encoding="utf-8")).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None
    }
    rows: list[set[str]] = ast.literal_eval(assigned["ROWS"])
    named = [", ".join(sorted(row, key=lambda name: (name.strip("_"), name))) for row in reversed(rows)]
    wrapped = [textwrap.wrap(row, 48) for row in named]
    desc = "From the highest to the lowest: " + "; ".join(", ".join(sorted(row)) for row in reversed(rows)) + "."
    height = sum(len(lines) * 17 + 15 for lines in wrapped) + 6 * 2
    picture = Picture("The rows of modules: each imports from lower rows alone", desc, height)
    y = 6.0
    for place, lines in enumerate(wrapped):
        picture.ground(6, y, 388, len(lines) * 17 + 11, ("step", "plain")[place % 2])
        picture.text(24, y + 20, str(len(rows) - place), bold=True)
        for line, names in enumerate(lines):
            picture.text(44, y + 20 + 17 * line, f"`{names}", left=True)
        y += len(lines) * 17 + 15
    return picture.svg()


# -- the demo --

_COLUMNS, _ADVANCE, _LEADING, _MARGIN = 60, 7.8, 19.0, 14.0
#: The figures of one run, in place of those that differ each time.
_FIGURES = (
    (r"\d+\.\d\d s(?=  )", ("0.01 s", "0.00 s", "0.03 s", "0.03 s")),
    (r"[\d.]+ s(?=, [\d.]+ s of it)", ("5.0 s",)),
    (r"[\d.]+ s(?=\.$)", ("0.7 s",)),
    (r"[\d.]+ s, until \d\d:\d\d:\d\d", ("24.9 s, until 12:00:30", "26.9 s, until 12:00:32")),
)
# What rich calls the colours of a terminal.
_INK_OF = {"dim": "dim", "color(1)": "red", "color(2)": "green"}
_UNSET = ("NO_COLOR", "COLORTERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE")


def demo_output() -> str:
    """Run ``orfallback demo`` without its waits; return what it prints, in colours, with the figures of one run."""
    kept = {name: value for name, value in os.environ.items() if name not in _UNSET}
    environ = {**kept, "COLUMNS": "1000", "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with (
        mock.patch.dict(os.environ, environ, clear=True),
        mock.patch.object(SystemClock, "sleep"),
        redirect_stdout(printed),
        redirect_stderr(printed),
    ):
        demo.main([], prog_name="orfallback demo", standalone_mode=False)
    printed.seek(0)
    return _steady(printed.read())


def _steady(output: str) -> str:
    for pattern, figures in _FIGURES:
        parts = re.split(pattern, output, flags=re.MULTILINE)
        if len(parts) != len(figures) + 1:
            raise ValueError(f"the demo has {len(parts) - 1} figures like {pattern}")
        output = "".join(part + figure for part, figure in zip(parts, (*figures, ""), strict=True))
    return output


def the_demo(output: str) -> str:
    """Draw what the demo prints, as a terminal of 60 columns shows it, without its last words: what to do next."""
    lines = _lines(output.partition("\x1b[2mWhat to do next")[0].rstrip())
    parts = [
        f'<rect width="100%" height="100%" rx="8" fill="{TERMINAL}"/>',
        f'<g font-size="13" font-family="{_MONO}" xml:space="preserve">',
    ]
    for number, line in enumerate(lines):
        y = _MARGIN + _LEADING * (number + 0.75)
        for column, text, style in line:
            ink = next(INKS[name] for name in (*style.split(), "") if name in INKS)
            weight = ' font-weight="600"' if "bold" in style else ""
            # Whatever font there is, a column is as wide as in a terminal.
            place = f'x="{_MARGIN + column * _ADVANCE:.1f}" y="{y:g}" textLength="{len(text) * _ADVANCE:.1f}"'
            parts.append(f'<text {place} fill="{ink}"{weight}>{escape(text)}</text>')
    desc = "\n".join(" ".join(text for _, text, _ in line) for line in lines)
    width, height = _COLUMNS * _ADVANCE + 2 * _MARGIN, len(lines) * _LEADING + 2 * _MARGIN
    return _file("What orfallback demo prints", desc, width, height, [*parts, "</g>"])


def _lines(output: str) -> list[list[tuple[int, str, str]]]:
    """Return the lines that a terminal shows: pieces of text without blanks around them, with column and style."""
    console = Console(width=_COLUMNS, force_terminal=True, color_system="standard", record=True, file=io.StringIO())
    console.print(Text("$ orfallback demo", style="bold"))
    for line in Text.from_ansi(output).split(allow_blank=True):
        # As the command does it: what stands behind a sign hangs there.
        margin = 4 if line.plain.startswith("  ") and line.plain[3:4] == " " else 0
        hang(console, line[:margin], line[margin:])
    printed = Text.from_ansi(console.export_text(styles=True).rstrip("\n"))
    return [list(_pieces(line.render(console))) for line in printed.split(allow_blank=True)]


def _pieces(segments: Iterable[Segment]) -> Iterator[tuple[int, str, str]]:
    column = 0
    for text, style, _ in segments:
        names = str(style)
        ink = next((ink for name, ink in _INK_OF.items() if name in names), "")
        if text.strip():
            yield column + len(text) - len(text.lstrip()), text.strip(), f"{ink} {'bold' * ('bold' in names)}"
        column += len(text)


def pictures() -> dict[str, str]:
    """Return every picture by its path in the repository."""
    explanation = "docs/explanation"
    return {
        f"{explanation}/life-of-a-call.svg": life_of_a_call(),
        f"{explanation}/stream-commit.svg": stream_commit(),
        f"{explanation}/memory-states.svg": memory_states(),
        f"{explanation}/layers.svg": layers(),
        "docs/demo.svg": the_demo(demo_output()),
    }


if __name__ == "__main__":
    for name, svg in pictures().items():
        (ROOT / name).write_text(svg, encoding="utf-8")
