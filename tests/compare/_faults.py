"""The faults: what the first model does, and what the second."""

from __future__ import annotations

from typing import NamedTuple

from orfallback.testing import (
    Behaviour,
    Simulator,
    answer,
    cut,
    error_in_200,
    events,
    keep_alive,
    reply,
    reset,
    silence,
    status,
)

#: The models, as a caller names them.
FIRST, SECOND = "first/model", "second/model"
#: What they say when they are well.
FIRST_TEXT, SECOND_TEXT = "The first model answers.", "The second model answers."
#: What the first says before it breaks.
HALF = "The sky is"
WHOLE, STREAM = "whole", "stream"
BOTH = (WHOLE, STREAM)

_PAGE = "<!doctype html><html><body><h1>We will be back soon</h1></body></html>"
_ERROR = {"code": 502, "message": "Provider returned error"}
_ROLE = {
    "id": "gen-1", "object": "chat.completion.chunk", "created": 1_767_225_600, "model": FIRST, "provider": "Simulated",
    "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}],
}  # fmt: skip
_FAILED = {**_ROLE, "error": _ERROR, "choices": [{**_ROLE["choices"][0], "finish_reason": "error"}]}  # type: ignore[index]
_CONTEXT = "This endpoint's maximum context length is 8192 tokens. However, you requested about 9000 tokens."
_WRONG = 'Input required: specify "prompt" or "messages"'


class Fault(NamedTuple):
    """What is wrong.

    :ivar name: what a reader calls it.
    :ivar first: what the first model does; None: nobody listens where it ought to be.
    :ivar second: what the second does.
    :ivar modes: in which it can happen.
    :ivar calls: how many calls are made, one after the other.
    """

    name: str
    first: Behaviour | None
    second: Behaviour = answer(SECOND_TEXT)
    modes: tuple[str, ...] = BOTH
    calls: int = 1

    def arrange(self, simulator: Simulator) -> None:
        """Tell a simulator what its models do."""
        simulator.script(SECOND, self.second)
        if self.first is not None:
            simulator.script(FIRST, self.first)


_KEY, _CREDIT, _BAD, _DOWN = status(401), status(402), status(400, message=_WRONG), status(503)

_ALL = (
    Fault("nothing wrong", answer(FIRST_TEXT)),
    Fault("502", status(502)),
    Fault("503", _DOWN),
    Fault("429, `Retry-After: 5`", status(429, headers={"Retry-After": "5"})),
    Fault("connection refused", None),
    Fault("connection reset", reset("accept")),
    Fault("silence", silence("headers")),
    Fault("keep-alive for ever", keep_alive(every=0.5)),
    Fault("404, model gone", status(404)),
    Fault("400 of the model's provider", status(400, metadata={"provider_name": "Simulated", "raw": "no prefill"})),
    Fault("400, context too long", status(400, message=_CONTEXT)),
    Fault("error in a 200", error_in_200(502)),
    Fault("error as JSON where a stream belongs", reply({"error": _ERROR}), modes=(STREAM,)),
    Fault("empty delta, then an error event", events(_ROLE, _FAILED), modes=(STREAM,)),
    Fault("empty answer", answer("")),
    Fault("HTML page as a 200", reply(_PAGE, content_type="text/html")),
    Fault("body shorter than its length", cut("json", framing="length", text=HALF), modes=(WHOLE,)),
    Fault("cut before the first token", cut("body"), modes=(STREAM,)),
    Fault("cut after some text", cut("content", text=HALF), modes=(STREAM,)),
    Fault("ends after some text, unfinished", cut("content", text=HALF, clean=True), modes=(STREAM,)),
    Fault("error event after some text", error_in_200(502, after=HALF), modes=(STREAM,)),
    Fault("silence after some text", silence("end", text=HALF), modes=(STREAM,)),
    Fault("keep-alive for ever after some text", keep_alive(every=0.5, after=HALF), modes=(STREAM,)),
    Fault("401 of both", _KEY, _KEY),
    Fault("402 of both", _CREDIT, _CREDIT),
    Fault("400 of both, the request is wrong", _BAD, _BAD),
    Fault("503 of both", _DOWN, _DOWN),
    Fault("503, ten calls", _DOWN, modes=(WHOLE,), calls=10),
)  # fmt: skip
#: By name, in the page's order.
FAULTS = {fault.name: fault for fault in _ALL}
