"""The lake on a disk and in an object store: what is written is read, replaced at once, kept, and cleared away."""

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import obstore
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from obstore.store import LocalStore, ObjectStore, from_url

from kubetally.domain.account import ListedAccount
from kubetally.domain.collection import CollectedDay, Collection
from kubetally.domain.damage import CollectionGone, DayDamaged
from kubetally.store.lake.delta import DeltaLake
from kubetally.store.lake.faults import LakeNewer
from kubetally.store.lake.place import Place as LakePlace
from kubetally.store.lake.schema import SCHEMA_VERSION, SCHEMAS, TableName
from kubetally.store.lake.tables import DayTable
from tests.cluster_days import DAY, cluster_day
from tests.errors import raises_code
from tests.integration import object_stores

NEXT_DAY = DAY + timedelta(days=1)
NOTHING_KEPT = timedelta(0)
TABLES = {name.value for name in TableName} - {"savings"}
"""Those that days and accounts are put into."""


class Place:
    """Where the lake of a test is; each `lake()` knows nothing of the others."""

    def __init__(self, url: str, options: dict[str, str]) -> None:
        self.url, self.options = url, options

    def lake(self, **settings: timedelta) -> DeltaLake:
        return DeltaLake(self.url, storage_options=self.options, **settings)

    def table(self, name: str) -> DeltaTable:
        return DeltaTable(f"{self.url}/{name}", storage_options=self.options)

    def files(self) -> dict[str, int]:
        """Sizes by path, of data and logs."""
        if not self.options and not Path(self.url).exists():
            return {}
        return {item["path"]: item["size"] for page in obstore.list(self.store()) for item in page}

    def store(self) -> ObjectStore:
        if not urlsplit(self.url).scheme:
            return LocalStore(self.url)
        options = {name: value for name, value in self.options.items() if name != "aws_allow_http"}
        return from_url(self.url, config=options, client_options={"allow_http": True})  # type: ignore[call-overload]


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "disk":
        return Place(str(tmp_path / "lake"), {})
    store: object_stores.ObjectStore = request.getfixturevalue("object_store")
    return Place(f"{store.bucket()}/some/lake", store.options)


def put(lake: DeltaLake, *days: CollectedDay) -> list[Collection]:
    """Replace, and the collections as coverage would hand them back."""
    version = lake.put(days)
    return [replace(day.collection, version=version) for day in days]


def assert_holds(lake: DeltaLake, days: Iterable[CollectedDay], collections: list[Collection]) -> None:
    by_id = {day.collection.id: day for day in days}
    assert lake.rows(collections) == {id_: tuple(day.rows) for id_, day in by_id.items()}
    assert lake.assets(collections) == {id_: tuple(day.assets) for id_, day in by_id.items()}


def test_other_programs_read_rows_in_order(place: Place) -> None:
    days = [cluster_day(account, pods=30) for account in ("b", "a", "c")]
    held = put(place.lake(), *days)
    assert_holds(place.lake(), days, held)
    assert_holds(place.lake(), days[:1], held[:1])
    assert [*place.lake().rows(held)] == [item.id for item in held]


def test_days_are_read_together_however_they_were_written(place: Place) -> None:
    lake = place.lake()
    days = [cluster_day(account, day=DAY + timedelta(days=number)) for number in range(3) for account in "ab"]
    held = [day for number in range(3) for day in put(lake, *days[2 * number : 2 * number + 2])]
    assert_holds(lake, days, held)
    assert_holds(place.lake(), days, held)


def test_running_days_lie_apart_from_days_that_are_over(place: Place) -> None:
    lake = place.lake()
    over, running = cluster_day("a"), cluster_day("a", 1, day=NEXT_DAY, is_running=True)
    held = [*put(lake, over), *put(lake, running)]
    assert_holds(place.lake(), [over, running], held)
    assert {path.split("/")[0] for path in place.files()} == {name.value for name in TableName} - {
        "savings",
        "accounts",
    }
    account = ListedAccount("a", "prod", "default")
    assert (lake.list_accounts([account]), place.lake().list_accounts([account])) == (True, False)
    assert {path.split("/")[0] for path in place.files()} == TABLES


def test_one_commit_and_one_file_hold_a_day_of_many_clusters(place: Place) -> None:
    days = [cluster_day(f"account-{number:03}", pods=2) for number in range(100)]
    held = put(place.lake(), *days)
    for name in (TableName.ALLOCATIONS, TableName.ASSETS):
        table = place.table(name)
        assert (table.version(), len(table.file_uris())) == (1, 1)
    assert_holds(place.lake(), days, held)


def test_replacing_an_account_leaves_the_others_and_one_file(place: Place) -> None:
    lake = place.lake()
    days = [cluster_day(account) for account in "abc"]
    held = put(lake, *days)
    again = cluster_day("b", 1)
    held_again = put(place.lake(), again)
    assert_holds(lake, [days[0], again, days[2]], [held[0], *held_again, held[2]])
    assert len(place.table("allocations").file_uris()) == 1
    assert place.table("allocations").to_pyarrow_table().num_rows == 3 * 6


def test_what_was_replaced_is_read_as_it_was(place: Place) -> None:
    lake = place.lake()
    generations = [cluster_day("a", number) for number in range(4)]
    held = [put(lake, item)[0] for item in generations]
    put(lake, cluster_day("b"))
    assert_holds(lake, generations, held)
    assert_holds(place.lake(), generations, held)


def forget_the_log(place: Place, before: int) -> None:
    """As if the log of rows and assets were so old that it begins with this version, with all that it had replaced."""
    paths = place.files()
    for name in ("allocations", "assets"):
        assert place.table(name).version() == before
        place.table(name).create_checkpoint()
        there = {path.rpartition("/")[2] for path in place.table(name).file_uris()}
        entries = [f"{name}/_delta_log/{version:020}.json" for version in range(before)]
        gone = [path for path in paths if path.startswith(f"{name}/day=") and path.rpartition("/")[2] not in there]
        for path in entries + gone:
            obstore.delete(place.store(), path)


@pytest.mark.parametrize("nodes", [0, 2])
def test_replaced_rows_are_read_at_their_last_version(place: Place, nodes: int) -> None:
    lake, old = place.lake(), cluster_day("a", nodes=nodes)
    [held] = put(lake, old)
    put(lake, cluster_day("b"))
    forget_the_log(place, before=2)
    put(lake, cluster_day("a", 1))
    put(lake, cluster_day("a", 2))  # which takes the assets away that the one before it left
    assert (held.version, place.table("allocations").version()) == (1, 4)
    for reader in (lake, place.lake()):
        assert_holds(reader, [old], [replace(held, last_version=2)])
        for ask in (reader.rows, reader.assets) if nodes else (reader.rows,):  # that it had no assets is known
            with pytest.raises(CollectionGone, match=held.id):
                ask([held])


def test_replaced_rows_are_read_at_their_first_version(place: Place) -> None:
    lake, old = place.lake(), cluster_day("a")
    [held] = put(lake, old)
    put(lake, cluster_day("a", 1))
    put(lake, cluster_day("a", 2))
    assert lake.rows([replace(held, last_version=2)]) == {held.id: tuple(old.rows)}
    assert lake.rows([replace(held, last_version=99)]) == {held.id: tuple(old.rows)}
    assert_holds(lake, [old], [replace(held, last_version=99)])


def test_lost_lease_changes_nothing(place: Place) -> None:
    lake, old = place.lake(), cluster_day("a")
    held = put(lake, old)
    before = place.files()
    with pytest.raises(Lost):
        lake.replace(lake.pack([cluster_day("a", 1)]), check_lease=Asked(raises_at=1))
    assert place.files() == before
    with pytest.raises(Lost):
        lake.replace(lake.pack([cluster_day("a", 1)]), check_lease=Asked(raises_at=2))
    assert {path: size for path, size in place.files().items() if path.startswith("allocations")} == {
        path: size for path, size in before.items() if path.startswith("allocations")
    }
    assert lake.versions_of([cluster_day("a", 1).collection]) == {}
    assert_holds(place.lake(), [old], held)


def test_lease_is_checked_again_after_another_commit(place: Place) -> None:
    lake, other = place.lake(), place.lake()
    put(lake, cluster_day("b"))
    asked = Asked(then=lambda: other.put([cluster_day("other")]))
    version = lake.replace(lake.pack([cluster_day("a")]), check_lease=asked)
    assert (asked.times, version) == (3, 3)
    taken_over = Asked(then=lambda: other.put([cluster_day("other", 1)]), raises_at=2)
    with pytest.raises(Lost):
        lake.replace(lake.pack([cluster_day("a", 1)]), check_lease=taken_over)
    days = [cluster_day("a"), cluster_day("b"), cluster_day("other", 1)]
    assert_holds(place.lake(), days, [day.collection for day in days])
    assert len([path for path in place.files() if path.startswith("allocations/day=")]) == 4


class Lost(Exception):
    """The right to write is somebody else's by now."""


class Asked:
    """Whether to go on: yes, until it is asked for the `raises_at`-th time; `then` is called the first time."""

    def __init__(self, then: Callable[[], object] = lambda: None, raises_at: int = 0) -> None:
        self.times, self._then, self._raises_at = 0, then, raises_at

    def __call__(self) -> None:
        self.times += 1
        if self.times == self._raises_at:
            raise Lost
        if self.times == 1:
            self._then()


def test_the_newest_version_is_that_of_days_that_are_over(place: Place) -> None:
    lake = place.lake()
    assert lake.newest_version() is None
    put(lake, cluster_day("a", is_running=True))
    assert lake.newest_version() is None
    for version in (1, 2):
        put(lake, cluster_day("a", version))
        assert lake.newest_version() == place.lake().newest_version() == version


def test_writing_a_collection_twice_is_writing_it_once(place: Place) -> None:
    lake, day = place.lake(), cluster_day("a")
    put(lake, day)
    held = put(lake, day)
    assert_holds(place.lake(), [day], held)
    assert place.table("assets").to_pyarrow_table().num_rows == len(day.assets)


def test_a_day_without_rows_or_without_assets_is_a_day(place: Place) -> None:
    lake = place.lake()
    bare, no_assets = cluster_day("a", rows=[], nodes=0), cluster_day("b", nodes=0)
    held = put(lake, bare, no_assets)
    assert_holds(place.lake(), [bare, no_assets], held)
    with_rows = cluster_day("a", 1)
    put(lake, with_rows, cluster_day("b", 1))
    assert_holds(place.lake(), [bare, no_assets], held)
    assert put(lake, cluster_day("a", 2, rows=[], nodes=0), cluster_day("b", 2, rows=[], nodes=0))
    assert place.table("allocations").file_uris() == []


def test_nothing_is_found_where_nothing_was_written(place: Place) -> None:
    lake, never = place.lake(), cluster_day("a").collection
    assert lake.versions_of([never]) == {}
    with pytest.raises(CollectionGone, match=f"{never.id}: they were lost to damage"):
        lake.rows([replace(never, version=3)])
    with pytest.raises(CollectionGone, match=f"{never.id}: they have expired"):
        lake.rows([replace(never, version=3, last_version=4)])
    with pytest.raises(CollectionGone, match=never.id):
        lake.assets([replace(never, version=3)])
    assert place.files() == {}


def test_committed_collections_are_found(place: Place) -> None:
    lake = place.lake()
    first, second, running = cluster_day("a"), cluster_day("b"), cluster_day("a", 1, is_running=True)
    put(lake, first)
    put(lake, second)
    put(lake, running)
    put(lake, cluster_day("a", 2))
    never = cluster_day("c").collection
    asked = [first.collection, second.collection, running.collection, never]
    assert place.lake().versions_of(asked) == {
        first.collection.id: 1,
        second.collection.id: 2,
        running.collection.id: 1,
    }


def test_expired_commit_is_found_by_its_rows(place: Place) -> None:
    lake, day = place.lake(), cluster_day("a")
    put(lake, day)
    put(lake, cluster_day("b"))
    place.table("allocations").create_checkpoint()
    for version in range(2):
        obstore.delete(place.store(), f"allocations/_delta_log/{version:020}.json")
    assert place.lake().versions_of([day.collection, cluster_day("c").collection]) == {day.collection.id: 2}


def test_a_commit_is_of_one_day_and_of_one_kind(place: Place) -> None:
    lake = place.lake()
    with pytest.raises(ValueError, match="one day"):
        lake.put([cluster_day("a"), cluster_day("b", day=NEXT_DAY)])
    with pytest.raises(ValueError, match="one day"):
        lake.put([cluster_day("a"), cluster_day("b", is_running=True)])
    with pytest.raises(ValueError, match="one collection"):
        lake.put([cluster_day("a"), cluster_day("a", 1)])
    with pytest.raises(ValueError, match="one day"):
        lake.put([])
    assert place.files() == {}


def test_maintenance_removes_replaced_rows_only(place: Place) -> None:
    lake = place.lake()
    old = put(lake, cluster_day("a"))
    put(lake, cluster_day("a", 2))
    new, other = cluster_day("a", 1), cluster_day("b", day=NEXT_DAY)
    held = [*put(lake, new), *put(lake, other)]
    kept = lake.maintain(timedelta(days=400))
    assert (kept.compacted, kept.vacuumed) == (0, 0)
    assert lake.rows(old)
    assert lake.maintain(NOTHING_KEPT).vacuumed == 0, "the table says that it keeps it"
    assert lake.rows(old)
    done = lake.maintain(NOTHING_KEPT, shorten=True)
    assert done.vacuumed >= 1
    assert done.checkpoint == place.table("allocations").version()
    for reader in (lake, place.lake()):
        assert_holds(reader, [new, other], held)
        with pytest.raises(CollectionGone, match=old[0].id):
            reader.rows(old)
        with pytest.raises(CollectionGone, match=old[0].id):
            reader.assets(old)


def test_running_day_collected_96_times_stays_small(place: Place) -> None:
    times = 96 if not place.options else 12
    lake = place.lake(keep_running=NOTHING_KEPT)
    for generation in range(times):
        put(lake, cluster_day("a", generation, pods=50, is_running=True))
    last = cluster_day("a", times, pods=50, is_running=True)
    held = put(lake, last)
    for _ in range(2):  # a log is cut off before a checkpoint that is an hour old
        lake.maintain(timedelta(days=400))
        make_older(place)
    lake.maintain(timedelta(days=400))
    assert_holds(place.lake(), [last], held)
    once = once_beside(place)
    put(once.lake(), last)
    assert data_bytes(place) == data_bytes(once)
    if not place.options:  # the age of an object can't be changed
        assert len(place.files()) <= len(once.files()) + 2 * 4  # the last entry, two of the vacuum and the checkpoint


def test_hourly_tidying_keeps_copies_of_the_last_hour(place: Place) -> None:
    lake = place.lake(keep_running=NOTHING_KEPT)
    sizes = []
    for hour in range(3):
        for quarter in range(4):
            last = cluster_day("a", 4 * hour + quarter, pods=50, is_running=True)
            held = put(lake, last)
        sizes.append(data_bytes(place))
        lake.tidy()
    assert sizes[2] < sizes[0] * 1.5, "the file that holds, and those of an hour"
    assert_holds(place.lake(), [last], held)


def test_finished_day_leaves_the_table_of_running_days(place: Place) -> None:
    lake = place.lake(keep_running=NOTHING_KEPT)
    running = [cluster_day("a", is_running=True), cluster_day("b", is_running=True)]
    held_running = put(lake, *running)
    put(lake, cluster_day("a", 1))
    lake.maintain(timedelta(days=400))
    for name in ("running", "running_assets"):
        assert set(place.table(name).to_pyarrow_table()["account_id"].to_pylist()) == {"b"}
    assert_holds(place.lake(), running[1:], held_running[1:])
    over = [cluster_day("b", 1)]
    held = put(lake, *over)
    lake.maintain(timedelta(days=400))
    assert_holds(place.lake(), over, held)
    assert place.table("running").to_pyarrow_table().num_rows == 0
    assert not [path for path in place.files() if path.startswith("running") and "day=" in path]


def test_files_that_another_program_added_are_put_together(place: Place) -> None:
    lake = place.lake()
    days = [cluster_day("a", pods=30), cluster_day("b", pods=30)]
    held = put(lake, *days)
    rows = place.table("allocations").to_pyarrow_table()
    write_deltalake(place.table("allocations"), rows.slice(31), mode="overwrite", storage_options=place.options or None)
    write_deltalake(place.table("allocations"), rows.slice(0, 31), mode="append", storage_options=place.options or None)
    assert len(place.table("allocations").file_uris()) == 2
    assert_holds(lake, days, held)
    assert lake.maintain(timedelta(days=400)).compacted == 1
    assert len(place.table("allocations").file_uris()) == 1
    assert_holds(place.lake(), days, held)


def told(place: Place, name: str = "allocations") -> str:
    """How long a table says that it keeps what was replaced, which is as long as its log."""
    properties = place.table(name).metadata().configuration
    assert properties["delta.logRetentionDuration"] == properties["delta.deletedFileRetentionDuration"]
    return properties["delta.logRetentionDuration"]


def test_longer_retention_applies_unless_shortened(place: Place) -> None:
    put(place.lake(keep=timedelta(days=10)), cluster_day("a"))
    assert told(place) == "interval 240 hours"
    for days in (30, 20):
        place.lake(keep=timedelta(days=days)).maintain(timedelta(days=days))
        assert told(place) == told(place, "assets") == "interval 720 hours"
    place.lake(keep=timedelta(days=20)).maintain(timedelta(days=20), shorten=True)
    assert told(place) == told(place, "assets") == "interval 480 hours"


def test_shorter_history_removes_nothing_of_a_longer_one(place: Place) -> None:
    [old] = put(place.lake(), cluster_day("a"))
    for generation in (1, 2):
        put(place.lake(), cluster_day("a", generation))
    short = place.lake(keep=NOTHING_KEPT)
    assert short.maintain(NOTHING_KEPT).vacuumed == 0
    assert place.lake().rows([old])
    assert place.lake().assets([old])
    assert short.maintain(NOTHING_KEPT, shorten=True).vacuumed
    with pytest.raises(CollectionGone):
        place.lake().rows([old])


@pytest.mark.parametrize(
    ("interval", "removed"), [("interval 2 weeks", 0), ("INTERVAL 14 days", 0), ("interval 0 seconds", 1)]
)
def test_retention_set_by_another_program_is_read(place: Place, interval: str, removed: int) -> None:
    put(place.lake(), cluster_day("a"))
    put(place.lake(), cluster_day("a", 1))
    place.table("allocations").alter.set_table_properties({"delta.deletedFileRetentionDuration": interval})
    table = DayTable(LakePlace.parse(place.url, place.options), TableName.ALLOCATIONS, NOTHING_KEPT)
    assert table.maintain(NOTHING_KEPT).vacuumed == removed


def test_missing_file_is_reported_and_not_overwritten(place: Place) -> None:
    lake = place.lake()
    held = put(lake, cluster_day("a"))
    (path,) = [path for path in place.files() if path.startswith("allocations/day=")]
    obstore.delete(place.store(), path)
    with pytest.raises(DayDamaged, match=r"2026-11-20 is damaged in .*/allocations \(its file .* is missing"):
        put(lake, cluster_day("b"))
    with pytest.raises(DayDamaged, match=r"2026-11-20 of account a is damaged .*--from 2026-11-20 --to 2026-11-21"):
        lake.rows(held)
    assert place.table("allocations").version() == 1


def test_a_table_of_a_later_version_is_refused(place: Place) -> None:
    held = put(place.lake(), cluster_day("a"))
    properties = {"kubetally.schema_version": str(SCHEMA_VERSION + 1)}
    place.table("allocations").alter.set_table_properties(properties, raise_if_not_exists=False)
    for use in (lambda lake: lake.rows(held), lambda lake: lake.put([cluster_day("b")])):
        with pytest.raises(LakeNewer, match=rf"version {SCHEMA_VERSION + 1}.*Upgrade"):
            use(place.lake())


@pytest.mark.parametrize(
    ("schema", "properties", "why"),
    [
        (pa.schema([("day", pa.date32()), ("x", pa.int64())]), {}, "property"),
        (pa.schema([("day", pa.date32()), ("x", pa.int64())]), {"kubetally.schema_version": "1"}, "other columns"),
        (SCHEMAS[TableName.ASSETS], {"kubetally.schema_version": "1"}, "other columns"),
    ],
)
def test_a_table_of_somebody_else_is_refused(
    place: Place, schema: pa.Schema, properties: dict[str, str], why: str
) -> None:
    if not place.options:
        Path(place.url).mkdir()
    DeltaTable.create(
        f"{place.url}/allocations",
        schema,
        configuration=properties,
        storage_options=place.options or None,
        raise_if_key_not_exists=False,
    )
    with raises_code("lake_foreign", match=why):
        place.lake().put([cluster_day("a")])
    assert place.table("allocations").version() == 0


def test_a_folder_that_we_make_is_ours_alone(tmp_path: Path) -> None:
    put(DeltaLake(str(tmp_path / "new" / "lake")), cluster_day("a"))
    assert stat.S_IMODE((tmp_path / "new" / "lake").stat().st_mode) == 0o700


def test_a_folder_that_is_a_table_itself_is_refused(tmp_path: Path) -> None:
    write_deltalake(str(tmp_path / "lake"), pa.table({"x": [1]}))
    with raises_code("lake_foreign", match="itself"):
        put(DeltaLake(str(tmp_path / "lake")), cluster_day("a"))


def test_a_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with raises_code("lake_refused", match="folder exists"):
        put(DeltaLake(str(tmp_path / "file" / "lake")), cluster_day("a"))


def test_missing_bucket_is_an_error(object_store: object_stores.ObjectStore) -> None:
    with raises_code("lake_refused", match="bucket"):
        put(DeltaLake("s3://no-such-bucket/lake", storage_options=object_store.options), cluster_day("a"))


def test_silent_object_store_is_a_retryable_error() -> None:
    options = {
        "aws_endpoint_url": "http://127.0.0.1:9",
        "aws_allow_http": "true",
        "aws_region": "x",
        "aws_access_key_id": "someone",
        "aws_secret_access_key": "a-secret-of-the-test",
        "max_retries": "1",
        "retry_timeout": "1s",
    }
    with raises_code("lake_unavailable", match="endpoint") as caught:
        put(DeltaLake("s3://bucket/lake", storage_options=options), cluster_day("a"))
    assert caught.value.retryable
    assert "a-secret-of-the-test" not in str(caught.value)


def test_a_reader_of_one_account_finds_its_bounds_in_the_log(place: Place) -> None:
    put(place.lake(), *[cluster_day(account) for account in "abc"])
    (file,) = pa.table(place.table("allocations").get_add_actions(flatten=True)).to_pylist()
    assert (file["min.account_id"], file["max.account_id"], file["partition.day"]) == ("a", "c", DAY)
    assert (file["num_records"], file["null_count.namespace"]) == (18, 3)


def test_sums_come_out_of_the_files_without_the_program(place: Place) -> None:
    days = [cluster_day(account, pods=20) for account in "ab"]
    put(place.lake(), *days)
    table = place.table("allocations").to_pyarrow_table()
    total = sum(row.costs.cpu for day in days for row in day.rows)
    assert int(sum(table["cpu_cost"].to_pylist()).scaleb(6)) == total


def make_older(place: Place) -> None:
    """Make every file two hours old."""
    if not place.options:
        for path in place.files():
            then = (Path(place.url) / path).stat().st_mtime - 7200
            os.utime(Path(place.url) / path, (then, then))


def once_beside(place: Place) -> Place:
    return Place(f"{place.url}-once", place.options)


def data_bytes(place: Place) -> int:
    return sum(size for path, size in place.files().items() if "_delta_log" not in path)
