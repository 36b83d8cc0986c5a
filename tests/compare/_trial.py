"""One trial: a product, a fault, a mode."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from compare._faults import FIRST, FIRST_TEXT, HALF, SECOND, SECOND_TEXT, STREAM, Fault
from compare._products import PRODUCTS, Client, Where
from orfallback.testing import Simulator

#: How long a call may last (seconds).
LIMIT = 20.0
# How long a process may take to be ready, and to end after its call.
_READY, _END = 180.0, 60.0
# No peer is to tell anybody anything.
_QUIET = {"LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false", "DO_NOT_TRACK": "1", "NO_PROXY": "127.0.0.1"}


class Trial(NamedTuple):
    """What came of it.

    :ivar outcome: ``first`` or ``second`` (who answered), ``error``, ``half``, ``empty``, ``other`` (a wrong text as an
        answer), ``waits``.
    :ivar error: the type of the exception, or empty.
    :ivar text: what the caller had got by then.
    :ivar first: requests that the first model got.
    :ivar second: those of the second.
    :ivar seconds: how long the call, or all of them, took.
    :ivar ended: whether the process ended by itself after it.
    """

    outcome: str
    error: str
    text: str
    first: int
    second: int
    seconds: float
    ended: bool = True


def outcome_of(text: str, error: str) -> str:
    """Name what a caller got."""
    known = {FIRST_TEXT: "first", SECOND_TEXT: "second", HALF: "half", "": "empty"}
    return "error" if error else known.get(text.strip(), "other")


def asked(client: Client, mode: str, calls: int = 1) -> tuple[str, str, float]:
    """Ask so many times, and return what the last call gave: text, type of the error, seconds for all."""
    text, kind, began = "", "", time.perf_counter()
    for _ in range(calls):
        text = kind = ""
        try:
            if mode == STREAM:
                for piece in client.stream():
                    text += piece
            else:
                text = client.whole()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            kind = type(error).__name__
    return text, kind, time.perf_counter() - began


@contextmanager
def arranged(fault: Fault) -> Iterator[tuple[Simulator, Where]]:
    """Run a simulator that has a fault, and yield it with where to ask."""
    with Simulator() as simulator, socket.socket() as nobody:
        # Bound, and never listening: whoever connects is refused.
        nobody.bind(("127.0.0.1", 0))
        fault.arrange(simulator)
        base, dead = simulator.base_url, f"http://127.0.0.1:{nobody.getsockname()[1]}/api/v1"
        yield simulator, Where(dead if fault.first is None else base, base)


def measured(product: str, fault: Fault, mode: str) -> Trial:
    """Run one trial in a process of its own."""
    with Simulator() as well, arranged(fault) as (simulator, where):
        urls = [where.first, where.second, well.base_url]
        command = [sys.executable, str(Path(__file__).parent), "--one", product, mode, str(fault.calls), *urls]
        pipe = subprocess.PIPE
        environ = {**os.environ, **_QUIET}
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environ) as process:
            try:
                return _followed(process, simulator, LIMIT * fault.calls)
            finally:
                process.kill()


def _followed(process: subprocess.Popen[str], simulator: Simulator, limit: float) -> Trial:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    if _line(process.stdout, _READY) is None:
        process.kill()
        raise RuntimeError(process.stderr.read())
    process.stdin.write("go\n")
    process.stdin.flush()
    told = _line(process.stdout, limit)
    models = simulator.models_asked
    first, second = models.count(FIRST), models.count(SECOND)
    if told is None:
        return Trial("waits", "", "", first, second, limit)
    try:
        process.wait(_END)
    except subprocess.TimeoutExpired:
        ended = False
    else:
        ended = True
    text, error, seconds = json.loads(told)
    return Trial(outcome_of(text, error), error, text, first, second, round(seconds, 2), ended)


def _line(stream: IO[str], seconds: float) -> str | None:
    if not select.select([stream], [], [], seconds)[0]:
        return None
    return stream.readline() or None


def one(product: str, mode: str, calls: int, first: str, second: str, well: str) -> None:
    """Be the process of a trial."""
    # Some write to stdout.
    out, sys.stdout = sys.stdout, sys.stderr
    make = PRODUCTS[product].make
    # What is imported or compiled with the first call is not the fault's time.
    asked(make(Where(well, well)), mode)
    client = make(Where(first, second))

    def tell(what: Any) -> None:
        print(json.dumps(what), file=out, flush=True)

    tell("ready")
    sys.stdin.readline()
    tell(asked(client, mode, calls))
