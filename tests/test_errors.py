"""Errors, as the caller sees them (the tree, the pickles, the words) and as the service puts them."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import pytest
import requests

from orfallback import _errors, _reply
from orfallback._errors import CallRejected, ChainExhausted, DeadlineExceeded, FallbackError, StreamInterrupted
from orfallback._failure import give_up, interrupted, rebuilt, rejected, retry_after
from orfallback._types import Attempt, Call, Outcome, UpstreamError
from orfallback._verdict import Reason, Scope, Verdict

URL = "https://openrouter.ai/api/v1/chat/completions"
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
TREE = [CallRejected, ChainExhausted, DeadlineExceeded, StreamInterrupted]

BUSY = Verdict.fallback(Reason.BUSY)
LIMITED = Verdict.fallback(Reason.RATE_LIMITED, after=7.0)
GONE = Verdict.fallback(Reason.NOT_FOUND)
NO_KEY = Verdict.fallback(Reason.UNAUTHORIZED, Scope.ENDPOINT)
BAD = Verdict.abort(Reason.INVALID_REQUEST)


def call(*verdicts: Verdict | None, status: int | None = 502, message: str = "") -> Call:
    """Return a call with an attempt for each verdict, at models a, b, c."""
    attempts = [
        Attempt(number, model, URL, status=status, verdict=verdict, message=message)
        for number, (model, verdict) in enumerate(zip("abcdef", verdicts, strict=False), start=1)
    ]
    return Call("0" * 16, {"messages": [{"role": "user", "content": "SECRET PROMPT"}]}, attempts=tuple(attempts))


OUTCOME = Outcome(status=503, headers={"Retry-After": "7"}, content=b'{"error": "\xc5\xbe"}', url=URL, detail="x")


@pytest.mark.parametrize(("kind", "bases"), [
    pytest.param(FallbackError, {requests.RequestException, OSError}, id="FallbackError"),
    pytest.param(CallRejected, {FallbackError}, id="CallRejected"),
    pytest.param(ChainExhausted, {FallbackError}, id="ChainExhausted"),
    pytest.param(DeadlineExceeded, {FallbackError, requests.Timeout}, id="DeadlineExceeded"),
    pytest.param(StreamInterrupted, {FallbackError, requests.ConnectionError}, id="StreamInterrupted"),
])  # fmt: skip
def test_tree(kind: type[Exception], bases: set[type[Exception]]) -> None:
    """Every error is a RequestException; a late one is a Timeout too, a broken stream a ConnectionError."""
    timely = {requests.Timeout, requests.ConnectionError} & set(kind.__mro__)
    assert bases <= set(kind.__mro__)
    assert timely == {requests.Timeout, requests.ConnectionError} & bases
    assert kind.__name__ in (_errors.__doc__ or "")
    assert not [other for other in TREE if other is not kind and issubclass(kind, other)]


def test_fresh() -> None:
    """An error made of a message alone has no attempts, no reason, no hint, no response and no request."""
    for kind in (FallbackError, *TREE):
        error = kind("why")
        assert (str(error), error.attempts, error.reason, error.retry_after) == ("why", (), None, None)
        assert (error.response, error.request) == (None, None)
    assert StreamInterrupted().text == ""


@pytest.mark.parametrize("copied", [
    *(pytest.param(lambda error, p=p: pickle.loads(pickle.dumps(error, p)), id=f"pickle-{p}") for p in PROTOCOLS),
    pytest.param(copy.copy, id="copy"), pytest.param(copy.deepcopy, id="deepcopy"),
])  # fmt: skip
@pytest.mark.parametrize("kind", TREE)
def test_round_trip(kind: type[Any], copied: Any) -> None:
    """Every error comes back from a pickle with its message, attempts, text, reason, hint and response."""
    text = {"text": "half an ans"} if kind is StreamInterrupted else {}
    attempts = call(BUSY, LIMITED, message="busy").attempts
    error = kind("why: ž", attempts=attempts, reason=Reason.BUSY, retry_after=7.0, response=rebuilt(OUTCOME), **text)
    back = copied(error)
    assert type(back) is kind
    assert (str(back), back.args, back.attempts, back.reason, back.retry_after) == (
        "why: ž",
        ("why: ž",),
        attempts,
        Reason.BUSY,
        7.0,
    )
    assert back.reason is Reason.BUSY
    assert back.attempts[1].verdict == LIMITED
    assert getattr(back, "text", None) == text.get("text")
    assert (back.response.status_code, back.response.headers["retry-after"]) == (503, "7")
    assert (back.response.content, back.response.url, back.request) == (OUTCOME.content, URL, None)


def test_rebuilt() -> None:
    """The response is plain data: status, headers, URL and body as UTF-8, with no request and no connection."""
    response = rebuilt(OUTCOME)
    assert (response.status_code, response.ok, response.url) == (503, False, URL)
    assert response.headers["RETRY-AFTER"] == "7"
    assert (response.json(), response.text) == ({"error": "ž"}, '{"error": "ž"}')
    assert response.raw is None
    assert getattr(response, "request", None) is None
    response.headers["X"] = "1"
    assert OUTCOME.headers == {"Retry-After": "7"}


@pytest.mark.parametrize(("verdict", "expected"), [
    pytest.param(None, False, id="none"),
    pytest.param(BUSY, False, id="busy"), pytest.param(GONE, False, id="not-found"),
    pytest.param(NO_KEY, True, id="unauthorized"), pytest.param(BAD, True, id="invalid-request"),
    pytest.param(Verdict.retry(Reason.RATE_LIMITED, 5.0, Scope.ENDPOINT), False, id="endpoint-but-transient"),
    pytest.param(Verdict.abort(Reason.BUSY), False, id="call-but-transient"),
    pytest.param(Verdict.fallback(Reason.PAYMENT, Scope.FREE_TIER), False, id="free-tier"),
    pytest.param(Verdict.accept(), False, id="accepted"),
])  # fmt: skip
def test_rejected(verdict: Verdict | None, expected: bool) -> None:
    """A call is rejected if its last verdict reaches the endpoint or the call and is not transient."""
    assert rejected((Attempt(1, "a/a", "http://a/v1", verdict=verdict),)) is expected


def test_rejected_at_one_endpoint_of_two() -> None:
    """A refused key at one endpoint is no end where a target at another one was only busy; at the same one it is."""
    busy, refused = Attempt(1, "a/a", "http://a/v1", verdict=BUSY), Attempt(2, "b/b", "http://b/v1", verdict=NO_KEY)
    assert rejected((busy, refused)) is False
    assert rejected((replace(busy, endpoint="http://b/v1"), refused)) is True
    assert rejected((busy, replace(refused, verdict=BAD))) is True
    assert rejected(()) is False


@pytest.mark.parametrize(("verdicts", "late", "kind", "reason", "title"), [
    pytest.param((BUSY, GONE), False, ChainExhausted, Reason.NOT_FOUND, "no model answered", id="exhausted"),
    pytest.param((BUSY,), True, DeadlineExceeded, Reason.BUSY, "the call's deadline came", id="late"),
    pytest.param((), True, DeadlineExceeded, Reason.TIMEOUT, "the call's deadline came", id="late-before-any"),
    pytest.param((), False, ChainExhausted, None, "no model answered", id="none-made"),
    pytest.param((NO_KEY,), False, CallRejected, Reason.UNAUTHORIZED, "the call was rejected", id="endpoint"),
    pytest.param((GONE, BAD), False, CallRejected, Reason.INVALID_REQUEST, "the call was rejected", id="call"),
    pytest.param((NO_KEY,), True, CallRejected, Reason.UNAUTHORIZED, "the call was rejected", id="rejected-and-late"),
    pytest.param((NO_KEY, BUSY), False, ChainExhausted, Reason.BUSY, "no model answered", id="the-last-one-counts"),
])  # fmt: skip
def test_kind(verdicts: tuple[Verdict, ...], late: bool, kind: type, reason: Reason | None, title: str) -> None:
    """The last verdict and the deadline choose the error; it holds every attempt and the last response."""
    this = call(*verdicts)
    error = give_up(this, OUTCOME if verdicts else None, late=late)
    assert type(error) is kind
    assert (error.attempts, error.reason, error.request) == (this.attempts, reason, None)
    assert str(error).startswith(f"{title}: ")
    assert ("no attempt was made" in str(error)) is (not verdicts)
    assert (None if error.response is None else error.response.status_code) == (503 if verdicts else None)


def test_message() -> None:
    """The message names each model, what it answered, and the soonest useful retry; not the prompt."""
    this = call(BUSY, LIMITED, GONE, message="upstream says")
    assert str(give_up(this, OUTCOME, late=False)) == (
        "no model answered: a: 502 busy: upstream says; b: 502 rate_limited: upstream says; "
        "c: 502 not_found: upstream says. Worth another try in 7 s"
    )
    assert str(give_up(call(GONE, status=None), None, late=False)) == "no model answered: a: not_found"
    assert str(give_up(call(), None, late=True)) == "the call's deadline came: no attempt was made"


@pytest.mark.parametrize(("attempt", "words"), [
    (Attempt(1, "m", URL, status=200, verdict=None), "answered"),
    (Attempt(1, "m", URL, status=200, verdict=Verdict.fallback(Reason.EMPTY)), "empty"),
    (Attempt(1, "m", URL, status=502, verdict=BUSY, message="x"), "502 busy: x"),
    (Attempt(1, "m", URL, verdict=Verdict.fallback(Reason.CONNECTION), message="refused"), "connection: refused"),
])  # fmt: skip
def test_summary(attempt: Attempt, words: str) -> None:
    """An attempt is told by its status unless a good one, its reason and the upstream's words."""
    assert attempt.summary == words


@pytest.mark.parametrize(("verdicts", "seconds"), [
    pytest.param((), None, id="none"),
    pytest.param((GONE,), None, id="nothing-transient"),
    pytest.param((BUSY,), 30.0, id="no-hint"),
    pytest.param((LIMITED,), 7.0, id="hint"),
    pytest.param((BUSY, LIMITED, GONE), 7.0, id="soonest"),
    pytest.param((Verdict.fallback(Reason.RATE_LIMITED, after=86_400.0), BUSY), 30.0, id="a-day-and-none"),
    pytest.param((Verdict.retry(Reason.BUSY), BUSY), 0.0, id="at-once"),
    pytest.param((None,), None, id="answered"),
    pytest.param((Verdict.fallback(Reason.NOT_FOUND, after=5.0),), None, id="hint-of-a-final-fault"),
])  # fmt: skip
def test_retry_after(verdicts: tuple[Verdict | None, ...], seconds: float | None) -> None:
    """The soonest useful retry is the least hint of a transient fault, 30 s where it gave none."""
    assert retry_after(call(*verdicts).attempts) == seconds


@pytest.mark.parametrize("last", [NO_KEY, BAD], ids=["endpoint", "call"])
def test_a_rejected_call_promises_no_retry(last: Verdict) -> None:
    """A call that was rejected, where asking again would not help, names no time for another try."""
    error = give_up(call(BUSY, last), OUTCOME, late=False)
    assert type(error) is CallRejected
    assert error.retry_after is None
    assert "another try" not in str(error)


def test_interrupted() -> None:
    """A broken stream's error has the text so far, and says how much it was without showing it."""
    this = call(BUSY, Verdict.fallback(Reason.TRUNCATED, after=3.0), status=200, message="cut")
    error = interrupted(this, OUTCOME, "half an ans")
    told = "the stream broke after 11 characters: a: busy: cut; b: truncated: cut. Worth another try in 3 s"
    assert (str(error), error.text, error.attempts) == (told, "half an ans", this.attempts)
    assert (error.reason, error.retry_after) == (Reason.TRUNCATED, 3.0)


# -- as the service puts them --

OVERLOADED = {"code": 503, "message": "overloaded", "metadata": {"error_type": "provider_overloaded"}}
DISCONNECTED = {"code": 502, "message": "Provider disconnected", "metadata": {"error_type": "provider_unavailable"}}
FULL = (503, "provider_overloaded", "overloaded")
CUT = (502, "provider_unavailable", "Provider disconnected")
ENDED = (None, "", "the reply ended with finish_reason error")


def choice(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, **fields}]}


@pytest.mark.parametrize(("body", "found"), [
    pytest.param({"id": "gen-1", "error": OVERLOADED}, FULL, id="error-alone"),
    pytest.param({"error": {"code": 500, "message": "oops"}, "user_id": "org_x"}, (500, "", "oops"), id="with-user"),
    pytest.param({"id": None, "choices": None, "error": {"code": 429, "message": "slow", "metadata": {"raw": "x"}}},
        (429, "", "slow"), id="nulls"),
    pytest.param(choice(finish_reason="error", message={"content": "half"}, error=DISCONNECTED), CUT, id="in-choice"),
    pytest.param({"error": DISCONNECTED, **choice(delta={"content": ""}, finish_reason="error")}, CUT,
        id="mid-stream"),
    pytest.param({"error": DISCONNECTED, "choices": []}, CUT, id="empty-choices"),
    pytest.param({"choices": [{"delta": {"content": "a"}}, {"error": DISCONNECTED}]}, CUT, id="in-second-choice"),
    pytest.param(choice(finish_reason="error"), ENDED, id="finish-reason-alone"),
    pytest.param(choice(finish_reason="stop", native_finish_reason="error"), ENDED, id="native-finish-reason"),
    pytest.param(choice(finish_reason="insufficient_system_resource"),
        (None, "", "the reply ended with finish_reason insufficient_system_resource"), id="deepseek"),
    pytest.param(choice(finish_reason="ERROR"), ENDED, id="upper-case"),
    pytest.param({"object": "error", "message": "dead", "code": 500}, (500, "", "dead"), id="vllm"),
    pytest.param({"type": "error", "message": "dead", "code": 502}, (502, "error", "dead"), id="by-type"),
    pytest.param({"errors": [{"message": "dead"}]}, (None, "", "dead"), id="errors"),
    pytest.param({"detail": "dead"}, (None, "", "dead"), id="fastapi"),
    pytest.param(choice(delta={"error": {"message": "dead"}}), (None, "", "dead"), id="inside-the-delta"),
    pytest.param({"object": "error"}, (None, "", ""), id="an-object-of-errors-alone"),
    pytest.param({"type": "error"}, (None, "", ""), id="a-type-of-errors-alone"),
    pytest.param({"type": "error", "usage": {"total_tokens": 3}}, (None, "", ""), id="a-type-beside-usage"),
    pytest.param({"error": {}}, (None, "", ""), id="an-error-of-nothing-alone"),
    pytest.param({"message": "dead", "code": 5}, (None, "", "dead"), id="a-message-and-a-code"),
    pytest.param({"message": "dead", "code": "x"}, (None, "x", "dead"), id="a-message-and-a-name"),
    pytest.param({"error": {"detail": "dead"}}, (None, "", "dead"), id="the-detail-of-an-error"),
    pytest.param({"error": "busy"}, (None, "", "busy"), id="text"),
    pytest.param({"error": ["busy", "x"]}, (None, "", "busy"), id="list-of-text"),
    pytest.param({"error": [[OVERLOADED]]}, FULL, id="list-of-objects"),
    pytest.param({"error": True}, (None, "", "true"), id="true"),
    pytest.param({"error": {"code": "server_error", "message": "m"}}, (None, "server_error", "m"), id="code-is-text"),
    pytest.param({"error": {"code": "429", "message": "m"}}, (429, "", "m"), id="code-is-digits"),
    pytest.param({"error": {"message": "m"}}, (None, "", "m"), id="no-code"),
    pytest.param({"error": {"error_type": "No_Endpoints", "http_status": 404, "message": "m"}},
        (404, "no_endpoints", "m"), id="availability-shape"),
    pytest.param({"success": False, "error": {"name": "ZodError", "message": "[{}]"}}, (None, "zoderror", "[{}]"),
        id="zod"),
    pytest.param({"error": {"code": 400, "type": "BadRequest", "message": {"a": 1}}}, (400, "badrequest", '{"a": 1}'),
        id="message-is-object"),
    pytest.param({"error": {"code": 502, "message": None, "metadata": None}}, (502, "", ""), id="null-fields"),
])  # fmt: skip
def test_error_in(body: dict[str, Any], found: tuple[int | None, str, str]) -> None:
    """Every shape of error in a body of good status is found, with its code, kind and message."""
    error = _reply.error_in(body)
    assert error is not None
    assert error[:3] == found
    if body.get("error"):
        assert _reply.refusal_in(body) == error, "a bad status reads the same body the same way"


@pytest.mark.parametrize("body", [
    None, [], "busy", 5, {}, {"error": None}, {"choices": None}, {"choices": [None, 5]},
    {"usage": {"total_tokens": 3}, "detail": "x"}, {"error": {}, "usage": {"total_tokens": 3}}, {"message": "m"},
    *({"message": "m", "code": code} for code in (None, 0, 200, "0", "200", "")),
    {"code": 5}, {"message": "", "code": 5},
    {"error": {"message": "", "code": None}, **choice(finish_reason="stop")}, {"error": {"message": ""}},
    {"error": "", "choices": [], "usage": {}}, {"detail": "x", "choices": []},
    {"error": {}, **choice(finish_reason="stop")}, {"detail": "x", **choice(finish_reason="stop")},
    choice(finish_reason="stop", error=None), choice(finish_reason=None), choice(finish_reason=7),
    {"error": None, **choice(message={"content": "hi"}, finish_reason="stop", native_finish_reason="stop")},
], ids=repr)  # fmt: skip
def test_no_error(body: Any) -> None:
    """A null or empty error, and any other body, is no error."""
    assert _reply.error_in(body) is None


@pytest.mark.parametrize("finish", [pytest.param([], id="list"), pytest.param({"a": 1}, id="object")])
def test_a_finish_reason_that_is_no_text(finish: object) -> None:
    """A finish reason of the wrong type neither fails the call nor the reader."""
    assert _reply.error_in(choice(finish_reason=finish, message={"content": "hi"})) is None


@pytest.mark.parametrize(("code", "read"), [
    pytest.param(429, 429, id="int"), pytest.param("429", 429, id="digits"), pytest.param(100, 100, id="lowest"),
    pytest.param(599, 599, id="highest"), pytest.param(99, None, id="too-low"), pytest.param(600, None, id="too-high"),
    pytest.param(True, None, id="true"), pytest.param(1e9, None, id="1e9"), pytest.param(429.0, None, id="float"),
    pytest.param(None, None, id="null"), pytest.param(-429, None, id="negative"),
    pytest.param("0429", None, id="four-digits"),
    pytest.param("٤٢٩", None, id="arabic-digits"), pytest.param([429], None, id="list"),
    pytest.param({}, None, id="object"),
])  # fmt: skip
def test_code(code: object, read: int | None) -> None:
    """A code counts if it is 100 to 599, as a number or three digits."""
    error = _reply.error_in({"error": {"code": code, "message": "m"}})
    assert error is not None
    assert (error.code, error.message) == (read, "m")


@pytest.mark.parametrize(("body", "found"), [
    pytest.param({"detail": "Not Found"}, (None, "", "Not Found"), id="fastapi"),
    pytest.param({"detail": [{"loc": ["body"], "msg": "field required", "type": "missing"}]},
        (None, "missing", "field required"), id="fastapi-list"),
    pytest.param({"object": "error", "message": "m", "type": "BadRequestError", "code": 400},
        (400, "badrequesterror", "m"), id="vllm"),
    pytest.param({"error": None, "message": "m"}, (None, "", "m"), id="null-error-and-message"),
    pytest.param("error code: 502", (None, "", "error code: 502"), id="text"),
    pytest.param([{"error": "x", "message": "m"}], (None, "", "m"), id="list"),
    pytest.param({}, (None, "", ""), id="empty"), pytest.param(None, (None, "", ""), id="null"),
    pytest.param([], (None, "", ""), id="empty-list"), pytest.param(5, (None, "", ""), id="number"),
])  # fmt: skip
def test_refusal_in(body: Any, found: tuple[int | None, str, str]) -> None:
    """A body of bad status is read in OpenRouter's, vLLM's and FastAPI's shape, and any other is no crash."""
    assert _reply.refusal_in(body)[:3] == found


def test_metadata_and_availability() -> None:
    """Metadata and availability are handed on; availability may sit in the metadata."""
    availability = {"code": "no_endpoints"}
    inside = _reply.error_in({"error": {"code": 404, "metadata": {"availability": availability, "raw": "x"}}})
    assert inside == UpstreamError(404, "", "", {"availability": availability, "raw": "x"}, availability)
    beside = _reply.error_in({"error": {"code": 404, "availability": availability, "metadata": "text"}})
    assert beside == UpstreamError(404, "", "", {}, availability)
