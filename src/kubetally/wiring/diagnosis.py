"""What is wrong with a cluster's source, and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass

from kubetally.domain.errors import HubError
from kubetally.domain.window import HOUR, Window, whole_hour
from kubetally.ledger.diagnosis import Finding, Level, diagnose
from kubetally.ledger.metrics_diagnosis import diagnose_metrics
from kubetally.settings import Settings
from kubetally.wiring.cluster import AnyCluster, Remembered, place_of
from kubetally.wiring.discoveries import Discoveries
from kubetally.wiring.sources import open_metrics, open_source


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
    try:
        async with open_source(cluster, settings, discoveries) as source:
            place = source.url
            findings = await diagnose(source, day)
    except HubError as error:
        findings = [Finding(Level.FAILED, "source", str(error))]
    async with open_metrics(cluster, settings, discoveries) as metrics:
        if metrics is not None:
            of_metrics = await diagnose_metrics(metrics, _whole_hours(day))
            if any(one.subject == "management fee" and one.level is Level.OK for one in of_metrics):
                findings = [one for one in findings if one.subject != "management"]
            findings = [*findings, *of_metrics]
    if isinstance(cluster, Remembered):
        return Diagnosis(place, findings, cluster.account.id, cluster.account.name)
    return Diagnosis(place, findings)


def _whole_hours(window: Window) -> Window:
    """The window with its edges at whole hours, nothing of it left out."""
    end = whole_hour(window.end)
    return Window(whole_hour(window.start), end if end == window.end else end + HOUR)
