"""Making the database agree with the lake about which days are stored, after one of both was put back.

Days of the lake that the database does not know are noted in it again. Days that it knows and the lake lacks are
marked, and collected again. Whoever calls writes alone.
"""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Collection as Ids
from dataclasses import dataclass, field
from datetime import date, datetime

import structlog

from kubetally.domain.collection import CoveredDay
from kubetally.ledger.ports.coverage import Coverage
from kubetally.ledger.ports.damage import LakeBehind
from kubetally.ledger.ports.lake import Lake, StoredIds

_NAMED_AT_MOST = 5
_log = structlog.get_logger(__name__)

Key = tuple[str, date]


@dataclass(frozen=True, slots=True)
class Matched:
    """What was done: days that the database knows again, and days that the lake lacks, by account id and day.

    unknown: days of the lake that nothing is known of, such as those of an account that the database never had.
    """

    restored: list[Key] = field(default_factory=list)
    missing: list[Key] = field(default_factory=list)
    unknown: list[Key] = field(default_factory=list)


def match_coverage(lake: Lake, coverage: Coverage, now: datetime) -> Matched:
    """Look at every stored day, in the lake and in the database, and note what they differ in.

    A day whose file can't be read is left as it is. Raises: LakeBehind, where it is the lake of another database, and
    nothing is changed then; StoreError.
    """
    matched = Matched()
    stored = lake.stored_ids(is_running=False)
    known = [one for one in coverage.days(date.min, date.max) if one.is_held]
    days = [one for one in known if not one.is_running]
    missing = _missing(days, stored)
    _check_same_lake(lake, coverage, days, missing, stored)
    _mark(coverage, missing, stored, matched, now)
    held = {(one.account_id, one.day): one.collection_id for one in days}
    strange = {key: ids for key, ids in stored.by_key() if held.get(key) is None or held[key] not in ids}
    _restore(lake, coverage, strange, matched)
    running = [one for one in coverage.days(date.min, date.max) if one.is_held and one.is_running]
    if running:
        stored = lake.stored_ids(is_running=True)
        _mark(coverage, _missing(running, stored), stored, matched, now)
    _tell(lake, matched)
    return matched


def unknown_days(lake: Lake, coverage: Coverage, unreconciled: Callable[[], Ids[str]]) -> list[Key]:
    """Days that are over, that the lake has rows of and the database knows nothing of, by account id and day.

    unreconciled: accounts whose rows are still to be relabelled or purged, which are not among them.
    What others commit meanwhile is not among them either: the lake is looked at first. Raises: StoreError.
    """
    stored = lake.stored_ids(is_running=False)
    pending = {one.id for one in coverage.pending()}
    known = {(one.account_id, one.day) for one in coverage.days(date.min, date.max) if one.is_held}
    found = [key for key, ids in stored.by_key() if key not in known and ids - pending]
    purged = set(unreconciled()) if found else set()
    return sorted(key for key in found if key[0] not in purged)


def _missing(known: Iterable[CoveredDay], stored: StoredIds) -> list[CoveredDay]:
    """Those whose rows the lake lacks, or in whose place it has others; of a collection without rows it has none."""
    readable = ((one, stored.of(one.account_id, one.day)) for one in known if one.day not in stored.unreadable)
    return [one for one, ids in readable if one.collection_id not in ids and (one.rows or ids)]


def _check_same_lake(
    lake: Lake, coverage: Coverage, days: Ids[CoveredDay], missing: Ids[CoveredDay], stored: StoredIds
) -> None:
    """Raises LakeBehind, where the lake has nothing that the database knows of."""
    with_rows = [one for one in days if one.rows]
    if not with_rows or len(missing) < len(with_rows):
        return
    found, known = lake.newest_version(), coverage.last_version() or 0
    ids = {id_ for _, some in stored.by_key() for id_ in some}
    is_same = bool(coverage.known_ids(ids)) if ids else found is not None and found >= known - 1
    if not is_same:
        raise LakeBehind(lake.url, found, known)


def _mark(
    coverage: Coverage, missing: Iterable[CoveredDay], stored: StoredIds, matched: Matched, now: datetime
) -> None:
    for one in missing:
        if one.is_damaged and not stored.of(one.account_id, one.day):
            continue  # told already, and it stays a stored day, so that no poorer answer takes its place
        when = f", which were collected on {one.collected_at:%Y-%m-%d}" if one.collected_at else ""
        why = f"the lake lacks the rows of this day{when}; the day is collected again"
        if coverage.mark_missing(one, now, why):
            matched.missing.append((one.account_id, one.day))


def _restore(lake: Lake, coverage: Coverage, strange: Mapping[Key, Ids[str]], matched: Matched) -> None:
    """Note collections that are in the lake, with what their commits tell of them, else with what their rows tell."""
    keys = {id_: key for key, ids in strange.items() for id_ in ids}
    again = set(coverage.known_ids(keys))
    recorded = lake.recorded(keys.keys() - again)
    rebuilt = lake.rebuilt({id_: key for id_, key in keys.items() if id_ not in recorded and id_ not in again})
    restored = coverage.restore([*recorded.values(), *rebuilt], again)
    matched.restored.extend(sorted({keys[id_] for id_ in restored if id_ in keys}))
    matched.unknown.extend(sorted({key for id_, key in keys.items() if id_ not in restored}))


def _tell(lake: Lake, matched: Matched) -> None:
    for event, keys in (
        ("stored_days_restored", matched.restored),
        ("stored_days_missing_in_lake", matched.missing),
        ("stored_days_of_no_account", matched.unknown),
    ):
        if keys:
            first = [f"{account_id} {day}" for account_id, day in keys[:_NAMED_AT_MOST]]
            _log.warning(event, lake=lake.url, days=len(keys), first=first)
