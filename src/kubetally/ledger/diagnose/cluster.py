"""Findings about a cluster's source and its Prometheus."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from kubetally.domain.currency import OriginatedCurrency
from kubetally.domain.errors import KubetallyError
from kubetally.domain.finding import Diagnosis, Finding, Level
from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.window import HOUR, Window, whole_hour
from kubetally.domain.words import period_words
from kubetally.ledger.diagnose.prometheus import diagnose_metrics, merge_findings
from kubetally.ledger.diagnose.source import diagnose, unstated_currency
from kubetally.ledger.diagnose.storage import StorageProblem
from kubetally.ledger.ports.clusters import AccountCluster, AnyCluster
from kubetally.ledger.ports.sources import CostSource, InfrastructureSource, SurveyedSource


class PrometheusToDiagnose(InfrastructureSource, SurveyedSource, Protocol):
    """A Prometheus that is read and surveyed."""


async def diagnose_cluster(
    cluster: AnyCluster,
    open_source: AbstractAsyncContextManager[CostSource],
    open_prometheus: AbstractAsyncContextManager[PrometheusToDiagnose | None],
    window: Window,
    now: datetime,
    currency: OriginatedCurrency,
) -> Diagnosis:
    """The findings of one day, the first of `window`.

    open_source: its KubetallyError is a finding. open_prometheus: yields None without one. currency: where the source
    states none.
    """
    account = cluster.account if isinstance(cluster, AccountCluster) else None
    unstated = unstated_currency(*currency, has_account=account is not None)
    place, day = cluster.place, next(window.days(), window)
    hours = _whole_hours(day)
    async with open_prometheus as prometheus:
        measured = None if prometheus is None else await _read(prometheus, hours)
        try:
            async with open_source as source:
                place = source.url
                infrastructure = None if measured is None else measured.within(day)
                findings = await diagnose(source, day, now, infrastructure, currency=unstated)
        except KubetallyError as error:
            findings = [Finding(Level.FAILED, "source", str(error))]
        if prometheus is not None:
            findings = merge_findings(findings, await diagnose_metrics(prometheus, hours))
    if day != window:
        findings = [_only_one_day(window, day), *findings]
    return Diagnosis(place, findings, account.id if account else None, account.name if account else None)


def with_storage(diagnoses: Sequence[Diagnosis], problems: Sequence[StorageProblem]) -> list[Diagnosis]:
    """The diagnoses, those of accounts with the problems of database, lake and their disks."""
    findings = [
        Finding(Level.FAILED if problem.is_failure else Level.WARNING, "storage", problem.message, problem.remedy)
        for problem in problems
    ]
    return [
        diagnosis if diagnosis.account_id is None else replace(diagnosis, findings=[*diagnosis.findings, *findings])
        for diagnosis in diagnoses
    ]


async def _read(prometheus: InfrastructureSource, window: Window) -> Infrastructure | None:
    """Its measurements; None if it fails, which is a finding about the metrics."""
    try:
        return await prometheus.read(window)
    except KubetallyError:
        return None


def _only_one_day(window: Window, day: Window) -> Finding:
    seen = f"of {period_words(window)} only the first day is read: {period_words(day)}"
    return Finding(Level.NOTE, "window", seen, "name another day with --start and --end")


def _whole_hours(window: Window) -> Window:
    """The window, extended to whole hours."""
    end = whole_hour(window.end)
    return Window(whole_hour(window.start), end if end == window.end else end + HOUR)
