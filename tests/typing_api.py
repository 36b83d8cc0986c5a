"""How an application's code looks to a type checker: never run, checked by mypy with the rest."""

from __future__ import annotations

from collections.abc import Sequence

import requests

from orfallback import (
    Attempt,
    Call,
    Chain,
    ChainExhausted,
    Completion,
    ExponentialBackoff,
    FallbackError,
    Fit,
    LowestLatency,
    Outcome,
    Reason,
    Sticky,
    Stream,
    StreamInterrupted,
    Target,
    Timeouts,
    Verdict,
    default_classifier,
    hookimpl,
    weighted,
)


def classify(call: Call, outcome: Outcome) -> Verdict | None:
    """A classifier of the application's own."""
    if outcome.status == 418:
        return Verdict.retry(Reason.BUSY, after=1.0)
    return default_classifier(call, outcome)


def select(call: Call, targets: Sequence[Target]) -> Target:
    """A selection of the application's own."""
    return min(targets, key=lambda target: len(target.model))


def delay(call: Call, attempt: Attempt) -> float:
    """A delay of the application's own."""
    return 0.5 * attempt.number


class Plugin:
    """A plugin with and without a mark."""

    def orfallback_attempt_finished(self, attempt: Attempt) -> None:
        """Watch."""
        reason: Reason | None = attempt.reason
        print(attempt.model, reason, attempt.elapsed)

    @hookimpl(tryfirst=True)
    def orfallback_classify(self, outcome: Outcome) -> Verdict | None:
        """Decide."""
        return Verdict.fallback(Reason.MODERATED) if outcome.error is not None and outcome.error.code == 403 else None


def use() -> str:
    """Every way to make a chain and to ask it."""
    chain = Chain(
        ["a/a", Target("b/b", base_url="http://localhost:1/v1", set={"max_tokens": 5}, drop=["seed"])],
        session=requests.Session(),
        timeouts=Timeouts(first_token=5, deadline=None),
        delay=delay,
        classify=classify,
        select=select,
        plugins=[Plugin()],
    )
    chain = chain.replace(delay=ExponentialBackoff())
    seeing = Target("c/c", inputs=["text", "image"], context_length=32_768)
    plugins: list[object] = [Fit(max_age=600), Sticky(60), LowestLatency(weight=0.5, random=lambda: 0.5)]
    chain = chain.replace(models=[seeing], select=weighted({"c/c": 1}), plugins=plugins)
    completion: Completion = chain.complete([{"role": "user", "content": "hi"}], temperature=0.5, context={"user": 1})
    try:
        with chain.stream("hi") as stream:
            for text in stream.iter_text():
                print(text.upper())
            whole: Completion = stream.read()
            opened: Stream = stream
            print(whole.tool_calls, opened.attempts[0].first_token)
    except StreamInterrupted as error:
        return error.text
    except (ChainExhausted, requests.Timeout) as error:
        if isinstance(error, FallbackError):
            wait: float | None = error.retry_after
            print(wait)
    chain.register(Plugin(), "mine")
    chain.unregister("mine")
    return completion.text
