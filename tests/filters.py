"""Random filters and rows that meet."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import strategies as st

from kubetally.domain.question.filter import LEDGER_FIELDS, UNALLOCATED, AllOf, AnyOf, Condition, Field, Filter, Op


@dataclass(frozen=True)
class Row:
    cluster: str | None = None
    node: str | None = None
    namespace: str | None = None
    controller_kind: str | None = None
    controller: str | None = None
    pod: str | None = None
    container: str | None = None
    provider_id: str | None = None
    services: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


# Few and short words, so that random filters and random rows meet.
words = st.sampled_from(["a", "ab", "ba", "b", "a b", "a+b", "a|(b)", "[a]:b~", "x,y", "p*", "deployment:a"])
values = st.one_of(words, st.sampled_from(["", UNALLOCATED]))
keys = st.sampled_from(["app", "env", "team", "app_kubernetes_io_name"])
texts = st.none() | words
maps = st.dictionaries(keys, st.one_of(words, st.just("")), max_size=3)
rows = st.builds(
    Row,
    cluster=texts,
    node=texts,
    namespace=texts,
    controller_kind=texts,
    controller=texts,
    pod=texts,
    container=texts,
    provider_id=texts,
    services=st.lists(words, max_size=3).map(tuple),
    labels=maps,
    annotations=maps,
)
mapped = (Field.LABEL, Field.ANNOTATION)
source_fields = tuple(field for field in Field if field not in LEDGER_FIELDS)


def conditions(ops: tuple[Op, ...], fields: tuple[Field, ...] = source_fields) -> st.SearchStrategy[Condition]:
    some = st.lists(values, min_size=1, max_size=3).map(tuple)
    return st.sampled_from(fields).flatmap(
        lambda field: st.builds(
            Condition,
            st.just(field),
            st.sampled_from(ops),
            some,
            st.none() | keys if field in mapped else st.none(),
        )
    )


def filters(leaves: st.SearchStrategy[Condition]) -> st.SearchStrategy[Filter]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda parts: AllOf(tuple(parts))),
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: AnyOf(tuple(parts))),
        ),
        max_leaves=8,
    )


any_filter = filters(conditions(tuple(Op)))
