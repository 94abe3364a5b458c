"""Findings about a Prometheus: what it has, what is missing, what that means for the figures, and what to do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from kubetally.domain.errors import KubetallyError
from kubetally.domain.finding import Finding, Level
from kubetally.domain.metrics import EGRESS_BYTES, EGRESS_PRICES, LOAD_BALANCER, MANAGEMENT
from kubetally.domain.survey import Exporter, MetricFacts, MetricsSurvey
from kubetally.domain.window import Window, covered_hours, rfc3339
from kubetally.domain.words import hours_words, name_some, period_words
from kubetally.ledger.diagnose.remedies import of_issue, of_metrics_error
from kubetally.ledger.diagnose.source import FEE_NOT_MEASURED
from kubetally.ledger.ports.sources import SurveyedSource

_COARSE_SECONDS = 300.0  # from here on Prometheus drops a sample before the next one comes
_COARSEST_SECONDS = 900.0  # from here on quarters of an hour lack samples in normal operation
_MAX_NAMED = 4


class _Need(NamedTuple):
    """What a metric is needed for, what its absence means for the bill, and how to get it."""

    what: str
    lack: str
    remedy: str


_OWN_METRICS = "scrape the /metrics of OpenCost or Kubecost itself (port 9003), and let remote write pass kubecost_.*"
_PRICE_LACK = "traffic {} is measured and has no price: its cost is unknown"
_PRICE_REMEDY = "set the egress prices of OpenCost (zone, region, internet), and scrape its /metrics"
_NEEDS: Mapping[str, _Need] = {
    MANAGEMENT: _Need(
        "management fee",
        "the management fee is not on the bill: about 0.10 an hour, 73 a month at the large providers",
        _OWN_METRICS,
    ),
    LOAD_BALANCER: _Need(
        "load balancers",
        "load balancers are not on the bill, unless the cost source lists them or the cluster has none",
        f"{_OWN_METRICS}; on premises, give OpenCost a price for load balancers",
    ),
    EGRESS_BYTES: _Need(
        "traffic",
        "traffic of pods is not measured: network cost is unknown here and zero in the cost source",
        "deploy the network-costs DaemonSet of Kubecost, and scrape it (port 3001)",
    ),
    EGRESS_PRICES["internet"]: _Need(
        "price of traffic to the internet", _PRICE_LACK.format("to the internet"), _PRICE_REMEDY
    ),
    EGRESS_PRICES["region"]: _Need(
        "price of traffic between regions", _PRICE_LACK.format("between regions"), _PRICE_REMEDY
    ),
    EGRESS_PRICES["zone"]: _Need("price of traffic between zones", _PRICE_LACK.format("between zones"), _PRICE_REMEDY),
}


async def diagnose_metrics(source: SurveyedSource, window: Window) -> list[Finding]:
    """All findings about a Prometheus over a window of whole hours.

    Its errors are findings, too.
    """
    try:
        survey = await source.survey(window)
    except KubetallyError as error:
        return [Finding(Level.FAILED, "metrics", str(error), of_metrics_error(error, source.url))]
    return list(metrics_findings(survey))


def metrics_findings(survey: MetricsSurvey) -> Iterator[Finding]:
    """What the facts of a survey mean."""
    if not any(metric.is_there for metric in survey.metrics):
        yield Finding(
            Level.WARNING,
            "metrics",
            f"{survey.url} answers, but has none of the needed metrics in {period_words(survey.window)}: "
            "management fee, load balancer and network costs are unknown",
            "check that tenant and cluster id of the account, if any, match its labels (KUBETALLY_TENANT_LABEL, "
            f"KUBETALLY_CLUSTER_LABEL); {_OWN_METRICS}",
        )
        return
    kind = "leave out" if survey.left_open else "include"
    yield Finding(
        Level.OK,
        "metrics",
        f"{survey.url} answers for {period_words(survey.window)}; its ranges {kind} a sample at their start",
    )
    if len(survey.tenants) > 1:
        seen = f"it holds metrics of several tenants: {', '.join(survey.tenants[:_MAX_NAMED])}"
        yield Finding(Level.FAILED, "tenants", f"{seen}; none of them is used", "choose one with --tenant")
    if len(survey.cluster_ids) > 1:
        seen = f"it holds {len(survey.cluster_ids)} clusters: {', '.join(survey.cluster_ids)}; none of them is used"
        yield Finding(Level.FAILED, "clusters", seen, "choose one with --cluster-id, or give the account's tenant")
    for metric in survey.metrics:
        yield from _metric(metric)
    yield from _gaps(survey)
    yield from _partial(survey.metrics)
    yield _retention(survey)
    for issue in survey.issues:
        yield Finding(Level.WARNING, issue.kind.value.replace("_", " "), issue.message, of_issue(issue.kind))


def merge_findings(findings: Sequence[Finding], of_metrics: Sequence[Finding]) -> list[Finding]:
    """All findings, without the source's missing management fee if the Prometheus has it."""
    has_fee = any(finding.subject == _NEEDS[MANAGEMENT].what and finding.level is Level.OK for finding in of_metrics)
    remedy = "see the findings about the metrics below: Prometheus has no management fee"
    kept = [finding for finding in findings if not (has_fee and finding.subject == FEE_NOT_MEASURED)]
    changed = [replace(finding, remedy=remedy) if finding.subject == FEE_NOT_MEASURED else finding for finding in kept]
    return [*changed, *of_metrics]


def _metric(metric: MetricFacts) -> Iterator[Finding]:
    need = _NEEDS[metric.name]
    if not metric.is_there:
        yield Finding(Level.WARNING, need.what, f"no {metric.name}: {need.lack}", need.remedy)
        return
    every = "" if metric.interval_seconds is None else f", a sample every {metric.interval_seconds:.0f} s"
    yield Finding(Level.OK, need.what, f"{metric.name} from {_named(metric.exporters)}{every}")
    if metric.copies > 1:
        yield Finding(
            Level.NOTE,
            need.what,
            f"{metric.copies} series at a time show the same thing: they are averaged here; a query that adds them up "
            f"shows {metric.copies} times the truth",
            "let one job scrape each exporter, and one exporter run in each cluster",
        )
    if metric.interval_seconds is None or metric.interval_seconds > _COARSE_SECONDS:
        yield Finding(
            Level.NOTE,
            need.what,
            "samples are more than five minutes apart: hours that begin or end between two samples are inexact"
            + (", and traffic needs two samples in an hour" if metric.name == EGRESS_BYTES else ""),
            "scrape it every 60 s",
        )


def _gaps(survey: MetricsSurvey) -> Iterator[Finding]:
    """The hours without any sample; one finding for hours that several metrics share."""
    for gaps, metrics in _sharing({metric: metric.gaps for metric in survey.metrics if metric.is_there}):
        hours = hours_words(survey.window.hours)
        yield Finding(
            Level.WARNING,
            _needed_for(metrics),
            f"{covered_hours(gaps):g} of {hours} {_have(gaps)} no sample{_of_metrics(metrics)}, first "
            f"{period_words(gaps[0])}: they are not counted, so the bill is too low",
            "check whether the exporter and Prometheus ran then; hours without samples are not estimated",
        )


def _partial(metrics: Sequence[MetricFacts]) -> Iterator[Finding]:
    """The hours with samples for a part of them; one finding for hours that several metrics share."""
    dense = (
        metric
        for metric in metrics
        if metric.is_there and (metric.interval_seconds or _COARSEST_SECONDS) < _COARSEST_SECONDS
    )
    for spans, same in _sharing({metric: metric.partial for metric in dense}):
        lack = ", and ".join(_may_be_missing(same))
        yield Finding(
            Level.NOTE,
            _needed_for(same),
            f"{hours_words(covered_hours(spans))} {_have(spans)} samples for a part only{_of_metrics(same)}, first "
            f"{period_words(spans[0])}{lack and f': {lack}'}",
            "check whether the exporter and Prometheus ran then",
        )


def _have(spans: Sequence[Window]) -> str:
    return "has" if covered_hours(spans) == 1 else "have"


def _sharing(
    spans: Mapping[MetricFacts, tuple[Window, ...]],
) -> Iterator[tuple[tuple[Window, ...], list[MetricFacts]]]:
    """Equal spans, with all metrics that have them."""
    for same in dict.fromkeys(filter(None, spans.values())):
        yield same, [metric for metric, of_metric in spans.items() if of_metric == same]


def _needed_for(metrics: Sequence[MetricFacts]) -> str:
    return _NEEDS[metrics[0].name].what if len(metrics) == 1 else "samples"


def _of_metrics(metrics: Sequence[MetricFacts]) -> str:
    return "" if len(metrics) == 1 else f" of {', '.join(_NEEDS[metric.name].what for metric in metrics)}"


def _may_be_missing(metrics: Sequence[MetricFacts]) -> Iterator[str]:
    """What the samples around a gap can't replace, as they can a constant price."""
    names = {metric.name for metric in metrics}
    if EGRESS_BYTES in names:
        yield "traffic of that time may be missing"
    if LOAD_BALANCER in names:
        yield "load balancers created or deleted meanwhile may be missing"


def _retention(survey: MetricsSurvey) -> Finding:
    if survey.oldest is None:
        seen, remedy = "it is unknown how far back the samples of Prometheus go", "check its retention"
        return Finding(Level.NOTE, "retention", seen, remedy)
    days = (survey.window.end - survey.oldest).days
    since = f"samples go back to {rfc3339(survey.oldest)}, {days} day{'' if days == 1 else 's'}"
    return Finding(
        Level.OK,
        "retention",
        f"{since}: for older windows, management fee, load balancer and network costs are unknown",
    )


def _address(exporter: Exporter) -> str:
    if exporter.instance:
        return f" ({exporter.instance})"
    return f" ({exporter.instances} addresses)" if exporter.instances > 1 else ""


def _named(exporters: tuple[Exporter, ...]) -> str:
    named = [f"job {exporter.job or 'without a name'}{_address(exporter)}" for exporter in exporters]
    return name_some(named, _MAX_NAMED, "jobs")
