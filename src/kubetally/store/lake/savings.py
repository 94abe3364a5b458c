"""The table of savings: converts rows to Arrow and back without loss, and replaces days of accounts."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from kubetally.domain.damage import DayDamaged
from kubetally.domain.savings import CollectedSavings, SavingsDay, SavingsRow, SavingsSubject, compare_savings
from kubetally.ledger.ports.lake import PackedSavings
from kubetally.store.lake.arrays import as_mappings, build_table, map_array
from kubetally.store.lake.faults import UNREADABLE, shown
from kubetally.store.lake.files import slices_by
from kubetally.store.lake.log_folder import COLLECTIONS_KEY
from kubetally.store.lake.place import Place
from kubetally.store.lake.schema import INSTANT, SAVINGS, TableName, in_files
from kubetally.store.lake.tables import DayTable

_FILE = in_files(SAVINGS)


def savings_table(savings: CollectedSavings) -> pa.Table:
    """The rows as the files hold them, by namespace. Raises ValueBeyondLake."""
    rows, count = savings.rows, len(savings.rows)
    subjects = [row.subject for row in rows]
    columns = {
        "account_id": [savings.account_id] * count,
        "cluster_id": [savings.cluster_id] * count,
        "collected_at": pa.array([savings.collected_at] * count, INSTANT),
        "category": [row.category for row in rows],
        "item_key": [row.item_key for row in rows],
        **{name: [getattr(subject, name) for subject in subjects] for name in SavingsSubject._fields},
        "amount_per_month": [row.per_month for row in rows],
        "state": [row.state for row in rows],
        "profile": [savings.profile] * count,
        "facts": map_array([row.facts for row in rows]),
        "currency": [savings.currency] * count,
        "source": [savings.source] * count,
        "collection_id": [savings.id] * count,
        "ordinal": list(range(count)),
    }
    return build_table(columns, _FILE, count).sort_by([("namespace", "ascending"), ("ordinal", "ascending")])


def savings_of(table: pa.Table) -> tuple[SavingsRow, ...]:
    """The rows of one answer, in the order they were written."""
    table = table.sort_by("ordinal")
    lists = {name: table[name].to_pylist() for name in table.schema.names if name not in {"facts", "amount_per_month"}}
    subjects = map(SavingsSubject, *(lists[name] for name in SavingsSubject._fields))
    amounts = table["amount_per_month"].to_pylist()
    made = map(
        SavingsRow, lists["category"], lists["item_key"], amounts, subjects, lists["state"], as_mappings(table["facts"])
    )
    return tuple(made)


class SavingsTable:
    """The table `savings` of a lake. Threads may share it. Raises StoreError."""

    def __init__(self, place: Place, keep: timedelta) -> None:
        self.days = DayTable(place, TableName.SAVINGS, keep)

    def replace(self, packed: Sequence[PackedSavings], check_lease: Callable[[], None]) -> int:
        """Replace the savings of these accounts for one day in one commit; returns its version."""
        (day,) = {savings.day for savings in packed}
        tables = {savings.account_id: savings.content for savings in packed}
        counts = {savings.id: [tables[savings.account_id].num_rows] for savings in packed}
        return self.days.put(day, tables, {COLLECTIONS_KEY: counts}, check_lease=check_lease, replace_damaged=True)

    def read(self, known: Sequence[SavingsDay]) -> dict[str, tuple[SavingsRow, ...] | DayDamaged]:
        """The verified rows of stored savings, or their damage, by id."""
        return {id_: rows for day, some in _by_day(known) for id_, rows in self._read(day, some).items()}

    def damaged(self, known: Sequence[SavingsDay]) -> list[tuple[SavingsDay, DayDamaged]]:
        """The damaged ones among stored savings, and their damage; reads one day at a time."""
        damaged = []
        for day, some in _by_day(known):
            rows = self._read(day, some)
            errors = ((savings, rows.get(savings.collection_id or "")) for savings in some)
            damaged += [(savings, error) for savings, error in errors if isinstance(error, DayDamaged)]
        return damaged

    def packed(self, known: Sequence[SavingsDay]) -> list[PackedSavings]:
        """Stored savings, packed for another lake, in their known currency; without damaged ones."""
        damaged = {savings.collection_id for savings, _ in self.damaged(known)}
        return [
            PackedSavings(
                savings.collection_id, savings.account_id, savings.day, self._table(savings, savings.collection_id)
            )
            for savings in known
            if savings.collection_id is not None and savings.collection_id not in damaged
        ]

    def _table(self, known: SavingsDay, id_: str) -> pa.Table:
        rows = self.days.current_rows(known.day, [known.account_id])
        mine = rows.filter(pc.equal(rows["collection_id"], id_))
        field = mine.schema.field("currency")
        currencies = pa.repeat(pa.scalar(known.currency, field.type), mine.num_rows)
        return mine.set_column(mine.schema.get_field_index("currency"), field, currencies)

    def _read(self, day: date, known: Sequence[SavingsDay]) -> dict[str, tuple[SavingsRow, ...] | DayDamaged]:
        by_id = {savings.collection_id: savings for savings in known if savings.collection_id is not None}
        parts: dict[str, list[pa.Table]] = defaultdict(list)
        try:
            rows = self.days.current_rows(day, [savings.account_id for savings in known])
            for id_, its in slices_by(rows, "collection_id"):
                parts[id_].append(its)
        except DayDamaged as error:
            return {id_: error.of(savings.account_id) for id_, savings in by_id.items()}
        return {id_: self._verified(savings, parts.get(id_, ())) for id_, savings in by_id.items()}

    def _verified(self, known: SavingsDay, parts: Sequence[pa.Table]) -> tuple[SavingsRow, ...] | DayDamaged:
        try:
            rows = savings_of(pa.concat_tables([self.days.schema.empty_table(), *parts]))
            why = compare_savings(rows, known)
        except UNREADABLE as error:
            why = shown(error)
        return rows if why is None else self.days.damaged(known.day, why, account_id=known.account_id)

    def reconcile(self, account_id: str, currencies: Mapping[str, str], check_lease: Callable[[], None]) -> int:
        """Set the currency of an account's savings; if it has no known savings or days, remove them."""
        count = 0
        change = partial(_reconciled, account_id, currencies)
        for day in sorted(self.days.newest().files):
            columns = ["account_id", "collection_id", "currency"]
            if change(self.days.current_rows(day, [account_id], columns)) is not None:
                count += self.days.rewrite(day, change, check_lease) is not None
        return count


def _by_day(known: Sequence[SavingsDay]) -> Iterable[tuple[date, list[SavingsDay]]]:
    by_day: dict[date, list[SavingsDay]] = defaultdict(list)
    for savings in known:
        by_day[savings.day].append(savings)
    return by_day.items()


def _reconciled(account_id: str, currencies: Mapping[str, str], rows: pa.Table) -> pa.Table | None:
    """A day with the account's rows as `reconcile` wants them; None if they are so already."""
    mine = pc.equal(rows["account_id"], account_id)
    if not pc.any(mine).as_py():
        return None
    if not currencies:  # it was purged
        return rows.filter(pc.invert(mine))
    ids, present = rows["collection_id"].to_pylist(), rows["currency"].to_pylist()
    wanted = [
        currencies.get(id_, its) if is_mine else its
        for id_, its, is_mine in zip(ids, present, mine.to_pylist(), strict=True)
    ]
    if wanted == present:
        return None
    field = rows.schema.field("currency")
    return rows.set_column(rows.schema.get_field_index("currency"), field, pa.array(wanted, field.type))
