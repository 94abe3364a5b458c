"""One Prometheus for one account: all that it is asked for."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from kubetally.domain.errors import KubetallyError
from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.series import MeasuredSeries
from kubetally.domain.survey import MetricsSurvey
from kubetally.domain.window import Window
from kubetally.sources.kept import AnswerFolder, KeptAnswer, noted_answers
from kubetally.sources.prometheus.client import PrometheusClient
from kubetally.sources.prometheus.infrastructure import PrometheusInfrastructure
from kubetally.sources.prometheus.kept import keep_metrics
from kubetally.sources.prometheus.promql import Selector
from kubetally.sources.prometheus.series import PrometheusSeries
from kubetally.sources.prometheus.survey import PrometheusSurvey


class PrometheusSource:
    """Reads one account's metrics from one server."""

    def __init__(
        self, client: PrometheusClient, selector: Selector | None = None, folder: AnswerFolder | None = None
    ) -> None:
        """folder: where answers about what was measured are kept; None to keep none."""
        self.client, self._folder, self._selector = client, folder, selector or Selector()
        self._infrastructure = PrometheusInfrastructure(client, selector)
        self._series, self._survey = PrometheusSeries(client, selector), PrometheusSurvey(client, selector)

    @property
    def url(self) -> str:
        """Where it is, fit to be shown."""
        return self.client.url

    @property
    def account(self) -> str | None:
        """Whose it is, in logs."""
        return self.client.account

    async def introduce(self, now: datetime) -> None:
        """See that it answers at all. Raises SourceError."""
        await self.client.is_left_open(now)

    async def read(self, window: Window) -> Infrastructure:
        """What it measured in a window of whole hours. Raises SourceError, RequestError."""
        if self._folder is None:
            return await self._infrastructure.read(window)
        with noted_answers() as answers:
            try:
                infrastructure = await self._infrastructure.read(window)
            except KubetallyError:
                await self._keep(self._folder, window, answers)
                raise
        await self._keep(self._folder, window, answers)
        return infrastructure

    async def _keep(self, folder: AnswerFolder, window: Window, answers: Sequence[KeptAnswer]) -> None:
        is_left_open = self.client.found_left_open
        await asyncio.to_thread(
            keep_metrics, folder, self.url, window, answers, self._selector, is_left_open=is_left_open
        )

    async def points(self, window: Window, names: Sequence[str]) -> MeasuredSeries:
        """Points of metrics an hour apart, both ends of the window included. Raises SourceError, RequestError."""
        return await self._series.points(window, names)

    async def survey(self, window: Window) -> MetricsSurvey:
        """What it holds over a window of whole hours. Raises SourceError."""
        return await self._survey.survey(window)
