"""A lake in an S3, reached as the settings and the environment say."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from deltalake import DeltaTable

from tests.integration.object_stores import ObjectStore
from tests.integration.test_accounts_command import Home
from tests.integration.upstream import Upstream, added, backfill, costs, figures
from tests.served import Served

WAYS = ("environment", "settings")


def on_s3(folder: Path, store: ObjectStore, way: str) -> Home:
    """A home whose lake is in a bucket of its own."""
    options = dict(store.options)
    lake = {"KUBETALLY_LAKE_URL": f"{store.bucket()}/kubetally"}
    if way == "settings":
        return Home(folder, {**lake, "KUBETALLY_LAKE_OPTIONS": "; ".join(f"{k}={v}" for k, v in options.items())})
    return Home(folder, {**lake, **{name.upper(): value for name, value in options.items()}})


@pytest.mark.parametrize("way", WAYS)
def test_days_are_kept_in_a_bucket_and_read_from_there(
    tmp_path: Path, upstream: tuple[Upstream, Served], object_store: ObjectStore, way: str
) -> None:
    source, server = upstream
    home = on_s3(tmp_path / "home", object_store, way)
    added(home, server)
    live = costs(home)
    assert "Collected 3 days" in backfill(home)
    source.mode = "down"
    assert figures(costs(home)) == figures(live)
    assert not (home.folder / "lake").exists()
    done = home.call("maintain")
    assert done.code == 0, done.err
    assert figures(costs(home)) == figures(live)


def test_relabels_and_purges_days_in_a_bucket(
    tmp_path: Path, upstream: tuple[Upstream, Served], object_store: ObjectStore
) -> None:
    home = on_s3(tmp_path / "home", object_store, "settings")
    id_ = added(home, upstream[1])
    backfill(home)
    done = home.call("accounts", "update", "aurora", "--currency", "EUR")
    assert (done.code, "warning" in done.err) == (0, False)
    place = home.settings["KUBETALLY_LAKE_URL"]

    def column(table: str, name: str) -> set[object]:
        return set(
            DeltaTable(f"{place}/{table}", storage_options=object_store.options).to_pyarrow_table()[name].to_pylist()
        )

    assert column("allocations", "currency") == column("assets", "currency") == {"EUR"}
    assert column("accounts", "removed_at") == {None}
    home.call("accounts", "remove", "aurora")
    assert None not in column("accounts", "removed_at")
    assert home.call("accounts", "purge", id_).code == 0
    assert column("allocations", "account_id") == column("assets", "account_id") == set()


def test_backup_of_a_bucket_is_restored_elsewhere(
    tmp_path: Path, upstream: tuple[Upstream, Served], object_store: ObjectStore
) -> None:
    source, server = upstream
    home, file = on_s3(tmp_path / "home", object_store, "environment"), tmp_path / "backup.tar"
    added(home, server)
    backfill(home)
    source.mode = "dearer"
    backfill(home)
    source.mode = "down"
    before = costs(home)
    assert home.call("backup", str(file)).code == 0
    for other in (on_s3(tmp_path / "other", object_store, "settings"), Home(tmp_path / "third")):
        done = other.call("restore", str(file))
        assert done.code == 0, done.err
        assert figures(costs(other)) == figures(before)


def test_damaged_day_in_a_bucket_is_repaired_else_set_aside(
    tmp_path: Path, upstream: tuple[Upstream, Served], object_store: ObjectStore
) -> None:
    source, server = upstream
    home, backup = on_s3(tmp_path / "home", object_store, "settings"), tmp_path / "backup.tar"
    lake = home.settings["KUBETALLY_LAKE_URL"]
    added(home, server)
    backfill(home)
    whole = figures(costs(home))

    def harm(do: Callable[[str], None]) -> None:
        """To the file of the day that the newest version needs."""
        table = DeltaTable(f"{lake}/allocations", storage_options=object_store.options)
        (path,) = [uri for uri in table.file_uris() if "day=2026-11-20" in uri]
        do(path)
        done = home.call("maintain", "--check")
        assert (done.code, path.rpartition("/")[2] in done.out) == (1, True), done

    def repair(*options: str) -> tuple[int, str]:
        done = home.call("maintain", "--repair", *options)
        (words,) = [line for line in done.out.splitlines() if line.startswith("aurora 2026-11-20: ")] or [done]
        return done.code, str(words).partition(": ")[2].partition(",")[0]

    harm(object_store.damage)
    assert repair() == (0, "rewritten from its source")
    assert home.call("backup", str(backup)).code == 0
    source.mode = "down"
    harm(object_store.remove)
    assert repair("--from-backup", str(backup)) == (0, "rewritten from the backup")
    assert figures(costs(home)) == whole
    harm(object_store.damage)
    assert repair() == (1, "set aside")
    assert costs(home)["coverage"]["hours_covered"] == 48
    assert repair("--from-backup", str(backup)) == (0, "rewritten from the backup")
    assert figures(costs(home)) == whole
    assert home.call("maintain", "--check").code == 0
    assert len(object_store.objects(f"{lake}/set_aside/allocations/")) == 2, "what was damaged is kept"


def test_a_secret_of_the_lake_shows_nowhere(
    tmp_path: Path, upstream: tuple[Upstream, Served], object_store: ObjectStore
) -> None:
    _, server = upstream
    home = on_s3(tmp_path / "home", object_store, "settings")
    added(home, server)
    wrong = replace(home, settings={**home.settings, "KUBETALLY_LAKE_URL": "s3://a-bucket-that-is-not/kubetally"})
    done = wrong.call("backfill", "aurora", "--from", "2026-11-20", "--to", "2026-11-21", KUBETALLY_LOG_LEVEL="debug")
    assert done.code == 3
    assert "s3://a-bucket-that-is-not/kubetally" in done.err
    assert object_store.options["aws_secret_access_key"] not in done.err + done.out


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"KUBETALLY_LAKE_URL": "lake"}, "KUBETALLY_LAKE_URL can't be used: the folder 'lake' is relative"),
        ({"KUBETALLY_LAKE_URL": "hdfs://host/lake"}, "has an unknown scheme"),
        ({"KUBETALLY_LAKE_OPTIONS": "aws_region"}, "KUBETALLY_LAKE_OPTIONS can't be used"),
    ],
)
def test_a_lake_that_can_t_be_one_is_refused(
    home: Home, upstream: tuple[Upstream, Served], settings: dict[str, str], words: str
) -> None:
    _, server = upstream
    added(home, server)
    done = home.call("backfill", "aurora", "--from", "2026-11-20", "--to", "2026-11-21", **settings)
    assert done.code == 2
    assert words in done.err
