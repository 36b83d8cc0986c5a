"""Whether a function can be the hook that it is named after: what would go wrong in each call raises at once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

import pluggy

from orfallback import hookspecs

# Where pluggy keeps the options of a mark.
_MARK = f"{hookspecs.PROJECT}_impl"
# The hooks that a function has been found fit for: chains are copied for a single call, with all their plugins.
_fit: WeakKeyDictionary[Callable[..., Any], set[tuple[str, bool]]] = WeakKeyDictionary()


def check(plugin: object, hook: str) -> None:
    """Refuse a function that would never run, or never be passed what it wants.

    :param plugin: what has it.
    :param hook: its name.
    :raises TypeError: if it is no function at all.
    :raises pluggy.PluginValidationError: with what is wrong, and what to write instead.
    """
    function = getattr(plugin, hook)
    bare: object = getattr(function, "__func__", function)
    owner = getattr(plugin, "__name__", None) or type(plugin).__name__
    if not isinstance(bare, FunctionType):
        kind = type(function).__name__
        raise TypeError(f"{hook} is no function of {owner} but a {kind}; every attribute with this prefix is a hook")
    # As a method it is passed one argument less.
    found = hook, bare is function
    if found in _fit.get(bare, ()):
        return
    options = getattr(function, _MARK, {})
    if hook in hookspecs.__all__:
        wraps = bool(options.get("wrapper") or options.get("hookwrapper"))
        arguments = _arguments(hook)
        problem = (
            _kind(function, wraps=wraps)
            or _misnamed_self(function, bare, arguments)
            or _parameters(inspect.signature(function), arguments)
        )
        if problem:
            raise pluggy.PluginValidationError(plugin, f"{hook} of {owner} {problem}")
    elif not options.get("optionalhook"):
        raise pluggy.PluginValidationError(plugin, f"unknown hook {hook!r} in {owner}{_guess(hook, hookspecs.__all__)}")
    _fit.setdefault(bare, set()).add(found)


@functools.cache
def _arguments(hook: str) -> tuple[str, ...]:
    return (*inspect.signature(getattr(hookspecs, hook)).parameters,)


def _kind(function: Callable[..., Any], *, wraps: bool) -> str:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return "is async, and would never run: hooks are called, not awaited; write def"
    if inspect.isgeneratorfunction(function) and not wraps:
        return "has a yield, and would never run: hooks return; only what is marked @hookimpl(wrapper=True) yields"
    return ""


def _misnamed_self(function: Callable[..., Any], bare: FunctionType, arguments: Sequence[str]) -> str:
    if bare is function:
        return ""
    first = next(iter(bare.__code__.co_varnames), "")
    return f"lacks self: its first parameter is {first!r}" if first in arguments else ""


def _parameters(signature: inspect.Signature, arguments: Sequence[str]) -> str:
    takes = f"it may take: {', '.join(arguments)}"
    named = [each for each in signature.parameters.values() if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    for parameter in named:
        name, optional = parameter.name, parameter.default is not parameter.empty
        if name in arguments and optional:
            return f"gives {name!r} a default, and would never be passed it: leave the default out"
        if parameter.kind is parameter.KEYWORD_ONLY and not optional:
            return f"takes {name!r} by keyword alone, and would never be passed it: leave the * out"
        if name not in arguments and not optional:
            return f"has no argument {name!r}{_guess(name, arguments)}; {takes}"
    if signature.parameters and not named:
        # Maybe the inner function of a decorator, which hides what it wraps.
        return f"names no argument, and would be passed none; {takes}; a decorator needs functools.wraps"
    return ""


def _guess(name: str, known: Sequence[str]) -> str:
    # Mistakes are few, and this is a big module.
    from difflib import get_close_matches

    # The prefix, which all hooks share, would make any two of them alike.
    whole = {each.removeprefix(f"{hookspecs.PROJECT}_"): each for each in known}
    close = get_close_matches(name.removeprefix(f"{hookspecs.PROJECT}_"), whole, 1)
    return f" (did you mean {whole[close[0]]}?)" if close else ""
