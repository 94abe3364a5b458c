"""`GET /api/v1/clusters`."""

from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from kubetally.domain.account_report import AccountsReport, ClusterSummary
from kubetally.present.account_report import Clusters, clusters_body
from kubetally.web.principals import principal_of
from kubetally.web.v1.endpoint import AnyRequest, NativeApi, endpoint
from kubetally.web.v1.page_parameters import Page
from kubetally.web.v1.pages import ArrangedRows, View
from kubetally.web.v1.parameters import ACCOUNTS, parse_accounts


def clusters_endpoint(api: NativeApi) -> HTTPRouteHandler:
    """Accounts with their sources, coverage and costs."""
    pages = api.pages(View("clusters", api.ledger.clusters, _arrange, clusters_body))

    @endpoint(
        "/clusters",
        ACCOUNTS,
        Clusters,
        summary="Accounts with their sources, coverage and costs",
        description="Removed accounts are listed, with `removed_at`, if the window has days of them.",
    )
    async def clusters(request: AnyRequest) -> Response[bytes]:
        question, page = parse_accounts(request.scope["query_string"], api.clock.now())
        return await pages.respond(principal_of(request), question, page, request.headers.get("if-none-match"))

    return clusters


def _arrange(report: AccountsReport, _: Page) -> ArrangedRows[ClusterSummary]:
    return ArrangedRows(report.clusters)
