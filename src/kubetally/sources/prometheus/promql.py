"""Parts of queries: selectors with escaped values, and ranges of exactly one clock hour."""

import re
from dataclasses import dataclass

from kubetally.domain.errors import RequestError
from kubetally.sources.faults import printable

FIRST_QUARTER, LAST_QUARTER = "[15m] offset 2700001ms", "[15m] offset 1ms"
"""After a selector: its samples of the first or last fifteen minutes of the hour."""


def quoted(value: str) -> str:
    """`value` as a string of PromQL, whatever characters it has."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _invalid(name: str, *, kind: str) -> RequestError:
    return RequestError(
        f"{printable(name, 80)!r} can't be a {kind}: use letters, digits and underscores, no digit first",
        code="invalid_metric_or_label",
    )


def metric_name(name: str) -> str:
    """`name`, if it is valid for a metric. Raises RequestError."""
    if re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", name) is None:
        raise _invalid(name, kind="metric")
    return name


@dataclass(frozen=True, slots=True)
class Selector:
    """Selects the series of one account.

    tenant:     value of the label `tenant_label`; None if the server serves one account.
    cluster_id: one of several clusters of that tenant. Series without `cluster_label` pass too, as a server of one
                cluster has no such label, unless `is_shared`: they might be of another account.
    replica_labels: distinguish the Prometheuses of an HA pair, which scrape the same exporters.
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
                raise _invalid(label, kind="label")

    @property
    def account_labels(self) -> tuple[str, str]:
        """The labels that distinguish the accounts of one server."""
        return self.tenant_label, self.cluster_label

    @property
    def chosen(self) -> str:
        """The tenant and cluster as `label="value"`, for a message; empty if neither is set."""
        pairs = ((self.tenant_label, self.tenant), (self.cluster_label, self.cluster_id))
        return ", ".join(f"{label}={quoted(value)}" for label, value in pairs if value is not None)

    def of(self, metric: str, *matchers: str) -> str:
        """A selector of one metric, with further matchers. Raises RequestError."""
        return f"{metric_name(metric)}{{{','.join([*matchers, *self._matchers()])}}}"

    def of_any(self, metrics: tuple[str, ...]) -> str:
        """A selector of several metrics. Raises RequestError."""
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
    """Ranges within the clock hour before a whole hour. They include its first instant and exclude its last.

    left_open: whether the server excludes a sample at the very start of a range, as Prometheus 3, Mimir and
               VictoriaMetrics do. Older ones include it: `[1h]` of a sample a minute has 61 samples.
    """

    left_open: bool

    @property
    def samples(self) -> str:
        """After a selector: its samples of the hour."""
        return "[1h] offset 1ms" if self.left_open else "[3599999ms] offset 1ms"

    @property
    def five_minutes(self) -> str:
        """After a selector: its samples of the five minutes before an instant."""
        return "[5m] offset 1ms" if self.left_open else "[299999ms] offset 1ms"

    @property
    def quarters(self) -> str:
        """After an expression: its values at the ends of the hour's four quarters."""
        return "[1h:15m]" if self.left_open else "[45m:15m]"


def named(expression: str, *, name: str) -> str:
    """`expression`, its series labelled `is=name`, so that one query can return several."""
    return f'label_replace({expression}, "is", {quoted(name)}, "", "")'
