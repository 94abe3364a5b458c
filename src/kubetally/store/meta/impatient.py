"""Connections to PostgreSQL that give up on a server which no longer answers."""

import time
from collections.abc import Generator
from typing import Any

import psycopg


def connection_class(seconds: float) -> "type[psycopg.Connection[Any]]":
    """A class of connections that close themselves, with OperationalError, after `seconds` without an answer."""

    class ImpatientConnection(psycopg.Connection[Any]):
        def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
            try:
                return super().wait(_limited(gen, seconds), *args, **options)
            except _Silence as error:
                self.pgconn.finish()  # a late response would be taken for that of the next query
                raise psycopg.OperationalError(f"no answer within {seconds:g} s") from error

    return ImpatientConnection


class _Silence(Exception):
    """Nothing was received within the limit."""


def _limited(waiting: "Generator[Any, Any, Any]", seconds: float) -> "Generator[Any, Any, Any]":
    """The same steps of psycopg, unless its socket is silent at the end of the limit; raises _Silence then."""
    until = time.monotonic() + seconds
    ready: Any = None
    while True:
        try:
            state = waiting.send(ready)
        except StopIteration as end:
            return end.value
        ready = yield state
        if not ready and time.monotonic() > until:
            raise _Silence
