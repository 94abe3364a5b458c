"""`GET /api/v1/labels`."""

from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from kubetally.domain.report import LabelCost, LabelReport
from kubetally.present.cost_report import Labels, labels_body
from kubetally.web.principals import principal_of
from kubetally.web.v1.endpoint import AnyRequest, NativeApi, endpoint
from kubetally.web.v1.page_parameters import Page
from kubetally.web.v1.pages import ArrangedRows, View
from kubetally.web.v1.parameters import LABELS, parse_labels


def labels_endpoint(api: NativeApi) -> HTTPRouteHandler:
    """The keys of labels, with what their rows cost."""
    pages = api.pages(View("labels", api.ledger.labels, _arrange, labels_body))

    @endpoint("/labels", LABELS, Labels, summary="Keys of labels, with the rows that have them and their cost")
    async def labels(request: AnyRequest) -> Response[bytes]:
        question, page = parse_labels(request.scope["query_string"], api.clock.now())
        return await pages.respond(principal_of(request), question, page, request.headers.get("if-none-match"))

    return labels


def _arrange(report: LabelReport, _: Page) -> ArrangedRows[LabelCost]:
    return ArrangedRows(report.labels)
