"""Builds every object from the settings, opens and closes it. The one place that knows all parts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from kubetally import logs
from kubetally.domain.cluster_costs import ClusterCosts, DetailLevel, SourceIdentity
from kubetally.domain.errors import HubError, RequestError, SourceError
from kubetally.domain.window import Clock, Window
from kubetally.ledger.costs import get_cluster_costs as costs_of
from kubetally.ledger.fleet import tell_same_clusters
from kubetally.settings import Settings
from kubetally.sources.access import Access
from kubetally.sources.opencost.client import CostModelClient
from kubetally.sources.opencost.source import CostModelSource
from kubetally.sources.transport import Limits, Transport


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present instant, in UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster, by where its OpenCost or Kubecost is.

    `cluster_id` chooses one of several behind that source; `currency` is what it counts in, where it does not say.
    `name` stands for it in logs.
    """

    url: str = field(repr=False)  # it may hold a password
    cluster_id: str | None = None
    currency: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """Stands in a list of answers for a cluster that gave none."""

    source: SourceIdentity
    error: HubError


class Unforeseen(SourceError):
    """Something failed that nobody has foreseen: a defect of Kubetally."""

    code = "unforeseen"

    def __init__(self, url: str, what: str) -> None:
        self.url, self.what = url, what
        super().__init__(
            f"{url} could not be read for a reason that was not foreseen ({what}): please report it "
            "with the log (KUBETALLY_LOG_LEVEL=warning)"
        )


@asynccontextmanager
async def open_source(cluster: Cluster, settings: Settings | None = None) -> AsyncIterator[CostModelSource]:
    """The cluster's source, closed afterwards. Raises InvalidSourceUrl, InvalidCredential, InvalidSetting."""
    settings = settings or Settings.read()
    transport = Transport(access_of(cluster.url, settings), _limits(settings), account=cluster.name)
    async with transport:
        yield CostModelSource(
            CostModelClient(transport, parallel=settings.parallel_questions),
            cluster_id=cluster.cluster_id or settings.cluster_id,
            currency=cluster.currency or settings.currency,
            profile=settings.savings_profile,
        )


async def get_cluster_costs(
    cluster: Cluster,
    window: Window,
    detail_level: DetailLevel = DetailLevel.SUMMARY,
    *,
    settings: Settings | None = None,
    clock: Clock | None = None,
) -> ClusterCosts:
    """What a cluster cost over a window, balanced to the last micro.

    Every view is in the answer, whatever `detail_level`: it says how finely `answer` breaks it down.

    Raises: SourceError (it gave no answer), RequestError (the cluster, the window or a setting is not usable).
    """
    settings, clock = settings or Settings.read(), clock or SystemClock()
    async with open_source(cluster, settings) as source:
        costs = await costs_of(source, window, clock=clock, deadline_seconds=settings.deadline_seconds)
    return replace(costs, detail_level=detail_level)


async def get_costs_of_all(
    clusters: Sequence[Cluster],
    window: Window,
    *,
    settings: Settings | None = None,
    clock: Clock | None = None,
    done: Callable[[], None] = lambda: None,
) -> list[ClusterCosts | Failed]:
    """Several clusters at once, in the order given; one that fails or hangs does not hold the others.

    `done` is called as each ends. Raises nothing that concerns one cluster only.
    """

    async def one(cluster: Cluster) -> ClusterCosts | Failed:
        try:
            return await get_cluster_costs(cluster, window, settings=settings, clock=clock)
        except HubError as error:
            return Failed(SourceIdentity(shown_url(cluster.url)), error)
        except Exception as error:  # a defect met by one cluster must not take the answers of the others
            logs.warning("unforeseen", source=shown_url(cluster.url), error=type(error).__name__, exc_info=True)
            return Failed(
                SourceIdentity(shown_url(cluster.url)), Unforeseen(shown_url(cluster.url), type(error).__name__)
            )
        finally:
            done()

    answers = await asyncio.gather(*(one(cluster) for cluster in clusters))
    told = iter(tell_same_clusters([answer for answer in answers if isinstance(answer, ClusterCosts)]))
    return [next(told) if isinstance(answer, ClusterCosts) else answer for answer in answers]


def checked_url(url: str) -> str:
    """A source's address without credentials, before anything is asked. Raises InvalidSourceUrl."""
    return Access.parse(url).url


def shown_url(url: str) -> str:
    """A URL fit to be shown, whatever was typed: without user and password."""
    try:
        return Access.parse(url).masked_url
    except RequestError:
        return url if "@" not in url else "***@" + url.rpartition("@")[2]


def access_of(url: str, settings: Settings) -> Access:
    """The URL with the credentials of the settings. Raises InvalidSourceUrl, InvalidCredential and those below."""
    token = settings.source_token
    if settings.source_token_file:
        try:
            token = Path(settings.source_token_file).expanduser().read_text(encoding="utf-8")
        except OSError as error:
            raise UnreadableToken(settings.source_token_file, error.strerror or "unreadable") from error
        except UnicodeDecodeError as error:
            raise UnreadableToken(settings.source_token_file, "it holds no text") from error
    return Access.parse(
        url,
        token=token,
        user=settings.source_user,
        password=settings.source_password,
        headers=_headers(settings.source_headers),
        ca_file=settings.source_ca_file,
        client_cert=settings.source_client_cert,
        client_key=settings.source_client_key,
    )


class UnreadableToken(RequestError):
    """The file that should hold the token can't be read."""

    code = "unreadable_token"

    def __init__(self, file: str, why: str) -> None:
        self.file, self.why = file, why
        super().__init__(f"KUBETALLY_SOURCE_TOKEN_FILE {file!r} can't be read: {why}")


class InvalidHeaders(RequestError):
    """KUBETALLY_SOURCE_HEADERS is not `Name: value`."""

    code = "invalid_headers"

    def __init__(self) -> None:
        super().__init__("KUBETALLY_SOURCE_HEADERS should be `Name: value`, one a line or between semicolons")


def _headers(text: str | None) -> dict[str, str]:
    headers = {}
    for part in (text or "").replace("\n", ";").split(";"):
        if part.strip():
            name, colon, value = part.partition(":")
            if not colon or not name.strip():
                raise InvalidHeaders
            headers[name.strip()] = value.strip()
    return headers


def _limits(settings: Settings) -> Limits:
    return Limits(
        connect_seconds=settings.connect_seconds,
        read_seconds=settings.read_seconds,
        deadline_seconds=settings.deadline_seconds,
        max_bytes=settings.max_answer_mib * 1024 * 1024,
        attempts=settings.attempts,
        allow_link_local=settings.allow_link_local,
    )
