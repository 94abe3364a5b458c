"""Repairing a lake takes nothing away that any of its files still has, or that another process wrote meanwhile."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from deltalake import DeltaTable

from kubetally.domain.allocation import Kind, LoadBalancerCost, VolumeCost
from kubetally.domain.collection import CollectedDay, window_of
from kubetally.domain.component import Costs
from kubetally.domain.damage import AssetsDamaged, DamageReport, DayDamaged, LakeCheck
from kubetally.domain.row import Row, RowDetails
from kubetally.ledger.collect.committer import Committer
from kubetally.ledger.collect.damage import check_days, read_collection
from kubetally.ledger.collect.repair import Repairer
from kubetally.ledger.ports.lake import PackedDay
from kubetally.ledger.writing.writer import LakeWriter
from kubetally.store.lake.delta import DeltaLake
from kubetally.store.meta.metadata import open_meta
from kubetally.store.meta.secrets import KeyRing
from kubetally.wiring.clock import SystemClock
from tests.cluster_days import DAY, cluster_day


def commit(committer: Committer, days: Sequence[CollectedDay], *, replace_damaged: bool = False) -> None:
    committer.commit(
        [day for day in committer.pack(days) if isinstance(day, PackedDay)], replace_damaged=replace_damaged
    )


def damage(home: Path) -> None:
    """Flip a bit of the newest file of rows."""
    folder = home / "lake" / "allocations" / f"day={DAY}"
    path = max(folder.glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 16
    path.write_bytes(content)


def test_mending_a_file_keeps_what_an_older_file_has(tmp_path: Path) -> None:
    clock = SystemClock()
    with open_meta(f"sqlite:///{tmp_path}/kubetally.db", KeyRing.open(None, tmp_path), clock=clock) as meta:
        lake = DeltaLake(str(tmp_path / "lake"))
        committer = Committer(LakeWriter(lake, meta.coverage, meta.leases, clock))
        for account in "abc":
            commit(committer, [cluster_day(account)])
        lake.reconcile("c", {})
        damage(tmp_path)
        held = meta.coverage.collections_on(DAY, ["a", "b"])
        fresh = DeltaLake(str(tmp_path / "lake"))
        before = fresh.rows(list(held.values()))
        committer = Committer(LakeWriter(fresh, meta.coverage, meta.leases, clock))
        Repairer(committer.writer).set_aside([day.pair for day in check_days(meta.coverage, fresh).damaged])
        Repairer(committer.writer).mend_files([file for file in fresh.check().damage if file.day is not None])
        stored = fresh.stored_ids(is_running=False)
        assert {account: stored.of(account, DAY) for account in "ab"} == {"a": {held["a"].id}, "b": {held["b"].id}}
        assert fresh.rows(list(held.values())) == before
        assert not fresh.check().damage


def test_file_stays_while_a_day_of_it_was_not_set_aside(tmp_path: Path) -> None:
    clock = SystemClock()
    with open_meta(f"sqlite:///{tmp_path}/kubetally.db", KeyRing.open(None, tmp_path), clock=clock) as meta:
        lake = DeltaLake(str(tmp_path / "lake"))
        committer = Committer(LakeWriter(lake, meta.coverage, meta.leases, clock))
        commit(committer, [cluster_day("a")])
        damage(tmp_path)
        found = lake.check().damage
        Repairer(committer.writer).mend_files(found)
        assert lake.check().damage == found
        (day,) = check_days(meta.coverage, lake).damaged
        assert day.noticed_at is not None


def test_day_of_lost_assets_keeps_its_rows(tmp_path: Path) -> None:
    clock = SystemClock()
    with open_meta(f"sqlite:///{tmp_path}/kubetally.db", KeyRing.open(None, tmp_path), clock=clock) as meta:
        lake = DeltaLake(str(tmp_path / "lake"))
        committer = Committer(LakeWriter(lake, meta.coverage, meta.leases, clock))
        a, b = cluster_day("a", nodes=2), cluster_day("b", nodes=2)
        commit(committer, [a])
        for file in (tmp_path / "lake" / "assets").rglob("*.parquet"):
            file.unlink()
        commit(committer, [b], replace_damaged=True)
        repairer = Repairer(committer.writer)
        for _ in range(2):
            (day,) = check_days(meta.coverage, lake).damaged
            assert isinstance(day.error, AssetsDamaged), day.error
            assert day.collection.account_id == "a"
            held = meta.coverage.collections_on(DAY)["a"]
            assert lake.rows([held]) == {held.id: a.rows}
            assert repairer.set_aside([day.pair]) == []
        assert repairer.put_back([a])
        assert check_days(meta.coverage, lake).damaged == []


def test_repair_leaves_a_day_that_was_replaced_meanwhile(tmp_path: Path) -> None:
    clock = SystemClock()
    with open_meta(f"sqlite:///{tmp_path}/kubetally.db", KeyRing.open(None, tmp_path), clock=clock) as meta:
        lake = DeltaLake(str(tmp_path / "lake"))
        repairer = Committer(LakeWriter(lake, meta.coverage, meta.leases, clock))
        other = Committer(LakeWriter(DeltaLake(str(tmp_path / "lake")), meta.coverage, meta.leases, clock))
        commit(repairer, [cluster_day("b")])
        damage(tmp_path)
        (day,) = check_days(meta.coverage, lake).damaged
        newer = cluster_day("b", 1, pods=9)
        commit(other, [newer], replace_damaged=True)
        assert Repairer(repairer.writer).set_aside([day.pair]) == []
        assert Repairer(repairer.writer).put_back([cluster_day("b")]) == []
        held = meta.coverage.collections_on(DAY)["b"]
        assert held.id == newer.collection.id
        assert lake.rows([held]) == {held.id: newer.rows}
        assert not meta.coverage.days(DAY, end=DAY.replace(day=21))[0].is_damaged


def test_repair_leaves_a_day_that_was_mended_meanwhile(tmp_path: Path) -> None:
    clock = SystemClock()
    with open_meta(f"sqlite:///{tmp_path}/kubetally.db", KeyRing.open(None, tmp_path), clock=clock) as meta:
        lake = DeltaLake(str(tmp_path / "lake"))
        repairer = Committer(LakeWriter(lake, meta.coverage, meta.leases, clock))
        other = Committer(LakeWriter(DeltaLake(str(tmp_path / "lake")), meta.coverage, meta.leases, clock))
        whole = cluster_day("b")
        commit(repairer, [whole])
        damage(tmp_path)
        (day,) = check_days(meta.coverage, lake).damaged
        with pytest.raises(DayDamaged):
            lake.rows([day.collection])
        assert Repairer(other.writer).put_back([whole])
        assert Repairer(repairer.writer).set_aside([day.pair]) == []
        assert lake.rows([day.collection]) == {day.collection.id: whole.rows}


def test_day_that_the_lake_lacks_is_listed_and_put_back(tmp_path: Path) -> None:
    clock = SystemClock()
    with open_meta(f"sqlite:///{tmp_path}/kubetally.db", KeyRing.open(None, tmp_path), clock=clock) as meta:
        lake = DeltaLake(str(tmp_path / "lake"))
        committer = Committer(LakeWriter(lake, meta.coverage, meta.leases, clock))
        account_id = "a"
        whole = cluster_day(account_id)
        commit(committer, [whole, cluster_day("b")])
        lake.reconcile(account_id, {})
        committer.writer.match()
        meta.coverage.failed(account_id, DAY, clock.now(), code="source_down", message="its source is down")
        days = check_days(meta.coverage, lake)
        assert [collection.id for collection in days.missing] == [whole.collection.id]
        assert not DamageReport(LakeCheck(), days, {}).is_well
        assert Repairer(committer.writer).put_lost_back([whole])
        assert Repairer(committer.writer).put_lost_back([whole]) == []
        days = check_days(meta.coverage, lake)
        assert (days.count, days.damaged, days.missing) == (2, [], [])
        assert lake.stored_ids(is_running=False).of(account_id, DAY) == {whole.collection.id}


def detailed_day(account: str) -> CollectedDay:
    """A day of two containers with all that a row may have, and idle cost."""
    details = RowDetails(
        "i-1",
        window_of(DAY),
        {"owner": "me"},
        {"team": "web"},
        2.5,
        1e9,
        Costs(cpu=-3),
        (VolumeCost("pvc-1", 5, 1e9, "vol-1", 1),),
        (LoadBalancerCost("shop/web", 7, 24.0, False, "10.0.0.1", 2),),
    )
    rows = [
        Row(Kind.WORKLOAD, namespace="shop", pod="web", container=name, costs=Costs(cpu=cost), details=details)
        for name, cost in (("main", 9), ("proxy", 4))
    ]
    return cluster_day(account, rows=[*rows, Row(Kind.IDLE, costs=Costs(cpu=5))])


def test_repair_keeps_all_of_a_row(tmp_path: Path) -> None:
    clock = SystemClock()
    with open_meta(f"sqlite:///{tmp_path}/kubetally.db", KeyRing.open(None, tmp_path), clock=clock) as meta:
        lake = DeltaLake(str(tmp_path / "lake"))
        committer = Committer(LakeWriter(lake, meta.coverage, meta.leases, clock))
        for account in "ab":
            commit(committer, [detailed_day(account)])

        def stored() -> dict[str, list[dict[str, object]]]:
            table = DeltaTable(tmp_path / "lake" / "allocations").to_pyarrow_table().to_pylist()
            return {id_: [row for row in table if row["account_id"] == id_] for id_ in "ab"}

        before = stored()
        assert before["a"][0]["volumes"]
        assert before["a"][0]["idle_cpu_weighted"]
        damage(tmp_path)
        held = meta.coverage.collections_on(DAY, ["a", "b"])
        fresh = DeltaLake(str(tmp_path / "lake"))
        repairer = Repairer(LakeWriter(fresh, meta.coverage, meta.leases, clock))
        readable = [day for day, error in (read_collection(fresh, held[id_]) for id_ in "ab") if day and not error]
        repairer.put_back(readable)
        repairer.mend_files([file for file in fresh.check().damage if file.day is not None])
        after = stored()
        for id_ in {day.collection.account_id for day in readable}:
            assert after[id_] == before[id_]
        assert readable
