"""The vocabulary of a fake server: what came in, and the steps by which it is answered."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it arrived. It never holds the API key, so it may be printed and logged.

    :param time: when its last byte was read, in seconds of the monotonic clock.
    :param method: the HTTP method.
    :param path: the request target as sent, query included.
    :param model: the model the body asks for, or None.
    :param stream: whether the body asks for a stream.
    :param headers: header names in lower case; the Authorization value is masked.
    :param authorized: whether there was an Authorization header.
    :param key_digest: first 12 hex digits of the SHA-256 of the bearer token, or None: tells keys apart.
    :param body: the parsed JSON body, or None.
    :param raw: the body's bytes.
    :param connection: number of the connection, from 1.
    :param number: number of the request on its connection, from 1.
    """

    time: float
    method: str
    path: str
    model: str | None
    stream: bool
    headers: Mapping[str, str]
    authorized: bool
    key_digest: str | None
    body: Any
    raw: bytes = field(repr=False)
    connection: int
    number: int


class Gate:
    """Holds a behaviour back until the test lets it go on; every opening lets one waiting step pass."""

    def __init__(self) -> None:
        self._passes = threading.Semaphore(0)

    def open(self, n: int = 1) -> None:
        """Let steps pass, now or when they get here.

        :param n: how many steps.
        """
        self._passes.release(n)

    def wait(self, timeout: float) -> bool:
        """Wait for one pass, and use it up.

        :param timeout: longest wait in seconds.
        :returns: whether there was a pass.
        """
        return self._passes.acquire(timeout=timeout)


class End(enum.Enum):
    """How a behaviour ends a connection. Steps that follow it are never taken."""

    CLOSE = "close"
    """Close it in good order (FIN)."""
    RESET = "reset"
    """Reset it (RST)."""
    HANG = "hang"
    """Stay silent until the client leaves or the simulator closes."""


Step: TypeAlias = bytes | float | Gate | End
"""Bytes are sent as they are, a number is a pause in seconds, a Gate is waited for, an End is the end."""

Behaviour: TypeAlias = Callable[[Received], Iterator[Step]]
"""Answers one request. When its steps run out without an End, the connection is kept for the next request."""
