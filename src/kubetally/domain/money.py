"""Exact money on one grid: whole millionths ("micros") of a currency, as Python integers.

Integers add exactly in any order, so the parts of a sum add up to it whatever the grouping. An amount becomes a
decimal with six places only at the edges (`to_decimal`, `to_number`). Bulk rows carry bare micros beside one currency;
`Money` carries its own and refuses to be added to another.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from enum import StrEnum
from fractions import Fraction
from math import isfinite, lcm

from kubetally.domain.errors import BalanceError, RequestError

MICROS = 1_000_000
DEFAULT_CURRENCY = "USD"  # of the existing APIs, where neither the account nor the source states one
_GRID = Decimal("0.000001")
_FLOATS_ARE_EXACT_BELOW = 2.0**32  # from here on, multiplying a float rounds it off the grid


class CurrencyOrigin(StrEnum):
    """Who states the currency of amounts."""

    SOURCE = "source"
    """The source states it."""
    STATED = "stated"
    """The source does not; the account, an option or a setting does."""
    ASSUMED = "assumed"
    """Nobody does: it is the default."""


def unlike_currencies(*currencies: str) -> RequestError:
    """The error for amounts of these currencies, two or more, that were to be added."""
    *others, last = currencies
    return RequestError(
        f"{', '.join(others)} and {last} can't be added: ask for one currency at a time, with the filter "
        f'currency:"{currencies[0]}" (`--filter`). Only if an account has a wrong currency, `kubetally accounts update '
        "NAME --currency CODE` corrects it, unless its source states it",
        code="unlike_currencies",
    )


def currency_code(text: str) -> str:
    """A code of ISO 4217 as it is written: three capitals. Raises RequestError."""
    code = text.strip()
    if not (len(code) == 3 and code.isascii() and code.isalpha()):
        raise RequestError(
            f"the currency {text!r} is not a code of three letters, such as USD", code="invalid_currency"
        )
    return code.upper()


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An exact amount of one currency; `micros` are whole millionths of it."""

    micros: int
    currency: str

    def __add__(self, other: "Money") -> "Money":
        """The sum; raises RequestError for unlike currencies."""
        if self.currency != other.currency:
            raise unlike_currencies(self.currency, other.currency)
        return Money(self.micros + other.micros, self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.micros, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return self + -other

    def __str__(self) -> str:
        return f"{to_decimal(self.micros)} {self.currency}"


def to_micros(amount: float | Decimal) -> int:
    """The nearest point of the grid, half to even; exact for what a source prints with six decimals, up to 8e9.

    Units:  `amount` in the currency, the answer in micros of it.
    Raises: ValueError, when `amount` is not a finite number, or a decimal of more than 22 digits before the point.
    """
    if isinstance(amount, Decimal):
        try:
            return int(amount.quantize(_GRID, ROUND_HALF_EVEN).scaleb(6))
        except (InvalidOperation, ValueError):
            raise ValueError(f"{amount} is not an amount of money") from None
    if -_FLOATS_ARE_EXACT_BELOW < amount < _FLOATS_ARE_EXACT_BELOW:
        return round(amount * MICROS)
    if not isfinite(amount):
        raise ValueError(f"{amount} is not an amount of money")
    return round(Fraction(amount) * MICROS)


def to_decimal(micros: int) -> Decimal:
    """The same amount as a decimal with six places, in the currency."""
    return Decimal(micros).scaleb(-6)


def to_shown(micros: int) -> str:
    """`1,234.57`: two decimals, for the eye; what rounds to nothing has no sign."""
    shown = f"{to_decimal(micros):,.2f}"
    return "0.00" if shown == "-0.00" else shown


def to_number(micros: int) -> float:
    """The same amount as a JSON number, in the currency; up to eight billion its six decimals are exact."""
    return micros / MICROS


def split(total: int, weights: Sequence[float]) -> list[int]:
    """Divide `total` micros in proportion to `weights`; the parts add up to it exactly.

    Shape:  one part per weight, in the same order.
    Units:  micros; weights are plain ratios, and one that is not above zero gets nothing.
    Raises: BalanceError, when no weight is above zero.
    Source: largest remainder method; ties go to the earlier weight.
    """
    # As integers over one common denominator the weights are exact, so no rounding happens before the floor below.
    ratios = [weight.as_integer_ratio() if weight > 0 else (0, 1) for weight in weights]
    common = lcm(*(denominator for _, denominator in ratios))
    whole = [numerator * (common // denominator) for numerator, denominator in ratios]
    of = sum(whole)
    if of <= 0:
        raise BalanceError(f"{total} micros can't be split: no weight is above zero", code="no_weight")
    magnitude, sign = abs(total), -1 if total < 0 else 1
    return [
        sign * part for part in round_to_sum([magnitude * weight for weight in whole], denominator=of, total=magnitude)
    ]


def round_to_sum(numerators: Sequence[int], *, denominator: int, total: int) -> list[int]:
    """Fractions of one denominator rounded down or up so that they add up to `total`.

    Units:  `denominator` is above zero; `total` is less than one a fraction above the sum of all rounded down.
    Source: largest remainder method; ties go to the earlier fraction.
    """
    parts = [numerator // denominator for numerator in numerators]
    by_remainder = sorted(range(len(parts)), key=lambda i: -(numerators[i] % denominator))
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return parts


def prorate(amount: int, *, start: float, end: float) -> int:
    """The share of `amount` micros that falls between two points of its span, given as fractions from 0 to 1.

    Adjacent shares add up to the whole exactly, because each is a difference of the same rounded running totals; a
    single share may be a micro from the exact one. For amounts up to 9e15 micros, what a float holds.
    """
    return round(amount * end) - round(amount * start)


def sum_of_known(amounts: Iterable[int | None]) -> int | None:
    """The sum of the known amounts, in micros; None if none is known."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None


def total(amounts: Iterable[Money]) -> Money | None:
    """The sum, or None of nothing. Raises RequestError."""
    result: Money | None = None
    for amount in amounts:
        result = amount if result is None else result + amount
    return result
