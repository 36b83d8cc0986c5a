"""A plugin that tells whoever waits that their chat goes on with another model."""

from __future__ import annotations

from flask_chat.problems import short, why
from flask_chat.turns import Turn
from orfallback import Attempt, Call, Target


class Notices:
    """Tells of every fallback at once: the chain waits two seconds before it asks the next model, and people look on.

    One object serves all calls of the chain: a call's ``context`` leads to the one whom it is made for.
    """

    def orfallback_falling_back(self, call: Call, attempt: Attempt, target: Target, wait: float) -> None:
        """Tell who could not answer, and who is asked next."""
        turn = Turn.of(call)
        if turn is None or turn.stopped:
            return
        turn.tried = call.attempts
        turn.tell(
            {
                "type": "notice",
                "answer": turn.answer,
                "text": f"{short(attempt.model)} is {why(attempt)}, asking {short(target.model)}…",
                "model": attempt.model,
                "reason": str(attempt.reason),
                "next": target.model,
                "wait": wait,
            }
        )
