"""The one object that holds a key."""

from __future__ import annotations

import hashlib
import re
from typing import Any, NoReturn

import requests
from requests.auth import AuthBase

#: So much of a key's beginning tells that it is the key (characters).
TELLING = 16
#: Names of headers that may tell who asks, or let him in: what was meant for one host is not for another.
PERSONAL = re.compile("auth|cookie|key|token|secret|passw|session|signature|credential|^host$", re.IGNORECASE)


class Secret(AuthBase):
    """A key that shows itself to nobody but the request it authorizes.

    It is an ``auth`` callable of requests. Neither its repr nor a pickle holds the key.

    :param value: the key; white space around it is stripped.
    :raises ValueError: if anything but printable ASCII is left, without showing it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        fault = _fault_of(value)
        self._value = "" if fault else value.strip()
        if fault:
            # The frame of this error may be rendered with its variables.
            del value
            raise ValueError(fault)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Authorize a request."""
        request.headers["Authorization"] = f"Bearer {self._value}"
        return request

    def reveal(self) -> str:
        """Return the key, to look for it in what came back."""
        return self._value

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that tell keys apart and cannot be turned back."""
        return hashlib.sha256(self._value.encode()).hexdigest()[:16]

    @property
    def hint(self) -> str:
        """The last four characters, for a person to tell keys apart; "…" for a short one."""
        return f"…{self._value[-4:]}" if len(self._value) >= 16 else "…"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "<Secret>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key does not pickle")


class Unshown(dict[str, Any]):
    """A mapping that may hold a key or a prompt, and does not show what it holds."""

    def __repr__(self) -> str:
        return f"<{', '.join(map(str, self))}>"


def _fault_of(value: object) -> str:
    if not isinstance(value, str):
        return f"a key is a string, not {type(value).__name__}"
    stripped = value.strip()
    if stripped.lower().startswith("bearer "):
        return "a key is given without the word Bearer"
    if not stripped:
        return "a key is not empty; None means that there is none"
    if not (stripped.isascii() and stripped.isprintable() and " " not in stripped):
        return "a key holds printable ASCII only, no spaces or control characters (it is not shown here)"
    return ""
