"""Options that several commands share, and what they mean."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.domain.errors import RequestError
from kubetally.domain.window import InvalidWindow, Window, parse_window

if TYPE_CHECKING:
    from kubetally.settings import Settings
    from kubetally.wiring import Cluster

DEFAULT_WINDOW = "7d"


class Format(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class ScreenOrJson(StrEnum):
    """How an answer is printed that has no rows to be loaded elsewhere."""

    TABLE = "table"
    JSON = "json"


class NoCluster(RequestError):
    """No cluster was named."""

    code = "no_cluster"

    def __init__(self) -> None:
        super().__init__(
            "name a cluster: --url http://localhost:9003 (an OpenCost or Kubecost), or set KUBECOST_API_URL"
        )


class InvalidCurrency(RequestError):
    """What was stated is no currency code."""

    code = "invalid_currency"

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(f"the currency {text!r} is no code: write three letters, such as USD")


_WINDOWS = "7d, 24h, today, yesterday, week, lastweek, month, lastmonth, or START,END."
Urls = Annotated[
    list[str] | None,
    typer.Option("--url", metavar="URL", help="URL of an OpenCost or Kubecost; repeat for several clusters."),
]
ClusterId = Annotated[
    str | None,
    typer.Option("--cluster-id", metavar="ID", help="The cluster to read, where the source answers for several."),
]
Currency = Annotated[
    str | None,
    typer.Option("--currency", metavar="CODE", help="Currency of the source, where it does not state one (USD)."),
]
WindowText = Annotated[
    str | None,
    typer.Option(
        "--window", metavar="WINDOW", help=f"{_WINDOWS} Default: 7d, today and the six days before it, in UTC."
    ),
]
OneDay = Annotated[
    str | None,
    typer.Option("--window", metavar="WINDOW", help=f"{_WINDOWS} Its first day is read. Default: yesterday, in UTC."),
]
Start = Annotated[
    str | None,
    typer.Option("--start", metavar="TIME", help="First day (2026-11-20, 00:00 UTC), RFC3339 time or Unix seconds."),
]
End = Annotated[str | None, typer.Option("--end", metavar="TIME", help="End, exclusive: the same forms.")]
OutputFormat = Annotated[Format, typer.Option("--format", help="How to print it.")]
ScreenOrJsonFormat = Annotated[ScreenOrJson, typer.Option("--format", help="How to print it.")]


def window_of(text: str | None, start: str | None, end: str | None, default: str = DEFAULT_WINDOW) -> Window:
    """The window that the options name. Raises InvalidWindow."""
    now = datetime.now(UTC)
    if start is None and end is None:
        return parse_window(default if text is None else text, now)
    if text is not None:
        raise InvalidWindow(text, "was given beside --start or --end: give one or the other")
    if start is None or end is None:
        raise InvalidWindow(start or end or "", f"lacks its {'start' if start is None else 'end'}: give both")
    return parse_window(f"{start.strip()},{end.strip()}", now)


def clusters_of(
    urls: list[str] | None, cluster_id: str | None, currency: str | None, settings: "Settings"
) -> "list[Cluster]":
    """The clusters that the options name, else the one of the environment.

    Raises: NoCluster, and InvalidSourceUrl for a URL that can't be one.
    """
    from kubetally.wiring import Cluster, checked_url  # heavy: see the package

    given = urls or ([settings.kubecost_api_url] if settings.kubecost_api_url else [])
    if not given:
        raise NoCluster
    named: dict[str, str] = {}  # one address is one cluster, however it is written
    for url in given:
        named.setdefault(checked_url(url), url)
    code = currency or settings.currency
    if code and not (len(code) == 3 and code.isascii() and code.isalpha()):
        raise InvalidCurrency(code)
    return [Cluster(url, cluster_id, code.upper() if code else None) for url in named.values()]
