"""For ``conftest.py``: a test that would leave this machine fails, and none finds a key to spend."""

from __future__ import annotations

import socket
from typing import Any

import pytest

HERE = (None, "", "localhost", "127.0.0.1", "::1")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse to connect to other machines, and to look up their names."""
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def connect_here(self: socket.socket, address: Any) -> None:
        # A path, which is no tuple, is a Unix socket.
        if isinstance(address, tuple) and address[0] not in HERE:
            pytest.fail(f"this test would connect to {address[0]}")
        connect(self, address)

    def look_up_here(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in HERE:
            pytest.fail(f"this test would connect to {host}")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setattr(socket, "getaddrinfo", look_up_here)
