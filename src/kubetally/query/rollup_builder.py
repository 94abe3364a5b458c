"""Brings the roll-ups of a lake up to date with the stored days."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from kubetally import logs
from kubetally.domain.collection import CoveredDay
from kubetally.domain.errors import StoreError
from kubetally.ledger.ports.coverage import Coverage
from kubetally.ledger.ports.lake import Lake, StoredRows
from kubetally.ledger.ports.rollups import Grain, RollUp
from kubetally.query.rollup_sums import rolled_up
from kubetally.query.sums import COSTS, columns
from kubetally.query.too_large import QuestionTooLarge
from kubetally.store.lake.schema import ROLL_UPS

if TYPE_CHECKING:
    from kubetally.query.engine import Engine, OpenEngine

_GRACE = timedelta(hours=1)
"""For so long queries may still read a file that was replaced."""

_log = logs.get_logger(__name__)


class RollUpBuilder:
    """Rolls up stored days, a month at a time. It blocks."""

    def __init__(self, coverage: Coverage, lake: Callable[[], Lake], open_engine: "OpenEngine") -> None:
        self._coverage, self._lake, self._open_engine = coverage, lake, open_engine

    def rebuild(self, now: datetime) -> int:
        """Add the sums of days that have none, and remove those of replaced days; returns how many days were added.

        Days that can't be read are left out: answers read their rows, and say what is wrong with them.
        Raises: StoreError.
        """
        wanted, held, count = self._wanted(now), self._held(), 0
        months = {month for month, ids in held.items() if ids != wanted.get(month, {}).keys()}
        due = sorted(months | (wanted.keys() - held.keys()))
        if due or self._without_sums_of_month():
            engine = self._open_engine()
            try:
                for month in due:
                    count += self._roll_up(engine, month, wanted.get(month, {}), held.get(month, frozenset()), now)
                for file in self._without_sums_of_month():
                    self._add_up_month(engine, file, now)
            finally:
                engine.close()
        removed = self._lake().roll_ups.remove_replaced(now - _GRACE)
        _log.info("rolled_up", months=len(due), days=count, removed=removed)
        return count

    def _wanted(self, now: datetime) -> dict[date, dict[str, CoveredDay]]:
        """The stored days that are over, by month and by the id of their collection."""
        months = defaultdict[date, dict[str, CoveredDay]](dict)
        for day in self._coverage.days(date.min, end=now.date() + timedelta(days=1)):
            if day.has_costs and day.rows and not day.is_running and day.collection_id is not None:
                months[day.day.replace(day=1)][day.collection_id] = day
        return months

    def _held(self) -> dict[date, frozenset[str]]:
        """The collections that roll-ups of both grains of days have, by month."""
        of_grain = [_by_month(self._lake().roll_ups.files(grain)) for grain in (Grain.NAMESPACE, Grain.ACCOUNT)]
        months = {month for its in of_grain for month in its}
        return {month: frozenset.intersection(*(its.get(month, frozenset()) for its in of_grain)) for month in months}

    def _roll_up(
        self, engine: "Engine", month: date, wanted: Mapping[str, CoveredDay], held: frozenset[str], now: datetime
    ) -> int:
        """Write the files of a month, unless nothing changes; returns how many days were added."""
        fine = self._sums(engine, [day for id_, day in wanted.items() if id_ not in held])
        coarse = engine.run(rolled_up(ibis.memtable(fine), Grain.ACCOUNT))
        sound = _sound(coarse, wanted)
        if not sound and held <= wanted.keys():
            return 0
        collections = {id_: (wanted[id_].account_id, wanted[id_].day) for id_ in sound}
        for grain, sums in ((Grain.NAMESPACE, fine), (Grain.ACCOUNT, coarse)):
            its = sums.filter(pc.is_in(sums["collection_id"], pa.array(sorted(sound), pa.string())))
            self._lake().roll_ups.replace(grain, month, its, collections, keep=held & wanted.keys(), at=now)
        return len(sound)

    def _without_sums_of_month(self) -> list[RollUp]:
        """The roll-ups by namespace whose sums over the month are of other collections, or are not there."""
        roll_ups = self._lake().roll_ups
        present = _by_month(roll_ups.files(Grain.MONTH))
        return [file for file in roll_ups.files(Grain.NAMESPACE) if present.get(file.month) != file.ids]

    def _add_up_month(self, engine: "Engine", file: RollUp, now: datetime) -> None:
        roll_ups = self._lake().roll_ups
        sums = engine.run(rolled_up(ibis.memtable(roll_ups.sums(file)), Grain.MONTH))
        roll_ups.replace(Grain.MONTH, file.month, sums, file.collections, keep=(), at=now)

    def _sums(self, engine: "Engine", days: Sequence[CoveredDay]) -> pa.Table:
        """The sums of days by namespace, without days that can't be read."""
        if not days:
            return ROLL_UPS[Grain.NAMESPACE].empty_table()
        try:
            rows = [StoredRows(day.collection_id or "", day.account_id, day.day) for day in days]
            local = self._lake().local(self._lake().scans(rows, frozenset(day.account_id for day in days)))
            try:
                return engine.run(rolled_up(engine.rows(local.scans), Grain.NAMESPACE))
            finally:
                local.release()
        except (StoreError, QuestionTooLarge) as error:
            by_date = [list(its) for _, its in groupby(sorted(days, key=_date), _date)]
            if len(by_date) == 1:
                _log.warning("day_not_rolled_up", day=str(days[0].day), code=error.code, error=str(error))
                return ROLL_UPS[Grain.NAMESPACE].empty_table()
            return pa.concat_tables([self._sums(engine, its) for its in by_date])


def _date(day: CoveredDay) -> date:
    return day.day


def _by_month(files: Sequence[RollUp]) -> dict[date, frozenset[str]]:
    return {file.month: file.ids for file in files}


def _sound(sums: pa.Table, days: Mapping[str, CoveredDay]) -> set[str]:
    """The collections whose sums have the number of rows and the total that the database recorded."""
    read = columns(sums.select(["collection_id", "rows", *COSTS]))
    totals, rows = defaultdict[str, int](int), defaultdict[str, int](int)
    for at, id_ in enumerate(read["collection_id"]):
        rows[id_] += read["rows"][at]
        totals[id_] += sum(read[name][at] or 0 for name in COSTS)
    return {id_ for id_ in rows if (rows[id_], totals[id_]) == (days[id_].rows, days[id_].total)}
