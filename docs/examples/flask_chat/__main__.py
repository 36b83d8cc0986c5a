"""``python -m flask_chat``: the chat on this machine."""

from __future__ import annotations

import os

import click
from werkzeug.serving import make_server

from flask_chat import create_app


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=5000, show_default=True, help="0 takes any free one.")
def main(host: str, port: int) -> None:
    """Serve the chat, with threads: every open WebSocket and every running answer has one."""
    server = make_server(host, port, create_app(), threaded=True)
    click.echo(f"Chat at http://{host}:{server.server_port}/")
    if not (os.environ.get("OPENROUTER_API_KEY") or os.environ.get("OPENROUTER_BASE_URL")):
        click.echo("OPENROUTER_API_KEY is not set: a simulator answers.")
    server.serve_forever()


if __name__ == "__main__":
    main()
