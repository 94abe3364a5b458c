"""Rows and assets taken out of the lake's tables: finished running days, assets of replaced ones, purged accounts."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import date
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from kubetally.domain.damage import DayDamaged
from kubetally.store.lake.files import slices_by
from kubetally.store.lake.table_pair import TablePair, collection_ids
from kubetally.store.lake.tables import DayTable


def reconcile_account(
    tables: Iterable[DayTable], account_id: str, currencies: Mapping[str, str], check_lease: Callable[[], None]
) -> int:
    """Remove the account's rows and assets that are of none of these collections, and set the currency of others.

    It reads every day, because the database may no longer know the days. Returns how many days were rewritten.
    Raises: DayDamaged, once all other days are done.
    """
    count = 0
    damage: DayDamaged | None = None
    change = partial(_reconciled, account_id, currencies)
    columns = ["account_id", "collection_id", "currency"]
    for table in tables:
        for day in sorted(table.newest().files):
            try:
                if change(table.current_rows(day, [account_id], columns)) is not None:
                    count += table.rewrite(day, change, check_lease) is not None
            except DayDamaged as error:
                damage = error
    if damage is not None:
        raise damage
    return count


def drop_finished_days(running: TablePair, *, days: TablePair) -> None:
    """Remove from the tables of running days each account's day that is in the table of days."""
    for table in (running.rows, running.assets):
        for day in table.newest().files:
            with suppress(DayDamaged):  # one damaged day must not stop maintenance
                finished = _accounts(table, day) & _accounts(days.rows, day)
                if finished:
                    table.put(day, dict.fromkeys(finished, table.schema.empty_table()), {})


def drop_replaced_assets(running: TablePair) -> None:
    """Remove the assets of replaced collections of running days; of days that are over there are too few to matter."""
    for day in running.assets.newest().files:
        with suppress(DayDamaged):
            _drop_replaced_assets_on(running, day)


def _drop_replaced_assets_on(running: TablePair, day: date) -> None:
    accounts = _accounts(running.assets, day)

    def current_ids(_: pa.Table) -> set[str]:
        return running.current_ids(day, accounts)

    current = running.current_ids(day, accounts)
    if current and not collection_ids(running.assets.current_rows(day, columns=["collection_id"])) <= current:
        nothing = dict.fromkeys(accounts, running.assets.schema.empty_table())
        running.assets.put(day, nothing, {}, keep=current_ids)


def _reconciled(account_id: str, currencies: Mapping[str, str], rows: pa.Table) -> pa.Table | None:
    """A day with the account's rows as `reconcile_account` wants them; None where they are so already."""
    mine = pc.equal(rows["account_id"], account_id)
    table, ids = rows, rows["collection_id"]
    for id_ in pc.unique(ids.filter(mine)).to_pylist():
        of_id = pc.and_(mine, pc.equal(table["collection_id"], id_))
        if id_ not in currencies:
            kept = pc.invert(of_id)
            table, mine = table.filter(kept), mine.filter(kept)
        elif pc.any(pc.not_equal(table["currency"].filter(of_id), currencies[id_])).as_py():
            column = pc.if_else(of_id, currencies[id_], table["currency"])
            table = table.set_column(table.schema.get_field_index("currency"), table.schema.field("currency"), column)
    return None if table is rows else table


def _accounts(table: DayTable, day: date) -> set[str]:
    return {account for account, _ in slices_by(table.current_rows(day, columns=["account_id"]), "account_id")}
