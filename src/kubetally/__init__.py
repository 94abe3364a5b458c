"""Kubetally: Kubernetes costs that tally.

    import asyncio
    from datetime import UTC, datetime
    from kubetally import Cluster, get_cluster_costs, parse_window

    window = parse_window("7d", datetime.now(UTC))
    costs = asyncio.run(get_cluster_costs(Cluster("http://localhost:9003"), window))

Names are loaded when they are used, because the HTTP client behind them is heavy and the command line often needs none.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubetally.domain.question.cost_question import DetailLevel
    from kubetally.domain.report import ClusterReport
    from kubetally.domain.window import Window, parse_window
    from kubetally.ledger.ports.clusters import Cluster
    from kubetally.present.answer import answer
    from kubetally.wiring.clusters import get_cluster_costs

__version__ = "0.1.0"
__all__ = ["Cluster", "ClusterReport", "DetailLevel", "Window", "answer", "get_cluster_costs", "parse_window"]

_HOMES = {
    "Cluster": "kubetally.ledger.ports.clusters",
    "ClusterReport": "kubetally.domain.report",
    "DetailLevel": "kubetally.domain.question.cost_question",
    "Window": "kubetally.domain.window",
    "answer": "kubetally.present.answer",
    "get_cluster_costs": "kubetally.wiring.clusters",
    "parse_window": "kubetally.domain.window",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
