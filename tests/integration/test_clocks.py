"""A clock that was ahead when a day was collected, or is ahead now."""

import json
import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from kubetally.domain.status import DayState
from tests.integration.collected_days import NOW, collection
from tests.integration.test_accounts_command import Home
from tests.integration.test_serve_command import Program, eventually, start
from tests.integration.upstream import Upstream, added, backfill
from tests.served import Served

__all__ = ["start"]
LONG_AGO = timedelta(days=3)


def _made_earlier(home: Home, by: timedelta) -> None:
    """Let all be collected so much earlier: the lake's commits, what they removed, its files, and the database."""
    with closing(sqlite3.connect(home.folder / "kubetally.db")) as database, database:
        database.execute(
            "UPDATE collections SET collected_at = collected_at - :by, confirmed_at = confirmed_at - :by,"
            " superseded_at = superseded_at - :by",
            {"by": by // timedelta(microseconds=1)},
        )
        database.execute("DELETE FROM log_files")  # which knows the entries as they were
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


def _with_history(home: Home, upstream: tuple[Upstream, Served]) -> None:
    """A home with a replaced collection, all of which was written three days ago, or the clock is ahead."""
    source, server = upstream
    added(home, server)
    backfill(home)
    source.mode = "dearer"
    backfill(home)
    _made_earlier(home, LONG_AGO)


def test_maintain_removes_no_history_by_a_clock_that_may_be_ahead(
    home: Home, upstream: tuple[Upstream, Served]
) -> None:
    _with_history(home, upstream)
    before, settings = _files(home), {"KUBETALLY_HISTORY_DAYS": "1"}
    for _ in range(2):
        done = home.call("maintain", "--shorten", **settings)
        assert done.code == 0, done.err
        assert re.search(r"Kept [1-9]\d* expired files: nothing was collected from 2\d{3}-", done.out)
        assert "--trust-clock" in done.out
        assert before <= _files(home)
        backfill(home)  # by the same clock


def test_collector_with_fast_clock_removes_no_history(
    home: Home, upstream: tuple[Upstream, Served], start: Callable[..., Program]
) -> None:
    source, server = upstream
    _with_history(home, upstream)
    settings = {"KUBETALLY_HOME": str(home.folder), "KUBETALLY_HISTORY_DAYS": "1", "KUBETALLY_COLLECT_DAYS": "3"}
    home.call("maintain", "--shorten", **settings)
    before = _files(home)
    source.mode = "anyday"
    added(home, server, "cygnus")
    collector = start("collect", "--forever", **settings)
    eventually(lambda: "history_kept_longer" in collector.err, lambda: collector.err)
    assert collector.stop() == 0
    assert 0 < collector.err.find("day_collected") < collector.err.index("maintained")
    assert before <= _files(home)


def test_history_goes_once_collecting_lasted_as_long_as_it_is_kept(
    home: Home, upstream: tuple[Upstream, Served]
) -> None:
    _with_history(home, upstream)
    backfill(home)  # the clock was right, and the machine off
    before, settings = _files(home), {"KUBETALLY_HISTORY_DAYS": "1"}
    _made_earlier(home, timedelta(hours=25))
    backfill(home)
    done = home.call("maintain", "--shorten", **settings)
    assert "Kept" not in done.out
    assert not before <= _files(home)


def test_maintain_removes_old_history_where_the_clock_is_trusted(home: Home, upstream: tuple[Upstream, Served]) -> None:
    _with_history(home, upstream)
    before = _files(home)
    done = home.call("maintain", "--shorten", "--trust-clock", KUBETALLY_HISTORY_DAYS="1")
    assert done.code == 0, done.err
    assert "Kept" not in done.out
    assert not before <= _files(home)


def test_day_collected_in_the_future_is_provisional_until_then() -> None:
    ahead = collection("a", collected_at=NOW + timedelta(days=60))
    assert ahead.state is DayState.SETTLED
    assert ahead.state_at(NOW) is DayState.PROVISIONAL
    assert ahead.state_at(NOW + timedelta(days=60)) is DayState.SETTLED


def test_rare_collecting_suggests_trusting_the_clock(home: Home, upstream: tuple[Upstream, Served]) -> None:
    _with_history(home, upstream)
    backfill(home)
    _made_earlier(home, LONG_AGO)
    backfill(home)
    done = home.call("maintain", "--shorten", KUBETALLY_HISTORY_DAYS="1")
    assert "Kept" in done.out
    assert "only --trust-clock removes files" in done.out
    assert "are removed after more days" not in done.out


def test_shorter_retention_needs_shorten(home: Home, upstream: tuple[Upstream, Served]) -> None:
    _with_history(home, upstream)
    assert "still kept" not in home.call("maintain").out
    settings = {"KUBETALLY_HISTORY_DAYS": "30"}
    done = home.call("maintain", **settings)
    assert "still kept for 400 days, as set before, not for 30 (KUBETALLY_HISTORY_DAYS); --shorten" in done.out
    assert "still kept" not in home.call("maintain", "--shorten", **settings).out
    assert "still kept" not in home.call("maintain", **settings).out
