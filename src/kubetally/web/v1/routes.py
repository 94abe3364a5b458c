"""The routes of the native API. All read the lake only, and take the operator's secret."""

from typing import Any

from litestar import Router
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from kubetally.web.documentation import NATIVE
from kubetally.web.secret import Secret
from kubetally.web.v1.assets import assets_endpoint
from kubetally.web.v1.balance import balance_endpoint
from kubetally.web.v1.clusters import clusters_endpoint
from kubetally.web.v1.compare import compare_endpoint
from kubetally.web.v1.costs import costs_endpoint
from kubetally.web.v1.coverage import coverage_endpoint
from kubetally.web.v1.endpoint import NativeApi
from kubetally.web.v1.errors import problem_of
from kubetally.web.v1.explain import explain_endpoint
from kubetally.web.v1.exports import exports_endpoint
from kubetally.web.v1.labels import labels_endpoint


def native_api(api: NativeApi, secret: Secret) -> Router:
    """The routes, all under `NATIVE`."""

    def require(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        """Raises Problem, without the secret."""
        if (failure := secret.check(connection.scope)) is not None:
            raise problem_of(failure)

    return Router(
        NATIVE,
        route_handlers=[
            clusters_endpoint(api),
            costs_endpoint(api),
            compare_endpoint(api),
            explain_endpoint(api),
            exports_endpoint(api),
            labels_endpoint(api),
            assets_endpoint(api),
            balance_endpoint(api),
            coverage_endpoint(api),
        ],
        guards=[require],
        security=[{"Secret": []}],
        tags=["native API"],
    )
