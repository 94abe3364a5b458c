"""What is added up of rows, as Ibis expressions, and read back as exact sums."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import ibis
import pyarrow as pa
from ibis import ir

from kubetally.domain.allocation import Kind
from kubetally.domain.component import Component
from kubetally.domain.efficiency import Hours
from kubetally.domain.money import MICROS
from kubetally.domain.quantity import QUANTITIES
from kubetally.domain.question.cost_question import Idle
from kubetally.store.lake.schema import IDLE_COLUMNS

COSTS = tuple(f"{component}_cost" for component in Component)
NO_COSTS = dict.fromkeys(COSTS, 0)
SHARED_IDLE = (Component.CPU, Component.RAM, Component.GPU)
_RATED = (
    ("cpu_core_request_hours", "cpu_core_usage_hours"),
    ("ram_byte_request_hours", "ram_byte_usage_hours"),
)
RATED = tuple(f"rated_{name}" for pair in _RATED for name in pair)
WASTE = "waste"
WEIGHTS = ("workload_cpu_cost", "workload_ram_cost")
"""Costs of workloads alone, by which their efficiency is weighed."""
_TWO_TO_64 = 1 << 64


SHARES = tuple(f"shared_{component}" for component in SHARED_IDLE)
"""Sums of the shares in idle, by the components of `SHARED_IDLE`."""


def costs_of(rows: ir.Table, tests: Mapping[Component, ir.BooleanValue | None]) -> dict[str, ir.DecimalScalar]:
    """Sums of the costs of the rows that pass the test of their component; None lets all pass."""
    return {f"{component}_cost": rows[f"{component}_cost"].sum(where=tests[component]) for component in Component}


def shares_of(
    rows: ir.Table, idle: Idle, tests: Mapping[Component, ir.BooleanValue | None]
) -> dict[str, ir.DecimalScalar]:
    """Sums of the workloads' shares in idle, none where it is not shared; the idle line loses them."""
    if idle not in (Idle.WEIGHTED, Idle.EVEN):
        return {}
    return {
        name: rows[f"idle_{component}_{idle}"].sum(where=tests[component])
        for name, component in zip(SHARES, SHARED_IDLE, strict=True)
    }


def hours_of(rows: ir.Table) -> dict[str, ir.FloatingScalar]:
    """Sums of hours, and of requests and usage of the rows that have both; also of rows that are such sums."""
    sums = {name: rows[name].sum() for name in Hours._fields}
    if RATED[0] in rows.columns:
        return sums | {name: rows[name].sum() for name in RATED}
    for request, usage in _RATED:
        both = rows[request].notnull() & rows[usage].notnull()
        sums |= {f"rated_{name}": rows[name].sum(where=both) for name in (request, usage)}
    return sums


def weights_of(rows: ir.Table) -> dict[str, ir.DecimalScalar]:
    """Sums of the CPU and RAM cost of workloads, as `WEIGHTS`."""
    is_workload = rows.kind == Kind.WORKLOAD.value
    costs = zip(WEIGHTS, ("cpu_cost", "ram_cost"), strict=True)
    return {name: rows[cost].sum(where=is_workload) for name, cost in costs}


def quantities_of(rows: ir.Table, tests: Mapping[Component, ir.BooleanValue | None]) -> dict[str, ir.FloatingScalar]:
    """Sums of the quantities behind the costs of the rows that pass the test of their component."""
    return {name: rows[name].sum(where=tests[component]) for component, its in QUANTITIES.items() for name in its}


def waste_of(rows: ir.Table) -> ir.IntegerScalar:
    """The cost of what was requested and not used, in micros: of each row at its own price, never below zero.

    Each row is rounded to whole micros, so that sums are the same in any order. Rows may be such sums already.
    """
    if WASTE in rows.columns:
        return rows[WASTE].sum()
    unused = sum(_unused(rows, cost, hours, *pair) for (cost, hours), pair in zip(_PRICED, _RATED, strict=True))
    return whole(unused * MICROS).sum()


def whole(number: ir.FloatingValue) -> ir.IntegerValue:
    """The nearest whole number, a half up; the same on every engine, because each step is one of IEEE 754."""
    return (number + 0.5).floor().cast("int64")


def all_sums(rows: ir.Table) -> dict[str, ir.NumericScalar]:
    """All that questions add up, under the names of the columns that it is of: rows of such sums add up like rows."""
    amounts = {name: rows[name].sum() for name in (*COSTS, *IDLE_COLUMNS)}
    return amounts | hours_of(rows) | {WASTE: waste_of(rows).cast("int64")}


_PRICED = (("cpu_cost", "cpu_core_hours"), ("ram_cost", "ram_byte_hours"))


def _unused(rows: ir.Table, cost: str, hours: str, request: str, usage: str) -> ir.FloatingValue:
    """At most what the row costs, because a row is allocated what it requested."""
    allocated = ibis.ifelse(rows[hours] > 0.0, rows[hours], ibis.null("float64"))
    unused = ibis.greatest((rows[request] - rows[usage]).fill_null(0.0), 0.0)
    waste = ibis.least(unused, allocated) / allocated * rows[cost].cast("float64")
    return ibis.greatest(waste.fill_null(0.0), 0.0)


def micros(column: pa.ChunkedArray) -> Iterator[int | None]:
    """Amounts in micros; None for null."""
    for chunk in filter(len, column.chunks):
        # The unscaled amount is a number of 128 bits, which has its lower half first.
        halves = memoryview(chunk.buffers()[1]).cast("q")[2 * chunk.offset : 2 * (chunk.offset + len(chunk))].tolist()
        factor = 10 ** (6 - chunk.type.scale)
        amounts = [
            (low if high == low >> 63 else (high << 64) + low % _TWO_TO_64) * factor
            for low, high in zip(halves[::2], halves[1::2], strict=True)
        ]
        yield from _with_nulls(amounts, chunk)


def columns(table: pa.Table) -> dict[str, list[Any]]:
    """The columns as Python values, amounts in micros. A chunk's own `to_pylist` takes several times as long."""
    return {name: [*_values(table[name])] for name in table.column_names}


def _values(column: pa.ChunkedArray) -> Iterable[Any]:
    if pa.types.is_decimal(column.type):
        return micros(column)
    if pa.types.is_float64(column.type):
        return _numbers(column)
    return column.to_pylist()  # type: ignore[no-any-return]


def _numbers(column: pa.ChunkedArray) -> Iterator[float | None]:
    for chunk in filter(len, column.chunks):
        numbers = memoryview(chunk.buffers()[1]).cast("d")[chunk.offset : chunk.offset + len(chunk)].tolist()
        yield from _with_nulls(numbers, chunk)


def _with_nulls(values: list[Any], chunk: pa.Array) -> Iterable[Any]:
    """The values of a chunk, None where it has none."""
    if not chunk.null_count:
        return values
    return (value if is_known else None for value, is_known in zip(values, chunk.is_valid().to_pylist(), strict=True))
