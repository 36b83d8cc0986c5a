"""The table from signal to verdict, on plain values: each status, type and word for itself, and its neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from orfallback import Fault, Outcome, Reason, Scope, Verdict, default_classifier
from orfallback._classify import is_answer, row_for
from orfallback._signal import Signal
from orfallback._types import Attempt, Call, UpstreamError

CALL = Call("0" * 16, {})
# A status that nothing but its class says anything of.
TEAPOT = 418


def refused(
    status: int = TEAPOT,
    message: str = "odd",
    *,
    kind: str = "",
    availability: str = "",
    headers: Mapping[str, str] | None = None,
    content: bytes = b"",
    body: Any = (),
    **metadata: Any,
) -> Outcome:
    """An outcome as the wire makes it of an error's status."""
    error = UpstreamError(None, kind, message, metadata, {"code": availability} if availability else {})
    body = {"error": {}} if body == () else body
    return Outcome(status=status, headers=headers or {}, content=content, body=body, error=error)


def row(outcome: Outcome) -> str:
    """Return the number of the row that an outcome matches."""
    return row_for(Signal(CALL, outcome)).number


STATUSES = {
    400: "19", 401: "1", 402: "3", 403: "8", 404: "14", 405: "13", 407: "22", 408: "20c", 409: "20b", 410: "14",
    412: "18", 413: "18", 415: "18", 422: "19", 425: "20b", 429: "12", 499: "20c", 500: "20b", 502: "20", 503: "20",
    504: "20c", 520: "21", 521: "21", 522: "21", 523: "21", 524: "20c", 525: "22", 526: "22", 529: "20", 530: "21",
}  # fmt: skip
CLASSES = {1: "29c", 2: "25", 3: "22b", 4: "33", 5: "33b"}


@pytest.mark.parametrize("status", range(100, 600))
def test_each_status(status: int) -> None:
    """A status whose error says nothing is of the row that names it, or else of its class."""
    assert row(refused(status)) == STATUSES.get(status, CLASSES[status // 100])


KINDS = {
    "1": ["authentication"],
    "3": ["payment_required"],
    "6": ["content_policy_violation", "refusal"],
    "8": ["permission_denied"],
    "11": ["capacity_exhausted"],
    "12": ["rate_limit_exceeded"],
    "18a": ["image_not_found"],
    "14": [
        "no_endpoints", "model_deprecated", "model_unavailable_upstream", "free_variant_ended",
    ],
    "14a": ["privacy_restricted", "constraint_filtered"],
    "15": ["model_not_found"],
    "16": ["context_length_exceeded", "max_tokens_exceeded", "token_limit_exceeded", "exceed_context_size_error"],
    "17": ["image_too_large", "image_too_small", "unsupported_image_format", "string_too_long"],
    "18": [
        "invalid_image", "image_download_failed", "payload_too_large", "precondition_failed", "zoderror",
        "wrong_endpoint",
    ],
    "19": ["invalid_request", "invalid_prompt"],
    "20": ["provider_overloaded", "provider_unavailable", "temporarily_unavailable"],
    "20b": ["server", "unmapped"],
    "20c": ["timeout"],
    "33": ["region_restricted", "something_else"],
}  # fmt: skip


@pytest.mark.parametrize("where", ["kind", "availability"])
@pytest.mark.parametrize(("number", "name"), [(number, name) for number, names in KINDS.items() for name in names])
def test_each_type(number: str, name: str, where: str) -> None:
    """A type of error decides where the status does not, and so does the code of an availability."""
    assert row(refused(kind=name) if where == "kind" else refused(availability=name)) == number


@pytest.mark.parametrize(("number", "status", "metadata"), [
    ("2", 402, {"limit_source": "openrouter_in_flight_budget"}),
    ("2", 402, {"reason": "in_flight_budget"}),
    ("3", 402, {"limit_source": "openrouter_credits"}),
    ("3", TEAPOT, {"limit_source": "openrouter_credits"}),
    ("3", TEAPOT, {"limit_source": "openrouter_key_limit"}),
    ("33", TEAPOT, {"limit_source": "in_flight_budget"}),
    ("4", 403, {"limit_source": "openrouter_workspace_budget"}),
    ("8", 403, {"limit_source": "budget_of_another_kind"}),
    ("33", TEAPOT, {"limit_source": "openrouter_workspace_budget"}),
    ("5", 403, {"patterns": ["x"]}),
    ("8", 403, {"patterns": []}),
    ("33", TEAPOT, {"patterns": ["x"]}),
    ("6", 403, {"reasons": ["x"]}),
    ("6", 403, {"flagged_input": "x"}),
    ("33", TEAPOT, {"reasons": ["x"], "flagged_input": "x"}),
    ("7", 403, {"failed_routing_step": "Gate"}),
    ("7", 403, {"provider_name": "Host"}),
    ("33", TEAPOT, {"failed_routing_step": "Gate", "provider_name": "Host"}),
    ("9", 429, {"limit_source": "openrouter_free_tier_daily"}),
    ("10", 429, {"limit_source": "openrouter_free_tier_per_minute"}),
    ("11", 429, {"limit_source": "upstream_provider_shared_pool"}),
    ("11", 429, {"provider_name": "Host"}),
    ("33", TEAPOT, {"limit_source": "openrouter_free_tier_daily"}),
    ("33", TEAPOT, {"limit_source": "openrouter_free_tier_per_minute"}),
    ("33", TEAPOT, {"limit_source": "upstream_provider_shared_pool"}),
    ("14", 404, {"provider_name": "Host"}),
    ("17", 400, {"provider_name": "Host"}),
    ("17", 413, {"provider_name": "Host"}),
    ("17", 422, {"provider_name": "Host"}),
    ("18", 415, {"provider_name": "Host"}),
])  # fmt: skip
def test_metadata(number: str, status: int, metadata: Mapping[str, Any]) -> None:
    """What an error tells beside its message decides together with its status, and not without it."""
    assert row(refused(status, **metadata)) == number


@pytest.mark.parametrize(("number", "statuses", "words"), [
    ("4", [403], ["Key limit exceeded", "budget of $"]),
    ("5", [403], ["Request blocked"]),
    ("9", [429], ["free-models-per-day"]),
    ("10", [429], ["free-models-per-min"]),
    ("11", [429], ["rate-limited upstream"]),
    ("15", [400], ["not a valid model"]),
    ("16", [400, 413, 422], ["Maximum context length", "context window", "context size"]),
    ("17", [400, 413, 422], ["provider returned error", "does not support", "Mandatory for this endpoint"]),
    ("18", [400], ["'models' array", "input required", "Input must have at least 1 token"]),
])  # fmt: skip
def test_words(number: str, statuses: list[int], words: list[str]) -> None:
    """Words of the message, or of the upstream's own body, decide under the statuses that they come with alone."""
    for word in words:
        for status in statuses:
            assert row(refused(status, f"So {word} it is")) == number
            assert row(refused(status, raw=f"So {word} it is")) == number
        assert row(refused(TEAPOT, f"So {word} it is")) == "33"


@pytest.mark.parametrize(("number", "outcome"), [
    pytest.param("7", refused(403, availability="region_restricted"), id="403 of a region, told by its availability"),
    pytest.param("7", refused(403, kind="region_restricted"), id="403 of a region"),
    pytest.param("2", refused(402, headers={"Retry-After": "7"}), id="402 with a hint"),
    pytest.param("33", refused(TEAPOT, headers={"Retry-After": "7"}), id="another with a hint"),
    pytest.param("13", refused(404, ""), id="404 without a word"),
    pytest.param("13", refused(404, "Not Found"), id="404 not found"),
    pytest.param("14", refused(404, "Not Found", x=1), id="404 with metadata"),
    pytest.param("14", refused(404, "Not Found", kind="x"), id="404 with a type"),
    pytest.param("14", refused(404, "Not Found", availability="x"), id="404 with an availability"),
    pytest.param("13", refused(404, "odd", body=None), id="404 that is no JSON"),
    pytest.param("13", refused(404, "File Not Found", kind="x"), id="404 of a file"),
    pytest.param("13", refused(404, "404 page not found", kind="x"), id="404 of a page"),
    pytest.param("33", refused(TEAPOT, "Not Found"), id="another that is not found"),
    pytest.param("33", refused(TEAPOT, "File Not Found", body=None), id="another of a file"),
    pytest.param("21", refused(524, body=None), id="524 that is no JSON"),
    pytest.param("21", refused(500, body=None, content=b"<html>"), id="500 with a page"),
    pytest.param("21", refused(502, "error code: 502", body=None), id="502 with a bare line"),
    pytest.param("20", refused(502, "an error code: 502", body=None), id="502 with other text"),
    pytest.param("20", refused(502, "error code: 502"), id="502 with JSON"),
    pytest.param("20c", refused(499, body=None, content=b"<html>"), id="499 with a page"),
])  # fmt: skip
def test_other_signals(number: str, outcome: Outcome) -> None:
    """What decides between rows of the same status."""
    assert row(outcome) == number


BROKEN = {
    "1b": [Fault.NO_KEY],
    "22a": [Fault.CERTIFICATE, Fault.BAD_URL, Fault.PROXY],
    "23": [Fault.CONNECT],
    "24": [Fault.RESET],
    "29": [Fault.TRUNCATED],
    "29b": [Fault.MALFORMED, Fault.TOO_LARGE],
    "30": [Fault.TIMEOUT],
}


@pytest.mark.parametrize("status", [None, 200, 503])
@pytest.mark.parametrize("fault", Fault)
def test_each_fault(fault: Fault, status: int | None) -> None:
    """A fault of the wire decides alone, whatever came with it."""
    (number,) = [number for number, faults in BROKEN.items() if fault in faults]
    body = {"choices": [{"finish_reason": "length", "message": {"content": "Hi"}}]}
    assert row(Outcome(status=status, fault=fault, body=body)) == number


def whole(finish: str | None, text: Any = None, status: int = 200) -> Outcome:
    """A reply of one choice."""
    return Outcome(status=status, body={"choices": [{"finish_reason": finish, "message": {"content": text}}]})


@pytest.mark.parametrize(("number", "outcome"), [
    pytest.param("28b", whole("content_filter"), id="filtered"),
    pytest.param("27", whole("length"), id="too long"),
    pytest.param("26", whole("stop"), id="nothing"),
    pytest.param("26", Outcome(status=200, body={"choices": []}), id="no choice"),
    pytest.param("29c", Outcome(status=200, body={"choices": None}), id="no choices"),
    pytest.param("29c", Outcome(status=200, body=[{"choices": []}]), id="a list"),
    pytest.param("29c", Outcome(status=200), id="no body"),
    pytest.param("25", Outcome(status=200, body={"choices": []}, error=UpstreamError()), id="an error beside choices"),
    pytest.param("20", Outcome(status=200, body={}, error=UpstreamError(503)), id="an error with its status"),
    pytest.param("20", Outcome(status=200, body={}, error=UpstreamError(None, "overloaded_error")), id="of a type"),
    pytest.param("20b", Outcome(status=500, body={}, error=UpstreamError(None, "overloaded_error")), id="by HTTP"),
])  # fmt: skip
def test_replies_that_are_none(number: str, outcome: Outcome) -> None:
    """A good status without an answer in it."""
    assert not is_answer(outcome)
    assert row(outcome) == number


@pytest.mark.parametrize(("earlier", "now", "repeated"), [
    (("m/a", 400, "m/a is odd"), ("n/b", 400, "n/b is odd"), True),
    (("m/a", 400, "a is odd"), ("n/b", 400, "b is odd"), True),
    (("m/a", 400, "m/a is odd"), ("n/b", 400, "n/b is even"), False),
    (("m/a", 400, "odd"), ("n/b", 422, "odd"), False),
    (("m/a", 400, "odd"), ("", 400, "odd"), True),
    (("m/", 400, "m/ is odd"), ("n", 400, "n is odd"), True),
])  # fmt: skip
def test_a_refusal_in_the_same_words(earlier: Any, now: Any, repeated: bool) -> None:
    """A second model that refuses with the same status and words, its own name aside, shows the request to be wrong."""
    model, status, message = earlier
    verdict = Verdict.fallback(Reason.INVALID_REQUEST)
    attempt = Attempt(1, model, "http://x/v1", status=status, verdict=verdict, message=message)
    model, status, message = now
    outcome = replace(refused(status, message), model=model)
    abort = Verdict.abort(Reason.INVALID_REQUEST)
    assert default_classifier(replace(CALL, attempts=(attempt,)), outcome) == (abort if repeated else verdict)
    other = replace(attempt, verdict=Verdict.fallback(Reason.UNSUPPORTED))
    assert default_classifier(replace(CALL, attempts=(other,)), outcome) == verdict


@pytest.mark.parametrize(("outcome", "answers"), [
    (whole("stop", "Hi"), True),
    (whole("stop", "Hi", status=201), True),
    (whole("stop", "Hi", status=299), True),
    (whole("stop", "Hi", status=300), False),
    (whole("stop", "Hi", status=199), False),
    (whole("stop", " "), False),
    (Outcome(body=whole("stop", "Hi").body), False),
    (Outcome(status=200, fault=Fault.TRUNCATED, body=whole("stop", "Hi").body), False),
    (Outcome(status=200, error=UpstreamError(), body=whole("stop", "Hi").body), False),
    (Outcome(status=200, body={"choices": [{"delta": {"reasoning": "hm"}}]}), True),
    (Outcome(status=200, body={"choices": [{"message": {"reasoning": "hm"}}]}), False),
    (Outcome(status=200, body={"choices": [{"delta": {}}]}), False),
])  # fmt: skip
def test_what_is_an_answer(outcome: Outcome, answers: bool) -> None:
    """An answer has a good status, no fault, no error, and says something; a stream may begin with reasoning."""
    assert is_answer(outcome) is answers
    assert (default_classifier(CALL, outcome) is None) is answers


HINT = {"Retry-After": "7"}
R, S = Reason, Scope
VERDICTS = [
    (refused(401, headers=HINT), Verdict.fallback(R.UNAUTHORIZED, S.ENDPOINT)),
    (refused(402, headers=HINT), Verdict.retry(R.RATE_LIMITED, 7.0, S.ENDPOINT)),
    (refused(402, limit_source="in_flight_budget"), Verdict.retry(R.RATE_LIMITED, 0.0, S.ENDPOINT)),
    (refused(402, limit_source="openrouter_credits"), Verdict.fallback(R.PAYMENT, S.ENDPOINT)),
    (refused(403, "budget of $", headers=HINT), Verdict.fallback(R.PAYMENT, S.ENDPOINT)),
    (refused(403, patterns=["x"], headers=HINT), Verdict.abort(R.MODERATED)),
    (refused(403, reasons=["x"], headers=HINT), Verdict.fallback(R.MODERATED)),
    (refused(403, provider_name="Host"), Verdict.fallback(R.UNSUPPORTED)),
    (refused(403), Verdict.fallback(R.UNAUTHORIZED, S.ENDPOINT)),
    (refused(429, "free-models-per-day", headers=HINT), Verdict.fallback(R.RATE_LIMITED, S.FREE_TIER, 7.0)),
    (
        refused(429, "free-models-per-day", headers={"Date": "Fri, 25 Sep 2026 20:00:00 GMT"}),
        Verdict.fallback(R.RATE_LIMITED, S.FREE_TIER, 14_400.0),
    ),
    (refused(429, "free-models-per-min"), Verdict.retry(R.RATE_LIMITED, 60.0, S.FREE_TIER)),
    (refused(429, "free-models-per-min", headers=HINT), Verdict.retry(R.RATE_LIMITED, 7.0, S.FREE_TIER)),
    (refused(429, provider_name="Host", headers=HINT), Verdict.fallback(R.RATE_LIMITED, after=7.0)),
    (refused(429, headers=HINT), Verdict.fallback(R.RATE_LIMITED, after=7.0)),
    (refused(429), Verdict.fallback(R.RATE_LIMITED)),
    (refused(404, kind="image_not_found"), Verdict.abort(R.INVALID_REQUEST)),
    (refused(404, "", headers=HINT), Verdict.fallback(R.MISCONFIGURED, S.ENDPOINT)),
    (refused(404, headers=HINT), Verdict.fallback(R.NOT_FOUND)),
    (refused(400, "not a valid model"), Verdict.fallback(R.NOT_FOUND)),
    (refused(400, "context window"), Verdict.fallback(R.CONTEXT_LENGTH)),
    (refused(400, "does not support"), Verdict.fallback(R.UNSUPPORTED)),
    (refused(413), Verdict.abort(R.INVALID_REQUEST)),
    (refused(400), Verdict.fallback(R.INVALID_REQUEST)),
    (refused(520, headers=HINT), Verdict.fallback(R.SERVER_ERROR, after=7.0)),
    (refused(504, headers=HINT), Verdict.fallback(R.TIMEOUT, after=7.0)),
    (refused(503, headers=HINT), Verdict.fallback(R.BUSY, after=7.0)),
    (refused(503), Verdict.fallback(R.BUSY)),
    (refused(500, headers=HINT), Verdict.fallback(R.SERVER_ERROR, after=7.0)),
    (refused(302, headers=HINT), Verdict.fallback(R.MISCONFIGURED)),
    (refused(TEAPOT, headers=HINT), Verdict.abort(R.INVALID_REQUEST)),
    (refused(599, headers=HINT), Verdict.fallback(R.SERVER_ERROR, after=7.0)),
    (refused(525, headers=HINT), Verdict.fallback(R.MISCONFIGURED, S.ENDPOINT)),
    (Outcome(fault=Fault.NO_KEY), Verdict.fallback(R.UNAUTHORIZED, S.ENDPOINT)),
    (Outcome(fault=Fault.CERTIFICATE), Verdict.fallback(R.MISCONFIGURED, S.ENDPOINT)),
    (Outcome(fault=Fault.CONNECT), Verdict.fallback(R.CONNECTION)),
    (Outcome(fault=Fault.RESET), Verdict.fallback(R.CONNECTION)),
    (Outcome(fault=Fault.TIMEOUT), Verdict.fallback(R.TIMEOUT)),
    (Outcome(fault=Fault.TRUNCATED), Verdict.fallback(R.TRUNCATED)),
    (Outcome(fault=Fault.TOO_LARGE), Verdict.fallback(R.MALFORMED)),
    (whole("content_filter"), Verdict.fallback(R.MODERATED)),
    (whole("length"), Verdict.fallback(R.EMPTY)),
    (whole("stop"), Verdict.fallback(R.EMPTY)),
    (Outcome(status=200), Verdict.fallback(R.MALFORMED)),
]


@pytest.mark.parametrize(("outcome", "verdict"), [pytest.param(*each, id=row(each[0])) for each in VERDICTS])
def test_the_verdict_of_each_row(outcome: Outcome, verdict: Verdict) -> None:
    """A row's reason and reach, and the hint of the server where a wait would help."""
    assert default_classifier(CALL, outcome) == verdict
