"""Answers a question from rows of the ledger.

The engine filters, groups and adds. Accounts, lines and components are put in place here, on rows already grouped.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from functools import partial, reduce
from itertools import chain, islice
from operator import or_
from typing import Any

import ibis
import pyarrow as pa
from ibis import ir

from kubetally.domain.allocation import Kind
from kubetally.domain.component import NO_CLASSES, Component, Costs
from kubetally.domain.efficiency import NO_HOURS, Hours, RatedHours, sum_of_known
from kubetally.domain.question.cost_question import NOTHING_SHARED, CostQuestion, Idle, TopCosts
from kubetally.domain.question.filter import Field, Filter
from kubetally.domain.question.group import Dimension
from kubetally.domain.question.partial import EVERY_ROW, NO_ROW, conditions_of, decide
from kubetally.domain.report import REST, CostRow
from kubetally.garbage import gc_paused
from kubetally.query.accounts import Accounts, for_component, for_currency, line_passes
from kubetally.query.engine import Run, RunPrepared
from kubetally.query.groups import MAX_GROUPS, Group, GroupReader, as_date, check_groups
from kubetally.query.predicate import row_passes, services_of
from kubetally.query.rollup_choice import grains_of
from kubetally.query.rounding import round_amounts
from kubetally.query.sharing import given_to_namespaces, given_to_rows, without_shared
from kubetally.query.sums import (
    COSTS,
    RATED,
    SHARED_IDLE,
    SHARES,
    WASTE,
    columns,
    costs_of,
    hours_of,
    quantities_of,
    shares_of,
    waste_of,
)
from kubetally.query.top import top_groups
from kubetally.store.lake.schema import ALLOCATIONS

_TRUNCATIONS = {"week": "W", "month": "M"}
_ROUNDED_AT_ONCE = 4096
_NO_COSTS = dict.fromkeys(COSTS, 0)
_AMOUNTS = frozenset({*COSTS, WASTE})
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
) -> list[CostRow]:
    """The rows of an answer, workloads and lines, in no order; they add up to all that passes the filter.

    run_prepared: runs the same expression over other rows again faster, if the engine can.
    rows:     of the ledger, in the columns of the lake, of the days of the window only, all in one currency.
    Shape:    one row for each key, kind and step; `kind` is None where every dimension is one that lines carry.
    Units:    hours have `SIGNIFICANT_DIGITS`, so that no order of addition shows; efficiency is that of such sums.
    """
    filters = _filters(question, currency)
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
                lost = _less_shares(whole, question)
            else:
                lost = _less_idle(run, rows, question, filters, accounts)
            parts = chain(map(_with_shares, whole), lost)
        if not sharing.is_nothing and filters[Component.SHARED] != NO_ROW:
            given = reader.read(_given(run, rows, question, filters[Component.SHARED], accounts))
            parts = chain(parts, (part._replace(sums=_NO_COSTS | part.sums) for part in given))
        found = _by_identity(parts, question, accounts)
        return [
            row
            for piece in iter(lambda: [*islice(found, _ROUNDED_AT_ONCE)], [])
            for (identity, sums), hours in zip(piece, _rounded_hours([sums for _, sums in piece]), strict=True)
            for row in _rows_of(question, identity, sums, hours, shown)
        ]


def _by_identity(
    parts: Iterable[Group], question: CostQuestion, accounts: Accounts
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The sums of each row of the answer. Nothing is kept of many groups, if each is a row."""
    is_of_organizations = any(dimension.name == "organization" for dimension in question.group)
    if question.sharing.is_nothing and question.idle in (Idle.SEPARATE, Idle.NONE) and not is_of_organizations:
        yield from ((_identity(part, question, accounts), part.sums) for part in parts)
        return
    same = defaultdict[tuple[Any, ...], list[Group]](list)
    for part in parts:
        same[_identity(part, question, accounts)].append(part)
    for identity in [*same]:
        yield identity, _merged(same.pop(identity))


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
    tested = _tests(rows, filters, accounts)
    tests = {component: tested[condition] if len(tested) > 1 else None for component, condition in filters.items()}
    sums = costs_of(rows, tests) | shares_of(rows, question.idle, tests)
    if question.has_quantities:
        sums |= quantities_of(rows, tests)
    elif not question.splits_components:
        sums |= hours_of(rows) | {WASTE: waste_of(rows)}
    return _added(_passing(rows, tested), _keys(rows, question), sums, question.top)


def _added(
    rows: ir.Table, keys: Mapping[str, ir.Value], sums: Mapping[str, ir.Scalar], top: TopCosts | None = None
) -> ir.Table:
    if not keys:
        return rows.agg(**sums, rows=rows.count())
    groups = rows.group_by(**keys).agg(**sums)
    return (groups if top is None else top_groups(groups, list(keys), top)).limit(MAX_GROUPS + 1)


def _filters(question: CostQuestion, currency: str | None) -> dict[Component, Filter]:
    """What the filter of a question is for each component, of rows in a currency."""
    condition = for_currency(question.filter, currency)
    return {component: for_component(condition, component) for component in Component}


def _tests(rows: ir.Table, filters: dict[Component, Filter], accounts: Accounts) -> dict[Filter, ir.BooleanValue]:
    """Whether a row passes each of the filters; components that share a filter share its test."""
    return {condition: row_passes(condition, rows, accounts) for condition in set(filters.values())}


def _passing(rows: ir.Table, tests: dict[Filter, ir.BooleanValue]) -> ir.Table:
    """The rows of which some component passes."""
    return rows if set(tests) == {EVERY_ROW} else rows.filter(reduce(or_, tests.values()))


def _keys(rows: ir.Table, question: CostQuestion) -> dict[str, ir.Value]:
    """What the engine groups by."""
    keys: dict[str, ir.Value] = {}
    if any(dimension.name in ("cluster", "organization") for dimension in question.group):
        keys["account_id"] = rows.account_id
    if question.step is not None:
        unit = _TRUNCATIONS.get(question.step)
        keys["start"] = rows.day if unit is None else rows.day.truncate(unit)
    if _has_kinds(question):
        keys["kind"] = rows.kind
    for number, dimension in enumerate(question.group):
        if not dimension.is_carried_by_lines:
            keys[f"key_{number}"] = _value(rows, dimension)
    return keys


def _value(rows: ir.Table, dimension: Dimension) -> ir.StringValue:
    if dimension.key is not None:
        return rows[f"{dimension.name}s"].get(dimension.key)
    if dimension.name == "service":
        services = services_of(rows)
        return ibis.ifelse(services.length() > 0, services[0], ibis.null("string"))
    return rows[dimension.name]


def _has_kinds(question: CostQuestion) -> bool:
    """Whether rows are of one kind each."""
    return any(dimension.name == "kind" or not dimension.is_carried_by_lines for dimension in question.group)


def _has_component(question: CostQuestion) -> bool:
    """Whether the group names components."""
    return any(dimension.name == "component" for dimension in question.group)


def _is_by_line(condition: Filter) -> bool:
    """Whether a line passes wherever the workloads of its account do, component by component."""
    return all(part.field in _OF_LINES for part in conditions_of(condition))


def _idle_shares(sums: Mapping[str, Any]) -> dict[Component, int]:
    """What is shared of the idle cost of each component."""
    return {component: sums.get(name) or 0 for name, component in zip(SHARES, SHARED_IDLE, strict=True)}


def _with_shares(part: Group) -> Group:
    """The row itself, with its shares in idle added to its costs."""
    for component, share in _idle_shares(part.sums).items():
        if share:
            name = f"{component}_cost"
            part.sums[name] = (part.sums[name] or 0) + share
    return part


def _less_shares(parts: Sequence[Group], question: CostQuestion) -> Iterator[Group]:
    """What the idle lines lose to the workloads in `parts`, which are all that they are shared among."""
    for part in parts:
        yield from _lost(part.account_id, part.start, question, _idle_shares(part.sums))


def _lost(
    account_id: str | None, start: date | None, question: CostQuestion, shares: Mapping[Component, int]
) -> Iterator[Group]:
    """A row of what an idle line loses, if it loses anything."""
    if any(shares.values()):
        kind = Kind.IDLE if _has_kinds(question) else None
        lost = {f"{component}_cost": -share for component, share in shares.items()}
        yield Group(account_id, start, kind, (None,) * len(question.group), _NO_COSTS | lost)


def _less_idle(
    run: Run, rows: ir.Table, question: CostQuestion, filters: dict[Component, Filter], accounts: Accounts
) -> Iterator[Group]:
    """What the idle lines lose to the workloads that they are shared among, as rows of the same kind."""
    keys = {"account_id": rows.account_id}
    if question.step is not None:
        keys |= {"start": _keys(rows, question)["start"]}
    no_tests = dict.fromkeys(Component)
    shared = columns(run(rows.group_by(**keys).agg(**shares_of(rows, question.idle, no_tests))))
    for at, account_id in enumerate(shared["account_id"]):
        shares = {
            component: share
            for component, share in _idle_shares({name: shared[name][at] for name in SHARES}).items()
            if line_passes(filters[component], accounts[account_id], Kind.IDLE, component)
        }
        start = as_date(shared["start"][at]) if "start" in shared else None
        yield from _lost(account_id, start, question, shares)


def _given(run: Run, rows: ir.Table, question: CostQuestion, condition: Filter, accounts: Accounts) -> pa.Table:
    """What workloads are given of shared cost, by the keys of the question. condition: for that component."""

    def wanted(table: ir.Table) -> dict[str, ir.Value]:
        return _keys(table, question) | {"passes": row_passes(condition, table, accounts)}

    given = given_to_namespaces(rows, question)
    if _needs_rows(question):
        # Namespaces are left out as a whole or not at all: what a row is given depends on all rows of its namespace.
        possible = decide(condition, lambda part: None if part.field in _OF_NAMESPACES else True)
        some = rows.filter(row_passes(possible, rows, accounts))
        given = given_to_rows(some, given, question, wanted(some))
    else:
        given = given.mutate(**wanted(given))
    given = given.filter(given.passes)
    keys = {name: given[name] for name in _keys(rows, question)}
    return run(_added(given, keys, {"shared_cost": given.given.sum()}))


def _needs_rows(question: CostQuestion) -> bool:
    """Whether sums by account, day, kind and namespace can't answer a question, whatever is shared."""
    return not grains_of(replace(question, sharing=NOTHING_SHARED))


def _identity(part: Group, question: CostQuestion, accounts: Accounts) -> tuple[Any, ...]:
    """What tells the rows of an answer apart: key, account, step, kind, and the groups in the row of all others."""
    if part.groups_in_rest is not None:
        return part.values, None, None, REST, part.groups_in_rest
    key = []
    account = None if part.account_id is None else accounts[part.account_id]
    has_cluster = False
    for dimension, value in zip(question.group, part.values, strict=True):
        match dimension.name:
            case "cluster":
                has_cluster = True
                key.append(account and account.name)
            case "organization":
                key.append(account and (account.organization or None))
            case "kind":
                key.append(part.kind and part.kind.value)
            case _:
                key.append(value)
    is_kind_shown = any(not dimension.is_carried_by_lines for dimension in question.group)
    start = None if part.start is None else max(datetime.combine(part.start, time(), UTC), question.window.start)
    return tuple(key), part.account_id if has_cluster else None, start, part.kind if is_kind_shown else None, 1


def _merged(parts: Sequence[Group]) -> dict[str, Any]:
    """The sums of parts: of amounts in micros, and of hours as far as they are known."""
    if len(parts) == 1:
        return parts[0].sums
    names = {name: None for part in parts for name in part.sums}
    values = {name: [part.sums.get(name) for part in parts] for name in names}
    return {
        name: sum(value or 0 for value in its) if name in _AMOUNTS else sum_of_known(its)
        for name, its in values.items()
    }


def _rounded_hours(many: Sequence[Mapping[str, Any]]) -> list[tuple[Hours, RatedHours]]:
    """The hours of sums, to `SIGNIFICANT_DIGITS`."""
    names, count = (*Hours._fields, *RATED), len(Hours._fields)
    amounts = iter(round_amounts([sums.get(name) for sums in many for name in names]))
    rows = [[*islice(amounts, len(names))] for _ in many]
    return [(Hours(*row[:count]), RatedHours(*[amount or 0.0 for amount in row[count:]])) for row in rows]  # type: ignore[arg-type]


def _rows_of(
    question: CostQuestion,
    identity: tuple[Any, ...],
    sums: Mapping[str, Any],
    rounded: tuple[Hours, RatedHours],
    shown: Sequence[Component],
) -> Iterator[CostRow]:
    key, account_id, start, kind, count = identity
    hours, rated = rounded
    costs = Costs(*[sums[name] or 0 for name in COSTS])
    place = next((at for at, dimension in enumerate(question.group) if dimension.name == "component"), None)
    if place is not None:
        for component in shown:
            yield CostRow(
                Costs(**{component.value: costs.of(component)}),
                NO_CLASSES,
                hours if question.has_quantities else NO_HOURS,
                RatedHours(),
                kind=kind,
                key=(*key[:place], component.value, *key[place + 1 :]),
                account_id=account_id,
                start=start,
                component=component,
            )
        return
    yield CostRow(
        costs,
        NO_CLASSES,
        hours,
        rated,
        kind=kind,
        key=key,
        count=count,
        account_id=account_id,
        start=start,
        waste=sums.get(WASTE) or 0,
    )


def stored_rows(
    rows: ir.Table, question: CostQuestion, accounts: Accounts, currency: str | None, also: Sequence[str] = ()
) -> ir.Table:
    """The rows themselves that pass the filter, in the columns of the lake; costs of other components are null.

    also: columns that are kept beside those of the lake.
    """
    filters = _filters(question, currency)
    tests = _tests(rows, filters, accounts)
    kept = _passing(rows, tests)
    if len(tests) == 1:
        return kept.select(*ALLOCATIONS.names, *also)
    costs = {
        f"{component}_cost": ibis.ifelse(
            row_passes(condition, kept, accounts), kept[f"{component}_cost"], ibis.null("decimal(18, 6)")
        )
        for component, condition in filters.items()
    }
    return kept.mutate(**costs).select(*ALLOCATIONS.names, *also)


def label_costs(
    run: Run, rows: ir.Table, question: CostQuestion, accounts: Accounts, currency: str | None
) -> list[tuple[str, str, int, int]]:
    """Each key of labels, and of labels of namespaces, with the stored rows that have it and their cost in micros.

    Shape: dimension (`label` or `namespace_label`), key, rows, micros of what passes the filter; highest cost first.
    Raises: QuestionTooLarge, for more than `MAX_GROUPS` keys.
    """
    kept = stored_rows(rows, question, accounts, currency)
    found = list[tuple[str, str, int, int]]()
    for dimension in ("label", "namespace_label"):
        keys = kept.select(
            key=kept[f"{dimension}s"].keys().unnest(),
            cost=sum(kept[name].fill_null(ibis.literal(0, type="decimal(18, 6)")) for name in COSTS),
        )
        counted = run(keys.group_by("key").agg(rows=keys.count(), cost=keys.cost.sum()).limit(MAX_GROUPS + 1))
        check_groups(len(found) + counted.num_rows)
        read = columns(counted)
        found += [(dimension, *row) for row in zip(read["key"], read["rows"], read["cost"], strict=True)]
    return sorted(found, key=lambda row: (-row[3], row[:2]))
