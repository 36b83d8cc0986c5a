"""``orfallback report``: what a call log comes to, in a terminal, on a page, for programs."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import click

from orfallback._config import KEY_VARIABLE
from orfallback.cli._console import Narrator, output
from orfallback.cli._exits import Failed, SetupFailed
from orfallback.cli._report import _words
from orfallback.cli._report._logs import STDIN, Logs
from orfallback.cli._report._page import page
from orfallback.cli._report._period import chosen
from orfallback.cli._report._plain import as_json
from orfallback.cli._report._tally import summarise
from orfallback.cli._report._terminal import show
from orfallback.cli._report._wanted import Wanted
from orfallback.cli._shown import hide

# Where the plugin call-log writes, if nobody says otherwise.
_VARIABLE = "ORFALLBACK_CALL_LOG"


@click.command(short_help="Sum up a call log: who served, how fast, at what cost.")
@click.argument("logs", nargs=-1, metavar="[LOG]...")
@click.option("--since", callback=chosen, metavar="WHEN", help="Calls begun from then on: 24h, 7d, 2026-11-23T10:00.")
@click.option("--until", callback=chosen, metavar="WHEN", help="Calls begun before that.")
@click.option("-m", "--model", "models", multiple=True, metavar="MODEL", help="Calls that asked it; repeatable.")
@click.option("--html", "page_file", metavar="FILE", help="Write a page with pictures; - is stdout.")
@click.option("--json", "want_json", is_flag=True, help="Print it as JSON.")
def report(
    logs: tuple[str, ...], since: float | None, until: float | None, models: tuple[str, ...], page_file: str | None,
    want_json: bool,
) -> None:  # fmt: skip
    """Sum up what the plugin call-log wrote: files, or - for stdin; by default the one that ORFALLBACK_CALL_LOG names.

    What was rotated away (calls.jsonl.1, calls.jsonl.2.gz) is read, too. Times are in UTC, as in the log.

    \b
    orfallback report calls.jsonl
    orfallback report calls.jsonl --since 24h --html report.html
    """
    if since is not None and until is not None and until <= since:
        raise click.UsageError("--until is not behind --since")
    if want_json and page_file == STDIN:
        raise click.UsageError("stdout is for one of --html - and --json")
    logs = logs or tuple(filter(None, [os.environ.get(_VARIABLE, "").strip()]))
    if not logs:
        raise click.UsageError(f"name a call log, or set {_VARIABLE}")
    hide(os.environ.get(KEY_VARIABLE, ""))
    narrator = Narrator()
    with Logs(logs) as read:
        if page_file is not None and read.is_among(page_file):
            raise click.UsageError(f"--html {page_file} would write the page over the log")
        wanted = Wanted(since, until, models)
        narrator.begin(f"reading {_files(read.files)}")
        try:
            summary = summarise(wanted.among(read))
        finally:
            narrator.over()
    _tell(read, narrator)
    if summary is None:
        raise _nothing(read, wanted)
    if page_file is not None:
        _write(page_file, page(summary, _source(read, wanted)), narrator)
    if want_json:
        about = {"files": read.files, "lines_passed_over": read.strange, "torn": read.torn}
        click.echo(json.dumps({**about, **as_json(summary)}, indent=2))
    elif page_file is None:
        show(output(), summary)


def _files(names: Sequence[str]) -> str:
    told = [_words.message(name) for name in names]
    return ", ".join(told) if len(told) <= 3 else f"{told[0]} to {told[-1]} ({len(told)} files)"


def _source(read: Logs, wanted: Wanted) -> str:
    """Say where the calls come from."""
    told = f"{_words.things(read.calls, 'call')} read from {_words.things(len(read.files), 'file')}"
    told += f": {_files(read.files)}"
    return f"{told}; only calls that asked {_models(wanted)}" if wanted.models else told


def _models(wanted: Wanted) -> str:
    return ", ".join(map(_words.name, sorted(wanted.models)))


def _tell(read: Logs, narrator: Narrator) -> None:
    if len(read.files) > 1:
        narrator.say(f"Read {_words.things(read.calls, 'call')} from {_files(read.files)}")
    for name in read.torn:
        narrator.note(f"{name} is cut off: what is behind that is missing")
    if read.calls and read.strange:
        narrator.note(f"Passed over {_words.things(read.strange, 'line')} that are no records of calls, or torn")


def _nothing(read: Logs, wanted: Wanted) -> Failed:
    """Return what to say where there is no call to tell of."""
    names = _files(read.files)
    if read.calls:
        if wanted.models and wanted.named:
            near = [each for model in sorted(wanted.models) for each in difflib.get_close_matches(model, wanted.named)]
            mend = f"Name one of those asked: {', '.join(map(_words.name, near or list(wanted.named)[:5]))}"
            return Failed(f"No call asked {_models(wanted)}", mend)
        told = f"None of the {_words.things(read.calls, 'call')} of {names} is of that time"
        return Failed(told, f"They are of {_words.period(wanted.first, wanted.last)}")
    if read.strange:
        told = f"{names} holds no record of a call: {_words.things(read.strange, 'line')} of something else"
        return SetupFailed(told, "Name the file that the plugin call-log writes")
    return Failed(f"{names} is empty", "Calls are written when they end: make one with the plugin call-log loaded")


def _write(path: str, text: str, narrator: Narrator) -> None:
    if path == STDIN:
        # In UTF-8, as the page says of itself, whatever the terminal knows.
        click.echo(text.encode(), nl=False)
        return
    try:
        Path(path).write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:
        told = f"{path} cannot be written: {getattr(error, 'strerror', None) or error}"
        raise Failed(told, "Name a file in a folder that is there, and yours") from None
    narrator.say(f"Wrote {path} ({_words.number(max(len(text.encode()) / 1000, 1))} kB)")
