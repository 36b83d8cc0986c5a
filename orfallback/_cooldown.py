"""The plugin that remembers which targets are busy, and passes them over; on by default, as ``cooldown``."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from orfallback._clock import Clock, SystemClock
from orfallback._delay import REST
from orfallback._text import clean
from orfallback._types import Attempt, Call, Target
from orfallback._verdict import Reason, Scope, Verdict
from orfallback.stores import MemoryStore, Store

_logger = logging.getLogger("orfallback")

#: The longest rest that grew by failing, in seconds.
LONGEST = 300.0
#: The longest rest at all, whatever a server asks for, in seconds.
MOST = 86_400.0
# Where another caller is about to find out: tried before all that rest for longer (s).
_PROBED = 1.0
# So many resting targets are asked, one after the other, in calls that have asked somebody already; each answer allows
# for one more. Without any, a few failures at random leave calls without an answer that a plain chain would have had;
# without an end, a whole service that is down gets every request times the number of models.
_TOKENS = 10.0
# Far more than there are targets.
_MOST_RECORDS = 10_000

_MODEL, _FREE_TIER, _ENDPOINT, _PARKED = "model", "free", "endpoint", "parked"
_KEY_OF = {Scope.MODEL: _MODEL, Scope.FREE_TIER: _FREE_TIER, Scope.ENDPOINT: _ENDPOINT}


def keys_of(target: Target) -> dict[str, str]:
    """Return the keys under which what a target depends on rests: the endpoint, the free tier, the model.

    They hold no key of an API: an endpoint has a digest of it.
    """
    origin = target.endpoint.partition("#")[0]
    keys = {
        _PARKED: f"{_PARKED} {origin} {target.model}",
        _ENDPOINT: f"{_ENDPOINT} {target.endpoint}",
        _MODEL: f"{_MODEL} {origin} {target.model}",
    }
    if target.free:
        keys[_FREE_TIER] = f"{_FREE_TIER} {target.endpoint}"
    return keys


class _Record(NamedTuple):
    """What this process knows of a key.

    :ivar until: the instant at which its rest ends.
    :ivar failures: how often it has failed in a row.
    :ivar reason: of the last failure; None if somebody parked it.
    """

    until: float
    failures: int
    reason: Reason | None


class _Asking(NamedTuple):
    """The target that a call asks.

    :ivar target: the target.
    :ivar unwell: its keys that rested, or were to be probed, when it was admitted.
    :ivar claimed: those that this call probes, alone.
    """

    target: Target
    unwell: tuple[str, ...] = ()
    claimed: tuple[str, ...] = ()


class Resting(NamedTuple):
    """A target that rests, or part of what it depends on.

    :ivar seconds: how long.
    :ivar what: ``model``, ``free`` (the free tier), ``endpoint`` or ``parked``.
    :ivar reason: why, as far as this process knows.
    """

    seconds: float
    what: str
    reason: Reason | None


class Cooldown:
    """Lets a target rest that was busy, so that the next calls go to others at once.

    A target rests for as long as its server asked for, or for ``seconds``, twice as long each time it fails again. When
    that is over one call, and no other, tries it; an answer clears it. When all rest, the one whose rest ends soonest
    is asked all the same, so no call fails without having asked.

    Chains that share one share what it knows. It pickles with its settings, and with a store that does.

    :param seconds: the first rest of a target that gave no hint, and the lease of a claim to probe it.
    :param longest: the longest rest that grew by failing, in seconds; None is 300, or ``seconds`` if that is more.
    :param store: where rests are kept; None keeps them in this process, whose memory also stands in for a store that
        cannot be reached.
    :param clock: for measuring; None is the machine's.
    :raises TypeError: for what is no number.
    :raises ValueError: unless ``0 < seconds <= longest``, both finite.
    """

    def __init__(
        self,
        seconds: float = REST,
        *,
        longest: float | None = None,
        store: Store | None = None,
        clock: Clock | None = None,
    ) -> None:
        _check_number("cooldown", seconds)
        if longest is None:
            longest = max(LONGEST, seconds)
        _check_number("longest", longest)
        if not (0 < seconds <= longest <= MOST):
            raise ValueError(f"a cooldown is 0 < seconds <= longest <= {MOST:g} seconds, not {seconds!r}, {longest!r}")
        self.seconds = float(seconds)
        self.longest = float(longest)
        self._clock = SystemClock() if clock is None else clock
        self._given = store, clock
        self.store: Store
        if store is None:
            self.store = MemoryStore(self._clock)
        elif isinstance(store, MemoryStore):
            self.store = store
        else:
            from orfallback.stores import Guarded

            self.store = Guarded(store, self._clock)
        self._records: dict[str, _Record] = {}
        self._asking: dict[str, _Asking] = {}
        self._tokens = _TOKENS

    # -- before an attempt --

    def orfallback_admit(self, call: Call, target: Target, last_resort: bool) -> float | None:
        """Pass over a target that rests, and let one call alone probe one whose rest is over."""
        keys = keys_of(target)
        left = self.store.resting((*keys.values(),))
        unwell = tuple(key for key in keys.values() if key in left and (key != keys[_PARKED] or left[key] > 0))
        if not unwell or _comes_back(call, target):
            self._asking[call.id] = _Asking(target, unwell)
            return None
        rest = max(left[key] for key in unwell)
        claimed: tuple[str, ...] = ()
        if rest <= 0:
            claimed = self._claim(unwell)
            rest = _PROBED
        if claimed or (last_resort and self._spend(call)):
            self._asking[call.id] = _Asking(target, unwell, claimed)
            return None
        return rest

    def _claim(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Claim all of some keys; () if others were faster at one."""
        claimed: list[str] = []
        for key in keys:
            if not self.store.claim(key, self.seconds):
                self._give_back(claimed)
                return ()
            claimed.append(key)
        return tuple(claimed)

    def _give_back(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.store.rest(key, 0.0)

    def _spend(self, call: Call) -> bool:
        """Tell whether a call may ask a target that rests; a call that has asked nobody yet always may."""
        if not call.attempts:
            return True
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    # -- after it --

    def orfallback_committed(self, call: Call, attempt: Attempt) -> None:
        """Clear what answers."""
        asking = self._asking.get(call.id)
        if asking is not None:
            self._clear(asking)
            self._asking[call.id] = _Asking(asking.target)

    def orfallback_attempt_finished(self, call: Call, attempt: Attempt) -> None:
        """Clear what has answered, and let rest what was busy."""
        asking = self._asking.pop(call.id, None)
        if asking is None:
            return
        verdict = attempt.verdict
        if verdict is None:
            self._tokens = min(self._tokens + 1, _TOKENS)
            self._clear(asking)
            return
        what, seconds = self._rest_for(verdict)
        key = keys_of(asking.target).get(what, "")
        if key:
            self._let_rest(key, seconds, verdict, _name(asking.target, what))
        # A failure that reaches less far says that what reaches further is well again.
        self._give_back([each for each in asking.claimed if each != key])

    def orfallback_call_finished(self, call: Call, error: BaseException | None) -> None:
        """Give back what a call was about to probe, and did not."""
        asking = self._asking.pop(call.id, None)
        if asking is not None:
            self._give_back(asking.claimed)

    def _rest_for(self, verdict: Verdict) -> tuple[str, float | None]:
        """Return what rests after a verdict, "" for nothing; and for how long, None for as long as it takes."""
        what = _KEY_OF.get(verdict.scope, "")
        hint = verdict.retry_after
        seconds = min(hint, MOST) if hint is not None and 0 < hint < math.inf else None
        if what == _MODEL and not verdict.transient:
            # One that is gone is gone for a while; what else a model refuses is about the call.
            return (what, seconds or self.longest) if verdict.reason is Reason.NOT_FOUND else ("", None)
        if what == _ENDPOINT and not verdict.transient:
            # It takes a person to mend it, who wants to see that it is mended.
            seconds = seconds or self.seconds
        return what, seconds

    def _let_rest(self, key: str, seconds: float | None, verdict: Verdict, name: str) -> None:
        now = self._clock.monotonic()
        record = self._records.get(key)
        if record is not None and record.until > now:
            # It was asked before it rested, or as a last resort: nothing new, unless its server says so.
            if seconds is not None and now + seconds > record.until:
                self._records[key] = record._replace(until=now + seconds)
                self.store.rest(key, seconds)
            return
        failures = 1 if record is None else record.failures + 1
        if seconds is None:
            # Beyond 2 ** 20 it is the longest anyway.
            seconds = min(self.seconds * 2 ** min(failures - 1, 20), self.longest)
        if len(self._records) >= _MOST_RECORDS:
            self._records.clear()
        self._records[key] = _Record(now + seconds, failures, verdict.reason)
        self.store.rest(key, seconds)
        _logger.info("%s rests for %.3g s (%s)", name, seconds, verdict.reason)

    def _clear(self, asking: _Asking) -> None:
        keys = keys_of(asking.target)
        for what, key in keys.items():
            if what == _PARKED:
                continue
            if key in asking.unwell:
                self._records.pop(key, None)
                self.store.clear(key)
                _logger.info("%s answers again", _name(asking.target, what))
            elif key in self._records and self._records[key].until <= self._clock.monotonic():
                # Another process has cleared it.
                self._records.pop(key, None)

    # -- by hand --

    def resting(self, target: Target) -> Iterator[Resting]:
        """Yield what of a resolved target rests now."""
        keys = keys_of(target)
        left = self.store.resting((*keys.values(),))
        for what, key in keys.items():
            seconds = left.get(key, 0.0)
            if seconds > 0:
                record = self._records.get(key)
                yield Resting(seconds, what, None if record is None else record.reason)

    def park(self, target: Target, seconds: float) -> None:
        """Let a resolved target rest, whatever it answers meanwhile."""
        self.store.rest(keys_of(target)[_PARKED], seconds)

    def release(self, target: Target) -> None:
        """Forget all that lets a resolved target rest; others at its endpoint go with it if that is what rests."""
        for key in keys_of(target).values():
            self._records.pop(key, None)
            self.store.clear(key)

    def __reduce__(self) -> tuple[Any, ...]:
        store, clock = self._given
        return _unpickled, (self.seconds, self.longest, store, clock)

    def __repr__(self) -> str:
        return f"<Cooldown {self.seconds:g} s>"


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is a number of seconds, not {type(value).__name__}")


def _unpickled(seconds: float, longest: float, store: Store | None, clock: Clock | None) -> Cooldown:
    return Cooldown(seconds, longest=longest, store=store, clock=clock)


def _name(target: Target, what: str) -> str:
    """Return how a log calls what rests."""
    if what == _MODEL:
        return f"Model {clean(target.name or target.model)}"
    origin = clean(target.endpoint.partition("#")[0])
    return f"The free tier of {origin}" if what == _FREE_TIER else f"Every model of {origin}"


def _comes_back(call: Call, target: Target) -> bool:
    """Tell whether a call has asked a target before, and the chain lets it come back: within a call that is its own."""
    return any(
        attempt.model == target.model and attempt.endpoint.startswith(target.base_url) for attempt in call.attempts
    )
