"""`kubetally verify`: our total beside the source's own."""

from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.cli import exits
from kubetally.cli.answer_file import answer_to
from kubetally.cli.asking import Said, ask, exit_of, named, print_json
from kubetally.cli.options import (
    AccountNames,
    ClusterId,
    Contexts,
    Currency,
    End,
    OutputFile,
    PrometheusUrl,
    Quiet,
    ScreenOrJson,
    ScreenOrJsonFormat,
    Start,
    Strict,
    Tenant,
    Urls,
    WindowText,
    window_of,
)
from kubetally.cli.start import start as start_up
from kubetally.domain.cluster_costs import ClusterCosts, Status
from kubetally.domain.component import Component
from kubetally.domain.errors import RequestError
from kubetally.domain.money import to_number

if TYPE_CHECKING:
    from kubetally.domain.fleet import Failed
    from kubetally.present.verification import Verification


def verify(
    accounts: AccountNames = None,
    url: Urls = None,
    context: Contexts = None,
    cluster_id: ClusterId = None,
    currency: Currency = None,
    prometheus_url: PrometheusUrl = None,
    tenant: Tenant = None,
    window: WindowText = None,
    start: Start = None,
    end: End = None,
    tolerance: Annotated[
        str, typer.Option(metavar="SHARE", help="Largest difference of the totals: 5% or 0.05.")
    ] = "5%",
    output: ScreenOrJsonFormat = ScreenOrJson.TABLE,
    output_file: OutputFile = None,
    strict: Strict = False,
    quiet: Quiet = False,
) -> None:
    """Compare our total with the source's own.

    Both are for the same window; the balance per component shows where they part. The source's own is what its
    allocations come to, idle with them. Exits 1 when a cluster is past the tolerance or its source lacks samples,
    3 when one could not be read.

    \b
    Example:
      kubetally verify --url http://localhost:9003 --window 7d --tolerance 5%
    """
    from kubetally.present.verification import verify as compare

    allowed = parse_tolerance(tolerance)
    settings = start_up(quiet=quiet)
    span = window_of(window, start, end)
    said = Said(cluster_id, currency, prometheus_url, tenant)
    meant = named(accounts, url, context, said, settings, quiet=quiet)
    with answer_to(output_file):
        # What the source says of itself now, so without history.
        answers = ask(meant.clusters, span, settings, with_history=False, quiet=quiet)
        if output is ScreenOrJson.JSON:
            print_json(answers, lambda costs: _body(costs, compare(costs, allowed)), is_one=meant.is_one)
        else:
            read = [costs for costs in answers if isinstance(costs, ClusterCosts)]
            _print([(costs, compare(costs, allowed)) for costs in read], quiet=quiet)
    code = exit_of(answers, strict=strict, each=True)
    raise typer.Exit(exits.PAST_TOLERANCE if _any_unverified(answers, allowed) else code)


_NO_EVIDENCE = "NOT VERIFIED: the source lacks samples, {hours} h are covered; both totals may be wrong alike"


def parse_tolerance(text: str) -> float:
    """A fraction from `5%` or `0.05`. Raises RequestError."""
    number, is_percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        value = float(number)
    except ValueError:
        raise _invalid_tolerance(text) from None
    fraction = value / 100 if is_percent else value
    # A bare 5 would be 500 %: nobody means that.
    if not 0 <= fraction <= 1:
        raise _invalid_tolerance(text)
    return fraction


def _any_unverified(answers: "list[ClusterCosts | Failed]", allowed: float) -> bool:
    """Whether any cluster with data differs by more than what is allowed, or was answered without samples."""
    from kubetally.present.verification import verify as compare

    read = [costs for costs in answers if isinstance(costs, ClusterCosts) and costs.status is not Status.NO_DATA]
    return any(costs.lacks_evidence or not compare(costs, allowed).is_within for costs in read)


def _print(checked: "list[tuple[ClusterCosts, Verification]]", *, quiet: bool) -> None:
    from kubetally.present.screen import console, say
    from kubetally.present.tables import print_balance, print_heading, print_notes, print_rounding
    from kubetally.present.text import hours_of

    out = console()
    for costs, check in checked:
        print_heading(out, costs)
        if costs.status is not Status.NO_DATA:
            print_balance(out, costs)
            say(out, verdict(check, costs.currency), indent=2, style="bold")
            if costs.lacks_evidence:
                say(out, _NO_EVIDENCE.format(hours=hours_of(costs)), indent=2, style="bold")
        print_notes(out, costs)
    if not quiet:
        print_rounding(out, [costs for costs, _ in checked], "--format json has")


def verdict(check: "Verification", currency: str) -> str:
    """One sentence: whether it is within the tolerance, both totals, and how far they are apart."""
    from kubetally.present.text import money

    word = "Within" if check.is_within else "PAST"
    components = (part for part in check.components if part.component is Component.MANAGEMENT)
    fee = sum(part.bill for part in components if not part.source_shows)
    unshown = f"; ours has a management fee of {money(fee)}, which the source can't show" if fee else ""
    apart = "no percentage of nothing" if check.difference is None else f"{check.difference * 100:+.4f} %"
    return (
        f"{word} the tolerance of {check.tolerance * 100:g} %: ours {money(check.ours)} {currency}, "
        f"the source shows {money(check.source_shows)} {currency}: {apart}{unshown}"
    )


def _body(costs: ClusterCosts, check: "Verification") -> dict[str, object]:
    from kubetally.present.answer import head_body

    known = costs.status is not Status.NO_DATA
    return {
        **head_body(costs),
        "total_cost": to_number(check.ours) if known else None,
        "source_total_cost": to_number(check.source_shows) if known else None,
        "difference": None if check.difference is None else round(check.difference, 6),
        "tolerance": check.tolerance,
        "within_tolerance": check.is_within if known else None,
        "coverage": {"hours_asked": round(costs.hours_asked, 6), "hours_covered": round(costs.hours_covered, 6)},
        "lacks_evidence": costs.lacks_evidence,
        "assets_complete": costs.assets_complete,
        "balance": [
            {
                "component": row.component.value,
                "bill": to_number(row.bill),
                "workload": to_number(row.workload),
                "idle": to_number(row.idle),
                "unmounted": to_number(row.unmounted),
                "overhead": to_number(row.overhead),
                "difference": to_number(row.difference),
                "source_shows": to_number(row.source_shows),
                "causes": [{"cause": cause.value, "cost": to_number(amount)} for cause, amount in row.causes],
            }
            for row in check.components
            if known
        ],
    }


def _invalid_tolerance(text: str) -> RequestError:
    return RequestError(f"the tolerance {text!r} can't be read: write 5% or 0.05", code="invalid_tolerance")
