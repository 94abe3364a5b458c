"""The web service on a real socket, with accounts in memory and sources that tests write."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from kubetally.cli.logs import set_up_logs
from kubetally.domain.account import Account, AccountType, Organization
from kubetally.domain.window import Clock
from kubetally.ledger.costs.service import CostService
from kubetally.ledger.diagnose.storage import StorageCheck
from kubetally.ledger.ports.accounts import AccountNotFound, AccountPlace
from kubetally.ledger.ports.clusters import Cluster
from kubetally.ledger.ports.sources import CostSource
from kubetally.settings import Settings
from kubetally.web.app import create_app
from kubetally.web.connections import ConnectionLimits
from kubetally.web.server import run, serve
from kubetally.wiring.sources import open_source
from tests.served import FixedClock

SECRET = "swordfish-never-logged"
PATH = "/metroculus/v2/kubecost_cluster_costs"
S, E = 1795132800, 1795392000
ORGANIZATION = Organization("5c5f8bd8-1f6b-4fd0-9c1e-3a4f3b1d2e01", "default", "USD", datetime(2026, 1, 1, tzinfo=UTC))


def account_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def account(number: int, url: str, **more: object) -> Account:
    """A cluster's account, whose id follows from its number."""
    facts: dict[str, object] = {"name": f"cluster-{number}", "type": AccountType.KUBERNETES_CNR, "kubecost_url": url}
    return Account(id=account_id(number), organization_id=ORGANIZATION.id, **(facts | more))  # type: ignore[arg-type]


@dataclass
class AccountsInMemory:
    """Keeps accounts in a list; `failure` is raised by whatever is asked."""

    accounts: list[Account] = field(default_factory=list)
    failure: Exception | None = None
    currency: str = "USD"

    def organization(self, name: str = "default") -> Organization:
        self._fail()
        return replace(ORGANIZATION, currency=self.currency)

    def add(self, account: Account) -> Account:
        self.accounts.append(account)
        return account

    def find(self, name_or_id: str) -> Account:
        self._fail()
        for one in (
            *(a for a in self.accounts if a.id == name_or_id),
            *(a for a in self.accounts if a.name == name_or_id),
        ):
            return one
        raise AccountNotFound(name_or_id)

    def all(self, organization_id: str | None = None) -> list[Account]:
        self._fail()
        return sorted(self.accounts, key=lambda account: account.name)

    def places(self) -> list[AccountPlace]:
        return [AccountPlace(a.id, a.name, a.type, a.kubecost_url, a.context, a.prometheus_url) for a in self.all()]

    def update(self, account: Account) -> Account:
        self.remove(account.id)
        return self.add(account)

    def remove(self, account_id: str) -> None:
        self.accounts = [one for one in self.accounts if one.id != account_id]

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


@asynccontextmanager
async def by_http(account: Account) -> AsyncIterator[CostSource]:
    """The account's source as the program reads it, trying once."""
    cluster = Cluster(account.kubecost_url or "", account.cluster_id, account.currency, account.name)
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
) -> Iterator[str]:
    """The URL of the service, run by its own server on a loop of its own thread."""
    told, urls = threading.Event(), list[str]()
    app = create_app(service, SECRET, "1.2.3-test", clock or FixedClock(), storage=storage)

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
    app = create_app(cost_service(accounts), SECRET, "1.2.3-test", FixedClock())
    serve(app, port=0, listening=lambda url: print(url, flush=True))


if __name__ == "__main__":
    main(sys.argv[1:])
