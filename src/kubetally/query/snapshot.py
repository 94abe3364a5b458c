"""What an answer is read from: stored days of a window, at one moment of the database and one version of the lake."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING
from weakref import finalize

from kubetally.domain.account import ListedAccount
from kubetally.domain.collection import CoveredDay
from kubetally.domain.collection_facts import FactSum
from kubetally.domain.damage import CollectionGone
from kubetally.domain.issues import Issue
from kubetally.domain.money import unlike_currencies
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.filter import Filter
from kubetally.domain.question.partial import NO_ROW
from kubetally.domain.status import DayState
from kubetally.domain.window import Window
from kubetally.ledger.ports.coverage import HistoryGone
from kubetally.ledger.ports.lake import HISTORY_KEPT, LakeFiles, LocalScans, Scan, StoredRows
from kubetally.query.accounts import Accounts, by_account
from kubetally.query.known_days import KnownDay, WindowDays
from kubetally.query.known_reader import Adjust, KnownDays, KnownDaysReader
from kubetally.query.rollup_choice import Choice, RollUpScan, choose, grains_of

if TYPE_CHECKING:
    import pyarrow as pa

_ATTEMPTS = 3
_HOURS_PER_DAY = 24.0
_MIN_COLLECTIONS = 2
"""Of fewer, the rows are read as fast."""


@dataclass(frozen=True)
class Snapshot:
    """The stored days of a window, and the files that hold their rows.

    accounts: by id, those that may have rows that pass the filter, removed ones too.
    known:    the known days of these accounts, without those in a currency that does not pass.
    plan:     finds the files of stored rows.
    currency: of all of them; None where nothing is stored.
    tables:   rows beside those of the files. issues: of the window, beside what `facts` count.
    copy:     makes files of an object store readable on this machine.
    roll_ups: sums of some of the stored rows, if they answer the question; the files of the others are `rest`.
    listed:   by id, all accounts, whether they have such rows or not.
    """

    accounts: Mapping[str, ListedAccount]
    known: WindowDays
    plan: Callable[[], Sequence[Scan]]
    currency: str | None
    tables: Sequence["pa.Table"] = ()
    issues: Sequence[Issue] = ()
    copy: Callable[[Sequence[Scan]], LocalScans] = LocalScans
    roll_ups: Sequence[RollUpScan] = ()
    rest: Sequence[Scan] = ()
    listed: Accounts = field(default_factory=dict)

    @cached_property
    def scans(self) -> Sequence[Scan]:
        """The files of all stored rows. Raises: CollectionGone, DayDamaged."""
        return self.plan()

    @cached_property
    def local_scans(self) -> Sequence[Scan]:
        """The scans with paths of this machine; copies stay for as long as this snapshot does."""
        return self._local(self.scans)

    @cached_property
    def local_rest(self) -> Sequence[Scan]:
        """As `local_scans`, of the rows beside a roll-up."""
        return self._local(self.rest)

    @cached_property
    def local_roll_ups(self) -> Sequence[tuple[RollUpScan, Scan]]:
        """The roll-ups with their files on this machine."""
        return [(roll_up, local) for roll_up in self.roll_ups for local in self._local([Scan(roll_up.paths)])]

    def _local(self, scans: Sequence[Scan]) -> Sequence[Scan]:
        local = self.copy(scans)
        finalize(self, local.release)
        return local.scans

    @property
    def has_rows(self) -> bool:
        """Whether there may be any row."""
        return bool(self.roll_ups or self.tables or self.scans)

    @property
    def days(self) -> Sequence[CoveredDay]:
        """The known days, stored or not."""
        return self.known.days

    @property
    def facts(self) -> Sequence[FactSum]:
        """What was not measured on stored days, and their issues."""
        return self.known.facts

    @property
    def readable(self) -> Sequence[CoveredDay]:
        """The days whose costs are in an answer."""
        return self.known.readable

    @property
    def state(self) -> DayState | None:
        """That of the least certain day; None where nothing is stored."""
        return self.known.state

    def days_of(self, window: Window) -> Sequence[CoveredDay]:
        """The known days in a part of the window."""
        return self.known.of(window)

    def hours_asked(self, window: Window, *, over: Window | None) -> float:
        """Hours of a part of the window, summed over accounts; of a removed one only those of its known days.

        over: the part of it that is over.
        """
        removed = {account.id for account in self.accounts.values() if account.removed_at is not None}
        known = sum(day.account_id in removed for day in self.days_of(window)) if removed else 0
        hours = (len(self.accounts) - len(removed)) * (0.0 if over is None else over.hours)
        return hours - self.known.hours_left_out(over, but=removed) + _HOURS_PER_DAY * known

    def lacking(self, over: Window | None) -> dict[str, dict[date, float]]:
        """The hours without data of those that `hours_asked` counts, by account and day; days that failed apart.

        over: the part of the window that is over.
        """
        hours = {} if over is None else {part.start.date(): part.hours for part in over.days()}

        def asked_of(account: ListedAccount) -> Mapping[date, float]:
            is_living = account.removed_at is None
            return hours if is_living else dict.fromkeys(self.known.dates_of(account.id), _HOURS_PER_DAY)

        return {id_: self.known.lacking(id_, asked_of(account)) for id_, account in self.accounts.items()}

    def hours_covered(self, window: Window) -> float:
        """Hours of a part of the window with data, summed over accounts."""
        return self.known.hours_covered(window)


class SnapshotReader:
    """Reads snapshots. All calls block. Raises StoreError.

    retention:     how long replaced days stay readable.
    uses_roll_ups: whether sums may answer a question; called when there is one that they could.
    """

    def __init__(
        self,
        coverage: KnownDays,
        lake: Callable[[], LakeFiles],
        retention: timedelta = HISTORY_KEPT,
        *,
        uses_roll_ups: Callable[[], bool] = lambda: True,
    ) -> None:
        self._coverage, self._lake, self._retention = coverage, lake, retention
        self._uses_roll_ups = uses_roll_ups
        self._days = KnownDaysReader(coverage)

    def read(
        self,
        question: CostQuestion,
        accounts: Accounts,
        now: datetime,
        adjust: Adjust = lambda known: known,
    ) -> Snapshot:
        """The snapshot for a question: of now, or of what was stored at its instant.

        adjust: what is made of the known days before their rows are looked up.
        Raises: RequestError, for rows in several currencies; HistoryGone.
        """
        possible = possible_accounts(question.filter, accounts)
        if question.as_of is not None and question.as_of < now - self._retention:
            raise HistoryGone(question.as_of, earliest=now - self._retention)
        for attempt in range(_ATTEMPTS):
            known = self._days.read_passing(question, frozenset(possible), now, adjust)
            staying = {id_: account for id_, account in possible.items() if id_ not in known.gone}
            # Once, for copies of the snapshot too: later the same files may not be there any more.
            plan = cache(partial(self._scans, known.stored, frozenset(staying)))
            currency = _one_of(known.currencies)
            snapshot = Snapshot(staying, known, plan, currency, copy=self._copies, listed=accounts)
            try:
                choice = self._choose(question, known.stored)
                if choice.roll_ups:
                    rest = self._scans(choice.rest, frozenset(staying))
                    return replace(snapshot, roll_ups=choice.roll_ups, rest=rest)
                snapshot.scans  # noqa: B018 - while these days are the stored ones
            except CollectionGone:
                # A collection was replaced between the two readings: the next pair agrees.
                if attempt == _ATTEMPTS - 1:
                    raise
                continue
            return snapshot
        raise AssertionError("unreachable")

    def _scans(self, stored: Sequence[StoredRows], account_ids: frozenset[str]) -> Sequence[Scan]:
        """The files of stored days. A day whose new rows are committed but not confirmed is read as it was before.

        Raises: CollectionGone, if the database names other collections by now, or the lake lost rows.
        """
        while stored:
            try:
                return self._lake().scans(stored, account_ids)
            except CollectionGone as error:
                gone = next(rows for rows in stored if rows.id == error.collection_id)
                confirmed = self._coverage.collections_on(gone.day, account_ids).values()
                versioned = {collection.id: StoredRows.of(collection) for collection in confirmed}
                if gone.version is not None or gone.id not in versioned:
                    raise
                stored = [versioned.get(rows.id, rows) for rows in stored]
        return []

    def _choose(self, question: CostQuestion, stored: Sequence[StoredRows]) -> Choice:
        """What of the stored rows roll-ups answer."""
        grains = grains_of(question) if len(stored) >= _MIN_COLLECTIONS else ()
        if not grains or not self._uses_roll_ups():
            return Choice((), stored)
        return choose(grains, self._lake().roll_ups.files, stored)

    def _copies(self, scans: Sequence[Scan]) -> LocalScans:
        return self._lake().local(scans) if scans else LocalScans(scans)

    def known(self, question: CostQuestion, accounts: Accounts, now: datetime) -> Snapshot:
        """The known days alone, in whatever currency: it has no rows."""
        possible = possible_accounts(question.filter, accounts)
        return Snapshot(possible, self._days.read(question, frozenset(possible), now), tuple, None, listed=accounts)

    def days(self, question: CostQuestion, accounts: Iterable[str], now: datetime) -> list[KnownDay]:
        """The known days, and their rows in the lake if there are any to be read."""
        return self._days.read(question, frozenset(accounts), now).pairs()


def possible_accounts(condition: Filter, accounts: Accounts) -> dict[str, ListedAccount]:
    """The accounts that some row passing the filter may be of."""
    return {
        id_: accounts[id_] for rest, ids in by_account(condition, accounts).items() if rest != NO_ROW for id_ in ids
    }


def _one_of(currencies: Sequence[str]) -> str | None:
    """The one currency of the days whose rows may pass. Raises RequestError, if there are several."""
    if len(currencies) > 1:
        raise unlike_currencies(*currencies)
    return currencies[0] if currencies else None
