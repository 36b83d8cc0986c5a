"""What an endpoint tells of itself: looked up by GET, with every wait bounded."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orfallback import Fault, Outcome
from orfallback._secret import Secret
from orfallback._service import Service
from orfallback.cli._service import Model, closest, find, key_of, listed
from orfallback.testing import Simulator, drip, reply, silence, status

KEY = "sk-or-v1-CANARYKEY00000000"


def test_the_models_that_are_listed(sim: Simulator) -> None:
    """``GET /models`` is asked with the key, and without a body; the models come with the day that ends them."""
    told = [{"id": "a/a", "expiration_date": "2026-12-01"}, {"id": "b/b", "expiration_date": "2026-02-30"}]
    sim.script("GET /models", reply({"data": [*told, {"id": "c/c"}, {}, 7]}))
    with Service(sim.base_url, Secret(KEY)) as service:
        found = listed(service.get("/models"))
    # No calendar has the other day.
    assert found == (
        Model("a/a", datetime(2026, 12, 1, tzinfo=timezone.utc)), Model("b/b", None), Model("c/c", None),
    )  # fmt: skip
    (got,) = sim.requests
    assert (got.method, got.path, got.raw, got.authorized) == ("GET", "/api/v1/models", b"", True)
    assert "content-type" not in got.headers


def test_one_connection_serves_all(sim: Simulator) -> None:
    """Looking several things up takes one connection, and leaves none behind."""
    with Service(sim.base_url, None) as service:
        service.get("/models")
        service.get("/key")
    assert sim.connections == 1
    assert sim.wait_idle()


@pytest.mark.parametrize("behaviour", [silence(), drip("headers"), drip("body"), silence("body")])
def test_every_wait_is_bounded(behaviour: Any, sim: Simulator) -> None:
    """A server that keeps one waiting is given up within the patience."""
    sim.script("GET /models", behaviour)
    with Service(sim.base_url, None, 0.2) as service:
        outcome = service.get("/models")
    assert outcome.fault is Fault.TIMEOUT
    assert listed(outcome) is None
    assert sim.wait_idle()


def test_a_refusal_holds_no_key(sim: Simulator) -> None:
    """A refusal that sends the key back does not bring it into the outcome."""
    sim.script("GET /key", status(401, message=f"no such key: {KEY}"))
    with Service(sim.base_url, Secret(KEY)) as service:
        outcome = service.get("/key")
    assert key_of(outcome) is None
    assert "CANARYKEY" not in f"{outcome.message} {outcome.body} {outcome.content!r}"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["data", "id", "expiration_date", "x"]), inner),
    max_leaves=10,
)


@given(body=ANYTHING)
def test_nonsense_is_no_list(body: Any) -> None:
    """Whatever JSON comes, it is a list of models, or none; never an exception."""
    outcome = Outcome(status=200, body=body, value=body)
    for model in listed(outcome) or ():
        assert isinstance(model.id, str)
    assert key_of(outcome) is None or isinstance(key_of(outcome), dict)


MODELS = [Model(name, None) for name in ("mistralai/mistral-nemo", "mistralai/pixtral-12b", "qwen/qwen-2.5-72b")]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("mistralai/mistral-nmeo", "mistralai/mistral-nemo"),
        ("mistral-nemo", "mistralai/mistral-nemo"),
        ("Mistralai/Mistral-Nemo", "mistralai/mistral-nemo"),
        ("openai/pixtral-12b", "mistralai/pixtral-12b"),
        ("nothing/like-it-xyz", None),
    ],
)
def test_the_closest_names(asked: str, found: str | None) -> None:
    """Slips of the finger, a missing vendor and a wrong one lead to the name that was meant."""
    names = closest(asked, MODELS)
    assert (names[0] if names else None) == found


def test_shortcuts_are_known_by_their_model() -> None:
    """A shortcut such as ``:nitro`` is not listed, and is served all the same; ``:free`` is a model of its own."""
    assert find("mistralai/mistral-nemo:nitro", MODELS) == MODELS[0]
    assert find("mistralai/mistral-nemo:free", MODELS) is None
    assert find("mistralai/mistral-nemo", MODELS) == MODELS[0]
