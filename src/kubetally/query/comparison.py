"""Compares the costs of two periods, both read at one moment of the ledger."""

from dataclasses import replace

from kubetally.domain.errors import StoreError
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.filter import AllOf, Condition, Field, Op
from kubetally.query.reader import AnswerReader
from kubetally.query.snapshot import Snapshot

_ATTEMPTS = 3


def snapshots_of_one_moment(reader: AnswerReader, before: CostQuestion, now: CostQuestion) -> tuple[Snapshot, Snapshot]:
    """What both are answered from: the days of `before` were the same before and after `now` was read.

    An account without days in one period is in neither if none of its days in the other passes the filter.

    Raises: as `AnswerReader.snapshot`; StoreError, if days of `before` are replaced all the time.
    """
    was = reader.snapshot(before)
    for _ in range(_ATTEMPTS):
        then, again = reader.snapshot(now), reader.snapshot(before)
        if again.days == was.days:
            of_both = _without_gone(before, was, then), _without_gone(now, then, was)
            return (was, then) if of_both == (before, now) else snapshots_of_one_moment(reader, *of_both)
        was = again
    raise ledger_changes()


def _without_gone(question: CostQuestion, its: Snapshot, other: Snapshot) -> CostQuestion:
    """The question, without accounts whose currency is known from the other period alone, and does not pass."""
    unknown = its.accounts.keys() - {day.account_id for day in its.days if day.currency is not None}
    gone = sorted(other.known.gone & unknown)
    if not gone:
        return question
    others = Condition(Field.CLUSTER, Op.NOT_EQUALS, tuple(gone))
    return replace(question, filter=AllOf((question.filter, others)))


def ledger_changes() -> StoreError:
    """Days were replaced while they were read, again and again."""
    return StoreError(
        "days of the window are being replaced: retry in a few seconds", code="ledger_changes", retryable=True
    )
