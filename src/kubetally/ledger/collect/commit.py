"""Putting booked days into the lake, so that a kill at any point loses nothing that was committed and doubles nothing.

What is about to be committed is noted first, then committed, then confirmed. Whoever writes next looks what became of
notes that were left open: what is in the lake is confirmed, what is not is dropped.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Collection as Ids
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial

import structlog

from kubetally.domain.collection import SET_ASIDE, CollectedDay, Collection
from kubetally.domain.errors import HubError, StoreError
from kubetally.domain.issues import IssueKind
from kubetally.domain.window import Clock
from kubetally.ledger.alone import PATIENCE_SECONDS, alone
from kubetally.ledger.collect.guard import Kept, judged, of_lost_day, overtaken
from kubetally.ledger.collect.match import Matched, match_coverage
from kubetally.ledger.stored import (
    COMMITTER,
    Coverage,
    DayDamaged,
    FileDamage,
    Lake,
    LakeBehind,
    Lease,
    Leases,
    PackedDay,
)

_log = structlog.get_logger(__name__)


class LeaseLost(StoreError):
    """Somebody else took over while we were writing: this process was stopped for too long."""

    code = "lease_lost"
    retryable = True

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(
            f"another process took over writing to {url}, because this one gave no sign of life: try again"
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an (account, day): committed, or not and why.

    total: its micros, where it was committed. account: the account's name, once somebody looked it up.
    """

    account_id: str
    day: date
    code: str | None = None
    why: str | None = None
    total: int = 0
    rows: int = 0
    account: str = ""

    @property
    def is_collected(self) -> bool:
        """Whether it is in the lake now."""
        return self.code is None


class Committer:
    """Writes to the lake, alone. All calls block."""

    def __init__(
        self,
        lake: Lake,
        coverage: Coverage,
        leases: Leases,
        clock: Clock,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._lake, self._coverage, self._leases, self._clock = lake, coverage, leases, clock
        self._patience_seconds, self._pause = patience_seconds, pause
        self._is_mended = False
        self._matched_version = -1

    def pack(self, days: Sequence[CollectedDay]) -> list[PackedDay | Outcome]:
        """Days as `commit` takes them; any thread may call. One that the lake can't hold is noted and hinders none."""
        try:
            return list(self._lake.pack(days))
        except StoreError as error:
            if len(days) > 1:
                return [one for day in days for one in self.pack([day])]
            found = days[0].collection
            return [self._not_committed(found, error.code, str(error))]

    def commit(self, days: Sequence[PackedDay], *, force: bool = False, anew: bool = False) -> list[Outcome]:
        """Put days into the lake, those of one day at once, unless the stored day holds more.

        A day that is damaged in the lake is not committed, and hinders no other.
        force: also where the stored day holds more. anew: also where the day is damaged: it is written anew, with what
        can be read of its other accounts; what can't is noted, so that it is collected again.
        Raises: AnotherWriter, LeaseLost, StoreError; what was committed until then is.
        """
        with self.alone() as lease:
            outcomes = []
            for same_day in _by_day(days):
                outcomes += self._commit(same_day, lease, force=force, anew=anew)
            return outcomes

    def _see_that_it_is_ours(self, lease: Lease) -> None:
        """Raises LeaseLost, where somebody took over while we stood still."""
        if not lease.renew():
            raise LeaseLost(self._lake.url)

    def repair(self) -> None:
        """See what became of commits whose writer was killed, and whether lake and database agree since the last call.

        Raises: AnotherWriter, LakeBehind, StoreError.
        """
        is_torn = self._lake.is_torn()
        if self._coverage.pending() or is_torn:
            self._is_mended = self._is_mended and not is_torn
            with self.alone():  # who is alone repairs first
                pass
        if self._may_differ():
            with self.alone():
                self.match()

    def match(self) -> Matched:
        """Make the database agree with the lake about what is stored; within `alone`. Raises LakeBehind, StoreError."""
        version = self._lake.newest_version()
        matched = match_coverage(self._lake, self._coverage, self._clock.now())
        self._matched_version = -1 if version is None else version
        return matched

    def _may_differ(self) -> bool:
        """Whether the lake is older than the database knows, or its newest commits are none that it knows of.

        Raises: LakeBehind, where there is no lake.
        """
        known, found = self._coverage.last_version(), self._lake.newest_version()
        if found is None:
            if known is not None:
                raise LakeBehind(self._lake.url, found, known)
            return False
        if known is not None and found < known:
            return True
        if found <= self._matched_version:
            return False
        # With the last commit that the database knows: in another lake it is of other collections.
        named = self._lake.named_since(max(-1 if known is None else known - 1, self._matched_version))
        if named - self._coverage.known_ids(named):
            return True
        self._matched_version = found
        return False

    @contextmanager
    def alone(self) -> Iterator[Lease]:
        """Be the only one who writes, with nothing left open by others. Raises AnotherWriter, StoreError."""
        with alone(
            self._leases, COMMITTER, self._lake.url, patience_seconds=self._patience_seconds, pause=self._pause
        ) as lease:
            self._repair()
            yield lease

    def _repair(self) -> None:
        pending = self._coverage.pending()
        if pending or not self._is_mended:
            self._mend([one.id for one in pending])
        if not pending:
            return
        committed = self._lake.versions_of(pending)
        for version in sorted(set(committed.values())):
            self._coverage.confirm([one for one, its in committed.items() if its == version], version)
        self._coverage.drop([one.id for one in pending if one.id not in committed])

    def _mend(self, pending: Sequence[str]) -> None:
        known = (self._coverage.last_version(), self._coverage.last_version(is_running=True))
        days, running = (-1 if version is None else version for version in known)
        for file in self._lake.mend(pending, (days, running)):
            facts = {"table": file.table, "file": file.file, "why": file.why, "kept": file.kept}
            _log.warning("unfinished_commit_set_aside", **facts)
        self._is_mended = True

    def _commit(self, days: Sequence[PackedDay], lease: Lease, *, force: bool, anew: bool) -> list[Outcome]:
        outcomes, accepted = [], []
        held = self._stored_days(days[0].collection.day, [day.collection.account_id for day in days])
        for day in days:
            holds = held.get(day.collection.account_id)
            if (late := overtaken(day, holds, self._clock.now())) is not None:
                outcomes.append(Outcome(day.collection.account_id, day.collection.day, late.code, late.why))
                continue
            verdict = judged(day, holds, force=force)
            if isinstance(verdict, Kept):
                if holds is not None and self._is_lost(holds):
                    verdict = of_lost_day(verdict)
                elif anew and holds is not None and (error := read_collection(self._lake, holds)[1]) is not None:
                    self.note_damage([(holds, error)])
                outcomes.append(self._not_committed(day.collection, verdict.code, verdict.why))
            else:
                accepted.append(verdict)
                _log_if_forced(verdict.collection)
        if accepted:
            try:
                # What a damaged copy of running days held is collected again anyway.
                self._write(accepted, lease, anew=anew or accepted[0].collection.is_running)
            except DayDamaged as error:
                found = (day.collection for day in accepted)
                return outcomes + [self._not_committed(one, error.code, str(error.of(one.account_id))) for one in found]
        return outcomes + [_written(day.collection) for day in accepted]

    def _stored_days(self, day: date, account_ids: Sequence[str]) -> dict[str, Collection]:
        """What is stored of this day, or was until the lake lost its rows, by account, with its completeness.

        An earlier version did not measure that.
        """
        stored = self._coverage.held_on(day, account_ids, or_lost=True)
        return {id_: one if one.completeness else self._measured(one) for id_, one in stored.items()}

    def _is_lost(self, stored: Collection) -> bool:
        """Whether it does not hold any more, as the lake lost its rows."""
        return not self._coverage.held_on(stored.day, [stored.account_id])

    def _measured(self, stored: Collection) -> Collection:
        try:
            rows, assets = self._lake.rows([stored])[stored.id], self._lake.assets([stored])[stored.id]
        except StoreError as error:  # then only its hours covered are known
            _log.warning("stored_day_not_read", account=stored.account_id, day=str(stored.day), error=str(error))
            return stored
        completeness = stored.measured(rows, assets)
        if not stored.examined_by:  # all of its hours were believed, which proves nothing
            completeness = replace(completeness, hours_covered=0.0)
        return replace(stored, completeness=completeness)

    def _not_committed(self, found: Collection, code: str, why: str) -> Outcome:
        self._coverage.failed(found.account_id, found.day, self._clock.now(), code, why)
        return Outcome(found.account_id, found.day, code, why)

    def _write(self, days: Sequence[PackedDay], lease: Lease, *, anew: bool) -> None:
        collections = [day.collection for day in days]
        ids = [one.id for one in collections]
        self._coverage.intend(collections)
        go_on = partial(self._see_that_it_is_ours, lease)
        damaged: Sequence[DamagedCollection] = ()
        try:
            try:
                version = self._lake.replace(days, go_on=go_on)
            except DayDamaged:
                if not anew:
                    raise
                readable, damaged = self._others(days)
                version = self._lake.replace([*days, *readable], go_on=go_on, anew=True)
        except DayDamaged:
            self._coverage.drop(ids)
            raise
        except HubError as error:
            if not self._lake.versions_of(collections):  # else it is there although the answer to the commit was lost
                if not error.retryable:  # else a store that does not answer may still do what it was asked
                    self._coverage.drop(ids)
                raise
            self._repair()
            return
        self._coverage.confirm(ids, version)
        self.note_damage(damaged)

    def put_back(self, days: Sequence[CollectedDay]) -> list[Collection]:
        """Write stored days that are damaged anew, from copies of what was committed; returns those that were.

        Days that another process replaced or mended meanwhile are left as they are. Raises as `commit`.
        """
        with self.alone() as lease:
            damaged = self._still_damaged([day.collection for day in days])
            found = [
                replace(day, collection=damaged[day.collection.id][0]) for day in days if day.collection.id in damaged
            ]
            for same_day in _by_day(self._lake.pack(found)):
                self._rewrite(same_day, lease)
                self._coverage.clear_damage([day.collection for day in same_day])
        return [day.collection for day in found]

    def put_lost_back(self, days: Sequence[CollectedDay]) -> list[Collection]:
        """As `put_back`, of days whose rows the lake lacks, of copies of `Coverage.lost`: they hold again."""
        with self.alone() as lease:
            lost = {collection.id: collection for collection in self._coverage.lost()}
            found = [replace(day, collection=lost[day.collection.id]) for day in days if day.collection.id in lost]
            for same_day in _by_day(self._lake.pack(found)):
                self._rewrite(same_day, lease)
                self._coverage.restore([], [day.collection.id for day in same_day])
        return [day.collection for day in found]

    def set_aside(self, damaged: Sequence["DamagedCollection"]) -> list[Collection]:
        """Take damaged days, of which there is no copy, out of the newest version; their files are kept aside.

        They stay stored days that can't be read, so that no figure of them is shown. Returns those that were set aside:
        days that another process replaced or mended meanwhile are left as they are. Raises as `commit`.
        """
        with self.alone() as lease:
            found = list(self._still_damaged([collection for collection, _ in damaged]).values())
            empty = self._lake.pack([CollectedDay(collection, (), ()) for collection, _ in found])
            for same_day in _by_day(empty):
                self._rewrite(same_day, lease)
            for collection, error in found:
                why = f"set aside, as no source or backup has this day: {error}"
                self._coverage.failed(collection.account_id, collection.day, self._clock.now(), SET_ASIDE, why)
        return [collection for collection, _ in found]

    def _still_damaged(self, collections: Sequence[Collection]) -> dict[str, "DamagedCollection"]:
        """Those that still are the stored ones, and still can't be read, as they are stored now, by id."""
        stored: dict[str, Collection] = {}
        for day in {collection.day for collection in collections}:
            stored |= {one.id: one for one in self._coverage.held_on(day).values()}
        found: dict[str, DamagedCollection] = {}
        for id_ in (collection.id for collection in collections if collection.id in stored):
            error = read_collection(self._lake, stored[id_])[1]
            if error is not None:
                found[id_] = stored[id_], error
        return found

    def mend_files(self, damage: Sequence[FileDamage]) -> None:
        """Take damaged files out of the newest version, once it has all that any file still has of their days.

        A day stays as it is where one of its collections, that was not set aside, can be read nowhere.
        Raises as `commit`.
        """
        with self.alone() as lease:
            unreadable: set[date] = set()
            for day in sorted({one.day for one in damage if one.is_current and one.day is not None}):
                for is_running in (False, True):
                    readable, lost = self._read_all(day, is_running=is_running)
                    if lost:
                        self.note_damage(lost)
                        unreadable.add(day)
                    elif readable:
                        go_on = partial(self._see_that_it_is_ours, lease)
                        self._lake.replace(self._lake.pack(readable), go_on=go_on, anew=True)
            self._see_that_it_is_ours(lease)
            self._lake.mend_files([one for one in damage if not (one.is_current and one.day in unreadable)])

    def _rewrite(self, days: Sequence[PackedDay], lease: Lease) -> None:
        """Put these into the day's file, written anew, without another collection for the database."""
        readable, damaged = self._others(days)
        go_on = partial(self._see_that_it_is_ours, lease)
        self._lake.replace([*days, *readable], go_on=go_on, anew=True)
        self.note_damage(damaged)

    def note_damage(self, damaged: Iterable["DamagedCollection"]) -> None:
        """Note stored days that can't be read, so that `coverage` shows them and they are collected again."""
        for collection, error in damaged:
            _log.warning("stored_day_damaged", account=collection.account_id, day=str(collection.day), error=str(error))
            now = self._clock.now()
            self._coverage.failed(collection.account_id, collection.day, now, DayDamaged.code, str(error))

    def _others(self, days: Sequence[PackedDay]) -> tuple[list[PackedDay], list["DamagedCollection"]]:
        """What other accounts have stored of the same day, read and verified; and what of it can't be read.

        Of an account whose assets alone are lost, the rows are kept.
        """
        of, mine = days[0].collection, {day.collection.account_id for day in days}
        readable, damaged = self._read_all(of.day, is_running=of.is_running, but=mine)
        return self._lake.pack(readable), damaged

    def _read_all(
        self, day: date, *, is_running: bool, but: Ids[str] = ()
    ) -> tuple[list[CollectedDay], list["DamagedCollection"]]:
        """As `_others`, of all accounts but these."""
        known = self._coverage.days(day, day + timedelta(days=1))
        aside = {one.account_id for one in known if one.last_error is not None and one.last_error[0] == SET_ASIDE}
        readable: list[CollectedDay] = []
        damaged: list[DamagedCollection] = []
        for collection in self._coverage.held_on(day).values():
            if collection.account_id in aside or collection.account_id in but or collection.is_running != is_running:
                continue
            found, error = read_collection(self._lake, collection)
            if found is not None:
                readable.append(found)
            if error is not None:
                damaged.append((collection, error))
        return readable, damaged


DamagedCollection = tuple[Collection, StoreError]
"""A collection that holds, and why it can't be read as it was committed."""


def read_collection(lake: Lake, collection: Collection) -> tuple[CollectedDay | None, StoreError | None]:
    """Rows and assets of a collection, verified; None without its rows, and an error where any of it can't be read.

    Raises: StoreError, of a store that is away.
    """
    try:
        rows = lake.rows([collection])[collection.id]
    except StoreError as error:
        if error.retryable:
            raise
        return None, error
    try:
        return CollectedDay(collection, rows, lake.assets([collection])[collection.id]), None
    except StoreError as error:
        if error.retryable:
            raise
        return CollectedDay(collection, rows, ()), error


def _written(collection: Collection) -> Outcome:
    bill = collection.head.bill
    return Outcome(collection.account_id, collection.day, total=bill.total, rows=collection.rows)


def _log_if_forced(collection: Collection) -> None:
    for issue in collection.head.issues:
        if issue.kind is IssueKind.REPLACED_BY_FORCE:
            facts = {"account": collection.account_id, "day": str(collection.day), **issue.facts}
            _log.warning("day_replaced_by_force", **facts, why=issue.message)


def _by_day(days: Iterable[PackedDay]) -> list[list[PackedDay]]:
    """Those of one day together, once an account: of two collections of one account-day the later holds."""
    groups: dict[tuple[date, bool], dict[str, PackedDay]] = defaultdict(dict)
    for one in days:
        groups[one.collection.day, one.collection.is_running][one.collection.account_id] = one
    return [list(group.values()) for group in groups.values()]
