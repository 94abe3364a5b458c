"""Metrics of a small cluster as a test writes them, by the hour since a midnight."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from kubetally.domain.infrastructure import BYTES_PER_GIB
from kubetally.domain.metrics import EGRESS_BYTES, EGRESS_PRICES, FAMILY_METRICS, LOAD_BALANCER, Family
from kubetally.domain.window import HOUR, Window, parse_instant, to_unix
from tests.integration.metrics_servers import Written

START = parse_instant("2026-11-20")
S = to_unix(START)
MINUTE = 60.0
Samples = list[tuple[float, float]]


def hours(first: int, last: int) -> Window:
    return Window(START + first * HOUR, START + last * HOUR)


def every(step: float, first: float, last: float, value: Callable[[float], float] | float) -> Samples:
    """Samples from hour `first` to before hour `last`, `step` seconds apart; `value` of the hours since midnight."""
    at = [S + first * 3600 + n * step for n in range(round((last - first) * 3600 / step))]
    return [(t, value((t - S) / 3600) if callable(value) else value) for t in at]


def gauge(name: str, value: float, first: float = 0, last: float = 4, step: float = MINUTE, **labels: str) -> Written:
    return Written(name, {"job": "opencost", **labels}, every(step, first, last, value))


def sent(gib_per_hour: float, first: float = 0, last: float = 4, step: float = MINUTE, **labels: str) -> Written:
    to = {"internet": "false", "same_zone": "false", "same_region": "false"}
    of = {"job": "network-costs", "namespace": "shop", "pod_name": "web-1"}
    steady = every(step, first, last, lambda hour: round(gib_per_hour * BYTES_PER_GIB * hour))
    return Written(EGRESS_BYTES, {**of, **to, **labels}, steady)


def prices(**labels: str) -> list[Written]:
    amounts = {"internet": 0.09, "region": 0.02, "zone": 0.01}
    return [gauge(EGRESS_PRICES[name], amount, **labels) for name, amount in amounts.items()]


def balancer(price: float = 0.025, first: float = 0, last: float = 4, **labels: str) -> Written:
    of = {"namespace": "shop", "service_name": "web", "ingress_ip": "203.0.113.1"}
    return gauge(LOAD_BALANCER, price, first, last, **{**of, **labels})


def relabelled(series: Iterable[Written], **labels: str) -> list[Written]:
    return [replace(one, labels={**one.labels, **labels}) for one in series]


def family(of: Family, *spans: tuple[float, float], **labels: str) -> Written:
    """A series of a family of metrics, with a sample a minute in each of the spans of hours."""
    of_container = {"namespace": "kube-system", "pod": "dns-1", "container": "dns"}
    samples = [sample for first, last in spans for sample in every(MINUTE, first, last, 1.0)]
    labels = {"job": of.value, **({} if of is Family.COST_MODEL else of_container), **labels}
    return Written(FAMILY_METRICS[of][0], labels, samples)


def families(*spans: tuple[float, float], **labels: str) -> list[Written]:
    """All families, with samples in each of the spans."""
    return [family(of, *spans, **labels) for of in Family]
