"""`kubetally replay`: kept answers interpreted again."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubetally.cli import exits
from kubetally.cli.options import ScreenOrJson, ScreenOrJsonFormat
from kubetally.cli.start import start as start_up
from kubetally.domain.money import to_number
from kubetally.domain.window import rfc3339

if TYPE_CHECKING:
    from kubetally.wiring.replay import NotReplayed, ReplayedDay


def replay(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of KUBETALLY_KEEP_ANSWERS.")],
    output: ScreenOrJsonFormat = ScreenOrJson.TABLE,
) -> None:
    """Interpret kept answers again, and compare them with the stored days.

    Nothing is asked and nothing is written. Exit 1 if a file can't be read or a day differs.
    """
    from kubetally.wiring.replay import NotReplayed
    from kubetally.wiring.replay import replay as read

    is_same, found = True, []
    for day in read(start_up(), folder):
        is_same = is_same and not isinstance(day, NotReplayed) and not day.differences
        if output is ScreenOrJson.JSON:
            found.append(_failed_body(day) if isinstance(day, NotReplayed) else _body(day))
        else:
            typer.echo(f"{day.file}: {day.why}" if isinstance(day, NotReplayed) else _in_words(day))
    if output is ScreenOrJson.JSON:
        typer.echo(json.dumps(found, indent=2))
    if not is_same:
        raise typer.Exit(exits.DIFFERENT)


def _in_words(day: "ReplayedDay") -> str:
    from kubetally.cli.grid import printable
    from kubetally.ledger.words import component_word, money, window_words

    account = printable(day.account) if day.account else "no account"
    total = f"{money(day.booking.bill.total)} {day.booking.currency}"
    if day.stored is None:
        compared = "not stored"
    elif day.differences:
        parts = (
            f"{component_word(one)} {money(now)}, stored {money(stored)}"
            for one, (now, stored) in day.differences.items()
        )
        compared = f"differs: {'; '.join(parts)}"
    else:
        compared = "as stored"
    return f"{window_words(day.window)}  {account}  {total}  {compared}"


def _body(day: "ReplayedDay") -> dict[str, Any]:
    return {
        "file": day.file,
        "account": day.account,
        "start": rfc3339(day.window.start),
        "end": rfc3339(day.window.end),
        "currency": day.booking.currency,
        "total_cost": to_number(day.booking.bill.total),
        "is_stored": day.stored is not None,
        "differences": {
            f"{one}_cost": {"replayed": to_number(now), "stored": to_number(stored)}
            for one, (now, stored) in day.differences.items()
        },
    }


def _failed_body(day: "NotReplayed") -> dict[str, Any]:
    return {"file": day.file, "code": day.why.code, "error": str(day.why)}
