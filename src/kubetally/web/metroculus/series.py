"""`kubecost_metrics` and `kubecost_savings`: samples of an account's metrics, as in phase 1 of the API."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

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
from kubetally.present import bodies
from kubetally.web.metroculus import wire
from kubetally.web.metroculus.errors import JSON, invalid, require
from kubetally.web.metroculus.parameters import DatesOperation, MetricsOperation, responses
from kubetally.web.metroculus.question import OF_SERIES, Question, RequestedWindow, parse
from kubetally.web.problems import NO_STORE
from kubetally.web.secret import Secret

METRICS: Final = "/kubecost_metrics"
SAVINGS: Final = "/kubecost_savings"
_NO_PROMETHEUS: Final = wire.NoPrometheus(
    IssueKind.NOT_MEASURED.value,
    code="no_prometheus",
    message="these series come from a Prometheus, and this account has none: "
    "`kubetally accounts update NAME --prometheus-url URL`",
)
_IF_EMPTY: Final = (
    "empty lists, with an error that says why, if the account has no Prometheus or Prometheus has no such sample. "
    f"An answer has at most {MAX_POINTS:,} samples; a request for more is an error."
)


class _Head(NamedTuple):
    """The first fields of both bodies."""

    cloud_account_id: str
    start_date: int
    end_date: int


_BodyOf = Callable[[_Head, MeasuredSeries, list[bodies.Issue]], msgspec.Struct]


def metrics_endpoint(service: CostService, secret: Secret, clock: Clock) -> HTTPRouteHandler:
    """The endpoint for samples of named metrics."""

    @get(
        METRICS,
        summary="Cost series of a cluster",
        description=f"Hourly samples, both ends of the window included; {_IF_EMPTY}",
        operation_id="kubecost_metrics",
        operation_class=MetricsOperation,
        responses=responses(wire.Metrics),
        media_type=JSON,
    )
    async def kubecost_metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        question = _parse_request(request, secret)
        try:
            names = metric_names(question.metrics)
        except RequestError:
            raise invalid("metrics") from None
        required = names if (question.metrics or "").replace(",", "").strip() else ()
        return await _answer(service, clock, question, names, _by_metric, required)

    return kubecost_metrics


def savings_endpoint(service: CostService, secret: Secret, clock: Clock) -> HTTPRouteHandler:
    """The endpoint for samples of the cores and bytes that could be saved."""

    @get(
        SAVINGS,
        summary="Cores and bytes that could be saved",
        description=f"Hourly samples of amounts of resources, not of money; {_IF_EMPTY}",
        operation_id="kubecost_savings",
        operation_class=DatesOperation,
        responses=responses(wire.Savings),
        media_type=JSON,
    )
    async def kubecost_savings(request: Request[Any, Any, Any]) -> Response[bytes]:
        return await _answer(service, clock, _parse_request(request, secret), (CPU_SAVINGS, RAM_SAVINGS), _of_savings)

    return kubecost_savings


def _parse_request(request: Request[Any, Any, Any], secret: Secret) -> Question:
    require(secret, request.scope)
    return parse(request.scope["query_string"], OF_SERIES)


async def _answer(
    service: CostService,
    clock: Clock,
    question: Question,
    names: Sequence[str],
    body_of: _BodyOf,
    required: Sequence[str] = (),
) -> Response[bytes]:
    """Samples of `names`; an error names each of `required` that has none."""
    requested = question.requested_window(clock)
    answer = await service.series(question.cloud_account_id, requested.samples, names)
    # Encoding a hundred thousand samples takes time that the event loop needs for other requests.
    body = await service.calculate(0, _encode, answer, requested, body_of, required)
    return Response(body, media_type=JSON, headers=NO_STORE)


def _encode(answer: SeriesAnswer, requested: RequestedWindow, body_of: _BodyOf, required: Sequence[str]) -> bytes:
    series = answer.series or MeasuredSeries(requested.samples, {})
    errors: list[bodies.Issue] = [_NO_PROMETHEUS]
    if answer.series is not None:
        errors = [bodies.Issue.of(issue) for issue in (*series.issues, *_missing_samples(series, required))]
    return msgspec.json.encode(body_of(_Head(answer.account.id, *requested.dates), series, errors))


def _missing_samples(series: MeasuredSeries, required: Sequence[str]) -> Iterator[Issue]:
    """An issue that names required metrics without samples; if no metric has any, `series` has such an issue."""
    missing = [name for name in required if not series.of(name)]
    if missing and series.count:
        message = f"Prometheus has no sample of {', '.join(missing)}; of the other metrics it has some"
        yield Issue(IssueKind.NOT_MEASURED, message, None, series.window, "metrics")


def _by_metric(head: _Head, series: MeasuredSeries, errors: list[bodies.Issue]) -> wire.Metrics:
    return wire.Metrics(*head, {name: _samples(series, name) for name in series.points}, errors)


def _of_savings(head: _Head, series: MeasuredSeries, errors: list[bodies.Issue]) -> wire.Savings:
    return wire.Savings(*head, _samples(series, CPU_SAVINGS), _samples(series, RAM_SAVINGS), errors)


def _samples(series: MeasuredSeries, name: str) -> list[wire.Sample]:
    return [wire.Sample(sample.timestamp, sample.value, sample.labels) for sample in series.of(name)]
