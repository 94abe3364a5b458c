"""Reads the currency of a Kubecost's settings, which is free text: `" eur "`, `R$`, `US Dollar (default)`."""

import re

# Signs of one currency; `$`, `¥` and `kr` are those of several.
_SIGNS = {
    "€": "EUR", "£": "GBP", "₹": "INR", "₽": "RUB", "₩": "KRW", "₺": "TRY", "₪": "ILS", "฿": "THB", "₫": "VND",
    "₴": "UAH", "₦": "NGN", "₱": "PHP", "R$": "BRL", "US$": "USD", "CA$": "CAD", "C$": "CAD", "A$": "AUD", "AU$": "AUD",
    "NZ$": "NZD", "HK$": "HKD", "NT$": "TWD", "S$": "SGD", "MX$": "MXN", "zł": "PLN", "Kč": "CZK",
}  # fmt: skip
_NAMES = {
    "us dollar": "USD", "u.s. dollar": "USD", "american dollar": "USD", "united states dollar": "USD", "euro": "EUR",
    "british pound": "GBP", "pound sterling": "GBP", "british pound sterling": "GBP", "swiss franc": "CHF",
    "japanese yen": "JPY", "yen": "JPY", "chinese yuan": "CNY", "yuan": "CNY", "renminbi": "CNY",
    "indian rupee": "INR", "brazilian real": "BRL", "real brasileiro": "BRL", "canadian dollar": "CAD",
    "australian dollar": "AUD", "new zealand dollar": "NZD", "singapore dollar": "SGD", "hong kong dollar": "HKD",
    "swedish krona": "SEK", "norwegian krone": "NOK", "danish krone": "DKK", "polish zloty": "PLN",
    "czech koruna": "CZK", "south african rand": "ZAR", "mexican peso": "MXN", "turkish lira": "TRY",
    "south korean won": "KRW", "israeli shekel": "ILS", "indonesian rupiah": "IDR", "russian ruble": "RUB",
}  # fmt: skip
_CODES = frozenset({*_SIGNS.values(), *_NAMES.values(), "AED", "SAR", "HUF", "RON", "MYR", "CLP", "COP", "ARS", "EGP"})


def read_currency(text: str) -> str | None:
    """The ISO 4217 code that a text means; None if it is ambiguous or unknown."""
    plain = " ".join(re.sub(r"\([^)]*\)|\[[^]]*\]", " ", text).split())
    if re.fullmatch(r"[A-Za-z]{3}", plain):
        return plain.upper()
    named: set[str] = {word for word in re.findall(r"\b[A-Z]{3}\b", text) if word in _CODES}
    if len(named) == 1:
        return named.pop()
    words = plain.casefold()
    return _SIGNS.get(plain) or _NAMES.get(words) or _NAMES.get(words.removesuffix("s"))
