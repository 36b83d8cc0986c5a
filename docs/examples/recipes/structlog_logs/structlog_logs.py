"""structlog and the library's records in one stream: lines of JSON on stderr, with what the request is bound to.

``structlog_logs.set_up()`` at the start of the application.
"""

from __future__ import annotations

import logging

import structlog
from structlog.stdlib import ProcessorFormatter


def set_up() -> None:
    """Set both up, once in each process."""
    both: list[structlog.types.Processor] = [
        # What the application has bound for this request: hooks run in the thread of the call.
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        # The fields of a record that did not come from structlog.
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *both, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    last: list[structlog.types.Processor] = [
        ProcessorFormatter.remove_processors_meta,
        structlog.processors.JSONRenderer(),
    ]
    handler.setFormatter(ProcessorFormatter(foreign_pre_chain=both, processors=last))
    logging.basicConfig(handlers=[handler], level="WARNING")
    # From WARNING on it tells of fallbacks and failures, from INFO on of who answered, too.
    logging.getLogger("orfallback").setLevel("INFO")
