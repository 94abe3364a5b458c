"""What a cluster cost, by a source that a test has opened itself."""

from contextlib import nullcontext
from typing import Any

from kubetally.domain.report import ClusterReport
from kubetally.domain.window import Clock, Window
from kubetally.ledger.costs.cost_reader import CostReader, CostSubject
from kubetally.ledger.ports.sources import CostSource


async def get_costs_of_source(
    source: CostSource,
    window: Window,
    *,
    clock: Clock,
    infrastructure: Any = None,
    deadline_seconds: float | None = None,
) -> ClusterReport:
    """As `CostReader.get_cluster_costs`, of no account."""
    subject = CostSubject(source.url, None, lambda: nullcontext(source), lambda: nullcontext(infrastructure))
    return await CostReader(clock, deadline_seconds=deadline_seconds).get_cluster_costs(subject, window)
