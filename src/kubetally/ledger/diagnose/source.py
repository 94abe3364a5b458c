"""Findings about a cost source: what it is, what it answers, what is missing, and what to do."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from kubetally.domain.allocation import Allocation, Kind
from kubetally.domain.asset import AssetType
from kubetally.domain.booking import Booking, book
from kubetally.domain.component import Component
from kubetally.domain.efficiency import RatedHours
from kubetally.domain.errors import KubetallyError
from kubetally.domain.evidence.examine import examine
from kubetally.domain.evidence.sighting import is_pod
from kubetally.domain.finding import Finding, Level
from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.metrics import MANAGEMENT
from kubetally.domain.money import CurrencyOrigin, to_number
from kubetally.domain.reading import Reading
from kubetally.domain.row import CAUSE_IN_WORDS, Cause
from kubetally.domain.window import Window, covered_hours
from kubetally.domain.words import hours_words, period_words
from kubetally.ledger.costs.examination import look_around
from kubetally.ledger.diagnose.remedies import of_error, of_issue
from kubetally.ledger.ports.sources import About, CostSource

_CLOCK_TOLERANCE = timedelta(minutes=1)
_REPORTED_ELSEWHERE = frozenset({IssueKind.NOT_MEASURED, IssueKind.NOT_AUDITED, IssueKind.CLOCK_DIFFERS})


FEE_NOT_MEASURED = "management"
"""The subject of the finding that the source has no management fee."""


async def diagnose(
    source: CostSource,
    window: Window,
    now: datetime,
    infrastructure: Infrastructure | None = None,
    *,
    currency: Finding,
) -> list[Finding]:
    """All findings about `source`, from its description and from one window, examined and booked like any other.

    infrastructure: what its Prometheus measured in that window. currency: the finding if the source states none.
    Errors of the source and RequestErrors are findings, too.
    """
    try:
        reading = await source.read(window)  # first, so that an unreachable server fails here
    except KubetallyError as error:
        about = await source.about()
        failed = Finding(Level.FAILED, "costs", str(error), of_error(error, source.url))
        return [failed] if about.product is None else [*_what_it_is(source.url, about, currency), failed]
    about = await source.about()
    findings = list(_what_it_is(source.url, about, currency))
    findings += _clock(about)
    if not reading.covered:
        seen = f"the source holds no data of {period_words(window)}"
        remedy = "choose another day with --window or --start and --end; is its Prometheus up, and scraping?"
        return [*findings, Finding(Level.WARNING, "costs", seen, remedy)]
    around = await look_around(source, reading, now)
    examined = examine(replace(reading, infrastructure=infrastructure), around)
    findings += _what_it_answers(examined, book(examined))
    findings += _savings(about)
    return findings


def unstated_currency(currency: str, origin: CurrencyOrigin, *, has_account: bool) -> Finding:
    """The finding about a source that states no currency. currency, origin: what is used instead."""
    if origin is not CurrencyOrigin.ASSUMED:
        seen = f"{currency}, stated by an option, the account or KUBETALLY_CURRENCY; the source states none"
        return Finding(Level.OK, "currency", seen)
    whose = ", the currency of its organization," if has_account else ""
    return Finding(
        Level.NOTE,
        "currency",
        f"the source states none; {currency}{whose} is assumed",
        f"set it with --currency if it is not {currency}",
    )


def _what_it_is(url: str, about: About, currency: Finding) -> Iterator[Finding]:
    if about.product is None and (about.version or about.provider or about.cluster_ids):
        yield Finding(
            Level.WARNING,
            "product",
            f"{url} may be an OpenCost or a Kubecost: its answer to /savings can't be read",
            "ask again later; see what a proxy between makes of /savings",
        )
    elif about.product is None:
        yield Finding(
            Level.WARNING,
            "product",
            f"{url} does not identify itself (no clusterInfo, no installInfo)",
            "check that the URL is that of an OpenCost (port 9003) or Kubecost (port 9090), with its prefix if any",
        )
    else:
        yield Finding(Level.OK, "product", f"{about.product}, version {about.version or 'unknown'}")
    if about.cluster_id:
        name = f" ({about.cluster_name})" if about.cluster_name else ""
        yield Finding(Level.OK, "cluster", f"{about.cluster_id}{name}, provider {about.provider or 'unknown'}")
    if len(about.cluster_ids) > 1:
        yield Finding(
            Level.NOTE,
            "clusters",
            f"it knows {len(about.cluster_ids)} clusters: {', '.join(about.cluster_ids)}",
            "choose one with --cluster-id",
        )
    if about.currency:
        yield Finding(Level.OK, "currency", f"{about.currency}, stated by the source")
    else:
        yield currency


def _clock(about: About) -> Iterator[Finding]:
    if about.ahead is None:
        seen = "the source does not return its time"
        yield Finding(Level.NOTE, "clock", seen, "compare it yourself, if days seem to begin at another time")
    elif abs(about.ahead) > _CLOCK_TOLERANCE:
        side = "ahead of" if about.ahead > timedelta() else "behind"
        seen = f"its clock is {abs(about.ahead) / timedelta(minutes=1):.0f} minutes {side} ours"
        yield Finding(Level.WARNING, "clock", seen, "set both by NTP: windows are cut by the clock")
    else:
        yield Finding(Level.OK, "clock", f"within {abs(about.ahead / timedelta(seconds=1)):.0f} s of ours")


def _what_it_answers(reading: Reading, booking: Booking) -> Iterator[Finding]:
    workloads = [row for row in reading.allocations if is_pod(row)]
    covered = covered_hours(booking.covered)
    hours = hours_words(covered) if covered >= booking.window.hours else f"{covered:.4g} of {booking.window.hours:g} h"
    yield Finding(
        Level.OK if covered >= booking.window.hours else Level.WARNING,
        "costs",
        f"{period_words(booking.window)}: {len(reading.allocations)} rows of "
        f"{len({row.namespace for row in workloads})} namespaces for {hours}; "
        f"total {to_number(booking.bill.total):.2f} {booking.currency}"
        + (" (assumed)" if booking.currency_origin is CurrencyOrigin.ASSUMED else ""),
        None if covered >= booking.window.hours else "see the warnings below: samples are missing",
    )
    yield _assets(reading)
    yield _idle(reading)
    yield from _usage(workloads)
    if covered >= booking.window.hours:
        yield _scraping(workloads, booking.window)
    yield from _components(workloads, booking)
    yield _balance(booking)
    yield from _issues(booking.issues)


def _assets(reading: Reading) -> Finding:
    if not reading.assets:
        return Finding(
            Level.WARNING,
            "assets",
            "no assets for this window: there is no bill to hold the rows against, node disks are missing",
            "see whether /assets answers; ask for whole days, as Kubecost keeps assets by the day",
        )
    counts = {kind: sum(asset.type is kind for asset in reading.assets) for kind in AssetType}
    seen = ", ".join(f"{count} {kind.value.replace('_', ' ')}s" for kind, count in counts.items() if count)
    return Finding(Level.OK, "assets", seen)


def _idle(reading: Reading) -> Finding:
    if any(row.kind is Kind.IDLE for row in reading.allocations):
        return Finding(Level.OK, "idle", "the source shows idle cost")
    return Finding(
        Level.WARNING,
        "idle",
        "the source shows no idle cost: all of it is in the difference line",
        "OpenCost before v1.103 has none; set CLUSTER_ID to the cluster label of its Prometheus",
    )


def _usage(workloads: list[Allocation]) -> Iterator[Finding]:
    """How much of the requests was used; missing usage or requests are issues of the examined reading."""
    rated = RatedHours.of(row.hours for row in workloads)
    requested, used = rated.cpu_core_request_hours, rated.cpu_core_usage_hours
    if requested and used:
        yield Finding(Level.OK, "efficiency", f"{used:.1f} core-hours used of {requested:.1f} requested")


def _scraping(workloads: list[Allocation], window: Window) -> Finding:
    """Pods that run the whole day lose their first sample if range selectors are left-open."""
    longest, whole = max((row.minutes for row in workloads), default=0.0), window.hours * 60
    if 0 < whole - longest <= 10:  # two samples of the source's resolution
        return Finding(
            Level.WARNING,
            "minutes",
            f"the longest-lived pods have {longest:g} of {whole:g} minutes: their first sample is lost",
            "the source reads a Prometheus 3 or Mimir, whose ranges exclude their start: update OpenCost",
        )
    return Finding(Level.OK, "minutes", f"the longest-lived pods have {longest:g} of {whole:g} minutes")


def _components(workloads: list[Allocation], booking: Booking) -> Iterator[Finding]:
    if not booking.bill.network:
        yield Finding(
            Level.WARNING,
            "network",
            "no network cost: it is zero, or not measured",
            "deploy the network-costs DaemonSet of the source, if traffic is to be charged",
        )
    if Component.MANAGEMENT in booking.not_measured:
        yield Finding(
            Level.NOTE,
            FEE_NOT_MEASURED,
            "the cluster's management fee is unknown: OpenCost does not report it",
            f"name its Prometheus with --prometheus-url: the fee is its metric {MANAGEMENT}",
        )
    if not booking.bill.pv and any(row.hours.pv_byte_hours for row in workloads):
        yield Finding(
            Level.WARNING,
            "volumes",
            "volumes have bytes and cost nothing",
            "see that pv_hourly_cost is scraped from the source's own /metrics",
        )
    if not any(row.labels for row in workloads):
        yield Finding(
            Level.WARNING, "labels", "no pod has labels: nothing can be grouped by team", "scrape kube_pod_labels"
        )


def _balance(booking: Booking) -> Finding:
    rows = [row for row in booking.rows if row.kind is Kind.DIFFERENCE]
    causes = [(row.cause or Cause.UNKNOWN, row.costs.total) for row in rows]
    parts = [f"{CAUSE_IN_WORDS[cause]}: {to_number(amount):+.4f}" for cause, amount in causes]
    assets = "complete" if booking.assets_complete else "incomplete"
    seen = f"assets {assets}; difference: {'; '.join(parts) or 'nothing'}"
    if any(cause is Cause.UNKNOWN for cause, _ in causes):
        remedy = "see the warnings beside this one; `kubetally verify` shows in which component"
        return Finding(Level.WARNING, "balance", seen, remedy)
    if not booking.assets_complete:
        remedy = "make /assets answer for this window: without assets the bill is the sum of the rows"
        return Finding(Level.WARNING, "balance", seen, remedy)
    return Finding(Level.OK, "balance", seen)


def _savings(about: About) -> Iterator[Finding]:
    if about.savings_offered:
        yield Finding(Level.OK, "savings", "the source offers savings recommendations")
    elif about.product:
        remedy = "read the cluster from Kubecost if you want recommendations; OpenCost has none"
        yield Finding(Level.NOTE, "savings", "the source offers no savings recommendations", remedy)


def _issues(issues: Iterable[Issue]) -> Iterator[Finding]:
    """Issues of the reading and booking that no other finding reports, with their hours."""
    for issue in issues:
        if issue.kind not in _REPORTED_ELSEWHERE:
            when = f" ({period_words(issue.window)})" if issue.is_missing_data and issue.window else ""
            subject = issue.kind.value.replace("_", " ")
            yield Finding(Level.WARNING, subject, issue.message + when, of_issue(issue.kind))
