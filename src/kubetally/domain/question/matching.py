"""What a filter means for a row.

The meaning is that of OpenCost's own matcher (`core/pkg/filter/matcher`), so that a filter sent to a source and the
same filter applied here keep the same rows.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Protocol

from kubetally.domain.question.dimensions import sanitize_key
from kubetally.domain.question.filter import MAP_FIELDS, UNALLOCATED, AllOf, AnyOf, Condition, Field, Filter, Op

DEFAULT_ALIAS_KEYS: Mapping[Field, str] = MappingProxyType(
    {
        Field.DEPARTMENT: "department",
        Field.ENVIRONMENT: "env",
        Field.OWNER: "owner",
        Field.PRODUCT: "app",
        Field.TEAM: "team",
    }
)
"""The label (else annotation) each alias stands for, unless the source was configured otherwise."""


class Properties(Protocol):
    """What a row says of itself; an absent value is None or empty, label keys are as the sources keep them."""

    @property
    def cluster(self) -> str | None: ...
    @property
    def node(self) -> str | None: ...
    @property
    def namespace(self) -> str | None: ...
    @property
    def controller_kind(self) -> str | None: ...
    @property
    def controller(self) -> str | None: ...
    @property
    def pod(self) -> str | None: ...
    @property
    def container(self) -> str | None: ...
    @property
    def provider_id(self) -> str | None: ...
    @property
    def services(self) -> Collection[str]: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def annotations(self) -> Mapping[str, str]: ...


def matches(condition: Filter, properties: Properties, *, alias_keys: Mapping[Field, str] = DEFAULT_ALIAS_KEYS) -> bool:
    """Whether a row passes.

    An absent value compares as the empty string, and so does the value `__unallocated__`. A negation is the exact
    complement, so it keeps rows that lack the field. `alias_keys` says which label department, team... stand for.
    """
    match condition:
        case AllOf(parts):
            return all(matches(part, properties, alias_keys=alias_keys) for part in parts)
        case AnyOf(parts):
            return any(matches(part, properties, alias_keys=alias_keys) for part in parts)
        case Condition(_, op, values):
            positive = op.opposite if op.negates else op
            is_match = any(_compare(condition, positive, value, properties, alias_keys) for value in values)
            return is_match is not op.negates


def _compare(condition: Condition, op: Op, value: str, properties: Properties, alias_keys: Mapping[Field, str]) -> bool:
    field, key = condition.field, condition.key
    wanted = "" if value == UNALLOCATED else value
    if field is Field.SERVICES:
        # OpenCost takes a row without services for one whose service is empty, but for equality only.
        names = properties.services or ([""] if op in (Op.EQUALS, Op.CONTAINS) else [])
        return _any_name(names, op, wanted)
    if field in MAP_FIELDS and key is None:
        names = properties.labels if field is Field.LABEL else properties.annotations
        return _any_name(names, op, sanitize_key(wanted))
    return _text(_value(field, key, properties, alias_keys), op, wanted)


def compare(condition: Condition, text: str | None) -> bool:
    """Whether a row passes whose field has this text; None where it has none."""
    positive = condition.op.opposite if condition.op.negates else condition.op
    wanted = ("" if value == UNALLOCATED else value for value in condition.values)
    return any(_text(text or "", positive, value) for value in wanted) is not condition.op.negates


def _any_name(names: Collection[str], op: Op, wanted: str) -> bool:
    """To contain a name, for a list or a map, is to have exactly it."""
    exactly = Op.EQUALS if op is Op.CONTAINS else op
    return any(_text(name, exactly, wanted) for name in names)


def _text(value: str, op: Op, wanted: str) -> bool:
    match op:
        case Op.CONTAINS:
            return wanted in value
        case Op.PREFIX:
            return value.startswith(wanted)
        case Op.SUFFIX:
            return value.endswith(wanted)
        case _:
            return value == wanted


def _value(field: Field, key: str | None, row: Properties, alias_keys: Mapping[Field, str]) -> str:
    if field in alias_keys:
        alias = sanitize_key(alias_keys[field])
        return row.labels.get(alias, row.annotations.get(alias, ""))
    match field:
        case Field.LABEL:
            return row.labels.get(key or "", "")
        case Field.ANNOTATION:
            return row.annotations.get(key or "", "")
        case Field.CONTROLLER_NAME:
            plain = row.controller
        case Field.CONTROLLER_KIND:
            plain = row.controller_kind
        case Field.PROVIDER:
            plain = row.provider_id
        case Field.CLUSTER:
            plain = row.cluster
        case Field.NODE:
            plain = row.node
        case Field.NAMESPACE:
            plain = row.namespace
        case Field.POD:
            plain = row.pod
        case Field.CONTAINER:
            plain = row.container
        case _:
            # An alias the source was not given a label for: no row has it.
            plain = None
    return plain or ""
