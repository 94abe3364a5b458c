"""What is collected is kept: as the installed program does it, on recorded clusters over real sockets."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.integration.commands import PROGRAM, WHOLE, environment
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

    def answers(self, asked: Asked) -> Any:
        _, name, *rest = asked.path.split("/")
        path = "/" + "/".join(rest)
        is_money = path.startswith(("/allocation", "/assets"))
        self.asked += is_money
        if self.mode == "down" or (self.mode == "failing" and is_money):
            return DOWN
        if self.mode == "slow" and is_money:
            time.sleep(0.1)
        if (self.mode == "nullset" and is_money) or (self.mode == "noassets" and path.startswith("/assets")):
            return Reply(200, b'{"code":200,"status":"success","data":[null]}')
        found = Recording(name).cluster.find(path, asked.params)
        if found is None:
            return NOT_FOUND
        if self.mode != "dearer" or found.status != 200 or not is_money:
            return Reply(found.status, found.body(), found.content_type or "")
        content = json.loads(found.body())
        data = content["data"]
        for rows in data if isinstance(data, list) else [data]:
            for row in (rows or {}).values():
                _make_dearer(row)
        return content


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
    return {key: body[key] for key in (*keys, "currency", "idle_cost", "audited", "not_measured")}


def test_history_survives_its_source(home: Home, upstream: tuple[Upstream, Served]) -> None:
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


def test_collecting_twice_asks_again_and_changes_nothing(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    added(home, server)
    backfill(home)
    first, asked = costs(home), source.asked
    backfill(home)
    assert source.asked - asked >= 6
    assert figures(costs(home)) == figures(first)
    asked = source.asked
    assert "Nothing was collected" in home.call("backfill", "aurora", *THREE_DAYS, "--missing").out
    assert source.asked == asked


@pytest.mark.parametrize(("mode", "code"), [("nullset", 3), ("noassets", 3), ("failing", 3)])
def test_a_source_that_knows_less_takes_nothing_away(
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
    assert all(error is not None for error in errors) or mode == "failing"


def test_a_correction_replaces_the_days_and_can_be_taken_back(home: Home, upstream: tuple[Upstream, Served]) -> None:
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


def test_what_is_not_held_is_asked_for_and_named_where_it_can_t_be_had(
    home: Home, upstream: tuple[Upstream, Served]
) -> None:
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


def test_two_accounts_of_one_cluster_do_not_mix_and_a_removed_one_leaves_its_rows(
    home: Home, upstream: tuple[Upstream, Served]
) -> None:
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


def test_the_calendar_shows_what_is_held(home: Home, upstream: tuple[Upstream, Served]) -> None:
    _, server = upstream
    added(home, server)
    backfill(home)
    shown = home.call("coverage", "aurora", "--start", "2026-11-18", "--end", "2026-11-25")
    assert shown.code == 0
    assert "aurora: 3 days held, 72 h" in shown.out
    (body,) = home.call("coverage", *WHOLE, "--format", "json").json
    assert [(day["day"], day["hours_covered"]) for day in body["days"]] == [
        ("2026-11-20", 24),
        ("2026-11-21", 24),
        ("2026-11-22", 24),
    ]
    assert sum(day["total_cost"] for day in body["days"]) == pytest.approx(costs(home)["summary"]["total_cost"])


def test_what_can_t_be_is_refused(home: Home, upstream: tuple[Upstream, Served]) -> None:
    _, server = upstream
    added(home, server)
    for args, words in (
        (("backfill", "nobody", *THREE_DAYS), "there is no account 'nobody'"),
        (("backfill", "aurora", "--from", "2026-11-20", "--to", "2026-11-20"), "the day after the last one"),
        (("backfill", "aurora", "--from", "20.11.2026", "--to", "2026-11-20"), "write it as 2026-11-20"),
        (("collect", "aurora", "--forever"), "give no account beside it"),
        (("coverage", "nobody"), "there is no account 'nobody'"),
    ):
        done = home.call(*args)
        assert done.code == 2, args
        assert words in done.err


# --- processes that are killed, that meet, and that stop


def started(home: Home, *args: str) -> "subprocess.Popen[bytes]":
    env = environment(KUBETALLY_HOME=str(home.folder))
    return subprocess.Popen([PROGRAM, *args], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def on_disk(home: Home) -> set[tuple[str, int, int]]:
    found = set()
    for file in home.folder.rglob("*"):
        with suppress(OSError):
            state = file.stat()
            found.add((str(file), state.st_size, state.st_mtime_ns))
    return found


def killed_after(home: Home, changes: int) -> int:
    """Backfill, killed when so many changes on disk were seen; how many there were."""
    process, seen, count = started(home, "backfill", "aurora", *THREE_DAYS), on_disk(home), 0
    while process.poll() is None and count < changes:
        now = on_disk(home)
        count, seen = count + (now != seen), now
    process.kill()
    process.wait()
    return count


def held(home: Home, source: Upstream) -> tuple[float, float]:
    """Hours and total of what is held."""
    source.mode = "down"
    done = home.call("costs", "aurora", *WHOLE, "--format", "json", KUBETALLY_ATTEMPTS="1")
    source.mode = "sound"
    if done.code:
        return 0, 0.0
    return done.json["coverage"]["hours_covered"], done.json["summary"]["total_cost"] or 0.0


def test_a_collector_killed_at_any_point_loses_and_doubles_nothing(
    home: Home, upstream: tuple[Upstream, Served], tmp_path: Path
) -> None:
    source, server = upstream
    added(home, server)
    days = [
        home.call("costs", "aurora", "--start", f"2026-11-2{n}", "--end", f"2026-11-2{n + 1}", "--format", "json").json
        for n in range(3)
    ]
    totals, live = [day["summary"]["total_cost"] for day in days], costs(home)
    most = killed_after(home, 10_000)
    assert most > 10, "else there is nothing to be killed in"
    for point in range(10):
        one = Home(tmp_path / f"killed-{point}")
        added(one, server)
        killed_after(one, max(1, round(most * (point + 0.5) / 10)))
        hours, total = held(one, source)
        assert hours in {0, 24, 48, 72}
        possible = {round(sum(days), 3) for days in subsets(totals) if 24 * len(days) == hours}
        assert round(total, 3) in possible
        backfill(one)
        assert figures(costs(one)) == figures(live), point
    source.mode = "dearer"
    for point in range(10):
        killed_after(home, max(1, round(most * (point + 0.5) / 10)))
        source.mode = "sound"
        assert held(home, source)[0] == 72
        source.mode = "dearer"
    backfill(home)
    assert costs(home)["summary"]["network_cost"] == pytest.approx(2 * live["summary"]["network_cost"])


def subsets(items: list[float]) -> Iterator[list[float]]:
    for bits in range(2 ** len(items)):
        yield [item for number, item in enumerate(items) if bits >> number & 1]


def test_two_collectors_at_once_double_nothing(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    added(home, server)
    live, source.mode = costs(home), "slow"
    both = [started(home, "backfill", "aurora", *THREE_DAYS) for _ in range(2)]
    assert 0 in [process.wait(60) for process in both]
    source.mode = "down"
    assert figures(costs(home)) == figures(live)


def test_a_service_collects_by_itself_and_stops_with_what_it_has_begun(
    home: Home, upstream: tuple[Upstream, Served]
) -> None:
    _, server = upstream
    added(home, server)
    service = started(home, "serve", "--port", "0")
    try:
        until = time.monotonic() + 40
        while time.monotonic() < until:
            (body,) = home.call("coverage", *WHOLE, "--format", "json").json
            if len([day for day in body["days"] if day["rows"]]) == 3:
                break
            time.sleep(0.2)
        else:
            raise AssertionError("nothing was collected")
        collectors = children_of(service.pid)
        assert len(collectors) == 1
    finally:
        service.send_signal(signal.SIGTERM)
        assert service.wait(15) == 0
    assert gone(collectors[0])


def test_a_collector_whose_service_was_killed_ends_too(home: Home, upstream: tuple[Upstream, Served]) -> None:
    _, server = upstream
    added(home, server)
    service = started(home, "serve", "--port", "0")
    until = time.monotonic() + 20
    while not (collectors := children_of(service.pid)) and time.monotonic() < until:
        time.sleep(0.1)
    service.kill()
    service.wait()
    assert gone(collectors[0])


def children_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in children.read_text().split()] if children.exists() else []


def gone(pid: int) -> bool:
    until = time.monotonic() + 15
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


# --- backups


def test_a_backup_restores_what_was_held(home: Home, upstream: tuple[Upstream, Served], tmp_path: Path) -> None:
    source, server = upstream
    added(home, server)
    backfill(home)
    before, file = costs(home), tmp_path / "backup.tar"
    done = home.call("backup", str(file))
    assert done.code == 0, done.err
    other = Home(tmp_path / "other")
    done = other.call("restore", str(file))
    assert done.code == 0, done.err
    source.mode = "down"
    assert figures(costs(other)) == figures(before)
    again = other.call("restore", str(file))
    assert again.code == 2
    assert "not empty" in again.err
    cut = tmp_path / "cut.tar"
    cut.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    third = Home(tmp_path / "third")
    done = third.call("restore", str(cut))
    assert done.code == 2
    assert not list((third.folder / "lake").rglob("*.parquet"))
