"""The recipe of a Telegram bot, with a Telegram on this machine."""

from __future__ import annotations

import json
import logging
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from gateways import KEY
from recipes import PATIENCE, load

from orfallback import Chain
from orfallback.testing import FakeClock, Gate, Simulator, answer, cut, status

FILE = "telegram_bot.py"
TOKEN = "123456:CANARYTOKEN"
BUSY, GOOD = "a/busy", "b/good"
CHAT = 42


class FakeTelegram:
    """Telegram's Bot API, as far as the bot uses it.

    :ivar calls: each method called, with its parameters.
    :ivar messages: what each message shows.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.messages: dict[int, str] = {}
        self._updates: list[Any] = []
        self._failures: defaultdict[str, deque[tuple[int, Any]]] = defaultdict(deque)
        telegram = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                _, token, method = self.path.split("/")
                assert token == f"bot{TOKEN}"
                params = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                code, body = telegram.answer(method, params)
                payload = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def write(self, text: str | None) -> None:
        """Let somebody write to the bot; None is a photo."""
        said = {} if text is None else {"text": text}
        number = 100 + len(self._updates)
        self._updates.append({"update_id": number, "message": {"chat": {"id": CHAT}, **said}})

    def fail(self, method: str, *failures: tuple[int, Any]) -> None:
        """Fail the next calls of a method, each with a status and a body."""
        self._failures[method].extend(failures)

    def answer(self, method: str, params: Any) -> tuple[int, Any]:
        """Do what a request asks for."""
        self.calls.append((method, params))
        if self._failures[method]:
            return self._failures[method].popleft()
        if method == "getUpdates":
            updates = [update for update in self._updates if update["update_id"] >= params["offset"]]
            return 200, {"ok": True, "result": updates}
        assert 0 < len(params["text"].encode("utf-16-le")) // 2 <= 4096
        number = params.get("message_id", len(self.messages) + 1)
        # As Telegram does, which trims a text.
        text = params["text"].strip()
        if self.messages.get(number) == text:
            return 400, {"ok": False, "error_code": 400, "description": "Bad Request: message is not modified"}
        self.messages[number] = text
        return 200, {"ok": True, "result": {"message_id": number}}

    @property
    def shown(self) -> list[str]:
        """What was sent, and each edit, in order."""
        return [params["text"] for method, params in self.calls if method != "getUpdates"]


def too_many(seconds: int) -> tuple[int, Any]:
    """Telegram's answer to whom asks too often."""
    description = f"Too Many Requests: retry after {seconds}"
    return 429, {"ok": False, "error_code": 429, "description": description, "parameters": {"retry_after": seconds}}


BLOCKED = (403, {"ok": False, "error_code": 403, "description": "Forbidden: bot was blocked by the user"})


@pytest.fixture
def telegram() -> Iterator[FakeTelegram]:
    """A Telegram that listens."""
    fake = FakeTelegram()
    thread = threading.Thread(target=fake.server.serve_forever, args=(0.01,))
    thread.start()
    yield fake
    fake.server.shutdown()
    thread.join(PATIENCE)
    fake.server.server_close()


class Bot:
    """The recipe, with a Telegram, a chain and a clock.

    :ivar recipe: the module.
    :ivar clock: moves by itself when the bot sleeps, and by ``tick`` with each look at it.
    """

    def __init__(self, telegram: FakeTelegram, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
        self.recipe: Any = load(FILE)
        self.clock = FakeClock()
        self.tick = 0.0
        monkeypatch.setattr(self.recipe, "monotonic", self._monotonic)
        monkeypatch.setattr(self.recipe, "sleep", self.clock.sleep)
        self.telegram = self.recipe.Telegram(TOKEN, telegram.url)
        self.chain = Chain([BUSY, GOOD], api_key=KEY, base_url=sim.base_url, delay=0, cooldown=None)
        self.offset = 0

    def _monotonic(self) -> float:
        self.clock.advance(self.tick)
        return self.clock.monotonic()

    def poll(self) -> None:
        """Let the bot ask for what was written, and answer it."""
        self.offset = self.recipe.poll(self.telegram, self.chain, self.offset)


@pytest.fixture
def bot(
    telegram: FakeTelegram, sim: Simulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[Bot]:
    """A bot whose first model is busy. Its log holds neither key nor token."""
    sim.script(BUSY, status(502))
    bot = Bot(telegram, sim, monkeypatch)
    with caplog.at_level(logging.INFO):
        yield bot
    assert not any("CANARY" in record.getMessage() for record in caplog.get_records("call"))
    bot.chain.close()
    bot.telegram._session.close()


def test_it_answers(bot: Bot, telegram: FakeTelegram, sim: Simulator) -> None:
    """While the first model is busy the second one answers, and nobody in the chat notices."""
    telegram.write("Why is the sky blue?")
    bot.poll()
    assert telegram.messages == {1: "Hello from the simulator."}
    assert sim.models_asked == [BUSY, GOOD]
    assert {params.get("chat_id", CHAT) for _, params in telegram.calls} == {CHAT}


def test_the_answer_grows_by_edits(bot: Bot, telegram: FakeTelegram, sim: Simulator) -> None:
    """A message is sent with the first words, and edited as more come, but not more often than Telegram likes."""
    sim.script(GOOD, answer(" ".join(map(str, range(100))), role_first=False))
    bot.tick = 0.1
    telegram.write("Count!")
    bot.poll()
    first, *middle, last = telegram.shown
    assert first == "0 "
    assert last == " ".join(map(str, range(100)))
    assert all(last.startswith(text) for text in middle)
    assert 4 <= len(middle) <= 8
    assert telegram.messages == {1: last}


def test_nothing_is_edited_into_itself(bot: Bot, telegram: FakeTelegram, sim: Simulator) -> None:
    """Telegram refuses an edit that changes nothing, so none is made, at the end neither."""
    sim.script(GOOD, answer(pieces=["Hi!", "\n"]))
    bot.recipe.EVERY = 0.0
    telegram.write("Hello?")
    bot.poll()
    assert telegram.shown == ["Hi!"]


def test_the_first_words_are_shown_while_the_model_speaks(bot: Bot, telegram: FakeTelegram, sim: Simulator) -> None:
    """The chat sees the first words before the model is let to say more."""
    gate = Gate()
    sim.script(GOOD, answer("one two", gate=gate, role_first=False))
    telegram.write("Count!")
    thread = threading.Thread(target=bot.poll)
    thread.start()
    try:
        assert _seen(telegram, "one")
        assert sim.open_connections > 0
    finally:
        gate.open(5)
        thread.join(PATIENCE)
    assert telegram.messages == {1: "one two"}


def test_a_long_answer_goes_on_in_the_next_message(bot: Bot, telegram: FakeTelegram, sim: Simulator) -> None:
    """No message is longer than Telegram takes, whatever its characters, and none of the text is lost."""
    text = "".join(f"{number}🎈" for number in range(1200))
    sim.script(GOOD, answer(pieces=[text[at : at + 1500] for at in range(0, len(text), 1500)]))
    telegram.write("Balloons!")
    bot.poll()
    assert len(telegram.messages) == 3
    assert "".join(telegram.messages.values()) == text


def test_a_break_is_marked(bot: Bot, telegram: FakeTelegram, sim: Simulator) -> None:
    """The half of an answer stays, and says that it is one; the next question is answered."""
    sim.script(BUSY, cut("content", text="The sky is"), answer("Because."))
    telegram.write("Why is the sky blue?")
    telegram.write("Why?")
    bot.poll()
    assert telegram.messages == {1: "The sky is\n\n⚠️ The answer broke off here. Please ask again.", 2: "Because."}


@pytest.mark.parametrize(
    ("upstream", "told"),
    [
        (status(503, headers={"Retry-After": "20"}), "All my models are busy. Please ask again in 20 seconds."),
        (status(503, headers={"Retry-After": "600"}), "All my models are busy. Please ask again in 10 minutes."),
        (status(404), "All my models are busy."),
        (status(401), "I cannot answer that."),
    ],
    ids=["soon", "later", "gone", "rejected"],
)
def test_nobody_answers(upstream: Any, told: str, bot: Bot, telegram: FakeTelegram, sim: Simulator) -> None:
    """The chat is told so in friendly words, and the bot goes on."""
    sim.script(BUSY, upstream, answer("Here again."))
    sim.script(GOOD, upstream)
    telegram.write("Why is the sky blue?")
    telegram.write("And now?")
    bot.poll()
    assert telegram.messages == {1: told, 2: "Here again."}


def test_each_message_is_answered_once(bot: Bot, telegram: FakeTelegram, sim: Simulator) -> None:
    """The offset goes on past what was answered, photos included, and stays where it is when Telegram fails."""
    for text in ("one", None, "two"):
        telegram.write(text)
    bot.poll()
    telegram.fail("getUpdates", (502, b"<html>Bad Gateway</html>"), too_many(7), (409, {"ok": False}))
    for _ in range(3):
        bot.poll()
    telegram.write("three")
    bot.poll()
    assert [params["offset"] for method, params in telegram.calls if method == "getUpdates"] == [0, *[103] * 4]
    assert [got.body["messages"][-1]["content"] for got in sim.requests] == ["one"] * 2 + ["two"] * 2 + ["three"] * 2
    assert bot.clock.sleeps == [3.0, 7, 3.0]


def test_a_wrong_token_ends_the_bot(bot: Bot, telegram: FakeTelegram) -> None:
    """What time does not mend is raised, without the token."""
    telegram.fail("getUpdates", (401, {"ok": False, "description": "Unauthorized"}))
    with pytest.raises(bot.recipe.TelegramError, match=r"^getUpdates: Unauthorized$"):
        bot.poll()


def test_telegram_cannot_be_reached(bot: Bot, telegram: FakeTelegram) -> None:
    """Without a way to Telegram the bot waits and goes on; the log does not tell the URL, which has the token in it."""
    bot.telegram = bot.recipe.Telegram(TOKEN, "http://127.0.0.1:9")
    bot.poll()
    assert bot.clock.sleeps == [3.0]


def test_edits_that_are_too_many_are_left_out(bot: Bot, telegram: FakeTelegram, sim: Simulator) -> None:
    """Where Telegram asks to wait, edits wait; the last one is tried again until it is through."""
    sim.script(GOOD, answer("one two three"))
    telegram.fail("editMessageText", too_many(5), too_many(6))
    bot.recipe.EVERY = 0.0
    telegram.write("Count!")
    bot.poll()
    assert telegram.shown == ["one ", "one two ", "one two three", "one two three"]
    assert bot.clock.sleeps == [6]
    assert telegram.messages == {1: "one two three"}


def test_a_visitor_who_blocks_the_bot_ends_the_answer(bot: Bot, telegram: FakeTelegram, sim: Simulator) -> None:
    """An answer that nobody reads is left, the connection upstream closed, and the next message answered."""
    sim.script(GOOD, answer("one two", gate=Gate(), role_first=False), answer("Hello."))
    telegram.fail("sendMessage", BLOCKED)
    telegram.write("Count!")
    telegram.write("Hello?")
    bot.poll()
    assert telegram.messages == {1: "Hello."}
    bot.chain.close()
    assert sim.wait_idle(PATIENCE)
    assert [got.body["messages"][-1]["content"] for got in sim.left_early] == ["Count!"]


def _seen(telegram: FakeTelegram, text: str) -> bool:
    """Wait until a message shows a text."""
    pause = threading.Event()
    return any(telegram.messages.get(1) == text or pause.wait(0.005) for _ in range(2_000))
