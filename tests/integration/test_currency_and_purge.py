"""Currencies of stored days are corrected, and days of removed accounts can be left out and deleted."""

import csv
import io
import os
import pty
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable

from kubetally.domain.money import CurrencyOrigin
from kubetally.ledger.accounts.reconcile import reconcile
from kubetally.settings import Settings
from kubetally.wiring.ledger import open_ledger
from tests.integration.commands import PROGRAM, WHOLE, environment
from tests.integration.test_accounts_command import Home
from tests.integration.upstream import added, backfill
from tests.recordings import Recording
from tests.served import NOT_FOUND, Asked, Reply, Served

TABLES = ("allocations", "assets")


class Source:
    """Aurora's recorded answers, below /aurora, from an OpenCost or from a Kubecost that states a currency."""

    def __init__(self) -> None:
        self.currency: str | None = None

    def answers(self, asked: Asked) -> Any:
        path = "/" + asked.path.split("/", 2)[2]
        if path == "/getConfigs" and self.currency:
            return {"code": 200, "data": {"currencyCode": self.currency}}
        found = Recording("aurora").cluster.find(path, asked.params)
        return NOT_FOUND if found is None else Reply(found.status, found.body(), found.content_type or "")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def source() -> Iterator[tuple[Source, Served]]:
    source = Source()
    with Served(source.answers) as server:
        yield source, server


def rows(home: Home, table: str) -> list[dict[str, Any]]:
    place = home.folder / "lake" / table
    return DeltaTable(str(place)).to_pyarrow_table().to_pylist() if place.exists() else []


def labels(home: Home) -> set[str]:
    return {row["currency"] for table in TABLES for row in rows(home, table)}


def settings(home: Home) -> Settings:
    return Settings(home=str(home.folder))


def test_corrected_currency_relabels_days_that_state_none(home: Home, source: tuple[Source, Served]) -> None:
    added(home, source[1])
    backfill(home)
    backfill(home)  # so that there are replaced collections too
    before = datetime.now(UTC)
    first = home.costs("aurora")
    assert (first["currency"], first["currency_assumed"]) == ("USD", True)
    for command in ("verify", "report"):
        assert home.call(command, "aurora", *WHOLE, "--format", "json").json["currency_assumed"] is True
    (row,) = csv.DictReader(io.StringIO(home.call("costs", "aurora", *WHOLE, "--format", "csv").out))
    assert (row["currency"], row["currency_assumed"]) == ("USD", "true")
    done = home.call("accounts", "update", "aurora", "--currency", "eur")
    assert done.code == 0, done.err
    assert "Relabelled 3 stored days (2026-11-20 to 2026-11-22) from USD; amounts are unchanged." in done.err
    second = home.costs("aurora")
    assert (second["currency"], second["currency_assumed"]) == ("EUR", False)
    assert second["summary"] == first["summary"]
    assert labels(home) == {"EUR"}
    at_that_time = home.costs("aurora", "--as-of", before.isoformat())
    assert (at_that_time["currency"], at_that_time["summary"]) == ("EUR", first["summary"])
    (covered,) = home.call("coverage", *WHOLE, "--format", "json").json
    assert {(day["currency"], day["currency_assumed"]) for day in covered["days"]} == {("EUR", False)}
    again = home.call("accounts", "update", "aurora", "--currency", "EUR")
    assert "No stored day had to be relabelled." in again.err
    backfill(home)
    assert home.costs("aurora")["currency"] == "EUR"


def test_clearing_a_currency_assumes_the_default_again(home: Home, source: tuple[Source, Served]) -> None:
    added(home, source[1])
    home.call("accounts", "update", "aurora", "--currency", "EUR")
    backfill(home)
    assert labels(home) == {"EUR"}
    done = home.call("accounts", "update", "aurora", "--currency", "")
    assert "Currency of aurora: USD (assumed). Relabelled 3 stored days" in done.err
    assert labels(home) == {"USD"}
    assert home.costs("aurora")["currency_assumed"] is True


def test_days_whose_source_states_the_currency_refuse_another(home: Home, source: tuple[Source, Served]) -> None:
    source[0].currency = "USD"
    added(home, source[1])
    backfill(home)
    assert home.costs("aurora")["currency_assumed"] is False
    done = home.call("accounts", "update", "aurora", "--currency", "EUR", "--tenant", "t")
    assert done.code == 2
    assert "3 stored days are in USD, as the source states (2026-11-20 to 2026-11-22)" in done.err
    shown = home.show("aurora")
    assert (shown["currency"], shown["tenant"]) == (None, None)
    assert labels(home) == {"USD"}
    assert home.call("accounts", "update", "aurora", "--currency", "USD").code == 0


def test_next_collector_finishes_what_a_kill_left(home: Home, source: tuple[Source, Served]) -> None:
    id_ = added(home, source[1])
    backfill(home)
    with open_ledger(settings(home)) as ledger:
        ledger.days.relabel(id_, stated="EUR", currency="EUR", origin=CurrencyOrigin.STATED)  # and no further
    assert home.costs("aurora")["currency"] == "EUR"
    assert labels(home) == {"USD"}
    with open_ledger(settings(home)) as ledger:
        reconcile(ledger)
    assert labels(home) == {"EUR"}


def test_removing_says_what_stays_and_purging_deletes_it(home: Home, source: tuple[Source, Served]) -> None:
    kept, gone = added(home, source[1]), home.add("gone", "--url", f"{source[1].url}/aurora")
    backfill(home)
    backfill(home, "gone")
    done = home.call("accounts", "purge", "gone")
    assert done.code == 2
    assert "kubetally accounts remove gone" in done.err
    done = home.call("accounts", "remove", "gone")
    assert done.code == 0
    assert f"3 stored days (2026-11-20 to 2026-11-22) stay in the lake: `kubetally accounts purge {gone}`" in done.err
    assert {row["account_id"] for row in rows(home, "allocations")} == {kept, gone}
    (listed,) = home.call("accounts", "list", "--removed", "--format", "json").json
    assert (listed["id"], listed["stored_days"], listed["first_day"]) == (gone, 3, "2026-11-20")
    done = home.call("accounts", "purge", "gone")
    assert done.code == 0, done.err
    assert "Deleted 3 stored days of gone." in done.err
    for table in TABLES:
        assert {row["account_id"] for row in rows(home, table)} == {kept}
    assert home.costs("aurora")["status"] == "ok"
    assert home.call("accounts", "add", "back", "--id", gone, "--url", f"{source[1].url}/aurora").code == 0
    (covered,) = home.call("coverage", "back", *WHOLE, "--format", "json").json
    assert covered["days"] == []


def typed(home: Home, answer: str, *args: str) -> tuple[int, str]:
    """How a command ended on a terminal, and what was shown there."""
    ours, its = pty.openpty()
    env = environment(KUBETALLY_HOME=str(home.folder))
    with subprocess.Popen([PROGRAM, *args], stdin=its, stdout=its, stderr=its, env=env) as process:
        os.close(its)
        shown = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # Linux: the other end was closed
                break
            shown += part
            if answer and b"[y/N]" in shown:
                os.write(ours, answer.encode() + b"\n")
                answer = ""
    os.close(ours)
    return process.returncode, shown.decode()


def test_on_a_terminal_removing_and_purging_ask_first(home: Home, source: tuple[Source, Served]) -> None:
    id_ = added(home, source[1])
    backfill(home)
    code, shown = typed(home, "n", "accounts", "remove", "aurora")
    assert code == 1
    assert "3 stored days (2026-11-20 to 2026-11-22) will stay in the lake. [y/N]" in " ".join(shown.split())
    assert home.names() == ["aurora"]
    assert home.call("accounts", "remove", "aurora", "--yes").code == 0
    code, shown = typed(home, "y", "accounts", "purge", id_)
    assert (code, "can't be undone. [y/N]" in " ".join(shown.split())) == (0, True)
    assert rows(home, "allocations") == []


def test_name_in_use_again_is_too_vague_to_purge(home: Home, source: tuple[Source, Served]) -> None:
    id_ = added(home, source[1])
    backfill(home)
    home.call("accounts", "remove", "aurora")
    added(home, source[1])
    backfill(home)
    done = home.call("accounts", "purge", "aurora")
    assert done.code == 2
    assert id_ in done.err
    assert home.call("accounts", "purge", id_).code == 0
    assert home.costs("aurora")["status"] == "ok"
    assert home.call("accounts", "purge", "nobody").code == 2


def test_a_purge_that_was_killed_spares_what_was_collected_since(home: Home, source: tuple[Source, Served]) -> None:
    id_ = added(home, source[1])
    backfill(home)
    with open_ledger(settings(home)) as ledger:
        ledger.accounts.remove(id_)
        assert ledger.days.purge(id_) == 3  # and no further
    home.add("aurora", "--url", f"{source[1].url}/aurora", "--id", id_)
    assert rows(home, "allocations") == []
    backfill(home)
    with open_ledger(settings(home)) as ledger:
        reconcile(ledger)
    assert home.costs("aurora")["summary"]["total_cost"] == 247.445919


def test_the_lake_tells_which_accounts_are_in_use(home: Home, source: tuple[Source, Served]) -> None:
    first = added(home, source[1])
    assert not (home.folder / "lake").exists(), "there is nothing to be read yet"
    backfill(home)
    assert rows(home, "accounts") == [{"id": first, "name": "aurora", "organization": "default", "removed_at": None}]
    second = home.add("second", "--url", f"{source[1].url}/aurora")
    backfill(home, "second")
    home.call("accounts", "update", "second", "--name", "renamed")
    home.call("accounts", "remove", "renamed")
    listed = {row["id"]: (row["name"], row["removed_at"] is None) for row in rows(home, "accounts")}
    assert listed == {first: ("aurora", True), second: ("renamed", False)}
    lake = home.folder / "lake"
    allocations = DeltaTable(str(lake / "allocations")).to_pyarrow_table()  # noqa: F841
    accounts = DeltaTable(str(lake / "accounts")).to_pyarrow_table()  # noqa: F841
    of_living = "SELECT count(*) FROM allocations JOIN accounts ON id = account_id WHERE removed_at IS NULL"
    assert duckdb.sql(of_living).fetchall() == [(len(rows(home, "allocations")) // 2,)]
    home.call("accounts", "add", "again", "--id", second, "--url", f"{source[1].url}/aurora")
    assert {row["id"]: row["removed_at"] for row in rows(home, "accounts")} == {first: None, second: None}


def test_a_lake_that_can_t_be_written_does_not_fail_the_command(home: Home, source: tuple[Source, Served]) -> None:
    added(home, source[1])
    backfill(home)
    log = home.folder / "lake" / "accounts" / "_delta_log"
    min(log.glob("*.json")).write_text("broken", "utf-8")  # the newest would be set aside
    done = home.call("accounts", "remove", "aurora")
    assert done.code == 0
    assert "warning: the table `accounts` of the lake was not written" in done.err
    assert home.names() == []
