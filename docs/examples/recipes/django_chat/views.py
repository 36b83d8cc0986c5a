"""Two views: a whole answer as JSON, and an answer while it comes, as server-sent events."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cache

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.views.decorators.http import require_POST

from orfallback import CallRejected, Chain, DeadlineExceeded, FallbackError, Stream, StreamInterrupted

_LONGEST_QUESTION = 10_000


@cache
def chain() -> Chain:
    """The chain of this process: made once, at the first question, and shared by its threads."""
    return Chain.from_mapping(settings.ORFALLBACK)


@require_POST
def answer(request: HttpRequest) -> HttpResponseBase:
    """Answer ``question`` as JSON."""
    question = asked(request)
    try:
        completion = chain().complete(question)
    except FallbackError as error:
        return failed(error)
    return JsonResponse({"answer": completion.text, "model": completion.model})


@require_POST
def stream(request: HttpRequest) -> HttpResponseBase:
    """Answer ``question`` while the model speaks."""
    question = asked(request)
    try:
        # Returns when a model has begun to answer: until then the status is still ours to choose.
        stream = chain().stream(question)
    except FallbackError as error:
        return failed(error)
    response = StreamingHttpResponse(Events(stream), content_type="text/event-stream")
    response["Cache-Control"] = "no-cache"
    # nginx is not to hold the events back.
    response["X-Accel-Buffering"] = "no"
    return response


class Events:
    """The events of a stream. Django calls ``close()`` when the response is over, or the visitor has left."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[str]:
        try:
            for text in self._stream.iter_text():
                yield event("text", text)
        except StreamInterrupted:
            # The status went out long ago. This event is all that tells half an answer from a whole one.
            yield event("broken", "The answer broke off. Please ask again.")
        else:
            yield event("done", self._stream.finish_reason)

    def close(self) -> None:
        """Close the connection to the model, which ends a generation that nobody reads."""
        self._stream.close()


def asked(request: HttpRequest) -> str:
    """The visitor's question."""
    question = str(request.POST.get("question", "")).strip()
    if not 0 < len(question) <= _LONGEST_QUESTION:
        raise BadRequest("the question is empty, or too long")
    return question


def event(name: str, data: str | None) -> str:
    """An event with JSON in it: a line end in the text would end its line."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def failed(error: FallbackError) -> JsonResponse:
    """The response when no model answers. What each one said is for the log, not for the visitor."""
    if isinstance(error, CallRejected):
        # Asking again does not help: our key, our credit, or this very question.
        return JsonResponse({"error": "This cannot be answered."}, status=502)
    status = 504 if isinstance(error, DeadlineExceeded) else 503
    response = JsonResponse({"error": "All models are busy. Please try again."}, status=status)
    if error.retry_after is not None:
        response["Retry-After"] = str(math.ceil(error.retry_after))
    return response
