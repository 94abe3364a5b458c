"""The parameters of the native API: each read once, and refused by its name."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeVar
from urllib.parse import parse_qsl

from kubetally.domain.errors import RequestError
from kubetally.domain.nearest import nearest
from kubetally.domain.question.arrange import Order, parse_order
from kubetally.domain.question.cost_question import CostQuestion, ExportFormat, Idle
from kubetally.domain.question.group import parse_group
from kubetally.domain.question.steps import Step
from kubetally.domain.question.v2 import parse_v2
from kubetally.domain.window import FutureWindow, InvalidWindow, Window, midnight, parse_instant, parse_window, rfc3339

DEFAULT_WINDOW: Final = "7d"
DEFAULT_LIMIT, MAX_LIMIT = 200, 10_000
_T = TypeVar("_T")
_Choice = TypeVar("_Choice", bound=StrEnum)


class InvalidParameter(RequestError):
    """A parameter that is unknown or can't be read; `code` is that of the cause."""

    code = "invalid_parameter"

    def __init__(self, parameter: str, problem: str, *, code: str = code) -> None:
        self.parameter = parameter
        super().__init__(f"parameter {parameter}: {problem}", code=code)


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of an answer are wanted. cursor: of the page before; None for the first. top: None for all keys."""

    order: tuple[Order, ...]
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None
    top: int | None = None


def parse_parameters(query: bytes, known: Iterable[str]) -> dict[str, str]:
    """The parameters of a query string. Raises InvalidParameter, for an unknown one or one that comes twice."""
    names = sorted(known)
    values = dict[str, str]()
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True, encoding="utf-8", errors="replace"):
        if name not in names:
            near = nearest(name, names)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise InvalidParameter(
                name, f"unknown parameter {name!r}: {hint}use {', '.join(names)}", code="unknown_parameter"
            )
        if name in values:
            raise InvalidParameter(name, f"the parameter {name!r} comes twice: give it once", code="repeated_parameter")
        values[name] = value
    return values


_SHARED: Final = ("start", "end", "filter", "as_of")
_COSTS: Final = (*_SHARED, "group", "step", "order", "top", "idle")


def parse_costs(query: bytes, now: datetime) -> tuple[CostQuestion, Page]:
    """The question and the page of `costs`. Raises InvalidParameter."""
    return _costs_of(parse_parameters(query, (*_COSTS, "limit", "cursor")), now)


def parse_export(query: bytes, now: datetime) -> tuple[CostQuestion, Page, ExportFormat]:
    """The question of `exports`, its order and top, and the format. Raises InvalidParameter."""
    values = parse_parameters(query, (*_COSTS, "format"))
    question, page = _costs_of(values, now)
    format_ = _read(values, "format", _choice("format", ExportFormat), ExportFormat.CSV)
    alone = [name for name in ("step", "order", "top", "idle") if name in values and not question.group]
    if alone:
        problem = f"{alone[0]} needs a group: without one the stored rows are exported as they are"
        raise InvalidParameter(alone[0], problem)
    return question, page, format_


def parse_shared(query: bytes, now: datetime) -> CostQuestion:
    """The question of an endpoint that has no group: window, filter and instant. Raises InvalidParameter."""
    return _costs_of(parse_parameters(query, _SHARED), now)[0]


def _costs_of(values: Mapping[str, str], now: datetime) -> tuple[CostQuestion, Page]:
    group = _read(values, "group", parse_group, parse_group(""))
    question = CostQuestion(
        window=parse_days(values, now),
        group=group,
        step=_read(values, "step", _choice("step", Step), None),
        filter=_read(values, "filter", parse_v2, parse_v2("")),
        idle=_read(values, "idle", _choice("idle", Idle), Idle.SEPARATE),
        as_of=_read(values, "as_of", lambda text: _past(text, now), None),
    )
    page = Page(
        order=_read(values, "order", lambda text: parse_order(text, group), parse_order("", group)),
        limit=_read(values, "limit", _number("limit", MAX_LIMIT), DEFAULT_LIMIT),
        cursor=values.get("cursor"),
        top=_read(values, "top", _number("top", MAX_LIMIT), None),
    )
    return question, page


def parse_days(values: Mapping[str, str], now: datetime) -> Window:
    """The window of `start` and `end`, whole UTC days; the last seven days without both. Raises InvalidParameter."""
    if not values.keys() & {"start", "end"}:
        return parse_window(DEFAULT_WINDOW, now)
    for name in ("start", "end"):
        if not values.get(name, "").strip():
            raise InvalidParameter(name, f"{name} is missing: give both, such as start=2026-11-20&end=2026-11-23")
    start, end = (_read(values, name, _whole_day(name), now) for name in ("start", "end"))
    if end <= start:
        raise InvalidParameter(
            "end", f"end {rfc3339(end)} is not after start {rfc3339(start)}", code=InvalidWindow.code
        )
    if start > now:
        raise InvalidParameter("start", str(FutureWindow(rfc3339(start), now)), code=FutureWindow.code)
    return Window(start, end)


def _whole_day(name: str) -> Callable[[str], datetime]:
    def read(text: str) -> datetime:
        instant = parse_instant(text)
        if instant != midnight(instant):
            raise InvalidParameter(
                name, f"{name} {text!r} is within a day: this API has whole UTC days, write {instant:%Y-%m-%d}"
            )
        return instant

    return read


def _past(text: str, now: datetime) -> datetime:
    instant = parse_instant(text)
    if instant > now:
        raise InvalidParameter("as_of", f"as_of {rfc3339(instant)} is in the future (now {rfc3339(now)})")
    return instant


def _number(name: str, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and 1 <= int(text[:10]) <= most):
            raise InvalidParameter(name, f"{name} {text!r} is not a number from 1 to {most}")
        return int(text)

    return read


def _choice(name: str, choices: type[_Choice]) -> Callable[[str], _Choice]:
    def read(text: str) -> _Choice:
        try:
            return choices(text)
        except ValueError:
            raise InvalidParameter(name, f"{name} {text!r} is unknown: use {', '.join(choices)}") from None

    return read


def _read(values: Mapping[str, str], name: str, parse: Callable[[str], _T], default: _T) -> _T:
    """The value of a parameter; its default where it is missing. Raises InvalidParameter."""
    if name not in values:
        return default
    try:
        return parse(values[name])
    except InvalidParameter:
        raise
    except RequestError as error:
        raise InvalidParameter(name, str(error), code=error.code) from error
