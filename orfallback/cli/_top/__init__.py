"""``orfallback top``: what a gateway or an application does now, in a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import click

from orfallback._clock import SystemClock
from orfallback._secret import Secret
from orfallback.cli._console import is_terminal, output, put
from orfallback.cli._exits import Failed, SetupFailed
from orfallback.cli._options import Seconds, token_of, variable
from orfallback.cli._shown import shown
from orfallback.cli._top._json import as_json
from orfallback.cli._top._live import pretty, watch
from orfallback.cli._top._sources import LogSource, Look, MetricsSource, Source
from orfallback.cli._top._view import Frame, view

#: The variable that names the call log that an application writes.
CALL_LOG = "ORFALLBACK_CALL_LOG"
# What is no terminal gets lines of this width (columns).
_WIDE = 200
_LONGEST = 86_400


@click.command(short_help="Watch calls, fallbacks and models live.")
@click.argument("source", required=False)
@click.option(
    "--interval", type=Seconds(0.1, 3_600), default=1.0, show_default=True, metavar="SECONDS", help="Between two looks."
)
@click.option(
    "--window", type=Seconds(1, _LONGEST), default=60.0, show_default=True, metavar="SECONDS",
    help="What rates, shares and percentiles are of.",
)  # fmt: skip
@click.option("--once", is_flag=True, help="Print one view, and end.")
@click.option("--json", "want_json", is_flag=True, help="Print one view as JSON, and end.")
@click.option(
    "--token-env", metavar="VARIABLE", callback=variable, help="The variable that holds the token of the endpoint."
)
def top(source: str | None, interval: float, window: float, once: bool, want_json: bool, token_env: str | None) -> None:
    """Watch what happens, until q or Ctrl-C.

    SOURCE is the address of a metrics endpoint, or a call log; without it, the call log that ORFALLBACK_CALL_LOG names.

    \b
    orfallback top http://127.0.0.1:8000/metrics
    orfallback top calls.jsonl
    """
    if window < interval:
        raise click.UsageError("--window is no shorter than --interval")
    watched = _source(source or os.environ.get(CALL_LOG, ""), window, token_env)
    console = output()
    if once or want_json or not is_terminal(sys.stdout) or console.is_dumb_terminal:
        with contextlib.closing(watched):
            look = _look(watched, interval)
        if want_json:
            click.echo(json.dumps(as_json(watched.name, look), indent=2))
        else:
            width = console.width if console.is_terminal and is_terminal(sys.stdout) else _WIDE
            put(console, *view(watched.name, look, Frame(width, pretty=pretty(console))))
        return
    watch(watched, interval, console)


def _look(source: Source, interval: float) -> Look:
    """Look as often as the source needs.

    :raises Failed: if it cannot be read.
    """
    for number in range(source.looks):
        if number:
            time.sleep(interval)
        look = source.look()
        if look.trouble:
            raise Failed(look.trouble)
    return look


def _source(named: str, window: float, token_env: str | None) -> Source:
    """Return the source that is named.

    :raises click.UsageError: if it is none.
    :raises SetupFailed: if something has to be set up first.
    """
    if not named.strip():
        raise click.UsageError(
            "nothing to watch is named: a metrics endpoint (http://127.0.0.1:8000/metrics), or a call log "
            f"(calls.jsonl, or what {CALL_LOG} names)"
        )
    if re.match("https?://", named, re.IGNORECASE):
        return _metrics(named, window, token_env)
    if token_env is not None:
        raise click.UsageError("--token-env is for a metrics endpoint, and this is a call log")
    path = Path(named)
    if not path.exists() and re.match(r"[\w.\-]+:\d+(/|$)", named):
        raise click.UsageError(f"is {shown(named)!r} an address? Then it begins with http://")
    if path.is_dir():
        raise click.UsageError(f"{shown(named)} is a directory")
    return LogSource(path, window, SystemClock())


def _metrics(url: str, window: float, token_env: str | None) -> Source:
    from orfallback.cli._top._scraping import Page

    try:
        from orfallback.cli._top._exposition import parse
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "prometheus_client":
            raise
        raise SetupFailed(
            "a metrics endpoint needs prometheus-client", "pip install 'orfallback[prometheus]'"
        ) from None
    return MetricsSource(Page(_checked(url), _token(token_env)), parse, window, SystemClock())


def _checked(url: str) -> str:
    """Return an address, with the usual path if it has none."""
    try:
        parts = urlsplit(url)
        good = bool(parts.hostname) and parts.port != 0 and url.isprintable() and not set(url) & set(" \\")
    except ValueError:
        good = False
    if not good:
        raise click.UsageError("the address of the metrics endpoint is no URL")
    if parts.username is not None or parts.password is not None:
        raise click.UsageError("the address holds a user or a password; --token-env names the variable of a token")
    return parts._replace(path=parts.path.rstrip("/") or "/metrics", fragment="").geturl()


def _token(name: str | None) -> Secret | None:
    token = token_of(name)
    if token is None:
        return None
    try:
        return Secret(token)
    except ValueError as error:
        raise SetupFailed(f"--token-env: {error}", "A token is like a key: printable ASCII, without spaces") from None
    finally:
        del token
