"""``orfallback check``: every model of the chain, asked at once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from orfallback import Chain, Scope
from orfallback.cli._advice import advise, unknown
from orfallback.cli._check._course import would_use
from orfallback.cli._check._table import as_json, show
from orfallback.cli._check._together import together
from orfallback.cli._check._trial import Asker, Result, State, Trial
from orfallback.cli._console import Narrator, is_terminal, output, span
from orfallback.cli._exits import FAILED, OK, Failed, SetupFailed
from orfallback.cli._options import chain_options
from orfallback.cli._parameters import parameter_option
from orfallback.cli._resting import told
from orfallback.cli._settings import Settings

_QUESTION = "Say hello in one short sentence."
# Without a bound the service reserves credit for the longest answer that the model could give.
_LONGEST_ANSWER = 256
# How long a model may take, where nothing else is said (s).
_PATIENCE = 30.0
# Models asked at the same time, at most.
_AT_ONCE = 32


@click.command(short_help="Ask every model at once how it is.")
@chain_options
@click.option("--prompt", default=_QUESTION, show_default=True, metavar="TEXT", help="What to ask.")
@parameter_option
@click.option("--stream/--no-stream", default=True, show_default=True, help="Whether to ask for streams.")
@click.option(
    "--repeat", type=click.IntRange(1, 1000), default=1, show_default=True, metavar="N", help="Ask each model N times."
)
@click.option("--all", "want_all", is_flag=True, help="Fail unless all models answer.")
@click.option("--json", "want_json", is_flag=True, help="Print the results as JSON.")
def check(
    settings: Settings, prompt: str, params: Mapping[str, Any], stream: bool, repeat: int, want_all: bool,
    want_json: bool,
) -> int:  # fmt: skip
    """Ask every model of the chain, all at once, and tell how each is.

    A model is ok, busy, limited (its rate limit is used up), gone (nobody serves it), denied (the key, the credit or
    a policy), slow (no whole answer within --deadline, 30 seconds by default) or broken. This costs what a short
    answer of each model costs.

    Ends with 0 if a model is usable, 1 if none is (with --all: if any is not), 3 if the set-up is why.
    """
    settings.require_key()
    if not prompt.strip():
        raise click.UsageError("the prompt is empty")
    params = {"max_tokens": _LONGEST_ANSWER, **params}
    with settings.chain() as chain:
        results = _results(chain, settings, lambda asker: asker.ask(prompt, params, stream=stream), repeat)
        resting = [health for health in chain.health.snapshot() if health.resting]
        used = would_use(chain, results, resting)
    if want_json:
        click.echo(json.dumps(as_json(results, used, settings.base_url, resting, stream=stream), indent=2))
    else:
        show(output(), results)
    narrator = Narrator()
    for health in resting:
        narrator.note(told(health))
    _judge(results, used, settings, narrator)
    return OK if all(result.usable for result in results) or not want_all else FAILED


def _results(chain: Chain, settings: Settings, ask: Callable[[Asker], Trial], repeat: int) -> list[Result]:
    """Ask all models, and return what came of it in the order of the chain."""
    seconds = settings.deadline or _PATIENCE
    models = [target.model for target in chain.targets]

    def work(model: str) -> Iterator[Trial]:
        asker = Asker(chain, model, seconds)
        for _ in range(repeat):
            yield ask(asker)

    trials: dict[str, list[Trial]] = {model: [] for model in models}
    with _progress(models, repeat) as tell:
        for model, trial in together(work, models, _AT_ONCE):
            trials[model].append(trial)
            tell(model, trial)
    return [Result(model, trials[model]) for model in models]


def _judge(results: Sequence[Result], used: str | None, settings: Settings, narrator: Narrator) -> None:
    """Say which model the chain would use, and what to do about those that are in its way, or gone.

    :raises Failed: if none is usable.
    """
    usable = [result.model for result in results if result.usable]
    if not usable:
        failures = [failure for result in results for failure in result.failures]
        advice = advise(failures, settings, settings.closest)
        if advice is not None:
            raise SetupFailed(*advice)
        raise Failed("No model is usable now", _hope(results))
    if used is not None:
        narrator.say(f"The chain would use {used}.")
    else:
        # A verdict that reaches all models of the endpoint, or the call itself.
        ends = [f"{result.model} ({result.state.value})" for result in results if _reaches_others(result)]
        narrator.note(f"The chain would end at {(ends or ['the first'])[0]}: {usable[0]} would not be asked")
        narrator.mend("What was said there is said of the whole endpoint; if it is not so, put that model last")
    gone = [result.model for result in results if result.state is State.GONE]
    if gone:
        ours = "The models that come with this library may be retired by now; gone"
        narrator.note(f"{ours if settings.default_models else 'Gone'}: {', '.join(gone)}")
        failed = {result.model for result in results if not result.usable}
        narrator.mend(unknown(gone, lambda model: [near for near in settings.closest(model) if near not in failed]))


def _reaches_others(result: Result) -> bool:
    return result.verdict is not None and result.verdict.scope in (Scope.ENDPOINT, Scope.CALL)


def _hope(results: Sequence[Result]) -> str:
    verdicts = [failure.attempt.verdict for result in results for failure in result.failures]
    passing = [verdict for verdict in verdicts if verdict is not None and verdict.transient]
    hints = [verdict.retry_after for verdict in passing if verdict.retry_after is not None]
    if not passing:
        return "Another time would not help: see the notes, and name other models with -m"
    if hints:
        return f"One of them asks to be left alone for {span(min(hints))}"
    return "Try again in half a minute, or name other models with -m"


@contextmanager
def _progress(models: Sequence[str], repeat: int) -> Iterator[Callable[[str, Trial], None]]:
    """Show on stderr which models are still asked, if that is a terminal."""
    if not is_terminal(sys.stderr):
        yield lambda *_: None
        return
    columns = (
        SpinnerColumn("line"),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[state]}", markup=False),
    )
    with Progress(*columns, console=Narrator().console, transient=True) as progress:
        tasks = {model: progress.add_task(model, total=repeat, state="") for model in models}

        def tell(model: str, trial: Trial) -> None:
            progress.update(tasks[model], advance=1, state=trial.state.value)

        yield tell
