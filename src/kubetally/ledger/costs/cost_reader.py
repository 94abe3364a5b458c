"""What clusters cost, from stored days and live answers of their sources. The one path to an answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TypeVar

from kubetally import logs
from kubetally.domain.account import Account
from kubetally.domain.currency import OriginatedCurrency
from kubetally.domain.errors import KubetallyError, RequestError, SourceError, StoreError
from kubetally.domain.fleet import Failed
from kubetally.domain.live_costs import LiveCosts
from kubetally.domain.missing_days import stored_outside
from kubetally.domain.report import ClusterReport
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.window import Clock, Window
from kubetally.ledger.accounts.duplicates import flag_duplicate_clusters, flag_duplicates_of_live
from kubetally.ledger.costs.join import UNSTATED, get_costs_as_of, join_costs
from kubetally.ledger.costs.legacy import with_legacy
from kubetally.ledger.costs.missing import Live, ask_missing, missing_as_of
from kubetally.ledger.costs.stored_days import History, stored_days
from kubetally.ledger.ports.sources import CostSource, MetricsSource
from kubetally.tasks import Calculate, calculate_here, run_blocking

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class CostSubject:
    """A cluster whose costs are requested.

    place: where its source is, without credentials. account: None for a cluster without an account, which has no
    stored days. open_source, open_metrics: open its cost source and its Prometheus, None if it has none. currency:
    what account, options and settings state, else the default. label: of its account beside others, if not its name.
    """

    place: str
    account: Account | None
    open_source: Callable[[], AbstractAsyncContextManager[CostSource]]
    open_metrics: Callable[[], AbstractAsyncContextManager[MetricsSource | None]]
    currency: OriginatedCurrency = UNSTATED
    label: str | None = None

    def identify(self, source: SourceIdentity) -> SourceIdentity:
        """The identity of its source, with that of its account."""
        if self.account is None:
            return source
        account = self.account
        return replace(source, account_id=account.id, account_name=account.name, account_label=self.label)


class CostReader:
    """Answers what clusters cost.

    history: stored days of accounts, read on `history_executor`; None asks the sources for everything.
    deadline_seconds: for the sources of one answer. calculate: runs booking and adding up.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        history: History | None = None,
        history_executor: Executor | None = None,
        deadline_seconds: float | None = None,
        calculate: Calculate = calculate_here,
    ) -> None:
        self._clock, self._history, self._history_executor = clock, history, history_executor
        self._deadline_seconds, self._calculate = deadline_seconds, calculate

    async def get_cluster_costs(self, subject: CostSubject, window: Window, *, legacy: bool = False) -> ClusterReport:
        """What a cluster cost over a window, balanced to the last micro.

        legacy: with the old sums of infrastructure metrics, under the same deadline.
        Raises: SourceError, RequestError.
        """
        stored = await stored_days(
            None if subject.account is None else self._history,
            self._history_executor,
            "" if subject.account is None else subject.account.id,
            window,
            self._clock.now(),
        )
        async with AsyncExitStack() as stack:
            legacy_metrics = await stack.enter_async_context(subject.open_metrics()) if legacy else None

            @asynccontextmanager
            async def open_live() -> AsyncIterator[Live]:
                async with (
                    subject.open_source() as source,
                    nullcontext(legacy_metrics) if legacy else subject.open_metrics() as metrics,
                ):
                    yield Live(source, metrics)

            deadline = self._deadline_seconds
            ends = None if deadline is None else asyncio.get_running_loop().time() + deadline
            costs = await join_costs(
                stored.days,
                subject.place,
                open_live,
                window,
                clock=self._clock,
                deadline_seconds=deadline,
                history_issues=stored.issues,
                currency=subject.currency,
                calculate=self._calculate,
            )
            if legacy:
                costs = await with_legacy(
                    costs,
                    _until(ends, legacy_metrics),
                    self._clock.now(),
                    url=costs.source.url,
                    deadline_seconds=deadline,
                )
        return replace(costs, source=subject.identify(costs.source))

    async def _get_costs_as_of(self, subject: CostSubject, window: Window, as_of: datetime) -> ClusterReport:
        """What was stored at an instant; no source is queried. Raises StoreError."""
        history, account = self._history_of(subject)
        read = partial(history.days, account.id, window, self._clock.now(), as_of=as_of)
        stored = await run_blocking(self._history_executor, read)
        costs = get_costs_as_of(stored, subject.place, window, as_of, currency=subject.currency)
        return replace(costs, source=subject.identify(costs.source))

    def _history_of(self, subject: CostSubject) -> tuple[History, Account]:
        """The history of the subject and its account. Raises RequestError, if it has none."""
        if subject.account is None or self._history is None:
            raise RequestError(
                f"--as-of needs an account with collected history; {subject.place} has none", code="as_of_needs_account"
            )
        return self._history, subject.account

    async def get_costs_of_all(
        self,
        subjects: Sequence[CostSubject],
        window: Window,
        *,
        done: Callable[[], None] = lambda: None,
        legacy: bool = False,
        as_of: datetime | None = None,
    ) -> list[ClusterReport | Failed]:
        """The costs of several clusters, read concurrently, in the order of `subjects`.

        A cluster that fails is a `Failed` in its place. done: called when a cluster ends. as_of: what was stored at
        that instant; no source is queried.
        Raises: HistoryGone, InvalidAsOf; RequestError, if there is no history of a cluster at `as_of`.
        """
        if as_of is not None:
            self.check_instant(subjects, as_of)

        async def answer(subject: CostSubject) -> ClusterReport:
            if as_of is not None:
                return await self._get_costs_as_of(subject, window, as_of)
            return await self.get_cluster_costs(subject, window, legacy=legacy)

        answers = await self._ask_each(subjects, window, answer, done)
        flagged = iter(flag_duplicate_clusters([costs for costs in answers if isinstance(costs, ClusterReport)]))
        return [next(flagged) if isinstance(costs, ClusterReport) else costs for costs in answers]

    def check_instant(self, subjects: Sequence[CostSubject], as_of: datetime) -> None:
        """Raises HistoryGone, InvalidAsOf; RequestError, if there is no history of a cluster at that instant."""
        for subject in subjects:
            self._history_of(subject)[0].check_instant(as_of, now=self._clock.now())

    async def ask_missing_of_all(
        self,
        subjects: Mapping[str, CostSubject],
        stored: Mapping[str, Sequence[Window]],
        window: Window,
        *,
        done: Callable[[], None] = lambda: None,
        as_of: datetime | None = None,
    ) -> dict[str, LiveCosts | Failed]:
        """What the sources of several clusters answer for the parts of a window that are not stored, by id.

        As `get_costs_of_all`, but stored days are not read. stored: the windows of stored days by id of the account.
        """
        if as_of is not None:
            self.check_instant(list(subjects.values()), as_of)

        async def answer(subject: CostSubject) -> LiveCosts:
            @asynccontextmanager
            async def open_live() -> AsyncIterator[Live]:
                async with subject.open_source() as source, subject.open_metrics() as metrics:
                    yield Live(source, metrics)

            held = () if subject.account is None else stored.get(subject.account.id, ())
            if as_of is not None:
                return missing_as_of(held, subject.place, window, as_of, subject.currency)
            live = await ask_missing(
                held,
                subject.place,
                open_live,
                window,
                clock=self._clock,
                deadline_seconds=self._deadline_seconds,
                currency=subject.currency,
                calculate=self._calculate,
            )
            return replace(live, source=subject.identify(live.source))

        answers = flag_duplicates_of_live(await self._ask_each(list(subjects.values()), window, answer, done), window)
        return dict(zip(subjects, answers, strict=True))

    async def _ask_each(
        self,
        subjects: Sequence[CostSubject],
        window: Window,
        ask: Callable[[CostSubject], Awaitable[_T]],
        done: Callable[[], None],
    ) -> list[_T | Failed]:
        """The answers of clusters, asked concurrently, in order. `done` is called when one ends."""

        async def answer(subject: CostSubject) -> _T | Failed:
            try:
                return await ask(subject)
            except SourceError as error:
                failed = Failed(subject.identify(SourceIdentity(subject.place)), error)
                return replace(failed, note=await self._stored_instead(subject, window))
            except KubetallyError as error:
                return Failed(subject.identify(SourceIdentity(subject.place)), error)
            except Exception as error:  # Unexpected error: must not affect other clusters.
                logs.warning("unforeseen", source=subject.place, error=type(error).__name__, exc_info=True)
                return Failed(subject.identify(SourceIdentity(subject.place)), _unforeseen(subject.place, error))
            finally:
                done()

        return await asyncio.gather(*(answer(subject) for subject in subjects))

    async def _stored_instead(self, subject: CostSubject, window: Window) -> str:
        """Which days of a cluster are stored, if none is in the window."""
        if subject.account is None or self._history is None:
            return ""
        try:
            stored = await run_blocking(self._history_executor, partial(self._history.span, subject.account.id))
        except StoreError:  # said by whatever reads the days
            return ""
        return stored_outside(window, stored)


def subjects_by_id(subjects: Sequence[CostSubject]) -> dict[str, CostSubject]:
    """The clusters by the id of their account, else by where they are; equal places are numbered."""
    by_id = dict[str, CostSubject]()
    for number, subject in enumerate(subjects, 1):
        id_ = subject.place if subject.account is None else subject.account.id
        by_id[f"{id_} ({number})" if id_ in by_id else id_] = subject
    return by_id


@asynccontextmanager
async def _until(ends: float | None, metrics: MetricsSource | None) -> AsyncIterator[MetricsSource | None]:
    """An open Prometheus until `ends`, in the loop's time. Raises TimeoutError."""
    async with asyncio.timeout_at(ends):
        yield metrics


def _unforeseen(url: str, error: Exception) -> SourceError:
    """The error of a cluster that could not be read because of a defect of Kubetally."""
    return SourceError(
        f"{url} could not be read because of an unexpected {type(error).__name__}. Please report it with the log "
        "(KUBETALLY_LOG_LEVEL=warning)",
        code="unforeseen",
    )
