"""The parameters of the native API, and the questions that they make."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from kubetally.domain.allocation import Kind
from kubetally.domain.asset import AssetType
from kubetally.domain.asset_report import GROUPABLE, AssetQuestion, parse_asset_group
from kubetally.domain.compare import COMPARED_FIGURES, LARGEST_CHANGE_FIRST, CompareQuestion
from kubetally.domain.errors import RequestError
from kubetally.domain.question.arrange import COST_FIGURES, DEFAULT_ORDER, Figures, Order, parse_order
from kubetally.domain.question.cost_question import CostQuestion, ExportFormat, Idle, Sharing, Split
from kubetally.domain.question.filter import Field, Filter
from kubetally.domain.question.group import Dimension, parse_group
from kubetally.domain.question.partial import EVERY_ROW, conditions_of
from kubetally.domain.question.shared import parse_shared_labels, parse_shared_namespaces, sharing_of
from kubetally.domain.question.steps import Step
from kubetally.domain.question.top import with_top
from kubetally.domain.question.v2 import parse_v2
from kubetally.domain.window import (
    DAY,
    EARLIEST,
    FutureWindow,
    InvalidWindow,
    Window,
    midnight,
    parse_instant,
    parse_window,
    rfc3339,
)
from kubetally.web.v1.cursor import Cursor, read_cursor
from kubetally.web.v1.query_string import (
    InvalidParameter,
    Parameter,
    Parameters,
    choice,
    number,
    numbers,
    parse_parameters,
    text,
    words,
)

DEFAULT_WINDOW: Final = "7d"
DEFAULT_LIMIT, MAX_LIMIT = 200, 10_000
MAX_DAYS: Final = 3_660
"""Of a window: ten years. What each day costs in time and memory is paid also for days that are not stored."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of an answer are wanted. cursor: of the page before; None for the first. top: None for all keys."""

    order: tuple[Order, ...]
    limit: int = DEFAULT_LIMIT
    cursor: Cursor | None = None
    top: int | None = None


def _whole_day(name: str) -> Callable[[str], datetime]:
    def read(day: str) -> datetime:
        instant = parse_instant(day)
        if instant != midnight(instant):
            raise InvalidParameter(
                name, f"{name} {day!r} is within a day: this API has whole UTC days, write {instant:%Y-%m-%d}"
            )
        return instant

    return read


def filter_on(*fields: Field, kinds: Iterable[str] = Kind) -> Callable[[str], Filter]:
    """Reads a filter that has these fields only. kinds: of the rows that it is for."""

    def read(condition: str) -> Filter:
        parsed = parse_v2(condition, kinds)
        for part in conditions_of(parsed):
            if part.field not in fields:
                raise RequestError(
                    f"the filter has {part.field.value} at position {part.position}: here it may have "
                    f"{' and '.join(field.value for field in fields)} only",
                    code="unknown_field",
                )
        return parsed

    return read


START: Final[Parameter[datetime | None]] = Parameter(
    "start",
    f"First day, in UTC, not before 1970; at most {MAX_DAYS:,} days; both dates or neither. "
    "Default: today and the six days before.",
    _whole_day("start"),
    None,
    text(format="date"),
)
END: Final[Parameter[datetime | None]] = Parameter(
    "end", "The day after the last one, in UTC.", _whole_day("end"), None, text(format="date")
)
FILTER: Final[Parameter[Filter]] = Parameter(
    "filter",
    'Which rows count, in OpenCost\'s v2 grammar: `namespace:"shop"+label[team]!:"web"`. Default: every row.',
    parse_v2,
    parse_v2(""),
    text(),
)
_ACCOUNT_FIELDS: Final = (Field.CLUSTER, Field.ORGANIZATION)
ACCOUNT_FILTER: Final[Parameter[Filter]] = Parameter(
    "filter",
    'Which accounts count, in OpenCost\'s v2 grammar, on cluster and organization: `cluster:"prod"`. Default: all.',
    filter_on(*_ACCOUNT_FIELDS),
    EVERY_ROW,
    text(),
)
BALANCE_FILTER: Final[Parameter[Filter]] = replace(
    ACCOUNT_FILTER,
    meaning="Which accounts count, in OpenCost's v2 grammar, on cluster, organization and currency. Default: all.",
    parse=filter_on(*_ACCOUNT_FIELDS, Field.CURRENCY),
)
ASSET_FILTER: Final[Parameter[Filter]] = replace(
    ACCOUNT_FILTER,
    meaning="Which assets count, in OpenCost's v2 grammar, on cluster, organization, currency, kind (type of the "
    "asset), node (name of a node), provider (its id), namespace (of the claim on a disk) and label. Default: all.",
    parse=filter_on(
        *(*_ACCOUNT_FIELDS, Field.CURRENCY, Field.KIND),
        *(Field.NODE, Field.PROVIDER, Field.NAMESPACE, Field.LABEL),
        kinds=AssetType,
    ),
)
ASSET_GROUP: Final[Parameter[tuple[str, ...]]] = Parameter(
    "group",
    f"Comma list of {', '.join(GROUPABLE)}. Default: each asset by itself.",
    parse_asset_group,
    (),
    text(),
)
AS_OF: Final[Parameter[datetime | None]] = Parameter(
    "as_of", "An instant: figures as they were stored then. Default: now.", parse_instant, None, text()
)
GROUP: Final[Parameter[tuple[Dimension, ...]]] = Parameter(
    "group",
    "Comma list of cluster, organization, namespace, controller_kind, controller, pod, container, node, service, kind, "
    "component, label:KEY, annotation:KEY and namespace_label:KEY. Default: one row.",
    parse_group,
    (),
    text(),
)
STEP: Final[Parameter[Step | None]] = Parameter(
    "step",
    "Length of the steps of the window; weeks begin on Monday. Default: the whole window.",
    choice("step", Step),
    None,
    words(Step),
)
IDLE: Final[Parameter[Idle]] = Parameter(
    "idle",
    "Idle cost: a row of its own, shared among workloads by cost or evenly, or left out, of the total too.",
    choice("idle", Idle),
    Idle.SEPARATE,
    words(Idle, Idle.SEPARATE),
)
SHARE_NAMESPACES: Final[Parameter[tuple[str, ...]]] = Parameter(
    "share_namespaces",
    "Comma list of plain names of namespaces: their workloads leave, and their cost returns as shared_cost of the "
    "other workloads of the same account and day.",
    parse_shared_namespaces,
    (),
    text(),
)
SHARE_LABELS: Final[Parameter[tuple[tuple[str, str], ...]]] = Parameter(
    "share_labels",
    "Comma list of labels as key:value: workloads that have one of them are shared like those of share_namespaces.",
    parse_shared_labels,
    (),
    text(),
)
SHARE_SPLIT: Final[Parameter[Split | None]] = Parameter(
    "share_split",
    "Shared cost is divided by cost, or evenly among namespaces. Only where something is shared. Default: weighted.",
    choice("share_split", Split),
    None,
    words(Split),
)
_SHARE: Final[Parameters] = (SHARE_NAMESPACES, SHARE_LABELS, SHARE_SPLIT)
ORDER: Final[Parameter[tuple[Order, ...]]] = Parameter(
    "order",
    "Comma list of total_cost, a component such as cpu_cost, window_start or a dimension of the group; a minus before "
    "it for descending.",
    lambda fields: parse_order(fields, ()),
    DEFAULT_ORDER,
    text(default="-total_cost"),
)
CHANGE_ORDER: Final[Parameter[tuple[Order, ...]]] = Parameter(
    "order",
    "Comma list of before, now, change, absolute_change or a dimension of the group; a minus before it for descending.",
    lambda fields: parse_order(fields, (), COMPARED_FIGURES, LARGEST_CHANGE_FIRST),
    LARGEST_CHANGE_FIRST,
    text(default="-absolute_change"),
)
BEFORE_START: Final[Parameter[datetime | None]] = Parameter(
    "before_start",
    "First day of the period before, in UTC; both dates or neither. Default: the days right before `start`, as many.",
    _whole_day("before_start"),
    None,
    text(format="date"),
)
BEFORE_END: Final[Parameter[datetime | None]] = Parameter(
    "before_end",
    "The day after the last one of the period before, in UTC.",
    _whole_day("before_end"),
    None,
    text(format="date"),
)
LIMIT: Final[Parameter[int]] = Parameter(
    "limit", "Rows of a page.", number("limit", MAX_LIMIT), DEFAULT_LIMIT, numbers(MAX_LIMIT, default=DEFAULT_LIMIT)
)
CURSOR: Final[Parameter[Cursor | None]] = Parameter(
    "cursor", "The `next` of the page before, with the same question.", read_cursor, None, text()
)
TOP: Final[Parameter[int | None]] = Parameter(
    "top",
    "The first keys over the whole window; all others are one row of kind rest. Default: all keys.",
    number("top", MAX_LIMIT),
    None,
    numbers(MAX_LIMIT),
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
_OF_GROUPS: Final[Parameters] = (STEP, ORDER, TOP, IDLE, *_SHARE)
_GROUPED: Final[Parameters] = (*_SHARED, GROUP, *_OF_GROUPS)
COSTS: Final[Parameters] = (*_GROUPED, LIMIT, CURSOR)
COMPARE: Final[Parameters] = (
    *(parameter for parameter in COSTS if parameter not in (STEP, ORDER)),
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
    question, page = _costs_of(values, now, COMPARED_FIGURES, LARGEST_CHANGE_FIRST)
    if values.keys() & {BEFORE_START.name, BEFORE_END.name}:
        return CompareQuestion(question, _window_of(values, now, BEFORE_START, BEFORE_END)), page
    before = question.window.before()
    if before.start < EARLIEST:
        problem = "the days before it begin before 1970: give a later start, or before_start and before_end"
        raise InvalidParameter(START.name, problem, code=InvalidWindow.code)
    return CompareQuestion(question, before), page


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
) -> tuple[CostQuestion, Page]:
    group = GROUP.of(values)
    question = CostQuestion(
        window=parse_days(values, now),
        group=group,
        step=STEP.of(values),
        filter=FILTER.of(values),
        idle=IDLE.of(values),
        sharing=_sharing_of(values),
        as_of=parse_past(values, now),
    )
    page = Page(
        order=ORDER.read(values, lambda fields: parse_order(fields, group, figures, default_order), default_order),
        limit=LIMIT.of(values),
        cursor=CURSOR.of(values),
        top=TOP.of(values),
    )
    return question, page


def _sharing_of(values: Mapping[str, str]) -> Sharing:
    namespaces, labels = SHARE_NAMESPACES.of(values), SHARE_LABELS.of(values)
    try:
        return sharing_of(namespaces, labels, SHARE_SPLIT.of(values))
    except InvalidParameter:
        raise
    except RequestError as error:
        raise InvalidParameter(SHARE_SPLIT.name, str(error), code=error.code) from error


def parse_days(values: Mapping[str, str], now: datetime) -> Window:
    """The window of `start` and `end`, whole UTC days; the last seven days without both. Raises InvalidParameter."""
    if not values.keys() & {START.name, END.name}:
        return parse_window(DEFAULT_WINDOW, now)
    return _window_of(values, now, START, END)


def _window_of(
    values: Mapping[str, str], now: datetime, first: Parameter[datetime | None], last: Parameter[datetime | None]
) -> Window:
    """The window of two parameters, which have to be given both. Its end may be in the future, as that of a month may.

    Raises: InvalidParameter, also for what begins before 1970 or in the future, and for more than `MAX_DAYS`.
    """
    for name in (first.name, last.name):
        if not values.get(name, "").strip():
            both = f"{first.name}=2026-11-20&{last.name}=2026-11-23"
            raise InvalidParameter(name, f"{name} is missing: give both, such as {both}")
    start, end = (parameter.of(values) or now for parameter in (first, last))
    if end <= start:
        problem = f"{last.name} {rfc3339(end)} is not after {first.name} {rfc3339(start)}"
        raise InvalidParameter(last.name, problem, code=InvalidWindow.code)
    if start > now:
        raise InvalidParameter(first.name, str(FutureWindow(rfc3339(start), now)), code=FutureWindow.code)
    if start < EARLIEST:
        problem = f"{first.name} {rfc3339(start)} is before 1970: give a later one"
        raise InvalidParameter(first.name, problem, code=InvalidWindow.code)
    if end - start > MAX_DAYS * DAY:
        problem = f"the window has {(end - start).days:,} days, and {MAX_DAYS:,} are allowed: ask in parts"
        raise InvalidParameter(first.name, problem, code=InvalidWindow.code)
    return Window(start, end)


def parse_past(values: Mapping[str, str], now: datetime) -> datetime | None:
    """The instant of `as_of`; None for now. Raises InvalidParameter."""
    instant = AS_OF.of(values)
    if instant is not None and instant > now:
        raise InvalidParameter("as_of", f"as_of {rfc3339(instant)} is in the future (now {rfc3339(now)})")
    return instant
