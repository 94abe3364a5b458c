"""Pages of an answer: all of one lake, though it changes meanwhile."""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from kubetally.cache import AsyncCache
from kubetally.domain.errors import Gone
from kubetally.domain.question.arrange import Order, arrange_report
from kubetally.domain.question.cost_question import CostQuestion, ExportFormat
from kubetally.domain.report import CostReport, CostRow, LabelReport
from kubetally.present.cost_report import Shown
from kubetally.tasks import Calculate
from kubetally.web.v1.parameters import Page
from kubetally.web.v1.query_string import InvalidParameter


class LedgerQueries(Protocol):
    """Answers questions about the ledger. All calls block. Raises RequestError, StoreError, HistoryGone."""

    def costs(self, question: CostQuestion) -> CostReport:
        """What accounts cost, rows in no order."""

    def labels(self, question: CostQuestion) -> LabelReport:
        """The keys of labels with their cost."""

    def export(
        self, question: CostQuestion, order: Sequence[Order], top: int | None, format_: ExportFormat
    ) -> Iterator[bytes]:
        """The rows of an answer as a file, piece by piece; without group the stored rows."""


KEPT_SECONDS: Final = 900.0
MAX_ROWS_KEPT: Final = 200_000


class PagesGone(Gone):
    """The answer that a cursor belongs to is not kept any more."""

    code = "pages_gone"

    def __init__(self) -> None:
        super().__init__("the answer of this cursor has expired: begin again with the first page, without cursor")


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer with its rows in order. digest: of its question and order."""

    digest: str
    report: CostReport
    rows: tuple[CostRow, ...]
    lines: tuple[CostRow, ...]


class CostPages:
    """Answers questions page by page.

    An answer with further pages is kept for 15 minutes, at most 200,000 rows of all answers together.
    """

    def __init__(self, ask: Callable[[CostQuestion], CostReport], calculate: Calculate) -> None:
        self._ask, self._calculate = ask, calculate
        self._kept: AsyncCache[str, _Answer] = AsyncCache(
            lambda _: KEPT_SECONDS, weigh=lambda answer: 1 + len(answer.rows), max_weight=MAX_ROWS_KEPT
        )

    async def page(self, question: CostQuestion, page: Page) -> tuple[CostReport, Shown]:
        """The report and the rows of a page. Raises InvalidParameter, PagesGone, RequestError, StoreError."""
        digest = _digest(question, page)
        if page.cursor is None:
            token, offset = secrets.token_urlsafe(12), 0
            answer = await self._calculate(0, self._answer, question, page, digest)
        else:
            token, offset = _read_cursor(page.cursor, digest)
            cached = self._kept.peek(token)
            if cached is None:
                raise PagesGone
            answer = cached[0]
        end = offset + page.limit
        has_more = end < len(answer.rows)
        if has_more and page.cursor is None:
            await self._kept.get(token, lambda: _ready(answer))
        shown = Shown(
            answer.rows[offset:end],
            () if page.cursor is not None else answer.lines,
            len(answer.rows),
            page.order,
            page.limit,
            page.top,
            _write_cursor(token, digest, end) if has_more else None,
        )
        return answer.report, shown

    def _answer(self, question: CostQuestion, page: Page, digest: str) -> _Answer:
        report = self._ask(question)
        lines, rows = arrange_report(report, page.order, page.top)
        return _Answer(digest, report, tuple(rows), tuple(lines))


async def _ready(answer: _Answer) -> _Answer:
    return answer


def _digest(question: CostQuestion, page: Page) -> str:
    text = repr((question, page.order, page.top))
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _write_cursor(token: str, digest: str, offset: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([token, digest, offset]).encode()).decode()


def _read_cursor(cursor: str, digest: str) -> tuple[str, int]:
    """The answer's token and the offset of the page. Raises InvalidParameter."""
    try:
        token, of_digest, offset = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        is_valid = isinstance(token, str) and isinstance(offset, int) and offset >= 0
    except (ValueError, TypeError):
        is_valid = False
    if not is_valid:
        raise InvalidParameter("cursor", "the cursor can't be read: send `next` of the page before, as it came")
    if of_digest != digest:
        raise InvalidParameter("cursor", "the cursor is of another question: send the same parameters with it")
    return token, offset
