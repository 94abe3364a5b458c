"""Limits of figures in an answer, and costs in micros."""

from typing import TypeVar

import msgspec

from kubetally.domain.money import to_micros
from kubetally.sources.opencost.notes import Notes
from kubetally.sources.opencost.wire import AssetRow, Balancer, BookedRow, Volume

R = TypeVar("R", BookedRow, AssetRow)

MAX_COST_MICROS = 10**18
"""A ledger of six decimals holds less; a figure from here on is not a cost."""
FIGURE_ROUNDING = 5
"""Micros. The source prints five decimals, so a figure may be off by half of the fifth."""
EXACT_BELOW = 2.0**32
"""A float below it times a million stays exact to the micro."""
MAX_HOURS = 1e24
"""No cluster has that many byte-hours."""


def known_hours(hours: float | None) -> float | None:
    """The hours; None if negative or too large."""
    return None if hours is None or not 0 <= hours <= MAX_HOURS else hours


def without_huge(name: str, row: R, notes: Notes, *, unknown: float | None) -> R:
    """The row with `unknown` in place of figures that are too large, and without its total if there are any."""
    huge = [
        field.name
        for field in msgspec.structs.fields(type(row))
        if isinstance(figure := getattr(row, field.name), float)
        and abs(figure) >= (MAX_COST_MICROS / 1e6 if "cost" in field.name or "adjustment" in field.name else MAX_HOURS)
    ]
    if huge:
        keys = {field.name: field.encode_name for field in msgspec.structs.fields(type(row))}
        notes.huge[name] = ", ".join(keys[key] for key in huge)
        notes.huge_keys.update(keys[key] for key in huge)
    return msgspec.structs.replace(row, **(dict.fromkeys(huge, unknown) | {"total_cost": None} if huge else {}))


def adjustment_of(piece: Volume | Balancer) -> int:
    """The adjustment in micros; 0 if it is missing or too large."""
    return to_micros(piece.adjustment) if piece.adjustment and abs(piece.adjustment) * 1e6 < MAX_COST_MICROS else 0
