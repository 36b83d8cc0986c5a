"""The pytest plugin: a fixture for the tests of applications. It loads the simulator when the fixture is first used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from orfallback.testing import Simulator


@pytest.fixture
def orfallback_simulator() -> Iterator[Simulator]:
    """A loopback OpenRouter, running; its ``base_url`` is what a chain is pointed at."""
    from orfallback.testing import Simulator

    with Simulator() as simulator:
        yield simulator
