"""A cluster's section of the page: its cost, missing data, and where the cost went."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from kubetally.domain.account import AccountPlace
from kubetally.domain.component import Component
from kubetally.domain.errors import KubetallyError
from kubetally.domain.report import ClusterReport
from kubetally.domain.status import Status
from kubetally.domain.window import Window
from kubetally.domain.words import component_word, period_words
from kubetally.ledger.accounts.duplicates import ClusterFingerprint
from kubetally.ledger.costs.service import ClusterUnreadable, is_retryable
from kubetally.present.text import (
    BALANCE,
    NOT_MEASURED,
    BalanceTable,
    Note,
    balance_table,
    causes_in_words,
    currency_words,
    efficiency_in_words,
    hours_of,
    money,
    notes_of,
    savings_in_words,
    status_words,
)
from kubetally.present.verification import verify
from kubetally.web.html import text

_MAX_NOTES: Final = 5
_MAX_WINDOWS: Final = 3


@dataclass(frozen=True, slots=True)
class ClusterCard:
    """What the page shows of an answer, without its rows. status: a class of the style sheet. words: of the status."""

    total: str
    status: str
    words: str
    markup: str
    fingerprint: ClusterFingerprint
    is_retryable: bool


CardResult = ClusterCard | KubetallyError | None
"""A card, the error in its place, or None while it is being read."""


def cluster_card(account: AccountPlace, costs: ClusterReport) -> ClusterCard:
    """The card of an answer, escaped."""
    named = replace(costs, source=replace(costs.source, account_name=account.name))
    return ClusterCard(
        total="" if costs.status is Status.NO_DATA else f"{money(costs.bill.total)} {text(currency_words(costs))}",
        status=costs.status.value,
        words=f"{status_words(costs)}, {hours_of(costs)} h",
        markup=_markup(costs),
        fingerprint=ClusterFingerprint.of(named),
        is_retryable=any(map(is_retryable, costs.issues)),
    )


def section(account: AccountPlace, result: CardResult, age_seconds: float = 0.0, note: str | None = None) -> str:
    """The markup of a cluster. age_seconds: since it was read. note: added to those of the card."""
    match result:
        case None:
            total, status, rest = "", ("reading", "still being read; this page reloads itself"), ""
        case ClusterCard(total, status_class, words, rest):
            status = status_class, words + _age(age_seconds)
            rest += _list([_item(Note(note, (), is_missing_data=False))] if note else [])
        case ClusterUnreadable(why=why):  # the heading names the account
            total, status, rest = "", ("error", str(why)), ""
        case error:
            total, status, rest = "", ("error", str(error)), ""
    return (
        f'<section><div class="head"><h2>{text(account.name)}</h2><span class="total">{total}</span></div>'
        f'<p class="status {status[0]}">{text(status[1])}</p>{rest}<p class="quiet"><code>{text(account.id)}</code></p>'
        "</section>"
    )


def _age(seconds: float) -> str:
    return f", read {seconds / 60:.0f} minutes ago" if seconds >= 60 else ""


def _markup(costs: ClusterReport) -> str:
    notes = notes_of(costs)
    missing = _list([_item(note) for note in notes if note.is_missing_data])
    remarks = [_item(note) for note in notes if not note.is_missing_data]
    if costs.status is Status.NO_DATA:
        return missing + _list(remarks)
    checked = verify(costs, 0)
    table = balance_table(checked)
    causes = [f"<li>{text(words)}</li>" for words in causes_in_words(checked, table.differences)]
    sentences = "".join(
        f"<p>{text(words)}</p>" for words in (efficiency_in_words(costs), savings_in_words(costs)) if words is not None
    )
    return missing + _table(costs, table) + _list(causes) + sentences + _list(remarks)


def _table(costs: ClusterReport, table: BalanceTable) -> str:
    """The balance, as the command line prints it."""
    rows = ""
    for component in Component:
        if component in costs.not_measured:
            rows += _row(component_word(component), (), instead=NOT_MEASURED)
        elif component in table.rows:
            rows += _row(component_word(component), table.rows[component])
    headings = "".join(f"<th>{name}</th>" for name in ("component", *BALANCE))
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{headings}</tr></thead><tbody>{rows}</tbody>'
        f"<tfoot>{_row('total', table.total)}</tfoot></table></div>"
    )


def _row(name: str, figures: Sequence[int], instead: str = "") -> str:
    cells = "".join(f"<td>{money(figure)}</td>" for figure in figures)
    words = f'<td class="instead" colspan="{len(BALANCE)}">{instead}</td>' if instead else ""
    return f"<tr><td>{name}</td>{cells}{words}</tr>"


def _item(note: Note) -> str:
    kind = "missing" if note.is_missing_data else "note"
    return f'<li class="{kind}"><b>{note.mark}:</b> {text(note.message)}{_when(note.windows)}</li>'


def _when(windows: Sequence[Window]) -> str:
    """Periods in UTC; many are folded."""
    if not windows:
        return ""
    periods = "; ".join(map(_period, windows))
    if len(windows) <= _MAX_WINDOWS:
        return f' <span class="when">({periods})</span>'
    span = _period(Window(windows[0].start, windows[-1].end))
    return f'<details class="when"><summary>{len(windows)} periods, {span}</summary>{periods}</details>'


def _period(window: Window) -> str:
    return f"<time>{text(period_words(window))}</time>"


def _list(items: Sequence[str]) -> str:
    """A list; items after the first few are folded."""
    if not items:
        return ""
    shown, folded = items[:_MAX_NOTES], items[_MAX_NOTES:]
    more = f"<details><summary>{len(folded)} more</summary><ul>{''.join(folded)}</ul></details>" if folded else ""
    return f'<ul class="notes">{"".join(shown)}</ul>{more}'
