"""What JSON may stand for an argument: read from the annotations of the functions that make behaviours."""

from __future__ import annotations

import contextlib
import json
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from orfallback.testing._steps import End, Gate

_LARGEST = 100_000
_LONGEST = 86_400
_DEEPEST = 50
_SHOWN = 60


class Unfit(Exception):
    """A value is not of the kind asked for."""


class Kind(NamedTuple):
    """A kind of argument.

    :ivar said: what JSON may stand for it, in words.
    :ivar take: makes the argument of a value and its place; raises :class:`Unfit` for another kind of value.
    """

    said: str
    take: Callable[[Any, str], Any]


def kind_of(hint: Any) -> Kind | None:
    """The kind that an annotation asks for.

    :param hint: the annotation, evaluated.
    :returns: None for what JSON cannot say, such as a Gate.
    :raises TypeError: for an annotation that nobody has thought of.
    """
    if hint is Gate:
        return None
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _either(inner)
    if origin is Literal:
        return _one_of(inner)
    kinds = [kind for kind in map(kind_of, inner) if kind is not None]
    if origin is tuple:
        return Kind(f"a list of {len(kinds)} ({', '.join(kind.said for kind in kinds)})", _row(kinds))
    if origin in (dict, Mapping):
        return OBJECT if inner[1] is Any else Kind(f"an object (each value {kinds[1].said})", _members(kinds[1]))
    if isinstance(origin, type) and len(kinds) == 1:
        return Kind(f"a list (each item {kinds[0].said})", _items(kinds[0]))
    raise TypeError(f"no JSON stands for {hint}")


def fitted(kind: Kind, value: Any, place: str) -> Any:
    """A value as an argument.

    :param kind: what it should be.
    :param value: plain JSON.
    :param place: where it stands, for the message.
    :raises ValueError: for another kind of value.
    """
    try:
        return kind.take(value, place)
    except Unfit:
        raise ValueError(f"{place} is {kind.said}, not {shown(value)}") from None


def plain(value: object, place: str, depth: int = 0) -> Any:
    """A copy that is JSON and nothing else, and that can be sent.

    :param value: what a parser of JSON gave, or the like.
    :param place: where it stands, for the message.
    :param depth: how deep it lies.
    :raises ValueError: for anything that is not JSON, lone surrogates and NaN too, and for very deep nesting.
    """
    if depth > _DEEPEST:
        raise ValueError(f"nested more than {_DEEPEST} levels deep")
    if isinstance(value, Mapping):
        return {_key(key, place): _inside(value[key], place, key, depth) for key in value}
    if isinstance(value, list | tuple):
        return [_inside(each, place, index, depth) for index, each in enumerate(value)]
    if isinstance(value, str):
        return _sendable(value, place)
    # So that a NaN is neither.
    if value is None or (isinstance(value, int | float) and abs(value) <= sys.float_info.max):
        return value
    raise ValueError(f"{place} is {shown(value)}, which is no JSON")


def shown(value: object) -> str:
    """A value as messages show it: as JSON, ASCII alone, not too long."""
    text = type(value).__name__
    # What is no JSON, or a number of thousands of digits.
    with contextlib.suppress(TypeError, ValueError):
        text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _inside(value: object, place: str, key: object, depth: int) -> Any:
    top = place == "the script" and isinstance(key, str)
    return plain(value, str(key) if top else f"{place}[{shown(key)}]", depth + 1)


def _key(key: object, place: str) -> str:
    if not isinstance(key, str):
        raise ValueError(f"a key of {place} is {shown(key)}, which is no text")  # noqa: TRY004  # one kind for all
    return _sendable(key, f"a key of {place}")


def _sendable(text: str, place: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{place} holds half a character: {shown(text)}") from None
    return text


def _simple(said: str, fits: Callable[[Any], bool], made: Callable[[Any], Any] | None = None) -> Kind:
    def take(value: Any, _: str) -> Any:
        if not fits(value):
            raise Unfit
        return value if made is None else made(value)

    return Kind(said, take)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _one_of(words: tuple[Any, ...], made: Callable[[Any], Any] | None = None) -> Kind:
    said = f"one of {', '.join(map(json.dumps, words))}"
    return _simple(said, lambda value: _is_text(value) and value in words, made)


# A bool is an int to Python, and to nobody who writes a script.
_SIMPLE: dict[Any, Kind] = {
    Any: _simple("any JSON", lambda _: True),
    str: _simple("text", _is_text),
    bytes: _simple("text", _is_text, str.encode),
    bool: _simple("true or false", lambda value: isinstance(value, bool)),
    int: _simple(f"a whole number (0 to {_LARGEST})", lambda value: type(value) is int and 0 <= value <= _LARGEST),
    float: _simple(f"a number (0 to {_LONGEST})", lambda value: type(value) in (int, float) and 0 <= value <= _LONGEST),
    types.NoneType: _simple("null", lambda value: value is None),
    End: _one_of(tuple(end.value for end in End), End),
}


def _either(hints: tuple[Any, ...]) -> Kind | None:
    # Text stands for itself where it may, so for no bytes and no end.
    found = [kind_of(hint) for hint in hints if not (str in hints and hint in (bytes, End))]
    kinds = [kind for kind in found if kind is not None]
    if kinds == [_SIMPLE[types.NoneType]]:
        return None

    def take(value: Any, place: str) -> Any:
        for kind in kinds:
            with contextlib.suppress(Unfit):
                return kind.take(value, place)
        raise Unfit

    return Kind(" or ".join(kind.said for kind in kinds), take)


def _row(kinds: list[Kind]) -> Callable[[Any, str], Any]:
    def take(value: Any, place: str) -> Any:
        if not isinstance(value, list) or len(value) != len(kinds):
            raise Unfit
        return tuple(kind.take(each, place) for kind, each in zip(kinds, value, strict=True))

    return take


def _items(kind: Kind) -> Callable[[Any, str], Any]:
    def take(value: Any, place: str) -> Any:
        if not isinstance(value, list):
            raise Unfit
        return [kind.take(each, place) for each in value]

    return take


def _members(kind: Kind) -> Callable[[Any, str], Any]:
    def take(value: Any, place: str) -> Any:
        if not isinstance(value, dict):
            raise Unfit
        return {name: kind.take(each, place) for name, each in value.items()}

    return take


OBJECT = Kind("an object", _members(_SIMPLE[Any]))
LIST = Kind("a list", _items(_SIMPLE[Any]))
