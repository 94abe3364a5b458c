"""The tables of the lake and their columns, which are public: other engines read them (docs/lake.md).

A column's comment states its unit and its nulls; it is in the Delta schema, where Spark, Trino and others show it.
"""

from enum import StrEnum

import pyarrow as pa

from kubetally.domain.asset import Breakdown
from kubetally.domain.component import Component, NetworkClasses
from kubetally.domain.efficiency import Hours, RatedHours
from kubetally.domain.idle_shares import IdleShare
from kubetally.ledger.ports.rollups import Grain
from kubetally.store.lake.without_pandas import hide_pandas

hide_pandas()

SCHEMA_VERSION = 2
"""Of the columns. Whoever changes them raises it, and upgrades tables when they are opened (`upgrade`)."""

VERSION_KEY = "kubetally.schema_version"
"""The table property that holds it."""

DAY = "day"
"""The column that tables are partitioned by: in the paths, not in the files."""

MONEY = pa.decimal128(18, 6)
"""Amounts on the ledger's grid of a millionth."""

COST_COLUMNS = tuple(f"{component.value}_cost" for component in Component)
"""In the order of `Costs`."""

CLASS_COLUMNS = tuple(f"network_{to}_cost" for to in NetworkClasses._fields)
"""In the order of `NetworkClasses`."""

STATISTICS = ("account_id", "collection_id", "namespace")
"""Columns whose minimum and maximum are in the log, so that readers can skip files."""

SORTED_BY = ("account_id", "namespace")

COUNTED_UP = "ordinal"
"""The column whose values increase by one."""

VARIED = frozenset(
    {
        "pod", "cpu_core_usage_hours", "cpu_core_usage_max", "ram_byte_usage_hours", "ram_byte_usage_max",
        "network_transfer_bytes", "network_receive_bytes", "network_cost", "network_internet_cost",
        "network_region_cost", "idle_cpu_even", "idle_ram_even",
    }
)  # fmt: skip
"""Columns whose values rarely repeat: a dictionary of them would be larger (by a sixth of a file in all)."""


RENAMED = {"assets_complete": "audited"}
"""Columns of version 1 by what they are called now. An upgraded table keeps them, for the files that have them."""


class TableName(StrEnum):
    """The tables, each in a folder of its name. Running days are apart: they keep one hour of history."""

    ALLOCATIONS = "allocations"
    ASSETS = "assets"
    RUNNING = "running"
    RUNNING_ASSETS = "running_assets"
    SAVINGS = "savings"
    ACCOUNTS = "accounts"


def _column(name: str, type_: pa.DataType, comment: str) -> pa.Field:
    return pa.field(name, type_, metadata={"comment": comment})


def _text(name: str, comment: str) -> pa.Field:
    return _column(name, pa.string(), comment)


def _money(name: str, comment: str) -> pa.Field:
    return _column(name, MONEY, comment)


def _labels(name: str, comment: str) -> pa.Field:
    return _column(name, pa.map_(pa.string(), pa.string()), comment)


INSTANT = pa.timestamp("us", tz="UTC")
"""In UTC, to the microsecond."""

_HOURS = {
    "cpu_core_hours": "core-hours allocated: the greater of request and usage",
    "cpu_core_request_hours": "core-hours requested; null if not measured",
    "cpu_core_usage_hours": "core-hours used; null if not measured",
    "ram_byte_hours": "byte-hours of memory allocated",
    "ram_byte_request_hours": "byte-hours of memory requested; null if not measured",
    "ram_byte_usage_hours": "byte-hours of memory used; null if not measured",
    "gpu_hours": "GPU-hours allocated",
    "gpu_request_hours": "GPU-hours requested; null if not measured",
    "gpu_usage_hours": "GPU-hours used: the part of its GPUs that was busy; null if not measured",
    "pv_byte_hours": "byte-hours of volumes",
    "network_transfer_bytes": "bytes sent",
    "network_receive_bytes": "bytes received",
}
assert tuple(_HOURS) == Hours._fields, "a column for each of the hours"  # noqa: S101

_COSTS = [
    _money(
        name,
        f"cost of {component.value}, in `currency`; null if not measured that day; below zero only in lines "
        "that take back",
    )
    for name, component in zip(COST_COLUMNS, Component, strict=True)
]
_CLASSES = [
    _money(name, f"of network_cost, what went to the {to}, in `currency`; 0 in all classes where they are not known")
    for name, to in zip(CLASS_COLUMNS, NetworkClasses._fields, strict=True)
]
ADJUSTMENT_COLUMNS = tuple(
    f"{component.value}_adjustment"
    for component in (
        Component.CPU, Component.RAM, Component.GPU, Component.PV, Component.NETWORK, Component.LOAD_BALANCER,
    )
)  # fmt: skip
"""Of the components that a source corrects row by row."""

IDLE_COLUMNS = tuple(f"idle_{name}" for name in IdleShare._fields)
"""In the order of `IdleShare`."""

ADJUSTED_FIELDS = tuple(name.removesuffix("_adjustment") for name in ADJUSTMENT_COLUMNS)
"""The fields of `Costs` that these columns hold."""

_ADJUSTMENTS = [
    _money(name, f"part of {name.removesuffix('_adjustment')}_cost that corrects it to the cloud's bill; either sign")
    for name in ADJUSTMENT_COLUMNS
]
_IDLE = [
    _money(
        name, "share of a workload row in the day's idle cost, in `currency`; null for lines, and for days of version 1"
    )
    for name in IDLE_COLUMNS
]
_VOLUMES = pa.list_(
    pa.struct(
        [
            ("name", pa.string()),
            ("provider_id", pa.string()),
            ("byte_hours", pa.float64()),
            ("cost", MONEY),
            ("adjustment", MONEY),
        ]
    )
)
_LOAD_BALANCERS = pa.list_(
    pa.struct(
        [
            ("service", pa.string()),
            ("hours", pa.float64()),
            ("cost", MONEY),
            ("private", pa.bool_()),
            ("ip", pa.string()),
            ("adjustment", MONEY),
        ]
    )
)
BREAKDOWNS = ("cpu_breakdown", "ram_breakdown", "breakdown")
"""Columns of fractions, as `Breakdown`."""

_BREAKDOWN = pa.struct([(name, pa.float64()) for name in Breakdown._fields])
_ORDINAL = _column("ordinal", pa.int32(), "place among the rows of its collection, from 0")


def _identity(what: str) -> list[pa.Field]:
    """The columns that every table begins with."""
    return [
        _column(DAY, pa.date32(), "UTC day; the partition"),
        _column("window_start", INSTANT, f"from when on {what}"),
        _column("window_end", INSTANT, f"until when {what}; itself outside"),
        _text("account_id", "the account of the cluster"),
        _text("cluster_id", "the cluster's name for itself; null if its source has none"),
    ]


_ORIGIN = [
    _text("currency", "of every cost of the row"),
    _text("source", "the source that the figures come from"),
    _text("collection_id", "the collection that wrote the row; `meta.coverage` knows it"),
    _ORDINAL,
]

ALLOCATIONS = pa.schema(
    [
        *_identity("the row was booked"),
        _text("kind", "workload, idle, unmounted, overhead or difference"),
        _text("cause", "why bill and use differ; set for difference only"),
        _text("namespace", "null for lines, which have none"),
        _text("controller_kind", "deployment, statefulset, ...; null where the pod has none"),
        _text("controller", "name of the controller; null where the pod has none"),
        _text("pod", "null for lines"),
        _text("container", "null for lines, and of days that version 1 stored, which have one row a pod"),
        _text("node", "null for lines, and if the source has none"),
        _text("provider_id", "the cloud's name for the node; null if unknown"),
        _column("started_at", INSTANT, "when the source saw it first in the window; null if unknown"),
        _column("ended_at", INSTANT, "when the source saw it last in the window; null if unknown"),
        _column("minutes", pa.float64(), "minutes that it ran in the window"),
        _column("containers", pa.int32(), "how many containers the row stands for: 1, or those of a version 1 pod"),
        _column("services", pa.list_(pa.string()), "names of the services in front of the pod; empty if none"),
        _labels("labels", "of the pod, as the source spells the keys; null if unknown, empty if none"),
        _labels("annotations", "of the pod; null if unknown, empty if none"),
        _labels("namespace_labels", "of its namespace; null if unknown, empty if none"),
        _labels("namespace_annotations", "of its namespace; null if unknown, empty if none"),
        *(_column(name, pa.float64(), comment) for name, comment in _HOURS.items()),
        _column("cpu_core_usage_max", pa.float64(), "most cores used at a time; null where the source has none"),
        _column("ram_byte_usage_max", pa.float64(), "most bytes of memory used; null where the source has none"),
        *_COSTS,
        *_CLASSES,
        *_ADJUSTMENTS,
        _column("volumes", _VOLUMES, "what it cost on each volume, part of pv_cost; null if unknown"),
        _column(
            "load_balancers",
            _LOAD_BALANCERS,
            "what it cost on each load balancer, part of load_balancer_cost; null if unknown",
        ),
        *_IDLE,
        _money("error_bound", "how far the cost may be from the truth, in `currency`; null if unknown"),
        _column("assets_complete", pa.bool_(), "whether the source lists an asset for all that the day charges for"),
        *_ORIGIN,
    ]
)
"""Of `allocations` and `running`: a row is a container on a node, or a line of the cluster."""

ASSETS = pa.schema(
    [
        *_identity("the asset is billed"),
        _text("asset_type", "node, disk, load_balancer, network, management or other"),
        _text("source_type", "the type as the source names it; set for other only"),
        _text("name", "as the source names it"),
        _column("names", pa.list_(pa.string()), "all names that an allocation may know it by"),
        _text("provider_id", "the cloud's name for it; null if unknown"),
        _text("node_type", "instance type of a node; null for others"),
        _text("pool", "node pool or group of a node; null if unknown"),
        _column("preemptible", pa.bool_(), "whether a node is a spot machine; null if unknown"),
        _text("region", "null if unknown"),
        _text("zone", "null if unknown"),
        _text("storage_class", "of a disk; null if unknown"),
        _text("volume_name", "of a disk; null if unknown"),
        _text("claim_name", "of the claim on a disk; null if unknown"),
        _text("claim_namespace", "of the claim on a disk; null if unknown"),
        _column("private", pa.bool_(), "whether a load balancer is internal; null if unknown"),
        _text("ip", "of a load balancer; null if unknown"),
        _labels("labels", "null if unknown, empty if none"),
        _column("started_at", INSTANT, "when the source saw it first in the window; null if unknown"),
        _column("ended_at", INSTANT, "when the source saw it last in the window; null if unknown"),
        _column("hours", pa.float64(), "hours that it existed in the window"),
        _column("cpu_cores", pa.float64(), "capacity of a node; null if unknown"),
        _column("cpu_core_hours", pa.float64(), "core-hours of a node; null if unknown"),
        _column("ram_byte_hours", pa.float64(), "byte-hours of memory of a node; null if unknown"),
        _column("gpu_hours", pa.float64(), "GPU-hours of a node; null if unknown"),
        _column("byte_hours", pa.float64(), "byte-hours of a disk; null if unknown"),
        _column("byte_hours_used", pa.float64(), "byte-hours of a disk that were used; null if unknown"),
        _column("byte_usage_max", pa.float64(), "most bytes of a disk used at a time; null if unknown"),
        _column("cpu_breakdown", _BREAKDOWN, "fractions of a node's CPU; null if unknown"),
        _column("ram_breakdown", _BREAKDOWN, "fractions of a node's memory; null if unknown"),
        _column("breakdown", _BREAKDOWN, "fractions of a disk; null if unknown"),
        *_COSTS,
        _money("total_cost", "sum of the ten costs, in `currency`; for other its amount, which no component contains"),
        _column("discount", pa.float64(), "fraction of the list price that was taken off CPU and RAM"),
        _money("adjustment", "part of the costs that corrects them to the cloud's bill, in `currency`; either sign"),
        *_ORIGIN,
    ]
)
"""Of `assets` and `running_assets`: a row is a thing on the bill."""

SAVINGS = pa.schema(
    [
        _column(DAY, pa.date32(), "UTC day on which the source was asked; the partition"),
        _text("account_id", "the account of the cluster"),
        _text("cluster_id", "the cluster's name for itself; null if its source has none"),
        _column("collected_at", INSTANT, "when the source was asked"),
        _text("category", "kind of recommendation, as the source names it"),
        _text("item_key", "identifies an item in its category; null for the category itself"),
        _text("namespace", "what it is about; null if it is about no namespace"),
        _text("controller_kind", "deployment, statefulset, ...; null if it is about no controller"),
        _text("controller", "name of the controller; null if it is about none"),
        _text("pod", "null if it is about none"),
        _text("container", "null if it is about none"),
        _text("node", "null if it is about none"),
        _text("volume", "null if it is about none"),
        _money(
            "amount_per_month",
            "what could be saved in a month of 730 hours, in `currency`; below zero where following the advice costs "
            "more; null where the source has no figure; never add a category to its items, or categories up",
        ),
        _text("state", "the source's word for a category, such as ready or pending; null where it has none"),
        _text("profile", "the assumptions that the figures were made with; null where the source names none"),
        _labels("facts", "all else that the source says of it, by path; null where it says null"),
        _text("currency", "of the amount"),
        _text("source", "the source that the figures come from"),
        _text("collection_id", "the answer that the row is of; `meta.savings` knows it"),
        _column("ordinal", pa.int32(), "place among the rows of its answer, from 0"),
    ]
)
"""Of `savings`: a row is a category of recommendations, or one of its items."""

ACCOUNTS = pa.schema(
    [
        _text("id", "the `account_id` of other tables"),
        _text("name", "what the account is called, or was until it was removed"),
        _text("organization", "name of the organization that it belongs to"),
        _column("removed_at", INSTANT, "when the account was removed; null while it is in use"),
    ]
)
"""Of `accounts`: a row is an account, removed or not. It has no days and is written as a whole."""

SCHEMAS = {
    TableName.ALLOCATIONS: ALLOCATIONS,
    TableName.ASSETS: ASSETS,
    TableName.RUNNING: ALLOCATIONS,
    TableName.RUNNING_ASSETS: ASSETS,
    TableName.SAVINGS: SAVINGS,
    TableName.ACCOUNTS: ACCOUNTS,
}


def in_files(schema: pa.Schema) -> pa.Schema:
    """The columns that a data file holds: all but the partition's."""
    return pa.schema([field for field in schema if field.name != DAY])


def _sums(*keys: str) -> pa.Schema:
    """Sums of rows by account, kind and these keys; null where no row has the figure."""
    return pa.schema(
        [
            pa.field(DAY, pa.date32()),
            *(pa.field(name, pa.string()) for name in ("account_id", "kind", *keys)),
            *(pa.field(name, MONEY) for name in (*COST_COLUMNS, *IDLE_COLUMNS)),
            *(
                pa.field(name, pa.float64())
                for name in (*Hours._fields, *(f"rated_{name}" for name in RatedHours._fields))
            ),
            *(pa.field(name, pa.int64()) for name in ("waste", "rows")),
        ]
    )


ROLL_UPS = {
    Grain.ACCOUNT: _sums("collection_id", "cause"),
    Grain.NAMESPACE: _sums("collection_id", "cause", "namespace"),
    Grain.MONTH: _sums("namespace"),
}
"""Of the files of roll-ups; the day of a month is its first.

`rated_`: of rows that have request and usage; `waste` in micros; `rows`: their number.
"""
