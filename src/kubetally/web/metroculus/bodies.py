"""Answers as bytes, made once for each page of each answer."""

from typing import Any, Final

import msgspec

from kubetally.cache import AsyncCache
from kubetally.domain.cluster_costs import DetailLevel
from kubetally.ledger.costs.service import CachedAnswer
from kubetally.present.answer import answer as body_of
from kubetally.tasks import Calculate
from kubetally.web.metroculus.question import Dates, Question

_LISTS: Final[dict[DetailLevel, tuple[str, ...]]] = {
    DetailLevel.SUMMARY: (),
    DetailLevel.NAMESPACE: ("breakdown_by_namespace",),
    DetailLevel.WORKLOAD: ("breakdown_by_namespace", "breakdown_by_workload"),
}
_LONG: Final = frozenset(name for names in _LISTS.values() for name in names)
_ROWS_A_PIECE: Final = 20
_BYTES_KEPT: Final = 64 * 1024 * 1024
_Key = tuple[int, Dates, DetailLevel, bool, int | None, int]


class Bodies:
    """Encoded pages of the answers that are remembered; the least recently wanted leave first."""

    def __init__(self, calculate: Calculate, most_bytes: int = _BYTES_KEPT) -> None:
        self._calculate = calculate
        self._kept: AsyncCache[_Key, bytes] = AsyncCache(weigh=len, max_weight=most_bytes)

    async def of(self, answer: CachedAnswer, question: Question, dates: Dates) -> bytes:
        """The body of the page that the question asks for."""
        key = _key(answer, question, dates)
        # Adding up ten thousands of rows takes its time; the loop has others to serve meanwhile.
        return await self._kept.get(key, lambda: self._calculate(0, encode, answer, question, dates))

    def kept(self, answer: CachedAnswer, question: Question, dates: Dates) -> bytes | None:
        """The same, where it is there already."""
        cached = self._kept.peek(_key(answer, question, dates))
        return None if cached is None else cached[0]


def _key(answer: CachedAnswer, question: Question, dates: Dates) -> _Key:
    return answer.serial, dates, question.detail_level, question.is_paged, question.limit, question.offset


def encode(answer: CachedAnswer, question: Question, dates: Dates) -> bytes:
    """The body, with the dates as they were given."""
    body = body_of(answer.costs, question.detail_level, answer.account.id, answer.account.name)
    body["start_date"], body["end_date"] = dates
    page = paged(body, question)
    return msgspec.json.encode(page | {name: _encoded(page[name]) for name in _LONG & page.keys()})


def _encoded(rows: list[object]) -> msgspec.Raw:
    """A list in pieces, which empties it: no other thread gets on while one is encoded, or given back to memory."""
    pieces = []
    while rows:
        pieces.append(msgspec.json.encode(rows[:_ROWS_A_PIECE])[1:-1])
        del rows[:_ROWS_A_PIECE]
    return msgspec.Raw(b"[" + b",".join(pieces) + b"]")


def paged(body: dict[str, Any], question: Question) -> dict[str, Any]:
    """The body with one page of each list of rows, and how many there are altogether; its totals are of all rows.

    A list without rows is left out, as existing readers know it.
    """
    lists = {name: body.pop(name, []) for name in _LISTS[question.detail_level]}
    until = None if question.limit is None else question.offset + question.limit
    body |= {name: rows[question.offset : until] for name, rows in lists.items() if rows}
    if question.is_paged and lists:
        counts = {name: len(rows) for name, rows in lists.items()}
        body["pagination"] = {"limit": question.limit, "offset": question.offset, "total_count": counts}
    return body
