"""Fixtures: a simulator, and an environment that is nobody's."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from orfallback.testing import FakeClock, Simulator

# What is random at a desk finds new cases; CI runs the same ones each time.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep keys, proxies and files of the machine's user out of every test."""
    for name in list(os.environ):
        if name.upper().endswith("_PROXY") or name.startswith(("OPENROUTER_", "ORFALLBACK_")):
            monkeypatch.delenv(name)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", os.devnull)


@pytest.fixture
def sim() -> Iterator[Simulator]:
    """A loopback OpenRouter."""
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def clock() -> FakeClock:
    """A clock on which waiting takes no time."""
    return FakeClock()
