"""The files of roll-ups, beside the tables: one for each month and grain, written once and replaced by another.

A name tells month, number, instant and CRC-32: `namespace/2026-10.000003.1764451234.0a1b2c3d.parquet`. The greatest
number of a month counts. The footer lists the collections. Whatever can't be read is as if it were not there.
"""

import json
import re
import time
import zlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from threading import Lock
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from obstore.exceptions import BaseError

from kubetally import logs
from kubetally.ledger.ports.rollups import Grain, Key, RollUp
from kubetally.store.lake.faults import UNREADABLE, translated
from kubetally.store.lake.place import Place
from kubetally.store.lake.schema import ROLL_UPS
from kubetally.store.lake.storage import ROLL_UPS_FOLDER, MissingFile

_NAME = re.compile(
    r"(?P<grain>[a-z]+)/(?P<month>\d{4}-\d\d)\.(?P<number>\d{6,})\.(?P<at>\d+)\.(?P<crc>[0-9a-f]{8})\.parquet"
)
_COLLECTIONS = b"kubetally.collections"
_LISTED_SECONDS = 5.0
_log = logs.get_logger(__name__)


class _File(NamedTuple):
    """A file by its name."""

    month: str
    number: int
    at: int
    crc: int
    path: str


class RollUpFiles:
    """The port `RollUps`. Threads may share it. Raises StoreError."""

    def __init__(self, place: Place) -> None:
        self._place, self._storage = place, place.storage(ROLL_UPS_FOLDER)
        self._url = place.shown_table(ROLL_UPS_FOLDER)
        self._read: dict[str, RollUp | None] = {}
        self._listed: tuple[float, Mapping[str, list[_File]]] | None = None
        self._lock = Lock()

    def files(self, grain: Grain) -> list[RollUp]:
        """See `RollUps`. Its folder is listed every few seconds."""
        found = (self._newest(its) for its in _by_month(self._list()[grain]).values())
        return [roll_up for roll_up in found if roll_up is not None and roll_up.collections]

    def sums(self, file: RollUp) -> pa.Table:
        """See `RollUps`."""
        with translated(self._url, self._place.secrets):
            return pq.read_table(pa.BufferReader(self._storage.body(file.path.removeprefix(f"{self._url}/"))))

    def replace(
        self,
        grain: Grain,
        month: date,
        sums: pa.Table,
        collections: Mapping[str, Key],
        *,
        keep: Collection[str],
        at: datetime,
    ) -> None:
        """See `RollUps`."""
        its = _by_month(self._list(anew=True)[grain]).get(f"{month:%Y-%m}", [])
        present = self._newest(its)
        kept = {} if present is None else {id_: key for id_, key in present.collections.items() if id_ in keep}
        if kept and present is not None:
            table = self.sums(present)
            sums = pa.concat_tables([table.filter(pc.is_in(table["collection_id"], pa.array(sorted(kept)))), sums])
        self._write(grain, f"{month:%Y-%m}", its, sums, {**kept, **collections}, int(at.timestamp()))

    def drop(self, account_id: str, *, keep: Collection[str] = ()) -> int:
        """See `RollUps`. Queries that read a removed file read rows instead."""
        count = 0
        for grain in Grain:
            for month, its in _by_month(self._list(anew=True)[grain]).items():
                count += self._drop(grain, month, its, account_id, keep)
        return count

    def _drop(self, grain: Grain, month: str, its: Sequence[_File], account_id: str, keep: Collection[str]) -> bool:
        """Rewrite a month if any of its files has more of the account than may stay; unreadable ones are removed."""
        readable = [(file, self._of(file)) for file in its]

        def goes(id_: str, key: Key) -> bool:
            return key[0] == account_id and id_ not in keep

        def is_concerned(roll_up: RollUp | None) -> bool:
            return roll_up is None or any(goes(*pair) for pair in roll_up.collections.items())

        if not any(is_concerned(roll_up) for _, roll_up in readable):
            return False
        newest = self._newest(its)
        if newest is not None:
            staying = {id_: key for id_, key in newest.collections.items() if not goes(id_, key)}
            table = self.sums(newest)
            if grain is not Grain.MONTH:
                table = table.filter(pc.is_in(table["collection_id"], pa.array(sorted(staying), pa.string())))
            elif account_id not in {key[0] for key in staying.values()}:
                table = table.filter(pc.not_equal(table["account_id"], account_id))
            else:
                staying, table = {}, table.slice(0, 0)  # until it is made anew
            self._write(grain, month, its, table, staying, int(time.time()))
        with translated(self._url, self._place.secrets):
            for file, roll_up in readable:
                if is_concerned(roll_up):
                    self._storage.discard(file.path)
        self._listed = None
        return True

    def remove_replaced(self, before: datetime) -> int:
        """See `RollUps`."""
        gone = [
            file.path
            for files in self._list(anew=True).values()
            for its in _by_month(files).values()
            for file, later in zip(its[1:], its, strict=False)
            if later.at < before.timestamp()
        ]
        with translated(self._url, self._place.secrets):
            for path in gone:
                self._storage.discard(path)
                self._read.pop(path, None)
        self._listed = None
        return len(gone)

    def _list(self, *, anew: bool = False) -> Mapping[str, list[_File]]:
        """The files by grain."""
        now = time.monotonic()
        with self._lock:
            if self._listed is not None and not anew and now - self._listed[0] < _LISTED_SECONDS:
                return self._listed[1]
        files = defaultdict[str, list[_File]](list)
        with translated(self._url, self._place.secrets):
            for path in self._storage.sizes():
                if (match := _NAME.fullmatch(path)) is not None:
                    numbers = int(match["number"]), int(match["at"]), int(match["crc"], 16)
                    files[match["grain"]].append(_File(match["month"], *numbers, path))
        with self._lock:
            self._listed = now, files
        return files

    def _newest(self, its: Sequence[_File]) -> RollUp | None:
        """The newest undamaged file of a month."""
        return next((roll_up for roll_up in map(self._of, its) if roll_up is not None), None)

    def _of(self, file: _File) -> RollUp | None:
        """A file, verified when it is first read; None if it is damaged or gone."""
        if file.path not in self._read:
            self._read[file.path] = self._verified(file)
        return self._read[file.path]

    def _verified(self, file: _File) -> RollUp | None:
        try:
            body = self._storage.body(file.path)
            if zlib.crc32(body) != file.crc:
                raise ValueError("it does not have the checksum of its name")
            metadata = pq.read_metadata(pa.BufferReader(body))
            schema = metadata.schema.to_arrow_schema().remove_metadata()
            if not schema.equals(ROLL_UPS[Grain(file.path.partition("/")[0])]):
                return None  # of another version
            collections = _collections_of(metadata.metadata[_COLLECTIONS])
        except (MissingFile, OSError, BaseError, KeyError, ValueError, *UNREADABLE) as error:
            _log.warning("roll_up_not_read", path=f"{self._url}/{file.path}", error=str(error))
            return None
        return RollUp(f"{self._url}/{file.path}", collections)

    def _write(
        self, grain: Grain, month: str, its: Sequence[_File], sums: pa.Table, collections: Mapping[str, Key], at: int
    ) -> None:
        schema = ROLL_UPS[grain]
        order = [(name, "ascending") for name in ("account_id", "namespace", "kind", "day") if name in schema.names]
        table = sums.select(schema.names).cast(schema).sort_by(order)
        content = _parquet(table.replace_schema_metadata({_COLLECTIONS: _text_of(collections)}))
        number = max((file.number for file in its), default=0) + 1
        path = f"{grain}/{month}.{number:06}.{at}.{zlib.crc32(content):08x}.parquet"
        with translated(self._url, self._place.secrets):
            self._place.make()
            self._storage.put(path, content)
        self._listed = None


def _by_month(files: Sequence[_File]) -> dict[str, list[_File]]:
    """The files of each month, the newest first."""
    months = defaultdict[str, list[_File]](list)
    for file in sorted(files, key=lambda file: (file.number, file.path), reverse=True):
        months[file.month].append(file)
    return dict(sorted(months.items()))


def _parquet(table: pa.Table) -> pa.Buffer:
    """A file that is read fast: not compressed, because a year of a fleet is read as a whole, and small."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="none", store_decimal_as_integer=True, write_page_checksum=True)
    return sink.getvalue()


def _text_of(collections: Mapping[str, Key]) -> bytes:
    """Ids by account and day, as JSON."""
    days = defaultdict[str, dict[str, str]](dict)
    for id_, (account_id, day) in collections.items():
        days[account_id][day.isoformat()] = id_
    return json.dumps(days, separators=(",", ":")).encode()


def _collections_of(text: Any) -> dict[str, Key]:
    dates: dict[str, date] = {}
    return {
        id_: (account_id, dates.setdefault(day, date.fromisoformat(day)))
        for account_id, days in json.loads(text).items()
        for day, id_ in days.items()
    }
