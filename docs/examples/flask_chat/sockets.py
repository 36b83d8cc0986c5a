"""The WebSocket: one for each conversation that is open in a browser."""

from __future__ import annotations

import json
import threading
from typing import Protocol

from flask import Flask
from flask_sock import Sock
from simple_websocket import ConnectionClosed

from flask_chat import frames
from flask_chat.asking import LARGEST, Chats, parse
from flask_chat.problems import Refusal
from flask_chat.turns import Frame, Turn

# How often a browser is asked whether it is there (s). One whose machine went away without a word is given up after two
# of these.
_PING = 25


class WebSocket(Protocol):
    """What is used of flask-sock's connections."""

    def receive(self) -> str | bytes | None:
        """Wait for a message."""

    def send(self, data: str) -> None:
        """Send a message."""


class Line:
    """The sending side of a WebSocket, which several threads share.

    :param ws: the connection.
    """

    def __init__(self, ws: WebSocket) -> None:
        self._ws = ws
        self._lock = threading.Lock()
        self._over: int = 0

    def send(self, frame: Frame) -> None:
        """Send a frame; after the last one of an answer no other one of it.

        What cannot be sent is dropped: the receiving side learns that the client has left, and stops the answer.
        """
        with self._lock:
            answer = frame["answer"]
            if answer is not None:
                if answer <= self._over:
                    return
                if frame["type"] in frames.FINAL:
                    self._over = answer
            try:
                self._ws.send(json.dumps(frame))
            except (ConnectionClosed, OSError):
                pass


def add_socket(app: Flask, chats: Chats) -> None:
    """Add the WebSocket's route to an application."""
    app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": _PING, "max_message_size": LARGEST}

    def socket(ws: WebSocket, conversation: str) -> None:
        converse(ws, chats, conversation)

    Sock(app).route("/api/conversations/<conversation>/socket")(socket)


def converse(ws: WebSocket, chats: Chats, conversation: str) -> None:
    """Serve a WebSocket until its client leaves.

    This thread receives, and another one writes the answer. So a client that wants it to stop, or leaves, is heard
    while a model is silent.
    """
    line = Line(ws)
    turn: Turn | None = None
    try:
        while True:
            try:
                asked = parse(ws.receive())
                if asked.get("type") == "stop":
                    if turn is not None and turn.stop():
                        line.send(frames.of_end(turn))
                    continue
                turn = chats.begin(conversation, asked, line.send)
            except Refusal as refusal:
                line.send(frames.of_refusal(refusal))
            else:
                threading.Thread(target=write, args=(turn, line), name="flask-chat-answer", daemon=True).start()
    finally:
        # The client has left: flask-sock closes the connection, and the model is hung up on.
        if turn is not None:
            turn.stop()


def write(turn: Turn, line: Line) -> None:
    """Write an answer, and tell of it."""
    try:
        with turn:
            for frame in frames.of_turn(turn):
                line.send(frame)
    finally:
        # Where all is well this one is dropped. Where it is not, a client is not to wait for ever.
        line.send(frames.of_end(turn))
