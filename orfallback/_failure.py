"""What was tried, turned into the error that the caller sees."""

from __future__ import annotations

import math
from collections.abc import Mapping

import requests

from orfallback._delay import REST
from orfallback._errors import CallRejected, ChainExhausted, DeadlineExceeded, StreamInterrupted
from orfallback._text import clean, in_seconds
from orfallback._types import Attempt, Call, Outcome, Target
from orfallback._verdict import Reason, Scope

_NONE: Mapping[Target, float] = {}


def rejected(attempts: tuple[Attempt, ...], unasked: Mapping[Target, float] = _NONE) -> bool:
    """Tell whether asking again would not help: the last verdict is about the call, or about an endpoint and final.

    A final verdict on one endpoint leaves hope where a target at another one failed for a transient reason, or rests.

    :param unasked: those that were passed over and not asked, with the seconds for which they rest.
    """
    last = attempts[-1] if attempts else None
    if last is None or last.verdict is None or last.verdict.transient:
        return False
    if last.verdict.scope is not Scope.ENDPOINT:
        return last.verdict.scope is Scope.CALL
    if any(rest < math.inf and not last.endpoint.startswith(f"{each.base_url}/") for each, rest in unasked.items()):
        return False
    return not any(a.verdict is not None and a.verdict.transient and a.endpoint != last.endpoint for a in attempts)


def give_up(
    call: Call, outcome: Outcome | None, *, late: bool, unasked: Mapping[Target, float] = _NONE
) -> CallRejected | ChainExhausted | DeadlineExceeded:
    """Return the error of a call that got no answer.

    :param call: with all its attempts.
    :param outcome: of the last attempt that had a response.
    :param late: whether the deadline ended it.
    :param unasked: those that were passed over and not asked, with the seconds for which they rest.
    """
    last = call.attempts[-1] if call.attempts else None
    kind: type[CallRejected | ChainExhausted | DeadlineExceeded] = DeadlineExceeded if late else ChainExhausted
    title = "the call's deadline came" if late else "no model answered"
    soonest = retry_after(call.attempts, unasked)
    if rejected(call.attempts, unasked):
        kind, title, soonest = CallRejected, "the call was rejected", None
    return kind(
        _message(title, call.attempts, soonest, unasked),
        attempts=call.attempts,
        reason=last.reason if last is not None else Reason.TIMEOUT if late else None,
        retry_after=soonest,
        response=None if outcome is None else rebuilt(outcome),
    )


def interrupted(call: Call, outcome: Outcome, text: str) -> StreamInterrupted:
    """Return the error of a stream that broke after its first content.

    :param call: with all its attempts; the last is the one that broke.
    :param outcome: what broke it.
    :param text: the text so far.
    """
    last = call.attempts[-1]
    soonest = retry_after(call.attempts)
    return StreamInterrupted(
        _message(f"the stream broke after {len(text)} characters", call.attempts, soonest),
        text=text,
        attempts=call.attempts,
        reason=last.reason,
        retry_after=soonest,
        response=rebuilt(outcome),
    )


def retry_after(attempts: tuple[Attempt, ...], unasked: Mapping[Target, float] = _NONE) -> float | None:
    """Return seconds until the soonest useful retry; None if no attempt failed for a transient reason, and none rests.

    A target that gave no hint, or one that is no time, is taken to be worth asking after 30 s.

    :param unasked: those that were passed over and not asked, with the seconds for which they rest.
    """
    verdicts = [attempt.verdict for attempt in attempts if attempt.verdict is not None]
    hints = [REST if verdict.retry_after is None else verdict.retry_after for verdict in verdicts if verdict.transient]
    worth = [hint if 0 <= hint < math.inf else REST for hint in hints]
    return min([*worth, *(rest for rest in unasked.values() if rest < math.inf)], default=None)


def rebuilt(outcome: Outcome) -> requests.Response:
    """Return the response of an outcome as plain data: no request, no connection, at most 64 kB of body."""
    response = requests.Response()
    response.status_code = outcome.status  # type: ignore[assignment]  # None, as in a new Response
    response.headers.update(outcome.headers)
    response.url = outcome.url
    response._content = outcome.content  # the only way to give a Response its body
    response.encoding = "utf-8"
    return response


def _message(
    title: str, attempts: tuple[Attempt, ...], soonest: float | None, unasked: Mapping[Target, float] = _NONE
) -> str:
    tried = listed(attempts) or "no attempt was made"
    more = ""
    if unasked:
        more = f". Not asked, since they rest: {', '.join(_resting(each, rest) for each, rest in unasked.items())}"
    if soonest is not None:
        more += f". Worth another try in {soonest:g} s"
    return f"{title}: {tried.rstrip('.') if more else tried}{more}"


def _resting(target: Target, rest: float) -> str:
    return (
        f"{clean(target.name or target.model)} ({in_seconds(rest) if rest < math.inf else 'it cannot serve this call'})"
    )


def listed(attempts: tuple[Attempt, ...]) -> str:
    """Return what became of each attempt, on one line."""
    return "; ".join(f"{attempt.model}: {attempt.summary}" for attempt in attempts)
