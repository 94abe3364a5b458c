"""Recorded clusters that a test may break, make dearer or slow, and the program run on accounts of them."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.commands import PROGRAM, environment
from tests.integration.test_accounts_command import Home
from tests.recordings import Recording
from tests.served import NOT_FOUND, Asked, Reply, Served

THREE_DAYS = ("--from", "2026-11-20", "--to", "2026-11-23")
CLUSTERS = ("aurora", "cygnus", "draco")
DOWN = Reply(503, b"down", "text/plain")


class Upstream:
    """Recorded clusters, each below its name, that a test may break or make dearer."""

    def __init__(self) -> None:
        self.mode = "sound"
        self.asked = 0
        self._seen: list[Asked] = []

    def answers(self, asked: Asked) -> Any:
        _, name, *rest = asked.path.split("/")
        path = "/" + "/".join(rest)
        is_money = path.startswith(("/allocation", "/assets"))
        self.asked += is_money
        if self.mode == "slow" and is_money:
            time.sleep(0.1)
        instead = self._instead(path, is_money)
        if self.mode == "anyday" and is_money:
            instead = _of_any_day(name, path, asked)
        is_first = asked not in self._seen
        self._seen.append(asked)
        if self.mode == "flapping" and is_first:
            return DOWN
        if instead is not None:
            return instead
        found = Recording(name).cluster.find(path, asked.params)
        if found is None:
            return NOT_FOUND
        changes = {"dearer": _make_dearer, "cheaper": _make_cheaper}
        if found.status == 200 and is_money and self.mode in changes:
            return _changed(found.body(), changes[self.mode])
        if found.status == 200 and is_money and self.mode == "wrongday":
            return Reply(200, found.body().replace(b"2026-11-", b"2026-10-"))
        return Reply(found.status, found.body(), found.content_type or "")

    def _instead(self, path: str, is_money: bool) -> Reply | None:
        """What stands for the recorded answer."""
        if self.mode == "down" or (self.mode == "failing" and is_money):
            return DOWN
        if (self.mode == "nullset" and is_money) or (self.mode == "noassets" and path.startswith("/assets")):
            return Reply(200, b'{"code":200,"status":"success","data":[null]}')
        return None


def _of_any_day(name: str, path: str, asked: Asked) -> Reply:
    """The recorded answer for 2026-11-20, as of the day that is asked for."""
    start, end = (instant[:10].encode() for instant in asked.params["window"].split(","))
    window = {"window": "2026-11-20T00:00:00Z,2026-11-21T00:00:00Z"}
    found = Recording(name).cluster.find(path, asked.params | window)
    assert found is not None
    dates = {b"2026-11-20": start, b"2026-11-21": end}
    return Reply(200, re.sub(rb"2026-11-2[01]", lambda match: dates[match[0]], found.body()))


def _changed(body: bytes, change: Callable[[dict[str, Any]], None]) -> Any:
    content = json.loads(body)
    data = content["data"]
    for rows in data if isinstance(data, list) else [data]:
        for row in (rows or {}).values():
            change(row)
    return content


def _make_cheaper(row: dict[str, Any]) -> None:
    """Half of every cost, in rows and on the bill."""
    for key, value in row.items():
        if key.endswith("Cost") and isinstance(value, int | float):
            row[key] = value / 2
    for part in [*(row.get("pvs") or {}).values(), *(row.get("lbAllocations") or {}).values()]:
        part["cost"] /= 2


def _make_dearer(row: dict[str, Any]) -> None:
    """Twice the traffic, in rows and on the bill."""
    if "networkCost" in row:
        row["totalCost"] += row["networkCost"]
        row["networkCost"] *= 2
    elif row.get("type") == "Network":
        row["totalCost"] *= 2


@pytest.fixture
def upstream() -> Iterator[tuple[Upstream, Served]]:
    one = Upstream()
    with Served(one.answers) as server:
        yield one, server


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def added(home: Home, server: Served, name: str = "aurora", **more: str) -> str:
    return home.add(name, "--url", f"{server.url}/{name}", **more)


def backfill(home: Home, name: str = "aurora", *more: str) -> str:
    done = home.call("backfill", name, *THREE_DAYS, *more)
    assert done.code == 0, done.err
    return done.out


def costs(home: Home, name: str = "aurora", by: str = "workload") -> Any:
    return home.costs(name, "--by", by)


def figures(body: dict[str, Any]) -> dict[str, Any]:
    """What has to be the same, stored or live."""
    keys = ("summary", "lines", "breakdown", "breakdown_by_namespace", "breakdown_by_workload", "efficiency", "status")
    return {key: body[key] for key in (*keys, "currency", "idle_cost", "assets_complete", "not_measured")}


def started(home: Home, *args: str, stderr: int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
    """The installed program, running."""
    env = environment(KUBETALLY_HOME=str(home.folder), **home.settings)
    return subprocess.Popen([PROGRAM, *args], env=env, stdout=subprocess.DEVNULL, stderr=stderr)
