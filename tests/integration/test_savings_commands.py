"""Savings as the commands collect, check, repair, back up and delete them.

The Kubecost answers as documented (`tests.kubecost_savings`); it was not recorded.
"""

import re
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from kubetally.domain.window import parse_window
from kubetally.ledger.sample.fleet import SampleCluster
from kubetally.ledger.sample.make import sample_account_id
from kubetally.sources.kubecost.savings_items import DRILL_DOWNS
from kubetally.wiring.clock import SystemClock
from tests.contract.test_kubecost_documented import Kubecost, assets, rows
from tests.integration.commands import PROGRAM, environment
from tests.integration.test_accounts_command import Home
from tests.kubecost_savings import BEHIND, CATEGORIES
from tests.served import Answers, Asked, Served

LAKE_TEXT = (Path(__file__).parents[2] / "docs" / "lake.md").read_text("utf-8")
NAME = re.compile(r"`([^`]+)`")
SAMPLE = ("sample", "--clusters", "3", "--pods", "20", "--days", "2", "--last", "2026-11-22")


def stored(home: Home) -> list[dict[str, Any]]:
    """All rows of the table."""
    found: list[dict[str, Any]] = DeltaTable(str(home.folder / "lake" / "savings")).to_pyarrow_table().to_pylist()
    return found


def sample(home: Home) -> Home:
    done = home.call(*SAMPLE, "--out", str(home.folder))
    assert done.code == 0, done.err
    return home


def damage(home: Home) -> Path:
    """Flip a bit of the newest file of the last day."""
    files = (home.folder / "lake" / "savings" / "day=2026-11-22").glob("*.parquet")
    file = max(files, key=lambda path: path.stat().st_mtime_ns)
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 16
    file.write_bytes(content)
    return file


def kubecost_answers() -> Answers:
    """A Kubecost that has savings, and the same pod at any time."""

    def window_of(asked: Asked) -> Any:
        return parse_window(asked.params["window"], SystemClock().now())

    kubecost = Kubecost(sets=lambda asked: [rows(window_of(asked))], assets=lambda asked: assets(window_of(asked)))

    def answers(asked: Asked) -> Any:
        if asked.path == "/model/savings":
            return {"code": 200, "data": CATEGORIES}
        found = BEHIND.get(asked.path.removeprefix("/model")) if asked.path.startswith("/model/") else None
        return found or kubecost(asked)

    return answers


def test_a_running_collector_asks_for_savings_after_costs(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with Served(kubecost_answers()) as server:
        home.add("one", "--url", server.url, "--cluster-id", "one")
        settings = {"KUBETALLY_COLLECT_DAYS": "2", "KUBETALLY_HOME": str(home.folder)}
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                [PROGRAM, "collect", "--forever"], env=environment(**settings), stdout=log, stderr=log
            )
        try:
            until = time.monotonic() + 40
            while not any((home.folder / "lake" / "savings").glob("day=*/*")) and time.monotonic() < until:
                time.sleep(0.1)
        finally:
            process.terminate()
            code = process.wait(20)
    assert code == 0, (tmp_path / "log").read_text()
    assert {row["cluster_id"] for row in stored(home)} == {"one"}


def test_collect_asks_a_kubecost_for_savings_once(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with Served(kubecost_answers()) as server:
        home.add("one", "--url", server.url, "--cluster-id", "one")
        done = home.call("collect", KUBETALLY_COLLECT_DAYS="2", KUBETALLY_ATTEMPTS="1")
        assert done.code == 0, done.err
        first = stored(home)
        paths = [asked.path for asked in server.asked]
        started = paths.index("/model/savings/requestSizingV2")
        assert "/model/allocation" not in paths[started:]
        home.call("collect", KUBETALLY_COLLECT_DAYS="2", KUBETALLY_ATTEMPTS="1")
        assert [asked.path for asked in server.asked].count("/model/savings/requestSizingV2") == 1
    assert stored(home) == first
    assert {row["category"] for row in first} == {name for name, its in CATEGORIES.items() if isinstance(its, dict)}
    assert {(row["currency"], row["cluster_id"], row["profile"]) for row in first} == {("USD", "one", "production")}


def test_a_sample_has_savings(tmp_path: Path) -> None:
    home = sample(Home(tmp_path / "home"))
    found = stored(home)
    assert {str(row["day"]) for row in found} == {"2026-11-21", "2026-11-22"}
    assert {row["cluster_id"] for row in found} == {"sample-001", "sample-003"}
    assert home.call("maintain", "--check").code == 0
    assert home.call("maintain").code == 0
    assert stored(home) == found


def test_savings_of_a_sample_are_of_a_kubecost(tmp_path: Path) -> None:
    home = sample(Home(tmp_path / "home"))
    days = home.call("costs", "--start", "2026-11-21", "--end", "2026-11-23", "--format", "json").json
    assert {body["source"]["cluster_id"]: body["source"]["product"] for body in days} == {
        "sample-001": "Kubecost",
        "sample-002": "OpenCost",
        "sample-003": "Kubecost",
    }
    with closing(sqlite3.connect(home.folder / "kubetally.db")) as database:
        states = set(database.execute("SELECT account_id, state FROM savings"))
    first, second, third = (sample_account_id(SampleCluster(number, 20)) for number in (1, 2, 3))
    assert states == {(first, "collected"), (second, "no_savings"), (third, "collected")}


def test_categories_of_a_sample_are_documented(tmp_path: Path) -> None:
    section = LAKE_TEXT.partition("## Savings\n")[2].partition("\n## ")[0]
    documented = {name for line in section.splitlines() if line.startswith("| `") for name in NAME.findall(line)}
    assert {row["category"] for row in stored(sample(Home(tmp_path / "home")))} <= documented


def test_documented_categories_are_those_with_items() -> None:
    section = LAKE_TEXT.partition("## Savings\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.+`) \| (`.+`) \|$", section, re.MULTILINE)
    told = {frozenset(NAME.findall(names)): tuple(NAME.findall(lists)) for names, lists in rows}
    assert told == {
        behind.categories: tuple(path.removeprefix("/savings/") for path in behind.paths) for behind in DRILL_DOWNS
    }


def test_damaged_savings_are_put_back_from_a_backup(tmp_path: Path) -> None:
    home, backup = sample(Home(tmp_path / "home")), tmp_path / "kubetally.tar"
    whole = stored(home)
    assert home.call("backup", str(backup)).code == 0
    file = damage(home)
    done = home.call("maintain", "--check")
    assert done.code == 1
    assert f"damaged: savings/day=2026-11-22/{file.name}" in done.out
    assert "damaged: savings of sample-001 on 2026-11-22: " in done.out
    assert "its costs are not affected" in done.out
    refused = home.call("backup", str(tmp_path / "second.tar"))
    assert refused.code != 0
    assert "damaged savings of sample-001, sample-003: 2026-11-22" in refused.err
    done = home.call("maintain", "--repair", "--from-backup", str(backup))
    assert done.code == 0, done.out + done.err
    assert "sample-001 2026-11-22 (savings): rewritten from the backup" in done.out
    assert stored(home) == whole
    assert home.call("maintain", "--check").code == 0


def test_savings_that_no_backup_has_are_lost(tmp_path: Path) -> None:
    home = sample(Home(tmp_path / "home"))
    damage(home)
    done = home.call("maintain", "--repair")
    assert done.code == 0, done.out + done.err
    assert "sample-001 2026-11-22 (savings): lost" in done.out
    assert home.call("maintain", "--check").code == 0
    assert {str(row["day"]) for row in stored(home)} == {"2026-11-21"}


def test_a_restored_backup_has_the_savings(tmp_path: Path) -> None:
    home, other, backup = sample(Home(tmp_path / "home")), Home(tmp_path / "other"), tmp_path / "kubetally.tar"
    assert home.call("backup", str(backup)).code == 0
    done = other.call("restore", str(backup))
    assert done.code == 0, done.err
    assert stored(other) == stored(home)
    assert other.call("maintain", "--check").code == 0


def test_purge_deletes_the_savings_of_an_account(tmp_path: Path) -> None:
    home = sample(Home(tmp_path / "home"))
    before = stored(home)
    assert home.call("accounts", "remove", "sample-001", "--yes").code == 0
    assert stored(home) == before
    done = home.call("accounts", "purge", "sample-001", "--yes")
    assert done.code == 0, done.err
    assert {row["cluster_id"] for row in stored(home)} == {"sample-003"}
