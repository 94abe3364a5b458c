"""What the engine groups rows by."""

import ibis
from ibis import ir

from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.group import Dimension
from kubetally.query.predicate import services_of

_TRUNCATIONS = {"week": "W", "month": "M"}


def keys_of(rows: ir.Table, question: CostQuestion) -> dict[str, ir.Value]:
    """What the engine groups by."""
    keys: dict[str, ir.Value] = {}
    if any(dimension.name in ("cluster", "organization") for dimension in question.group):
        keys["account_id"] = rows.account_id
    if question.step is not None:
        unit = _TRUNCATIONS.get(question.step)
        keys["start"] = rows.day if unit is None else rows.day.truncate(unit)
    if has_kinds(question):
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


def has_kinds(question: CostQuestion) -> bool:
    """Whether rows are of one kind each."""
    return any(dimension.name == "kind" or not dimension.is_carried_by_lines for dimension in question.group)
