"""Reads what an answer is made of: a snapshot of the ledger, its rows on the engine, and its coverage."""

from collections.abc import Hashable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, Self

from kubetally.cache import digest_of
from kubetally.domain.account import AccountType, ListedAccount, account_labels
from kubetally.domain.missing_days import hours_without_data, no_stored_day
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.status import Coverage, DayState
from kubetally.domain.window import Clock, Window, whole_hour
from kubetally.ledger.ports.accounts import Accounts
from kubetally.ledger.ports.coverage import Coverage as CoveragePort
from kubetally.ledger.ports.lake import LakeFiles
from kubetally.query.snapshot import Snapshot, SnapshotReader, possible_accounts

if TYPE_CHECKING:
    from ibis import ir

    from kubetally.query.engine import Engine, OpenEngine


class AnswerReader(Protocol):
    """What answers are read from: a snapshot of a question, its rows on an engine, and its coverage."""

    @property
    def engine(self) -> "Engine":
        """The engine that all questions share."""

    @property
    def open_engine(self) -> "OpenEngine":
        """Opens an engine of its own."""

    def snapshot(self, question: CostQuestion) -> Snapshot:
        """What the question is answered from. Raises: RequestError, for rows in several currencies; StoreError."""

    def rows(self, snapshot: Snapshot, engine: "Engine | None" = None) -> "ir.Table":
        """The rows of a snapshot, which has to be kept while they are read; by default on the shared engine."""

    def sums(self, snapshot: Snapshot) -> "ir.Table | None":
        """As `rows`, of the snapshot's roll-up with the sums of the rows beside it; None if it is read without."""

    def coverage(self, snapshot: Snapshot, window: Window) -> Coverage:
        """Hours of a part of the window, summed over accounts."""


class Stores(Protocol):
    """The stores that are read. retention: how long replaced days stay readable."""

    @property
    def accounts(self) -> Accounts: ...
    @property
    def coverage(self) -> CoveragePort: ...
    @property
    def lake(self) -> LakeFiles: ...
    @property
    def retention(self) -> timedelta: ...
    @property
    def clock(self) -> Clock: ...


class SharedEngine:
    """An engine that all questions share; it loads when it is first needed."""

    def __init__(self, open_engine: "OpenEngine") -> None:
        self.open_engine = open_engine

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the engine, if it was needed."""
        if "engine" in self.__dict__:
            self.engine.close()

    @cached_property
    def engine(self) -> "Engine":
        """The engine that all questions share."""
        return self.open_engine()

    def rows(self, snapshot: Snapshot, engine: "Engine | None" = None) -> "ir.Table":
        """The rows of a snapshot, which has to be kept while they are read; by default on the shared engine."""
        engine = engine or self.engine
        return engine.rows(snapshot.local_scans if engine.reads_local_files else snapshot.scans, snapshot.tables)

    def sums(self, snapshot: Snapshot) -> "ir.Table | None":
        """See `AnswerReader.sums`."""
        if not snapshot.roll_ups:
            return None
        from kubetally.query.rollup_sums import sums_of

        has_rows = snapshot.rest or snapshot.tables
        rows = self.engine.rows(snapshot.local_rest, snapshot.tables) if has_rows else None
        scans = [(roll_up, self.engine.rows([scan])) for roll_up, scan in snapshot.local_roll_ups]
        return sums_of(scans, rows, snapshot.currency)


class LedgerReader(SharedEngine):
    """Reads the ledger for queries. Threads may share it. uses_roll_ups: whether sums may answer a question."""

    def __init__(self, stores: Stores, open_engine: "OpenEngine", *, uses_roll_ups: bool = True) -> None:
        super().__init__(open_engine)
        self.stores, self.clock = stores, stores.clock
        self._snapshots = SnapshotReader(
            stores.coverage,
            lambda: stores.lake,
            stores.retention,
            uses_roll_ups=lambda: uses_roll_ups and self.engine.reads_roll_ups,
        )
        self._listed: tuple[Hashable, Mapping[str, ListedAccount]] = None, {}

    def accounts(self) -> Mapping[str, ListedAccount]:
        """The accounts of clusters by id, removed ones too; others have no costs, and no hours are asked of them."""
        revision = self.stores.coverage.revision()  # before the accounts: what is committed in between is read again
        of_revision, accounts = self._listed
        if revision is None or revision != of_revision:
            accounts = self._read_accounts()
            self._listed = revision, accounts
        return accounts

    def _read_accounts(self) -> Mapping[str, ListedAccount]:
        places = self.stores.accounts.places()
        others = {place.id for place in places if place.type is not AccountType.KUBERNETES_CNR}
        return {account.id: account for account in self.stores.accounts.listed() if account.id not in others}

    def snapshot(self, question: CostQuestion) -> Snapshot:
        """What the question is answered from. Raises: RequestError, for rows in several currencies; StoreError."""
        return self._with_gaps(question, self._snapshots.read(question, self._visible(question), self.clock.now()))

    def known(self, question: CostQuestion) -> Snapshot:
        """What is known of the days of the window, in whatever currency, without rows. Raises StoreError."""
        return self._with_gaps(question, self._snapshots.known(question, self._visible(question), self.clock.now()))

    def _visible(self, question: CostQuestion) -> Mapping[str, ListedAccount]:
        """The accounts that whoever asks may see rows of."""
        accounts = self.accounts()
        return accounts if question.scope is None else possible_accounts(question.scope.rows, accounts)

    def _with_gaps(self, question: CostQuestion, snapshot: Snapshot) -> Snapshot:
        """The snapshot with the issue that says which days or hours it lacks, if it lacks any; failed days apart."""
        is_known = snapshot.readable or snapshot.known.others or any(day.last_error for day in snapshot.days)
        has_accounts = any(account.removed_at is None for account in snapshot.listed.values())
        if is_known or (has_accounts and not snapshot.accounts):  # that no account passes the filter is `no_match`
            lacking = snapshot.lacking(self._over(question.window))
            names = account_labels(snapshot.accounts.values())
            return replace(snapshot, issues=[*hours_without_data(lacking, names, question.as_of)])
        stored = self.stores.coverage.stored_days(snapshot.accounts)
        ids = snapshot.accounts if has_accounts else ()
        return replace(snapshot, issues=[no_stored_day(question.window, ids, stored, question.as_of)])

    def digest(self, snapshot: Snapshot, window: Window) -> str:
        """Equal to an earlier one only if answers about the window are the same."""
        return digest_of(
            self._over(window),
            list(snapshot.accounts.values()),
            list(snapshot.listed.values()),
            snapshot.issues,
            snapshot.currency,
            snapshot.known.digest,
        )

    def coverage(self, snapshot: Snapshot, window: Window) -> Coverage:
        """Hours of a part of the window, summed over accounts; of a removed one only those of its known days."""
        asked = snapshot.hours_asked(window, over=self._over(window))
        return Coverage(asked, snapshot.hours_covered(window), snapshot.state or DayState.PROVISIONAL)

    def _over(self, window: Window) -> Window | None:
        """The part of a window whose hours are over."""
        return window.until(whole_hour(self.clock.now()))
