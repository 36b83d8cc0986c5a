"""Celery's queue and results in files that nobody sees half written, as its own may be on a busy machine."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

from celery import Celery
from celery.backends.filesystem import FilesystemBackend
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps

#: The name of the queue's kind, as in ``whole-files://``.
SCHEME = "whole-files"
TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"


def _write(path: Path, content: str | bytes) -> None:
    """Let a file be there with all its content, or not at all."""
    draft = path.with_name(f".{uuid.uuid4()}")
    draft.write_bytes(content.encode() if isinstance(content, str) else content)
    draft.replace(path)


class Channel(filesystem.Channel):  # type: ignore[misc]  # Celery is not typed
    """Puts whole messages."""

    def _put(self, queue: str, payload: Any, **_settings: Any) -> None:
        name = f"{time.monotonic_ns():020}_{uuid.uuid4()}.{queue}.msg"
        _write(Path(self.data_folder_out, name), dumps(payload))


class Transport(filesystem.Transport):  # type: ignore[misc]  # Celery is not typed
    """Carries whole messages."""

    Channel = Channel


class Results(FilesystemBackend):  # type: ignore[misc]  # Celery is not typed
    """Keeps whole results."""

    def set(self, key: bytes, value: str | bytes) -> None:
        """Keep a result."""
        _write(Path(self._filename(key).decode()), value)


def use_files(app: Celery, folder: Path) -> Celery:
    """Let a Celery application keep its queue and results in files, and return it.

    :param folder: for them.
    """
    parts = {part: folder / part for part in ("queue", "control", "results")}
    for part in parts.values():
        part.mkdir(exist_ok=True)
    app.conf.update(
        broker_url=f"{SCHEME}://",
        result_backend=f"{__name__}:Results+file://{parts['results']}",
        broker_transport_options={
            "data_folder_in": str(parts["queue"]),
            "data_folder_out": str(parts["queue"]),
            "control_folder": str(parts["control"]),
            "polling_interval": 0.05,
        },
        broker_connection_retry_on_startup=True,
    )
    return app
