"""Reads a query string by a table of parameters: each is read once, refused by its name, and documented."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar
from urllib.parse import unquote_to_bytes

from kubetally.domain.errors import RequestError
from kubetally.domain.nearest import suggestion

_T = TypeVar("_T")
_Choice = TypeVar("_Choice", bound=StrEnum)


class InvalidParameter(RequestError):
    """A parameter that is unknown or can't be read; `code` is that of the cause."""

    code = "invalid_parameter"

    def __init__(self, parameter: str, problem: str, *, code: str = code) -> None:
        self.parameter = parameter
        super().__init__(f"parameter {parameter}: {problem}", code=code)


@dataclass(frozen=True, slots=True)
class Parameter(Generic[_T]):
    """A parameter of the query.

    meaning: for the documentation. parse: makes its value from its text. default: its value if it is missing.
    schema:  what its text may be, in JSON Schema.
    """

    name: str
    meaning: str
    parse: Callable[[str], _T]
    default: _T
    schema: Mapping[str, Any]

    def of(self, values: Mapping[str, str]) -> _T:
        """Its value. Raises InvalidParameter."""
        return self.read(values, self.parse, self.default)

    def read(self, values: Mapping[str, str], parse: Callable[[str], _T], default: _T) -> _T:
        """As `of`, for a parameter whose meaning depends on the request. Raises InvalidParameter."""
        if self.name not in values:
            return default
        try:
            return parse(values[self.name])
        except InvalidParameter:
            raise
        except RequestError as error:
            raise InvalidParameter(self.name, str(error), code=error.code) from error


Parameters = tuple[Parameter[Any], ...]
_STRAY_PERCENT: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_NOT_ENCODED: Final = "it can't be decoded: send UTF-8, percent-encoded, and a percent sign as %25"


def parse_parameters(query: bytes, known: Iterable[Parameter[Any]]) -> dict[str, str]:
    """The parameters of a query string. Raises InvalidParameter, for an unknown one or one that comes twice."""
    names = sorted(parameter.name for parameter in known)
    values = dict[str, str]()
    for name, value in _pairs(query):
        if name not in names:
            problem = f"unknown parameter {name!r}{suggestion(name, names)}: use {', '.join(names)}"
            raise InvalidParameter(name, problem, code="unknown_parameter")
        if name in values:
            raise InvalidParameter(name, f"the parameter {name!r} comes twice: give it once", code="repeated_parameter")
        values[name] = value
    return values


def _pairs(query: bytes) -> Iterator[tuple[str, str]]:
    """Names and values, decoded. Raises InvalidParameter, for what is not percent-encoded UTF-8."""
    for part in filter(None, query.split(b"&")):
        name, _, value = part.replace(b"+", b" ").partition(b"=")
        decoded = _decode(name)
        if decoded is None:
            raise InvalidParameter(name.decode("latin-1"), _NOT_ENCODED, code="not_encoded")
        if (text := _decode(value)) is None:
            raise InvalidParameter(decoded, _NOT_ENCODED, code="not_encoded")
        yield decoded, text


def _decode(encoded: bytes) -> str | None:
    if _STRAY_PERCENT.search(encoded):
        return None
    try:
        return unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        return None


def text(**schema: str) -> dict[str, Any]:
    """The schema of a text that has a grammar of its own."""
    return {"type": "string"} | schema


def choice(name: str, choices: type[_Choice]) -> Callable[[str], _Choice]:
    """Reads one of a few words."""

    def read(word: str) -> _Choice:
        try:
            return choices(word)
        except ValueError:
            raise InvalidParameter(name, f"{name} {word!r} is unknown: use {', '.join(choices)}") from None

    return read


def words(choices: type[StrEnum], default: StrEnum | None = None) -> dict[str, Any]:
    """The schema of one of a few words."""
    schema: dict[str, Any] = {"type": "string", "enum": [word.value for word in choices]}
    return schema if default is None else schema | {"default": default.value}


def number(name: str, most: int) -> Callable[[str], int]:
    """Reads a whole number from 1 to `most`."""

    def read(digits: str) -> int:
        is_short = digits.isascii() and digits.isdecimal() and len(digits) <= len(str(most))
        if not (is_short and 1 <= int(digits) <= most):
            raise InvalidParameter(name, f"{name} {digits[:20]!r} is not a number from 1 to {most}")
        return int(digits)

    return read


def numbers(most: int, *, default: int | None = None) -> dict[str, Any]:
    """The schema of a whole number from 1 to `most`."""
    schema: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": most}
    return schema if default is None else schema | {"default": default}
