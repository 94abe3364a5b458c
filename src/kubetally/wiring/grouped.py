"""Grouped costs of clusters, from stored days and their sources, with the settings' ledger and engine."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from kubetally.domain.account import ListedAccount
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
from kubetally.query.opening import open_duck
from kubetally.query.reports import LedgerReports
from kubetally.settings import Settings
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.clusters import opener_of, subject_of

if TYPE_CHECKING:
    import pyarrow as pa

    from kubetally.domain.collection import CollectedDay


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
    clock = clock or SystemClock()
    opener = opener_of(settings)
    subjects = [subject_of(cluster, opener, settings.currency) for cluster in clusters]
    with _stores(subjects, settings, clock) as ledger:
        history = None if ledger is None else History.of(ledger)
        costs = CostReader(clock, history=history, deadline_seconds=settings.deadline_seconds)
        if question.as_of is not None:
            costs.check_instant(subjects, question.as_of)
        by_id = _by_id(subjects)
        with JoinedReader(_joined(by_id, ledger), ledger, open_duck, _encode, clock) as reader:
            while True:
                failed = await _ask(by_id, question, costs, reader, done)
                try:
                    return reader.without_places(LedgerReports(reader).costs(question)), failed
                except StoreError as error:
                    if not reader.set_aside(error):
                        raise


async def _ask(
    subjects: Mapping[str, CostSubject],
    question: CostQuestion,
    costs: CostReader,
    reader: JoinedReader,
    done: Callable[[], None],
) -> list[Failed]:
    """Ask the sources for what is not stored. Returns the clusters that gave no answer."""
    stored = reader.stored(question)
    asked = {id_: subject for id_, subject in subjects.items() if reader.is_asked(id_, question)}
    window, as_of = question.window, question.as_of
    answers = await costs.ask_missing_of_all(list(asked.values()), stored, window, done=done, as_of=as_of)
    reader.join(window, dict(zip(asked, answers, strict=True)))
    return [answer for answer in answers if isinstance(answer, Failed)]


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
