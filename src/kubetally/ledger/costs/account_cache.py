"""Accounts of clusters, cached so that answers need neither wait for a database nor depend on one that is silent."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from kubetally import logs
from kubetally.cache import AsyncCache, Cached
from kubetally.domain.account import Account, AccountPlace, AccountType, Organization
from kubetally.domain.errors import NotFound
from kubetally.ledger.accounts.database_timeout import DATABASE_SECONDS, DatabaseSilent, in_time
from kubetally.ledger.ports.accounts import AccountNotFound, Accounts, AmbiguousAccount, NotACluster

T = TypeVar("T")
ACCOUNT_LIFETIME = timedelta(minutes=15)
"""How long a cached account is used while the database is silent."""
SILENCE_SECONDS = 1.0
"""After this time without an answer a database is silent, and cached accounts are used."""
LOOKUP_SECONDS = 0.5  # how long a change of an account may go unnoticed, so that hits need no database
_MAX_ACCOUNTS = 10_000
_IRRELEVANT = frozenset({"id", "name", "organization", "created_at", "deleted_at"})  # costs do not depend on them
_log = logs.get_logger(__name__)


class AccountCache:
    """Looks up accounts of clusters, each once at a time.

    executor: where the database is queried. database_seconds: its timeout. silence_seconds: after that time cached
    accounts are used, up to `ACCOUNT_LIFETIME` old. lookup_seconds: how long a lookup is fresh.
    """

    def __init__(
        self,
        accounts: Accounts,
        *,
        executor: Executor | None = None,
        database_seconds: float = DATABASE_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
        lookup_seconds: float = LOOKUP_SECONDS,
    ) -> None:
        self._accounts, self._executor = accounts, executor
        self._database_seconds, self._silence_seconds = database_seconds, silence_seconds
        self._is_silent = False
        self._clusters: AsyncCache[None, list[AccountPlace]] = AsyncCache()
        self._organization: AsyncCache[None, Organization] = AsyncCache()
        self._lookups: AsyncCache[str, tuple[Account, str]] = AsyncCache(
            lambda _: lookup_seconds, max_weight=_MAX_ACCOUNTS
        )

    async def clusters(self) -> list[AccountPlace]:
        """Active accounts of Kubernetes clusters, by name; the cached ones if the database is silent.

        Raises: StoreError.
        """
        return await self._load_or_last(
            self._clusters.last(None), partial(self._clusters.reload, None, self._list_clusters)
        )

    async def _list_clusters(self) -> list[AccountPlace]:
        accounts = await self._query_database(self._accounts.places)
        return [account for account in accounts if account.type is AccountType.KUBERNETES_CNR]

    async def _load_or_last(self, last: Cached[T] | None, load: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `load` returns, or the last value if the database is silent and the value is fresh enough."""
        if last is None or last[1] >= ACCOUNT_LIFETIME.total_seconds():
            return await load()
        try:
            # The lookup goes on after the timeout; once it succeeds, the database is no longer silent.
            async with asyncio.timeout(0 if self._is_silent else self._silence_seconds):
                return await load()
        except (TimeoutError, DatabaseSilent):
            if not self._is_silent:
                _log.warning("database_silent", seconds=self._silence_seconds)
            self._is_silent = True
            return last[0]

    async def check(self, timeout_seconds: float) -> None:
        """Check that accounts can be looked up within that time. Raises StoreError."""
        try:
            async with asyncio.timeout(timeout_seconds):  # the lookup goes on, and later probes wait for it
                await self._organization.reload(None, partial(self._query_database, self._accounts.organization))
        except TimeoutError:
            raise DatabaseSilent(timeout_seconds) from None

    async def close(self) -> None:
        """Cancel running lookups."""
        await self._lookups.close()
        await self._clusters.close()
        await self._organization.close()

    async def find(self, account_id: str) -> tuple[Account, str]:
        """The account, and a digest of all facts that its costs depend on."""
        return self.peek(account_id) or await self.reload(account_id)

    def peek(self, account_id: str) -> tuple[Account, str] | None:
        """What `find` returns if a lookup is fresh, else None."""
        cached = self._lookups.peek(account_id)
        return None if cached is None else cached[0]

    async def reload(self, account_id: str) -> tuple[Account, str]:
        """What `find` returns, from the database; concurrent callers share one lookup."""
        return await self._lookups.reload(account_id, partial(self._look_up, account_id))

    async def last_known(self, account_id: str) -> tuple[Account, str]:
        """What `find` returns; the cached value if the database is silent, up to `ACCOUNT_LIFETIME` old."""
        fresh = self.peek(account_id)
        if fresh is not None:
            return fresh
        return await self._load_or_last(self._lookups.last(account_id), partial(self.reload, account_id))

    async def _look_up(self, account_id: str) -> tuple[Account, str]:
        try:
            account, source_facts = await self._query_database(lambda: self._read(account_id))
            if account.id != account_id:  # found by its name
                raise AccountNotFound(account_id)
            if account.type is not AccountType.KUBERNETES_CNR:
                raise NotACluster(account_id, account.type)
        except AmbiguousAccount as error:  # several accounts have this name
            self._lookups.forget(account_id)
            raise AccountNotFound(account_id) from error
        except (AccountNotFound, NotACluster):
            self._lookups.forget(account_id)
            raise
        return account, source_facts

    def _read(self, account_id: str) -> tuple[Account, str]:
        """The account and its digest."""
        account = self._accounts.find(account_id)
        facts = {name: value for name, value in asdict(account).items() if name not in _IRRELEVANT}
        has_source = bool(account.kubecost_url or account.context)
        places = self._accounts.places() if account.tenant is None or not has_source else []
        if not has_source:  # the default source serves an account only if it is the only one
            facts["beside"] = sorted(place.id for place in places if not place.has_source)
        if account.tenant is None:  # accounts that share a Prometheus get fewer metrics, or none
            facts["metrics_beside"] = sorted(
                (place.id, str(place.prometheus_url or "")) for place in places if place.id != account.id
            )
        return account, hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()

    async def _query_database(self, load: Callable[[], T]) -> T:
        """What `load` returns. Raises DatabaseSilent."""
        try:
            answer = await in_time(self._executor, load, self._database_seconds)
        except NotFound:
            self._is_silent = False
            raise
        self._is_silent = False
        return answer
