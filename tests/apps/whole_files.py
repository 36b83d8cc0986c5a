"""Celery's queue and results in files that nobody sees half written, as its own may be on a busy machine."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

from celery.backends.filesystem import FilesystemBackend
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.encoding import ensure_bytes
from kombu.utils.json import dumps

#: The name of the queue's kind, as in ``whole-files://``.
SCHEME = "whole-files"
TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"


def _write(path: Path, content: bytes) -> None:
    """Let a file be there with all its content, or not at all."""
    draft = path.with_name(f".{uuid.uuid4()}")
    draft.write_bytes(content)
    draft.replace(path)


class Channel(filesystem.Channel):
    """Puts whole messages."""

    def _put(self, queue: str, payload: Any, **_settings: Any) -> None:
        name = f"{time.monotonic_ns():020}_{uuid.uuid4()}.{queue}.msg"
        _write(Path(self.data_folder_out, name), ensure_bytes(dumps(payload)))


class Transport(filesystem.Transport):
    """Carries whole messages."""

    Channel = Channel


class Results(FilesystemBackend):
    """Keeps whole results."""

    def set(self, key: bytes, value: Any) -> None:
        """Keep a result."""
        _write(Path(self._filename(key).decode()), ensure_bytes(value))
