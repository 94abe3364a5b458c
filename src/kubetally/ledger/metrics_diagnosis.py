"""What a server of metrics holds, what is missing, what each lack costs in truth, and how to mend it."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from kubetally.domain.errors import HubError
from kubetally.domain.metrics import EGRESS_BYTES, EGRESS_PRICES, LOAD_BALANCER, MANAGEMENT
from kubetally.domain.survey import Exporter, MetricFacts, MetricsSurvey
from kubetally.domain.window import Window, rfc3339
from kubetally.ledger.diagnosis import Finding, Level
from kubetally.ledger.ports import SurveyedSource
from kubetally.ledger.remedies import of_issue, of_metrics_error

_COARSE_SECONDS = 300.0  # from here on a server forgets a sample before the next one comes
_COARSEST_SECONDS = 900.0  # from here on quarters of an hour lack samples although nothing is wrong
_NAMED_AT_MOST = 4


class _Need(NamedTuple):
    """What a metric is needed for, what its lack costs in truth, and where it comes from."""

    what: str
    lack: str
    remedy: str


_OWN_METRICS = "scrape the /metrics of OpenCost or Kubecost itself (port 9003), and let remote writing pass kubecost_.*"
_PRICE_LACK = "traffic {} is measured and has no price: its cost is unknown"
_PRICE_REMEDY = "set the egress prices of OpenCost (zone, region, internet), and scrape its /metrics"
_NEEDS: Mapping[str, _Need] = {
    MANAGEMENT: _Need(
        "management fee",
        "the fee for the control plane is not on the bill, at the large providers about 0.10 an hour and 73 a month",
        _OWN_METRICS,
    ),
    LOAD_BALANCER: _Need(
        "load balancers",
        "what balancers cost is not on the bill, unless the cost source lists them or the cluster has none",
        f"{_OWN_METRICS}; on premises, give OpenCost a price for balancers",
    ),
    EGRESS_BYTES: _Need(
        "traffic",
        "what pods send is not measured, so that network cost is unknown here and zero in the cost source",
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
    """All findings about a server of metrics, from a window of whole hours.

    Raises nothing that concerns the server: what fails is a finding.
    """
    try:
        survey = await source.survey(window)
    except HubError as error:
        return [Finding(Level.FAILED, "metrics", str(error), of_metrics_error(error, source.url))]
    return list(metrics_findings(survey))


def metrics_findings(survey: MetricsSurvey) -> Iterator[Finding]:
    """What the facts mean."""
    if not any(metric.is_there for metric in survey.metrics):
        yield Finding(
            Level.WARNING,
            "metrics",
            f"{survey.url} answers, and holds none of the metrics that are needed in {survey.window}: fee, balancers "
            "and traffic are unknown",
            "see that tenant and cluster id of the account, if any, are those of its labels (KUBETALLY_TENANT_LABEL, "
            f"KUBETALLY_CLUSTER_LABEL); {_OWN_METRICS}",
        )
        return
    kind = "leave out" if survey.left_open else "include"
    yield Finding(Level.OK, "metrics", f"{survey.url} answers; its ranges {kind} a sample at their start")
    if len(survey.tenants) > 1:
        seen = f"it holds metrics of several tenants: {', '.join(survey.tenants[:_NAMED_AT_MOST])}"
        yield Finding(Level.FAILED, "tenants", f"{seen}; none of them is used", "choose one with --tenant")
    if len(survey.cluster_ids) > 1:
        seen = f"it holds {len(survey.cluster_ids)} clusters: {', '.join(survey.cluster_ids)}; none of them is used"
        yield Finding(Level.FAILED, "clusters", seen, "choose one with --cluster-id, or give the account's tenant")
    for metric in survey.metrics:
        yield from _metric(metric, survey.window)
    yield _retention(survey)
    for issue in survey.issues:
        yield Finding(Level.WARNING, issue.kind.value.replace("_", " "), issue.message, of_issue(issue.kind))


def _metric(metric: MetricFacts, window: Window) -> Iterator[Finding]:
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
    if metric.gaps:
        hours = sum(gap.hours for gap in metric.gaps)
        yield Finding(
            Level.WARNING,
            need.what,
            f"{hours:g} of {window.hours:g} hours have no sample, first {metric.gaps[0]}: nothing is counted for them, "
            "so that the bill is short of what they truly cost",
            "see whether the exporter and the server ran then; nothing is made up for hours without samples",
        )
    if metric.partial and (metric.interval_seconds or _COARSEST_SECONDS) < _COARSEST_SECONDS:
        hours = sum(part.hours for part in metric.partial)
        yield Finding(
            Level.NOTE,
            need.what,
            f"{hours:g} hours have samples for a part of them only, first {metric.partial[0]}: what was sent, and "
            "which balancers came or went, while there were none may be missing",
            "see whether the exporter and the server ran then; a server that starts again should be back in minutes",
        )
    if metric.interval_seconds is None or metric.interval_seconds > _COARSE_SECONDS:
        yield Finding(
            Level.NOTE,
            need.what,
            "samples are more than five minutes apart: hours that begin or end between two samples are inexact, and "
            "traffic needs two samples in an hour",
            "scrape it every 60 s",
        )


def _retention(survey: MetricsSurvey) -> Finding:
    if survey.oldest is None:
        seen, remedy = "the server does not tell how far back its samples go", "see its retention yourself"
        return Finding(Level.NOTE, "retention", seen, remedy)
    days = (survey.window.end - survey.oldest).days
    since = f"samples go back to {rfc3339(survey.oldest)}, {days} day{'' if days == 1 else 's'}"
    return Finding(Level.OK, "retention", f"{since}: of older windows fee, balancers and traffic are unknown")


def _named(exporters: tuple[Exporter, ...]) -> str:
    named = [
        f"job {one.job or 'without a name'}"
        + (f" ({one.instance})" if one.instance else f" ({one.instances} addresses)" if one.instances > 1 else "")
        for one in exporters
    ]
    more = len(named) - _NAMED_AT_MOST
    return ", ".join(named[:_NAMED_AT_MOST]) + (f" and {more} more jobs" if more > 0 else "")
