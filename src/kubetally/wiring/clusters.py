"""What clusters cost, with the sources and the ledger of the settings."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from kubetally.domain.currency import OriginatedCurrency, choose_currency
from kubetally.domain.fleet import Failed
from kubetally.domain.question.cost_question import DetailLevel
from kubetally.domain.report import ClusterReport
from kubetally.domain.window import Clock, Window
from kubetally.ledger.costs.cost_reader import CostReader, CostSubject
from kubetally.ledger.costs.stored_days import History
from kubetally.ledger.ports.clusters import AccountCluster, AnyCluster, Cluster, labels_of
from kubetally.ledger.stores import Ledger
from kubetally.settings import Settings
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.environment import read_settings

if TYPE_CHECKING:
    from kubetally.sources.opener import SourceOpener


async def get_cluster_costs(
    cluster: Cluster,
    window: Window,
    detail_level: DetailLevel = DetailLevel.SUMMARY,
    *,
    settings: Settings | None = None,
    clock: Clock | None = None,
) -> ClusterReport:
    """What a cluster cost over a window, balanced to the last micro.

    Every view is in the answer, whatever `detail_level`: it says how finely `answer` breaks it down.
    Raises: SourceError (it gave no answer), RequestError (the cluster, the window or a setting is not usable).
    """
    (costs,) = await get_costs_of_all([cluster], window, settings=settings, clock=clock)
    if isinstance(costs, Failed):
        raise costs.error
    return replace(costs, question=replace(costs.question, detail_level=detail_level))


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
) -> list[ClusterReport | Failed]:
    """As `CostReader.get_costs_of_all`. with_history: whether stored days are used, or everything is asked."""
    settings, clock = settings or read_settings(), clock or SystemClock()
    with open_costs(clusters, settings, clock, with_history=with_history or as_of is not None) as (subjects, reader, _):
        return await reader.get_costs_of_all(subjects, window, done=done, legacy=legacy, as_of=as_of)


@contextmanager
def open_costs(
    clusters: Sequence[AnyCluster], settings: Settings, clock: Clock, *, with_history: bool = True
) -> Iterator[tuple[list[CostSubject], CostReader, Ledger | None]]:
    """The clusters with their sources, what reads their costs, and the ledger, if any of them has stored days."""
    subjects, ledger = subjects_of(clusters, settings), None
    with ExitStack() as stack:
        if with_history and any(subject.account for subject in subjects):
            from kubetally.wiring.ledger import open_ledger  # heavy: the database's libraries

            ledger = stack.enter_context(open_ledger(settings, clock))
        history = None if ledger is None else History.of(ledger)
        yield subjects, CostReader(clock, history=history, deadline_seconds=settings.deadline_seconds), ledger


def currency_of(cluster: AnyCluster, settings: Settings) -> OriginatedCurrency:
    """The currency of a cluster whose source states none."""
    stated, default = cluster.facts.currency, cluster.default_currency
    return choose_currency(of_account=stated, of_settings=settings.currency, default=default)


def subjects_of(clusters: Sequence[AnyCluster], settings: Settings) -> list[CostSubject]:
    """The clusters with their sources; the libraries that read these are loaded when the first is opened."""

    @cache
    def opener() -> "SourceOpener":
        from kubetally.wiring.sources import source_opener

        return source_opener(settings)

    labels = labels_of(clusters)

    def subject(cluster: AnyCluster) -> CostSubject:
        account = cluster.account if isinstance(cluster, AccountCluster) else None
        return CostSubject(
            cluster.place,
            account,
            lambda: opener().source(cluster),
            lambda: opener().prometheus(cluster),
            currency_of(cluster, settings),
            None if account is None else labels[account.id],
        )

    return [subject(cluster) for cluster in clusters]
