"""Names that a question mentions: where nothing has one, it may be a typing error."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from kubetally.domain.allocation import Kind
from kubetally.domain.nearest import did_you_mean
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.filter import MAP_FIELDS, UNALLOCATED, AllOf, Condition, Field, Filter, Op
from kubetally.domain.question.partial import conditions_of
from kubetally.domain.report import REST, CostRow

OF_ACCOUNTS: Final = frozenset({Field.CLUSTER, Field.ORGANIZATION, Field.CURRENCY})
"""Fields whose names are those of accounts and their days."""
_CLOSED: Final = frozenset({Field.KIND, Field.COMPONENT})
"""Fields of a few values: another one is an error."""
_DIMENSIONS: Final = {
    Field.NAMESPACE: "namespace",
    Field.CONTROLLER_KIND: "controller_kind",
    Field.CONTROLLER_NAME: "controller",
    Field.POD: "pod",
    Field.CONTAINER: "container",
    Field.NODE: "node",
    Field.LABEL: "label",
    Field.ANNOTATION: "annotation",
    Field.NAMESPACE_LABEL: "namespace_label",
}
"""The dimensions that have all values of a field."""
_WORDS: Final = {
    Field.CLUSTER: "name",
    Field.CONTROLLER_KIND: "controller kind",
    Field.CONTROLLER_NAME: "controller",
    Field.PROVIDER: "provider id",
    Field.SERVICES: "service",
    Field.NAMESPACE_LABEL: "namespace label",
}


class Mention(NamedTuple):
    """A value that is asked for. key: of a label or an annotation; then without value, the key itself is asked for."""

    field: Field
    value: str | None
    key: str | None = None

    @property
    def name(self) -> str:
        """`shop`, `team` or `team:web`."""
        return ":".join(part for part in (self.key, self.value) if part is not None)

    @property
    def words(self) -> str:
        """`namespace 'shop'`, `label 'team:web'`."""
        return f"{_WORDS.get(self.field, self.field.value)} {self.name!r}"


MAX_MENTIONS: Final = 10
"""For which similar names are looked for at once."""
Similar = Mapping[Mention, Sequence[str]]
"""Names like those that are mentioned and do not exist; what exists is not in it."""


def with_suggestion(mention: Mention, similar: Similar) -> str:
    """`the namespace 'shpo' (did you mean shop?)`."""
    return f"the {mention.words}{did_you_mean(similar[mention])}"


def mentions_of(condition: Filter) -> Iterator[Mention]:
    """The names that a filter compares with as a whole, to keep what has them."""
    for part in conditions_of(condition):
        is_key = part.field in MAP_FIELDS and part.key is None
        contains_names = part.op is Op.CONTAINS and (is_key or part.field is Field.SERVICES)
        if part.op is Op.EQUALS or contains_names:
            yield from _mentions_in(part)


def excluded_names(condition: Filter) -> Iterator[Mention]:
    """The names that a filter compares with as a whole, to leave out what has them."""
    for part in conditions_of(condition):
        if part.op is Op.NOT_EQUALS:
            yield from _mentions_in(part)


def _mentions_in(part: Condition) -> Iterator[Mention]:
    is_key = part.field in MAP_FIELDS and part.key is None
    for value in part.values:
        if part.field not in _CLOSED and value not in ("", UNALLOCATED):
            yield Mention(part.field, None, value) if is_key else Mention(part.field, value, part.key)


def without_row(question: CostQuestion, rows: Sequence[CostRow]) -> list[Mention]:
    """The names in the filter that no row of an answer has: all without rows, else those a dimension would show."""
    mentions = [mention for mention in mentions_of(question.asked_filter) if mention.field not in OF_ACCOUNTS]
    if not rows or not mentions:
        return mentions
    if any(row.kind == REST for row in rows):
        return []
    places = {dimension[:2]: place for place, dimension in enumerate(question.group)}
    shown = dict[int, Collection[str | None]]()
    missing = []
    for mention in mentions:
        place = places.get((_DIMENSIONS.get(mention.field, ""), mention.key))
        if place is not None and mention.value is not None:
            if place not in shown:
                shown[place] = {row.key[place] for row in rows}
            if mention.value not in shown[place]:
                missing.append(mention)
    return missing


def unseen_namespaces(question: CostQuestion, rows: Sequence[CostRow]) -> list[Mention]:
    """The namespaces in the filter of which an answer does not show whether any stored row has them.

    They are those that the filter leaves out, and alternatives if rows are not grouped by namespace, or cut off.
    """
    unseen = [mention for mention in excluded_names(question.asked_filter) if mention.field is Field.NAMESPACE]
    is_shown = any(dimension.name == "namespace" for dimension in question.group)
    if rows and not (is_shown and all(row.kind != REST for row in rows)):
        required = {*_required_names(question.asked_filter)}
        named = (mention for mention in mentions_of(question.asked_filter) if mention.field is Field.NAMESPACE)
        unseen += [mention for mention in named if mention not in required]
    return list(dict.fromkeys(unseen))


def _required_names(condition: Filter) -> Iterator[Mention]:
    """The names that every row has that passes a filter."""
    match condition:
        case Condition(op=Op.EQUALS, values=[_]):
            yield from _mentions_in(condition)
        case AllOf(parts):
            for part in parts:
                yield from _required_names(part)


def keys_without_value(question: CostQuestion, rows: Sequence[CostRow]) -> list[Mention]:
    """The keys in the group for which no row of an answer has a value, if there are rows of workloads."""
    fields = {name: field for field, name in _DIMENSIONS.items()}
    return [
        Mention(fields[dimension.name], None, dimension.key)
        for place, dimension in enumerate(question.group)
        if dimension.key is not None
        and any(row.kind is Kind.WORKLOAD for row in rows)
        and all(row.key[place] is None for row in rows)
    ]
