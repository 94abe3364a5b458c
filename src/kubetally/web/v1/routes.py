"""The routes of the native API. All read the lake only, and show what a token, or the operator's secret, opens."""

from litestar import Router
from litestar.handlers import BaseRouteHandler

from kubetally.web.documentation import NATIVE
from kubetally.web.principals import AnyConnection, Principals, keep_principal
from kubetally.web.problems import Failure
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
from kubetally.web.v1.session import session_endpoint


def native_api(api: NativeApi, principals: Principals) -> Router:
    """The routes, all under `NATIVE`."""

    async def require(connection: AnyConnection, _: BaseRouteHandler) -> None:
        """Note who asks. Raises Problem, if nobody is known; StoreError."""
        found = await principals.find(connection.scope)
        if isinstance(found, Failure):
            raise problem_of(found)
        keep_principal(connection, found)

    return Router(
        NATIVE,
        route_handlers=[
            session_endpoint(api),
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
        security=[{"Secret": []}, {"Token": []}],
        tags=["native API"],
    )
