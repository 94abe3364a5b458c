"""`/`: one page for a person, with what each cluster cost."""

import asyncio
import re
from typing import Any, Final
from urllib.parse import parse_qsl

import structlog
from litestar import get
from litestar.response import Response

from kubetally.domain.account import Account
from kubetally.domain.allocation import Kind
from kubetally.domain.cluster_costs import ClusterCosts, Status
from kubetally.domain.component import Component
from kubetally.domain.errors import BalanceError, HubError, RequestError
from kubetally.domain.money import to_shown
from kubetally.domain.row import CAUSE_IN_WORDS
from kubetally.domain.window import Clock, Window, parse_window, rfc3339, to_unix
from kubetally.ledger.service import CachedAnswer, CostService
from kubetally.web.html import AnyRequest, html_response, page, text
from kubetally.web.metroculus import COSTS, PREFIX
from kubetally.web.secret import Secret

CLUSTERS_A_PAGE: Final = 20
_PATIENCE_SECONDS = 5.0
_LEAST_SHOWN = 5_000  # micros
_PAGE = re.compile("[1-9][0-9]{0,5}")
_log = structlog.get_logger(__name__)
_IN_WORDS = {
    Status.OK: "complete",
    Status.PARTIAL: "partial: data are missing",
    Status.NO_DATA: "no data in this window",
}
_Found = CachedAnswer | HubError | None


class UnforeseenDefect(BalanceError):
    """One cluster could not be shown, for a reason that is in the log."""

    code = "unforeseen_defect"

    def __init__(self) -> None:
        super().__init__("it could not be shown for a reason that was not foreseen: please report it with the log")


def overview(service: CostService, secret: Secret, clock: Clock, default_window: str) -> Any:
    """The handler. `default_window` is what the page shows before anyone chooses."""

    @get("/", include_in_schema=False)
    async def index(request: AnyRequest) -> Response[bytes]:
        if not secret.admits_to_page(request.scope):
            body = "<h1>Kubetally</h1><p>Give any user name, and the secret of this service as password.</p>"
            challenge = {"WWW-Authenticate": 'Basic realm="Kubetally", charset="UTF-8"'}
            return html_response(page("Kubetally", body), 401, challenge)
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
        found = await _costs_of(service, shown, window)
        # Adding up ten thousands of rows takes its time; the loop has others to serve meanwhile.
        sections = await asyncio.to_thread(lambda: "".join(map(_section, shown, found)))
        origin = f"{request.scope['scheme']}://{request.headers.get('host') or 'localhost:8080'}"
        body = (
            _header(words)
            + f'<p class="quiet">{text(rfc3339(window.start))} to {text(rfc3339(window.end))}</p>'
            + (sections or _nothing())
            + ('<p class="quiet">Figures are rounded; the API has all six decimals.</p>' if sections else "")
            + _other_pages(words, number, pages)
            + _how_to_ask(origin, shown[0].id if shown else "ACCOUNT-ID", window)
        )
        again = '<meta http-equiv="refresh" content="5">' if None in found else ""
        return html_response(page("Kubetally: what clusters cost", body, head=again))

    return index


async def _costs_of(service: CostService, accounts: list[Account], window: Window) -> list[_Found]:
    """What each cost, why that is not known, or None where its source takes longer than a person likes to wait."""

    async def one(account: Account) -> CachedAnswer | HubError:
        try:
            return await service.costs(account.id, window)
        except HubError as error:
            return error
        except Exception as error:  # a defect met by one cluster must not take the page of the others
            _log.error("defect", account=account.id, exc_info=error)
            return UnforeseenDefect()

    tasks = [asyncio.create_task(one(account)) for account in accounts]
    if tasks:
        try:
            await asyncio.wait(tasks, timeout=_PATIENCE_SECONDS)
        finally:
            for task in tasks:
                task.cancel()  # whoever waits; the question itself goes on, so that the next page has its answer
    return [task.result() if task.done() and not task.cancelled() else None for task in tasks]


def _section(account: Account, found: _Found) -> str:
    match found:
        case None:
            total, status, rest = "", ("reading", "its source is still being read; this page loads again"), ""
        case CachedAnswer(costs=costs):
            status = costs.status.value, _IN_WORDS[costs.status]
            total = "" if costs.status is Status.NO_DATA else f"{to_shown(costs.bill.total)} {text(costs.currency)}"
            rest = _about(found) + ("" if costs.status is Status.NO_DATA else _balance(costs))
        case error:
            total, status, rest = "", ("error", str(error)), ""
    return (
        f'<section><div class="head"><h2>{text(account.name)}</h2><span class="total">{total}</span></div>'
        f'<p class="status {status[0]}">{text(status[1])}</p>{rest}<p class="quiet"><code>{text(account.id)}</code></p>'
        "</section>"
    )


def _about(answer: CachedAnswer) -> str:
    costs = answer.costs
    cpu, ram, total = (("none requested" if ratio is None else f"{ratio:.0%}") for ratio in costs.efficiency)
    held = "balanced against assets" if costs.audited else "not held against assets"
    missing = "".join(f"<li>{text(issue.message)}</li>" for issue in costs.issues if issue.is_missing_data)
    age = f", read {answer.age_seconds / 60:.0f} minutes ago" if answer.age_seconds >= 60 else ""
    return (
        f"<p>Of the requests were used: {total} (CPU {cpu}, memory {ram}). Covered: {costs.hours_covered:g} of "
        f"{costs.hours_asked:g} hours, {held}{age}.</p>" + (f"<ul>{missing}</ul>" if missing else "")
    )


def _balance(costs: ClusterCosts) -> str:
    sheets, unknown = costs.balance(), costs.not_measured
    rows, sums = "", [0] * 6
    for component in Component:
        sheet = sheets[component]
        sums = [a + b for a, b in zip(sums, sheet, strict=True)]
        if component in unknown or not any(sheet):
            continue
        cells = "".join(f"<td>{to_shown(amount)}</td>" for amount in sheet)
        rows += f"<tr><td>{_name(component)}</td>{cells}</tr>"
    not_measured = ", ".join(sorted(map(_name, unknown)))
    note = f'<p class="quiet">Not measured: {not_measured}.</p>' if unknown else ""
    columns = "".join(
        f"<th>{name}</th>" for name in ("bill", "workload", "idle", "unmounted", "overhead", "unexplained")
    )
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr><th>component</th>{columns}</tr></thead>'
        f"<tbody>{rows}</tbody>"
        f"<tfoot><tr><td>total</td>{''.join(f'<td>{to_shown(amount)}</td>' for amount in sums)}</tr></tfoot>"
        f"</table></div>{note}{_causes(costs)}"
    )


def _causes(costs: ClusterCosts) -> str:
    """Why bill and use part, where that is known and shows in two decimals."""
    (line,) = (line for line in costs.lines() if line.kind is Kind.UNEXPLAINED)
    told = "".join(
        f"<li>unexplained {_name(component)} {to_shown(amount)}: {text(CAUSE_IN_WORDS[cause])}</li>"
        for cause, amounts in line.causes
        for component in Component
        if abs(amount := amounts.of(component)) >= _LEAST_SHOWN
    )
    return f"<ul>{told}</ul>" if told else ""


def _name(component: Component) -> str:
    return text(component.value.replace("_", " "))


def _header(window: str) -> str:
    return (
        "<h1>Kubetally: what clusters cost</h1>"
        '<form method="get" action="/"><label for="window">Window</label>'
        f'<input id="window" name="window" value="{text(window)}"><button>Show</button></form>'
    )


def _nothing() -> str:
    return (
        "<section><p>No cluster is remembered yet. Add one:</p>"
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


def _how_to_ask(origin: str, account_id: str, window: Window) -> str:
    url = f"{origin}{PREFIX}{COSTS}?cloud_account_id={account_id}"
    url += f"&start_date={to_unix(window.start)}&end_date={to_unix(window.end)}&detail_level=namespace"
    return (
        '<section><h2>The API</h2><p><a href="/docs">Documentation</a>, '
        '<a href="/openapi.json">OpenAPI document</a>, <a href="/metrics">figures of this service</a>.</p>'
        f'<pre>curl -H "Secret: $KUBETALLY_SECRET" \\\n  "{text(url)}"</pre></section>'
    )
