"""What a commit carries of collections is what the database noted."""

import pytest

from kubetally.store.booking_json import CollectionNotUnderstood
from kubetally.store.collection_text import collections_from_text, collections_to_text
from tests.cluster_days import cluster_day


def test_collections_come_back_as_they_were() -> None:
    collections = [cluster_day(account).collection for account in ("a", "b")]
    assert collections_from_text(collections_to_text(collections)) == collections


@pytest.mark.parametrize("text", ["", "xx", collections_to_text([])[:-3]])
def test_cut_off_text_is_refused(text: str) -> None:
    with pytest.raises(CollectionNotUnderstood):
        collections_from_text(text)
