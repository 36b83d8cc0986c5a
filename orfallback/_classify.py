"""From signal to verdict: a table, whose first row that matches decides. Pure.

Evidence is weighed in this order: the error object wherever it sits; the status it names, else that of HTTP;
``limit_source``; ``error_type`` and ``availability.code``; moderation, guardrail and routing keys; the words of the
message and of the upstream's own body; the class of the status; the kind of exception. A row's number is that of the
table in the documentation. Sources: OpenRouter's pages "Errors", "Limits" and "Streaming", and bodies seen live.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from orfallback import _hints, _reply
from orfallback._signal import Signal
from orfallback._types import Call, Outcome
from orfallback._verdict import Fault, Reason, Scope, Verdict

# OpenRouter's limit for free models is by the minute (s).
_MINUTE = 60.0


class Classify(Protocol):
    """Judges outcomes; any function of this shape will do."""

    def __call__(self, call: Call, outcome: Outcome, /) -> Verdict | None:
        """Return a verdict; None accepts the outcome as the answer.

        :param call: the call, with the attempts before this one.
        :param outcome: what the attempt brought back.
        """


class Row(NamedTuple):
    """One row of the table.

    :ivar number: its number in the documentation.
    :ivar signal: what it matches, in words.
    :ivar matches: tells whether a signal is of this row.
    :ivar verdict: what follows from the signal.
    """

    number: str
    signal: str
    matches: Callable[[Signal], bool]
    verdict: Callable[[Signal], Verdict]


def default_classifier(call: Call, outcome: Outcome, /) -> Verdict | None:
    """Judge an outcome by the table; None accepts it as the answer.

    :param call: the call, with the attempts before this one.
    :param outcome: what the attempt brought back.
    """
    if is_answer(outcome):
        return None
    signal = Signal(call, outcome)
    return row_for(signal).verdict(signal)


def row_for(signal: Signal) -> Row:
    """Return the first row that a signal matches; the last rows match what no other does."""
    return next(row for row in ROWS if row.matches(signal))


def is_answer(outcome: Outcome) -> bool:
    """Tell whether an outcome is one to take: a reply or a first chunk that says something."""
    if outcome.fault is not None or outcome.error is not None:
        return False
    if outcome.status is None or outcome.status // 100 != 2:
        return False
    if _reply.has_content(outcome.body):
        return True
    # Reasoning commits a stream; a whole reply of reasoning alone is empty.
    return any("delta" in choice for choice in _reply.choices(outcome.body)) and _reply.has_reasoning(outcome.body)


# -- what follows --


def _fallback(reason: Reason, scope: Scope = Scope.MODEL) -> Callable[[Signal], Verdict]:
    return lambda s: Verdict.fallback(reason, scope, s.hint if reason.transient else None)


def _again(reason: Reason, scope: Scope, default: float) -> Callable[[Signal], Verdict]:
    return lambda s: Verdict.retry(reason, default if s.hint is None else s.hint, scope)


def _abort(reason: Reason) -> Callable[[Signal], Verdict]:
    return lambda _: Verdict.abort(reason)


def _until_midnight(s: Signal) -> Verdict:
    after = _hints.until_midnight(s.outcome) if s.hint is None else s.hint
    return Verdict.fallback(Reason.RATE_LIMITED, Scope.FREE_TIER, after)


def _unknown_request(s: Signal) -> Verdict:
    """The model's fault the first time; the caller's when a second model says the very same."""
    return Verdict.abort(Reason.INVALID_REQUEST) if s.repeated else Verdict.fallback(Reason.INVALID_REQUEST)


# -- what a signal is --


def _limited(s: Signal) -> bool:
    return s.status == 429 or s.is_any("rate_limit_exceeded", "capacity_exhausted")


def _in_flight(s: Signal) -> bool:
    return s.status == 402 and ("in_flight_budget" in s.limit or "Retry-After" in s.outcome.headers)


def _moneyless(s: Signal) -> bool:
    limits = ("openrouter_credits", "openrouter_key_limit")
    return s.status == 402 or s.limit in limits or s.is_any("payment_required")


def _over_budget(s: Signal) -> bool:
    return s.status == 403 and (s.limit.endswith("_budget") or s.says("key limit exceeded", "budget of $"))


def _moderated(s: Signal) -> bool:
    flagged = s.status == 403 and s.has("reasons", "flagged_input")
    return flagged or s.is_any("content_policy_violation", "refusal")


def _gated(s: Signal) -> bool:
    # A provider that is named refused on its own account: the next model has another.
    return s.status == 403 and (s.has("failed_routing_step") or s.upstream or s.is_any("region_restricted"))


def _wrong_path(s: Signal) -> bool:
    if s.status == 405:
        return True
    # A 404 of the service itself says which model or endpoint it did not find; "file" is llama.cpp's word.
    bare = s.message in ("", "not found") and not s.metadata and not s.kind and not s.availability
    return s.status == 404 and (bare or s.body is None or s.message in ("file not found", "404 page not found"))


def _unfit(s: Signal) -> bool:
    # The model is there, for others: it lacks what this call has, or may not be asked by this account.
    if s.is_any("privacy_restricted", "constraint_filtered"):
        return True
    words = ("that support", "data policy", "allowed providers", "requested are available matching")
    return s.status == 404 and s.says(*words)


def _gone(s: Signal) -> bool:
    gone = s.is_any("no_endpoints", "model_deprecated", "model_unavailable_upstream", "free_variant_ended")
    return gone or s.status in (404, 410)


def _too_long(s: Signal) -> bool:
    # The last is llama.cpp's.
    kinds = ("context_length_exceeded", "max_tokens_exceeded", "token_limit_exceeded", "exceed_context_size_error")
    words = ("maximum context length", "context window", "context size")
    return s.is_any(*kinds) or (s.status in (400, 413, 422) and s.says(*words))


def _unsupported(s: Signal) -> bool:
    said = s.says("provider returned error", "does not support", "mandatory for this endpoint")
    if s.is_any("image_too_large", "image_too_small", "unsupported_image_format", "string_too_long"):
        return True
    return s.status in (400, 413, 422) and (s.upstream or said)


def _wrong_request(s: Signal) -> bool:
    if s.status in (412, 413, 415) or s.is_any("invalid_image", "image_download_failed"):
        return True
    if s.is_any("payload_too_large", "precondition_failed", "zoderror", "wrong_endpoint"):
        return True
    return s.status == 400 and s.says("'models' array", "input required", "input must have at least 1 token")


def _edge(s: Signal) -> bool:
    return s.status in (520, 521, 522, 523, 530) or (s.status == 524 and s.body is None) or (s.status >= 500 and s.edge)


def _answered(s: Signal) -> bool:
    return s.fault is None and not s.refused and isinstance(s.body, dict) and isinstance(s.body.get("choices"), list)


def _is(*statuses: int, kinds: tuple[str, ...] = ()) -> Callable[[Signal], bool]:
    return lambda s: s.status in statuses or s.is_any(*kinds)


def _broke(*faults: Fault) -> Callable[[Signal], bool]:
    return lambda s: s.fault in faults


def _finished(reason: str) -> Callable[[Signal], bool]:
    return lambda s: _answered(s) and _reply.finish_reason(s.body) == reason


R, S = Reason, Scope

#: The table.
ROWS: tuple[Row, ...] = (
    Row("22", "525, 526; 407 of a proxy", _is(407, 525, 526), _fallback(R.MISCONFIGURED, S.ENDPOINT)),
    Row("1", "401, authentication", _is(401, kinds=("authentication",)), _fallback(R.UNAUTHORIZED, S.ENDPOINT)),
    Row("1b", "no key for OpenRouter", _broke(Fault.NO_KEY), _fallback(R.UNAUTHORIZED, S.ENDPOINT)),
    Row("2", "402 in flight, or with Retry-After", _in_flight, _again(R.RATE_LIMITED, S.ENDPOINT, 0.0)),
    Row("3", "402 otherwise: credits, key limit", _moneyless, _fallback(R.PAYMENT, S.ENDPOINT)),
    Row("4", "403 key limit exceeded, budgets", _over_budget, _fallback(R.PAYMENT, S.ENDPOINT)),
    Row(
        "5",
        "403 of a guardrail: patterns, request blocked",
        lambda s: s.status == 403 and (s.has("patterns") or s.says("request blocked")),
        _abort(R.MODERATED),
    ),
    Row("6", "moderation, refusal", _moderated, _fallback(R.MODERATED)),
    Row("7", "403 of routing, region or a provider", _gated, _fallback(R.UNSUPPORTED)),
    Row("8", "403 otherwise", _is(403, kinds=("permission_denied",)), _fallback(R.UNAUTHORIZED, S.ENDPOINT)),
    Row(
        "9",
        "429 free models, by the day",
        lambda s: _limited(s) and ("free_tier_daily" in s.limit or s.says("free-models-per-day")),
        _until_midnight,
    ),
    Row(
        "10",
        "429 free models, by the minute",
        lambda s: _limited(s) and ("free_tier_per_minute" in s.limit or s.says("free-models-per-min")),
        _again(R.RATE_LIMITED, S.FREE_TIER, _MINUTE),
    ),
    Row(
        "11",
        "429 of a provider's pool",
        lambda s: (
            _limited(s)
            and (
                "upstream" in s.limit or s.upstream or s.says("rate-limited upstream") or s.is_any("capacity_exhausted")
            )
        ),
        _fallback(R.RATE_LIMITED),
    ),
    Row("12", "429 unattributed", _limited, _fallback(R.RATE_LIMITED)),
    Row("18a", "404 image_not_found", _is(kinds=("image_not_found",)), _abort(R.INVALID_REQUEST)),
    Row("13", "404 bare or HTML, 405", _wrong_path, _fallback(R.MISCONFIGURED, S.ENDPOINT)),
    Row("14a", "404 for what the call has, or whom the account allows", _unfit, _fallback(R.UNSUPPORTED)),
    Row("14", "404 otherwise, 410, no endpoints", _gone, _fallback(R.NOT_FOUND)),
    Row(
        "15",
        "400 not a valid model id",
        lambda s: s.is_any("model_not_found") or (s.status == 400 and s.says("not a valid model")),
        _fallback(R.NOT_FOUND),
    ),
    Row("16", "400 context length", _too_long, _fallback(R.CONTEXT_LENGTH)),
    Row("17", "400, 413, 422 of the upstream's own", _unsupported, _fallback(R.UNSUPPORTED)),
    Row(
        "18",
        "400 about the request itself: 'models' array, no input, a schema's complaint, an image; 412, 413, 415",
        _wrong_request,
        _abort(R.INVALID_REQUEST),
    ),
    Row("19", "400, 422 unknown", _is(400, 422, kinds=("invalid_request", "invalid_prompt")), _unknown_request),
    Row(
        "21", "520-523, 530; 524 without a JSON error; 5xx with a page or a bare line", _edge, _fallback(R.SERVER_ERROR)
    ),
    Row(
        "20c",
        "408, 499, 504, 524 with a JSON error, timeout",
        _is(408, 499, 504, 524, kinds=("timeout",)),
        _fallback(R.TIMEOUT),
    ),
    Row(
        "20",
        "502, 503, 529, provider_*",
        _is(502, 503, 529, kinds=("provider_overloaded", "provider_unavailable", "temporarily_unavailable")),
        _fallback(R.BUSY),
    ),
    Row(
        "20b",
        "500, server, unmapped, 409, 425",
        _is(409, 425, 500, kinds=("server", "unmapped")),
        _fallback(R.SERVER_ERROR),
    ),
    Row("22b", "3xx", lambda s: 300 <= s.status < 400, _fallback(R.MISCONFIGURED)),
    Row("33", "4xx unknown", lambda s: 400 <= s.status < 500, _abort(R.INVALID_REQUEST)),
    Row("33b", "5xx unknown", lambda s: s.status >= 500, _fallback(R.SERVER_ERROR)),
    Row(
        "22a",
        "certificate refused, a URL that cannot be asked, a proxy that fails",
        _broke(Fault.CERTIFICATE, Fault.BAD_URL, Fault.PROXY),
        _fallback(R.MISCONFIGURED, S.ENDPOINT),
    ),
    Row("23", "no name, no connection, refused", _broke(Fault.CONNECT), _fallback(R.CONNECTION)),
    Row("24", "reset after sending", _broke(Fault.RESET), _fallback(R.CONNECTION)),
    Row("30", "a limit was hit", _broke(Fault.TIMEOUT), _fallback(R.TIMEOUT)),
    Row("29", "cut on the way, no finish", _broke(Fault.TRUNCATED), _fallback(R.TRUNCATED)),
    Row("29b", "not JSON, HTML, too large", _broke(Fault.MALFORMED, Fault.TOO_LARGE), _fallback(R.MALFORMED)),
    Row(
        "25",
        "200 with an error of no known kind",
        lambda s: s.refused and s.status // 100 != 1,
        _fallback(R.SERVER_ERROR),
    ),
    Row("28b", "200 content_filter without text", _finished("content_filter"), _fallback(R.MODERATED)),
    Row("27", "200 length without text", _finished("length"), _fallback(R.EMPTY)),
    Row("26", "200 without choices or text", _answered, _fallback(R.EMPTY)),
    Row("29c", "anything else that is no reply", lambda _: True, _fallback(R.MALFORMED)),
)
