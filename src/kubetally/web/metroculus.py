"""`/metroculus/v2`: the costs of a cluster for the services that know this API already."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from litestar import Request, Router, get, route
from litestar.enums import HttpMethod
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Operation, Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.response import Response
from litestar.types import ASGIApp, Receive, Scope, Send

from kubetally.domain.cluster_costs import DetailLevel
from kubetally.domain.metrics import CPU_SAVINGS, RAM_SAVINGS
from kubetally.domain.series import (
    MeasuredSeries,
    MetricNotOffered,
    metric_names,
)
from kubetally.domain.window import LATEST_UNIX, Clock
from kubetally.ledger.answer import Json, issue_body
from kubetally.ledger.service import CachedAnswer, CostService
from kubetally.web import wire
from kubetally.web.bodies import Bodies
from kubetally.web.figures import Figures
from kubetally.web.problems import JSON, NO_STORE, Problem
from kubetally.web.question import LARGEST, LEGACY_SUM, OF_SERIES, Question, instants, parse
from kubetally.web.secret import Secret
from kubetally.web.watch import CACHE

Series = Response[bytes]
PREFIX: Final = "/metroculus/v2"
COSTS, METRICS, SAVINGS = "/kubecost_cluster_costs", "/kubecost_metrics", "/kubecost_savings"
_OTHER_VERBS = (
    HttpMethod.POST,
    HttpMethod.PUT,
    HttpMethod.PATCH,
    HttpMethod.DELETE,
    HttpMethod.HEAD,
    HttpMethod.OPTIONS,
)
_NO_PROMETHEUS = {
    "kind": "not_measured",
    "code": "no_prometheus",
    "message": "these series are read from a Prometheus, and none is known of this account: "
    "`kubetally accounts update NAME --prometheus-url URL`",
}


def metroculus(service: CostService, secret: Secret, clock: Clock, figures: Figures) -> Router:
    """The routes, all under `PREFIX`."""
    bodies = Bodies()

    def asked(request: Request[Any, Any, Any]) -> Question:
        secret.demand(request.scope)
        return parse(request.scope["query_string"])

    def asked_for_series(request: Request[Any, Any, Any]) -> Question:
        secret.demand(request.scope)
        return parse(request.scope["query_string"], OF_SERIES)

    @get(
        COSTS,
        summary="What a cluster cost",
        description="Without dates: today and the six days before it. All rows of a list are given without a limit; "
        "totals are of all rows, whatever the page. Answers are remembered for 15 minutes.",
        operation_id="kubecost_cluster_costs",
        operation_class=_CostsOperation,
        responses=_responses(wire.ClusterCosts),
        media_type=JSON,
    )
    async def kubecost_cluster_costs(request: Request[Any, Any, Any]) -> ASGIApp:
        question = asked(request)
        dates, window = question.given(clock)
        answer = await service.costs(question.cloud_account_id, window)
        if question.with_legacy:
            answer = await service.with_legacy(answer, instants(dates))
        figures.cached(is_hit=answer.is_hit, age_seconds=answer.age_seconds)
        body = await bodies.of(answer, question, dates)
        return _Ready(body, answer)

    async def series(question: Question, names: Sequence[str], body_of: Callable[[MeasuredSeries], Json]) -> Series:
        dates, _ = question.given(clock)
        (start, end), window = dates, instants(dates)
        answer = await service.series(question.cloud_account_id, window, names)
        found = answer.found or MeasuredSeries(window, {})
        errors = [_NO_PROMETHEUS] if answer.found is None else [issue_body(one) for one in found.issues]
        body = {"cloud_account_id": answer.account.id, "start_date": start, "end_date": end, **body_of(found)}
        return Response(msgspec.json.encode(body | {"errors": errors}), media_type=JSON, headers=NO_STORE)

    @get(
        METRICS,
        summary="Cost series of a cluster",
        description="Samples an hour apart, both ends of the window included; empty, with an error that says why, "
        "where no Prometheus is known of the account.",
        operation_id="kubecost_metrics",
        operation_class=_MetricsOperation,
        responses=_responses(wire.Metrics),
        media_type=JSON,
    )
    async def kubecost_metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        question = asked_for_series(request)
        try:
            names = metric_names(question.metrics)
        except MetricNotOffered:
            raise Problem("OM0006", "metrics") from None
        return await series(
            question, names, lambda found: {"metrics": {name: _samples(found, name) for name in found.points}}
        )

    @get(
        SAVINGS,
        summary="Cores and bytes that could be saved",
        description="Samples an hour apart, amounts of resources and not of money; empty, with an error that says why, "
        "where no Prometheus is known of the account.",
        operation_id="kubecost_savings",
        operation_class=_DatesOperation,
        responses=_responses(wire.Savings),
        media_type=JSON,
    )
    async def kubecost_savings(request: Request[Any, Any, Any]) -> Response[bytes]:
        def body_of(found: MeasuredSeries) -> Json:
            return {
                "cpu_savings": _samples(found, CPU_SAVINGS),
                "memory_savings": _samples(found, RAM_SAVINGS),
            }

        return await series(asked_for_series(request), (CPU_SAVINGS, RAM_SAVINGS), body_of)

    @route([COSTS, METRICS, SAVINGS], http_method=_OTHER_VERBS, include_in_schema=False, status_code=405)
    async def other_verbs(request: Request[Any, Any, Any]) -> Response[bytes]:
        secret.demand(request.scope)
        raise no_such_verb(request.scope["method"])

    return Router(
        PREFIX,
        # The other verbs come first, or Litestar would answer OPTIONS by itself.
        route_handlers=[other_verbs, kubecost_cluster_costs, kubecost_metrics, kubecost_savings],
        security=[{"Secret": []}],
        tags=["metroculus"],
    )


def _samples(found: MeasuredSeries, name: str) -> list[Json]:
    return [{"timestamp": one.timestamp, "value": one.value, "labels": one.labels} for one in found.of(name)]


class _Ready:
    """An answer that is there already, sent without what Litestar does to make one: that takes a third of the time."""

    __slots__ = ("_body", "_cache", "_headers")
    _SAME = ((b"content-type", JSON.encode()), (b"cache-control", b"no-store"))

    def __init__(self, body: bytes, answer: CachedAnswer) -> None:
        self._body, self._cache = body, "hit" if answer.is_hit else "miss"
        self._headers = [
            *self._SAME,
            (b"content-length", b"%d" % len(body)),
            (b"age", b"%d" % answer.age_seconds),
            (b"x-kubetally-cache", self._cache.encode()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"][CACHE] = self._cache
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})


def no_such_verb(verb: str) -> Problem:
    """The 405 of every path here, all of which know GET alone."""
    return Problem("OM0003", verb, headers={"Allow": "GET"})


def _responses(body: type[msgspec.Struct]) -> dict[int, ResponseSpec]:
    meanings = {
        400: "A parameter is missing or invalid.",
        401: "No secret was sent.",
        403: "The secret is another.",
        404: "There is no cluster of this id.",
        414: "The query is too long.",
        424: "Nothing of the cluster's source could be read.",
        500: "A defect.",
        503: "The service can't answer now; a retry may help.",
    }
    errors = {
        status: ResponseSpec(wire.Error, generate_examples=False, description=text) for status, text in meanings.items()
    }
    return {200: ResponseSpec(body, generate_examples=False, description="The answer."), **errors}


def _parameter(name: str, description: str, *, required: bool = False, **schema: Any) -> Parameter:
    return Parameter(name=name, param_in="query", description=description, required=required, schema=Schema(**schema))


_DATES = (
    _parameter("cloud_account_id", "Id of the account.", required=True, type=OpenAPIType.STRING),
    _parameter(
        "start_date",
        "First second, as Unix seconds; both dates or none.",
        type=OpenAPIType.INTEGER,
        minimum=0,
        maximum=LATEST_UNIX,
    ),
    _parameter(
        "end_date",
        "End as Unix seconds, not before start_date: exclusive, but on second :59, which is inclusive.",
        type=OpenAPIType.INTEGER,
        minimum=1,
        maximum=LATEST_UNIX,
    ),
)


@dataclass
class _DatesOperation(Operation):
    def __post_init__(self) -> None:
        self.parameters = [*_DATES]


@dataclass
class _MetricsOperation(Operation):
    def __post_init__(self) -> None:
        names = _parameter("metrics", "Names of series, with commas between.", type=OpenAPIType.STRING)
        self.parameters = [*_DATES, names]


@dataclass
class _CostsOperation(Operation):
    def __post_init__(self) -> None:
        self.parameters = [
            *_DATES,
            _parameter(
                "detail_level",
                "How finely; summary unless given.",
                type=OpenAPIType.STRING,
                enum=[level.value for level in DetailLevel],
            ),
            _parameter("limit", "Most rows of each list.", type=OpenAPIType.INTEGER, minimum=1, maximum=LARGEST),
            _parameter(
                "offset", "Rows of each list to leave out first.", type=OpenAPIType.INTEGER, minimum=0, maximum=LARGEST
            ),
            _parameter(
                "infrastructure",
                "measured unless given; legacy_sum adds a block legacy: old sums of metrics, to compare with.",
                type=OpenAPIType.STRING,
                enum=["measured", LEGACY_SUM],
            ),
        ]
