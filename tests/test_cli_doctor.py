"""``orfallback doctor``: what it finds wrong, and how it says so."""

from __future__ import annotations

import importlib.metadata
import os
import socket
import sys
from pathlib import Path

import pytest
from doctors import Doctor, states
from terminal import Terminal, in_terminal

from conftest import KEY, Commands
from orfallback import DEFAULT_MODELS
from orfallback.cli._doctor._setup import set_up
from orfallback.testing import Simulator, silence, status

BROKEN = "raise ZeroDivisionError('by nothing')\n"


@pytest.fixture
def doctor(command: Commands) -> Doctor:
    """A doctor."""
    return Doctor(command)


# -- all is well --


def test_all_is_well(at: Simulator, command: Commands) -> None:
    """With a key that is taken and models that are served every line is ok, and nothing but two lists is asked for."""
    done = command("doctor")
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert all(line.startswith("✓ ok       ") for line in lines[:-1])
    assert lines[-1] == "✓ all is well"
    assert "…0000 of OPENROUTER_API_KEY" in done.out
    assert [f"{model} is served" in done.out for model in DEFAULT_MODELS] == [True] * 4
    assert [(request.method, request.path) for request in at.requests] == [
        ("GET", "/api/v1/models"),
        ("GET", "/api/v1/key"),
    ]


def test_json_names_every_examination(at: Simulator, doctor: Doctor) -> None:
    """The findings stand in the order in which they were looked at."""
    subjects = ["versions", "configuration", "key", "proxy", "endpoint", "account", "credit", "free requests"]
    assert list(doctor()) == [*subjects, "model", "plugins"]


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal(columns: int, at: Simulator) -> None:
    """In a terminal every line fits its width, no model's id is broken, and the mend stands beneath its problem."""
    at.script("GET /key", status(401, message="User not found."))
    seen = in_terminal("doctor", "-m", "mistralai/mistral-small-3.2-24b-instruct", "-m", "a/b", columns=columns)
    assert seen.status == 1
    assert max(map(len, seen.lines)) <= columns
    assert "mistralai/mistral-small-3.2-24b-instruct" in seen.text
    assert "→ " in seen.text
    assert "\x1b[31m" in seen.raw
    assert not any(line.endswith(" ") for line in seen.lines)


def test_no_colour(at: Simulator) -> None:
    """NO_COLOR leaves signs and words."""
    seen = in_terminal("doctor", "-m", "a/b", environ={"NO_COLOR": "1"})
    assert "\x1b[3" not in seen.raw
    assert "✗ problem  model" in seen.text


def test_a_terminal_without_utf_8(at: Simulator) -> None:
    """A terminal that knows ASCII alone gets stand-ins for every sign."""
    environ = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    seen = in_terminal("doctor", "-m", "a/b", environ=environ)
    assert seen.text.isascii()
    assert "x problem  model" in seen.text
    assert "> No id is like it" in seen.text
    assert "...0000 of OPENROUTER_API_KEY" in seen.text


def test_a_wait_is_told_and_can_be_left(at: Simulator) -> None:
    """While an endpoint is waited for the terminal says so; Ctrl-C ends that with status 130 and no traceback."""
    at.script("GET /models", silence())
    terminal = Terminal("doctor")
    terminal.wait_for("for its models")
    terminal.type("\x03")
    seen = terminal.end()
    assert seen.status == 130
    assert "Traceback" not in seen.text


def test_offline(at: Simulator, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """--offline asks nobody, not even for an address, and says what it left out."""

    def resolve(*_: object, **__: object) -> None:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    found = doctor("--offline")
    assert [found[subject] for subject in ("endpoint", "account", "models")] == [[("skipped", "by --offline", "")]] * 3
    assert at.requests == []
    assert doctor.status == 0


# -- what is wrong on this machine --


def test_no_key_for_openrouter(doctor: Doctor) -> None:
    """Without a key for OpenRouter there is a problem, and where keys are made."""
    ((state, found, mend),) = doctor("--offline")["key"]
    assert (state, found) == ("problem", "There is no key for OpenRouter")
    assert "https://openrouter.ai/settings/keys" in mend


@pytest.mark.parametrize(
    ("key", "state", "words"),
    [
        (f'"{KEY}"', "problem", "quotes around it"),
        (f" {KEY}\n", "note", "white space around it"),
        ("sk-CANARY-of-another-service", "note", "no key of OpenRouter's"),
        ("CANARY CANARY CANARY", "problem", "no spaces"),
        (f"Bearer {KEY}", "problem", "without the word Bearer"),
    ],
)
def test_a_key_that_is_odd(key: str, state: str, words: str, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that was copied with something around it, or of another service, is told, and never shown."""
    monkeypatch.setenv("OPENROUTER_API_KEY", key)
    ((told, found, _),) = doctor("--offline")["key"]
    assert told == state
    assert words in found
    assert "OPENROUTER_API_KEY" in found


def test_a_key_in_the_wrong_variable(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is not shown where a message quotes a variable that holds it by mistake, not even its beginning."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY * 4)
    monkeypatch.setenv("ORFALLBACK_DELAY", KEY * 4)
    assert doctor("--offline")["configuration"][0][1] == "ORFALLBACK_DELAY is a number of seconds, not '…"


def test_key_env(at: Simulator, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """--key-env names the variable that is looked at; one that is not set is a problem, and the rest is looked at."""
    monkeypatch.setenv("OTHER_KEY", KEY)
    assert doctor("--key-env", "OTHER_KEY")["key"] == [("ok", "…0000 of OTHER_KEY", "")]
    found = doctor("--key-env", "NO_SUCH_KEY")
    assert found["key"][0][:2] == ("problem", "NO_SUCH_KEY is not set, or empty")
    assert found["account"] == [("skipped", "there is no key to ask about", "")]
    assert states(found)["model"] == "ok"


def test_the_key_stays_at_its_endpoint(at: Simulator, doctor: Doctor) -> None:
    """The key of the environment is not sent to the endpoint of --base-url, and a note says so."""
    with Simulator() as elsewhere:
        found = doctor("--base-url", elsewhere.base_url)
        assert [request.authorized for request in elsewhere.requests] == [False]
    assert found["key"][0][0] == "note"
    assert "not sent" in found["key"][0][1]
    assert at.requests == []


def test_every_bad_variable_is_told(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mistake in the environment is a problem of its own, and none keeps the rest from being looked at."""
    for name, value in {
        "OPENROUTER_BASE_URL": "htps://me:HIDDEN@model.example/v1",
        "ORFALLBACK_MODELS": "a/b c/d",
        "ORFALLBACK_DELAY": "soon",
        "ORFALLBACK_DEADLINE": "-1",
        "ORFALLBACK_PLAIN_LOG": "perhaps",
    }.items():
        monkeypatch.setenv(name, value)
    found = doctor()
    told = [each[1].partition(" ")[0].rstrip(":") for each in found["configuration"]]
    assert sorted(told) == sorted(name for name in os.environ if name.startswith(("ORFALLBACK_", "OPENROUTER_")))
    assert {state for state, _, _ in found["configuration"]} == {"problem"}
    assert "HIDDEN" not in repr(found)
    assert found["endpoint"] == [("skipped", "no base URL to ask", "")]
    assert states(found)["plugins"] == "ok"


def test_a_bad_option(doctor: Doctor) -> None:
    """A mistake in an option is told by the option's name."""
    found = doctor("--base-url", "nowhere", "-m", "a b")["configuration"]
    assert [each[1].partition(": ")[0] for each in found] == ["--base-url", "-m"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ORFALLBACK_MODEL", "ORFALLBACK_MODELS"),
        ("ORFALBACK_DELAY", "ORFALLBACK_DELAY"),
        ("OPENROUTER_KEY", "OPENROUTER_API_KEY"),
        ("ORFALLBACK_COLOUR", "There are"),
        ("OPENAI_API_KEY", None),
        ("OPENROUTER_SITE_URL", None),
    ],
)
def test_a_misspelt_variable(name: str, meant: str | None, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that nobody reads is a note with the name that was meant, if it looks like one of ours."""
    monkeypatch.setenv(name, "1")
    ((state, found, mend),) = doctor("--offline")["configuration"]
    assert state == ("ok" if meant is None else "note")
    assert meant is None or (name in found and meant in mend)


def test_an_old_urllib3(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version below what the package demands is a problem, with what to install."""
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.6.2" if name == "urllib3" else "2.31")
    found = doctor("--offline")["versions"]
    assert ("problem", "urllib3 2.6.2") in [(state, told[:13]) for state, told, _ in found]
    assert any("pip install" in mend and "urllib3" in mend for _, _, mend in found)


def test_a_package_that_is_missing(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is not there is a problem, with what to install."""
    version = importlib.metadata.version

    def absent(name: str) -> str:
        if name == "pluggy":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr("importlib.metadata.version", absent)
    ((state, found, mend),) = doctor("--offline")["versions"]
    assert state == "problem"
    assert found.startswith("pluggy missing is not what orfallback demands (")
    assert 'pip install "pluggy' in mend


def test_a_library_that_is_not_installed(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run from its directory, the library knows no demands: that is a note, and the rest is looked at."""

    def absent(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.requires", absent)
    found = doctor("--offline")
    ((state, told, mend),) = found["versions"]
    assert (state, told) == ("note", "orfallback runs from a directory, not installed")
    assert "pip install" in mend
    assert states(found)["plugins"] == "ok"


def test_what_was_set_up_shows_no_key() -> None:
    """What is handed from the set-up to the examinations shows no key in a traceback that shows variables."""
    setup = set_up({"OPENROUTER_API_KEY": KEY}, {"models": (), "base_url": None, "key_variable": None, "plugins": ()})
    assert setup.settings.secret is not None
    assert "CANARY" not in repr(setup)


def test_an_installed_plugin(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An installed plugin that the environment names is loaded; one that cannot be imported is told with its mend."""
    info = tmp_path / "doctors_dist-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: doctors-dist\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[orfallback]\nwell = doctors_well\nill = doctors_ill\n")
    (tmp_path / "doctors_well.py").write_text("def orfallback_call_started(): pass\n")
    (tmp_path / "doctors_ill.py").write_text("import no_such_module_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ORFALLBACK_PLUGINS", "ill,well")
    ill, loaded = doctor("--offline")["plugins"]
    assert ill == (
        "problem",
        "plugin ill of doctors-dist cannot be imported: No module named 'no_such_module_at_all'",
        "Install what doctors-dist lacks, or do without ill",
    )
    assert loaded == ("ok", "logging, cooldown, well loaded", "")


def test_plugins_that_cannot_be_loaded(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A plugin that is not installed, cannot be imported or is broken is a problem, and the others are loaded."""
    (tmp_path / "doctors_broken_plugin.py").write_text(BROKEN)
    (tmp_path / "doctors_good_plugin.py").write_text("def orfallback_call_started(): pass\n")
    monkeypatch.chdir(tmp_path)
    # The directory is put there.
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.setenv("ORFALLBACK_PLUGINS", "not-there,-logging")
    found = doctor(
        "--offline",
        *(f"--plugin={name}" for name in ("no_such_plugin", "doctors_broken_plugin", "doctors_good_plugin")),
    )
    assert [state for state, _, _ in found["plugins"]] == ["problem"] * 3 + ["ok"]
    told = " ".join(each[1] for each in found["plugins"])
    assert "not-there of ORFALLBACK_PLUGINS is not installed" in told
    assert "no_such_plugin" in told
    assert "by nothing" in told
    assert found["plugins"][-1][1] == "cooldown, doctors_good_plugin loaded"
