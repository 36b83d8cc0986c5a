"""What one attempt sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from orfallback._secret import Secret


class Request(NamedTuple):
    """One request, ready to be sent.

    :ivar model: the model asked.
    :ivar url: where to.
    :ivar body: JSON, encoded; b"" for a GET.
    :ivar headers: those of this attempt alone, without Authorization.
    :ivar secret: the key, or None.
    :ivar foreign: whether it goes elsewhere than where what the application's session holds lets it in: its keys,
        cookies and certificate stay behind.
    :ivar method: POST, or GET to look something up.
    """

    model: str
    url: str
    body: bytes
    headers: Mapping[str, str]
    secret: Secret | None
    foreign: bool = False
    method: str = "POST"

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url} {self.model}: {len(self.body)} bytes>"
