"""Encoded answers, cached by answer and page."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from kubetally.cache import AsyncCache
from kubetally.domain.question.cost_question import DetailLevel
from kubetally.domain.report import CostRow
from kubetally.ledger.costs.service import CachedAnswer
from kubetally.present.answer import Pagination, cluster_body, row_lists
from kubetally.tasks import Calculate
from kubetally.web.metroculus.question import Dates, Question, RequestedWindow

_ROWS_PER_PIECE: Final = 20
_MAX_BYTES: Final = 64 * 1024 * 1024
_Key = tuple[int, Dates, DetailLevel, bool, int | None, int]


class Bodies:
    """Encoded pages of cached answers; the least recently used are removed first."""

    def __init__(self, calculate: Calculate, max_bytes: int = _MAX_BYTES) -> None:
        self._calculate = calculate
        self._bodies: AsyncCache[_Key, bytes] = AsyncCache(weigh=len, max_weight=max_bytes)

    async def get(self, answer: CachedAnswer, question: Question, requested: RequestedWindow) -> bytes:
        """The body of the requested page."""
        key = _key(answer, question, requested)
        # Adding up tens of thousands of rows takes time that the event loop needs for other requests.
        return await self._bodies.get(key, lambda: self._calculate(0, encode, answer, question, requested))

    def cached(self, answer: CachedAnswer, question: Question, requested: RequestedWindow) -> bytes | None:
        """The body of the requested page if it is cached, else None."""
        cached = self._bodies.peek(_key(answer, question, requested))
        return None if cached is None else cached[0]


def _key(answer: CachedAnswer, question: Question, requested: RequestedWindow) -> _Key:
    return answer.serial, requested.dates, question.detail_level, question.is_paged, question.limit, question.offset


def encode(answer: CachedAnswer, question: Question, requested: RequestedWindow) -> bytes:
    """The body with one page of each list of rows and the dates of the request; its totals are of all rows.

    A list without rows is left out, as existing clients expect.
    """
    body = cluster_body(answer.costs, question.detail_level)
    body.cloud_account_id, body.account = answer.account.id, answer.account.name
    body.start_date, body.end_date = requested.dates
    lists = row_lists(answer.costs, question.detail_level)
    until = None if question.limit is None else question.offset + question.limit
    for name, rows, body_of in lists:
        if rows:
            setattr(body, name, _encoded(rows[question.offset : until], body_of))
    if question.is_paged and lists:
        counts = {name: len(rows) for name, rows, _ in lists}
        body.pagination = Pagination(question.limit, question.offset, counts)
    return msgspec.json.encode(body)


def _encoded(rows: Sequence[CostRow], body_of: Callable[[CostRow], object]) -> msgspec.Raw:
    """A list, encoded in pieces: encoding or freeing one blocks all other threads."""
    pieces = [
        msgspec.json.encode([body_of(row) for row in rows[start : start + _ROWS_PER_PIECE]])[1:-1]
        for start in range(0, len(rows), _ROWS_PER_PIECE)
    ]
    return msgspec.Raw(b"[" + b",".join(pieces) + b"]")
