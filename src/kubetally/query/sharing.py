"""Shared cost: workloads leave, and their cost returns as `shared_cost` of the others of their account and day (Q4).

It is divided among the namespaces of the day, and inside of each among its rows. Every part is a difference of rounded
running totals: parts add up to the whole, and what a namespace gets is known without its rows (decision 0015).
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import reduce
from operator import add, or_

import ibis
from ibis import ir

from kubetally.domain.allocation import Kind
from kubetally.domain.money import MICROS
from kubetally.domain.question.cost_question import CostQuestion, Idle, Sharing, Split
from kubetally.query.engine import Run
from kubetally.query.predicate import is_one_of
from kubetally.query.sums import COSTS, SHARED_IDLE, whole

_DAY = ("account_id", "day")
_NAMESPACE = (*_DAY, "namespace")
_ROW = (*_DAY, "ordinal")
_MICRO = ibis.literal(Decimal(1).scaleb(-6), type="decimal(7, 6)")


def without_shared(run: Run, rows: ir.Table, sharing: Sharing) -> ir.Table:
    """The rows without shared workloads. Those of a day on which their account has no other workload stay."""
    workloads = rows.filter(rows.kind == Kind.WORKLOAD.value)
    days = workloads.group_by(_DAY).agg(stays=_is_shared(workloads, sharing).all())
    staying = run(days.filter(days.stays))
    is_left = (rows.kind == Kind.WORKLOAD.value) & _is_shared(rows, sharing)
    if not staying.num_rows:
        return rows.filter(~is_left)
    marked = rows.mutate(is_left=is_left).left_join(ibis.memtable(staying), _DAY)
    return marked.filter(~marked.is_left | marked.stays.fill_null(False)).select(rows.columns)


def given_to_namespaces(rows: ir.Table, question: CostQuestion) -> ir.Table:
    """The namespaces that take over shared cost, by account and day, each with what it is given.

    rows:  of the ledger, or their sums by account, day, namespace and kind where no labels are shared.
    Shape: `account_id`, `day`, `namespace`, `kind`, `given`.
    """
    rows = rows.filter(rows.kind == Kind.WORKLOAD.value)
    amounts = {name: rows[name].sum() for name in _amounts(question.idle)}
    sums = rows.group_by(*_NAMESPACE, is_shared=_is_shared(rows, question.sharing)).agg(**amounts)
    sums = sums.mutate(micros=_micros(_total(sums, question.idle)))
    leaving = ibis.ifelse(sums.is_shared, sums.micros, 0).sum().over(ibis.window(group_by=_DAY))
    is_even = question.sharing.split is Split.EVEN
    sums = sums.mutate(leaving=leaving, weight=1 if is_even else ibis.greatest(sums.micros, 0))
    takers = _divided(sums.filter(~sums.is_shared), "leaving", _DAY, "namespace")
    return takers.select(*_NAMESPACE, kind=ibis.literal(Kind.WORKLOAD.value), given=takers.part)


def given_to_rows(
    rows: ir.Table, namespaces: ir.Table, question: CostQuestion, more: Mapping[str, ir.Value]
) -> ir.Table:
    """The workloads that are not shared, each with its part of what its namespace is given: by cost, else equally.

    rows:  all of a namespace or none. namespaces: of `given_to_namespaces`.
    Shape: `account_id`, `day`, `namespace`, `ordinal`, `given`, and `more` columns of the rows.
    """
    weight = ibis.greatest(_micros(_total(rows, question.idle)), 0)
    narrow = {name: rows[name] for name in (*_NAMESPACE, "ordinal")} | dict(more) | {"weight": weight}
    is_taking = (rows.kind == Kind.WORKLOAD.value) & ~_is_shared(rows, question.sharing)
    rows = rows.filter(is_taking).select(**narrow)
    namespaces = namespaces.filter(namespaces.given != 0).select(*_NAMESPACE, "given")
    same = [rows[name].identical_to(namespaces[name]) for name in _NAMESPACE]
    rows = _divided(rows.join(namespaces, same).select(rows, namespaces.given), "given", _NAMESPACE, "ordinal")
    return rows.mutate(given=rows.part)


def shared_rows(run: Run, rows: ir.Table, question: CostQuestion) -> ir.Table:
    """The rows of the ledger once shared workloads have left; what others are given is in their `shared_cost`."""
    given = given_to_rows(rows, given_to_namespaces(rows, question), question, {}).select(*_ROW, "given")
    kept = without_shared(run, rows, question.sharing)
    rows = kept.left_join(given, _ROW).select(kept, given.given)
    shared_cost = rows.shared_cost.fill_null(Decimal(0)) + rows.given.fill_null(0) * _MICRO
    return rows.mutate(shared_cost=shared_cost.cast("decimal(18, 6)")).drop("given")


def _is_shared(rows: ir.Table, sharing: Sharing) -> ir.BooleanValue:
    """Whether a workload is shared."""
    tests = [rows.labels.get(key) == value for key, value in sharing.labels]
    if sharing.namespaces:
        tests.append(is_one_of(rows.namespace, sharing.namespaces))
    return reduce(or_, [test.fill_null(False) for test in tests])


def _divided(rows: ir.Table, amount: str, among: Sequence[str], order: str) -> ir.Table:
    """Rows, each with its `part` of an amount that those alike in `among` divide: by `weight`, equally if none weighs.

    order: by which the running totals are made; nulls last.
    """
    ordered = rows[order].asc(nulls_first=False)
    all_ = ibis.window(group_by=among, order_by=ordered, preceding=None, following=None)
    to_here = ibis.window(group_by=among, order_by=ordered, preceding=None, following=0)
    one = ibis.literal(1, type="int64")
    rows = rows.mutate(
        weight_to_here=rows.weight.sum().over(to_here),
        weights=rows.weight.sum().over(all_),
        number=rows.count().over(to_here),
        numbers=rows.count().over(all_),
    )
    weighs = rows.weights > 0
    rows = rows.mutate(
        end=ibis.ifelse(weighs, rows.weight_to_here, rows.number).cast("int64"),
        of=ibis.ifelse(weighs, rows.weights, rows.numbers).cast("int64"),
        own=ibis.ifelse(weighs, rows.weight, one),
    )
    upto, before = (_running(rows[amount], end, rows.of) for end in (rows.end, rows.end - rows.own))
    return rows.mutate(part=upto - before)


def _running(amount: ir.IntegerValue, end: ir.IntegerValue, of: ir.IntegerValue) -> ir.IntegerValue:
    """What of an amount is given up to a point, rounded; at the end all of it, exactly."""
    fraction = end.cast("float64") / of.cast("float64").nullif(0.0)
    return ibis.ifelse(end >= of, amount, whole(amount.cast("float64") * fraction))


def _total(rows: ir.Table, idle: Idle) -> ir.DecimalValue:
    """What rows cost, with their shares in idle where it is shared."""
    return reduce(add, (rows[name].fill_null(Decimal(0)) for name in _amounts(idle)))


def _amounts(idle: Idle) -> list[str]:
    """The columns that a workload's total adds up."""
    shares = [f"idle_{component}_{idle}" for component in SHARED_IDLE] if idle in (Idle.WEIGHTED, Idle.EVEN) else []
    return [*COSTS, *shares]


def _micros(amount: ir.DecimalValue) -> ir.IntegerValue:
    return (amount * MICROS).cast("int64")
