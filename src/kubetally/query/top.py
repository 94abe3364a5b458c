"""The top groups of an answer, and all others as one, chosen by the engine."""

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Final

import ibis
from ibis import ir

from kubetally.domain.allocation import Kind
from kubetally.domain.question.cost_question import TopCosts
from kubetally.query.sums import COSTS, SHARED_IDLE, SHARES

GROUPS_IN_REST: Final = "groups_in_rest"
"""The column with the number of groups in the row of all others; null in the other rows."""


def top_groups(groups: ir.Table, keys: Sequence[str], top: TopCosts) -> ir.Table:
    """Lines, the workloads that cost most, and the sums of all other workloads in a row without keys.

    groups: one for each key and kind. Ties are ordered by key; what has no value comes last.
    """
    values = [key for key in keys if key != "kind"]
    order = [ibis.desc(_cost(groups, top)), *(ibis.asc(groups[key], nulls_first=False) for key in values)]
    window = ibis.window(group_by=groups.kind, order_by=order)
    ranked = groups.mutate(rank=ibis.row_number().over(window))
    is_rest = (ranked.kind == Kind.WORKLOAD.value) & (ranked["rank"] >= top.groups)
    split = ranked.mutate(
        is_rest=is_rest,
        **{key: ibis.ifelse(is_rest, ibis.null(groups[key].type()), ranked[key]) for key in values},
    )
    sums = [name for name in groups.columns if name not in keys]
    sums_of_all = split.group_by(*keys, "is_rest").agg(
        **{name: split[name].sum().cast(groups[name].type()) for name in sums},
        **{GROUPS_IN_REST: split.count()},
    )
    return sums_of_all.mutate(
        **{GROUPS_IN_REST: ibis.ifelse(sums_of_all.is_rest, sums_of_all[GROUPS_IN_REST], ibis.null("int64"))}
    ).drop("is_rest")


def _cost(groups: ir.Table, top: TopCosts) -> ir.DecimalValue:
    """What groups are ranked by: the total or a component, with its share in idle."""
    costs = COSTS if top.component is None else (f"{top.component}_cost",)
    shares = [
        name
        for name, component in zip(SHARES, SHARED_IDLE, strict=True)
        if name in groups.columns and top.component in (None, component)
    ]
    nothing = ibis.literal(0, type="decimal(18, 6)")
    return reduce(add, [groups[name].fill_null(nothing) for name in (*costs, *shares)])
