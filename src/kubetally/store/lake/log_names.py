"""Names of the files in a table's log: entries, one a version, and checkpoints."""

import re
from collections.abc import Collection, Iterable

ENTRY = re.compile(r"(\d{20})\.json")
CHECKPOINT = re.compile(r"(\d{20})\.checkpoint(?:\..+)?\.parquet")


def log_names(names: Iterable[str], since: int) -> list[str]:
    """Those of entries and checkpoints of versions from `since` on, in order."""
    return sorted(
        name
        for name in names
        if name[:20] >= f"{max(since, 0):020}" and (ENTRY.fullmatch(name) or CHECKPOINT.fullmatch(name))
    )


def is_checkpoint(name: str) -> bool:
    """Whether it is one; of the names that `log_names` returns, the others are entries."""
    return name.endswith(".parquet")


def is_complete(names: Collection[str]) -> bool:
    """Whether these files include all entries since the newest checkpoint among them, or since the first."""
    entries = {int(name[:20]) for name in names if not is_checkpoint(name)}
    base = max((int(name[:20]) for name in names if is_checkpoint(name)), default=-1)
    return bool(entries) and entries.issuperset(range(base + 1, max(entries) + 1))
