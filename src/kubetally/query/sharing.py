"""Shared cost: workloads leave, and their cost returns as `shared_cost` of the others of their account and day (Q4).

It is divided among the namespaces of the day, and inside of each among its rows. Every part is a difference of rounded
running totals: parts add up to the whole, and what a namespace gets is known without its rows (decision 0015).
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import reduce
from operator import add, or_
from typing import Any

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
    staying_days = run(days.filter(days.stays))
    is_left = (rows.kind == Kind.WORKLOAD.value) & _is_shared(rows, sharing)
    if not staying_days.num_rows:
        return rows.filter(~is_left)
    with_days = rows.mutate(is_left=is_left).left_join(ibis.memtable(staying_days), _DAY)
    return with_days.filter(~with_days.is_left | with_days.stays.fill_null(False)).select(rows.columns)


def given_to_namespaces(rows: ir.Table, question: CostQuestion) -> ir.Table:
    """The namespaces that take over shared cost, by account and day, each with what it is given.

    rows:  of the ledger, or their sums by account, day, namespace and kind where no labels are shared.
    Shape: `account_id`, `day`, `namespace`, `kind`, `given`.
    """
    rows = rows.filter(rows.kind == Kind.WORKLOAD.value)
    amounts = {name: rows[name].sum() for name in _amounts(question.idle)}
    sums = rows.group_by(*_NAMESPACE, is_shared=_is_shared(rows, question.sharing)).agg(**amounts)
    sums = sums.mutate(micros=_micros(_total(sums, question.idle)), taking=(~sums.is_shared).cast("int64"))
    is_even = question.sharing.split is Split.EVEN
    sums = sums.mutate(
        leaving=ibis.ifelse(sums.is_shared, sums.micros, 0),
        weight=sums.taking if is_even else ibis.greatest(sums.micros, 0) * sums.taking,
    )
    parts = _divide(sums, sums.leaving.sum().over(_whole(sums, _DAY, "namespace")), _DAY, "namespace")
    takers = parts.filter(~parts.is_shared)
    return takers.select(*_NAMESPACE, kind=ibis.literal(Kind.WORKLOAD.value), given=takers.part)


def given_to_rows(
    rows: ir.Table, namespaces: ir.Table, question: CostQuestion, more: Mapping[str, ir.Value]
) -> ir.Table:
    """The workloads that are not shared, each with its part of what its namespace is given: by cost, else equally.

    rows:  all of a namespace or none. namespaces: of `given_to_namespaces`.
    Shape: `account_id`, `day`, `namespace`, `ordinal`, `given`, and `more` columns of the rows.
    """
    # A double has the micros of any row exactly, and is read in a fifth of the time.
    weight = ibis.greatest(whole(_total(rows, question.idle).cast("float64") * MICROS), 0)
    narrow = {name: rows[name] for name in (*_NAMESPACE, "ordinal")} | dict(more) | {"weight": weight}
    is_taking = (rows.kind == Kind.WORKLOAD.value) & ~_is_shared(rows, question.sharing)
    rows = rows.filter(is_taking).select(**narrow)
    namespaces = namespaces.filter(namespaces.given != 0).select(*_NAMESPACE, "given")
    same = [rows[name].identical_to(namespaces[name]) for name in _NAMESPACE]
    rows = rows.join(namespaces, same).select(rows, namespaces.given)
    rows = rows.mutate(taking=ibis.literal(1, type="int64"))
    return _divide(rows, rows.given, _NAMESPACE, "ordinal").drop("given").rename(given="part")


def share_rows(run: Run, rows: ir.Table, question: CostQuestion) -> ir.Table:
    """The rows of the ledger once shared workloads have left; what others are given is in their `shared_cost`.

    Shape: beside the columns of the lake `given`: the micros of `shared_cost` that were given.
    """
    given = given_to_rows(rows, given_to_namespaces(rows, question), question, {}).select(*_ROW, "given")
    kept = without_shared(run, rows, question.sharing)
    rows = kept.left_join(given, _ROW).select(kept, given.given)
    given = rows.given.fill_null(0)
    shared_cost = rows.shared_cost.fill_null(Decimal(0)) + given * _MICRO
    return rows.mutate(shared_cost=shared_cost.cast("decimal(18, 6)"), given=given)


def _is_shared(rows: ir.Table, sharing: Sharing) -> ir.BooleanValue:
    """Whether a workload is shared."""
    tests = [rows.labels.get(key) == value for key, value in sharing.labels]
    if sharing.namespaces:
        tests.append(is_one_of(rows.namespace, sharing.namespaces))
    return reduce(or_, [test.fill_null(False) for test in tests])


def _divide(rows: ir.Table, amount: ir.IntegerValue, among: Sequence[str], order: str) -> ir.Table:
    """Rows, each with its `part` of an amount that those alike in `among` divide: by `weight`, equally if none weighs.

    rows:   `taking` is 1 for those that take a part, 0 for others, which weigh nothing.
    order:  by which the running totals are made; nulls last.
    """
    whole_, to_here = _whole(rows, among, order), _whole(rows, among, order, following=0)
    rows = rows.mutate(
        amount=amount,
        weight_to_here=rows.weight.sum().over(to_here),
        weights=rows.weight.sum().over(whole_),
        number=rows.taking.sum().over(to_here),
        numbers=rows.taking.sum().over(whole_),
    )
    weighs = rows.weights > 0
    rows = rows.mutate(
        end=ibis.ifelse(weighs, rows.weight_to_here, rows.number),
        of=ibis.ifelse(weighs, rows.weights, rows.numbers),
        own=ibis.ifelse(weighs, rows.weight, rows.taking),
    )
    upto, before = (_running(rows.amount, end, rows.of) for end in (rows.end, rows.end - rows.own))
    return rows.mutate(part=upto - before)


def _whole(rows: ir.Table, among: Sequence[str], order: str, *, following: int | None = None) -> Any:
    """The rows alike in `among`, in an order: all of them, or those up to each."""
    ordered = rows[order].asc(nulls_first=False)
    return ibis.window(group_by=among, order_by=ordered, preceding=None, following=following)


def _running(amount: ir.IntegerValue, end: ir.IntegerValue, of: ir.IntegerValue) -> ir.IntegerValue:
    """What of an amount is given up to a point, rounded; at the end all of it, exactly."""
    fraction = end.cast("float64") / of.cast("float64").nullif(0.0)
    return ibis.ifelse(end >= of, amount, whole(amount.cast("float64") * fraction))


def _total(rows: ir.Table, idle: Idle) -> ir.DecimalValue:
    """What rows cost, with their shares in idle where it is shared."""
    return reduce(add, (rows[name].fill_null(ibis.literal(0, type=rows[name].type())) for name in _amounts(idle)))


def _amounts(idle: Idle) -> list[str]:
    """The columns that a workload's total adds up."""
    shares = [f"idle_{component}_{idle}" for component in SHARED_IDLE] if idle in (Idle.WEIGHTED, Idle.EVEN) else []
    return [*COSTS, *shares]


def _micros(amount: ir.DecimalValue) -> ir.IntegerValue:
    return (amount * MICROS).cast("int64")
