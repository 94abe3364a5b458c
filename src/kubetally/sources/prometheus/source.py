"""One Prometheus as the source of one account's metrics."""

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
from kubetally.sources.prometheus.infrastructure import read_infrastructure
from kubetally.sources.prometheus.kept import keep_metrics
from kubetally.sources.prometheus.promql import Selector
from kubetally.sources.prometheus.series import read_points
from kubetally.sources.prometheus.survey import survey_metrics


class PrometheusSource:
    """The port `MetricsSource`, and `SurveyedSource`."""

    def __init__(
        self, client: PrometheusClient, selector: Selector | None = None, folder: AnswerFolder | None = None
    ) -> None:
        """folder: where the answers of `read` are kept; None to keep none."""
        self.client, self._folder, self._selector = client, folder, selector or Selector()

    @property
    def url(self) -> str:
        """Its address, masked."""
        return self.client.url

    async def introduce(self, now: datetime) -> None:
        """Check that it answers. Raises SourceError."""
        await self.client.is_left_open(now)

    async def read(self, window: Window) -> Infrastructure:
        """What it measured in a window of whole hours. Raises SourceError, RequestError."""
        if self._folder is None:
            return await read_infrastructure(self.client, self._selector, window)
        with noted_answers() as answers:
            try:
                infrastructure = await read_infrastructure(self.client, self._selector, window)
            except KubetallyError:
                await self._keep(self._folder, window, answers)
                raise
        await self._keep(self._folder, window, answers)
        return infrastructure

    async def _keep(self, folder: AnswerFolder, window: Window, answers: Sequence[KeptAnswer]) -> None:
        is_left_open = self.client.known_left_open
        await asyncio.to_thread(
            keep_metrics, folder, self.url, window, answers, self._selector, is_left_open=is_left_open
        )

    async def points(self, window: Window, names: Sequence[str]) -> MeasuredSeries:
        """Points of metrics an hour apart, both ends of the window included. Raises SourceError, RequestError."""
        return await read_points(self.client, self._selector, window, names)

    async def survey(self, window: Window) -> MetricsSurvey:
        """Which of the needed metrics it has in a window of whole hours. Raises SourceError, RequestError."""
        return await survey_metrics(self.client, self._selector, window)
