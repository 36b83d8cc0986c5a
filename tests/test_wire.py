"""One request and its reply, over a transport that answers by itself: which limits hold when, and what comes of it."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest
import requests
from rows import BOTH

from orfallback import Fault, Outcome, Timeouts, _reply
from orfallback._chunks import Chunks
from orfallback._request import Request
from orfallback._watch import Watch
from orfallback._wire import Wire
from orfallback.testing import FakeClock

REPLY = json.dumps({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}).encode()
STREAM = b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\ndata: [DONE]\n\n'
ASKED = Request("m", "http://x/v1/chat/completions", b"{}", {}, None)
LIMITS = Timeouts(connect=1, first_token=2, idle=3, answer=4)


class Double:
    """A transport that remembers what it was told of limits, and answers with these bytes.

    :ivar told: the limit's name, its seconds, the patience and the limit for connecting, when the request was sent.
    """

    def __init__(self, body: bytes = REPLY, status: int = 200) -> None:
        self.told: tuple[str, float, float, float] | None = None
        self.watch: Watch | None = None
        self._body = body
        self._status = status

    def send(self, request: Request, watch: Watch) -> requests.Response:
        """Answer."""
        assert request is ASKED
        self.watch = watch
        self.told = (watch.limit, watch.seconds, watch.patience, watch.connecting())
        response = requests.Response()
        response.status_code, response.raw = self._status, io.BytesIO(self._body)
        return response

    def ask(self, mode: str, limits: Timeouts = LIMITS, deadline: float = math.inf) -> Outcome:
        """Ask through it."""
        transport: Any = self
        return Wire(transport, limits, FakeClock()).ask(ASKED, stream=mode == "stream", deadline=deadline)

    @property
    def limit(self) -> tuple[str, float] | None:
        """The limit at the end."""
        return None if self.watch is None else (self.watch.limit, self.watch.seconds)


@pytest.mark.parametrize(("mode", "limits", "told"), [
    ("complete", LIMITS, ("answer", 4, 4, 1)),
    ("stream", LIMITS, ("first_token", 2, 3, 1)),
    ("stream", Timeouts(connect=1, first_token=5, idle=3), ("first_token", 5, 5, 1)),
    ("complete", Timeouts(connect=None, answer=None), ("answer", math.inf, math.inf, math.inf)),
    ("stream", Timeouts(connect=1, first_token=None, idle=3), ("first_token", math.inf, math.inf, 1)),
    ("stream", Timeouts(connect=1, first_token=2, idle=None), ("first_token", 2, math.inf, 1)),
])  # fmt: skip
def test_the_limit_when_it_is_sent(mode: str, limits: Timeouts, told: tuple[str, float, float, float]) -> None:
    """A whole answer has its own limit, a stream that of the first token; a socket that is told once, the longest."""
    double = Double()
    double.ask(mode, limits)
    assert double.told == told


def test_after_the_first_content_idle_is_the_limit() -> None:
    """A stream that was begun may pause as long as ``idle``."""
    double = Double(STREAM)
    outcome = double.ask("stream")
    assert isinstance(outcome.value, Chunks)
    assert double.limit == ("idle", 3)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(("deadline", "seconds"), [(math.inf, 4.0), (2.0, 2.0)])
def test_the_limit_of_a_refusals_body(mode: str, deadline: float, seconds: float) -> None:
    """The body of a refusal may take as long as the call has left, five seconds at most."""
    double = Double(b'{"error": {"message": "busy"}}', 503)
    clock = FakeClock().monotonic()
    outcome = double.ask(mode, Timeouts(connect=1, first_token=4, answer=4), clock + deadline)
    assert (outcome.status, outcome.message, outcome.content) == (503, "busy", b'{"error": {"message": "busy"}}')
    assert double.watch is not None
    assert double.watch.limit == "answer"
    assert double.watch.seconds == pytest.approx(seconds, abs=0.5)


def test_a_refusals_body_may_take_five_seconds() -> None:
    """However long an answer may take."""
    double = Double(b"", 503)
    double.ask("complete", Timeouts(answer=600))
    assert double.limit == ("answer", 5.0)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(("status", "good"), [(200, True), (201, True), (299, True), (199, False), (300, False)])
def test_good_statuses(mode: str, status: int, good: bool) -> None:
    """Any 2xx is read as a reply, anything else as a refusal."""
    outcome = Double(REPLY if mode == "complete" else STREAM, status).ask(mode)
    assert (outcome.value is not None, outcome.error is None) == (good, good)


@pytest.mark.parametrize("mode", BOTH)
def test_too_many_values(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body of too many values is told as such, with its beginning."""
    monkeypatch.setattr(_reply, "MOST_VALUES", 3)
    outcome = Double(b'{"a":[1,2,3]}').ask(mode)
    assert (outcome.fault, outcome.detail) == (Fault.TOO_LARGE, "the body holds more than 3 values")
    assert (outcome.content, outcome.value, outcome.status) == (b'{"a":[1,2,3]}', None, 200)


PAGE = b"<HTML><head>\n<TITLE lang=en>Bad\n gateway</TITLE>"


@pytest.mark.parametrize(("body", "detail"), [
    (b"", "not JSON: an empty body"),
    (b" \n ", "not JSON: an empty body"),
    (b"oops", "not JSON: 4 bytes"),
    (b"<p>oops", "not JSON: 7 bytes"),
    (PAGE, "not JSON: an HTML page: Bad gateway"),
    (PAGE.lower(), "not JSON: an HTML page: bad gateway"),
    (b"<html><title>B\xffd</title>", "not JSON: an HTML page: B\ufffdd"),
    (b"<html>" + b" " * 4_083 + b"<title>far</title>", "not JSON: an HTML page"),
    (b"<html>" + b" " * 4_082 + b"<title>far</title>", "not JSON: an HTML page: f"),
    (b"<html><title></title>", "not JSON: an HTML page"),
    (b"<html><title>" + b"x" * 300, "not JSON: an HTML page: " + "x" * 200),
    (b"[1]", "no JSON object"),
    (b"null", "no JSON object"),
    (b'"Hi"', "no JSON object"),
    (b"x" * 70_000, "not JSON: 70000 bytes"),
])  # fmt: skip
def test_what_is_no_reply(body: bytes, detail: str) -> None:
    """A body that is no JSON object is told by what it is, without quoting what may be half an answer."""
    outcome = Double(body).ask("complete")
    assert (outcome.fault, outcome.detail) == (Fault.MALFORMED, detail)
    assert (outcome.content, outcome.value, outcome.error) == (body[:65_536], None, None)


@pytest.mark.parametrize(("body", "message"), [
    (b"", "an empty body"),
    (b"busy\x1b[31m", "busy [31m"),
    (PAGE, "an HTML page: Bad gateway"),
    (b"<html>", "an HTML page"),
    ("🐎".encode() * 300, "🐎" * 250),
    (b"x" * 70_000, "x" * 499 + "…"),
])  # fmt: skip
def test_what_a_refusal_says(body: bytes, message: str) -> None:
    """A refusal that is no JSON is quoted, cleaned and bounded; a page is not, but for its title."""
    outcome = Double(body, 502).ask("complete")
    assert (outcome.fault, outcome.message) == (None, message)
    assert outcome.content == body[:65_536]


def test_a_reply_is_kept_as_it_came() -> None:
    """The beginning of a reply is kept beside what it says, an error inside a 200 without what was sent."""
    outcome = Double().ask("complete")
    assert (outcome.content, outcome.value, outcome.body) == (REPLY, json.loads(REPLY), json.loads(REPLY))
    told = {"error": {"code": 502, "message": "no"}, "padding": "x" * 70_000}
    outcome = Double(json.dumps(told).encode()).ask("complete")
    assert (outcome.body, outcome.value, outcome.message) == (told, told, "no")


def test_a_reply_instead_of_a_stream_is_kept_as_it_came() -> None:
    """A server that does not know ``stream`` has its reply kept beside what it says, and nothing is left open."""
    outcome = Double().ask("stream")
    assert isinstance(outcome.value, Chunks)
    assert (outcome.content, outcome.body, outcome.close) == (REPLY, json.loads(REPLY), None)
    told = {"error": {"code": 502, "message": "no"}}
    outcome = Double(json.dumps(told).encode()).ask("stream")
    assert (outcome.body, outcome.message) == (told, "no")


@pytest.mark.parametrize("mode", BOTH)
def test_a_body_that_breaks_at_once(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that cannot be read says why."""

    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise ConnectionResetError

    monkeypatch.setattr(io, "BytesIO", Breaking)
    outcome = Double().ask(mode)
    assert (outcome.fault, outcome.detail, outcome.status) == (Fault.RESET, "closed by the server", 200)


def test_a_stream_of_nothing_is_not_read_for_ever() -> None:
    """A stream that begins with more white space than any is too large, and says so."""
    outcome = Double(b" " * 65_537 + STREAM).ask("stream")
    assert (outcome.fault, outcome.detail) == (Fault.TOO_LARGE, "more than 65536 bytes of nothing came")
    assert outcome.value is None
    assert isinstance(Double(b" " * 65_536 + STREAM).ask("stream").value, Chunks)
