"""What a client asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orfallback import _config, _reply
from orfallback._payload import Payload
from orfallback._secret import Unshown
from orfallback.wsgi._errors import Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: The largest body of a request (bytes): prompts with pictures are large.
LIMIT = 16 * 1024 * 1024
#: Names that stand for the chain's own order.
OWN_ORDER = frozenset({"", "auto", "orfallback"})

_PIECE = 65_536
# Longer numbers are no length of anything (digits).
_LONGEST_LENGTH = 15
# A call may be made of so many models at most, each of which costs time.
_MOST_MODELS = 32
# Names that calls of the library have for themselves.
_NOT_PARAMETERS = ("self", "context")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for an answer.

    :ivar first: the model to ask before the chain's own; None for the chain's own order.
    :ivar only: the models to ask instead of the chain's own; () for the chain's.
    :ivar messages: the messages.
    :ivar params: all other fields.
    :ivar stream: whether a stream is asked for.
    """

    first: str | None
    only: tuple[str, ...]
    messages: list[Any] = field(repr=False)
    params: dict[str, Any] = field(repr=False)
    stream: bool


def read(environ: WSGIEnvironment, limit: int) -> bytes:
    """Read the body of a request.

    :param environ: the request.
    :param limit: the most bytes it may have.
    :raises Problem: 400, 411 or 413.
    """
    length = environ.get("CONTENT_LENGTH") or ""
    if length:
        if not (length.isascii() and length.isdigit()):
            raise Problem(400, "Content-Length is no number of bytes")
        # Refused before a byte of it is read.
        if len(length) > _LONGEST_LENGTH or int(length) > limit:
            raise _too_large(limit)
        return _read(environ, int(length), exactly=True)
    if environ.get("wsgi.input_terminated"):
        raw = _read(environ, limit + 1, exactly=False)
        if len(raw) > limit:
            raise _too_large(limit)
        return raw
    if environ.get("HTTP_TRANSFER_ENCODING"):
        # Nobody knows where such a body ends but the server, which does not say that it does.
        raise Problem(411, "this server needs a Content-Length")
    return b""


def _read(environ: WSGIEnvironment, size: int, *, exactly: bool) -> bytes:
    pieces = []
    missing = size
    while missing:
        try:
            piece = environ["wsgi.input"].read(min(missing, _PIECE))
        except OSError:
            raise Problem(400, "the body could not be read to its end") from None
        if not piece:
            break
        pieces.append(piece)
        missing -= len(piece)
    if missing and exactly:
        raise Problem(400, "the body is shorter than its Content-Length")
    return b"".join(pieces)


def _too_large(limit: int) -> Problem:
    return Problem(413, f"the body is larger than {limit:,} bytes", code="request_too_large")


def parse(raw: bytes) -> Asked:
    """Return what a body asks for.

    :raises Problem: 400, which says what is wrong with it.
    """
    try:
        body = _reply.decode(raw)
    except (_reply.NotJSON, _reply.TooManyValues) as error:
        raise Problem(400, str(error), code="invalid_json") from None
    if not isinstance(body, dict):
        raise Problem(400, "the body is no JSON object", code="invalid_json")
    params = Unshown(body)
    first, only = _models(params.pop("model", None), params.pop("models", None))
    stream = params.pop("stream", None)
    if stream is not None and not isinstance(stream, bool):
        raise Problem(400, "stream is true or false", param="stream")
    messages = params.pop("messages", None)
    if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
        raise Problem(400, "messages is a list of at least one object", param="messages")
    _check(messages, params, stream=bool(stream))
    return Asked(first, only, messages, params, bool(stream))


def _check(messages: list[Any], params: dict[str, Any], *, stream: bool) -> None:
    for name in _NOT_PARAMETERS:
        if name in params:
            raise Problem(400, f"{name} is no parameter of a chat", param=name)
    try:
        Payload(messages, params, stream=stream)
    except (TypeError, ValueError) as error:
        # Here, so that what a plugin raises later is not taken for the client's fault.
        raise Problem(
            400, str(error), param=next((name for name in params if str(error).startswith(name)), None)
        ) from None


def _models(model: Any, models: Any) -> tuple[str | None, tuple[str, ...]]:
    if model is not None and not isinstance(model, str):
        raise Problem(400, "model is a model's id", param="model")
    first = None if model is None or model in OWN_ORDER else model
    if models is None:
        _check_ids([first] if first else [], "model")
        return first, ()
    if not isinstance(models, list) or not 0 < len(models) <= _MOST_MODELS:
        raise Problem(400, f"models is a list of 1 to {_MOST_MODELS} models' ids", param="models")
    _check_ids(models, "models")
    # OpenRouter asks ``model`` before ``models``.
    named = [first, *models] if first else models
    return None, tuple(dict.fromkeys(named))


def _check_ids(ids: list[Any], param: str) -> None:
    try:
        if ids and not all(isinstance(each, str) for each in ids):
            raise Problem(400, f"{param} holds models' ids", param=param)
        for each in ids:
            _config.resolve(each, _config.DEFAULT_BASE_URL, None)
    except ValueError as error:
        raise Problem(400, str(error), param=param) from None
