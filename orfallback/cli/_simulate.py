"""``orfallback simulate``: the simulator as a server, for clients in any language."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import queue
import threading
import time
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from orfallback.cli._console import Narrator
from orfallback.cli._exits import Failed
from orfallback.cli._reading import read
from orfallback.cli._shown import shown
from orfallback.testing import Simulator

if TYPE_CHECKING:
    from orfallback.testing import Received

# What a client may put into a line of the log, and a wrong script into an error (characters).
_NAME_LIMIT = 200
_ERROR_LIMIT = 1_000
# So many lines of the log wait to be written; what comes when there are more is lost.
_LINES = 1_000
# How long the end waits for them (s).
_MOMENT = 0.5


@click.command(short_help="Play OpenRouter on this machine.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=8000, show_default=True, metavar="N", help="0 for any free one."
)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="The address to listen on.")
@click.option("--script", type=click.File("rb"), metavar="FILE", help="Who answers what, as JSON; - for stdin.")
@click.option("-q", "--quiet", is_flag=True, help="Tell nothing but warnings and errors.")
def simulate(port: int, host: str, script: IO[bytes] | None, quiet: bool) -> None:
    """Play OpenRouter on this machine, good and bad, until Ctrl-C.

    The base URL is the one line on stdout; what arrives is told on stderr. No key is needed, none is checked, and
    nothing is sent anywhere. Without --script every model answers.
    """
    narrator = Narrator(quiet=quiet)
    log = _Log(narrator)
    simulator = Simulator(
        port=port, host=host, on_request=log.arrived, on_reply=log.replied, on_left=log.left, remember=False
    )
    if script is not None:
        _load(simulator, script)
    _start(simulator, host, port)
    try:
        _introduce(simulator.base_url, narrator)
        while True:
            # Unlike a lock, a sleep is ended by Ctrl-C at once, on every system.
            time.sleep(3600)
    finally:
        simulator.close()
        log.end()


class _Log:
    """Tells what arrives, a line each, and never what a body says."""

    def __init__(self, narrator: Narrator) -> None:
        self._narrator = narrator
        # Written by a thread of its own: where nobody reads, nobody who asks is to wait.
        self._lines: queue.Queue[str] = queue.Queue(_LINES)
        threading.Thread(target=self._write, daemon=True).start()

    def _write(self) -> None:
        while True:
            _say(self._narrator, self._lines.get())
            self._lines.task_done()

    def end(self) -> None:
        """Let what was told be written, for a moment."""
        until = time.monotonic() + _MOMENT
        while self._lines.unfinished_tasks and time.monotonic() < until:
            time.sleep(0.01)

    def arrived(self, received: Received) -> None:
        """Tell of a request."""
        # A query may hold what is nobody's business.
        path = urlsplit(received.path).path
        authorization = received.headers.get("authorization")
        self._say(
            received,
            shown(f"{received.method} {path}", _NAME_LIMIT),
            "no model" if received.model is None else shown(received.model, _NAME_LIMIT),
            "stream" if received.stream else "whole",
            "no key" if authorization is None else f"key {shown(authorization.rpartition(' ')[2], _NAME_LIMIT)}",
            f"{len(received.raw)} bytes",
        )

    def replied(self, received: Received, status: int | None) -> None:
        """Tell of a reply that begins."""
        self._say(received, f"answered {status}" if status is not None else "ended without a reply")

    def left(self, received: Received) -> None:
        """Tell of a client that did not wait for the end."""
        self._say(received, "left early")

    def _say(self, received: Received, *facts: str) -> None:
        number = f"{received.connection}.{received.number}"
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait("  ".join((time.strftime("%H:%M:%S"), number, *facts)))


def _say(narrator: Narrator, line: str, style: str = "") -> None:
    try:
        narrator.say(line, style)
    except (OSError, SystemExit):
        # Nobody reads any more (rich exits for that); those who ask are served all the same.
        narrator.quiet = True


def _start(simulator: Simulator, host: str, port: int) -> None:
    try:
        simulator.start()
    except OSError as error:
        # The library says the address once more, as a tuple.
        reason = (error.strerror or str(error)).partition(" (while")[0]
    except TypeError:
        # What sockets say of a name that cannot be encoded.
        reason = "no host can be called so"
    else:
        return
    mend = "--port 0 takes any port that is free" if port else "127.0.0.1 is this machine, 0.0.0.0 all its addresses"
    raise Failed(f"cannot listen on {host}, port {port}: {reason}", mend)


def _introduce(base_url: str, narrator: Narrator) -> None:
    if not ipaddress.ip_address(urlsplit(base_url).hostname or "").is_loopback:
        # Even if quiet.
        Narrator().note("Other machines may reach this address, and no key is checked.")
    _say(narrator, "A simulator plays OpenRouter here, for any client; Ctrl-C ends it. Point one at it:", "dim")
    _say(narrator, f"  OPENROUTER_BASE_URL={base_url} orfallback chat")
    # Last: whoever reads it may ask at once.
    click.echo(base_url)


def _load(simulator: Simulator, source: IO[bytes]) -> None:
    try:
        simulator.load(json.loads(read(source, "the script"), object_pairs_hook=_object))
    except json.JSONDecodeError as error:
        raise _wrong(f"no JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise _wrong("nested too deeply") from None
    except ValueError as error:
        raise _wrong(str(error)) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of the script; of two members with one name the first would be lost."""
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{json.dumps(twice)} stands twice in one object")
    return members


def _wrong(what: str) -> click.BadParameter:
    return click.BadParameter(shown(what, _ERROR_LIMIT), param_hint="--script")
