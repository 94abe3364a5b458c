"""Rows and assets of collected days as Arrow tables, without loss: every value comes back equal, floats to the bit.

Column by column, because a lake of a year has tens of millions of rows.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kubetally.domain.allocation import Kind, LoadBalancerCost, VolumeCost
from kubetally.domain.asset import NO_ASSET_DETAILS, Asset, AssetDetails, AssetType, Breakdown
from kubetally.domain.collection import CollectedDay
from kubetally.domain.component import ZERO, Component, Costs
from kubetally.domain.efficiency import Hours
from kubetally.domain.row import NO_DETAILS, Row, RowDetails
from kubetally.garbage import gc_paused
from kubetally.store.lake.arrays import (
    amount_array,
    amount_columns,
    build_table,
    columns_by_name,
    decimals,
    float_columns,
    list_array,
    map_array,
    named_columns,
    repeat_each,
    slice_by_counts,
    struct_array,
)
from kubetally.store.lake.schema import (
    ADJUSTED_FIELDS,
    ADJUSTMENT_COLUMNS,
    ALLOCATIONS,
    ASSETS,
    BREAKDOWNS,
    CLASS_COLUMNS,
    COST_COLUMNS,
    IDLE_COLUMNS,
    INSTANT,
    MONEY,
    in_files,
)

ALLOCATION_FILE, ASSET_FILE = in_files(ALLOCATIONS), in_files(ASSETS)
_VOLUME_FIELDS = ("name", *VolumeCost._fields[1:])
_LOAD_BALANCER_FIELDS = ("service", *LoadBalancerCost._fields[1:])


@gc_paused()
def allocation_tables(days: Sequence[CollectedDay]) -> list[pa.Table]:
    """The rows of each collected day, in their order, as the files of `allocations` hold them.

    Of many small days it takes a fraction of the time to convert them together. Raises ValueBeyondLake.
    """
    rows = [row for day in days for row in day.rows]
    counts = [len(day.rows) for day in days]
    fields = columns_by_name(Row._fields, rows)
    details = [of_row or NO_DETAILS for of_row in fields["details"]]
    more = columns_by_name(RowDetails._fields, details)
    columns = {
        **_origin(days, counts),
        "window_start": repeat_each([day.collection.head.window.start for day in days], counts, INSTANT),
        "window_end": repeat_each([day.collection.head.window.end for day in days], counts, INSTANT),
        "cluster_id": repeat_each([day.collection.source.cluster_id for day in days], counts),
        "assets_complete": repeat_each([day.collection.head.assets_complete for day in days], counts, pa.bool_()),
        "kind": [kind.value for kind in fields["kind"]],
        **{name: fields[name] for name in ("cause", "namespace", "controller_kind", "controller", "pod", "container")},
        **{name: fields[name] for name in ("node", "containers", "services")},
        "provider_id": more["provider_id"],
        "started_at": [life and life.start for life in more["life"]],
        "ended_at": [life and life.end for life in more["life"]],
        **{name: map_array(fields[name]) for name in ("labels", "namespace_labels")},
        **{name: map_array(more[name]) for name in ("annotations", "namespace_annotations")},
        **float_columns({"minutes": fields["minutes"], **columns_by_name(Hours._fields, fields["hours"])}),
        **float_columns({name: more[name] for name in ("cpu_core_usage_max", "ram_byte_usage_max")}),
        **_measured_costs(days, counts, columns_by_name(COST_COLUMNS, fields["costs"])),
        **amount_columns(columns_by_name(CLASS_COLUMNS, fields["network_classes"])),
        **_adjustments(more["adjustments"]),
        **_idle_shares(days, fields["kind"]),
        **named_columns(
            {
                "volumes": lambda: _list_column("volumes", fields["details"], _VOLUME_FIELDS),
                "load_balancers": lambda: _list_column("load_balancers", fields["details"], _LOAD_BALANCER_FIELDS),
                "error_bound": lambda: amount_array(more["error_bound"]),
            }
        ),
    }
    return slice_by_counts(build_table(columns, ALLOCATION_FILE, len(rows)), counts)


@gc_paused()
def asset_tables(days: Sequence[CollectedDay]) -> list[pa.Table]:
    """The assets of each collected day, as the files of `assets` hold them. Raises ValueBeyondLake."""
    assets = [asset for day in days for asset in day.assets]
    counts = [len(day.assets) for day in days]
    fields = columns_by_name(Asset._fields, assets)
    details = [of_asset or NO_ASSET_DETAILS for of_asset in fields["details"]]
    more = columns_by_name(AssetDetails._fields, details)
    totals = [
        amount if type_ is AssetType.OTHER else sum(costs)
        for type_, costs, amount in zip(fields["type"], fields["costs"], more["amount"], strict=True)
    ]
    columns = {
        **_origin(days, counts),
        "window_start": [window.start for window in fields["window"]],
        "window_end": [window.end for window in fields["window"]],
        "asset_type": fields["type"],
        "names": [sorted(names) for names in fields["names"]],
        **{name: fields[name] for name in ("name", "cluster_id", "provider_id", "node_type", "cpu_cores")},
        **{name: more[name] for name in AssetDetails._fields if name in ASSETS.names},
        "labels": map_array(fields["labels"]),
        "started_at": [life and life.start for life in fields["life"]],
        "ended_at": [life and life.end for life in fields["life"]],
        **{name: struct_array(more[name], Breakdown._fields, ASSETS.field(name).type) for name in BREAKDOWNS},
        **float_columns({"hours": fields["hours"], "discount": fields["discount"]}),
        **amount_columns({**columns_by_name(COST_COLUMNS, fields["costs"]), "adjustment": fields["adjustment"]}),
        **named_columns({"total_cost": lambda: amount_array(totals)}),
    }
    return slice_by_counts(build_table(columns, ASSET_FILE, len(assets)), counts)


def _origin(days: Sequence[CollectedDay], counts: Sequence[int]) -> dict[str, Sequence[Any]]:
    """The columns that say where a row comes from, but for the cluster and the window."""
    collections = [day.collection for day in days]
    return {
        "account_id": repeat_each([collection.account_id for collection in collections], counts),
        "currency": repeat_each([collection.head.currency for collection in collections], counts),
        "source": repeat_each([collection.head.source for collection in collections], counts),
        "collection_id": repeat_each([collection.id for collection in collections], counts),
        "ordinal": list(chain.from_iterable(map(range, counts))),
    }


def _measured_costs(
    days: Sequence[CollectedDay], counts: Sequence[int], costs: Mapping[str, Sequence[int]]
) -> dict[str, pa.Array]:
    """Costs by component; null on days on which the component was not measured."""
    columns = amount_columns(costs)
    null = pa.scalar(None, MONEY)
    for name, component in zip(COST_COLUMNS, Component, strict=True):
        unknown = [component in day.collection.head.not_measured for day in days]
        if any(unknown):
            columns[name] = pc.if_else(repeat_each(unknown, counts, pa.bool_()), null, columns[name])
    return columns


def _adjustments(adjustments: Sequence[Costs]) -> dict[str, pa.Array]:
    """Adjustments by component. Nearly all are the same zero."""
    if all(of_row is ZERO for of_row in adjustments):
        zeros = decimals(pa.repeat(pa.scalar(0, pa.int64()), len(adjustments)))
        return dict.fromkeys(ADJUSTMENT_COLUMNS, zeros)
    return amount_columns(
        {
            column: [getattr(of_row, name) for of_row in adjustments]
            for column, name in zip(ADJUSTMENT_COLUMNS, ADJUSTED_FIELDS, strict=True)
        }
    )


def _idle_shares(days: Sequence[CollectedDay], kinds: Sequence[Kind]) -> dict[str, pa.Array]:
    """Idle shares by resource and weight; null for lines."""
    are_lines = pa.array([kind is not Kind.WORKLOAD for kind in kinds], pa.bool_())
    null = pa.scalar(None, MONEY)

    def column(at: int) -> pa.Array:
        of_days = [
            pa.nulls(len(day.rows), pa.int64())
            if day.idle_shares is None
            else pa.array(day.idle_shares[at], pa.int64())
            for day in days
        ]
        shares = pa.concat_arrays(of_days) if of_days else pa.array([], pa.int64())
        return pc.if_else(are_lines, null, decimals(shares))

    return named_columns({name: partial(column, at) for at, name in enumerate(IDLE_COLUMNS)})


def _list_column(name: str, details: Sequence[RowDetails | None], fields: Sequence[str]) -> pa.Array:
    """The tuples of each row in this column, which are structs of `fields`; null where the row has no details."""
    of_rows = [None if of_row is None else getattr(of_row, name) for of_row in details]
    return list_array(of_rows, fields, ALLOCATIONS.field(name).type)
