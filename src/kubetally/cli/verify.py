"""`kubetally verify`: our total beside the source's own."""

from typing import Annotated

import typer

from kubetally.cli import exits
from kubetally.cli.answer_file import answer_to
from kubetally.cli.asking import ask, exit_of, print_json
from kubetally.cli.clusters import choose_clusters
from kubetally.cli.option_groups import with_option_groups
from kubetally.cli.options import (
    AnswerOptions,
    ClusterOptions,
    ScreenOrJson,
    ScreenOrJsonFormat,
    Strict,
    WindowOptions,
)
from kubetally.cli.start import start as start_up
from kubetally.domain.errors import RequestError
from kubetally.domain.report import ClusterReport

Tolerance = Annotated[str, typer.Option(metavar="SHARE", help="Largest difference of the totals: 5% or 0.05.")]


@with_option_groups
def verify(
    *,
    clusters: ClusterOptions,
    window: WindowOptions,
    tolerance: Tolerance = "5%",
    output: ScreenOrJsonFormat = ScreenOrJson.TABLE,
    strict: Strict = False,
    answer: AnswerOptions,
) -> None:
    """Compare our total with the source's own.

    Both totals are for the same window; the balance by component shows where they differ. The source's total is the sum
    of its allocations, idle included. Exits 1 if a cluster is past the tolerance or its source lacks samples or has no
    data, 3 if one could not be read.

    \b
    Example:
      kubetally verify --url http://localhost:9003 --window 7d --tolerance 5%
    """
    from kubetally.present.verdict import Verdict, is_verified, print_verdicts, verdict_body
    from kubetally.present.verification import verify as compare

    allowed = parse_tolerance(tolerance)
    settings = start_up(quiet=answer.quiet)
    span = window.read()
    choice = choose_clusters(clusters, settings, quiet=answer.quiet)
    with answer_to(answer.output_file):
        # What the source says of itself now, so without history.
        answers = ask(choice.clusters, span, settings, with_history=False, quiet=answer.quiet)
        verified = [(costs, compare(costs, allowed)) for costs in answers if isinstance(costs, ClusterReport)]
        if output is ScreenOrJson.JSON:
            print_json(
                answers, Verdict, lambda costs: verdict_body(costs, compare(costs, allowed)), is_one=choice.is_one
            )
        else:
            print_verdicts(verified, quiet=answer.quiet)
    code = exit_of(answers, strict=strict, each=True)
    are_verified = all(is_verified(costs, check) for costs, check in verified)
    raise typer.Exit(code if are_verified else exits.PAST_TOLERANCE)


def parse_tolerance(text: str) -> float:
    """A fraction from `5%` or `0.05`. Raises RequestError."""
    number, is_percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        value = float(number)
    except ValueError:
        raise _invalid_tolerance(text, "can't be read") from None
    fraction = value / 100 if is_percent else value
    # A bare 5 would be 500 %: nobody means that.
    if not 0 <= fraction <= 1:
        raise _invalid_tolerance(text, "is not from 0 % to 100 %")
    return fraction


def _invalid_tolerance(text: str, why: str) -> RequestError:
    return RequestError(f"the tolerance {text!r} {why}: write 5% or 0.05", code="invalid_tolerance")
