"""What a row has to pass for each of its components: a filter may be on components."""

from dataclasses import replace
from functools import reduce
from operator import or_

from ibis import ir

from kubetally.domain.component import Component
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.filter import Filter
from kubetally.domain.question.partial import EVERY_ROW
from kubetally.query.accounts import Accounts, for_component, for_currency
from kubetally.query.predicate import row_passes


def filters_of(question: CostQuestion, currency: str | None) -> dict[Component, Filter]:
    """What the filter of a question is for each component, of rows in a currency."""
    condition = for_currency(question.filter, currency)
    return {component: for_component(condition, component) for component in Component}


def tests_of(rows: ir.Table, filters: dict[Component, Filter], accounts: Accounts) -> dict[Filter, ir.BooleanValue]:
    """Whether a row passes each of the filters; components that share a filter share its test."""
    return {condition: row_passes(condition, rows, accounts) for condition in set(filters.values())}


def visible_rows(rows: ir.Table, question: CostQuestion, accounts: Accounts, currency: str | None) -> ir.Table:
    """The rows that whoever asks may see, whatever the filter of the question."""
    if question.scope is None or question.scope.is_of_accounts:
        return rows
    whole = replace(question, filter=question.scope.rows)
    return passing(rows, tests_of(rows, filters_of(whole, currency), accounts))


def passing(rows: ir.Table, tests: dict[Filter, ir.BooleanValue]) -> ir.Table:
    """The rows of which some component passes."""
    return rows if set(tests) == {EVERY_ROW} else rows.filter(reduce(or_, tests.values()))
