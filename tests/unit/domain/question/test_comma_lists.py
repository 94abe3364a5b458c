"""Filters as comma lists of namespaces and labels."""

import pytest

from kubetally.domain.errors import RequestError
from kubetally.domain.question.comma_lists import parse_list_filters
from kubetally.domain.question.filter import (
    AllOf,
)
from kubetally.domain.question.matching import matches
from kubetally.domain.question.v2 import parse_v2
from tests.filters import Row


def test_lists_are_joined_by_and_their_items_by_or() -> None:
    asked = parse_list_filters(namespaces="production,staging", labels="app=backend,env=prod")
    assert asked == parse_v2('namespace:"production","staging"+(label[app]:"backend"|label[env]:"prod")')


def test_labels_may_have_a_colon() -> None:
    assert parse_list_filters(labels="app:backend, env=prod") == parse_list_filters(labels="app=backend,env:prod")


def test_a_star_at_the_end_means_starts_with() -> None:
    asked = parse_list_filters(namespaces=" kube-*, shop ,,", labels="app=web*")
    assert asked == parse_v2('(namespace:"shop"|namespace<~:"kube-")+label[app]<~:"web"')


@pytest.mark.parametrize("nothing", [None, "", " , "])
def test_empty_lists_keep_every_row(nothing: str | None) -> None:
    assert parse_list_filters(namespaces=nothing, labels=nothing) == AllOf(())


def test_a_label_with_an_empty_value_asks_for_rows_without_it() -> None:
    asked = parse_list_filters(labels="app=")
    assert matches(asked, Row())
    assert not matches(asked, Row(labels={"app": "web"}))


@pytest.mark.parametrize("labels", ["backend", "=backend", "app=a,:b"])
def test_a_label_without_key_or_separator_is_refused_not_ignored(labels: str) -> None:
    with pytest.raises(RequestError, match="key=value") as refused:
        parse_list_filters(labels=labels)
    assert refused.value.code == "filter_not_understood"
