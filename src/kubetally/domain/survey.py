"""Which of the needed metrics a Prometheus has, for a report on what is missing and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kubetally.domain.issues import Issue
from kubetally.domain.window import Window


@dataclass(frozen=True, slots=True)
class Exporter:
    """An exporter of a metric: its scrape job and the number of its addresses; `instance` if it has one."""

    job: str | None
    instances: int
    instance: str | None = None


@dataclass(frozen=True, slots=True)
class MetricFacts:
    """One metric over a window.

    exporters:        none where there is no sample of it.
    copies:           the most series that showed one thing at one time; 1 where nothing is shown twice.
    interval_seconds: between two samples of a series, at most; None where an hour never had two.
    gaps:             whole hours without any sample, adjacent ones joined; the whole window where there is none.
    partial:          hours that have samples, and lack them for a quarter or more, adjacent ones joined.
    """

    name: str
    exporters: tuple[Exporter, ...] = ()
    copies: int = 0
    interval_seconds: float | None = None
    gaps: tuple[Window, ...] = ()
    partial: tuple[Window, ...] = ()

    @property
    def is_there(self) -> bool:
        """Whether there is any sample of it."""
        return bool(self.exporters)


@dataclass(frozen=True, slots=True)
class MetricsSurvey:
    """The result for a window of whole hours.

    metrics:     in the order of what they are needed for, those that are missing too.
    oldest:      the first sample that is still kept, to about five minutes; None where that can't be found out.
    left_open:   whether ranges leave out a sample at their start, as in a Prometheus from 3 on.
    cluster_ids: of all clusters that the selected series name.
    tenants:     that they name, if no tenant was chosen.
    """

    url: str
    window: Window
    metrics: Sequence[MetricFacts]
    oldest: datetime | None
    left_open: bool
    cluster_ids: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    issues: tuple[Issue, ...] = ()
