"""``orfallback explain``: what a reply is taken for, and what would follow."""

from __future__ import annotations

import io
import json
import math
from typing import Any, BinaryIO

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orfallback import Fault, Scope, StreamInterrupted, Timeouts
from orfallback.cli import _mends
from orfallback.cli._console import counted, output, put, span
from orfallback.cli._exits import Failed
from orfallback.cli._explain._reasoning import Course, Step, follow
from orfallback.cli._explain._recording import Recording, parse_headers, parse_response
from orfallback.cli._options import chain_options
from orfallback.cli._reading import read
from orfallback.cli._settings import Settings
from orfallback.cli._shown import shown

_REACH = {
    Scope.NONE: "nothing: it is an answer",
    Scope.MODEL: "this model alone",
    Scope.FREE_TIER: "this model, and every :free model of the same endpoint",
    Scope.ENDPOINT: "every model of the same endpoint and key",
    Scope.CALL: "the call itself: no model would take it",
}

_WHAT = {"free": "every :free model of the same endpoint", "endpoint": "every model of the same endpoint and key"}


@click.command(short_help="Say what a reply is taken for, and why.")
@click.option("--status", type=click.IntRange(100, 999), metavar="CODE", help="The HTTP status; 200 by default.")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A response header; repeat it.")
@click.option("--body", type=click.File("rb"), metavar="FILE", help="The body; - is stdin.")
@click.option("--sse", type=click.File("rb"), metavar="FILE", help="The body of a stream, as recorded; - is stdin.")
@click.option("--response", type=click.File("rb"), metavar="FILE", help="All of a response, as curl -i prints it.")
@click.option(
    "--fault", type=click.Choice([str(fault) for fault in Fault]), help="What went wrong where no response shows it."
)
@click.option("--stream", is_flag=True, help="The call asked for a stream; --sse implies it.")
@click.option("--json", "want_json", is_flag=True, help="Print it as JSON.")
@chain_options
def explain(
    settings: Settings, status: int | None, headers: tuple[str, ...], body: BinaryIO | None, sse: BinaryIO | None,
    response: BinaryIO | None, fault: str | None, stream: bool, want_json: bool,
) -> None:  # fmt: skip
    """Tell what the chain takes a reply for, which row of the table says so, and what it would do next.

    Nothing is sent, and no key is needed: the chain is given the recorded reply.

    \b
    orfallback explain --status 429 --header 'Retry-After: 30' --body body.json
    curl -si https://openrouter.ai/api/v1/chat/completions ... | orfallback explain --response -
    orfallback explain --sse recorded.txt
    """
    recording = _recording(status, headers, body, sse, response, fault)
    stream = stream or sse is not None or recording.streams
    with settings.chain() as chain:
        deadline = settings.deadline or Timeouts().deadline or math.inf
        course = follow(chain, recording, stream=stream, deadline=deadline)
        worst = follow(chain, recording, stream=stream, deadline=deadline, everyone=True)
    if not course.first:
        raise Failed(*_mends.NOBODY)
    if want_json:
        click.echo(json.dumps(_as_json(course, worst), indent=2))
    else:
        _show(output(), recording, course, worst)


def _recording(
    status: int | None,
    headers: tuple[str, ...],
    body: BinaryIO | None,
    sse: BinaryIO | None,
    response: BinaryIO | None,
    fault: str | None,
) -> Recording:
    named = {
        "a reply (--status, --header, and --body or --sse)": status is not None or headers or body or sse,
        "a --response": response is not None,
        "a --fault": fault is not None,
    }
    given = [name for name, there in named.items() if there]
    if len(given) != 1 or (body is not None and sse is not None):
        raise click.UsageError(f"say what came back by one of these: {', '.join(named)}")
    try:
        if response is not None:
            return parse_response(read(response, "the response"))
        if fault is not None:
            return Recording(None, fault=Fault(fault))
        content = read(body or sse or io.BytesIO(), "the body")
        if content.startswith((b"HTTP/1.", b"HTTP/2")) and status is None and not headers:
            # All of a response, where its body was asked for.
            return parse_response(content)
        return Recording(200 if status is None else status, parse_headers(list(headers)), content)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _what(recording: Recording, course: Course) -> str:
    said = course.outcome.message
    came = f"HTTP {recording.status}" if recording.status is not None else f"fault: {recording.fault}"
    effective = course.outcome.effective_status
    if effective not in (recording.status, None):
        came += f", with an error {effective} inside"
    came += f", from {course.first}"
    return f"{came}: {said}" if said else came


def _then(course: Course) -> str:
    if isinstance(course.error, StreamInterrupted):
        return f"StreamInterrupted, with the {len(course.error.text)} characters so far: nothing is joined on to them"
    if not course.then:
        return "the answer is handed out" if course.error is None else _raised(course)
    return ", then ".join(_step(step) for step in course.then)


def _step(step: Step) -> str:
    return f"waits {span(step.waited)}, asks {step.model}" if step.waited else f"asks {step.model} at once"


def _rests(course: Course) -> str:
    if course.rests is None:
        return "nothing: this chain forgets between calls"
    if not course.rests.resting:
        return "nothing"
    return f"{_WHAT.get(course.rests.what, 'this model')} for {span(course.rests.resting)}"


def _raised(course: Course) -> str:
    error = course.error
    if error is None:
        return f"an answer of {course.served}" if course.served else "the last resort of a plugin"
    told = f"{type(error).__name__} after {counted(len(course.then) + 1, 'attempt')}"
    if course.waited:
        told += f" and {span(course.waited)} of waiting"
    return told if error.retry_after is None else f"{told}; worth another try in {span(error.retry_after)}"


def _show(console: Console, recording: Recording, course: Course, worst: Course) -> None:
    lines = {"reply": _what(recording, course)}
    verdict = course.verdict
    if verdict is None or verdict.reason is None:
        lines["verdict"] = "an answer" + ("" if verdict is None else ", because a plugin accepts it")
    else:
        kind = "transient: it may pass" if verdict.transient else "not transient"
        lines["verdict"] = f"{verdict.reason} ({kind})"
        lines["row"] = "none: a plugin decided" if course.row is None else f"{course.row.number}: {course.row.signal}"
        lines["reaches"] = f"{verdict.scope.name}: {_REACH[verdict.scope]}"
        if verdict.retry_after is not None:
            again = ", and then it may be asked once more in this call" if verdict.again else ""
            lines["hint"] = f"{span(verdict.retry_after)}{again}"
    lines["then"] = _then(course)
    if verdict is not None and not isinstance(course.error, StreamInterrupted):
        lines["rests"] = _rests(course)
        lines["if all do so"] = _raised(worst)
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in lines.items():
        table.add_row(name, Text(shown(text, 2_000), style="bold" if name == "verdict" else ""))
    put(console, table)


def _as_json(course: Course, worst: Course) -> dict[str, Any]:
    verdict = course.verdict
    refused = verdict is not None and verdict.reason is not None
    return {
        "model": course.first,
        "status": course.outcome.effective_status,
        "fault": None if course.outcome.fault is None else str(course.outcome.fault),
        "message": course.outcome.message,
        "answer": not refused,
        "reason": str(verdict.reason) if verdict is not None and refused else None,
        "scope": verdict.scope.value if verdict is not None else None,
        "transient": verdict is not None and verdict.transient,
        "retry_after": verdict.retry_after if verdict is not None else None,
        "again": verdict is not None and verdict.again,
        "row": None if course.row is None else {"number": course.row.number, "signal": course.row.signal},
        "then": [{"model": step.model, "waited": step.waited} for step in course.then],
        "raises": None if course.error is None else type(course.error).__name__,
        "if_all": {
            "raises": None if worst.error is None else type(worst.error).__name__,
            "attempts": len(worst.then) + 1,
            "waited": worst.waited,
            "retry_after": None if worst.error is None else worst.error.retry_after,
        },
    }
