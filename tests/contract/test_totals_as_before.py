"""Every recorded answer gives the totals that lake version 1 gave, to the micro; see tests/recorded/README.md."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubetally.domain.report import ClusterReport
from kubetally.domain.window import parse_window
from kubetally.ledger.ports.clusters import Cluster
from kubetally.samples.replay import ReplayServer
from kubetally.settings import Settings
from kubetally.wiring.clusters import get_cluster_costs
from tests.recordings import ALL, DAYS, LOSSY, folders, lossy_folders
from tests.served import NOON_AFTER, FixedClock

BEFORE = json.loads(gzip.decompress((Path(__file__).parents[1] / "recorded" / "totals.json.gz").read_bytes()))
_RENAMED = {"unexplained": "difference"}
WINDOWS = {
    **{f"day{number + 1}": ",".join(day) for number, day in enumerate(DAYS)},
    "whole": f"{DAYS[0][0]},{DAYS[-1][1]}",
    "morning": "2026-11-21T00:00:00Z,2026-11-21T12:00:00Z",
}


@pytest.fixture(scope="module")
def all_recordings() -> Iterator[ReplayServer]:
    with ReplayServer(folders() | lossy_folders()) as server:
        yield server


def ratios(efficiency: tuple[float | None, ...]) -> list[float | None]:
    return [None if ratio is None else round(ratio, 9) for ratio in efficiency]


def totals(costs: ClusterReport) -> dict[str, Any]:
    return {
        "bill": [*costs.bill],
        "source_total": costs.source_total,
        "status": costs.status.value,
        "lines": {line.kind.value: [*line.costs] for line in costs.lines},
        "network_classes": [*costs.network_classes],
        "namespaces": {str(*row.key): [*row.costs, ratios(row.efficiency)] for row in costs.by("namespace")},
        "pods": {
            "/".join(map(str, pod.key)): [
                [*pod.costs],
                round(pod.minutes, 6),
                [*pod.nodes],
                ratios(pod.efficiency),
            ]
            for pod in costs.rows
        },
    }


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("recording", [*ALL, *LOSSY])
async def test_totals_are_those_of_version_1(all_recordings: ReplayServer, recording: str, window: str) -> None:
    costs = await get_cluster_costs(
        Cluster(all_recordings.url_of(recording)),
        parse_window(WINDOWS[window], NOON_AFTER),
        settings=Settings(),
        clock=FixedClock(),
    )
    before = BEFORE[f"{recording}/{window}"]
    before = {**before, "lines": {_RENAMED.get(kind, kind): costs for kind, costs in before["lines"].items()}}
    assert totals(costs) == before
