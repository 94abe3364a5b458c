"""Issues of days, counted."""

from datetime import date

import pytest

from kubetally.domain.collection_facts import FactSum
from kubetally.domain.issues import IssueKind
from kubetally.query.issues import issues_of_facts

FIRST, LAST = date(2026, 11, 20), date(2026, 11, 22)


def message_of(kind: IssueKind, *days: int) -> str:
    facts = [FactSum(f"account-{number}", kind.value, count, None, FIRST, LAST) for number, count in enumerate(days)]
    (issue,) = issues_of_facts(facts, 9)
    return issue.message


@pytest.mark.parametrize(("days", "words"), [((3, 6), "9 days could not"), ((1,), "1 day could not")])
def test_days_without_a_check_say_what_it_means_and_what_to_do(days: tuple[int, ...], words: str) -> None:
    message = message_of(IssueKind.HOURS_NOT_CHECKED, *days)
    assert message.startswith(
        f"{words} be checked hour by hour: if metrics were lost for some hours, costs are too low"
    )
    assert message.endswith("give the account a Prometheus with --prometheus-url, which shows gaps")


def test_other_kinds_are_counted_by_their_name() -> None:
    assert message_of(IssueKind.SOURCE_WARNING, 1) == "source warning on 1 day"
