"""The page of the Flask chat in headless Chromium."""

from __future__ import annotations

import functools
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask_chats import Served, chain_at, eventually, held, serving
from gateways import BUSY, GOOD
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from orfallback.testing import Gate, Simulator, answer, cut, silence, status

HELLO = "Hello from the simulator."
MARKUP = "<img src=x onerror=alert(1)><script>alert(1)</script> **bold** &amp;"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A browser of its own, that remembers nothing."""
    driver, browser = shutil.which("chromedriver"), shutil.which("chromium")
    if driver is None or browser is None:
        pytest.skip("no browser: install Debian's packages chromium and chromium-driver")
    options = Options()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chromium = webdriver.Chrome(options, Service(executable_path=driver))
    try:
        yield chromium
    finally:
        chromium.quit()


class Page:
    """The page, as people use it.

    :ivar chat: the server.
    :ivar browser: the browser.
    """

    def __init__(self, chat: Served, browser: webdriver.Chrome) -> None:
        self.chat = chat
        self.browser = browser

    def open(self) -> None:
        """Begin a conversation with the first character."""
        self.browser.get(f"{self.chat.url}/")
        self.one("[data-character=teacher]").click()
        self.until(lambda: self.text("#name") == "Ida")

    def one(self, selector: str) -> WebElement:
        """Return an element, once it is there."""
        found: list[WebElement] = eventually(lambda: self.browser.find_elements(By.CSS_SELECTOR, selector))
        return found[0]

    def text(self, selector: str) -> str:
        """Return what can be read in an element."""
        self.one(selector)
        return self.all(selector)[0]

    def all(self, selector: str) -> list[str]:
        """Return what can be read in each element that there is."""
        script = "return [...document.querySelectorAll(arguments[0])].map((each) => each.innerText.trim())"
        found: list[str] = self.browser.execute_script(script, selector)
        return found

    def until(self, seen: Callable[[], Any]) -> None:
        """Wait until the page shows something."""

        eventually(seen)

    def say(self, text: str) -> None:
        """Write a message, and send it by the keyboard, once nothing is asked."""
        self.idle()
        self.one("#text").send_keys(text, Keys.ENTER)

    def idle(self) -> None:
        """Wait until nothing is asked."""
        self.until(lambda: self.one("#log").get_attribute("aria-busy") == "false")

    def answers(self) -> list[str]:
        """Return the answers, the greeting left out."""
        return self.all("article.assistant .text")[1:]

    def by_rest(self) -> None:
        """Have answers as a whole."""
        self.one("input[value=rest]").click()

    def complaints(self) -> list[str]:
        """Return what the console has complained of since it was last asked."""
        return [entry["message"] for entry in self.browser.get_log("browser")]  # type: ignore[no-untyped-call]


@pytest.fixture
def page(sim: Simulator, tmp_path: Path, chromium: webdriver.Chrome) -> Iterator[Page]:
    """A conversation on a chat whose first model is busy. At the end no complaint may stand in the console."""
    sim.script(BUSY, status(502))
    with chain_at(sim) as chain, serving(chain, tmp_path) as chat:
        page = Page(chat, chromium)
        page.open()
        yield page
        complaints = page.complaints()
        chromium.get("about:blank")
    assert complaints == []


def test_an_answer_grows_on_the_page(page: Page, sim: Simulator) -> None:
    """The fallback is told while one waits, each token is seen before the next one is sent, then who served."""
    first, gate = Gate(), Gate()
    words = ["Light ", "is ", "scattered."]
    sim.script(GOOD, held(first, answer(pieces=words, gate=gate, role_first=False)))
    page.say("Why is the sky blue?")
    page.until(lambda: page.text("#status") == "busy is busy, asking good…")
    assert page.all("article.user .text") == ["Why is the sky blue?"]
    first.open()
    for said in itertools.accumulate(words):
        page.until(lambda: page.answers() == [said.strip()])  # noqa: B023  # it is called here alone
        assert page.one("#stop").is_displayed()
        assert not page.one("#send").is_displayed()
        gate.open()
    gate.open(3)
    page.until(lambda: page.all("article.complete .model") == [GOOD])
    assert page.all("article.complete .fallback") == ["· busy was busy"]
    assert page.text("#status") == ""
    assert page.one("#send").is_displayed()
    page.one("#menu summary").click()
    page.until(lambda: page.all("#conversations a") == ["Why is the sky blue?"])


def test_the_same_over_rest(page: Page, sim: Simulator) -> None:
    """The answer comes as a whole, with who served and who was busy."""
    page.by_rest()
    page.say("Why?")
    page.until(lambda: page.answers() == [HELLO])
    assert page.all("article.complete .model") == [GOOD]
    assert page.all("article.complete .fallback") == ["· busy was busy"]
    assert not sim.requests[-1].stream


@pytest.mark.parametrize("way", ["socket", "rest"])
def test_regenerate_and_reload(way: str, page: Page, sim: Simulator) -> None:
    """Another answer takes the place of the last one, and a reload shows the conversation as it was."""
    sim.script(GOOD, answer("first"), answer("second"))
    if way == "rest":
        page.by_rest()
    assert not page.one("#regenerate").is_displayed()
    page.say("Why?")
    page.until(lambda: page.answers() == ["first"])
    page.idle()
    page.one("#regenerate").click()
    page.until(lambda: page.answers() == ["second"])
    page.idle()
    page.browser.refresh()
    page.until(lambda: page.answers() == ["second"])
    assert page.all("article.user .text") == ["Why?"]
    assert page.all("article.complete .model") == [GOOD]
    page.say("And then?")
    page.until(lambda: page.answers() == ["second", "second"])


def test_stop_keeps_what_came(page: Page, sim: Simulator) -> None:
    """Escape stops the answer, the connection to the model is closed, and the text so far is shown as stopped."""
    sim.script(GOOD, silence("end", text="Well, you see"), answer())
    page.say("Why?")
    page.until(lambda: page.answers() == ["Well, you see"])
    page.one("#text").send_keys(Keys.ESCAPE)
    page.until(lambda: page.all("article.stopped .state") == ["stopped"])
    eventually(lambda: sim.left_early)
    assert page.answers() == ["Well, you see"]
    page.say("Go on.")
    page.until(lambda: page.answers() == ["Well, you see", HELLO])


def test_a_page_that_is_left_stops_its_answer(page: Page, sim: Simulator) -> None:
    """A reload in the middle of an answer closes the connection to the model, and shows what came as stopped."""
    sim.script(GOOD, silence("end", text="Well, you see"))
    page.say("Why?")
    page.until(lambda: page.answers() == ["Well, you see"])
    page.browser.refresh()
    page.until(lambda: page.all("article.stopped .text") == ["Well, you see"])
    eventually(lambda: sim.left_early)
    page.idle()


def test_a_break_is_shown_as_one(page: Page, sim: Simulator) -> None:
    """Half an answer is marked, in words, before and after a reload."""
    sim.script(GOOD, cut("content", text="The sky is b"))
    page.say("Why?")
    page.until(lambda: page.all("article.broken .state") == ["broke off"])
    assert page.answers() == ["The sky is b"]
    assert page.text("#status") == "The answer broke off. Regenerate it, or go on."
    page.browser.refresh()
    page.until(lambda: page.all("article.broken .state") == ["broke off"])
    assert page.answers() == ["The sky is b"]


def test_a_whole_answer_stays_when_a_new_one_breaks_off(page: Page, sim: Simulator) -> None:
    """The page shows the answer that stands, and says what became of the new one."""
    sim.script(GOOD, answer("whole"), cut("content", text="hal"))
    page.say("Why?")
    page.until(lambda: page.answers() == ["whole"])
    page.idle()
    page.one("#regenerate").click()
    page.until(lambda: page.text("#status") == "The new answer broke off; the one before it stands.")
    page.until(lambda: page.answers() == ["whole"])


def test_nobody_answers(page: Page, sim: Simulator) -> None:
    """The page says so, and when to try again; one click asks anew."""
    sim.script(GOOD, status(503), answer())
    page.say("Why?")
    page.until(lambda: page.all("article.failed .state") == ["no answer"])
    assert page.text("#status") == "No model answered: busy was busy, good was busy. Try again in 30 s."
    page.one("#regenerate").click()
    page.until(lambda: page.answers() == [HELLO])


@pytest.mark.parametrize("way", ["socket", "rest"])
def test_what_is_refused_is_given_back(way: str, page: Page, sim: Simulator) -> None:
    """A message that cannot be answered now is told so, and stands again where it was written."""
    gate = Gate()
    sim.script(GOOD, held(gate), answer())
    if way == "rest":
        page.by_rest()
    conversation = "conversations/" + page.browser.current_url.rpartition("/")[2]
    with page.chat.line(conversation) as line:
        line.send({"text": "from another page"})
        assert line.next()["type"] == "notice"
        page.say("from this page")
        page.until(lambda: page.text("#status").startswith("An answer is being written"))
        assert page.one("#text").get_property("value") == "from this page"
        gate.open()
        assert line.rest()[-1]["type"] == "end"
    page.idle()
    if way == "rest":
        # The browser itself tells of every 409.
        assert len(page.complaints()) == 1


@pytest.mark.parametrize("way", ["socket", "rest"])
def test_a_server_that_is_gone(way: str, sim: Simulator, tmp_path: Path, chromium: webdriver.Chrome) -> None:
    """A message that cannot be sent stands again where it was written, and what was said before stays on the page."""
    with chain_at(sim) as chain:
        with serving(chain, tmp_path) as chat:
            page = Page(chat, chromium)
            page.open()
            page.by_rest()
            page.say("first")
            page.until(lambda: page.answers() == [HELLO])
            page.idle()
        page.one(f"input[value={way}]").click()
        page.say("second")
        page.until(lambda: page.text("#status") == "The chat cannot be reached. Is its server running?")
        assert page.one("#text").get_property("value") == "second"
        assert page.answers() == [HELLO]
        assert page.all("article.user .text") == ["first"]
    # The browser itself tells of what it cannot reach.
    assert page.complaints()
    chromium.get("about:blank")


@pytest.mark.parametrize("way", ["socket", "rest"])
def test_markup_is_text(way: str, page: Page, sim: Simulator) -> None:
    """What people and models write is shown to the letter, and nothing of it is run."""
    sim.script(GOOD, answer(MARKUP))
    if way == "rest":
        page.by_rest()
    page.say(MARKUP)
    page.until(lambda: page.answers() == [MARKUP])
    page.idle()
    page.browser.refresh()
    page.until(lambda: page.answers() == [MARKUP])
    assert page.all("article.user .text") == [MARKUP]
    assert page.browser.find_elements(By.CSS_SELECTOR, "#log img, #log script") == []


def test_the_keyboard_is_enough(page: Page) -> None:
    """Tab reaches everything in order, Shift+Enter makes a new line, and the focus is where one writes."""
    active = page.browser.switch_to.active_element
    assert active.get_attribute("id") == "text"
    active.send_keys("one", Keys.SHIFT, Keys.ENTER, Keys.NULL, "two")
    assert active.get_property("value") == "one\ntwo"
    active.send_keys(Keys.TAB)
    assert page.browser.switch_to.active_element.get_attribute("name") == "way"
    page.browser.switch_to.active_element.send_keys(Keys.TAB)
    assert page.browser.switch_to.active_element.get_attribute("id") == "send"
    page.browser.switch_to.active_element.send_keys(Keys.ENTER)
    page.until(lambda: page.answers() == [HELLO])
    assert page.all("article.user .text") == ["one\ntwo"]


def _contrasts(browser: webdriver.Chrome) -> dict[str, float]:
    """Return the contrast of each text with what is behind it, by WCAG."""
    found: dict[str, float] = browser.execute_script("""
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
        const found = {};
        for (const element of document.querySelectorAll("body *")) {
          const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
          if (!own || !element.checkVisibility() || element.closest("script, noscript")) continue;
          const [low, high] = [getComputedStyle(element).color, behind(element)].map(luminance).sort((a, b) => a - b);
          found[`${element.tagName}.${element.className}#${element.id}`] = (high + 0.05) / (low + 0.05);
        }
        return found;
    """)
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_fits(width: int, scheme: str, page: Page, sim: Simulator) -> None:
    """On a phone and on a desk, light and dark, nothing scrolls sideways, all text can be read, buttons can be hit."""
    command = page.browser.execute_cdp_cmd
    command("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    command("Emulation.setDeviceMetricsOverride", metrics)
    try:
        sim.script(GOOD, answer("x" * 300 + " and more. " * 30), cut("content", text="The sky is b"))
        page.browser.refresh()
        for state in ("complete", "broken"):
            page.say("Why is the sky blue?")
            page.until(functools.partial(page.all, f"article.{state} .model"))
            page.idle()
        assert page.browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert {name: ratio for name, ratio in _contrasts(page.browser).items() if ratio < 4.5} == {}
        small = [each for each in page.browser.find_elements(By.CSS_SELECTOR, "button") if each.is_displayed()]
        assert min(each.size["height"] for each in small) >= 44
        assert page.one("#send").location["y"] + page.one("#send").size["height"] <= 844
        page.browser.get(f"{page.chat.url}/")
        page.one("[data-character]")
        assert page.browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert {name: ratio for name, ratio in _contrasts(page.browser).items() if ratio < 4.5} == {}
    finally:
        command("Emulation.clearDeviceMetricsOverride", {})
        command("Emulation.setEmulatedMedia", {"features": []})


def test_what_is_not_there_is_told(page: Page) -> None:
    """The page of a conversation that does not exist says so, and lets nothing be sent."""
    page.browser.get(f"{page.chat.url}/c/none")
    page.until(lambda: page.text("#status") == "There is no such conversation.")
    assert not page.one("#send").is_enabled()
    # The browser itself tells of every 404.
    assert len(page.complaints()) == 1
