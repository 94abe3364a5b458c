"""Messages between the collecting process and its reader processes, over private pipes.

A message is a pickle, preceded by its length in eight bytes.
"""

import asyncio
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from kubetally.domain.account import Account
from kubetally.domain.collection import CollectedDay
from kubetally.ledger.accounts.snapshot import AccountSnapshot, ReadSnapshot
from kubetally.ledger.collect.collector import DayReader
from kubetally.ledger.collect.commit_queue import Booked
from kubetally.ledger.collect.reader import Unread
from kubetally.ledger.ports.lake import PackedDay

_LENGTH_BYTES = 8


@dataclass(frozen=True, slots=True)
class ReaderParts:
    """What a process reads with. pack: turns days into the lake's form; raises StoreError."""

    reader: DayReader
    pack: Callable[[Sequence[CollectedDay]], list[PackedDay]]


class ReaderBuilder(Protocol):
    """Builds the parts of a reader process. It is pickled, so that it holds plain values only."""

    def build(self, read_snapshot: ReadSnapshot) -> ReaderParts:
        """Called once, in the reader process."""


@dataclass(frozen=True, slots=True)
class Setup:
    """To a reader, as the first message."""

    builder: ReaderBuilder


@dataclass(frozen=True, slots=True)
class ReadTask:
    """To a reader: read these days of a cluster. snapshot: None if it has not changed since the last task."""

    number: int
    account: Account
    days: Sequence[date]
    snapshot: AccountSnapshot | None


@dataclass(frozen=True, slots=True)
class Ack:
    """To a reader: the last result of the task was taken. should_continue: whether to read further days."""

    number: int
    should_continue: bool


@dataclass(frozen=True, slots=True)
class Cancel:
    """To a reader: nobody waits for the task any more."""

    number: int


@dataclass(frozen=True, slots=True)
class Ready:
    """From a reader: it has loaded its modules."""


@dataclass(frozen=True, slots=True)
class Result:
    """From a reader: a day of the task, or None after the last one."""

    number: int
    day: Booked | Unread | None


@dataclass(frozen=True, slots=True)
class Logged:
    """From a reader: a line for the log."""

    level: str
    event: str
    facts: Mapping[str, Any]


def encode(message: object) -> bytes:
    """The bytes of a message, its length first."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


async def receive(pipe: asyncio.StreamReader) -> Any:
    """The next message; None if the other process is gone."""
    try:
        length = int.from_bytes(await pipe.readexactly(_LENGTH_BYTES), "big")
        return pickle.loads(await pipe.readexactly(length))  # noqa: S301  (our own process wrote it)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
