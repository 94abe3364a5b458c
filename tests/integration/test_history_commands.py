"""What is collected is kept: as the installed program does it, on recorded clusters over real sockets."""

import pytest

from tests.integration.commands import WHOLE
from tests.integration.test_accounts_command import Home
from tests.integration.upstream import CLUSTERS, THREE_DAYS, Upstream, added, backfill, costs, figures
from tests.served import Served


def test_history_outlives_its_source(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    for name in CLUSTERS:
        added(home, server, name)
        live = costs(home, name)
        assert "Collected 3 days" in backfill(home, name)
        source.mode = "down"
        stored = costs(home, name)
        source.mode = "sound"
        assert figures(stored) == figures(live)
        assert stored["coverage"]["hours_covered"] == 72
        assert stored["source"]["url"] == live["source"]["url"]


def test_backfill_takes_several_accounts(home: Home, upstream: tuple[Upstream, Served]) -> None:
    for name in ("aurora", "cygnus"):
        added(home, upstream[1], name)
    done = home.call("backfill", "aurora", "cygnus", *THREE_DAYS)
    assert (done.code, "Collected 6 days" in done.out) == (0, True), done.err
    assert all(costs(home, name)["coverage"]["hours_covered"] == 72 for name in ("aurora", "cygnus"))
    asked = home.call("backfill", "aurora", "cygnsu", *THREE_DAYS)
    assert (asked.code, "did you mean 'cygnus'" in asked.err) == (2, True)


def test_collecting_twice_changes_nothing(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    added(home, server)
    backfill(home)
    first, asked = costs(home), source.asked
    backfill(home)
    assert source.asked - asked >= 6
    assert figures(costs(home)) == figures(first)
    asked = source.asked
    assert "Nothing to collect" in home.call("backfill", "aurora", *THREE_DAYS, "--missing").out
    assert source.asked == asked


@pytest.mark.parametrize(("mode", "code"), [("nullset", 3), ("noassets", 3), ("failing", 3), ("wrongday", 3)])
def test_poorer_answer_does_not_replace_stored_days(
    home: Home, upstream: tuple[Upstream, Served], mode: str, code: int
) -> None:
    source, server = upstream
    added(home, server)
    backfill(home)
    first = costs(home)
    source.mode = mode
    done = home.call("backfill", "aurora", *THREE_DAYS, KUBETALLY_ATTEMPTS="1")
    assert done.code == code
    assert "2026-11-2" in done.err
    source.mode = "down"
    assert figures(costs(home)) == figures(first)
    (calendar,) = home.call("coverage", "aurora", *WHOLE, "--format", "json").json
    errors = [day["last_error"] for day in calendar["days"]]
    assert errors[-1] is not None
    assert all(error is not None for error in errors) or mode == "failing", "after two that failed the others are left"


def test_flaky_source_is_retried(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    added(home, server)
    live, source.mode = costs(home), "flapping"
    assert "Collected 3 days" in backfill(home)
    source.mode = "down"
    assert figures(costs(home)) == figures(live)


def test_corrected_days_can_be_corrected_back(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    added(home, server)
    backfill(home)
    first = costs(home)
    source.mode = "dearer"
    backfill(home)
    dearer = costs(home)
    assert dearer["summary"]["network_cost"] == pytest.approx(2 * first["summary"]["network_cost"])
    source.mode = "sound"
    backfill(home)
    assert figures(costs(home)) == figures(first)


def test_every_answer_says_that_the_total_fell(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    added(home, server)
    backfill(home)
    first, source.mode = costs(home), "cheaper"
    for _ in range(2):
        backfill(home)
        body = costs(home)
        assert body["summary"]["total_cost"] == pytest.approx(first["summary"]["total_cost"] / 2, rel=1e-3)
        assert [issue["kind"] for issue in body["issues"]].count("total_fell") == 3


def test_every_answer_says_that_a_day_was_kept(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    added(home, server)
    backfill(home)
    source.mode = "noassets"
    assert home.call("backfill", "aurora", *THREE_DAYS).code == 3
    body = costs(home)
    assert (body["status"], body["assets_complete"]) == ("ok", True)
    told = [issue for issue in body["issues"] if issue["kind"] == "not_replaced"]
    assert told
    assert all("the stored day was kept" in issue["message"] for issue in told)


def test_missing_days_are_read_live_or_named(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    added(home, server)
    live = costs(home)
    done = home.call("backfill", "aurora", "--from", "2026-11-20", "--to", "2026-11-21")
    assert done.code == 0, done.err
    source.asked = 0
    assert figures(costs(home)) == figures(live)
    assert source.asked == 4, "two days, rows and assets"
    source.mode = "down"
    body = costs(home)
    assert (body["status"], body["coverage"]["hours_covered"], body["coverage"]["hours_asked"]) == ("partial", 24, 72)
    missing = [error for error in body["errors"] if error["kind"] == "source_failed" and "start" in error]
    assert missing[0]["start"] == "2026-11-21T00:00:00Z"


def test_accounts_do_not_mix_and_removing_one_keeps_its_rows(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    added(home, server)
    home.add("again", "--url", f"{server.url}/aurora")
    backfill(home, "aurora")
    source.mode = "dearer"
    backfill(home, "again")
    source.mode = "down"
    totals = {name: costs(home, name)["summary"]["network_cost"] for name in ("aurora", "again")}
    assert totals["again"] == pytest.approx(2 * totals["aurora"])
    size = size_of(home)
    assert home.call("accounts", "remove", "again").code == 0
    assert size_of(home) >= size * 0.99
    assert costs(home)["summary"]["network_cost"] == totals["aurora"]


def size_of(home: Home) -> int:
    return sum(file.stat().st_size for file in (home.folder / "lake").rglob("*") if file.is_file())


def test_calendar_shows_stored_days(home: Home, upstream: tuple[Upstream, Served]) -> None:
    _, server = upstream
    added(home, server)
    backfill(home)
    shown = home.call("coverage", "aurora", "--start", "2026-11-18", "--end", "2026-11-25")
    assert shown.code == 0
    assert "aurora: 3 days stored, 72 h" in shown.out
    lines = shown.out.splitlines()
    ruler, days = (next(line for line in lines if start in line) for start in ("1    6", "2026-11"))
    assert (days[ruler.index("16")], days[ruler.index("21")]) == (" ", "█"), "a sign stands below the number of its day"
    assert days == days.rstrip()
    (body,) = home.call("coverage", *WHOLE, "--format", "json").json
    assert [(day["day"], day["hours_covered"]) for day in body["days"]] == [
        ("2026-11-20", 24),
        ("2026-11-21", 24),
        ("2026-11-22", 24),
    ]
    on_all = {"days": 3, "hours": 72, "first_day": "2026-11-20", "last_day": "2026-11-22"}
    assert body["not_measured"] == [{"component": "management", **on_all}]
    assert body["issues"] == [{"kind": "not_measured", **on_all}]
    assert sum(day["total_cost"] for day in body["days"]) == pytest.approx(costs(home)["summary"]["total_cost"])
    for day in body["days"]:
        parts = ("workload", "idle", "unmounted", "overhead", "difference")
        assert [row["component"] for row in day["balance"] if row["bill"] is None] == ["management"]
        assert {row[part] for row in day["balance"] if row["bill"] is None for part in parts} == {None}
        measured = [row for row in day["balance"] if row["bill"] is not None]
        assert round(sum(row["bill"] for row in measured), 6) == day["total_cost"]
        for row in measured:
            assert round(sum(row[part] for part in parts), 6) == row["bill"], row["component"]


def test_unknown_accounts_and_invalid_days_are_refused(home: Home, upstream: tuple[Upstream, Served]) -> None:
    _, server = upstream
    added(home, server)
    for args, words in (
        (("backfill", "nobody", *THREE_DAYS), "there is no account 'nobody'"),
        (("backfill", "aurora", "--from", "2026-11-20", "--to", "2026-11-20"), "the day after the last one"),
        (("backfill", "aurora", "--from", "20.11.2026", "--to", "2026-11-20"), "write it as 2026-11-20"),
        (("collect", "aurora", "--forever"), "do not name any"),
        (("coverage", "nobody"), "there is no account 'nobody'"),
    ):
        done = home.call(*args)
        assert done.code == 2, args
        assert words in done.err


def test_account_added_with_a_removed_id_has_its_history(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    account_id = added(home, server)
    backfill(home)
    first = costs(home)
    assert home.call("accounts", "remove", "aurora").code == 0
    home.add("again", "--id", account_id, "--url", f"{server.url}/aurora")
    source.mode = "down"
    assert figures(costs(home, "again")) == figures(first)


def test_days_are_skipped_after_two_fail(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    added(home, server)
    source.mode = "down"
    done = home.call("collect", KUBETALLY_ATTEMPTS="1")
    assert done.code == 3
    assert "Nothing was collected" in done.out
    assert all(line.startswith("aurora: ") for line in done.err.splitlines()), "what it tells is not logged too"
    (calendar,) = home.call("coverage", "--format", "json").json
    assert 1 <= len(calendar["days"]) <= 2
    again = home.call("collect", KUBETALLY_ATTEMPTS="1")
    assert (again.code, "Nothing to collect" in again.out) == (0, True)


def test_strict_collection_exits_3_if_one_cluster_failed(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    source.mode = "anyday"
    added(home, server)
    home.add("dead", "--url", "http://127.0.0.1:1")
    done = home.call("collect", "--strict", KUBETALLY_ATTEMPTS="1", KUBETALLY_COLLECT_DAYS="3")
    assert done.code == 3
    assert done.out.startswith("Collected ")
    assert home.call("collect", "aurora", "--strict", KUBETALLY_COLLECT_DAYS="3").code == 0


def test_calendar_reports_a_common_problem_once(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    added(home, server)
    backfill(home)
    source.mode = "noassets"
    assert home.call("backfill", "aurora", *THREE_DAYS).code == 3
    shown = home.call("coverage", "aurora", "--start", "2026-11-18", "--end", "2026-11-25").out
    assert shown.count("the stored day was kept") == 1
    assert "2026-11-20 to 2026-11-22 (3 days): the source returned no assets" in " ".join(shown.split())


def test_commands_explain_missing_accounts_and_days(home: Home, upstream: tuple[Upstream, Served]) -> None:
    _, server = upstream
    done = home.call("collect")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: no accounts in sqlite:///{home.folder}/kubetally.db")
    added(home, server)
    assert "nothing was collected yet: kubetally collect aurora" in home.call("coverage").out
    done = home.call("coverage", "--start", "2099-01-01", "--end", "2099-01-03")
    assert (done.code, "is in the future (now 20" in done.err) == (2, True)
    done = home.call("backfill", "aurora", "--from", "2099-01-01", "--to", "2099-01-03")
    assert (done.code, "is in the future" in done.err) == (2, True)


def test_calendar_before_all_stored_days_names_these(home: Home, upstream: tuple[Upstream, Served]) -> None:
    added(home, upstream[1])
    backfill(home)
    shown = home.call("coverage", "--start", "2026-11-01", "--end", "2026-11-03").out
    words = "is stored; all stored days are within 20-22 Nov 2026 UTC: `kubetally backfill` collects past days"
    assert f"no day of 1-2 Nov 2026 UTC {words}" in shown
    assert "nothing was collected" not in shown


def test_unusable_lake_is_reported_before_any_request(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    added(home, server)
    source.asked = 0
    done = home.call("collect", KUBETALLY_LAKE_URL="/proc/no-lake")
    assert (done.code, source.asked) == (3, 0)
    assert "/proc/no-lake" in done.err
