"""What of a filter is decided by account, currency, component and the kind of a line, before any row is read."""

from collections import defaultdict
from collections.abc import Mapping
from functools import partial

from kubetally.domain.account import ListedAccount
from kubetally.domain.allocation import Kind
from kubetally.domain.component import Component
from kubetally.domain.question.filter import MAP_FIELDS, Condition, Field, Filter, Op
from kubetally.domain.question.matching import compare
from kubetally.domain.question.partial import EVERY_ROW, decide

Accounts = Mapping[str, ListedAccount]
"""Accounts by id, removed ones too."""


def for_component(condition: Filter, component: Component) -> Filter:
    """What is left of a filter for the cost of one component."""
    return decide(condition, partial(_by_component, component))


def for_currency(condition: Filter, currency: str | None) -> Filter:
    """What is left of a filter for rows in a currency."""
    return decide(condition, partial(_by_currency, currency))


def by_account(condition: Filter, accounts: Accounts) -> dict[Filter, list[str]]:
    """What is left of a filter for each account: the ids of the accounts by it."""
    ids = defaultdict[Filter, list[str]](list)
    for account in accounts.values():
        ids[decide(condition, partial(_by_account, account))].append(account.id)
    return dict(ids)


def line_passes(condition: Filter, account: ListedAccount, kind: Kind, component: Component) -> bool:
    """Whether the cost of a component of a line passes, once its currency is decided; a line has no other field."""
    of_line = {Field.KIND: kind.value}

    def known(condition: Condition) -> bool | None:
        decided = _by_component(component, condition)
        decided = _by_account(account, condition) if decided is None else decided
        if decided is not None:
            return decided
        if condition.field in MAP_FIELDS and condition.key is None:
            return condition.op.negates
        if condition.field is Field.SERVICES and condition.op not in _EMPTY_LIST:
            return condition.op.negates
        return compare(condition, of_line.get(condition.field))

    return decide(condition, known) == EVERY_ROW


_EMPTY_LIST = frozenset({Op.EQUALS, Op.NOT_EQUALS, Op.CONTAINS, Op.NOT_CONTAINS})


def _by_component(component: Component, condition: Condition) -> bool | None:
    return compare(condition, component.value) if condition.field is Field.COMPONENT else None


def _by_currency(currency: str | None, condition: Condition) -> bool | None:
    return compare(condition, currency) if condition.field is Field.CURRENCY else None


def _by_account(account: ListedAccount, condition: Condition) -> bool | None:
    """By name; a whole id is that of its account or organization too."""
    match condition.field:
        case Field.CLUSTER:
            if condition.op in (Op.EQUALS, Op.NOT_EQUALS) and account.id in condition.values:
                return condition.op is Op.EQUALS
            return compare(condition, account.name)
        case Field.ORGANIZATION:
            if condition.op in (Op.EQUALS, Op.NOT_EQUALS) and account.organization_id in condition.values:
                return condition.op is Op.EQUALS
            return compare(condition, account.organization)
        case _:
            return None
