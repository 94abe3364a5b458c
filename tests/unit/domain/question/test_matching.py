"""Which rows a filter keeps."""

from hypothesis import given

from kubetally.domain.question.filter import Field, Filter, negated
from kubetally.domain.question.matching import matches
from kubetally.domain.question.v2 import parse_v2
from tests.filters import Row, any_filter, rows


def test_positive_operators_want_any_value_and_negated_ones_none() -> None:
    row = Row(namespace="shop", labels={"app": "web"})
    assert matches(parse_v2('namespace:"x","shop"'), row)
    assert not matches(parse_v2('namespace!:"x","shop"'), row)
    assert matches(parse_v2('label[app]<~:"w"+label[app]~>:"eb"+label[app]~:"e"'), row)


def test_unallocated_and_negations_match_rows_without_the_key() -> None:
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


def test_alias_is_its_label_or_else_its_annotation() -> None:
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
