"""Shared namespaces and labels are read from comma lists, and what can't be shared is refused."""

import pytest

from kubetally.domain.errors import RequestError
from kubetally.domain.question.cost_question import NOTHING_SHARED, Sharing, Split
from kubetally.domain.question.shared import MAX_SHARED, parse_shared_labels, parse_shared_namespaces, sharing_of


def test_namespaces_are_read_each_once() -> None:
    assert parse_shared_namespaces("kube-system, monitoring,kube-system") == ("kube-system", "monitoring")
    assert parse_shared_namespaces(" ") == ()


def test_keys_of_labels_are_those_of_the_source() -> None:
    assert parse_shared_labels("app.kubernetes.io/part-of:core,tier:a:b") == (
        ("app_kubernetes_io_part_of", "core"),
        ("tier", "a:b"),
    )


@pytest.mark.parametrize("text", ["kube-*", "a,,b", '"a"', "-a", "Shop", "a b"])
def test_what_is_no_plain_name_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="plain name"):
        parse_shared_namespaces(text)


@pytest.mark.parametrize("text", ["team", ":web", "team:web,", "a:1,,b:2"])
def test_label_without_key_or_colon_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="key:value"):
        parse_shared_labels(text)


def test_sharing_is_weighted_unless_said() -> None:
    assert sharing_of(("a",)) == Sharing(("a",), split=Split.WEIGHTED)
    assert sharing_of(labels=(("k", "v"),), split=Split.EVEN).split is Split.EVEN
    assert sharing_of() == NOTHING_SHARED


def test_split_of_nothing_is_refused() -> None:
    with pytest.raises(RequestError, match="nothing is shared"):
        sharing_of(split=Split.EVEN)


def test_too_many_are_refused() -> None:
    several = [f"a{at}" for at in range(MAX_SHARED)]
    assert len(parse_shared_namespaces(",".join([*several, "a1"]))) == MAX_SHARED
    with pytest.raises(RequestError, match="50 at most"):
        parse_shared_namespaces(",".join([*several, "b"]))
    with pytest.raises(RequestError, match="50 at most"):
        parse_shared_labels(",".join(f"{key}:b" for key in [*several, "b"]))
