"""What an answer is grouped by."""

import pytest

from kubetally.domain.question.group import MAX_DIMENSIONS, Dimension, parse_group
from tests.errors import raises_code


def test_dimensions_keep_their_order_and_text() -> None:
    assert parse_group(" cluster, label:app.kubernetes.io/name,controllerKind ") == (
        Dimension("cluster", None, "cluster"),
        Dimension("label", "app_kubernetes_io_name", "label:app.kubernetes.io/name"),
        Dimension("controller_kind", None, "controllerKind"),
    )


def test_empty_group_has_no_dimension() -> None:
    assert parse_group("  ") == ()


def test_namespace_labels_are_read_in_both_spellings() -> None:
    ours, theirs = parse_group("namespace_label:team"), parse_group("namespaceLabel:team")
    assert ours[0][:2] == theirs[0][:2] == ("namespace_label", "team")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("colour", "unknown dimension 'colour'"),
        ("namespaces", "'namespaces' [(]did you mean namespace[?][)]: use a comma list"),
        ("team", "'team' [(]did you mean label:team[?][)]: use a comma list"),
        ("label", "without a key"),
        ("label: ", "without a key"),
        ("pod:x", "pod takes no key"),
        ("pod,,node", "unknown dimension ''"),
        ("label:a.b,label:a/b", "'label:a/b' twice"),
        (",".join(f"label:k{number}" for number in range(MAX_DIMENSIONS + 1)), "at most 8"),
    ],
)
def test_bad_group_is_an_error_that_names_the_dimension(text: str, says: str) -> None:
    with raises_code("unknown_dimension", match=says):
        parse_group(text)


def test_lines_carry_cluster_organization_kind_and_component() -> None:
    carried = [dimension.name for dimension in parse_group("cluster,organization,kind,component,pod,label:team")]
    flags = [dimension.is_carried_by_lines for dimension in parse_group(",".join(carried[:5]))]
    assert flags == [True, True, True, True, False]
