"""What an examination found."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

State: TypeAlias = Literal["ok", "note", "problem", "skipped"]


class Finding(NamedTuple):
    """One line of a report.

    :ivar state: "problem" for what makes calls fail, "note" for what may, or soon will; "skipped" for what was not
        looked at.
    :ivar subject: what was looked at.
    :ivar found: what was found.
    :ivar mend: what to do about it; "" if there is nothing to do.
    """

    state: State
    subject: str
    found: str
    mend: str = ""
