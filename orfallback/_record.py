"""One call as one line of JSON: what the call log writes, and what the commands that look at it read."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from orfallback._ending import Ending
from orfallback._text import clean
from orfallback._types import Attempt, Call
from orfallback._usage import cost_of, prompt_tokens_of, tokens_of

_T = TypeVar("_T")
#: The most attempts that a record tells of; of more it tells the first and the last.
MOST_ATTEMPTS = 100
# The longest name of a model, a provider or a generation (characters).
_LONGEST_NAME = 200
# What is less is nothing (seconds, US dollars).
_LEAST = 1e-12


class Try(NamedTuple):
    """One attempt of a recorded call.

    :ivar model: the model asked.
    :ivar endpoint: the URL asked, without its query.
    :ivar served_model: the model that the reply named, or None.
    :ivar provider: the provider that the reply named, or None.
    :ivar status: the HTTP status, or None if there was none.
    :ivar reason: why it did not answer; None if it did.
    :ivar message: what the upstream said, at most 500 characters.
    :ivar waited: seconds waited before it.
    :ivar first_token: seconds from its start to the first content of a stream, or None.
    :ivar elapsed: seconds from its start to its end.
    :ivar bytes: decoded bytes of the body.
    :ivar events: data events of a stream.
    :ivar prompt_tokens: tokens of the prompt, or None.
    :ivar completion_tokens: tokens of the answer, or None.
    :ivar cost: US dollars, or None.
    :ivar generation_id: OpenRouter's id of the generation, or None.
    :ivar resent: whether a stale connection made the wire send it twice.
    """

    model: str
    endpoint: str = ""
    served_model: str | None = None
    provider: str | None = None
    status: int | None = None
    reason: str | None = None
    message: str = ""
    waited: float = 0.0
    first_token: float | None = None
    elapsed: float = 0.0
    bytes: int = 0
    events: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None
    generation_id: str | None = None
    resent: bool = False


class Record(NamedTuple):
    """One call.

    :ivar started: seconds since the epoch.
    :ivar id: 16 hexadecimal digits.
    :ivar mode: ``complete`` or ``stream``.
    :ivar ending: how it ended, a value of :class:`Ending`.
    :ivar error: the class of what the caller saw, or None.
    :ivar seconds: from its start to its end.
    :ivar attempts: in order.
    :ivar left_out: how many attempts are not among them, because there were too many.
    :ivar extra: what the host adds.
    """

    started: float
    id: str
    mode: str
    ending: str
    error: str | None = None
    seconds: float = 0.0
    attempts: tuple[Try, ...] = ()
    left_out: int = 0
    extra: Mapping[str, Any] = {}

    @property
    def served(self) -> Try | None:
        """The attempt whose answer the caller got, whole or not; None if there is none."""
        last = self.attempts[-1] if self.attempts else None
        if last is None or self.ending in (Ending.FAILED, Ending.DEGRADED, Ending.ABORTED):
            return None
        return last

    @property
    def first_token(self) -> float | None:
        """Seconds from the call's start to the first content that the caller got, or None."""
        served = self.served
        if served is None or served.first_token is None:
            return None
        return sum(each.waited + each.elapsed for each in self.attempts[:-1]) + served.waited + served.first_token

    @property
    def waited(self) -> float:
        """Seconds that it waited between attempts."""
        return sum(each.waited for each in self.attempts)

    @property
    def cost(self) -> float | None:
        """US dollars for all of its attempts; None if no reply told any."""
        told = [each.cost for each in self.attempts if each.cost is not None]
        return sum(told) if told else None


def record_of(
    call: Call, error: BaseException | None, now: float, extra: Mapping[str, Any] | None = None, took: float = 0.0
) -> Record:
    """Return the record of a call that is over.

    :param call: the call, with all its attempts.
    :param error: what its caller is about to see, or None.
    :param now: seconds since the epoch.
    :param extra: what the host adds; JSON.
    :param took: seconds since it began, as far as they are known: its attempts and waits are not all that takes time.
    """
    attempts: Sequence[Attempt] = call.attempts
    seconds = max(took, sum(attempt.waited + attempt.elapsed for attempt in attempts))
    left_out = max(len(attempts) - MOST_ATTEMPTS, 0)
    return Record(
        started=now - seconds,
        id=call.id,
        mode="stream" if call.stream else "complete",
        ending=str(Ending.of(call, error)),
        error=None if error is None else _name(type(error).__name__),
        seconds=seconds,
        attempts=tuple(map(_try, _ends(attempts, MOST_ATTEMPTS))),
        left_out=left_out,
        extra=extra or {},
    )


def shortened(record: Record, most: int) -> Record:
    """Return a record that tells of so many attempts at most: the first and the last.

    :param most: 2 or more.
    """
    attempts = tuple(_ends(record.attempts, most))
    return record._replace(attempts=attempts, left_out=record.left_out + len(record.attempts) - len(attempts))


def _ends(attempts: Sequence[_T], most: int) -> Sequence[_T]:
    half = most // 2
    return attempts if len(attempts) <= most else (*attempts[:half], *attempts[-half:])


def _try(attempt: Attempt) -> Try:
    usage = attempt.usage or {}
    return Try(
        model=clean(attempt.model, _LONGEST_NAME),
        endpoint=clean(attempt.endpoint.partition("?")[0], _LONGEST_NAME),
        served_model=_name(attempt.served_model),
        provider=_name(attempt.provider),
        status=attempt.status,
        reason=None if attempt.reason is None else str(attempt.reason),
        message=attempt.message,
        waited=attempt.waited,
        first_token=attempt.first_token,
        elapsed=attempt.elapsed,
        bytes=attempt.bytes,
        events=attempt.events,
        prompt_tokens=prompt_tokens_of(usage),
        completion_tokens=tokens_of(usage),
        cost=cost_of(usage),
        generation_id=_name(attempt.generation_id),
        resent=attempt.resent,
    )


def _name(text: str | None) -> str | None:
    return None if text is None else clean(text, _LONGEST_NAME)


# -- as a line of JSON --


def to_line(record: Record) -> str:
    """Return a record as one line of JSON, without the end of the line; what says nothing is left out.

    :raises TypeError: if what the host added is no JSON.
    :raises ValueError: likewise.
    """
    fields: dict[str, Any] = {"time": _shown(record.started)}
    fields.update(_told(record, skip=("started", "attempts", "extra")))
    fields["attempts"] = [_told(each) for each in record.attempts]
    if record.extra:
        fields["extra"] = dict(record.extra)
    return json.dumps(fields, allow_nan=False, separators=(",", ":"))


def _told(fields: Record | Try, skip: Sequence[str] = ()) -> dict[str, Any]:
    """Return the fields that say something; seconds to the microsecond."""
    told: dict[str, Any] = {}
    defaults = fields._field_defaults
    for name, value in fields._asdict().items():
        if name not in skip and (name not in defaults or value != defaults[name]):
            told[name] = round(value, 6) if isinstance(value, float) and name != "cost" else value
    return told


def _shown(instant: float) -> str:
    try:
        at = datetime.datetime.fromtimestamp(instant, datetime.timezone.utc)
    except (ValueError, OverflowError, OSError):
        # A clock of the host's own that no calendar knows.
        at = datetime.datetime.fromtimestamp(0, datetime.timezone.utc)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_line(line: str | bytes) -> Record | None:
    """Return what a line tells; None if it is no record: torn, of something else, or of nonsense."""
    try:
        fields = json.loads(line)
        started = datetime.datetime.fromisoformat(fields.pop("time").replace("Z", "+00:00")).timestamp()
        tries = tuple(Try(**_sound(_TRY, each)) for each in fields.pop("attempts"))
        extra = fields.pop("extra", {})
        if not isinstance(extra, dict):
            return None
        return Record(started=started, attempts=tries, extra=extra, **_sound(_RECORD, fields))
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
        return None


_TEXT, _OPTIONAL_TEXT = (str,), (str, type(None))
_NUMBER, _OPTIONAL_NUMBER = (int, float), (int, float, type(None))
_TRY: Mapping[str, tuple[type, ...]] = {
    "model": _TEXT, "endpoint": _TEXT, "served_model": _OPTIONAL_TEXT, "provider": _OPTIONAL_TEXT,
    "status": (int, type(None)), "reason": _OPTIONAL_TEXT, "message": _TEXT, "waited": _NUMBER,
    "first_token": _OPTIONAL_NUMBER, "elapsed": _NUMBER, "bytes": (int,), "events": (int,),
    "prompt_tokens": (int, type(None)), "completion_tokens": (int, type(None)), "cost": _OPTIONAL_NUMBER,
    "generation_id": _OPTIONAL_TEXT, "resent": (bool,),
}  # fmt: skip
_RECORD: Mapping[str, tuple[type, ...]] = {
    "id": _TEXT, "mode": _TEXT, "ending": _TEXT, "error": _OPTIONAL_TEXT, "seconds": _NUMBER, "left_out": (int,),
}  # fmt: skip


def _sound(kinds: Mapping[str, tuple[type, ...]], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are known; what a later version adds is passed over.

    :raises TypeError: for a value of another type.
    :raises ValueError: for a number that is none.
    """
    sound = {name: fields[name] for name in kinds if name in fields}
    for name, value in sound.items():
        if not isinstance(value, kinds[name]) or (isinstance(value, bool) and bool not in kinds[name]):
            raise TypeError(f"{name} is no {kinds[name][0].__name__}")
        if isinstance(value, (int, float)) and not (math.isfinite(value) and abs(value) < 1e15):
            raise ValueError(f"{name} is no number")
        if isinstance(value, float) and abs(value) < _LEAST:
            sound[name] = 0.0
    return sound
