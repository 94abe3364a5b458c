"""Committing booked days to the lake. A kill at any point neither loses committed days nor duplicates them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from kubetally import logs
from kubetally.domain.collection import CollectedDay, Collection
from kubetally.domain.collection_report import Outcome
from kubetally.domain.damage import DamagedCollection, DayDamaged
from kubetally.domain.errors import KubetallyError, StoreError
from kubetally.domain.issues import IssueKind
from kubetally.ledger.collect.damage import note_damage, read_collection
from kubetally.ledger.collect.replacement import KeepStored, decide_replacement, is_superseded, keep_newer, of_lost_day
from kubetally.ledger.collect.rewrite import by_day, rewrite_day
from kubetally.ledger.ports.lake import PackedDay
from kubetally.ledger.writing.writer import LakeWriter, LeasedLake

_log = logs.get_logger(__name__)


class Committer:
    """Commits collected days, holding the lease of the writer. All calls block."""

    def __init__(self, writer: LakeWriter) -> None:
        self.writer = writer
        self._lake, self._coverage, self._clock = writer.lake, writer.coverage, writer.clock

    def pack(self, days: Sequence[CollectedDay]) -> list[PackedDay | Outcome]:
        """Days as `commit` takes them. A day that the lake can't hold is noted as failed, and the others are packed.

        Any thread may call it.
        """
        try:
            return list(self._lake.pack(days))
        except StoreError as error:
            if len(days) > 1:
                return [result for day in days for result in self.pack([day])]
            return [self._not_committed(days[0].collection, error.code, str(error))]

    def commit(self, days: Sequence[PackedDay], *, force: bool = False, replace_damaged: bool = False) -> list[Outcome]:
        """Commit days, those of one date together, unless the stored day holds more.

        A day that is damaged in the lake is not committed; the others are.
        force: also if the stored day holds more. replace_damaged: rewrite a damaged day as well, with the readable rows
        of its other accounts; days that can't be read are noted, and collected again.
        Raises: AnotherWriter, StoreError; what was committed before stays.
        """
        with self.writer.hold_lease() as leased:
            outcomes = []
            for same_day in by_day(days):
                outcomes += self._commit(same_day, leased, force=force, replace_damaged=replace_damaged)
            return outcomes

    def _commit(
        self, days: Sequence[PackedDay], leased: LeasedLake, *, force: bool, replace_damaged: bool
    ) -> list[Outcome]:
        outcomes, accepted = [], []
        stored = self._stored_days(days[0].collection.day, [day.collection.account_id for day in days])
        for day in days:
            mine = stored.get(day.collection.account_id)
            if mine is not None and is_superseded(day, mine, self._clock.now()):
                late = keep_newer(mine)
                outcomes.append(Outcome(day.collection.account_id, day.collection.day, late.code, late.why))
                continue
            verdict = decide_replacement(day, mine, force=force)
            if isinstance(verdict, KeepStored):
                if mine is not None and self._is_lost(mine):
                    verdict = of_lost_day(verdict)
                elif (
                    replace_damaged and mine is not None and (error := read_collection(self._lake, mine)[1]) is not None
                ):
                    note_damage(self._coverage, [(mine, error)], self._clock.now())
                outcomes.append(self._not_committed(day.collection, verdict.code, verdict.why))
            else:
                accepted.append(verdict)
                _log_if_forced(verdict.collection)
        if accepted:
            try:
                # What a damaged file of running days held is collected again anyway.
                self._write(accepted, leased, replace_damaged=replace_damaged or accepted[0].collection.is_running)
            except DayDamaged as error:
                rejected = (day.collection for day in accepted)
                return outcomes + [
                    self._not_committed(collection, error.code, str(error.of(collection.account_id)))
                    for collection in rejected
                ]
        return outcomes + [_written(day.collection) for day in accepted]

    def _stored_days(self, day: date, account_ids: Sequence[str]) -> dict[str, Collection]:
        """The stored collections of a day by account, each with its completeness, also those whose rows are lost."""
        stored = self._coverage.collections_on(day, account_ids, or_lost=True)
        return {
            account_id: collection if collection.completeness else self._measured(collection)
            for account_id, collection in stored.items()
        }

    def _is_lost(self, stored: Collection) -> bool:
        """Whether the lake lost its rows."""
        return not self._coverage.collections_on(stored.day, [stored.account_id])

    def _measured(self, stored: Collection) -> Collection:
        """With its completeness, which an earlier version did not measure; without if it is damaged."""
        day, error = read_collection(self._lake, stored)
        if day is None or error is not None:
            _log.warning("stored_day_not_read", account=stored.account_id, day=str(stored.day), error=str(error))
            return stored
        completeness = stored.measured(day.rows, day.assets)
        if not stored.examined_by:  # an earlier version took all hours as covered
            completeness = replace(completeness, hours_covered=0.0)
        return replace(stored, completeness=completeness)

    def _not_committed(self, collection: Collection, code: str, why: str) -> Outcome:
        self._coverage.failed(collection.account_id, collection.day, self._clock.now(), code=code, message=why)
        return Outcome(collection.account_id, collection.day, code, why)

    def _write(self, days: Sequence[PackedDay], leased: LeasedLake, *, replace_damaged: bool) -> None:
        collections = [day.collection for day in days]
        ids = [collection.id for collection in collections]
        self._coverage.intend(collections)
        damaged: Sequence[DamagedCollection] = ()
        try:
            try:
                version = leased.replace(days)
            except DayDamaged:
                if not replace_damaged:
                    raise
                version, damaged = rewrite_day(leased, self._coverage, days)
        except DayDamaged:
            self._coverage.drop(ids)
            raise
        except KubetallyError as error:
            if not self._lake.versions_of(collections):  # else it was committed, and only the answer was lost
                if not error.retryable:  # else the store may still commit it
                    self._coverage.drop(ids)
                raise
            self.writer.resolve_pending()
            return
        self._coverage.confirm(ids, version)
        note_damage(self._coverage, damaged, self._clock.now())


def _written(collection: Collection) -> Outcome:
    bill = collection.head.bill
    return Outcome(collection.account_id, collection.day, total=bill.total, rows=collection.rows)


def _log_if_forced(collection: Collection) -> None:
    for issue in collection.head.issues:
        if issue.kind is IssueKind.REPLACED_BY_FORCE:
            facts = {"account": collection.account_id, "day": str(collection.day), **issue.facts}
            _log.warning("day_replaced_by_force", **facts, why=issue.message)
