"""What a client may ask an OpenCost or a Kubecost: groups (`aggregate`) and filters, both spellings of each.

Everything is checked here before it is sent, because OpenCost ignores in silence what it does not know
(reference: sources.md 1.1) and would answer another question with status 200.
"""

from kubetally.sources.question.aggregate import (
    Aggregate,
    UnknownAggregate,
    aggregate_parameter,
    parse_aggregates,
    sanitize_key,
)
from kubetally.sources.question.filter import (
    UNALLOCATED,
    AllOf,
    AnyOf,
    Condition,
    Field,
    Filter,
    FilterNotExpressible,
    FilterNotUnderstood,
    FilterValueNotSupported,
    Op,
    negated,
)
from kubetally.sources.question.matching import DEFAULT_ALIAS_KEYS, Properties, matches
from kubetally.sources.question.v1 import parse_note_filters, to_v1
from kubetally.sources.question.v2 import parse_v2, to_v2

__all__ = [
    "DEFAULT_ALIAS_KEYS",
    "UNALLOCATED",
    "Aggregate",
    "AllOf",
    "AnyOf",
    "Condition",
    "Field",
    "Filter",
    "FilterNotExpressible",
    "FilterNotUnderstood",
    "FilterValueNotSupported",
    "Op",
    "Properties",
    "UnknownAggregate",
    "aggregate_parameter",
    "matches",
    "negated",
    "parse_aggregates",
    "parse_note_filters",
    "parse_v2",
    "sanitize_key",
    "to_v1",
    "to_v2",
]
