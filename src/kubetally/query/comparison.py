"""Compares the costs of two periods, both read at one moment of the ledger."""

from kubetally.domain.errors import StoreError
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.query.reader import AnswerReader
from kubetally.query.snapshot import Snapshot

_ATTEMPTS = 3


def snapshots_of_one_moment(reader: AnswerReader, before: CostQuestion, now: CostQuestion) -> tuple[Snapshot, Snapshot]:
    """What both are answered from: the days of `before` were the same before and after `now` was read.

    Raises: as `AnswerReader.snapshot`; StoreError, if days of `before` are replaced all the time.
    """
    was = reader.snapshot(before)
    for _ in range(_ATTEMPTS):
        then, again = reader.snapshot(now), reader.snapshot(before)
        if again.days == was.days:
            return was, then
        was = again
    raise ledger_changes()


def ledger_changes() -> StoreError:
    """Days were replaced while they were read, again and again."""
    return StoreError(
        "days of the window are being replaced: retry in a few seconds", code="ledger_changes", retryable=True
    )
