"""Rows and assets as Arrow columns, and back, without loss: every value comes back equal, floats to the bit.

Column by column, because a lake of a year has tens of millions of rows. Decimals never pass through Python: an amount
in micros and a DECIMAL(18,6) are the same 128 bits, read with another scale.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate, chain, repeat
from operator import itemgetter
from typing import Any, TypeAlias, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from kubetally.domain.allocation import Kind
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.booking import Booking
from kubetally.domain.cluster_costs import SourceIdentity
from kubetally.domain.collection import CollectedDay, Collection
from kubetally.domain.component import Component, Costs, NetworkClasses
from kubetally.domain.efficiency import Hours
from kubetally.domain.errors import StoreError
from kubetally.domain.garbage import no_garbage
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.row import Cause, Row
from kubetally.domain.window import Window
from kubetally.store.lake.schema import (
    ALLOCATIONS,
    ASSETS,
    CLASS_COLUMNS,
    COST_COLUMNS,
    MONEY,
    in_files,
)

_Word = TypeVar("_Word")
_Item = TypeVar("_Item")
Column: TypeAlias = pa.Array | pa.ChunkedArray

ALLOCATION_FILE, ASSET_FILE = in_files(ALLOCATIONS), in_files(ASSETS)
_MICROS = pa.decimal128(38, 0)
_LIMIT = 10**18  # micros: what DECIMAL(18,6) can't hold any more
_KINDS: Mapping[str, Kind] = {kind.value: kind for kind in Kind}
_CAUSES: Mapping[str | None, Cause | None] = {None: None, **{cause.value: cause for cause in Cause}}
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


def micros(amounts: Column) -> list[int]:
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


@no_garbage()
def allocation_tables(days: Sequence[CollectedDay]) -> list[pa.Table]:
    """The rows of each collected day, sorted by namespace (lines last), as the files of `allocations` hold them.

    Of many small days it takes a fraction of the time to convert them together. Raises ValueBeyondLake.
    """
    orders = [_order(day.rows) for day in days]
    rows = [day.rows[at] for day, order in zip(days, orders, strict=True) for at in order]
    counts = [len(order) for order in orders]
    fields = dict(zip(Row._fields, _transposed(rows, len(Row._fields)), strict=True))
    hours, costs, classes = fields["hours"], fields["costs"], fields["network_classes"]
    columns = {
        **_origin(days, counts, orders),
        "window_start": _each((day.collection.head.window.start for day in days), counts),
        "window_end": _each((day.collection.head.window.end for day in days), counts),
        "cluster_id": _each((day.collection.source.cluster_id for day in days), counts),
        "audited": _each((day.collection.head.audited for day in days), counts),
        **{name: fields[name] for name in ("kind", "cause", "namespace", "controller_kind", "controller", "pod")},
        **{name: fields[name] for name in ("node", "containers", "services")},
        "labels": _maps(fields["labels"]),
        "namespace_labels": _maps(fields["namespace_labels"]),
        **_floats({"minutes": fields["minutes"], **_named(Hours._fields, hours)}),
        **_amounts({**_named(COST_COLUMNS, costs), **_named(CLASS_COLUMNS, classes)}),
    }
    return _sliced(_table(columns, ALLOCATION_FILE, len(rows)), counts)


@no_garbage()
def asset_tables(days: Sequence[CollectedDay]) -> list[pa.Table]:
    """The assets of each collected day, as the files of `assets` hold them. Raises ValueBeyondLake."""
    assets = [asset for day in days for asset in day.assets]
    counts = [len(day.assets) for day in days]
    fields = dict(zip(Asset._fields, _transposed(assets, len(Asset._fields)), strict=True))
    columns = {
        **_origin(days, counts, [range(count) for count in counts]),
        "window_start": [window.start for window in fields["window"]],
        "window_end": [window.end for window in fields["window"]],
        "asset_type": fields["type"],
        "names": [sorted(names) for names in fields["names"]],
        **{name: fields[name] for name in ("name", "cluster_id", "provider_id", "node_type")},
        "labels": _maps(fields["labels"]),
        **_floats({"hours": fields["hours"], "discount": fields["discount"]}),
        **_amounts(
            {
                **_named(COST_COLUMNS, fields["costs"]),
                "total_cost": [sum(costs) for costs in fields["costs"]],
                "adjustment": fields["adjustment"],
            }
        ),
    }
    return _sliced(_table(columns, ASSET_FILE, len(assets)), counts)


@no_garbage()
def rows_of(table: pa.Table) -> tuple[Row, ...]:
    """The rows of one collection, in the order they were written."""
    lists = _Lists(table)
    made = map(
        Row,
        lists.known("kind", _KINDS),
        lists.known("cause", _CAUSES),
        lists["namespace"],
        lists["controller_kind"],
        lists["controller"],
        lists["pod"],
        lists["node"],
        lists["containers"],
        lists["minutes"],
        map(Hours, *(lists[name] for name in Hours._fields)),
        map(Costs, *(lists.micros(name) for name in COST_COLUMNS)),
        map(NetworkClasses, *(lists.micros(name) for name in CLASS_COLUMNS)),
        map(tuple, lists["services"]),
        _mappings(table["labels"]),
        _mappings(table["namespace_labels"]),
    )
    return _in_order(lists["ordinal"], made)


def collection_of(table: pa.Table) -> Collection:
    """The collection that rows are of, as far as they tell; all of them are of one, and there is at least one.

    It is provisional: what was missing when it was collected is not known. Components that cost nothing count as not
    measured.
    """
    first, rows = table.slice(0, 1).to_pylist()[0], rows_of(table)
    window = Window(first["window_start"], first["window_end"])
    bill = Costs.sum(row.costs for row in rows)
    kind = IssueKind.SOURCE_WARNING if first["audited"] else IssueKind.NOT_AUDITED
    issue = Issue(kind, "restored from the rows in the lake: what its source lacked is unknown", window=window)
    booking = Booking(
        window=window,
        covered=(window,),
        rows=rows,
        bill=bill,
        bill_network_classes=NetworkClasses.sum(row.network_classes for row in rows),
        not_measured=frozenset(component for component in Component if not bill.of(component)),
        audited=first["audited"],
        currency=first["currency"],
        source=first["source"],
        source_total=bill.total,
        issues=(issue,),
    )
    source = SourceIdentity(first["source"], cluster_id=first["cluster_id"])
    of_what = (first["collection_id"], first["account_id"], window.start.date(), window.end, source)
    return Collection(*of_what, replace(booking, rows=()), len(rows), booking.balance())


@no_garbage()
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
        _mappings(table["labels"]),
        lists["hours"],
        lists["discount"],
        lists.micros("adjustment"),
    )
    return _in_order(lists["ordinal"], made)


class _Lists:
    """The columns of a table as Python lists."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __getitem__(self, name: str) -> list[Any]:
        values: list[Any] = self._table[name].to_pylist()
        return values

    def micros(self, name: str) -> list[int]:
        return micros(self._table[name])

    def known(self, name: str, words: Mapping[Any, _Word]) -> list[_Word]:
        try:
            return [words[word] for word in self[name]]
        except KeyError as error:
            raise ValueUnknownHere(str(error.args[0])) from None


def _in_order(ordinals: Sequence[int], items: Iterable[_Item]) -> tuple[_Item, ...]:
    by_ordinal = sorted(zip(ordinals, items, strict=True), key=itemgetter(0))
    return tuple(item for _, item in by_ordinal)


def _order(rows: Sequence[Row]) -> list[int]:
    """The places of rows by namespace."""
    return sorted(range(len(rows)), key=lambda at: _nulls_last(rows[at].namespace))


def _nulls_last(value: str | None) -> tuple[bool, str]:
    return value is None, value or ""


def _transposed(items: Sequence[Sequence[Any]], width: int) -> Sequence[Sequence[Any]]:
    """Columns of rows, `width` of them even where there is no row."""
    return list(zip(*items, strict=True)) if items else [()] * width


def _named(names: Sequence[str], tuples: Sequence[Sequence[Any]]) -> dict[str, Sequence[Any]]:
    return dict(zip(names, _transposed(tuples, len(names)), strict=True))


def _origin(
    days: Sequence[CollectedDay], counts: Sequence[int], orders: Sequence[Sequence[int]]
) -> dict[str, Sequence[Any]]:
    """The columns that say where a row comes from, but for the cluster and the window."""
    collections = [day.collection for day in days]
    return {
        "account_id": _each((one.account_id for one in collections), counts),
        "currency": _each((one.head.currency for one in collections), counts),
        "source": _each((one.head.source for one in collections), counts),
        "collection_id": _each((one.id for one in collections), counts),
        "ordinal": list(chain.from_iterable(orders)),
    }


def _each(values: Iterable[Any], counts: Sequence[int]) -> list[Any]:
    """A value of each day, as often as the day has rows."""
    return list(chain.from_iterable(map(repeat, values, counts)))


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
    with _beyond(field.name):
        return pa.array(values, field.type)


def _floats(columns: Mapping[str, Sequence[float | None]]) -> dict[str, pa.Array]:
    return _together(columns, lambda values: pa.array(values, pa.float64()))


def _amounts(columns: Mapping[str, Sequence[int]]) -> dict[str, pa.Array]:
    return _together(columns, lambda values: decimals(pa.array(values, pa.int64())))


def _together(columns: Mapping[str, Sequence[Any]], convert: Callable[[list[Any]], pa.Array]) -> dict[str, pa.Array]:
    """Columns of one type, converted as one, because a conversion of few values costs as much as one of a thousand."""
    try:
        whole = convert(list(chain.from_iterable(columns.values())))
    except (ValueBeyondLake, OverflowError, ValueError, pa.ArrowInvalid):
        for name, values in columns.items():  # which of them it was
            with _beyond(name):
                convert(list(values))
        raise
    count = len(next(iter(columns.values())))
    return {name: whole.slice(number * count, count) for number, name in enumerate(columns)}


@contextmanager
def _beyond(column: str) -> Iterator[None]:
    """Values that can't be in a column, by its name. Raises ValueBeyondLake."""
    try:
        yield
    except ValueBeyondLake as error:
        raise ValueBeyondLake(column, error.why) from error
    except (OverflowError, ValueError, pa.ArrowInvalid) as error:
        raise ValueBeyondLake(column, " ".join(str(error).split())) from error


def _maps(mappings: Sequence[Mapping[str, str] | None]) -> pa.Array:
    """A map column; null is not empty."""
    known = [mapping or {} for mapping in mappings]
    offsets = pa.array(accumulate(map(len, known), initial=0), pa.int32())
    keys = pa.array(list(chain.from_iterable(known)), pa.string())
    values = pa.array(list(chain.from_iterable(mapping.values() for mapping in known)), pa.string())
    missing = pa.array([mapping is None for mapping in mappings], pa.bool_())
    return pa.MapArray.from_arrays(offsets, keys, values, mask=missing)


def _mappings(column: Column) -> Iterator[dict[str, str] | None]:
    for chunk in _chunks(column):
        offsets, keys, values = (part.to_pylist() for part in (chunk.offsets, chunk.keys, chunk.items))
        for valid, begin, end in zip(chunk.is_valid().to_pylist(), offsets[:-1], offsets[1:], strict=True):
            yield dict(zip(keys[begin:end], values[begin:end], strict=True)) if valid else None


def _chunks(column: Column) -> Sequence[pa.Array]:
    chunks: Sequence[pa.Array] = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return chunks
