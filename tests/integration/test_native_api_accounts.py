"""`/api/v1/clusters`, `coverage` and `balance`: accounts and their days, bill and use."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubetally.domain.account import AccountType
from kubetally.domain.allocation import Kind
from kubetally.domain.component import Costs
from kubetally.domain.row import Cause, Row
from tests.cluster_days import DAY, cluster_day
from tests.native import DAYS, ONE, TWO, Home, all_pages, body_of, money, native_client
from tests.served import NOON_AFTER
from tests.service import account

USE = ("workload", "idle", "unmounted", "overhead")
FIGURES = ("bill", "use", *USE, "difference")
Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@contextmanager
def asking(home: Home) -> Iterator[Ask]:
    """Asks a path of the native API, on all its pages if `key` names the list of rows."""
    with native_client(home) as client:

        def ask(path: str, key: str = "", **parameters: object) -> dict[str, Any]:
            return all_pages(client, path, key, **parameters) if key else body_of(client, path, **parameters)

        yield ask


def total(rows: list[dict[str, Any]], name: str = "total_cost") -> Decimal:
    return sum((money(row[name]) for row in rows), Decimal())


def test_clusters_have_the_costs_of_the_answer(home: Home) -> None:
    with asking(home) as ask:
        body, costs = ask("clusters", "clusters", limit=1), ask("costs", group="cluster")
    assert [cluster["name"] for cluster in body["clusters"]] == ["cluster-1", "cluster-2"]
    assert {c["cloud_account_id"]: c["total_cost"] for c in body["clusters"]} == {
        row["cloud_account_id"]: row["total_cost"] for row in costs["rows"]
    }
    assert body["total_cost"] == costs["total"]["total_cost"]
    assert (body["currency"], body["count"], body["coverage"]) == ("USD", 2, costs["coverage"])
    cluster = body["clusters"][0]
    assert (cluster["organization"], cluster["removed_at"], cluster["assets_complete"]) == ("default", None, True)
    assert cluster["coverage"] == {"hours_asked": 48, "hours_covered": 24, "state": "provisional"}
    assert cluster["source"] == {"url": "http://one.test", "context": None, "prometheus_url": None}
    assert cluster["days"] == {"stored": 1, "failing": 0}
    assert cluster["last_collected"] is not None


def test_clusters_show_no_credentials_and_what_failed(home: Home) -> None:
    home.accounts.add(account(3, "http://user:swordfish@three.test"))
    home.coverage.failed(account(3, "").id, DAY, NOON_AFTER, code="source_refused", message="no route")
    home.coverage.failed(account(3, "").id, date(2026, 11, 21), NOON_AFTER, code="no_data", message="empty")
    with asking(home) as ask:
        body = ask("clusters", filter='cluster:"cluster-3"')
    assert "swordfish" not in str(body)
    (cluster,) = body["clusters"]
    assert cluster["source"]["url"] == "http://***@three.test"
    assert cluster["last_error"] == {"code": "source_refused", "message": "no route"}
    assert (cluster["total_cost"], cluster["currency"], cluster["coverage"]["hours_covered"]) == (None, None, 0)
    assert cluster["days"] == {"stored": 0, "failing": 1}
    assert [issue["code"] for issue in body["issues"]] == ["source_refused", "no_data"]


def test_removed_cluster_is_marked_where_it_has_history(home: Home) -> None:
    home.accounts.remove(ONE)
    with asking(home) as ask:
        listed = {cluster["name"]: cluster for cluster in ask("clusters")["clusters"]}
        assert listed["cluster-1"]["removed_at"] is not None
        assert listed["cluster-1"]["source"] is None
        assert listed["cluster-1"]["coverage"]["hours_asked"] == 24
        later = ask("clusters", start="2026-11-21", end="2026-11-23")
    assert [cluster["name"] for cluster in later["clusters"]] == ["cluster-2"]


def test_account_that_is_no_cluster_has_no_hours(home: Home) -> None:
    with asking(home) as ask:
        before = [ask(path)["coverage"] for path in ("costs", "clusters", "coverage")]
        home.accounts.add(account(4, "", type=AccountType.AWS_CNR))
        assert [ask(path)["coverage"] for path in ("costs", "clusters", "coverage")] == before
        assert {day["cluster"] for day in ask("coverage")["days"]} == {"cluster-1", "cluster-2"}


def test_clusters_of_two_currencies_have_no_common_total(home: Home) -> None:
    home.store(cluster_day(TWO, 1, currency="EUR"))
    with asking(home) as ask:
        body = ask("clusters")
        one = ask("clusters", filter='cluster:"cluster-2"')
    assert (body["currency"], body["currencies"], body["total_cost"]) == (None, ["EUR", "USD"], None)
    assert [cluster["currency"] for cluster in body["clusters"]] == ["USD", "EUR"]
    assert (one["currency"], one["total_cost"]) == ("EUR", one["clusters"][0]["total_cost"])


def test_coverage_lists_every_day_that_has_begun(home: Home) -> None:
    home.coverage.failed(ONE, date(2026, 11, 21), NOON_AFTER, code="source_refused", message="no route")
    window = {"start": "2026-11-19", "end": "2026-11-30"}
    with asking(home) as ask:
        body, costs = ask("coverage", "days", **window, limit=3), ask("costs", **window)
    days = {(day["cluster"], day["day"]): day for day in body["days"]}
    assert len(days) == len(body["days"]) == body["count"] == 2 * 5
    assert list(days) == sorted(days)
    assert [days["cluster-1", f"2026-11-{day}"]["kind"] for day in range(19, 24)] == [
        "unknown", "provisional", "failed", "unknown", "unknown",
    ]  # fmt: skip
    stored, failed = days["cluster-1", "2026-11-20"], days["cluster-1", "2026-11-21"]
    assert (stored["state"], stored["hours_covered"], stored["source"]) == ("provisional", 24, "http://opencost.test")
    assert (failed["total_cost"], failed["attempts"]) == (None, 1)
    assert failed["last_error"] == {"code": "source_refused", "message": "no route"}
    assert total(body["days"]) == money(costs["total"]["total_cost"])
    assert sum(day["hours_asked"] for day in body["days"]) == body["coverage"]["hours_asked"] == 2 * (4 * 24 + 12)
    assert sum(day["hours_covered"] for day in body["days"]) == body["coverage"]["hours_covered"] == 48


def test_filter_of_accounts_has_their_fields_only(home: Home) -> None:
    with native_client(home) as client:
        for path in ("clusters", "coverage", "balance"):
            response = client.get(f"/api/v1/{path}", params=DAYS | {"filter": 'cluster:"x"+pod:"y"'})
            assert (response.status_code, response.json()["parameter"]) == (400, "filter")
            assert "pod at position 12" in response.json()["detail"]


costs_of_rows = st.lists(st.integers(-(10**7), 10**7), min_size=10, max_size=10).map(lambda amounts: Costs(*amounts))
kinds = st.one_of(
    st.sampled_from([(kind, None) for kind in (Kind.IDLE, Kind.UNMOUNTED, Kind.OVERHEAD)]),
    st.sampled_from([(Kind.DIFFERENCE, cause) for cause in Cause]),
)
days = st.lists(
    st.tuples(kinds, costs_of_rows).map(lambda parts: Row(*parts[0], costs=parts[1])), min_size=1, max_size=6
)


@given(days, days)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_balance_balances_for_each_row(tmp_path_factory: pytest.TempPathFactory, one: Any, two: Any) -> None:
    home = Home(tmp_path_factory.mktemp("home"))
    home.store(cluster_day(ONE, 1, rows=one))
    home.store(cluster_day(TWO, 1, day=DAY + timedelta(days=1), rows=two))
    with asking(home) as ask:
        costs = ask("costs", group="component", limit=100)
        whole, by_day = ask("balance"), ask("balance", "rows", step="day", limit=7)
    for row in (*whole["rows"], *by_day["rows"], whole["total"], *by_day["steps"]):
        assert money(row["bill"]) == money(row["use"]) + money(row["difference"])
        assert money(row["use"]) == sum((money(row[kind]) for kind in USE), Decimal())
    for row in (*whole["rows"], *by_day["rows"]):
        assert total(row["causes"], "amount") == money(row["difference"])
    for name in FIGURES:
        assert total(whole["rows"], name) == total(by_day["rows"], name) == money(whole["total"][name])
        assert total(by_day["steps"], name) == money(whole["total"][name])
    bills = {row["component"]: money(row["bill"]) for row in whole["rows"]}
    of_costs = defaultdict(Decimal, {row["key"]["component"]: money(row["total_cost"]) for row in costs["rows"]})
    assert bills == {component: of_costs[component] for component in bills}
    assert money(whole["total"]["bill"]) == money(costs["total"]["total_cost"])


def test_balance_of_an_unknown_day_is_null(home: Home) -> None:
    with asking(home) as ask:
        body = ask("balance", step="day")
        nothing = ask("balance", start="2026-11-18", end="2026-11-19")
    assert [step["bill"] is None for step in body["steps"]] == [False, True]
    assert [step["assets_complete"] for step in body["steps"]] == [True, False]
    assert {row["window_start"] for row in body["rows"]} == {"2026-11-20T00:00:00Z"}
    assert (nothing["rows"], nothing["total"]["bill"], nothing["coverage"]["hours_covered"]) == ([], None, 0)
