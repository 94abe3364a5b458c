"""The shapes of the answers, for the OpenAPI document and for tests; `ledger.answer` makes the bodies themselves."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType, field


class ErrorFacts(Struct, forbid_unknown_fields=True):
    """`reason` is `error_code` in words, filled with `params`."""

    status_code: int
    error_code: str
    reason: str
    params: list[str]


class Error(Struct, forbid_unknown_fields=True):
    """Every answer that is an error."""

    error: ErrorFacts


class Costs(Struct, forbid_unknown_fields=True):
    """Amounts in the answer's currency; the parts add up to the total. Null is not measured."""

    total_cost: float | None
    cpu_cost: float | None
    ram_cost: float | None
    gpu_cost: float | None
    pv_cost: float | None
    node_disk_cost: float | None
    load_balancer_cost: float | None
    network_cost: float | None
    management_cost: float | None
    shared_cost: float | None
    external_cost: float | None


class Efficiency(Struct, forbid_unknown_fields=True):
    """Usage over request, as ratios that may exceed 1; null without requests."""

    cpu_efficiency: float | None
    ram_efficiency: float | None
    total_efficiency: float | None


class Breakdown(Struct, forbid_unknown_fields=True):
    """Infrastructure, as older readers know it; the network classes add up to the network cost."""

    management_cost: float | None
    load_balancer_cost: float | None
    network_internet_cost: float | None
    network_region_cost: float | None
    network_zone_cost: float | None


class Coverage(Struct, forbid_unknown_fields=True):
    """Hours of the window that are over, hours with data, and how certain the least certain of its days is."""

    hours_asked: float
    hours_covered: float
    state: Literal["provisional", "settled"] | None


class Source(Struct, forbid_unknown_fields=True):
    """Who answered; the url shows no credentials."""

    product: str | None
    version: str | None
    url: str
    cluster_id: str | None
    cluster_name: str | None


class Issue(Struct, forbid_unknown_fields=True):
    """Something that is wrong with the data, or worth knowing."""

    kind: str
    message: str
    start: str | UnsetType = UNSET
    end: str | UnsetType = UNSET
    subject: str | UnsetType = UNSET
    code: str | UnsetType = UNSET


class Cause(Costs, forbid_unknown_fields=True, kw_only=True):
    """A part of the difference line whose cause is known."""

    cause: str
    message: str


class Line(Costs, forbid_unknown_fields=True, kw_only=True):
    """What no workload was allocated: idle, unmounted, overhead or difference."""

    kind: str
    causes: list[Cause] | UnsetType = UNSET


class Namespace(Costs, forbid_unknown_fields=True, kw_only=True):
    """A namespace's workloads."""

    namespace: str | None
    cpu_efficiency: float | None
    ram_efficiency: float | None
    total_efficiency: float | None


class Pod(Costs, forbid_unknown_fields=True, kw_only=True):
    """A pod of a workload."""

    pod: str | None
    nodes: list[str]
    minutes: float
    cpu_efficiency: float | None
    ram_efficiency: float | None
    total_efficiency: float | None


class Workload(Costs, forbid_unknown_fields=True, kw_only=True):
    """A controller of a namespace with its pods."""

    namespace: str | None
    controller_kind: str | None
    controller: str | None
    cpu_efficiency: float | None
    ram_efficiency: float | None
    total_efficiency: float | None
    pods: list[Pod]


class Recommendation(Struct, forbid_unknown_fields=True):
    """What one kind of recommendation would save in a month of 730 hours."""

    savings_per_month: float | None
    state: str | None
    counted: bool


class Pagination(Struct, forbid_unknown_fields=True):
    """Which rows these are, where a limit or offset was given, and how many there are by list."""

    limit: int | None
    offset: int
    total_count: dict[str, int]


class Legacy(Struct, forbid_unknown_fields=True):
    """Old sums of hourly samples of prices, no costs: kept to compare with. Null where there is no sample."""

    total_cost: float | None
    management_cost: float | None
    load_balancer_cost: float | None
    network_internet_cost: float | None
    network_region_cost: float | None
    network_zone_cost: float | None
    is_: str = field(name="is")


class ClusterCosts(Struct, forbid_unknown_fields=True):
    """What a cluster cost. `status`: ok, partial, no_data; `errors`: what is missing; `issues`: what else to know."""

    cloud_account_id: str
    account: str | None
    start_date: int
    end_date: int
    status: str
    currency: str
    currency_assumed: bool
    summary: Costs
    not_measured: list[str]
    idle_cost: float | None
    unallocated_cost: float | None
    efficiency: Efficiency
    potential_savings: float | None
    potential_savings_period: str
    potential_savings_in_window: float | None
    potential_savings_is: str
    breakdown: Breakdown
    assets_complete: bool
    coverage: Coverage
    source: Source
    errors: list[Issue]
    issues: list[Issue]
    savings_recommendations: dict[str, Recommendation] | UnsetType = UNSET
    lines: list[Line] | UnsetType = UNSET
    breakdown_by_namespace: list[Namespace] | UnsetType = UNSET
    breakdown_by_workload: list[Workload] | UnsetType = UNSET
    pagination: Pagination | UnsetType = UNSET
    legacy: Legacy | UnsetType = UNSET


class Sample(Struct, forbid_unknown_fields=True):
    """A point of a series."""

    timestamp: int
    value: float
    labels: dict[str, str]


class Metrics(Struct, forbid_unknown_fields=True):
    """Series by name."""

    cloud_account_id: str
    start_date: int
    end_date: int
    metrics: dict[str, list[Sample]]
    errors: list[Issue]


class Savings(Struct, forbid_unknown_fields=True):
    """Cores and bytes that requests exceed usage by: amounts of resources, not of money."""

    cloud_account_id: str
    start_date: int
    end_date: int
    cpu_savings: list[Sample]
    memory_savings: list[Sample]
    errors: list[Issue]


class Health(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """`status` is ok, ready, stopping or unavailable. `problems`: of database, lake and disks, by their names."""

    status: str
    version: str
    problems: list[str] = field(default_factory=list)
