"""A blocking Telegram bot whose answers grow while the model speaks: ``TELEGRAM_TOKEN=... python telegram_bot.py``."""

from __future__ import annotations

import logging
import math
import os
from time import monotonic, sleep
from typing import Any

import requests

from orfallback import CallRejected, Chain, FallbackError, StreamInterrupted, Timeouts

# Telegram holds a request for updates so long, and then says that there are none (s).
POLL = 50
# Telegram refuses more than about one edit a second in a chat (s).
EVERY = 1.5
# After an error of Telegram's: without a hint, and at most (s).
PAUSE, LONGEST_PAUSE = 3.0, 60.0
# Telegram takes 4096 UTF-16 units in a message; no character has more than two.
LONGEST = 2000

log = logging.getLogger("telegram_bot")


class TelegramError(Exception):
    """Telegram did not do what it was asked.

    :ivar retry_after: seconds until it may; None if it never will: a wrong token, a visitor who has blocked the bot.
    """

    def __init__(self, message: str, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Telegram:
    """Calls methods of the Bot API."""

    def __init__(self, token: str, base_url: str = "https://api.telegram.org") -> None:
        self._url = f"{base_url}/bot{token}"
        self._session = requests.Session()

    def __call__(self, method: str, **params: Any) -> Any:
        """Call a method, and return its result."""
        try:
            # An answer to getUpdates comes after POLL seconds, if nobody writes.
            response = self._session.post(f"{self._url}/{method}", json=params, timeout=(5, POLL + 10))
            body = response.json()
        except requests.RequestException as error:
            # The message of such an error has the URL in it, and the URL has the token.
            raise TelegramError(f"{method}: {type(error).__name__}", PAUSE) from None
        if not body.get("ok"):
            # 409: another copy of the bot still runs, as it does for a moment when a new one is started.
            final = 400 <= response.status_code < 500 and response.status_code not in (409, 429)
            retry_after = None if final else body.get("parameters", {}).get("retry_after", PAUSE)
            raise TelegramError(f"{method}: {body.get('description')}", retry_after)
        return body["result"]


class Reply:
    """A message that grows. What does not fit into one goes on in the next."""

    def __init__(self, telegram: Telegram, chat: int) -> None:
        self._telegram = telegram
        self._chat = chat
        self._message: int | None = None
        self._text = self._shown = ""
        self._due = 0.0

    def add(self, text: str) -> None:
        """Add text. It is shown now or with later text, for edits are rationed."""
        self._text += text
        while len(self._text) > LONGEST:
            full, rest = self._text[:LONGEST], self._text[LONGEST:]
            self._text = full
            self.finish()
            self._message, self._text, self._shown = None, rest, ""
        if monotonic() >= self._due:
            # What is not taken now is shown by the next edit, with what comes until then.
            wait = self._show()
            self._due = monotonic() + max(EVERY, wait)

    def finish(self) -> None:
        """Show all that was added: the last edit is the one that counts."""
        for _ in range(3):
            wait = self._show()
            if not wait:
                return
            sleep(min(wait, LONGEST_PAUSE))

    def _show(self) -> float:
        """Show the text, and return how long to wait before that is tried again, 0 if it is shown."""
        try:
            self._send()
        except TelegramError as error:
            if error.retry_after is None:
                raise
            log.warning("%s", error)
            return max(error.retry_after, 1.0)
        return 0.0

    def _send(self) -> None:
        # Telegram refuses an edit that changes nothing, and a message of blanks.
        if self._text.strip() == self._shown.strip():
            return
        if self._message is None:
            self._message = self._telegram("sendMessage", chat_id=self._chat, text=self._text)["message_id"]
        else:
            self._telegram("editMessageText", chat_id=self._chat, message_id=self._message, text=self._text)
        self._shown = self._text


def answer(telegram: Telegram, chain: Chain, chat: int, question: str) -> None:
    """Answer one message."""
    reply = Reply(telegram, chat)
    try:
        with chain.stream(question) as stream:
            for text in stream.iter_text():
                reply.add(text)
    except StreamInterrupted:
        # Nothing else tells this half from a whole answer.
        reply.add("\n\n⚠️ The answer broke off here. Please ask again.")
    except CallRejected as error:
        log.error("%s", error)  # noqa: TRY400 - it names every attempt, and a traceback adds nothing
        reply.add("I cannot answer that.")
    except FallbackError as error:
        log.warning("%s", error)
        reply.add("All my models are busy." + ("" if error.retry_after is None else f" {soon(error.retry_after)}"))
    reply.finish()


def soon(seconds: float) -> str:
    """When to ask again, in words."""
    if seconds < 90:
        return f"Please ask again in {math.ceil(seconds)} seconds."
    return f"Please ask again in {math.ceil(seconds / 60)} minutes."


def poll(telegram: Telegram, chain: Chain, offset: int) -> int:
    """Answer what was written, and return where to go on.

    :param offset: of the first update that was not answered yet. Telegram forgets those before it, and gives all others
        again to a bot that was started anew.
    """
    try:
        updates = telegram("getUpdates", offset=offset, timeout=POLL, allowed_updates=["message"])
    except TelegramError as error:
        if error.retry_after is None:
            raise
        log.warning("%s", error)
        sleep(min(error.retry_after, LONGEST_PAUSE))
        return offset
    for update in updates:
        offset = update["update_id"] + 1
        message = update.get("message", {})
        # Photos, stickers and the like have no text.
        if message.get("text"):
            try:
                answer(telegram, chain, message["chat"]["id"], message["text"])
            except TelegramError as error:
                # Nobody reads this answer any more; the other chats go on.
                log.warning("%s", error)
    return offset


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    telegram = Telegram(os.environ["TELEGRAM_TOKEN"])
    # One question holds up all others, so no answer may take for ever.
    chain = Chain.from_env().replace(timeouts=Timeouts(first_token=15, deadline=90))
    offset = 0
    while True:
        offset = poll(telegram, chain, offset)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        log.info("ended")
