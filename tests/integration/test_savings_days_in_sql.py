"""The port `SavingsDays` on every database."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from kubetally.domain.account import Account, AccountType
from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.savings import SavingsDay, SavingsState
from kubetally.store.meta.metadata import Metadata
from tests.integration.collected_days import opener_of
from tests.integration.databases import Database

DAY = date(2026, 11, 20)
NEXT = DAY + timedelta(days=1)
NOON = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
A, B = "a" * 36, "b" * 36
STORED = SavingsDay(
    A, DAY, SavingsState.COLLECTED, NOON, None, None, "c" * 36, "EUR", CurrencyOrigin.STATED, 3, 10**20 + 1
)
FAILED = SavingsDay(B, DAY, SavingsState.FAILED, NOON, "source_timeout", "it did not answer in time")


@pytest.fixture
def meta(database: Database) -> Iterator[Metadata]:
    for opens in opener_of(database.url):
        opened = opens()
        organization = opened.accounts.organization()
        for id_, name in ((A, "prod"), (B, "other")):
            opened.accounts.add(Account(id_, organization.id, name, AccountType.KUBERNETES_CNR))
        yield opened


def test_days_come_back_as_they_were_noted(meta: Metadata) -> None:
    assert (meta.savings.of_day(DAY), meta.savings.stored()) == ({}, [])
    meta.savings.note([STORED, FAILED])
    assert meta.savings.of_day(DAY) == {A: STORED, B: FAILED}
    assert meta.savings.of_day(NEXT) == {}


def test_only_days_in_the_lake_are_stored_in_order(meta: Metadata) -> None:
    days = [
        replace(STORED, account_id=account_id, day=day, collection_id=f"{account_id[0]}-{day}")
        for day in (DAY, NEXT)
        for account_id in (A, B)
    ]
    meta.savings.note([*reversed(days), replace(FAILED, day=NEXT + timedelta(days=1))])
    assert meta.savings.stored() == days


def test_later_note_replaces_that_of_its_account_and_day(meta: Metadata) -> None:
    meta.savings.note([STORED, FAILED])
    lost = SavingsDay(A, DAY, SavingsState.LOST, NOON, "day_damaged", "its file is damaged")
    meta.savings.note([lost])
    assert meta.savings.of_day(DAY) == {A: lost, B: FAILED}
    assert meta.savings.stored() == []


def test_long_message_is_cut(meta: Metadata) -> None:
    meta.savings.note([replace(FAILED, why="x" * 5000)])
    assert meta.savings.of_day(DAY)[B].why == "x" * 2000
