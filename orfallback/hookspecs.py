"""The hooks: where a plugin can watch a call, or decide in it.

A plugin is any object or module with functions named after these hooks; each may take any subset of the arguments, by
name. All run in the thread that made the call; the end of a stream is told where it is read, closed or dropped.
*Deciding* hooks are asked in turn, the plugin registered last first, until one answers something other than None; if
none does, the chain's own strategy decides. What a deciding hook raises ends the call. *Watching* hooks are all told;
what one raises is logged with the plugin's name, and neither the call nor the other plugins notice. The call waits for
each; of one that takes a second or more the log tells, once for each plugin and hook.

docs/reference/hooks.md has a section on each, with an example.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

import pluggy

from orfallback._types import Attempt, Call, Json, Outcome, Target
from orfallback._verdict import Verdict

#: The prefix of every hook, and the name of the entry point group.
PROJECT = "orfallback"

hookspec = pluggy.HookspecMarker(PROJECT)
#: Marks a hook implementation that needs options: ``@hookimpl(tryfirst=True)``. Without options no mark is needed.
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def orfallback_registered(chain: Any) -> None:
    """Learn of a chain that the plugin is registered with: its targets, and its health.

    *When*: at the end of ``Chain(plugins=...)``, ``register()`` or ``load_entry_points()``, in the thread that calls
    them, before any call. A copy that ``replace()`` makes inherits the plugin, and does not tell it. *If it raises*:
    the plugin is not registered, and whoever registers it sees the exception.

    :param chain: the :class:`~orfallback.Chain`. Keep a weak reference, if any: it holds the plugin.
    """


@hookspec(firstresult=True)
def orfallback_select(call: Call, targets: Sequence[Target]) -> Target | None:
    """Choose which target to ask next.

    *When*: before each attempt, also where one target is left; and again for each target that is passed over.

    :param call: the call so far.
    :param targets: those left to ask, in the chain's order; at least one.
    :returns: one of ``targets``; None leaves the choice to the next plugin. Anything else raises ``ValueError``.
    """


@hookspec(firstresult=True)
def orfallback_admit(call: Call, target: Target, last_resort: bool) -> float | None:
    """Pass over a target that is not worth asking now.

    *When*: after it was selected, before the wait; and once more if it was passed over and no other is left.

    :param call: the call so far.
    :param target: the target selected.
    :param last_resort: whether all others are spent; one that is refused now is not asked at all.
    :returns: None to ask it; or seconds for which it rests: it is passed over, and asked for again when no other is
        left, the soonest first. Infinity says that it cannot serve this call.
    """


@hookspec
def orfallback_prepare(call: Call, target: Target, payload: Json, headers: MutableMapping[str, str]) -> None:
    """Change what is sent.

    *When*: before each attempt. *If it raises*: the call ends with it.

    :param call: the call so far.
    :param target: the target about to be asked.
    :param payload: this attempt's own copy of the body, to be changed in place; ``model`` and ``stream`` are set
        after it.
    :param headers: this attempt's own headers, to be changed in place; the Authorization is set after it.
    """


@hookspec(firstresult=True)
def orfallback_classify(call: Call, outcome: Outcome) -> Verdict | None:
    """Judge what came back.

    *When*: after each attempt, good ones too; for a stream when its first content came, and when it broke after that
    (then only the reason counts: what was handed out cannot be taken back).

    :param call: the call so far, without this attempt.
    :param outcome: what came back. Its body is the caller's reply itself, not to be changed.
    :returns: a verdict; ``Verdict.accept()`` takes an answer that the default would refuse; None leaves the
        judgement to the next plugin, and in the end to the chain's classifier.
    """


@hookspec(firstresult=True)
def orfallback_delay(call: Call, attempt: Attempt) -> float | None:
    """Choose the wait before the next attempt.

    *When*: after a transient failure, when the next target has been selected and admitted.

    :param call: the call, with this attempt.
    :param attempt: the attempt that failed.
    :returns: seconds, 0 to 60 (more is cut to 60); None leaves it to the next plugin.
    """


@hookspec(firstresult=True)
def orfallback_exhausted(call: Call) -> str | Json | None:
    """Give a degraded answer instead of an error.

    *When*: before ChainExhausted or DeadlineExceeded is raised; never before CallRejected.

    :param call: the call, with all its attempts.
    :returns: the answer's text, or a whole reply as the service would send it; None raises the error.
    """


@hookspec
def orfallback_call_started(call: Call) -> None:
    """Learn that a call begins.

    :param call: the call, without attempts.
    """


@hookspec
def orfallback_attempt_started(call: Call, target: Target, number: int) -> None:
    """Learn that an attempt begins.

    :param call: the call so far.
    :param target: the target asked.
    :param number: nth attempt of the call, from 1.
    """


@hookspec
def orfallback_committed(call: Call, attempt: Attempt) -> None:
    """Learn that a stream has its first content: from here on no other model is asked.

    :param call: the call so far, without this attempt.
    :param attempt: the attempt as far as it is known.
    """


@hookspec
def orfallback_attempt_finished(call: Call, attempt: Attempt) -> None:
    """Learn that an attempt is over: a reply was judged, or a stream's body is at its end, left or broken.

    :param call: the call, with this attempt.
    :param attempt: the attempt. Its reason is ``cancelled`` if the application left it, or if the call's time was over
        before it was asked; that is nobody's fault.
    """


@hookspec
def orfallback_falling_back(call: Call, attempt: Attempt, target: Target, wait: float) -> None:
    """Learn that another attempt will follow a failed one.

    *When*: before the wait; also where the same target is asked again.

    :param call: the call so far.
    :param attempt: the attempt that failed.
    :param target: the target asked next.
    :param wait: seconds before it is asked.
    """


@hookspec
def orfallback_call_finished(call: Call, error: BaseException | None) -> None:
    """Learn that a call is over, whichever way: an answer, an error, an interruption or an abandoned stream.

    :param call: the call, with all its attempts.
    :param error: what the caller is about to see, or None. Do not keep it: its traceback holds the call's frames.
    """


#: Hooks that only watch: told one by one, guarded.
WATCHING: tuple[str, ...] = (
    "orfallback_call_started",
    "orfallback_attempt_started",
    "orfallback_committed",
    "orfallback_attempt_finished",
    "orfallback_falling_back",
    "orfallback_call_finished",
)
#: Hooks that decide: asked in turn until one answers.
DECIDING: tuple[str, ...] = (
    "orfallback_select",
    "orfallback_admit",
    "orfallback_classify",
    "orfallback_delay",
    "orfallback_exhausted",
)
__all__ = [
    "DECIDING",
    "PROJECT",
    "WATCHING",
    "hookimpl",
    "hookspec",
    *DECIDING,
    *WATCHING,
    "orfallback_prepare",
    "orfallback_registered",
]
