"""The plugin's own tests: over the simulator, on a clock that waits for nobody. They want the package installed."""

from __future__ import annotations

import logging

import pytest
from orfallback_example import SlowCalls

from orfallback import Chain, ChainExhausted, StreamInterrupted
from orfallback.testing import FakeClock, Simulator, answer, cut, status


@pytest.fixture(autouse=True)
def _everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "orfallback_example")


@pytest.fixture
def clock() -> FakeClock:
    """The clock of the chain, which waits for nobody."""
    return FakeClock()


@pytest.fixture
def chain(orfallback_simulator: Simulator, clock: FakeClock) -> Chain:
    """A chain of two models with the plugin; two seconds are slow, and the wait after a failure is as long."""
    return Chain(
        ["vendor/first", "vendor/second"],
        api_key="sk-test",
        base_url=orfallback_simulator.base_url,
        clock=clock,
        plugins=[SlowCalls(2.0)],
    )


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return level and text of what the plugin logged."""
    return [(each.levelname, each.getMessage()) for each in caplog.records if each.name == "orfallback_example"]


def test_a_quick_answer(chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    """A call that was answered at once is one line at INFO, with its tenant."""
    chain.complete("Hello", context={"tenant": "acme"})
    assert told(caplog) == [("INFO", "call for acme: answered after 0.00 s (vendor/first answered)")]


def test_a_fallback_that_took_long(
    chain: Chain, orfallback_simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """A call that waited before it fell back was slow; the line says why, and programs find the facts in the record."""
    orfallback_simulator.script("vendor/first", status(502, message="Try later"))
    chain.complete("Hello", context={"tenant": "acme"})
    attempts = "vendor/first 502 busy: Try later; vendor/second answered"
    assert told(caplog) == [("WARNING", f"slow call for acme: answered after 2.00 s ({attempts})")]
    (record,) = [each for each in caplog.records if each.name == "orfallback_example"]
    facts = {name: vars(record)[name] for name in ("tenant", "ending", "seconds")}
    assert facts == {"tenant": "acme", "ending": "answered", "seconds": 2.0}


def test_the_reader_of_a_stream_may_take_its_time(
    chain: Chain, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A stream is measured to its first word, however long it is read."""
    with chain.stream("Hello") as stream:
        next(stream)
        clock.advance(60.0)
        stream.read()
    assert told(caplog) == [("INFO", "call for nobody: answered after 0.00 s (vendor/first answered)")]


def test_what_gets_no_whole_answer(
    chain: Chain, orfallback_simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """A stream that breaks, and a call that nobody answers, are warnings, quick or not."""
    orfallback_simulator.script("vendor/first", cut("content"), answer())
    with pytest.raises(StreamInterrupted):
        chain.stream("Hello").read()
    orfallback_simulator.default(status(404))
    orfallback_simulator.script("vendor/first", status(404))
    with pytest.raises(ChainExhausted):
        chain.complete("Hello")
    assert [(level, text.partition(" after")[0]) for level, text in told(caplog)] == [
        ("WARNING", "call for nobody: broken"),
        ("WARNING", "call for nobody: failed"),
    ]


def test_a_tenant_that_would_forge_a_line(chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    """What the host says is one line, and not a long one."""
    chain.complete("Hello", context={"tenant": "acme\nERROR all is lost" + "!" * 1_000})
    ((_, text),) = told(caplog)
    assert text.startswith("call for acme?ERROR all is lost!")
    assert len(text) < 250


def test_options_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be meant is refused when the plugin is made, not in a call."""
    monkeypatch.setenv("SLOW_CALLS_SECONDS", "soon")
    with pytest.raises(ValueError, match="SLOW_CALLS_SECONDS is a number of seconds, not 'soon'"):
        SlowCalls()
    with pytest.raises(ValueError, match="not negative"):
        SlowCalls(-1.0)


def test_it_is_loaded_by_its_name(orfallback_simulator: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    """Installed, it needs no code in the host."""
    environ = {
        "OPENROUTER_API_KEY": "sk-test",
        "OPENROUTER_BASE_URL": orfallback_simulator.base_url,
        "ORFALLBACK_PLUGINS": "slow-calls",
    }
    Chain.from_env(environ).complete("Hello", context={"tenant": "acme"})
    assert [level for level, _ in told(caplog)] == ["INFO"]
