"""A clock that was ahead when a day was collected, or is ahead now."""

import json
import os
from datetime import timedelta
from pathlib import Path

from kubetally.domain.cluster_costs import DayState
from tests.integration.collected_days import NOW, collection
from tests.integration.test_accounts_command import Home
from tests.integration.upstream import Upstream, added, backfill
from tests.served import Served

LONG_AGO = timedelta(days=3)


def _made_earlier(home: Home, by: timedelta) -> None:
    """Let the lake be written so much earlier: its commits, what they removed, and its files."""
    for entry in (home.folder / "lake").glob("*/_delta_log/*.json"):
        actions = [json.loads(line) for line in entry.read_text().splitlines()]
        for action in actions:
            for part in action.values():
                for name in ("timestamp", "deletionTimestamp", "modificationTime"):
                    if name in part:
                        part[name] -= int(by.total_seconds() * 1000)
        entry.write_text("\n".join(json.dumps(action) for action in actions))
    for file in (home.folder / "lake").rglob("*.parquet"):
        then = file.stat().st_mtime - by.total_seconds()
        os.utime(file, (then, then))


def _files(home: Home) -> set[Path]:
    return set((home.folder / "lake" / "allocations").rglob("*.parquet")) | set(
        (home.folder / "lake" / "allocations").rglob("*.json")
    )


def test_maintain_removes_no_history_by_a_clock_that_may_be_ahead(
    home: Home, upstream: tuple[Upstream, Served]
) -> None:
    source, server = upstream
    added(home, server)
    backfill(home)
    source.mode = "dearer"
    backfill(home)
    _made_earlier(home, LONG_AGO)
    before, settings = _files(home), {"KUBETALLY_HISTORY_DAYS": "1"}
    done = home.call("maintain", "--shorten", **settings)
    assert done.code == 0, done.err
    assert "No history was removed" in done.out
    assert "--trust-clock" in done.out
    assert before <= _files(home)
    backfill(home)
    done = home.call("maintain", "--shorten", **settings)
    assert "No history was removed" not in done.out
    assert not before <= _files(home)


def test_maintain_removes_old_history_where_the_clock_is_trusted(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    added(home, server)
    backfill(home)
    source.mode = "dearer"
    backfill(home)
    _made_earlier(home, LONG_AGO)
    before = _files(home)
    done = home.call("maintain", "--shorten", "--trust-clock", KUBETALLY_HISTORY_DAYS="1")
    assert done.code == 0, done.err
    assert "No history was removed" not in done.out
    assert not before <= _files(home)


def test_day_collected_in_the_future_is_provisional_until_then() -> None:
    ahead = collection("a", collected_at=NOW + timedelta(days=60))
    assert ahead.state is DayState.SETTLED
    assert ahead.state_at(NOW) is DayState.PROVISIONAL
    assert ahead.state_at(NOW + timedelta(days=60)) is DayState.SETTLED
