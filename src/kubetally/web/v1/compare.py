"""`GET /api/v1/compare`."""

from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from kubetally.domain.compare import ComparedRow, Comparison, arrange_comparison
from kubetally.present.comparison_report import ChangeReport, comparison_body
from kubetally.web.principals import principal_of
from kubetally.web.v1.endpoint import AnyRequest, NativeApi, endpoint
from kubetally.web.v1.page_parameters import Page
from kubetally.web.v1.pages import ArrangedRows, View
from kubetally.web.v1.parameters import COMPARE, parse_compare


def compare_endpoint(api: NativeApi) -> HTTPRouteHandler:
    """What changed between two periods, and why."""
    pages = api.pages(View("compare", api.ledger.compare, _arrange, comparison_body))

    @endpoint(
        "/compare",
        COMPARE,
        ChangeReport,
        summary="What changed between two periods, and why",
        description="Each change is the sum of usage, price, new and gone. Both periods are of one lake.",
    )
    async def compare(request: AnyRequest) -> Response[bytes]:
        question, page = parse_compare(request.scope["query_string"], api.clock.now())
        return await pages.respond(principal_of(request), question, page, request.headers.get("if-none-match"))

    return compare


def _arrange(comparison: Comparison, page: Page) -> ArrangedRows[ComparedRow]:
    lines, rows = arrange_comparison(comparison, page.order, page.top)
    return ArrangedRows(rows, lines, 0 if page.top is None else len(comparison.rows))
