"""Conversations in SQLite: what was asked, what was answered, and how each answer ended."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flask_chat.problems import Refusal

#: How an answer stands. Of these "complete" alone is a whole answer by a model.
State = Literal["writing", "complete", "degraded", "broken", "stopped", "failed"]

# The longest that an answer takes (s): longer than the deadline of the chain. One that is still being written after
# that belongs to a process that has died, and holds up its conversation no longer.
_LEASE = 900.0
# How long a writer waits for others (s).
_PATIENCE = 10.0
_TITLE = 60
_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS conversations (
    id TEXT PRIMARY KEY,
    character TEXT NOT NULL,
    created REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation TEXT NOT NULL REFERENCES conversations (id),
    role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
    text TEXT NOT NULL,
    state TEXT NOT NULL,
    model TEXT NOT NULL DEFAULT '',
    attempts TEXT NOT NULL DEFAULT '[]',
    replaces INTEGER REFERENCES messages (id),
    shown INTEGER NOT NULL,
    created REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_of_a_conversation ON messages (conversation);
-- Two answers at once in one conversation are impossible, whichever threads or processes write them.
CREATE UNIQUE INDEX IF NOT EXISTS one_answer_at_a_time ON messages (conversation) WHERE state = 'writing';
"""


@dataclass(frozen=True, slots=True)
class Message:
    """What somebody said.

    :ivar id: ascending within a conversation.
    :ivar role: "user" or "assistant".
    :ivar text: what was said; of an answer that did not end well, what came before it broke off.
    :ivar state: how it ended.
    :ivar model: who served it; "" for the user's messages, and where nobody did.
    :ivar attempts: who was asked, and why they did not answer.
    :ivar shown: whether it is part of the conversation; an answer that another one replaced is not.
    """

    id: int
    role: str
    text: str
    state: State
    model: str
    attempts: list[dict[str, Any]]
    shown: bool


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as it stands.

    :ivar writing: whether an answer is being written.
    """

    id: str
    character: str
    messages: list[Message]
    writing: bool


@dataclass(frozen=True, slots=True)
class Begun:
    """An answer that is about to be written.

    :ivar answer: the answer's id.
    :ivar history: the conversation up to the question, which is its last message.
    """

    answer: int
    history: list[Message]


class Store:
    """The database. It may be used by any number of threads and processes.

    :param path: the file; it is made if there is none.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path, timeout=_PATIENCE)) as database:
            database.executescript(_SCHEMA)

    # -- conversations --

    def create(self, character: str) -> str:
        """Begin a conversation, and return its id, which nobody can guess."""
        id_ = secrets.token_urlsafe(12)
        with self._open() as database:
            database.execute("INSERT INTO conversations VALUES (?, ?, ?)", (id_, character, time.time()))
        return id_

    def conversations(self, limit: int = 50) -> list[dict[str, Any]]:
        """Return id, character and title of the latest conversations, the newest first."""
        with self._open() as database:
            rows = database.execute(
                "SELECT id, character, (SELECT substr(text, 1, ?) FROM messages"
                " WHERE conversation = conversations.id AND role = 'user' ORDER BY messages.id LIMIT 1) AS title"
                " FROM conversations ORDER BY created DESC LIMIT ?",
                (_TITLE, limit),
            )
            return [{"id": row["id"], "character": row["character"], "title": row["title"] or ""} for row in rows]

    def read(self, conversation: str) -> Conversation:
        """Return a conversation.

        :raises Refusal: 404.
        """
        with self._open() as database:
            return self._read(database, conversation)

    # -- answers --

    def ask(self, conversation: str, text: str) -> Begun:
        """Store a question, and begin its answer.

        :raises Refusal: 404; 409 while another answer is being written.
        """
        with self._open() as database:
            _give_up_the_dead(database, conversation)
            self._read(database, conversation)
            _add(database, conversation, "user", text, "complete")
            return self._begin(database, conversation, None)

    def again(self, conversation: str) -> Begun:
        """Begin another answer to the last question.

        :raises Refusal: 404; 409 while an answer is being written, and where nothing was asked yet.
        """
        with self._open() as database:
            _give_up_the_dead(database, conversation)
            messages = self._read(database, conversation).messages
            if not messages:
                raise Refusal(409, "There is no question to answer yet.")
            last = messages[-1]
            return self._begin(database, conversation, last.id if last.role == "assistant" else None)

    def _begin(self, database: sqlite3.Connection, conversation: str, replaces: int | None) -> Begun:
        # Before the answer stands in it.
        messages = self._read(database, conversation).messages
        try:
            answer = _add(database, conversation, "assistant", "", "writing", replaces)
        except sqlite3.IntegrityError:
            # The transaction is rolled back, a question that was stored in it included.
            raise Refusal(409, "An answer is being written in this conversation. Wait for its end.") from None
        return Begun(answer, [message for message in messages if message.id != replaces])

    def finish(
        self, answer: int, state: State, text: str, model: str = "", attempts: Sequence[dict[str, Any]] = ()
    ) -> bool:
        """End an answer, once.

        An answer that replaces another one does so if it has any text; but one that broke does not replace a whole one.

        :param attempts: who was asked, and why they did not answer.
        :returns: whether this was its end; False if it had ended before, and nothing was changed.
        """
        with self._open() as database:
            ended = database.execute(
                "UPDATE messages SET state = ?, text = ?, model = ?, attempts = ? WHERE id = ? AND state = 'writing'",
                (state, text, model, json.dumps(list(attempts)), answer),
            ).rowcount
            if ended:
                _choose(database, answer)
            return bool(ended)

    def message(self, id_: int) -> Message:
        """Return a message."""
        with self._open() as database:
            return _message(database.execute("SELECT * FROM messages WHERE id = ?", (id_,)).fetchone())

    # -- rows --

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the database for one transaction, which is committed at the end, or rolled back by an exception."""
        with closing(sqlite3.connect(self._path, timeout=_PATIENCE)) as database:
            database.row_factory = sqlite3.Row
            with database:
                yield database

    def _read(self, database: sqlite3.Connection, conversation: str) -> Conversation:
        found = database.execute("SELECT character FROM conversations WHERE id = ?", (conversation,)).fetchone()
        if found is None:
            raise Refusal(404, "There is no such conversation.")
        rows = database.execute("SELECT * FROM messages WHERE conversation = ? ORDER BY id", (conversation,))
        messages = [_message(row) for row in rows]
        writing = any(message.state == "writing" for message in messages)
        return Conversation(conversation, found["character"], [each for each in messages if each.shown], writing)


def _add(
    database: sqlite3.Connection,
    conversation: str,
    role: str,
    text: str,
    state: State,
    replaces: int | None = None,
) -> int:
    # What is to replace another message is shown once it is known to do so.
    row = (conversation, role, text, state, replaces, replaces is None, time.time())
    added: int = database.execute(
        "INSERT INTO messages (conversation, role, text, state, replaces, shown, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
        row,
    ).lastrowid  # type: ignore[assignment]  # None before the first row alone
    return added


def _choose(database: sqlite3.Connection, answer: int) -> None:
    """Show an answer, or the one that it was to replace."""
    row = database.execute(
        "SELECT new.text, new.state, new.replaces, old.state AS before"
        " FROM messages AS new JOIN messages AS old ON old.id = new.replaces WHERE new.id = ?",
        (answer,),
    ).fetchone()
    if row is None:
        return
    keep = not row["text"] or (row["state"] == "broken" and row["before"] == "complete")
    database.execute("UPDATE messages SET shown = ? WHERE id = ?", (keep, row["replaces"]))
    database.execute("UPDATE messages SET shown = ? WHERE id = ?", (not keep, answer))


def _give_up_the_dead(database: sqlite3.Connection, conversation: str) -> None:
    """End what a process that died has left. As the first statement it makes the transaction a writing one at once."""
    database.execute(
        "UPDATE messages SET state = 'broken' WHERE conversation = ? AND state = 'writing' AND created < ?",
        (conversation, time.time() - _LEASE),
    )


def _message(row: sqlite3.Row) -> Message:
    attempts = json.loads(row["attempts"])
    return Message(row["id"], row["role"], row["text"], row["state"], row["model"], attempts, bool(row["shown"]))
