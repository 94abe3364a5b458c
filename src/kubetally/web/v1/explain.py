"""`GET /api/v1/explain`."""

from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from kubetally.domain.explanation import Explanation
from kubetally.present.cost_report import Shown
from kubetally.present.explanation_report import ExplanationReport, explanation_body
from kubetally.web.principals import principal_of
from kubetally.web.v1.endpoint import AnyRequest, NativeApi, endpoint
from kubetally.web.v1.page_parameters import Page
from kubetally.web.v1.pages import ArrangedRows, View
from kubetally.web.v1.parameters import EXPLAIN, parse_explain


def explain_endpoint(api: NativeApi) -> HTTPRouteHandler:
    """How a figure came about."""
    pages = api.pages(View("explain", api.ledger.explain, _arrange, _body))

    @endpoint(
        "/explain",
        EXPLAIN,
        ExplanationReport,
        summary="How a figure came about: its rows in the ledger, their days, sources and booking rules",
        description="The figure is that of all rows that pass the filter. The largest 200 rows are listed. A "
        "question to costs can be sent as it is: group, step, order, top, limit and cursor are checked, "
        "and change nothing here.",
    )
    async def explain(request: AnyRequest) -> Response[bytes]:
        question, page = parse_explain(request.scope["query_string"], api.clock.now())
        return await pages.respond(principal_of(request), question, page, request.headers.get("if-none-match"))

    return explain


def _arrange(explanation: Explanation, _page: Page) -> ArrangedRows[None]:
    """It has one page."""
    report = explanation.report
    return ArrangedRows((), others=sum(map(len, (explanation.lines, report.rows, report.lines, report.steps))))


def _body(explanation: Explanation, _shown: Shown[None]) -> ExplanationReport:
    return explanation_body(explanation)
