"""Pieces of queries: selectors whose values are escaped, and ranges that hold one clock hour exactly."""

import re
from dataclasses import dataclass

from kubetally.domain.errors import RequestError
from kubetally.sources.faults import printable


def quoted(value: str) -> str:
    """A string of PromQL that holds `value`, whatever is in it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _invalid(what: str, name: str) -> RequestError:
    return RequestError(
        f"{printable(name, 80)!r} can't be a {what}: use letters, digits and underscores, no digit first",
        code="invalid_metric_or_label",
    )


def metric_name(name: str) -> str:
    """`name`, if a metric can have it. Raises RequestError."""
    if re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", name) is None:
        raise _invalid("metric", name)
    return name


@dataclass(frozen=True, slots=True)
class Selector:
    """Which series are of one account.

    tenant:     value of the label `tenant_label`; None where one server serves one account.
    cluster_id: one of several clusters of that tenant. Series without `cluster_label` pass too: of a server that
                serves one cluster they have none. Not so where `is_shared`: they might be of another account.
    replica_labels: tell apart the Prometheuses of an HA pair, which scrape the same exporters.
    Raises: RequestError.
    """

    tenant: str | None = None
    cluster_id: str | None = None
    tenant_label: str = "tenant_id"
    cluster_label: str = "cluster_id"
    replica_labels: tuple[str, ...] = ("prometheus", "prometheus_replica", "replica", "receive_replica")
    is_shared: bool = False

    def __post_init__(self) -> None:
        for label in (self.tenant_label, self.cluster_label, *self.replica_labels):
            if re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", label) is None:
                raise _invalid("label", label)

    @property
    def account_labels(self) -> tuple[str, str]:
        """The labels that tell accounts of one server apart."""
        return self.tenant_label, self.cluster_label

    @property
    def chosen(self) -> str:
        """What chooses the account's series, as `label="value"`; empty where nothing does."""
        pairs = ((self.tenant_label, self.tenant), (self.cluster_label, self.cluster_id))
        return ", ".join(f"{label}={quoted(value)}" for label, value in pairs if value is not None)

    def of(self, metric: str, *matchers: str) -> str:
        """The series of one metric, as far as further matchers let them pass. Raises RequestError."""
        return f"{metric_name(metric)}{{{','.join([*matchers, *self._matchers()])}}}"

    def of_any(self, metrics: tuple[str, ...]) -> str:
        """The series of several metrics. Raises RequestError."""
        names = "|".join(metric_name(name) for name in metrics)
        return f"{{{','.join([f'__name__=~{quoted(names)}', *self._matchers()])}}}"

    def _matchers(self) -> list[str]:
        matchers = []
        if self.tenant is not None:
            matchers.append(f"{self.tenant_label}={quoted(self.tenant)}")
        if self.cluster_id is not None:
            others = "" if self.is_shared else "|"
            matchers.append(f"{self.cluster_label}=~{quoted(others + re.escape(self.cluster_id))}")
        return matchers


@dataclass(frozen=True, slots=True)
class HourRanges:
    """Ranges that end at a whole hour and hold the clock hour before it, its first instant and not its last.

    left_open: whether the server leaves out a sample at the very start of a range, as Prometheus does from 3 on, Mimir
               and VictoriaMetrics; older ones count it, so that a plain `[1h]` holds 61 of 60 samples a minute apart.
    """

    left_open: bool

    @property
    def samples(self) -> str:
        """Behind a selector: its samples of the hour."""
        return "[1h] offset 1ms" if self.left_open else "[3599999ms] offset 1ms"

    @property
    def five_minutes(self) -> str:
        """Behind a selector: its samples of the five minutes before an instant, the first included, the last not."""
        return "[5m] offset 1ms" if self.left_open else "[299999ms] offset 1ms"

    @property
    def first_quarter(self) -> str:
        """Behind a selector: its samples of the hour's first fifteen minutes."""
        return "[15m] offset 2700001ms"

    @property
    def last_quarter(self) -> str:
        """Behind a selector: its samples of the hour's last fifteen minutes."""
        return "[15m] offset 1ms"

    @property
    def quarters(self) -> str:
        """Behind an expression: what it is at the four quarters of the hour, the last at its end."""
        return "[1h:15m]" if self.left_open else "[45m:15m]"


def named(what: str, expression: str) -> str:
    """`expression`, its series marked with the label `is`, so that several can come in one answer."""
    return f'label_replace({expression}, "is", {quoted(what)}, "", "")'
