"""The routes of the native API. All read the lake only, and take the operator's secret."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import msgspec
from litestar import Request, Router, get
from litestar.response import Response, Stream

from kubetally.domain.question.cost_question import ExportFormat
from kubetally.domain.report import CostReport
from kubetally.domain.window import Clock
from kubetally.present.cost_report import Shown, labels_body, report_body
from kubetally.tasks import Calculate
from kubetally.web.problems import NO_STORE
from kubetally.web.secret import Secret
from kubetally.web.v1.errors import problem_of
from kubetally.web.v1.pages import CostPages, LedgerQueries
from kubetally.web.v1.parameters import parse_costs, parse_export, parse_shared

PREFIX: Final = "/api/v1"
JSON: Final = "application/json"
_MEDIA_TYPES: Final = {ExportFormat.CSV: "text/csv", ExportFormat.PARQUET: "application/vnd.apache.parquet"}
AnyRequest = Request[Any, Any, Any]


def native_api(ledger: LedgerQueries, secret: Secret, clock: Clock, calculate: Calculate) -> Router:
    """The routes, all under `PREFIX`."""
    pages = CostPages(ledger.costs, calculate)

    def require(request: AnyRequest) -> None:
        """Raises Problem, without the secret."""
        if (failure := secret.check(request.scope)) is not None:
            raise problem_of(failure)

    @get("/costs", include_in_schema=False)
    async def costs(request: AnyRequest) -> Response[bytes]:
        require(request)
        question, page = parse_costs(request.scope["query_string"], clock.now())
        report, shown = await pages.page(question, page)
        body = await calculate(0, _encoded, report, shown)
        return Response(body, media_type=JSON, headers=NO_STORE)

    @get("/labels", include_in_schema=False)
    async def labels(request: AnyRequest) -> Response[bytes]:
        require(request)
        question = parse_shared(request.scope["query_string"], clock.now())
        report = await calculate(0, ledger.labels, question)
        return Response(msgspec.json.encode(labels_body(report)), media_type=JSON, headers=NO_STORE)

    @get("/exports", include_in_schema=False)
    async def exports(request: AnyRequest) -> Stream:
        require(request)
        question, page, format_ = parse_export(request.scope["query_string"], clock.now())
        pieces = ledger.export(question, page.order, page.top, format_)
        first = await calculate(0, next, pieces, b"")  # errors of the question come before the status is sent
        name = f"costs-{question.window.start:%Y-%m-%d}-{question.window.end:%Y-%m-%d}.{format_}"
        headers = NO_STORE | {"Content-Disposition": f'attachment; filename="{name}"'}
        return Stream(_streamed(first, pieces, calculate), media_type=_MEDIA_TYPES[format_], headers=headers)

    return Router(PREFIX, route_handlers=[costs, labels, exports])


async def _streamed(first: bytes, pieces: Iterator[bytes], calculate: Calculate) -> AsyncIterator[bytes]:
    piece: bytes | None = first
    while piece is not None:
        yield piece
        piece = await calculate(0, next, pieces, None)


def _encoded(report: CostReport, shown: Shown) -> bytes:
    return msgspec.json.encode(report_body(report, shown))
