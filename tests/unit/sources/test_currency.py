"""A currency is read from a text only if it is unambiguous."""

import pytest

from kubetally.sources.opencost.currency import read_currency


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("USD", "USD"), (" eur ", "EUR"), ("Gbp", "GBP"), ("€", "EUR"), ("R$", "BRL"), (" US$ ", "USD"), ("zł", "PLN"),
        ("US Dollar (default)", "USD"), ("US Dollars", "USD"), ("Euro", "EUR"), ("EUR (€)", "EUR"),
        ("usd (default)", "USD"),
        ("Swiss Franc (CHF)", "CHF"), ("JPY - Japanese Yen", "JPY"), ("XAF", "XAF"),
    ],
)  # fmt: skip
def test_currency_is_read_where_it_is_certain(text: str, code: str) -> None:
    assert read_currency(text) == code


@pytest.mark.parametrize("text", ["", "  ", "$", "¥", "kr", "dollar", "USD or EUR", "??", "E U R", "12", "()", "ÄÖÜ"])
def test_currency_is_not_guessed(text: str) -> None:
    assert read_currency(text) is None
