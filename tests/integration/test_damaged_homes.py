"""Homes as a power cut or somebody's copy leaves them: each is opened, told, and goes on without a hand."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from kubetally.store.lake.log_folder import SET_ASIDE
from tests.integration.commands import WHOLE
from tests.integration.test_accounts_command import Home
from tests.integration.test_power_cuts import UNFINISHED, UNREADABLE, _half, _rewrite
from tests.integration.upstream import THREE_DAYS, Upstream, added, backfill, costs, figures
from tests.served import Served


@dataclass(frozen=True)
class Whole:
    """A home with three stored days, one commit each, the source that they came from, and what they cost."""

    folder: Path
    source: Upstream
    url: str
    live: Any
    totals: dict[str, float]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    source, home = Upstream(), Home(tmp_path_factory.mktemp("whole") / "home")
    with Served(source.answers) as server:
        added(home, server)
        for day in range(20, 23):
            done = home.call("backfill", "aurora", "--from", f"2026-11-{day}", "--to", f"2026-11-{day + 1}")
            assert done.code == 0, done.err
        totals = {day["day"]: day["total_cost"] for day in days_of(home)}
        yield Whole(home.folder, source, f"{server.url}/aurora", costs(home), totals)


@pytest.fixture
def damaged(whole: Whole, tmp_path: Path) -> Iterator[tuple[Home, Whole]]:
    """A copy of the home, to be damaged; its source is down until a test says otherwise."""
    whole.source.mode = "down"
    yield Home(Path(shutil.copytree(whole.folder, tmp_path / "home"))), whole
    whole.source.mode = "sound"


def days_of(home: Home) -> list[dict[str, Any]]:
    (body,) = home.call("coverage", *WHOLE, "--format", "json").json
    return list(body["days"])


def log_of(home: Home, table: str = "allocations") -> Path:
    return home.folder / "lake" / table / "_delta_log"


def newest_entry(home: Home, table: str = "allocations") -> Path:
    return max(log_of(home, table).glob("*.json"))


def last_file(home: Home) -> Path:
    """The data file of the newest commit."""
    (added_file,) = [
        json.loads(line)["add"]["path"] for line in newest_entry(home).read_text().splitlines() if '"add"' in line
    ]
    return home.folder / "lake" / "allocations" / added_file


def in_database(home: Home, statement: str) -> None:
    with closing(sqlite3.connect(home.folder / "kubetally.db")) as database:
        database.execute(statement)
        database.commit()


def not_confirmed(home: Home) -> None:
    """The newest collection is noted, and not known to be in the lake."""
    in_database(home, "DELETE FROM coverage WHERE version = 3")
    in_database(home, "UPDATE collections SET phase = 'pending', version = NULL, confirmed_at = NULL WHERE version = 3")


def never_known(home: Home) -> None:
    """The database is of before the newest commit."""
    in_database(home, "DELETE FROM coverage WHERE version = 3")
    in_database(home, "DELETE FROM collections WHERE version = 3")
    in_database(home, "DELETE FROM log_files WHERE name LIKE '%3.json'")


def never_known_to_an_earlier_version(home: Home) -> None:
    """The same, where the commit carries no record of what the database noted."""
    never_known(home)

    def without_record(entry: bytes) -> bytes:
        actions = [json.loads(line) for line in entry.splitlines()]
        assert actions[0]["commitInfo"].pop("kubetally.record")
        return "\n".join(json.dumps(action) for action in actions).encode()

    _rewrite(newest_entry(home), without_record)


def torn(state: Callable[[Path], None], then: Callable[[Home], None] = lambda _: None) -> Callable[[Home], None]:
    """A power cut can leave a commit unfinished until it is on the disk, and the database confirms it after that."""

    def damage(home: Home) -> None:
        state(log_of(home))
        then(home)

    return damage


def file_lost(change: Callable[[Path], None]) -> Callable[[Home], None]:
    def damage(home: Home) -> None:
        not_confirmed(home)
        change(last_file(home))

    return damage


LOST = {
    "missing entry": lambda home: newest_entry(home).unlink(),
    "missing entry of a pending commit": lambda home: (newest_entry(home).unlink(), not_confirmed(home)),
    "missing entries of rows and assets": lambda home: (
        newest_entry(home).unlink(),
        newest_entry(home, "assets").unlink(),
    ),
    "missing file of a pending commit": file_lost(Path.unlink),
    "half file of a pending commit": file_lost(lambda file: _rewrite(file, _half)),
    **{name: torn(state, not_confirmed) for name, state in UNFINISHED.items() if "removes" not in name},  # nothing was
    **{f"{name}, earlier database": torn(state, never_known) for name, state in list(UNFINISHED.items())[:2]},
}
"""The newest day is not in the lake: it is collected again."""

KEPT = {
    "commit that is not confirmed": not_confirmed,
    "earlier database": never_known,
    "earlier database, of an earlier version": never_known_to_an_earlier_version,
    **{name: torn(state) for name, state in UNREADABLE.items()},
}
"""All days are in the lake, and stay known."""


@pytest.mark.parametrize("state", LOST)
def test_lost_commit_is_reported_and_collected_again(damaged: tuple[Home, Whole], state: str) -> None:
    home, whole = damaged
    LOST[state](home)
    body = home.call("costs", "aurora", *WHOLE, "--format", "json", KUBETALLY_ATTEMPTS="1").json
    kept = {day: total for day, total in whole.totals.items() if day != "2026-11-22"}
    assert body["coverage"]["hours_covered"] == 48
    assert body["summary"]["total_cost"] == pytest.approx(sum(kept.values()))
    home.call("backfill", "aurora", *THREE_DAYS, "--missing", KUBETALLY_ATTEMPTS="1")
    known = {day["day"]: day for day in days_of(home)}
    assert {day: known[day]["total_cost"] for day in kept} == kept
    assert known["2026-11-22"]["total_cost"] is None
    assert known["2026-11-22"]["last_error"] is not None
    whole.source.mode = "sound"
    backfill(home, "aurora", "--missing")
    assert figures(costs(home)) == figures(whole.live)
    assert {day["day"]: day["total_cost"] for day in days_of(home)} == whole.totals
    assert_rows_once(home)


@pytest.mark.parametrize("state", KEPT)
def test_kept_commit_is_known_again_without_the_source(damaged: tuple[Home, Whole], state: str) -> None:
    home, whole = damaged
    KEPT[state](home)
    done = home.call("maintain")
    assert done.code == 0, done.err
    body = costs(home)
    assert body["coverage"]["hours_covered"] == 72
    assert body["summary"]["total_cost"] == pytest.approx(whole.live["summary"]["total_cost"])
    assert {day["day"]: day["total_cost"] for day in days_of(home)} == whole.totals
    if "earlier version" not in state:
        assert figures(body) == figures(whole.live)
    whole.source.mode = "sound"
    backfill(home)
    assert figures(costs(home)) == figures(whole.live)
    assert_rows_once(home)


def test_missing_day_is_reported(damaged: tuple[Home, Whole], capfd: pytest.CaptureFixture[str]) -> None:
    home, _ = damaged
    newest_entry(home).unlink()
    assert home.call("maintain").code == 0
    day = days_of(home)[-1]
    assert (day["is"], day["total_cost"], day["last_error"]["code"]) == ("failed", None, "collection_gone")
    assert "the lake lacks the rows of this day" in home.call("coverage", "aurora", *WHOLE).out


def test_unfinished_files_are_set_aside(damaged: tuple[Home, Whole]) -> None:
    home, _ = damaged
    UNFINISHED["half entry"](log_of(home))
    not_confirmed(home)
    left = newest_entry(home).read_bytes()
    costs(home)
    (kept,) = (home.folder / "lake" / SET_ASIDE).rglob("*.json")
    assert kept.read_bytes() == left


@pytest.mark.parametrize("table", ["allocations", "assets"])
@pytest.mark.parametrize("at", [0, -1], ids=["first byte", "last byte"])
def test_flipped_bit_in_a_confirmed_commit_moves_nothing(damaged: tuple[Home, Whole], table: str, at: int) -> None:
    home, _ = damaged
    entry = newest_entry(home, table)
    flipped = bytearray(entry.read_bytes())
    flipped[at] ^= 1
    entry.write_bytes(flipped)
    reading = [["costs", "aurora", *WHOLE]] if table == "allocations" else []  # costs need no assets
    for command in (["maintain"], ["maintain", "--check"], ["doctor"], *reading):
        done = home.call(*command)
        assert done.code, command
        assert entry.name in done.out + done.err, (command, done.out, done.err)
    assert "kubetally restore" in home.call("maintain").err
    assert entry.read_bytes() == flipped
    assert not (home.folder / "lake" / SET_ASIDE).exists()


def test_earlier_lake_is_brought_up_to_date(damaged: tuple[Home, Whole], tmp_path: Path) -> None:
    home, whole = damaged
    earlier = shutil.copytree(home.folder / "lake", tmp_path / "earlier")
    whole.source.mode = "dearer"
    backfill(home)
    whole.source.mode = "down"
    shutil.rmtree(home.folder / "lake")
    shutil.copytree(earlier, home.folder / "lake")
    done = home.call("maintain")
    assert done.code == 0, done.err
    assert figures(costs(home)) == figures(whole.live), "the lake's days hold again, as they were collected before"


def test_another_lake_is_refused_and_nothing_is_changed(damaged: tuple[Home, Whole], tmp_path: Path) -> None:
    home, whole = damaged
    other = Home(tmp_path / "other")
    whole.source.mode = "sound"
    other.add("aurora", "--url", whole.url)
    backfill(other)
    mine, theirs = days_of(home), home.folder / "lake"
    shutil.rmtree(theirs)
    shutil.copytree(other.folder / "lake", theirs)
    done = home.call("backfill", "aurora", *THREE_DAYS)
    assert done.code == 3
    assert "KUBETALLY_LAKE_URL" in done.err
    shutil.rmtree(theirs)
    assert home.call("maintain").code == 3
    assert days_of(home) == mine


def assert_rows_once(home: Home) -> None:
    """Each day has one collection in the lake, and no row of it is there twice."""
    table = DeltaTable(str(home.folder / "lake" / "allocations")).to_pyarrow_table(
        columns=["day", "collection_id", "ordinal"]
    )
    rows = [tuple(row.values()) for row in table.to_pylist()]
    assert len(rows) == len(set(rows))
    assert len({(day, id_) for day, id_, _ in rows}) == len({day for day, _, _ in rows}) == 3
