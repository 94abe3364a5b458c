"""`GET /api/v1/exports`."""

import json
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from litestar.background_tasks import BackgroundTask
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.question.cost_question import ExportFormat
from kubetally.domain.question.facts import window_facts
from kubetally.web.principals import principal_of
from kubetally.web.problems import NO_STORE
from kubetally.web.v1.endpoint import AnyRequest, NativeApi, file_endpoint
from kubetally.web.v1.file_stream import FileStream, FileStreams
from kubetally.web.v1.parameters import EXPORT, FORMAT, parse_export
from kubetally.web.v1.query_string import parse_parameters

ISSUES: Final = "Kubetally-Issues"
_MEANING: Final = (
    "JSON: the `issues` that say that data is missing or that a name matches nothing, with kind, message, start and "
    "end, as far as there is room; their `count`; and in `see` the question to `costs` that has all of them, null if "
    "it is long."
)
_MEDIA_TYPES: Final = {ExportFormat.CSV: "text/csv", ExportFormat.PARQUET: "application/vnd.apache.parquet"}
_MAX_LENGTH: Final = 1_000
"""Of the issues in the header, and of the question in it: proxies refuse headers of more than 4 KB."""


def exports_endpoint(api: NativeApi) -> HTTPRouteHandler:
    """The rows of an answer as a file."""
    streams = FileStreams()

    @file_endpoint(
        "/exports",
        EXPORT,
        list(_MEDIA_TYPES.values()),
        summary="The rows of an answer as a file; without group the stored rows",
        description="Money in CSV has six decimals; lists and maps are JSON there.",
        headers={ISSUES: _MEANING},
    )
    async def exports(request: AnyRequest) -> Stream:
        query = request.scope["query_string"]
        question, page, format_ = parse_export(query, api.clock.now())
        issues = list[Issue]()
        pieces = api.ledger.export(principal_of(request), question, page.order, page.top, format_, issues.extend)
        stream = await streams.open(pieces)  # errors of the question come before the status is sent
        name = f"costs-{question.window.start:%Y-%m-%d}-{question.window.end:%Y-%m-%d}.{format_}"
        headers = NO_STORE | {"Content-Disposition": f'attachment; filename="{name}"', ISSUES: _header(issues, query)}
        return Stream(
            stream, media_type=_MEDIA_TYPES[format_], headers=headers, background=BackgroundTask(_close, stream)
        )

    return exports


def _header(issues: Sequence[Issue], query: bytes) -> str:
    """The header of a file whose data has these issues. query: of the request."""
    named = [issue for issue in issues if issue.is_missing_data or issue.kind is IssueKind.NO_MATCH]
    shown = list[dict[str, str]]()
    for issue in named:
        span = {} if issue.window is None else window_facts(issue.window)
        body = {"kind": issue.kind.value, "message": issue.message, **span}
        if len(_json([*shown, body])) > _MAX_LENGTH:
            break
        shown.append(body)
    values = parse_parameters(query, EXPORT)
    see = "/api/v1/costs?" + urlencode({name: value for name, value in values.items() if name != FORMAT.name})
    return _json({"count": len(named), "issues": shown, "see": see if len(see) <= _MAX_LENGTH else None})


def _json(value: object) -> str:
    """A value in printable ASCII."""
    return json.dumps(value).replace("\x7f", "\\u007f")


async def _close(stream: FileStream) -> None:
    stream.close()
