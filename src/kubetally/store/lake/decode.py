"""Rows and assets of collections, read from Arrow tables.

Column by column, because a lake of a year has tens of millions of rows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import repeat
from operator import itemgetter
from typing import Any, TypeVar

import pyarrow as pa

from kubetally.domain.allocation import Kind, LoadBalancerCost, VolumeCost
from kubetally.domain.asset import NO_ASSET_DETAILS, Asset, AssetDetails, AssetType, Breakdown
from kubetally.domain.booking import Booking
from kubetally.domain.collection import LAKE_VERSION, Collection
from kubetally.domain.component import ZERO, Component, Costs, NetworkClasses
from kubetally.domain.efficiency import Hours
from kubetally.domain.errors import StoreError
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.money import to_micros
from kubetally.domain.row import Cause, Row, RowDetails
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.stored_sums import RowSums
from kubetally.domain.window import Window
from kubetally.garbage import gc_paused
from kubetally.store.lake.arrays import as_mappings, micros
from kubetally.store.lake.schema import (
    ADJUSTED_FIELDS,
    ADJUSTMENT_COLUMNS,
    BREAKDOWNS,
    CLASS_COLUMNS,
    COST_COLUMNS,
)

_Word = TypeVar("_Word")
_Item = TypeVar("_Item")
_WIDE_MONEY = pa.decimal128(38, 6)
_KINDS: Mapping[str, Kind] = {kind.value: kind for kind in Kind}
_CAUSES: Mapping[str | None, Cause | None] = {None: None, **{cause.value: cause for cause in Cause}}
_TYPES: Mapping[str, AssetType] = {type_.value: type_ for type_ in AssetType}
FIGURES = [
    "kind", "cause", "namespace", "controller_kind", "controller", "pod", "container", "node", "containers", "minutes",
    *Hours._fields, *COST_COLUMNS, *CLASS_COLUMNS, "services", "labels", "namespace_labels",
    "account_id", "collection_id", "ordinal",
]  # fmt: skip
"""The columns that rows without their details are made of."""


@gc_paused()
def rows_of(table: pa.Table) -> tuple[Row, ...]:
    """The rows of one collection, in the order they were written; their details where the table has all columns."""
    lists = _Lists(table)
    made = map(
        Row,
        lists.known("kind", _KINDS),
        lists.known("cause", _CAUSES),
        lists["namespace"],
        lists["controller_kind"],
        lists["controller"],
        lists["pod"],
        lists["container"],
        lists["node"],
        lists["containers"],
        lists["minutes"],
        map(Hours, *(lists[name] for name in Hours._fields)),
        map(Costs, *(lists.micros(name) for name in COST_COLUMNS)),
        map(NetworkClasses, *(lists.micros(name) for name in CLASS_COLUMNS)),
        map(tuple, lists["services"]),
        as_mappings(table["labels"]),
        as_mappings(table["namespace_labels"]),
        _details(lists) if "volumes" in table.schema.names else repeat(None),
    )
    return _in_order(lists["ordinal"], made)


def row_sums_of(table: pa.Table) -> RowSums:
    """The sums of rows by kind, exact, without making rows of them; what is null counts as 0."""
    wide = table.select(["kind", *COST_COLUMNS])
    for number, name in enumerate(COST_COLUMNS, 1):  # sums of 38 digits do not overflow
        wide = wide.set_column(number, name, table[name].cast(_WIDE_MONEY))
    sums = wide.group_by("kind").aggregate([(name, "sum") for name in COST_COLUMNS])
    lists = _Lists(sums)
    costs = map(Costs, *(lists.micros(f"{name}_sum") for name in COST_COLUMNS))
    return RowSums(table.num_rows, dict(zip(lists.known("kind", _KINDS), costs, strict=True)))


def collection_of(table: pa.Table) -> Collection:
    """The collection of these rows, as far as they describe it; all are of one collection, and there is at least one.

    It is provisional: what was missing when it was collected is not known. Components that cost nothing count as not
    measured.
    """
    first, rows = table.slice(0, 1).to_pylist()[0], rows_of(table)
    are_workloads = [row.kind is Kind.WORKLOAD for row in rows]
    version = 1 if any(are_workloads) and all(row.details is None for row in rows) else LAKE_VERSION
    window = Window(first["window_start"], first["window_end"])
    bill = Costs.sum(row.costs for row in rows)
    kind = IssueKind.SOURCE_WARNING if first["assets_complete"] else IssueKind.NOT_AUDITED
    issue = Issue(kind, "restored from the rows in the lake: what its source lacked is unknown", window=window)
    booking = Booking(
        window=window,
        covered=(window,),
        rows=rows,
        bill=bill,
        bill_network_classes=NetworkClasses.sum(row.network_classes for row in rows),
        not_measured=frozenset(
            component
            for component, name in zip(Component, COST_COLUMNS, strict=True)
            if table[name].null_count == table.num_rows or (version == 1 and not bill.of(component))
        ),
        assets_complete=first["assets_complete"],
        currency=first["currency"],
        source=first["source"],
        source_total=bill.total,
        issues=(issue,),
    )
    source = SourceIdentity(first["source"], cluster_id=first["cluster_id"])
    of_what = (first["collection_id"], first["account_id"], window.start.date(), window.end, source)
    return Collection(*of_what, replace(booking, rows=()), len(rows), booking.balance(), lake_version=version)


@gc_paused()
def assets_of(table: pa.Table) -> tuple[Asset, ...]:
    """The assets of one collection, in the order they were written."""
    lists = _Lists(table)
    made = map(
        Asset,
        lists.known("asset_type", _TYPES),
        lists["name"],
        map(frozenset, lists["names"]),
        map(Window, lists["window_start"], lists["window_end"]),
        map(Costs, *(lists.micros(name) for name in COST_COLUMNS)),
        lists["cluster_id"],
        lists["provider_id"],
        lists["node_type"],
        as_mappings(table["labels"]),
        lists["hours"],
        lists["discount"],
        lists.micros("adjustment"),
        map(_life, lists["started_at"], lists["ended_at"]),
        lists["cpu_cores"],
        _asset_details(lists),
    )
    return _in_order(lists["ordinal"], made)


def _details(lists: "_Lists") -> Iterator[RowDetails | None]:
    """None where the day was stored before there were any."""
    made = map(
        RowDetails,
        lists["provider_id"],
        map(_life, lists["started_at"], lists["ended_at"]),
        as_mappings(lists.column("annotations")),
        as_mappings(lists.column("namespace_annotations")),
        lists["cpu_core_usage_max"],
        lists["ram_byte_usage_max"],
        map(_adjustments_of, *(lists.optional_micros(name) for name in ADJUSTMENT_COLUMNS)),
        map(_volume_costs, lists["volumes"]),
        map(_load_balancer_costs, lists["load_balancers"]),
        lists.optional_micros("error_bound"),
    )
    return (None if volumes is None else details for volumes, details in zip(lists["volumes"], made, strict=True))


def _asset_details(lists: "_Lists") -> Iterator[AssetDetails | None]:
    """None where nothing is known: the day was stored before there were any."""
    of_others = (
        amount if type_ == AssetType.OTHER else None
        for type_, amount in zip(lists["asset_type"], lists.optional_micros("total_cost"), strict=True)
    )
    fields = {
        name: map(_breakdown, lists[name]) if name in BREAKDOWNS else of_others if name == "amount" else lists[name]
        for name in AssetDetails._fields
    }
    made = map(AssetDetails, *fields.values())
    return (None if details == NO_ASSET_DETAILS else details for details in made)


def _breakdown(fractions: Mapping[str, float | None] | None) -> Breakdown | None:
    return None if fractions is None else Breakdown(**fractions)


def _life(start: datetime | None, end: datetime | None) -> Window | None:
    return None if start is None or end is None else Window(start, end)


def _adjustments_of(*amounts: int | None) -> Costs:
    return Costs(**dict(zip(ADJUSTED_FIELDS, amounts, strict=True))) if any(amounts) else ZERO  # type: ignore[arg-type]


def _volume_costs(volumes: Sequence[Mapping[str, Any]] | None) -> tuple[VolumeCost, ...]:
    return tuple(
        VolumeCost(
            volume["name"],
            to_micros(volume["cost"]),
            volume["byte_hours"],
            volume["provider_id"],
            to_micros(volume["adjustment"]),
        )
        for volume in volumes or ()
    )


def _load_balancer_costs(balancers: Sequence[Mapping[str, Any]] | None) -> tuple[LoadBalancerCost, ...]:
    return tuple(
        LoadBalancerCost(
            balancer["service"],
            to_micros(balancer["cost"]),
            balancer["hours"],
            balancer["private"],
            balancer["ip"],
            to_micros(balancer["adjustment"]),
        )
        for balancer in balancers or ()
    )


class _Lists:
    """The columns of a table as Python lists."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __getitem__(self, name: str) -> list[Any]:
        values: list[Any] = self._table[name].to_pylist()
        return values

    def column(self, name: str) -> pa.ChunkedArray:
        return self._table[name]

    def micros(self, name: str) -> list[int]:
        """Whole micros; what is null counts as 0."""
        amounts = micros(self._table[name])
        return [amount or 0 for amount in amounts] if self._table[name].null_count else amounts  # type: ignore[return-value]

    def optional_micros(self, name: str) -> list[int | None]:
        return micros(self._table[name])

    def known(self, name: str, words: Mapping[Any, _Word]) -> list[_Word]:
        try:
            return [words[word] for word in self[name]]
        except KeyError as error:
            word = error.args[0]
            message = f"the lake contains the word {word!r}, which this version does not know. Upgrade Kubetally"
            raise StoreError(message, code="value_unknown_here") from None


def _in_order(ordinals: Sequence[int], items: Iterable[_Item]) -> tuple[_Item, ...]:
    by_ordinal = sorted(zip(ordinals, items, strict=True), key=itemgetter(0))
    return tuple(item for _, item in by_ordinal)
