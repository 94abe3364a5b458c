"""How the rows of a day lie in its file."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubetally.store.lake import files
from kubetally.store.lake.encode import ALLOCATION_FILE
from kubetally.store.lake.files import DataFile, merged, slices_by
from kubetally.store.lake.storage import DiskStorage, MissingFile
from tests.cluster_days import DAY, cluster_day
from tests.lake_tables import allocation_table

ACCOUNTS = [f"account-{number:02}" for number in range(12)]


def tables(pods: int = 3, generation: int = 0) -> dict[str, pa.Table]:
    return {account: allocation_table(cluster_day(account, generation, pods=pods)) for account in ACCOUNTS}


def accounts_of(table: pa.Table) -> list[str]:
    return [account for account, _ in slices_by(table, "account_id")]


def written(folder: Path, pods: int) -> tuple[DiskStorage, DataFile, str]:
    storage = DiskStorage(folder)
    added = files.write(storage, DAY, list(tables(pods).values()), ALLOCATION_FILE)
    return storage, DataFile(added.path, added.size), added.stats


def test_the_rows_of_other_accounts_stay_as_they_are() -> None:
    old, new = tables(), tables(generation=1)
    held = pa.concat_tables(old.values())
    together = merged(held, {"account-03": new["account-03"], "account-99": new["account-00"]})
    expected = [new["account-03"] if account == "account-03" else old[account] for account in ACCOUNTS]
    assert pa.concat_tables(together[:-1]) == pa.concat_tables(expected)


def test_an_empty_table_takes_an_account_away() -> None:
    held = pa.concat_tables(tables().values())
    together = merged(held, {ACCOUNTS[0]: held.schema.empty_table()})
    assert accounts_of(pa.concat_tables(together)) == ACCOUNTS[1:]


def test_rows_of_a_kept_collection_stay_beside_the_new_ones() -> None:
    old, new = tables(), tables(generation=1)
    together = merged(pa.concat_tables(old.values()), {"account-03": new["account-03"]}, keep={f"account-03-{DAY}-0"})
    ids = set(pa.concat_tables(together)["collection_id"].to_pylist())
    assert {f"account-03-{DAY}-0", f"account-03-{DAY}-1"} < ids


def test_files_merged_by_another_program_are_sorted_again() -> None:
    held = pa.concat_tables(tables().values())
    mixed = pa.concat_tables([held.slice(20), held.slice(0, 20)])
    together = pa.concat_tables(merged(mixed, {}))
    assert accounts_of(together) == ACCOUNTS
    assert together.num_rows == held.num_rows


def test_a_row_group_ends_where_an_account_ends(tmp_path: Path) -> None:
    storage, file, _ = written(tmp_path, pods=1500)
    metadata = pq.read_metadata(tmp_path / file.path)
    assert metadata.num_row_groups == 4
    assert {metadata.row_group(number).num_rows for number in range(4)} == {3 * 1501}
    read = files.read(storage, file, ALLOCATION_FILE, {"account-04"})
    assert accounts_of(read) == ["account-03", "account-04", "account-05"]


def test_log_has_the_bounds_of_accounts_and_namespaces(tmp_path: Path) -> None:
    _, _, stats = written(tmp_path, pods=3)
    told = json.loads(stats)
    assert told["numRecords"] == 12 * 4
    assert (told["minValues"]["account_id"], told["maxValues"]["account_id"]) == ("account-00", "account-11")
    assert (told["minValues"]["namespace"], told["maxValues"]["namespace"]) == ("team-00", "team-02")
    assert told["nullCount"]["namespace"] == 12


def test_a_file_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    storage, file, _ = written(tmp_path, pods=3)
    assert files.read(storage, file, ALLOCATION_FILE) == pa.concat_tables(tables().values())


@pytest.mark.parametrize("has_checksums", [True, False])
def test_arrow_decodes_from_memory_of_its_own(tmp_path: Path, *, has_checksums: bool) -> None:
    storage, file, _ = written(tmp_path, pods=1500)
    if not has_checksums:
        (tmp_path / "a.parquet").write_bytes(storage.body(file.path))
        file = DataFile("a.parquet", file.size)
    with storage.opened(*file) as opened:
        before = pa.total_allocated_bytes()
        content = files.load(opened, file, pq.read_metadata(tmp_path / file.path), [0, 1, 2, 3])
        assert pa.total_allocated_bytes() - before >= file.size == content.size
    table = pq.read_table(pa.BufferReader(content)) if not has_checksums else None
    assert table is None or table.num_rows == 12 * 1501


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"gone\.parquet"):
        files.read(DiskStorage(tmp_path), DataFile("gone.parquet", 1), ALLOCATION_FILE)
