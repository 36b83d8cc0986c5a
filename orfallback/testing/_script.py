"""A script as JSON: what it says, as behaviours. The functions' own signatures are its grammar."""

from __future__ import annotations

import collections.abc
import difflib
import functools
import inspect
import itertools
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from orfallback.testing import _answers, _faults
from orfallback.testing._catalogue import models_listed
from orfallback.testing._kinds import LIST, OBJECT, Kind, Unfit, fitted, kind_of, plain, shown
from orfallback.testing._steps import Behaviour, Received

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orfallback.testing._payloads import Json


#: The functions that a script may name: every public one of the two modules that make behaviours.
BEHAVIOURS: Mapping[str, Callable[..., Behaviour]] = {
    name: found
    for module in (_answers, _faults)
    for name, found in sorted(vars(module).items())
    if inspect.isfunction(found) and found.__module__ == module.__name__ and not name.startswith("_")
}

#: The path of every route.
API = "/api/v1"

_MEMBERS = ("models", "default", "listed")
# What can fail does so before the first step or in the head, and no body tried out is long.
_TRIED = 64
_NAMED = 5
_ROUTE = re.compile(r"([A-Z]+) (/[^\s?#]*)")


class Script(NamedTuple):
    """What a document says.

    :ivar models: the behaviours of each model or route.
    :ivar default: the behaviour of all other models; None where the document has none.
    :ivar listed: the behaviour of ``GET /models``; None where the document lists no models.
    """

    models: dict[str, list[Behaviour]]
    default: Behaviour | None
    listed: Behaviour | None


class Form(NamedTuple):
    """How a script writes a behaviour.

    :ivar first: the argument that stands beside the behaviour's name; None when there is none.
    :ivar kinds: what each argument may be, by its name.
    :ivar others: the arguments that are written by name.
    :ivar needed: those of them that have no default.
    """

    first: inspect.Parameter | None
    kinds: dict[str, Kind]
    others: list[str]
    needed: list[str]


@functools.cache
def form_of(name: str) -> Form:
    """How a script writes a behaviour, by its function's signature.

    :param name: the function's name.
    """
    function = BEHAVIOURS[name]
    # Some names in the annotations are imported for type checkers alone.
    hints = inspect.get_annotations(function, locals=dict(vars(collections.abc)), eval_str=True)
    parameters = inspect.signature(function).parameters
    # Behaviours hold behaviours, which only this module can read.
    found = {
        name: Kind("a behaviour", _made) if hints[name] == Behaviour else kind_of(hints[name]) for name in parameters
    }
    kinds = {name: kind for name, kind in found.items() if kind is not None}
    first, *_ = parameters.values()
    others = [name for name in kinds if name != first.name or first.kind is first.KEYWORD_ONLY]
    needed = [name for name in others if parameters[name].default is first.empty]
    return Form(first if first.name not in others else None, kinds, others, needed)


def parse(document: object) -> Script:
    """Read a script.

    :param document: the parsed JSON.
    :raises ValueError: for anything wrong in it, with its place and what is allowed there.
    """
    script = fitted(OBJECT, plain(document, "the script"), "the script")
    _only(script, _MEMBERS, "the script")
    models = fitted(OBJECT, script.get("models", {}), "models")
    return Script(
        {name: _behaviours(name, value) for name, value in models.items()},
        _made(script["default"], "default") if "default" in script else None,
        listing(script["listed"], "listed") if "listed" in script else None,
    )


def route_named(name: str) -> tuple[str, str] | None:
    """The method and the path of a route's name, such as ``GET /models``; None for the name of a model.

    :param name: a model's id, which has no space, or a route.
    :raises ValueError: for a name with a space that is no route.
    """
    if " " not in name:
        return None
    found = _ROUTE.fullmatch(name)
    if found is None or found[2].startswith(API):
        raise ValueError(f'a route is METHOD /path, the path below {API}, such as "GET /models", not {shown(name)}')
    return found[1], API + found[2]


def listing(models: object, place: str) -> Behaviour:
    """The answer to ``GET /models``.

    :param models: a list of ids, or of objects with an id and members to put over what is told of a model.
    :param place: where it stands, for the message.
    :raises ValueError: for anything else.
    """
    listed = enumerate(fitted(LIST, plain(models, place), place))
    entries = [fitted(_LISTED, entry, f"{place}[{index}]") for index, entry in listed]
    told = models_listed(entry["id"] for entry in entries)["data"]
    return _answers.reply({"data": [{**known, **entry} for known, entry in zip(told, entries, strict=True)]})


def _entry(value: Any, _: str) -> Json:
    entry = {"id": value} if isinstance(value, str) else value
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        raise Unfit
    return entry


_LISTED = Kind('a model\'s id or an object with its "id"', _entry)


def _behaviours(name: str, value: Any) -> list[Behaviour]:
    place = f"models[{shown(name)}]"
    try:
        route_named(name)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    if not isinstance(value, list):
        return [_made(value, place)]
    if not value:
        raise ValueError(f"{place} is an empty list; a script needs a behaviour")
    return [_made(each, f"{place}[{index}]") for index, each in enumerate(value)]


def _made(value: Any, place: str) -> Behaviour:
    """The behaviour that a value describes."""
    name = _name(value, place)
    members = value if isinstance(value, dict) else {name: None}
    place = f"{place}: {name}"
    form = form_of(name)
    others = {key: each for key, each in members.items() if key != name}
    _only(others, form.others, place)
    for needed in form.needed:
        if needed not in others:
            raise ValueError(f'{place} needs "{needed}", which is {form.kinds[needed].said}')
    keywords = {key: fitted(form.kinds[key], each, f"{place}: {key}") for key, each in others.items()}
    arguments = _positional(form, members[name], place)
    try:
        behaviour = BEHAVIOURS[name](*arguments, **keywords)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    _try_out(behaviour, place)
    return behaviour


def _names(value: Any, _: str) -> list[str]:
    if not isinstance(value, str | dict):
        raise Unfit
    return [value] if isinstance(value, str) else [*value]


_WRITTEN = Kind("a behaviour (its name, or an object)", _names)


def _name(value: Any, place: str) -> str:
    """The name of the behaviour that a value describes."""
    given: list[str] = fitted(_WRITTEN, value, place)
    found = [name for name in given if name in BEHAVIOURS]
    if len(found) > 1:
        raise ValueError(f"{place} names {len(found)} behaviours, {' and '.join(found)}: it can be one alone")
    if not found:
        close = [each for name in given for each in difflib.get_close_matches(name, BEHAVIOURS, 1)]
        said = f"{place}: no behaviour is called {' or '.join(map(shown, given[:_NAMED])) or 'nothing'}"
        guess = f'did you mean "{close[0]}"? ' if close else ""
        raise ValueError(f"{said}; {guess}there are {', '.join(BEHAVIOURS)}")
    return found[0]


def _positional(form: Form, value: Any, place: str) -> Sequence[Any]:
    """What stands beside the name, as arguments; null stands for the default."""
    first = form.first
    if first is None:
        if value is not None:
            raise ValueError(f"{place} takes null, and its arguments beside it, not {shown(value)}")
        return ()
    kind, place = form.kinds[first.name], f"{place}: {first.name}"
    many = first.kind is first.VAR_POSITIONAL
    if value is None and (many or first.default is not first.empty):
        return ()
    if not many:
        return [fitted(kind, value, place)]
    return [fitted(kind, each, f"{place}[{index}]") for index, each in enumerate(fitted(LIST, value, place))]


def _only(given: Iterable[str], allowed: Iterable[str], place: str) -> None:
    for name in given:
        if name not in allowed:
            raise ValueError(f"{place} takes no {shown(name)}; it takes {', '.join(allowed) or 'nothing'}")


def _try_out(behaviour: Behaviour, place: str) -> None:
    """Refuse what would fail later, in a thread that serves somebody."""
    for stream in (False, True):
        asked = Received(0.0, "POST", "/", "a/b", stream, {}, False, None, None, b"", 1, 1)
        try:
            for _ in itertools.islice(behaviour(asked), _TRIED):
                pass
        except UnicodeEncodeError as error:
            bad = shown(error.object[error.start : error.end])
            raise ValueError(f"{place}: a header holds Latin-1 characters alone, not {bad}") from None
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"{place} cannot be sent: {error}") from None
