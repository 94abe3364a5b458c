"""`kubetally coverage`: which days are stored, and how sure they are."""

import json
from dataclasses import dataclass
from typing import Annotated, ClassVar

from kubetally.cli.answer_file import answer_to, warn
from kubetally.cli.option_groups import with_option_groups
from kubetally.cli.options import (
    AnswerOptions,
    OnlyAccountNames,
    ScreenOrJson,
    ScreenOrJsonFormat,
    WindowOptions,
    window_option,
)
from kubetally.cli.start import start as start_up


@dataclass(frozen=True)
class ShownWindow(WindowOptions):
    """The window of the calendar."""

    default: ClassVar[str] = "90d"

    window: Annotated[str | None, window_option("90d, the last 90 days, in UTC.")] = None


@with_option_groups
def coverage(
    *,
    accounts: OnlyAccountNames = None,
    window: ShownWindow,
    output: ScreenOrJsonFormat = ScreenOrJson.TABLE,
    answer: AnswerOptions,
) -> None:
    """Show which days are stored, as a calendar.

    \b
    Examples:
      kubetally coverage
      kubetally coverage prod --window lastmonth
    """
    from kubetally.ledger.accounts.coverage import find_coverage
    from kubetally.present.coverage import coverage_bodies, print_coverage
    from kubetally.wiring.diagnosis import check_storage
    from kubetally.wiring.ledger import open_ledger

    settings = start_up(quiet=answer.quiet)
    span = window.read()
    is_json = output is ScreenOrJson.JSON
    with answer_to(answer.output_file):
        with open_ledger(settings) as ledger:
            covered = find_coverage(ledger, accounts or (), span, with_details=is_json)
        if is_json:
            print(json.dumps(coverage_bodies(covered, span), indent=2, allow_nan=False))
        else:
            print_coverage(covered, span)
    for problem in check_storage(settings).problems:
        warn(str(problem))
