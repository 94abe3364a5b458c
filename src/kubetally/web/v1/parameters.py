"""The parameters of each endpoint of the native API, and the questions that they make."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from kubetally.domain.asset_report import AssetQuestion
from kubetally.domain.compare import COMPARED_FIGURES, LARGEST_CHANGE_FIRST, CompareQuestion
from kubetally.domain.question.arrange import COST_FIGURES, DEFAULT_ORDER, Figures, Order, parse_order
from kubetally.domain.question.cost_question import CostQuestion, ExportFormat
from kubetally.domain.question.top import with_top
from kubetally.domain.window import Window
from kubetally.web.v1.group_parameters import (
    ACCOUNT_FILTER,
    ASSET_FILTER,
    ASSET_GROUP,
    BALANCE_FILTER,
    FILTER,
    GROUP,
    IDLE,
    SHARE,
    STEP,
    parse_sharing,
)
from kubetally.web.v1.page_parameters import CHANGE_ORDER, CURSOR, LIMIT, ORDER, TOP, Page
from kubetally.web.v1.query_string import InvalidParameter, Parameter, Parameters, choice, parse_parameters, words
from kubetally.web.v1.window_parameters import (
    AS_OF,
    BEFORE_END,
    BEFORE_START,
    COMPARED_START,
    END,
    START,
    parse_before,
    parse_compared_days,
    parse_days,
    parse_past,
)

FORMAT: Final[Parameter[ExportFormat]] = Parameter(
    "format",
    "Format of the file.",
    choice("format", ExportFormat),
    ExportFormat.CSV,
    words(ExportFormat, ExportFormat.CSV),
)
_SHARED: Final[Parameters] = (START, END, FILTER, AS_OF)
LABELS: Final[Parameters] = (*_SHARED, LIMIT, CURSOR)
_OF_GROUPS: Final[Parameters] = (STEP, ORDER, TOP, IDLE, *SHARE)
_GROUPED: Final[Parameters] = (*_SHARED, GROUP, *_OF_GROUPS)
COSTS: Final[Parameters] = (*_GROUPED, LIMIT, CURSOR)
COMPARE: Final[Parameters] = (
    COMPARED_START,
    *(parameter for parameter in COSTS if parameter not in (START, STEP, ORDER)),
    BEFORE_START,
    BEFORE_END,
    CHANGE_ORDER,
)
EXPLAIN: Final = COSTS
ASSETS: Final[Parameters] = (START, END, ASSET_FILTER, ASSET_GROUP, LIMIT, CURSOR)
ACCOUNTS: Final[Parameters] = (START, END, ACCOUNT_FILTER, LIMIT, CURSOR)
BALANCE: Final[Parameters] = (START, END, BALANCE_FILTER, STEP, LIMIT, CURSOR)
EXPORT: Final[Parameters] = (*_GROUPED, FORMAT)


def parse_costs(query: bytes, now: datetime) -> tuple[CostQuestion, Page]:
    """The question and the page of `costs`. Raises InvalidParameter."""
    question, page = _costs_of(parse_parameters(query, COSTS), now)
    return with_top(question, page.order, page.top), page


def parse_compare(query: bytes, now: datetime) -> tuple[CompareQuestion, Page]:
    """The question and the page of `compare`. Raises InvalidParameter."""
    values = parse_parameters(query, COMPARE)
    question, page = _costs_of(values, now, COMPARED_FIGURES, LARGEST_CHANGE_FIRST, parse_compared_days)
    return CompareQuestion(question, parse_before(values, now, question.window)), page


def parse_explain(query: bytes, now: datetime) -> tuple[CostQuestion, Page]:
    """The question of `explain`, and the only page. Raises InvalidParameter.

    A question to `costs` can be sent as it is: how its rows are grouped, ordered and paged changes no figure.
    """
    question, _ = _costs_of(parse_parameters(query, EXPLAIN), now)
    return replace(question, group=(), step=None), Page(order=())


def parse_export(query: bytes, now: datetime) -> tuple[CostQuestion, Page, ExportFormat]:
    """The question of `exports`, its order and top, and the format. Raises InvalidParameter."""
    values = parse_parameters(query, EXPORT)
    question, page = _costs_of(values, now)
    format_ = FORMAT.of(values)
    alone = [each.name for each in _OF_GROUPS if each.name in values and not question.group]
    if alone:
        problem = f"{alone[0]} needs a group: without one the stored rows are exported as they are"
        raise InvalidParameter(alone[0], problem)
    return question, page, format_


def parse_labels(query: bytes, now: datetime) -> tuple[CostQuestion, Page]:
    """The question and the page of `labels`. Raises InvalidParameter."""
    return _costs_of(parse_parameters(query, LABELS), now)


def parse_accounts(query: bytes, now: datetime) -> tuple[CostQuestion, Page]:
    """The question and the page of `clusters` or `coverage`. Raises InvalidParameter."""
    values = parse_parameters(query, ACCOUNTS)
    question = CostQuestion(parse_days(values, now), group=(), filter=ACCOUNT_FILTER.of(values))
    return question, _plain_page(values)


def parse_assets(query: bytes, now: datetime) -> tuple[AssetQuestion, Page]:
    """The question and the page of `assets`. Raises InvalidParameter."""
    values = parse_parameters(query, ASSETS)
    return AssetQuestion(parse_days(values, now), ASSET_GROUP.of(values), ASSET_FILTER.of(values)), _plain_page(values)


def parse_balance(query: bytes, now: datetime) -> tuple[CostQuestion, Page]:
    """The question and the page of `balance`. Raises InvalidParameter."""
    values = parse_parameters(query, BALANCE)
    condition = BALANCE_FILTER.of(values)
    question = CostQuestion(parse_days(values, now), group=(), step=STEP.of(values), filter=condition)
    return question, _plain_page(values)


def _plain_page(values: Mapping[str, str]) -> Page:
    """The page of rows whose order is fixed."""
    return Page(order=(), limit=LIMIT.of(values), cursor=CURSOR.of(values))


def _costs_of(
    values: Mapping[str, str],
    now: datetime,
    figures: Figures = COST_FIGURES,
    default_order: tuple[Order, ...] = DEFAULT_ORDER,
    parse_window: Callable[[Mapping[str, str], datetime], Window] = parse_days,
) -> tuple[CostQuestion, Page]:
    group = GROUP.of(values)
    question = CostQuestion(
        window=parse_window(values, now),
        group=group,
        step=STEP.of(values),
        filter=FILTER.of(values),
        idle=IDLE.of(values),
        sharing=parse_sharing(values),
        as_of=parse_past(values, now),
    )
    page = Page(
        order=ORDER.read(values, lambda fields: parse_order(fields, group, figures, default_order), default_order),
        limit=LIMIT.of(values),
        cursor=CURSOR.of(values),
        top=TOP.of(values),
    )
    return question, page
