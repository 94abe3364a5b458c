"""Rows of an answer, made of what the engine added up: accounts and components are put in place, and hours rounded."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, time
from itertools import islice
from typing import Any

from kubetally.domain.component import NO_CLASSES, Component, Costs
from kubetally.domain.efficiency import NO_HOURS, Hours, RatedHours, sum_of_known
from kubetally.domain.question.cost_question import CostQuestion, Idle
from kubetally.domain.report import REST, CostRow
from kubetally.query.accounts import Accounts
from kubetally.query.groups import Group
from kubetally.query.rounding import round_amounts
from kubetally.query.sums import COSTS, RATED, WASTE, WEIGHTS

_ROUNDED_AT_ONCE = 4096
_AMOUNTS = frozenset({*COSTS, WASTE, *WEIGHTS})
_HOURS = (*Hours._fields, *RATED)


class HourTotals:
    """The hours of all rows together, added before they are rounded: the same however rows are grouped."""

    def __init__(self) -> None:
        self._sums = list[float | None]()

    def add(self, amounts: Sequence[float | None]) -> None:
        """Add the hours of some rows, those of each row together."""
        count = len(_HOURS)
        columns = [[*amounts[at::count], *self._sums[at::count]] for at in range(count)]
        self._sums = [sum_of_known(column) for column in columns]

    def rounded(self) -> tuple[Hours, RatedHours]:
        """To `SIGNIFICANT_DIGITS`; zero of no rows."""
        return _rounded_hours(self._sums)[0] if self._sums else (NO_HOURS, RatedHours())


def answer_rows(
    parts: Iterable[Group],
    question: CostQuestion,
    accounts: Accounts,
    shown: Sequence[Component],
    totals: HourTotals,
) -> Iterator[CostRow]:
    """The rows that parts add up to. shown: the components that have rows, if these are grouped by components.

    totals: to which the hours are added, unless components are grouped by.
    """
    place = next((at for at, dimension in enumerate(question.group) if dimension.name == "component"), None)
    found = _by_identity(parts, question, accounts)
    while piece := [*islice(found, _ROUNDED_AT_ONCE)]:
        amounts = [sums.get(name) for _, sums in piece for name in _HOURS]
        if place is None:
            totals.add(amounts)
        for (identity, sums), its_hours in zip(piece, _rounded_hours(amounts), strict=True):
            if place is None:
                yield _row_of(identity, sums, its_hours)
            else:
                hours = its_hours[0] if question.has_quantities else NO_HOURS
                yield from _component_rows(place, identity, sums, hours, shown)


def _by_identity(
    parts: Iterable[Group], question: CostQuestion, accounts: Accounts
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The sums of each row of the answer. Nothing is kept of many groups, if each is a row."""
    identities = _Identities(question, accounts)
    is_of_organizations = any(dimension.name == "organization" for dimension in question.group)
    if question.sharing.is_nothing and question.idle in (Idle.SEPARATE, Idle.NONE) and not is_of_organizations:
        yield from ((identities.of(part), part.sums) for part in parts)
        return
    same = defaultdict[tuple[Any, ...], list[Group]](list)
    for part in parts:
        same[identities.of(part)].append(part)
    for identity in [*same]:
        yield identity, _merged(same.pop(identity))


class _Identities:
    """What tells the rows of an answer apart: key, account, step, kind, and the groups in the row of all others."""

    def __init__(self, question: CostQuestion, accounts: Accounts) -> None:
        names = [dimension.name for dimension in question.group]
        self._placed = [
            (place, name) for place, name in enumerate(names) if name in ("cluster", "organization", "kind")
        ]
        self._has_cluster = "cluster" in names
        self._has_kind = any(not dimension.is_carried_by_lines for dimension in question.group)
        self._accounts, self._first = accounts, question.window.start

    def of(self, part: Group) -> tuple[Any, ...]:
        """The identity of the row that a part belongs to."""
        if part.groups_in_rest is not None:
            return part.values, None, None, REST, part.groups_in_rest
        key = part.values
        if self._placed:
            values = [*key]
            for place, name in self._placed:
                values[place] = self._value(part, name)
            key = tuple(values)
        start = None if part.start is None else max(datetime.combine(part.start, time(), UTC), self._first)
        return key, part.account_id if self._has_cluster else None, start, part.kind if self._has_kind else None, 1

    def _value(self, part: Group, name: str) -> str | None:
        if name == "kind":
            return None if part.kind is None else part.kind.value
        if part.account_id is None:
            return None
        account = self._accounts[part.account_id]
        return account.name if name == "cluster" else account.organization or None


def _merged(parts: Sequence[Group]) -> dict[str, Any]:
    """The sums of parts: of amounts in micros, and of hours as far as they are known."""
    if len(parts) == 1:
        return parts[0].sums
    names = {name: None for part in parts for name in part.sums}
    values = {name: [part.sums.get(name) for part in parts] for name in names}
    return {
        name: sum(value or 0 for value in its) if name in _AMOUNTS else sum_of_known(its)
        for name, its in values.items()
    }


def _rounded_hours(amounts: Sequence[float | None]) -> list[tuple[Hours, RatedHours]]:
    """The hours of rows, to `SIGNIFICANT_DIGITS`."""
    rounded, count = round_amounts(amounts), len(Hours._fields)
    rows = [rounded[at : at + len(_HOURS)] for at in range(0, len(rounded), len(_HOURS))]
    return [(Hours(*row[:count]), RatedHours(*[amount or 0.0 for amount in row[count:]])) for row in rows]  # type: ignore[arg-type]


def _component_rows(
    place: int, identity: tuple[Any, ...], sums: Mapping[str, Any], hours: Hours, shown: Sequence[Component]
) -> Iterator[CostRow]:
    """A row of each component that is shown. place: of the component in the key."""
    key, account_id, start, kind, _ = identity
    for component in shown:
        yield CostRow(
            Costs(**{component.value: sums[f"{component}_cost"] or 0}),
            NO_CLASSES,
            hours,
            RatedHours(),
            kind=kind,
            key=(*key[:place], component.value, *key[place + 1 :]),
            account_id=account_id,
            start=start,
            component=component,
        )


def _row_of(identity: tuple[Any, ...], sums: Mapping[str, Any], rounded: tuple[Hours, RatedHours]) -> CostRow:
    key, account_id, start, kind, count = identity
    return CostRow(
        Costs(*[sums[name] or 0 for name in COSTS]),
        NO_CLASSES,
        *rounded,
        kind=kind,
        key=key,
        count=count,
        account_id=account_id,
        start=start,
        waste=sums.get(WASTE) or 0,
        weights=(sums.get(WEIGHTS[0]) or 0, sums.get(WEIGHTS[1]) or 0),
    )
