"""What is wrong with a cluster's source, and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kubetally.domain.errors import KubetallyError
from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.window import HOUR, Window, whole_hour
from kubetally.domain.words import window_words
from kubetally.ledger.diagnose.prometheus import diagnose_metrics, told_beside
from kubetally.ledger.diagnose.source import Finding, Level, diagnose
from kubetally.ledger.ports.sources import InfrastructureSource
from kubetally.settings import Settings
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.cluster import AccountCluster, AnyCluster, place_of
from kubetally.wiring.discoveries import Discoveries
from kubetally.wiring.sources import open_metrics, open_source
from kubetally.wiring.storage_health import check_storage


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found at one cluster; `place` is where, fit to be shown."""

    place: str
    findings: Sequence[Finding]
    account_id: str | None = None
    account_name: str | None = None


async def diagnose_cluster(cluster: AnyCluster, window: Window, settings: Settings) -> Diagnosis:
    """The findings of one day, the first of `window`. A source that can't even be found is a finding too."""
    place, discoveries = place_of(cluster), Discoveries()
    day = next(window.days(), window)
    of_window = [] if day == window else [_one_day_of(window, day)]
    async with open_metrics(cluster, settings, discoveries) as metrics:
        measured = None if metrics is None else await _measured(metrics, _whole_hours(day))
        try:
            async with open_source(cluster, settings, discoveries) as source:
                place = source.url
                beside = None if measured is None else measured.within(day)
                findings = await diagnose(source, day, SystemClock().now(), beside)
        except KubetallyError as error:
            findings = [Finding(Level.FAILED, "source", str(error))]
        if metrics is not None:
            of_metrics = await diagnose_metrics(metrics, _whole_hours(day))
            findings = told_beside(findings, of_metrics)
    findings = [*of_window, *findings]
    if isinstance(cluster, AccountCluster):
        return Diagnosis(place, findings, cluster.account.id, cluster.account.name)
    return Diagnosis(place, findings)


def with_storage(diagnoses: Sequence[Diagnosis], settings: Settings) -> list[Diagnosis]:
    """The diagnoses, those of accounts with what is wrong with database, lake and their disks."""
    findings = [
        Finding(Level.FAILED if problem.is_failure else Level.WARNING, "storage", problem.message, problem.remedy)
        for problem in check_storage(settings).problems
    ]
    return [
        diagnosis if diagnosis.account_id is None else replace(diagnosis, findings=[*diagnosis.findings, *findings])
        for diagnosis in diagnoses
    ]


async def _measured(metrics: InfrastructureSource, window: Window) -> Infrastructure | None:
    """What costs would be answered with; that it fails is a finding about the metrics."""
    try:
        return await metrics.read(window)
    except KubetallyError:
        return None


def _one_day_of(window: Window, day: Window) -> Finding:
    seen = f"of {window_words(window)} one day is read, the first: {window_words(day)}"
    return Finding(Level.NOTE, "window", seen, "name another day with --start and --end, if that is the one in doubt")


def _whole_hours(window: Window) -> Window:
    """The window with its edges at whole hours, nothing of it left out."""
    end = whole_hour(window.end)
    return Window(whole_hour(window.start), end if end == window.end else end + HOUR)
