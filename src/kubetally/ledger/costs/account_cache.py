"""Accounts of clusters, cached so that answers need neither wait for a database nor depend on one that is silent."""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import TypeVar

from kubetally import logs
from kubetally.cache import Bounded, SingleFlight
from kubetally.domain.account import Account, AccountType, Organization
from kubetally.domain.errors import NotFound
from kubetally.ledger.accounts.database_timeout import DATABASE_SECONDS, DatabaseSilent, in_time
from kubetally.ledger.ports.accounts import AccountNotFound, Accounts, AmbiguousAccount, NotACluster

T = TypeVar("T")
ACCOUNT_KEPT = timedelta(minutes=15)
"""How long an account stands for the answer of a silent database."""
SILENCE_SECONDS = 1.0
"""After how long a database counts as silent, so that cached accounts are used."""
LOOKUP_SECONDS = 0.5  # how long a change of an account may take to be seen, so that hits need no database
_MAX_ACCOUNTS = 10_000
_NOT_THE_SOURCE = frozenset({"id", "name", "created_at", "deleted_at"})  # may change without any effect on costs
_log = logs.get_logger(__name__)


class AccountCache:
    """Looks up accounts of clusters, each once at a time.

    executor: where the database is asked. database_seconds: its timeout. silence_seconds: after that long cached
    accounts are used, up to `ACCOUNT_KEPT` old. lookup_seconds: how long a lookup is used without asking again.
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
        self._lookup_seconds, self._is_silent = lookup_seconds, False
        self._clusters: tuple[float, list[Account]] | None = None
        self._cluster_flights: SingleFlight[None, list[Account]] = SingleFlight()
        self._check_flights: SingleFlight[None, Organization] = SingleFlight()
        self._found: Bounded[str, tuple[float, Account, str]] = Bounded(_MAX_ACCOUNTS)
        self._lookups: SingleFlight[str, tuple[Account, str]] = SingleFlight()

    async def clusters(self) -> list[Account]:
        """The living accounts of Kubernetes clusters, by name; of a silent database those it last returned.

        Raises: StoreError.
        """
        known = self._clusters
        if known is None or not _is_recent(known[0]):
            return await self._cluster_flights(None, self._list_clusters)
        try:
            async with asyncio.timeout(self._wait_seconds):
                return await self._cluster_flights(None, self._list_clusters)
        except (TimeoutError, DatabaseSilent):
            self._note_silence()
            return known[1]

    async def _list_clusters(self) -> list[Account]:
        accounts = await self._ask_database(self._accounts.all)
        clusters = [account for account in accounts if account.type is AccountType.KUBERNETES_CNR]
        self._clusters = time.monotonic(), clusters
        return clusters

    @property
    def _wait_seconds(self) -> float:
        """How long to wait for the database, where what is remembered stands for its answer."""
        return 0 if self._is_silent else self._silence_seconds

    def _note_silence(self) -> None:
        if not self._is_silent:
            _log.warning("database_silent", seconds=self._silence_seconds)
        self._is_silent = True

    async def check(self, timeout_seconds: float) -> None:
        """See that accounts can be looked up within that time. Raises StoreError."""
        try:
            async with asyncio.timeout(timeout_seconds):  # one lookup for all probes, however long it takes
                await self._check_flights(None, partial(self._ask_database, self._accounts.organization))
        except TimeoutError:
            raise DatabaseSilent(timeout_seconds) from None

    async def close(self) -> None:
        """Cancel running lookups."""
        await self._lookups.close()
        await self._cluster_flights.close()
        await self._check_flights.close()

    async def find(self, account_id: str) -> tuple[Account, str]:
        """The account, and what of it its costs depend on."""
        return self.just_looked_up(account_id) or await self.look_up_again(account_id)

    def just_looked_up(self, account_id: str) -> tuple[Account, str] | None:
        """The same, where a lookup still stands."""
        found = self._found.get(account_id)
        return found[1:] if found is not None and time.monotonic() < found[0] + self._lookup_seconds else None

    async def look_up_again(self, account_id: str) -> tuple[Account, str]:
        """The same, as the database has it now; one lookup for all who ask."""
        return await self._lookups(account_id, lambda: self._look_up(account_id))

    async def last_known(self, account_id: str) -> tuple[Account, str]:
        """The same; of a silent database what it last returned, for as long as an answer is kept."""
        found = self._found.get(account_id)
        if found is None or not _is_recent(found[0]):
            return await self.find(account_id)
        if time.monotonic() < found[0] + self._lookup_seconds:
            return found[1:]
        try:
            # A lookup goes on by itself: once one succeeds, the database is no longer silent.
            async with asyncio.timeout(self._wait_seconds):
                return await self.find(account_id)
        except (TimeoutError, DatabaseSilent):
            self._note_silence()
            return found[1:]

    async def _look_up(self, account_id: str) -> tuple[Account, str]:
        try:
            account, source_facts = await self._ask_database(lambda: self._read(account_id))
            if account.id != account_id:  # its name
                raise AccountNotFound(account_id)
            if account.type is not AccountType.KUBERNETES_CNR:
                raise NotACluster(account_id, account.type)
        except AmbiguousAccount as error:  # several names
            self._found.drop(account_id)
            raise AccountNotFound(account_id) from error
        except (AccountNotFound, NotACluster):
            self._found.drop(account_id)
            raise
        self._found.put(account_id, (time.monotonic(), account, source_facts))
        return account, source_facts

    def _read(self, account_id: str) -> tuple[Account, str]:
        """The account, and a digest of all that its costs depend on: with another its costs are others."""
        account = self._accounts.find(account_id)
        facts = {name: value for name, value in asdict(account).items() if name not in _NOT_THE_SOURCE}
        facts["default_currency"] = self._accounts.organization().currency
        has_source = bool(account.kubecost_url or account.context)
        places = self._accounts.places() if account.tenant is None or not has_source else []
        if not has_source:  # what serves any account serves exactly one
            facts["beside"] = sorted(place.id for place in places if not place.has_source)
        if account.tenant is None:  # of a server that others have it gets less, or nothing
            facts["metrics_beside"] = sorted(
                (place.id, place.prometheus_url or "") for place in places if place.id != account.id
            )
        return account, hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()

    async def _ask_database(self, look: Callable[[], T]) -> T:
        """What the accounts answer. Raises DatabaseSilent."""
        try:
            found = await in_time(self._executor, look, self._database_seconds)
        except NotFound:
            self._is_silent = False
            raise
        self._is_silent = False
        return found


def _is_recent(looked_up: float) -> bool:
    """Whether what was looked up then, on the monotonic clock, may stand for a silent database."""
    return time.monotonic() - looked_up < ACCOUNT_KEPT.total_seconds()
