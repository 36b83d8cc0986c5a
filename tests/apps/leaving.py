"""Leaves the interpreter in the middle of something: ``leaving.py SITUATION BASE_URL``."""

from __future__ import annotations

import sys
import threading

from asking import chain_for

from orfallback import Stream

situation, base_url = sys.argv[1:]
chain = chain_for(base_url)
begun = threading.Event()
held: list[object] = []


def open_stream() -> Stream:
    """Return a stream of which a piece was read."""
    stream = chain.stream("one two three 1")
    next(stream)
    return stream


class Telling:
    """A plugin that tells when an attempt is under way."""

    def orfallback_attempt_started(self) -> None:
        """Tell it."""
        begun.set()


def ask() -> None:
    """Wait for an answer that does not come."""
    chain.complete("stall")


def read() -> None:
    """Read a stream that does not end soon."""
    stream = open_stream()
    begun.set()
    stream.read()


if situation == "idle":
    chain.complete("one two three 1")
elif situation == "stream":
    held.append(open_stream())
elif situation == "text":
    text = open_stream().iter_text()
    next(text)
elif situation == "cycle":
    held.extend([open_stream(), held])
elif situation == "error":
    held.append(open_stream())
    sys.exit(3)
else:
    if situation == "asking":
        chain.register(Telling())
    threading.Thread(target=ask if situation == "asking" else read, daemon=True).start()
    begun.wait(10)
