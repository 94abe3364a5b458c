"""Updating the database to the days that the lake stores, after either was restored from an older copy.

Days that only the lake has are added to the database. Days that the lake lacks are marked as missing, and collected
again. The caller holds the lease of the writer.
"""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Collection as Ids
from dataclasses import dataclass, field
from datetime import date, datetime

from kubetally import logs
from kubetally.domain.collection import CoveredDay
from kubetally.domain.damage import lake_behind
from kubetally.ledger.ports.coverage import Coverage
from kubetally.ledger.ports.lake import Lake, StoredIds

_MAX_NAMED = 5
_log = logs.get_logger(__name__)

Key = tuple[str, date]


@dataclass(frozen=True, slots=True)
class Matched:
    """The days that were added to the database, and those marked as missing, by account id and day.

    unknown: days of the lake that could not be added, such as those of an account that the database never had.
    """

    restored: list[Key] = field(default_factory=list)
    missing: list[Key] = field(default_factory=list)
    unknown: list[Key] = field(default_factory=list)


def match_coverage(lake: Lake, coverage: Coverage, now: datetime) -> Matched:
    """Compare all stored days of lake and database, and update the database.

    A day whose file can't be read is left as it is. Raises: StoreError, if it is the lake of another database, before
    anything is changed; StoreError.
    """
    matched = Matched()
    stored = lake.stored_ids(is_running=False)
    known = [day for day in coverage.days(date.min, end=date.max) if day.is_stored]
    days = [day for day in known if not day.is_running]
    missing = _missing(days, stored)
    _check_same_lake(lake, coverage, days, missing, stored)
    _mark(coverage, missing, stored, matched, now)
    current_ids = {(day.account_id, day.day): day.collection_id for day in days}
    unknown_ids = {
        key: ids for key, ids in stored.by_key() if current_ids.get(key) is None or current_ids[key] not in ids
    }
    _restore(lake, coverage, unknown_ids, matched)
    running = [day for day in coverage.days(date.min, end=date.max) if day.is_stored and day.is_running]
    if running:
        stored = lake.stored_ids(is_running=True)
        _mark(coverage, _missing(running, stored), stored, matched, now)
    _log_matched(lake, matched)
    return matched


def unknown_days(lake: Lake, coverage: Coverage, unreconciled: Callable[[], Ids[str]]) -> list[Key]:
    """The days, without running ones, that the lake has and the database does not, by account id and day.

    unreconciled: returns the accounts whose rows are still to be relabelled or purged, which are left out.
    Days committed during the call are left out, too, because the lake is read first. Raises: StoreError.
    """
    stored = lake.stored_ids(is_running=False)
    pending = {collection.id for collection in coverage.pending()}
    known = {(day.account_id, day.day) for day in coverage.days(date.min, end=date.max) if day.is_stored}
    unknown = [key for key, ids in stored.by_key() if key not in known and ids - pending]
    purged = set(unreconciled()) if unknown else set()
    return sorted(key for key in unknown if key[0] not in purged)


def _missing(known: Iterable[CoveredDay], stored: StoredIds) -> list[CoveredDay]:
    """The days whose rows the lake lacks or has of another collection; a collection without rows is never missing."""
    readable = ((day, stored.of(day.account_id, day.day)) for day in known if day.day not in stored.unreadable)
    return [day for day, ids in readable if day.collection_id not in ids and (day.rows or ids)]


def _check_same_lake(
    lake: Lake, coverage: Coverage, days: Ids[CoveredDay], missing: Ids[CoveredDay], stored: StoredIds
) -> None:
    """Raises StoreError, if the lake has nothing that the database knows."""
    with_rows = [day for day in days if day.rows]
    if not with_rows or len(missing) < len(with_rows):
        return
    newest, known = lake.newest_version(), coverage.last_version() or 0
    ids = {id_ for _, some in stored.by_key() for id_ in some}
    is_same = bool(coverage.known_ids(ids)) if ids else newest is not None and newest >= known - 1
    if not is_same:
        raise lake_behind(lake.url, found=newest, known=known)


def _mark(
    coverage: Coverage, missing: Iterable[CoveredDay], stored: StoredIds, matched: Matched, now: datetime
) -> None:
    for day in missing:
        if day.is_damaged and not stored.of(day.account_id, day.day):
            continue  # noted already; it stays a stored day, so that no poorer answer replaces it
        when = f", which were collected on {day.collected_at:%Y-%m-%d}" if day.collected_at else ""
        why = f"the lake lacks the rows of this day{when}; the day is collected again"
        if coverage.mark_missing(day, now, why):
            matched.missing.append((day.account_id, day.day))


def _restore(lake: Lake, coverage: Coverage, unknown_ids: Mapping[Key, Ids[str]], matched: Matched) -> None:
    """Add collections of the lake to the database, as their commits describe them, or else their rows."""
    keys = {id_: key for key, ids in unknown_ids.items() for id_ in ids}
    again = set(coverage.known_ids(keys))
    recorded = lake.recorded(keys.keys() - again)
    rebuilt = lake.rebuilt({id_: key for id_, key in keys.items() if id_ not in recorded and id_ not in again})
    restored = coverage.restore([*recorded.values(), *rebuilt], again)
    matched.restored.extend(sorted({keys[id_] for id_ in restored if id_ in keys}))
    matched.unknown.extend(sorted({key for id_, key in keys.items() if id_ not in restored}))


def _log_matched(lake: Lake, matched: Matched) -> None:
    for event, keys in (
        ("stored_days_restored", matched.restored),
        ("stored_days_missing_in_lake", matched.missing),
        ("stored_days_of_no_account", matched.unknown),
    ):
        if keys:
            first = [f"{account_id} {day}" for account_id, day in keys[:_MAX_NAMED]]
            _log.warning(event, lake=lake.url, days=len(keys), first=first)
