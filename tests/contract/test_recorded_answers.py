"""Every recorded answer of a real OpenCost is read by the code that ships.

The answers are sorted by what they are, and a test holds the sorting to the index of the recordings: an answer that
nobody reads stands in a list here, with the reason why.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from kubetally.domain.booking import book
from kubetally.domain.component import Costs
from kubetally.domain.errors import SourceError
from kubetally.domain.issues import IssueKind
from kubetally.domain.reading import Reading
from kubetally.domain.window import Window, parse_window
from kubetally.samples.recorded import Answer as RecordedAnswer
from kubetally.samples.replay import ReplayServer
from kubetally.sources.access import Access
from kubetally.sources.faults import Answer, AnswerNotUnderstood, SourceFailed, SourceRefused
from kubetally.sources.opencost.allocations import read_allocations
from kubetally.sources.opencost.assets import read_assets
from kubetally.sources.opencost.client import CostModelClient
from kubetally.sources.opencost.notes import Notes
from kubetally.sources.opencost.wire import (
    AllocationAnswer,
    AllocationSet,
    BookedAnswer,
    decode_allocations,
    decode_assets,
    decode_booked,
)
from kubetally.sources.transport import Limits, Transport
from tests.recordings import ALL, Recording
from tests.served import NOON_AFTER

NAMES = tuple(Recording(ALL[0]).answers)
ALLOCATIONS = {
    name
    for name, answer in Recording(ALL[0]).answers.items()
    if answer.path == "/allocation" and answer.status == 200 and not name.startswith("before-data")
}
ASSETS = {"assets-day1", "assets-day2", "assets-day3", "assets-whole", "assets-nodes", "assets-hours"}
WITHOUT_DATA = {"before-data": 2, "before-data-idle": 2, "assets-before-data": 1}
INFORMATIVE = {
    "clusterInfo",
    "clusterInfoMap",
    "installInfo",
    "pricingSourceStatus",
    "pricingSourceSummary",
    "pricingSourceCounts",
}
# What the source says when it refuses, or breaks.
ERRORS: dict[str, tuple[type[SourceError], int, str]] = {
    "error-no-window": (SourceRefused, 400, "Invalid 'window' parameter: illegal window"),
    "error-bad-window": (SourceRefused, 400, "Invalid 'window' parameter: illegal window: yesterdayish"),
    "error-offset-window": (SourceRefused, 400, "illegal window: 2026-11-20T00:00:00+02:00"),
    "error-backwards-window": (SourceFailed, 500, "Error: illegal window: [2026-11-23T00:00:00+0000"),
    "error-step-zero": (SourceFailed, 500, "illegal duration value"),
    "error-accumulate-by-month": (SourceFailed, 500, "window duration must equal 24 hours"),
    "error-accumulate-by-quarter": (SourceFailed, 500, "invalid accumulateByType: quarter"),
    "error-proportional-without-idle": (SourceRefused, 400, "includeIdle must be set true"),
    "error-assets-bad-window": (SourceRefused, 400, "Invalid 'window' parameter: illegal window: nope"),
    "assets-bad-filter": (SourceFailed, 500, "unexpected character/byte at position 9"),
    "error-model-prefix": (SourceRefused, 404, "404 page not found"),
    "error-no-such-path": (SourceRefused, 404, "404 page not found"),
    "cloudCost": (SourceRefused, 404, "404 page not found"),
    "customCost-total": (SourceRefused, 404, "404 page not found"),
}
NOT_OURS_TO_READ = {
    "healthz": "an empty body that says the program runs; whether it answers is seen by asking for costs",
    "validatePrometheus": "how its Prometheus is, as a failure with status 200; a test below reads that it is one",
    "metrics": "for a Prometheus to scrape",
    "summary-days": "no idle, no total, and averages without hours: nothing in it that /allocation lacks",
    "summary-by-namespace": "as summary-days",
    "summary-by-namespace-accumulated": "as summary-days",
    "summary-all": "as summary-days",
}


def recorded(cluster: str, name: str) -> tuple[RecordedAnswer, Answer]:
    of = Recording(cluster).answers[name]
    return of, Answer(
        status=of.status,
        body=of.body(),
        content_type=of.content_type or "",
        server_date=None,
        received_at=datetime(2026, 11, 23, tzinfo=UTC),
        duration_seconds=0.0,
        url=f"http://{cluster}:9003{of.path}",
    )


def window_of(answer: RecordedAnswer) -> Window:
    return parse_window(answer.params["window"], NOON_AFTER)


def sets(decoded: AllocationAnswer) -> Iterator[AllocationSet]:
    """The steps of an answer that have rows."""
    assert isinstance(decoded.data, list)
    return (step for step in decoded.data if step)


def test_every_recorded_answer_is_read_or_refused() -> None:
    sorted_here = ALLOCATIONS | ASSETS | WITHOUT_DATA.keys() | INFORMATIVE | ERRORS.keys() | NOT_OURS_TO_READ.keys()
    for cluster in ALL:
        assert set(Recording(cluster).answers) == sorted_here, cluster


@pytest.mark.parametrize("cluster", ALL)
@pytest.mark.parametrize("name", sorted(ALLOCATIONS))
def test_each_step_of_a_recorded_answer_balances(cluster: str, name: str) -> None:
    of, answer = recorded(cluster, name)
    decoded, repaired = decode_allocations(answer)
    assert not repaired
    steps = list(sets(decoded))
    assert steps
    for step in steps:
        spans = {(row.window.start, row.window.end) for row in step.values() if row and row.window}
        assert len(spans) == 1, "a step is one window"
        start, end = spans.pop()
        window = parse_window(f"{start},{end}", NOON_AFTER)
        if name != "odd-window-day-steps-overrun":  # the source does not cut its last step
            assert window_of(of).contains(window)
        notes = Notes(answer.url, window)
        rows = read_allocations(AllocationAnswer(data=[step]), window, notes, answer.url)
        assert len(rows.allocations) == len(step)
        assert rows.covered == (window,)
        assert not notes.null_figures
        assert not notes.beyond_parts, "every cost of this version has a component of ours"
        assert not notes.below_parts
        booking = book(Reading(window, rows.allocations, None, rows.covered, "USD", answer.url, tuple(notes.issues())))
        assert Costs.sum(row.costs for row in booking.rows) == booking.bill
        assert booking.bill.total == sum(row.costs.total for row in rows.allocations)
        assert abs(booking.source_total - booking.bill.total) <= 100 * len(rows.allocations)
        assert not booking.assets_complete


@pytest.mark.parametrize("cluster", ALL)
@pytest.mark.parametrize("name", sorted(ALLOCATIONS))
def test_booked_rows_equal_rows_of_the_whole_answer(cluster: str, name: str) -> None:
    of, answer = recorded(cluster, name)
    window = window_of(of)

    def read(decoded: BookedAnswer | AllocationAnswer) -> tuple[object, ...]:
        notes = Notes(answer.url, window)
        return *read_allocations(decoded, window, notes, answer.url), tuple(notes.issues())

    assert read(decode_booked(answer)[0]) == read(decode_allocations(answer)[0])


@pytest.mark.parametrize("cluster", ALL)
@pytest.mark.parametrize("name", sorted(ALLOCATIONS))
def test_only_merged_rows_are_reported_as_merged(cluster: str, name: str) -> None:
    of, answer = recorded(cluster, name)
    decoded, _ = decode_allocations(answer)
    rows = [row for step in sets(decoded) for row in (step or {}).values() if row is not None]
    merged = [row for row in rows if row.raw_allocation_only is None and row.cpu_core_usage_average]
    notes = Notes(answer.url, window_of(of))
    read_allocations(decoded, notes.window, notes, answer.url)
    told = {issue.kind: issue.facts["rows"] for issue in notes.issues() if "rows" in issue.facts}
    fine = [row for row in merged if row.properties and row.properties.pod and row.properties.container]
    assert told.get(IssueKind.ROWS_MERGED_BY_SOURCE, 0) == len(fine)
    assert told.get(IssueKind.ROWS_TOO_COARSE, 0) >= len(merged) - len(fine)
    finest = "aggregate" not in of.params and "accumulate" not in of.params
    assert not (merged and finest), "what is asked for a booking is not merged"


@pytest.mark.parametrize("cluster", ALL)
@pytest.mark.parametrize("name", sorted(ASSETS))
def test_recorded_assets_are_read_and_cost_what_the_source_says(cluster: str, name: str) -> None:
    of, answer = recorded(cluster, name)
    decoded, repaired = decode_assets(answer)
    assets = read_assets(decoded, window_of(of), Notes(answer.url, window_of(of)))
    rows = Recording(cluster).json(name)["data"].values()
    assert not repaired
    assert assets is not None
    assert len(assets) == len(rows)
    assert sum(asset.total for asset in assets) == sum(round(row["totalCost"] * 1e6) for row in rows)
    assert {asset.cluster_id for asset in assets} == {cluster}


@pytest.mark.parametrize("cluster", ALL)
@pytest.mark.parametrize(("name", "steps"), WITHOUT_DATA.items())
def test_a_window_without_data_covers_nothing(cluster: str, name: str, steps: int) -> None:
    of, answer = recorded(cluster, name)
    window = window_of(of)
    if of.path == "/assets":
        assert read_assets(decode_assets(answer)[0], window, Notes(answer.url, window)) == []
        return
    decoded, _ = decode_allocations(answer)
    assert isinstance(decoded.data, list)
    assert len(decoded.data) == steps
    rows = read_allocations(decoded, window, Notes(answer.url, window), answer.url)
    assert rows.allocations == []
    assert rows.covered == ()


@pytest.mark.parametrize("cluster", ALL)
@pytest.mark.parametrize(("name", "expected"), ERRORS.items())
async def test_recorded_failure_is_a_typed_error_with_its_message(
    replay: ReplayServer, cluster: str, name: str, expected: tuple[type[SourceError], int, str]
) -> None:
    of, kind = Recording(cluster).answers[name], expected
    async with Transport(Access.parse(replay.url_of(cluster)), Limits(attempts=1)) as transport:
        with pytest.raises(kind[0]) as caught:
            await transport.get(of.path, of.params)
    error = caught.value
    assert isinstance(error, SourceRefused | SourceFailed)
    assert (type(error), error.status) == kind[:2]
    assert error.said is not None
    assert kind[2] in error.said
    assert repr(error.said) in str(error)


@pytest.mark.parametrize("cluster", ALL)
@pytest.mark.parametrize("name", sorted(INFORMATIVE))
async def test_info_answer_is_read_with_or_without_envelope(replay: ReplayServer, cluster: str, name: str) -> None:
    content = Recording(cluster).json(name)
    async with Transport(Access.parse(replay.url_of(cluster))) as transport:
        assert await CostModelClient(transport).about(f"/{name}") == content.get("data", content)


async def test_failure_with_status_200_is_a_failure(replay: ReplayServer) -> None:
    async with Transport(Access.parse(replay.url_of("aurora"))) as transport:
        with pytest.raises(SourceFailed, match="no running jobs on Prometheus"):
            await CostModelClient(transport).about("/validatePrometheus")


@pytest.mark.parametrize("name", ["metrics", "healthz"])
async def test_invalid_json_leaves_the_product_unknown(replay: ReplayServer, name: str) -> None:
    async with Transport(Access.parse(replay.url_of("aurora"))) as transport:
        assert await CostModelClient(transport).about(f"/{name}") is None


def test_metrics_are_not_understood_as_an_allocation() -> None:
    with pytest.raises(AnswerNotUnderstood, match="malformed"):
        decode_allocations(recorded("aurora", "metrics")[1])
