"""The port `Lake`: one suite for all that implement it, in memory, on disk and in an object store."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from kubetally.domain.account import ListedAccount
from kubetally.domain.collection import CollectedDay, Collection
from kubetally.domain.damage import CollectionGone, DayDamaged
from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.savings import CollectedSavings, SavingsDay, SavingsRow, SavingsState, SavingsSubject
from kubetally.ledger.ports.lake import Lake
from kubetally.store.lake.delta import DeltaLake
from tests.cluster_days import DAY, cluster_day
from tests.integration.object_stores import ObjectStore
from tests.kept import LakeInMemory

NEXT_DAY = DAY + timedelta(days=1)


@pytest.fixture(params=["memory", "disk", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    if request.param == "memory":
        return LakeInMemory()
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


def test_verification_passes_stored_rows_and_raises_for_others(lake: Lake) -> None:
    stored = put(lake, cluster_day("a"), cluster_day("b"))
    lake.verify_rows(stored)
    never = replace(cluster_day("a", 1).collection, version=stored[0].version)
    with pytest.raises(CollectionGone, match=never.id):
        lake.verify_rows([*stored, never])


def test_reconciling_removes_unknown_collections_of_one_account(lake: Lake) -> None:
    put(lake, cluster_day("a"), cluster_day("b"))
    [kept] = put(lake, cluster_day("a", day=NEXT_DAY))
    lake.replace_savings([lake.pack_savings(savings("a")), lake.pack_savings(savings("b"))])
    assert lake.reconcile("a", {kept.id: "USD"}) > 0
    stored = lake.stored_ids(is_running=False)
    assert (stored.of("a", DAY), stored.of("a", NEXT_DAY)) == (frozenset(), {kept.id})
    assert stored.of("b", DAY)
    assert lake.rows([kept])[kept.id]
    assert lake.reconcile("a", {kept.id: "USD"}) == 0
    assert lake.damaged_savings([known(savings("a")), known(savings("b"))]) == []


def test_reconciling_sets_currencies_once(lake: Lake) -> None:
    day = cluster_day("a")
    [stored] = put(lake, day)
    assert lake.reconcile("a", {stored.id: "EUR"}) > 0
    assert lake.reconcile("a", {stored.id: "EUR"}) == 0
    assert lake.rows([stored]) == {stored.id: tuple(day.rows)}


def test_reconciling_without_collections_removes_savings(lake: Lake) -> None:
    lake.replace_savings([lake.pack_savings(savings("a")), lake.pack_savings(savings("b"))])
    assert lake.reconcile("a", {}) > 0
    assert [day.account_id for day, _ in lake.damaged_savings([known(savings("a")), known(savings("b"))])] == ["a"]


def test_savings_come_back_and_replace_those_of_their_account(lake: Lake) -> None:
    first, other, second = savings("a"), savings("b"), savings("a", "again", amount=7)
    lake.replace_savings([lake.pack_savings(first), lake.pack_savings(other)])
    assert lake.savings([known(first), known(other)]) == {first.id: tuple(first.rows), other.id: tuple(other.rows)}
    lake.replace_savings([lake.pack_savings(second)])
    read = lake.savings([known(first), known(other), known(second)])
    assert (read[other.id], read[second.id]) == (tuple(other.rows), tuple(second.rows))
    assert isinstance(read[first.id], DayDamaged)


def test_savings_that_differ_from_what_was_recorded_are_damaged(lake: Lake) -> None:
    whole, changed = savings("a"), savings("b")
    lake.replace_savings([lake.pack_savings(whole), lake.pack_savings(changed)])
    days = [known(whole), replace(known(changed), total=1)]
    [(damaged, error)] = lake.damaged_savings(days)
    assert (damaged, error.account_id) == (days[1], "b")
    assert [packed.id for packed in lake.packed_savings(days)] == [whole.id]


def test_lost_lease_leaves_stored_savings(lake: Lake) -> None:
    def lost() -> None:
        raise PermissionError

    first, second = savings("a"), savings("a", "again")
    lake.replace_savings([lake.pack_savings(first)])
    with pytest.raises(PermissionError):
        lake.replace_savings([lake.pack_savings(second)], check_lease=lost)
    assert lake.damaged_savings([known(first)]) == []


def test_accounts_are_written_when_they_change(lake: Lake) -> None:
    account = ListedAccount("a", "prod", "default")
    assert lake.list_accounts([account])
    assert not lake.list_accounts([account])
    assert lake.list_accounts([replace(account, name="production")])


def savings(account_id: str, name: str = "first", *, amount: int = 5) -> CollectedSavings:
    rows = [
        SavingsRow("abandoned-workloads", None, Decimal(amount), state="ok"),
        SavingsRow("abandoned-workloads", "web", Decimal(amount), SavingsSubject("shop", pod="web"), facts={"x": "1"}),
    ]
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    return CollectedSavings(f"{account_id}-{name}", account_id, DAY, at, "http://kubecost", None, None, "USD", rows)


def known(collected: CollectedSavings) -> SavingsDay:
    return collected.as_known(SavingsState.COLLECTED, CurrencyOrigin.SOURCE)
