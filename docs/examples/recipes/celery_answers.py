"""A task that answers, and is run again if that helps: not too soon, not too often, not all at once.

``celery --app celery_answers worker``, with ``CELERY_BROKER_URL`` and ``CELERY_RESULT_BACKEND`` in the environment.
"""

from __future__ import annotations

import random
from typing import Any

import requests
from celery import Celery

from orfallback import CallRejected, Chain, FallbackError, Timeouts

# All in seconds. Whatever comes first tells most: the deadline names every attempt, the soft limit only the line where
# it struck, and the hard limit kills the process.
DEADLINE, SOFT_LIMIT, HARD_LIMIT = 45, 60, 75
# What waits longer than a broker keeps a message back (Redis: an hour) is handed to a second worker as well.
SOONEST, LONGEST = 5, 600
MAX_RETRIES = 4

app = Celery("celery_answers")
# The workers are forked from the process that makes it, and share none of its connections.
chain = Chain.from_env().replace(timeouts=Timeouts(deadline=DEADLINE))


@app.task(
    bind=True,
    max_retries=MAX_RETRIES,
    soft_time_limit=SOFT_LIMIT,
    time_limit=HARD_LIMIT,
    # Acknowledged when it is done: a worker that is lost costs a second request, and no answer.
    acks_late=True,
)
def answer(self: Any, question: str) -> str:
    """Answer; when no model can, do so later."""
    try:
        return chain.complete(question).text
    except FallbackError as error:
        # None: the call was rejected, or every model is gone. Nothing of that is better in a minute.
        if error.retry_after is None or error.retry_after > LONGEST:
            raise
        raise self.retry(exc=error, countdown=countdown(error.retry_after, self.request.retries)) from error


def countdown(hint: float, retries: int) -> float:
    """Seconds until the next run: not before the hint, longer each time, and not alike for all that failed together."""
    wait: float = max(hint, SOONEST * 2**retries)
    return min(wait, LONGEST) * random.uniform(1.0, 1.5)  # noqa: S311 - it spreads load, and keeps no secret


@app.task(
    autoretry_for=(requests.RequestException,),
    # Without this line a wrong key is asked with again and again, by every task in the queue.
    dont_autoretry_for=(CallRejected,),
    max_retries=MAX_RETRIES,
    retry_backoff=SOONEST,
    retry_backoff_max=LONGEST,
    retry_jitter=True,
    soft_time_limit=SOFT_LIMIT,
    time_limit=HARD_LIMIT,
    acks_late=True,
)
def answer_by_options(question: str) -> str:
    """Answer; the least to change in a task that has ``autoretry_for`` already. It knows nothing of hints."""
    return chain.complete(question).text
