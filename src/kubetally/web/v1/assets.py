"""`GET /api/v1/assets`."""

from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from kubetally.domain.asset_report import AssetReport, AssetRow
from kubetally.present.asset_report import Assets, assets_body
from kubetally.web.principals import principal_of
from kubetally.web.v1.endpoint import AnyRequest, NativeApi, endpoint
from kubetally.web.v1.page_parameters import Page
from kubetally.web.v1.pages import ArrangedRows, View
from kubetally.web.v1.parameters import ASSETS, parse_assets


def assets_endpoint(api: NativeApi) -> HTTPRouteHandler:
    """What assets cost."""
    pages = api.pages(View("assets", api.ledger.assets, _arrange, assets_body))

    @endpoint(
        "/assets",
        ASSETS,
        Assets,
        summary="What nodes, disks, load balancers and other assets cost",
        description="Each asset over its days, or grouped; highest cost first. Rows add up to the total.",
    )
    async def assets(request: AnyRequest) -> Response[bytes]:
        question, page = parse_assets(request.scope["query_string"], api.clock.now())
        return await pages.respond(principal_of(request), question, page, request.headers.get("if-none-match"))

    return assets


def _arrange(report: AssetReport, _: Page) -> ArrangedRows[AssetRow]:
    return ArrangedRows(report.rows)
