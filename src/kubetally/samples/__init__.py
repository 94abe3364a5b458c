"""Recorded answers of a real OpenCost for three sample clusters, small enough to travel with the package."""

from pathlib import Path

NAMES = ("aurora", "cygnus", "draco")
FIRST_DAY = "2026-11-20"
END_DAY = "2026-11-23"
"""The samples hold the UTC days from FIRST_DAY up to, and without, END_DAY."""


def folders() -> dict[str, tuple[Path, ...]]:
    """The folders of recorded answers by cluster name, as a `ReplayServer` takes them."""
    data = Path(__file__).parent / "data"
    return {name: (data / name,) for name in NAMES}
