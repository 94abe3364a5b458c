"""What a total of assets lacks, in words."""

import pytest

from kubetally.domain.component import Component
from kubetally.query.unlisted import Unlisted, unlisted_issue


@pytest.mark.parametrize(
    ("micros", "amount"), [(1, "less than 0.01"), (4_999, "less than 0.01"), (5_001, "0.01"), (1_290_000, "1.29")]
)
def test_amount_that_is_lacking_is_never_zero(micros: int, amount: str) -> None:
    issue = unlisted_issue(Unlisted(Component.NETWORK, micros, (), is_whole=True), "USD")
    assert issue.message == f"the total lacks {amount} USD of network, which no asset lists"
