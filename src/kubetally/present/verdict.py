"""Our total compared with the source's own, as tables and as a body."""

from collections.abc import Collection, Sequence

from kubetally.domain.component import Component
from kubetally.domain.money import to_number
from kubetally.domain.report import ClusterReport
from kubetally.domain.status import Status
from kubetally.present.answer import Json, head_body
from kubetally.present.screen import console, say
from kubetally.present.tables import print_balance, print_heading, print_notes, print_rounding
from kubetally.present.text import hours_of, money
from kubetally.present.verification import ComponentCheck, Verification

_NO_DATA = "NOT VERIFIED: the source has no data for this window"
_NO_EVIDENCE = "NOT VERIFIED: the source lacks samples, {hours} h are covered; both totals may be wrong"


def print_verdicts(verified: Sequence[tuple[ClusterReport, Verification]], *, quiet: bool = False) -> None:
    """Print the balance and verdict of each cluster. quiet: without the note on rounding."""
    out = console()
    for costs, verification in verified:
        print_heading(out, costs)
        if lacks_data(costs):
            say(out, _NO_DATA, indent=2, style="bold")
        elif costs.status is not Status.NO_DATA:
            print_balance(out, costs)
            say(out, verdict(verification, costs.currency), indent=2, style="bold")
            if costs.lacks_evidence:
                say(out, _NO_EVIDENCE.format(hours=hours_of(costs)), indent=2, style="bold")
        print_notes(out, costs)
    if not quiet:
        print_rounding(out, [costs for costs, _ in verified], "--format json has")


def lacks_data(costs: ClusterReport) -> bool:
    """Whether the source has no data at all for hours that are over."""
    return costs.status is Status.NO_DATA and costs.coverage.hours_asked > 0


def is_verified(costs: ClusterReport, verification: Verification) -> bool:
    """Whether the totals are within the tolerance, and the source has the samples that they need."""
    return verification.is_within and not (costs.lacks_evidence or lacks_data(costs))


def verdict(verification: Verification, currency: str) -> str:
    """A sentence: whether the difference is within the tolerance, both totals, and the difference."""
    word = "Within" if verification.is_within else "PAST"
    management = (part for part in verification.components if part.component is Component.MANAGEMENT)
    fee = sum(part.bill for part in management if not part.source_shows)
    unshown = f"; ours has a management fee of {money(fee)}, which the source can't show" if fee else ""
    difference = verification.difference
    apart = "no percentage, as the source shows nothing" if difference is None else f"{difference * 100:+.4f} %"
    return (
        f"{word} the tolerance of {verification.tolerance * 100:g} %: ours {money(verification.ours)} {currency}, "
        f"the source shows {money(verification.source_shows)} {currency}: {apart}{unshown}"
    )


def verdict_body(costs: ClusterReport, verification: Verification) -> Json:
    """The body of a verification."""
    known, difference = costs.status is not Status.NO_DATA, verification.difference
    return {
        **head_body(costs),
        "total_cost": to_number(verification.ours) if known else None,
        "source_total_cost": to_number(verification.source_shows) if known else None,
        "difference": None if difference is None else round(difference, 6),
        "tolerance": verification.tolerance,
        "within_tolerance": verification.is_within if known else None,
        "coverage": {
            "hours_asked": round(costs.coverage.hours_asked, 6),
            "hours_covered": round(costs.coverage.hours_covered, 6),
        },
        "lacks_evidence": costs.lacks_evidence,
        "assets_complete": costs.assets_complete,
        "balance": [_component_body(part, costs.unknown) for part in verification.components] if known else [],
    }


def _component_body(part: ComponentCheck, unknown: Collection[Component]) -> Json:
    """A component's balance; null for each amount of one that nobody measured."""
    amounts = {
        "bill": part.bill,
        "workload": part.workload,
        "idle": part.idle,
        "unmounted": part.unmounted,
        "overhead": part.overhead,
        "difference": part.difference,
        "source_shows": part.source_shows,
    }
    is_unknown = part.component in unknown
    return {
        "component": part.component.value,
        **{name: None if is_unknown else to_number(micros) for name, micros in amounts.items()},
        "causes": [{"cause": cause.value, "cost": to_number(amount)} for cause, amount in part.causes],
    }
