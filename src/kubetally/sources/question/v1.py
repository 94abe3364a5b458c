"""Filters as the v1 parameters (`filterNamespaces=a,b`): OR inside a parameter, AND across (reference: sources.md 1.3).

A source's v1 reader splits at commas, trims spaces, takes a trailing `*` for a prefix, and ignores in silence an item
with a colon too many. What would be read as something else is refused here.
"""

from kubetally.sources.question.filter import (
    UNALLOCATED,
    AllOf,
    AnyOf,
    Condition,
    Field,
    Filter,
    FilterNotExpressible,
    FilterNotUnderstood,
    Op,
)

_PARAMETERS = {
    Field.CLUSTER: "filterClusters",
    Field.NODE: "filterNodes",
    Field.NAMESPACE: "filterNamespaces",
    Field.CONTROLLER_KIND: "filterControllerKinds",
    Field.CONTROLLER_NAME: "filterControllers",
    Field.POD: "filterPods",
    Field.CONTAINER: "filterContainers",
    Field.ANNOTATION: "filterAnnotations",
    Field.LABEL: "filterLabels",
    Field.SERVICES: "filterServices",
    Field.DEPARTMENT: "filterDepartments",
    Field.ENVIRONMENT: "filterEnvironments",
    Field.OWNER: "filterOwners",
    Field.PRODUCT: "filterProducts",
    Field.TEAM: "filterTeams",
}


def to_v1(condition: Filter) -> tuple[tuple[str, str], ...]:
    """The v1 parameters and their values, not yet URL-encoded; empty when every row passes.

    A source matches `filterClusters` with a cluster's display name as well as with its id; v2 with the id alone.
    Shape:  each parameter at most once.
    Raises: FilterNotExpressible, for negations, for "contains" and "ends with", for OR across parameters, for AND
            inside one, and for values that v1 would split or take for a prefix.
    """
    said: dict[str, str] = {}
    for clause in _clauses(condition):
        parameter, items = _parameter(clause)
        if parameter in said:
            raise FilterNotExpressible("v1", f"two demands on {parameter}, which are joined by OR")
        said[parameter] = ",".join(items)
    return tuple(said.items())


def parse_note_filters(namespaces: str | None = None, labels: str | None = None) -> Filter:
    """The filter said by `namespaces` ("production,staging") and `labels` ("app=backend,env=prod", or with `:`).

    As in the sources' v1 parameters, items of one list are joined by OR and the two lists by AND, a trailing `*` means
    "starts with", and empty items count for nothing. Without items every row passes.
    Raises: FilterNotUnderstood, for a label without `=` or `:`, or without a key.
    """
    exact = tuple(item for item in _items(namespaces) if not item.endswith("*"))
    prefixes = tuple(item[:-1] for item in _items(namespaces) if item.endswith("*"))
    wanted: list[Filter] = [Condition(Field.NAMESPACE, Op.EQUALS, exact)] if exact else []
    wanted += [Condition(Field.NAMESPACE, Op.PREFIX, prefixes)] if prefixes else []
    lists: list[list[Filter]] = [wanted, [_label(item) for item in _items(labels)]]
    parts = [choices[0] if len(choices) == 1 else AnyOf(tuple(choices)) for choices in lists if choices]
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _items(text: str | None) -> list[str]:
    return [item.strip() for item in (text or "").split(",") if item.strip()]


def _label(item: str) -> Condition:
    # Neither a label's key nor its value may hold = or : in Kubernetes, so the first of either ends the key.
    position = min((at for at in (item.find("="), item.find(":")) if at >= 0), default=-1)
    key, value = item[:position].strip(), item[position + 1 :].strip()
    if position < 0 or not key:
        raise FilterNotUnderstood(f"the label {item!r} should be written key=value")
    op = Op.PREFIX if value.endswith("*") else Op.EQUALS
    return Condition(Field.LABEL, op, (value.removesuffix("*") if op is Op.PREFIX else value,), key)


def _clauses(condition: Filter) -> list[Filter]:
    """The parts joined by AND, whatever the nesting."""
    if isinstance(condition, AllOf):
        return [clause for part in condition.parts for clause in _clauses(part)]
    if isinstance(condition, AnyOf) and len(condition.parts) == 1:
        return _clauses(condition.parts[0])
    return [condition]


def _parameter(clause: Filter) -> tuple[str, list[str]]:
    """One parameter and its items, which are joined by OR."""
    said = list(_choices(clause))
    names = {parameter for parameter, _ in said}
    if len(names) != 1:
        raise FilterNotExpressible("v1", f"a choice between {' and '.join(sorted(names)) or 'nothing'}")
    return names.pop(), [item for _, item in said]


def _choices(clause: Filter) -> list[tuple[str, str]]:
    if isinstance(clause, AnyOf):
        return [choice for part in clause.parts for choice in _choices(part)]
    if isinstance(clause, AllOf):
        clauses = _clauses(clause)
        return _choices(clauses[0]) if len(clauses) == 1 else [_kind_and_name(clauses)]
    if clause.field not in _PARAMETERS or (clause.field in (Field.LABEL, Field.ANNOTATION) and clause.key is None):
        raise FilterNotExpressible("v1", f"there is no parameter for {clause.field.value} alone")
    key = "" if clause.key is None else f"{clause.key}:"
    return [(_PARAMETERS[clause.field], key + _value(clause, value)) for value in clause.values]


def _kind_and_name(clauses: list[Filter]) -> tuple[str, str]:
    """The one AND that fits inside a parameter: `filterControllers=kind:name`."""
    by_field = {part.field: part for part in clauses if isinstance(part, Condition) and len(part.values) == 1}
    kind, name = by_field.get(Field.CONTROLLER_KIND), by_field.get(Field.CONTROLLER_NAME)
    if kind is None or name is None or len(clauses) != 2 or kind.op is not Op.EQUALS:
        raise FilterNotExpressible("v1", "AND inside of OR, other than one controller kind with one controller name")
    if ":" in kind.values[0]:
        raise FilterNotExpressible("v1", f"the value {kind.values[0]!r} holds a colon")
    return _PARAMETERS[Field.CONTROLLER_NAME], f"{_value(kind, kind.values[0])}:{_value(name, name.values[0])}"


def _value(condition: Condition, value: str) -> str:
    if condition.op not in (Op.EQUALS, Op.PREFIX) and not (
        condition.op is Op.CONTAINS and condition.field is Field.SERVICES
    ):
        raise FilterNotExpressible("v1", f"the operator {condition.op.value} of {condition.field.value}")
    if "," in value or "*" in value or value != value.strip():
        raise FilterNotExpressible("v1", f"the value {value!r} holds a comma, a * or outer spaces")
    if ":" in value and condition.field in (Field.LABEL, Field.ANNOTATION, Field.CONTROLLER_NAME):
        raise FilterNotExpressible("v1", f"the value {value!r} holds a colon")
    if condition.op is Op.PREFIX:
        if value in ("", UNALLOCATED):
            raise FilterNotExpressible("v1", "a prefix of nothing")
        return f"{value}*"
    # An empty item would be skipped, and with it the demand.
    return value or UNALLOCATED
