"""What watching costs: nothing for each event, and nothing in pluggy where nobody watches."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pluggy
import pytest

from orfallback import Chain
from orfallback._plugins import Hooks
from orfallback.testing import FakeClock, Simulator, answer


class Watching:
    """Implements every watching hook."""

    def orfallback_call_started(self) -> None:
        """Do nothing."""

    def orfallback_attempt_started(self) -> None:
        """Do nothing."""

    def orfallback_committed(self) -> None:
        """Do nothing."""

    def orfallback_attempt_finished(self) -> None:
        """Do nothing."""

    def orfallback_call_finished(self) -> None:
        """Do nothing."""


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often anything goes through the hooks, and how often through pluggy."""
    counts: Counter[str] = Counter()

    def counting(owner: type, name: str, label: str) -> None:
        original = getattr(owner, name)

        def count(*args: Any, **kwargs: Any) -> Any:
            counts[label] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, count)

    counting(Hooks, "notify", "hooks")
    counting(Hooks, "ask", "hooks")
    counting(pluggy.HookCaller, "__call__", "pluggy")
    counting(pluggy.PluginManager, "_hookexec", "pluggy")
    return counts


@pytest.mark.parametrize("plugins", [[], [Watching()]], ids=["nobody watches", "somebody watches"])
def test_an_event_costs_no_hook(plugins: list[object], sim: Simulator, clock: FakeClock, counted: Counter[str]) -> None:
    """A stream of 600 events goes through the hooks as often as one of three, and through pluggy not at all."""
    chain = Chain(["a"], api_key="sk-test", base_url=sim.base_url, clock=clock, plugins=plugins)
    chain.complete("Hi")
    seen = []
    for words in (3, 600):
        sim.script("a", answer(" ".join(["word"] * words)))
        counted.clear()
        assert len(list(chain.stream("Hi").iter_text())) >= words
        seen.append(dict(counted))
    assert seen[0] == seen[1]
    assert "pluggy" not in seen[0]


def test_a_whole_answer_needs_no_pluggy(sim: Simulator, clock: FakeClock, counted: Counter[str]) -> None:
    """A whole answer of a chain with its own plugins alone does not go through pluggy."""
    chain = Chain(["a"], api_key="sk-test", base_url=sim.base_url, clock=clock)
    chain.complete("Hi")
    counted.clear()
    chain.complete("Hi")
    assert 0 < counted["hooks"] < 10
    assert "pluggy" not in counted
