"""The top of an answer that the engine can choose itself, so that only its rows are read."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from kubetally.domain.component import Component
from kubetally.domain.question.arrange import Order
from kubetally.domain.question.cost_question import CostQuestion, TopCosts

_COMPONENTS: Final = {f"{component}_cost": component for component in Component}


def with_top(question: CostQuestion, order: Sequence[Order], top: int | None) -> CostQuestion:
    """The question for the top alone, where each group of the engine is a row of the answer; else the question itself.

    That is so without steps, components, accounts (whose names the engine does not know, to order ties by) and shared
    cost, where lines are rows of their own, and the order is by one cost, highest first.
    """
    names = {dimension.name for dimension in question.group}
    is_one_row = (
        question.step is None and not names & {"component", "cluster", "organization"} and question.sharing.is_nothing
    )
    has_lines = any(not dimension.is_carried_by_lines for dimension in question.group)
    if top is None or not is_one_row or not has_lines or len(order) != 1 or not order[0].is_descending:
        return question
    field = order[0].field
    if field != "total_cost" and field not in _COMPONENTS:
        return question
    return replace(question, top=TopCosts(top, _COMPONENTS.get(field)))
