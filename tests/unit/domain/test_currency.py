"""A day has one currency, and nothing is converted."""

import pytest

from kubetally.domain.currency import decide_currency
from kubetally.domain.money import CurrencyOrigin
from tests.errors import raises_code


@pytest.mark.parametrize(
    ("of_account", "of_source", "is_stated", "expected"),
    [
        (None, "EUR", False, ("EUR", CurrencyOrigin.SOURCE)),
        ("eur", "EUR", False, ("EUR", CurrencyOrigin.SOURCE)),
        ("CHF", None, False, ("CHF", CurrencyOrigin.STATED)),
        (None, None, True, ("USD", CurrencyOrigin.STATED)),
        (None, None, False, ("USD", CurrencyOrigin.ASSUMED)),
    ],
)
def test_source_states_the_currency_before_account_and_default(
    of_account: str | None, of_source: str | None, is_stated: bool, expected: tuple[str, CurrencyOrigin]
) -> None:
    decided = decide_currency(
        of_account=of_account, of_source=of_source, default="USD", default_is_stated=is_stated, source="http://source"
    )
    assert decided == expected


def test_two_stated_currencies_are_an_error() -> None:
    with raises_code("currency_differs", "counts in EUR"):
        decide_currency(
            of_account="USD", of_source="EUR", default="USD", default_is_stated=False, source="http://source"
        )
