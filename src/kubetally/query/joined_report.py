"""Makes a report of stored days and of what sources answer for the rest."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar

from kubetally.domain.compare import Comparison
from kubetally.domain.errors import StoreError
from kubetally.domain.fleet import Failed
from kubetally.domain.live_costs import LiveCosts
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.report import CostReport
from kubetally.domain.window import Window
from kubetally.query.joined import JoinedReader
from kubetally.query.reports import LedgerReports

_Report = TypeVar("_Report", CostReport, Comparison)
AskMissing = Callable[
    [CostQuestion, Collection[str], Mapping[str, Sequence[Window]]], Awaitable[dict[str, LiveCosts | Failed]]
]
"""Asks the sources of clusters, by id, for what is not among their stored windows; returns the answers by id."""


async def get_joined_report(
    reader: JoinedReader,
    questions: Sequence[CostQuestion],
    compute: Callable[[LedgerReports], _Report],
    ask: AskMissing,
) -> tuple[_Report, list[Failed]]:
    """The report that `compute` makes, and the clusters that gave no answer to any of the questions.

    questions: whose costs the report needs; they differ in their window only. A stored day that turns out to be
    unreadable is asked of its source.
    Raises: RequestError, for several currencies; StoreError.
    """
    while True:
        failed = await asyncio.gather(*(_ask(reader, question, ask) for question in questions))
        try:
            report = reader.without_places(compute(LedgerReports(reader)))
        except StoreError as error:
            if not reader.set_aside(error):
                raise
        else:
            return report, [last for id_, last in failed[-1].items() if all(id_ in its for its in failed)]


async def _ask(reader: JoinedReader, question: CostQuestion, ask: AskMissing) -> dict[str, Failed]:
    """Join what is stored with the answers for the rest. Returns the clusters that gave no answer, by id."""
    stored = reader.stored(question)
    answers = await ask(question, reader.clusters_to_ask(question), stored)
    reader.join(question.window, answers)
    return {id_: answer for id_, answer in answers.items() if isinstance(answer, Failed)}
