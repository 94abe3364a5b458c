"""The rows of the ledger, and why a bill and its use may differ."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from kubetally.domain.allocation import Kind, LoadBalancerCost, VolumeCost
from kubetally.domain.component import NO_CLASSES, ZERO, Costs, NetworkClasses
from kubetally.domain.efficiency import NO_HOURS, Hours
from kubetally.domain.window import Window


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
    Cause.BALANCER_CHARGED_TWICE: "the source charged a load balancer more often than it cost",
    Cause.BALANCER_BOOKED_IN_PART: "the source charged only a part of a load balancer to workloads",
    Cause.VOLUME_CHARGED_BEYOND_ITS_DISK: "the source charged volumes above the cost of their disks",
    Cause.VOLUME_BOOKED_IN_PART: "the source charged only a part of disks that claims share or left early",
    Cause.NETWORK_ASSET_DIFFERS: "the network asset differs from the traffic charged to workloads",
    Cause.NODE_WITHOUT_ASSET: "the source shows idle cost of nodes that it does not list as assets",
    Cause.NODE_WITHOUT_PRICE: "the source lists nodes without a price and charges the workloads on them",
    Cause.MACHINE_TWICE: "the source counts a machine of two names twice in its idle cost",
    Cause.FIGURE_MISSING: "the source could not compute a figure",
    Cause.ROUNDING: "the source rounds each of its figures to five decimals",
    Cause.UNKNOWN: "the cause is unknown",
}
BELOW_ZERO = frozenset({Cause.OVER_COMMIT, Cause.CREDIT, Cause.NEGATIVE_FIGURE})
"""Causes of amounts that the source itself shows below zero."""


class RowDetails(NamedTuple):
    """What a source says of a row that is kept, and that no sum needs.

    life:        the span of the window in which the source saw it; None where it gives none.
    provider_id: the cloud's name for the node.
    annotations, namespace_annotations: None where not known.
    cpu_core_usage_max, ram_byte_usage_max: cores and bytes; None where the source has none.
    adjustments: the part of the costs that corrects them to the cloud's bill, in micros.
    error_bound: how far the costs may be from the truth, in micros; None where the source gives none.
    """

    provider_id: str | None = None
    life: Window | None = None
    annotations: Mapping[str, str] | None = None
    namespace_annotations: Mapping[str, str] | None = None
    cpu_core_usage_max: float | None = None
    ram_byte_usage_max: float | None = None
    adjustments: Costs = ZERO
    volumes: tuple[VolumeCost, ...] = ()
    load_balancers: tuple[LoadBalancerCost, ...] = ()
    error_bound: int | None = None


NO_DETAILS = RowDetails()


class Row(NamedTuple):
    """One booked row: a container on a node, or a line of the cluster. Costs in micros, hours as in `Hours`.

    minutes:    how long it ran in the window; of a pod, its longest container.
    containers: how many containers it stands for: 1, more of a pod (`pods.merge_pods`; a day that lake version 1
                stored has one row a pod), 0 of a line.
    cause:      set on difference rows only.
    details:    None where they were not read, or the day was stored before there were any.
    """

    kind: Kind
    cause: Cause | None = None
    namespace: str | None = None
    controller_kind: str | None = None
    controller: str | None = None
    pod: str | None = None
    container: str | None = None
    node: str | None = None
    containers: int = 0
    minutes: float = 0.0
    hours: Hours = NO_HOURS
    costs: Costs = ZERO
    network_classes: NetworkClasses = NO_CLASSES
    services: tuple[str, ...] = ()
    labels: Mapping[str, str] | None = None
    namespace_labels: Mapping[str, str] | None = None
    details: RowDetails | None = None
