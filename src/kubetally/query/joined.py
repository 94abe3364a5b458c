"""Reads stored days joined with what sources answered for the rest: what the command line answers from."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from kubetally.domain.account import ListedAccount, account_labels
from kubetally.domain.collection import window_of
from kubetally.domain.collection_facts import FactSum
from kubetally.domain.compare import ComparedRow, Comparison
from kubetally.domain.damage import CollectionGone, DayDamaged
from kubetally.domain.errors import StoreError
from kubetally.domain.fleet import Failed
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.live_costs import LiveCosts
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.report import CostReport, CostRow
from kubetally.domain.status import Coverage, DayState
from kubetally.domain.window import DAY, Clock, Window, whole_hour
from kubetally.query.accounts import Accounts
from kubetally.query.issues import merged_over_accounts
from kubetally.query.joined_days import (
    JoinedDays,
    Key,
    LiveDays,
    cut_days,
    facts_without,
    live_facts,
    not_measured,
    unreadable_day,
    used_days,
)
from kubetally.query.known_days import WindowDays
from kubetally.query.known_reader import KnownDays
from kubetally.query.live_rows import Encode, live_rows
from kubetally.query.nothing_stored import NothingStored, no_lake
from kubetally.query.reader import SharedEngine, Stores
from kubetally.query.snapshot import Snapshot, SnapshotReader, possible_accounts

if TYPE_CHECKING:
    from kubetally.query.engine import OpenEngine

_Row = TypeVar("_Row", CostRow, ComparedRow)
_Report = TypeVar("_Report", CostReport, Comparison)


@dataclass(frozen=True, slots=True)
class JoinedCluster:
    """A cluster of an answer. has_account: else it has no stored days, and its id is where its source is."""

    listed: ListedAccount
    has_account: bool = True

    @property
    def is_removed(self) -> bool:
        """Whether its account was removed: only its stored days count."""
        return self.listed.removed_at is not None


def joined_clusters(
    have_accounts: Mapping[str, bool], listed: Sequence[ListedAccount], *, with_removed: bool
) -> list[JoinedCluster]:
    """Clusters by id with the names and organizations of their accounts. with_removed: removed accounts, too."""
    by_id = {account.id: account for account in listed}
    clusters = [JoinedCluster(by_id.get(id_) or ListedAccount(id_, id_, ""), has) for id_, has in have_accounts.items()]
    return clusters + [JoinedCluster(account) for account in listed if with_removed and account.removed_at is not None]


class JoinedReader(SharedEngine):
    """Reads what clusters cost, from stored days and the answers of their sources.

    For each window, `stored` says which stored days are used, and `join` takes the answers for the rest. If a day then
    turns out to be unreadable, `set_aside` leaves it to its source.
    stores: None if no cluster has an account. encode: makes tables of days that were asked live.
    """

    def __init__(
        self,
        clusters: Sequence[JoinedCluster],
        stores: Stores | None,
        open_engine: "OpenEngine",
        encode: Encode,
        clock: Clock,
    ) -> None:
        super().__init__(open_engine)
        self._clusters = {cluster.listed.id: cluster for cluster in clusters}
        self._removed = frozenset(cluster.listed.id for cluster in clusters if cluster.is_removed)
        self._stores, self._encode, self._clock = stores, encode, clock
        self._until = whole_hour(clock.now())
        self._known: KnownDays = NothingStored()
        self._snapshots = SnapshotReader(self._known, no_lake)
        if stores is not None:
            self._known = stores.coverage
            self._snapshots = SnapshotReader(
                self._known,
                lambda: stores.lake,
                stores.retention,
                uses_roll_ups=lambda: self.engine.reads_roll_ups,
            )
        self._days = dict[Window, JoinedDays]()
        self._unreadable = dict[Key, StoreError]()

    def stored(self, question: CostQuestion) -> dict[str, list[Window]]:
        """The windows of the stored days that are used for a question, by account.

        Raises: StoreError, if the days of an instant can't be read; else an issue says so, and no day is used.
        """
        self._until = whole_hour(question.as_of or self._clock.now())
        accounts = {id_: cluster.listed for id_, cluster in self._clusters.items() if cluster.has_account}
        days = JoinedDays()
        if self._stores is not None and (possible := possible_accounts(question.filter, accounts)):
            try:
                days = self._choose(question, possible)
                _ = self._stores.lake if days.used else None
            except StoreError as error:
                if question.as_of is not None:
                    raise
                message = f"stored days could not be read, so all were requested from the source: {error}"
                about = {"accounts": sorted(possible), "code": error.code}
                issue = Issue(IssueKind.SOURCE_WARNING, message, None, question.window, "history", about)
                days = JoinedDays(issues=[issue])
                self._known = NothingStored()
                self._snapshots = SnapshotReader(self._known, no_lake)
        self._days[question.window] = days
        return days.windows()

    def set_aside(self, error: StoreError) -> bool:
        """Use the stored days that can't be read no more; returns whether there are any. Then ask `stored` again."""
        bad = {
            key: error
            for days in self._days.values()
            for key, day in days.used.items()
            if _is_of(error, key, day.collection_id)
        }
        self._unreadable |= bad
        return bool(bad)

    def join(self, window: Window, answers: Mapping[str, LiveCosts | Failed]) -> None:
        """Take the answers of the sources for what `stored` left out of a window, by cluster."""
        self._days[window].answers = answers

    def clusters_to_ask(self, question: CostQuestion) -> list[str]:
        """The clusters whose rows may pass the filter; the name of one without an account is not known before."""
        possible = possible_accounts(question.filter, {id_: cluster.listed for id_, cluster in self._clusters.items()})
        return [
            id_
            for id_, cluster in self._clusters.items()
            if not cluster.is_removed and (not cluster.has_account or id_ in possible)
        ]

    def snapshot(self, question: CostQuestion) -> Snapshot:
        """See `AnswerReader.snapshot`."""
        days, clusters = self._days[question.window], self._label_clusters()
        possible = possible_accounts(question.filter, clusters)
        live = days.live_days(possible)
        adjust = partial(self._adjust, days, live, is_past=question.as_of is not None)
        snapshot = self._snapshots.read(question, clusters, self._clock.now(), adjust)
        return replace(
            snapshot,
            tables=live_rows(days.live(snapshot.accounts), snapshot.currency, self._encode, self._clock.now()),
            issues=merged_over_accounts(days.issues_of(snapshot.accounts, question.window)),
        )

    def coverage(self, snapshot: Snapshot, window: Window) -> Coverage:
        """Whole hours of a part of the window, summed over clusters."""
        over = window.until(self._until)
        asked, covered = snapshot.hours_asked(window, over=over), snapshot.hours_covered(window)
        return Coverage(asked, covered, snapshot.state or DayState.PROVISIONAL)

    def labels(self) -> dict[str, str]:
        """What the accounts of the answer are called on screen, by id; removed ones if they have days in its window."""
        counted = {id_ for days in self._days.values() for id_ in days.account_ids()}
        return account_labels(
            cluster.listed
            for id_, cluster in self._clusters.items()
            if cluster.has_account and (id_ in counted or not cluster.is_removed)
        )

    def without_places(self, report: _Report) -> _Report:
        """The report without ids of clusters that have no account."""
        others = {id_ for id_, cluster in self._clusters.items() if not cluster.has_account}

        def hide_place(row: _Row) -> _Row:
            return replace(row, account_id=None) if row.account_id in others else row

        return replace(report, rows=tuple(map(hide_place, report.rows)), lines=tuple(map(hide_place, report.lines)))

    def _label_clusters(self) -> Accounts:
        """The clusters by id; one without an account has the name that its source states, unless others have it too."""
        names = {id_: cluster.listed.name for id_, cluster in self._clusters.items()}
        for id_, live in (answer for days in self._days.values() for answer in days.live(self._clusters)):
            if not self._clusters[id_].has_account:
                names[id_] = live.source.cluster_name or live.source.cluster_id or live.source.url
        several = list(names.values())
        return {
            id_: cluster.listed
            if cluster.has_account or several.count(names[id_]) > 1
            else replace(cluster.listed, name=names[id_])
            for id_, cluster in self._clusters.items()
        }

    def _choose(self, question: CostQuestion, accounts: Accounts) -> JoinedDays:
        """The stored days that are used. Raises StoreError."""
        now = self._clock.now()
        known = self._snapshots.days(question, accounts, now)
        used, unused = used_days(known, question.window, now, self._unreadable, self._removed)
        is_past, left_out = question.as_of is not None, {(day.account_id, day.day) for day in unused}
        issues = [
            unreadable_day(key, error, is_missing=is_past or key[0] in self._removed)
            for key, error in self._unreadable.items()
            if key in left_out
        ]
        return JoinedDays(used, unused, [*issues, *self._cut_days(question, accounts)])

    def _cut_days(self, question: CostQuestion, accounts: Accounts) -> Iterator[Issue]:
        """The issues of stored days of removed accounts that are only partly in the window. Raises StoreError."""
        removed, dates = self._removed.intersection(accounts), question.window.dates()
        whole = Window(window_of(dates[0]).start, window_of(dates[-1]).end) if dates else question.window
        if removed and whole != question.window:
            known = self._snapshots.days(replace(question, window=whole), removed, self._clock.now())
            yield from cut_days(known, question.window)

    def _adjust(self, days: JoinedDays, live: LiveDays, known: WindowDays, *, is_past: bool) -> WindowDays:
        """The days that are in the answer, and their facts."""
        ids = {day.account_id for day in known.days}
        if is_past:
            facts = [fact for fact in known.facts if (fact.account_id, fact.first) in days.used]
        else:
            others = [*self._unused_facts(days, ids), *self._measured_live(days, live)]
            facts = [*facts_without(known.facts, others), *live_facts(live, days.used)]
        return WindowDays.of_pairs(days.join(live, known.pairs()), facts)

    def _unused_facts(self, days: JoinedDays, account_ids: Collection[str]) -> Iterator[FactSum]:
        """The facts of stored days of these accounts that are not in the answer."""
        ids = defaultdict[date, list[str]](list)
        for day in days.unused:
            if day.account_id in account_ids:
                ids[day.day].append(day.account_id)
        for its_date, its in ids.items():
            yield from self._known.fact_sums(its_date, end=its_date + DAY, account_ids=its)

    def _measured_live(self, days: JoinedDays, live: LiveDays) -> Iterator[FactSum]:
        """Components that the stored part of a day lacks, and a live part of it has."""
        for (id_, day), bookings in live.items():
            stored = days.used.get((id_, day))
            if stored is not None and stored.collection_id is not None:
                unknown = self._known.not_measured(day, end=day + DAY, account_ids=[id_])
                for component in unknown.get(stored.collection_id, frozenset()) - not_measured(bookings):
                    yield FactSum(id_, component.value, 1, None, day, day)


def _is_of(error: StoreError, key: Key, collection_id: str | None) -> bool:
    """Whether it is the rows of this day that can't be read."""
    match error:
        case CollectionGone():
            return error.collection_id == collection_id
        case DayDamaged():
            return error.day == key[1] and error.account_id in (None, key[0])
        case _:
            return False
