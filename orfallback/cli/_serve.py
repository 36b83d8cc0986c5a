"""``orfallback serve``: the chain as a server, for any client that speaks OpenAI's API."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orfallback.cli._console import Narrator
from orfallback.cli._exits import SetupFailed
from orfallback.cli._options import chain_options, token_of, variable
from orfallback.cli._settings import Settings
from orfallback.cli._shown import shown

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from orfallback import Chain
    from orfallback.wsgi._waitress import Server

# The models of one line (characters).
_LINE_LIMIT = 2_000
# Where prometheus-client keeps what processes share.
_SHARED = "PROMETHEUS_MULTIPROC_DIR"


@click.command(short_help="Serve the chain to any OpenAI client.")
@chain_options
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=8000, show_default=True, metavar="N", help="0 for any free one."
)
@click.option(
    "--threads", type=click.IntRange(1, 1_000), default=64, show_default=True, metavar="N",
    help="So many answers at a time, streams among them; more wait.",
)  # fmt: skip
@click.option(
    "--token-env", metavar="VARIABLE", callback=variable, help="The variable that holds the token clients must show."
)
@click.option("--no-token", is_flag=True, help="Let other machines in without one.")
@click.option("--metrics", is_flag=True, help="Show figures for Prometheus at /metrics, behind the token.")
def serve(
    settings: Settings, host: str, port: int, threads: int, token_env: str | None, no_token: bool, metrics: bool
) -> None:
    """Answer OpenAI's API with the chain, until Ctrl-C.

    Any client takes the address as its base URL. What is asked of the chain's models comes first, the others follow;
    "orfallback" as a model is the chain's own order. Fallbacks are told on stderr.

    \b
    orfallback serve -m mistralai/mistral-nemo -m mistralai/pixtral-12b
    curl http://127.0.0.1:8000/v1/chat/completions -H "Content-Type: application/json" \\
         -d '{"messages": [{"role": "user", "content": "Why is the sky blue?"}]}'
    """
    if token_env and no_token:
        raise click.UsageError("--token-env and --no-token exclude each other")
    token = token_of(token_env)
    settings.require_key()
    loopback = _is_loopback(host, port)
    if not loopback and token is None and not no_token:
        mend = "--token-env names the variable of a token that clients must show; --no-token lets everybody in"
        raise SetupFailed(f"other machines could reach {host or 'all addresses'} and spend your credit", mend)
    with settings.chain() as chain, _telling():
        shows = _metrics_of(chain) if metrics else None
        # A page in a browser of this machine may ask its loopback interface.
        server = _listening(chain, host, port, threads, token, (host,) if loopback and token is None else None, shows)
        del token
        if not loopback and no_token:
            Narrator().warn("Other machines may reach this address, and no token is asked for.")
        models = ", ".join(dict.fromkeys(target.model for target in chain.targets))
        click.echo(shown(f"Listening on {server.base_url} for {models}", _LINE_LIMIT))
        if metrics:
            click.echo(f"Metrics for Prometheus at {server.base_url.removesuffix('/v1')}/metrics")
        server.run()


def _is_loopback(host: str, port: int) -> bool:
    from orfallback.wsgi._listening import resolved

    try:
        _, address = resolved(host, port)
    except OSError as error:
        raise _cannot_listen(host, port, error) from None
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _listening(
    chain: Chain,
    host: str,
    port: int,
    threads: int,
    token: str | None,
    names: tuple[str, ...] | None,
    metrics: WSGIApplication | None,
) -> Server:
    from orfallback.wsgi import Gateway

    try:
        from orfallback.wsgi._waitress import Server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "waitress":
            raise
        raise SetupFailed("serve needs waitress", "pip install 'orfallback[gateway]'") from None
    try:
        gateway = Gateway(chain, token, metrics)
    except ValueError as error:
        raise SetupFailed(f"--token-env: {error}", "A token is like a key: printable ASCII, without spaces") from None
    finally:
        del token
    try:
        return Server(gateway, host, port, threads=threads, names=names)
    except OSError as error:
        raise _cannot_listen(host, port, error) from None


def _metrics_of(chain: Chain) -> WSGIApplication:
    shared = os.environ.get(_SHARED)
    if shared is not None and not (shared and Path(shared).is_dir()):
        mend = f"Make it, or leave {_SHARED} out: one process needs none"
        raise SetupFailed(f"{_SHARED} names no directory: {shown(shared) or 'it is empty'}", mend)
    try:
        from orfallback.plugins.prometheus import Prometheus, metrics_app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "prometheus_client":
            raise
        raise SetupFailed("--metrics needs prometheus-client", "pip install 'orfallback[prometheus]'") from None
    # ORFALLBACK_PLUGINS may have named it.
    if not any(isinstance(plugin, Prometheus) for plugin in chain.plugin_manager.get_plugins()):
        chain.register(Prometheus(), "prometheus")
    return metrics_app()


def _cannot_listen(host: str, port: int, error: OSError) -> SetupFailed:
    # The library says the address once more, as a tuple.
    reason = (error.strerror or str(error)).partition(" (while")[0]
    mends = {
        errno.EADDRINUSE: "Another server has it; --port names another one, --port 0 takes any that is free",
        errno.EACCES: "Ports from 1024 on need no privilege: --port 8000",
    }
    mend = mends.get(error.errno or 0, "127.0.0.1 is this machine, 0.0.0.0 all its addresses")
    return SetupFailed(f"cannot listen on {host}, port {port}: {reason}", mend)


@contextmanager
def _telling() -> Iterator[None]:
    """Write what the library logs on stderr: a server has nobody else to tell."""
    logger = logging.getLogger("orfallback")
    handler = logging.StreamHandler()
    handler.setFormatter(_Shown("%(asctime)s %(message)s", "%H:%M:%S"))
    # What plugins fail at while they watch is told already.
    handler.addFilter(lambda record: record.name != "orfallback.plugins")
    handler.setLevel(logging.WARNING)
    logger.addHandler(handler)
    # It warns of every request that waits for a thread, however shortly.
    logging.getLogger("waitress.queue").disabled = True
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Shown(logging.Formatter):
    """Keeps the keys of the process out of what is logged, that of a plugin's traceback included."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(
            shown(line, _LINE_LIMIT) if line.strip() else "" for line in super().format(record).split("\n")
        )
