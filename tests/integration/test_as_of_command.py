"""What was reported at a date can be had again."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.commands import WHOLE
from tests.integration.test_accounts_command import Home
from tests.integration.upstream import Upstream, added, backfill, costs, figures
from tests.served import Served


def now() -> str:
    return datetime.now(UTC).isoformat()


def test_what_was_replaced_is_told_as_of_an_instant_before(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    before = now()
    added(home, server)
    backfill(home)
    first, then = costs(home), now()
    source.mode = "dearer"
    backfill(home)
    second, later = costs(home), now()
    source.mode = "down"
    assert home.call("maintain").code == 0
    assert figures(second) != figures(first)
    assert figures(home.costs("aurora", "--by", "workload", "--as-of", then)) == figures(first)
    assert figures(home.costs("aurora", "--by", "workload", "--as-of", later)) == figures(second)
    nothing = home.costs("aurora", "--as-of", before)
    assert (nothing["status"], nothing["coverage"]["hours_covered"]) == ("no_data", 0)
    assert [error["kind"] for error in nothing["errors"]] == ["not_held"]
    assert (nothing["currency"], nothing["currency_assumed"]) == ("USD", True)
    assert home.call("accounts", "update", "aurora", "--currency", "EUR").code == 0
    nothing = home.costs("aurora", "--as-of", before)
    assert (nothing["currency"], nothing["currency_assumed"]) == ("EUR", False)


def test_day_not_stored_at_that_time_is_missing(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    added(home, server)
    assert home.call("backfill", "aurora", "--from", "2026-11-21", "--to", "2026-11-22").code == 0
    then = now()
    backfill(home)
    asked = source.asked
    body = home.costs("aurora", "--as-of", then)
    assert source.asked == asked
    assert (body["status"], body["coverage"]["hours_covered"], body["coverage"]["hours_asked"]) == ("partial", 24, 72)
    assert [(error["kind"], error["start"]) for error in body["errors"]] == [
        ("not_held", "2026-11-20T00:00:00Z"),
        ("not_held", "2026-11-22T00:00:00Z"),
    ]
    assert body["as_of"][:16] == then[:16]
    assert f"as of {then[:10]}" in home.call("costs", "aurora", *WHOLE, "--as-of", then).out


@pytest.mark.parametrize("by", [(), ("--by", "namespace", "--step", "day")])
def test_part_of_a_stored_day_is_missing_and_says_why(
    home: Home, upstream: tuple[Upstream, Served], by: tuple[str, ...]
) -> None:
    added(home, upstream[1])
    backfill(home)
    window = ("--start", "2026-11-20T06:00:00Z", "--end", "2026-11-22T00:00:00Z")
    printed = home.call("costs", "aurora", *window, *by, "--as-of", now()).out
    assert "24 of 42 h" in printed
    assert "only whole UTC days are stored; with --as-of begin and end the window at 00:00 UTC" in " ".join(
        printed.split()
    )
    assert "20 Nov 2026 06:00-24:00 UTC" in printed


def test_unreadable_days_of_one_account_leave_other_answers(home: Home, upstream: tuple[Upstream, Served]) -> None:
    _, server = upstream
    added(home, server)
    home.add("again", "--url", f"{server.url}/aurora")
    added(home, server, "cygnus")
    backfill(home)
    backfill(home, "again")
    before = _data_files(home)
    backfill(home, "cygnus")
    then = now()
    for file in _data_files(home) - before:
        file.write_bytes(file.read_bytes()[:100])
    done = home.call("costs", *WHOLE, "--as-of", then, "--format", "json")
    assert done.code == 0, done.err
    assert [body["status"] for body in done.json] == ["ok", "ok", "error"], done.err
    assert [issue["kind"] for body in done.json[:2] for issue in body["issues"]].count("same_cluster_twice") == 2


def _data_files(home: Home) -> set[Path]:
    return set((home.folder / "lake" / "allocations").rglob("*.parquet"))


def test_the_history_of_an_instant_ends_at_its_horizon(home: Home, upstream: tuple[Upstream, Served]) -> None:
    _, server = upstream
    added(home, server)
    backfill(home)
    today = datetime.now(UTC)
    for args, words in (
        (("aurora", "--as-of", (today - timedelta(days=401)).isoformat()), "has expired, and the instant asked for is"),
        (("aurora", "--as-of", (today + timedelta(hours=1)).isoformat()), "is in the future"),
        (("aurora", "--as-of", "yesterday"), "--as-of 'yesterday' is not a time"),
        (("--url", server.url, "--as-of", "2026-11-24"), "needs an account"),
        (("aurora", "--as-of", "2026-11-24", "--infrastructure", "legacy_sum"), "omit --infrastructure"),
    ):
        done = home.call("costs", *WHOLE, *args)
        assert done.code == 2, args
        assert words in done.err
    shorter = home.call("costs", *WHOLE, "aurora", "--as-of", now(), KUBETALLY_HISTORY_DAYS="1")
    assert shorter.code == 0, shorter.err


@pytest.mark.parametrize("days", ["0", "-3", "many"])
def test_a_horizon_that_is_none_is_refused(home: Home, days: str) -> None:
    done = home.call("costs", KUBETALLY_HISTORY_DAYS=days)
    assert done.code == 2
    assert "KUBETALLY_HISTORY_DAYS should be a whole number above zero" in done.err
