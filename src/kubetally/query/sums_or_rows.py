"""Computes of the sums of roll-ups what these can answer, and of rows whatever they can't."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from kubetally import logs
from kubetally.domain.damage import CollectionGone
from kubetally.domain.errors import StoreError
from kubetally.query.comparison import ledger_changes
from kubetally.query.reader import AnswerReader
from kubetally.query.snapshot import Snapshot

if TYPE_CHECKING:
    from ibis import ir

_T = TypeVar("_T")
_log = logs.get_logger(__name__)


def compute_of(reader: AnswerReader, snapshot: Snapshot, compute: "Callable[[ir.Table], _T]") -> _T:
    """What is computed of the sums of a snapshot, or of its rows where these can't be read. Raises StoreError."""
    try:
        if (sums := reader.sums(snapshot)) is not None:
            return compute(sums)
    except StoreError as error:  # its files may be damaged or removed meanwhile
        _log.warning("roll_up_not_used", code=error.code, error=str(error))
    try:
        return compute(reader.rows(snapshot))
    except CollectionGone as error:
        if snapshot.roll_ups:  # its rows are looked up only now
            raise ledger_changes() from error
        raise
