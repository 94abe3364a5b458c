"""Figures of an answer: which can be true, and micros of a cost."""

from typing import TypeVar

import msgspec

from kubetally.domain.money import to_micros
from kubetally.sources.opencost.notes import Notes
from kubetally.sources.opencost.wire import AssetRow, Balancer, BookedRow, Volume

R = TypeVar("R", BookedRow, AssetRow)

MOST = 10**18
"""Micros: what a ledger of six decimals holds; a figure from here on is no cost."""
FIGURE_ROUNDING = 5
"""Micros. The source prints five decimals: a figure may be half of the fifth away from what it computed."""
EXACT_BELOW = 2.0**32
"""A cost below it can be multiplied by a million without leaving the grid of micros."""
MOST_HOURS = 1e24
"""No cluster has as many byte-hours."""


def known_hours(hours: float | None) -> float | None:
    return None if hours is None or not 0 <= hours <= MOST_HOURS else hours


def without_huge(name: str, row: R, notes: Notes, *, unknown: float | None) -> R:
    """The row with `unknown` for figures that are too large; its total is the sum of what is left."""
    huge = [
        field.name
        for field in msgspec.structs.fields(type(row))
        if isinstance(figure := getattr(row, field.name), float)
        and abs(figure) >= (MOST / 1e6 if "cost" in field.name or "adjustment" in field.name else MOST_HOURS)
    ]
    if huge:
        keys = {field.name: field.encode_name for field in msgspec.structs.fields(type(row))}
        notes.huge[name] = ", ".join(keys[key] for key in huge)
        notes.huge_keys.update(keys[key] for key in huge)
    return msgspec.structs.replace(row, **(dict.fromkeys(huge, unknown) | {"total_cost": None} if huge else {}))


def adjustment_of(piece: Volume | Balancer) -> int:
    """Micros; 0 where there is none, or one that is too large."""
    return to_micros(piece.adjustment) if piece.adjustment and abs(piece.adjustment) * 1e6 < MOST else 0
