"""Events of the library: an event name and fields, through structlog.

They are silent until somebody has configured structlog, as the command line does: its defaults would write into the
standard output of a program that only wanted costs.
"""

from typing import Any

import structlog

IN_THE_ANSWER = frozenset(
    {"source_request_failed", "source_answer_unusable", "deadline_passed", "unforeseen", "day_not_collected"}
)
"""Events of failures that whoever asked gets as an error or issue too: a command that prints these logs none."""


def warning(event: str, **fields: Any) -> None:
    """Something failed that someone should know of."""
    if structlog.is_configured():
        structlog.get_logger().warning(event, **fields)


def error(event: str, **fields: Any) -> None:
    """Something was lost that somebody wanted; also shown on a terminal."""
    if structlog.is_configured():
        structlog.get_logger().error(event, **fields)


def debug(event: str, **fields: Any) -> None:
    """Something happened that only a search for a fault asks for."""
    if structlog.is_configured():
        structlog.get_logger().debug(event, **fields)
