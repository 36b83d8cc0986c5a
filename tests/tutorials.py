"""What a reader of a tutorial types, and what the page says that they see."""

from __future__ import annotations

import re
from pathlib import Path

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def program_of(page: Path, until: str) -> tuple[str, str]:
    """Return the program that the visible blocks of a page make, and what it prints.

    :param page: the page: what a block of Python prints is the block of text behind it.
    :param until: the heading at which the program is done.
    """
    text = page.read_text(encoding="utf-8").partition(f"\n## {until}\n")[0]
    code: list[str] = []
    shown: list[str] = []
    for language, block in _BLOCK.findall(text):
        if language == "python":
            code.append(block)
        elif language == "text" and code:
            shown.append(block)
    return "\n\n".join(code), "".join(shown)
