"""`GET /api/v1/coverage`."""

from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from kubetally.domain.account_report import AccountDay, CoverageReport
from kubetally.present.account_report import AccountDays, coverage_body
from kubetally.web.principals import principal_of
from kubetally.web.v1.endpoint import AnyRequest, NativeApi, endpoint
from kubetally.web.v1.page_parameters import Page
from kubetally.web.v1.pages import ArrangedRows, View
from kubetally.web.v1.parameters import ACCOUNTS, parse_accounts


def coverage_endpoint(api: NativeApi) -> HTTPRouteHandler:
    """What is known of each day of each account."""
    pages = api.pages(View("coverage", api.ledger.coverage, _arrange, coverage_body))

    @endpoint(
        "/coverage",
        ACCOUNTS,
        AccountDays,
        summary="What is known of each day of each account",
        description="Days that have begun, by name of the account and day; of removed accounts the known ones.",
    )
    async def coverage(request: AnyRequest) -> Response[bytes]:
        question, page = parse_accounts(request.scope["query_string"], api.clock.now())
        return await pages.respond(principal_of(request), question, page, request.headers.get("if-none-match"))

    return coverage


def _arrange(report: CoverageReport, _: Page) -> ArrangedRows[AccountDay]:
    return ArrangedRows(report.days)
