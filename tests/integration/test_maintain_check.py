"""`kubetally maintain --check` and `--repair`, as the installed program does them on files that were damaged."""

import shutil
from pathlib import Path
from typing import Any

from kubetally.store.lake.delta import DeltaLake
from tests.integration.commands import WHOLE
from tests.integration.test_accounts_command import Home
from tests.integration.upstream import Upstream, added, backfill, costs, figures
from tests.served import Served

DAY = "2026-11-20"


def day_file(home: Home, table: str = "allocations") -> Path:
    """The newest file of the day."""
    return max(
        (home.folder / "lake" / table / f"day={DAY}").glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns
    )


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def test_damaged_day_is_named_and_repaired_from_its_source(home: Home, upstream: tuple[Upstream, Served]) -> None:
    _, server = upstream
    added(home, server)
    backfill(home)
    whole = figures(costs(home))
    done = home.call("maintain", "--check")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith(": no damage\n")
    path = day_file(home)
    damage(path)
    done = home.call("maintain", "--check")
    assert done.code == 1
    assert ": no damage" not in done.out
    assert f"damaged: allocations/day={DAY}/{path.name} (day {DAY}, written 20" in done.out
    assert f"damaged: {DAY} of aurora (stored 20" in done.out
    shown = " ".join(home.call("coverage", "aurora", "--window", f"{DAY},2026-11-21").out.split())
    assert "! stored, but damaged" in shown
    assert f"--from {DAY} --to 2026-11-21`" in shown
    done = home.call("maintain", "--repair")
    assert done.code == 0, done.err
    assert f"aurora {DAY}: rewritten from its source" in done.out
    assert home.call("maintain", "--check").code == 0
    assert figures(costs(home)) == whole
    assert len(list((home.folder / "lake" / "set_aside" / "allocations").glob("day=*/*"))) == 1


def test_maintain_says_how_many_days_it_checked_and_found_damaged(home: Home, tmp_path: Path) -> None:
    home.call("sample", "--clusters", "1", "--pods", "2", "--days", "2", "--out", str(tmp_path / "fleet"))
    fleet = Home(tmp_path / "fleet")
    assert fleet.call("maintain").out == (
        "Compacted 0 partitions, removed 0 expired files\nChecked 1 day: none damaged\n"
    )
    damage(max((fleet.folder / "lake" / "allocations").glob("day=*/*.parquet")))
    done = fleet.call("maintain")
    assert "Checked 1 day: 1 damaged\n" in done.out
    assert "rewrite them with `kubetally maintain --repair`" in done.err


def backed_up(home: Home, server: Served, folder: Path) -> tuple[Any, Path]:
    """Three stored days: their figures, and a backup of them."""
    added(home, server)
    backfill(home)
    backup = folder / "kubetally.tar"
    assert home.call("backup", str(backup)).code == 0
    return figures(costs(home)), backup


def test_damaged_day_is_repaired_from_a_backup_else_set_aside(
    home: Home, upstream: tuple[Upstream, Served], tmp_path: Path
) -> None:
    source, server = upstream
    whole, backup = backed_up(home, server, tmp_path)
    damage(day_file(home))
    source.mode = "down"
    done = home.call("maintain", "--repair", "--from-backup", str(backup))
    assert done.code == 0, done.err
    assert f"aurora {DAY}: rewritten from the backup" in done.out
    assert figures(costs(home)) == whole
    damage(day_file(home))
    done = home.call("maintain", "--repair")
    assert f"aurora {DAY}: set aside, as no source or backup has it; its costs are unknown" in done.out
    assert done.code == 1
    done = home.call("maintain", "--check")
    assert (done.code, f"set aside: {DAY} of aurora" in done.out) == (1, True)
    assert costs(home)["coverage"]["hours_covered"] == 48
    done = home.call("maintain", "--repair", "--from-backup", str(backup))
    assert "rewritten from the backup" in done.out
    assert figures(costs(home)) == whole


def test_damaged_assets_leave_the_costs_of_their_day(
    home: Home, upstream: tuple[Upstream, Served], tmp_path: Path
) -> None:
    source, server = upstream
    whole, backup = backed_up(home, server, tmp_path)
    (sound, *_) = home.call("coverage", "aurora", *WHOLE, "--format", "json").json[0]["days"]
    damage(day_file(home, "assets"))
    source.mode = "down"
    for command in (("--check",), ("--repair",)):
        done = home.call("maintain", *command)
        assert (done.code, "its costs are read from its rows" in done.out) == (1, True), done
        assert figures(costs(home)) == whole
        (day, *_) = home.call("coverage", "aurora", *WHOLE, "--format", "json").json[0]["days"]
        assert (day["is"], day["total_cost"]) == ("assets_damaged", sound["total_cost"])
        assert day["last_error"]["code"] == "assets_damaged"
    assert "costs are stored, assets are damaged" in home.call("coverage", "aurora", *WHOLE).out
    damage(day_file(home))
    home.call("maintain", "--check")
    (day, *_) = home.call("coverage", "aurora", *WHOLE, "--format", "json").json[0]["days"]
    assert (day["is"], day["total_cost"], day["last_error"]["code"]) == ("damaged", None, "day_damaged")
    done = home.call("maintain", "--repair", "--from-backup", str(backup))
    assert (done.code, "rewritten from the backup" in done.out) == (0, True), done
    assert home.call("coverage", "aurora", *WHOLE, "--format", "json").json[0]["days"][0]["is"] == sound["is"]


def test_dead_source_and_lost_lake_are_both_named(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    added(home, server)
    backfill(home)
    shutil.rmtree(home.folder / "lake")
    source.mode = "down"
    done = home.call("costs", "aurora", "--start", DAY, "--end", "2026-11-23", "--format", "json")
    (error,) = done.json["errors"]
    assert (done.code, error["code"]) == (3, "source_and_history_failed")
    assert "503" in error["message"]
    assert "stored days could not be read" in error["message"]
    assert str(home.folder / "lake") in error["message"]


def test_backup_is_named_for_a_repair_only(home: Home) -> None:
    done = home.call("maintain", "--from-backup", "kubetally.tar")
    assert (done.code, "--repair" in done.err) == (2, True)


def test_day_that_the_lake_lacks_is_named_and_put_back(
    home: Home, upstream: tuple[Upstream, Served], tmp_path: Path
) -> None:
    source, server = upstream
    whole, backup = backed_up(home, server, tmp_path)
    lake = DeltaLake(str(home.folder / "lake"))
    for (account_id, _), _ in lake.stored_ids(is_running=False).by_key():
        lake.reconcile(account_id, {})
    source.mode = "down"
    home.call("maintain")
    done = home.call("maintain", "--check")
    assert (done.code, f"missing: {DAY} of aurora (stored 20" in done.out) == (1, True), done.out
    done = home.call("maintain", "--repair")
    assert (done.code, f"missing: {DAY} of aurora" in done.out) == (1, True), done.out
    done = home.call("maintain", "--repair", "--from-backup", str(backup))
    assert (done.code, f"aurora {DAY}: rewritten from the backup" in done.out) == (0, True), done.out + done.err
    assert figures(costs(home)) == whole


def test_days_that_an_older_database_does_not_know_are_named(
    home: Home, upstream: tuple[Upstream, Served], tmp_path: Path
) -> None:
    _, server = upstream
    added(home, server)
    empty, older = tmp_path / "empty.db", tmp_path / "older.db"
    database, file = home.folder / "kubetally.db", tmp_path / "kubetally.tar"
    older.write_bytes(database.read_bytes())
    backfill(home)
    id_ = home.show("aurora")["id"]
    for name, remedy in ((older, "`kubetally maintain` adds"), (empty, f"`kubetally accounts add NAME --id {id_}`")):
        for one in home.folder.glob("kubetally.db*"):
            one.unlink()
        if name.exists():
            database.write_bytes(name.read_bytes())
        done = home.call("maintain", "--check")
        assert (done.code, remedy in done.out) == (1, True), done
        assert "the database lacks days of the lake" in done.err
        done = home.call("backup", str(file))
        assert (done.code, remedy in done.err, file.exists()) == (3, True, False), done
    done = home.call("backup", "--partial", str(file))
    assert (done.code, remedy in done.err) == (0, True), done
    home.add("aurora", "--url", server.url, "--id", id_)
    assert home.call("maintain").code == 0
    assert home.call("maintain", "--check").code == 0
    assert home.call("backup", str(tmp_path / "whole.tar")).code == 0
