"""One chain, many threads: everybody gets the answer to their own question, over a connection of their own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hosting import BUSY, GOOD, echo, half_busy

from orfallback import Chain
from orfallback.testing import Simulator

KEY = "sk-test-0000000000000000"
THREADS = 64
CALLS = 50


def together(count: int, work: Callable[[int], None]) -> list[BaseException]:
    """Let so many threads work at once, and return what they died of."""
    start = threading.Barrier(count)
    died: list[BaseException] = []

    def run(number: int) -> None:
        start.wait(30)
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - the test judges it
            died.append(error)

    threads = [threading.Thread(target=run, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return died


def test_64_threads_share_a_chain(caplog: pytest.LogCaptureFixture) -> None:
    """Of 64 threads none gets another's answer, and none waits for, throws away or needs a second connection."""
    caplog.set_level(logging.ERROR, "orfallback")
    wrong: list[tuple[str, str, str]] = []
    # What 3,200 requests bring is not kept.
    options: dict[str, Any] = {"api_key": KEY, "delay": 0, "cooldown": None}
    with Simulator(remember=False) as sim, Chain([BUSY, GOOD], base_url=sim.base_url, **options) as chain:
        sim.script(BUSY, half_busy)
        sim.default(echo)

        def ask(thread: int) -> None:
            for call in range(CALLS):
                question = f"thread {thread} asks {call}"
                # Half of either kind falls back.
                streams = call // 2 % 2 == 0
                got = chain.stream(question).read() if streams else chain.complete(question)
                if (got.text, got.requested_model) != (question, GOOD if call % 2 == 0 else BUSY):
                    wrong.append((question, got.requested_model, got.text))

        died = together(THREADS, ask)
        assert (died, wrong) == ([], [])
        assert sim.connections <= THREADS
    assert [record.getMessage() for record in caplog.records if record.name.startswith("urllib3")] == []


def test_the_first_call_in_many_threads_at_once(sim: Simulator) -> None:
    """Threads that use a new chain for the first time at once make one session, whose connections they share."""
    sim.default(echo)
    for _ in range(10):
        with Chain(GOOD, api_key=KEY, base_url=sim.base_url) as chain:
            assert together(8, partial(_ask, chain)) == []
            before = sim.connections
            assert together(8, partial(_ask, chain)) == []
            assert sim.connections <= before + 8
        assert sim.wait_idle()


def _ask(chain: Chain, number: int) -> None:
    assert chain.complete(f"thread {number} asks").text == f"thread {number} asks"


def test_a_chain_that_is_closed_while_threads_ask(sim: Simulator) -> None:
    """``close()`` in one thread does not disturb the calls of the others, and leaves no connection behind."""
    sim.default(echo)
    chain = Chain(GOOD, api_key=KEY, base_url=sim.base_url)

    def work(number: int) -> None:
        for _ in range(20):
            if number:
                _ask(chain, number)
            else:
                chain.close()

    assert together(8, work) == []
    chain.close()
    assert sim.wait_idle()


def test_a_thread_that_dies_in_a_call(sim: Simulator) -> None:
    """A thread that dies in the middle of a call takes its own connection along, and nobody else's answer."""
    sim.default(echo)
    chain = Chain(GOOD, api_key=KEY, base_url=sim.base_url)

    class Deadly:
        def orfallback_classify(self, call: object, outcome: object) -> None:
            if threading.current_thread().name == "doomed":
                raise SystemExit

    chain.register(Deadly())

    def work(number: int) -> None:
        if number == 0:
            threading.current_thread().name = "doomed"
        for _ in range(10):
            _ask(chain, number)

    assert [type(error) for error in together(8, work)] == [SystemExit]
    chain.close()
    assert sim.wait_idle()
