"""Putting booked days into the lake: a kill at any point loses nothing that was committed, and doubles nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import structlog

from kubetally.domain.collection import CollectedDay, Collection
from kubetally.domain.errors import KubetallyError, StoreError
from kubetally.domain.issues import IssueKind
from kubetally.ledger.collect.damage import DamagedCollection, note_damage, read_collection
from kubetally.ledger.collect.replacement import KeepStored, decide_replacement, is_superseded, keep_newer, of_lost_day
from kubetally.ledger.collect.rewrite import by_day, rewrite_day
from kubetally.ledger.collect.writer import LakeWriter, LeasedLake
from kubetally.ledger.ports.damage import DayDamaged
from kubetally.ledger.ports.lake import PackedDay

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an (account, day): committed, or not and why.

    total: its micros, where it was committed. account: the account's name, once somebody looked it up.
    """

    account_id: str
    day: date
    code: str | None = None
    why: str | None = None
    total: int = 0
    rows: int = 0
    account: str = ""

    @property
    def is_collected(self) -> bool:
        """Whether it is in the lake now."""
        return self.code is None


class Committer:
    """Commits collected days, alone. All calls block."""

    def __init__(self, writer: LakeWriter) -> None:
        self.writer = writer
        self._lake, self._coverage, self._clock = writer.lake, writer.coverage, writer.clock

    def pack(self, days: Sequence[CollectedDay]) -> list[PackedDay | Outcome]:
        """Days as `commit` takes them; any thread may call. One that the lake can't hold is noted and hinders none."""
        try:
            return list(self._lake.pack(days))
        except StoreError as error:
            if len(days) > 1:
                return [one for day in days for one in self.pack([day])]
            found = days[0].collection
            return [self._not_committed(found, error.code, str(error))]

    def commit(self, days: Sequence[PackedDay], *, force: bool = False, anew: bool = False) -> list[Outcome]:
        """Put days into the lake, those of one day at once, unless the stored day holds more.

        A day that is damaged in the lake is not committed, and hinders no other.
        force: also where the stored day holds more. anew: also where the day is damaged: it is written anew, with what
        can be read of its other accounts; what can't is noted, so that it is collected again.
        Raises: AnotherWriter, LeaseLost, StoreError; what was committed until then is.
        """
        with self.writer.hold_lease() as leased:
            outcomes = []
            for same_day in by_day(days):
                outcomes += self._commit(same_day, leased, force=force, anew=anew)
            return outcomes

    def _commit(self, days: Sequence[PackedDay], leased: LeasedLake, *, force: bool, anew: bool) -> list[Outcome]:
        outcomes, accepted = [], []
        held = self._stored_days(days[0].collection.day, [day.collection.account_id for day in days])
        for day in days:
            holds = held.get(day.collection.account_id)
            if holds is not None and is_superseded(day, holds, self._clock.now()):
                late = keep_newer(holds)
                outcomes.append(Outcome(day.collection.account_id, day.collection.day, late.code, late.why))
                continue
            verdict = decide_replacement(day, holds, force=force)
            if isinstance(verdict, KeepStored):
                if holds is not None and self._is_lost(holds):
                    verdict = of_lost_day(verdict)
                elif anew and holds is not None and (error := read_collection(self._lake, holds)[1]) is not None:
                    note_damage(self._coverage, [(holds, error)], self._clock.now())
                outcomes.append(self._not_committed(day.collection, verdict.code, verdict.why))
            else:
                accepted.append(verdict)
                _log_if_forced(verdict.collection)
        if accepted:
            try:
                # What a damaged copy of running days held is collected again anyway.
                self._write(accepted, leased, anew=anew or accepted[0].collection.is_running)
            except DayDamaged as error:
                found = (day.collection for day in accepted)
                return outcomes + [self._not_committed(one, error.code, str(error.of(one.account_id))) for one in found]
        return outcomes + [_written(day.collection) for day in accepted]

    def _stored_days(self, day: date, account_ids: Sequence[str]) -> dict[str, Collection]:
        """What is stored of this day, or was until the lake lost its rows, by account, with its completeness.

        An earlier version did not measure that.
        """
        stored = self._coverage.held_on(day, account_ids, or_lost=True)
        return {id_: one if one.completeness else self._measured(one) for id_, one in stored.items()}

    def _is_lost(self, stored: Collection) -> bool:
        """Whether it does not hold any more, as the lake lost its rows."""
        return not self._coverage.held_on(stored.day, [stored.account_id])

    def _measured(self, stored: Collection) -> Collection:
        """With its completeness; without, where it is damaged: then only its hours covered are known."""
        day, error = read_collection(self._lake, stored)
        if day is None or error is not None:
            _log.warning("stored_day_not_read", account=stored.account_id, day=str(stored.day), error=str(error))
            return stored
        completeness = stored.measured(day.rows, day.assets)
        if not stored.examined_by:  # all of its hours were believed, which proves nothing
            completeness = replace(completeness, hours_covered=0.0)
        return replace(stored, completeness=completeness)

    def _not_committed(self, found: Collection, code: str, why: str) -> Outcome:
        self._coverage.failed(found.account_id, found.day, self._clock.now(), code, why)
        return Outcome(found.account_id, found.day, code, why)

    def _write(self, days: Sequence[PackedDay], leased: LeasedLake, *, anew: bool) -> None:
        collections = [day.collection for day in days]
        ids = [one.id for one in collections]
        self._coverage.intend(collections)
        damaged: Sequence[DamagedCollection] = ()
        try:
            try:
                version = leased.replace(days)
            except DayDamaged:
                if not anew:
                    raise
                version, damaged = rewrite_day(leased, self._coverage, days)
        except DayDamaged:
            self._coverage.drop(ids)
            raise
        except KubetallyError as error:
            if not self._lake.versions_of(collections):  # else it is there although the answer to the commit was lost
                if not error.retryable:  # else a store that does not answer may still do what it was asked
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
