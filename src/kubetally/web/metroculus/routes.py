"""`/metroculus/v2`: the costs of a cluster for clients of the existing API."""

from typing import Any, Final

from litestar import Request, Router, get, route
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response
from litestar.types import ASGIApp

from kubetally.domain.window import Clock
from kubetally.ledger.costs.service import CostService
from kubetally.present.answer import ClusterCosts
from kubetally.web.documentation import METROCULUS
from kubetally.web.metroculus.costs import COSTS, CostAnswers
from kubetally.web.metroculus.errors import JSON, problem_of, require
from kubetally.web.metroculus.parameters import CostsOperation, responses
from kubetally.web.metroculus.series import METRICS, SAVINGS, metrics_endpoint, savings_endpoint
from kubetally.web.problems import Failure
from kubetally.web.secret import Secret

PREFIX: Final = METROCULUS
_OTHER_METHODS = (
    HttpMethod.POST,
    HttpMethod.PUT,
    HttpMethod.PATCH,
    HttpMethod.DELETE,
    HttpMethod.HEAD,
    HttpMethod.OPTIONS,
)


def metroculus(service: CostService, secret: Secret, clock: Clock, costs: CostAnswers) -> Router:
    """The routes, all under `PREFIX`."""
    return Router(
        PREFIX,
        # The other methods come first, or Litestar would answer OPTIONS itself.
        route_handlers=[
            _other_methods(secret),
            _costs_endpoint(costs),
            metrics_endpoint(service, secret, clock),
            savings_endpoint(service, secret, clock),
        ],
        security=[{"Secret": []}],
        tags=["metroculus"],
    )


def _costs_endpoint(costs: CostAnswers) -> HTTPRouteHandler:
    @get(
        COSTS,
        summary="What a cluster cost",
        description="Default dates: today and the six days before it. Without a limit, lists have all rows. "
        "Totals are of all rows on every page. Answers are cached for 15 minutes.",
        operation_id="kubecost_cluster_costs",
        operation_class=CostsOperation,
        responses=responses(ClusterCosts),
        media_type=JSON,
    )
    async def kubecost_cluster_costs(request: Request[Any, Any, Any]) -> ASGIApp:
        return await costs.answer(request.scope)

    return kubecost_cluster_costs


def _other_methods(secret: Secret) -> HTTPRouteHandler:
    @route([COSTS, METRICS, SAVINGS], http_method=_OTHER_METHODS, include_in_schema=False, status_code=405)
    async def other_methods(request: Request[Any, Any, Any]) -> Response[bytes]:
        require(secret, request.scope)
        raise problem_of(Failure(405, method=request.scope["method"]))

    return other_methods
