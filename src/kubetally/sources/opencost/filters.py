"""Writes filters as parameters of a source: v2 (`filter=`), and v1 (`filterNamespaces=a,b`) for old OpenCosts.

v1 joins the items of a parameter with OR and the parameters with AND (reference: sources.md 1.3). Its parser splits at
commas, trims spaces, takes a trailing `*` for a prefix, and silently ignores an item with a colon too many. A filter
that it would misread is refused here.
"""

from kubetally.domain.errors import RequestError
from kubetally.domain.question.filter import LEDGER_FIELDS, UNALLOCATED, AllOf, AnyOf, Condition, Field, Filter, Op

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


class FilterNotExpressible(RequestError):
    """The filter is valid, but this version of the parameters can't express it."""

    code = "filter_not_expressible"

    def __init__(self, problem: str, *, version: str = "v1") -> None:
        super().__init__(f"a {version} filter can't express {problem}")


def to_v2(condition: Filter) -> str:
    """The value of the `filter` parameter, not yet URL-encoded (`+` must be); empty if every row passes.

    Raises: RequestError, for a value that the grammar can't express; FilterNotExpressible, for a filter that no row
            passes.
    """
    return _v2_text(condition)[0]


def _v2_text(condition: Filter) -> tuple[str, str | None]:
    """The text and its outermost operator; None for a comparison, which binds tighter than any."""
    if isinstance(condition, Condition):
        return _comparison(condition), None
    operator = "+" if isinstance(condition, AllOf) else "|"
    parts = [_v2_text(part) for part in condition.parts]
    if isinstance(condition, AllOf):
        parts = [part for part in parts if part[0]]
    elif not parts:
        raise FilterNotExpressible("an empty choice, which no row passes", version="v2")
    elif any(not text for text, _ in parts):
        # A choice with "every row" passes every row.
        return "", None
    if len(parts) <= 1:
        return parts[0] if parts else ("", None)
    return operator.join(text if outer in (None, operator) else f"({text})" for text, outer in parts), operator


def _comparison(condition: Condition) -> str:
    if condition.field in LEDGER_FIELDS:
        raise FilterNotExpressible(f"{condition.field.value}, which only the ledger has", version="v2")
    for value in condition.values:
        if '"' in value or not value.isascii() or not all(map(str.isprintable, value)):
            raise RequestError(
                f"the filter value {value!r} can't be sent: only printable ASCII without double quotes can",
                code="filter_value_not_supported",
            )
    key = "" if condition.key is None else f"[{condition.key}]"
    values = ",".join(f'"{value}"' for value in condition.values)
    return f"{condition.field.value}{key}{condition.op.value}{values}"


def to_v1(condition: Filter) -> tuple[tuple[str, str], ...]:
    """The v1 parameters and their values, not yet URL-encoded; empty if every row passes.

    A source matches `filterClusters` with a cluster's display name as well as with its id; v2 with the id alone.
    Shape:  each parameter at most once.
    Raises: FilterNotExpressible, for negations, for "contains" and "ends with", for OR across parameters, for AND
            inside one, and for values that v1 would split or take for a prefix.
    """
    parameters: dict[str, str] = {}
    for clause in _clauses(condition):
        parameter, items = _parameter(clause)
        if parameter in parameters:
            raise FilterNotExpressible(f"two conditions in {parameter}, which would be joined by OR")
        parameters[parameter] = ",".join(items)
    return tuple(parameters.items())


def _clauses(condition: Filter) -> list[Filter]:
    """The parts joined by AND, whatever the nesting."""
    if isinstance(condition, AllOf):
        return [clause for part in condition.parts for clause in _clauses(part)]
    if isinstance(condition, AnyOf) and len(condition.parts) == 1:
        return _clauses(condition.parts[0])
    return [condition]


def _parameter(clause: Filter) -> tuple[str, list[str]]:
    """One parameter and its items, which are joined by OR."""
    choices = list(_choices(clause))
    names = {parameter for parameter, _ in choices}
    if len(names) != 1:
        raise FilterNotExpressible(f"a choice between {' and '.join(sorted(names)) or 'nothing'}")
    return names.pop(), [item for _, item in choices]


def _choices(clause: Filter) -> list[tuple[str, str]]:
    if isinstance(clause, AnyOf):
        return [choice for part in clause.parts for choice in _choices(part)]
    if isinstance(clause, AllOf):
        clauses = _clauses(clause)
        return _choices(clauses[0]) if len(clauses) == 1 else [_kind_and_name(clauses)]
    if clause.field not in _PARAMETERS or (clause.field in (Field.LABEL, Field.ANNOTATION) and clause.key is None):
        raise FilterNotExpressible(f"{clause.field.value} alone, which has no parameter")
    key = "" if clause.key is None else f"{clause.key}:"
    return [(_PARAMETERS[clause.field], key + _value(clause, value)) for value in clause.values]


def _kind_and_name(clauses: list[Filter]) -> tuple[str, str]:
    """The one AND that fits inside a parameter: `filterControllers=kind:name`."""
    by_field = {part.field: part for part in clauses if isinstance(part, Condition) and len(part.values) == 1}
    kind, name = by_field.get(Field.CONTROLLER_KIND), by_field.get(Field.CONTROLLER_NAME)
    if kind is None or name is None or len(clauses) != 2 or kind.op is not Op.EQUALS:
        raise FilterNotExpressible("AND inside OR, except one controller kind with one controller name")
    if ":" in kind.values[0]:
        raise FilterNotExpressible(f"the value {kind.values[0]!r} with a colon")
    return _PARAMETERS[Field.CONTROLLER_NAME], f"{_value(kind, kind.values[0])}:{_value(name, name.values[0])}"


def _value(condition: Condition, value: str) -> str:
    if condition.op not in (Op.EQUALS, Op.PREFIX) and not (
        condition.op is Op.CONTAINS and condition.field is Field.SERVICES
    ):
        raise FilterNotExpressible(f"the operator {condition.op.value} of {condition.field.value}")
    if "," in value or "*" in value or value != value.strip():
        raise FilterNotExpressible(f"the value {value!r} with a comma, a * or outer spaces")
    if ":" in value and condition.field in (Field.LABEL, Field.ANNOTATION, Field.CONTROLLER_NAME):
        raise FilterNotExpressible(f"the value {value!r} with a colon")
    if condition.op is Op.PREFIX:
        if value in ("", UNALLOCATED):
            raise FilterNotExpressible("a prefix of nothing")
        return f"{value}*"
    # An empty item would be skipped, and its condition with it.
    return value or UNALLOCATED
