"""The port `AccountDays` on every database, and the migration that made it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from kubetally.domain.account import Account, AccountType, StoredDays
from kubetally.domain.collection import Collection
from kubetally.domain.errors import RequestError
from kubetally.domain.money import CurrencyOrigin
from kubetally.ledger.ports.account_days import CurrencyConflict, Relabelled
from kubetally.ledger.ports.accounts import AccountNotFound
from kubetally.store.meta.metadata import Metadata
from kubetally.store.meta.schema import downgrade, upgrade
from tests.integration.collected_days import DAY, Opener, collection, opener_of
from tests.integration.databases import Database

NEXT = DAY + timedelta(days=1)
SOURCE, STATED, ASSUMED = CurrencyOrigin
A, B = "a" * 36, "b" * 36


@pytest.fixture
def opens(database: Database) -> Iterator[Opener]:
    yield from opener_of(database.url)


@pytest.fixture
def meta(opens: Opener) -> Metadata:
    found = opens()
    organization = found.accounts.organization()
    found.accounts.add(Account(A, organization.id, "prod", AccountType.KUBERNETES_CNR))
    found.accounts.add(Account(B, organization.id, "other", AccountType.KUBERNETES_CNR))
    return found


def put(meta: Metadata, version: int, name: str, origin: CurrencyOrigin | None, **more: object) -> None:
    given = collection(name, **{"account_id": A, **more})  # type: ignore[arg-type]
    product = "Kubecost" if name.startswith("kubecost") else "OpenCost"
    given = replace(
        given,
        head=replace(given.head, currency_origin=origin),
        source=replace(given.source, product=product),
        collected_at=given.collected_at + timedelta(seconds=version),
    )
    meta.coverage.intend([given])
    meta.coverage.confirm([given.id], version)


def held(meta: Metadata, account_id: str = A) -> dict[str, tuple[str, CurrencyOrigin | None]]:
    found: list[Collection] = meta.coverage.collections(account_id, DAY, end=NEXT + timedelta(days=1))
    return {item.id: (item.head.currency, item.head.currency_origin) for item in found}


def test_relabels_assumed_currency_of_stored_and_replaced_days(meta: Metadata, opens: Opener) -> None:
    put(meta, 1, "old", ASSUMED)
    before = opens.clock.forward(1)
    opens.clock.forward(1)
    put(meta, 2, "new", ASSUMED)
    put(meta, 3, "next", STATED, day=NEXT)
    put(meta, 4, "of-another", ASSUMED, account_id=B)
    assert meta.days.unreconciled() == []
    assert meta.days.relabel(A, stated="EUR", currency="EUR", origin=STATED) == Relabelled((DAY, NEXT), ("USD",))
    assert held(meta) == {"new": ("EUR", STATED), "next": ("EUR", STATED)}
    (then,) = meta.coverage.collections(A, DAY, end=NEXT, as_of=before)
    assert (then.id, then.head.currency) == ("old", "EUR")
    assert held(meta, B) == {"of-another": ("USD", ASSUMED)}
    assert {(day.currency, day.currency_origin) for day in meta.coverage.days(DAY, end=NEXT, account_ids=[A])} == {
        ("EUR", STATED)
    }
    assert meta.accounts.find(A).currency == "EUR"
    assert meta.days.unreconciled() == [A]
    assert meta.days.currencies(A) == dict.fromkeys(("old", "new", "next"), "EUR")
    meta.days.reconciled(A)
    assert meta.days.relabel(A, stated=None, currency="EUR", origin=ASSUMED) == Relabelled((), ())
    assert held(meta)["new"] == ("EUR", ASSUMED)
    assert meta.accounts.find(A).currency is None
    assert meta.days.unreconciled() == []


def test_day_read_before_a_correction_gets_the_new_currency(meta: Metadata) -> None:
    meta.days.relabel(A, stated="EUR", currency="EUR", origin=STATED)
    put(meta, 1, "late", ASSUMED)
    put(meta, 2, "told", SOURCE, day=NEXT)
    assert held(meta) == {"late": ("EUR", STATED), "told": ("USD", SOURCE)}
    assert [day.currency for day in meta.coverage.days(DAY, end=NEXT, account_ids=[A])] == ["EUR"]
    assert meta.days.unreconciled() == [A]


def test_day_that_states_another_currency_changes_nothing(meta: Metadata) -> None:
    put(meta, 1, "assumed", ASSUMED)
    put(meta, 2, "told", SOURCE, day=NEXT)
    with pytest.raises(CurrencyConflict, match=r"'prod' can't become EUR: 1 stored day is in USD") as caught:
        meta.days.relabel(A, stated="EUR", currency="EUR", origin=STATED)
    assert caught.value.days == (NEXT,)
    assert held(meta) == {"assumed": ("USD", ASSUMED), "told": ("USD", SOURCE)}
    assert meta.accounts.find(A).currency is None
    assert meta.days.unreconciled() == []
    with pytest.raises(AccountNotFound):
        meta.days.relabel("c", stated="EUR", currency="EUR", origin=STATED)


def test_only_opencost_days_of_earlier_versions_are_relabelled(meta: Metadata) -> None:
    put(meta, 1, "opencost", None)
    assert meta.days.relabel(A, stated="EUR", currency="EUR", origin=STATED).days == (DAY,)
    put(meta, 2, "kubecost", None, day=NEXT)
    with pytest.raises(CurrencyConflict):
        meta.days.relabel(A, stated="GBP", currency="GBP", origin=STATED)


def test_migration_finds_who_stated_earlier_currencies(meta: Metadata, opens: Opener, database: Database) -> None:
    meta.accounts.update(replace(meta.accounts.find(B), currency="USD"))
    put(meta, 1, "opencost", None)
    put(meta, 2, "kubecost", None, day=NEXT)
    put(meta, 3, "stated", None, account_id=B)
    assert downgrade(database.url, revision="0003") == "0003"
    for _ in range(2):
        upgrade(database.url)
        assert held(meta) == {"opencost": ("USD", ASSUMED), "kubecost": ("USD", SOURCE)}
        assert held(meta, B) == {"stated": ("USD", STATED)}
        assert [day.currency_origin for day in meta.coverage.days(DAY, end=NEXT + timedelta(1), account_ids=[A])] == [
            ASSUMED,
            SOURCE,
        ]
        database.execute("UPDATE kubetally_version SET version_num = '0003'")


def test_the_days_of_a_removed_account_are_deleted_and_no_others(meta: Metadata) -> None:
    put(meta, 1, "first", ASSUMED)
    put(meta, 2, "second", ASSUMED)
    put(meta, 3, "of-another", ASSUMED, account_id=B)
    meta.coverage.note_history(A, DAY, meta.coverage.collections(A, DAY, end=NEXT)[0].collected_at)
    assert meta.coverage.stored_days([A]) == StoredDays(1, DAY, DAY)
    with pytest.raises(RequestError, match="accounts remove prod"):
        meta.days.purge(A)
    assert meta.coverage.stored_days([A]).count == 1
    meta.accounts.remove(A)
    assert meta.days.purge(A) == 1
    assert meta.coverage.stored_days([A]) == StoredDays(0, None, None)
    assert (held(meta), meta.coverage.days(DAY, end=NEXT, account_ids=[A]), meta.coverage.history_begins(A)) == (
        {},
        [],
        None,
    )
    assert (meta.days.unreconciled(), meta.days.currencies(A)) == ([A], {})
    assert list(held(meta, B)) == ["of-another"]
    assert meta.days.purge(A) == 0
