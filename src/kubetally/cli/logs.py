"""Logs of a command on standard error, one line an event: JSON, and on a terminal words."""

import logging
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from kubetally.cli.grid import escaped
from kubetally.logs import IN_THE_ANSWER

_ENCODER = msgspec.json.Encoder(enc_hook=str)
Event = MutableMapping[str, Any]


def set_up_logs(level: str | None, *, whole: bool = True) -> None:
    """Lines from `level` up; on a terminal errors only by default, as the command itself tells what failed.

    whole: whether failures are logged that the answer of a command tells already.
    """
    on_terminal = sys.stderr.isatty()
    level = level or ("error" if on_terminal else "warning")
    form = _in_words if on_terminal else _as_json
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        processors=[*([] if whole else [_drop_in_answer]), structlog.processors.format_exc_info, form],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )


def _drop_in_answer(_logger: object, _level: str, event: Event) -> Event:
    if event.get("event") in IN_THE_ANSWER:
        raise structlog.DropEvent
    return event


def _as_json(_logger: object, level: str, event: Event) -> str:
    """One object a line, the instant first."""
    return _ENCODER.encode({"timestamp": _now(), "level": level, "event": event.pop("event", ""), **event}).decode()


def _in_words(_logger: object, level: str, event: Event) -> str:
    """`instant level event name=value ...`; a traceback has lines of its own."""
    name, traceback = event.pop("event", ""), event.pop("exception", None)
    facts = " ".join(f"{key}={value!r}" if isinstance(value, str) else f"{key}={value}" for key, value in event.items())
    line = f"{_now()} {level:7} {name} {facts}".rstrip()
    return f"{line}\n{escaped(traceback)}" if traceback else line


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
