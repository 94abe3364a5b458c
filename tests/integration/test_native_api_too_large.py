"""`/api/v1` refuses an answer that has too many rows, whatever they are of, and says what to do."""

from pathlib import Path
from typing import Any

import pytest

from kubetally.domain.allocation import Kind
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.collection import window_of
from kubetally.domain.component import Costs
from kubetally.domain.row import Row
from kubetally.query.groups import MAX_GROUPS
from tests.cluster_days import DAY, cluster_day
from tests.native import DAYS, ONE, Home, native_client

HALF = {f"key-{number}": "x" for number in range(MAX_GROUPS // 2 + 1)}
POD = Row(Kind.WORKLOAD, namespace="shop", pod="web", labels=HALF, namespace_labels=HALF)


def nodes(count: int) -> list[Asset]:
    window, one = window_of(DAY), Costs(cpu=1)
    names = [f"node-{number}" for number in range(count)]
    return [Asset(AssetType.NODE, name, frozenset({name}), window, one, labels={}) for name in names]


@pytest.mark.parametrize(
    ("path", "day"),
    [
        ("labels", {"rows": [POD]}),
        ("assets", {"assets": nodes(MAX_GROUPS + 1)}),
    ],
)
def test_too_many_rows_are_refused_with_a_remedy(tmp_path: Path, path: str, day: dict[str, Any]) -> None:
    home = Home(tmp_path)
    home.store(cluster_day(ONE, 1, **day))
    with native_client(home) as client:
        response = client.get(f"/api/v1/{path}", params=DAYS)
    body = response.json()
    assert (response.status_code, body["code"]) == (400, "query_too_large")
    assert "more than 100,000 rows: ask for fewer days, group by less, or filter" in body["detail"]
