"""`GET /api/v1/session`."""

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from kubetally.present.session import Session, session_body
from kubetally.web.principals import principal_of
from kubetally.web.problems import NO_STORE
from kubetally.web.v1.endpoint import AnyRequest, NativeApi, unkept_endpoint
from kubetally.web.v1.etag import JSON
from kubetally.web.v1.query_string import parse_parameters


def session_endpoint(api: NativeApi) -> HTTPRouteHandler:
    """Who asks, and what they may see."""

    @unkept_endpoint("/session", Session, summary="Who asks, and what they may see and do")
    async def session(request: AnyRequest) -> Response[bytes]:
        parse_parameters(request.scope["query_string"], ())
        organizations = await api.calculate(0, api.organizations.all)
        body = session_body(principal_of(request), organizations)
        return Response(msgspec.json.encode(body), media_type=JSON, headers=NO_STORE)

    return session
