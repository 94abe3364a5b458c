"""`GET /api/v1/exports`."""

from typing import Final

from litestar.background_tasks import BackgroundTask
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from kubetally.domain.question.cost_question import ExportFormat
from kubetally.web.problems import NO_STORE
from kubetally.web.v1.endpoint import AnyRequest, NativeApi, file_endpoint
from kubetally.web.v1.file_stream import FileStream, FileStreams
from kubetally.web.v1.parameters import EXPORT, parse_export

_MEDIA_TYPES: Final = {ExportFormat.CSV: "text/csv", ExportFormat.PARQUET: "application/vnd.apache.parquet"}


def exports_endpoint(api: NativeApi) -> HTTPRouteHandler:
    """The rows of an answer as a file."""
    streams = FileStreams()

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
        stream = await streams.open(pieces)  # errors of the question come before the status is sent
        name = f"costs-{question.window.start:%Y-%m-%d}-{question.window.end:%Y-%m-%d}.{format_}"
        headers = NO_STORE | {"Content-Disposition": f'attachment; filename="{name}"'}
        return Stream(
            stream, media_type=_MEDIA_TYPES[format_], headers=headers, background=BackgroundTask(_close, stream)
        )

    return exports


async def _close(stream: FileStream) -> None:
    stream.close()
