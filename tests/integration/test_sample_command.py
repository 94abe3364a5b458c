"""A made-up fleet is a ledger like any other."""

import inspect
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kubetally.cli.sample import sample
from tests.integration.commands import call
from tests.integration.test_accounts_command import Home

FLEET = ("sample", "--clusters", "2", "--pods", "40", "--days", "3", "--last", "2026-11-22")
WHOLE = ("--start", "2026-11-20", "--end", "2026-11-23", "--by", "workload", "--format", "json")


def figures(home: Home) -> Any:
    """What the fleet costs, without the note that no source answered: it names whichever URL was tried last."""
    bodies = home.call("costs", *WHOLE).json
    for body in bodies:
        del body["issues"]
    return bodies


def test_the_same_options_make_the_same_fleet_whose_days_balance(tmp_path: Path) -> None:
    homes = [Home(tmp_path / name) for name in ("one", "two")]
    bodies = []
    for home in homes:
        done = home.call(*FLEET, "--out", str(home.folder))
        assert done.code == 0, done.err
        assert "2 clusters, 3 days until 2026-11-22" in done.out
        bodies.append(figures(home))
    assert bodies[0] == bodies[1]
    for body in bodies[0]:
        assert (body["status"], body["assets_complete"]) == ("ok", True)
        assert body["coverage"] == {"hours_asked": 72, "hours_covered": 72, "state": "settled"}
        parts = [*body["breakdown_by_namespace"], *body["lines"]]
        micros = sum(round(part["total_cost"] * 1e6) for part in parts)
        assert micros == round(body["summary"]["total_cost"] * 1e6)
        assert len(body["breakdown_by_namespace"]) > 5
    assert bodies[0][0]["summary"] != bodies[0][1]["summary"]


def test_printed_command_answers_for_every_day(tmp_path: Path) -> None:
    home, folder = Home(tmp_path / "home"), tmp_path / "a fleet"
    done = home.call(*FLEET, "--out", str(folder))
    assert done.code == 0, done.err
    assert "no running source" in done.out
    place, _, hint = done.out.splitlines()[-1].partition(" Try: ")
    assert place == f"Written to '{folder}'."
    assert not home.folder.exists(), "KUBETALLY_HOME is not used"
    setting, _, *command = shlex.split(hint)
    assert setting == f"KUBETALLY_HOME={folder}"
    bodies = Home(folder).call(*command, "--format", "json").json
    assert [body["status"] for body in bodies] == ["ok", "ok"]
    assert [body["coverage"]["hours_asked"] for body in bodies] == [72, 72]


def test_default_folder_is_ignored_by_git() -> None:
    folder = inspect.signature(sample).parameters["out"].default
    assert f"{folder}/" in Path(__file__).parents[2].joinpath(".gitignore").read_text("utf-8").splitlines()


@pytest.mark.parametrize("words", ["KUBETALLY_HOME is not used", "no running source"])
def test_help_says_where_it_writes_and_what_it_lacks(words: str) -> None:
    assert words in " ".join(call("sample", "--help").out.split())


def test_another_seed_makes_another_fleet_in_a_new_folder_only(tmp_path: Path) -> None:
    one, other = Home(tmp_path / "one"), Home(tmp_path / "other")
    assert one.call(*FLEET, "--out", str(one.folder)).code == 0
    assert other.call(*FLEET, "--seed", "7", "--out", str(other.folder)).code == 0
    totals = [home.call("costs", *WHOLE).json[0]["summary"]["total_cost"] for home in (one, other)]
    assert totals[0] != totals[1]
    again = one.call(*FLEET, "--out", str(one.folder))
    assert again.code == 2
    assert "is not empty" in again.err
    file = tmp_path / "file"
    file.touch()
    assert one.call(*FLEET, "--out", str(file)).code == 2


def test_last_days_are_collected_and_not_settled(tmp_path: Path) -> None:
    home = Home(tmp_path / "one")
    assert home.call("sample", "--clusters", "1", "--pods", "10", "--days", "5", "--out", str(home.folder)).code == 0
    (body,) = home.call("coverage", "--format", "json").json
    assert [day["state"] for day in body["days"]] == ["settled"] * 2 + ["provisional"] * 3
    assert max(day["collected_at"] for day in body["days"]) <= datetime.now(UTC).isoformat()


def test_maintenance_leaves_every_figure_as_it_is(tmp_path: Path) -> None:
    home = Home(tmp_path / "one")
    assert home.call(*FLEET, "--out", str(home.folder)).code == 0
    before = figures(home)
    done = home.call("maintain")
    assert done.code == 0, done.err
    assert figures(home) == before
