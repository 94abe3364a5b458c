"""Interprets kept answers again and compares them with stored days, without requests and without writing."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Protocol

from kubetally.domain.account import Account, AccountType
from kubetally.domain.booking import Booking
from kubetally.domain.booking_comparison import Beside, compare_assets, compare_bookings
from kubetally.domain.collection import CollectedDay, Collection, window_of
from kubetally.domain.errors import KubetallyError, SourceError, StoreError
from kubetally.domain.replayed import AnswerFile, Replayed, ReplayOutcome, UnreadableFile
from kubetally.domain.window import DAY, Window
from kubetally.ledger.collect.reader import Reader, Unread
from kubetally.ledger.costs.live import LiveFetch
from kubetally.ledger.costs.requests import SourceRequest
from kubetally.ledger.ports.coverage import Coverage
from kubetally.ledger.ports.lake import Lake
from kubetally.ledger.ports.sources import CostSource, InfrastructureSource
from kubetally.ledger.stores import Ledger
from kubetally.tasks import run


class KeptAnswer(AnswerFile, Protocol):
    """A file with an answer, and with what was asked for beside it."""

    @property
    def lacks(self) -> set[Beside]:
        """Which requested answers were not kept."""

    @property
    def damaged(self) -> list[KubetallyError]:
        """The errors of requested answers that could not be read or interpreted."""

    def source(self) -> CostSource:
        """The cost source, as it answered then."""

    def metrics(self) -> InfrastructureSource | None:
        """The Prometheus, as it answered then; None if no answer was kept."""


_COLLECTING_TAKES = timedelta(minutes=10)  # nearly always; an answer that came later is not the one that was stored


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of each file. account_names: by id, of all accounts that are not purged."""

    files: Iterator[Replayed | UnreadableFile]
    account_names: Mapping[str, str]


def replay_all(answers: Sequence[KeptAnswer], unreadable: Mapping[str, KubetallyError], ledger: Ledger) -> Replay:
    """`replay_answers`, then the files that can't be read. The ledger stays open until all were read."""

    def files() -> Iterator[Replayed | UnreadableFile]:
        yield from replay_answers(answers, ledger.coverage, lambda: ledger.lake)
        yield from (UnreadableFile(file, why) for file, why in unreadable.items())

    return Replay(files(), {account.id: account.name for account in ledger.accounts.listed()})


def replay_answers(answers: Iterable[KeptAnswer], coverage: Coverage, lake: Callable[[], Lake]) -> Iterator[Replayed]:
    """Every answer once, by account and window. Raises StoreError, if coverage can't be read.

    lake: opened when the first stored day is read.
    """
    by_window = defaultdict[tuple[str, str, Window], list[KeptAnswer]](list)
    for answer in answers:
        by_window[answer.account or "", answer.url if answer.account is None else "", answer.window].append(answer)
    for (account, _, window), alike in sorted(by_window.items(), key=lambda item: item[0]):
        alike.sort(key=lambda answer: (answer.received_at, answer.file))
        stored = _stored_days(coverage, account, window) if account else []
        of_window = next((day for day in stored if day.head.window == window), None)
        if of_window is None and any(day.head.window.contains(window) for day in stored):
            yield from (Replayed(answer, ReplayOutcome.OTHER_ANSWER) for answer in alike)
        else:
            yield from _replayed(alike, of_window, lake)


def _replayed(answers: Sequence[KeptAnswer], stored: Collection | None, lake: Callable[[], Lake]) -> Iterator[Replayed]:
    """Compares the answer that was stored, of those for one window; else interprets the last one."""
    of_stored = [answer for answer in answers if stored is not None and _is_of(stored, answer)]
    chosen = of_stored[0] if of_stored else answers[-1]
    for answer in answers:
        if answer is not chosen:
            yield Replayed(answer, ReplayOutcome.OTHER_ANSWER)
        else:
            yield _compared(answer, stored if of_stored else None, lake, is_stored=stored is not None)


def _compared(answer: KeptAnswer, stored: Collection | None, lake: Callable[[], Lake], *, is_stored: bool) -> Replayed:
    """stored: made of this answer. is_stored: whether anything is stored of its window."""
    day = None
    try:
        if stored is None:
            booking = run(_book(answer))
        else:
            day = run(_book_day(answer, stored.day))
            booking = day.collection.with_rows(day.rows)
        for damage in answer.damaged:
            raise damage
    except KubetallyError as error:
        return Replayed(answer, ReplayOutcome.UNREADABLE, why=error)
    if stored is None or day is None:
        known = ReplayOutcome.NOT_STORED if booking.covered else ReplayOutcome.NO_DATA
        return Replayed(answer, ReplayOutcome.COLLECTED_LATER if is_stored else known, booking)
    try:
        rows = lake().rows([stored], with_details=True)[stored.id]
        assets = lake().assets([stored])[stored.id]
    except StoreError as error:
        return Replayed(answer, ReplayOutcome.DAMAGED, booking, why=error)
    comparison = compare_bookings(booking, stored=stored.with_rows(rows), lacks=frozenset(answer.lacks))
    differences = (*comparison.differences, *compare_assets(day.assets, stored=assets))
    comparison = replace(comparison, differences=differences)
    return Replayed(answer, ReplayOutcome.DIFFERENT if differences else ReplayOutcome.SAME, booking, comparison)


def _is_of(stored: Collection, answer: KeptAnswer) -> bool:
    """Whether a day was made from an answer; earlier versions did not record which."""
    if stored.head.answered_at is not None:
        return stored.head.answered_at == answer.received_at
    return timedelta() <= answer.received_at - stored.collected_at <= _COLLECTING_TAKES


async def _book(answer: KeptAnswer) -> Booking:
    """The booking of a window that is not stored, as for a live request. Raises KubetallyError."""
    fetch = LiveFetch(answer.source(), answer.metrics(), ends=None, seconds=0, now=answer.received_at)
    [(_, booking)] = (await fetch.answers([SourceRequest(answer.window, answer.window)])).parts
    if isinstance(booking, KubetallyError):
        raise booking
    return booking


async def _book_day(answer: KeptAnswer, day: date) -> CollectedDay:
    """The day as the collector made it. Raises KubetallyError."""
    is_whole = answer.window == window_of(day)
    reader = Reader(
        lambda _: nullcontext(answer.source()),
        lambda _: nullcontext(answer.metrics()),
        _StoppedClock(answer.received_at if is_whole else answer.window.end),
    )
    account = Account(answer.account or "", "", answer.url, AccountType.KUBERNETES_CNR)
    [read] = [read async for read in reader.days(account, [day])]
    if isinstance(read, Unread):
        raise SourceError(read.why, code=read.code)
    return read


@dataclass(frozen=True, slots=True)
class _StoppedClock:
    """A clock that stands at the time of a request."""

    at: datetime

    def now(self) -> datetime:
        return self.at


def _stored_days(coverage: Coverage, account: str, window: Window) -> list[Collection]:
    """The stored collections of the day that contains the window; none if it is in several."""
    day = window.start.date()
    return list(coverage.collections(account, day, end=day + DAY)) if window_of(day).contains(window) else []
