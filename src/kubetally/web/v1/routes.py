"""The routes of the native API. All read the lake only, and take the operator's secret."""

from typing import Any, Final

import msgspec
from litestar import Request, Router, get
from litestar.response import Response

from kubetally.domain.report import CostReport
from kubetally.domain.window import Clock
from kubetally.present.cost_report import Shown, report_body
from kubetally.tasks import Calculate
from kubetally.web.problems import NO_STORE
from kubetally.web.secret import Secret
from kubetally.web.v1.errors import problem_of
from kubetally.web.v1.pages import AskCosts, CostPages
from kubetally.web.v1.parameters import parse_costs

PREFIX: Final = "/api/v1"
JSON: Final = "application/json"


def native_api(ask: AskCosts, secret: Secret, clock: Clock, calculate: Calculate) -> Router:
    """The routes, all under `PREFIX`."""
    pages = CostPages(ask, calculate)

    @get("/costs", include_in_schema=False)
    async def costs(request: Request[Any, Any, Any]) -> Response[bytes]:
        if (failure := secret.check(request.scope)) is not None:
            raise problem_of(failure)
        question, page = parse_costs(request.scope["query_string"], clock.now())
        report, shown = await pages.page(question, page)
        body = await calculate(0, _encoded, report, shown)
        return Response(body, media_type=JSON, headers=NO_STORE)

    return Router(PREFIX, route_handlers=[costs])


def _encoded(report: CostReport, shown: Shown) -> bytes:
    return msgspec.json.encode(report_body(report, shown))
