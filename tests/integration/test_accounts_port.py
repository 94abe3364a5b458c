"""The port `Accounts`: one suite for all that implement it, in memory and on every database."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kubetally.domain.account import Account, AccountPlace, AccountType, Credentials, ListedAccount, Organization
from kubetally.domain.errors import NotFound, RequestError
from kubetally.domain.source_url import SourceUrl
from kubetally.ledger.ports.accounts import AccountNotFound, Accounts, AmbiguousAccount
from tests.integration.collected_days import NOW, SetClock, opener_of
from tests.integration.databases import KINDS, Server, new_database
from tests.service import AccountsInMemory

url = SourceUrl.parse

SECRETS = Credentials("xoxb-the-very-secret-token", "reader", "tr0ub4dor", {"X-Scope-OrgID": "tenant-söcret"})


@dataclass
class Port:
    """Empty accounts, their clock, and what adds a further organization and returns its id."""

    accounts: Accounts
    clock: SetClock
    add_organization: Callable[[str], str]


@pytest.fixture(params=["memory", *KINDS])
def port(request: pytest.FixtureRequest, server_of: Callable[[str], Server], tmp_path: Path) -> Iterator[Port]:
    """Accounts of each kind in turn."""
    id_ = str(uuid.uuid4())
    if request.param == "memory":
        clock = SetClock()
        accounts = AccountsInMemory(clock=clock)

        def add_in_memory(name: str) -> str:
            accounts.others.append(Organization(id_, name, "USD", NOW))
            return id_

        yield Port(accounts, clock, add_in_memory)
    else:
        database = new_database(request.param, server_of, tmp_path)

        def add_in_database(name: str) -> str:
            database.execute(
                "INSERT INTO organization (id, name, created_at) VALUES (:id, :name, 1700000000)", id=id_, name=name
            )
            return id_

        for opens in opener_of(database.url):
            yield Port(opens().accounts, opens.clock, add_in_database)


@pytest.fixture
def accounts(port: Port) -> Accounts:
    return port.accounts


def account(accounts: Accounts, name: str = "prod", **more: object) -> Account:
    made = Account(str(uuid.uuid4()), accounts.organization().id, name, AccountType.KUBERNETES_CNR)
    return replace(made, **more)  # type: ignore[arg-type]


def test_default_organization_always_exists(accounts: Accounts) -> None:
    found = accounts.organization()
    assert (found.name, found.currency) == ("default", "USD")
    assert str(uuid.UUID(found.id, version=4)) == found.id
    with pytest.raises(NotFound, match="'nobody'"):
        accounts.organization("nobody")


def test_whole_account_is_found_by_id_and_by_name(accounts: Accounts) -> None:
    given = account(
        accounts,
        "Prod Zürich 中文 🚀",
        kubecost_url=url("https://kubecost.example.com:9090/model"),
        prometheus_url=url("http://thanos:9090"),
        tenant="tenant-ß",
        cluster_id="c-1",
        currency="CHF",
        context="admin@prod",
        credentials=SECRETS,
    )
    added = accounts.add(given)
    assert added == replace(given, created_at=NOW)
    assert accounts.find(given.id) == accounts.find(given.name) == added
    assert accounts.all() == [added]


def test_unset_fields_come_back_unset(accounts: Accounts) -> None:
    when = datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)
    given = account(accounts, type=AccountType.AWS_CNR, created_at=when)
    assert accounts.add(given) == accounts.find("prod") == given


def test_missing_account_is_not_found(accounts: Accounts) -> None:
    missing = account(accounts)
    for act in (
        lambda: accounts.find("prod"),
        lambda: accounts.find(missing.id),
        lambda: accounts.update(missing),
        lambda: accounts.change(missing.id, lambda found: found),
        lambda: accounts.remove("prod"),
    ):
        with pytest.raises(AccountNotFound):
            act()


def test_names_differ_by_case_and_accents(accounts: Accounts) -> None:
    names = ["Z", "a", "A", "ä", "é", "E", "e", "中"]
    for name in names:
        accounts.add(account(accounts, name))
    assert [each.name for each in accounts.all()] == sorted(names)
    assert [place.name for place in accounts.places()] == sorted(names)
    assert accounts.find("a").id != accounts.find("A").id


def test_places_leave_out_removed_accounts(accounts: Accounts) -> None:
    prod = accounts.add(
        account(accounts, credentials=SECRETS, kubecost_url=url("http://a"), prometheus_url=url("http://b"))
    )
    accounts.remove(accounts.add(account(accounts, "removed")).id)
    assert accounts.places() == [
        AccountPlace(
            id=prod.id,
            organization_id=prod.organization_id,
            name="prod",
            type=prod.type,
            kubecost_url=prod.kubecost_url,
            prometheus_url=prod.prometheus_url,
        )
    ]


def test_places_name_tenant_and_cluster(accounts: Accounts) -> None:
    accounts.add(account(accounts, credentials=SECRETS, tenant="t", cluster_id="c", context="k"))
    [place] = accounts.places()
    assert (place.tenant, place.cluster_id, place.context, place.prometheus_tenant) == ("t", "c", "k", None)


def test_accounts_of_ids_are_found_without_removed_ones(accounts: Accounts) -> None:
    first, second, gone = (accounts.add(account(accounts, name, credentials=SECRETS)) for name in ("b", "a", "c"))
    accounts.remove(gone.id)
    assert accounts.find_all([first.id, second.id, gone.id, str(uuid.uuid4())]) == [second, first]
    assert accounts.find_all([first.id]) == [first]
    assert accounts.find_all([]) == []


def test_existing_name_or_id_is_refused(accounts: Accounts) -> None:
    first = accounts.add(account(accounts))
    with pytest.raises(RequestError, match="'prod' already exists in organization 'default'"):
        accounts.add(account(accounts))
    with pytest.raises(RequestError, match=f"{first.id} is that of account 'prod'"):
        accounts.add(account(accounts, "another name", id=first.id))
    assert accounts.all() == [first]


def test_several_accounts_are_added_all_or_none(accounts: Accounts) -> None:
    existing = accounts.add(account(accounts, "c"))
    new = [account(accounts, name) for name in ("b", "a", "c")]
    with pytest.raises(RequestError, match="'c' already exists"):
        accounts.add_all(new)
    assert accounts.all() == [existing]
    b, a = accounts.add_all(new[:2])
    assert accounts.all() == [a, b, existing]


def test_removed_account_can_be_added_under_its_id(accounts: Accounts) -> None:
    first = accounts.add(account(accounts, credentials=SECRETS))
    accounts.remove("prod")
    again = accounts.add(account(accounts, "production", id=first.id, kubecost_url=url("http://elsewhere")))
    assert accounts.all() == [again]
    assert again.credentials.is_empty
    assert accounts.removed() == []


def test_removed_account_frees_its_name(port: Port) -> None:
    accounts, ids = port.accounts, []
    for _ in range(3):
        added = accounts.add(account(accounts, credentials=SECRETS))
        accounts.remove(added.id)
        assert accounts.all() == []
        for name in (added.id, "prod"):
            with pytest.raises(
                AccountNotFound, match=f"account '{name}' was removed: `kubetally accounts list --removed`"
            ):
                accounts.find(name)
        ids.append(added.id)
        port.clock.forward(1)
    with pytest.raises(AccountNotFound):
        accounts.remove(ids[0])
    removed = accounts.removed("prod")
    assert [each.id for each in removed] == ids
    assert all(each.credentials.is_empty and each.deleted_at is not None for each in removed)
    assert accounts.removed(ids[1]) == removed[1:2]
    assert accounts.removed("other") == []


def test_list_has_removed_accounts_by_id(accounts: Accounts) -> None:
    living, removed = (accounts.add(account(accounts, name)) for name in ("living", "removed"))
    accounts.remove(removed.id)
    listed = [ListedAccount(living.id, "living", "default"), ListedAccount(removed.id, "removed", "default", NOW)]
    assert accounts.listed() == sorted(listed, key=lambda each: each.id)


def test_update_keeps_id_organization_and_creation(accounts: Accounts) -> None:
    added = accounts.add(account(accounts, credentials=SECRETS, kubecost_url=url("http://old"), tenant="old"))
    new = Credentials(token="t2")
    changed = replace(added, name="renamed", kubecost_url=url("http://new"), tenant=None, credentials=new)
    wanted = replace(changed, organization_id="elsewhere", created_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert accounts.update(wanted) == accounts.find("renamed") == changed
    assert accounts.update(replace(changed, credentials=Credentials())).credentials.is_empty
    with pytest.raises(AccountNotFound):
        accounts.find("prod")


def test_update_without_a_change_succeeds(accounts: Accounts) -> None:
    added = accounts.add(account(accounts))
    assert accounts.update(added) == accounts.update(added) == added


def test_change_applies_to_the_stored_account(accounts: Accounts) -> None:
    added = accounts.add(account(accounts))
    accounts.update(replace(added, tenant="t"))
    changed = accounts.change(added.id, lambda stored: replace(stored, cluster_id="c"))
    assert changed == accounts.find("prod") == replace(added, tenant="t", cluster_id="c")


def test_account_is_not_renamed_to_an_existing_name(accounts: Accounts) -> None:
    accounts.add(account(accounts, "existing"))
    added = accounts.add(account(accounts))
    renamed = replace(added, name="existing")
    for act in (lambda: accounts.update(renamed), lambda: accounts.change(added.id, lambda _: renamed)):
        with pytest.raises(RequestError, match="existing"):
            act()
    assert accounts.find(added.id) == added


def test_organization_of_an_account_exists(accounts: Accounts) -> None:
    stranger = account(accounts, organization_id=str(uuid.uuid4()))
    with pytest.raises(NotFound, match=stranger.organization_id):
        accounts.add(stranger)


def test_name_in_two_organizations_is_ambiguous(port: Port) -> None:
    accounts, other = port.accounts, port.add_organization("other")
    ours = accounts.add(account(accounts))
    theirs = accounts.add(account(accounts, organization_id=other, organization="other"))
    assert accounts.all(other) == [theirs]
    assert len(accounts.all()) == 2
    for act in (accounts.find, accounts.remove):
        with pytest.raises(AmbiguousAccount, match=theirs.id):
            act("prod")
    assert accounts.find(ours.id) == ours


def test_threads_share_the_accounts(accounts: Accounts) -> None:
    def work(number: int) -> str:
        added = accounts.add(account(accounts, f"cluster-{number:02}"))
        accounts.update(replace(accounts.find(added.id), tenant=f"t{number}"))
        return accounts.find(added.name).tenant or ""

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(40))) == [f"t{number}" for number in range(40)]
    assert len(accounts.all()) == 40
