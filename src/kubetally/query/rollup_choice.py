"""Which questions roll-ups answer, and for which of the stored days."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

from kubetally.domain.question.cost_question import POD, CostQuestion
from kubetally.domain.question.filter import Field
from kubetally.domain.question.partial import conditions_of
from kubetally.domain.question.steps import Step
from kubetally.ledger.ports.lake import StoredRows
from kubetally.ledger.ports.rollups import Grain, RollUp

_OF_ACCOUNTS = frozenset({"cluster", "organization", "kind", "component"})
_FIELDS_OF_ACCOUNTS = frozenset({Field.CLUSTER, Field.ORGANIZATION, Field.KIND, Field.COMPONENT, Field.CURRENCY})


@dataclass(frozen=True)
class RollUpScan:
    """Files of roll-ups whose sums an answer reads.

    accounts: whose sums count; None for all. days: the first and the last that count; None for all.
    ids:      the collections that count, None for all but `without`.
    """

    grain: Grain
    paths: tuple[str, ...]
    accounts: frozenset[str] | None = None
    days: tuple[date, date] | None = None
    ids: frozenset[str] | None = None
    without: frozenset[str] = frozenset()


def by_rows(question: CostQuestion) -> CostQuestion:
    """A question for the same rows that no sums of a roll-up answer."""
    return replace(question, group=POD)


class Choice(NamedTuple):
    """What of stored rows is read from roll-ups, and the rows that are not in any."""

    roll_ups: Sequence[RollUpScan]
    rest: Sequence[StoredRows]


def grains_of(question: CostQuestion) -> Sequence[Grain]:
    """The roll-ups that have all that a question groups and filters by, the coarsest first; none if rows are needed."""
    names = {dimension.name for dimension in question.group} - _OF_ACCOUNTS
    fields = {condition.field for condition in conditions_of(question.filter)} - _FIELDS_OF_ACCOUNTS
    if question.sharing.labels or not names <= {"namespace"} or not fields <= {Field.NAMESPACE}:
        return ()
    if not question.sharing.is_nothing:
        return (Grain.NAMESPACE,)
    of_days = Grain.NAMESPACE if names or fields else Grain.ACCOUNT
    return (Grain.MONTH, of_days) if question.step in (None, Step.MONTH) else (of_days,)


def choose(grains: Sequence[Grain], files: Callable[[Grain], Sequence[RollUp]], stored: Sequence[StoredRows]) -> Choice:
    """The sums of stored rows that files have, by the ids of their collections; each is in one of the two."""
    scans = list[RollUpScan]()
    for grain in grains:
        scan, stored = _of_grain(grain, files(grain), stored)
        scans += [] if scan is None else [scan]
    return Choice(scans, stored)


def _of_grain(
    grain: Grain, files: Sequence[RollUp], stored: Sequence[StoredRows]
) -> tuple[RollUpScan | None, Sequence[StoredRows]]:
    wanted = frozenset([rows.id for rows in stored])
    used = [file for file in files if (file.ids <= wanted if grain is Grain.MONTH else file.ids & wanted)]
    if not used:
        return None, stored
    if all(file.ids <= wanted for file in used) and sum(len(file.ids) for file in used) == len(stored):
        return RollUpScan(grain, tuple(file.path for file in used)), []  # usual for whole months
    held = frozenset[str]().union(*(file.ids for file in used)) & wanted
    rest = [rows for rows in stored if rows.id not in held]
    return _scan(grain, used, [rows for rows in stored if rows.id in held], held), rest


def _scan(grain: Grain, used: Sequence[RollUp], stored: Sequence[StoredRows], held: frozenset[str]) -> RollUpScan:
    """The sums of these rows, chosen by account and day where that suffices, else by what is to be left out."""
    paths = tuple(file.path for file in used)
    others = [file for file in used if not file.ids <= held]
    if not others:
        return RollUpScan(grain, paths)
    accounts = frozenset(rows.account_id for rows in stored)
    days = min(rows.day for rows in stored), max(rows.day for rows in stored)
    without = frozenset(
        id_
        for file in others
        for id_, (account_id, day) in file.collections.items()
        if id_ not in held and account_id in accounts and days[0] <= day <= days[1]
    )
    are_all = accounts >= frozenset().union(*(file.accounts for file in used))
    spans = [file.days for file in used]
    are_within = days[0] <= min(first for first, _ in spans) and max(last for _, last in spans) <= days[1]
    return RollUpScan(
        grain,
        paths,
        None if are_all else accounts,
        None if are_within else days,
        held if len(without) > len(held) else None,
        frozenset() if len(without) > len(held) else without,
    )
