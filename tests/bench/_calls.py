"""One call: ``complete()``, and the application's own through the adapter."""

from __future__ import annotations

from bench._clients import FLOORS, adapted, bare_session, ours, peers
from bench._measure import OURS, Effort, Row, in_turns, turn_of
from bench._server import ANSWER

BASE = "Session.post(json=).json()"


def complete(base: str, effort: Effort, *, alone: bool = False) -> list[Row]:
    """CPU of a call that is answered at once.

    :param alone: whether floors and peers are left out.
    """
    url = f"{base}/whole"
    asks = {BASE: bare_session(url), OURS: ours(url)}
    absent: tuple[str, ...] = ()
    if not alone:
        found, absent = peers(url)
        asks = {**{name: make(url) for name, make in FLOORS.items()}, **asks, **found}
    for name, ask in asks.items():
        if ask() != ANSWER:
            raise SystemExit(f"{name} gives another answer")
    costs = in_turns({name: turn_of(ask, effort.times) for name, ask in asks.items()}, effort)
    return [Row("complete()", "cpu", "call", BASE, costs, must=0.72, aim=0.60, absent=absent)]


def adapter(base: str, effort: Effort) -> list[Row]:
    """CPU of an application's own call with the adapter beneath it."""
    url = f"{base}/whole"
    asks = {BASE: bare_session(url), OURS: adapted(url)}
    costs = in_turns({name: turn_of(ask, effort.times) for name, ask in asks.items()}, effort)
    return [Row("FallbackAdapter under Session.post()", "cpu", "call", BASE, costs, must=1.3, aim=1.15)]


def failover(base: str, effort: Effort) -> list[Row]:
    """Wall time of a 502 and then an answer, without the wait between them, to two calls."""
    import requests

    from bench._clients import HEADERS, KEY, payload
    from orfallback import Chain

    url = f"{base}/failover"
    session = requests.Session()
    chain = Chain(["busy", "well"], api_key=KEY, base_url=url, delay=0, cooldown=None)

    def twice() -> object:
        session.post(f"{url}/chat/completions", json={**payload(), "model": "busy"}, headers=HEADERS).json()
        return session.post(f"{url}/chat/completions", json=payload(), headers=HEADERS).json()

    turns = {
        "two Session.post()": turn_of(twice, effort.times),
        OURS: turn_of(lambda: chain.complete("Why is the sky blue?").text, effort.times),
    }
    return [Row("502, then 200", "wall", "call", "two Session.post()", in_turns(turns, effort), must=0.85, aim=0.70)]
