"""What a total has beyond its known parts is external."""

from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.component import Costs
from kubetally.domain.external import TOTAL_TOLERANCE, assign_rest

amounts = st.integers(0, 10**9)
costs = st.builds(Costs, cpu=amounts, ram=amounts, pv=amounts, external=amounts)


@given(costs, st.integers(-(10**6), 10**6))
def test_parts_add_up_to_a_total_above_them(parts: Costs, beyond: int) -> None:
    found, rest = assign_rest(parts, parts.total + beyond, has_unknown_part=False)
    if beyond > TOTAL_TOLERANCE:
        assert found == parts._replace(external=parts.external + beyond)
        assert (found.total, rest) == (parts.total + beyond, beyond)
    else:
        assert (found, rest) == (parts, beyond if beyond < -TOTAL_TOLERANCE else 0)


def test_rest_stays_unassigned_beside_an_unknown_part() -> None:
    assert assign_rest(Costs(cpu=5), 1_000_000, has_unknown_part=True) == (Costs(cpu=5), 0)
    assert assign_rest(Costs(cpu=1_000_000), 5, has_unknown_part=True) == (Costs(cpu=1_000_000), -999_995)
