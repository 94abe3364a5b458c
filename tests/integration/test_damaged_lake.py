"""Damage to the lake's files: what is read is what was written, or an error that names the day."""

import decimal
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from kubetally.domain.collection import CollectedDay, Collection
from kubetally.domain.damage import DayDamaged
from kubetally.domain.errors import StoreError
from kubetally.store.lake.delta import DeltaLake
from kubetally.store.lake.faults import LakeDamaged
from kubetally.store.lake.place import Place
from kubetally.store.lake.schema import TableName
from kubetally.store.lake.tables import DayTable
from tests.cluster_days import DAY, cluster_day

DAYS = [DAY + timedelta(days=number) for number in range(3)]
ACCOUNTS = ("a", "b", "c")
FLIPS = 500
TABLES = ("allocations", "assets", "running", "running_assets")


class Written:
    """A lake of several accounts and days, with an earlier collection of each, and what was put into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.days: list[CollectedDay] = []
        self.collections: list[Collection] = []
        lake = self.lake()
        for day in DAYS:
            is_running = day == DAYS[-1]
            for generation in (0, 1):
                some = [cluster_day(name, generation, day=day, is_running=is_running) for name in ACCOUNTS]
                version = lake.put(some)
            self.days += some
            self.collections += [replace(item.collection, version=version) for item in some]

    def lake(self) -> DeltaLake:
        return DeltaLake(str(self.folder))

    def files(self, table: str, pattern: str = "day=*/*.parquet") -> list[Path]:
        return sorted((self.folder / table).glob(pattern))

    def current(self, table: str) -> list[Path]:
        """The files that hold now."""
        return sorted(Path(unquote(urlsplit(uri).path)) for uri in DeltaTable(str(self.folder / table)).file_uris())

    def of(self, path: Path) -> "tuple[list[CollectedDay], list[Collection]]":
        """The day of a file."""
        at = [number for number, day in enumerate(self.days) if f"day={day.collection.day}" in str(path)]
        return [self.days[number] for number in at], [self.collections[number] for number in at]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return Written(tmp_path_factory.mktemp("damaged") / "lake")


@contextmanager
def changed(path: Path, change: Callable[[bytes], bytes]) -> Iterator[None]:
    """The file with other bytes, for a while."""
    before = path.read_bytes()
    path.write_bytes(change(before))
    try:
        yield
    finally:
        path.write_bytes(before)


def flipped(chance: random.Random) -> Callable[[bytes], bytes]:
    def flip(content: bytes) -> bytes:
        at = chance.randrange(len(content))
        return content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]

    return flip


def errors(read: Callable[[list[Collection]], Any], kind: str, days: list[CollectedDay], held: list[Collection]) -> int:
    """1 where an error says that something of these can't be read, 0 where all of it is what was written."""
    try:
        found = read(held)
    except StoreError:
        return 1
    assert found == {day.collection.id: tuple(getattr(day, kind)) for day in days}
    return 0


def answers(lake: DeltaLake, written: Written) -> int:
    """How many days' rows and assets can't be read; every other is what was written."""
    count = 0
    for begin in range(0, len(written.days), len(ACCOUNTS)):
        some = slice(begin, begin + len(ACCOUNTS))
        for kind, read in (("rows", lake.rows), ("assets", lake.assets)):
            count += errors(read, kind, written.days[some], written.collections[some])
    return count


@pytest.mark.parametrize("table", TABLES)
def test_a_flipped_bit_in_a_file_changes_no_answer_in_silence(written: Written, table: str) -> None:
    chance = random.Random(table)  # noqa: S311
    lake, current = written.lake(), written.current(table)
    kind = "assets" if "assets" in table else "rows"
    read: Callable[[list[Collection]], Any] = getattr(lake, kind)
    noticed = 0
    for _ in range(FLIPS):
        path = chance.choice(current)
        with changed(path, flipped(chance)):
            noticed += errors(read, kind, *written.of(path))
    assert noticed == FLIPS  # one group a file: every byte of it is under a checksum
    assert answers(lake, written) == 0


@pytest.mark.parametrize("table", TABLES)
def test_a_flipped_bit_in_the_log_changes_no_answer_in_silence(written: Written, table: str) -> None:
    chance = random.Random(f"log of {table}")  # noqa: S311
    entries = written.files(table, "_delta_log/*.json")
    for _ in range(FLIPS // 20):
        with changed(chance.choice(entries), flipped(chance)):
            answers(written.lake(), written)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("change", [lambda content: b"", lambda content: content[:-40], lambda content: b"?" + content])
def test_a_file_of_another_length_is_an_error_of_its_day_alone(
    written: Written, table: str, change: Callable[[bytes], bytes]
) -> None:
    with changed(written.current(table)[0], change):
        lake = written.lake()
        assert answers(lake, written) == 1
        days, held = written.of(written.current(table)[0])
        with pytest.raises(DayDamaged, match=f"{held[0].day} of account a is damaged in .*/{table} ") as caught:
            lake.assets(held) if "assets" in table else lake.rows(held)
        assert (caught.value.day, caught.value.account_id) == (days[0].collection.day, "a")


@pytest.mark.parametrize("table", TABLES)
def test_a_missing_file_is_an_error_of_its_day_alone(written: Written, table: str) -> None:
    path = written.current(table)[0]
    content = path.read_bytes()
    path.unlink()
    try:
        assert answers(written.lake(), written) == 1
    finally:
        path.write_bytes(content)


def test_pages_carry_checksums_that_other_programs_verify(written: Written) -> None:
    path = written.current("allocations")[0]
    column = pq.read_metadata(path).row_group(0).column(0)
    with (
        changed(
            path,
            lambda content: (
                content[: (at := column.data_page_offset + column.total_compressed_size // 2)]
                + bytes([content[at] ^ 1])
                + content[at + 1 :]
            ),
        ),
        pytest.raises(OSError, match="CRC"),
    ):
        pq.read_table(path, page_checksum_verification=True)


def test_rows_without_checksums_are_compared_with_their_sums(tmp_path: Path) -> None:
    lake, day = DeltaLake(str(tmp_path / "lake")), cluster_day("a")
    held = [replace(day.collection, version=lake.put([day]))]
    [path] = (tmp_path / "lake" / "allocations").glob("day=*/*.parquet")
    [entry] = (tmp_path / "lake" / "allocations" / "_delta_log").glob("*1.json")
    table = pq.read_table(path, partitioning=None)
    at = table.schema.names.index("ram_cost")
    plain = path.with_name("part-0.zstd.parquet")
    entry_text = entry.read_text()
    for change, expected in ((0, None), (1, "of ram in ")):
        cost = pc.add(table["ram_cost"], decimal.Decimal(change) / 10**6).cast(table.schema.field(at).type)
        pq.write_table(table.set_column(at, table.schema.field(at), cost), plain)
        size = f'"size":{path.stat().st_size}'
        assert size in entry_text
        entry.write_text(entry_text.replace(path.name, plain.name).replace(size, f'"size":{plain.stat().st_size}'))
        lake = DeltaLake(str(tmp_path / "lake"))
        if expected is None:
            assert lake.rows(held) == {held[0].id: tuple(day.rows)}
        else:
            with pytest.raises(DayDamaged, match=expected):
                lake.rows(held)


def test_damaged_collection_is_read_from_another_file(written: Written) -> None:
    lake = DeltaLake(str(written.folder.with_name("other")))
    days = [cluster_day(name) for name in ACCOUNTS]
    held = [replace(day.collection, version=lake.put([day])) for day in days]
    newest = Path(unquote(urlsplit(DeltaTable(lake.url + "/allocations").file_uris()[0]).path))
    with changed(newest, flipped(random.Random(1))):  # noqa: S311
        for day, collection in zip(days[:2], held[:2], strict=True):
            assert lake.rows([collection]) == {collection.id: tuple(day.rows)}
        with pytest.raises(DayDamaged, match="of account c is damaged"):
            lake.rows(held)


def test_a_log_entry_that_cannot_be_read_is_named(written: Written) -> None:
    [entry] = written.files("allocations", "_delta_log/*3.json")
    table = DayTable(Place.parse(str(written.folder)), TableName.ALLOCATIONS, timedelta(days=1))
    table.newest()
    with (
        changed(entry, lambda content: content.replace(b'"commitInfo"', b'"commitInfo')),
        pytest.raises(LakeDamaged, match=r"log entry _delta_log/0+3\.json can't be read"),
    ):
        list(table.log.commits())


def test_rewriting_a_day_replaces_its_damaged_file(tmp_path: Path) -> None:
    lake = DeltaLake(str(tmp_path / "lake"))
    days = [cluster_day(name, pods=4100) for name in ACCOUNTS]  # a row group each
    version = lake.put(days)
    held = [replace(day.collection, version=version) for day in days]
    [path] = (tmp_path / "lake" / "allocations").glob("day=*/*.parquet")
    begin = pq.read_metadata(path).row_group(1).column(0).data_page_offset
    damaged = bytearray(path.read_bytes())
    damaged[begin + 30] ^= 4
    path.write_bytes(damaged)
    again = cluster_day("c", 1)
    with pytest.raises(DayDamaged):
        lake.put([again])
    version = lake.replace(lake.pack([again]), replace_damaged=True)
    new = replace(again.collection, version=version)
    assert lake.rows([held[0], new]) == {held[0].id: tuple(days[0].rows), new.id: tuple(again.rows)}
    with pytest.raises(DayDamaged, match="of account b is damaged"):
        lake.rows([held[1]])
    [kept] = (tmp_path / "lake" / "set_aside" / "allocations").glob("day=*/*.parquet")
    assert (kept.name, kept.read_bytes()) == (path.name, bytes(damaged))


def test_one_damaged_day_stops_no_maintenance(tmp_path: Path) -> None:
    lake = DeltaLake(str(tmp_path / "lake"))
    for number, day in enumerate(DAYS):
        lake.put([cluster_day("a", day=day, is_running=number == 0)])
    for path in (tmp_path / "lake").glob("*/day=*/*.parquet"):
        path.write_bytes(b"?")
    assert lake.maintain(timedelta(days=1)).checkpoint is not None


def test_check_names_damaged_files_and_log_entries(written: Written) -> None:
    lake = written.lake()
    found = lake.check()
    assert found.files > len(DAYS) * len(TABLES)
    assert (found.damage, found.without_checksum) == ((), 0)
    current = written.current("assets")[0]
    old = next(path for path in written.files("assets") if path not in written.current("assets"))
    [entry] = written.files("running", "_delta_log/*1.json")
    flip = flipped(random.Random(2))  # noqa: S311
    with changed(current, flip), changed(old, flip), changed(entry, lambda content: content[:50]):
        damage = {(file.table, Path(file.path).name): file for file in lake.check().damage}
    assert damage.keys() == {("assets", current.name), ("assets", old.name), ("running", entry.name)}
    assert (damage["assets", current.name].is_current, damage["assets", old.name].is_current) == (True, False)
    assert damage["assets", current.name].day == DAYS[0]
    assert damage["assets", current.name].written_at is not None
