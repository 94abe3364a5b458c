"""The sources that the ledger reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from kubetally.domain.evidence.hours import SeenHour
from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.reading import Reading
from kubetally.domain.savings import Savings, SavingsItems
from kubetally.domain.series import MeasuredSeries
from kubetally.domain.survey import MetricsSurvey
from kubetally.domain.window import Window


@dataclass(frozen=True, slots=True)
class About:
    """The description that a source returns of itself; None where it has no value.

    product: OpenCost or Kubecost. version: as the source writes it. cluster_ids: of all its clusters.
    currency: stated by the source. savings_offered: Kubecost only. ahead: how far its clock is ahead of ours.
    """

    product: str | None = None
    version: str | None = None
    cluster_id: str | None = None
    cluster_name: str | None = None
    cluster_ids: tuple[str, ...] = ()
    provider: str | None = None
    profile: str | None = None
    currency: str | None = None
    savings_offered: bool = False
    ahead: timedelta | None = None


class CostSource(Protocol):
    """A system that has the costs of one cluster."""

    @property
    def url(self) -> str:
        """Its URL, without credentials."""

    async def read(self, window: Window) -> Reading:
        """Rows and assets of a window of whole hours within one UTC day. Raises SourceError, RequestError."""

    async def hours(self, window: Window, rows: int) -> Sequence[SeenHour]:
        """What it saw in each hour of a UTC day that has so many rows; empty if it does not answer by the hour.

        Raises: SourceError, RequestError.
        """

    async def wait_for_place(self) -> None:
        """Wait until an answer to `read` has shown the path of its API; before, `about` would try several."""

    async def about(self) -> About:
        """Its description; a failed request leaves None, never an error."""

    async def savings(self) -> Savings | None:
        """Its savings recommendations per month; None if it has none. Raises SourceError."""


class SavingsSource(Protocol):
    """A cost source with savings recommendations."""

    @property
    def url(self) -> str:
        """Its URL, without credentials."""

    async def introduce(self) -> About:
        """Its description. Raises SourceError, if nothing can be read."""

    async def savings(self) -> Savings | None:
        """As `CostSource.savings`."""

    async def savings_items(self, category: str, window: Window) -> SavingsItems | None:
        """The recommendations of a category of `savings`, sized for `window`; None if it lists none.

        Raises: SourceError.
        """


class InfrastructureSource(Protocol):
    """A system that measures what cost sources lack: the management fee, load balancers, traffic."""

    @property
    def url(self) -> str:
        """Its URL, without credentials."""

    async def read(self, window: Window) -> Infrastructure:
        """Its measurements in a window of whole hours, of any length. Raises SourceError, RequestError."""


class SeriesSource(Protocol):
    """A system with samples of named metrics."""

    @property
    def url(self) -> str:
        """Its URL, without credentials."""

    async def points(self, window: Window, names: Sequence[str]) -> MeasuredSeries:
        """Points an hour apart, both ends of the window included. Raises SourceError, RequestError."""


class MetricsSource(InfrastructureSource, SeriesSource, Protocol):
    """A system with metrics of one cluster: what they measure, and their samples."""


class SurveyedSource(Protocol):
    """A system that reports which of the needed metrics it has."""

    @property
    def url(self) -> str:
        """Its URL, without credentials."""

    async def survey(self, window: Window) -> MetricsSurvey:
        """The metrics that it has over a window of whole hours. Raises SourceError."""
