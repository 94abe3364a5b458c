"""What the ledger needs from outside."""

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
    """What a source tells of itself; None where it does not tell.

    product: OpenCost or Kubecost. version: as it writes it. cluster_ids: all it answers for.
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
    """A system that knows what one cluster cost."""

    @property
    def url(self) -> str:
        """Where it is, fit to be shown."""

    async def read(self, window: Window) -> Reading:
        """Rows and assets of a window of whole hours within one UTC day. Raises SourceError, RequestError."""

    async def hours(self, window: Window, rows: int) -> Sequence[SeenHour]:
        """What it saw in each hour of a UTC day that has so many rows; none, where it does not answer by the hour.

        Raises: SourceError, RequestError.
        """

    async def wait_for_place(self) -> None:
        """Until an answer to `read` has shown where to ask: `about` would ask in several places before."""

    async def about(self) -> About:
        """What it tells of itself; what can't be asked is None, never an error."""

    async def savings(self) -> Savings | None:
        """What it recommends to save per month; None where it offers no such thing. Raises SourceError."""


class SavingsSource(Protocol):
    """A cost source, asked for all that it recommends."""

    @property
    def url(self) -> str:
        """Where it is, fit to be shown."""

    async def introduce(self) -> About:
        """What it tells of itself. Raises SourceError, where it fails to tell anything."""

    async def savings(self) -> Savings | None:
        """As `CostSource.savings`."""

    async def savings_items(self, category: str, window: Window) -> SavingsItems | None:
        """The recommendations of a category of `savings`, sized for `window`; None where it lists none of these.

        Raises: SourceError.
        """


class InfrastructureSource(Protocol):
    """A system that measured what a cost source leaves out: the management fee, load balancers, traffic."""

    @property
    def url(self) -> str:
        """Where it is, fit to be shown."""

    async def read(self, window: Window) -> Infrastructure:
        """What it measured in a window of whole hours, of any length. Raises SourceError, RequestError."""


class SeriesSource(Protocol):
    """A system that keeps samples of named metrics."""

    @property
    def url(self) -> str:
        """Where it is, fit to be shown."""

    async def points(self, window: Window, names: Sequence[str]) -> MeasuredSeries:
        """Points an hour apart, both ends of the window included. Raises SourceError, RequestError."""


class MetricsSource(InfrastructureSource, SeriesSource, Protocol):
    """A system that keeps metrics of one cluster: what they measured, and their samples."""


class SurveyedSource(Protocol):
    """A system that can tell which of the metrics that are needed it holds."""

    @property
    def url(self) -> str:
        """Where it is, fit to be shown."""

    async def survey(self, window: Window) -> MetricsSurvey:
        """What it holds over a window of whole hours. Raises SourceError."""
