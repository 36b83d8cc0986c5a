"""The one object that holds a key shows it to nobody."""

from __future__ import annotations

import copy
import hashlib
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from orfallback import _secret
from orfallback._config import secret_for
from orfallback._secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

PROPERTY = settings(max_examples=200, deadline=None, database=None)
HOME = Path(_secret.__file__).parent
KEY = "sk-or-v1-canary-0123456789abcdef"

REFUSED = [
    pytest.param("", "a key is not empty", id="empty"),
    pytest.param(" \t\n", "a key is not empty", id="white-space"),
    pytest.param(f"{KEY}\r\nX-Evil: 1", "printable ASCII only", id="header-injection"),
    pytest.param(f"{KEY} {KEY}", "printable ASCII only", id="space-inside"),
    pytest.param(f"“{KEY}”", "printable ASCII only", id="curly-quotes"),
    pytest.param(f"{KEY}\x00", "printable ASCII only", id="nul"),
    pytest.param(f"{KEY}é", "printable ASCII only", id="latin-1"),
    pytest.param(f"{KEY}\u200b", "printable ASCII only", id="zero-width"),
    pytest.param(KEY.encode(), "a key is a string, not bytes", id="bytes"),
    pytest.param(5, "a key is a string, not int", id="int"),
    pytest.param([KEY], "a key is a string, not list", id="list"),
]


def authorization(secret: Secret) -> str:
    request = requests.Request("POST", "http://x/").prepare()
    assert secret(request) is request
    return str(request.headers["Authorization"])


@pytest.mark.parametrize("value", [KEY, f" {KEY}", f"{KEY}\n", f"\t{KEY}\r\n", f"\u00a0{KEY}\u3000"], ids=ascii)
def test_white_space_is_stripped(value: str) -> None:
    """White space round a key, as a copied line has it, is stripped."""
    assert authorization(Secret(value)) == f"Bearer {KEY}"
    assert Secret(value) == Secret(KEY)


def test_every_printable_character_is_taken() -> None:
    """All of printable ASCII but the space may stand in a key, and a long key is a key."""
    every = "".join(map(chr, range(33, 127))) * 100
    assert authorization(Secret(every)) == f"Bearer {every}"


@pytest.mark.parametrize(("value", "message"), REFUSED)
def test_refused(value: Any, message: str) -> None:
    """Anything else is refused, and the error does not show it."""
    with pytest.raises(ValueError, match=message) as caught:
        Secret(value)
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "make", [pytest.param(Secret, id="Secret"), pytest.param(lambda key: secret_for(key, None), id="secret_for")]
)
@pytest.mark.parametrize(("value", "message"), [case for case in REFUSED if KEY in str(case.values[0])])
def test_no_frame_of_the_library_shows_it(make: Callable[[Any], object], value: Any, message: str) -> None:
    """A traceback rendered with its variables does not show a refused key from the library's frames."""
    with pytest.raises(ValueError, match=message) as caught:
        make(value)
    shown = [str(entry.locals) for entry in caught.traceback if Path(entry.path).parent == HOME]
    assert shown
    assert not [variables for variables in shown if KEY in variables]


@pytest.mark.parametrize("show", [
    pytest.param(repr, id="repr"), pytest.param(str, id="str"), pytest.param("{}".format, id="format"),
    pytest.param("%r".__mod__, id="percent"), pytest.param(lambda key: str([key]), id="in-a-list"),
    pytest.param(vars, id="vars"), pytest.param(dir, id="dir"),
])  # fmt: skip
def test_not_shown(show: Callable[[Secret], object]) -> None:
    """No way of printing a key shows it."""
    assert KEY not in str(show(Secret(KEY)))
    assert repr(Secret(KEY)) == "<Secret>"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_pickle(protocol: int) -> None:
    """A key does not pickle, by any protocol."""
    with pytest.raises(TypeError, match=r"^a key does not pickle$"):
        pickle.dumps(Secret(KEY), protocol)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_no_copy(copied: Callable[[Secret], Secret]) -> None:
    """A key is not copied behind our back."""
    with pytest.raises(TypeError, match=r"^a key does not pickle$"):
        copied(Secret(KEY))


def test_equality() -> None:
    """Keys are equal, and hash alike, by value; a key is not equal to its text."""
    assert Secret(KEY) == Secret(f" {KEY} ")
    assert hash(Secret(KEY)) == hash(Secret(f" {KEY} "))
    assert Secret(KEY) != Secret(f"{KEY}x")
    assert Secret(KEY) != KEY
    assert len({Secret(KEY), Secret(KEY), Secret("other")}) == 2


def test_digest() -> None:
    """The digest tells keys apart and is 16 digits of their SHA-256."""
    assert Secret(KEY).digest == hashlib.sha256(KEY.encode()).hexdigest()[:16]
    assert Secret(KEY).digest != Secret(f"{KEY}x").digest


@pytest.mark.parametrize(("key", "hint"), [
    pytest.param(KEY, "…cdef", id="long"),
    pytest.param("0123456789abcdef", "…cdef", id="16"),
    pytest.param("0123456789abcde", "…", id="15"),
    pytest.param("abcd", "…", id="short"),
])  # fmt: skip
def test_hint(key: str, hint: str) -> None:
    """The hint is the last four characters of a long key, and nothing of a short one."""
    assert Secret(key).hint == hint


def test_an_auth_callable_replaces_what_was_there() -> None:
    """The key replaces an Authorization header, such as a .netrc's."""
    request = requests.Request("POST", "http://x/", headers={"authorization": "Basic abc"}, auth=Secret(KEY)).prepare()
    assert [value for name, value in request.headers.items() if name.lower() == "authorization"] == [f"Bearer {KEY}"]


@PROPERTY
@given(value=st.text(max_size=20))
def test_any_text(value: str) -> None:
    """Any text either is a key that a header can carry, or raises without showing it."""
    stripped = value.strip()
    if stripped and all(33 <= ord(char) <= 126 for char in stripped):
        assert authorization(Secret(value)) == f"Bearer {stripped}"
    else:
        with pytest.raises(ValueError, match=r"^a key ") as caught:
            Secret(value)
        assert len(stripped) < 5 or stripped not in str(caught.value)
