"""`kubecost_metrics` and `kubecost_savings`: samples of an account's metrics, as phase 1 of the API showed them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from kubetally.domain.errors import RequestError
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.metrics import CPU_SAVINGS, RAM_SAVINGS
from kubetally.domain.series import MAX_POINTS, MeasuredSeries, metric_names
from kubetally.domain.window import Clock
from kubetally.ledger.costs.service import CostService, SeriesAnswer
from kubetally.present.answer import Json, issue_body
from kubetally.web.metroculus import wire
from kubetally.web.metroculus.parameters import DatesOperation, MetricsOperation, responses
from kubetally.web.metroculus.question import OF_SERIES, Question, RequestedWindow, parse
from kubetally.web.problems import JSON, NO_STORE, Problem
from kubetally.web.secret import Secret

METRICS: Final = "/kubecost_metrics"
SAVINGS: Final = "/kubecost_savings"
_NO_PROMETHEUS: Final = {
    "kind": "not_measured",
    "code": "no_prometheus",
    "message": "these series are read from a Prometheus, and none is known of this account: "
    "`kubetally accounts update NAME --prometheus-url URL`",
}
_WHERE_EMPTY: Final = (
    "empty, with an error that says why, where no Prometheus is known of the account or it has no sample of them. "
    f"An answer has at most {MAX_POINTS:,} samples: beyond that it is an error, with nothing in it."
)
_BodyOf = Callable[[MeasuredSeries], Json]


def metrics_endpoint(service: CostService, secret: Secret, clock: Clock) -> HTTPRouteHandler:
    """Samples of the metrics that are named."""

    @get(
        METRICS,
        summary="Cost series of a cluster",
        description=f"Samples an hour apart, both ends of the window included; {_WHERE_EMPTY}",
        operation_id="kubecost_metrics",
        operation_class=MetricsOperation,
        responses=responses(wire.Metrics),
        media_type=JSON,
    )
    async def kubecost_metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        question = _asked(request, secret)
        try:
            names = metric_names(question.metrics)
        except RequestError:
            raise Problem("OM0006", "metrics") from None
        demanded = names if (question.metrics or "").replace(",", "").strip() else ()
        return await _answer(service, clock, question, names, _by_metric, demanded)

    return kubecost_metrics


def savings_endpoint(service: CostService, secret: Secret, clock: Clock) -> HTTPRouteHandler:
    """Samples of the cores and bytes that could be saved."""

    @get(
        SAVINGS,
        summary="Cores and bytes that could be saved",
        description=f"Samples an hour apart, amounts of resources and not of money; {_WHERE_EMPTY}",
        operation_id="kubecost_savings",
        operation_class=DatesOperation,
        responses=responses(wire.Savings),
        media_type=JSON,
    )
    async def kubecost_savings(request: Request[Any, Any, Any]) -> Response[bytes]:
        return await _answer(service, clock, _asked(request, secret), (CPU_SAVINGS, RAM_SAVINGS), _of_savings)

    return kubecost_savings


def _asked(request: Request[Any, Any, Any], secret: Secret) -> Question:
    secret.demand(request.scope)
    return parse(request.scope["query_string"], OF_SERIES)


async def _answer(
    service: CostService,
    clock: Clock,
    question: Question,
    names: Sequence[str],
    body_of: _BodyOf,
    demanded: Sequence[str] = (),
) -> Response[bytes]:
    """Samples of `names`; that one of the `demanded` has none is an error, whatever the others have."""
    requested = question.requested_window(clock)
    answer = await service.series(question.cloud_account_id, requested.samples, names)
    # A hundred thousand samples take their time; the loop has others to serve meanwhile.
    body = await service.calculate(0, _encoded, answer, requested, body_of, demanded)
    return Response(body, media_type=JSON, headers=NO_STORE)


def _encoded(answer: SeriesAnswer, requested: RequestedWindow, body_of: _BodyOf, demanded: Sequence[str]) -> bytes:
    series = answer.series or MeasuredSeries(requested.samples, {})
    errors = (
        [_NO_PROMETHEUS] if answer.series is None else [*map(issue_body, series.issues), *_lacking(series, demanded)]
    )
    facts = {"cloud_account_id": answer.account.id, "start_date": requested.dates[0], "end_date": requested.dates[1]}
    return msgspec.json.encode(facts | body_of(series) | {"errors": errors})


def _lacking(series: MeasuredSeries, demanded: Sequence[str]) -> Iterator[Json]:
    """The requested metrics without a sample; if no metric has any, an issue of the series says so already."""
    lacking = [name for name in demanded if not series.of(name)]
    if lacking and series.count:
        message = f"Prometheus has no sample of {', '.join(lacking)}; of the other metrics it has some"
        yield issue_body(Issue(IssueKind.NOT_MEASURED, message, None, series.window, "metrics"))


def _by_metric(series: MeasuredSeries) -> Json:
    return {"metrics": {name: _samples(series, name) for name in series.points}}


def _of_savings(series: MeasuredSeries) -> Json:
    return {"cpu_savings": _samples(series, CPU_SAVINGS), "memory_savings": _samples(series, RAM_SAVINGS)}


def _samples(series: MeasuredSeries, name: str) -> list[Json]:
    return [
        {"timestamp": sample.timestamp, "value": sample.value, "labels": sample.labels} for sample in series.of(name)
    ]
