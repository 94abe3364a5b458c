"""Grouped costs of clusters, from stored days and their sources, with the settings' ledger and engine."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, TypeVar

from kubetally.domain.account import ListedAccount
from kubetally.domain.compare import CompareQuestion, Comparison
from kubetally.domain.errors import StoreError
from kubetally.domain.fleet import Failed
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.report import CostReport
from kubetally.domain.window import Clock
from kubetally.ledger.costs.cost_reader import CostReader, CostSubject
from kubetally.ledger.costs.stored_days import History
from kubetally.ledger.ports.clusters import AnyCluster
from kubetally.ledger.stores import Ledger
from kubetally.query.joined import JoinedCluster, JoinedReader
from kubetally.query.reports import LedgerReports
from kubetally.settings import Settings
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.clusters import opener_of, subject_of
from kubetally.wiring.queries import query_engine

if TYPE_CHECKING:
    import pyarrow as pa

    from kubetally.domain.collection import CollectedDay

_Report = TypeVar("_Report", CostReport, Comparison)


async def get_grouped_costs(
    clusters: Sequence[AnyCluster],
    question: CostQuestion,
    *,
    settings: Settings,
    clock: Clock | None = None,
    done: Callable[[], None] = lambda: None,
) -> tuple[CostReport, list[Failed]]:
    """What clusters cost together, grouped as asked, and those whose source gave no answer; rows in no order.

    done: called when a cluster ends.
    Raises: RequestError, for several currencies and for an instant without history; StoreError.
    """
    return await _answer(clusters, [question], lambda reports: reports.costs(question), settings, clock, done)


async def get_comparison(
    clusters: Sequence[AnyCluster],
    question: CompareQuestion,
    *,
    settings: Settings,
    clock: Clock | None = None,
    done: Callable[[], None] = lambda: None,
) -> tuple[Comparison, list[Failed]]:
    """What changed between two periods, as `get_grouped_costs`; those that gave no answer about either period.

    done: called when a cluster ends, for each period.
    """
    periods = [question.of_before(), question.of_now()]
    return await _answer(clusters, periods, lambda reports: reports.compare(question), settings, clock, done)


async def _answer(
    clusters: Sequence[AnyCluster],
    questions: Sequence[CostQuestion],
    compute: Callable[[LedgerReports], _Report],
    settings: Settings,
    clock: Clock | None,
    done: Callable[[], None],
) -> tuple[_Report, list[Failed]]:
    """The answer that needs the costs of all these questions, which differ in their window only."""
    clock = clock or SystemClock()
    opener, as_of = opener_of(settings), questions[0].as_of
    subjects = [subject_of(cluster, opener, settings.currency) for cluster in clusters]
    with _stores(subjects, settings, clock) as ledger:
        history = None if ledger is None else History.of(ledger)
        costs = CostReader(clock, history=history, deadline_seconds=settings.deadline_seconds)
        if as_of is not None:
            costs.check_instant(subjects, as_of)
        by_id = _by_id(subjects)
        open_engine = query_engine(settings, in_process=ledger is None)
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


def _stores(subjects: Sequence[CostSubject], settings: Settings, clock: Clock) -> AbstractContextManager[Ledger | None]:
    """The ledger, if any of the clusters has an account."""
    if not any(subject.account for subject in subjects):
        return nullcontext()
    from kubetally.wiring.ledger import open_ledger  # heavy: the database's libraries

    return open_ledger(settings, clock)


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
    return [
        JoinedCluster(ListedAccount(id_, id_, ""), has_account=False)
        if subject.account is None
        else JoinedCluster(listed[id_], has_account=True)
        for id_, subject in subjects.items()
    ]


def _encode(days: "Sequence[CollectedDay]") -> "list[pa.Table]":
    from kubetally.store.lake.encode import allocation_tables  # heavy: pyarrow

    return allocation_tables(days)
