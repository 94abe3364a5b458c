"""`kubetally replay`: kept answers interpreted again."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubetally.cli import exits
from kubetally.cli.options import ScreenOrJson, ScreenOrJsonFormat
from kubetally.cli.start import start as start_up
from kubetally.domain.money import to_decimal, to_number, to_shown
from kubetally.domain.window import rfc3339

if TYPE_CHECKING:
    from kubetally.domain.booking_comparison import Difference
    from kubetally.ledger.diagnose.replay import Replayed
    from kubetally.wiring.replay import DamagedFile

_DIFFERENCES_SHOWN = 10  # of a day


def replay(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of KUBETALLY_KEEP_ANSWERS.")],
    output: ScreenOrJsonFormat = ScreenOrJson.TABLE,
) -> None:
    """Interpret kept answers again, and compare them with the stored days.

    Nothing is asked and nothing is written. Exit 1 if a day differs, or a file or a stored day can't be read.
    """
    from kubetally.ledger.diagnose.replay import FAILED, Replayed
    from kubetally.wiring.replay import open_replay

    is_same, bodies, counts = True, list[dict[str, Any]](), Counter[str]()
    with open_replay(start_up(), folder) as replayed:
        for one in replayed.files:
            is_same = is_same and isinstance(one, Replayed) and one.outcome not in FAILED
            if output is ScreenOrJson.JSON:
                bodies.append(_body(one) if isinstance(one, Replayed) else _body_of_damaged(one))
            elif not isinstance(one, Replayed):
                typer.echo(str(one.why))
            elif one.outcome in _COUNTED:
                counts[one.outcome] += 1
            else:
                typer.echo("\n".join(_lines(one, replayed.account_names)))
    if output is ScreenOrJson.JSON:
        typer.echo(json.dumps(bodies, indent=2))
    for outcome, words in _COUNTED.items():
        if counts[outcome]:
            typer.echo(words(counts[outcome]))
    if not is_same:
        raise typer.Exit(exits.DIFFERENT)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


_COUNTED: Mapping[str, Callable[[int], str]] = {
    "no_data": lambda count: f"{_files(count)} without data",
    "other_answer": lambda count: f"{_files(count)} not compared: another file has the answer that was stored",
}
"""Outcomes that are counted at the end, in place of a line for each file."""


def _lines(one: "Replayed", account_names: Mapping[str, str]) -> Iterator[str]:
    from kubetally.cli.grid import printable
    from kubetally.domain.words import window_words
    from kubetally.ledger.diagnose.replay import Outcome

    account = one.answer.account
    name = one.answer.url if account is None else account_names.get(account, f"account {account} (of another database)")
    start = f"{window_words(one.answer.window)}  {printable(name)}"
    if one.booking is not None:
        start += f"  {to_shown(one.booking.bill.total)} {one.booking.currency}"
    differences, elsewhere = one.comparison.differences, one.comparison.elsewhere
    match one.outcome:
        case Outcome.UNREADABLE:
            yield f"{start}  can't be read: {one.why}"
        case Outcome.DAMAGED:
            yield f"{start}  stored day can't be read: {one.why}"
        case Outcome.NOT_STORED:
            yield f"{start}  not stored"
        case Outcome.COLLECTED_LATER:
            yield f"{start}  not compared: the stored day was collected after this answer"
        case Outcome.DIFFERENT:
            yield f"{start}  differs from the stored day:"
        case _:
            yield f"{start}  same as stored"
    for difference in differences[:_DIFFERENCES_SHOWN]:
        yield f"    {printable(_words(difference))}"
    if len(differences) > _DIFFERENCES_SHOWN:
        yield f"    and {len(differences) - _DIFFERENCES_SHOWN} more (--format json has all)"
    if elsewhere:
        count = "1 figure" if len(elsewhere) == 1 else f"{len(elsewhere)} figures"
        yield f"    ({count} of the stored day also came from answers that are not kept, and differ)"


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


def _body(one: "Replayed") -> dict[str, Any]:
    body = {
        "file": one.answer.file,
        "account": one.answer.account,
        "start": rfc3339(one.answer.window.start),
        "end": rfc3339(one.answer.window.end),
        "received_at": rfc3339(one.answer.received_at),
        "outcome": one.outcome,
        "currency": one.booking and one.booking.currency,
        "total_cost": one.booking and to_number(one.booking.bill.total),
        "differences": list(map(_difference_body, one.comparison.differences)),
        "differences_of_other_answers": list(map(_difference_body, one.comparison.elsewhere)),
    }
    return body if one.why is None else {**body, "code": one.why.code, "error": str(one.why)}


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


def _body_of_damaged(one: "DamagedFile") -> dict[str, Any]:
    return {"file": one.file, "outcome": "unreadable", "code": one.why.code, "error": str(one.why)}
