"""Storing collected savings: many accounts with one commit, retried until the stores accept them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from threading import Lock

from kubetally.domain.errors import StoreError
from kubetally.domain.savings import CollectedSavings, SavingsDay, SavingsState
from kubetally.domain.window import Clock
from kubetally.ledger.ports.accounts import Accounts
from kubetally.ledger.ports.coverage import SavingsDays
from kubetally.ledger.ports.lake import PackedSavings
from kubetally.ledger.writing.writer import LakeWriter

BATCH_ROWS = 50_000
"""Rows that are committed together: each commit rewrites the day's file and holds the lease of the writer."""
MAX_BATCHES = 4
"""Batches kept in memory while a store refuses them, about 130 MB; then no further account is read."""
_BATCH_AGE = timedelta(minutes=1)  # what is lost, and read again, if the process ends


@dataclass(frozen=True, slots=True)
class SavingsAnswer:
    """The outcome of reading an account's savings, and its rows if there are any."""

    day: SavingsDay
    savings: CollectedSavings | None = None


@dataclass(frozen=True, slots=True)
class _PackedAnswer:
    day: SavingsDay
    content: PackedSavings | None


class SavingsBatch:
    """Answers that are not stored yet. Calls block; any thread may call.

    What a store refuses is stored by a later call, so that no source is read twice.
    """

    def __init__(
        self, accounts: Accounts, days: SavingsDays, writer: LakeWriter, clock: Clock, *, batch_rows: int = BATCH_ROWS
    ) -> None:
        self._accounts, self._days, self._writer, self._clock = accounts, days, writer, clock
        self._batch_rows = batch_rows
        self._unstored: dict[tuple[str, date], _PackedAnswer] = {}
        self._stored: list[SavingsDay] = []
        self._storing = Lock()
        self._tried_at, self._rows_tried = clock.now(), 0

    @property
    def is_due(self) -> bool:
        """Whether there are enough rows to commit, or some for a minute."""
        age = self._clock.now() - self._tried_at
        is_old = not timedelta() <= age < _BATCH_AGE  # also where the clock was set back
        return bool(self._unstored) and (is_old or self._rows() - self._rows_tried >= self._batch_rows)

    @property
    def is_full(self) -> bool:
        """Whether some must be stored before more is read."""
        return self._rows() >= self._batch_rows * MAX_BATCHES

    def account_ids(self, day: date) -> set[str]:
        """The accounts that have an unstored answer for this day."""
        return {account_id for account_id, its_day in list(self._unstored) if its_day == day}

    def add(self, answers: Iterable[SavingsAnswer]) -> None:
        """Add answers, packed for the lake; one that it can't hold becomes a failure."""
        for packed in map(self._packed, answers):
            if not self._unstored:
                self._restart()
            self._unstored[packed.day.account_id, packed.day.day] = packed

    def store(self) -> list[SavingsDay]:
        """Commit the rows, those of each day together, and note the days; returns the days noted since the last call.

        A process that is killed between commit and note reads the account again. Raises: AnotherWriter,
        StoreError; what was not noted stays for the next call.
        """
        with self._storing:
            try:
                self._drop_outdated()
                self._note([answer for answer in self._unstored.values() if answer.content is None])
                if unstored := list(self._unstored.values()):
                    self._commit(unstored)
            finally:
                self._restart()
            stored, self._stored = self._stored, []
        return stored

    def _commit(self, answers: Sequence[_PackedAnswer]) -> None:
        with self._writer.hold_lease() as leased:
            for day in sorted({answer.day.day for answer in answers}):
                of_day = [answer for answer in answers if answer.day.day == day]
                leased.replace_savings([answer.content for answer in of_day if answer.content is not None])
                self._note(of_day)

    def _note(self, answers: Sequence[_PackedAnswer]) -> None:
        if not answers:
            return
        days = [answer.day for answer in answers]
        self._days.note(days)
        self._stored += days
        for day in days:
            del self._unstored[day.account_id, day.day]

    def _drop_outdated(self) -> None:
        """Drop answers of removed accounts, and those that another process has stored."""
        if not self._unstored:
            return
        living = {place.id for place in self._accounts.places()}
        known = {day: self._days.of_day(day) for day in {day for _, day in self._unstored}}
        for account_id, day in list(self._unstored):
            if account_id not in living or account_id in known[day]:
                del self._unstored[account_id, day]

    def _rows(self) -> int:
        return sum(answer.day.rows for answer in list(self._unstored.values()))

    def _restart(self) -> None:
        self._tried_at, self._rows_tried = self._clock.now(), self._rows()

    def _packed(self, answer: SavingsAnswer) -> _PackedAnswer:
        if answer.savings is None or not answer.savings.rows:
            return _PackedAnswer(answer.day, None)
        try:
            return _PackedAnswer(answer.day, self._writer.lake.pack_savings(answer.savings))
        except StoreError as error:  # such as an amount that no column holds
            known = answer.day
            failed = SavingsDay(
                known.account_id, known.day, SavingsState.FAILED, known.asked_at, error.code, str(error)
            )
            return _PackedAnswer(failed, None)
