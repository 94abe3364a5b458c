"""What clusters cost, with the sources and the ledger of the settings."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from kubetally.domain.currency import choose_currency
from kubetally.domain.fleet import Failed
from kubetally.domain.question.cost_question import DetailLevel
from kubetally.domain.report import ClusterReport
from kubetally.domain.window import Clock, Window
from kubetally.ledger.costs.cost_reader import CostReader, CostSubject
from kubetally.ledger.costs.stored_days import History
from kubetally.ledger.ports.clusters import AccountCluster, AnyCluster, Cluster
from kubetally.settings import Settings
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.environment import read_settings

if TYPE_CHECKING:
    from kubetally.sources.opener import SourceOpener

OpenerOf = Callable[[], "SourceOpener"]


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
    settings = settings or read_settings()
    reader = CostReader(clock or SystemClock(), deadline_seconds=settings.deadline_seconds)
    costs = await reader.get_cluster_costs(subject_of(cluster, opener_of(settings), settings.currency), window)
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
    """As `CostReader.get_costs_of_all`.

    with_history: whether stored days of accounts are used, or everything is asked.
    """
    settings, clock = settings or read_settings(), clock or SystemClock()
    opener = opener_of(settings)
    subjects = [subject_of(cluster, opener, settings.currency) for cluster in clusters]
    seconds = settings.deadline_seconds
    if as_of is None and not (with_history and any(subject.account for subject in subjects)):
        reader = CostReader(clock, deadline_seconds=seconds)
        return await reader.get_costs_of_all(subjects, window, done=done, legacy=legacy)
    from kubetally.wiring.ledger import open_ledger  # heavy: the database's libraries

    with open_ledger(settings, clock) as ledger:
        reader = CostReader(clock, history=History.of(ledger), deadline_seconds=seconds)
        return await reader.get_costs_of_all(subjects, window, done=done, legacy=legacy, as_of=as_of)


def opener_of(settings: Settings) -> OpenerOf:
    """What returns the opener of sources; loads the libraries that read them when it is first called."""

    @cache
    def opener() -> "SourceOpener":
        from kubetally.wiring.sources import source_opener

        return source_opener(settings)

    return opener


def subject_of(cluster: AnyCluster, opener: OpenerOf, currency: str | None = None) -> CostSubject:
    """The cluster with its sources. currency: that of the settings."""
    return CostSubject(
        cluster.place,
        cluster.account if isinstance(cluster, AccountCluster) else None,
        lambda: opener().source(cluster),
        lambda: opener().prometheus(cluster),
        choose_currency(of_account=cluster.facts.currency, of_settings=currency, default=cluster.default_currency),
    )
