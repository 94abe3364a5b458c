"""Filters as Ibis expressions; the meaning is that of `domain.question.matching`."""

from collections.abc import Callable, Collection
from functools import reduce
from operator import and_, or_

import ibis
from ibis import ir

from kubetally.domain.question.dimensions import sanitize_key
from kubetally.domain.question.filter import MAP_FIELDS, UNALLOCATED, AllOf, AnyOf, Condition, Field, Filter, Op
from kubetally.domain.question.matching import DEFAULT_ALIAS_KEYS
from kubetally.domain.question.partial import EVERY_ROW, NO_ROW, conditions_of
from kubetally.query.accounts import Accounts, by_account

_COLUMNS = {
    Field.NODE: "node",
    Field.NAMESPACE: "namespace",
    Field.CONTROLLER_NAME: "controller",
    Field.CONTROLLER_KIND: "controller_kind",
    Field.POD: "pod",
    Field.CONTAINER: "container",
    Field.PROVIDER: "provider_id",
    Field.KIND: "kind",
}
_MAPS = {Field.LABEL: "labels", Field.ANNOTATION: "annotations", Field.NAMESPACE_LABEL: "namespace_labels"}


def row_passes(condition: Filter, rows: ir.Table, accounts: Accounts) -> ir.BooleanValue:
    """Whether a row passes, with what its account decides."""
    if not any(part.field in (Field.CLUSTER, Field.ORGANIZATION) for part in conditions_of(condition)):
        return predicate(condition, rows)
    choices = [
        is_one_of(rows.account_id, ids)
        if rest == EVERY_ROW
        else is_one_of(rows.account_id, ids) & predicate(rest, rows)
        for rest, ids in by_account(condition, accounts).items()
        if rest != NO_ROW
    ]
    return reduce(or_, choices) if choices else ibis.literal(False)


def predicate(condition: Filter, rows: ir.Table) -> ir.BooleanValue:
    """Whether a row passes; null counts as no.

    Conditions on cluster, organization, currency and component were decided before. A positive comparison is
    written as it stands, so that an engine can leave out files and row groups by it.
    """
    match condition:
        case AllOf(parts):
            return reduce(and_, [predicate(part, rows) for part in parts]) if parts else ibis.literal(True)
        case AnyOf(parts):
            return reduce(or_, [predicate(part, rows) for part in parts]) if parts else ibis.literal(False)
        case Condition(_, op, values):
            positive = op.opposite if op.negates else op
            passes = reduce(or_, [_compare(condition, positive, value, rows) for value in values])
            return ~passes.fill_null(False) if op.negates else passes


def _compare(condition: Condition, op: Op, value: str, rows: ir.Table) -> ir.BooleanValue:
    """Whether one value matches; null or false where the row lacks the field."""
    field, key = condition.field, condition.key
    wanted = "" if value == UNALLOCATED else value
    if field is Field.SERVICES:
        services = services_of(rows)
        has_name = _any_name(services, op, wanted)
        if wanted or op not in (Op.EQUALS, Op.CONTAINS):
            return has_name
        return has_name | (services.length() == 0)
    if field in MAP_FIELDS and key is None:
        return _any_name(keys_of_map(field, rows), op, sanitize_key(wanted))
    text = text_of(field, key, rows)
    return _text(text if wanted else text.fill_null(""), op, wanted)


def is_one_of(column: ir.StringColumn, values: Collection[str]) -> ir.BooleanColumn:
    """Whether a value is one of these; of a single one as an engine reads it best."""
    return column == next(iter(values)) if len(values) == 1 else column.isin(sorted(values))


def services_of(rows: ir.Table) -> ir.ArrayValue:
    """The services of workloads, none for lines, never null."""
    return ibis.ifelse(rows.kind == "workload", rows.services, ibis.null("array<string>")).fill_null(_no_names())


def keys_of_map(field: Field, rows: ir.Table) -> ir.ArrayValue:
    """The keys of labels or annotations, none where a row has none, never null."""
    return rows[_MAPS[field]].keys().fill_null(_no_names())


def text_of(field: Field, key: str | None, rows: ir.Table) -> ir.StringValue:
    """The text that a field compares; null for a row without it."""
    if field in DEFAULT_ALIAS_KEYS:
        alias = sanitize_key(DEFAULT_ALIAS_KEYS[field])
        return ibis.coalesce(rows.labels.get(alias), rows.annotations.get(alias))
    if field in _MAPS:
        return rows[_MAPS[field]].get(key or "")
    return rows[_COLUMNS[field]]


def _no_names() -> ir.ArrayValue:
    return ibis.literal([], type="array<string>")


def _any_name(names: ir.ArrayValue, op: Op, wanted: str) -> ir.BooleanValue:
    """To contain a name, for a list or a map, is to have exactly it."""
    if op in (Op.EQUALS, Op.CONTAINS):
        return names.contains(wanted)
    test: Callable[[ir.StringValue], ir.BooleanValue] = lambda name: _text(name, op, wanted)  # noqa: E731
    return names.filter(test).length() > 0


def _text(value: ir.StringValue, op: Op, wanted: str) -> ir.BooleanValue:
    match op:
        case Op.CONTAINS:
            return value.contains(wanted)
        case Op.PREFIX:
            return value.startswith(wanted)
        case Op.SUFFIX:
            return value.endswith(wanted)
        case _:
            return value == wanted
