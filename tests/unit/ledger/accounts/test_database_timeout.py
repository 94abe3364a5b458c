"""What is answered while the database takes questions and answers none."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from kubetally.domain.window import parse_window
from kubetally.ledger.accounts.database_timeout import DATABASE_SECONDS, DatabaseSilent
from kubetally.ledger.costs.account_cache import SILENCE_SECONDS
from kubetally.ledger.costs.service import CostService
from kubetally.ledger.costs.stored_days import History
from kubetally.web.ops.routes import HEALTH_TIMEOUT_SECONDS
from tests.kept import CoverageInMemory, LakeInMemory
from tests.served import NOON_AFTER
from tests.service import account, account_id, cost_service
from tests.unit.ledger.costs.test_cost_service import SilentAccounts

PROMISED_SECONDS = 5
PROBE_SECONDS = 1
AT_ONCE = 0.001
WINDOW = parse_window("2026-11-20,2026-11-21", NOON_AFTER)


@contextmanager
def service_on(accounts: SilentAccounts) -> Iterator[CostService]:
    """A service that is thawed in the end, as its threads can't be ended."""
    with ThreadPoolExecutor(2) as executor:
        history = History(CoverageInMemory(), LakeInMemory)
        try:
            yield cost_service(accounts, executor=executor, history=history, database_seconds=0.5, progress_seconds=0)
        finally:
            accounts.answers.set()


def asked(ask: Callable[[CostService, SilentAccounts], Coroutine[None, None, None]]) -> None:
    """Ask a service on a database that answers at first."""
    accounts = SilentAccounts([account(1, "http://nobody")])

    async def main() -> None:
        with service_on(accounts) as service:
            await ask(service, accounts)
            accounts.answers.set()
            await service.close()

    asyncio.run(main())


def test_limits_on_the_way_to_a_503_are_within_those_promised() -> None:
    """A request waits for what is remembered first, then for the database, once."""
    assert SILENCE_SECONDS + DATABASE_SECONDS < PROMISED_SECONDS
    assert HEALTH_TIMEOUT_SECONDS < PROBE_SECONDS


def test_miss_asks_the_database_before_anything_else() -> None:
    async def ask(service: CostService, accounts: SilentAccounts) -> None:
        await service.cluster(account_id(1))  # remembered for half a second
        accounts.answers.clear()
        with pytest.raises(DatabaseSilent):
            await service.costs(account_id(1), WINDOW)

    asked(ask)


def test_check_gives_up_on_a_frozen_database_at_its_own_limit() -> None:
    async def ask(service: CostService, accounts: SilentAccounts) -> None:
        await service.check(60)
        accounts.answers.clear()
        for _ in range(20):  # more than there are threads
            with pytest.raises(DatabaseSilent):
                await service.check(AT_ONCE)

    asked(ask)


def test_progress_of_a_frozen_database_is_the_last_with_its_age() -> None:
    async def ask(service: CostService, accounts: SilentAccounts) -> None:
        accounts.answers.clear()
        with pytest.raises(DatabaseSilent):
            await service.progress(AT_ONCE)
        accounts.answers.set()
        counted = await service.progress(60)
        assert counted is not None
        assert (counted.clusters, counted.age_seconds) == (1, 0.0)
        accounts.answers.clear()
        remembered = await service.progress(AT_ONCE)
        assert remembered is not None
        assert remembered.clusters == 1
        assert remembered.age_seconds > 0

    asked(ask)
