"""Reads of the recommendations in categories of savings.

The answers follow Kubecost's documentation (`tests.kubecost_savings`), not a recording: no Kubecost was at hand.
"""

import json
import re
from decimal import Decimal
from typing import Any

import pytest

from kubetally.domain.savings import SavingsItem, SavingsSubject
from kubetally.sources.kubecost.savings import SavingsNotUnderstood
from kubetally.sources.kubecost.savings_items import drill_down, read_items
from tests.kubecost_savings import (
    ABANDONED,
    BEHIND,
    CATEGORIES,
    CLUSTER_SIZING,
    LOCAL_DISKS,
    NODE_GROUPS,
    OLD_REQUEST_SIZING,
    REQUEST_SIZING,
    UNCLAIMED,
    VOLUME_SIZING,
    leaves,
)

CASES: list[tuple[str, Any, list[Any]]] = [
    ("requestSizing", OLD_REQUEST_SIZING, OLD_REQUEST_SIZING),
    ("containerRequestSizing", REQUEST_SIZING, REQUEST_SIZING["Recommendations"]),
    ("abandonedWorkload", ABANDONED, ABANDONED),
    ("clusterSizing", CLUSTER_SIZING, list(CLUSTER_SIZING["data"]["one"]["recommendations"].values())),
    ("pvSizing", VOLUME_SIZING, VOLUME_SIZING["recommendations"]),
    ("unclaimedVolumes", UNCLAIMED, UNCLAIMED["data"]["volumes"]),
    ("localDisks", LOCAL_DISKS, LOCAL_DISKS["unutilizedDisks"]),
    ("nodeGroupSizing", NODE_GROUPS, NODE_GROUPS["data"]["recommendations"]),
]


def read(category: str, body: object, cluster_id: str | None = "one") -> tuple[SavingsItem, ...]:
    encoded = json.dumps(body).encode()
    return read_items(encoded, category=category, path="/savings/x", cluster_id=cluster_id).items


def told(facts: Any) -> dict[tuple[str, ...], object]:
    """Facts by the parts of their paths."""
    return {tuple(part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", path)): facts[path] for path in facts}


@pytest.mark.parametrize(("category", "body", "items"), CASES, ids=[case[0] for case in CASES])
def test_every_field_of_an_item_is_kept(category: str, body: object, items: list[Any]) -> None:
    found = read(category, body)
    assert len(found) == len(items)
    for item, its in zip(found, items, strict=True):
        values = leaves(its)
        facts = told(item.facts)
        assert facts.keys() == values.keys()
        for path, value in values.items():
            fact = facts[path]
            assert fact == value if isinstance(value, str | None) else json.loads(str(fact)) == value


@pytest.mark.parametrize(
    ("category", "body", "amounts"),
    [
        ("requestSizing", OLD_REQUEST_SIZING, ["2.75", None]),
        ("requestSizing", REQUEST_SIZING, ["2.75", "-11.625"]),
        ("abandonedWorkloads", ABANDONED, ["9.69"]),
        ("clusterSizing", CLUSTER_SIZING, ["63.07", "-4.5"]),
        ("persistentVolumeSizing", VOLUME_SIZING, ["14.02"]),
        ("unclaimedVolumes", UNCLAIMED, ["0.75"]),
        ("underutilizedLocalDisks", LOCAL_DISKS, ["52.14"]),
        ("nodeGroupSizing", NODE_GROUPS, ["30"]),
    ],
)
def test_amounts_may_be_negative_and_unknown(category: str, body: object, amounts: list[str | None]) -> None:
    expected = [None if amount is None else Decimal(amount) for amount in amounts]
    assert [item.per_month for item in read(category, body)] == expected


def test_items_name_their_subject() -> None:
    (first, _), (pod,), (volume,) = (
        read("requestSizing", REQUEST_SIZING),
        read("abandonedWorkloads", ABANDONED),
        read("pvSizing", VOLUME_SIZING),
    )
    assert first.subject == SavingsSubject("shop", "deployment", "web", container="app")
    assert pod.subject == SavingsSubject("shop", "deployment", "web", "web-1", node="node-1")
    assert volume.subject == SavingsSubject("shop", volume="pvc-1")
    assert (first.key, pod.key, volume.key) == ("shop/deployment/web/app", "shop/web-1", "pvc-1")


def test_keys_of_a_category_differ() -> None:
    assert [item.key for item in read("pvSizing", VOLUME_SIZING["recommendations"] * 3)] == [
        "pvc-1",
        "pvc-1#2",
        "pvc-1#3",
    ]


def test_items_of_other_clusters_are_left_out() -> None:
    assert read("requestSizing", REQUEST_SIZING, "two") == ()
    assert read("clusterSizing", CLUSTER_SIZING, "two") == ()
    assert len(read("requestSizing", REQUEST_SIZING, None)) == 2
    assert len(read("unclaimedVolumes", UNCLAIMED, "two")) == 1  # they name no cluster


@pytest.mark.parametrize("body", [[], None, {"Recommendations": None}, {"code": 200, "data": {"recommendations": []}}])
def test_an_answer_without_items_is_understood(body: object) -> None:
    if body is None:
        with pytest.raises(SavingsNotUnderstood, match=r"/model/savings/x.*list of items"):
            read("requestSizing", body)
    else:
        assert read("requestSizing", body) == ()


@pytest.mark.parametrize(
    "body", [{}, "no", [3], {"code": 500, "message": "down"}, [{"monthlySavings": "much"}], {"recommendations": {}}]
)
def test_another_shape_is_not_understood(body: object) -> None:
    with pytest.raises(SavingsNotUnderstood):
        read("requestSizing", body)


def test_every_documented_answer_belongs_to_a_category() -> None:
    found = {path for name in CATEGORIES if (where := drill_down(name)) is not None for path in where.paths[:1]}
    assert found == BEHIND.keys()
