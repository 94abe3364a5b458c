"""Answers that are kept, and interpreted again by `kubetally replay`."""

import gzip
import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from kubetally.domain.window import DAY as DAY_LENGTH
from kubetally.domain.window import Window, parse_instant
from kubetally.ledger.ports.clusters import Cluster
from kubetally.masking import Mask
from kubetally.samples.replay import ReplayServer
from kubetally.settings import Settings
from kubetally.sources.faults import Answer, SourceFailed
from kubetally.sources.kept import AnswerFolder, KeptFileDamaged, KeptKind, open_kept
from kubetally.sources.opencost.interpret import ReadingRequest, SourceAnswers, interpret
from kubetally.sources.opencost.kept import keep_costs, read_costs, reading_of
from tests.integration.commands import WHOLE
from tests.integration.metrics_servers import Prometheus
from tests.integration.small_disk import fill, small_disk
from tests.integration.test_accounts_command import Home, home
from tests.integration.test_savings_collected import Kubecost
from tests.integration.upstream import THREE_DAYS
from tests.kubecost_savings import CATEGORIES
from tests.opened import open_source
from tests.recordings import DAYS, Recording
from tests.served import Served

__all__ = ["home", "small_disk"]
RecordedPrometheus = Callable[[str], Prometheus]
DAY = Window(*map(parse_instant, DAYS[0]))
QUESTION = ReadingRequest("http://***@source", DAY, currency="EUR")
FAILED = "when its answers were kept, the source failed: "
TOKEN = "a-token-nobody-may-read"


def answers() -> SourceAnswers:
    def answer(name: str) -> Answer:
        body = Recording("draco").body(name)
        return Answer(200, body, "application/json", None, DAY.end, 0.5, QUESTION.url, Mask([TOKEN]))

    return SourceAnswers(answer("allocation-day1-idle"), answer("assets-day1"), {"awsServiceKeySecret": TOKEN})


def only_file(folder: Path) -> Path:
    [file] = folder.iterdir()
    return file


def test_kept_answers_give_the_same_reading(tmp_path: Path) -> None:
    for change in (
        {},
        {"assets": SourceFailed("http://source", 500, "boom")},
        {"configs": {"currencyCode": "EUR"}, "clock_difference": timedelta(minutes=7)},
    ):
        folder = tmp_path / f"kept-{len(list(tmp_path.iterdir()))}"
        given = replace(answers(), **change)  # type: ignore[arg-type]
        keep_costs(AnswerFolder(folder, "some-id", "1.2.3"), given, QUESTION)
        file = open_kept(only_file(folder))
        now, before = reading_of(file), interpret(given, QUESTION)
        assert (file.account, read_costs(file)[1]) == ("some-id", QUESTION)
        messages = [issue.message.removeprefix(FAILED) for issue in now.issues]
        assert messages == [issue.message for issue in before.issues]
        assert replace(now, issues=()) == replace(before, issues=())


def test_kept_file_is_private_and_has_no_credentials(tmp_path: Path) -> None:
    keep_costs(AnswerFolder(tmp_path / "kept", None, "1.2.3"), answers(), QUESTION)
    file = only_file(tmp_path / "kept")
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)
    assert TOKEN.encode() not in gzip.decompress(file.read_bytes())


def test_folder_that_can_not_be_written_is_logged(tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("no folder")
    with capture_logs() as logged:
        keep_costs(AnswerFolder(tmp_path / "a-file", "some-id", "1.2.3"), answers(), QUESTION)
        keep_costs(AnswerFolder(Path("/dev/null/kept"), "some-id", "1.2.3"), answers(), QUESTION)
    assert [(line["event"], line["error"], line["folder"]) for line in logged] == [
        ("answers_not_kept", "File exists", str(tmp_path / "a-file")),
        ("answers_not_kept", "Not a directory", "/dev/null/kept"),
    ]


def test_full_disk_is_logged_and_leaves_no_file(small_disk: Path) -> None:
    fill(small_disk / "rest", leaving=8192)
    with capture_logs() as logged:
        keep_costs(AnswerFolder(small_disk / "kept", "some-id", "1.2.3"), answers(), QUESTION)
    assert [line["event"] for line in logged] == ["answers_not_kept"]
    assert list((small_disk / "kept").iterdir()) == []


def test_collecting_goes_on_where_nothing_can_be_kept(home: Home, replay: ReplayServer) -> None:
    home.add("prod", "--url", replay.url_of("draco"))
    done = home.call("backfill", "prod", *THREE_DAYS, KUBETALLY_KEEP_ANSWERS="/dev/null/kept")
    assert (done.code, "Collected 3 days" in done.out) == (0, True)


DAMAGES: Mapping[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) // 2],
    "garbage": lambda content: b"no gzip",
    "head": lambda content: gzip.compress(b"{}\n"),
    "length": lambda content: gzip.compress(gzip.decompress(content) + b" "),
    "negative": lambda content: with_head(content, lambda head: head["answers"][0].update(size_bytes=-1)),
    "huge": lambda content: with_head(content, lambda head: head["answers"][0].update(size_bytes=10**30)),
    "clock": lambda content: with_head(content, lambda head: head["facts"].update(clock_difference_seconds=1e300)),
    "window": lambda content: with_head(content, lambda head: head.update(end="2020-01-01T00:00:00Z")),
    "no zone": lambda content: with_head(content, lambda head: head.update(start="2020-01-01T00:00:00")),
    "newer": lambda content: with_head(content, lambda head: head.update(format=2)),
}


def with_head(content: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """A kept file whose head says something else."""
    head, _, bodies = gzip.decompress(content).partition(b"\n")
    facts = json.loads(head)
    change(facts)
    return gzip.compress(json.dumps(facts).encode() + b"\n" + bodies)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_named_once(tmp_path: Path, damage: str) -> None:
    keep_costs(
        AnswerFolder(tmp_path / "kept", None, "1.2.3"), replace(answers(), clock_difference=timedelta()), QUESTION
    )
    file = only_file(tmp_path / "kept")
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    with pytest.raises(KeptFileDamaged) as raised:
        reading_of(open_kept(file))
    assert str(raised.value).count(file.name) == 1


@pytest.fixture
def kept(tmp_path: Path, home: Home, replay: ReplayServer) -> Path:
    """A folder with the kept answers of three stored days."""
    folder = tmp_path / "kept"
    home.add("prod", "--url", replay.url_of("draco"))
    collected = home.call("backfill", "prod", *THREE_DAYS, KUBETALLY_KEEP_ANSWERS=str(folder))
    assert collected.code == 0, collected.err
    return folder


def replayed(home: Home, kept: Path, *, code: int) -> list[dict[str, Any]]:
    """What it prints as JSON of the files that say something of a day."""
    done = home.call("replay", str(kept), "--format", "json")
    assert done.code == code, done.err
    return [one for one in json.loads(done.out) if one["outcome"] not in {"no_data", "other_answer"}]


def test_replay_agrees_with_the_stored_days(home: Home, kept: Path) -> None:
    told = home.call("replay", str(kept))
    assert (told.code, told.err) == (0, "")
    days = [line for line in told.out.splitlines() if "prod" in line]
    assert [(line.split(" UTC")[0], line.split("  ")[-1]) for line in days] == [
        (day, "same as stored") for day in ("20 Nov 2026", "21 Nov 2026", "22 Nov 2026")
    ]
    found = replayed(home, kept, code=0)
    assert [one["outcome"] for one in found] == ["same"] * 3
    assert all(not one["differences"] and one["total_cost"] > 0 for one in found)


def test_replay_counts_answers_without_data_in_one_line(home: Home, kept: Path) -> None:
    nothing = Answer(200, b'{"code":200,"data":[{}]}', "application/json", None, DAY.end, 0.5, QUESTION.url, Mask([]))
    for days in (1, 2):
        window = Window(DAY.start - days * DAY_LENGTH, DAY.end - days * DAY_LENGTH)
        keep_costs(
            AnswerFolder(kept, "some-id", "1.2.3"), SourceAnswers(nothing, nothing), replace(QUESTION, window=window)
        )
    told = home.call("replay", str(kept))
    assert (told.code, told.out.splitlines()[-1], len(told.out.splitlines())) == (0, "2 files without data", 4)


def change_first_day(kept: Path, change: Callable[[dict[str, Any], bytes], bytes]) -> None:
    """Rewrite the costs of the first stored day."""
    rewrite(kept, "2026-11-20T00_costs", change)


def rewrite(kept: Path, start: str, change: Callable[[dict[str, Any], bytes], bytes]) -> None:
    """Rewrite the first file of such a name; `change` gets its head and bodies, and returns the bodies."""
    file = next(file for file in sorted(kept.iterdir()) if file.name.startswith(start))
    head, _, bodies = gzip.decompress(file.read_bytes()).partition(b"\n")
    facts = json.loads(head)
    bodies = change(facts, bodies)
    file.write_bytes(gzip.compress(json.dumps(facts).encode() + b"\n" + bodies))


def without_assets(facts: dict[str, Any], bodies: bytes) -> bytes:
    facts["facts"]["assets_error"] = "was away"
    del facts["answers"][1]
    return bodies[: facts["answers"][0]["size_bytes"]]


def test_replay_names_what_differs(home: Home, kept: Path) -> None:
    change_first_day(kept, without_assets)
    told = home.call("replay", str(kept))
    lines = told.out.splitlines()
    assert (told.code, lines[0].split("  ")[-1]) == (1, "differs from the stored day:")
    assert "    issue not audited: not in the stored day" in lines
    first = replayed(home, kept, code=1)[0]
    assert first["outcome"] == "different"
    assert {"figure": "issue", "name": "not_audited", "component": None, "replayed": "not_audited", "stored": None} in (
        first["differences"]
    )


def test_replay_sees_renamed_namespaces_and_changed_requests(home: Home, kept: Path) -> None:
    def renamed(facts: dict[str, Any], bodies: bytes) -> bytes:
        length = facts["answers"][0]["size_bytes"]
        rows = bodies[:length].replace(b'"namespace":"', b'"namespace":"other-')
        assert rows != bodies[:length]
        rows = rows.replace(b'"cpuCoreRequestAverage":', b'"cpuCoreRequestAverage":1')
        facts["answers"][0]["size_bytes"] = len(rows)
        return rows + bodies[length:]

    change_first_day(kept, renamed)
    first, *others = replayed(home, kept, code=1)
    assert [one["outcome"] for one in others] == ["same", "same"]
    by_figure = {difference["figure"] for difference in first["differences"]}
    assert {"namespace_cost", "pod_cost"} <= by_figure
    assert "component_cost" not in by_figure  # the bill is the same, and yet something is not


def test_replay_compares_the_answer_that_was_stored(home: Home, kept: Path) -> None:
    """An older answer of a day that was collected again is not held against the newer one."""
    change_first_day(kept, without_assets)
    again = home.call(
        "backfill", "prod", "--from", "2026-11-20", "--to", "2026-11-21", KUBETALLY_KEEP_ANSWERS=str(kept)
    )
    assert again.code == 0, again.err
    told = home.call("replay", str(kept))
    assert (told.code, told.out.splitlines()[0].split("  ")[-1]) == (0, "same as stored")
    assert "not compared: another answer was stored" in told.out
    newest = max(
        (file for file in kept.iterdir() if file.name.startswith("2026-11-20T00_costs")),
        key=lambda file: file.stat().st_mtime,
    )
    newest.unlink()
    assert replayed(home, kept, code=0)[0]["outcome"] == "collected_later"


def test_replay_names_a_damaged_stored_day(home: Home, kept: Path) -> None:
    for file in (home.folder / "lake" / "allocations").rglob("*.parquet"):
        file.unlink()
    told = home.call("replay", str(kept))
    assert (told.code, told.out.count("stored day can't be read")) == (1, 3)
    assert [day["outcome"] for day in replayed(home, kept, code=1)] == ["damaged"] * 3


def test_replay_names_a_damaged_file(home: Home, kept: Path) -> None:
    file = next(file for file in sorted(kept.iterdir()) if file.name.startswith("2026-11-21T00_costs"))
    for size in (100, file.stat().st_size - 100):
        os.truncate(file, size)
        [broken] = [day for day in replayed(home, kept, code=1) if day["outcome"] == "unreadable"]
        assert (broken["code"], broken["file"]) == ("kept_file_damaged", file.name)
        assert file.name in home.call("replay", str(kept)).out


def test_replay_says_whose_answer_it_is(home: Home, kept: Path, tmp_path: Path) -> None:
    assert home.call("accounts", "remove", "prod", "--yes").code == 0
    assert "  prod  " in home.call("replay", str(kept)).out
    assert home.call("accounts", "purge", "prod", "--yes").code == 0
    assert [day["outcome"] for day in replayed(home, kept, code=1)] == ["not_stored"] * 3
    assert "  prod  " in home.call("replay", str(kept)).out
    elsewhere = Home(tmp_path / "another").call("replay", str(kept))
    assert "(of another database)" in elsewhere.out
    assert "no day was compared" in elsewhere.err


def test_replay_of_an_empty_folder_says_so(home: Home, tmp_path: Path) -> None:
    told = home.call("replay", str(tmp_path))
    assert told.code != 0
    assert "KUBETALLY_KEEP_ANSWERS" in told.err


@pytest.fixture
def kept_metrics(tmp_path: Path, home: Home, replay: ReplayServer, recorded_prometheus: RecordedPrometheus) -> Path:
    """A folder with the kept answers of three stored days whose management fee a Prometheus measured."""
    folder = tmp_path / "kept-metrics"
    home.add("prod", "--url", replay.url_of("cygnus"), "--prometheus-url", recorded_prometheus("cygnus").url)
    collected = home.call("backfill", "prod", *THREE_DAYS, KUBETALLY_KEEP_ANSWERS=str(folder))
    assert collected.code == 0, collected.err
    return folder


def test_replay_interprets_answers_of_prometheus(home: Home, kept_metrics: Path) -> None:
    found = replayed(home, kept_metrics, code=0)
    assert [day["outcome"] for day in found] == ["same"] * 3
    assert all(not day["differences_of_other_answers"] for day in found)
    assert len(list(kept_metrics.glob("*_metrics_*"))) == 3


def test_replay_sees_another_management_fee(home: Home, kept_metrics: Path) -> None:
    def doubled(facts: dict[str, Any], bodies: bytes) -> bytes:
        changed = b""
        for answer in facts["answers"]:
            body, bodies = bodies[: answer["size_bytes"]], bodies[answer["size_bytes"] :]
            if "kubecost_cluster_management_cost" in dict(answer["params"])["query"]:
                decoded = json.loads(body)
                for series in decoded["data"]["result"]:
                    if series["metric"].get("is") == "fee":
                        series["values"] = [[at, str(2 * float(value))] for at, value in series["values"]]
                body = json.dumps(decoded).encode()
            answer["size_bytes"] = len(body)
            changed += body
        return changed

    rewrite(kept_metrics, "2026-11-20T00_metrics", doubled)
    first, *others = replayed(home, kept_metrics, code=1)
    assert [day["outcome"] for day in others] == ["same", "same"]
    assert {"figure": "component_cost", "name": "management", "component": None, "replayed": 4.8, "stored": 2.4} in (
        first["differences"]
    )


def test_replay_without_metrics_leaves_their_figures_apart(home: Home, kept_metrics: Path) -> None:
    for file in kept_metrics.glob("*_metrics_*"):
        file.unlink()
    found = replayed(home, kept_metrics, code=0)
    assert [day["outcome"] for day in found] == ["same"] * 3
    assert all(
        "management" in {difference["name"] for difference in day["differences_of_other_answers"]} for day in found
    )


@pytest.mark.parametrize("kind", ["metrics", "hours"])
def test_damaged_file_beside_a_day_is_named(home: Home, request: pytest.FixtureRequest, kind: str) -> None:
    folder = request.getfixturevalue("kept_metrics" if kind == "metrics" else "kept")
    file = min(folder.glob(f"*_{kind}_*"))
    os.truncate(file, file.stat().st_size - 100)
    [broken] = [day for day in replayed(home, folder, code=1) if day["outcome"] == "unreadable"]
    assert (broken["code"], file.name in broken["error"]) == ("kept_file_damaged", True)


@pytest.mark.parametrize("kind", ["metrics", "hours", "costs"])
def test_answer_that_can_not_be_interpreted_is_named(home: Home, request: pytest.FixtureRequest, kind: str) -> None:
    def garbage(facts: dict[str, Any], bodies: bytes) -> bytes:
        for answer in facts["answers"]:
            answer["size_bytes"] = 3
        return b"xxx" * len(facts["answers"])

    folder = request.getfixturevalue("kept_metrics" if kind == "metrics" else "kept")
    rewrite(folder, f"2026-11-21T00_{kind}", garbage)
    outcomes = [day["outcome"] for day in replayed(home, folder, code=1)]
    assert outcomes == ["same", "unreadable", "same"]


def test_changed_currency_of_an_account_is_no_difference(home: Home, kept: Path) -> None:
    assert home.call("accounts", "update", "prod", "--currency", "EUR").code == 0
    assert [day["outcome"] for day in replayed(home, kept, code=0)] == ["same"] * 3


def test_answer_of_another_command_is_not_compared(home: Home, kept: Path) -> None:
    for file in kept.iterdir():
        file.unlink()
    assert home.call("verify", "prod", *WHOLE, KUBETALLY_KEEP_ANSWERS=str(kept)).code == 0
    change_first_day(kept, without_assets)
    assert [day["outcome"] for day in replayed(home, kept, code=1)] == ["collected_later"] * 3


def test_replay_sees_changed_labels_and_assets(home: Home, kept: Path) -> None:
    def changed(facts: dict[str, Any], bodies: bytes) -> bytes:
        length = facts["answers"][0]["size_bytes"]
        rows, assets = json.loads(bodies[:length]), json.loads(bodies[length:])
        for row in rows["data"][0].values():
            row["properties"]["labels"] = {"team": "another"}
        for asset in assets["data"].values():
            if asset["type"] == "LoadBalancer":
                asset["totalCost"] += 1
                asset["adjustment"] = 1
        changed_rows, changed_assets = json.dumps(rows).encode(), json.dumps(assets).encode()
        facts["answers"][0]["size_bytes"], facts["answers"][1]["size_bytes"] = len(changed_rows), len(changed_assets)
        return changed_rows + changed_assets

    change_first_day(kept, changed)
    first = replayed(home, kept, code=1)[0]
    figures = {difference["figure"] for difference in first["differences"]}
    assert {"row_field", "asset_cost"} <= figures
    [line] = [difference for difference in first["differences"] if difference["figure"] == "asset_cost"][:1]
    assert line["name"].startswith("load_balancer ")


def test_replay_interprets_answers_by_the_hour(home: Home, kept: Path) -> None:
    """A gap that only the hours show takes these hours from the day."""

    def without_two_hours(facts: dict[str, Any], bodies: bytes) -> bytes:
        decoded = json.loads(bodies)
        decoded["data"][10:12] = [{}, {}]
        changed = json.dumps(decoded).encode()
        facts["answers"][0]["size_bytes"] = len(changed)
        return changed

    rewrite(kept, "2026-11-21T00_hours", without_two_hours)
    _, second, _ = replayed(home, kept, code=1)
    assert {"figure": "hours_covered", "name": None, "component": None, "replayed": 22.0, "stored": 24.0} in (
        second["differences"]
    )


async def test_savings_are_kept_as_they_were_answered(tmp_path: Path) -> None:
    with Served(Kubecost()) as served:
        settings = Settings(attempts=1, keep_answers=str(tmp_path / "kept"))
        async with open_source(Cluster(served.url), settings) as source:
            await source.savings()
            await source.savings_items("requestSizing", DAY)
    files = [open_kept(file) for file in sorted((tmp_path / "kept").iterdir())]
    assert {file.kind for file in files} == {KeptKind.SAVINGS}
    [items] = [file for file in files if file.window == DAY]
    [summary] = [file for file in files if file.window != DAY]
    [kept] = items.read()
    assert (kept.path, kept.params) == ("/savings/requestSizingV2", [("window", str(DAY))])
    assert json.loads(summary.read()[0].answer.body)["data"] == CATEGORIES
