"""`GET /api/v1/labels`."""

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from kubetally.present.cost_report import Labels, labels_body
from kubetally.web.problems import NO_STORE
from kubetally.web.v1.endpoint import JSON, AnyRequest, NativeApi, endpoint
from kubetally.web.v1.parameters import SHARED, parse_shared


def labels_endpoint(api: NativeApi) -> HTTPRouteHandler:
    """The keys of labels, with what their rows cost."""

    @endpoint("/labels", SHARED, Labels, summary="Keys of labels, with the rows that have them and their cost")
    async def labels(request: AnyRequest) -> Response[bytes]:
        question = parse_shared(request.scope["query_string"], api.clock.now())
        report = await api.calculate(0, api.ledger.labels, question)
        return Response(msgspec.json.encode(labels_body(report)), media_type=JSON, headers=NO_STORE)

    return labels
