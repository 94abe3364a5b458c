"""What the bill of stored days has and no asset lists, such as network that only workloads are charged for."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from kubetally.domain.booking import ComponentBalance
from kubetally.domain.collection import CoveredDay, window_of
from kubetally.domain.component import ZERO, Component, Costs
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.money import to_shown
from kubetally.domain.window import hull
from kubetally.domain.words import component_word
from kubetally.query.comparison import ledger_changes


class Unlisted(NamedTuple):
    """Micros of a component that no asset lists, and the days with any. is_whole: whether no asset has any of it."""

    component: Component
    amount: int
    days: Sequence[CoveredDay]
    is_whole: bool


def unlisted_costs(
    days: Sequence[CoveredDay],
    balances: Mapping[str, Mapping[Component, ComponentBalance]],
    listed: Mapping[str, Costs],
) -> Iterator[Unlisted]:
    """The components that cost more than the assets of these days do.

    balances, listed: by id of the collection, what the day was booked with, and what all its assets cost.
    Raises: StoreError, if a day was replaced meanwhile.
    """
    whole = Costs.sum(listed.values())
    lacking = defaultdict[Component, list[tuple[CoveredDay, int]]](list)
    for day in days:
        id_ = day.collection_id or ""
        if id_ not in balances:
            raise ledger_changes()
        for component, balance in balances[id_].items():
            if rest := balance.bill - listed.get(id_, ZERO).of(component):
                lacking[component].append((day, rest))
    for component, its in lacking.items():
        if (amount := sum(rest for _, rest in its)) > 0:
            yield Unlisted(component, amount, [day for day, _ in its], not whole.of(component))


def unlisted_issue(unlisted: Unlisted, currency: str | None) -> Issue:
    """What a total of assets lacks."""
    shown = to_shown(unlisted.amount)
    amount = f"{'less than 0.01' if shown == '0.00' else shown} {currency or ''}".rstrip()
    message = f"the total lacks {amount} of {component_word(unlisted.component)}, which no asset lists"
    accounts = sorted({day.account_id for day in unlisted.days})
    span = hull(window_of(day.day) for day in unlisted.days)
    about = {"accounts": accounts, "days": len(unlisted.days)}
    return Issue(IssueKind.NOT_MEASURED, message, None, span, unlisted.component.value, about)
