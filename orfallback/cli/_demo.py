"""``orfallback demo``: a fallback to look at, with no key and no network."""

from __future__ import annotations

import sys
import time

import click

from orfallback import DEFAULT_MODELS, Chain
from orfallback.cli._console import Narrator
from orfallback.cli._options import Seconds
from orfallback.cli._resting import told
from orfallback.cli._watching import Telling
from orfallback.testing import Simulator, answer, reset, status

_QUESTION = "Why is the sky blue?"
_ANSWER = (
    "Sunlight holds every colour. Air scatters the short, blue waves far more than the long, red ones, so blue light "
    "reaches your eye from every part of the sky."
)
_NEXT_QUESTION = "And why is the sunset red?"
_NEXT_ANSWER = (
    "In the evening its light comes a long way through the air, which has scattered the blue away: red is left."
)
_OTHER_ANSWER = "A real model would answer that here; this is the simulator, which knows about the sky alone."
_NEXT = """\
What to do next:
  set OPENROUTER_API_KEY, and ask with: orfallback chat; or in Python:

    from orfallback import Chain
    print(Chain().complete("Why is the sky blue?").text)"""


@click.command(short_help="Show a fallback; no key is needed.")
@click.argument("words", metavar="[QUESTION]...", nargs=-1)
@click.option("--delay", type=Seconds(0, 60), default=2.0, show_default=True, metavar="SECONDS", help="Between models.")
def demo(words: tuple[str, ...], delay: float) -> None:
    """Ask QUESTION of four models, the first of them busy, the second broken; and then once more.

    No key and no network are needed: a simulator on this machine plays OpenRouter.
    """
    question = " ".join(words) if words else _QUESTION
    if not question.strip():
        raise click.UsageError("the question is empty")
    own = question == _QUESTION
    narrator = Narrator()
    busy, broken, good, _ = DEFAULT_MODELS
    with Simulator() as simulator:
        simulator.script(busy, status(502, message=f"{busy} is busy"))
        simulator.script(broken, reset("body"))
        texts = (_ANSWER, _NEXT_ANSWER) if own else (_OTHER_ANSWER,)
        simulator.script(good, *(answer(text, pace=0.03) for text in texts))
        narrator.say("A simulator on this machine plays OpenRouter. Two of four models will fail.", "dim")
        with Chain(api_key="sk-demo", base_url=simulator.base_url, delay=delay, plugins=[Telling(narrator)]) as chain:
            _ask(chain, question, narrator)
            narrator.say()
            narrator.say("The chain remembers who was busy, so the next question goes to another one at once:", "dim")
            for health in chain.health.snapshot():
                if health.resting:
                    narrator.say(f"  {told(health)}", "dim")
            _ask(chain, _NEXT_QUESTION if own else question, narrator)
    narrator.say()
    narrator.say(_NEXT, "dim")


def _ask(chain: Chain, question: str, narrator: Narrator) -> None:
    """Ask a question, print the answer as it comes, and say who served it."""
    narrator.say(f"Question: {question}")
    started = time.monotonic()
    with chain.stream(question) as stream:
        for text in stream.iter_text():
            sys.stdout.write(text)
            sys.stdout.flush()
        sys.stdout.write("\n")
        sys.stdout.flush()
    spent = time.monotonic() - started
    waited = sum(attempt.waited for attempt in stream.attempts)
    tries = len(stream.attempts)
    attempts = "1 attempt" if tries == 1 else f"{tries} attempts"
    how = f"{spent:.1f} s, {waited:.1f} s of it waiting" if waited else f"{spent:.1f} s"
    narrator.say(f"Served by {stream.model} after {attempts} and {how}.")
