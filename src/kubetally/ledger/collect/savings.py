"""Collecting what sources recommend to save: once a day and account, after its costs, and never in their way."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import NamedTuple, TypeVar
from uuid import uuid4

import structlog

from kubetally.domain.account import Account, AccountType
from kubetally.domain.cluster_costs import KUBECOST
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
from kubetally.domain.window import Clock, Window, midnight, whole_hour
from kubetally.ledger.collect.savings_batch import BATCH_ROWS, SavingsAnswer, SavingsBatch
from kubetally.ledger.collect.schedule import UNFORESEEN
from kubetally.ledger.collect.writer import LakeWriter
from kubetally.ledger.costs.live import DeadlinePassed
from kubetally.ledger.ports.accounts import Accounts
from kubetally.ledger.ports.coverage import SavingsDays
from kubetally.ledger.ports.sources import SavingsSource

T = TypeVar("T")
OpenSavings = Callable[[Account], AbstractAsyncContextManager[SavingsSource]]
AT_ONCE = 4
"""Accounts that are asked at a time, each with one question at a time; all of them may be of one source."""
_SIZED_FOR = timedelta(days=7)
_log = structlog.get_logger(__name__)


class SavingsMissing(SourceError):
    """The source has no savings, although it is a Kubecost, or does not tell what it is."""

    code = "savings_missing"

    def __init__(self, url: str, *, is_kubecost: bool) -> None:
        self.url, self.is_kubecost = url, is_kubecost
        what = "its costs were those of a Kubecost" if is_kubecost else "it does not tell that it is an OpenCost"
        super().__init__(f"{url} answered /savings with 404, but {what}; check whether a proxy lets /savings through")


class _Failure(NamedTuple):
    """Why something could not be read."""

    code: str
    why: str


@dataclass(frozen=True, slots=True)
class _Due:
    """An account to be asked, and its newest stored day."""

    account: Account
    newest: Collection


class SavingsCollector:
    """Collects the savings of accounts whose newest day is stored.

    deadline_seconds: of opening an account's source and all of its questions. executor: where the stores are asked,
    which block. batch_rows: that are committed at once. An answer that failed is asked for again on the next day.
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
        """Ask those that were not asked today, of all accounts or those named; what was noted since the last call.

        Raises: AccountNotFound, AmbiguousAccount, AnotherWriter, LeaseLost, StoreError; what was read and refused by a
                store is kept for the next call, and not asked again.
        """
        today = self._clock.now().date()
        due = await self._blocking(partial(self._due, today, names))
        stored = []
        for begin in range(0, len(due), AT_ONCE):
            if self._batch.is_full or not should_continue():
                break
            some = due[begin : begin + AT_ONCE]
            answers = await asyncio.gather(*(self._asked(account, today) for account in some))
            await self._blocking(partial(self._batch.add, answers))
            if self._batch.is_due:
                stored += await self._blocking(self._store_if_possible)
        return stored + await self._blocking(self._batch.store)

    def _store_if_possible(self) -> list[SavingsDay]:
        """Store what was read; what is refused is tried again with the next ones, which get their turn meanwhile."""
        try:
            return self._batch.store()
        except StoreError as error:
            _log.warning("savings_not_stored", code=error.code, error=str(error))
            return []

    def _due(self, today: date, names: Sequence[str]) -> list[_Due]:
        known = {*self._days.of_day(today), *self._batch.asked(today)}
        accounts = [self._accounts.find(name) for name in names] or self._accounts.all()
        left = {one.id: one for one in accounts if one.type is AccountType.KUBERNETES_CNR and one.id not in known}
        if not left:
            return []
        newest = (whole_hour(self._clock.now()) - timedelta(hours=1)).date()
        held = self._writer.coverage.held_on(newest, list(left))
        return [_Due(left[id_], held[id_]) for id_ in left if id_ in held]

    async def _asked(self, due: _Due, today: date) -> SavingsAnswer:
        """What an account's source says. Raises nothing of the source."""
        now = self._clock.now()
        account, told = due.account, due.newest.source
        if told.product not in {None, KUBECOST}:
            return SavingsAnswer(SavingsDay(account.id, today, SavingsState.NO_SAVINGS, now))
        reading = _Reading(told.url, is_kubecost=told.product == KUBECOST)
        try:
            async with asyncio.timeout(self._deadline_seconds), self._open_source(account) as source:
                await reading.read(source, Window(midnight(now) - _SIZED_FOR, midnight(now)))
        except TimeoutError:
            failure: _Failure | None = _failure_of(DeadlinePassed(told.url, self._deadline_seconds), told.url)
        except Exception as error:  # a defect met by one account must not end the others' collection
            failure = _failure_of(error, told.url)
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
            told.url,
            reading.savings.cluster_id or told.cluster_id,
            reading.savings.profile,
            head.currency,
            reading.rows(),
        )
        state = SavingsState.COLLECTED if failure is None else SavingsState.PARTIAL
        return SavingsAnswer(collected.as_known(state, head.currency_origin, code, why), collected)

    async def _blocking(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)


class _Reading:
    """What was read so far, which counts where the rest fails or is late.

    is_kubecost: the account's costs came from one, so that it has savings.
    """

    def __init__(self, url: str, *, is_kubecost: bool) -> None:
        self.savings: Savings | None = None
        self.failure: _Failure | None = None
        self._url, self._is_kubecost = url, is_kubecost
        self._items: dict[str, SavingsItems] = {}

    async def read(self, source: SavingsSource, window: Window) -> None:
        """The categories, then the items of each; a list that fails hinders no other, and the first is `failure`.

        Raises: SourceError, where the categories can't be had.
        """
        self.savings = await source.savings()
        if self.savings is None and (self._is_kubecost or (await source.introduce()).product is None):
            raise SavingsMissing(self._url, is_kubecost=self._is_kubecost)
        for category in self._categories():
            try:
                items = await source.savings_items(category.name, window)
            except Exception as error:  # also a defect: what was read before counts
                self.failure = self.failure or _failure_of(error, self._url)
                continue
            if items is not None:
                self._items[category.name] = items

    def rows(self) -> tuple[SavingsRow, ...]:
        """All that was read, each category before its items."""
        return tuple(
            row for category in self._categories() for row in rows_of_category(category, self._items.get(category.name))
        )

    def _categories(self) -> Sequence[SavingsCategory]:
        return () if self.savings is None else self.savings.categories


def _failure_of(error: Exception, url: str) -> _Failure:
    """Why savings could not be read; what nobody foresaw is logged."""
    if isinstance(error, KubetallyError):
        return _Failure(error.code, str(error))
    kind = type(error).__name__
    _log.warning("unforeseen", source=url, error=kind, exc_info=error)
    return _Failure(UNFORESEEN, f"the savings of {url} could not be read ({kind}): please report it with the log")
