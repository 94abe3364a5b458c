"""Collecting the savings that sources recommend: once a day and account, after its costs."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import NamedTuple
from uuid import uuid4

from kubetally import logs
from kubetally.domain.account import Account, AccountType
from kubetally.domain.collection import Collection
from kubetally.domain.errors import KubetallyError, SourceError, StoreError
from kubetally.domain.savings import (
    CollectedSavings,
    Savings,
    SavingsCategory,
    SavingsDay,
    SavingsItems,
    SavingsRow,
    SavingsState,
    rows_of_category,
)
from kubetally.domain.source_identity import KUBECOST
from kubetally.domain.window import Clock, Window, midnight, whole_hour
from kubetally.ledger.collect.savings_batch import BATCH_ROWS, SavingsAnswer, SavingsBatch
from kubetally.ledger.collect.schedule import UNFORESEEN
from kubetally.ledger.costs.live import DeadlinePassed
from kubetally.ledger.ports.accounts import Accounts
from kubetally.ledger.ports.coverage import SavingsDays
from kubetally.ledger.ports.sources import SavingsSource
from kubetally.ledger.writing.writer import LakeWriter
from kubetally.tasks import run_blocking

OpenSavings = Callable[[Account], AbstractAsyncContextManager[SavingsSource]]
MAX_CONCURRENCY = 4
"""Accounts read at a time, with one request each; all of them may have the same source."""
_SIZING_WINDOW = timedelta(days=7)
_log = logs.get_logger(__name__)


class _Failure(NamedTuple):
    """Why savings could not be read."""

    code: str
    why: str


@dataclass(frozen=True, slots=True)
class _Due:
    """An account whose savings are due, and its newest stored day."""

    account: Account
    newest: Collection


class SavingsCollector:
    """Collects the savings of accounts whose newest day is stored.

    deadline_seconds: of opening an account's source and all of its requests. executor: where blocking calls of the
    stores run. batch_rows: committed together. An account that failed is due again on the next day.
    """

    def __init__(
        self,
        accounts: Accounts,
        days: SavingsDays,
        writer: LakeWriter,
        open_source: OpenSavings,
        clock: Clock,
        *,
        deadline_seconds: float,
        executor: Executor | None = None,
        batch_rows: int = BATCH_ROWS,
        new_id: Callable[[], str] = lambda: uuid4().hex,
    ) -> None:
        self._accounts, self._days, self._writer = accounts, days, writer
        self._open_source, self._clock, self._executor = open_source, clock, executor
        self._deadline_seconds, self._new_id = deadline_seconds, new_id
        self._batch = SavingsBatch(accounts, days, writer, clock, batch_rows=batch_rows)

    async def collect(
        self, names: Sequence[str] = (), should_continue: Callable[[], bool] = lambda: True
    ) -> list[SavingsDay]:
        """Collect savings that were not collected today, of all accounts or those named.

        Returns the days stored since the last call. Answers that a store refused are stored by the next call.
        Raises: AccountNotFound, AmbiguousAccount, AnotherWriter, StoreError.
        """
        today = self._clock.now().date()
        due = await run_blocking(self._executor, partial(self._due, today, names))
        stored = []
        for start in range(0, len(due), MAX_CONCURRENCY):
            if self._batch.is_full or not should_continue():
                break
            batch = due[start : start + MAX_CONCURRENCY]
            answers = await asyncio.gather(*(self._read(account, today) for account in batch))
            await run_blocking(self._executor, partial(self._batch.add, answers))
            if self._batch.is_due:
                stored += await run_blocking(self._executor, self._store_if_possible)
        return stored + await run_blocking(self._executor, self._batch.store)

    def _store_if_possible(self) -> list[SavingsDay]:
        """Store what was read; if a store refuses it, the next call does."""
        try:
            return self._batch.store()
        except StoreError as error:
            _log.warning("savings_not_stored", code=error.code, error=str(error))
            return []

    def _due(self, today: date, names: Sequence[str]) -> list[_Due]:
        known = {*self._days.of_day(today), *self._batch.account_ids(today)}
        accounts = [self._accounts.find(name) for name in names] or self._accounts.all()
        left = {
            account.id: account
            for account in accounts
            if account.type is AccountType.KUBERNETES_CNR and account.id not in known
        }
        if not left:
            return []
        newest = (whole_hour(self._clock.now()) - timedelta(hours=1)).date()
        stored = self._writer.coverage.collections_on(newest, list(left))
        return [_Due(left[id_], stored[id_]) for id_ in left if id_ in stored]

    async def _read(self, due: _Due, today: date) -> SavingsAnswer:
        """The savings of an account. Raises no error of the source."""
        now = self._clock.now()
        account, identity = due.account, due.newest.source
        if identity.product not in {None, KUBECOST}:
            return SavingsAnswer(SavingsDay(account.id, today, SavingsState.NO_SAVINGS, now))
        reading = _Reading(identity.url, is_kubecost=identity.product == KUBECOST)
        try:
            async with asyncio.timeout(self._deadline_seconds), self._open_source(account) as source:
                await reading.read(source, Window(midnight(now) - _SIZING_WINDOW, midnight(now)))
        except TimeoutError:
            failure: _Failure | None = _failure_of(DeadlinePassed(identity.url, self._deadline_seconds), identity.url)
        except Exception as error:  # unexpected error: must not affect other accounts
            failure = _failure_of(error, identity.url)
        else:
            failure = reading.failure
        code, why = (None, None) if failure is None else failure
        if reading.savings is None:
            state = SavingsState.NO_SAVINGS if failure is None else SavingsState.FAILED
            return SavingsAnswer(SavingsDay(account.id, today, state, now, code, why))
        head = due.newest.head
        collected = CollectedSavings(
            self._new_id(),
            account.id,
            today,
            now,
            identity.url,
            reading.savings.cluster_id or identity.cluster_id,
            reading.savings.profile,
            head.currency,
            reading.rows(),
        )
        state = SavingsState.COLLECTED if failure is None else SavingsState.PARTIAL
        return SavingsAnswer(collected.as_known(state, head.currency_origin, code, why), collected)


class _Reading:
    """What was read so far, which is used if the rest fails or is late.

    is_kubecost: whether the account's costs are of a Kubecost, so that there must be savings.
    """

    def __init__(self, url: str, *, is_kubecost: bool) -> None:
        self.savings: Savings | None = None
        self.failure: _Failure | None = None
        self._url, self._is_kubecost = url, is_kubecost
        self._items: dict[str, SavingsItems] = {}

    async def read(self, source: SavingsSource, window: Window) -> None:
        """Read the categories, then the items of each. The first list of items that fails sets `failure`.

        Raises: SourceError, if the categories can't be read.
        """
        self.savings = await source.savings()
        if self.savings is None and (self._is_kubecost or (await source.introduce()).product is None):
            why = "its costs are of a Kubecost" if self._is_kubecost else "it does not identify itself as an OpenCost"
            message = f"{self._url} answered /savings with 404, but {why}; check that no proxy blocks /savings"
            raise SourceError(message, code="savings_missing")
        for category in self._categories():
            try:
                items = await source.savings_items(category.name, window)
            except Exception as error:  # also a defect: what was read before is kept
                self.failure = self.failure or _failure_of(error, self._url)
                continue
            if items is not None:
                self._items[category.name] = items

    def rows(self) -> tuple[SavingsRow, ...]:
        """The rows read, each category before its items."""
        return tuple(
            row for category in self._categories() for row in rows_of_category(category, self._items.get(category.name))
        )

    def _categories(self) -> Sequence[SavingsCategory]:
        return () if self.savings is None else self.savings.categories


def _failure_of(error: Exception, url: str) -> _Failure:
    """Why savings could not be read; an unexpected error is logged."""
    if isinstance(error, KubetallyError):
        return _Failure(error.code, str(error))
    kind = type(error).__name__
    _log.warning("unforeseen", source=url, error=kind, exc_info=error)
    why = f"unexpected error while reading the savings of {url} ({kind}); please report this with the log"
    return _Failure(UNFORESEEN, why)
