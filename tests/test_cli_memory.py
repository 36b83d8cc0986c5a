"""What the command line shows of targets that rest, and of the store that is shared."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from doctors import Doctor

from conftest import Commands
from orfallback import Chain
from orfallback.testing import Simulator, answer, status


@pytest.fixture
def doctor(command: Commands) -> Doctor:
    """Runs the doctor."""
    return Doctor(command)


RESTS = r"a/busy rests for (30|29(\.\d)?|2\d) s, until \d\d:\d\d:\d\d"


@pytest.fixture
def shared(at: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """A chain of the environment whose first model was found busy by another process of this host."""
    monkeypatch.setenv("ORFALLBACK_MODELS", "a/busy,b/good")
    monkeypatch.setenv("ORFALLBACK_DELAY", "0")
    monkeypatch.setenv("ORFALLBACK_STORE", f"sqlite://{tmp_path / 'store'}?timeout=5")
    at.script("a/busy", status(502))
    with Chain.from_env() as chain:
        chain.complete("hi")
    at.script("a/busy", answer("Well again"))
    return at


def test_check_shows_what_rests(shared: Simulator, command: Commands) -> None:
    """A model that rests is named, with the time until which it does, and the chain would use the next one."""
    done = command("check")
    assert done.status == 0
    told = " ".join(done.err.split())
    assert re.search(RESTS, told)
    assert "The chain would use b/good." in told


def test_check_says_it_in_json(shared: Simulator, command: Commands) -> None:
    """JSON has the seconds for each model that rests, and null for the others."""
    printed = json.loads(command("check", "--json").out)
    first, second = printed["models"]
    assert 0 < first["rests"] <= 30
    assert second["rests"] is None
    assert printed["would_use"] == "b/good"


def test_check_asks_what_rests_all_the_same(shared: Simulator, command: Commands) -> None:
    """A check asks every model, and lets none rest, nor takes a rest off."""
    before = len(shared.requests)
    shared.script("b/good", status(502))
    assert command("check").status == 0
    assert sorted(shared.models_asked[before:]) == ["a/busy", "b/good"]
    with Chain.from_env() as chain:
        assert [health.resting > 0 for health in chain.health.snapshot()] == [True, False]


def test_doctor_shows_what_rests(shared: Simulator, doctor: Doctor) -> None:
    """The doctor tells of a shared store which models rest, and until when."""
    ((state, found, _),) = doctor("--offline")["memory"]
    assert state == "note"
    assert re.fullmatch(RESTS, found)


def test_doctor_looks_at_the_store(shared: Simulator, doctor: Doctor) -> None:
    """A shared store that answers, with nobody at rest, is well."""
    with Chain.from_env() as chain:
        chain.health.release("a/busy")
    assert doctor("--offline")["memory"] == [("ok", "the shared store answers; none of the models rests", "")]


def test_doctor_finds_a_store_that_is_down(at: Simulator, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that cannot be reached is told of, without its password, as what costs no call."""
    monkeypatch.setenv("ORFALLBACK_STORE", "redis://me:CANARY@127.0.0.1:9/0")
    ((state, found, mend),) = doctor("--offline")["memory"]
    assert (state, "CANARY" in found) == ("note", False)
    assert found.startswith("the store of ORFALLBACK_STORE cannot be reached: ")
    assert "no call fails" in mend


def test_doctor_without_a_store(at: Simulator, doctor: Doctor) -> None:
    """Where nothing is shared there is nothing to tell."""
    assert "memory" not in doctor("--offline")


@pytest.mark.parametrize("value", ["nonsense://CANARY", "sqlite:relative", "redis://h/0?timeout=soon"])
def test_a_store_that_is_none(
    value: str, at: Simulator, doctor: Doctor, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that names no store is a mistake in the set-up, told by its name and without its value."""
    monkeypatch.setenv("ORFALLBACK_STORE", value)
    done = command("chat", "hi")
    assert (done.status, "ORFALLBACK_STORE" in done.err, "CANARY" in done.err) == (3, True, False)
    found = [each for each in doctor("--offline")["configuration"] if each[0] == "problem"]
    assert len(found) == 1
    assert "ORFALLBACK_STORE" in found[0][1]
    assert "CANARY" not in str(found)
