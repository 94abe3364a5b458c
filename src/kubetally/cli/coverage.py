"""`kubetally coverage`: which days are held, and how sure they are."""

import json
from typing import Annotated

import typer

from kubetally.cli.answer_file import answer_to, warn
from kubetally.cli.options import (
    End,
    OutputFile,
    Quiet,
    ScreenOrJson,
    ScreenOrJsonFormat,
    Start,
    window_of,
    window_option,
)
from kubetally.cli.start import start as start_up

DEFAULT_WINDOW = "90d"
Names = Annotated[list[str] | None, typer.Argument(metavar="ACCOUNT", help="Names or ids; without any, all.")]
ShownWindow = Annotated[str | None, window_option(f"{DEFAULT_WINDOW}, the last 90 days, in UTC.")]


def coverage(
    accounts: Names = None,
    window: ShownWindow = None,
    start: Start = None,
    end: End = None,
    output: ScreenOrJsonFormat = ScreenOrJson.TABLE,
    output_file: OutputFile = None,
    quiet: Quiet = False,
) -> None:
    """Show which days are held, as a calendar.

    \b
    Examples:
      kubetally coverage
      kubetally coverage prod --window lastmonth
    """
    from kubetally.ledger.accounts.coverage import find_coverage
    from kubetally.present.coverage import coverage_bodies, print_coverage
    from kubetally.wiring.ledger import open_ledger
    from kubetally.wiring.storage import check_storage

    settings = start_up(quiet=quiet)
    span = window_of(window if window or start or end else DEFAULT_WINDOW, start, end)
    is_json = output is ScreenOrJson.JSON
    with answer_to(output_file):
        with open_ledger(settings) as ledger:
            covered = find_coverage(ledger, accounts or (), span, with_details=is_json)
        if is_json:
            print(json.dumps(coverage_bodies(covered, span), indent=2, allow_nan=False))
        else:
            print_coverage(covered, span)
    for problem in check_storage(settings).problems:
        warn(str(problem))
