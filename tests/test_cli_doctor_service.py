"""``orfallback doctor``: what an endpoint tells of models and key, right and wrong."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from doctors import Doctor, states
from hypothesis import given
from hypothesis import strategies as st

from conftest import KEY, Commands
from orfallback import Outcome
from orfallback.cli._doctor._finding import Finding
from orfallback.cli._doctor._key import key_told
from orfallback.cli._doctor._service import models_of
from orfallback.cli._doctor._versions import meets
from orfallback.cli._service import key_of, listed
from orfallback.cli._settings import Settings
from orfallback.testing import Behaviour, Simulator, redirect, reply, reset, status

NOW = datetime(2026, 11, 1, 12, tzinfo=timezone.utc)
PAGE = "<!doctype html><title>Welcome</title>"
SETTINGS = Settings({"OPENROUTER_BASE_URL": "http://127.0.0.1:1/v1", "ORFALLBACK_MODELS": "a/b,c/d:nitro"})


@pytest.fixture
def doctor(command: Commands) -> Doctor:
    """A doctor."""
    return Doctor(command)


def on(days: float) -> str:
    """The day so many days from now, as services write it."""
    return (datetime.now(timezone.utc) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


# -- the endpoint --


@pytest.mark.parametrize(
    ("behaviour", "words", "mend"),
    [
        pytest.param(status(404, message="Not Found"), "no chat API", "https://openrouter.ai/api/v1", id="404"),
        pytest.param(status(404, {"error": "unknown route"}), "no chat API", "without /chat", id="404 in other words"),
        pytest.param(reply(PAGE, content_type="text/html"), "a web page came", "without /chat", id="a page"),
        pytest.param(redirect(302, "http://model.example/"), "points elsewhere (302)", "key would go", id="a redirect"),
        pytest.param(status(502, message="down"), "502 busy: down", "ask whoever runs", id="busy"),
        pytest.param(reset("body"), "GET /models: connection: closed by the server", "ask whoever runs", id="a reset"),
        pytest.param(reply("half a ["), "not JSON", "ask whoever runs", id="no JSON"),
        pytest.param(status(401, message=f"no {KEY}"), "refused the key …0000", "whole", id="a key refused"),
        pytest.param(reply({"error": {"code": 401, "message": "no"}}), "refused the key", "whole", id="refused in 200"),
    ],
)
def test_an_endpoint_that_lists_no_models(
    behaviour: Behaviour, words: str, mend: str, at: Simulator, doctor: Doctor
) -> None:
    """What came instead is one problem with its mend; a server that is merely in trouble is asked for the key."""
    at.script("GET /models", behaviour)
    at.script("POST /chat/completions", status(404, message="Not Found"))
    found = doctor()
    assert states(found)["endpoint"] == "problem"
    assert words in found["endpoint"][0][1]
    assert mend in found["endpoint"][0][2]
    assert states(found)["models"] == "skipped"
    assert (states(found)["account"] == "skipped") is ("busy" not in words)


def test_an_endpoint_without_a_list_is_no_problem(at: Simulator, doctor: Doctor) -> None:
    """A server that chats and does not list its models is told as such, by a request that costs nothing."""
    at.script("GET /models", status(404, message="Not Found"))
    at.script("POST /chat/completions", status(400, message="Input required"))
    found = doctor()
    assert states(found)["endpoint"] == "note"
    assert "does not list its models" in found["endpoint"][0][1]
    assert states(found)["models"] == "skipped"
    assert states(found)["account"] == "ok"


@pytest.mark.parametrize("body", [{}, {"data": None}, {"object": "list", "data": "none"}])
def test_json_that_is_no_list(body: Any, at: Simulator, doctor: Doctor) -> None:
    """An endpoint that answers without a list is a note; the key is looked at all the same."""
    at.script("GET /models", reply(body))
    found = doctor()
    assert states(found)["endpoint"] == "note"
    assert states(found)["account"] == "ok"
    assert found["models"] == [("skipped", "no list of models came", "")]


@pytest.mark.parametrize(("seconds", "words"), [(-600, "ahead of"), (600, "behind"), (30, "")])
def test_the_clock(seconds: int, words: str, at: Simulator, doctor: Doctor) -> None:
    """A clock that differs by more than a minute from the server's is a note."""
    date = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=seconds), usegmt=True)
    at.script("GET /models", reply({"data": []}, headers={"Date": date}))
    found = doctor()
    assert ("clock" in found) is bool(words)
    assert words in found.get("clock", [("", "", "")])[0][1]


# -- the models --


def test_an_unknown_model(at: Simulator, doctor: Doctor) -> None:
    """A model that is not listed is a problem with the closest names; one behind a shortcut is known."""
    found = doctor("-m", "mistralai/mistral-nemo:nitro", "-m", "mistral/pixtral-12", "-m", "x/unheard-of")
    assert [state for state, _, _ in found["model"]] == ["ok", "problem", "problem"]
    assert found["model"][0][1] == "mistralai/mistral-nemo:nitro is served, as mistralai/mistral-nemo"
    assert found["model"][1][2].startswith("The closest: mistralai/pixtral-12b")
    assert "models" not in found


def test_the_default_chain_is_outdated(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where models of the default chain are gone, it is said that it is the default chain, and how to name others."""
    with Simulator(models=["mistralai/mistral-nemo"]) as sim:
        monkeypatch.setenv("OPENROUTER_BASE_URL", sim.base_url)
        found = doctor()
    assert [state for state, _, _ in found["model"]] == ["ok", "problem", "problem", "problem"]
    ((state, told, mend),) = found["models"]
    assert (state, "default chain" in told, "ORFALLBACK_MODELS" in mend) == ("note", True, True)


def test_retirement(doctor: Doctor) -> None:
    """A model that is to be retired is a note with the date and the days left; one that was retired is a problem."""
    dates = {"a/soon": on(12.5), "a/now": on(0.5), "a/gone": on(-1), "a/odd": "in autumn", "a/ever": None}
    with Simulator(models=[{"id": id_, "expiration_date": date} for id_, date in dates.items()]) as sim:
        found = doctor("--base-url", sim.base_url, *(f"-m{id_}" for id_ in dates))["model"]
    assert [state for state, _, _ in found] == ["note", "note", "problem", "ok", "ok"]
    assert found[0][1] == f"a/soon is to be retired on {on(12.5)[:10]}, in 12 days"
    assert found[1][1].endswith("within a day")
    assert found[2][1] == f"a/gone was retired on {on(-1)[:10]}"


def test_a_tag_that_is_left_out(doctor: Doctor) -> None:
    """A model that the server lists with the tag "latest" is known without it, as Ollama has it."""
    with Simulator(models=["llama3.2:latest"]) as sim:
        assert doctor("--base-url", sim.base_url, "-m", "llama3.2")["model"][0][0] == "ok"


# -- the key --


def test_a_key_that_is_refused(at: Simulator, doctor: Doctor) -> None:
    """A key that is refused is a problem that names its variable."""
    at.script("GET /key", status(401, message="User not found."))
    ((state, found, _),) = doctor()["account"]
    assert state == "problem"
    assert found.endswith("refused the key …0000 of OPENROUTER_API_KEY: User not found.")


@pytest.mark.parametrize("behaviour", [status(404), status(500), reply(PAGE), reply({"data": []}), reset("body")])
def test_an_endpoint_that_tells_nothing_of_keys(behaviour: Behaviour, at: Simulator, doctor: Doctor) -> None:
    """Away from OpenRouter nothing follows from an endpoint that does not know the question."""
    at.script("GET /key", behaviour)
    ((state, found, _),) = doctor()["account"]
    assert (state, "does not tell of keys" in found) == ("ok", True)


def test_no_key_elsewhere(sim: Simulator, doctor: Doctor) -> None:
    """Away from OpenRouter a key that is missing is a note, and nothing is asked about it."""
    found = doctor("--base-url", sim.base_url)
    assert states(found)["key"] == "note"
    assert found["account"] == [("skipped", "there is no key to ask about", "")]
    assert [request.path for request in sim.requests] == ["/api/v1/models"]


@pytest.mark.parametrize(
    ("told", "subject", "state", "words"),
    [
        ({"limit": 10, "limit_remaining": 0}, "credit", "problem", "nothing is left: $0.00 of $10.00 left"),
        ({"limit": 10, "limit_remaining": -1.5}, "credit", "problem", "-$1.50 of $10.00"),
        ({"limit": 10, "limit_remaining": "0.5", "limit_reset": "monthly"}, "credit", "note", "only $0.50 of $10.00"),
        (
            {"limit": 10, "limit_remaining": 5, "limit_reset": "monthly"},
            "credit",
            "ok",
            "$5.00 of $10.00 left, reset m",
        ),
        ({"limit": None, "limit_remaining": None, "usage": 0.004}, "credit", "ok", "$0.0040 used"),
        ({"limit_remaining": 1e300}, "credit", "ok", "$1e+300 left"),
        ({"limit": "10", "limit_remaining": "plenty"}, "credit", "ok", "the key's limit is $10.00"),
        ({"limit": 10**400, "limit_remaining": 5}, "credit", "ok", "$5.00 left"),
        ({"is_free_tier": True}, "account", "ok", "free tier"),
        ({"expires_at": on(-2)}, "expiry", "problem", "expired on"),
        ({"expires_at": on(3.5)}, "expiry", "note", "in 3 days"),
        ({"expires_at": on(1.5)}, "expiry", "note", "in 1 day"),
        ({"expires_at": on(30.5)}, "expiry", "ok", "in 30 days"),
        ({"free_model_daily_requests": {"limit": 50, "used": 60}}, "free requests", "note", "0 of 50"),
        ({"free_model_daily_requests": {"limit": 50, "remaining": 30}}, "free requests", "ok", "30 of 50"),
    ],
)
def test_what_is_told_of_the_key(
    told: dict[str, Any], subject: str, state: str, words: str, at: Simulator, doctor: Doctor
) -> None:
    """Credit, expiry and free requests are problems when they are used up, notes when they nearly are."""
    at.script("GET /key", reply({"data": told}))
    found = doctor()[subject][0]
    assert found[0] == state
    assert words in found[1]


def test_terminal_codes_from_outside(at: Simulator, command: Commands) -> None:
    """What a server says cannot change what a terminal shows."""
    at.script("GET /models", reply(json.dumps({"data": [{"id": "a/b\x1b[2Jx\u202e\ud800"}]})))
    at.script("GET /key", status(401, message="\x1b]0;gotcha\x07no"))
    done = command("doctor", "-m", "a/bx")
    assert done.status == 1
    assert not any(character in done.out for character in "\x1b\x07\u202e\ud800")
    assert "The closest: a/b" in done.out


# -- nonsense --


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
DATES = st.datetimes().map(datetime.isoformat) | st.sampled_from(
    ["9999-12-31T23:59:59-23:59", "0001-01-01", "soon", ""]
)
NUMBERS = st.sampled_from([10**400, -(10**400), "1e999", "nan", "1_0", "٣"])
JSON = st.recursive(
    SCALARS | DATES | NUMBERS, lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(), each, max_size=3)
)
FREE = st.fixed_dictionaries({}, optional=dict.fromkeys(("limit", "used", "remaining"), JSON))
FIELDS = ("limit", "limit_remaining", "limit_reset", "usage", "is_free_tier", "expires_at", "free_model_daily_requests")
TOLD = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON | FREE))
LISTED = st.lists(st.fixed_dictionaries({}, optional={"id": JSON | st.just("a/b"), "expiration_date": JSON}) | JSON)


def fit(findings: list[Finding]) -> bool:
    """Tell whether findings can be shown."""
    return all(isinstance(text, str) for finding in findings for text in finding)


@given(JSON | st.fixed_dictionaries({"data": JSON | TOLD}))
def test_any_json_about_a_key(body: Any) -> None:
    """Whatever an endpoint tells of a key, findings come of it."""
    told = key_of(Outcome(status=200, body=body, value=body))
    assert told is None or fit(key_told(told, SETTINGS, NOW))


@given(JSON | st.fixed_dictionaries({"data": JSON | LISTED}))
def test_any_json_about_models(body: Any) -> None:
    """Whatever an endpoint tells of models, there is a finding for each model of the chain."""
    models = listed(Outcome(status=200, body=body, value=body))
    findings = [] if models is None else models_of(SETTINGS, models, NOW)
    assert fit(findings)
    assert models is None or len(findings) == 2


@pytest.mark.parametrize(
    ("version", "demands", "good"),
    [
        ("2.6.3", ">=2.6.3,<3", True),
        ("2.6.3.post1", "<3,>=2.6.3", True),
        ("2.10", ">=2.6.3,<3", True),
        ("2.6.2", ">=2.6.3,<3", False),
        ("3.0.0", ">=2.6.3,<3", False),
        ("1.8", ">=1.8.0", True),
        ("missing", ">=1", False),
        ("2!1", "~=9", True),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, demands: str, good: bool) -> None:
    """A version is held against the demands number by number, not letter by letter."""
    assert meets(version, demands) is good
