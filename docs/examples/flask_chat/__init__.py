"""A chat in Flask whose answers survive a busy model: README.md says how to run it, and what each file is."""

from flask_chat.app import create_app

__all__ = ["create_app"]
