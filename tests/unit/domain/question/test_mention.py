"""Names of a question that its answer has no row for."""

from datetime import UTC, datetime

import pytest

from kubetally.domain.allocation import Kind
from kubetally.domain.component import NO_CLASSES, Costs
from kubetally.domain.efficiency import NO_HOURS, RatedHours
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.filter import Field
from kubetally.domain.question.group import parse_group
from kubetally.domain.question.mention import (
    Mention,
    excluded_names,
    keys_without_value,
    mentions_of,
    unseen_namespaces,
    without_row,
)
from kubetally.domain.question.v2 import parse_v2
from kubetally.domain.report import REST, CostRow
from kubetally.domain.window import DAY, Window

START = datetime(2026, 11, 20, tzinfo=UTC)


def row(*key: str | None, kind: Kind | str = Kind.WORKLOAD) -> CostRow:
    return CostRow(Costs(1), NO_CLASSES, NO_HOURS, RatedHours(), kind=kind, key=key)  # type: ignore[arg-type]


def question(group: str, text: str = "") -> CostQuestion:
    return CostQuestion(Window(START, START + DAY), parse_group(group), filter=parse_v2(text))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('namespace:"a","b"|(node:"c"+namespace:"d")', ["a", "b", "c", "d"]),
        ('namespace!:"a"+namespace<~:"b"+pod~:"c"', []),
        ('label[app.io/name]:"web"+label:"tier"+label~:"zone"', ["app_io_name:web", "tier", "zone"]),
        ('services~:"web"', ["web"]),
        ('namespace:"__unallocated__",""+kind:"idle"+component:"cpu"', []),
        ('currency:"eur"', ["EUR"]),
    ],
)
def test_names_of_a_filter_are_those_that_rows_must_have(text: str, names: list[str]) -> None:
    assert [mention.name for mention in mentions_of(parse_v2(text))] == names


def test_all_names_are_missing_without_rows() -> None:
    asked = question("", 'namespace:"a"+label[team]:"b"+cluster:"c"')
    assert without_row(asked, []) == [Mention(Field.NAMESPACE, "a"), Mention(Field.LABEL, "b", "team")]


def test_name_is_missing_in_rows_that_would_show_it() -> None:
    text = 'namespace:"a","b"|label[team]:"c"|label[tier]:"d"|pod:"e"'
    rows = [row("a", None), row(None, None, kind=Kind.IDLE)]
    missing = [Mention(Field.NAMESPACE, "b"), Mention(Field.LABEL, "c", "team")]
    assert without_row(question("namespace,label:team", text), rows) == missing
    assert without_row(question("namespace,label:team", text), [*rows, row(None, None, kind=REST)]) == []
    assert without_row(question("node", text), [row("n")]) == []


def test_key_is_missing_if_no_workload_has_a_value() -> None:
    asked = question("namespace,label:temm")
    assert keys_without_value(asked, [row("a", None), row("b", None)]) == [Mention(Field.LABEL, None, "temm")]
    assert keys_without_value(asked, [row("a", None), row("b", "x")]) == []
    assert keys_without_value(asked, [row(None, None, kind=Kind.IDLE)]) == []
    assert keys_without_value(question("namespace"), [row(None)]) == []


def test_excluded_names_are_those_of_negations() -> None:
    text = 'namespace!:"a","b"+label[team]!:"c"+namespace!~:"d"+namespace:"e"+label!:"f"'
    assert [mention.name for mention in excluded_names(parse_v2(text))] == ["a", "b", "team:c", "f"]


@pytest.mark.parametrize(
    ("group", "text", "unseen"),
    [
        ("pod", 'namespace:"a"+pod:"x"', []),
        ("pod", 'namespace:"a","b"', ["a", "b"]),
        ("pod", 'namespace:"a"|pod:"x"', ["a"]),
        ("pod", 'namespace!:"a"+label[team]!:"b"', ["a"]),
        ("namespace", 'namespace:"a","b"', []),
        ("namespace", 'namespace!:"a"', ["a"]),
    ],
)
def test_unseen_namespaces_are_those_that_rows_do_not_show(group: str, text: str, unseen: list[str]) -> None:
    assert [mention.name for mention in unseen_namespaces(question(group, text), [row("x")])] == unseen


def test_rest_hides_namespaces() -> None:
    asked = question("namespace", 'namespace:"a","b"')
    assert len(unseen_namespaces(asked, [row("a"), row(None, kind=REST)])) == 2
    assert unseen_namespaces(asked, []) == []
