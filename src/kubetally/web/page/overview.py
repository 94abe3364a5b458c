"""`/`: the page for people, with the costs of each cluster."""

import asyncio
import re
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from litestar import get
from litestar.response import Response
from litestar.types import HTTPScope

from kubetally import logs
from kubetally.cache import AsyncCache
from kubetally.domain.account import AccountPlace
from kubetally.domain.errors import BalanceError, KubetallyError, RequestError
from kubetally.domain.window import Clock, Window, parse_window, to_unix
from kubetally.domain.words import window_words
from kubetally.ledger.accounts.duplicates import find_duplicate_clusters
from kubetally.ledger.costs.service import CACHE_LIFETIME, CostService
from kubetally.web.html import AnyRequest, html_response, page, text
from kubetally.web.page.section import ClusterCard, cluster_card, section
from kubetally.web.proxies import TrustedProxies
from kubetally.web.secret import Secret
from kubetally.web.sign_in import SignIn

CLUSTERS_PER_PAGE: Final = 20
_PAGE_TIMEOUT_SECONDS = 5.0
_RETRYABLE_CARD_SECONDS = 60.0
_MAX_CARDS = 2000
_Key = tuple[str, str, Window]
_PAGE = re.compile("[1-9][0-9]{0,5}")
_SIGN_IN_FIRST: Final = (
    "<h1>Kubetally</h1><p>Open the link that <code>kubetally serve</code> printed, or a new one that "
    "<code>kubetally link</code> prints on the machine of the service. "
    "Or sign in with any user name, and the secret of the service as password.</p>"
)
_log = logs.get_logger(__name__)


class UnforeseenDefect(BalanceError):
    """A cluster could not be shown because of a defect; the log has the reason."""

    code = "unforeseen_defect"

    def __init__(self) -> None:
        super().__init__("it could not be shown because of an unexpected error; please report it with the log")


def overview(
    service: CostService,
    guard: "PageGuard",
    clock: Clock,
    *,
    default_window: str,
    costs_path: str,
    secret_file: str | None = None,
) -> Any:
    """The handler of the page. default_window: shown by default.

    costs_path, secret_file: for the curl command, the path of costs in the API and the file of the secret.
    """

    cards = _ClusterCards(service)

    @get("/", include_in_schema=False)
    async def index(request: AnyRequest) -> Response[bytes]:
        if not guard.admits(request.scope):
            challenge = {"WWW-Authenticate": 'Basic realm="Kubetally", charset="UTF-8"'}
            return html_response(page("Kubetally", _SIGN_IN_FIRST), 401, challenge)
        query = dict(parse_qsl(request.scope["query_string"].decode("latin-1")))
        window_text = query.get("window", "").strip() or default_window
        try:
            window = parse_window(window_text, clock.now())
        except RequestError as error:
            body = f'{_header(window_text)}<p class="error" role="alert">{text(error)}</p>'
            return html_response(page("Kubetally", body), 400)
        accounts = await service.clusters()
        pages = max(1, -(-len(accounts) // CLUSTERS_PER_PAGE))
        number = min(int(query["page"]), pages) if _PAGE.fullmatch(query.get("page", "")) else 1
        shown = accounts[(number - 1) * CLUSTERS_PER_PAGE :][:CLUSTERS_PER_PAGE]
        results = await _read_cards(cards, shown, window)
        sections = _sections(shown, results)
        scheme = "https" if guard.proxies.is_https(request.scope) else "http"
        origin = f"{scheme}://{request.headers.get('host') or 'localhost:8080'}"
        body = (
            _header(window_text)
            + f'<p class="quiet">{text(window_words(window))}</p>'
            + (sections or _no_clusters())
            + ('<p class="quiet">Figures are rounded; the API has all six decimals.</p>' if sections else "")
            + _other_pages(window_text, number, pages)
            + _api_section(origin + costs_path, shown[0].id if shown else "ACCOUNT-ID", window, secret_file)
        )
        refresh = '<meta http-equiv="refresh" content="5">' if None in results else ""
        return html_response(page("Kubetally: what clusters cost", body, head=refresh))

    return index


@dataclass(frozen=True, slots=True)
class PageGuard:
    """Admits browsers that are signed in, and requests with the secret."""

    secret: Secret
    sign_in: SignIn
    proxies: TrustedProxies

    def admits(self, scope: HTTPScope) -> bool:
        """Whether the request may see costs. Its address makes no difference."""
        return self.sign_in.is_signed_in(scope) or self.secret.is_sent(scope)


class _ClusterCards:
    """Caches the cards of clusters, without rows.

    The rows of a page of large clusters do not fit into the cache of the service, which would read them for each page.
    """

    def __init__(self, service: CostService) -> None:
        self._service = service
        self._cards: AsyncCache[_Key, _CachedCard] = AsyncCache(
            lambda cached: cached.lifetime_seconds - cached.age_seconds, max_weight=_MAX_CARDS
        )

    async def get(self, account: AccountPlace, window: Window) -> "_CachedCard | KubetallyError":
        """The card of an account, cached or read now; the error if it can't be read."""
        try:
            key = account.id, await self._service.digest(account.id), window
            return await self._cards.get(key, lambda: self._read(account, window))
        except KubetallyError as error:
            return error
        except Exception as error:  # a defect of one cluster must not hide the others
            _log.error("defect", account=account.id, exc_info=error)
            return UnforeseenDefect()

    async def _read(self, account: AccountPlace, window: Window) -> "_CachedCard":
        answer = await self._service.costs(account.id, window)
        # Adding up tens of thousands of rows takes time that the event loop needs for other requests.
        card = await self._service.calculate(0, cluster_card, account, answer.costs)
        return _CachedCard(card, time.monotonic() - answer.age_seconds)


@dataclass(frozen=True, slots=True)
class _CachedCard:
    card: ClusterCard
    read_at: float

    @property
    def age_seconds(self) -> float:
        return time.monotonic() - self.read_at

    @property
    def lifetime_seconds(self) -> float:
        """The lifetime of an answer; less for a retryable card, but enough for a page of them to be read."""
        return _RETRYABLE_CARD_SECONDS if self.card.is_retryable else CACHE_LIFETIME.total_seconds()


async def _read_cards(
    cards: _ClusterCards, accounts: list[AccountPlace], window: Window
) -> "list[_CachedCard | KubetallyError | None]":
    """The card of each account, its error, or None after `_PAGE_TIMEOUT_SECONDS`."""
    tasks = [asyncio.create_task(cards.get(account, window)) for account in accounts]
    if tasks:
        try:
            await asyncio.wait(tasks, timeout=_PAGE_TIMEOUT_SECONDS)
        finally:
            for task in tasks:
                task.cancel()  # stops waiting; the read goes on, for the next page
    return [task.result() if task.done() and not task.cancelled() else None for task in tasks]


def _sections(accounts: Sequence[AccountPlace], results: "Sequence[_CachedCard | KubetallyError | None]") -> str:
    """The markup of all clusters; those that seem to be on the page twice have a note."""
    cards = [result.card for result in results if isinstance(result, _CachedCard)]
    notes = iter(find_duplicate_clusters([card.fingerprint for card in cards]))
    return "".join(
        section(account, result.card, result.age_seconds, next(notes))
        if isinstance(result, _CachedCard)
        else section(account, result)
        for account, result in zip(accounts, results, strict=True)
    )


def _header(window: str) -> str:
    return (
        "<h1>Kubetally: what clusters cost</h1>"
        '<form method="get" action="/"><label for="window">Window</label>'
        f'<input id="window" name="window" value="{text(window)}"><button>Show</button></form>'
    )


def _no_clusters() -> str:
    return (
        "<section><p>There are no clusters yet. Add one:</p>"
        "<pre>kubetally accounts add my-cluster --url http://localhost:9003</pre></section>"
    )


def _other_pages(window: str, number: int, pages: int) -> str:
    if pages == 1:
        return ""
    inputs = f'<input type="hidden" name="window" value="{text(window)}">'
    next_page = number % pages + 1
    return (
        f'<form method="get" action="/">{inputs}<span>Page {number} of {pages}</span>'
        f'<button name="page" value="{next_page}">Page {next_page}</button></form>'
    )


def _api_section(costs_url: str, account_id: str, window: Window, secret_file: str | None) -> str:
    """Links to the API, and a curl command that works on the machine of the service."""
    secret = "$KUBETALLY_SECRET" if secret_file is None else f"$(cat {shlex.quote(secret_file)})"
    url = f"{costs_url}?cloud_account_id={account_id}"
    url += f"&start_date={to_unix(window.start)}&end_date={to_unix(window.end)}&detail_level=namespace"
    return (
        '<section><h2>The API</h2><p><a href="/docs">Documentation</a>, '
        '<a href="/openapi.json">OpenAPI document</a>, <a href="/metrics">metrics of this service</a>.</p>'
        f'<pre>curl -H &quot;Secret: {text(secret)}&quot; \\\n  "{text(url)}"</pre></section>'
    )
