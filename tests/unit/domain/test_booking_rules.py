"""Every row of the ledger follows booking rules that have a sentence."""

import re
from datetime import date
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.allocation import Kind
from kubetally.domain.booking_rules import RULE_IN_WORDS, BookingRule, rules_of
from kubetally.domain.component import ZERO, Costs
from kubetally.domain.explanation import LedgerLine
from kubetally.domain.row import Cause

DOCS = Path(__file__).parents[3] / "docs" / "how-a-day-is-booked.md"


@given(st.sampled_from(Kind), st.sampled_from([None, *Cause]), st.builds(Costs, external=st.integers(0, 1)))
def test_rules_of_a_row_are_in_order_and_have_a_sentence(kind: Kind, cause: Cause | None, costs: Costs) -> None:
    rules = rules_of(kind, costs, cause)
    assert rules == sorted(set(rules))
    assert rules
    assert all(RULE_IN_WORDS[rule] for rule in rules)


def test_rules_follow_from_kind_component_and_cause() -> None:
    assert BookingRule.USE in rules_of(Kind.WORKLOAD, ZERO)
    assert BookingRule.KUBECOST in rules_of(Kind.WORKLOAD, Costs(external=1))
    assert BookingRule.KUBECOST not in rules_of(Kind.WORKLOAD, Costs(cpu=1))
    assert BookingRule.DIFFERENCE in rules_of(Kind.DIFFERENCE, ZERO, Cause.ROUNDING)
    assert BookingRule.NEGATIVE_IDLE in rules_of(Kind.DIFFERENCE, ZERO, Cause.OVER_COMMIT)


def test_cost_that_a_question_shares_follows_no_rule() -> None:
    line = LedgerLine(date(2026, 11, 20), "1", "prod", Kind.WORKLOAD, costs=Costs(shared=5))
    assert BookingRule.KUBECOST in line.rules
    assert BookingRule.KUBECOST in line._replace(given=4).rules
    assert BookingRule.KUBECOST not in line._replace(given=5).rules


def test_documentation_has_every_rule() -> None:
    assert set(BookingRule) <= set(re.findall(r"\bB\d+\b", DOCS.read_text()))
