"""`GET /api/v1/costs`."""

from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from kubetally.domain.question.arrange import arrange_report
from kubetally.domain.report import CostReport, CostRow
from kubetally.present.cost_report import Report, report_body
from kubetally.web.principals import principal_of
from kubetally.web.v1.endpoint import AnyRequest, NativeApi, endpoint
from kubetally.web.v1.page_parameters import Page
from kubetally.web.v1.pages import ArrangedRows, View
from kubetally.web.v1.parameters import COSTS, parse_costs


def costs_endpoint(api: NativeApi) -> HTTPRouteHandler:
    """What accounts cost, grouped as asked."""
    pages = api.pages(View("costs", api.ledger.costs, _arrange, report_body))

    @endpoint(
        "/costs",
        COSTS,
        Report,
        summary="What accounts cost, grouped as asked",
        description="The total is of all rows that pass the filter, on every page. All pages are of one lake.",
    )
    async def costs(request: AnyRequest) -> Response[bytes]:
        question, page = parse_costs(request.scope["query_string"], api.clock.now())
        return await pages.respond(principal_of(request), question, page, request.headers.get("if-none-match"))

    return costs


def _arrange(report: CostReport, page: Page) -> ArrangedRows[CostRow]:
    lines, rows = arrange_report(report, page.order, page.top)
    return ArrangedRows(rows, lines, len(report.steps) + (0 if page.top is None else len(report.rows)))
