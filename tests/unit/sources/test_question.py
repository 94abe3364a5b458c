"""What may be asked of an OpenCost or Kubecost: groups, and filters in every spelling."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.errors import RequestError
from kubetally.sources.question import (
    DEFAULT_ALIAS_KEYS,
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
    UnknownAggregate,
    aggregate_parameter,
    matches,
    negated,
    parse_aggregates,
    parse_note_filters,
    parse_v2,
    to_v1,
    to_v2,
)


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


def conditions(ops: tuple[Op, ...], fields: tuple[Field, ...] = tuple(Field)) -> st.SearchStrategy[Condition]:
    some = st.lists(values, min_size=1, max_size=3).map(tuple)
    return st.sampled_from(fields).flatmap(
        lambda one: st.builds(
            Condition,
            st.just(one),
            st.sampled_from(ops),
            some,
            st.none() | keys if one in mapped else st.none(),
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


# Aggregates


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("namespace", "namespace"),
        ("pod", "pod"),
        ("controller", "controller"),
        ("service", "service"),
        ("label:app", "label:app"),
        ("Cluster, NAMESPACE,controllerkind", "cluster,namespace,controllerKind"),
        ("Label:app.kubernetes.io/name", "label:app_kubernetes_io_name"),
        ("annotation:example.com/Cost-Center", "annotation:example_com_Cost_Center"),
        ("deployment,statefulset,daemonset,job", "deployment,statefulset,daemonset,job"),
        ("department,environment,owner,product,team", "department,environment,owner,product,team"),
        ("node,container,node", "node,container"),
        ("ALL", "all"),
    ],
)
def test_a_known_aggregate_is_sent_in_the_sources_spelling(asked: str, sent: str) -> None:
    assert aggregate_parameter(parse_aggregates(asked)) == sent


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ("namespace,nodepool", "nodepool"),
        ("", ""),
        ("namespace,", ""),
        ("label", "label"),
        ("label:", "label:"),
        ("annotation", "annotation"),
        ("providerID", "providerID"),
        ("namespace:app", "namespace:app"),
        ("all,namespace", "all"),
    ],
)
def test_an_aggregate_that_a_source_would_drop_in_silence_is_refused_by_name(asked: str, named: str) -> None:
    with pytest.raises(UnknownAggregate) as refused:
        parse_aggregates(asked)
    assert refused.value.name == named
    assert "controllerKind" in str(refused.value)
    assert "label:KEY" in str(refused.value)
    assert isinstance(refused.value, RequestError)


# Writing v2


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


def test_every_row_is_the_empty_filter_and_no_row_can_not_be_said() -> None:
    a = Condition(Field.POD, Op.EQUALS, ("a",))
    assert to_v2(AllOf(())) == ""
    assert to_v2(AnyOf((a, AllOf(())))) == ""
    with pytest.raises(FilterNotExpressible):
        to_v2(AllOf((a, AnyOf(()))))


@pytest.mark.parametrize("value", ['say "hi"', '"', "caf\u00e9", "line\nbreak", "tab\t", "\x00", "\x7f"])
def test_a_value_the_grammar_has_no_way_to_write_is_refused(value: str) -> None:
    with pytest.raises(FilterValueNotSupported) as refused:
        to_v2(Condition(Field.ANNOTATION, Op.EQUALS, ("fine", value), key="note"))
    assert refused.value.value == value


@pytest.mark.parametrize(
    "broken",
    [
        (Field.LABEL, Op.EQUALS, (), "app"),
        (Field.LABEL, Op.EQUALS, ("a",), ""),
        (Field.NAMESPACE, Op.EQUALS, ("a",), "app"),
    ],
)
def test_a_condition_the_grammar_has_no_place_for_is_not_made(
    broken: tuple[Field, Op, tuple[str, ...], str],
) -> None:
    with pytest.raises(FilterNotUnderstood):
        Condition(*broken)


# Reading v2


def test_the_documented_examples_of_v2_are_read() -> None:
    assert parse_v2('label[app]:"cost-analyzer"') == Condition(Field.LABEL, Op.EQUALS, ("cost-analyzer",), "app")
    assert parse_v2('node!:"node1","node2"') == Condition(Field.NODE, Op.NOT_EQUALS, ("node1", "node2"))
    assert parse_v2('cluster:"cluster-one"+namespace!:"kube-system"') == AllOf(
        (
            Condition(Field.CLUSTER, Op.EQUALS, ("cluster-one",)),
            Condition(Field.NAMESPACE, Op.NOT_EQUALS, ("kube-system",)),
        )
    )


def test_spaces_and_letter_case_of_fields_do_not_matter() -> None:
    assert parse_v2(' ControllerKind : "job" , "x" ') == Condition(Field.CONTROLLER_KIND, Op.EQUALS, ("job", "x"))
    assert parse_v2("  ") == AllOf(())


@pytest.mark.parametrize("op", list(Op))
def test_every_operator_is_read_as_it_is_written(op: Op) -> None:
    asked = Condition(Field.PROVIDER, op, ("v",))
    assert parse_v2(to_v2(asked)) == asked


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("namespace:kubecost", 10, "double quotes"),
        ('namespace:"a', 10, "not closed"),
        ('label[app:"a"', 5, "not closed"),
        ('label[]:"a"', 5, "empty"),
        ('namespace[x]:"a"', 9, "no keys"),
        ('nodepool:"a"', 0, "controllerKind"),
        ('namespace "a"', 10, "operator"),
        ('namespace="a"', 9, "operators"),
        ('namespace:"a" pod:"b"', 14, "end expected"),
        ('namespace:"a"+', 14, "field"),
        ('namespace:"a",', 14, "value"),
        ('namespace:"a"+pod:"b"|pod:"c"', 21, "parentheses"),
        ('(namespace:"a"', 14, "closing"),
        ('namespace:"a")', 13, "end expected"),
        ("()", 1, "field"),
        ("(" * 5000 + 'pod:"a"' + ")" * 5000, 51, "more than 50"),
    ],
)
def test_a_broken_filter_is_an_error_with_its_position(text: str, position: int, says: str) -> None:
    with pytest.raises(FilterNotUnderstood) as refused:
        parse_v2(text)
    assert refused.value.position == position
    assert f"position {position}" in str(refused.value)
    assert says in str(refused.value)


@given(any_filter, rows)
def test_what_is_written_in_v2_is_read_back_with_the_same_meaning(asked: Filter, row: Row) -> None:
    assert matches(parse_v2(to_v2(asked)), row) == matches(asked, row)


@given(st.text(alphabet='namespod:~<>!+|(),"[] ', max_size=30))
def test_any_text_is_read_or_refused_with_a_position(text: str) -> None:
    position: int | None = 0
    try:
        parse_v2(text)
    except FilterNotUnderstood as error:
        position = error.position
    assert position is not None
    assert 0 <= position <= len(text)


# Meaning


def test_positive_operators_want_any_value_and_negated_ones_none() -> None:
    row = Row(namespace="shop", labels={"app": "web"})
    assert matches(parse_v2('namespace:"x","shop"'), row)
    assert not matches(parse_v2('namespace!:"x","shop"'), row)
    assert matches(parse_v2('label[app]<~:"w"+label[app]~>:"eb"+label[app]~:"e"'), row)


def test_unallocated_matches_what_a_row_lacks_and_a_negation_keeps_it() -> None:
    bare, labelled = Row(), Row(labels={"app": "web"}, services=("front",))
    for text in ('label[app]:"__unallocated__"', 'services:"__unallocated__"', 'team:"__unallocated__"'):
        assert matches(parse_v2(text), bare)
    assert not matches(parse_v2('label[app]:"__unallocated__"'), labelled)
    assert not matches(parse_v2('services:"__unallocated__"'), labelled)
    assert matches(parse_v2('label[app]!:"other"'), bare)


def test_a_keyless_label_asks_for_the_key() -> None:
    row = Row(labels={"app_kubernetes_io_name": "web"})
    assert matches(parse_v2('label:"app.kubernetes.io/name"'), row)
    assert matches(parse_v2('label<~:"app."'), row)
    assert matches(parse_v2('label~>:"/name"'), row)
    assert not matches(parse_v2('label~:"app"'), row)
    assert not matches(parse_v2('annotation:"app"'), row)


def test_a_service_is_matched_whole_as_the_source_does() -> None:
    row = Row(services=("front", "back"))
    assert matches(parse_v2('services:"back"'), row)
    assert matches(parse_v2('services~:"back"'), row)
    assert not matches(parse_v2('services~:"ack"'), row)
    assert matches(parse_v2('services~>:"ack"'), row)


def test_an_alias_is_the_label_it_stands_for_and_else_the_annotation() -> None:
    asked = parse_v2('product:"web"')
    assert matches(asked, Row(labels={"app": "web"}))
    assert matches(asked, Row(annotations={"app": "web"}))
    assert not matches(asked, Row(labels={"app": "db"}, annotations={"app": "web"}))
    assert matches(asked, Row(labels={"x_product": "web"}), alias_keys={Field.PRODUCT: "x/product"})
    assert not matches(asked, Row(labels={"app": "web"}), alias_keys={})


@given(any_filter, rows)
def test_a_negation_is_the_exact_complement(asked: Filter, row: Row) -> None:
    assert matches(negated(asked), row) is not matches(asked, row)
    assert negated(negated(asked)) == asked


# v1


def read_v1(parameters: tuple[tuple[str, str], ...], row: Row) -> bool:
    """What a source's v1 reader makes of the parameters (opencost, queryfilters.go before 1eaf7319)."""
    plain = {
        "filterClusters": row.cluster,
        "filterNodes": row.node,
        "filterNamespaces": row.namespace,
        "filterControllerKinds": row.controller_kind,
        "filterPods": row.pod,
        "filterContainers": row.container,
    }
    aliases = {f"filter{one.value.title()}s": key for one, key in DEFAULT_ALIAS_KEYS.items()}

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
            return any(text(one, wanted) for one in row.services or ([] if wanted.endswith("*") else [""]))
        if parameter in aliases:
            key = aliases[parameter]
            return text(row.labels.get(key, row.annotations.get(key)), wanted)
        return text(plain[parameter], wanted)

    return all(any(item(parameter, one) for one in said.split(",") if one) for parameter, said in parameters)


sayable = filters(conditions((Op.EQUALS, Op.PREFIX)))
one_parameter_each = st.lists(
    conditions((Op.EQUALS, Op.PREFIX), tuple(one for one in Field if one is not Field.PROVIDER)),
    max_size=3,
    unique_by=lambda one: one.field,
).map(lambda parts: AllOf(tuple(parts)))


@given(sayable | one_parameter_each, rows)
def test_v1_and_v2_agree_wherever_v1_can_say_it(asked: Filter, row: Row) -> None:
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
def test_v1_says_or_inside_a_parameter_and_and_across(v2: str, v1: tuple[tuple[str, str], ...]) -> None:
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
def test_what_v1_can_not_say_is_refused_rather_than_bent(v2: str) -> None:
    with pytest.raises(FilterNotExpressible):
        to_v1(parse_v2(v2))


def test_a_choice_among_nothing_can_not_be_said_in_v1() -> None:
    with pytest.raises(FilterNotExpressible):
        to_v1(AnyOf(()))


# The note's own spelling


def test_the_notes_filters_become_valid_v2_and_v1() -> None:
    asked = parse_note_filters(namespaces="production,staging", labels="app=backend,env=prod")
    assert to_v2(asked) == 'namespace:"production","staging"+(label[app]:"backend"|label[env]:"prod")'
    assert to_v1(asked) == (("filterNamespaces", "production,staging"), ("filterLabels", "app:backend,env:prod"))


def test_the_notes_labels_may_be_written_with_a_colon() -> None:
    assert parse_note_filters(labels="app:backend, env=prod") == parse_note_filters(labels="app=backend,env:prod")


def test_a_star_at_the_end_means_starts_with() -> None:
    asked = parse_note_filters(namespaces=" kube-*, shop ,,", labels="app=web*")
    assert to_v2(asked) == '(namespace:"shop"|namespace<~:"kube-")+label[app]<~:"web"'


@pytest.mark.parametrize("nothing", [None, "", " , "])
def test_without_items_the_note_asks_for_every_row(nothing: str | None) -> None:
    assert parse_note_filters(nothing, nothing) == AllOf(())


def test_a_label_with_an_empty_value_asks_for_rows_without_it() -> None:
    asked = parse_note_filters(labels="app=")
    assert matches(asked, Row())
    assert not matches(asked, Row(labels={"app": "web"}))


@pytest.mark.parametrize("labels", ["backend", "=backend", "app=a,:b"])
def test_a_label_without_key_or_separator_is_refused_not_ignored(labels: str) -> None:
    with pytest.raises(FilterNotUnderstood, match="key=value"):
        parse_note_filters(labels=labels)
