"""What accounts cost, for many who ask at once: remembered for a quarter of an hour, asked once at a time."""

import asyncio
import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from itertools import count

import structlog

from kubetally.domain.account import Account, AccountType
from kubetally.domain.cluster_costs import ClusterCosts
from kubetally.domain.errors import HubError, NotFound, RequestError, SourceError, StoreError
from kubetally.domain.issues import IssueKind
from kubetally.domain.reading import Reading
from kubetally.domain.savings import Savings
from kubetally.domain.window import Clock, Window
from kubetally.ledger.accounts import AccountNotFound, Accounts, AmbiguousAccount
from kubetally.ledger.cache import Bounded, SingleFlight
from kubetally.ledger.costs import get_cluster_costs
from kubetally.ledger.ports import About, CostSource

KEPT = timedelta(minutes=15)
OpenSource = Callable[[Account], AbstractAsyncContextManager[CostSource]]
_LOOKED_UP_SECONDS = 0.5  # how long a change of an account may take to be seen, so that hits need no database
_ACCOUNTS_KEPT = 10_000
_NOT_THE_SOURCE = frozenset(
    {"id", "name", "created_at", "deleted_at"}
)  # what may change and leaves the costs as they are
_log = structlog.get_logger(__name__)
_Key = tuple[str, str, Window]


class NotACluster(NotFound):
    """The account is none of a Kubernetes cluster."""

    code = "not_a_cluster"

    def __init__(self, account_id: str, kind: AccountType) -> None:
        self.account_id, self.kind = account_id, kind
        super().__init__(f"account {account_id} is of type {kind}: only {AccountType.KUBERNETES_CNR} has costs here")


class ClusterUnreadable(SourceError):
    """Nothing of the account's source could be read; `why` is the error that says so, `source` is fit to be shown."""

    code = "cluster_unreadable"

    def __init__(self, account_id: str, source: str, why: HubError) -> None:
        self.account_id, self.source, self.why = account_id, source, why
        super().__init__(f"account {account_id}: {why}")


class Overloaded(StoreError):
    """More questions wait for sources than can be answered soon."""

    code = "overloaded"
    retryable = True

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        super().__init__(f"{waiting} questions wait for their sources already: ask again in a few seconds")


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """What an account cost, and since when that is known.

    is_hit: whether it had been remembered. serial: of the answer itself, so that what is made of it can be kept.
    """

    account: Account
    costs: ClusterCosts
    age_seconds: float
    is_hit: bool
    serial: int


@dataclass(slots=True)
class Tally:
    """What has been asked of sources since the start: by question and outcome (`ok`, or the code of an error)."""

    questions: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    seconds: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def asking(self, question: str) -> Iterator[None]:
        """Count what happens inside."""
        began, outcome = time.monotonic(), "ok"
        try:
            yield
        except HubError as error:
            outcome = error.code
            raise
        except BaseException:
            outcome = "cut"
            raise
        finally:
            self.questions[question, outcome] += 1
            self.seconds[question, outcome] += time.monotonic() - began


class CostService:
    """Answers what accounts cost.

    An answer is kept for `KEPT` by everything of its account that can change it and by its window; it holds every view,
    so that detail and pages come from one. One with a source's failure in it is given and not kept.

    open_source: the account's source, closed afterwards. at_once: clusters that are asked at a time; waiting: questions
    that may wait beside them. kept_rows: booked rows that all kept answers may hold.
    """

    def __init__(
        self,
        accounts: Accounts,
        open_source: OpenSource,
        clock: Clock,
        *,
        deadline_seconds: float | None = None,
        at_once: int = 16,
        waiting: int = 1000,
        kept_rows: int = 200_000,
    ) -> None:
        self.tally = Tally()
        self._accounts, self._open_source, self._clock = accounts, open_source, clock
        self._deadline_seconds = deadline_seconds
        self._turns, self._most_flights = asyncio.Semaphore(at_once), at_once + waiting
        self._serials = count(1)
        self._found: Bounded[str, tuple[float, Account, str]] = Bounded(_ACCOUNTS_KEPT)
        self._lookups: SingleFlight[str, tuple[Account, str]] = SingleFlight()
        self._kept: Bounded[_Key, tuple[datetime, ClusterCosts, int]] = Bounded(kept_rows)
        self._flights: SingleFlight[_Key, tuple[ClusterCosts, int]] = SingleFlight()

    @property
    def answers_kept(self) -> int:
        """How many answers are remembered, fresh or not."""
        return len(self._kept)

    @property
    def answers_under_way(self) -> int:
        """How many answers are being asked for."""
        return len(self._flights)

    async def clusters(self) -> list[Account]:
        """The living accounts of Kubernetes clusters, by name. Raises StoreError."""
        accounts = await asyncio.to_thread(self._accounts.all)
        return [account for account in accounts if account.type is AccountType.KUBERNETES_CNR]

    async def check(self) -> None:
        """See that accounts can be looked up. Raises StoreError."""
        await asyncio.to_thread(self._accounts.organization)

    async def cluster(self, account_id: str) -> Account:
        """The living account of a cluster, by its id alone. Raises AccountNotFound, NotACluster, StoreError."""
        return (await self._cluster(account_id))[0]

    async def costs(self, account_id: str, window: Window) -> CachedAnswer:
        """What the account cost over the window.

        Raises: AccountNotFound, NotACluster; ClusterUnreadable, where its source gave nothing; Overloaded, StoreError.
        """
        account, source_facts = await self._cluster(account_id)
        key = (account.id, source_facts, window)
        found = self._kept.get(key)
        if found is not None:
            kept_at, costs, serial = found
            age = self._clock.now() - kept_at
            if timedelta() <= age <= KEPT:
                return CachedAnswer(account, costs, age.total_seconds(), True, serial)
            self._kept.drop(key)
        if len(self._flights) >= self._most_flights:
            raise Overloaded(len(self._flights))
        costs, serial = await self._flights(key, lambda: self._ask(account, key))
        return CachedAnswer(account, costs, 0.0, False, serial)

    async def close(self) -> None:
        """Give up what is under way."""
        await self._flights.close()
        await self._lookups.close()

    async def _cluster(self, account_id: str) -> tuple[Account, str]:
        """The account, and what of it its costs depend on."""
        found = self._found.get(account_id)
        if found is not None and time.monotonic() < found[0]:
            return found[1:]
        return await self._lookups(account_id, lambda: self._look_up(account_id))

    async def _look_up(self, account_id: str) -> tuple[Account, str]:
        self._found.drop(account_id)
        try:
            account = await asyncio.to_thread(self._accounts.find, account_id)
        except AmbiguousAccount as error:  # several names
            raise AccountNotFound(account_id) from error
        if account.id != account_id:  # its name
            raise AccountNotFound(account_id)
        if account.type is not AccountType.KUBERNETES_CNR:
            raise NotACluster(account_id, account.type)
        source_facts = _source_facts(account)
        self._found.put(account_id, (time.monotonic() + _LOOKED_UP_SECONDS, account, source_facts))
        return account, source_facts

    async def _ask(self, account: Account, key: _Key) -> tuple[ClusterCosts, int]:
        window, url = key[2], account.kubecost_url or account.name
        async with self._turns:
            began = time.monotonic()
            try:
                async with self._open_source(account) as source:
                    url = source.url
                    costs = await get_cluster_costs(
                        _Counted(source, self.tally), window, clock=self._clock, deadline_seconds=self._deadline_seconds
                    )
            except (SourceError, RequestError, NotFound) as error:
                seconds = round(time.monotonic() - began, 3)
                _log.warning("costs_failed", account=account.id, source=url, code=error.code, seconds=seconds)
                raise ClusterUnreadable(account.id, url, error) from error
        seconds, serial = round(time.monotonic() - began, 3), next(self._serials)
        _log.info("costs_read", account=account.id, source=url, status=costs.status.value, seconds=seconds)
        if not any(issue.kind is IssueKind.SOURCE_FAILED for issue in costs.issues):
            rows = sum(len(booking.rows) for booking in costs.bookings)
            self._kept.put(key, (self._clock.now(), costs, serial), weight=1 + rows)
        return costs, serial


class _Counted:
    """A source whose questions are counted."""

    def __init__(self, source: CostSource, tally: Tally) -> None:
        self._source, self._tally = source, tally

    @property
    def url(self) -> str:
        return self._source.url

    @property
    def account(self) -> str | None:
        return self._source.account

    async def read(self, window: Window) -> Reading:
        with self._tally.asking("read"):
            return await self._source.read(window)

    async def about(self) -> About:
        with self._tally.asking("about"):
            return await self._source.about()

    async def savings(self) -> Savings | None:
        with self._tally.asking("savings"):
            return await self._source.savings()


def _source_facts(account: Account) -> str:
    """A digest of all that leads to the account's source, credentials among it: with another its costs are others."""
    facts = {name: value for name, value in asdict(account).items() if name not in _NOT_THE_SOURCE}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
