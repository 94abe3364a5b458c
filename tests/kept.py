"""A lake, coverage and leases in memory, that keep the promises of the ports and break where a test wants them to."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from types import MappingProxyType

from kubetally.domain.account import ListedAccount, StoredDays
from kubetally.domain.asset import Asset
from kubetally.domain.booking import ComponentBalance
from kubetally.domain.collection import DAMAGE_CODES, NO_DATA, CollectedDay, Collection, CoveredDay, DayStatus
from kubetally.domain.collection_facts import Fact, FactSum, facts_of
from kubetally.domain.component import Component
from kubetally.domain.damage import CollectionGone, DayDamaged, FileDamage, LakeCheck, SetAside
from kubetally.domain.errors import StoreError
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.maintenance import Maintained
from kubetally.domain.row import Row
from kubetally.domain.savings import CollectedSavings, SavingsDay, SavingsRow, compare_savings
from kubetally.domain.window import Clock
from kubetally.ledger.ports.coverage import PastDay, Progress
from kubetally.ledger.ports.lake import Lengthen, LogFile, NotedLog, PackedDay, PackedSavings, StoredIds, by_clock


class Broken(StoreError):
    """The store fails because a test wants it to."""

    code = "broken"


class Away(Broken):
    """The store does not answer."""

    retryable = True


@dataclass
class LakeInMemory:
    """Every version is kept.

    damaged: days that can't be read until they are written anew. `before`, `after`: called around a commit, where it
    may raise. on_read: called before rows are read.
    """

    url: str = "memory"
    versions: list[dict[tuple[str, date], CollectedDay]] = field(default_factory=lambda: [{}])
    commits: list[Sequence[CollectedDay]] = field(default_factory=list)
    mended: list[list[str]] = field(default_factory=list)
    damaged: set[date] = field(default_factory=set)
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None
    on_read: Callable[[], None] = lambda: None
    currencies: dict[str, str] = field(default_factory=dict)
    kept_savings: dict[tuple[str, date], CollectedSavings] = field(default_factory=dict)
    listed: list[ListedAccount] | None = None

    def make(self) -> None:
        """It is there."""

    def pack(self, days: Sequence[CollectedDay]) -> list[PackedDay]:
        if any(row.costs.total >= 10**18 for day in days for row in day.rows):
            raise Broken("an amount beyond the column")
        return [PackedDay(day.collection, day) for day in days]

    def is_torn(self) -> bool:
        return False

    def mend(self, pending: Iterable[str] = (), confirmed: tuple[int, int] = (-1, -1)) -> list[SetAside]:
        self.mended.append(list(pending))
        return []

    def newest_version(self) -> int | None:
        over = (
            version
            for version, days in enumerate(self.commits, 1)
            if not any(day.collection.is_running for day in days)
        )
        return max(over, default=None)

    def check_writable(self) -> None:
        """It is."""

    def replace(
        self,
        packed: Sequence[PackedDay],
        *,
        check_lease: Callable[[], None] = lambda: None,
        replace_damaged: bool = False,
    ) -> int:
        days = [_unpacked(day) for day in packed]
        assert len({(day.collection.day, day.collection.is_running) for day in days}) == 1
        self.before()
        if days[0].collection.day in self.damaged and not replace_damaged:
            raise DayDamaged(self.url, days[0].collection.day, why="a test wants it to be")
        check_lease()
        self.damaged.discard(days[0].collection.day)
        self.commits.append(days)
        keyed = {(day.collection.account_id, day.collection.day): day for day in days}
        self.versions.append(self.versions[-1] | keyed)
        self.after()
        return len(self.versions) - 1

    def put(self, days: Sequence[CollectedDay]) -> int:
        return self.replace(self.pack(days))

    def rows(self, collections: Sequence[Collection], *, with_details: bool = False) -> dict[str, tuple[Row, ...]]:
        self.on_read()
        return {collection.id: tuple(self._found(collection).rows) for collection in collections}

    def verify_rows(self, collections: Sequence[Collection]) -> None:
        for collection in collections:
            self._found(collection)

    def assets(self, collections: Sequence[Collection]) -> dict[str, tuple[Asset, ...]]:
        return {collection.id: tuple(self._found(collection).assets) for collection in collections}

    def versions_of(self, collections: Iterable[Collection]) -> Mapping[str, int]:
        committed = {day.collection.id: version for version, days in enumerate(self.commits, 1) for day in days}
        return {collection.id: committed[collection.id] for collection in collections if collection.id in committed}

    def stored_ids(self, *, is_running: bool) -> StoredIds:
        by_day: dict[date, dict[str, frozenset[str]]] = {}
        for (account_id, day), one in self.versions[-1].items():
            if one.collection.is_running == is_running:
                by_day.setdefault(day, {})[account_id] = frozenset({one.collection.id})
        return StoredIds(by_day)

    def named_since(self, version: int) -> set[str]:
        return {day.collection.id for days in self.commits[max(version, 0) :] for day in days}

    def recorded(self, ids: Iterable[str]) -> dict[str, Collection]:
        wanted = set(ids)
        return {
            day.collection.id: replace(day.collection, version=version)
            for version, days in enumerate(self.commits, 1)
            for day in days
            if day.collection.id in wanted
        }

    def rebuilt(self, keys: Mapping[str, tuple[str, date]]) -> list[Collection]:
        return []

    def reconcile(
        self, account_id: str, currencies: Mapping[str, str], *, check_lease: Callable[[], None] = lambda: None
    ) -> int:
        mine = {key: day.collection for key, day in self.versions[-1].items() if key[0] == account_id}
        unknown = {key for key, collection in mine.items() if collection.id not in currencies}
        relabelled = {
            collection.id: currencies[collection.id]
            for key, collection in mine.items()
            if key not in unknown
            and self.currencies.get(collection.id, collection.head.currency) != currencies[collection.id]
        }
        unknown_savings = set() if currencies else {key for key in self.kept_savings if key[0] == account_id}
        if unknown or relabelled or unknown_savings:
            check_lease()
        if unknown:
            self.versions.append({key: day for key, day in self.versions[-1].items() if key not in unknown})
            self.commits.append([])
        self.currencies |= relabelled
        self.kept_savings = {key: its for key, its in self.kept_savings.items() if key not in unknown_savings}
        return len(unknown) + len(relabelled) + len(unknown_savings)

    def pack_savings(self, savings: CollectedSavings) -> PackedSavings:
        return PackedSavings(savings.id, savings.account_id, savings.day, savings)

    def replace_savings(
        self, packed: Sequence[PackedSavings], *, check_lease: Callable[[], None] = lambda: None
    ) -> int:
        assert len({savings.day for savings in packed}) == 1
        check_lease()
        self.kept_savings |= {(savings.account_id, savings.day): savings.content for savings in packed}
        return 0

    def savings(self, known: Sequence[SavingsDay]) -> Mapping[str, tuple[SavingsRow, ...] | DayDamaged]:
        return {day.collection_id: self._savings_of(day) for day in known if day.collection_id is not None}

    def damaged_savings(self, known: Sequence[SavingsDay]) -> list[tuple[SavingsDay, DayDamaged]]:
        read = ((day, self._savings_of(day)) for day in known)
        return [(day, error) for day, error in read if isinstance(error, DayDamaged)]

    def packed_savings(self, known: Sequence[SavingsDay]) -> list[PackedSavings]:
        whole = (day for day in known if not isinstance(self._savings_of(day), DayDamaged))
        return [self.pack_savings(self.kept_savings[day.account_id, day.day]) for day in whole]

    def _savings_of(self, day: SavingsDay) -> tuple[SavingsRow, ...] | DayDamaged:
        kept = self.kept_savings.get((day.account_id, day.day))
        rows = () if kept is None or kept.id != day.collection_id else tuple(kept.rows)
        why = compare_savings(rows, day)
        return rows if why is None else DayDamaged(self.url, day.day, why=why, account_id=day.account_id)

    def list_accounts(self, accounts: Sequence[ListedAccount]) -> bool:
        is_written, self.listed = self.listed != [*accounts], [*accounts]
        return is_written

    def tidy(self, *, lengthen: Lengthen = by_clock) -> int:
        return 0

    def maintain(self, keep: timedelta, shorten: bool = False, *, lengthen: Lengthen = by_clock) -> Maintained:
        return Maintained()

    def check(self, noted: NotedLog = MappingProxyType({})) -> LakeCheck:
        return LakeCheck()

    def check_log(self, noted: NotedLog, *, only_running: bool = False) -> tuple[FileDamage, ...]:
        return ()

    def lost_log_files(self, noted: NotedLog) -> list[FileDamage]:
        return []

    def checkpoints_from(self, entry: FileDamage) -> list[FileDamage]:
        return []

    def has_checkpoint_of(self, entry: FileDamage, noted: NotedLog) -> bool:
        return False

    def new_log_files(self, newest: Mapping[str, int]) -> list[LogFile]:
        return []

    def log_versions(self) -> Mapping[str, tuple[int, int]]:
        return {}

    def is_dispensable(self, damage: FileDamage) -> bool:
        return False

    def put_log_file(self, damage: FileDamage, content: bytes | None) -> None:
        pass

    def remake_accounts(self, accounts: Sequence[ListedAccount]) -> None:
        pass

    def mend_files(self, damage: Iterable[FileDamage]) -> None:
        """Nothing of it is in files."""

    def _found(self, collection: Collection) -> CollectedDay:
        if collection.day in self.damaged:
            raise DayDamaged(self.url, collection.day, why="a test wants it to be", account_id=collection.account_id)
        found = self.versions[collection.version or 0].get((collection.account_id, collection.day))
        if found is None or found.collection.id != collection.id:
            raise CollectionGone(self.url, collection_id=collection.id)
        return found


def _unpacked(day: PackedDay) -> CollectedDay:
    assert isinstance(day.content, CollectedDay)
    return replace(day.content, collection=day.collection)


@dataclass
class _Past:
    """A collection that is not current any more. is_missing: the lake lost it. until: when another replaced it."""

    collection: Collection
    until: datetime | None
    is_missing: bool = False


class CoverageInMemory:
    """The port `Coverage`: what was collected and tried. open: pending collections. confirmed: the current ones.

    clock: of confirmations and of what days are provisional; without one, each is confirmed when it is collected.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock
        self.open: dict[str, Collection] = {}
        self.confirmed: list[Collection] = []
        self.past: list[_Past] = []
        self.tried: dict[tuple[str, date], CoveredDay] = {}
        self.begins: dict[str, date] = {}
        self._since: dict[str, datetime] = {}

    def revision(self) -> None:
        """It does not count what is written."""

    def intend(self, collections: Sequence[Collection]) -> None:
        known = self.known_ids(collection.id for collection in collections)
        self.open |= {collection.id: collection for collection in collections if collection.id not in known}

    def confirm(self, collection_ids: Sequence[str], version: int) -> None:
        new = [replace(self.open.pop(id_), version=version) for id_ in collection_ids if id_ in self.open]
        self._make_current(new)

    def _make_current(self, new: Iterable[Collection]) -> None:
        for collection in sorted(new, key=_rank):
            now = collection.collected_at if self._clock is None else self._clock.now()
            self._since.setdefault(collection.id, now)
            for past in self.past:
                if past.is_missing and past.until is None and _key(past.collection) == _key(collection):
                    past.until = now
            before = next((current for current in self.confirmed if _key(current) == _key(collection)), None)
            if before is None or _rank(before) < _rank(collection):
                self.confirmed = [*(current for current in self.confirmed if current is not before), collection]
                self.tried.pop(_key(collection), None)
                self._supersede(before, collection, now)
            else:
                self._supersede(collection, before, now)
                self._put_between(collection)

    def _supersede(self, one: Collection | None, by: Collection, now: datetime) -> None:
        if one is not None and not one.is_running:
            self.past.append(_Past(replace(one, last_version=(by.version or 0) - 1), now))

    def _put_between(self, late: Collection) -> None:
        """Correct the last versions around a collection that was confirmed after the one that replaces it."""
        version = late.version or 0
        of_day = [past for past in self.past if _key(past.collection) == _key(late)]
        later = [
            collection.version or 0
            for collection in (*(past.collection for past in of_day), *self.confirmed)
            if _key(collection) == _key(late)
        ]
        following = min((number for number in later if number > version), default=None)
        for past in of_day:
            one = past.collection
            if one.id == late.id and following is not None:
                past.collection = replace(one, last_version=following - 1)
            elif (one.version or 0) < version <= (one.last_version or 0):
                past.collection = replace(one, last_version=version - 1)

    def _now(self) -> datetime:
        return datetime.max.replace(tzinfo=UTC) if self._clock is None else self._clock.now()

    def last_version(self, *, is_running: bool = False) -> int | None:
        return max(
            (collection.version or 0 for collection in self.confirmed if collection.is_running == is_running),
            default=None,
        )

    def damaged(self) -> list[tuple[str, date]]:
        return sorted(key for key, day in self.tried.items() if day.last_error and day.last_error[0] in DAMAGE_CODES)

    def collecting_times(self) -> list[tuple[datetime, datetime]]:
        known = (*self.open.values(), *self.confirmed, *(past.collection for past in self.past))
        days = groupby(sorted((day.collected_at for day in known), reverse=True), datetime.date)
        return [(min(times), max(times)) for times in (list(times) for _, times in days)]

    def drop(self, collection_ids: Sequence[str]) -> None:
        for id_ in collection_ids:
            self.open.pop(id_, None)

    def known_ids(self, collection_ids: Iterable[str]) -> set[str]:
        past = (past.collection.id for past in self.past)
        return set(collection_ids) & {*self.open, *(collection.id for collection in self.confirmed), *past}

    def lost(self) -> list[Collection]:
        current = {_key(collection) for collection in self.confirmed}
        lost = [past.collection for past in self.past if past.is_missing and _key(past.collection) not in current]
        ordered = sorted(lost, key=lambda collection: (collection.day, collection.collected_at, collection.id))
        return list({_key(collection): collection for collection in ordered}.values())

    def mark_missing(self, known: CoveredDay, at: datetime, why: str) -> bool:
        gone = [collection for collection in self.confirmed if collection.id == known.collection_id]
        self.past += [_Past(collection, at if known.is_running else None, is_missing=True) for collection in gone]
        self.confirmed = [collection for collection in self.confirmed if collection.id != known.collection_id]
        if gone:
            tried = CoveredDay(known.account_id, known.day, last_error=(CollectionGone.code, why))
            self.tried[known.account_id, known.day] = tried
        return bool(gone)

    def restore(self, collections: Sequence[Collection], again: Iterable[str]) -> set[str]:
        ids = set(again)
        back = [past for past in self.past if past.collection.id in ids]
        self.past = [past for past in self.past if past.collection.id not in ids]
        for collection in collections:
            self._since[collection.id] = min(collection.collected_at, self._now())
        new = [*collections, *(replace(past.collection, last_version=None) for past in back)]
        self._make_current(new)
        return {collection.id for collection in new}

    def pending(self) -> list[Collection]:
        return list(self.open.values())

    def collections(
        self, account_id: str, first: date, *, end: date, as_of: datetime | None = None
    ) -> list[Collection]:
        stored = [(collection, None) for collection in self.confirmed]
        if as_of is not None:
            until = [(past.collection, past.until if past.is_missing else None) for past in self.past]
            stored = [
                (collection, gone)
                for collection, gone in (*stored, *until)
                if not collection.is_running and self._since[collection.id] <= as_of and (gone is None or gone > as_of)
            ]
        mine = [
            collection
            for collection, _ in stored
            if collection.account_id == account_id and first <= collection.day < end
        ]
        newest = {collection.day: collection for collection in sorted(mine, key=_rank)}
        return [newest[day] for day in sorted(newest)]

    def days_as_of(self, as_of: datetime, first: date, *, end: date, account_ids: Iterable[str]) -> list[PastDay]:
        return [
            PastDay(
                _covered(one, as_of)._replace(tried_at=None),
                one.version,
                one.last_version,
                frozenset(fact.what for fact in facts_of(one.head)),
            )
            for id_ in sorted(set(account_ids))
            for one in self.collections(id_, first, end=end, as_of=as_of)
        ]

    def collections_on(
        self, day: date, account_ids: Iterable[str] | None = None, *, or_lost: bool = False
    ) -> dict[str, Collection]:
        missing = [past.collection for past in self.past if or_lost and past.is_missing and past.until is None]
        wanted = None if account_ids is None else set(account_ids)
        return {
            collection.account_id: collection
            for collection in (*missing, *self.confirmed)
            if collection.day == day and (wanted is None or collection.account_id in wanted)
        }

    def days_to_examine(self, version: int) -> list[date]:
        return sorted(
            {
                collection.day
                for collection in self.confirmed
                if not collection.is_running and collection.examined_by < version
            }
        )

    def note_examined(self, collections: Sequence[Collection]) -> None:
        by_id = {collection.id: collection for collection in collections}
        self.confirmed = [by_id.get(collection.id, collection) for collection in self.confirmed]

    def days(self, first: date, *, end: date, account_ids: Iterable[str] | None = None) -> list[CoveredDay]:
        found = {_key(collection): _covered(collection, self._now()) for collection in self.confirmed}
        for key, tried in self.tried.items():
            attempts = {"attempts": tried.attempts, "tried_at": tried.tried_at, "last_error": tried.last_error}
            found[key] = found.get(key, tried)._replace(**attempts)
        wanted = None if account_ids is None else set(account_ids)
        return [found[key] for key in sorted(found) if first <= key[1] < end and (wanted is None or key[0] in wanted)]

    def statuses(
        self, first: date, *, end: date, account_ids: Iterable[str] | None = None
    ) -> Mapping[str, Sequence[DayStatus]]:
        days = self.days(first, end=end, account_ids=account_ids)
        return {id_: [status_of(day) for day in its] for id_, its in groupby(days, lambda day: day.account_id)}

    def issues(
        self, first: date, *, end: date, kinds: Iterable[IssueKind], account_ids: Iterable[str] | None = None
    ) -> Mapping[str, Sequence[Issue]]:
        wanted = set(kinds)
        found = {
            collection.id: [issue for issue in collection.head.issues if issue.kind in wanted]
            for collection in self._all_held(first, end, account_ids)
        }
        return {id_: issues for id_, issues in found.items() if issues}

    def fact_sums(self, first: date, *, end: date, account_ids: Iterable[str] | None = None) -> Sequence[FactSum]:
        return sums_of(self._all_held(first, end, account_ids))

    def stored_days(self, account_ids: Iterable[str]) -> StoredDays:
        days = [collection.day for collection in self._all_held(date.min, date.max, account_ids)]
        return StoredDays(len(days), min(days, default=None), max(days, default=None))

    def days_of_earlier_lakes(self, lake_version: int) -> Mapping[str, StoredDays]:
        days: dict[str, list[date]] = {}
        for collection in self._all_held(date.min, date.max, None):
            if collection.lake_version < lake_version:
                days.setdefault(collection.account_id, []).append(collection.day)
        return {id_: StoredDays(len(its), min(its), max(its)) for id_, its in sorted(days.items())}

    def _all_held(self, first: date, end: date, account_ids: Iterable[str] | None) -> list[Collection]:
        ids = sorted(
            {collection.account_id for collection in self.confirmed} if account_ids is None else set(account_ids)
        )
        return [collection for id_ in ids for collection in self.collections(id_, first, end=end)]

    def balances(
        self, first: date, *, end: date, account_ids: Iterable[str]
    ) -> dict[str, Mapping[Component, ComponentBalance]]:
        wanted = set(account_ids)
        return {
            collection.id: collection.balance
            for collection in self.confirmed
            if collection.account_id in wanted and first <= collection.day < end
        }

    def not_measured(self, first: date, *, end: date, account_ids: Iterable[str]) -> Mapping[str, frozenset[Component]]:
        found = {collection.id: collection.head.not_measured for collection in self._all_held(first, end, account_ids)}
        return {id_: components for id_, components in found.items() if components}

    def progress(self, account_ids: Sequence[str], day: date) -> Progress:
        known = self.days(date.min, end=date.max, account_ids=account_ids)
        held = [day for day in known if day.is_stored]
        failing = [day for day in known if not day.is_stored and day.last_error and day.last_error[0] != NO_DATA]
        whole = [stored for stored in held if stored.day == day and not stored.is_running]
        last = max((stored.collected_at for stored in held if stored.collected_at), default=None)
        return Progress(len(held), len(failing), len(whole), last)

    def failed(self, account_id: str, day: date, at: datetime, code: str, message: str) -> None:
        known = self.tried.get((account_id, day), CoveredDay(account_id, day))
        was = known.last_error
        stays = was is not None and was[0] in DAMAGE_CODES and code not in DAMAGE_CODES
        error = was if stays else (code, message)
        self.tried[account_id, day] = known._replace(attempts=known.attempts + 1, tried_at=at, last_error=error)

    def clear_damage(self, collections: Sequence[Collection]) -> None:
        for collection in collections:
            self.tried.pop((collection.account_id, collection.day), None)

    def history_begins(self, account_id: str) -> date | None:
        return self.begins.get(account_id)

    def note_history(self, account_id: str, day: date, at: datetime) -> None:
        self.begins[account_id] = day

    def forget(self, before: datetime) -> int:
        known = len(self.past)
        self.past = [past for past in self.past if past.until is None or past.until >= before]
        return known - len(self.past)


def _key(one: Collection) -> tuple[str, date]:
    return one.account_id, one.day


def _rank(one: Collection) -> tuple[bool, int, datetime, str]:
    """Of two collections of a day the one that ranks higher is current."""
    return not one.is_running, one.version or 0, one.collected_at, one.id


def status_of(day: CoveredDay) -> DayStatus:
    """What a calendar shows of a day."""
    about = (day.account_id, day.day, day.collection_id, day.state, day.is_running, day.assets_complete)
    return DayStatus(*about, day.hours_covered, day.last_error)


def sums_of(collections: Iterable[Collection]) -> list[FactSum]:
    """The facts that the heads of these collections, which hold, come to."""
    found: dict[tuple[str, str], list[tuple[date, Fact]]] = {}
    for collection in collections:
        for fact in facts_of(collection.head):
            found.setdefault((collection.account_id, fact.what), []).append((collection.day, fact))
    sums = []
    for (account_id, what), facts in sorted(found.items()):
        days, hours = {day for day, _ in facts}, [fact.hours for _, fact in facts if fact.hours is not None]
        sums.append(FactSum(account_id, what, len(days), sum(hours) if hours else None, min(days), max(days)))
    return sums


class LeasesInMemory:
    """Leases that `taken` says others have."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.held: dict[str, LeaseInMemory] = {}

    def acquire(self, name: str) -> "LeaseInMemory | None":
        if name in self.taken or name in self.held:
            return None
        self.held[name] = LeaseInMemory(self, name)
        return self.held[name]

    def holder(self, name: str) -> str | None:
        if name in self.taken:
            return "process 7 on other"
        return "process 1 on this" if name in self.held else None


@dataclass(eq=False)
class LeaseInMemory:
    """One of them; lost where a test adds its name to `taken`."""

    leases: LeasesInMemory
    name: str

    def renew(self) -> bool:
        return self.name not in self.leases.taken and self.leases.held.get(self.name) is self

    def release(self) -> None:
        if self.leases.held.get(self.name) is self:
            del self.leases.held[self.name]


def _covered(one: Collection, now: datetime) -> CoveredDay:
    return CoveredDay(
        one.account_id,
        one.day,
        one.id,
        one.state_at(now),
        one.is_running,
        one.head.assets_complete,
        one.source.url,
        one.rows,
        one.hours_covered,
        one.head.bill.total,
        one.head.currency,
        one.collected_at,
        tried_at=one.collected_at,
        currency_origin=one.head.currency_origin,
    )
