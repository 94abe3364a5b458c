"""`/api/v1/assets`: every view of the assets has the same sum, and only assets of confirmed days count."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kubetally.domain.allocation import Kind
from kubetally.domain.asset import Asset, AssetDetails, AssetType
from kubetally.domain.collection import ASSETS_DAMAGED, window_of
from kubetally.domain.component import Costs
from kubetally.domain.row import Row
from tests.cluster_days import DAY, cluster_day
from tests.native import DAYS, ONE, TWO, Home, all_pages, money, native_client
from tests.served import NOON_AFTER

NEXT_DAY = date(2026, 11, 21)


def node(name: str, day: date, cost: int, **more: Any) -> Asset:
    costs = Costs(cpu=cost, ram=cost // 3)
    details = AssetDetails(pool="spot", zone="a", cpu_core_hours=96.0)
    facts = {"provider_id": f"i-{name}", "node_type": "m5", "hours": 24.0, "discount": 0.3, "details": details}
    return Asset(
        AssetType.NODE, name, frozenset({name}), window_of(day), costs, labels={"team": name}, **(facts | more)
    )


def disk(name: str, day: date, cost: int) -> Asset:
    details = AssetDetails(storage_class="ssd", claim_namespace="shop", claim_name="data", byte_hours=2.0**34)
    return Asset(
        AssetType.DISK,
        name,
        frozenset({name}),
        window_of(day),
        Costs(pv=cost),
        hours=24.0,
        adjustment=-5,
        details=details,
    )


def other(day: date) -> Asset:
    details = AssetDetails(source_type="Cloud", amount=7_000_000)
    return Asset(AssetType.OTHER, "bucket", frozenset({"bucket"}), window_of(day), details=details)


def store(home: Home, account: str, day: date, assets: list[Asset], generation: int = 1) -> None:
    home.store(cluster_day(account, generation, day=day, assets=assets))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    store(home, ONE, DAY, [node("n1", DAY, 10_000_001), node("n2", DAY, 5_000_000), disk("d1", DAY, 3_000_000)])
    store(home, ONE, NEXT_DAY, [node("n1", NEXT_DAY, 20_000_002, discount=0.2), other(NEXT_DAY)])
    store(home, TWO, DAY, [node("n1", DAY, 1_000_000, provider_id=None)])
    return home


@contextmanager
def asking(home: Home) -> Iterator[Any]:
    with native_client(home) as client:

        def ask(**parameters: object) -> dict[str, Any]:
            return all_pages(client, "assets", "rows", **parameters)

        yield ask


def total(body: dict[str, Any]) -> Decimal:
    return sum((money(row["total_cost"]) for row in body["rows"]), Decimal())


def test_asset_is_one_row_over_its_days(home: Home) -> None:
    with asking(home) as ask:
        body = ask()
    first = body["rows"][0]
    assert first["key"] == {"cluster": "cluster-1", "asset_type": "node", "name": "n1", "provider_id": "i-n1"}
    assert (first["cpu_cost"], first["ram_cost"], first["total_cost"]) == (30.000003, 10.0, 40.000003)
    assert (first["hours"], first["cpu_core_hours"], first["asset_days"]) == (48, 192, 2)
    assert first["discount"] is None  # it differs
    assert (first["attributes"]["node_type"], first["attributes"]["pool"], first["attributes"]["zone"]) == (
        "m5",
        "spot",
        "a",
    )
    assert first["cloud_account_id"] == ONE
    (its_disk,) = [row for row in body["rows"] if row["key"]["asset_type"] == "disk"]
    assert (its_disk["pv_cost"], its_disk["adjustment"], its_disk["byte_hours"]) == (3.0, -0.000005, 17_179_869_000)
    assert its_disk["attributes"]["claim_namespace"] == "shop"
    assert len(body["rows"]) == body["count"] == 5


@pytest.mark.parametrize("group", ["", "cluster", "asset_type", "node_type", "zone,pool", "cluster,storage_class"])
def test_every_group_and_page_has_the_same_sum(home: Home, group: str) -> None:
    with asking(home) as ask:
        whole = ask()
        body = ask(group=group, limit=1)
    assert (
        total(body) == money(body["total"]["total_cost"]) == money(whole["total"]["total_cost"]) == Decimal("51.000002")
    )
    assert (
        len(body["rows"]) == body["count"] == len({(str(row["key"]), row["cloud_account_id"]) for row in body["rows"]})
    )
    if group:
        assert all(list(row["key"]) == group.split(",") and row["attributes"] == {} for row in body["rows"])


def test_asset_of_an_unknown_type_is_outside_the_total(home: Home) -> None:
    with asking(home) as ask:
        (row,) = ask(filter='kind:"other"')["rows"]
    assert (row["total_cost"], row["outside_cost"], row["key"]["name"]) == (0, 7.0, "bucket")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('cluster:"cluster-2"', ["n1"]),
        ('kind:"node"+cluster:"cluster-1"', ["n1", "n2"]),
        ('node:"n2"', ["n2"]),
        ('namespace:"shop"', ["d1"]),
        ('provider:"i-n1"', ["n1"]),
        ('label[team]:"n2"', ["n2"]),
        ('currency:"EUR"', []),
        ('cluster:"nobody"', []),
    ],
)
def test_filter_and_its_complement_have_the_whole(home: Home, text: str, names: list[str]) -> None:
    negated = text.replace('kind:"node"+cluster:"cluster-1"', 'kind!:"node"|cluster!:"cluster-1"')
    negated = text.replace(':"', '!:"') if negated == text else negated
    with asking(home) as ask:
        found, others, whole = ask(filter=text), ask(filter=negated), ask()
    assert [row["key"]["name"] for row in found["rows"]] == names
    assert total(found) + total(others) == total(whole)


def test_assets_of_replaced_and_unconfirmed_days_do_not_count(home: Home) -> None:
    store(home, ONE, NEXT_DAY, [node("n9", NEXT_DAY, 9_000_000)], 2)
    unconfirmed = cluster_day(ONE, 3, day=NEXT_DAY, assets=[node("n10", NEXT_DAY, 1)])
    home.coverage.intend([unconfirmed.collection])
    home.lake.put([unconfirmed])
    with asking(home) as ask:
        names = {row["key"]["name"] for row in ask(filter='cluster:"cluster-1"')["rows"]}
    assert names == {"n1", "n2", "n9", "d1"}


def test_running_day_counts(home: Home) -> None:
    day = date(2026, 11, 23)
    home.store(cluster_day(TWO, 1, day=day, assets=[node("n7", day, 2_000_000)], is_running=True))
    with asking(home) as ask:
        body = ask(start="2026-11-23", end="2026-11-24")
    assert [row["key"]["name"] for row in body["rows"]] == ["n7"]


def test_day_with_damaged_assets_is_an_issue(home: Home) -> None:
    home.coverage.failed(ONE, NEXT_DAY, NOON_AFTER, code=ASSETS_DAMAGED, message="checksum differs")
    with asking(home) as ask:
        body = ask(filter='cluster:"cluster-1"')
    assert body["rows"][0]["cpu_cost"] == 10.000001
    assert [(issue["code"], issue["days"]) for issue in body["issues"] if issue["code"]] == [(ASSETS_DAMAGED, 1)]
    assert not [issue for issue in body["issues"] if "cpu" in (issue["subject"] or "")]


def network(day: date, cost: int) -> Asset:
    return Asset(AssetType.NETWORK, "egress", frozenset({"egress"}), window_of(day), Costs(network=cost))


def charged(day: date, node_cost: int, network_cost: int) -> tuple[Row, ...]:
    """The row of a day that uses all of a node, and traffic."""
    return (Row(Kind.WORKLOAD, "shop", costs=Costs(cpu=node_cost, ram=node_cost // 3, network=network_cost)),)


def lacks(body: dict[str, Any]) -> dict[str, str]:
    return {issue["subject"]: issue["message"] for issue in body["issues"] if issue["kind"] == "not_measured"}


@pytest.fixture
def traffic(tmp_path: Path) -> Home:
    """Two days of each account, whose network only its workloads are charged for."""
    home = Home(tmp_path)
    for account in (ONE, TWO):
        for day in (DAY, NEXT_DAY):
            rows, assets = charged(day, 9_000_000, 1_500_000), [node("n1", day, 9_000_000)]
            home.store(cluster_day(account, 1, day=day, rows=rows, assets=assets))
    return home


def test_network_that_no_asset_lists_is_null_and_named(traffic: Home) -> None:
    with asking(traffic) as ask:
        body, one = ask(), ask(filter='cluster:"cluster-1"')
        of_nodes = ask(filter='node:"n1"')
    assert (body["total"]["network_cost"], body["rows"][0]["network_cost"]) == (None, None)
    assert body["not_measured"] == ["network_cost"]
    assert body["total"]["external_cost"] == 0
    assert lacks(body) == {"network": "the total lacks 6.00 USD of network, which no asset lists"}
    assert lacks(one) == {"network": "the total lacks 3.00 USD of network, which no asset lists"}
    (issue,) = one["issues"]
    assert (issue["accounts"], issue["days"], issue["start"][:10], issue["end"][:10]) == (
        [ONE],
        2,
        "2026-11-20",
        "2026-11-22",
    )
    assert (of_nodes["total"]["network_cost"], lacks(of_nodes)) == (None, {})


def test_network_that_assets_list_on_some_days_lacks_the_rest(traffic: Home) -> None:
    assets = [node("n1", DAY, 9_000_000), network(DAY, 1_500_000)]
    traffic.store(cluster_day(ONE, 2, rows=charged(DAY, 9_000_000, 1_500_000), assets=assets))
    with asking(traffic) as ask:
        body = ask(filter='cluster:"cluster-1"')
    assert (body["total"]["network_cost"], body["not_measured"]) == (1.5, [])
    assert lacks(body) == {"network": "the total lacks 1.50 USD of network, which no asset lists"}


def test_bill_that_assets_list_lacks_nothing(traffic: Home) -> None:
    for account in (ONE, TWO):
        for day in (DAY, NEXT_DAY):
            traffic.store(
                cluster_day(account, 2, day=day, rows=charged(day, 9_000_000, 0), assets=[node("n1", day, 9_000_000)])
            )
    with asking(traffic) as ask:
        body = ask()
    assert (body["total"]["network_cost"], body["not_measured"], body["issues"]) == (0, [], [])


def test_without_data_the_total_is_unknown(home: Home) -> None:
    with asking(home) as ask:
        body = ask(start="2026-11-10", end="2026-11-11")
        nothing = ask(filter='node:"nobody"')
    assert (body["rows"], body["total"]["total_cost"], body["assets_complete"]) == ([], None, False)
    assert (nothing["rows"], nothing["total"]["total_cost"]) == ([], 0)


@pytest.mark.parametrize(
    ("parameters", "parameter"),
    [({"group": "pod"}, "group"), ({"group": "zone,zone"}, "group"), ({"filter": 'pod:"x"'}, "filter")],
)
def test_bad_question_names_the_parameter(home: Home, parameters: dict[str, str], parameter: str) -> None:
    with native_client(home) as client:
        response = client.get("/api/v1/assets", params=DAYS | parameters)
    assert (response.status_code, response.json()["parameter"]) == (400, parameter)
