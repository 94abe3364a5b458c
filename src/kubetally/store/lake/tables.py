"""One Delta table of the lake: a file a day, replaced as a whole by one commit."""

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from deltalake.transaction import AddAction, CommitProperties, PostCommitHookProperties, RemoveAction

from kubetally.domain.errors import StoreError
from kubetally.store.lake.faults import Conflict, LakeNewer, LakeUnavailable, NotALake, translated
from kubetally.store.lake.files import Files
from kubetally.store.lake.schema import DAY, SCHEMA_VERSION, SORTED_BY, STATISTICS, VERSION_KEY, TableName, in_files

_TRIES = 8
_FIRST_PAUSE_SECONDS = 0.05
_VERSIONS_KEPT = 4
_CHECKPOINT_EVERY = 100


class VersionGone(StoreError):
    """An old version of a table that was cleared away."""

    code = "version_gone"

    def __init__(self, url: str, version: int) -> None:
        self.url, self.version = url, version
        super().__init__(f"version {version} of {url} was cleared away: its history is kept for KUBETALLY_HISTORY_DAYS")


class LakeTable:
    """A table by name. Calls block; one writer at a time, many readers."""

    def __init__(
        self, files: Files, name: TableName, schema: pa.Schema, options: Mapping[str, str], keep: timedelta
    ) -> None:
        self.name, self._files, self._schema, self._keep = name, files, schema, keep
        self.url = f"{files.url}/{name}"
        self._options, self._lock = dict(options), threading.Lock()
        self._handle: DeltaTable | None = None
        self._versions: OrderedDict[int, DeltaTable] = OrderedDict()

    def replace(self, day: date, tables: Mapping[str, pa.Table], metadata: Mapping[str, str]) -> int:
        """Put the rows of some accounts in place of those they have on that day; the version from which on that holds.

        Raises: LakeUnavailable, LakeFull, LakeNewer, NotALake.
        """
        for number in range(_TRIES):
            try:
                return self._replace(day, tables, metadata)
            except Conflict as error:
                last = error
            time.sleep(_FIRST_PAUSE_SECONDS * 2**number)
        raise LakeUnavailable(self.url, f"others committed first, {_TRIES} times on end ({last})")

    def read(self, version: int, days: Sequence[date], accounts: Sequence[str]) -> pa.Table:
        """The rows of accounts on some days, at a version. Raises VersionGone, LakeUnavailable."""
        with translated(self.url):
            found = self._at(version)
            paths = [path for day in days for path in _paths(found, day)]
            wanted = [(SORTED_BY[0], "in", list(accounts))]
            try:
                parts = [self._read(path, wanted) for path in paths]
            except FileNotFoundError as error:
                raise VersionGone(self.url, version) from error
        return pa.concat_tables(parts) if parts else in_files(self._schema).empty_table()

    def version(self) -> int:
        """The newest one; -1 where there is no table yet."""
        with translated(self.url):
            try:
                return self._newest(make=False).version()
            except TableNotFoundError:
                return -1

    def commits(self, most: int) -> list[dict[str, Any]]:
        """The newest commits, with what was said of them."""
        with translated(self.url):
            try:
                return self._newest(make=False).history(most)
            except TableNotFoundError:
                return []

    def maintain(self) -> tuple[int, int, int]:
        """Put small files together, clear away what was replaced longer ago than is kept, and write a checkpoint.

        How many files were put together, how many removed, and the version of the checkpoint.
        """
        with translated(self.url):
            try:
                table = self._newest(make=False)
            except TableNotFoundError:
                return 0, 0, -1
            compacted = table.optimize.compact()["numFilesRemoved"]
            hours = int(self._keep / timedelta(hours=1))
            removed = table.vacuum(hours, dry_run=False, enforce_retention_duration=False)
            table.update_incremental()
            table.create_checkpoint()
            table.cleanup_metadata()
            return int(compacted), len(removed), table.version()

    def drop_days(self, before: date) -> None:
        """Leave the days before one out of the table."""
        with translated(self.url):
            try:
                table = self._newest(make=False)
            except TableNotFoundError:
                return
            old = [path for path in table.file_uris() if _day_of(path) < before.isoformat()]
            removed = [_removed(_relative(path), _day_of(path)) for path in old]
            if removed:
                self._commit(table, removed, {})

    def _replace(self, day: date, tables: Mapping[str, pa.Table], metadata: Mapping[str, str]) -> int:
        with translated(self.url):
            table = self._newest(make=True)
            present = _paths(table, day)
            others = [(SORTED_BY[0], "not in", list(tables))]
            parts = [*(self._read(path, others) for path in present), *tables.values()]
            path = f"{DAY}={day.isoformat()}/part-{uuid4().hex}.parquet"
            try:
                add = self._written(path, _sorted(pa.concat_tables(parts)), day)
                self._commit(table, [add, *(_removed(one, day.isoformat()) for one in present)], metadata)
            except BaseException:
                self._files.remove(f"{self.name}/{path}")
                raise
            return table.version()

    def _commit(self, table: DeltaTable, actions: Sequence[AddAction | RemoveAction], said: Mapping[str, str]) -> None:
        table.create_write_transaction(
            list(actions),
            "append",
            self._schema,
            [DAY],
            commit_properties=CommitProperties(custom_metadata=dict(said), max_commit_retries=0),
            post_commithook_properties=PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False),
        )
        table.update_incremental()

    def _written(self, path: str, rows: pa.Table, day: date) -> AddAction:
        """A row group an account, so that who reads one reads little else."""
        relative = f"{self.name}/{path}"
        self._files.make_folder(f"{self.name}/{DAY}={day.isoformat()}")
        with (
            self._files.system.open_output_stream(self._files.path(relative)) as stream,
            pq.ParquetWriter(stream, rows.schema, compression="zstd", store_decimal_as_integer=True) as writer,
        ):
            for start, length in _runs(rows[SORTED_BY[0]]):
                writer.write_table(rows.slice(start, length))
        size = self._files.written(relative)
        changed = time.time_ns() // 1_000_000
        return AddAction(path, size, {DAY: day.isoformat()}, changed, True, json.dumps(_statistics(rows)))

    def _read(self, path: str, wanted: list[tuple[str, str, list[str]]]) -> pa.Table:
        place = self._files.path(f"{self.name}/{path}")
        return pq.read_table(
            place, filesystem=self._files.system, filters=wanted, schema=in_files(self._schema), partitioning=None
        )

    def _newest(self, *, make: bool) -> DeltaTable:
        with self._lock:
            if self._handle is None:
                self._handle = self._opened(make)
            else:
                self._handle.update_incremental()
            return self._handle

    def _opened(self, make: bool) -> DeltaTable:
        try:
            table = DeltaTable(self.url, storage_options=self._options)
        except TableNotFoundError:
            if not make:
                raise
            table = self._created()
        self._see_that_it_is_ours(table)
        return table

    def _created(self) -> DeltaTable:
        keep = f"interval {max(1, round(self._keep / timedelta(hours=1)))} hours"
        configuration = {
            VERSION_KEY: str(SCHEMA_VERSION),
            "delta.logRetentionDuration": keep,
            "delta.deletedFileRetentionDuration": keep,
            "delta.checkpointInterval": str(_CHECKPOINT_EVERY),
            "delta.dataSkippingStatsColumns": ",".join(STATISTICS),
        }
        self._files.make_folder(self.name)
        return DeltaTable.create(
            self.url,
            self._schema,
            mode="ignore",
            partition_by=[DAY],
            configuration=configuration,
            storage_options=self._options,
            raise_if_key_not_exists=False,
        )

    def _see_that_it_is_ours(self, table: DeltaTable) -> None:
        found = table.metadata().configuration.get(VERSION_KEY)
        if found is None:
            raise NotALake(self.url)
        if not found.isdecimal() or int(found) > SCHEMA_VERSION:
            raise LakeNewer(self.url, found, SCHEMA_VERSION)

    def _at(self, version: int) -> DeltaTable:
        """The table as it was at a version, of which a few are remembered."""
        with self._lock:
            if version in self._versions:
                self._versions.move_to_end(version)
                return self._versions[version]
        try:
            table = DeltaTable(self.url, version=version, storage_options=self._options)
        except TableNotFoundError:
            raise VersionGone(self.url, version) from None
        except Exception as error:
            if "version" in str(error).lower():
                raise VersionGone(self.url, version) from error
            raise
        self._see_that_it_is_ours(table)
        with self._lock:
            self._versions[version] = table
            while len(self._versions) > _VERSIONS_KEPT:
                self._versions.popitem(last=False)
        return table


def _paths(table: DeltaTable, day: date) -> list[str]:
    """The files of a day, from the table's folder."""
    return [_relative(uri) for uri in table.file_uris([(DAY, "=", day.isoformat())])]


def _relative(uri: str) -> str:
    return "/".join(uri.split("/")[-2:])


def _day_of(path: str) -> str:
    return path.split("/")[-2].removeprefix(f"{DAY}=")


def _removed(path: str, day: str) -> RemoveAction:
    return RemoveAction(path, True, time.time_ns() // 1_000_000, None, {DAY: day})


def _sorted(rows: pa.Table) -> pa.Table:
    return rows.sort_by([(name, "ascending") for name in (*SORTED_BY, "ordinal")])


def _runs(column: pa.ChunkedArray) -> list[tuple[int, int]]:
    """Where each value begins and how often it follows on itself."""
    encoded = pc.run_end_encode(column.combine_chunks())
    ends = encoded.run_ends.to_pylist()
    return [(start, end - start) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def _statistics(rows: pa.Table) -> dict[str, Any]:
    """What a reader leaves files out by."""
    least, most, nulls = {}, {}, {}
    for name in STATISTICS:
        found = pc.min_max(rows[name]).as_py()
        nulls[name] = rows[name].null_count
        if found["min"] is not None:
            least[name], most[name] = found["min"], found["max"]
    return {"numRecords": rows.num_rows, "minValues": least, "maxValues": most, "nullCount": nulls}
