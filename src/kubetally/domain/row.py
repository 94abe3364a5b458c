"""The rows of the ledger, and why a bill and its use may differ."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from kubetally.domain.allocation import Kind
from kubetally.domain.component import NO_CLASSES, ZERO, Costs, NetworkClasses
from kubetally.domain.efficiency import NO_HOURS, Hours


class Cause(StrEnum):
    """Why the bill and the use of a component differ."""

    OVER_COMMIT = "over_commit"
    CREDIT = "credit"
    NEGATIVE_FIGURE = "negative_figure"
    BALANCER_CHARGED_TWICE = "balancer_charged_twice"
    BALANCER_BOOKED_IN_PART = "balancer_booked_in_part"
    VOLUME_CHARGED_BEYOND_ITS_DISK = "volume_charged_beyond_its_disk"
    VOLUME_BOOKED_IN_PART = "volume_booked_in_part"
    NETWORK_ASSET_DIFFERS = "network_asset_differs"
    NODE_WITHOUT_ASSET = "node_without_asset"
    NODE_WITHOUT_PRICE = "node_without_price"
    MACHINE_TWICE = "machine_twice"
    FIGURE_MISSING = "figure_missing"
    ROUNDING = "rounding"
    UNKNOWN = "unknown"


CAUSE_IN_WORDS: Mapping[Cause, str] = {
    Cause.OVER_COMMIT: "workloads were charged more than their nodes cost (over-commit)",
    Cause.CREDIT: "a credit exceeds the idle cost that it corrects",
    Cause.NEGATIVE_FIGURE: "the source charged some rows less than nothing",
    Cause.BALANCER_CHARGED_TWICE: "the source charged a load balancer more often than it was paid for",
    Cause.BALANCER_BOOKED_IN_PART: "the source charged only a part of a load balancer to anyone",
    Cause.VOLUME_CHARGED_BEYOND_ITS_DISK: "the source charged volumes above the cost of their disks",
    Cause.VOLUME_BOOKED_IN_PART: "the source charged only a part of disks that claims share or left early",
    Cause.NETWORK_ASSET_DIFFERS: "the network asset differs from the traffic charged to workloads",
    Cause.NODE_WITHOUT_ASSET: "the source shows idle cost of nodes that it does not list as assets",
    Cause.NODE_WITHOUT_PRICE: "the source lists nodes without a price and charges the workloads on them",
    Cause.MACHINE_TWICE: "the source counts a machine of two names twice in its idle cost",
    Cause.FIGURE_MISSING: "the source could not compute a figure",
    Cause.ROUNDING: "the source rounds each of its figures to five decimals",
    Cause.UNKNOWN: "no cause could be named",
}


class Row(NamedTuple):
    """One booked row: a pod on a node, or a line of the cluster. Costs in micros, hours as in `Hours`.

    `minutes` is how long the pod lived in the window; of its containers the longest counts. `cause` is set on
    unexplained rows only.
    """

    kind: Kind
    cause: Cause | None = None
    namespace: str | None = None
    controller_kind: str | None = None
    controller: str | None = None
    pod: str | None = None
    node: str | None = None
    containers: int = 0
    minutes: float = 0.0
    hours: Hours = NO_HOURS
    costs: Costs = ZERO
    network_classes: NetworkClasses = NO_CLASSES
    services: tuple[str, ...] = ()
    labels: Mapping[str, str] | None = None
    namespace_labels: Mapping[str, str] | None = None
