"""Text from outside, made fit for a log, an error or a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orfallback._text import MESSAGE_LIMIT, clean, printable

PROPERTY = settings(max_examples=200, deadline=None, database=None)


@pytest.mark.parametrize(("text", "cleaned"), [
    pytest.param("", "", id="empty"),
    pytest.param("busy", "busy", id="plain"),
    pytest.param(" \t busy \n", "busy", id="white-space-around"),
    pytest.param("a\nERROR forged\r\nline", "a ERROR forged line", id="newlines"),
    pytest.param("a\x0bb\x0cc\x1cd\x85e", "a b c d e", id="other-line-ends"),
    pytest.param("a\u2028b\u2029c", "a b c", id="separators"),
    pytest.param("\x1b[31mred\x1b[0m", "[31mred [0m", id="ansi"),
    pytest.param("\x9b31mred", "31mred", id="c1-csi"),
    pytest.param("a\x00b\x07c\x7fd", "a b c d", id="nul-bell-del"),
    pytest.param("user\u202egnp.exe\u202c", "user gnp.exe", id="override"),
    pytest.param("a\u2066b\u2067c\u2068d\u2069e", "a b c d e", id="isolates"),
    pytest.param("a\u200eb\u200fc\u061cd", "a b c d", id="marks"),
    pytest.param("a\ud800b\udfffc", "a b c", id="surrogates"),
    pytest.param("žluť 🐎 日本", "žluť 🐎 日本", id="other-scripts"),
    pytest.param("100 % {braces} %s", "100 % {braces} %s", id="format-signs"),
    pytest.param("a  \n\x00  b", "a b", id="runs-are-one-space"),
])  # fmt: skip
def test_clean(text: str, cleaned: str) -> None:
    """What could forge a line, move the cursor, reorder text or fail to encode becomes one space."""
    assert clean(text) == cleaned


@pytest.mark.parametrize(("size", "cleaned"), [
    pytest.param(499, "x" * 499, id="shorter"),
    pytest.param(500, "x" * 500, id="exact"),
    pytest.param(501, "x" * 499 + "…", id="longer"),
    pytest.param(1_000_000, "x" * 499 + "…", id="a-megabyte"),
])  # fmt: skip
def test_limit(size: int, cleaned: str) -> None:
    """A message has at most 500 characters; a longer one ends in an ellipsis."""
    assert MESSAGE_LIMIT == 500
    assert clean("x" * size) == cleaned


@pytest.mark.parametrize(("limit", "cleaned"), [(1, "…"), (4, "abc…"), (6, "abcdef"), (80, "abcdef")])
def test_own_limit(limit: int, cleaned: str) -> None:
    """The limit can be chosen, and holds with the ellipsis."""
    assert clean("abcdef", limit) == cleaned


def test_the_limit_counts_what_is_shown() -> None:
    """Characters that were taken out do not count."""
    assert clean("a\x00\x00b\n\n", limit=3) == "a b"


@PROPERTY
@given(text=st.text(st.characters(), max_size=60), limit=st.integers(1, 70))
def test_any_text(text: str, limit: int) -> None:
    """Any text becomes one line of printable, encodable text within the limit, and is not changed by a second pass."""
    cleaned = clean(text, limit)
    assert len(cleaned) <= limit
    assert not {unicodedata.category(char) for char in cleaned} & {"Cc", "Cs", "Zl", "Zp"}
    assert not {unicodedata.bidirectional(char) for char in cleaned} & {
        "RLO",
        "LRO",
        "RLE",
        "LRE",
        "PDF",
        "RLI",
        "LRI",
        "FSI",
        "PDI",
    }
    assert len(cleaned.splitlines()) <= 1
    cleaned.encode()
    assert clean(cleaned, limit) == cleaned


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\n\ttwo\n", "one\n\ttwo\n"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("over\rwritten\r\n", "overwritten\n"),
        ("a\u2028b", "a\nb"),
        ("\u202eabc\u2066", "abc"),
        ("\u05d0\u200f!", "\u05d0\u200f!"),
        ("\ud800x\x9b2J\x7f", "x2J"),
        ("", ""),
    ],
)
def test_what_a_terminal_is_shown(text: str, shown: str) -> None:
    """A terminal is shown the lines of a text, and nothing that would steer it or reorder what it shows."""
    assert printable(text) == shown


@PROPERTY
@given(st.text(st.characters(max_codepoint=140), max_size=30))
def test_plain_text_takes_no_other_way(text: str) -> None:
    """Text that needs no cleaning comes out as text that does would: words with one space between them."""
    safe = "".join(each if unicodedata.category(each) != "Cc" else " " for each in text)
    assert clean(text) == " ".join(safe.split())
