"""What the doctor says of metrics: one cause is told once, of all that it concerns."""

import pytest

from kubetally.domain.finding import Finding, Level
from kubetally.domain.metrics import EGRESS_BYTES, EGRESS_PRICES, LOAD_BALANCER, MANAGEMENT
from kubetally.domain.survey import Exporter, MetricFacts, MetricsSurvey
from kubetally.domain.window import HOUR, Window, parse_window
from kubetally.ledger.diagnose.prometheus import merge_findings, metrics_findings
from tests.served import FixedClock

FEE_NOT_MEASURED = "management"

DAY = parse_window("2026-11-20,2026-11-21", FixedClock().now())
HOUR_GONE = (Window(DAY.start + 3 * HOUR, DAY.start + 4 * HOUR),)
ALL = (MANAGEMENT, LOAD_BALANCER, EGRESS_BYTES, *EGRESS_PRICES.values())
NOT_MEASURED = Finding(Level.NOTE, FEE_NOT_MEASURED, "it is not measured", "name its Prometheus with --prometheus-url")


def facts(name: str, *, gaps: tuple[Window, ...] = (), partial: tuple[Window, ...] = ()) -> MetricFacts:
    """Of a metric that is sound but for these."""
    return MetricFacts(name, (Exporter("opencost", 1, "10.0.0.1:9003"),), 1, 60.0, gaps, partial)


def found(*metrics: MetricFacts) -> list[Finding]:
    return list(metrics_findings(MetricsSurvey("http://p", DAY, metrics, DAY.start, left_open=True)))


def out_of_order(*metrics: MetricFacts) -> list[str]:
    return [f"{metric.subject}: {metric.seen}" for metric in found(*metrics) if metric.level is not Level.OK]


def test_common_gap_of_metrics_is_one_finding() -> None:
    assert out_of_order(*(facts(name, gaps=HOUR_GONE) for name in ALL)) == [
        "samples: 1 of 24 hours has no sample of management fee, load balancers, traffic, price of traffic to the "
        "internet, price of traffic between regions, price of traffic between zones, first 20 Nov 2026 "
        "03:00-04:00 UTC: they are not counted, so the bill is too low"
    ]


def test_different_gaps_are_separate_findings() -> None:
    lines = out_of_order(facts(MANAGEMENT, gaps=HOUR_GONE), facts(LOAD_BALANCER, gaps=(DAY,)))
    assert [line.partition(":")[0] for line in lines] == ["management fee", "load balancers"]


@pytest.mark.parametrize(
    ("name", "lack"),
    [
        (MANAGEMENT, "UTC"),
        (EGRESS_PRICES["zone"], "UTC"),
        (LOAD_BALANCER, "UTC: load balancers created or deleted meanwhile may be missing"),
        (EGRESS_BYTES, "UTC: traffic of that time may be missing"),
    ],
)
def test_partial_hour_lacks_what_its_metric_measures(name: str, lack: str) -> None:
    (line,) = out_of_order(facts(name, partial=HOUR_GONE))
    assert "1 hour has samples for a part only" in line
    assert line.endswith(lack)


def test_finding_names_the_day_that_was_read() -> None:
    assert "20 Nov 2026 UTC" in found(facts(MANAGEMENT))[0].seen


def test_fee_in_metrics_replaces_the_finding_of_the_source() -> None:
    assert NOT_MEASURED not in merge_findings([NOT_MEASURED], found(facts(MANAGEMENT)))


@pytest.mark.parametrize(
    "of_metrics", [[Finding(Level.FAILED, "metrics", "it is dead", "see its log")], found(MetricFacts(MANAGEMENT))]
)
def test_prometheus_without_a_fee_changes_the_remedy(of_metrics: list[Finding]) -> None:
    (note, *_) = merge_findings([NOT_MEASURED], of_metrics)
    assert note.subject == FEE_NOT_MEASURED
    assert note.remedy is not None
    assert "--prometheus-url" not in note.remedy
    assert "findings about the metrics" in note.remedy
