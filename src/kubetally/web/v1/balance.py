"""`GET /api/v1/balance`."""

from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from kubetally.domain.balance import BalanceReport, BalanceRow
from kubetally.present.balance_report import Balance, balance_body
from kubetally.web.principals import principal_of
from kubetally.web.v1.endpoint import AnyRequest, NativeApi, endpoint
from kubetally.web.v1.page_parameters import Page
from kubetally.web.v1.pages import ArrangedRows, View
from kubetally.web.v1.parameters import BALANCE, parse_balance


def balance_endpoint(api: NativeApi) -> HTTPRouteHandler:
    """Bill and use against each other, by component."""
    pages = api.pages(View("balance", api.ledger.balance, _arrange, balance_body))

    @endpoint(
        "/balance",
        BALANCE,
        Balance,
        summary="Bill and use against each other, by component",
        description="The bill is what the assets cost. What its use does not match is the difference, with causes.",
    )
    async def balance(request: AnyRequest) -> Response[bytes]:
        question, page = parse_balance(request.scope["query_string"], api.clock.now())
        return await pages.respond(principal_of(request), question, page, request.headers.get("if-none-match"))

    return balance


def _arrange(report: BalanceReport, _: Page) -> ArrangedRows[BalanceRow]:
    return ArrangedRows(report.rows, others=len(report.steps))
