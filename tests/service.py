"""The web service on a real socket, with accounts in memory and sources that tests write."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace

from kubetally.cli.logs import set_up_logs
from kubetally.domain.account import (
    Account,
    AccountPlace,
    AccountType,
    Credentials,
    ListedAccount,
    Organization,
    qualified_name,
)
from kubetally.domain.errors import KubetallyError
from kubetally.domain.source_url import SourceUrl
from kubetally.domain.window import Clock
from kubetally.ledger.costs.service import CostService
from kubetally.ledger.diagnose.storage import StorageCheck
from kubetally.ledger.ports.accounts import (
    AccountNotFound,
    AmbiguousAccount,
    account_exists,
    account_id_taken,
)
from kubetally.ledger.ports.clusters import Cluster
from kubetally.ledger.ports.organizations import organization_not_found
from kubetally.ledger.ports.sources import CostSource
from kubetally.settings import Settings
from kubetally.web.app import create_app
from kubetally.web.connections import ConnectionLimits
from kubetally.web.server import run, serve
from kubetally.web.v1.pages import LedgerQueries
from tests.opened import open_source
from tests.served import FixedClock
from tests.tokens import ORGANIZATION, OrganizationsInMemory

SECRET = "swordfish-never-logged"
PATH = "/metroculus/v2/kubecost_cluster_costs"
S, E = 1795132800, 1795392000


def account_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def account(number: int, url: str, **more: object) -> Account:
    """A cluster's account, whose id follows from its number."""
    facts: dict[str, object] = {"name": f"cluster-{number}", "type": AccountType.KUBERNETES_CNR}
    facts["kubecost_url"] = SourceUrl.parse(url) if url else None
    return Account(id=account_id(number), organization_id=ORGANIZATION.id, **(facts | more))  # type: ignore[arg-type]


@dataclass
class AccountsInMemory:
    """The port `Accounts` on lists; `failure` is raised by whatever is read. others: further organizations."""

    accounts: list[Account] = field(default_factory=list)
    failure: Exception | None = None
    currency: str = "USD"
    clock: Clock = field(default_factory=FixedClock)
    others: list[Organization] = field(default_factory=list)
    gone: list[Account] = field(default_factory=list)
    _changing: threading.RLock = field(default_factory=threading.RLock)

    def organization(self, name_or_id: str = "default") -> Organization:
        self._fail()
        found = next((each for each in self.organizations() if name_or_id in (each.id, each.name)), None)
        if found is None:
            raise organization_not_found(name_or_id)
        return found

    def add(self, account: Account, *, by: str = "operator") -> Account:
        return self.add_all([account])[0]

    def add_all(self, accounts: Sequence[Account], *, by: str = "operator") -> list[Account]:
        with self._changing:
            before, added = list(self.accounts), []
            try:
                for account in accounts:
                    self._check(account)
                    made = account.created_at or self.clock.now()
                    added.append(replace(account, created_at=made, deleted_at=None))
                    self.accounts.append(added[-1])
            except KubetallyError:
                self.accounts = before
                raise
            ids = {account.id for account in added}
            self.gone = [account for account in self.gone if account.id not in ids]
            return added

    def find(self, name_or_id: str) -> Account:
        self._fail()
        found = [account for account in self.all() if account.id == name_or_id]
        found = found or [account for account in self.all() if account.name == name_or_id]
        found = found or [
            each for each in self.all() if qualified_name(organization=each.organization, name=each.name) == name_or_id
        ]
        if len(found) > 1:
            raise AmbiguousAccount(name_or_id, {account.id: account.organization for account in found})
        if not found:
            raise AccountNotFound(name_or_id, is_removed=bool(self.removed(name_or_id)))
        return found[0]

    def all(self, organization_id: str | None = None) -> list[Account]:
        self._fail()
        owners = {organization.id: organization for organization in self.organizations()}
        chosen = (
            replace(each, default_currency=owner.currency, organization=owner.name)
            if (owner := owners.get(each.organization_id)) is not None
            else replace(each, default_currency=self.currency)
            for each in self.accounts
            if organization_id in {None, each.organization_id}
        )
        return sorted(chosen, key=lambda account: (account.name, account.id))

    def places(self) -> list[AccountPlace]:
        return [
            AccountPlace(
                id=a.id,
                organization_id=a.organization_id,
                name=a.name,
                type=a.type,
                kubecost_url=a.kubecost_url,
                context=a.context,
                prometheus_url=a.prometheus_url,
                tenant=a.tenant,
                cluster_id=a.cluster_id,
                organization=a.organization,
            )
            for a in self.all()
        ]

    def find_all(self, ids: Collection[str]) -> list[Account]:
        return [account for account in self.all() if account.id in ids]

    def removed(self, name_or_id: str | None = None) -> list[Account]:
        chosen = [account for account in self.gone if name_or_id in {None, account.id, account.name}]
        return sorted(chosen, key=lambda account: account.name)

    def listed(self) -> list[ListedAccount]:
        names = {organization.id: organization.name for organization in self.organizations()}
        known = sorted((*self.accounts, *self.gone), key=lambda account: account.id)
        return [ListedAccount(a.id, a.name, names[a.organization_id], a.deleted_at, a.organization_id) for a in known]

    def update(self, account: Account) -> Account:
        return self.change(account.id, lambda _: account)

    def change(self, account_id: str, apply: Callable[[Account], Account], *, by: str = "operator") -> Account:
        with self._changing:
            old = next((account for account in self.accounts if account.id == account_id), None)
            if old is None:
                raise AccountNotFound(account_id)
            new = replace(apply(old), organization_id=old.organization_id, created_at=old.created_at)
            self._check(new, old)
            self.accounts = [new if account is old else account for account in self.accounts]
            return new

    def remove(self, name_or_id: str, *, by: str = "operator") -> None:
        with self._changing:
            found = self.find(name_or_id)
            self.accounts = [account for account in self.accounts if account.id != found.id]
            none = Credentials()
            now = self.clock.now()
            self.gone.append(replace(found, credentials=none, prometheus_credentials=none, deleted_at=now))

    def organizations(self) -> list[Organization]:
        return [replace(ORGANIZATION, currency=self.currency), *self.others]

    def _check(self, new: Account, old: Account | None = None) -> None:
        """Raise what keeps an account from being stored in place of `old`."""
        owner = next((each for each in self.organizations() if each.id == new.organization_id), None)
        if owner is None:
            raise organization_not_found(new.organization_id)
        for account in self.accounts:
            if account is not old and account.id == new.id:
                raise account_id_taken(new.id, name=account.name)
            if account is not old and (account.organization_id, account.name) == (owner.id, new.name):
                raise account_exists(new.name, organization=owner.name)

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


@asynccontextmanager
async def by_http(account: Account) -> AsyncIterator[CostSource]:
    """The account's source as the program reads it, trying once."""
    cluster = Cluster(
        account.kubecost_url or "http://nowhere",
        cluster_id=account.cluster_id,
        currency=account.currency,
        name=account.name,
    )
    async with open_source(cluster, Settings(attempts=1)) as source:
        yield source


def cost_service(
    accounts: AccountsInMemory,
    clock: Clock | None = None,
    opened: Callable[[Account], AbstractAsyncContextManager[CostSource]] = by_http,
    **more: object,
) -> CostService:
    return CostService(accounts, opened, clock or FixedClock(), **more)  # type: ignore[arg-type]


@contextmanager
def serving(
    service: CostService,
    clock: Clock | None = None,
    storage: StorageCheck | None = None,
    limits: ConnectionLimits | None = None,
    ledger: LedgerQueries | None = None,
) -> Iterator[str]:
    """The URL of the service, run by its own server on a loop of its own thread."""
    told, urls = threading.Event(), list[str]()
    clock = clock or FixedClock()
    organizations = OrganizationsInMemory()
    app = create_app(
        service,
        SECRET,
        version="1.2.3-test",
        clock=clock,
        storage=storage,
        ledger=ledger,
        organizations=organizations,
    )

    def listening(url: str) -> None:
        urls.append(url)
        told.set()

    async def main() -> None:
        nonlocal loop, stop
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        await run(app, "127.0.0.1", 0, stop, listening=listening, limits=limits)

    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    loop.close()
    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert told.wait(10)
    try:
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(15)
        assert not thread.is_alive()


def main(urls: list[str]) -> None:
    """A service in a process of its own, for what concerns signals and whole logs; it prints its URL."""
    accounts = AccountsInMemory([account(number, url) for number, url in enumerate(urls, 1)])
    set_up_logs("debug")
    app = create_app(cost_service(accounts), SECRET, version="1.2.3-test", clock=FixedClock())
    serve(app, port=0, listening=lambda url: print(url, flush=True))


if __name__ == "__main__":
    main(sys.argv[1:])
