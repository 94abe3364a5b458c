"""Filters as text in the v2 grammar."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.errors import RequestError
from kubetally.domain.question.filter import (
    AllOf,
    AnyOf,
    Condition,
    Field,
    Op,
)
from kubetally.domain.question.v2 import parse_v2


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
    with pytest.raises(RequestError) as refused:
        Condition(*broken)
    assert refused.value.code == "filter_not_understood"


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
        ('kind:"idle","foo"', 12, "no value 'foo'"),
        ('component!:"memory"', 11, "did you mean ram?"),
        ('pod:"a"' + ',"a"' * 500, 2004, "more than 500 values"),
        ("(" * 5000 + 'pod:"a"' + ")" * 5000, 51, "more than 50"),
    ],
)
def test_a_broken_filter_is_an_error_with_its_position(text: str, position: int, says: str) -> None:
    with pytest.raises(RequestError, match=f"position {position} ") as refused:
        parse_v2(text)
    assert refused.value.code == "filter_not_understood"
    assert says in str(refused.value)


@given(st.text(alphabet='namespod:~<>!+|(),"[] ', max_size=30))
def test_any_text_is_read_or_refused_with_a_position(text: str) -> None:
    position = 0
    try:
        parse_v2(text)
    except RequestError as error:
        match = re.search(r"at position (\d+) ", str(error))
        assert match is not None
        position = int(match[1])
    assert position <= len(text)


def test_fields_of_the_ledger_and_spellings_of_groups_are_read() -> None:
    assert parse_v2('kind:"idle"') == Condition(Field.KIND, Op.EQUALS, ("idle",))
    assert parse_v2('controller_kind:"job"') == parse_v2('controllerKind:"job"')
    assert parse_v2('controller:"web"') == parse_v2('controllerName:"web"')
    assert parse_v2('namespace_label[team]:"a"') == Condition(Field.NAMESPACE_LABEL, Op.EQUALS, ("a",), "team")


def test_conditions_know_their_position() -> None:
    tree = parse_v2('namespace:"a" + (pod:"b" | node:"c")')
    assert isinstance(tree, AllOf)
    first, choice = tree.parts
    assert isinstance(first, Condition)
    assert isinstance(choice, AnyOf)
    assert [first.position, *(part.position for part in choice.parts if isinstance(part, Condition))] == [0, 17, 27]
