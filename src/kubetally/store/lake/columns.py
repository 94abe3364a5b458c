"""Rows and assets as Arrow columns, and back, without loss: every value comes back equal, floats to the bit.

Column by column, because a lake of a year has tens of millions of rows. Decimals never pass through Python: an amount
in micros and a DECIMAL(18,6) are the same 128 bits, read with another scale.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import accumulate, chain, repeat
from operator import itemgetter
from typing import Any, TypeAlias, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from kubetally.domain.allocation import Kind, LoadBalancerCost, VolumeCost
from kubetally.domain.asset import NO_ASSET_DETAILS, Asset, AssetDetails, AssetType, Breakdown
from kubetally.domain.booking import Booking
from kubetally.domain.cluster_costs import SourceIdentity
from kubetally.domain.collection import LAKE_VERSION, CollectedDay, Collection
from kubetally.domain.component import ZERO, Component, Costs, NetworkClasses
from kubetally.domain.efficiency import Hours
from kubetally.domain.errors import StoreError
from kubetally.domain.idle_shares import IdleShare
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.money import to_micros
from kubetally.domain.row import NO_DETAILS, Cause, Row, RowDetails
from kubetally.domain.stored_sums import RowSums
from kubetally.domain.window import Window
from kubetally.garbage import gc_paused
from kubetally.store.lake.schema import (
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

_Word = TypeVar("_Word")
_Item = TypeVar("_Item")
Column: TypeAlias = pa.Array | pa.ChunkedArray

ALLOCATION_FILE, ASSET_FILE = in_files(ALLOCATIONS), in_files(ASSETS)
_MICROS, _WIDE_MONEY = pa.decimal128(38, 0), pa.decimal128(38, 6)
_LIMIT = 10**18  # micros: what DECIMAL(18,6) can't hold any more
_KIND_WORDS: Mapping[Kind, str] = {**{kind: kind.value for kind in Kind}, Kind.UNEXPLAINED: "difference"}
_KINDS: Mapping[str, Kind] = {word: kind for kind, word in _KIND_WORDS.items()}
_CAUSES: Mapping[str | None, Cause | None] = {None: None, **{cause.value: cause for cause in Cause}}
_ADJUSTED = tuple(name.removesuffix("_adjustment") for name in ADJUSTMENT_COLUMNS)
_TEXT, _MAP = pa.string(), pa.map_(pa.string(), pa.string())
FIGURES = [
    "kind", "cause", "namespace", "controller_kind", "controller", "pod", "container", "node", "containers", "minutes",
    *Hours._fields, *COST_COLUMNS, *CLASS_COLUMNS, "services", "labels", "namespace_labels",
    "account_id", "collection_id", "ordinal",
]  # fmt: skip
"""The columns that rows without their details are made of."""
_TYPES: Mapping[str, AssetType] = {type_.value: type_ for type_ in AssetType}


class ValueBeyondLake(StoreError):
    """A value that a column of the lake can't hold."""

    code = "value_beyond_lake"

    def __init__(self, column: str, why: str) -> None:
        self.column, self.why = column, why
        super().__init__(
            f"the lake can't hold a {column} of this day ({why}): look at what its source answers, and report it"
        )


class ValueUnknownHere(StoreError):
    """A word in the lake that this version has no meaning for."""

    code = "value_unknown_here"

    def __init__(self, word: str) -> None:
        self.word = word
        super().__init__(f"the lake holds the word {word!r}, which this version does not know: upgrade Kubetally")


def decimals(micros: pa.Array) -> pa.Array:
    """Whole micros (int64) as DECIMAL(18,6) of the same amount. Raises ValueBeyondLake."""
    least, most = pc.min_max(micros).as_py().values()
    if least is not None and (least <= -_LIMIT or most >= _LIMIT):
        raise ValueBeyondLake("cost", "an amount of 10^12 or more")
    wide = micros.cast(_MICROS)
    return pa.Array.from_buffers(MONEY, len(wide), wide.buffers(), wide.null_count, wide.offset)


def micros(amounts: Column) -> list[int | None]:
    """DECIMAL(18,6) as whole micros."""
    chunks = (
        pa.Array.from_buffers(_MICROS, len(chunk), chunk.buffers(), chunk.null_count, chunk.offset).cast(pa.int64())
        for chunk in _chunks(amounts)
    )
    return list(chain.from_iterable(chunk.to_pylist() for chunk in chunks))


def allocation_table(day: CollectedDay) -> pa.Table:
    """As `allocation_tables`, of one day."""
    return allocation_tables([day])[0]


def asset_table(day: CollectedDay) -> pa.Table:
    """As `asset_tables`, of one day."""
    return asset_tables([day])[0]


@gc_paused()
def allocation_tables(days: Sequence[CollectedDay]) -> list[pa.Table]:
    """The rows of each collected day, in their order, as the files of `allocations` hold them.

    Of many small days it takes a fraction of the time to convert them together. Raises ValueBeyondLake.
    """
    rows = [row for day in days for row in day.rows]
    counts = [len(day.rows) for day in days]
    fields = dict(zip(Row._fields, _transposed(rows, len(Row._fields)), strict=True))
    details = [of_row or NO_DETAILS for of_row in fields["details"]]
    more = dict(zip(RowDetails._fields, _transposed(details, len(RowDetails._fields)), strict=True))
    columns = {
        **_origin(days, counts),
        "window_start": _each([day.collection.head.window.start for day in days], counts, INSTANT),
        "window_end": _each([day.collection.head.window.end for day in days], counts, INSTANT),
        "cluster_id": _each([day.collection.source.cluster_id for day in days], counts),
        "assets_complete": _each([day.collection.head.audited for day in days], counts, pa.bool_()),
        "kind": [_KIND_WORDS[kind] for kind in fields["kind"]],
        **{name: fields[name] for name in ("cause", "namespace", "controller_kind", "controller", "pod", "container")},
        **{name: fields[name] for name in ("node", "containers", "services")},
        "provider_id": more["provider_id"],
        "started_at": [life and life.start for life in more["life"]],
        "ended_at": [life and life.end for life in more["life"]],
        **{name: map_array(fields[name]) for name in ("labels", "namespace_labels")},
        **{name: map_array(more[name]) for name in ("annotations", "namespace_annotations")},
        **_floats({"minutes": fields["minutes"], **_named(Hours._fields, fields["hours"])}),
        **_floats({name: more[name] for name in ("cpu_core_usage_max", "ram_byte_usage_max")}),
        **_measured_costs(days, counts, _named(COST_COLUMNS, fields["costs"])),
        **_amounts(_named(CLASS_COLUMNS, fields["network_classes"])),
        **_adjustments(more["adjustments"]),
        **_idle_shares(days, fields["kind"]),
        **_each_beyond(
            {
                "volumes": lambda: _volumes(fields["details"]),
                "load_balancers": lambda: _load_balancers(fields["details"]),
                "error_bound": lambda: _optional_amounts(more["error_bound"]),
            }
        ),
    }
    return _sliced(_table(columns, ALLOCATION_FILE, len(rows)), counts)


@gc_paused()
def asset_tables(days: Sequence[CollectedDay]) -> list[pa.Table]:
    """The assets of each collected day, as the files of `assets` hold them. Raises ValueBeyondLake."""
    assets = [asset for day in days for asset in day.assets]
    counts = [len(day.assets) for day in days]
    fields = dict(zip(Asset._fields, _transposed(assets, len(Asset._fields)), strict=True))
    details = [of_asset or NO_ASSET_DETAILS for of_asset in fields["details"]]
    more = dict(zip(AssetDetails._fields, _transposed(details, len(AssetDetails._fields)), strict=True))
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
        **{name: _structs(more[name], Breakdown._fields, ASSETS.field(name).type) for name in BREAKDOWNS},
        **_floats({"hours": fields["hours"], "discount": fields["discount"]}),
        **_amounts({**_named(COST_COLUMNS, fields["costs"]), "adjustment": fields["adjustment"]}),
        **_each_beyond({"total_cost": lambda: _optional_amounts(totals)}),
    }
    return _sliced(_table(columns, ASSET_FILE, len(assets)), counts)


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


def idle_shares_of(table: pa.Table) -> tuple[IdleShare | None, ...]:
    """The idle shares of the rows of one collection, as `rows_of` gives these; None for lines and where not known."""
    lists = _Lists(table)
    shares = zip(*(lists.optional_micros(name) for name in IDLE_COLUMNS), strict=True)
    made = (None if None in share else IdleShare(*share) for share in shares)
    return _in_order(lists["ordinal"], made)


def collection_of(table: pa.Table) -> Collection:
    """The collection that rows are of, as far as they tell; all of them are of one, and there is at least one.

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
        audited=first["assets_complete"],
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
    return Costs(**dict(zip(_ADJUSTED, amounts, strict=True))) if any(amounts) else ZERO  # type: ignore[arg-type]


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
            raise ValueUnknownHere(str(error.args[0])) from None


def _in_order(ordinals: Sequence[int], items: Iterable[_Item]) -> tuple[_Item, ...]:
    by_ordinal = sorted(zip(ordinals, items, strict=True), key=itemgetter(0))
    return tuple(item for _, item in by_ordinal)


def _transposed(items: Sequence[Sequence[Any]], width: int) -> Sequence[Sequence[Any]]:
    """Columns of rows, `width` of them even where there is no row."""
    return list(zip(*items, strict=True)) if items else [()] * width


def _named(names: Sequence[str], tuples: Sequence[Sequence[Any]]) -> dict[str, Sequence[Any]]:
    return dict(zip(names, _transposed(tuples, len(names)), strict=True))


def _origin(days: Sequence[CollectedDay], counts: Sequence[int]) -> dict[str, Sequence[Any]]:
    """The columns that say where a row comes from, but for the cluster and the window."""
    collections = [day.collection for day in days]
    return {
        "account_id": _each([collection.account_id for collection in collections], counts),
        "currency": _each([collection.head.currency for collection in collections], counts),
        "source": _each([collection.head.source for collection in collections], counts),
        "collection_id": _each([collection.id for collection in collections], counts),
        "ordinal": list(chain.from_iterable(map(range, counts))),
    }


def _each(values: Sequence[Any], counts: Sequence[int], type_: pa.DataType = _TEXT) -> pa.Array:
    """A value of each day, as often as the day has rows."""
    places = pa.array(list(chain.from_iterable(map(repeat, range(len(counts)), counts))), pa.int32())
    return pa.array(values, type_).take(places)


def _sliced(table: pa.Table, counts: Sequence[int]) -> list[pa.Table]:
    ends = list(accumulate(counts))
    return [table.slice(end - count, count) for end, count in zip(ends, counts, strict=True)]


def _table(columns: Mapping[str, Any], schema: pa.Schema, count: int) -> pa.Table:
    arrays = [_array(field, columns[field.name]) for field in schema]
    assert all(len(array) == count for array in arrays)  # noqa: S101
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(field: pa.Field, values: Any) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    with beyond_lake(field.name):
        return pa.array(values, field.type)


def _floats(columns: Mapping[str, Sequence[float | None]]) -> dict[str, pa.Array]:
    return _together(columns, lambda values: pa.array(values, pa.float64()))


def _amounts(columns: Mapping[str, Sequence[int | None]]) -> dict[str, pa.Array]:
    return _together(columns, _optional_amounts)


def _optional_amounts(micros_: Sequence[int | None]) -> pa.Array:
    """Amounts that may be unknown. Raises ValueBeyondLake."""
    return decimals(pa.array(micros_, pa.int64()))


def _measured_costs(
    days: Sequence[CollectedDay], counts: Sequence[int], costs: Mapping[str, Sequence[int]]
) -> dict[str, pa.Array]:
    """Costs by component; null in days in which nobody measured the component."""
    columns = _amounts(costs)
    null = pa.scalar(None, MONEY)
    for name, component in zip(COST_COLUMNS, Component, strict=True):
        unknown = [component in day.collection.head.not_measured for day in days]
        if any(unknown):
            columns[name] = pc.if_else(_each(unknown, counts, pa.bool_()), null, columns[name])
    return columns


def _adjustments(adjustments: Sequence[Costs]) -> dict[str, pa.Array]:
    """Nearly all are zero, the same one."""
    if all(of_row is ZERO for of_row in adjustments):
        zeros = decimals(pa.repeat(pa.scalar(0, pa.int64()), len(adjustments)))
        return dict.fromkeys(ADJUSTMENT_COLUMNS, zeros)
    return _amounts(
        {
            column: [getattr(of_row, name) for of_row in adjustments]
            for column, name in zip(ADJUSTMENT_COLUMNS, _ADJUSTED, strict=True)
        }
    )


def _idle_shares(days: Sequence[CollectedDay], kinds: Sequence[Kind]) -> dict[str, pa.Array]:
    """Null for lines."""
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

    return _each_beyond({name: partial(column, at) for at, name in enumerate(IDLE_COLUMNS)})


def _each_beyond(columns: Mapping[str, Callable[[], pa.Array]]) -> dict[str, pa.Array]:
    """Columns that are made one by one. Raises ValueBeyondLake, which names the column."""
    made = {}
    for name, make in columns.items():
        with beyond_lake(name):
            made[name] = make()
    return made


def _volumes(details: Sequence[RowDetails | None]) -> pa.Array:
    volumes = [None if of_row is None else of_row.volumes for of_row in details]
    return _struct_lists(volumes, ("name", *VolumeCost._fields[1:]), ALLOCATIONS.field("volumes").type)


def _load_balancers(details: Sequence[RowDetails | None]) -> pa.Array:
    balancers = [None if of_row is None else of_row.load_balancers for of_row in details]
    return _struct_lists(
        balancers, ("service", *LoadBalancerCost._fields[1:]), ALLOCATIONS.field("load_balancers").type
    )


def _struct_lists(lists: Sequence[Sequence[Any] | None], names: Sequence[str], type_: pa.ListType) -> pa.Array:
    """Lists of tuples with fields `names` as a list column; null is not empty."""
    offsets = pa.array(accumulate((len(items) if items else 0 for items in lists), initial=0), pa.int32())
    missing = pa.array([items is None for items in lists], pa.bool_())
    values = _structs([item for items in lists if items for item in items], names, type_.value_type)
    return pa.ListArray.from_arrays(offsets, values, type=type_, mask=missing)


def _structs(tuples: Sequence[Sequence[Any] | None], names: Sequence[str], type_: pa.StructType) -> pa.Array:
    """Tuples with fields `names` as a struct column; null where there is no tuple."""
    empty = (None,) * len(names)
    values = dict(zip(names, _transposed([item or empty for item in tuples], len(names)), strict=True))
    children = [
        _optional_amounts(values[field.name]) if field.type == MONEY else pa.array(values[field.name], field.type)
        for field in type_
    ]
    missing = pa.array([item is None for item in tuples], pa.bool_())
    return pa.StructArray.from_arrays(children, fields=list(type_), mask=missing)


def _together(columns: Mapping[str, Sequence[Any]], convert: Callable[[list[Any]], pa.Array]) -> dict[str, pa.Array]:
    """Columns of one type, converted as one, because a conversion of few values costs as much as one of a thousand."""
    try:
        whole = convert(list(chain.from_iterable(columns.values())))
    except (ValueBeyondLake, OverflowError, ValueError, pa.ArrowInvalid):
        for name, values in columns.items():  # which of them it was
            with beyond_lake(name):
                convert(list(values))
        raise
    count = len(next(iter(columns.values())))
    return {name: whole.slice(number * count, count) for number, name in enumerate(columns)}


@contextmanager
def beyond_lake(column: str) -> Iterator[None]:
    """Values that can't be in a column, by its name. Raises ValueBeyondLake."""
    try:
        yield
    except ValueBeyondLake as error:
        raise ValueBeyondLake(column, error.why) from error
    except (OverflowError, ValueError, pa.ArrowInvalid) as error:
        raise ValueBeyondLake(column, " ".join(str(error).split())) from error


def map_array(mappings: Sequence[Mapping[str, str | None] | None]) -> pa.Array:
    """A map column; null is not empty."""
    if all(mapping is None for mapping in mappings):
        return pa.nulls(len(mappings), _MAP)
    known = [mapping or {} for mapping in mappings]
    offsets = pa.array(accumulate(map(len, known), initial=0), pa.int32())
    keys = pa.array(list(chain.from_iterable(known)), pa.string())
    values = pa.array(list(chain.from_iterable(mapping.values() for mapping in known)), pa.string())
    missing = pa.array([mapping is None for mapping in mappings], pa.bool_())
    return pa.MapArray.from_arrays(offsets, keys, values, mask=missing)


def as_mappings(column: Column) -> Iterator[dict[str, str] | None]:
    for chunk in _chunks(column):
        offsets, keys, values = (part.to_pylist() for part in (chunk.offsets, chunk.keys, chunk.items))
        for valid, begin, end in zip(chunk.is_valid().to_pylist(), offsets[:-1], offsets[1:], strict=True):
            yield dict(zip(keys[begin:end], values[begin:end], strict=True)) if valid else None


def _chunks(column: Column) -> Sequence[pa.Array]:
    chunks: Sequence[pa.Array] = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return chunks
