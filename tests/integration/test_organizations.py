"""The port `Organizations` on every database, and accounts of several organizations beside each other."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from kubetally.domain.account import Account, AccountType, Organization
from kubetally.domain.errors import KubetallyError
from kubetally.ledger.accounts.organizations import add_organization, remove_organization, rename_organization
from kubetally.ledger.ports.organizations import OrganizationNotFound
from kubetally.store.meta.metadata import Metadata
from tests.errors import raises_code
from tests.integration.collected_days import SetClock, opener_of
from tests.integration.databases import KINDS, Server, new_database

Opens = Callable[[], Metadata]


@pytest.fixture(params=KINDS)
def opens(request: pytest.FixtureRequest, server_of: Callable[[str], Server], tmp_path: Path) -> Iterator[Opens]:
    """Opens a new database of each kind in turn."""
    database = new_database(request.param, server_of, tmp_path)
    yield from opener_of(database.url)


@pytest.fixture
def stores(opens: Opens) -> Metadata:
    return opens()


def add(stores: Metadata, name: str, currency: str = "USD") -> Organization:
    return add_organization(stores.organizations, SetClock(), name, currency=currency)


def account(organization: Organization, name: str = "prod") -> Account:
    return Account(
        str(uuid.uuid4()), organization.id, name, AccountType.KUBERNETES_CNR, default_currency=organization.currency
    )


def test_organization_is_found_by_id_and_by_name(stores: Metadata) -> None:
    default, shop = stores.organizations.find(), add(stores, "shop", "eur")
    assert shop.currency == "EUR"
    assert stores.organizations.find(shop.id) == stores.organizations.find("shop") == shop
    assert stores.accounts.organization("shop") == shop
    assert stores.organizations.all() == [default, shop]
    with pytest.raises(OrganizationNotFound, match=r"no organization 'shpo' \(did you mean 'shop'\?\)"):
        stores.organizations.find("shpo")


def test_names_are_unique_among_organizations_that_are_not_removed(stores: Metadata) -> None:
    first, other = add(stores, "shop"), add(stores, "bank")
    with raises_code("organization_exists", match="'shop' already exists"):
        add(stores, "shop")
    with raises_code("organization_exists", match="'shop' already exists"):
        rename_organization(stores.organizations, "bank", name="shop")
    for _ in range(2):  # within the same second
        remove_organization(stores.organizations, "shop")
        again = add(stores, "shop")
    assert again.id != first.id
    assert rename_organization(stores.organizations, other.id, name=" bank 2 ").name == "bank 2"


@pytest.mark.parametrize("name", ["", " ", "a\tb", "-x", "http://shop", "7c0f6a5e-21cb-4c5d-8f0b-5a6a3f5d2b11"])
def test_unusable_name_is_refused(stores: Metadata, name: str) -> None:
    with raises_code("unusable_name", match="an organization can't be called"):
        add(stores, name)
    with raises_code("invalid_currency", match="not a code of three letters"):
        add(stores, "shop", "dollars")


def test_organization_with_accounts_and_the_default_one_stay(stores: Metadata) -> None:
    shop = add(stores, "shop")
    added = stores.accounts.add(account(shop))
    with raises_code("organization_not_empty", match=r"has 1 account \(prod\): remove it first"):
        remove_organization(stores.organizations, "shop")
    stores.accounts.remove(added.id)
    remove_organization(stores.organizations, "shop")
    with pytest.raises(OrganizationNotFound):
        stores.accounts.add(account(shop))
    for change in (remove_organization, partial(rename_organization, name="other")):
        with raises_code("default_organization", match="'default' always exists"):
            change(stores.organizations, "default")


def test_accounts_of_two_organizations_may_have_one_name(stores: Metadata) -> None:
    shop, bank = add(stores, "shop", "EUR"), add(stores, "bank", "CHF")
    one, two = stores.accounts.add(account(shop)), stores.accounts.add(account(bank))
    assert [stores.accounts.find(added.id).default_currency for added in (one, two)] == ["EUR", "CHF"]
    assert [place.organization_id for place in stores.accounts.places()] == sorted(
        (added.organization_id for added in (one, two)),
        key=lambda organization_id: one.id if organization_id == one.organization_id else two.id,
    )
    with raises_code("ambiguous_account", match="give one of their ids"):
        stores.accounts.find("prod")
    changed = stores.accounts.change(two.id, lambda stored: replace(stored, tenant="t"))
    assert (changed.organization_id, changed.default_currency) == (bank.id, "CHF")


def test_no_account_comes_into_an_organization_that_is_being_removed(opens: Opens) -> None:
    """Either the account is refused, or the removal."""
    first, second = opens(), opens()
    for number in range(5):
        shop = add(first, f"shop-{number}")
        with ThreadPoolExecutor(2) as threads:
            tasks = [
                threads.submit(first.accounts.add, account(shop)),
                threads.submit(second.organizations.remove, shop.id),
            ]
        errors = [task.exception() for task in tasks]
        assert sorted(error is None for error in errors) == [False, True]
        assert all(error is None or isinstance(error, KubetallyError) for error in errors)
