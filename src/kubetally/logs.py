"""Events: an event name and fields, through structlog, which is loaded at the first of them.

They are silent until structlog is configured, as the command line does: its defaults would write into the standard
output of a program that only wanted costs.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

IN_THE_ANSWER = frozenset(
    {"source_request_failed", "source_answer_unusable", "deadline_passed", "unforeseen", "day_not_collected"}
)
"""Events of failures that the caller gets as an error or issue too: a command that prints these logs none."""

_LEVELS = {level: number for number, level in enumerate(("debug", "info", "warning", "error"))}


_bound: ContextVar[Mapping[str, Any]] = ContextVar("log_fields", default=MappingProxyType({}))


class _Setup:
    """What configures structlog at the first event of `level`; None where that is done, or left to the program."""

    configure: Callable[[], None] | None = None
    level: int = 0
    lock = threading.RLock()


def configure_later(configure: Callable[[], None] | None, level: str = "debug") -> None:
    """Call `configure`, which configures structlog for events from `level` up, at the first of these; None: never."""
    _Setup.configure, _Setup.level = configure, _LEVELS[level]


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Every event inside has these fields, also in tasks that begin there.

    Work that an executor runs has them only by `asyncio.to_thread`.
    """
    before = _bound.get()
    _bound.set(MappingProxyType({**before, **fields}))
    try:
        yield
    finally:
        _bound.set(before)  # a generator may be closed in another context than it began in, where no token is of use


class Logger:
    """Writes events of one module, named like it; silent until structlog is configured. fields: of each event."""

    def __init__(self, name: str, fields: Mapping[str, Any] = MappingProxyType({})) -> None:
        self._name, self._fields = name, fields

    def bind(self, **fields: Any) -> "Logger":
        """A logger whose events have these fields too."""
        return Logger(self._name, {**self._fields, **fields})

    def debug(self, event: str, **fields: Any) -> None:
        """For the search for a defect."""
        self._log("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Something that is as it should be."""
        self._log("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """A failure that someone should know about."""
        self._log("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """A failure that someone has to act on."""
        self._log("error", event, fields)

    def _log(self, level: str, event: str, fields: dict[str, Any]) -> None:
        if _LEVELS[level] < _Setup.level:
            return
        _configure()
        if "structlog" not in sys.modules:
            return  # who has not loaded it has not configured it
        import structlog  # waits where another thread is still loading it

        if structlog.is_configured():
            getattr(structlog.get_logger(self._name), level)(event, **{**_bound.get(), **self._fields, **fields})


def get_logger(name: str) -> Logger:
    """The logger of a module."""
    return Logger(name)


def bound_logger(name: str) -> Any:
    """structlog's own logger, bound to its settings of now: for many events a second, as binding takes time."""
    _configure()
    import structlog

    return structlog.get_logger(name).bind()


def _configure() -> None:
    if _Setup.configure is None:
        return
    with _Setup.lock:
        if _Setup.configure is not None:
            _Setup.configure()
            _Setup.configure, _Setup.level = None, 0  # only now: other threads may not log before


_LIBRARY = get_logger(__name__)
debug, warning, error = _LIBRARY.debug, _LIBRARY.warning, _LIBRARY.error
