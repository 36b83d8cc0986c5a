"""The page: one file with pictures that asks nobody for anything."""

from __future__ import annotations

from orfallback.cli._report._page._cost import cost
from orfallback.cli._report._page._latency import latency
from orfallback.cli._report._page._markup import Markup, el, join
from orfallback.cli._report._page._models import fallbacks, models
from orfallback.cli._report._page._over_time import over_time
from orfallback.cli._report._page._overview import head, headline, tiles
from orfallback.cli._report._page._parts import textures
from orfallback.cli._report._page._reasons import reasons
from orfallback.cli._report._page._script import SCRIPT
from orfallback.cli._report._page._slowest import slowest
from orfallback.cli._report._page._style import STYLE
from orfallback.cli._report._summary import Summary

# Nothing is fetched, from nobody; what is inside is all there is.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
_METHOD = (
    "p50 is the median; 95 % of the values are no greater than p95, and 99 % no greater than p99. "
    "A call fell back if another target was asked after the first one. "
    "Cancelled attempts, which their caller left, count neither as answered nor as failed. "
    "The log tells of calls that ended: what a chain knew beforehand, such as which models rested, is not in it."
)


def page(summary: Summary, source: str) -> str:
    """Return the page.

    :param summary: what to show.
    :param source: where the calls come from, in a few words.
    """
    top = join(
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("link", rel="icon", href="data:,"),
        el("title", f"orfallback report: {headline(summary)}"),
        el("style", Markup(STYLE)),
    )
    body = join(
        textures(),
        head(summary, source),
        el(
            "main", tiles(summary), over_time(summary), models(summary), latency(summary), reasons(summary),
            fallbacks(summary), slowest(summary), cost(summary),
        ),
        el("footer", el("p", _METHOD)),
        el("script", Markup(SCRIPT)),
    )  # fmt: skip
    return f'<!DOCTYPE html>\n<html lang="en"><head>{top}</head>\n<body>{body}</body></html>\n'
