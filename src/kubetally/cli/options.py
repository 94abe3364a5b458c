"""Options that several commands share, and what they mean."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.domain.errors import RequestError
from kubetally.domain.window import InvalidWindow, Window, parse_instant, parse_window

if TYPE_CHECKING:
    from kubetally.settings import Settings
    from kubetally.wiring import Cluster

DEFAULT_WINDOW = "7d"


class Format(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class NoCluster(RequestError):
    """No cluster was named."""

    code = "no_cluster"

    def __init__(self) -> None:
        super().__init__(
            "name a cluster: --url http://localhost:9003 (an OpenCost or Kubecost), or set KUBECOST_API_URL"
        )


Urls = Annotated[
    list[str] | None, typer.Option("--url", help="URL of an OpenCost or Kubecost; repeat for several clusters.")
]
ClusterId = Annotated[
    str | None, typer.Option("--cluster-id", help="The cluster to read, where the source answers for several.")
]
Currency = Annotated[
    str | None, typer.Option("--currency", help="Currency of the source, where it does not state one (USD).")
]
WindowText = Annotated[
    str | None,
    typer.Option(
        "--window",
        help="7d, 24h, today, yesterday, week, lastweek, month, lastmonth, or START,END. Default: 7d, today and the "
        "six days before it, in UTC.",
    ),
]
Start = Annotated[
    str | None, typer.Option("--start", help="First day (2026-11-20, 00:00 UTC), RFC3339 time or Unix seconds.")
]
End = Annotated[str | None, typer.Option("--end", help="End, exclusive: the same forms.")]
OutputFormat = Annotated[Format, typer.Option("--format", help="table, json or csv.")]


def window_of(text: str | None, start: str | None, end: str | None, default: str = DEFAULT_WINDOW) -> Window:
    """The window that the options name. Raises InvalidWindow."""
    if start is None and end is None:
        return parse_window(default if text is None else text, datetime.now(UTC))
    if text is not None:
        raise InvalidWindow(text, "was given beside --start or --end: give one or the other")
    if start is None or end is None:
        raise InvalidWindow(start or end or "", f"lacks its {'start' if start is None else 'end'}: give both")
    return Window(parse_instant(start), parse_instant(end))


def clusters_of(
    urls: list[str] | None, cluster_id: str | None, currency: str | None, settings: "Settings"
) -> "list[Cluster]":
    """The clusters that the options name, else the one of the environment.

    Raises: NoCluster, and InvalidSourceUrl for a URL that can't be one.
    """
    from kubetally.wiring import Cluster, check_url  # heavy: see the package

    named = list(dict.fromkeys(urls or ([settings.kubecost_api_url] if settings.kubecost_api_url else [])))
    if not named:
        raise NoCluster
    for url in named:
        check_url(url)
    return [Cluster(url, cluster_id, currency.upper() if currency else None) for url in named]
