"""Our total compared with the source's own, as tables and as a body."""

from collections.abc import Collection, Sequence

from msgspec import Struct, to_builtins

from kubetally.domain.component import Component
from kubetally.domain.money import to_number
from kubetally.domain.report import ClusterReport
from kubetally.domain.status import Status
from kubetally.present.answer import Head, Json
from kubetally.present.screen import console, say
from kubetally.present.tables import print_balance, print_heading, print_notes, print_rounding
from kubetally.present.text import hours_of, money
from kubetally.present.verification import ComponentCheck, Verification

_NO_DATA = "NOT VERIFIED: the source has no data for this window"
_NO_EVIDENCE = "NOT VERIFIED: the source lacks samples, {hours} h are covered; both totals may be wrong"


class _Cause(Struct, forbid_unknown_fields=True):
    cause: str
    cost: float


class _Component(Struct, forbid_unknown_fields=True, kw_only=True):
    """A component's balance; null for each amount of one that nobody measured."""

    component: str
    bill: float | None
    workload: float | None
    idle: float | None
    unmounted: float | None
    overhead: float | None
    difference: float | None
    source_shows: float | None
    causes: list[_Cause]


class _Hours(Struct, forbid_unknown_fields=True):
    hours_asked: float
    hours_covered: float


class Verdict(Head, forbid_unknown_fields=True, kw_only=True):
    """The body of a verification. Null without data."""

    total_cost: float | None
    source_total_cost: float | None
    difference: float | None
    tolerance: float
    within_tolerance: bool | None
    coverage: _Hours
    lacks_evidence: bool
    assets_complete: bool
    balance: list[_Component]


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
    """The body of a verification as plain values, with the keys of `Verdict`."""
    known, difference = costs.status is not Status.NO_DATA, verification.difference
    hours = costs.coverage
    body = Verdict.of(
        costs,
        total_cost=to_number(verification.ours) if known else None,
        source_total_cost=to_number(verification.source_shows) if known else None,
        difference=None if difference is None else round(difference, 6),
        tolerance=verification.tolerance,
        within_tolerance=verification.is_within if known else None,
        coverage=_Hours(round(hours.hours_asked, 6), round(hours.hours_covered, 6)),
        lacks_evidence=costs.lacks_evidence,
        assets_complete=costs.assets_complete,
        balance=[_component(part, costs.unknown) for part in verification.components] if known else [],
    )
    plain: Json = to_builtins(body)
    return plain


def _component(part: ComponentCheck, unknown: Collection[Component]) -> _Component:
    def amount(micros: int) -> float | None:
        return None if part.component in unknown else to_number(micros)

    return _Component(
        component=part.component.value,
        bill=amount(part.bill),
        workload=amount(part.workload),
        idle=amount(part.idle),
        unmounted=amount(part.unmounted),
        overhead=amount(part.overhead),
        difference=amount(part.difference),
        source_shows=amount(part.source_shows),
        causes=[_Cause(cause.value, to_number(cost)) for cause, cost in part.causes],
    )
