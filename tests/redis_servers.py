"""Real Redis servers, each of a test's own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# For whatever a server may need on a busy machine (s).
_PATIENCE = 30.0


def free_port() -> int:
    """Return a port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """A server that keeps nothing on disk.

    :param folder: where its socket lies.
    :param options: more of its command line.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.socket = folder / "redis.sock"

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        command += ["--save", "", "--appendonly", "no", "--unixsocket", str(self.socket), *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + _PATIENCE
        while not self._answers():
            assert self._process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)

    def kill(self) -> None:
        """End it at once, as a fault would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), _PATIENCE) as connection:
                connection.sendall(b"PING\r\n")
                # With a password it says that one is wanted.
                return connection.recv(100)[:1] in (b"+", b"-")
        except OSError:
            return False


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    """Run a server for a while."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server")
    server = RedisServer(folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.kill()
