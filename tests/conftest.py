"""Fixtures: a simulator, and an environment that is nobody's."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import settings

from orfallback import cli
from orfallback.testing import FakeClock, Simulator

# No case has to be quick: the machine may be busy.
settings.register_profile("desk", deadline=None)
# What is random at a desk finds new cases; CI runs the same ones each time.
settings.register_profile("ci", settings.get_profile("desk"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep keys, proxies and files of the machine's user out of every test."""
    for name in list(os.environ):
        if name.upper().endswith("_PROXY") or name.startswith(("OPENROUTER_", "ORFALLBACK_")):
            monkeypatch.delenv(name)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", os.devnull)


@pytest.fixture(autouse=True)
def _nothing_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands hide the keys of their own test alone."""
    monkeypatch.setattr("orfallback.cli._shown._hidden", set())


@pytest.fixture
def sim() -> Iterator[Simulator]:
    """A loopback OpenRouter."""
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def clock() -> FakeClock:
    """A clock on which waiting takes no time."""
    return FakeClock()


#: A key that is to be told nowhere.
KEY = "sk-or-v1-CANARYKEY00000000"


@pytest.fixture
def at(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """A simulator that the environment names, with a key."""
    monkeypatch.setenv("OPENROUTER_BASE_URL", sim.base_url)
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    return sim


class Ran(NamedTuple):
    """What a command did.

    :ivar status: its exit status.
    :ivar out: what it wrote on stdout.
    :ivar err: what it wrote on stderr.
    """

    status: int
    out: str
    err: str


class Commands:
    """Runs commands in this process, as ``orfallback`` would."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: str, stdin: str | bytes = "") -> Ran:
        """Run one to its end.

        :param arguments: those of the command line.
        :param stdin: what stands on its standard input.
        """
        given = stdin.encode() if isinstance(stdin, str) else stdin
        self._monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
        status = cli.run(arguments)
        return Ran(status, *self._capsys.readouterr())


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Runs commands, without colour."""
    monkeypatch.setenv("NO_COLOR", "1")
    return Commands(capsys, monkeypatch)
