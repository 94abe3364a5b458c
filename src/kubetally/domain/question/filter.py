"""A filter on rows, independent of its text (reference: sources.md 1.3)."""

from dataclasses import dataclass
from dataclasses import field as dataclass_field
from enum import StrEnum

from kubetally.domain.errors import RequestError
from kubetally.domain.question.dimensions import sanitize_key

UNALLOCATED = "__unallocated__"
"""The sources' spelling of "has no value", as a filter's value."""


def not_understood(problem: str) -> RequestError:
    """The error for a filter that breaks the grammar."""
    return RequestError(problem, code="filter_not_understood")


class Field(StrEnum):
    """What a row can be filtered by, in the spelling of the v2 grammar."""

    CLUSTER = "cluster"
    NODE = "node"
    NAMESPACE = "namespace"
    CONTROLLER_NAME = "controllerName"
    CONTROLLER_KIND = "controllerKind"
    CONTAINER = "container"
    POD = "pod"
    PROVIDER = "provider"
    SERVICES = "services"
    LABEL = "label"
    ANNOTATION = "annotation"
    DEPARTMENT = "department"
    ENVIRONMENT = "environment"
    OWNER = "owner"
    PRODUCT = "product"
    TEAM = "team"
    # Of the ledger; no source knows them.
    ORGANIZATION = "organization"
    KIND = "kind"
    COMPONENT = "component"
    CURRENCY = "currency"
    NAMESPACE_LABEL = "namespaceLabel"


MAP_FIELDS = frozenset({Field.LABEL, Field.ANNOTATION, Field.NAMESPACE_LABEL})
LEDGER_FIELDS = frozenset({Field.ORGANIZATION, Field.KIND, Field.COMPONENT, Field.CURRENCY, Field.NAMESPACE_LABEL})
"""Fields that only the ledger has."""


class Op(StrEnum):
    """How a field is compared, in the spelling of the v2 grammar."""

    EQUALS = ":"
    CONTAINS = "~:"
    PREFIX = "<~:"
    SUFFIX = "~>:"
    NOT_EQUALS = "!:"
    NOT_CONTAINS = "!~:"
    NOT_PREFIX = "!<~:"
    NOT_SUFFIX = "!~>:"

    @property
    def negates(self) -> bool:
        """Whether it keeps what its `opposite` drops."""
        return self.value.startswith("!")

    @property
    def opposite(self) -> "Op":
        """The operator that keeps exactly the other rows."""
        return Op(self.value.removeprefix("!") if self.negates else f"!{self.value}")


@dataclass(frozen=True, slots=True)
class Condition:
    """One field compared with some values: any of them for a positive `op`, none of them for a negated one.

    A label or annotation without `key` compares the keys themselves ("has the key"). Keys are kept as the sources
    keep them. On `services`, which are several, EQUALS and CONTAINS both ask for a service of exactly that name.
    `position` is where it stands in the text that it was read from, from 0; None if it was not read from one.
    Raises: RequestError, without values, with an empty key, or with a key of another field.
    """

    field: Field
    op: Op
    values: tuple[str, ...]
    key: str | None = None
    position: int | None = dataclass_field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.values:
            raise not_understood(f"the filter compares {self.field.value} with no value")
        if self.key is None:
            return
        if self.field not in MAP_FIELDS or not self.key:
            raise not_understood(
                f"the filter has {self.field.value}[{self.key}]: only labels and annotations take a key, not empty"
            )
        object.__setattr__(self, "key", sanitize_key(self.key))


@dataclass(frozen=True, slots=True)
class AllOf:
    """Rows that pass every part; without parts, every row."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Rows that pass at least one part; without parts, no row."""

    parts: tuple["Filter", ...]


Filter = Condition | AllOf | AnyOf


def negated(condition: Filter) -> Filter:
    """The filter that keeps exactly the rows `condition` drops."""
    match condition:
        case AllOf(parts):
            return AnyOf(tuple(map(negated, parts)))
        case AnyOf(parts):
            return AllOf(tuple(map(negated, parts)))
        case Condition(field, op, values, key, position):
            return Condition(field, op.opposite, values, key, position)
