"""The rows of the ledger that make a figure: the largest of them, and what all cost by account."""

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from operator import add, or_
from typing import Any

import ibis
from ibis import ir

from kubetally.domain.allocation import Kind
from kubetally.domain.component import Costs
from kubetally.domain.efficiency import Hours
from kubetally.domain.explanation import AccountLines, LedgerLine
from kubetally.domain.question.cost_question import NOTHING_SHARED, CostQuestion, Idle
from kubetally.domain.question.filter import AllOf, Condition, Field, Op
from kubetally.domain.question.group import parse_group
from kubetally.domain.question.steps import Step
from kubetally.domain.row import Cause
from kubetally.query.accounts import Accounts
from kubetally.query.costs import cost_rows
from kubetally.query.engine import Run
from kubetally.query.sharing import share_rows
from kubetally.query.stored_rows import stored_rows
from kubetally.query.sums import COSTS, SHARED_IDLE, columns

_NAMES = ("namespace", "controller_kind", "controller", "pod", "container", "node")
_READ = ("day", "account_id", "kind", "cause", *_NAMES, *Hours._fields, "collection_id", "ordinal")
_TOTAL, _SHARE, _GIVEN = "total_cost", "idle_share", "given"


def ledger_lines(
    run: Run, rows: ir.Table, question: CostQuestion, accounts: Accounts, currency: str | None, *, limit: int
) -> tuple[list[LedgerLine], list[AccountLines]]:
    """The largest rows that make a figure, and the sums of all by account, those of idle lines apart.

    rows:  as for `cost_rows`. Rows that cost nothing in the figure are left out.
    Shape: at most `limit` rows in no order; lines of shared idle beside them, which lose what is shared.
    """
    is_shared = question.idle in (Idle.WEIGHTED, Idle.EVEN)
    all_rows = rows if question.sharing.is_nothing else share_rows(run, rows, question)
    stays = all_rows if question.idle is Idle.SEPARATE else all_rows.filter(all_rows.kind != Kind.IDLE.value)
    also = () if question.sharing.is_nothing else (_GIVEN,)
    costly = _with_total(stored_rows(stays, question, accounts, currency, also), question.idle)
    sums = {name: costly[name].sum() for name in COSTS}
    by_account = costly.group_by("account_id").agg(rows=costly.count(), last=costly.day.max(), **sums)
    order = [ibis.desc(costly[_TOTAL].abs()), costly.day, costly.account_id, costly.collection_id, costly.ordinal]
    largest = list(_lines(columns(run(costly.order_by(order).limit(limit))), accounts))
    totals = [*_sums_of(columns(run(by_account)))]
    if is_shared:
        idle = list(_idle_lines(run, rows, question, accounts, currency))
        largest += idle
        totals += [AccountLines(line.account_id, 1, line.costs, line.day) for line in idle]
    return largest, totals


def _with_total(rows: ir.Table, idle: Idle) -> ir.Table:
    """Rows that cost anything, their shares in idle in their costs, and the total."""
    zero = ibis.literal(0, type="decimal(18, 6)")
    costs = {name: rows[name].fill_null(zero) for name in COSTS}
    shares = {}
    if idle in (Idle.WEIGHTED, Idle.EVEN):
        for component in SHARED_IDLE:
            cost, share = rows[f"{component}_cost"], rows[f"idle_{component}_{idle}"].fill_null(zero)
            shares[f"{component}_cost"] = ibis.ifelse(cost.isnull(), zero, share)  # null: not asked about
    costs |= {name: costs[name] + share for name, share in shares.items()}
    total = reduce(add, costs.values())
    whole = {_TOTAL: total, _SHARE: reduce(add, shares.values())} if shares else {_TOTAL: total}
    if _GIVEN in rows.columns:
        whole[_GIVEN] = ibis.ifelse(rows.shared_cost.isnull(), 0, rows[_GIVEN])
    passing = rows.filter(reduce(or_, (cost != zero for cost in costs.values())))
    return passing.select(*_READ, **costs, **whole)


def _lines(read: dict[str, list[Any]], accounts: Accounts) -> Iterator[LedgerLine]:
    for at, account_id in enumerate(read["account_id"]):
        cause = read["cause"][at]
        yield LedgerLine(
            day=read["day"][at],
            account_id=account_id,
            account=accounts[account_id].name,
            kind=Kind(read["kind"][at]),
            cause=None if cause is None else Cause(cause),
            costs=Costs(*(read[name][at] for name in COSTS)),
            hours=Hours(*(read[name][at] for name in Hours._fields)).rounded(),
            idle_share=read[_SHARE][at] if _SHARE in read else None,
            given=read[_GIVEN][at] if _GIVEN in read else None,
            **{name: read[name][at] for name in _NAMES},
        )


def _sums_of(read: dict[str, list[Any]]) -> Iterator[AccountLines]:
    for at, account_id in enumerate(read["account_id"]):
        costs = Costs(*(read[name][at] for name in COSTS))
        yield AccountLines(account_id, read["rows"][at], costs, read["last"][at])


def _idle_lines(
    run: Run, rows: ir.Table, question: CostQuestion, accounts: Accounts, currency: str | None
) -> Iterator[LedgerLine]:
    """What is left of idle that is shared, by account and day."""
    is_idle = AllOf((question.filter, Condition(Field.KIND, Op.EQUALS, (Kind.IDLE.value,))))
    group = parse_group("cluster,kind")
    idle_question = replace(question, filter=is_idle, group=group, step=Step.DAY, sharing=NOTHING_SHARED)
    for row in cost_rows(run, rows, idle_question, accounts, currency):
        if any(row.costs) and row.account_id is not None and row.start is not None:
            name = accounts[row.account_id].name
            yield LedgerLine(row.start.date(), row.account_id, name, Kind.IDLE, costs=row.costs, hours=row.hours)
