"""One currency per account-day (B7)."""

from kubetally.domain.errors import RequestError
from kubetally.domain.money import CurrencyOrigin

OriginatedCurrency = tuple[str, CurrencyOrigin]
"""A currency, and who states it."""


def decide_currency(
    *, of_account: str | None, of_source: str | None, default: str, default_is_stated: bool, source: str
) -> OriginatedCurrency:
    """The currency of a day's amounts, and who states it: the source, else the account, else the default.

    Nothing is converted. Raises: RequestError, where account and source state different ones.
    """
    if of_account and of_source and of_account.upper() != of_source:
        raise RequestError(
            f"{source} counts in {of_source}, the account in {of_account}; amounts are not converted: state --currency "
            f"{of_source}",
            code="currency_differs",
        )
    if of_source:
        return of_source, CurrencyOrigin.SOURCE
    return choose_currency(of_account=of_account, of_settings=default if default_is_stated else None, default=default)


def choose_currency(*, of_account: str | None, of_settings: str | None, default: str) -> OriginatedCurrency:
    """The currency of a cluster whose source stated none, or was not asked."""
    stated = of_account or of_settings
    return stated or default, CurrencyOrigin.STATED if stated else CurrencyOrigin.ASSUMED
