"""Stored rows themselves, and the keys of their labels."""

from collections.abc import Sequence

import ibis
from ibis import ir

from kubetally.domain.question.cost_question import CostQuestion
from kubetally.query.accounts import Accounts
from kubetally.query.conditions import filters_of, passing, tests_of
from kubetally.query.engine import Run
from kubetally.query.groups import MAX_GROUPS, check_groups
from kubetally.query.predicate import row_passes
from kubetally.query.sums import COSTS, columns
from kubetally.store.lake.schema import ALLOCATIONS


def stored_rows(
    rows: ir.Table, question: CostQuestion, accounts: Accounts, currency: str | None, also: Sequence[str] = ()
) -> ir.Table:
    """The rows themselves that pass the filter, in the columns of the lake; costs of other components are null.

    also: columns that are kept beside those of the lake.
    """
    filters = filters_of(question, currency)
    tests = tests_of(rows, filters, accounts)
    kept = passing(rows, tests)
    if len(tests) == 1:
        return kept.select(*ALLOCATIONS.names, *also)
    costs = {
        f"{component}_cost": ibis.ifelse(
            row_passes(condition, kept, accounts), kept[f"{component}_cost"], ibis.null("decimal(18, 6)")
        )
        for component, condition in filters.items()
    }
    return kept.mutate(**costs).select(*ALLOCATIONS.names, *also)


def label_costs(
    run: Run, rows: ir.Table, question: CostQuestion, accounts: Accounts, currency: str | None
) -> list[tuple[str, str, int, int]]:
    """Each key of labels, and of labels of namespaces, with the stored rows that have it and their cost in micros.

    Shape: dimension (`label` or `namespace_label`), key, rows, micros of what passes the filter; highest cost first.
    Raises: QuestionTooLarge, for more than `MAX_GROUPS` keys.
    """
    kept = stored_rows(rows, question, accounts, currency)
    found = list[tuple[str, str, int, int]]()
    for dimension in ("label", "namespace_label"):
        keys = kept.select(
            key=kept[f"{dimension}s"].keys().unnest(),
            cost=sum(kept[name].fill_null(ibis.literal(0, type="decimal(18, 6)")) for name in COSTS),
        )
        counted = run(keys.group_by("key").agg(rows=keys.count(), cost=keys.cost.sum()).limit(MAX_GROUPS + 1))
        check_groups(len(found) + counted.num_rows)
        read = columns(counted)
        found += [(dimension, *row) for row in zip(read["key"], read["rows"], read["cost"], strict=True)]
    return sorted(found, key=lambda row: (-row[3], row[:2]))
