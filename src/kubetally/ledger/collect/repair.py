"""Repairing the lake: damaged days are written anew from copies or set aside, and damaged files are taken out."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from kubetally.domain.collection import SET_ASIDE, CollectedDay, Collection
from kubetally.ledger.collect.damage import DamagedCollection, note_damage, read_collection
from kubetally.ledger.collect.rewrite import by_day, read_stored_day, rewrite_day
from kubetally.ledger.collect.writer import LakeWriter, LeasedLake
from kubetally.ledger.ports.damage import AssetsDamaged, FileDamage
from kubetally.ledger.ports.lake import PackedDay


class Repairer:
    """Repairs the lake, alone. Days that another process replaced or repaired meanwhile are left as they are.

    All calls block, and raise AnotherWriter, LeaseLost, StoreError; what was repaired until then is.
    """

    def __init__(self, writer: LakeWriter) -> None:
        self._writer = writer
        self._lake, self._coverage, self._clock = writer.lake, writer.coverage, writer.clock

    def put_back(self, days: Sequence[CollectedDay]) -> list[Collection]:
        """Write stored days that are damaged anew, from copies of what was committed; returns those that were."""
        with self._writer.hold_lease() as leased:
            damaged = self._still_damaged([day.collection for day in days])
            found = [
                replace(day, collection=damaged[day.collection.id][0]) for day in days if day.collection.id in damaged
            ]
            for same_day in by_day(self._lake.pack(found)):
                self._rewrite(same_day, leased)
                self._coverage.clear_damage([day.collection for day in same_day])
        return [day.collection for day in found]

    def put_lost_back(self, days: Sequence[CollectedDay]) -> list[Collection]:
        """As `put_back`, of days whose rows the lake lacks, of copies of `Coverage.lost`: they hold again."""
        with self._writer.hold_lease() as leased:
            lost = {collection.id: collection for collection in self._coverage.lost()}
            found = [replace(day, collection=lost[day.collection.id]) for day in days if day.collection.id in lost]
            for same_day in by_day(self._lake.pack(found)):
                self._rewrite(same_day, leased)
                self._coverage.restore([], [day.collection.id for day in same_day])
        return [day.collection for day in found]

    def set_aside(self, damaged: Sequence[DamagedCollection]) -> list[Collection]:
        """Take damaged days, of which there is no copy, out of the newest version; their files are kept aside.

        They stay stored days that can't be read, so that no figure of them is shown. A day whose assets alone are
        damaged keeps its rows. Returns those that were set aside.
        """
        with self._writer.hold_lease() as leased:
            still = self._still_damaged([collection for collection, _ in damaged])
            found = [pair for pair in still.values() if not isinstance(pair[1], AssetsDamaged)]
            empty = self._lake.pack([CollectedDay(collection, (), ()) for collection, _ in found])
            for same_day in by_day(empty):
                self._rewrite(same_day, leased)
            for collection, error in found:
                why = f"set aside, as no source or backup has this day: {error}"
                self._coverage.failed(collection.account_id, collection.day, self._clock.now(), SET_ASIDE, why)
        return [collection for collection, _ in found]

    def mend_files(self, damage: Sequence[FileDamage]) -> None:
        """Take damaged files out of the newest version, once it has all that any file still has of their days.

        A day stays as it is where one of its collections, that was not set aside, can be read nowhere.
        """
        with self._writer.hold_lease() as leased:
            unreadable: set[date] = set()
            for day in sorted({one.day for one in damage if one.is_current and one.day is not None}):
                for is_running in (False, True):
                    readable, lost = read_stored_day(self._lake, self._coverage, day, is_running=is_running)
                    if lost:
                        note_damage(self._coverage, lost, self._clock.now())
                        unreadable.add(day)
                    elif readable:
                        leased.replace(self._lake.pack(readable), anew=True)
            leased.mend_files([one for one in damage if not (one.is_current and one.day in unreadable)])

    def _rewrite(self, days: Sequence[PackedDay], leased: LeasedLake) -> None:
        """Put these into the day's file, written anew, without another collection for the database."""
        _, damaged = rewrite_day(leased, self._coverage, days)
        note_damage(self._coverage, damaged, self._clock.now())

    def _still_damaged(self, collections: Sequence[Collection]) -> dict[str, DamagedCollection]:
        """Those that still are the stored ones, and still can't be read, as they are stored now, by id."""
        stored: dict[str, Collection] = {}
        for day in {collection.day for collection in collections}:
            stored |= {one.id: one for one in self._coverage.held_on(day).values()}
        found: dict[str, DamagedCollection] = {}
        for id_ in (collection.id for collection in collections if collection.id in stored):
            error = read_collection(self._lake, stored[id_])[1]
            if error is not None:
                found[id_] = stored[id_], error
        return found
