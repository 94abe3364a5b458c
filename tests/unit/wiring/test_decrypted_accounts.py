"""Which credentials are decrypted to ask one account: its own, and those that may name a tenant of its Prometheus."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from kubetally.domain.account import Credentials
from kubetally.domain.source_url import SourceUrl
from kubetally.ledger.accounts.lookup import list_clusters
from kubetally.ledger.accounts.snapshot import read_places
from kubetally.store.meta.accounts import SqlAccounts, open_accounts
from kubetally.store.meta.secrets import KeyRing
from tests.served import FixedClock
from tests.service import account

DEFAULT = SourceUrl.parse("http://default:9090")


class CountingRing(KeyRing):
    """Keys that note whose credentials they decrypt."""

    def __init__(self) -> None:
        super().__init__([KeyRing.new_key()], "KUBETALLY_KEYS")
        self.decrypted = list[str]()

    def decrypt(self, sealed: str, account: str) -> str:
        self.decrypted.append(account)
        return super().decrypt(sealed, account=account)


@dataclass
class Fleet:
    """Accounts on SQLite, each with credentials and a header that chooses the tenant of its name."""

    accounts: SqlAccounts
    ring: CountingRing
    count: int = field(default=0)

    def add(self, name: str, prometheus: str | None) -> None:
        self.count += 1
        secrets = Credentials(headers={"x-scope-orgid": name})
        new = account(self.count, f"http://{name}", name=name, prometheus_credentials=secrets)
        organization = self.accounts.organization().id
        url = SourceUrl.parse(prometheus) if prometheus else None
        self.accounts.add(replace(new, organization_id=organization, prometheus_url=url))


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    ring = CountingRing()
    with open_accounts(f"sqlite:///{tmp_path}/kubetally.db", ring, clock=FixedClock()) as accounts:
        yield Fleet(accounts, ring)


def test_reading_one_account_decrypts_only_its_credentials(fleet: Fleet) -> None:
    for number in range(20):
        fleet.add(f"a{number}", f"http://prometheus-{number}")
    fleet.add("without", None)
    [cluster] = list_clusters(fleet.accounts, ["a7"], DEFAULT)
    assert cluster.account.prometheus_tenant == "a7"
    assert len(cluster.accounts) == 21
    assert fleet.ring.decrypted == ["a7"]


def test_accounts_of_one_prometheus_are_decrypted_for_tenants(fleet: Fleet) -> None:
    for name, url in (("a", "http://shared"), ("b", "http://SHARED:80/"), ("c", "http://own"), ("d", str(DEFAULT))):
        fleet.add(name, url)
    places = read_places(fleet.accounts, [DEFAULT])
    assert [place.prometheus_tenant for place in places] == ["a", "b", None, "d"]
    assert fleet.ring.decrypted == ["a", "b", "d"]
