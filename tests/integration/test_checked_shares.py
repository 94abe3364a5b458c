"""Daily maintenance reads a share of the stored days, so that a damaged file is found without being asked for."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from kubetally.ledger.collect.committer import Committer
from kubetally.ledger.collect.damage import check_share, is_in_share
from kubetally.ledger.ports.leases import COMMITTER
from kubetally.ledger.writing.writer import LakeWriter
from kubetally.store.lake.delta import DeltaLake
from kubetally.store.meta.metadata import Metadata, open_meta
from kubetally.wiring.clock import SystemClock
from tests.cluster_days import DAY, cluster_day
from tests.integration.collected_days import KEYS
from tests.integration.test_maintain_check import damage
from tests.integration.upstream import home, upstream

__all__ = ["home", "upstream"]


def days_after(number: int) -> datetime:
    return datetime.combine(DAY + timedelta(number), time(12), UTC)


@pytest.fixture
def meta(tmp_path: Path) -> Iterator[Metadata]:
    with open_meta(f"sqlite:///{tmp_path}/kubetally.db", KEYS, clock=SystemClock()) as opened:
        yield opened


@pytest.fixture
def lake(tmp_path: Path, meta: Metadata) -> DeltaLake:
    """A day of two accounts, and the day after it."""
    lake = DeltaLake(str(tmp_path / "lake"))
    committer = Committer(LakeWriter(lake, meta.coverage, meta.leases, SystemClock()))
    committer.commit(lake.pack([cluster_day("a"), cluster_day("b"), cluster_day("a", day=DAY + timedelta(1))]))
    return lake


def test_days_are_read_while_their_source_has_them_then_monthly() -> None:
    ages = [age for age in range(-1, 100) if is_in_share(DAY, today=days_after(age).date())]
    assert ages == [1, 7, 13, 30, 60, 90]


def test_damaged_day_of_the_share_is_noted_once(meta: Metadata, lake: DeltaLake, tmp_path: Path) -> None:
    (file,) = (tmp_path / "lake" / "allocations" / f"day={DAY}").glob("*.parquet")
    whole = file.read_bytes()
    damage(file)
    assert check_share(meta.coverage, lake, days_after(8)).count == 1
    assert not any(day.is_damaged for day in meta.coverage.days(DAY, end=DAY + timedelta(1)))
    for at in (days_after(7), days_after(7), days_after(30)):
        found = check_share(meta.coverage, lake, at)
        assert (found.count, len(found.damaged)) == (2, 2)
    days = meta.coverage.days(DAY, end=DAY + timedelta(1))
    assert [(day.is_damaged, day.attempts) for day in days] == [(True, 1), (True, 1)]
    file.write_bytes(whole)
    check_share(meta.coverage, lake, days_after(60))
    assert not any(day.is_damaged for day in meta.coverage.days(DAY, end=DAY + timedelta(1)))


def test_checking_holds_no_lease_and_can_be_stopped(meta: Metadata, lake: DeltaLake) -> None:
    free = []

    def should_continue() -> bool:
        lease = meta.leases.acquire(COMMITTER)
        free.append(lease is not None)
        if lease is not None:
            lease.release()
        return False

    assert check_share(meta.coverage, lake, days_after(7), should_continue).count == 0
    assert free == [True]


def test_day_that_is_replaced_meanwhile_is_not_damaged(meta: Metadata, lake: DeltaLake, tmp_path: Path) -> None:
    (file,) = (tmp_path / "lake" / "allocations" / f"day={DAY}").glob("*.parquet")
    damage(file)
    committer = Committer(LakeWriter(lake, meta.coverage, meta.leases, SystemClock()))

    class Replacing(DeltaLake):
        """The day is written anew once it was read."""

        def rows(self, collections):  # type: ignore[no-untyped-def]
            try:
                return super().rows(collections)
            finally:
                days = [cluster_day(account, 1) for account in "ab"]
                committer.commit(lake.pack(days), force=True, replace_damaged=True)

    found = check_share(meta.coverage, Replacing(str(tmp_path / "lake")), days_after(7))
    assert not found.damaged
    assert not any(day.is_damaged for day in meta.coverage.days(DAY, end=DAY + timedelta(1)))
