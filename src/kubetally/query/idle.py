"""Idle cost that is shared: workloads have their stored shares added, and the idle lines lose as much."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from ibis import ir

from kubetally.domain.allocation import Kind
from kubetally.domain.component import Component
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.filter import Filter
from kubetally.query.accounts import Accounts, line_passes
from kubetally.query.engine import Run
from kubetally.query.groups import Group, as_date
from kubetally.query.keys import has_kinds, keys_of
from kubetally.query.sums import NO_COSTS, SHARED_IDLE, SHARES, columns, shares_of


def with_shares(part: Group) -> Group:
    """The row itself, with its shares in idle added to its costs."""
    for component, share in _idle_shares(part.sums).items():
        if share:
            name = f"{component}_cost"
            part.sums[name] = (part.sums[name] or 0) + share
    return part


def less_shares(parts: Sequence[Group], question: CostQuestion) -> Iterator[Group]:
    """What the idle lines lose to the workloads in `parts`, which are all that they are shared among."""
    lost = defaultdict[tuple[str | None, date | None], Counter[Component]](Counter)
    for part in parts:
        lost[part.account_id, part.start].update(_idle_shares(part.sums))
    for (account_id, start), shares in lost.items():
        yield from _lost(account_id, start, question, shares)


def less_idle(
    run: Run, rows: ir.Table, question: CostQuestion, filters: dict[Component, Filter], accounts: Accounts
) -> Iterator[Group]:
    """What the idle lines lose to the workloads that they are shared among, as rows of the same kind."""
    keys = {"account_id": rows.account_id}
    if question.step is not None:
        keys |= {"start": keys_of(rows, question)["start"]}
    no_tests = dict.fromkeys(Component)
    shared = columns(run(rows.group_by(**keys).agg(**shares_of(rows, question.idle, no_tests))))
    for at, account_id in enumerate(shared["account_id"]):
        shares = {
            component: share
            for component, share in _idle_shares({name: shared[name][at] for name in SHARES}).items()
            if line_passes(filters[component], accounts[account_id], Kind.IDLE, component)
        }
        start = as_date(shared["start"][at]) if "start" in shared else None
        yield from _lost(account_id, start, question, shares)


def _lost(
    account_id: str | None, start: date | None, question: CostQuestion, shares: Mapping[Component, int]
) -> Iterator[Group]:
    """A row of what an idle line loses, if it loses anything."""
    if any(shares.values()):
        kind = Kind.IDLE if has_kinds(question) else None
        lost = {f"{component}_cost": -share for component, share in shares.items()}
        yield Group(account_id, start, kind, (None,) * len(question.group), NO_COSTS | lost)


def _idle_shares(sums: Mapping[str, Any]) -> dict[Component, int]:
    """What is shared of the idle cost of each component."""
    return {component: sums.get(name) or 0 for name, component in zip(SHARES, SHARED_IDLE, strict=True)}
