"""Storing collected savings: those of many accounts with one commit, kept until the stores take them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from threading import Lock

from kubetally.domain.errors import StoreError
from kubetally.domain.savings import CollectedSavings, SavingsDay, SavingsState
from kubetally.domain.window import Clock
from kubetally.ledger.collect.writer import LakeWriter
from kubetally.ledger.ports.accounts import Accounts
from kubetally.ledger.ports.coverage import SavingsDays
from kubetally.ledger.ports.lake import PackedSavings

BATCH_ROWS = 50_000
"""Rows that are committed at once: each commit writes the day's file anew, while nobody else can write."""
MAX_BATCHES = 4
"""Batches that are kept while a store refuses them, about 130 MB; no further account is asked then."""
_BATCH_AGE = timedelta(minutes=1)  # what is lost, and asked again, where the process ends


@dataclass(frozen=True, slots=True)
class SavingsAnswer:
    """What is known of an account's savings, and its rows where there are any."""

    day: SavingsDay
    savings: CollectedSavings | None = None


@dataclass(frozen=True, slots=True)
class _PackedAnswer:
    day: SavingsDay
    content: PackedSavings | None


class SavingsBatch:
    """Answers that were read and not stored yet. Calls block, from any thread.

    What a store refuses stays here and is tried again with the next call, so that no source is asked twice.
    """

    def __init__(
        self, accounts: Accounts, days: SavingsDays, writer: LakeWriter, clock: Clock, *, batch_rows: int = BATCH_ROWS
    ) -> None:
        self._accounts, self._days, self._writer, self._clock = accounts, days, writer, clock
        self._batch_rows = batch_rows
        self._waiting: dict[tuple[str, date], _PackedAnswer] = {}
        self._stored: list[SavingsDay] = []
        self._storing = Lock()
        self._tried_at, self._rows_tried = clock.now(), 0

    @property
    def is_due(self) -> bool:
        """Whether enough was read to be committed, or some a minute ago."""
        age = self._clock.now() - self._tried_at
        is_old = not timedelta() <= age < _BATCH_AGE  # also where the clock was set back
        return bool(self._waiting) and (is_old or self._rows() - self._rows_tried >= self._batch_rows)

    @property
    def is_full(self) -> bool:
        """Whether the stores have to take some before more is read."""
        return self._rows() >= self._batch_rows * MAX_BATCHES

    def asked(self, day: date) -> set[str]:
        """The ids of accounts whose answers of this day are here."""
        return {account_id for account_id, its_day in list(self._waiting) if its_day == day}

    def add(self, answers: Iterable[SavingsAnswer]) -> None:
        """Take answers in the lake's form; one that it can't hold has failed."""
        for packed in map(self._packed, answers):
            if not self._waiting:
                self._restart()
            self._waiting[packed.day.account_id, packed.day.day] = packed

    def store(self) -> list[SavingsDay]:
        """Commit the rows, of each day at once, and note what is known; what was noted since the last call that ended.

        Who is killed between a commit and its note asks again. Raises: AnotherWriter, LeaseLost, StoreError; what was
        not noted until then stays here.
        """
        with self._storing:
            try:
                self._drop_outdated()
                self._note([answer for answer in self._waiting.values() if answer.content is None])
                if waiting := list(self._waiting.values()):
                    self._commit(waiting)
            finally:
                self._restart()
            stored, self._stored = self._stored, []
        return stored

    def _commit(self, waiting: Sequence[_PackedAnswer]) -> None:
        with self._writer.hold_lease() as leased:
            for day in sorted({answer.day.day for answer in waiting}):
                of_day = [answer for answer in waiting if answer.day.day == day]
                leased.replace_savings([answer.content for answer in of_day if answer.content is not None])
                self._note(of_day)

    def _note(self, answers: Sequence[_PackedAnswer]) -> None:
        if not answers:
            return
        days = [answer.day for answer in answers]
        self._days.note(days)
        self._stored += days
        for day in days:
            del self._waiting[day.account_id, day.day]

    def _drop_outdated(self) -> None:
        """Forget answers of accounts that were removed, and those that another process stored meanwhile."""
        if not self._waiting:
            return
        living = {account.id for account in self._accounts.all()}
        known = {day: self._days.of_day(day) for day in {day for _, day in self._waiting}}
        for account_id, day in list(self._waiting):
            if account_id not in living or account_id in known[day]:
                del self._waiting[account_id, day]

    def _rows(self) -> int:
        return sum(answer.day.rows for answer in list(self._waiting.values()))

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
