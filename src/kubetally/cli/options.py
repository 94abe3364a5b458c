"""Options that several commands share, and what they mean."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, TypeVar

import typer

from kubetally.domain.errors import RequestError
from kubetally.domain.window import DAY, InvalidWindow, Window, midnight, no_such_day, parse_instant, parse_window

DEFAULT_WINDOW = "7d"
_T = TypeVar("_T")
_V = TypeVar("_V")


class Format(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


class Infrastructure(StrEnum):
    """Whether the old sums of metrics are shown beside the costs of infrastructure, for those who migrate from them."""

    MEASURED = "measured"
    LEGACY_SUM = "legacy_sum"


class ScreenOrJson(StrEnum):
    """How an answer without CSV is printed."""

    TABLE = "table"
    JSON = "json"


WINDOW_FORMS = "7d, 24h, today, yesterday, week, lastweek, month, lastmonth, 2026-10, 2026-Q3, 2026, or START,END."
AccountNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ACCOUNT|URL",
        help="Names or ids of accounts, or URLs as with --url; default: all accounts.",
    ),
]
OnlyAccountNames = Annotated[
    list[str] | None, typer.Argument(metavar="ACCOUNT", help="Names or ids of accounts; default: all.")
]
Urls = Annotated[
    list[str] | None,
    typer.Option("--url", metavar="URL", help="URL of an OpenCost or Kubecost; repeat for several clusters."),
]
Contexts = Annotated[
    list[str] | None,
    typer.Option(
        "--context",
        metavar="NAME",
        help="Kubeconfig context, or in-cluster: its OpenCost or Kubecost is found and read through the API server.",
    ),
]
ClusterId = Annotated[
    str | None,
    typer.Option("--cluster-id", metavar="ID", help="The cluster to read, if the source has several."),
]
Currency = Annotated[
    str | None,
    typer.Option("--currency", metavar="CODE", help="Currency of the source, if it does not state one; default: USD."),
]
AccountCurrency = Annotated[
    str | None,
    typer.Option(
        "--currency",
        metavar="CODE",
        help="Currency of the source, if it does not state one; default: that of the organization.",
    ),
]
OfOrganization = Annotated[
    str | None,
    typer.Option(
        "--organization",
        metavar="ORGANIZATION",
        help="Name or id of its organization; default: `default`, or the one it had before it was removed.",
    ),
]
PrometheusUrl = Annotated[
    str | None,
    typer.Option(
        "--prometheus-url",
        metavar="URL",
        help="Prometheus, Thanos, Mimir or VictoriaMetrics of the cluster, for the management fee and other metrics.",
    ),
]
Tenant = Annotated[
    str | None,
    typer.Option("--tenant", metavar="TENANT", help="Value of the tenant label in that Prometheus, if it has several."),
]
_OF_ONE_CLUSTER = ("cluster_id", "currency", "prometheus_url", "tenant")


def window_option(default: str) -> Any:
    """`--window`, with its default in the help."""
    return typer.Option("--window", metavar="WINDOW", help=f"{WINDOW_FORMS} Default: {default}")


WindowText = Annotated[str | None, window_option("7d, today and the six days before it, in UTC.")]
Start = Annotated[
    str | None,
    typer.Option("--start", metavar="TIME", help="First day (2026-11-20, 00:00 UTC), RFC3339 time or Unix seconds."),
]
End = Annotated[str | None, typer.Option("--end", metavar="TIME", help="End, exclusive; same forms.")]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of", metavar="TIME", help="Costs as known at that time, from days collected by then; same forms."
    ),
]
OutputFile = Annotated[
    str | None,
    typer.Option(
        "--output",
        metavar="FILE",
        help="Write the answer to FILE, completely or not at all; default: -, standard output.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print the answer and errors only: no progress, no notes.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Exit 3 unless every cluster was read and its answer is complete.")
]
OutputFormat = Annotated[Format, typer.Option("--format", help="Output format.")]
InfrastructureChoice = Annotated[
    Infrastructure,
    typer.Option(
        "--infrastructure",
        help="legacy_sum also prints the old sums of metrics, to compare with; they are not costs.",
    ),
]
ScreenOrJsonFormat = Annotated[ScreenOrJson, typer.Option("--format", help="Output format.")]


@dataclass(frozen=True)
class ClusterOptions:
    """Options that name clusters, and options about clusters without an account."""

    accounts: AccountNames = None
    url: Urls = field(default=None, repr=False)  # they may hold passwords
    context: Contexts = None
    cluster_id: ClusterId = None
    currency: Currency = None
    prometheus_url: PrometheusUrl = field(default=None, repr=False)
    tenant: Tenant = None

    def about_others(self) -> Iterator[str]:
        """The options that were given about clusters without an account."""
        for name in _OF_ONE_CLUSTER:
            if getattr(self, name) is not None:
                yield f"--{name.replace('_', '-')}"


@dataclass(frozen=True)
class WindowOptions:
    """The options of a window."""

    default: ClassVar[str] = DEFAULT_WINDOW

    window: WindowText = None
    start: Start = None
    end: End = None

    def read(self) -> Window:
        """Their window, never an empty one. Raises InvalidWindow, UnreadableTime."""
        return window_of(self.window, start=self.start, end=self.end, default=self.default)


@dataclass(frozen=True)
class AnswerOptions:
    """Options of output: where the answer is written, and whether notes and progress are printed."""

    output_file: OutputFile = None
    quiet: Quiet = False


class UnreadableTime(InvalidWindow):
    """A time that an option gives can't be understood."""

    code = "unreadable_time"

    def __init__(self, option: str, text: str, why: str) -> None:
        self.option, self.text, self.why = option, text, why
        RequestError.__init__(self, f"{option} {text!r} {why}")


def window_of(
    text: str | None, *, start: str | None = None, end: str | None = None, default: str = DEFAULT_WINDOW
) -> Window:
    """The window of the options, never empty. Raises InvalidWindow, UnreadableTime."""
    window = _named_window(text, start, end, default)
    if window.is_empty:
        raise InvalidWindow(str(window), f"is empty: the end is exclusive; {_instead_of_empty(window)}")
    return window


def _named_window(text: str | None, start: str | None, end: str | None, default: str) -> Window:
    now = datetime.now(UTC)
    if start is None and end is None:
        return parse_window(default if text is None else text, now)
    if text is not None:
        raise InvalidWindow(text, "was given beside --start or --end: give one or the other")
    for option, time in (("--start", start), ("--end", end)):
        if time is not None:
            _check_time(option, time)
    if start is None or end is None:
        missing = "start" if start is None else "end"
        raise InvalidWindow(start or end or "", f"lacks its {missing}: give --{missing} too")
    return parse_window(f"{start.strip()},{end.strip()}", now)


def date_of(option: str, text: str) -> date:
    """The date of an option. Raises UnreadableTime."""
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise UnreadableTime(option, text, no_such_day(text) or "is no date; write it as 2026-11-20") from None


def read_option(option: str, value: _V, parse: Callable[[_V], _T]) -> _T:
    """What the value of an option means. Raises RequestError, which names the option."""
    try:
        return parse(value)
    except RequestError as error:
        raise RequestError(f"{option}: {error}", code=error.code) from error


def instant_of(option: str, text: str | None) -> datetime | None:
    """The instant of an option; None if it was not given. Raises UnreadableTime."""
    return None if text is None else _check_time(option, text)


def _check_time(option: str, text: str) -> datetime:
    try:
        return parse_instant(text)
    except InvalidWindow as error:
        raise UnreadableTime(option, error.text, error.why) from error


def _instead_of_empty(window: Window) -> str:
    """What to give instead: for a midnight the whole day."""
    if window.start != midnight(window.start):
        return "give a later --end"
    return f"for that day give --end {window.start + DAY:%Y-%m-%d}"
