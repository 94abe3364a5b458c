"""What the process that collects and those that read for it tell each other, over pipes that nobody else holds.

A message is a pickle after its length in eight bytes.
"""

import asyncio
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from kubetally.domain.account import Account
from kubetally.domain.window import Clock
from kubetally.ledger.collect.collector import Booked
from kubetally.ledger.collect.reader import Unread
from kubetally.settings import Settings
from kubetally.wiring.opener import Fleet

_LENGTH_BYTES = 8


@dataclass(frozen=True, slots=True)
class Setup:
    """To a reader, first of all."""

    settings: Settings
    clock: Clock


@dataclass(frozen=True, slots=True)
class Turn:
    """To a reader: days of a cluster are to be read. fleet: where it is another than the reader was told of last."""

    number: int
    account: Account
    days: Sequence[date]
    fleet: Fleet | None


@dataclass(frozen=True, slots=True)
class Taken:
    """To a reader: a day of that turn is taken, and the next may come, or no further one is to be begun."""

    number: int
    goes_on: bool


@dataclass(frozen=True, slots=True)
class Left:
    """To a reader: nobody waits for the days of that turn any more."""

    number: int


@dataclass(frozen=True, slots=True)
class Ready:
    """From a reader: it has loaded what it needs."""


@dataclass(frozen=True, slots=True)
class Found:
    """From a reader: a day of that turn, or None after its last."""

    number: int
    day: Booked | Unread | None


@dataclass(frozen=True, slots=True)
class Logged:
    """From a reader: a line for the log."""

    level: str
    event: str
    facts: Mapping[str, Any]


def framed(message: object) -> bytes:
    """A message as it goes through the pipe."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


async def received(pipe: asyncio.StreamReader) -> Any:
    """The next message; None where the other one is gone."""
    try:
        length = int.from_bytes(await pipe.readexactly(_LENGTH_BYTES), "big")
        return pickle.loads(await pipe.readexactly(length))  # noqa: S301  (our own process wrote it)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
