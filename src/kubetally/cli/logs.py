"""Logs of a command on standard error, one line per event: JSON, or text on a terminal."""

import logging
import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, TextIO

from kubetally.logs import IN_THE_ANSWER, configure_later
from kubetally.present.grid import escaped

Event = MutableMapping[str, Any]


def set_up_logs(level: str | None, *, whole: bool = True) -> None:
    """Log events from `level` up; by default warnings, and on a terminal errors only, as the output has the rest.

    whole: also log failures that are part of the command's output.
    """
    on_terminal = sys.stderr.isatty()
    level = level or ("error" if on_terminal else "warning")
    configure_later(partial(_configure, level, sys.stderr, in_words=on_terminal, whole=whole), level)


def _configure(level: str, stream: TextIO, *, in_words: bool, whole: bool) -> None:
    import structlog  # it takes longer to load than many a command, which logs nothing

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        processors=[
            *([] if whole else [_drop_in_answer]),
            structlog.processors.format_exc_info,
            _in_words if in_words else _as_json(),
        ],
        logger_factory=structlog.WriteLoggerFactory(stream),
    )


def _drop_in_answer(_logger: object, _level: str, event: Event) -> Event:
    from structlog import DropEvent

    if event.get("event") in IN_THE_ANSWER:
        raise DropEvent
    return event


def _as_json() -> Callable[[object, str, Event], str]:
    """Writes one object a line, the instant first."""
    import msgspec

    encoder = msgspec.json.Encoder(enc_hook=str)

    def line(_logger: object, level: str, event: Event) -> str:
        fields = {"timestamp": _now(), "level": level, "event": event.pop("event", ""), **event}
        return encoder.encode(fields).decode()

    return line


def _in_words(_logger: object, level: str, event: Event) -> str:
    """`instant level event name=value ...`; a traceback has lines of its own."""
    name, traceback = event.pop("event", ""), event.pop("exception", None)
    facts = " ".join(f"{key}={value!r}" if isinstance(value, str) else f"{key}={value}" for key, value in event.items())
    line = f"{_now()} {level:7} {name} {facts}".rstrip()
    return f"{line}\n{escaped(traceback)}" if traceback else line


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
