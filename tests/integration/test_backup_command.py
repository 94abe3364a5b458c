"""Backups of database and lake."""

from pathlib import Path

from tests.integration.test_accounts_command import Home
from tests.integration.upstream import Upstream, added, backfill, costs, figures
from tests.served import Served


def test_a_backup_restores_what_was_held(home: Home, upstream: tuple[Upstream, Served], tmp_path: Path) -> None:
    source, server = upstream
    added(home, server)
    backfill(home)
    before, file = costs(home), tmp_path / "backup.tar"
    done = home.call("backup", str(file))
    assert done.code == 0, done.err
    other = Home(tmp_path / "other")
    done = other.call("restore", str(file))
    assert done.code == 0, done.err
    source.mode = "down"
    assert figures(costs(other)) == figures(before)
    again = other.call("restore", str(file))
    assert again.code == 2
    assert "not empty" in again.err
    cut = tmp_path / "cut.tar"
    cut.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    third = Home(tmp_path / "third")
    done = third.call("restore", str(cut))
    assert done.code == 2
    assert not list((third.folder / "lake").rglob("*.parquet"))
