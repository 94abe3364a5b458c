"""Shares of a cost."""

from hypothesis import given
from hypothesis import strategies as st

from kubetally.present.comparison import permilles
from kubetally.present.report import bar, share

AMOUNTS = st.lists(st.integers(-(10**12), 10**15), max_size=12)


@given(AMOUNTS)
def test_shares_add_up_to_100_percent_with_credits(amounts: list[int]) -> None:
    shares = permilles(amounts)
    assert len(shares) == len(amounts)
    if sum(amounts) > 0:
        known = [permille for permille in shares if permille is not None]
        assert sum(known) == 1000
        assert sum(round(float(share(permille).removesuffix(" %")) * 10) for permille in known) == 1000
        total = sum(amounts)
        assert all(abs(one * total - amount * 1000) < total for one, amount in zip(known, amounts, strict=True))
    else:
        assert set(shares) <= {None}


@given(AMOUNTS, st.randoms())
def test_total_of_zero_has_no_shares(amounts: list[int], random: object) -> None:
    shares = permilles([0, *amounts])
    assert shares[0] == (0 if sum(amounts) > 0 else None)


def test_largest_remainders_are_rounded_up() -> None:
    assert permilles([1, 1, 1]) == [334, 333, 333]
    assert permilles([2, -1]) == [2000, -1000]
    assert permilles([3, -1, -1]) == [3000, -1000, -1000]
    assert permilles([5]) == [1000]
    assert permilles([]) == []
    assert permilles([1, -1]) == [None, None]


def test_share_has_one_decimal() -> None:
    assert [share(permille) for permille in (360, 5, 0, -5, -1234, 1000, None)] == [
        "36.0 %", "0.5 %", "0.0 %", "-0.5 %", "-123.4 %", "100.0 %", "-",
    ]  # fmt: skip


def test_bar_is_never_longer_than_the_whole() -> None:
    assert bar(360, full="#", empty=".") == "#" * 7 + "." * 13
    assert bar(1500, full="#", empty=".") == "#" * 20
    assert bar(-100, full="#", empty=".") == bar(None, full="#", empty=".") == "." * 20
