"""Collectors that are killed, that meet, that stop, and whose disk is full: nothing is lost and nothing doubled."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path

import pytest

from tests.integration.commands import WHOLE
from tests.integration.small_disk import fill
from tests.integration.test_accounts_command import Home
from tests.integration.upstream import THREE_DAYS, Upstream, added, backfill, costs, figures, started
from tests.served import Served


def on_disk(home: Home) -> set[tuple[str, int, int]]:
    found = set()
    for file in home.folder.rglob("*"):
        with suppress(OSError):
            state = file.stat()
            found.add((str(file), state.st_size, state.st_mtime_ns))
    return found


def killed_after(home: Home, changes: int) -> int:
    """Backfill, killed when so many changes on disk were seen; how many there were."""
    process, count = started(home, "backfill", "aurora", *THREE_DAYS), watched(home)
    seen = 0
    while process.poll() is None and seen < changes:
        seen = next(count)
    process.kill()
    process.wait()
    return seen


def watched(home: Home) -> Iterator[int]:
    """How many changes on disk were seen so far, each time that it is looked at."""
    before, count = on_disk(home), 0
    while True:
        time.sleep(0.0005)
        now = on_disk(home)
        count, before = count + (now != before), now
        yield count


def held(home: Home, source: Upstream) -> tuple[float, float]:
    """Hours and total of what is held."""
    source.mode = "down"
    done = home.call("costs", "aurora", *WHOLE, "--format", "json", KUBETALLY_ATTEMPTS="1")
    source.mode = "sound"
    if done.code:  # the source is away, and nothing is held: a lake that can't be read is no such thing
        assert (done.code, "is unavailable" in done.err, "lake" in done.err) == (3, True, False), done.err
        return 0, 0.0
    return done.json["coverage"]["hours_covered"], done.json["summary"]["total_cost"] or 0.0


POINTS = 6
"""Kills of each of two tests: one random point in each of as many equal parts of a run."""


def points(most: int) -> list[int]:
    """After how many changes on disk to kill; drawn anew each time, and told by a test that fails."""
    return [max(1, round(most * (part + random.random()) / POINTS)) for part in range(POINTS)]  # noqa: S311


@pytest.mark.timeout(300)  # a process is started for every point, on a machine that may be busy
def test_a_collector_killed_at_any_point_loses_and_doubles_nothing(
    home: Home, upstream: tuple[Upstream, Served], tmp_path: Path
) -> None:
    source, server = upstream
    added(home, server)
    totals, live = totals_of_days(home), costs(home)
    most = killed_after(home, 10_000)
    assert most > POINTS, "else there is nothing to be killed in"
    assert figures(costs(home)) == figures(live)
    for number, point in enumerate(points(most)):
        one = Home(tmp_path / f"killed-{number}")
        added(one, server)
        killed_after(one, point)
        hours, total = held(one, source)
        assert hours in {0, 24, 48, 72}
        assert round(total, 3) in {round(sum(days), 3) for days in subsets(totals) if 24 * len(days) == hours}
        backfill(one)
        assert figures(costs(one)) == figures(live), point


@pytest.mark.timeout(300)
def test_killed_collector_leaves_old_or_new_days(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    added(home, server)
    old, live, source.mode = totals_of_days(home), costs(home), "dearer"
    new, dearer, source.mode = totals_of_days(home), costs(home), "sound"
    most = killed_after(home, 10_000)
    either = {round(sum(days), 3) for days in product(*zip(old, new, strict=True))}
    for number, point in enumerate(points(most)):
        source.mode = "dearer" if number % 2 == 0 else "sound"
        killed_after(home, point)
        hours, total = held(home, source)
        assert hours == 72, point
        assert round(total, 3) in either, point
    for mode, body in (("dearer", dearer), ("sound", live)):
        source.mode = mode
        backfill(home)
        assert figures(costs(home)) == figures(body)


def totals_of_days(home: Home) -> list[float]:
    """What the source tells of each of the three days."""
    days = [("--start", f"2026-11-2{number}", "--end", f"2026-11-2{number + 1}") for number in range(3)]
    bodies = [home.call("costs", "aurora", *day, "--format", "json").json for day in days]
    return [body["summary"]["total_cost"] for body in bodies]


def subsets(items: list[float]) -> Iterator[list[float]]:
    for bits in range(2 ** len(items)):
        yield [item for number, item in enumerate(items) if bits >> number & 1]


def test_stopped_collector_finishes_its_commit(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    added(home, server)
    live = costs(home)
    for point in (1, 6, 12):
        process = started(home, "backfill", "aurora", *THREE_DAYS, stderr=subprocess.PIPE)
        count = watched(home)
        while process.poll() is None and next(count) < point:
            pass
        process.terminate()
        told = process.communicate(timeout=20)[1].decode()
        assert process.returncode in {0, 130}
        assert process.returncode == 0 or "stopped: " in told
        assert held(home, source)[0] in {0, 24, 48, 72}
    backfill(home, "aurora", "--missing")
    source.mode = "down"
    assert figures(costs(home)) == figures(live)


@pytest.mark.parametrize(("small_disk", "on_it"), [("1m", "lake"), ("16m", "home")], indirect=["small_disk"])
def test_collecting_continues_after_a_full_disk(
    home: Home, upstream: tuple[Upstream, Served], small_disk: Path, on_it: str
) -> None:
    source, server = upstream
    if on_it == "home":
        home = Home(small_disk / "home")
    else:
        home = Home(home.folder, {"KUBETALLY_LAKE_URL": str(small_disk / "lake")})
    added(home, server)
    backfill(home)
    first = costs(home)
    fill(small_disk / "pad", leaving=0)
    source.mode = "dearer"
    done = home.call("backfill", "aurora", *THREE_DAYS)
    assert done.code == 3
    assert "space" in done.err or "full" in done.err
    assert "Traceback" not in done.err
    source.mode = "down"
    if on_it == "home":  # SQLite can't be read without space for its own files
        done = home.call("costs", "aurora", *WHOLE)
        assert (done.code, "its disk has space" in done.err) == (3, True)
        (small_disk / "pad").unlink()
    assert figures(costs(home)) == figures(first)
    (small_disk / "pad").unlink(missing_ok=True)
    source.mode = "dearer"
    backfill(home)
    assert costs(home)["summary"]["network_cost"] == pytest.approx(2 * first["summary"]["network_cost"])


def test_two_collectors_at_once_double_nothing(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    added(home, server)
    live, source.mode = costs(home), "slow"
    both = [started(home, "backfill", "aurora", *THREE_DAYS) for _ in range(2)]
    assert 0 in [process.wait(90) for process in both]
    source.mode = "down"
    assert figures(costs(home)) == figures(live)


def test_second_collector_leaves_or_stands_by(home: Home, upstream: tuple[Upstream, Served]) -> None:
    _, server = upstream
    added(home, server)
    first = started(home, "collect", "--forever")
    second = None
    try:
        until = time.monotonic() + 30
        while "Nothing collected" not in (told := home.call("collect").out) and time.monotonic() < until:
            time.sleep(0.2)
        assert f"process {first.pid} on" in told
        second = started(home, "collect", "--forever")
        time.sleep(2)
        first.kill()
        first.wait()
        while f"process {second.pid} on" not in home.call("collect").out and time.monotonic() < until + 30:
            time.sleep(0.2)
        assert f"process {second.pid} on" in home.call("collect").out
    finally:
        for process in filter(None, (first, second)):
            process.terminate()
            assert process.wait(20) in {0, -signal.SIGKILL}


def test_service_collects_and_finishes_before_it_stops(home: Home, upstream: tuple[Upstream, Served]) -> None:
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
