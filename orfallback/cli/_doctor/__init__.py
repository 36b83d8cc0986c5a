"""``orfallback doctor``: is everything set up for a chain to answer?"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.text import Text

from orfallback.cli._console import SIGNS, counted, hang, is_terminal, output, sign
from orfallback.cli._doctor._examinations import examinations
from orfallback.cli._doctor._finding import Finding
from orfallback.cli._doctor._setup import set_up
from orfallback.cli._exits import FAILED
from orfallback.cli._options import base_url_option, key_option, model_option, plugin_option
from orfallback.cli._shown import shown

_SIGN_OF = {"ok": "served", "note": "note", "problem": "failed", "skipped": "waits"}
_STATE_WIDTH = 7
_SUBJECT_WIDTH = 13
# From here on what was found has a column of its own (columns).
_WIDE = 76
_LONGEST = 2_000


@click.command(short_help="Find what keeps a chain from answering.")
@model_option
@base_url_option
@key_option
@plugin_option
@click.option("--offline", is_flag=True, help="Look at this machine alone, and ask nobody.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def doctor(
    context: click.Context, models: tuple[str, ...], base_url: str | None, key_env: str | None,
    plugins: tuple[str, ...], offline: bool, as_json: bool,
) -> None:  # fmt: skip
    """Look for what keeps a chain from answering, and say how to mend it.

    Looked at are versions, variables, the key, proxies, certificates, the endpoint, what it tells of the key and of
    the models, and plugins. No model is asked and nothing is spent. The status is 1 if there is a problem.
    """
    options = {"models": models, "base_url": base_url, "key_variable": key_env, "plugins": plugins}
    setup = set_up(os.environ, options)
    report = _Report(as_json=as_json)
    for examination in examinations(setup, offline=offline):
        with _progress(examination.doing):
            findings = examination.look()
        report.add(findings)
    report.end()
    if report.problems:
        context.exit(FAILED)


class _Report:
    """Shows findings as they come; as JSON, when all are there.

    :param as_json: whether to show JSON.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._console = output()
        self._findings: list[Finding] = []

    @property
    def problems(self) -> int:
        """How many problems there are."""
        return sum(finding.state == "problem" for finding in self._findings)

    def add(self, findings: list[Finding]) -> None:
        """Take findings in, and show them."""
        for finding in findings:
            fit = finding._replace(found=shown(finding.found, _LONGEST), mend=shown(finding.mend, _LONGEST))
            self._findings.append(fit)
            if not self._as_json:
                _show(self._console, fit)

    def end(self) -> None:
        """Show the rest."""
        if self._as_json:
            told = {"findings": [finding._asdict() for finding in self._findings], "ok": not self.problems}
            click.echo(json.dumps(told, indent=2))
            return
        notes = sum(finding.state == "note" for finding in self._findings)
        kind = "problem" if self.problems else "note" if notes else "ok"
        counts = [counted(count, what) for count, what in ((self.problems, "problem"), (notes, "note")) if count]
        skipped = any(finding.state == "skipped" for finding in self._findings)
        well = "nothing is wrong as far as was looked" if skipped else "all is well"
        verdict = Text(", ".join(counts) or well, style="bold")
        self._console.print(Text.assemble(sign(self._console, _SIGN_OF[kind]), " ", verdict))


def _show(console: Console, finding: Finding) -> None:
    kind = _SIGN_OF[finding.state]
    state = Text.assemble(sign(console, kind), " ", (finding.state.ljust(_STATE_WIDTH), SIGNS[kind][2]), "  ")
    subject = Text(finding.subject, style="bold" if finding.state in ("problem", "note") else "")
    found = Text(finding.found, style="dim" if finding.state == "skipped" else "")
    if console.width < _WIDE:
        # A model's id ought to stay whole: it gets the room beneath the subject, too.
        hang(console, state, Text.assemble(subject, ": ", found))
        margin = state.cell_len
    else:
        subject.pad_right(_SUBJECT_WIDTH + 2 - subject.cell_len)
        margin = state.cell_len + subject.cell_len
        hang(console, Text.assemble(state, subject), found)
    if finding.mend:
        hang(console, Text.assemble(" " * margin, sign(console, "mend"), " "), Text(finding.mend))


@contextmanager
def _progress(doing: str) -> Iterator[None]:
    """Show what is waited for, where somebody looks."""
    console = Console(stderr=True, highlight=False)
    if not doing or not is_terminal(sys.stderr) or not console.is_interactive:
        yield
        return
    with console.status(Text(f"{shown(doing)} ...", style="dim"), spinner="line", spinner_style="dim"):
        yield
