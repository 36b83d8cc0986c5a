"""Real nginx servers, each of a test's own, without privileges."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis_servers import free_port

# For whatever a server may need on a busy machine (s).
_PATIENCE = 30.0
# What a distribution has around the servers, with every file in a folder of the test's.
_MAIN = """\
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
{user}
worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{site}
}}
"""


@contextmanager
def nginx(folder: Path, site: str) -> Iterator[str]:
    """Run a server for a while.

    :param folder: where it may write.
    :param site: what stands in its ``http`` block; ``listen 80`` is made a free port of the loopback.
    """
    program = shutil.which("nginx", path="/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin")
    if program is None:
        pytest.skip("no nginx")
    port = free_port()
    configuration = folder / "nginx.conf"
    changed = site.replace("listen 80", f"listen 127.0.0.1:{port}")
    # Its workers stay who started it: they are to write into the folder.
    user = f"user {folder.owner()} {folder.group()};" if folder.owner() == "root" else ""
    configuration.write_text(_MAIN.format(folder=folder, site=changed, user=user))
    with (folder / "nginx.log").open("wb") as log:
        process = subprocess.Popen([program, "-p", str(folder), "-c", str(configuration)], stdout=log, stderr=log)
    try:
        until = time.monotonic() + _PATIENCE
        while not _listens(port):
            assert process.poll() is None, (folder / "nginx.log").read_text()
            assert time.monotonic() < until
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(_PATIENCE)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), _PATIENCE).close()
    except OSError:
        return False
    return True
