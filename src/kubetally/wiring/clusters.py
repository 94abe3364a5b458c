"""What clusters cost: those that are named by where their source is, and those that are remembered."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime

from kubetally import logs
from kubetally.domain.cluster_costs import ClusterCosts, DetailLevel, SourceIdentity
from kubetally.domain.errors import KubetallyError, RequestError, SourceError
from kubetally.domain.window import Clock, Window
from kubetally.ledger.accounts.duplicates import flag_duplicate_clusters
from kubetally.ledger.costs.join import Live, get_costs_as_of, join_costs
from kubetally.ledger.costs.legacy import legacy_late, with_legacy
from kubetally.ledger.costs.stored_days import Held, History, stored_days
from kubetally.settings import Settings
from kubetally.sources.kubernetes.discoveries import Discoveries
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.cluster import AccountCluster, AnyCluster, of_account, place_of
from kubetally.wiring.environment import read_settings
from kubetally.wiring.ledger import open_ledger
from kubetally.wiring.sources import open_metrics, open_source


@dataclass(frozen=True, slots=True)
class Failed:
    """Stands in a list of answers for a cluster that gave none."""

    source: SourceIdentity
    error: KubetallyError


class AsOfNeedsAccount(RequestError):
    """What held at an instant was asked of a cluster of which nothing is kept."""

    code = "as_of_needs_account"

    def __init__(self, place: str) -> None:
        self.place = place
        super().__init__(
            f"{place} is no account, and nothing is kept of it: what held at an instant is known of accounts whose "
            "days were collected"
        )


class Unforeseen(SourceError):
    """Something failed that nobody has foreseen: a defect of Kubetally."""

    code = "unforeseen"

    def __init__(self, url: str, what: str) -> None:
        self.url, self.what = url, what
        super().__init__(
            f"{url} could not be read for a reason that was not foreseen ({what}): please report it "
            "with the log (KUBETALLY_LOG_LEVEL=warning)"
        )


async def get_cluster_costs(
    cluster: AnyCluster,
    window: Window,
    detail_level: DetailLevel = DetailLevel.SUMMARY,
    *,
    settings: Settings | None = None,
    clock: Clock | None = None,
    legacy: bool = False,
    discoveries: Discoveries | None = None,
    history: History | None = None,
) -> ClusterCosts:
    """What a cluster cost over a window, balanced to the last micro.

    Every view is in the answer, whatever `detail_level`: it says how finely `answer` breaks it down. `legacy`: with the
    old sums of infrastructure metrics beside it, under the same deadline. `discoveries`: what contexts led to already.
    `history`: what was collected of accounts, which need not be asked for.

    Raises: SourceError (it gave no answer), RequestError (the cluster, the window or a setting is not usable).
    """
    settings, clock = settings or read_settings(), clock or SystemClock()
    deadline = settings.deadline_seconds
    discoveries, held = discoveries or Discoveries(), Held()
    if isinstance(cluster, AccountCluster):
        held = await stored_days(history, None, cluster.account.id, window, clock.now())
    async with AsyncExitStack() as stack:
        metrics = open_metrics(cluster, settings, discoveries)
        beside = await stack.enter_async_context(metrics) if legacy else None

        @asynccontextmanager
        async def live() -> AsyncIterator[Live]:
            async with (
                open_source(cluster, settings, discoveries) as source,
                nullcontext(beside) if legacy else metrics as opened,
            ):
                yield Live(source, opened)

        ends = asyncio.get_running_loop().time() + deadline
        place = place_of(cluster)
        costs = await join_costs(
            held.days, place, live, window, clock=clock, deadline_seconds=deadline, of_history=held.issues
        )
        if legacy:
            try:
                async with asyncio.timeout_at(ends):
                    costs = await with_legacy(costs, beside, clock.now())
            except TimeoutError:
                costs = legacy_late(costs, beside.url if beside else costs.source.url, deadline)
    return replace(costs, detail_level=detail_level, source=of_account(costs.source, cluster))


async def get_costs_of_all(
    clusters: Sequence[AnyCluster],
    window: Window,
    *,
    settings: Settings | None = None,
    clock: Clock | None = None,
    done: Callable[[], None] = lambda: None,
    legacy: bool = False,
    with_history: bool = True,
    as_of: datetime | None = None,
) -> list[ClusterCosts | Failed]:
    """Several clusters at once, in the order given; one that fails or hangs does not hold the others.

    `done` is called as each ends. `with_history`: whether days of accounts that were collected count, or all is asked.
    `as_of`: what was known of accounts at that instant; no source is asked then, nor for `legacy`.

    Raises nothing that concerns one cluster only; HistoryGone, InvalidAsOf, AsOfNeedsAccount, StoreError.
    """
    settings, discoveries = settings or read_settings(), Discoveries()
    if as_of is not None:
        return _all_as_of(clusters, window, as_of, settings, clock or SystemClock(), done)
    if not with_history or not any(isinstance(cluster, AccountCluster) for cluster in clusters):
        return await _of_all(clusters, window, None, settings, clock, done, discoveries, legacy=legacy)
    with open_ledger(settings, clock) as ledger:
        return await _of_all(clusters, window, ledger.history, settings, clock, done, discoveries, legacy=legacy)


def _all_as_of(
    clusters: Sequence[AnyCluster],
    window: Window,
    as_of: datetime,
    settings: Settings,
    clock: Clock,
    done: Callable[[], None],
) -> list[ClusterCosts | Failed]:
    answers: list[ClusterCosts | Failed] = []
    with open_ledger(settings, clock) as ledger:
        for cluster in clusters:
            place = place_of(cluster)
            if not isinstance(cluster, AccountCluster):
                raise AsOfNeedsAccount(place)
            held = ledger.history.days(cluster.account.id, window, clock.now(), as_of)
            costs = get_costs_as_of(held, place, window, as_of)
            answers.append(replace(costs, source=of_account(costs.source, cluster)))
            done()
    return answers


async def _of_all(
    clusters: Sequence[AnyCluster],
    window: Window,
    history: History | None,
    settings: Settings,
    clock: Clock | None,
    done: Callable[[], None],
    discoveries: Discoveries,
    *,
    legacy: bool,
) -> list[ClusterCosts | Failed]:

    async def one(cluster: AnyCluster) -> ClusterCosts | Failed:
        place = place_of(cluster)
        try:
            return await get_cluster_costs(
                cluster,
                window,
                settings=settings,
                clock=clock,
                legacy=legacy,
                discoveries=discoveries,
                history=history,
            )
        except KubetallyError as error:
            return Failed(of_account(SourceIdentity(place), cluster), error)
        except Exception as error:  # a defect met by one cluster must not take the answers of the others
            logs.warning("unforeseen", source=place, error=type(error).__name__, exc_info=True)
            failure = Unforeseen(place, type(error).__name__)
            return Failed(of_account(SourceIdentity(place), cluster), failure)
        finally:
            done()

    answers = await asyncio.gather(*(one(cluster) for cluster in clusters))
    told = iter(flag_duplicate_clusters([answer for answer in answers if isinstance(answer, ClusterCosts)]))
    return [next(told) if isinstance(answer, ClusterCosts) else answer for answer in answers]
