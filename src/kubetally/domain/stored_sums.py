"""Compares rows and assets read from storage with what was committed, by numbers and sums."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kubetally.domain.allocation import Kind
from kubetally.domain.asset import Asset
from kubetally.domain.booking import ComponentBalance
from kubetally.domain.component import ZERO, Component, Costs
from kubetally.domain.money import to_decimal
from kubetally.domain.row import Row

_NOTHING = ComponentBalance(0, 0, 0, 0, 0, 0)


class AssetSums(NamedTuple):
    """The number of assets, and what they cost together; `adjustment` in micros."""

    number: int = 0
    costs: Costs = ZERO
    adjustment: int = 0


class RowSums(NamedTuple):
    """The number of rows, and what those of each kind cost together; kinds without a row may be left out."""

    number: int
    costs: Mapping[Kind, Costs]


def sum_assets(assets: Sequence[Asset]) -> AssetSums:
    """The sums of assets."""
    costs = Costs.sum(asset.costs for asset in assets)
    return AssetSums(len(assets), costs, sum(asset.adjustment for asset in assets))


def compare_rows(
    rows: Sequence[Row], count: int, bill: Costs, balance: Mapping[Component, ComponentBalance]
) -> str | None:
    """How rows differ from what was recorded at their commit; None if they do not.

    Shape: `count` rows that come to `bill`, and by component and kind to `balance`; its missing components are 0.
    """
    of_kind = defaultdict[Kind, list[Costs]](list)
    for row in rows:
        of_kind[row.kind].append(row.costs)
    sums = {kind: Costs.sum(its) for kind, its in of_kind.items()}
    return compare_row_sums(RowSums(len(rows), sums), count, bill, balance)


def compare_row_sums(
    found: RowSums, count: int, bill: Costs, balance: Mapping[Component, ComponentBalance]
) -> str | None:
    """As `compare_rows`, of rows that were summed already."""
    if found.number != count:
        return f"{found.number} rows instead of {count}"
    sums = {kind: found.costs.get(kind, ZERO) for kind in Kind}
    whole = Costs.sum(sums.values())
    for number, component in enumerate(Component):
        recorded = balance.get(component, _NOTHING)
        for kind, its in zip(Kind, recorded[1:], strict=True):
            if sums[kind][number] != its:
                return f"{_amount(sums[kind][number])} of {component} in {kind} instead of {_amount(its)}"
        if not whole[number] == recorded.bill == bill[number]:
            return f"{_amount(whole[number])} of {component} instead of {_amount(bill[number])}"
    return None


def compare_assets(assets: Sequence[Asset], recorded: AssetSums | None) -> str | None:
    """How assets differ from what was recorded; None if they do not, or if nothing was recorded."""
    if recorded is None:
        return None
    if len(assets) != recorded.number:
        return f"{len(assets)} assets instead of {recorded.number}"
    sums = sum_assets(assets)
    for component, its, was in zip(Component, sums.costs, recorded.costs, strict=True):
        if its != was:
            return f"assets with {_amount(its)} of {component} instead of {_amount(was)}"
    if sums.adjustment != recorded.adjustment:
        return f"assets with adjustments of {_amount(sums.adjustment)} instead of {_amount(recorded.adjustment)}"
    return None


def _amount(micros: int) -> str:
    return f"{to_decimal(micros):f}"  # exact: some differ in their last digit only
