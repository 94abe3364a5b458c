"""Grouped costs of clusters and how they came about, with the settings' ledger, sources and engine."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kubetally.domain.collection import CollectedDay
from kubetally.domain.compare import Comparison
from kubetally.domain.fleet import Failed
from kubetally.domain.live_costs import LiveCosts
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.report import CostReport
from kubetally.domain.window import Clock, Window
from kubetally.ledger.costs.cost_reader import subjects_by_id
from kubetally.ledger.ports.clusters import AnyCluster
from kubetally.ledger.stores import Ledger
from kubetally.query.explain import Explainer
from kubetally.query.joined import JoinedReader, joined_clusters
from kubetally.query.joined_report import get_joined_report
from kubetally.query.reader import LedgerReader
from kubetally.query.reports import LedgerReports
from kubetally.settings import Settings
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.clusters import open_costs
from kubetally.wiring.queries import query_engine

_Report = TypeVar("_Report", CostReport, Comparison)


@dataclass(frozen=True, slots=True)
class GroupedCosts(Generic[_Report]):
    """A report, the clusters that gave no answer, and what its accounts are called on screen, by id."""

    report: _Report
    failed: Sequence[Failed]
    labels: Mapping[str, str]


async def get_grouped_costs(
    clusters: Sequence[AnyCluster],
    questions: Sequence[CostQuestion],
    compute: Callable[[LedgerReports], _Report],
    *,
    settings: Settings,
    with_removed: bool = False,
    clock: Clock | None = None,
    done: Callable[[], None] = lambda: None,
) -> GroupedCosts[_Report]:
    """See `get_joined_report`.

    with_removed: with the stored days of removed accounts. done: called when a cluster ends, for each question.
    Raises: RequestError, for several currencies and for an instant without history; StoreError.
    """
    clock, as_of = clock or SystemClock(), questions[0].as_of
    with open_costs(clusters, settings, clock) as (subjects, costs, ledger):
        if as_of is not None:
            costs.check_instant(subjects, as_of)
        by_id, open_engine = subjects_by_id(subjects), query_engine(settings, in_process=ledger is None)

        async def ask(
            question: CostQuestion, ids: Collection[str], stored: Mapping[str, Sequence[Window]]
        ) -> dict[str, LiveCosts | Failed]:
            chosen = {id_: by_id[id_] for id_ in ids}
            return await costs.ask_missing_of_all(chosen, stored, question.window, done=done, as_of=as_of)

        listed = [] if ledger is None else ledger.accounts.listed()
        have_accounts = {id_: subject.account is not None for id_, subject in by_id.items()}
        joined = joined_clusters(have_accounts, listed, with_removed=with_removed)
        with JoinedReader(joined, ledger, open_engine, _encode, clock) as reader:
            report, failed = await get_joined_report(reader, questions, compute, ask)
            return GroupedCosts(report, failed, reader.labels())


@contextmanager
def open_explainer(settings: Settings) -> Iterator[tuple[Ledger, Explainer]]:
    """The ledger, and what explains its figures. Raises StoreError, RequestError."""
    from kubetally.sources.opencost.client import day_requests  # heavy: the HTTP client
    from kubetally.wiring.ledger import open_ledger  # heavy: the database's libraries

    with open_ledger(settings) as ledger, LedgerReader(ledger, query_engine(settings)) as reader:
        yield ledger, Explainer(reader, day_requests)


def _encode(days: Sequence[CollectedDay]) -> list[Any]:
    from kubetally.store.lake.encode import allocation_tables  # heavy: pyarrow

    return allocation_tables(days)
