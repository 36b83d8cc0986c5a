"""A reply that was recorded, and how it is given to the chain once more: no socket is opened."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from typing import NamedTuple

import requests
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPResponse

from orfallback import Call, Fault, Outcome, Target, Timeouts
from orfallback._clock import Clock
from orfallback._request import Request
from orfallback._transport import Transport
from orfallback._watch import Watch
from orfallback._wire import Wire

# How a body was put on the wire is over and done with once it is recorded.
_FRAMING = ("content-encoding", "content-length", "transfer-encoding")


class Recording(NamedTuple):
    """What came back once.

    :ivar status: the HTTP status, or None if there was no response.
    :ivar headers: the response's headers.
    :ivar body: its body, decoded.
    :ivar fault: what went wrong on the wire, where no response shows it.
    """

    status: int | None = 200
    headers: Mapping[str, str] = {}
    body: bytes = b""
    fault: Fault | None = None

    @property
    def streams(self) -> bool:
        """Whether it is a stream, by what it says of itself, or by how it begins."""
        kind = next((value for name, value in self.headers.items() if name.lower() == "content-type"), "")
        return "event-stream" in kind.lower() or self.body.lstrip().startswith((b"data:", b"event:", b": "))

    def outcome(self, call: Call, target: Target, clock: Clock) -> Outcome:
        """Return what the chain makes of it.

        :param call: the call that it is taken for an attempt of.
        :param target: the target that it is taken to come from.
        :param clock: for measuring.
        """
        url = f"{target.base_url}/chat/completions"
        if self.fault is not None:
            return Outcome(fault=self.fault, model=target.model, url=url, received=clock.time())
        wire = Wire(_Tape(self), Timeouts(), clock)
        request = Request(target.model, url, b"{}", {}, None)
        return wire.ask(request, stream=call.stream, deadline=call.deadline)


class _Tape(Transport):
    """Plays a recording to whoever sends."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self._recording = recording

    def send(self, request: Request, watch: Watch) -> requests.Response:
        """Return the recorded response."""
        response = requests.Response()
        response.status_code = self._recording.status or 0
        response.headers = CaseInsensitiveDict(
            {name: value for name, value in self._recording.headers.items() if name.lower() not in _FRAMING}
        )
        # A 204 and a 304 have no body, whatever was recorded (RFC 9112 section 6.3).
        body = b"" if response.status_code in (204, 304) else self._recording.body
        response.raw = HTTPResponse(io.BytesIO(body), status=response.status_code, preload_content=False)
        response.url = request.url
        return response


def good(call: Call) -> Recording:
    """Return an answer, in the form that a call asks for."""
    words = "An answer."
    if not call.stream:
        choice = {"index": 0, "message": {"role": "assistant", "content": words}, "finish_reason": "stop"}
        return Recording(body=json.dumps({"choices": [choice]}).encode())
    chunk = {"choices": [{"index": 0, "delta": {"content": words}, "finish_reason": "stop"}]}
    return Recording(body=f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode())


def parse_response(recorded: bytes) -> Recording:
    """Return a response as ``curl -i`` prints it; interim responses before it are passed over.

    :raises ValueError: if it does not begin as a response does.
    """
    while True:
        head, body = _split(recorded)
        first, *lines = re.split("\r?\n", head.decode("latin-1"))
        version, _, rest = first.partition(" ")
        status = rest[:3]
        if not version.startswith("HTTP/") or not (status.isascii() and status.isdigit() and len(status) == 3):
            raise ValueError(f"this is no response: it begins with {first[:60]!r} where HTTP/1.1 and a status belong")
        # What comes before the response itself: 100 and 103, and the word of a proxy.
        passed = status.startswith("1") or "established" in rest.lower()
        if not (passed and body.startswith(b"HTTP/")):
            return Recording(int(status), parse_headers([line for line in lines if line]), body)
        recorded = body


def parse_headers(lines: list[str]) -> dict[str, str]:
    """Return headers written as ``Name: value``; those that come twice are joined.

    :raises ValueError: for a line that is none.
    """
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise ValueError(f"{line[:60]!r} is no header: it is written as Name: value")
        name, value = name.strip().lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _split(recorded: bytes) -> tuple[bytes, bytes]:
    """Return head and body, whatever the line ends; a head alone has an empty body."""
    places = [(recorded.find(mark), mark) for mark in (b"\r\n\r\n", b"\n\n")]
    place, mark = min((each for each in places if each[0] >= 0), default=(len(recorded), b""))
    return recorded[:place], recorded[place + len(mark) :]
