"""Interpreting kept answers again, beside what is stored of their days."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kubetally.domain.booking import Booking
from kubetally.domain.component import Component
from kubetally.domain.errors import HubError, NotFound
from kubetally.domain.window import Window
from kubetally.ledger.accounts import AccountNotFound
from kubetally.ledger.asking import booked
from kubetally.ledger.questions import Question
from kubetally.settings import Settings
from kubetally.sources.opencost.interpret import interpret
from kubetally.sources.opencost.kept import SUFFIX, Kept, read_kept
from kubetally.wiring.ledger import Ledger, open_ledger


class NothingKept(NotFound):
    """A folder has no kept answers."""

    code = "nothing_kept"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"{folder} has no kept answers; KUBETALLY_KEEP_ANSWERS names the folder they are written to")


@dataclass(frozen=True, slots=True)
class ReplayedDay:
    """A window as this version books its kept answers.

    stored: the booking in the lake, None where the window is not stored as a whole.
    """

    file: str
    account: str | None
    booking: Booking
    stored: Booking | None

    @property
    def window(self) -> Window:
        return self.booking.window

    @property
    def differences(self) -> Mapping[Component, tuple[int, int]]:
        """Micros now and as stored, of the components that differ. The management fee is in no cost answer."""
        if self.stored is None:
            return {}
        pairs = {one: (self.booking.bill.of(one), self.stored.bill.of(one)) for one in Component}
        return {one: pair for one, pair in pairs.items() if pair[0] != pair[1] and one is not Component.MANAGEMENT}


@dataclass(frozen=True, slots=True)
class NotReplayed:
    """A file whose answers make no day, and why."""

    file: str
    why: HubError


def replay(settings: Settings, folder: Path) -> Iterator[ReplayedDay | NotReplayed]:
    """Each file of kept answers, by day and time. Nothing is written. Raises NothingKept, StoreError."""
    files = sorted(folder.glob(f"*{SUFFIX}"))
    if not files:
        raise NothingKept(folder)
    with open_ledger(settings) as ledger:
        for file in files:
            try:
                yield _replayed(ledger, read_kept(file))
            except HubError as error:
                yield NotReplayed(file.name, error)


def book_kept(kept: Kept) -> Booking:
    """What this version makes of kept answers: without what a Prometheus measured beside them."""
    reading = interpret(kept.answers, kept.question)
    return booked(kept.question.url, Question(kept.question.window, kept.question.window), reading, None)


def _replayed(ledger: Ledger, kept: Kept) -> ReplayedDay:
    booking = book_kept(kept)
    name = None
    stored: Sequence[Booking] = ()
    if kept.account is not None:
        try:
            account = ledger.accounts.find(kept.account)
        except AccountNotFound:
            name = kept.account
        else:
            name = account.name
            days = ledger.history.days(account.id, booking.window, ledger.clock.now())
            stored = [day.booking for day in days if day.booking.window == booking.window]
    return ReplayedDay(kept.path.name, name, booking, stored[0] if stored else None)
