"""`/`: one page for a person, with what each cluster cost."""

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
from kubetally.web.metroculus.costs import COSTS
from kubetally.web.metroculus.routes import PREFIX
from kubetally.web.page.html import AnyRequest, html_response, page, text
from kubetally.web.page.section import ClusterCard, glance, section
from kubetally.web.proxies import TrustedProxies
from kubetally.web.secret import Secret
from kubetally.web.sign_in import SignIn

CLUSTERS_A_PAGE: Final = 20
_PAGE_TIMEOUT_SECONDS = 5.0
_TO_BE_MENDED_KEPT_SECONDS = 60.0
_GLANCES_KEPT = 2000
_Key = tuple[str, str, Window]
_PAGE = re.compile("[1-9][0-9]{0,5}")
_SIGN_IN_FIRST: Final = (
    "<h1>Kubetally</h1><p>Open the link that <code>kubetally serve</code> printed, or a new one that "
    "<code>kubetally link</code> prints on the machine of the service. "
    "Or give any user name, and the secret of the service as password.</p>"
)
_log = logs.get_logger(__name__)


class UnforeseenDefect(BalanceError):
    """One cluster could not be shown, for a reason that is in the log."""

    code = "unforeseen_defect"

    def __init__(self) -> None:
        super().__init__("it could not be shown because of an unexpected error; please report it with the log")


def overview(
    service: CostService,
    guard: "PageGuard",
    clock: Clock,
    default_window: str,
    secret_file: str | None = None,
) -> Any:
    """The handler. `default_window` is what the page shows before anyone chooses; of the secret only its file."""

    glances = _Glances(service)

    @get("/", include_in_schema=False)
    async def index(request: AnyRequest) -> Response[bytes]:
        if not guard.admits(request.scope):
            challenge = {"WWW-Authenticate": 'Basic realm="Kubetally", charset="UTF-8"'}
            return html_response(page("Kubetally", _SIGN_IN_FIRST), 401, challenge)
        asked = dict(parse_qsl(request.scope["query_string"].decode("latin-1")))
        words = asked.get("window", "").strip() or default_window
        try:
            window = parse_window(words, clock.now())
        except RequestError as error:
            body = f'{_header(words)}<p class="error" role="alert">{text(error)}</p>'
            return html_response(page("Kubetally", body), 400)
        accounts = await service.clusters()
        pages = max(1, -(-len(accounts) // CLUSTERS_A_PAGE))
        number = min(int(asked["page"]), pages) if _PAGE.fullmatch(asked.get("page", "")) else 1
        shown = accounts[(number - 1) * CLUSTERS_A_PAGE :][:CLUSTERS_A_PAGE]
        found = await _glances_of(glances, shown, window)
        sections = _sections(shown, found)
        scheme = "https" if guard.proxies.is_https(request.scope) else "http"
        origin = f"{scheme}://{request.headers.get('host') or 'localhost:8080'}"
        body = (
            _header(words)
            + f'<p class="quiet">{text(window_words(window))}</p>'
            + (sections or _nothing())
            + ('<p class="quiet">Figures are rounded; the API has all six decimals.</p>' if sections else "")
            + _other_pages(words, number, pages)
            + _how_to_ask(origin, shown[0].id if shown else "ACCOUNT-ID", window, secret_file)
        )
        again = '<meta http-equiv="refresh" content="5">' if None in found else ""
        return html_response(page("Kubetally: what clusters cost", body, head=again))

    return index


@dataclass(frozen=True, slots=True)
class PageGuard:
    """Who sees the page: a browser that a link signed in, and whoever sends the secret."""

    secret: Secret
    sign_in: SignIn
    proxies: TrustedProxies

    def admits(self, scope: HTTPScope) -> bool:
        """Whether the request may see costs. Where it comes from does not count."""
        return self.sign_in.is_signed_in(scope) or self.secret.admits_to_page(scope)


class _Glances:
    """What the page shows of clusters, kept without their rows: those of a page of large clusters are more than the
    service remembers, so that it would read them again and again.
    """

    def __init__(self, service: CostService) -> None:
        self._service = service
        self._kept: AsyncCache[_Key, _Kept] = AsyncCache(
            lambda kept: kept.keep_seconds - kept.age_seconds, max_weight=_GLANCES_KEPT
        )

    async def of(self, account: AccountPlace, window: Window) -> "_Kept | KubetallyError":
        """What is shown of the account, as it is or was read lately, or why there is nothing."""
        try:
            key = account.id, await self._service.digest(account.id), window
            return await self._kept.get(key, lambda: self._read(account, window))
        except KubetallyError as error:
            return error
        except Exception as error:  # a defect met by one cluster must not take the page of the others
            _log.error("defect", account=account.id, exc_info=error)
            return UnforeseenDefect()

    async def _read(self, account: AccountPlace, window: Window) -> "_Kept":
        """It goes on where nobody waits for it any more, so that the next page has it."""
        answer = await self._service.costs(account.id, window)
        # Adding up ten thousands of rows takes its time; the loop has others to serve meanwhile.
        shown = await self._service.calculate(0, glance, account, answer.costs)
        return _Kept(shown, time.monotonic() - answer.age_seconds)


@dataclass(frozen=True, slots=True)
class _Kept:
    shown: ClusterCard
    read_at: float

    @property
    def age_seconds(self) -> float:
        return time.monotonic() - self.read_at

    @property
    def keep_seconds(self) -> float:
        """As long as an answer; one that the service asks for again, so long that a page of such comes to an end."""
        return _TO_BE_MENDED_KEPT_SECONDS if self.shown.is_to_be_mended else CACHE_LIFETIME.total_seconds()


async def _glances_of(
    glances: _Glances, accounts: list[AccountPlace], window: Window
) -> "list[_Kept | KubetallyError | None]":
    """What each cost, why that is not known, or None where it takes longer than a person likes to wait."""
    tasks = [asyncio.create_task(glances.of(account, window)) for account in accounts]
    if tasks:
        try:
            await asyncio.wait(tasks, timeout=_PAGE_TIMEOUT_SECONDS)
        finally:
            for task in tasks:
                task.cancel()  # whoever waits; the reading itself goes on
    return [task.result() if task.done() and not task.cancelled() else None for task in tasks]


def _sections(accounts: Sequence[AccountPlace], found: "Sequence[_Kept | KubetallyError | None]") -> str:
    """All of them, with a note at each that seems to be of one cluster with another on the page."""
    notes = iter(find_duplicate_clusters([answer.shown.seen for answer in found if isinstance(answer, _Kept)]))
    return "".join(
        section(account, answer.shown, answer.age_seconds, next(notes))
        if isinstance(answer, _Kept)
        else section(account, answer)
        for account, answer in zip(accounts, found, strict=True)
    )


def _header(window: str) -> str:
    return (
        "<h1>Kubetally: what clusters cost</h1>"
        '<form method="get" action="/"><label for="window">Window</label>'
        f'<input id="window" name="window" value="{text(window)}"><button>Show</button></form>'
    )


def _nothing() -> str:
    return (
        "<section><p>There are no clusters yet. Add one:</p>"
        "<pre>kubetally accounts add my-cluster --url http://localhost:9003</pre></section>"
    )


def _other_pages(window: str, number: int, pages: int) -> str:
    if pages == 1:
        return ""
    inputs = f'<input type="hidden" name="window" value="{text(window)}">'
    following = number % pages + 1
    return (
        f'<form method="get" action="/">{inputs}<span>Page {number} of {pages}</span>'
        f'<button name="page" value="{following}">Page {following}</button></form>'
    )


def _how_to_ask(origin: str, account_id: str, window: Window, secret_file: str | None) -> str:
    """A command that works as it is pasted, on the machine of the service."""
    secret = "$KUBETALLY_SECRET" if secret_file is None else f"$(cat {shlex.quote(secret_file)})"
    url = f"{origin}{PREFIX}{COSTS}?cloud_account_id={account_id}"
    url += f"&start_date={to_unix(window.start)}&end_date={to_unix(window.end)}&detail_level=namespace"
    return (
        '<section><h2>The API</h2><p><a href="/docs">Documentation</a>, '
        '<a href="/openapi.json">OpenAPI document</a>, <a href="/metrics">metrics of this service</a>.</p>'
        f'<pre>curl -H &quot;Secret: {text(secret)}&quot; \\\n  "{text(url)}"</pre></section>'
    )
