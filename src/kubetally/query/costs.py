"""Answers a question from rows of the ledger: the engine filters, groups and adds."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import chain

import pyarrow as pa
from ibis import ir

from kubetally.domain.allocation import Kind
from kubetally.domain.component import Component
from kubetally.domain.question.cost_question import NOTHING_SHARED, CostQuestion, Idle, TopCosts
from kubetally.domain.question.filter import Field, Filter
from kubetally.domain.question.partial import NO_ROW, conditions_of, decide
from kubetally.domain.report import CostRow
from kubetally.garbage import gc_paused
from kubetally.query.accounts import Accounts
from kubetally.query.answer_rows import HourTotals, answer_rows
from kubetally.query.conditions import filters_of, passing, tests_of
from kubetally.query.engine import Run, RunPrepared
from kubetally.query.groups import MAX_GROUPS, GroupReader
from kubetally.query.idle import less_idle, less_shares, with_shares
from kubetally.query.keys import keys_of
from kubetally.query.predicate import row_passes
from kubetally.query.rollup_choice import grains_of
from kubetally.query.sharing import given_to_namespaces, given_to_rows, without_shared
from kubetally.query.sums import NO_COSTS, WASTE, costs_of, hours_of, quantities_of, shares_of, waste_of, weights_of
from kubetally.query.top import top_groups

_OF_LINES = frozenset({Field.CLUSTER, Field.ORGANIZATION, Field.CURRENCY, Field.COMPONENT})
"""Fields that a line has as its account's workloads have them."""
_OF_NAMESPACES = _OF_LINES | {Field.NAMESPACE, Field.KIND}
"""Fields that all workloads of a namespace and account have alike."""


@gc_paused()
def cost_rows(
    run: Run,
    rows: ir.Table,
    question: CostQuestion,
    accounts: Accounts,
    currency: str | None,
    *,
    run_prepared: RunPrepared | None = None,
    totals: HourTotals | None = None,
) -> list[CostRow]:
    """The rows of an answer, workloads and lines, in no order; they add up to all that passes the filter.

    run_prepared: runs the same expression over other rows again faster, if the engine can.
    totals:   to which the hours of all rows are added, unless components are grouped by.
    rows:     of the ledger, in the columns of the lake, of the days of the window only, all in one currency.
    Shape:    one row for each key, kind and step; `kind` is None where every dimension is one that lines carry.
    Units:    hours have `SIGNIFICANT_DIGITS`, so that no order of addition shows; efficiency is that of such sums.
    """
    filters = filters_of(question, currency)
    shown = [component for component in Component if filters[component] != NO_ROW]
    sharing = question.sharing
    kept = rows if sharing.is_nothing else without_shared(run, rows, sharing)
    run_prepared = run_prepared or (lambda rows, _, build: run(build(rows)))
    rows_per_group = len(shown) if _has_component(question) else 1
    with GroupReader(question, rows_per_group) as reader:
        parts = reader.read(_grouped(run_prepared, kept, question, filters, accounts))
        if question.idle in (Idle.WEIGHTED, Idle.EVEN):
            whole = list(parts)
            if sharing.is_nothing and question.top is None and _is_by_line(question.filter):
                lost = less_shares(whole, question)
            else:
                lost = less_idle(run, rows, question, filters, accounts)
            parts = chain(map(with_shares, whole), lost)
        if not sharing.is_nothing and filters[Component.SHARED] != NO_ROW:
            given = reader.read(_given(run, rows, question, filters[Component.SHARED], accounts))
            parts = chain(parts, (part._replace(sums=NO_COSTS | part.sums) for part in given))
        return [*answer_rows(parts, question, accounts, shown, HourTotals() if totals is None else totals)]


def _grouped(
    run_prepared: RunPrepared,
    rows: ir.Table,
    question: CostQuestion,
    filters: dict[Component, Filter],
    accounts: Accounts,
) -> pa.Table:
    build = partial(_sums, question=question, filters=filters, accounts=accounts)
    named = conditions_of(question.filter)
    has_names = any(condition.field in (Field.CLUSTER, Field.ORGANIZATION) for condition in named)
    names = tuple(accounts.values()) if has_names else ()
    shape = question.group, question.step, question.idle, question.has_quantities, question.top
    return run_prepared(rows, (*shape, tuple(filters.values()), names), build)


def _sums(rows: ir.Table, question: CostQuestion, filters: dict[Component, Filter], accounts: Accounts) -> ir.Table:
    """The sums of rows by the keys of a question."""
    if question.idle is Idle.NONE:
        rows = rows.filter(rows.kind != Kind.IDLE.value)
    tested = tests_of(rows, filters, accounts)
    tests = {component: tested[condition] if len(tested) > 1 else None for component, condition in filters.items()}
    sums = costs_of(rows, tests) | shares_of(rows, question.idle, tests)
    if question.has_quantities:
        sums |= quantities_of(rows, tests)
    elif not question.splits_components:
        sums |= hours_of(rows) | weights_of(rows) | {WASTE: waste_of(rows)}
    return _added(passing(rows, tested), keys_of(rows, question), sums, question.top)


def _added(
    rows: ir.Table, keys: Mapping[str, ir.Value], sums: Mapping[str, ir.Scalar], top: TopCosts | None = None
) -> ir.Table:
    if not keys:
        return rows.agg(**sums, rows=rows.count())
    groups = rows.group_by(**keys).agg(**sums)
    return (groups if top is None else top_groups(groups, list(keys), top)).limit(MAX_GROUPS + 1)


def _has_component(question: CostQuestion) -> bool:
    """Whether the group names components."""
    return any(dimension.name == "component" for dimension in question.group)


def _is_by_line(condition: Filter) -> bool:
    """Whether a line passes wherever the workloads of its account do, component by component."""
    return all(part.field in _OF_LINES for part in conditions_of(condition))


def _given(run: Run, rows: ir.Table, question: CostQuestion, condition: Filter, accounts: Accounts) -> pa.Table:
    """What workloads are given of shared cost, by the keys of the question. condition: for that component."""

    def wanted(table: ir.Table) -> dict[str, ir.Value]:
        return keys_of(table, question) | {"passes": row_passes(condition, table, accounts)}

    given = given_to_namespaces(rows, question)
    if _needs_rows(question):
        # Namespaces are left out as a whole or not at all: what a row is given depends on all rows of its namespace.
        possible = decide(condition, lambda part: None if part.field in _OF_NAMESPACES else True)
        some = rows.filter(row_passes(possible, rows, accounts))
        given = given_to_rows(some, given, question, wanted(some))
    else:
        given = given.mutate(**wanted(given))
    given = given.filter(given.passes)
    keys = {name: given[name] for name in keys_of(rows, question)}
    return run(_added(given, keys, {"shared_cost": given.given.sum()}))


def _needs_rows(question: CostQuestion) -> bool:
    """Whether sums by account, day, kind and namespace can't answer a question, whatever is shared."""
    return not grains_of(replace(question, sharing=NOTHING_SHARED))
