"""The plugin that remembers which targets are busy, and passes them over; on by default, as ``cooldown``."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from orfallback._clock import Clock, SystemClock
from orfallback._delay import REST
from orfallback._text import clean, in_seconds
from orfallback._types import Attempt, Call, Target
from orfallback._verdict import Reason, Scope, Verdict
from orfallback._watch import OUT_OF_TIME
from orfallback.stores import MemoryStore, Store

_logger = logging.getLogger("orfallback")

#: The longest rest that grew by failing, in seconds.
LONGEST = 300.0
#: The longest rest at all, whatever a server asks for, in seconds.
MOST = 86_400.0
# Where another caller is about to find out: it may be over soon (s).
_PROBED = 1.0
# Where a server says that it may be asked again at once (s).
_AT_ONCE = 2.0
# A rest that a person should hear of (s).
_WORTH_A_WARNING = 600.0
_ROUNDING = 0.05
# So many resting targets are asked in calls that have asked somebody already; each answer allows for one more, and so
# does time. Without any, a few failures at random leave calls without an answer that a plain chain would have had;
# without an end, a whole service that is down gets every request times the number of models.
_TOKENS = 10.0
# Far more than there are targets.
_MOST_RECORDS = 10_000

_MODEL, _FREE_TIER, _ENDPOINT, _PARKED = "model", "free", "endpoint", "parked"
_KEY_OF = {Scope.MODEL: _MODEL, Scope.FREE_TIER: _FREE_TIER, Scope.ENDPOINT: _ENDPOINT}


def keys_of(target: Target) -> dict[str, str]:
    """Return the keys under which what a target depends on rests: the endpoint, the free tier, the model.

    They hold no key of an API, but a digest of it. What one key may do says nothing of another's, nor one address of
    another at the same origin, nor a model with some parameters of the same with others.
    """
    own = ""
    if target.set or target.drop:
        told = json.dumps([dict(target.set), list(target.drop)], sort_keys=True, default=str)
        own = f" {hashlib.sha256(told.encode()).hexdigest()[:8]}"
    model = f"{target.base_url} {target.endpoint.partition('#')[2]} {target.model}{own}"
    keys = {
        _PARKED: f"{_PARKED} {model}",
        _ENDPOINT: f"{_ENDPOINT} {target.endpoint}",
        _MODEL: f"{_MODEL} {model}",
    }
    if target.free:
        keys[_FREE_TIER] = f"{_FREE_TIER} {target.endpoint}"
    return keys


class _Record(NamedTuple):
    """What this process knows of a key that has failed.

    :ivar until: the instant at which its rest ends.
    :ivar failures: how often it has failed in a row, a rest between each and the next.
    :ivar reason: of the last failure.
    :ivar hinted: whether its server said for how long.
    :ivar asked: the instant at which it was last asked.
    """

    until: float
    failures: int
    reason: Reason | None
    hinted: bool
    asked: float


class _Asking(NamedTuple):
    """The target that a call asks.

    :ivar target: the target.
    :ivar since: the instant at which it was admitted.
    :ivar unwell: its keys that rested, or were to be probed, when it was admitted.
    :ivar claimed: those that this call probes, alone.
    :ivar spent: whether that cost a token.
    """

    target: Target
    since: float
    unwell: tuple[str, ...] = ()
    claimed: tuple[str, ...] = ()
    spent: bool = False


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
    that is over one call, and no other, tries it; an answer clears it. When all rest, the one asked longest ago is
    asked all the same, so no call fails without having asked.

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
        self._answered: dict[str, float] = {}
        self._asking: dict[str, _Asking] = {}
        self._tokens = _TOKENS
        self._counted = -math.inf

    # -- before an attempt --

    def orfallback_admit(self, call: Call, target: Target, last_resort: bool) -> float | None:
        """Pass over a target that rests, and let one call alone probe one whose rest is over."""
        self._forget(call)
        now = self._clock.monotonic()
        keys = keys_of(target)
        left = self.store.resting((*keys.values(),))
        unwell = tuple(key for key in keys.values() if key in left and (key != keys[_PARKED] or left[key] > 0))
        if self._records:
            self._catch_up(keys.values(), left, now)
        if not unwell or _comes_back(call, target):
            self._ask(call, _Asking(target, now, unwell))
            return None
        rest = max(left[key] for key in unwell)
        if rest <= 0:
            claimed = self._claim(unwell)
            if claimed:
                self._ask(call, _Asking(target, now, unwell, claimed))
                return None
            rest = _PROBED
        if not last_resort:
            return self._place(unwell, rest, now)
        if call.attempts and not self._spend(now):
            return rest
        self._ask(call, _Asking(target, now, unwell, spent=bool(call.attempts)))
        return None

    def _ask(self, call: Call, asking: _Asking) -> None:
        if len(self._asking) >= _MOST_RECORDS:
            # Left behind by calls that were interrupted where no hook is told of it.
            self._asking.clear()
        self._asking[call.id] = asking

    def _claim(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Claim all of some keys; () if others were faster at one."""
        claimed: list[str] = []
        for key in keys:
            if not self.store.claim(key, self.seconds):
                self._give_back(claimed)
                return ()
            claimed.append(key)
        if any(seconds > 0 for seconds in self.store.resting(claimed).values()):
            # Somebody has probed it since, in vain.
            self._give_back(claimed)
            return ()
        return tuple(claimed)

    def _give_back(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.store.rest(key, 0.0)

    def _place(self, keys: Sequence[str], rest: float, now: float) -> float:
        """Return a target's place among those that rest, as seconds: the smallest is asked first as a last resort.

        Those whose server named no time come first, the one asked longest ago before the others: any of them may be
        well again, and whichever is will be found. The others follow, by the time that is left.
        """
        records = [record for record in map(self._records.get, keys) if record is not None]
        if any(record.hinted for record in records):
            return LONGEST + rest
        asked = max((record.asked for record in records), default=-math.inf)
        return max(LONGEST - (now - asked), 0.0)

    def _spend(self, now: float) -> bool:
        """Tell whether a call that has asked somebody already may ask a target that rests, and count it."""
        if self._counted > -math.inf:
            self._tokens = min(self._tokens + (now - self._counted) / self.seconds, _TOKENS)
        self._counted = now
        tokens = self._tokens
        if tokens < 1:
            return False
        self._tokens = tokens - 1
        return True

    def _catch_up(self, keys: Iterable[str], left: Mapping[str, float], now: float) -> None:
        """Forget what another process, or somebody by hand, has cleared."""
        for key in keys:
            record = self._records.get(key)
            if record is not None and record.until > now and left.get(key, 0.0) <= 0:
                self._records.pop(key, None)

    # -- after it --

    def orfallback_committed(self, call: Call, attempt: Attempt) -> None:
        """Clear what answers."""
        asking = self._asking.get(call.id)
        if asking is not None:
            self._clear(call, asking)
            # From here on it is no old news to itself.
            self._asking[call.id] = _Asking(asking.target, self._clock.monotonic())

    def orfallback_attempt_finished(self, call: Call, attempt: Attempt) -> None:
        """Clear what has answered, and let rest what was busy."""
        asking = self._asking.pop(call.id, None)
        if asking is None:
            return
        verdict = attempt.verdict
        if verdict is None:
            self._tokens = min(self._tokens + 1, _TOKENS)
            self._clear(call, asking)
            return
        keys = keys_of(asking.target)
        what, seconds = self._rest_for(verdict)
        if what and not _out_of_time(call, attempt):
            # Of a free tier that a model without the suffix belongs to, this process knows the model alone.
            what = what if what in keys else _MODEL
            self._let_rest(call, keys[what], seconds, verdict, asking, _name(asking.target, what))
        # A failure that reaches less far says that what reaches further is well again; whatever was claimed is over.
        self._give_back(asking.claimed)

    def orfallback_call_finished(self, call: Call, error: BaseException | None) -> None:
        """Give back what a call was about to probe, and did not."""
        self._forget(call)

    def _forget(self, call: Call) -> None:
        """Take back what a call was admitted to, and did not ask."""
        asking = self._asking.pop(call.id, None)
        if asking is not None:
            self._give_back(asking.claimed)
            self._tokens += asking.spent

    def _rest_for(self, verdict: Verdict) -> tuple[str, float | None]:
        """Return what rests after a verdict, "" for nothing; and for how long, None for as long as it takes."""
        what = _KEY_OF.get(verdict.scope, "")
        hint = verdict.retry_after
        seconds = min(hint, MOST) if hint is not None and 0 < hint < math.inf else None
        if seconds is not None and verdict.reason is not Reason.RATE_LIMITED:
            # A limit has its own time; of anything else a server knows less than whoever tries.
            seconds = min(seconds, self.longest)
        if verdict.again and hint == 0:
            # It may be asked again at once.
            return what, min(_AT_ONCE, self.seconds)
        if what == _MODEL and not verdict.transient:
            # One that is gone is gone for a while; what else a model refuses is about the call.
            return (what, seconds or self.longest) if verdict.reason is Reason.NOT_FOUND else ("", None)
        if what == _ENDPOINT and not verdict.transient:
            # It takes a person to mend it, who wants to see that it is mended.
            seconds = seconds or self.seconds
        return what, seconds

    def _let_rest(
        self, call: Call, key: str, seconds: float | None, verdict: Verdict, asking: _Asking, name: str
    ) -> None:
        now = self._clock.monotonic()
        hinted = seconds is not None
        if not hinted and asking.since < self._answered.get(key, -math.inf):
            # It was asked before it answered somebody else: old news.
            return
        record = self._records.get(key)
        if record is not None and record.until > now:
            # It was asked before it rested, or as a last resort: nothing new, unless its server says so.
            until = record.until if seconds is None else max(record.until, now + seconds)
            self._records[key] = record._replace(until=until, hinted=record.hinted or hinted, asked=now)
            if seconds is not None:
                self.store.rest(key, seconds)
            return
        failures = 1 if record is None else record.failures + 1
        if seconds is None:
            # Beyond 2 ** 20 it is the longest anyway.
            seconds = min(self.seconds * 2 ** min(failures - 1, 20), self.longest)
        if len(self._records) >= _MOST_RECORDS:
            self._records.clear()
        self._records[key] = _Record(now + seconds, failures, verdict.reason, hinted, now)
        self.store.rest(key, seconds)
        level = logging.WARNING if seconds > _WORTH_A_WARNING else logging.INFO
        told = {**_facts(call, asking.target), "reason": str(verdict.reason), "rest": seconds}
        _logger.log(level, "%s rests for %s (%s)", name, in_seconds(seconds), verdict.reason, extra=told)

    def _clear(self, call: Call, asking: _Asking) -> None:
        """Clear what has answered: what was unwell when it was asked, or has failed since for want of luck alone."""
        now = self._clock.monotonic()
        if len(self._answered) >= _MOST_RECORDS:
            self._answered.clear()
        for what, key in keys_of(asking.target).items():
            if what == _PARKED:
                continue
            self._answered[key] = now
            record = self._records.get(key)
            if key in asking.unwell or (record is not None and not record.hinted):
                self._records.pop(key, None)
                self.store.clear(key)
                _logger.info("%s answers again", _name(asking.target, what), extra=_facts(call, asking.target))

    # -- by hand --

    def resting(self, target: Target) -> Iterator[Resting]:
        """Yield what of a target rests now.

        :param target: one of ``chain.targets``, or of those that a hook is given.
        """
        keys = keys_of(target)
        left = self.store.resting((*keys.values(),))
        for what, key in keys.items():
            seconds = left.get(key, 0.0)
            if seconds > 0:
                record = self._records.get(key)
                yield Resting(seconds, what, None if record is None else record.reason)

    def park(self, target: Target, seconds: float) -> None:
        """Let a target rest, whatever it answers meanwhile; ``chain.health.park()`` does so by its name.

        :param target: one of ``chain.targets``, or of those that a hook is given.
        :param seconds: how long.
        """
        self.store.rest(keys_of(target)[_PARKED], seconds)

    def release(self, target: Target) -> None:
        """Forget all that lets a target rest; others at its endpoint go with it if that is what rests.

        :param target: one of ``chain.targets``, or of those that a hook is given.
        """
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


def _facts(call: Call, target: Target) -> dict[str, object]:
    return {"call_id": call.id, "model": clean(target.model)}


def _comes_back(call: Call, target: Target) -> bool:
    """Tell whether a call has asked a target before, and the chain lets it come back: within a call that is its own."""
    return any(
        attempt.model == target.model and attempt.endpoint.startswith(f"{target.base_url}/")
        for attempt in call.attempts
    )


def _out_of_time(call: Call, attempt: Attempt) -> bool:
    """Tell whether the caller's own deadline is what ended an attempt, which says little of the target."""
    spent = sum(each.waited + each.elapsed for each in call.attempts)
    # What plugins took is in no attempt; but the wire tells of the deadline, where it came.
    late = attempt.message == OUT_OF_TIME or spent >= call.deadline - call.started - _ROUNDING
    return attempt.reason is Reason.TIMEOUT and late
