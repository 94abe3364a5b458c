"""Logs of a command: one line an event on standard error, an event name and fields."""

import logging
import sys

import structlog


def set_up_logs(level: str | None) -> None:
    """Lines from `level` up; on a terminal errors only by default, as the command itself tells what failed."""
    level = level or ("error" if sys.stderr.isatty() else "warning")
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
