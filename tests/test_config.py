"""What a chain is given, checked before any call: endpoints, models, keys, environment, settings."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orfallback import Chain
from orfallback._config import (
    DEFAULT_BASE_URL,
    DEFAULT_MODELS,
    OPENROUTER,
    Keyless,
    check_base_url,
    flag,
    options_from_env,
    options_from_mapping,
    origin,
    resolve,
    secret_for,
)
from orfallback._secret import Secret
from orfallback._types import Target, Timeouts
from orfallback.testing import FakeClock, Simulator, status

PROPERTY = settings(max_examples=200, deadline=None, database=None)
URL = DEFAULT_BASE_URL
KEY, OTHER = Secret("sk-chain"), Secret("sk-other")


def test_defaults() -> None:
    """Without models the four default ones are asked, at OpenRouter, in this order."""
    targets, secrets = resolve(None, URL, KEY)
    assert DEFAULT_BASE_URL == "https://openrouter.ai/api/v1"
    assert DEFAULT_MODELS == (
        "mistralai/mistral-nemo",
        "mistralai/mistral-small-3.2-24b-instruct",
        "mistralai/mistral-small-24b-instruct-2501",
        "mistralai/pixtral-12b",
    )
    assert tuple((target.model, target.name, target.base_url) for target in targets) == tuple(
        (model, model, URL) for model in DEFAULT_MODELS
    )
    assert secrets == {f"https://openrouter.ai:443#{KEY.digest}": KEY}


@pytest.mark.parametrize(("url", "checked", "place"), [
    pytest.param("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1", OPENROUTER, id="default"),
    pytest.param("https://openrouter.ai/api/v1///", "https://openrouter.ai/api/v1", OPENROUTER, id="trailing-slashes"),
    pytest.param("  https://x/v1 \n", "https://x/v1", "https://x:443", id="white-space"),
    pytest.param("HTTPS://OpenRouter.AI/api", "HTTPS://OpenRouter.AI/api", OPENROUTER, id="capitals"),
    pytest.param("https://openrouter.ai:443/x", "https://openrouter.ai:443/x", OPENROUTER, id="default-port"),
    pytest.param("http://localhost", "http://localhost", "http://localhost:80", id="no-path"),
    pytest.param("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1", "http://127.0.0.1:8080", id="port"),
    pytest.param("https://x:8443", "https://x:8443", "https://x:8443", id="https-port"),
    pytest.param("http://[::1]:8080/v1/", "http://[::1]:8080/v1", "http://::1:8080", id="ipv6"),
    pytest.param("https://bücher.example/v1", "https://bücher.example/v1", "https://bücher.example:443",
        id="unicode-host"),
])  # fmt: skip
def test_base_url(url: str, checked: str, place: str) -> None:
    """A URL loses its trailing slashes, and its origin is scheme, host and port."""
    assert check_base_url(url) == checked
    assert origin(checked) == place


@pytest.mark.parametrize(("url", "message"), [
    pytest.param("", "begins with http:// or https:// and a host", id="empty"),
    pytest.param("openrouter.ai/api/v1", "begins with http:// or https:// and a host", id="no-scheme"),
    pytest.param("ftp://x/v1", "begins with http:// or https:// and a host", id="ftp"),
    pytest.param("file:///etc/passwd", "begins with http:// or https:// and a host", id="file"),
    pytest.param("https:///v1", "begins with http:// or https:// and a host", id="no-host"),
    pytest.param("https://:443/v1", "begins with http:// or https:// and a host", id="port-alone"),
    pytest.param("//x/v1", "begins with http:// or https:// and a host", id="no-scheme-but-slashes"),
    pytest.param("https://x/v1?a=1", "no query, no fragment", id="query"),
    pytest.param("https://x/v1?", "no query, no fragment", id="empty-query"),
    pytest.param("https://x/v1#a", "no query, no fragment", id="fragment"),
    pytest.param("https://x/v1#", "no query, no fragment", id="empty-fragment"),
    pytest.param("https://x:99999/v1", "is no URL", id="port-99999"),
    pytest.param("https://x:abc/v1", "is no URL", id="port-abc"),
    pytest.param("https://x:-1/v1", "is no URL", id="port-negative"),
    pytest.param("https://[::1/v1", "is no URL", id="open-bracket"),
    pytest.param("https://x:0/v1", "names port 0", id="port-0"),
    pytest.param("https://x/a b", "spaces, backslashes or control characters", id="space"),
    pytest.param("https://x/\r\nX-Evil: 1", "spaces, backslashes or control characters", id="crlf"),
    pytest.param("https://x\t.y/v1", "spaces, backslashes or control characters", id="tab"),
    pytest.param("https://evil\\@x/v1", "spaces, backslashes or control characters", id="backslash"),
])  # fmt: skip
def test_refused_base_url(url: str, message: str) -> None:
    """What cannot be asked, or means something else to another parser, is refused, on one line."""
    with pytest.raises(ValueError, match=f"^base_url .*{re.escape(message)}") as caught:
        check_base_url(url)
    assert "\n" not in str(caught.value)
    assert "\r" not in str(caught.value)


@pytest.mark.parametrize("url", [
    "https://us:s3cret@x/v1", "https://s3cret@x/v1", "https://:s3cret@x/v1", "us:s3cret@x/v1", "ftp://us:s3cret@x/v1",
    "https://us:s3cret@x:99999/v1", "https://us:s3cret@x/a b", "https://us:s3cret@[::1/v1", "https://us:s3cret@x/v1?a",
        "https://us:s3c@ret@x",
])  # fmt: skip
def test_userinfo_is_refused_and_not_shown(url: str) -> None:
    """A user or password in a URL is refused, and the error, whatever else is wrong, does not show it."""
    with pytest.raises(ValueError, match=r"^base_url ") as caught:
        check_base_url(url)
    assert not re.search("us:|s3c|ret", str(caught.value).replace("user or password", ""))
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("url", [None, 5, b"https://x", ["https://x"]], ids=repr)
def test_base_url_is_text(url: object) -> None:
    """A base URL of another type is a TypeError."""
    with pytest.raises(TypeError, match=r"^base_url is a str, not "):
        check_base_url(url)


@pytest.mark.parametrize(("models", "expected"), [
    pytest.param("a", ["a"], id="one-text"),
    pytest.param(Target("a"), ["a"], id="one-target"),
    pytest.param(["b", "a"], ["b", "a"], id="list"),
    pytest.param(("a", Target("b")), ["a", "b"], id="mixed"),
    pytest.param((model for model in "ab"), ["a", "b"], id="generator"),
    pytest.param(["a", "b", "a", Target("a"), Target("b", base_url=URL + "/")], ["a", "b"], id="duplicates"),
    pytest.param(["x" * 256], ["x" * 256], id="longest"),
    pytest.param(["a:free", "@preset/x", "~a/b-latest", "ž/🐎"], ["a:free", "@preset/x", "~a/b-latest", "ž/🐎"],
        id="odd"),
    pytest.param([str(n) for n in range(1_000)], [str(n) for n in range(1_000)], id="a-thousand"),
])  # fmt: skip
def test_models(models: Any, expected: list[str]) -> None:
    """Models are kept in order, each asked once."""
    targets, _ = resolve(models, URL, KEY)
    assert [target.model for target in targets] == expected
    assert {(target.base_url, target.api_key, target.endpoint) for target in targets} == {
        (URL, None, f"{OPENROUTER}#{KEY.digest}")
    }


@pytest.mark.parametrize(("models", "error", "message"), [
    pytest.param([], ValueError, "at least one model", id="none"),
    pytest.param("", ValueError, "not empty", id="empty-text"),
    pytest.param(["a", " "], ValueError, "not empty", id="blank"),
    pytest.param(["a b"], ValueError, r"no spaces \(several models are a list\): 'a b'$", id="space"),
    pytest.param(["a\n"], ValueError, r"'a\\n'$", id="newline"),
    pytest.param(["\x1b[31m"], ValueError, r"'\\x1b\[31m'$", id="ansi"),
    pytest.param(["x" * 257], ValueError, "at most 256", id="long"),
    pytest.param([None], TypeError, "^a model is a str or a Target, not NoneType$", id="null"),
    pytest.param([b"a"], TypeError, "not bytes$", id="bytes"),
    pytest.param([Target(5)], TypeError, "not int$", id="target-of-int"),  # type: ignore[arg-type]  # that is the test
    pytest.param([["a"]], TypeError, "not list$", id="list-in-list"),
    pytest.param([Target("a", base_url="x")], ValueError, "^base_url begins", id="target-with-bad-url"),
    pytest.param([Target("a", set={"model": "b", "stream": 1})], ValueError, "^Target.set names model, stream,",
        id="target-sets-model"),
    pytest.param([Target("a", set={"messages": []})], ValueError, "^Target.set names messages,",
        id="target-sets-messages"),
    pytest.param([Target("a", api_key="“k”")], ValueError, "printable ASCII", id="target-with-bad-key"),
    pytest.param([Target("a", set={"temperature": math.nan})], ValueError, "Target.set", id="target-sets-nan"),
    pytest.param([Target("a", inputs=["text", "images"])], ValueError, "^Target.inputs are of text, .* not 'images'$",
        id="target-with-a-misspelt-input"),
    pytest.param([Target("a", context_length="32k")], TypeError, "number of tokens, not str$",  # type: ignore[arg-type]  # that is the test
        id="target-with-a-textual-window"),
    pytest.param([Target("a", context_length=True)], TypeError, "number of tokens, not bool$", id="target-of-a-flag"),
    pytest.param([Target("a", context_length=0)], ValueError, "greater than 0 tokens, not 0$", id="target-of-nothing"),
])  # fmt: skip
def test_refused_models(models: Any, error: type[Exception], message: str) -> None:
    """What cannot be asked is refused at construction."""
    with pytest.raises(error, match=message):
        resolve(models, URL, KEY)


def key_of(target: Target, base_url: str = URL, secret: Secret | None = KEY) -> Secret | None:
    (resolved,), secrets = resolve([target], base_url, secret)
    assert "sk-" not in repr(resolved) + str(resolved.endpoint) + repr(secrets)
    assert set(secrets) <= {resolved.endpoint}
    return secrets.get(resolved.endpoint)


@pytest.mark.parametrize(("base_url", "key"), [
    pytest.param("", KEY, id="the-chains"),
    pytest.param("https://OPENROUTER.ai:443/other/", KEY, id="same-origin"),
    pytest.param("http://openrouter.ai/api/v1", None, id="other-scheme"),
    pytest.param("https://openrouter.ai:8443/api/v1", None, id="other-port"),
    pytest.param("https://evil.openrouter.ai/api/v1", None, id="other-host"),
    pytest.param("https://openrouter.ai.evil/api/v1", None, id="other-domain"),
])  # fmt: skip
def test_a_key_belongs_to_one_origin(base_url: str, key: Secret | None) -> None:
    """The chain's key goes to the chain's origin alone; a target elsewhere has its own or none."""
    assert key_of(Target("m", base_url=base_url)) == key
    assert key_of(Target("m", base_url=base_url, api_key=" sk-other\n")) == OTHER
    assert key_of(Target("m", base_url=base_url), secret=None) is None


def test_endpoints() -> None:
    """An endpoint is origin and key: another key is another endpoint, another path is not."""
    local = "http://localhost:1"
    targets, secrets = resolve(
        ["a", Target("b", base_url="https://openrouter.ai/x"), Target("c", api_key="sk-other"), Target("d", local),
            Target("e", local, "sk-other")],
        URL, KEY,
    )  # fmt: skip
    a, b, c, d, e = (target.endpoint for target in targets)
    assert a == b
    assert len({a, c, d, e}) == 4
    assert secrets == {a: KEY, c: OTHER, e: OTHER}


def test_one_model_twice() -> None:
    """A model with other parameters, or at another endpoint, is another target, by name or by host."""
    targets, _ = resolve(
        ["m", Target("m", "http://x:1/v1"), Target("m", set={"seed": 1}, name="seeded"), "n"], URL, None
    )
    assert [target.name for target in targets] == ["m@openrouter.ai", "m@x:1", "seeded", "n"]


def test_targets_are_copied() -> None:
    """What the caller does to a target's parameters later has no effect; a bare string to drop is one name."""
    own: dict[str, Any] = {"seed": 1}
    (target,), _ = resolve([Target("m", set=own, drop="top_p")], URL, None)
    own["seed"] = 2
    assert (target.set, target.drop) == ({"seed": 1}, ("top_p",))


def test_the_callers_list_is_copied(sim: Simulator, clock: FakeClock) -> None:
    """What the caller does to the list of models after construction has no effect."""
    models = ["a/a", "b/b"]
    sim.script("a/a", status(503))
    with Chain(models, base_url=sim.base_url, clock=clock) as chain:
        models[:] = ["c/c"]
        assert chain.complete("hi").requested_model == "b/b"
    assert sim.models_asked == ["a/a", "b/b"]


@pytest.mark.parametrize(("api_key", "base_url", "found"), [
    pytest.param(None, None, OTHER, id="environment"),
    pytest.param(None, URL, OTHER, id="the-default-url-spelt-out"),
    pytest.param(None, "http://x", None, id="not-for-a-url-in-code"),
    pytest.param(Keyless(), None, None, id="keyless"),
    pytest.param("sk-chain", None, KEY, id="argument"),
    pytest.param(KEY, "http://x", KEY, id="secret"),
])  # fmt: skip
def test_secret_for(api_key: Any, base_url: str | None, found: Secret | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's key is for the default base URL alone; blank there is none."""
    monkeypatch.setenv("OPENROUTER_API_KEY", " sk-other\n")
    assert secret_for(api_key, base_url) == found
    monkeypatch.setenv("OPENROUTER_API_KEY", " \n")
    assert secret_for(None, None) is None
    monkeypatch.delenv("OPENROUTER_API_KEY")
    assert secret_for(None, None) is None


@pytest.mark.parametrize(("environ", "options"), [
    pytest.param({}, {}, id="nothing"),
    pytest.param({"ORFALLBACK_MODELS": " a , b,,", "OTHER": "x"}, {"models": ["a", "b"]}, id="models"),
    pytest.param({"ORFALLBACK_MODELS": " ", "ORFALLBACK_DELAY": " ", "OPENROUTER_API_KEY": " ",
        "OPENROUTER_BASE_URL": ""}, {}, id="blank"),
    pytest.param({"OPENROUTER_API_KEY": "sk-chain ", "OPENROUTER_BASE_URL": "http://x"},
        {"api_key": KEY, "base_url": "http://x"}, id="endpoint"),
    pytest.param({"ORFALLBACK_DELAY": "0", "ORFALLBACK_DEADLINE": " 30.5"},
        {"delay": 0.0, "timeouts": Timeouts(deadline=30.5)}, id="seconds"),
])  # fmt: skip
def test_environment(environ: dict[str, str], options: dict[str, Any]) -> None:
    """The environment's options are read; blank ones are not set."""
    found = options_from_env(environ)
    if "api_key" not in options:
        # A mapping without a key means no key, whatever the process's own environment says.
        assert isinstance(found.pop("api_key"), Keyless)
    assert found == options


@pytest.mark.parametrize(("environ", "message"), [
    ({"ORFALLBACK_DELAY": "2s"}, r"^ORFALLBACK_DELAY is a number of seconds, not '2s'$"),
    ({"ORFALLBACK_DEADLINE": "never"}, r"^ORFALLBACK_DEADLINE is a number of seconds, not 'never'$"),
    ({"ORFALLBACK_DEADLINE": "nan"}, "^ORFALLBACK_DEADLINE is greater than 0 seconds, not nan$"),
    ({"ORFALLBACK_DEADLINE": "0"}, "^ORFALLBACK_DEADLINE is greater than 0 seconds, not 0.0$"),
    ({"ORFALLBACK_DELAY": "-1"}, "^ORFALLBACK_DELAY is 0 to 60 seconds, not -1.0$"),
    ({"ORFALLBACK_MODELS": " , "}, "^ORFALLBACK_MODELS names no model"),
    ({"OPENROUTER_API_KEY": "“k”"}, "^a key holds printable ASCII"),
])  # fmt: skip
def test_refused_environment(environ: dict[str, str], message: str) -> None:
    """A variable that cannot be meant raises, and names itself."""
    with pytest.raises(ValueError, match=message):
        options_from_env(environ)


@pytest.mark.parametrize(
    ("value", "on"),
    [("1", True), ("yes", True), ("", False), (" 0 ", False), ("No", False), ("off", False), ("FALSE", False)],
)
def test_flag(value: str, on: bool) -> None:
    """A flag is on unless it is empty, 0, false, no or off."""
    assert (flag({"X": value}, "X"), flag({}, "X")) == (on, False)


def test_mapping() -> None:
    """A mapping's keys are the constructor's names in any case; unknown and doubled ones raise."""
    assert options_from_mapping({"delay": "2.5"}, ("delay",)) == {"delay": 2.5}
    assert options_from_mapping({"MODELS": "a", "Delay": 1}, ("models", "delay")) == {"models": "a", "delay": 1}
    with pytest.raises(ValueError, match=r"^unknown option 'MODLES'; known: delay, models$"):
        options_from_mapping({"MODLES": "a"}, ("models", "delay"))
    with pytest.raises(ValueError, match=r"^option 'DELAY' is given twice$"):
        options_from_mapping({"delay": 1, "DELAY": 2}, ("models", "delay"))


@PROPERTY
@given(url=st.text() | st.text("htps:/@.[]x1?#\\ ").map("https://".__add__))
def test_any_url(url: str) -> None:
    """Any text is refused with a ValueError, or is a base URL that checks to itself."""
    try:
        checked = check_base_url(url)
    except ValueError:
        return
    assert check_base_url(checked) == checked
    assert "@" not in checked.split("/")[2]
    assert origin(checked).startswith(("http://", "https://"))
