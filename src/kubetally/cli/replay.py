"""`kubetally replay`: kept answers interpreted again."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubetally.cli import exits
from kubetally.cli.answer_file import warn
from kubetally.cli.options import ScreenOrJson, ScreenOrJsonFormat
from kubetally.cli.start import start as start_up
from kubetally.domain.money import to_decimal, to_number, to_shown
from kubetally.domain.window import rfc3339

if TYPE_CHECKING:
    from kubetally.domain.booking_comparison import Difference
    from kubetally.ledger.diagnose.replay import Replayed, UnreadableFile

_DIFFERENCES_SHOWN = 10  # of a day


def replay(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of KUBETALLY_KEEP_ANSWERS.")],
    output: ScreenOrJsonFormat = ScreenOrJson.TABLE,
) -> None:
    """Interpret kept answers again, and compare them with the stored days.

    Asks no source and changes no stored day. Exit 1 if a day differs, if a file or a stored day can't be read, or if no
    day could be compared.
    """
    from kubetally.ledger.diagnose.replay import FAILED, Outcome, Replayed
    from kubetally.wiring.replay import open_replay

    is_same, bodies, counts = True, list[dict[str, Any]](), Counter[str]()
    compared = 0
    with open_replay(start_up(), folder) as replayed:
        for result in replayed.files:
            is_same = is_same and isinstance(result, Replayed) and result.outcome not in FAILED
            compared += isinstance(result, Replayed) and result.outcome in {Outcome.SAME, Outcome.DIFFERENT}
            if output is ScreenOrJson.JSON:
                bodies.append(_body(result) if isinstance(result, Replayed) else _body_of_damaged(result))
            elif not isinstance(result, Replayed):
                typer.echo(str(result.why))
            elif result.outcome in _COUNTED:
                counts[result.outcome] += 1
            else:
                typer.echo("\n".join(_lines(result, replayed.account_names)))
    if output is ScreenOrJson.JSON:
        typer.echo(json.dumps(bodies, indent=2))
    for outcome, words in _COUNTED.items():
        if counts[outcome]:
            typer.echo(words(counts[outcome]))
    if is_same and not compared:
        warn("no day was compared: no file has the answer that a stored day of this database was made of")
    if not (is_same and compared):
        raise typer.Exit(exits.DIFFERENT)


def _counted(count: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


_COUNTED: Mapping[str, Callable[[int], str]] = {
    "no_data": lambda count: f"{_counted(count, 'file')} without data",
    "other_answer": lambda count: f"{_counted(count, 'file')} not compared: another answer was stored",
}
"""Outcomes that are counted at the end, in place of a line for each file."""


def _lines(result: "Replayed", account_names: Mapping[str, str]) -> Iterator[str]:
    from kubetally.domain.words import period_words
    from kubetally.ledger.diagnose.replay import Outcome
    from kubetally.present.grid import printable

    account = result.answer.account
    name = (
        result.answer.url if account is None else account_names.get(account, f"account {account} (of another database)")
    )
    start = f"{period_words(result.answer.window)}  {printable(name)}"
    if result.booking is not None:
        start += f"  {to_shown(result.booking.bill.total)} {result.booking.currency}"
    differences, elsewhere = result.comparison.differences, result.comparison.elsewhere
    match result.outcome:
        case Outcome.UNREADABLE:
            yield f"{start}  can't be read: {result.why}"
        case Outcome.DAMAGED:
            yield f"{start}  stored day can't be read: {result.why}"
        case Outcome.NOT_STORED:
            yield f"{start}  not stored"
        case Outcome.COLLECTED_LATER:
            yield f"{start}  not compared: the stored day was made of another answer"
        case Outcome.DIFFERENT:
            yield f"{start}  differs from the stored day:"
        case _:
            yield f"{start}  same as stored"
    for difference in differences[:_DIFFERENCES_SHOWN]:
        yield f"    {printable(_words(difference))}"
    if len(differences) > _DIFFERENCES_SHOWN:
        yield f"    and {len(differences) - _DIFFERENCES_SHOWN} more (--format json has all)"
    if elsewhere:
        names = ", ".join(dict.fromkeys(_subject(difference) for difference in elsewhere[:_DIFFERENCES_SHOWN]))
        yield f"    (not compared, because answers they depend on were not kept: {printable(names)})"


def _subject(difference: "Difference") -> str:
    """`component management`."""
    subject = difference.figure.removesuffix("_cost").replace("_", " ")
    return f"{subject} {difference.name}" if difference.name else subject


def _words(difference: "Difference") -> str:
    """`namespace shop: 12.50, stored 12.40`."""
    from kubetally.domain.booking_comparison import COST_FIGURES, Figure

    name, was, now = difference.name or "", difference.stored, difference.replayed
    if difference.figure is Figure.ISSUE:
        issue = name.replace("_", " ")
        return f"issue {issue}: not in the stored day" if was is None else f"issue {issue}: only in the stored day"
    if difference.figure in COST_FIGURES:
        subject = f"{difference.figure.removesuffix('_cost')} {name}"
        if difference.component is not None:
            subject += f", {difference.component}"
        return f"{subject}: {_amounts(now, was)}"
    if difference.figure is Figure.ROW_FIELD:
        return f"{name}: {now}, stored {was}"
    subject = difference.figure.replace("_", " ")
    return f"{f'{subject} of {name}' if name else subject}: {_plain(now)}, stored {_plain(was)}"


def _amounts(now: Any, was: Any) -> str:
    """Two decimals where they show the difference, else all six."""
    shown = [None if micros is None else to_shown(micros) for micros in (now, was)]
    if shown[0] == shown[1]:
        shown = [f"{to_decimal(micros):,.6f}" for micros in (now, was)]
    return f"{shown[0] or 'none'}, stored {shown[1] or 'none'}"


def _plain(figure: Any) -> str:
    return "unknown" if figure is None else f"{figure:.10g}" if isinstance(figure, float) else str(figure)


def _body(result: "Replayed") -> dict[str, Any]:
    body = {
        "file": result.answer.file,
        "account": result.answer.account,
        "start": rfc3339(result.answer.window.start),
        "end": rfc3339(result.answer.window.end),
        "received_at": rfc3339(result.answer.received_at),
        "outcome": result.outcome,
        "currency": result.booking and result.booking.currency,
        "total_cost": result.booking and to_number(result.booking.bill.total),
        "differences": list(map(_difference_body, result.comparison.differences)),
        "differences_of_other_answers": list(map(_difference_body, result.comparison.elsewhere)),
    }
    return body if result.why is None else {**body, "code": result.why.code, "error": str(result.why)}


def _difference_body(difference: "Difference") -> dict[str, Any]:
    from kubetally.domain.booking_comparison import COST_FIGURES

    figures: list[Any] = [difference.replayed, difference.stored]
    if difference.figure in COST_FIGURES:
        figures = [None if micros is None else to_number(micros) for micros in figures]
    return {
        "figure": difference.figure,
        "name": difference.name,
        "component": difference.component,
        "replayed": figures[0],
        "stored": figures[1],
    }


def _body_of_damaged(result: "UnreadableFile") -> dict[str, Any]:
    return {"file": result.file, "outcome": "unreadable", "code": result.why.code, "error": str(result.why)}
