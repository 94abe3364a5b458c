"""`GET /api/v1/costs`."""

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from kubetally.domain.report import CostReport
from kubetally.present.cost_report import Report, Shown, report_body
from kubetally.web.problems import NO_STORE
from kubetally.web.v1.endpoint import JSON, AnyRequest, NativeApi, endpoint
from kubetally.web.v1.pages import CostPages
from kubetally.web.v1.parameters import COSTS, parse_costs


def costs_endpoint(api: NativeApi) -> HTTPRouteHandler:
    """What accounts cost, grouped as asked."""
    pages = CostPages(api.ledger.costs, api.calculate)

    @endpoint(
        "/costs",
        COSTS,
        Report,
        summary="What accounts cost, grouped as asked",
        description="The total is of all rows that pass the filter, on every page. All pages are of one lake.",
    )
    async def costs(request: AnyRequest) -> Response[bytes]:
        question, page = parse_costs(request.scope["query_string"], api.clock.now())
        report, shown = await pages.page(question, page)
        body = await api.calculate(0, _encoded, report, shown)
        return Response(body, media_type=JSON, headers=NO_STORE)

    return costs


def _encoded(report: CostReport, shown: Shown) -> bytes:
    return msgspec.json.encode(report_body(report, shown))
