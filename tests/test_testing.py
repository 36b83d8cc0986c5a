"""What the library gives to the tests of applications."""

from __future__ import annotations

import subprocess
import sys

from orfallback import Chain
from orfallback.testing import FakeClock, Recorder, Simulator, answer, no_delay, status

KEY = "sk-test-0000000000000000"


def test_the_fixture_is_a_running_simulator(orfallback_simulator: Simulator) -> None:
    """``orfallback_simulator`` comes with the installed library, and is ready to be asked."""
    orfallback_simulator.script("a/a", answer("Hi"))
    with Chain("a/a", api_key=KEY, base_url=orfallback_simulator.base_url) as chain:
        assert chain.complete("hi").text == "Hi"
    assert orfallback_simulator.models_asked == ["a/a"]


def test_the_plugin_loads_nothing_of_ours() -> None:
    """pytest's start is not slowed: the plugin loads neither the simulator nor requests before the fixture is used."""
    ours = "sorted(m for m in sys.modules if m.split('.')[0] == 'orfallback')"
    code = f"import sys, orfallback.testing._pytest; print({ours}); print('requests' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split("\n")
    assert told[0] == str(["orfallback", "orfallback.testing", "orfallback.testing._pytest"])
    assert told[1] == "False"


def test_a_fake_clock_waits_for_nobody(sim: Simulator) -> None:
    """Waits are remembered, and move the fake time on; ``advance`` does so by hand."""
    clock = FakeClock(5.0)
    sim.script("a/a", status(502))
    with Chain(["a/a", "b/b"], api_key=KEY, base_url=sim.base_url, clock=clock) as chain:
        assert chain.complete("hi").attempts[1].waited == 2.0
    assert (clock.sleeps, clock.monotonic(), clock.time()) == ([2.0], 7.0, 7.0)
    clock.advance(3.0)
    assert clock.monotonic() == 10.0


def test_no_delay(sim: Simulator) -> None:
    """``delay=no_delay`` asks the next model at once."""
    sim.script("a/a", status(502))
    with Chain(["a/a", "b/b"], api_key=KEY, base_url=sim.base_url, delay=no_delay) as chain:
        assert chain.complete("hi").attempts[1].waited == 0.0


def test_a_recorder_sees_every_hook_in_order(sim: Simulator) -> None:
    """A recorder remembers each watching hook with its facts."""
    recorder = Recorder()
    sim.script("a/a", status(502))
    with Chain(["a/a", "b/b"], api_key=KEY, base_url=sim.base_url, delay=0, plugins=[recorder]) as chain:
        chain.stream("hi").read()
    assert recorder.hooks == [
        "call_started",
        "attempt_started",
        "attempt_finished",
        "falling_back",
        "attempt_started",
        "committed",
        "attempt_finished",
        "call_finished",
    ]
    assert recorder.seen[3].facts["target"].model == "b/b"
    assert recorder.seen[3].facts["wait"] == 0
