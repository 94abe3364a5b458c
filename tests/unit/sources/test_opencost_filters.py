"""Filters as parameters of a source, in both versions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.errors import RequestError
from kubetally.domain.question.comma_lists import parse_list_filters
from kubetally.domain.question.filter import (
    LEDGER_FIELDS,
    UNALLOCATED,
    AllOf,
    AnyOf,
    Condition,
    Field,
    Filter,
    Op,
)
from kubetally.domain.question.matching import DEFAULT_ALIAS_KEYS, matches
from kubetally.domain.question.v2 import parse_v2
from kubetally.sources.opencost.filters import FilterNotExpressible, to_v1, to_v2
from tests.filters import Row, any_filter, conditions, filters, rows, source_fields


def test_several_values_are_quoted_and_listed() -> None:
    assert to_v2(Condition(Field.NAMESPACE, Op.EQUALS, ("a", "b,c"))) == 'namespace:"a","b,c"'


def test_keys_are_written_as_the_source_keeps_them() -> None:
    asked = Condition(Field.LABEL, Op.NOT_PREFIX, ("web",), key="app.kubernetes.io/name")
    assert asked.key == "app_kubernetes_io_name"
    assert to_v2(asked) == 'label[app_kubernetes_io_name]!<~:"web"'


def test_parentheses_stand_where_and_meets_or_only() -> None:
    a, b, c = (Condition(Field.POD, Op.EQUALS, (name,)) for name in "abc")
    assert to_v2(AllOf((a, AllOf((b, c))))) == 'pod:"a"+pod:"b"+pod:"c"'
    assert to_v2(AllOf((a, AnyOf((b, c))))) == 'pod:"a"+(pod:"b"|pod:"c")'
    assert to_v2(AnyOf((AllOf((a, b)), c))) == '(pod:"a"+pod:"b")|pod:"c"'
    assert to_v2(AllOf((AnyOf((a,)), AllOf(())))) == 'pod:"a"'


def test_filter_for_all_rows_is_empty_and_none_is_refused() -> None:
    a = Condition(Field.POD, Op.EQUALS, ("a",))
    assert to_v2(AllOf(())) == ""
    assert to_v2(AnyOf((a, AllOf(())))) == ""
    with pytest.raises(FilterNotExpressible):
        to_v2(AllOf((a, AnyOf(()))))


@pytest.mark.parametrize("value", ['say "hi"', '"', "caf\u00e9", "line\nbreak", "tab\t", "\x00", "\x7f"])
def test_value_that_the_grammar_can_not_write_is_refused(value: str) -> None:
    with pytest.raises(RequestError) as refused:
        to_v2(Condition(Field.ANNOTATION, Op.EQUALS, ("fine", value), key="note"))
    assert refused.value.code == "filter_value_not_supported"
    assert repr(value) in str(refused.value)


@pytest.mark.parametrize("op", list(Op))
def test_every_operator_is_read_as_it_is_written(op: Op) -> None:
    asked = Condition(Field.PROVIDER, op, ("v",))
    assert parse_v2(to_v2(asked)) == asked


@given(any_filter, rows)
def test_v2_filter_is_parsed_back_with_the_same_meaning(asked: Filter, row: Row) -> None:
    assert matches(parse_v2(to_v2(asked)), row) == matches(asked, row)


def read_v1(parameters: tuple[tuple[str, str], ...], row: Row) -> bool:
    """Whether a row passes the parameters in a source's v1 parser (opencost, queryfilters.go before 1eaf7319)."""
    plain = {
        "filterClusters": row.cluster,
        "filterNodes": row.node,
        "filterNamespaces": row.namespace,
        "filterControllerKinds": row.controller_kind,
        "filterPods": row.pod,
        "filterContainers": row.container,
    }
    aliases = {f"filter{field.value.title()}s": key for field, key in DEFAULT_ALIAS_KEYS.items()}

    def text(held: str | None, wanted: str) -> bool:
        wanted = wanted.strip()
        if wanted.endswith("*"):
            return (held or "").startswith(wanted.removesuffix("*"))
        return (held or "") == ("" if wanted == UNALLOCATED else wanted)

    def item(parameter: str, wanted: str) -> bool:
        head, colon, tail = wanted.partition(":")
        if parameter in ("filterLabels", "filterAnnotations"):
            held = row.labels if parameter == "filterLabels" else row.annotations
            return ":" not in tail and text(held.get(head), tail)
        if parameter == "filterControllers":
            if colon:
                return ":" not in tail and text(row.controller_kind, head) and text(row.controller, tail)
            return text(row.controller, wanted)
        if parameter == "filterServices":
            return any(text(service, wanted) for service in row.services or ([] if wanted.endswith("*") else [""]))
        if parameter in aliases:
            key = aliases[parameter]
            return text(row.labels.get(key, row.annotations.get(key)), wanted)
        return text(plain[parameter], wanted)

    return all(any(item(parameter, value) for value in said.split(",") if value) for parameter, said in parameters)


sayable = filters(conditions((Op.EQUALS, Op.PREFIX)))
one_parameter_each = st.lists(
    conditions((Op.EQUALS, Op.PREFIX), tuple(field for field in source_fields if field is not Field.PROVIDER)),
    max_size=3,
    unique_by=lambda condition: condition.field,
).map(lambda parts: AllOf(tuple(parts)))


@given(sayable | one_parameter_each, rows)
def test_v1_and_v2_agree_where_v1_can_express_it(asked: Filter, row: Row) -> None:
    try:
        parameters = to_v1(asked)
    except FilterNotExpressible:
        return
    assert len({name for name, _ in parameters}) == len(parameters)
    assert read_v1(parameters, row) == matches(parse_v2(to_v2(asked)), row)


@pytest.mark.parametrize(
    ("v2", "v1"),
    [
        ('namespace:"a","b"', (("filterNamespaces", "a,b"),)),
        ('namespace:"a"|namespace<~:"kube-"', (("filterNamespaces", "a,kube-*"),)),
        (
            'namespace:"a"+(label[app]:"x"|label[env]:"y")',
            (("filterNamespaces", "a"), ("filterLabels", "app:x,env:y")),
        ),
        ('label[app.kubernetes.io/name]:"x"', (("filterLabels", "app_kubernetes_io_name:x"),)),
        (
            '(controllerKind:"deployment"+controllerName:"web")|controllerName<~:"db"',
            (("filterControllers", "deployment:web,db*"),),
        ),
        (
            'controllerKind:"job"+controllerName:"a","b"',
            (("filterControllerKinds", "job"), ("filterControllers", "a,b")),
        ),
        ('services~:"web"+team:""', (("filterServices", "web"), ("filterTeams", UNALLOCATED))),
        ("", ()),
    ],
)
def test_v1_joins_values_with_or_and_parameters_with_and(v2: str, v1: tuple[tuple[str, str], ...]) -> None:
    assert to_v1(parse_v2(v2)) == v1


@pytest.mark.parametrize(
    "v2",
    [
        'namespace!:"a"',
        'namespace~:"a"',
        'namespace~>:"a"',
        'namespace:"a"|pod:"a"',
        'label[app]:"a"+label[env]:"b"',
        'namespace:"a"+namespace<~:"a"',
        'annotation[note]:"a,b"',
        'annotation[url]:"http://x"',
        'namespace:"a*"',
        'namespace:" a"',
        'namespace<~:""',
        'namespace<~:"__unallocated__"',
        'controllerName:"a:b"',
        '(controllerKind:"a:b"+controllerName:"c")|controllerName:"d"',
        '(namespace:"a"+pod:"b")|pod:"c"',
        '(controllerKind<~:"a"+controllerName:"b")|controllerName:"c"',
        'label:"app"',
        'provider:"i-1"',
    ],
)
def test_filter_that_v1_can_not_express_is_refused(v2: str) -> None:
    with pytest.raises(FilterNotExpressible):
        to_v1(parse_v2(v2))


def test_empty_choice_is_refused_in_v1() -> None:
    with pytest.raises(FilterNotExpressible):
        to_v1(AnyOf(()))


def test_list_filters_are_sent_as_v2_and_v1() -> None:
    asked = parse_list_filters(namespaces="production,staging", labels="app=backend,env=prod")
    assert to_v2(asked) == 'namespace:"production","staging"+(label[app]:"backend"|label[env]:"prod")'
    assert to_v1(asked) == (("filterNamespaces", "production,staging"), ("filterLabels", "app:backend,env:prod"))


@pytest.mark.parametrize("field", sorted(LEDGER_FIELDS))
def test_fields_of_the_ledger_are_not_sent_to_a_source(field: Field) -> None:
    asked = Condition(field, Op.EQUALS, ("x",), key="team" if field is Field.NAMESPACE_LABEL else None)
    for write in (to_v1, to_v2):
        with pytest.raises(FilterNotExpressible, match=field.value):
            write(asked)
