"""Costs of several clusters, and the deadline that costs and old sums share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kubetally.domain.errors import SourceError
from kubetally.domain.fleet import Failed
from kubetally.domain.issues import IssueKind
from kubetally.domain.reading import Reading
from kubetally.domain.report import ClusterReport
from kubetally.domain.window import HOUR, Window
from kubetally.ledger.costs.cost_reader import CostReader, CostSubject, subjects_by_id
from kubetally.ledger.ports.sources import About
from tests.served import FixedClock
from tests.unit.domain.clusters import TODAY
from tests.unit.ledger.costs.test_legacy import Metrics, Source


class NamedSource(Source):
    """A source of the cluster `cluster_id`, at a URL of its own; of one without an id nothing can be read."""

    def __init__(self, url: str, cluster_id: str | None) -> None:
        super().__init__()
        self.url, self._cluster_id = url, cluster_id

    async def read(self, window: Window) -> Reading:
        if self._cluster_id is None:
            raise SourceError("gone")
        return await super().read(window)

    async def about(self) -> About:
        return About(cluster_id=self._cluster_id)


def subject(source: Source, metrics: Metrics | None = None) -> CostSubject:
    @asynccontextmanager
    async def open_source() -> AsyncIterator[Source]:
        yield source

    @asynccontextmanager
    async def open_metrics() -> AsyncIterator[Metrics | None]:
        yield metrics

    return CostSubject(source.url, None, open_source, open_metrics)  # type: ignore[arg-type]


async def test_a_cluster_at_two_urls_is_flagged_on_both() -> None:
    places = [("http://a", "prod"), ("http://b", None), ("http://c", "prod"), ("http://d", "test")]
    subjects = [subject(NamedSource(url, cluster_id)) for url, cluster_id in places]
    answers = await CostReader(FixedClock()).get_costs_of_all(subjects, TODAY)
    assert [type(answer) for answer in answers] == [ClusterReport, Failed, ClusterReport, ClusterReport]
    flagged = [
        answer.source.url
        for answer in answers
        if isinstance(answer, ClusterReport)
        and any(issue.kind is IssueKind.SAME_CLUSTER_TWICE for issue in answer.issues)
    ]
    assert flagged == ["http://a", "http://c"]


async def test_old_sums_end_with_the_deadline_of_the_costs() -> None:
    reader = CostReader(FixedClock(), deadline_seconds=0.2)
    metrics = Metrics(seconds=3600)
    hour = Window(TODAY.start, TODAY.start + HOUR)
    async with asyncio.timeout(5):
        costs = await reader.get_cluster_costs(subject(Source(), metrics), hour, legacy=True)
    (issue,) = [issue for issue in costs.issues if issue.subject == "legacy"]
    assert issue.facts["code"] == "deadline_passed"
    assert costs.legacy is not None
    assert costs.legacy.management is None


def test_equal_places_have_ids_of_their_own() -> None:
    subjects = [subject(NamedSource(url, "prod")) for url in ("http://a", "http://b", "http://a")]
    assert subjects_by_id(subjects) == dict(zip(("http://a", "http://b", "http://a (3)"), subjects, strict=True))


async def test_missing_costs_are_answered_by_id() -> None:
    places = {"first": ("http://a", "prod"), "second": ("http://b", None)}
    subjects = {id_: subject(NamedSource(url, cluster_id)) for id_, (url, cluster_id) in places.items()}
    answers = await CostReader(FixedClock()).ask_missing_of_all(subjects, {}, TODAY)
    assert {id_: (answer.source.url, isinstance(answer, Failed)) for id_, answer in answers.items()} == {
        "first": ("http://a", False),
        "second": ("http://b", True),
    }
