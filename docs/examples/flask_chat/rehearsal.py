"""Without a key: a simulator on this machine plays OpenRouter, the first model busy, so that a fallback can be seen."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from orfallback import DEFAULT_MODELS, Chain
from orfallback.testing import Received, Simulator, Step, answer, cut, status

# Between two words (s), as a model might take.
_PACE = 0.06
_SAYINGS = itertools.cycle(
    """\
You are talking to the simulator that comes with orfallback, so I know little. But look below this answer: the first \
model of the chain was busy, and another one has served you.
Still the simulator. Ask for a break, and an answer breaks off half way; ask for everybody to be busy, and nobody \
answers. With OPENROUTER_API_KEY set, models answer instead of me.
Every answer is stored with the model that served it and with what was tried before. Reload this page: nothing is lost.
""".splitlines()
)


def rehearsed() -> Chain:
    """Start a simulator, and return a chain that asks it."""
    simulator = Simulator(remember=False)
    simulator.start()
    simulator.script(DEFAULT_MODELS[0], status(502))
    simulator.default(_play)
    return Chain(api_key="sk-none-is-needed", base_url=simulator.base_url)


def _play(received: Received) -> Iterator[Step]:
    # What nobody answered stands before it in the same message.
    question = received.body["messages"][-1]["content"].lower().rpartition("\n")[2]
    if "everybody" in question:
        return status(503)(received)
    if "break" in question:
        return cut("content", text="This answer breaks off half w")(received)
    return answer(next(_SAYINGS), pace=_PACE)(received)
