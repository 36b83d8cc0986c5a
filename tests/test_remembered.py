"""What is found out once and remembered: no setting is mixed up with another one's, and it has bounds."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from itertools import combinations
from typing import Any, TypeVar

import pytest
import requests

from orfallback import Chain, FallbackAdapter, Target
from orfallback._asked import Addressees, Asked, read
from orfallback._transport import OwnAdapter
from orfallback.testing import Simulator

_Test = TypeVar("_Test", bound=Callable[..., None])
URL = "https://h.invalid/v1/chat/completions"
SETTINGS: dict[str, dict[str, Any]] = {
    "usual": {"verify": True, "cert": None},
    "unverified": {"verify": False, "cert": None},
    "a pair of files": {"verify": True, "cert": [__file__, __file__]},
    "another pair": {"verify": True, "cert": (__file__, str(requests.__file__))},
    "a proxy": {"verify": True, "cert": None, "proxies": {"https": "http://proxy.invalid:3128"}},
    "another proxy": {"verify": True, "cert": None, "proxies": {"https": "http://other.invalid:3128"}},
}


def request(url: str = URL, key: str = "k" * 20, model: str = "a/a") -> requests.PreparedRequest:
    """Return an application's request."""
    body = {"model": model, "messages": []}
    return requests.Request("POST", url, json=body, headers={"Authorization": f"Bearer {key}"}).prepare()


def pool(adapter: OwnAdapter, url: str = URL, **settings: Any) -> Any:
    """Return the pool that an adapter takes."""
    return adapter.get_connection_with_tls_context(request(url), **{**SETTINGS["usual"], **settings})


def of_pools(test: _Test) -> _Test:
    """Collect a test where requests takes pools from the method that remembers them, which it does from 2.32.2 on."""
    test.__test__ = hasattr(requests.adapters.HTTPAdapter, "get_connection_with_tls_context")  # type: ignore[attr-defined]
    return test


@of_pools
@pytest.mark.parametrize(("one", "other"), [*combinations(SETTINGS, 2)])
def test_settings_are_not_mixed_up(one: str, other: str) -> None:
    """What is asked with other settings goes over other connections; what is asked with the same, over the same."""
    adapter = OwnAdapter()
    first, second = (pool(adapter, **SETTINGS[name]) for name in (one, other))
    assert first is not second
    assert pool(adapter, **SETTINGS[one]) is first
    assert pool(adapter, **SETTINGS[other]) is second


@of_pools
def test_a_list_of_files_is_a_pair() -> None:
    """A certificate's files may be named in a list."""
    adapter = OwnAdapter()
    assert pool(adapter, cert=[__file__, __file__]) is pool(adapter, cert=(__file__, __file__))
    assert pool(adapter, cert=[__file__, __file__]).key_file == __file__


@of_pools
def test_a_certificate_that_is_missing_is_missed() -> None:
    """Files are looked for before anything is sent, as requests does."""
    with pytest.raises(OSError, match="nowhere"):
        pool(OwnAdapter(), verify="/nowhere/ca.pem")


@of_pools
def test_a_pool_that_was_closed_is_not_taken_again() -> None:
    """A pool that urllib3 has let go of, and somebody closed, is replaced."""
    adapter = OwnAdapter()
    closed = pool(adapter)
    adapter.poolmanager.clear()
    closed.close()
    assert pool(adapter) is not closed


def test_as_many_urls_as_there_are() -> None:
    """Of a thousand URLs each has its own first line, also through a proxy, and few are remembered."""
    adapter = OwnAdapter()
    proxies = {"http": "http://proxy.invalid:3128"}
    for _ in range(2):
        for number in range(1_000):
            asked = request(f"http://h.invalid/{number}/chat/completions")
            assert adapter.request_url(asked, None) == f"/{number}/chat/completions"
            assert adapter.request_url(asked, proxies) == f"http://h.invalid/{number}/chat/completions"
    assert len(adapter._lines) <= 200


@of_pools
def test_as_many_pools_as_there_are() -> None:
    """Of a thousand URLs of a host each goes over its one pool, and few are remembered."""
    adapter = OwnAdapter()
    assert len({pool(adapter, f"http://h.invalid/{number}") for number in range(1_000)}) == 1
    assert len(adapter._pools) <= 200


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_remembers_nothing_of_another(again: Any, sim: Simulator) -> None:
    """An adapter that is copied or pickled, in use, asks over connections of its own."""
    adapter = OwnAdapter()
    url = f"{sim.base_url}/chat/completions"
    for each in (adapter, again(adapter)):
        with requests.Session() as session:
            session.mount("http://", FallbackAdapter(Chain("a/a", base_url=sim.base_url), each))
            assert session.post(url, json={"model": "a/a", "messages": []}).ok
    assert sim.connections == 2


# -- whom to ask --


def asked(**of: Any) -> Asked:
    """Return what an application asks."""
    found = read(request(**of))
    assert found is not None
    return found


def test_ways_to_ask_are_not_mixed_up() -> None:
    """Another model, another server, another key: each leads to targets of its own, each time the same."""
    chain = (Target("a/a", base_url="https://h.invalid/v1"), Target("b/b", base_url="https://o.invalid/v1"))
    addressees = Addressees(chain)
    ways: list[dict[str, str]] = [{}, {"key": "l" * 20}, {"model": "c/c"}, {"url": "https://i.invalid/v1/completions"}]
    found = [addressees.of(asked(**way), "https://h.invalid") for way in ways]
    assert [[each.model for each in targets] for targets in found] == [
        ["a/a", "b/b"], ["a/a", "b/b"], ["c/c", "a/a", "b/b"], ["a/a", "a/a", "b/b"],
    ]  # fmt: skip
    assert len({targets[0] for targets in found}) == 4
    assert [addressees.of(asked(**way), "https://h.invalid") for way in ways] == found
    fresh = [Addressees(chain).of(asked(**way), "https://h.invalid") for way in ways]
    assert fresh == found


def test_as_many_keys_as_there_are() -> None:
    """A thousand users, each with a key: each has an endpoint of its own, and few are remembered."""
    addressees = Addressees((Target("a/a", base_url="https://h.invalid/v1"),))
    endpoints = {addressees.of(asked(key=f"{number:020}"), "")[0].endpoint for number in range(1_000)}
    assert len(endpoints) == 1_000
    assert len(addressees._known) <= 100
