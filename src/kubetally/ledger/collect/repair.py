"""Repairing the lake: damaged days are rewritten from copies or set aside, and damaged files are removed."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from kubetally.domain.collection import SET_ASIDE, CollectedDay, Collection
from kubetally.domain.damage import AssetsDamaged, DamagedCollection, FileDamage
from kubetally.ledger.collect.damage import note_damage, read_collection
from kubetally.ledger.collect.rewrite import by_day, read_stored_day, rewrite_day
from kubetally.ledger.ports.lake import PackedDay
from kubetally.ledger.writing.writer import LakeWriter, LeasedLake


class Repairer:
    """Repairs the lake. Days that another process replaced or repaired meanwhile are left as they are.

    All calls block, and raise AnotherWriter, StoreError; what was repaired before stays.
    """

    def __init__(self, writer: LakeWriter) -> None:
        self._writer = writer
        self._lake, self._coverage, self._clock = writer.lake, writer.coverage, writer.clock

    def put_back(self, days: Sequence[CollectedDay]) -> list[Collection]:
        """Rewrite damaged days from copies of what was committed. Returns the rewritten collections."""
        with self._writer.hold_lease() as leased:
            damaged = self._still_damaged([day.collection for day in days])
            copies = [
                replace(day, collection=damaged[day.collection.id][0]) for day in days if day.collection.id in damaged
            ]
            for same_day in by_day(self._lake.pack(copies)):
                self._rewrite(same_day, leased)
                self._coverage.clear_damage([day.collection for day in same_day])
        return [day.collection for day in copies]

    def put_lost_back(self, days: Sequence[CollectedDay]) -> list[Collection]:
        """As `put_back`, for days whose rows the lake lost (`Coverage.lost`); they are stored days again."""
        with self._writer.hold_lease() as leased:
            lost = {collection.id: collection for collection in self._coverage.lost()}
            copies = [replace(day, collection=lost[day.collection.id]) for day in days if day.collection.id in lost]
            for same_day in by_day(self._lake.pack(copies)):
                self._rewrite(same_day, leased)
                self._coverage.restore([], [day.collection.id for day in same_day])
        return [day.collection for day in copies]

    def set_aside(self, damaged: Sequence[DamagedCollection]) -> list[Collection]:
        """Remove damaged days without a copy from the newest version; their files are kept elsewhere.

        They stay stored days that can't be read, so that no figure of them is shown. A day with damaged assets only
        keeps its rows. Returns the collections set aside.
        """
        with self._writer.hold_lease() as leased:
            still = self._still_damaged([collection for collection, _ in damaged])
            unreadable = [pair for pair in still.values() if not isinstance(pair[1], AssetsDamaged)]
            empty = self._lake.pack([CollectedDay(collection, (), ()) for collection, _ in unreadable])
            for same_day in by_day(empty):
                self._rewrite(same_day, leased)
            for collection, error in unreadable:
                why = f"set aside, because no source or backup has this day: {error}"
                self._coverage.failed(
                    collection.account_id, collection.day, self._clock.now(), code=SET_ASIDE, message=why
                )
        return [collection for collection, _ in unreadable]

    def mend_files(self, damage: Sequence[FileDamage]) -> None:
        """Remove damaged files from the newest version, after rewriting what can be read of their days.

        A day is left as it is if one of its collections can't be read and was not set aside.
        """
        with self._writer.hold_lease() as leased:
            unreadable: set[date] = set()
            for day in sorted({file.day for file in damage if file.is_current and file.day is not None}):
                for is_running in (False, True):
                    readable, lost = read_stored_day(self._lake, self._coverage, day, is_running=is_running)
                    if lost:
                        note_damage(self._coverage, lost, self._clock.now())
                        unreadable.add(day)
                    elif readable:
                        leased.replace(self._lake.pack(readable), replace_damaged=True)
            leased.mend_files([file for file in damage if not (file.is_current and file.day in unreadable)])

    def _rewrite(self, days: Sequence[PackedDay], leased: LeasedLake) -> None:
        """Rewrite the file of a day with these; the database keeps its collections."""
        _, damaged = rewrite_day(leased, self._coverage, days)
        note_damage(self._coverage, damaged, self._clock.now())

    def _still_damaged(self, collections: Sequence[Collection]) -> dict[str, DamagedCollection]:
        """Those of the collections that are still stored and still can't be read, as stored now, by id."""
        stored: dict[str, Collection] = {}
        for day in {collection.day for collection in collections}:
            stored |= {collection.id: collection for collection in self._coverage.collections_on(day).values()}
        still_damaged: dict[str, DamagedCollection] = {}
        for id_ in (collection.id for collection in collections if collection.id in stored):
            error = read_collection(self._lake, stored[id_])[1]
            if error is not None:
                still_damaged[id_] = stored[id_], error
        return still_damaged
