"""The port `Lake`: one suite for all that implement it, in memory, on disk and in an object store."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from kubetally.domain.collection import CollectedDay, Collection
from kubetally.domain.damage import CollectionGone
from kubetally.ledger.ports.lake import Lake
from kubetally.store.lake.delta import DeltaLake
from tests.cluster_days import DAY, cluster_day
from tests.integration.object_stores import ObjectStore
from tests.kept import LakeInMemory

NEXT_DAY = DAY + timedelta(days=1)


@pytest.fixture(params=["memory", "disk", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    if request.param == "memory":
        return LakeInMemory()  # type: ignore[return-value]
    if request.param == "disk":
        return DeltaLake(str(tmp_path / "lake"))
    store: ObjectStore = request.getfixturevalue("object_store")
    return DeltaLake(f"{store.bucket()}/some/lake", storage_options=store.options)


def put(lake: Lake, *days: CollectedDay) -> list[Collection]:
    """The stored collections, as coverage returns them."""
    version = lake.put(days)
    return [replace(day.collection, version=version) for day in days]


def test_rows_and_assets_come_back_as_they_were_written(lake: Lake) -> None:
    days = [cluster_day("a"), cluster_day("b")]
    stored = put(lake, *days)
    assert lake.rows(stored) == {day.collection.id: tuple(day.rows) for day in days}
    assert lake.assets(stored) == {day.collection.id: tuple(day.assets) for day in days}


def test_replaced_day_is_read_as_it_was(lake: Lake) -> None:
    old, new = cluster_day("a"), cluster_day("a", 1)
    [before], [after] = put(lake, old), put(lake, new)
    past = replace(before, last_version=(after.version or 0) - 1)
    assert lake.rows([past, after]) == {past.id: tuple(old.rows), after.id: tuple(new.rows)}
    assert lake.assets([past]) == {past.id: tuple(old.assets)}


def test_collection_that_was_never_committed_is_gone(lake: Lake) -> None:
    put(lake, cluster_day("a"))
    never = cluster_day("b").collection
    assert lake.versions_of([never]) == {}
    with pytest.raises(CollectionGone, match=never.id):
        lake.rows([replace(never, version=1)])


def test_lost_lease_leaves_the_stored_day(lake: Lake) -> None:
    def lost() -> None:
        raise PermissionError

    day, new = cluster_day("a"), cluster_day("a", 1)
    stored = put(lake, day)
    with pytest.raises(PermissionError):
        lake.replace(lake.pack([new]), check_lease=lost)
    assert lake.versions_of([new.collection]) == {}
    assert lake.rows(stored) == {day.collection.id: tuple(day.rows)}


def test_newest_version_is_that_of_days_that_are_over(lake: Lake) -> None:
    assert lake.newest_version() is None
    put(lake, cluster_day("a", is_running=True))
    assert lake.newest_version() is None
    for generation in (1, 2):
        [stored] = put(lake, cluster_day("a", generation))
        assert lake.newest_version() == stored.version


def test_commits_are_found_by_collection_and_version(lake: Lake) -> None:
    [first] = put(lake, cluster_day("a"))
    second = put(lake, cluster_day("b", day=NEXT_DAY), cluster_day("c", day=NEXT_DAY))
    assert lake.versions_of([first, *second]) == {collection.id: collection.version for collection in (first, *second)}
    assert lake.named_since(first.version or 0) == {collection.id for collection in second}
    assert lake.recorded([first.id, "never"]) == {first.id: first}


def test_stored_ids_are_those_of_the_newest_version(lake: Lake) -> None:
    put(lake, cluster_day("a"), cluster_day("b"))
    [again] = put(lake, cluster_day("a", 1))
    [running] = put(lake, cluster_day("c", day=NEXT_DAY, is_running=True))
    stored = lake.stored_ids(is_running=False)
    assert stored.of("a", DAY) == {again.id}
    assert set(stored.by_day) == {DAY}
    assert lake.stored_ids(is_running=True).of("c", NEXT_DAY) == {running.id}
