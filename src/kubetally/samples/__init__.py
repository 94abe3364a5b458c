"""Recorded answers of a real OpenCost for three sample clusters, small enough for the package."""

from pathlib import Path

NAMES = ("aurora", "cygnus", "draco")
FIRST_DAY = "2026-11-20"
END_DAY = "2026-11-23"
"""The samples have the UTC days from FIRST_DAY to END_DAY, which is excluded."""


def folders() -> dict[str, tuple[Path, ...]]:
    """The folders of recorded answers by cluster name, for a `ReplayServer`."""
    data = Path(__file__).parent / "data"
    return {name: (data / name,) for name in NAMES}
