"""`GET /api/v1/exports`."""

from collections.abc import AsyncIterator, Iterator
from typing import Final

from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from kubetally.domain.question.cost_question import ExportFormat
from kubetally.tasks import Calculate
from kubetally.web.problems import NO_STORE
from kubetally.web.v1.endpoint import AnyRequest, NativeApi, file_endpoint
from kubetally.web.v1.parameters import EXPORT, parse_export

_MEDIA_TYPES: Final = {ExportFormat.CSV: "text/csv", ExportFormat.PARQUET: "application/vnd.apache.parquet"}


def exports_endpoint(api: NativeApi) -> HTTPRouteHandler:
    """The rows of an answer as a file."""

    @file_endpoint(
        "/exports",
        EXPORT,
        list(_MEDIA_TYPES.values()),
        summary="The rows of an answer as a file; without group the stored rows",
        description="Money in CSV has six decimals; lists and maps are JSON there.",
    )
    async def exports(request: AnyRequest) -> Stream:
        question, page, format_ = parse_export(request.scope["query_string"], api.clock.now())
        pieces = api.ledger.export(question, page.order, page.top, format_)
        first = await api.calculate(0, next, pieces, b"")  # errors of the question come before the status is sent
        name = f"costs-{question.window.start:%Y-%m-%d}-{question.window.end:%Y-%m-%d}.{format_}"
        headers = NO_STORE | {"Content-Disposition": f'attachment; filename="{name}"'}
        return Stream(_streamed(first, pieces, api.calculate), media_type=_MEDIA_TYPES[format_], headers=headers)

    return exports


async def _streamed(first: bytes, pieces: Iterator[bytes], calculate: Calculate) -> AsyncIterator[bytes]:
    piece: bytes | None = first
    while piece is not None:
        yield piece
        piece = await calculate(0, next, pieces, None)
