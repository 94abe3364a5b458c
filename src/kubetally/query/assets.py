"""What assets cost, from the tables of assets: those of the collections that costs are answered from."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from kubetally.cache import Prepared
from kubetally.domain.asset import AssetType
from kubetally.domain.asset_report import ATTRIBUTES, IDENTITY, AssetHours, AssetQuestion, AssetReport, AssetRow
from kubetally.domain.collection import ASSETS_DAMAGED, CoveredDay
from kubetally.domain.component import Component, Costs
from kubetally.domain.efficiency import round_amount
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.filter import Filter
from kubetally.domain.question.mention import OF_ACCOUNTS
from kubetally.domain.question.partial import conditions_of
from kubetally.domain.window import Window
from kubetally.ledger.ports.lake import AssetScans, StoredRows
from kubetally.query.accounts import Accounts, for_currency
from kubetally.query.comparison import ledger_changes
from kubetally.query.issues import issues_of_errors, issues_of_snapshot, unmeasured_components
from kubetally.query.no_match import issues_of_no_row
from kubetally.query.reader import LedgerReader
from kubetally.query.snapshot import Snapshot
from kubetally.query.unlisted import Unlisted, unlisted_costs, unlisted_issue

if TYPE_CHECKING:
    from ibis import ir

_ADJUSTMENT, _OUTSIDE, _DAYS = "adjustment", "outside", "days"


class AssetReports:
    """Prepares answers about assets. Threads may share it. All calls block."""

    def __init__(self, reader: LedgerReader) -> None:
        self._reader = reader

    def assets(self, question: AssetQuestion) -> Prepared[AssetReport]:
        """What assets cost. Raises: RequestError, for rows in several currencies or too many of them; StoreError."""
        of_accounts = CostQuestion(question.window, group=(), filter=question.filter, scope=question.scope)
        snapshot = self._reader.snapshot(of_accounts)
        digest = self._reader.digest(snapshot, question.window)
        return Prepared(digest, partial(self._report, snapshot, question))

    def _report(self, snapshot: Snapshot, question: AssetQuestion) -> AssetReport:
        found, listed = self._read_sums(snapshot, question)
        rows = sorted(found, key=_highest_first)
        unlisted = self._unlisted(snapshot, question.window, listed)
        damaged = [day for day in snapshot.readable if day.last_error and day.last_error[0] == ASSETS_DAMAGED]
        readable = snapshot.readable
        unknown = frozenset(
            part for at, part in enumerate(Component) if rows and all(row.costs[at] is None for row in rows)
        )
        return AssetReport(
            question=question,
            currency=snapshot.currency,
            rows=rows,
            bill=Costs(*(sum(row.costs[at] or 0 for row in rows) for at in range(len(Component)))),
            coverage=self._reader.coverage(snapshot, question.window),
            assets_complete=bool(readable) and all(day.assets_complete for day in readable),
            not_measured=unknown.union(
                unmeasured_components(snapshot.facts, len(readable)),
                (its.component for its in unlisted if its.is_whole),
            ),
            issues=(
                *([] if rows else issues_of_no_row(snapshot, question.asked_filter)),
                *(unlisted_issue(its, snapshot.currency) for its in unlisted if _is_of_accounts(question.asked_filter)),
                *issues_of_snapshot(snapshot, question.asked_filter),
                *issues_of_errors(damaged),
            ),
        )

    def _unlisted(self, snapshot: Snapshot, window: Window, listed: Mapping[str, Costs]) -> list[Unlisted]:
        """What the bill of the days has beyond all their assets, whatever the filter on assets."""
        first, end, ids = window.start.date(), window.end.date(), list(snapshot.accounts)
        days = _days_of(snapshot)
        balances = self._reader.stores.coverage.balances(first, end=end, account_ids=ids) if days else {}
        return list(unlisted_costs(days, balances, listed))

    def _read_sums(self, snapshot: Snapshot, question: AssetQuestion) -> tuple[list[AssetRow], dict[str, Costs]]:
        """The rows, and what all assets cost, whether they pass the filter or not, by id of the collection."""
        scans = self._scans(snapshot)
        if not scans.scans:
            return [], {}
        from kubetally.query.groups import MAX_GROUPS, check_groups

        engine = self._reader.engine
        local = self._reader.stores.lake.local(scans.scans) if engine.reads_local_files else None
        try:
            rows = _table_of([engine.rows([replace(scan, is_version_1=False)]) for scan in (local or scans).scans])
            filtered = _filter_rows(rows, question, snapshot)
            table = engine.run(_sum_groups(filtered, question).limit(MAX_GROUPS + 1))
            check_groups(table.num_rows)
            return _read(table, question, snapshot.accounts), _read_costs(engine.run(_sum_collections(rows)))
        finally:
            if local is not None:
                local.release()

    def _scans(self, snapshot: Snapshot) -> AssetScans:
        """The files of the assets of the snapshot's collections."""
        days = _days_of(snapshot)
        stored = [StoredRows(day.collection_id or "", day.account_id, day.day, day.is_running) for day in days]
        scans = self._reader.stores.lake.asset_scans(stored, frozenset(snapshot.accounts))
        if any(day.assets_complete and day.collection_id in scans.without for day in days):
            raise ledger_changes()
        return scans


def _days_of(snapshot: Snapshot) -> list[CoveredDay]:
    """The stored days whose assets are readable as far as known."""
    return [
        day
        for day in snapshot.readable
        if day.currency == snapshot.currency and (day.last_error is None or day.last_error[0] != ASSETS_DAMAGED)
    ]


def _is_of_accounts(condition: Filter) -> bool:
    """Whether a filter leaves out whole accounts and no assets of the others."""
    return all(part.field in OF_ACCOUNTS for part in conditions_of(condition))


def _table_of(parts: Sequence["ir.Table"]) -> "ir.Table":
    """Files as one table in the columns of assets; null where a version of the lake has no such column."""
    import ibis

    from kubetally.store.lake.schema import ASSETS

    schema = ibis.Schema.from_pyarrow(ASSETS)
    same = [
        part.select(
            **{name: part[name] if name in part.columns else ibis.null(type_) for name, type_ in schema.items()}
        )
        for part in parts
    ]
    return same[0] if len(same) == 1 else ibis.union(*same)


def _filter_rows(rows: "ir.Table", question: AssetQuestion, snapshot: Snapshot) -> "ir.Table":
    """The rows that pass the filter. Its fields are read from columns of assets."""
    import ibis

    from kubetally.query.predicate import row_passes

    is_node = rows.asset_type == AssetType.NODE.value
    named = rows.mutate(
        kind=rows.asset_type,
        node=ibis.ifelse(is_node, rows.name, ibis.null("string")),
        namespace=rows.claim_namespace,
    )
    condition = for_currency(question.filter, snapshot.currency)
    return named.filter(row_passes(condition, named, snapshot.accounts))


def _sum_groups(rows: "ir.Table", question: AssetQuestion) -> "ir.Table":
    from kubetally.query.sums import COSTS

    names = question.group or IDENTITY
    keys = {f"key_{at}": rows["account_id" if name == "cluster" else name] for at, name in enumerate(names)}
    is_other = rows.asset_type == AssetType.OTHER.value
    sums: dict[str, Any] = {name: rows[name].sum() for name in (*COSTS, *AssetHours._fields, _ADJUSTMENT)}
    sums |= {_OUTSIDE: rows.total_cost.sum(where=is_other), _DAYS: rows.count()}
    sums |= {"least_discount": rows.discount.min(), "most_discount": rows.discount.max()}
    if not question.group:
        sums |= {name: rows[name].max() for name in ATTRIBUTES}
    return rows.group_by(**keys).agg(**sums)


def _sum_collections(rows: "ir.Table") -> "ir.Table":
    from kubetally.query.sums import COSTS

    return rows.group_by(rows.collection_id).agg(**{name: rows[name].sum() for name in COSTS})


def _read_costs(table: Any) -> dict[str, Costs]:
    from kubetally.query.sums import COSTS, columns

    read = columns(table)
    costs = zip(*(read[name] for name in COSTS), strict=True)
    return {
        id_: Costs(*(amount or 0 for amount in amounts))
        for id_, amounts in zip(read["collection_id"], costs, strict=True)
    }


def _read(table: Any, question: AssetQuestion, accounts: Accounts) -> list[AssetRow]:
    """The rows of the engine."""
    from kubetally.query.sums import COSTS, columns

    read = columns(table)
    names = question.group or IDENTITY
    rows = []
    for at in range(table.num_rows):
        row: Mapping[str, Any] = {name: column[at] for name, column in read.items()}
        account = next((row[f"key_{place}"] for place, name in enumerate(names) if name == "cluster"), None)
        rows.append(
            AssetRow(
                key=tuple(
                    accounts[account].name if name == "cluster" and account else row[f"key_{place}"]
                    for place, name in enumerate(names)
                ),
                attributes=() if question.group else tuple(row[name] for name in ATTRIBUTES),
                account_id=account,
                costs=tuple(row[name] for name in COSTS),
                adjustment=row[_ADJUSTMENT] or 0,
                outside=row[_OUTSIDE],
                discount=row["most_discount"] if row["most_discount"] == row["least_discount"] else None,
                hours=AssetHours(
                    *(None if row[name] is None else round_amount(row[name]) for name in AssetHours._fields)
                ),
                days=row[_DAYS],
            )
        )
    return rows


def _highest_first(row: AssetRow) -> tuple[Any, ...]:
    return -row.total, [(value is None, value or "") for value in row.key], row.account_id or ""
