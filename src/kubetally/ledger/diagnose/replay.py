"""Kept answers interpreted again, beside what is stored of their days. Nothing is asked and nothing is written."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from kubetally.domain.account import Account, AccountType
from kubetally.domain.booking import Booking
from kubetally.domain.booking_comparison import Beside, BookingComparison, compare_bookings
from kubetally.domain.collection import Collection, window_of
from kubetally.domain.errors import KubetallyError, SourceError, StoreError
from kubetally.domain.window import DAY, Window
from kubetally.ledger.collect.reader import Reader, Unread
from kubetally.ledger.costs.live import LiveFetch
from kubetally.ledger.costs.requests import Question
from kubetally.ledger.ports.coverage import Coverage
from kubetally.ledger.ports.lake import Lake
from kubetally.ledger.ports.sources import CostSource, InfrastructureSource


class Outcome(StrEnum):
    """What became of the answer in a file."""

    SAME = "same"
    DIFFERENT = "different"
    DAMAGED = "damaged"
    """What is stored of the day can't be read."""
    UNREADABLE = "unreadable"
    """The file is damaged, or this version can't interpret its answer."""
    NOT_STORED = "not_stored"
    """Nothing is stored of just its window."""
    COLLECTED_LATER = "collected_later"
    """The stored day was collected after this answer."""
    NO_DATA = "no_data"
    """The source had nothing of its window, and nothing is stored of it."""
    OTHER_ANSWER = "other_answer"
    """Another file has the answer that was stored, or a newer one; this one was not interpreted."""


FAILED = frozenset({Outcome.DIFFERENT, Outcome.DAMAGED, Outcome.UNREADABLE})
"""Those that somebody has to look at."""


class KeptAnswer(Protocol):
    """A file with an answer about the costs of a window. account: its id, or None. url: of the source, masked."""

    @property
    def file(self) -> str: ...

    @property
    def account(self) -> str | None: ...

    @property
    def url(self) -> str: ...

    @property
    def window(self) -> Window: ...

    @property
    def received_at(self) -> datetime: ...

    @property
    def lacks(self) -> set[Beside]:
        """What was asked for, and is not kept."""
        ...

    def source(self) -> CostSource:
        """The cost source as it answered then."""
        ...

    def metrics(self) -> InfrastructureSource | None:
        """The Prometheus as it answered then; None if nothing of one is kept."""
        ...


_NOT_COMPARED = BookingComparison()


@dataclass(frozen=True, slots=True)
class Replayed:
    """An answer and what became of it.

    booking: as this version books it; None where it was not interpreted or could not be.
    why: of what is damaged or unreadable.
    """

    answer: KeptAnswer
    outcome: Outcome
    booking: Booking | None = None
    comparison: BookingComparison = _NOT_COMPARED
    why: KubetallyError | None = None


def replay_answers(answers: Iterable[KeptAnswer], coverage: Coverage, lake: Callable[[], Lake]) -> Iterator[Replayed]:
    """Every answer once, by account and window. Raises StoreError where coverage can't be read.

    lake: opened when the first stored day is read.
    """
    by_window = defaultdict[tuple[str, str, Window], list[KeptAnswer]](list)
    for answer in answers:
        by_window[answer.account or "", answer.url if answer.account is None else "", answer.window].append(answer)
    for (account, _, window), alike in sorted(by_window.items(), key=lambda item: item[0]):
        alike.sort(key=lambda answer: (answer.received_at, answer.file))
        stored = _stored(coverage, account, window) if account else None
        yield from _replayed(alike, stored, lake)


def _replayed(answers: Sequence[KeptAnswer], stored: Collection | None, lake: Callable[[], Lake]) -> Iterator[Replayed]:
    """Of the answers about one window, the one that was stored is compared; else the last one is interpreted."""
    after = [one for one in answers if stored is not None and one.received_at >= stored.collected_at]
    chosen = after[0] if after else answers[-1]
    for answer in answers:
        if answer is not chosen:
            yield Replayed(answer, Outcome.OTHER_ANSWER)
        else:
            yield _compared(answer, stored, lake, is_of_stored=bool(after))


def _compared(
    answer: KeptAnswer, stored: Collection | None, lake: Callable[[], Lake], *, is_of_stored: bool
) -> Replayed:
    try:
        booking = asyncio.run(_book(answer) if stored is None else _book_day(answer, stored.day))
    except KubetallyError as error:
        return Replayed(answer, Outcome.UNREADABLE, why=error)
    if stored is None:
        return Replayed(answer, Outcome.NOT_STORED if booking.covered else Outcome.NO_DATA, booking)
    if not is_of_stored:
        return Replayed(answer, Outcome.COLLECTED_LATER, booking)
    try:
        rows = lake().rows([stored])[stored.id]
    except StoreError as error:
        return Replayed(answer, Outcome.DAMAGED, booking, why=error)
    comparison = compare_bookings(booking, stored.with_rows(rows), lacks=frozenset(answer.lacks))
    return Replayed(answer, Outcome.DIFFERENT if comparison.differences else Outcome.SAME, booking, comparison)


async def _book(answer: KeptAnswer) -> Booking:
    """The booking of a window that is not stored, as it is made for one who asks. Raises KubetallyError."""
    fetch = LiveFetch(answer.source(), answer.metrics(), None, 0, answer.received_at)
    [(_, booking)] = (await fetch.answers([Question(answer.window, answer.window)])).parts
    if isinstance(booking, KubetallyError):
        raise booking
    return booking


async def _book_day(answer: KeptAnswer, day: date) -> Booking:
    """The booking of a day, as the collector made it. Raises KubetallyError."""
    is_whole = answer.window == window_of(day)
    reader = Reader(
        lambda _: nullcontext(answer.source()),
        lambda _: nullcontext(answer.metrics()),
        _StoppedClock(answer.received_at if is_whole else answer.window.end),
    )
    account = Account(answer.account or "", "", answer.url, AccountType.KUBERNETES_CNR, kubecost_url=answer.url)
    [read] = [read async for read in reader.days(account, [day])]
    if isinstance(read, Unread):
        raise SourceError(read.why, code=read.code)
    return read.collection.with_rows(read.rows)


@dataclass(frozen=True, slots=True)
class _StoppedClock:
    """The time at which something was asked."""

    at: datetime

    def now(self) -> datetime:
        return self.at


def _stored(coverage: Coverage, account: str, window: Window) -> Collection | None:
    """What is stored of just this window."""
    day = window.start.date()
    if not window_of(day).contains(window):
        return None
    return next((one for one in coverage.held(account, day, day + DAY) if one.head.window == window), None)
