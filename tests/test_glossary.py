"""docs/glossary.md has the words of the library, each in its place."""

from __future__ import annotations

import re
from pathlib import Path

from orfallback import Ending, Reason, Scope, Timeouts

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = (DOCS / "glossary.md").read_text(encoding="utf-8")
(INSIDE,) = re.findall(r"^```\{glossary\}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
TERMS = dict(re.findall(r"^(\S.*)\n((?:  .*\n)+)", INSIDE, re.MULTILINE))


def test_the_words_are_in_order() -> None:
    """Each word stands once, by the alphabet."""
    written = re.findall(r"^\S.*$", INSIDE, re.MULTILINE)
    assert written == sorted(set(written), key=str.lower) == [*TERMS]


def test_the_words_of_the_design_are_there() -> None:
    """Whatever the page on the design defines is a word of the glossary."""
    design = (DOCS / "explanation" / "design.md").read_text(encoding="utf-8")
    (words,) = re.findall(r"^## Words\n(.*?)^## ", design, re.MULTILINE | re.DOTALL)
    defined = {word.lower() for word in re.findall(r"\*+(\w+)\*+", words)}
    assert len(defined) > 10
    assert defined - {"committed"} <= {*TERMS}
    assert "commit" in TERMS


def test_every_word_that_is_meant_exists() -> None:
    """What one entry says by another's word is there."""
    meant = re.findall(r"\{term\}`(?:[^`<]*<)?([^`<>]+)>?`", PAGE)
    assert meant
    assert {*meant} <= {*TERMS}


def test_every_entry_leads_further() -> None:
    """Each entry links to a page, but for the few that say all there is."""
    assert {word for word, said in TERMS.items() if "](" not in said} == {"chunk", "model", "provider"}


def test_what_is_listed_is_what_there_is() -> None:
    """The lists in entries are those of the code."""
    transient = re.findall(r"\b\w+\b", TERMS["transient"].partition("minute: ")[2].partition(".")[0])
    assert transient == [str(reason) for reason in Reason if reason.transient]
    assert all(str(ending) in TERMS["ending"] for ending in Ending)
    assert re.findall(r"`(\w+)`", TERMS["limit"]) == [*Timeouts.__dataclass_fields__]
    reaches = TERMS["scope"].partition("reaches: ")[2].partition("(")[0]
    assert reaches.count(",") + 1 == len({*Scope} - {Scope.NONE})
