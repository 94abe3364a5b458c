"""Grouped costs of clusters and how they came about, with the settings' ledger, sources and engine."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from kubetally.domain.account import ListedAccount
from kubetally.domain.collection import CollectedDay
from kubetally.domain.compare import Comparison
from kubetally.domain.errors import StoreError
from kubetally.domain.fleet import Failed
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.report import CostReport
from kubetally.domain.window import Clock
from kubetally.ledger.costs.cost_reader import CostReader, CostSubject
from kubetally.ledger.ports.clusters import AnyCluster
from kubetally.ledger.stores import Ledger
from kubetally.query.explain import Explainer
from kubetally.query.joined import JoinedCluster, JoinedReader
from kubetally.query.reader import LedgerReader
from kubetally.query.reports import LedgerReports
from kubetally.settings import Settings
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.clusters import open_costs
from kubetally.wiring.queries import query_engine

_Report = TypeVar("_Report", CostReport, Comparison)


async def get_grouped_costs(
    clusters: Sequence[AnyCluster],
    questions: Sequence[CostQuestion],
    compute: Callable[[LedgerReports], _Report],
    *,
    settings: Settings,
    clock: Clock | None = None,
    done: Callable[[], None] = lambda: None,
) -> tuple[_Report, list[Failed]]:
    """The report that `compute` makes, and the clusters that gave no answer to any of the questions.

    questions: whose costs the report needs; they differ in their window only. done: called when a cluster ends, for
    each question.
    Raises: RequestError, for several currencies and for an instant without history; StoreError.
    """
    clock, as_of = clock or SystemClock(), questions[0].as_of
    with open_costs(clusters, settings, clock) as (subjects, costs, ledger):
        if as_of is not None:
            costs.check_instant(subjects, as_of)
        by_id, open_engine = _by_id(subjects), query_engine(settings, in_process=ledger is None)
        with JoinedReader(_joined(by_id, ledger), ledger, open_engine, _encode, clock) as reader:
            while True:
                asked = await asyncio.gather(*(_ask(by_id, each, costs, reader, done) for each in questions))
                try:
                    report = reader.without_places(compute(LedgerReports(reader)))
                except StoreError as error:
                    if not reader.set_aside(error):
                        raise
                else:
                    return report, [failed for id_, failed in asked[-1].items() if all(id_ in its for its in asked)]


@contextmanager
def open_explainer(settings: Settings) -> Iterator[tuple[Ledger, Explainer]]:
    """The ledger, and what explains its figures. Raises StoreError, RequestError."""
    from kubetally.sources.opencost.client import day_requests  # heavy: the HTTP client
    from kubetally.wiring.ledger import open_ledger  # heavy: the database's libraries

    with open_ledger(settings) as ledger, LedgerReader(ledger, query_engine(settings)) as reader:
        yield ledger, Explainer(reader, day_requests)


async def _ask(
    subjects: Mapping[str, CostSubject],
    question: CostQuestion,
    costs: CostReader,
    reader: JoinedReader,
    done: Callable[[], None],
) -> dict[str, Failed]:
    """Ask the sources for what is not stored. Returns the clusters that gave no answer, by id."""
    stored = reader.stored(question)
    asked = {id_: subject for id_, subject in subjects.items() if reader.is_asked(id_, question)}
    window, as_of = question.window, question.as_of
    several = await costs.ask_missing_of_all(list(asked.values()), stored, window, done=done, as_of=as_of)
    answers = dict(zip(asked, several, strict=True))
    reader.join(window, answers)
    return {id_: answer for id_, answer in answers.items() if isinstance(answer, Failed)}


def _by_id(subjects: Sequence[CostSubject]) -> dict[str, CostSubject]:
    """The clusters by the id of their account, else by where they are; equal places are numbered."""
    by_id = dict[str, CostSubject]()
    for number, subject in enumerate(subjects, 1):
        id_ = subject.place if subject.account is None else subject.account.id
        by_id[f"{id_} ({number})" if id_ in by_id else id_] = subject
    return by_id


def _joined(subjects: Mapping[str, CostSubject], ledger: Ledger | None) -> list[JoinedCluster]:
    """The clusters with the names and organizations of their accounts."""
    listed = {} if ledger is None else {account.id: account for account in ledger.accounts.listed()}
    named = ((listed.get(id_) or ListedAccount(id_, id_, ""), subject) for id_, subject in subjects.items())
    return [JoinedCluster(account, has_account=subject.account is not None) for account, subject in named]


def _encode(days: Sequence[CollectedDay]) -> list[Any]:
    from kubetally.store.lake.encode import allocation_tables  # heavy: pyarrow

    return allocation_tables(days)
