"""Pages of an answer: all of one lake, though it changes meanwhile. What was computed once is not computed again."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec
from litestar.response import Response

from kubetally.cache import AsyncCache, Prepared, digest_of
from kubetally.domain.access import Principal
from kubetally.domain.account_report import AccountsReport, CoverageReport
from kubetally.domain.asset_report import AssetQuestion, AssetReport
from kubetally.domain.balance import BalanceReport
from kubetally.domain.compare import CompareQuestion, Comparison
from kubetally.domain.errors import Gone
from kubetally.domain.explanation import Explanation
from kubetally.domain.issues import OnIssues
from kubetally.domain.question.arrange import Order
from kubetally.domain.question.cost_question import CostQuestion, ExportFormat
from kubetally.domain.report import CostReport, LabelReport
from kubetally.present.cost_report import Shown
from kubetally.tasks import Calculate
from kubetally.web.v1.cursor import Cursor, write_cursor
from kubetally.web.v1.etag import is_known, not_modified, with_etag
from kubetally.web.v1.file_stream import Pieces
from kubetally.web.v1.page_parameters import Page
from kubetally.web.v1.query_string import InvalidParameter


class LedgerQueries(Protocol):
    """Prepares answers about the ledger. All calls block. Raises RequestError, StoreError, HistoryGone."""

    def costs(self, principal: Principal, question: CostQuestion) -> Prepared[CostReport]:
        """What accounts cost, rows in no order."""

    def clusters(self, principal: Principal, question: CostQuestion) -> Prepared[AccountsReport]:
        """What is known of the accounts; of the question only window and filter count."""

    def coverage(self, principal: Principal, question: CostQuestion) -> Prepared[CoverageReport]:
        """What is known of each day of the accounts."""

    def assets(self, principal: Principal, question: AssetQuestion) -> Prepared[AssetReport]:
        """What assets cost, highest cost first."""

    def balance(self, principal: Principal, question: CostQuestion) -> Prepared[BalanceReport]:
        """Bill and use against each other, in each step of the window."""

    def compare(self, principal: Principal, question: CompareQuestion) -> Prepared[Comparison]:
        """What changed between two periods, rows in no order."""

    def explain(self, principal: Principal, question: CostQuestion) -> Prepared[Explanation]:
        """How all that passes the filter of a question came about."""

    def labels(self, principal: Principal, question: CostQuestion) -> Prepared[LabelReport]:
        """The keys of labels with their cost."""

    def export(
        self,
        principal: Principal,
        question: CostQuestion,
        order: Sequence[Order],
        top: int | None,
        format_: ExportFormat,
        on_issues: OnIssues,
    ) -> Pieces:
        """The rows of an answer as a file, piece by piece; without group the stored rows.

        on_issues: called before the first piece.
        """


KEPT_SECONDS: Final = 900.0
MAX_ROWS_KEPT: Final = 100_000
MAX_BODY_BYTES: Final = 32 * 1024 * 1024
_Question = TypeVar("_Question", bound=Hashable)
_Report = TypeVar("_Report")
_Row = TypeVar("_Row")


class PagesGone(Gone):
    """The ledger has changed since the answer that a cursor belongs to, which is not kept any more."""

    code = "pages_gone"

    def __init__(self) -> None:
        super().__init__(
            "the ledger has changed since the first page, and that answer is no longer kept: begin again with the "
            "first page, without cursor"
        )


@dataclass(frozen=True, slots=True)
class ArrangedRows(Generic[_Row]):
    """The rows of a report in order. lines: lead the first page and count in no limit.

    others: how many rows and steps the report has beside these, for the room that it takes.
    """

    rows: Sequence[_Row]
    lines: Sequence[_Row] = ()
    others: int = 0


@dataclass(frozen=True, slots=True)
class View(Generic[_Question, _Report, _Row]):
    """How one kind of question is answered. arrange: the rows of a report in order. body: of one page."""

    name: str
    prepare: Callable[[Principal, _Question], Prepared[_Report]]
    arrange: Callable[[_Report, Page], ArrangedRows[_Row]]
    body: Callable[[_Report, Shown[_Row]], object]


@dataclass(frozen=True, slots=True)
class _Answer(Generic[_Report, _Row]):
    report: _Report
    arranged: ArrangedRows[_Row]


@dataclass(frozen=True, slots=True)
class _Which(Generic[_Question]):
    """Which page of which answer. cursor: its own; key: of the answer among those of all questions."""

    principal: Principal
    question: _Question
    page: Page
    cursor: Cursor
    key: str


class KeptAnswers:
    """Answers and pages of all endpoints: for 15 minutes, with so many rows and bytes of pages together.

    Rows count with lines and steps. What is larger by itself is not kept, and computed for every page.
    """

    def __init__(self, *, max_rows: int = MAX_ROWS_KEPT, max_bytes: int = MAX_BODY_BYTES) -> None:
        self.answers = _new_cache(_rows_of, max_rows)
        self.bodies: AsyncCache[str, bytes] = _new_cache(len, max_bytes)


def _new_cache(weigh: Callable[[Any], int], max_weight: int) -> AsyncCache[str, Any]:
    """A cache that also keeps the newest only within its bound."""
    return AsyncCache(
        lambda value: KEPT_SECONDS if weigh(value) <= max_weight else None, weigh=weigh, max_weight=max_weight
    )


def _rows_of(answer: _Answer[Any, Any]) -> int:
    arranged = answer.arranged
    return 1 + len(arranged.rows) + len(arranged.lines) + arranged.others


class Pages(Generic[_Question, _Report, _Row]):
    """Answers questions page by page. version: of the program, whose bodies another version may write otherwise.

    Answers are kept by question, by what who asks may see, and by state of the ledger: whoever asks the same meanwhile,
    or for a further page, has them without a query.
    """

    def __init__(
        self, view: View[_Question, _Report, _Row], kept: KeptAnswers, calculate: Calculate, *, version: str
    ) -> None:
        self._view, self._calculate, self._version = view, calculate, version
        self._answers: AsyncCache[str, _Answer[_Report, _Row]] = kept.answers
        self._bodies = kept.bodies

    async def respond(
        self, principal: Principal, question: _Question, page: Page, if_none_match: str | None
    ) -> Response[bytes]:
        """The page, or that the client has it.

        Raises: InvalidParameter, PagesGone, RequestError, Forbidden, StoreError.
        """
        of_question = digest_of(self._version, self._view.name, principal.scope, question, page.order, page.top)
        cursor, prepared = page.cursor, None
        if cursor is not None and cursor.question != of_question:
            raise InvalidParameter("cursor", "the cursor is of another question: send the same parameters with it")
        # A cursor can be forged: what is kept is found by the question as asked, never by the text of a cursor alone.
        if cursor is None or self._answers.peek(digest_of(of_question, cursor.answer)) is None:
            prepared = await self._calculate(0, self._view.prepare, principal, question)
            if cursor is not None and cursor.answer != prepared.digest:
                raise PagesGone
            cursor = cursor or Cursor(prepared.digest, of_question, 0)
        which = _Which(principal, question, page, cursor, digest_of(of_question, cursor.answer))
        tag = digest_of(which.key, cursor.offset, page.limit)
        if is_known(tag, if_none_match=if_none_match):
            return not_modified(tag)
        return with_etag(await self._bodies.get(tag, lambda: self._body(which, prepared)), tag)

    async def _body(self, which: _Which[_Question], prepared: Prepared[_Report] | None) -> bytes:
        answer = await self._answers.get(which.key, lambda: self._answer(which, prepared))
        return await self._calculate(0, self._encode, answer, which)

    async def _answer(self, which: _Which[_Question], prepared: Prepared[_Report] | None) -> _Answer[_Report, _Row]:
        if prepared is None:  # the answer of a cursor was forgotten at this very moment
            prepared = await self._calculate(0, self._view.prepare, which.principal, which.question)
            if prepared.digest != which.cursor.answer:
                raise PagesGone
        return await self._calculate(0, self._arrange, prepared, which.page)

    def _arrange(self, prepared: Prepared[_Report], page: Page) -> _Answer[_Report, _Row]:
        report = prepared.compute()
        return _Answer(report, self._view.arrange(report, page))

    def _encode(self, answer: _Answer[_Report, _Row], which: _Which[_Question]) -> bytes:
        page, offset, rows = which.page, which.cursor.offset, answer.arranged.rows
        end = offset + page.limit
        shown = Shown(
            rows[offset:end],
            () if offset else answer.arranged.lines,
            len(rows),
            page.order,
            page.limit,
            page.top,
            write_cursor(which.cursor._replace(offset=end)) if end < len(rows) else None,
        )
        return msgspec.json.encode(self._view.body(answer.report, shown))
