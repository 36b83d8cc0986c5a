"""Logs as lines of JSON on stderr, with their fields: the standard library alone.

``json_logs.set_up()`` at the start of the application; Django takes ``LOGGING`` as its setting.
"""

from __future__ import annotations

import json
import logging
import logging.config
from datetime import datetime, timezone
from typing import Any

# What every record has; whatever else is on one came as ``extra``.
_OWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Makes one line of JSON of a record: time, level, logger, message, traceback if there is one, and its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Make it; line ends within are ``\\n`` in JSON, so a line is a record."""
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        for name, value in vars(record).items():
            if name not in _OWN:
                told.setdefault(name, value)
        return json.dumps(told, default=str)


LOGGING: dict[str, Any] = {
    "version": 1,
    # Loggers that exist already would fall silent.
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonFormatter}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    # From WARNING on it tells of fallbacks and failures, from INFO on of who answered, too.
    "loggers": {"orfallback": {"level": "INFO"}},
}


def set_up() -> None:
    """Set logging up, once in each process."""
    logging.config.dictConfig(LOGGING)
