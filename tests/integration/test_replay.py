"""Answers that are kept, and interpreted again by `kubetally replay`."""

import gzip
import json
import os
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from kubetally.domain.window import Window, parse_instant
from kubetally.masking import Mask
from kubetally.samples.replay import ReplayServer
from kubetally.sources.faults import Answer, SourceFailed
from kubetally.sources.opencost.interpret import SourceAnswers, SourceQuestion, interpret
from kubetally.sources.opencost.kept import KeptFileDamaged, keep, read_kept
from tests.integration.small_disk import fill, small_disk
from tests.integration.test_accounts_command import Home, home
from tests.integration.upstream import THREE_DAYS
from tests.recordings import DAYS, Recording

__all__ = ["home", "small_disk"]
DAY = Window(*map(parse_instant, DAYS[0]))
QUESTION = SourceQuestion("http://***@source", DAY, currency="EUR")
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
        keep(folder, "some-id", "1.2.3", given, QUESTION)
        kept = read_kept(only_file(folder))
        now, before = interpret(kept.answers, kept.question), interpret(given, QUESTION)
        assert (kept.account, kept.question) == ("some-id", QUESTION)
        messages = [one.message.removeprefix(FAILED) for one in now.issues]
        assert messages == [one.message for one in before.issues]
        assert replace(now, issues=()) == replace(before, issues=())


def test_kept_file_is_private_and_has_no_credentials(tmp_path: Path) -> None:
    keep(tmp_path / "kept", None, "1.2.3", answers(), QUESTION)
    file = only_file(tmp_path / "kept")
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)
    assert TOKEN.encode() not in gzip.decompress(file.read_bytes())


def test_folder_that_can_not_be_written_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("no folder")
    with capture_logs() as logged:
        keep(tmp_path / "a-file", "some-id", "1.2.3", answers(), QUESTION)
        keep(Path("/dev/null/kept"), "some-id", "1.2.3", answers(), QUESTION)
    assert [(one["event"], one["error"]) for one in logged] == [
        ("answers_not_kept", "File exists"),
        ("answers_not_kept", "Not a directory"),
    ]


def test_full_disk_is_a_warning_and_leaves_no_file(small_disk: Path) -> None:
    fill(small_disk / "rest", leaving=8192)
    with capture_logs() as logged:
        keep(small_disk / "kept", "some-id", "1.2.3", answers(), QUESTION)
    assert [one["event"] for one in logged] == ["answers_not_kept"]
    assert list((small_disk / "kept").iterdir()) == []


def test_collecting_goes_on_where_nothing_can_be_kept(home: Home, replay: ReplayServer) -> None:
    home.add("prod", "--url", replay.url_of("draco"))
    done = home.call("backfill", "prod", *THREE_DAYS, KUBETALLY_KEEP_ANSWERS="/dev/null/kept")
    assert (done.code, "Collected 3 days" in done.out) == (0, True)


@pytest.mark.parametrize("damage", ["cut", "garbage", "head", "length"])
def test_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    keep(tmp_path / "kept", None, "1.2.3", answers(), QUESTION)
    file = only_file(tmp_path / "kept")
    content = file.read_bytes()
    plain = gzip.decompress(content)
    file.write_bytes(
        {
            "cut": content[: len(content) // 2],
            "garbage": b"no gzip",
            "head": gzip.compress(b"{}\n"),
            "length": gzip.compress(plain + b" "),
        }[damage]
    )
    with pytest.raises(KeptFileDamaged, match=file.name):
        read_kept(file)


@pytest.fixture
def kept(tmp_path: Path, home: Home, replay: ReplayServer) -> Path:
    """A folder with the kept answers of three stored days."""
    folder = tmp_path / "kept"
    home.add("prod", "--url", replay.url_of("draco"))
    collected = home.call("backfill", "prod", *THREE_DAYS, KUBETALLY_KEEP_ANSWERS=str(folder))
    assert collected.code == 0, collected.err
    return folder


def test_replay_agrees_with_the_stored_days(home: Home, kept: Path) -> None:
    told = home.call("replay", str(kept))
    assert (told.code, told.err) == (0, "")
    lines = [line for line in told.out.splitlines() if "as stored" in line]
    assert [line[:10] for line in lines] == ["2026-11-20", "2026-11-21", "2026-11-22"]
    found = json.loads(home.call("replay", str(kept), "--format", "json").out)
    assert all(day["is_stored"] and not day["differences"] and day["total_cost"] > 0 for day in found[:3])


def test_replay_names_what_differs(home: Home, kept: Path) -> None:
    file = min(kept.iterdir())
    head, _, bodies = gzip.decompress(file.read_bytes()).partition(b"\n")
    facts = json.loads(head)
    facts["assets_error"], facts["assets"] = "was away", None
    file.write_bytes(gzip.compress(json.dumps(facts).encode() + b"\n" + bodies[: facts["allocations"]["size_bytes"]]))
    told = home.call("replay", str(kept))
    assert told.code == 1
    assert "differs: " in told.out.splitlines()[0]
    os.truncate(file, 100)
    broken = home.call("replay", str(kept), "--format", "json")
    assert (broken.code, json.loads(broken.out)[0]["code"]) == (1, "kept_file_damaged")


def test_replay_of_an_empty_folder_says_so(home: Home, tmp_path: Path) -> None:
    told = home.call("replay", str(tmp_path))
    assert told.code != 0
    assert "KUBETALLY_KEEP_ANSWERS" in told.err
