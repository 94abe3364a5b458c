"""Our total compared with the source's own."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.status import Coverage
from kubetally.present.verdict import is_verified, verdict
from kubetally.present.verification import Verification
from tests.unit.domain.clusters import cluster_costs

TOLERANCE = 0.05


def check(ours: int, source: int, tolerance: float = TOLERANCE) -> Verification:
    return Verification(ours, source, tolerance, ())


@pytest.mark.parametrize(
    ("ours", "within"),
    [
        (104_900_000, True),
        (95_100_000, True),
        (105_000_000, True),
        (95_000_000, True),
        (105_000_001, False),
        (94_999_999, False),
        (105_100_000, False),
        (94_900_000, False),
    ],
)
def test_tolerance_is_exact_on_both_sides(ours: int, within: bool) -> None:
    assert check(ours, 100_000_000).is_within is within


@pytest.mark.parametrize(("ours", "within"), [(0, True), (1, False), (-1, False)])
def test_against_zero_only_zero_is_within(ours: int, within: bool) -> None:
    assert check(ours, 0).is_within is within
    assert check(ours, 0).difference is None


@given(st.integers(-(10**15), 10**15))
def test_total_is_within_any_tolerance_of_itself(total: int) -> None:
    assert check(total, total, 0).is_within


def test_verdict_has_both_totals_and_their_difference() -> None:
    assert verdict(check(104_900_000, 100_000_000), "EUR") == (
        "Within the tolerance of 5 %: ours 104.90 EUR, the source shows 100.00 EUR: +4.9000 %"
    )
    assert verdict(check(94_900_000, 100_000_000), "EUR").startswith("PAST the tolerance of 5 %")
    assert verdict(check(1, 0), "EUR").endswith("no percentage, as the source shows nothing")


@pytest.mark.parametrize(("hours_asked", "expected"), [(24, False), (0, True)])
def test_hours_without_data_are_not_verified(hours_asked: float, expected: bool) -> None:
    costs = replace(cluster_costs(), coverage=Coverage(hours_asked))
    assert is_verified(costs, check(0, 0)) is expected
