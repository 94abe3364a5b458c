"""A filter on the currency leaves out what is in others: days, hours, facts and accounts."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from kubetally.domain.collection import CollectedDay
from kubetally.domain.component import Component
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.window import HOUR, rfc3339
from tests.cluster_days import DAY, cluster_day
from tests.native import COLLECTED, DAYS, ONE, TWO, Home, body_of
from tests.served import NOON_AFTER
from tests.service import account

NEXT, LAST = date(2026, 11, 21), date(2026, 11, 22)
THREE = account(3, "").id
PAST = rfc3339(NOON_AFTER - HOUR)


def lacking(day: CollectedDay, *components: Component, issues: Sequence[Issue] = ()) -> CollectedDay:
    """The day without some components measured, and with issues."""
    head = replace(day.collection.head, not_measured=frozenset(components), issues=tuple(issues))
    return replace(day, collection=replace(day.collection, head=head))


def stored(account_id: str, day: date = DAY, currency: str = "USD") -> CollectedDay:
    return cluster_day(account_id, 1, day=day, currency=currency, collected_at=COLLECTED)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.store(lacking(stored(TWO, currency="EUR"), Component.GPU))
    return home


def ask(client: TestClient[Any], path: str = "costs", text: str = "", **more: str) -> dict[str, Any]:
    return body_of(client, path, filter=text, **more)


@pytest.mark.parametrize(
    ("path", "more"),
    [("costs", {"group": "component"}), ("costs", {"group": "cluster", "step": "day"}), ("costs", {"as_of": PAST}),
     ("balance", {"step": "day"}), ("assets", {}), ("labels", {}), ("explain", {})],
    ids=str,
)  # fmt: skip
def test_currency_answers_as_its_clusters(client: TestClient[Any], path: str, more: dict[str, str]) -> None:
    by_currency, by_cluster = (ask(client, path, text, **more) for text in ('currency:"EUR"', 'cluster:"cluster-2"'))
    assert {**by_currency, "question": None} == {**by_cluster, "question": None}


def test_component_that_the_currency_lacks_is_null(client: TestClient[Any]) -> None:
    body = ask(client, text='currency:"EUR"')
    assert (body["total"]["gpu_cost"], body["not_measured"]) == (None, ["gpu_cost"])
    assert body["coverage"] == {"hours_asked": 48, "hours_covered": 24, "state": "provisional"}
    assert {issue["kind"]: issue["accounts"] for issue in body["issues"]} == {
        "window_without_data": [TWO],
        "not_measured": [TWO],
    }
    assert [issue["accounts"] for issue in ask(client, text='currency!:"EUR"')["issues"]] == [[ONE]]


def test_currency_is_read_in_any_case(client: TestClient[Any]) -> None:
    assert ask(client, text='currency:"eur"') == ask(client, text='currency:"EUR"')
    assert ask(client, text='currency:"eur"')["currency"] == "EUR"


def test_mistyped_currency_names_a_stored_one(client: TestClient[Any]) -> None:
    (issue,) = ask(client, text='currency:"EUD"')["issues"]
    assert issue["message"] == "no account passes the filter: none has the currency 'EUD' (did you mean EUR or USD?)"


@pytest.mark.parametrize("more", [{}, {"as_of": PAST}], ids=str)
def test_currency_of_nobody_covers_nothing(client: TestClient[Any], more: dict[str, str]) -> None:
    body = ask(client, text='currency:"GBP"', step="day", **more)
    assert (body["total"]["total_cost"], body["currency"], body["assets_complete"]) == (None, None, False)
    assert body["coverage"] == {"hours_asked": 0, "hours_covered": 0, "state": None}
    assert [(step["total_cost"], step["coverage"]["hours_asked"]) for step in body["steps"]] == [(None, 0)] * 2
    messages = [issue["message"] for issue in body["issues"]]
    assert (body["rows"], messages) == ([], ["no account passes the filter: none has the currency 'GBP'"])


def test_account_without_data_may_be_of_any_currency(home: Home, client: TestClient[Any]) -> None:
    home.accounts.add(account(3, "http://three.test"))
    home.coverage.failed(THREE, DAY, NOON_AFTER, code="source_refused", message="no route")
    body = ask(client, text='currency:"EUR"')
    assert body["coverage"]["hours_asked"] == 96
    assert {issue["kind"]: issue["accounts"] for issue in body["issues"]} == {
        "window_without_data": [TWO, THREE],
        "not_measured": [TWO],
        "source_failed": [THREE],
    }


@pytest.mark.parametrize("more", [{}, {"as_of": PAST}], ids=str)
def test_account_of_two_currencies_is_counted_by_day(home: Home, client: TestClient[Any], more: dict[str, str]) -> None:
    warnings = [Issue(IssueKind.SOURCE_WARNING, text, None, None) for text in ("one", "two")]
    home.store(lacking(stored(ONE, NEXT, "EUR"), Component.PV, issues=warnings))
    home.store(lacking(stored(ONE, LAST), Component.RAM))
    for currency, hours, expected in (
        ("USD", [48, 48], {("RAM was not measured on 1 of 2 days", LAST)}),
        (
            "EUR",
            [24 + 72, 48],
            {
                ("GPU was not measured on 1 of 2 days", DAY),
                ("volumes was not measured on 1 of 2 days", NEXT),
                ("source warning on 1 day", NEXT),
            },
        ),
    ):
        body = ask(client, text=f'currency:"{currency}"', step="day", end="2026-11-23", **more)
        assert [body["coverage"]["hours_asked"], body["coverage"]["hours_covered"]] == hours
        assert sum(step["coverage"]["hours_asked"] for step in body["steps"]) == hours[0]
        gaps = [issue for issue in body["issues"] if issue["is_missing_data"]]
        assert [(issue["accounts"], issue["days"] * 24) for issue in gaps] == [([TWO], 48)] * (currency == "EUR")
        others = [issue for issue in body["issues"] if issue not in gaps]
        assert {(issue["message"], date.fromisoformat(issue["start"][:10])) for issue in others} == expected
        assert all(issue["days"] == 1 for issue in others)


def test_currencies_that_can_not_be_added_are_all_named(home: Home, client: TestClient[Any]) -> None:
    home.accounts.add(account(3, "http://three.test"))
    home.store(stored(THREE, currency="GBP"))
    for text, named in (("", "EUR, GBP and USD"), ('currency!:"USD"', "EUR and GBP")):
        response = client.get("/api/v1/costs", params=DAYS | {"filter": text})
        assert response.status_code == 400
        assert f"{named} can't be added" in response.json()["detail"]


@pytest.mark.parametrize("period", ["before", "now"])
def test_comparison_counts_no_account_whose_currency_the_other_period_leaves_out(
    home: Home, client: TestClient[Any], period: str
) -> None:
    home.accounts.add(account(3, "http://three.test"))
    known, unknown = {"start": f"{DAY}", "end": f"{NEXT}"}, {"start": f"{NEXT}", "end": f"{LAST}"}
    before, now = (unknown, known) if period == "before" else (known, unknown)
    periods = now | {f"before_{name}": value for name, value in before.items()}
    body = body_of(client, "compare", **periods, group="cluster", filter='currency:"USD"')
    of_unknown = body["before"]["coverage"] if period == "before" else body["coverage"]
    assert (of_unknown["hours_asked"], of_unknown["hours_covered"]) == (48, 0)
    alone = body_of(client, "costs", **unknown, filter='currency:"USD"')
    assert alone["coverage"]["hours_asked"] == 72
    assert not any(TWO in issue["accounts"] for issue in body["issues"])
