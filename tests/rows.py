"""The rows of the table from signal to verdict, each as a server would show it."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orfallback import Reason, Scope
from orfallback.testing import (
    Behaviour,
    End,
    cut,
    drip,
    empty_deltas,
    error_in_200,
    events,
    keep_alive,
    raw,
    redirect,
    reply,
    reset,
    silence,
    status,
)

BOTH = ("complete", "stream")


@dataclass(frozen=True)
class Row:
    """One signal, and what has to follow.

    :ivar id: the row's number in the table, and what it shows.
    :ivar behaviour: what the first model does.
    :ivar reason: why it is refused.
    :ivar scope: how far that reaches.
    :ivar status: the status of the record.
    :ivar hint: the hint of the verdict, in seconds.
    :ivar again: whether the verdict lets it be asked again.
    :ivar modes: where it makes sense.
    """

    id: str
    behaviour: Behaviour
    reason: Reason
    scope: Scope = Scope.MODEL
    status: int | None = 200
    hint: float | None = None
    again: bool = False
    modes: tuple[str, ...] = BOTH
    timeouts: Mapping[str, float] = field(default_factory=dict)


def said(code: int, message: str = "Provider returned error", /, **metadata: Any) -> Behaviour:
    """A status with OpenRouter's envelope."""
    return status(code, message=message, metadata=metadata or None)


def choice(finish: str | None, message: Mapping[str, Any]) -> dict[str, Any]:
    """A reply of one choice."""
    return {"id": "gen-1", "choices": [{"index": 0, "finish_reason": finish, "message": dict(message)}]}


def delta(finish: str | None = None, **content: Any) -> dict[str, Any]:
    """A chunk of one choice."""
    return {"id": "gen-1", "choices": [{"index": 0, "finish_reason": finish, "delta": content}]}


R, S = Reason, Scope
FREE_TIER, ENDPOINT, CALL = S.FREE_TIER, S.ENDPOINT, S.CALL
WAIT = {"Retry-After": "7"}
# 4 h before the next 00:00 UTC, and that midnight in milliseconds.
EVENING = "Fri, 25 Sep 2026 20:00:00 GMT"
MIDNIGHT = "1790380800000"
PAGE = "<!DOCTYPE html><html><head><title>Bad gateway</title></head><body>busy</body></html>"
QUICK = {"first_token": 0.4, "answer": 0.4, "idle": 0.4}

STATUSES = [
    Row("20 502 whose body says that the model is busy", said(502, "The model is busy"), R.BUSY, status=502),
    Row("1 401", said(401, "User not found."), R.UNAUTHORIZED, ENDPOINT, 401),
    Row("1 401 by type alone", said(400, "no", error_type="authentication"), R.UNAUTHORIZED, ENDPOINT, 400),
    Row(
        "2 402 in-flight budget",
        status(402, message="busy", metadata={"limit_source": "openrouter_in_flight_budget"}, headers=WAIT),
        R.RATE_LIMITED,
        ENDPOINT,
        402,
        7.0,
        True,
    ),
    Row("2 402 with Retry-After", status(402, headers=WAIT), R.RATE_LIMITED, ENDPOINT, 402, 7.0, True),
    Row("3 402 credits", said(402, "more credits", limit_source="openrouter_credits"), R.PAYMENT, ENDPOINT, 402),
    Row("3 402 unknown", said(402), R.PAYMENT, ENDPOINT, 402),
    Row("3 403 key limit", said(403, "no", limit_source="openrouter_key_limit"), R.PAYMENT, ENDPOINT, 403),
    Row("4 403 key limit exceeded", said(403, "Key limit exceeded (monthly limit)."), R.PAYMENT, ENDPOINT, 403),
    Row("4 403 budget", said(403, "no", limit_source="openrouter_workspace_budget"), R.PAYMENT, ENDPOINT, 403),
    Row("5 403 guardrail", said(403, "no", patterns=["x"]), R.MODERATED, CALL, 403),
    Row("5 403 request blocked", said(403, "Request blocked: policy"), R.MODERATED, CALL, 403),
    Row("6 403 moderation", said(403, "flagged", reasons=["x"], flagged_input="y"), R.MODERATED, status=403),
    Row("6 refusal by type", said(400, "no", error_type="refusal"), R.MODERATED, status=400),
    Row("6 policy by type", said(403, "no", error_type="content_policy_violation"), R.MODERATED, status=403),
    Row("7 403 routing", said(403, "no", failed_routing_step="Gate"), R.UNSUPPORTED, status=403),
    Row("7 403 of a provider", said(403, provider_name="SomeHost"), R.UNSUPPORTED, status=403),
    Row(
        "7 403 region",
        status(403, {"error": {"code": 403, "message": "no", "availability": {"code": "region_restricted"}}}),
        R.UNSUPPORTED,
        status=403,
    ),
    Row("8 403", said(403, "Only management keys can perform this operation"), R.UNAUTHORIZED, ENDPOINT, 403),
    Row(
        "9 429 free by the day",
        status(429, message="Rate limit exceeded: free-models-per-day", headers={"Date": EVENING}),
        R.RATE_LIMITED,
        FREE_TIER,
        429,
        14_400.0,
    ),
    Row(
        "9 429 free by the day, with its reset",
        status(
            429,
            message="no",
            metadata={"limit_source": "openrouter_free_tier_daily"},
            headers={"Date": EVENING, "X-RateLimit-Reset": MIDNIGHT},
        ),
        R.RATE_LIMITED,
        FREE_TIER,
        429,
        14_400.0,
    ),
    Row(
        "10 429 free by the minute",
        said(429, "Rate limit exceeded: free-models-per-min."),
        R.RATE_LIMITED,
        FREE_TIER,
        429,
        60.0,
        True,
    ),
    Row(
        "11 429 pool",
        status(429, metadata={"limit_source": "upstream_provider_shared_pool"}, headers=WAIT),
        R.RATE_LIMITED,
        status=429,
        hint=7.0,
    ),
    Row(
        "11 429 of a provider",
        said(429, provider_name="SomeHost", retry_after_seconds=3),
        R.RATE_LIMITED,
        status=429,
        hint=3.0,
    ),
    Row("11 429 by words", said(429, "m is temporarily rate-limited upstream"), R.RATE_LIMITED, status=429),
    Row(
        "12 429 unattributed, HTML",
        status(429, PAGE, content_type="text/html", headers=WAIT),
        R.RATE_LIMITED,
        status=429,
        hint=7.0,
    ),
    Row("13 404 bare", status(404, {"error": {"message": "Not Found", "code": 404}}), R.MISCONFIGURED, ENDPOINT, 404),
    Row(
        "13 404 of llama.cpp",
        status(404, {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}),
        R.MISCONFIGURED,
        ENDPOINT,
        404,
    ),
    Row("13 404 of FastAPI", status(404, {"detail": "Not Found"}), R.MISCONFIGURED, ENDPOINT, 404),
    Row("13 404 of Go", status(404, "404 page not found", content_type="text/plain"), R.MISCONFIGURED, ENDPOINT, 404),
    Row(
        "14 404 of OpenAI's, for a model",
        status(404, {"error": {"message": "The model `x` does not exist", "code": "model_not_found", "param": None}}),
        R.NOT_FOUND,
        status=404,
    ),
    Row("13 404 HTML", status(404, PAGE, content_type="text/html"), R.MISCONFIGURED, ENDPOINT, 404),
    Row("13 405", status(405), R.MISCONFIGURED, ENDPOINT, 405),
    Row(
        "14a 404 for a feature",
        said(404, "No endpoints found that support image input. To learn more, visit …"),
        R.UNSUPPORTED,
        status=404,
    ),
    Row(
        "14a 404 for parameters",
        said(404, "No endpoints found that can handle the requested parameters."),
        R.UNSUPPORTED,
        status=404,
    ),
    Row(
        "14a 404 for a data policy",
        said(404, "No endpoints found matching your data policy (Free model training)."),
        R.UNSUPPORTED,
        status=404,
    ),
    Row(
        "14a 404 for providers",
        said(404, "No allowed providers are available for the selected model."),
        R.UNSUPPORTED,
        status=404,
    ),
    Row(
        "14a by availability",
        status(404, {"error": {"message": "no", "code": 404, "availability": {"code": "privacy_restricted"}}}),
        R.UNSUPPORTED,
        status=404,
    ),
    Row("14 404 no endpoints", said(404, "No endpoints found for m."), R.NOT_FOUND, status=404),
    Row("14 404 upstream", said(404, provider_name="SomeHost"), R.NOT_FOUND, status=404),
    Row("14 410", said(410, "gone"), R.NOT_FOUND, status=410),
    Row(
        "14 by availability",
        status(400, {"error": {"message": "no", "availability": {"code": "no_endpoints"}}}),
        R.NOT_FOUND,
        status=400,
    ),
    Row("15 400 not a valid model ID", said(400, "m is not a valid model ID"), R.NOT_FOUND, status=400),
    Row("16 400 context by type", said(400, "no", error_type="context_length_exceeded"), R.CONTEXT_LENGTH, status=400),
    Row(
        "16 400 context by words",
        said(400, "This endpoint's maximum context length is 32768 tokens."),
        R.CONTEXT_LENGTH,
        status=400,
    ),
    Row(
        "16 400 context of llama.cpp",
        status(
            400,
            {
                "error": {
                    "code": 400,
                    "message": "request (9024 tokens) exceeds the available context size (2048 tokens)",
                    "type": "exceed_context_size_error",
                }
            },
        ),
        R.CONTEXT_LENGTH,
        status=400,
    ),
    Row("17 400 of a provider", said(400, "no", provider_name="SomeHost"), R.UNSUPPORTED, status=400),
    Row("17 422 provider returned error", said(422), R.UNSUPPORTED, status=422),
    Row("17 413 of a provider", said(413, "too large", provider_name="SomeHost"), R.UNSUPPORTED, status=413),
    Row("17 400 mandatory", said(400, "Reasoning is mandatory for this endpoint"), R.UNSUPPORTED, status=400),
    Row("17 400 image too large", said(400, "no", error_type="image_too_large"), R.UNSUPPORTED, status=400),
    Row(
        "17 400 words upstream",
        said(400, "no", raw='{"message":"m does not support prefill"}'),
        R.UNSUPPORTED,
        status=400,
    ),
    Row("18 400 models array", said(400, "'models' array must have 3 items or fewer."), R.INVALID_REQUEST, CALL, 400),
    Row("18 400 no input", said(400, 'Input required: specify "prompt" or "messages"'), R.INVALID_REQUEST, CALL, 400),
    Row(
        "18 400 ZodError",
        status(400, {"success": False, "error": {"name": "ZodError", "message": "[]"}}),
        R.INVALID_REQUEST,
        CALL,
        400,
    ),
    Row("18a 404 image", said(404, "no", error_type="image_not_found"), R.INVALID_REQUEST, CALL, 404),
    Row("18 412", said(412, "no"), R.INVALID_REQUEST, CALL, 412),
    Row("18 413", said(413, "too large"), R.INVALID_REQUEST, CALL, 413),
    Row("18 415", said(415, "no"), R.INVALID_REQUEST, CALL, 415),
    Row("19 400 unknown", said(400, "odd"), R.INVALID_REQUEST, status=400),
    Row("19 422 invalid_prompt", said(422, "odd", error_type="invalid_prompt"), R.INVALID_REQUEST, status=422),
    Row("20 503", said(503), R.BUSY, status=503),
    Row("20 503 with a hint", status(503, headers=WAIT), R.BUSY, status=503, hint=7.0),
    Row("20 529", said(529), R.BUSY, status=529),
    Row("20 502 empty body", status(502, ""), R.BUSY, status=502),
    Row("20b 500", said(500, "Internal Server Error", error_type="server"), R.SERVER_ERROR, status=500),
    Row("20b 425", said(425), R.SERVER_ERROR, status=425),
    Row("20b 409", said(409), R.SERVER_ERROR, status=409),
    Row("20c 408", said(408), R.TIMEOUT, status=408),
    Row("20c 504", said(504, "no", error_type="timeout"), R.TIMEOUT, status=504),
    Row("20c 524 with a JSON error", said(524), R.TIMEOUT, status=524),
    Row("21 520", said(520), R.SERVER_ERROR, status=520),
    Row("21 524 HTML", status(524, PAGE, content_type="text/html"), R.SERVER_ERROR, status=524),
    Row("21 502 HTML", status(502, PAGE, content_type="text/html"), R.SERVER_ERROR, status=502),
    Row("21 bare line", status(502, "error code: 502", content_type="text/plain"), R.SERVER_ERROR, status=502),
    Row("22 525", said(525), R.MISCONFIGURED, ENDPOINT, 525),
    Row("22 526", said(526), R.MISCONFIGURED, ENDPOINT, 526),
    Row("22 407", status(407, PAGE, content_type="text/html"), R.MISCONFIGURED, ENDPOINT, 407),
    Row("22b 302", redirect(302, "http://127.0.0.2:9/"), R.MISCONFIGURED, status=302),
    Row("22b 307", redirect(307, "http://127.0.0.2:9/"), R.MISCONFIGURED, status=307),
    Row("33 unknown 4xx", said(418), R.INVALID_REQUEST, CALL, 418),
    Row("33b unknown 5xx", said(599), R.SERVER_ERROR, status=599),
]

WIRE = [
    Row("24 reset after sending", reset("accept"), R.CONNECTION, status=None),
    Row("24 reset inside the headers", reset("headers"), R.CONNECTION, status=None),
    Row("24 reset inside the body", reset("body"), R.CONNECTION),
    Row("24 closed without a byte", cut("start"), R.CONNECTION, status=None),
    Row("29 cut inside the body", cut("body"), R.TRUNCATED),
    Row("29 cut inside the body, by length", cut("body", framing="length"), R.TRUNCATED),
    Row("29 cut in the JSON, no framing to tell", cut("json", framing="close"), R.MALFORMED, modes=("complete",)),
    Row("29b garbage for a status line", raw(b"garbage\r\n\r\n"), R.MALFORMED, status=None),
    Row(
        "29b two unlike lengths",
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\n{}"),
        R.MALFORMED,
        status=None,
    ),
    Row(
        "29b negative chunk",
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello", end=End.CLOSE),
        R.TRUNCATED,
    ),
    Row(
        "29b bad gzip",
        raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 7\r\n\r\nnotgzip"),
        R.MALFORMED,
    ),
    Row("29c status 101", raw(b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n"), R.MALFORMED, status=101),
    Row("30 silence before the headers", silence("headers"), R.TIMEOUT, status=None, timeouts=QUICK),
    Row(
        "30 silence inside the headers",
        raw(b"HTTP/1.1 200 OK\r\nContent-Type: appl", end=End.HANG),
        R.TIMEOUT,
        status=None,
        timeouts=QUICK,
    ),
    Row("30 silence after the headers", silence("body"), R.TIMEOUT, timeouts=QUICK),
    Row("30 silence before the content", silence("content"), R.TIMEOUT, timeouts=QUICK),
    Row("30 signs of life for ever", keep_alive(), R.TIMEOUT, timeouts=QUICK),
    Row("30 dripped body", drip("body"), R.TIMEOUT, timeouts=QUICK),
    Row("30 dripped headers", drip("headers"), R.TIMEOUT, status=None, timeouts=QUICK),
    Row(
        "30 a flood of deltas without content",
        events(*[delta(role="assistant")] * 200, end=End.HANG),
        R.TIMEOUT,
        modes=("stream",),
        timeouts=QUICK,
    ),
    Row(
        "29b more without content than any stream has",
        events(*[delta(role="assistant", padding="x" * 10_000)] * 500),
        R.MALFORMED,
        modes=("stream",),
    ),
    Row("30 empty deltas for ever", empty_deltas(), R.TIMEOUT, timeouts=QUICK),
]

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
ZIPPED = gzip.compress(b'{"choices": [{"message": {"content": "Hi"}}]}')


def dressed(body: bytes, *headers: bytes, first: bytes = b"200 OK", length: int | None = None) -> Behaviour:
    """A response of these bytes, with its length, or another."""
    lines = [b"HTTP/1.1 " + first, *headers, b"Content-Length: %d" % (len(body) if length is None else length)]
    return raw(b"\r\n".join(lines) + b"\r\n\r\n" + body, end=End.CLOSE)


# HTTP as it ought not to be (faults 13, 14, 16, 17, 21 and 22).
ODD = [
    Row("29b HTTP/2", raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", end=End.CLOSE), R.MALFORMED, status=None),
    Row("29b status 99", dressed(b"{}", first=b"99 X"), R.MALFORMED, status=None),
    Row("33b status 999", dressed(b"{}", first=b"999 X"), R.SERVER_ERROR, status=999),
    Row("29b 101 headers", dressed(b"{}", *[b"X-%d: y" % n for n in range(101)]), R.MALFORMED, status=None),
    Row("29b a header of 70 kB", dressed(b"{}", b"X: " + b"y" * 70_000), R.MALFORMED, status=None),
    Row("29b cut inside the headers", cut("headers"), R.MALFORMED, modes=("complete",)),
    Row("29 cut inside the headers of a stream", cut("headers"), R.TRUNCATED, modes=("stream",)),
    Row("29 shorter than its length", dressed(b'{"choices": []}', length=5_000), R.TRUNCATED),
    Row("29 a chunk size that is none", raw(CHUNKED + b"zz\r\nhello\r\n0\r\n\r\n", end=End.CLOSE), R.TRUNCATED),
    Row("29 a chunk of 16 exabytes", raw(CHUNKED + b"FFFFFFFFFFFFFFFF\r\n{}", end=End.CLOSE), R.TRUNCATED),
    Row("29 cut inside a chunk", raw(CHUNKED + b"20\r\n{}", end=End.CLOSE), R.TRUNCATED),
    Row("29 no last chunk", raw(CHUNKED + b"2\r\n{}\r\n", end=End.CLOSE), R.TRUNCATED),
    Row("29b gzip that is cut", dressed(ZIPPED[:-12], b"Content-Encoding: gzip"), R.MALFORMED),
    Row("29b binary that is no gzip", dressed(b"\x00\xff\x07" * 9, b"Content-Encoding: gzip"), R.MALFORMED),
    Row(
        "29b an encoding that nobody knows",
        dressed(b"\x00\xff\x07" * 9, b"Content-Encoding: snappy"),
        R.MALFORMED,
        modes=("complete",),
    ),
    Row("20 502 of binary", status(502, b"\x00\xff\xfe" * 100), R.BUSY, status=502),
    Row("20 502 of a megabyte", status(502, "x" * 1_000_000), R.BUSY, status=502),
]

# Every place in which a failure can hide in a 200, before any content.
HIDDEN = [
    *(Row(f"25 {shape}", error_in_200(shape=shape), R.SERVER_ERROR) for shape in ("finish", "native", "string")),
    *(
        Row(f"25 {shape}", error_in_200(shape=shape), R.BUSY, status=502)
        for shape in ("top", "bare", "null_choices", "empty_choices", "choice", "string_code")
    ),
    Row(
        "25 500 with a user",
        reply({"error": {"code": 500, "message": "no"}, "user_id": "u"}),
        R.SERVER_ERROR,
        status=500,
    ),
    Row("25 401 inside", error_in_200(401, "no"), R.UNAUTHORIZED, ENDPOINT, 401),
    Row(
        "25 context inside",
        error_in_200(400, metadata={"error_type": "context_length_exceeded"}),
        R.CONTEXT_LENGTH,
        status=400,
    ),
    Row(
        "25 newlines, then an error",
        reply({"error": {"code": 502, "message": "no"}}, leading=b"\n\n"),
        R.BUSY,
        status=502,
    ),
    Row("25 DeepSeek gave up", reply(choice("insufficient_system_resource", {"content": "ha"})), R.SERVER_ERROR),
    Row("26 no choices", reply({"id": "gen-3", "choices": []}), R.EMPTY),
    Row("26 empty text", reply(choice("stop", {"content": ""})), R.EMPTY),
    Row("26 white space", reply(choice("stop", {"content": " \n"})), R.EMPTY),
    Row("26 a number for text", reply(choice("stop", {"content": 5})), R.EMPTY),
    Row("26 a tool call of nothing", reply(choice("stop", {"content": "", "tool_calls": [{}]})), R.EMPTY),
    Row("26 null text", reply(choice("stop", {"content": None})), R.EMPTY),
    Row("26 reasoning alone", reply(choice("stop", {"content": "", "reasoning": "hm"})), R.EMPTY),
    Row(
        "26 stream with no text",
        events(delta(role="assistant", content=""), delta("stop"), "[DONE]"),
        R.EMPTY,
        modes=("stream",),
    ),
    Row("26 [DONE] first of all", events("[DONE]"), R.EMPTY, modes=("stream",)),
    Row("27 length without text", reply(choice("length", {"content": None, "reasoning": "hm"})), R.EMPTY),
    Row("28b content_filter without text", reply(choice("content_filter", {"content": ""})), R.MODERATED),
    Row("28b stream of content_filter", events(delta("content_filter"), "[DONE]"), R.MODERATED, modes=("stream",)),
    Row("29b HTML", reply(PAGE, content_type="text/html"), R.MALFORMED),
    Row("29b empty body", reply(b""), R.MALFORMED, modes=("complete",)),
    Row("29 empty stream", events(), R.TRUNCATED, modes=("stream",)),
    Row("29b white space", reply(b"\n \n"), R.MALFORMED, modes=("complete",)),
    Row("29b null", reply(b"null"), R.MALFORMED, modes=("complete",)),
    Row("29b a list", reply([]), R.MALFORMED),
    Row("29b deep JSON", reply(b"[" * 100_000), R.MALFORMED),
    Row("29b a number of 5,000 digits", reply(b'{"choices": ' + b"9" * 5000 + b"}"), R.MALFORMED),
    Row("29c no reply", reply({"status": "ok"}), R.MALFORMED),
    Row("29b text behind the JSON", reply(b'{"choices": []} and more'), R.MALFORMED),
    Row("29b a NUL in the JSON", reply(b'{"choices": ["\x00"]}'), R.MALFORMED),
    Row("29b a word", reply(b'"busy"'), R.MALFORMED, modes=("complete",)),
    Row("29c choices that are text", reply({"choices": "none"}), R.MALFORMED),
    Row("26 a choice of null", reply({"choices": [None]}), R.EMPTY),
    Row("26 a message of null", reply({"choices": [{"message": None, "finish_reason": "stop"}]}), R.EMPTY),
    Row("25 an error that is a list", reply({"error": ["no"]}), R.SERVER_ERROR),
    Row("25 an error that is a number", reply({"error": 5}), R.SERVER_ERROR),
    Row("25 a code of true", reply({"error": {"code": True, "message": "no"}}), R.SERVER_ERROR),
    Row("25 a code of null", reply({"error": {"code": None, "message": "no"}}), R.SERVER_ERROR),
    Row("29c choices null", reply({"choices": None}), R.MALFORMED),
    Row("29 comments only", events(b": OPENROUTER PROCESSING\n\n"), R.TRUNCATED, modes=("stream",)),
    Row("29 role, then the end", cut("body", clean=True), R.TRUNCATED, modes=("stream",)),
    Row("29b an event that is no JSON", events("{half"), R.MALFORMED, modes=("stream",)),
    Row("29b an event that is no object", events("17"), R.MALFORMED, modes=("stream",)),
    Row(
        "25 error event by its type",
        events(b'event: error\ndata: {"message": "no", "code": 503}\n\n'),
        R.BUSY,
        status=503,
        modes=("stream",),
    ),
]

ROWS = [*STATUSES, *WIRE, *ODD, *HIDDEN]

# Rows that need more than a behaviour: tests/test_endpoints.py shows them.
ELSEWHERE = {
    "1b": (R.UNAUTHORIZED, ENDPOINT, False),
    "22a": (R.MISCONFIGURED, ENDPOINT, False),
    "23": (R.CONNECTION, S.MODEL, False),
}
