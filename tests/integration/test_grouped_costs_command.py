"""`kubetally costs` by any group: one report of all clusters, the same from stored days and from their sources."""

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from kubetally.samples.replay import ReplayServer
from tests.integration.commands import WHOLE, call, run
from tests.integration.documented import EverlastingSource
from tests.integration.test_accounts_command import NOBODY, Home
from tests.integration.upstream import THREE_DAYS
from tests.served import Served

QUESTIONS = (
    ("cluster", "--step", "day"), ("organization",), ("kind", "--step", "week"), ("component", "--step", "month"),
    ("node", "--idle", "weighted"), ("service",), ("label:team", "--step", "day"), ("namespace,component",),
    ("cluster,namespace,pod", "--top", "3"), ("controller_kind,controller",),
    ("namespace_label:team", "--idle", "even"),
    ("namespace", "--share-namespaces", "kube-system,monitoring"),
    ("label:team", "--share-labels", "team:data", "--share-split", "even", "--idle", "weighted"),
    ("label:team,container", "--top", "2", "--step", "day"),
)  # fmt: skip
JSON = ("--format", "json")
CLUSTERS = ("aurora", "cygnus")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, replay: ReplayServer) -> Home:
    """Two accounts with three collected days each."""
    home = Home(tmp_path_factory.mktemp("grouped") / "home")
    for name in CLUSTERS:
        home.add(name, "--url", replay.url_of(name))
        done = home.call("backfill", name, *THREE_DAYS)
        assert done.code == 0, done.err
    return home


def grouped(*args: str, home: Home | None = None, **more: str) -> Any:
    done = call("costs", *args, *JSON, **more) if home is None else home.call("costs", *args, *JSON, **more)
    assert done.code == 0, done.err
    return done.json


def money(amount: float | None) -> Decimal:
    return Decimal(repr(amount or 0))


def total(rows: Sequence[dict[str, Any]]) -> Decimal:
    return sum((money(row["total_cost"]) for row in rows), Decimal())


def costs_by_key(body: dict[str, Any]) -> dict[object, Any]:
    """The rows without their account, which a bare URL has not."""
    return {(str(row["key"]), row["kind"], row.get("window_start")): row["total_cost"] for row in body["rows"]}


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_every_group_sums_to_the_summary(stored: Home, replay: ReplayServer, question: tuple[str, ...]) -> None:
    summary = stored.costs("aurora")["summary"]["total_cost"]
    kept = grouped("aurora", *WHOLE, "--by", *question, home=stored)
    live = grouped("--url", replay.url_of("aurora"), *WHOLE, "--by", *question)
    assert total(live["rows"]) == money(live["total"]["total_cost"]) == money(summary)
    assert live["total"] == kept["total"]
    assert live["coverage"]["hours_covered"] == kept["coverage"]["hours_asked"] == 72
    if "--share-namespaces" in question:
        assert not {row["key"]["namespace"] for row in live["rows"]} & {"kube-system", "monitoring"}
        assert live["total"]["shared_cost"] > 0
    if question[0].startswith(("cluster", "organization")):  # a bare URL has the name that its source states
        assert len(live["rows"]) == len(kept["rows"])
    else:
        assert costs_by_key(live) == costs_by_key(kept)


def test_all_accounts_are_one_report(stored: Home) -> None:
    body = grouped(*WHOLE, "--by", "cluster", home=stored)
    assert sorted(row["key"]["cluster"] for row in body["rows"]) == sorted(CLUSTERS)
    assert all(row["cloud_account_id"] for row in body["rows"])
    alone = [grouped(name, *WHOLE, "--by", "cluster", home=stored)["total"]["total_cost"] for name in CLUSTERS]
    assert money(body["total"]["total_cost"]) == sum(map(money, alone))
    one, others = (
        grouped(*WHOLE, "--by", "namespace", "--filter", f'cluster{op}"aurora"', home=stored) for op in (":", "!:")
    )
    assert money(one["total"]["total_cost"]) + money(others["total"]["total_cost"]) == sum(map(money, alone))
    assert one["question"]["filter"]["field"] == "cluster"


@pytest.mark.parametrize("by", ["summary", "namespace", "workload"])
def test_levels_of_detail_are_groups_beside_other_options(stored: Home, by: str) -> None:
    body = grouped("aurora", *WHOLE, "--by", by, "--idle", "separate", home=stored)
    group = {"summary": [], "namespace": ["namespace"], "workload": ["namespace", "controller_kind", "controller"]}[by]
    assert body["question"]["group"] == group
    assert "summary" in stored.costs("aurora", "--by", by), "without such an option the body is that of a cluster"
    if by == "namespace":
        level = stored.costs("aurora", "--by", by)
        assert {row["namespace"]: row["total_cost"] for row in level["breakdown_by_namespace"]} == {
            row["key"]["namespace"]: row["total_cost"] for row in body["rows"] if row["kind"] == "workload"
        }


def test_windows_within_a_day_are_joined_from_both(stored: Home, replay: ReplayServer) -> None:
    window = ("--start", "2026-11-20", "--end", "2026-11-21T12:00:00Z")
    url = replay.url_of("aurora")
    summary = grouped("--url", url, *window)["summary"]["total_cost"]
    for where, home in (((("--url", url)), None), ((("aurora",)), stored)):
        body = grouped(*where, *window, "--by", "namespace", "--step", "day", home=home)
        assert money(body["total"]["total_cost"]) == total(body["rows"]) == money(summary)
        assert [step["coverage"]["hours_covered"] for step in body["steps"]] == [24, 12]
        assert {issue["kind"] for issue in body["issues"]} >= {"not_audited"}


def test_cluster_that_does_not_answer_is_an_issue(stored: Home, replay: ReplayServer) -> None:
    args = ("--url", replay.url_of("aurora"), "--url", NOBODY, *WHOLE, "--by", "cluster")
    done = call("costs", *args, *JSON)
    assert done.code == 0, done.err
    assert f"error: {NOBODY}" in done.err
    assert (done.json["coverage"]["hours_asked"], done.json["coverage"]["hours_covered"]) == (144, 72)
    (issue,) = [issue for issue in done.json["issues"] if issue["kind"] == "source_failed"]
    assert (issue["is_missing_data"], issue["accounts"], issue["days"]) == (True, [NOBODY], 3)
    strict = call("costs", *args, "--strict")
    assert (strict.code, "missing: " in strict.out, "--strict asks for complete ones" in strict.err) == (3, True, True)
    alone = call("costs", "--url", NOBODY, *WHOLE, "--by", "cluster", *JSON)
    assert (alone.code, alone.json["total"]["total_cost"], alone.json["rows"]) == (3, None, [])


@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_what_a_file_lacks_is_named_once(stored: Home, tmp_path: Path, format_: str, quiet: tuple[str, ...]) -> None:
    args = ("--start", "2026-11-19", "--end", "2026-11-24", "--by", "cluster")
    done = stored.call("costs", *args, "--format", format_, "--output", str(tmp_path / "costs"), *quiet)
    assert done.code == 0
    printed = stored.call("costs", *args).out
    for name, line in zip(CLUSTERS, done.err.splitlines(), strict=True):
        assert line.startswith("warning: ")
        assert line.endswith(f"[{name}] (19 Nov 2026 UTC; 23 Nov 2026 UTC)")
        assert line.replace("warning", "missing") in printed


def test_two_currencies_are_an_error_unless_one_is_chosen(tmp_path: Path, replay: ReplayServer) -> None:
    home = Home(tmp_path / "home")
    home.add("dollars", "--url", replay.url_of("aurora"))
    home.add("euros", "--url", replay.url_of("cygnus"), "--currency", "EUR")
    done = home.call("costs", *WHOLE, "--by", "cluster", *JSON)
    assert (done.code, "EUR and USD" in done.err, done.out) == (2, True, "")
    for chosen, currency in (('currency:"USD"', "USD"), ('cluster:"euros"', "EUR")):
        printed = home.call("costs", *WHOLE, "--by", "cluster", "--filter", chosen).out
        assert printed.startswith("1 cluster by cluster\n")
        body = grouped(*WHOLE, "--by", "cluster", "--filter", chosen, home=home)
        assert (body["currency"], len(body["rows"])) == (currency, 1)


def test_csv_and_parquet_have_the_rows_of_the_report(stored: Home, tmp_path: Path) -> None:
    args = (*WHOLE, "--by", "label:team", "--step", "day")
    body = grouped(*args, home=stored)
    lines = list(csv.DictReader(io.StringIO(stored.call("costs", *args, "--format", "csv").out)))
    by_step = sorted(body["rows"], key=lambda row: row["window_start"])
    assert [line["total_cost"] for line in lines] == [f"{row['total_cost']:.6f}" for row in by_step]
    file = tmp_path / "costs.parquet"
    assert stored.call("costs", *args, "--format", "parquet", "--output", str(file)).code == 0
    table = pq.read_table(file)
    assert table.num_rows == len(lines)
    assert {*table["currency"].to_pylist(), *(line["currency"] for line in lines)} == {body["currency"]}
    assert json.loads(table.schema.metadata[b"coverage"]) == body["coverage"]
    piped = stored.run("costs", "aurora", *WHOLE, "--by", "label:team", "--format", "csv")
    assert piped.out.startswith('"window_start","cloud_account_id","kind","label:team","total_cost"')


@pytest.mark.parametrize("level", ["summary", "namespace", "workload"])
def test_parquet_of_a_level_is_of_each_cluster_as_csv_is(stored: Home, tmp_path: Path, level: str) -> None:
    file = tmp_path / "costs.parquet"
    args = ("costs", *WHOLE, "--by", level, "--format")
    assert stored.call(*args, "parquet", "--output", str(file)).code == 0
    names = ("cloud_account_id", "namespace", "controller_kind", "controller", "total_cost")
    rows = pq.read_table(file).to_pylist()
    lines = csv.DictReader(io.StringIO(stored.call(*args, "csv").out))
    assert {row["cluster"] for row in rows} == set(CLUSTERS)
    assert sorted([str(row.get(name) or "") for name in names] for row in rows) == sorted(
        [line[name] for name in names] for line in lines
    )


def test_what_matches_nothing_is_told(stored: Home) -> None:
    args = ("costs", "aurora", *WHOLE, "--by", "namespace", "--share-namespaces", "kube-systen")
    words = "no workload of the window is in the shared namespace 'kube-systen' (did you mean kube-system?)"
    assert f"  note: {words}\n" in stored.call(*args).out
    done = stored.call(*args, "--format", "csv")
    assert (done.code, done.err) == (0, f"warning: {words}\n")
    assert stored.call(*args, "--format", "csv", "--quiet").err == ""
    body = grouped(*args[1:], "--filter", 'namespace:"nosuch"', home=stored)
    assert (body["rows"], body["total"]["total_cost"]) == ([], 0)
    message = "no row of the window passes the filter: none has the namespace 'nosuch'"
    assert message in [issue["message"] for issue in body["issues"]]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            ("--by", "namespace", "--filter", 'namespace:"shpo"'),
            "no row of the window passes the filter: none has the namespace 'shpo' (did you mean shop?)",
        ),
        (("--by", "label:temm"), "no workload of the window has the label 'temm' (did you mean team?)"),
        (
            ("--by", "cluster", "--filter", 'cluster:"aurora","cygnsu"'),
            "no account has the name 'cygnsu' (did you mean cygnus?)",
        ),
    ],
)
def test_mistyped_name_is_named_with_the_nearest(stored: Home, args: tuple[str, ...], words: str) -> None:
    assert f"  note: {words}\n" in stored.call("costs", *WHOLE, *args).out


def test_currency_in_small_letters_is_the_same(stored: Home) -> None:
    small, capital = (
        grouped(*WHOLE, "--by", "cluster", "--filter", f'currency:"{code}"', home=stored) for code in ("usd", "USD")
    )
    assert small == capital
    assert small["rows"]


def test_table_adds_up_and_names_what_has_no_value(stored: Home) -> None:
    done = stored.call("costs", *WHOLE, "--by", "cluster,label:team", "--step", "day", "--top", "2")
    assert done.code == 0, done.err
    words = [line.split() for line in done.out.splitlines()]
    assert words[0] == ["2", "clusters", "by", "cluster,", "label:team"]
    steps = [Decimal(line[2]) for line in words if line[1:2] == ["total"] and line[0].startswith("2026")]
    (whole,) = [Decimal(line[1]) for line in words if line[:1] == ["total"]]
    assert (len(steps), sum(steps)) == (3, whole)
    assert done.out.count("more)") == 3
    assert "note: management was not measured on 6 of 6 days" in done.out


def test_comparison_says_why_costs_changed(stored: Home, replay: ReplayServer) -> None:
    args = ("--start", "2026-11-21", "--end", "2026-11-22", "--by", "namespace", "--compare")
    kept = grouped("aurora", *args, home=stored)
    live = grouped("--url", replay.url_of("aurora"), *args)
    assert live["total"] == kept["total"]
    assert {str(row["key"]) + str(row["kind"]): row["change"] for row in live["rows"]} == {
        str(row["key"]) + str(row["kind"]): row["change"] for row in kept["rows"]
    }
    for period, start, end in (("before", "2026-11-20", "2026-11-21"), ("now", "2026-11-21", "2026-11-22")):
        alone = grouped("aurora", "--start", start, "--end", end, home=stored)
        assert kept["total"][period] == alone["summary"]["total_cost"]
    for row in (*kept["rows"], kept["total"]):
        assert sum(money(row[reason]) for reason in ("usage", "price", "new", "gone")) == money(row["change"])
        assert money(row["now"]) - money(row["before"]) == money(row["change"])
    lines = list(csv.DictReader(io.StringIO(stored.call("costs", "aurora", *args, "--format", "csv").out)))
    assert [line["change"] for line in lines] == [f"{row['change']:.6f}" for row in kept["rows"]]
    printed = stored.call("costs", "aurora", *args, "--top", "1").out
    assert "before: 20 Nov 2026 (1 day, UTC), 24 of 24 h" in printed
    assert f"{kept['total']['change']:.2f}" in printed.partition("\ntotal")[2]


def test_periods_may_be_of_any_length_and_say_where_hours_are_missing(stored: Home) -> None:
    whole = ("aurora", "--start", "2026-11-21", "--end", "2026-11-23", "--by", "namespace")
    body = grouped(*whole, "--compare-with", "2026-11-20,2026-11-21", home=stored)
    assert (body["question"]["before_start"], body["question"]["before_end"]) == (
        "2026-11-20T00:00:00Z",
        "2026-11-21T00:00:00Z",
    )
    assert "unequal_coverage" not in {issue["kind"] for issue in body["issues"]}
    longer = grouped(*whole, "--compare-with", "2026-11-19,2026-11-21", home=stored)
    (issue,) = (issue for issue in longer["issues"] if issue["kind"] == "unequal_coverage")
    assert "1 account unequally, 24 of 48 hours before and 48 of 48 now" in issue["message"]
    printed = stored.call("costs", *whole, "--compare-with", "2026-11-19,2026-11-21").out
    assert "before: 19-20 Nov 2026 (2 days, UTC), 24 of 48 h, partial" in printed
    assert "note: the periods cover 1 account unequally" in printed


def test_comparison_without_window_is_of_the_days_before_today() -> None:
    with Served(EverlastingSource().answers) as source:
        args = ("--url", source.url, "--by", "namespace")
        for option in (("--compare",), ("--compare-with", "2026-11-20,2026-11-21")):
            body = grouped(*args, *option)
            end = datetime.fromisoformat(body["question"]["end"])
            assert end == datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            assert end - datetime.fromisoformat(body["question"]["start"]) == timedelta(days=7)
        asked = grouped(*args, "--compare", "--window", "7d")
        assert datetime.fromisoformat(asked["question"]["end"]) == end + timedelta(days=1)


def test_period_without_answer_is_unknown(replay: ReplayServer) -> None:
    args = ("--url", replay.url_of("aurora"), "--start", "2026-11-20", "--end", "2026-11-21", "--by", "cluster")
    done = call("costs", *args, "--compare", *JSON)
    assert done.code == 0, done.err
    (row,) = done.json["rows"]
    assert (row["before"], row["change"], row["now"]) == (None, None, done.json["total"]["now"])
    assert row["key"]["cluster"] == "aurora-prod"
    assert done.json["before"]["coverage"]["hours_covered"] == 0
    strict = call("costs", *args, "--compare", "--strict")
    assert (strict.code, "the answer is no_data, 0 of 24 hours" in strict.err) == (3, True)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--by", "colour"), "error: --by: the group has the unknown dimension 'colour'"),
        (("--by", "namespac"), "'namespac' (did you mean namespace or namespace_label:KEY?): use a comma list"),
        (("--filter", 'namespace:"a'), "error: --filter: the filter can't be read at position 10"),
        (("--filter", 'colour:"a"'), "a field expected"),
        (("--by", "node", "--infrastructure", "legacy_sum"), "error: --infrastructure legacy_sum goes with"),
        (("--by", "node", "--as-of", "2026-11-24"), "--as-of needs an account"),
        (("--share-labels", "team"), "error: --share-labels: 'team' is not a label"),
        (("--share-namespaces", "a b"), "error: --share-namespaces: 'a b' is not the plain name"),
        (("--share-split", "even"), "error: --share-split: even says how shared cost is split"),
        (("--compare", "--step", "day"), "error: a comparison is of a whole window: omit --step"),
        (("--compare-with", "2026-09", "--step", "day"), "error: a comparison is of a whole window: omit --step"),
        (("--compare-with", "2026-9"), "error: --compare-with: the window '2026-9' is not a month"),
        (("--top", "0"), "'0' is not a whole number from 1 to 10000"),
    ],
)
def test_bad_option_is_named(replay: ReplayServer, args: tuple[str, ...], words: str) -> None:
    done = call("costs", "--url", replay.url_of("aurora"), *WHOLE, *args)
    assert (done.code, words in done.err) == (2, True), done.err


def test_figures_of_an_instant_come_from_stored_days(stored: Home) -> None:
    now = grouped("aurora", *WHOLE, "--by", "pod", home=stored)
    body = grouped("aurora", *WHOLE, "--by", "pod", "--as-of", datetime.now(UTC).isoformat(), home=stored)
    assert costs_by_key(body) == costs_by_key(now)
    assert body["question"]["as_of"] is not None
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    before = grouped("aurora", *WHOLE, "--by", "pod", "--as-of", yesterday, home=stored)
    assert (before["total"]["total_cost"], before["issues"][0]["kind"]) == (None, "not_held")


def test_removed_account_stays_in_the_sum_of_all(tmp_path: Path, replay: ReplayServer) -> None:
    home = Home(tmp_path / "home")
    for name in CLUSTERS:
        home.add(name, "--url", replay.url_of(name))
        assert home.call("backfill", name, *THREE_DAYS).code == 0
    before = grouped(*WHOLE, "--by", "organization,cluster", home=home)
    assert home.call("accounts", "remove", "cygnus", "--yes").code == 0
    for instant in ((), ("--as-of", datetime.now(UTC).isoformat())):
        after = grouped(*WHOLE, "--by", "organization,cluster", *instant, home=home)
        for key in ("total", "rows", "coverage"):
            assert after[key] == before[key]
    shown = home.call("costs", *WHOLE, "--by", "cluster").out
    assert "2 clusters by cluster" in shown
    assert "cygnus (removed)" in shown
    one = grouped("aurora", *WHOLE, "--by", "cluster", home=home)
    assert [row["key"]["cluster"] for row in one["rows"]] == ["aurora"]


def test_silent_source_is_said_beside_the_stored_days(tmp_path: Path, replay: ReplayServer) -> None:
    home = Home(tmp_path / "home")
    for name in CLUSTERS:
        home.add(name, "--url", replay.url_of(name))
        assert home.call("backfill", name, *THREE_DAYS).code == 0
        assert home.call("accounts", "update", name, "--url", NOBODY).code == 0
    window = ("--start", "2026-11-10", "--end", "2026-11-12")
    words = "no day of 10-11 Nov 2026 UTC is stored; all stored days are within 20-22 Nov 2026 UTC"
    for by in ("namespace", "pod"):
        done = home.call("costs", *window, "--by", by)
        assert (done.code, "total" in done.out, "status" in done.out) == (3, False, False)
        assert [line.endswith(words) for line in done.err.splitlines()] == [True, True]


def test_installed_program_groups_too(replay: ReplayServer) -> None:
    done = run("costs", "--url", replay.url_of("aurora"), *WHOLE, "--by", "label:team", *JSON)
    assert done.code == 0, done.err
    assert total(done.json["rows"]) == money(done.json["total"]["total_cost"])
