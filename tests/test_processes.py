"""Processes: a warm chain carried over a fork, and interpreters that end in the middle of something."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest
from hosting import BUSY, asked, echo, found, half_busy, run

from orfallback.testing import Gate, Received, Simulator, Step, answer


@pytest.fixture
def echoing(sim: Simulator) -> Simulator:
    """A model that is busy now and then, and one that says what it was asked."""
    sim.script(BUSY, half_busy)
    sim.default(echo)
    return sim


def sharers(sim: Simulator) -> list[set[str]]:
    """Return, for each connection that more than one process used, who they were."""
    users = defaultdict(set)
    for request in sim.requests:
        who = asked(request).split()[0]
        users[request.connection].add("parent" if who == "before" else who)
    return [names for names in users.values() if len(names) > 1]


def test_a_warm_chain_over_a_fork(echoing: Simulator) -> None:
    """Parent and child ask 60 times each at once, and neither gets a reply to the other, nor uses its connection."""
    assert found("forking.py", "warm", echoing.base_url) == [0, 0, 0]
    assert sharers(echoing) == []


def test_a_chain_in_use_loads_nothing(echoing: Simulator) -> None:
    """A fork in the middle of an import would leave its lock held in the child: all is there before the first call."""
    assert found("forking.py", "loading", echoing.base_url) == [[], []]


def test_a_family_of_four(echoing: Simulator) -> None:
    """Children and a grandchild each keep to connections of their own."""
    assert found("forking.py", "family", echoing.base_url) == [0, [0, [0, 0, 0]], [0, 0]]
    assert sharers(echoing) == []


def test_a_fork_in_the_middle_of_a_stream(echoing: Simulator) -> None:
    """A child that reads on gets an error, can ask for itself, and takes nothing of the stream from its parent."""
    gate = Gate()

    def open_gate(received: Received) -> Iterator[Step]:
        if asked(received) == "open":
            gate.open(99)
        return answer(asked(received), gate=gate if asked(received).startswith("parent") else None)(received)

    gate.open(1)
    echoing.script(BUSY, open_gate)
    refused = ["StreamConsumedError"] * 3
    assert found("forking.py", "stream", echoing.base_url) == ["parent ", "reads all of it", 0, [refused, 0]]


def test_a_child_that_closes_the_chain(echoing: Simulator) -> None:
    """A child's ``close()`` leaves its parent's connection alone: the parent goes on over the same one."""
    assert found("forking.py", "close", echoing.base_url) == [0, 0, None]
    assert echoing.connections == 1


def test_locks_held_at_the_fork(echoing: Simulator) -> None:
    """A lock that another thread held at the fork holds up no child, and the parent loses nothing."""
    refused = "StreamConsumedError"
    assert found("forking.py", "locks", echoing.base_url) == ["one two three", 0, [refused, 0]]


def test_a_fork_among_busy_threads(echoing: Simulator) -> None:
    """A thread forks while others ask, and neither they nor its children get a wrong answer."""
    assert found("forking.py", "threads", echoing.base_url) == [0, [[0, 0]] * 5]


def test_a_pool_of_forked_workers(echoing: Simulator) -> None:
    """The workers of a pool use the warm chain that they inherited."""
    assert found("forking.py", "pool", echoing.base_url) == [0] * 10


def test_a_spawned_process(echoing: Simulator) -> None:
    """A spawned process makes its own chain; one that is sent to it refuses, for it holds a key."""
    assert found("forking.py", "spawn", echoing.base_url) == [[0], "TypeError"]


@pytest.mark.parametrize("flags", [(), ("-W", "error", "-X", "dev")], ids=["plain", "warnings as errors"])
@pytest.mark.parametrize("situation", ["idle", "stream", "text", "cycle", "error", "asking", "reading"])
def test_the_end_of_the_interpreter(situation: str, flags: tuple[str, ...], echoing: Simulator) -> None:
    """Open streams, kept connections and threads in mid-call neither hold the end up nor add a word to it."""
    echoing.script(BUSY, lambda received: echo(received) if asked(received) == "stall" else SLOW(received))
    ran = run("leaving.py", situation, echoing.base_url, flags=flags)
    assert (ran.returncode, ran.stdout, ran.stderr) == (3 if situation == "error" else 0, "", "")
    assert echoing.wait_idle()


SLOW = answer(pieces=["one ", "two "] * 50, pace=0.05)
