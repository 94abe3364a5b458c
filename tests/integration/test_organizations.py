"""The ports `Organizations` and `Tokens` on every database, and accounts of several organizations."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from kubetally.domain.access import Role
from kubetally.domain.account import Account, AccountType, Credentials, Organization
from kubetally.domain.errors import KubetallyError, NotFound
from kubetally.ledger.accounts.organizations import add_organization, remove_organization, rename_organization
from kubetally.ledger.accounts.tokens import TokenDraft, add_token, principal_of, revoke_token, token_digest
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
    return add_organization(stores.organizations, SetClock(), name, by="jane", currency=currency)


def account(organization: Organization, name: str = "prod") -> Account:
    return Account(
        str(uuid.uuid4()),
        organization.id,
        name,
        AccountType.KUBERNETES_CNR,
        default_currency=organization.currency,
        organization=organization.name,
    )


def test_organization_is_found_by_id_and_by_name(stores: Metadata) -> None:
    default, shop = stores.organizations.find(), add(stores, "shop", "eur")
    assert shop.currency == "EUR"
    assert stores.organizations.find(shop.id) == stores.organizations.find("shop") == shop
    assert stores.accounts.organization("shop") == shop
    assert stores.organizations.all() == [default, shop]
    with raises_code("organization_not_found", match=r"no organization 'shpo' \(did you mean 'shop'\?\)"):
        stores.organizations.find("shpo")


def test_names_are_unique_among_organizations_that_are_not_removed(stores: Metadata) -> None:
    first, other = add(stores, "shop"), add(stores, "bank")
    with raises_code("organization_exists", match="'shop' already exists"):
        add(stores, "shop")
    with raises_code("organization_exists", match="'shop' already exists"):
        rename_organization(stores.organizations, "bank", name="shop", by="jane")
    for _ in range(2):  # within the same second
        remove_organization(stores.organizations, "shop", by="jane")
        again = add(stores, "shop")
    assert again.id != first.id
    assert rename_organization(stores.organizations, other.id, name=" bank 2 ", by="jane").name == "bank 2"


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
        remove_organization(stores.organizations, "shop", by="jane")
    stores.accounts.remove(added.id)
    remove_organization(stores.organizations, "shop", by="jane")
    with raises_code("organization_not_found"):
        stores.accounts.add(account(shop))
    for change in (remove_organization, partial(rename_organization, name="other")):
        with raises_code("default_organization", match="'default' always exists"):
            change(stores.organizations, "default", by="jane")


def test_accounts_of_two_organizations_may_have_one_name(stores: Metadata) -> None:
    shop, bank = add(stores, "shop", "EUR"), add(stores, "bank", "CHF")
    one, two = stores.accounts.add(account(shop)), stores.accounts.add(account(bank))
    assert [stores.accounts.find(added.id).default_currency for added in (one, two)] == ["EUR", "CHF"]
    assert [place.organization_id for place in stores.accounts.places()] == sorted(
        (added.organization_id for added in (one, two)),
        key=lambda organization_id: one.id if organization_id == one.organization_id else two.id,
    )
    with raises_code("ambiguous_account", match=rf"give one of bank/prod \(id {two.id}\), shop/prod \(id {one.id}\)"):
        stores.accounts.find("prod")
    assert (stores.accounts.find("shop/prod").id, stores.accounts.find("bank/prod").id) == (one.id, two.id)
    assert {place.id: place.organization for place in stores.accounts.places()} == {one.id: "shop", two.id: "bank"}
    exact = stores.accounts.add(account(bank, "shop/prod"))
    assert stores.accounts.find("shop/prod") == stores.accounts.find("bank/shop/prod") == exact
    with raises_code("account_not_found", match="'shop/test'"):
        stores.accounts.find("shop/test")
    changed = stores.accounts.change(two.id, lambda stored: replace(stored, tenant="t"))
    assert (changed.organization_id, changed.default_currency) == (bank.id, "CHF")
    stores.accounts.remove("bank/prod")
    with raises_code("account_not_found", match="'bank/prod' was removed"):
        stores.accounts.find("bank/prod")


def test_token_is_found_by_its_digest_until_its_organization_is_removed(stores: Metadata) -> None:
    shop, clock = add(stores, "shop"), SetClock()
    draft = TokenDraft(Role.VIEWER, "shop", 'namespace:"shop"', timedelta(days=1), "grafana")
    new = add_token(stores.tokens, stores.organizations, clock, draft, owner="operator")
    other = add_token(stores.tokens, stores.organizations, clock, TokenDraft(Role.ADMIN), owner="operator")
    digest = token_digest(new.text)
    assert stores.tokens.find(digest) == new.token
    assert stores.tokens.find(token_digest(new.text[:-1])) is None
    assert stores.tokens.all(shop.id) == [new.token]
    assert {token.id for token in stores.tokens.all()} == {new.token.id, other.token.id}
    stores.tokens.note_use(new.token.id, clock.now())
    assert stores.tokens.find(digest) == replace(new.token, last_used_at=clock.now())
    remove_organization(stores.organizations, "shop", by="jane")
    assert stores.tokens.find(digest) is None
    assert stores.tokens.all() == [other.token]


def test_token_is_revoked_once_by_id_or_text(stores: Metadata) -> None:
    clock = SetClock()
    tokens = [
        add_token(stores.tokens, stores.organizations, clock, TokenDraft(Role.VIEWER), owner="operator")
        for _ in range(2)
    ]
    for new, name in zip(tokens, (tokens[0].token.id, f" {tokens[1].text} "), strict=True):
        assert revoke_token(stores.tokens, name, by="jane").revoked_at == clock.now()
        assert principal_of(revoke_token(stores.tokens, name, by="jane"), clock.now()) is None
        assert new.text not in repr(new)
    assert stores.tokens.all() == []
    for unknown in (tokens[0].text[:-1], tokens[0].text[:-1] + "!", "nobody"):
        with pytest.raises(NotFound) as refused:
            revoke_token(stores.tokens, unknown, by="jane")
        assert unknown not in str(refused.value)


def test_unusable_token_is_refused(stores: Metadata) -> None:
    for draft, code in (
        (TokenDraft(Role.VIEWER, "nobody"), "organization_not_found"),
        (TokenDraft(Role.VIEWER, filter="namespace=x"), "filter_not_understood"),
        (TokenDraft(Role.INGEST, filter='namespace:"x"'), "filter_of_ingest"),
        (TokenDraft(Role.VIEWER, name="-x"), "unusable_name"),
    ):
        with raises_code(code):
            add_token(stores.tokens, stores.organizations, SetClock(), draft, owner="operator")
    assert stores.tokens.all() == []


def test_every_change_is_noted_with_who_made_it(stores: Metadata) -> None:
    shop = add(stores, "shop", "EUR")
    rename_organization(stores.organizations, "shop", name="store", by="mary")
    secret = Credentials(token="xoxb-the-very-secret-token")
    prod = stores.accounts.add(replace(account(shop), credentials=secret), by="mary")
    other = Credentials(token="xoxb-another-secret-token")
    stores.accounts.change(prod.id, lambda stored: replace(stored, tenant="t", credentials=other), by="jane")
    stores.accounts.change(prod.id, lambda stored: stored, by="jane")  # nothing changes
    stores.accounts.remove(prod.id, by="jane")
    draft = TokenDraft(Role.VIEWER, shop.id, 'namespace:"a"')
    token = add_token(stores.tokens, stores.organizations, SetClock(), draft, owner="jane")
    for _ in range(2):
        revoke_token(stores.tokens, token.text, by="mary")
    remove_organization(stores.organizations, shop.id, by="mary")
    entries = sorted(stores.audit.newest(shop.id, limit=100), key=lambda its: (its.subject, its.action, its.who))
    assert [(its.subject.value, its.action.value, its.who) for its in entries] == [
        ("account", "added", "mary"),
        ("account", "changed", "jane"),
        ("account", "removed", "jane"),
        ("organization", "added", "jane"),
        ("organization", "changed", "mary"),
        ("organization", "removed", "mary"),
        ("token", "added", "jane"),
        ("token", "removed", "mary"),
    ]
    changed = entries[1]
    assert changed.before == {"tenant": None, "credentials": "set"}
    assert changed.after == {"tenant": "t", "credentials": "replaced"}
    assert (entries[4].before, entries[4].after) == ({"name": "shop"}, {"name": "store"})
    assert entries[6].after["filter"] == 'namespace:"a"'
    assert "xoxb" not in repr(entries)
    assert token.text not in repr(entries)
    assert len(stores.audit.newest(limit=3)) == 3
    assert stores.audit.newest(stores.organizations.find().id, limit=3) == []


def test_refused_change_is_not_noted(stores: Metadata) -> None:
    shop = add(stores, "shop")
    stores.accounts.add(account(shop))
    before = stores.audit.newest(limit=100)
    for change in (lambda: add(stores, "shop"), lambda: stores.accounts.add(account(shop))):
        with pytest.raises(KubetallyError):
            change()
    with pytest.raises(KubetallyError):
        remove_organization(stores.organizations, shop.id, by="jane")
    assert stores.audit.newest(limit=100) == before


def test_no_account_comes_into_an_organization_that_is_being_removed(opens: Opens) -> None:
    """Either the account is refused, or the removal."""
    first, second = opens(), opens()
    for number in range(5):
        shop = add(first, f"shop-{number}")
        with ThreadPoolExecutor(2) as threads:
            tasks = [
                threads.submit(first.accounts.add, account(shop)),
                threads.submit(second.organizations.remove, shop.id, by="jane"),
            ]
        errors = [task.exception() for task in tasks]
        assert sorted(error is None for error in errors) == [False, True]
        assert all(error is None or isinstance(error, KubetallyError) for error in errors)
