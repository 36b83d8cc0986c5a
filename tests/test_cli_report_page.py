"""The page of ``orfallback report --html`` in headless Chromium."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import browsers
import call_logs
import pytest
from call_logs import NASTY, answered, call, failed, nasty, summed
from selenium import webdriver
from selenium.webdriver.common.by import By

from orfallback._record import Record
from orfallback.cli._report import _words
from orfallback.cli._report._page import page
from orfallback.cli._report._summary import Summary

PICTURES = ("over-time", "models", "latency", "reasons", "fallbacks", "slowest", "cost")
#: A day on which everything happens that a picture has a kind for.
DAY = [
    *call_logs.records(1200),
    call(failed(reason="truncated", first_token=0.2), at=3600, ending="broken"),
    *(call(failed(reason=why), answered(waited=1.0), at=7200) for why in (
        "connection", "malformed", "empty", "not_found", "context_length", "unsupported", "moderated", "unauthorized",
        "payment", "invalid_request", "misconfigured", "later",
    )),
    call(failed(reason="cancelled"), at=9000, ending="aborted"), call(at=9100, ending="degraded"),
    call(answered(), at=9200, ending="later"), call(*[failed()] * 60, ending="failed", left_out=7, at=9300),
]  # fmt: skip


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A browser of its own."""
    with browsers.chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture(scope="module")
def summary() -> Summary:
    """What the day comes to."""
    return summed(*DAY)


@pytest.fixture(scope="module")
def file(summary: Summary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its page."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(summary, "1,217 calls read from 1 file: calls.jsonl"), encoding="utf-8")
    return path


@pytest.fixture
def at(chromium: webdriver.Chrome, file: Path) -> Iterator[webdriver.Chrome]:
    """The page, open. At the end no complaint may stand in the console, of the Content-Security-Policy neither."""
    complaints(chromium)
    chromium.get(file.as_uri())
    yield chromium
    assert complaints(chromium) == []


def complaints(browser: webdriver.Chrome) -> list[str]:
    """Return what the console has complained of since it was last asked."""
    return [entry["message"] for entry in browser.get_log("browser")]  # type: ignore[no-untyped-call]


def found(browser: webdriver.Chrome, script: str, *arguments: object) -> Any:
    """Return what a script finds."""
    return browser.execute_script(f"return {script}", *arguments)


def data(browser: webdriver.Chrome, selector: str, name: str) -> list[float]:
    """Return the figures that elements hold."""
    script = "[...document.querySelectorAll(arguments[0])].map((each) => each.getAttribute(arguments[1]))"
    return [float(each) for each in found(browser, script, selector, f"data-{name}")]


# -- the numbers --


def test_every_picture_is_there(at: webdriver.Chrome) -> None:
    """Each part has a title that says what is seen, a description, and drawings that are read aloud."""
    assert found(at, "[...document.querySelectorAll('section')].map((each) => each.id)") == list(PICTURES)
    for name in PICTURES:
        assert found(at, "document.querySelector(`#${arguments[0]} h2`).innerText.length", name) > 20
    script = (
        "[...document.querySelectorAll('svg[role=img]')].map((each) => [each.ariaLabel, each.querySelector('desc')])"
    )
    drawings = found(at, script)
    assert len(drawings) > 30
    assert all(label and described for label, described in drawings)
    sizes = "[...document.querySelectorAll('svg[role=img]')].map((each) => each.getBoundingClientRect().width)"
    assert min(found(at, sizes)) > 100


def test_the_tiles(at: webdriver.Chrome, summary: Summary) -> None:
    """The figures that count are those of the log."""
    told = dict(zip(texts(at, ".tile dt"), texts(at, ".tile .value"), strict=True))
    assert told == {
        "Calls": _words.number(summary.calls),
        "Answered": _words.percent(summary.answered, summary.calls),
        "Fell back": _words.percent(summary.fell_back, summary.calls),
        "No whole answer": _words.percent(summary.calls - summary.answered - summary.outcomes["left"], summary.calls),
        "Time to the whole answer": _words.seconds(summary.seconds.p50),
        "Time to the first token": _words.seconds(summary.first_token.p50),
        "Cost": _words.money(summary.cost),
        "Spent on failed attempts": _words.seconds(summary.wasted.seconds),
    }


def texts(browser: webdriver.Chrome, selector: str) -> list[str]:
    """Return what can be read in each element."""
    script = "[...document.querySelectorAll(arguments[0])].map((each) => each.innerText)"
    return [each.replace("\xa0", " ").strip() for each in found(browser, script, selector)]


def test_calls_over_time(at: webdriver.Chrome, summary: Summary) -> None:
    """Each bar is a bucket, each piece of it an outcome as high as its count, and none is missing."""
    assert data(at, "#calls .slot", "calls") == [bucket.outcomes.total() for bucket in summary.buckets]
    for outcome, count in summary.outcomes.items():
        kind = "fallback" if outcome.startswith("answered after") else outcome
        assert sum(data(at, f"#calls rect.{kind}[data-n]", "n")) == count
    heights = found(
        at, "[...document.querySelectorAll('#calls rect[data-n]')].map((each) => each.height.baseVal.value)"
    )
    counts = data(at, "#calls rect[data-n]", "n")
    per_call = [height / count for height, count in zip(heights, counts, strict=True)]
    assert min(per_call) == pytest.approx(max(per_call), rel=0.01)
    # In shares of its bar, answers of the first model left out.
    drawn = found(at, "[...document.querySelectorAll('#shares rect[data-n]')].map((each) => each.height.baseVal.value)")
    shares = [
        bucket.outcomes[name] / bucket.outcomes.total()
        for bucket in summary.buckets
        for name in ("failed", "aborted", "broken", "other", "degraded", "left", "answered after a fallback")
        if bucket.outcomes[name]
    ]
    assert len(drawn) == len(shares)
    per_share = [height / share for height, share in zip(drawn, shares, strict=True)]
    assert min(per_share) == pytest.approx(max(per_share), rel=0.01)


def test_the_table_of_models(at: webdriver.Chrome, summary: Summary) -> None:
    """Each model has a row with its figures, which a click on a column's name puts in order."""
    rows = [row.text.replace("\xa0", " ") for row in at.find_elements(By.CSS_SELECTOR, "#models tbody tr")]
    assert len(rows) == len(summary.models)
    for row, model in zip(rows, summary.models, strict=True):
        assert row.startswith(model.name)
        assert _words.number(model.asked) in row
        assert _words.money(model.cost) in row
        assert _words.seconds(model.latency.p95) in row
    names = "[...document.querySelectorAll('#models tbody th')].map((each) => each.innerText)"
    at.execute_script("document.querySelectorAll('#models thead button')[1].click()")
    by_asked = sorted(summary.models, key=lambda model: -model.asked)
    assert found(at, names) == [model.name for model in by_asked]
    at.execute_script("document.querySelectorAll('#models thead button')[1].click()")
    assert found(at, names) == [model.name for model in reversed(by_asked)]
    assert found(at, "document.querySelectorAll('#models th[aria-sort=ascending]').length") == 1
    at.execute_script("document.querySelectorAll('#models thead button')[0].click()")
    assert found(at, names) == sorted(model.name for model in summary.models)


def test_latencies(at: webdriver.Chrome, summary: Summary) -> None:
    """Dots lie where the logarithm of the median is, and the figures beside them are those of the log."""
    spreads = [spread for model in summary.models for spread in (model.latency, model.first_token) if spread.size]
    for name in ("p50", "p95", "p99"):
        assert data(at, "#latency .lane[data-n]", name) == pytest.approx([getattr(s, name) for s in spreads], abs=0.001)
    assert data(at, "#latency .lane[data-n]", "n") == [spread.size for spread in spreads]
    dots = found(
        at, "[...document.querySelectorAll('#latency .dot')].map((each) => parseFloat(each.getAttribute('cx')))"
    )
    ordered = sorted(zip((spread.p50 for spread in spreads), dots, strict=True))
    assert [dot for _, dot in ordered] == sorted(dots)
    told = texts(at, "#latency .lane[data-n] .figures")
    assert told[0] == " · ".join(_words.seconds(value) for value in spreads[0][1:])


def test_why_attempts_failed(at: webdriver.Chrome, summary: Summary) -> None:
    """Each model's bar is made of its reasons, as wide as they are frequent, and says them in words, too."""
    failing = sorted((model for model in summary.models if model.failed), key=lambda model: -model.failed)
    assert data(at, "#reasons rect[data-n]", "n") == [count for model in failing for count in model.reasons.values()]
    widths = found(
        at, "[...document.querySelectorAll('#reasons rect[data-n]')].map((each) => each.width.baseVal.value)"
    )
    per_attempt = [w / n for w, n in zip(widths, data(at, "#reasons rect[data-n]", "n"), strict=True)]
    assert min(per_attempt) == pytest.approx(max(per_attempt), rel=0.02)
    words = texts(at, "#reasons .group")
    for model, text in zip(failing, words, strict=True):
        for reason, count in model.reasons.items():
            assert f"{reason} {_words.number(count)}" in text


def test_fallbacks(at: webdriver.Chrome, summary: Summary) -> None:
    """Each step has a row: from, to, how often, why."""
    rows = [row.text for row in at.find_elements(By.CSS_SELECTOR, "#fallbacks tbody tr")]
    assert len(rows) == len(summary.fallbacks)
    for row, step in zip(rows, summary.fallbacks, strict=True):
        assert row.startswith(f"{step.source} {step.target} {_words.number(step.times)} ")


def test_the_slowest_calls(at: webdriver.Chrome, summary: Summary) -> None:
    """Each attempt is a bar from its start to its end, behind the waits and attempts before it."""
    assert data(at, "#slowest .call", "s") == pytest.approx([record.seconds for record in summary.slowest], abs=0.001)
    for index, record in enumerate(summary.slowest, 1):
        if len(record.attempts) > 8:
            continue
        bars = found(
            at,
            f"""[...document.querySelectorAll("#slowest .call:nth-child({index}) rect[data-s]")].map((each) =>
            [each.x.baseVal.value, each.width.baseVal.value, each.ownerSVGElement.getBoundingClientRect().width])""",
        )
        scale = bars[0][2] / summary.slowest[0].seconds
        now = 0.0
        for (x, width, _), attempt in zip(bars, record.attempts, strict=True):
            now += attempt.waited
            assert x == pytest.approx(now * scale, abs=1)
            assert width == pytest.approx(max(attempt.elapsed * scale, 0.003 * bars[0][2]), abs=1)
            now += attempt.elapsed


def test_cost(at: webdriver.Chrome, summary: Summary) -> None:
    """What was paid is there by time and by model, to the last digit."""
    assert summary.cost is not None
    assert sum(data(at, "#cost-over-time rect[data-cost]", "cost")) == pytest.approx(summary.cost, rel=1e-6)
    by_model = sorted((model.cost or 0.0 for model in summary.models if model.cost), reverse=True)
    assert data(at, "#cost-by-model rect[data-cost]", "cost") == pytest.approx(by_model, rel=1e-6)


# -- how it looks --

_CONTRASTS = """
    const luminance = (colour) => {
      const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((each) => each / 255)
        .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
      for (let each = element; each; each = each.parentElement) {
        const colour = getComputedStyle(each).backgroundColor;
        if (!/, 0\\)$/.test(colour)) return colour;
      }
    };
    const contrast = (one, other) => {
      const [low, high] = [one, other].map(luminance).sort((a, b) => a - b);
      return (high + 0.05) / (low + 0.05);
    };
    const found = {text: {}, marks: {}};
    for (const details of document.querySelectorAll("details")) details.open = true;
    for (const element of document.querySelectorAll("body *")) {
      if (element.closest("script, style, title, desc, defs") || !element.checkVisibility()) continue;
      const style = getComputedStyle(element);
      const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
      const name = `${element.tagName}.${element.getAttribute("class")}`;
      if (own) {
        const colour = element.namespaceURI.endsWith("svg") ? style.fill : style.color;
        found.text[name] = Math.min(found.text[name] ?? 99, contrast(colour, behind(element)));
      } else if (element.matches("rect:not(.hit, .over), .dot, .waited, .p95, .p99, .base")) {
        const colour = element.matches("rect") ? style.fill : style.stroke;
        if (element.matches(".whole .dot")) continue;
        found.marks[name] = contrast(colour, behind(element));
      }
    }
    return found;
"""


@contextmanager
def looked_at(browser: webdriver.Chrome, width: int, scheme: str) -> Iterator[None]:
    """Look through a window of a width, in a colour scheme."""
    command = browser.execute_cdp_cmd
    command("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    command("Emulation.setDeviceMetricsOverride", metrics)
    try:
        yield
    finally:
        command("Emulation.clearDeviceMetricsOverride", {})
        command("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 768, 1440])
def test_the_page_fits(width: int, scheme: str, at: webdriver.Chrome) -> None:
    """On a phone and on a desk, light and dark: nothing scrolls sideways, all text is read, all marks are seen."""
    with looked_at(at, width, scheme):
        at.refresh()
        seen = at.execute_script(_CONTRASTS)
        assert len(seen["text"]) > 15
        assert {name: ratio for name, ratio in seen["text"].items() if ratio < 4.5} == {}
        assert len(seen["marks"]) > 20
        assert {name: ratio for name, ratio in seen["marks"].items() if ratio < 3} == {}
        assert found(at, "document.documentElement.scrollWidth") <= width
        dark = found(at, "getComputedStyle(document.body).backgroundColor") == "rgb(15, 18, 21)"
        assert dark is (scheme == "dark")


@pytest.mark.parametrize("width", [390, 1440])
def test_no_names_of_an_axis_overlap(width: int, at: webdriver.Chrome) -> None:
    """What stands on an axis stands beside what is next to it, within the page."""
    with looked_at(at, width, "light"):
        at.refresh()
        overlaps = at.execute_script("""
            const found = [];
            for (const svg of document.querySelectorAll("svg")) {
              const boxes = [...svg.querySelectorAll("text")].filter((each) => each.checkVisibility())
                .map((each) => [each.textContent, each.getBoundingClientRect()]);
              for (const [index, [one, a]] of boxes.entries()) {
                if (a.left < 0 || a.right > innerWidth) found.push(one);
                for (const [other, b] of boxes.slice(index + 1)) {
                  if (a.left < b.right && b.left < a.right && a.top < b.bottom - 2 && b.top < a.bottom - 2) {
                    found.push(`${one} | ${other}`);
                  }
                }
              }
            }
            return found;
        """)
        assert overlaps == []


def test_figures_under_the_pointer(at: webdriver.Chrome, summary: Summary) -> None:
    """A pointer over a bar is told what it stands for, within the window."""
    with looked_at(at, 390, "light"):
        at.refresh()
        slots = at.find_elements(By.CSS_SELECTOR, "#calls .hit")
        # What is scrolled away takes its figures with it, a moment later.
        at.execute_async_script(
            """
            arguments[0].scrollIntoView({block: "center", behavior: "instant"});
            requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(arguments[1])));
        """,
            slots[-1],
        )
        webdriver.ActionChains(at).move_to_element(slots[-1]).perform()
        tip = at.find_element(By.CSS_SELECTOR, ".tip")
        assert tip.is_displayed()
        assert f"{_words.things(summary.buckets[-1].outcomes.total(), 'call')}" in tip.text.replace("\xa0", " ")
        box = tip.rect
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        webdriver.ActionChains(at).move_to_element(at.find_element(By.CSS_SELECTOR, "#over-time h2")).perform()
        assert not tip.is_displayed()


def test_without_scripts(chromium: webdriver.Chrome, file: Path) -> None:
    """Where no script runs all pictures and figures are there all the same, the latter as titles."""
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        chromium.get(file.as_uri())
        # What WebDriver runs by itself does run.
        assert len(chromium.find_elements(By.CSS_SELECTOR, "svg[role=img] > title")) > 30
        assert len(chromium.find_elements(By.CSS_SELECTOR, "#calls .slot > title")) > 20
        assert chromium.find_elements(By.CSS_SELECTOR, ".tip") == []
        assert chromium.find_element(By.CSS_SELECTOR, "#calls svg[role=img]").size["width"] > 100
    finally:
        chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


# -- what it does not do --


class _Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and remembers what was asked for."""

    asked: list[str] = []  # noqa: RUF012 - one for the test

    def log_message(self, *_: object) -> None:
        """Say nothing."""
        self.asked.append(self.path)


def test_no_request_leaves_the_page(chromium: webdriver.Chrome, file: Path) -> None:
    """The page is all that is fetched: no font, no icon, no script, from its own server neither."""
    handler = functools.partial(_Quiet, directory=str(file.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            chromium.get_log("performance")  # type: ignore[no-untyped-call]
            chromium.get(f"http://127.0.0.1:{server.server_port}/report.html")
            chromium.execute_script("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
            chromium.get("about:blank")
            entries = chromium.get_log("performance")  # type: ignore[no-untyped-call]
        finally:
            server.shutdown()
            thread.join()
    assert _Quiet.asked == ["/report.html"]
    messages = [json.loads(entry["message"])["message"] for entry in entries]
    sent = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
    assert [url for url in sent if not url.startswith(("data:", "about:"))] == [
        f"http://127.0.0.1:{server.server_port}/report.html"
    ]


def test_what_a_policy_forbids(at: webdriver.Chrome) -> None:
    """The page's own policy lets nothing in, should anything ever try."""
    policy = found(at, "document.querySelector('meta[http-equiv=Content-Security-Policy]').content")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
    refused = at.execute_async_script(
        "const done = arguments[0]; fetch('http://127.0.0.1:9/').then(() => done('sent'), () => done('refused'));"
    )
    assert refused == "refused"
    assert any("Content Security Policy" in each for each in complaints(at))


@pytest.mark.parametrize(
    "text", [NASTY, '"><svg onload=alert(1)>', "{{x}}`${1}`", "\u05d0\u05d1 (x) \u202e"],
    ids=["nasty", "attribute", "template", "right to left"],
)  # fmt: skip
def test_markup_is_text(text: str, chromium: webdriver.Chrome, tmp_path: Path) -> None:
    """Whatever stands in a record is shown as text: nothing of it runs, or becomes an element."""
    file = tmp_path / "report.html"
    file.write_text(page(summed(nasty(text), call(answered())), text), encoding="utf-8")
    complaints(chromium)
    chromium.get(file.as_uri())
    assert (
        found(chromium, "document.querySelectorAll('img, [onload], [onerror], script:not(body > script)').length") == 0
    )
    assert found(chromium, "document.querySelectorAll('section').length") >= 4
    assert found(chromium, "document.querySelector('#models tbody th bdi').innerText.length") > 1
    assert complaints(chromium) == []


@pytest.mark.parametrize(
    "records",
    [[call(answered())], [call(ending="failed")], [call(failed(), ending="failed")], [call(answered(seconds=0.0))]],
    ids=["answered", "nobody asked", "failed", "in no time"],
)
def test_a_page_of_one_call(records: list[Record], chromium: webdriver.Chrome, tmp_path: Path) -> None:
    """One call makes a page, too: what there is nothing to show of is left out."""
    file = tmp_path / "report.html"
    file.write_text(page(summed(*records), "calls.jsonl"), encoding="utf-8")
    complaints(chromium)
    chromium.get(file.as_uri())
    assert texts(chromium, "h1")[0].startswith("1 call, ")
    assert complaints(chromium) == []


# -- how long it takes --


def test_a_hundred_thousand_calls_open_at_once(chromium: webdriver.Chrome, tmp_path: Path) -> None:
    """The page of a log of 100,000 calls is loaded in less than three seconds."""
    file = tmp_path / "report.html"
    text = page(summed(*call_logs.records(100_000, days=30)), "calls.jsonl")
    file.write_text(text, encoding="utf-8")
    chromium.get("about:blank")
    chromium.get(file.as_uri())
    took = found(chromium, "performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000
    print(f"a page of {len(text) / 1000:.0f} kB: loaded after {took:.2f} s")
    assert 0 < took < 3
