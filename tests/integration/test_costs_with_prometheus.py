"""What a cluster cost where a Prometheus stands beside its OpenCost: the fee comes in, and nothing twice."""

import asyncio
from collections.abc import Callable

import pytest

from kubetally.domain.allocation import Kind
from kubetally.domain.component import Component, Costs
from kubetally.domain.issues import IssueKind
from kubetally.domain.report import ClusterReport
from kubetally.domain.status import Status
from kubetally.domain.window import Window, parse_window
from kubetally.ledger.ports.clusters import Cluster
from kubetally.samples.replay import ReplayServer
from kubetally.settings import Settings
from kubetally.sources.access import Access
from kubetally.sources.prometheus.client import PrometheusClient
from kubetally.sources.prometheus.source import PrometheusSource
from kubetally.sources.transport import Limits, Transport
from tests.costs_of_source import get_costs_of_source
from tests.integration.metrics_servers import Prometheus
from tests.opened import open_source
from tests.recordings import DAYS
from tests.served import NOON_AFTER, FixedClock, Reply, Served
from tests.unit.domain.clusters import micros

WHOLE = parse_window(f"{DAYS[0][0]},{DAYS[-1][1]}", NOON_AFTER)
FEE = micros("7.2")  # 72 hours of 0.10
RecordedPrometheus = Callable[[str], Prometheus]


async def costs(
    url: str, prometheus_url: str | None, window: Window = WHOLE, deadline_seconds: float = 20
) -> ClusterReport:
    async with open_source(Cluster(url), Settings(attempts=1)) as source:
        if prometheus_url is None:
            return await get_costs_of_source(source, window, clock=FixedClock(), deadline_seconds=deadline_seconds)
        async with Transport(Access.parse(prometheus_url), Limits(attempts=1)) as transport:
            infrastructure = PrometheusSource(PrometheusClient(transport))
            return await get_costs_of_source(
                source,
                window,
                clock=FixedClock(),
                infrastructure=infrastructure,
                deadline_seconds=deadline_seconds,
            )


@pytest.mark.parametrize("name", ["cygnus", "aurora"])
async def test_the_fee_is_on_the_bill_and_what_the_source_tells_stays(
    name: str, replay: ReplayServer, recorded_prometheus: RecordedPrometheus
) -> None:
    without = await costs(replay.url_of(name), None)
    found = await costs(replay.url_of(name), recorded_prometheus(name).url)
    assert Component.MANAGEMENT in without.not_measured
    assert found.not_measured == frozenset()
    assert found.bill == without.bill._replace(management=FEE)
    assert found.network_classes == without.network_classes
    assert found.status is Status.OK
    lines = {line.kind: line for line in found.lines}
    assert lines[Kind.OVERHEAD].costs.management == FEE
    everything = [*found.by("namespace"), *found.lines]
    assert Costs.sum(group.costs for group in everything) == found.bill
    assert not any(issue.kind is IssueKind.NOT_MEASURED for issue in found.issues)


async def test_days_asked_one_by_one_add_up_to_all_of_them(
    replay: ReplayServer, recorded_prometheus: RecordedPrometheus
) -> None:
    url, prometheus_url = replay.url_of("aurora"), recorded_prometheus("aurora").url
    days = [await costs(url, prometheus_url, parse_window(",".join(day), NOON_AFTER)) for day in DAYS]
    assert Costs.sum(day.bill for day in days) == (await costs(url, prometheus_url)).bill


FAILING = {
    "unreachable": None,
    "503": Reply(503, b"upstream connect error", "text/plain"),
    "500": Reply(500, b'{"status":"error","errorType":"internal","error":"boom"}'),
    "422": Reply(422, b'{"status":"error","errorType":"execution","error":"query processing would load too many"}'),
    "html": Reply(200, b"<html>sign in</html>", "text/html"),
    "empty": Reply(200, b""),
    "several": {
        "status": "success",
        "data": {
            "resultType": "matrix",
            "result": [{"metric": {"is": "fee", "cluster_id": name}, "values": [[1795136400, "0.1"]]} for name in "ab"],
        },
    },
    "not asked": {
        "status": "success",
        "data": {"resultType": "matrix", "result": [{"metric": {"job": "x"}, "values": [[1795136400, "0.1"]]}]},
    },
}


@pytest.mark.parametrize("fault", FAILING)
async def test_failing_prometheus_makes_the_answer_partial(fault: str, replay: ReplayServer) -> None:
    without = await costs(replay.url_of("cygnus"), None)
    with Served(lambda asked: _probed(FAILING[fault], asked.params["query"])) as server:
        url = "http://127.0.0.1:1" if fault == "unreachable" else server.url
        found = await costs(replay.url_of("cygnus"), url)
    assert (found.bill, found.not_measured) == (without.bill, without.not_measured)
    assert (without.status, found.status) == (Status.OK, Status.PARTIAL)
    (issue,) = [issue for issue in found.issues if issue.kind is IssueKind.SOURCE_FAILED and issue.subject != "savings"]
    assert (issue.source, issue.subject, issue.window) == (url, "infrastructure", WHOLE)
    assert "management can't be known without the metrics" in issue.message


def _probed(answer: object, query: str) -> object:
    if query.startswith("count_over_time(vector") and not isinstance(answer, Reply):
        point = {"metric": {}, "value": [1795136400, "2"]}
        return {"status": "success", "data": {"resultType": "vector", "result": [point]}}
    return answer


async def test_hanging_prometheus_is_cut_and_does_not_delay_costs(replay: ReplayServer) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = await costs(replay.url_of("cygnus"), f"http://127.0.0.1:{port}", deadline_seconds=2)
    assert found.coverage.hours_covered == 72
    assert found.status is Status.PARTIAL
    (issue,) = [issue for issue in found.issues if issue.subject == "infrastructure"]
    assert issue.facts["code"] == "deadline_passed"


async def test_empty_prometheus_leaves_the_fee_unknown(
    replay: ReplayServer, recorded_prometheus: RecordedPrometheus
) -> None:
    nothing = {"status": "success", "data": {"resultType": "matrix", "result": []}}
    with Served(lambda asked: _probed(nothing, asked.params["query"])) as server:
        found = await costs(replay.url_of("cygnus"), server.url)
    assert found.not_measured == {Component.MANAGEMENT}
    assert found.status is Status.OK
    assert {issue.subject for issue in found.issues if issue.kind is IssueKind.NOT_MEASURED} == {
        "infrastructure",
        Component.MANAGEMENT,
    }
