"""Roll-ups on an engine: made from rows, and added up beside rows that have none."""

from collections.abc import Sequence

import ibis
from ibis import ir

from kubetally.ledger.ports.rollups import Grain
from kubetally.query.predicate import is_one_of
from kubetally.query.rollup_choice import RollUpScan
from kubetally.query.sums import all_sums
from kubetally.store.lake.schema import ROLL_UPS


def sums_of(scans: Sequence[tuple[RollUpScan, ir.Table]], rows: ir.Table | None, currency: str | None) -> ir.Table:
    """The sums that scans choose from their files, and those of rows beside them, all in one currency.

    scans: each with its files, at least one. The columns are those that all of them have, but for the collection.
    """
    parts = [_chosen(files, scan) for scan, files in scans]
    grains = [scan.grain for scan, _ in scans]
    if rows is not None:
        parts.append(rolled_up(rows, grains[-1]))
    of_all = set[str].intersection(*(set(ROLL_UPS[grain].names) for grain in grains)) - {"collection_id"}
    names = [name for name in ROLL_UPS[grains[0]].names if name in of_all]
    selected = [part.select(names) for part in parts]
    table = ibis.union(*selected) if len(selected) > 1 else selected[0]
    return table.mutate(currency=ibis.literal(currency, type="string"))


def rolled_up(rows: ir.Table, grain: Grain) -> ir.Table:
    """The sums of rows in the columns of a roll-up; rows may be those of a finer one."""
    schema = ibis.Schema.from_pyarrow(ROLL_UPS[grain])
    if grain is Grain.MONTH:
        rows = rows.mutate(day=rows.day.truncate("M"))
    sums = all_sums(rows)
    keys = [name for name in schema.names if name not in sums and name != "rows"]
    count = rows.rows.sum() if "rows" in rows.columns else rows.count()
    return rows.group_by(keys).agg(**sums, rows=count).cast(schema).select(schema.names)


def _chosen(files: ir.Table, scan: RollUpScan) -> ir.Table:
    tests: list[ir.BooleanValue] = []
    if scan.accounts is not None:
        tests.append(is_one_of(files.account_id, scan.accounts))
    if scan.days is not None:
        tests.append(files.day.between(*(ibis.literal(day) for day in scan.days)))
    if scan.ids is not None:
        tests.append(is_one_of(files.collection_id, scan.ids))
    if scan.without:
        tests.append(files.collection_id.notin(sorted(scan.without)))
    return files.filter(tests) if tests else files
