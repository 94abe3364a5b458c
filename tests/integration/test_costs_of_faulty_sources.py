"""What a cluster cost, asked of sources that misbehave over a real socket: an error, an issue, and never a silent zero.

Every fault of tests/faults.py is in one of the tables below; a test holds them to its list.
"""

import asyncio
import base64
import gzip
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from kubetally.domain.allocation import Kind
from kubetally.domain.cluster_choice import ClusterNotThere
from kubetally.domain.collection import CollectedDay
from kubetally.domain.component import Component, Costs
from kubetally.domain.errors import KubetallyError, SourceError
from kubetally.domain.fleet import Failed
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.question.cost_question import DetailLevel
from kubetally.domain.report import ClusterReport
from kubetally.domain.row import Cause
from kubetally.domain.status import Status
from kubetally.domain.window import Window, parse_window
from kubetally.ledger.accounts.snapshot import AccountSnapshot
from kubetally.ledger.collect.reader import Reader
from kubetally.ledger.costs.live import DeadlinePassed
from kubetally.ledger.ports.clusters import Cluster
from kubetally.present.answer import answer, failure
from kubetally.settings import Settings
from kubetally.sources.address import AddressRefused
from kubetally.sources.faults import (
    SourceFailed,
    SourceTimeout,
    SourceUnavailable,
)
from kubetally.sources.opener import AccountOpener
from kubetally.wiring.clusters import get_cluster_costs, get_costs_of_all
from kubetally.wiring.sources import source_opener
from tests.errors import raises_code
from tests.faults import KINDS, OTHER_CLUSTER, FaultServer
from tests.recordings import DAYS, Recording
from tests.served import NOON_AFTER, NOT_FOUND, Asked, FixedClock, Reply, Served
from tests.service import account

DAY = parse_window(",".join(DAYS[0]), NOON_AFTER)
WHOLE = parse_window(f"{DAYS[0][0]},{DAYS[-1][1]}", NOON_AFTER)
# One try, so that no test waits for a pause between two.
HASTY = Settings(attempts=1, read_seconds=5, connect_seconds=5, deadline_seconds=20, max_answer_mib=4)
SECRETS = ("scout", "hush-hush", base64.b64encode(b"scout:hush-hush").decode())

# These sources return nothing: the code of the error, and words of its message.
FAILING: dict[str, tuple[str, str]] = {
    "500": ("source_failed", "prometheus communication error"),
    "503": ("source_unavailable", "upstream connect error"),
    "code500": ("source_failed", "prometheus communication error"),
    "html": ("answer_not_understood", "web page"),
    "empty": ("answer_not_understood", "empty body"),
    "huge": ("answer_too_large", "more than the limit"),
    "redirect": ("redirect_refused", "169.254.169.254"),
    "textbefore": ("answer_not_understood", "Warning: some of the data"),
    "truncated": ("answer_truncated", "broke off"),
    "wrongwindow": ("wrong_window", "was asked for 2026-11-20T00:00:00Z"),
}
# Answers with an issue: its kind, the status, whether the day is assets_complete still.
ANSWERING: dict[str, tuple[IssueKind, Status, bool]] = {
    "nocosts": (IssueKind.FIGURE_MISSING, Status.PARTIAL, False),
    "nan": (IssueKind.NOT_A_NUMBER, Status.PARTIAL, False),
    "duplicate": (IssueKind.DUPLICATE_ROWS, Status.OK, True),
    "skew": (IssueKind.CLOCK_DIFFERS, Status.OK, True),
    "lostnode": (IssueKind.RESOURCE_WITHOUT_ASSET, Status.PARTIAL, False),  # pods of DaemonSets run on it: a machine
    "lostdisk": (IssueKind.RESOURCE_WITHOUT_ASSET, Status.OK, False),
    "lostbalancer": (IssueKind.RESOURCE_WITHOUT_ASSET, Status.OK, False),
    "noassets": (IssueKind.SOURCE_FAILED, Status.PARTIAL, False),
    "emptyassets": (IssueKind.NOT_AUDITED, Status.OK, False),
    "nullset": (IssueKind.WINDOW_WITHOUT_DATA, Status.NO_DATA, False),
}
IN_TESTS_OF_THEIR_OWN = {"flaky", "hang", "hourly", "slow", "twoclusters"}


async def ask(
    url: str, window: Window = DAY, *, settings: Settings = HASTY, now: datetime = NOON_AFTER, **cluster: Any
) -> ClusterReport:
    return await get_cluster_costs(Cluster(url, **cluster), window, settings=settings, clock=FixedClock(now))


async def sound(faulty: FaultServer, window: Window = DAY) -> ClusterReport:
    return await ask(faulty.url_of("aurora"), window)


def of_kind(costs: ClusterReport, kind: IssueKind) -> list[Issue]:
    return [issue for issue in costs.issues if issue.kind is kind]


def window(text: str) -> Window:
    return parse_window(text, NOON_AFTER)


def instead(override: Callable[[Asked], Any]) -> Callable[[Asked], Any]:
    """The recorded aurora, but for the questions that `override` answers."""

    def answers(asked: Asked) -> Any:
        said = override(asked)
        if said is not None:
            return said
        recorded = Recording("aurora").cluster.find(asked.path, asked.params)
        if recorded is None:
            return NOT_FOUND
        return Reply(recorded.status, recorded.body(), recorded.content_type or "text/plain")

    return answers


def of_day(day: int, path: str = "/allocation") -> Callable[[Asked], bool]:
    return lambda asked: asked.path == path and asked.params["window"].startswith(DAYS[day][0])


def in_gzip_members(body: bytes) -> Reply:
    """As servers send it that flush compressed chunks: several whole members, one of them empty."""
    cuts = (0, 1, 1, len(body) // 2, len(body))
    members = (gzip.compress(body[first:last]) for first, last in itertools.pairwise(cuts))
    return Reply(200, b"".join(members), headers={"Content-Encoding": "gzip"})


# The same JSON, sent in ways that are unusual and sound.
UNUSUAL: dict[str, Callable[[bytes], Reply]] = {
    "gzip of several members": in_gzip_members,
    "byte order mark": lambda body: Reply(200, b"\xef\xbb\xbf" + body),
    "gzip with byte order mark": lambda body: in_gzip_members(b"\xef\xbb\xbf" + body),
    "text/html": lambda body: Reply(200, body, "text/html; charset=utf-8"),
    "text/plain": lambda body: Reply(200, b"\n" + body, "text/plain"),
}

BROKEN = Reply(500, b'{"code":500,"message":"Error: out of memory"}')


def test_every_fault_has_a_test() -> None:
    assert KINDS.keys() == FAILING.keys() | ANSWERING.keys() | IN_TESTS_OF_THEIR_OWN


@pytest.mark.parametrize("send", UNUSUAL.values(), ids=UNUSUAL)
async def test_json_counts_as_it_is_however_it_is_sent(faulty: FaultServer, send: Callable[[bytes], Reply]) -> None:
    def sent(asked: Asked) -> Reply | None:
        recorded = Recording("aurora").cluster.find(asked.path, asked.params)
        return send(recorded.body()) if recorded and recorded.status == 200 else None

    with Served(instead(sent)) as server:
        costs = await ask(server.url)
    expected = await sound(faulty)
    assert (costs.bill, costs.status, len(costs.issues)) == (expected.bill, Status.OK, len(expected.issues))
    assert costs.source.version == expected.source.version is not None


@pytest.mark.parametrize(("kind", "expected"), FAILING.items())
async def test_unreadable_source_is_a_typed_error_logged_in_one_line(
    faulty: FaultServer, kind: str, expected: tuple[str, str]
) -> None:
    began = time.monotonic()
    with capture_logs() as logs, raises_code(expected[0]) as caught:
        await ask(faulty.fault_url(kind, "aurora"), name="the aurora account")
    elapsed = time.monotonic() - began
    assert isinstance(caught.value, SourceError)
    assert expected[1] in str(caught.value)
    assert faulty.fault_url(kind, "aurora") in str(caught.value)
    failures = [line for line in logs if line["log_level"] == "warning"]
    (mine,) = (line for line in failures if line["path"] == "/allocation")
    assert mine["account"] == "the aurora account"
    assert mine["source"] == faulty.fault_url(kind, "aurora")
    assert mine["error"] == caught.value.code
    assert 0 < mine["duration_seconds"] < elapsed + 0.001


@pytest.mark.parametrize(("kind", "expected"), ANSWERING.items())
async def test_what_is_wrong_with_an_answer_is_an_issue_on_it(
    faulty: FaultServer, kind: str, expected: tuple[IssueKind, Status, bool]
) -> None:
    costs = await ask(faulty.fault_url(kind, "aurora"))
    (issue,) = of_kind(costs, expected[0])
    assert (costs.status, costs.assets_complete) == expected[1:]
    assert issue.window == DAY
    assert issue.source == costs.source.url
    body = answer(costs, DetailLevel.NAMESPACE)
    listed = body["errors" if issue.is_missing_data else "issues"]
    assert issue.message in [one["message"] for one in listed]
    if costs.status is not Status.NO_DATA:
        assert costs.bill.total > 0
        assert Costs.sum(row.costs for row in (*costs.rows, *costs.lines)) == costs.bill


async def test_no_data_has_null_figures_and_no_zero(faulty: FaultServer) -> None:
    body = answer(await ask(faulty.fault_url("nullset", "aurora"), WHOLE), DetailLevel.WORKLOAD)
    assert body["status"] == "no_data"
    assert set(body["summary"].values()) == {None}
    assert set(body["breakdown"].values()) == {None}
    assert set(body["efficiency"].values()) == {None}
    assert (body["idle_cost"], body["unallocated_cost"]) == (None, None)
    assert body["coverage"] == {"hours_asked": 72, "hours_covered": 0, "state": None}
    assert not {"lines", "breakdown_by_namespace", "breakdown_by_workload"} & body.keys()
    assert [(error["start"], error["end"]) for error in body["errors"]] == [(DAYS[0][0], DAYS[2][1])]


async def test_a_closed_port_is_an_unavailable_source() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with pytest.raises(SourceUnavailable, match="Connection refused"):
        await ask(url)


async def test_a_metadata_address_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(AddressRefused, match="metadata service"):
        await ask("http://169.254.169.254")


async def test_hanging_cluster_is_cut_and_the_others_are_whole(faulty: FaultServer) -> None:
    clusters = [Cluster(faulty.fault_url("hang", "aurora")), Cluster(faulty.url_of("cygnus"))]
    done: list[None] = []
    with capture_logs() as logs:
        hanging, whole = await get_costs_of_all(
            clusters,
            DAY,
            settings=Settings(attempts=1, deadline_seconds=3),
            clock=FixedClock(),
            done=lambda: done.append(None),
        )
    assert isinstance(hanging, Failed)
    assert isinstance(hanging.error, DeadlinePassed | SourceTimeout)
    assert " 3 s" in str(hanging.error)
    warned = [line for line in logs if line["log_level"] == "warning"]
    assert warned
    assert {line["source"] for line in warned} == {str(clusters[0].url)}
    body = failure(hanging.error, hanging.source)
    assert (body["status"], body["source"]["url"]) == ("error", str(clusters[0].url))
    assert body["errors"][0]["code"] == hanging.error.code
    assert isinstance(whole, ClusterReport)
    assert whole.status is Status.OK
    assert len(done) == 2


def slow(seconds: float) -> Callable[[Asked], Any]:
    """Computes costs so long before its first byte, as an OpenCost of a large cluster does for a minute."""

    def compute(asked: Asked) -> None:
        if asked.path in {"/allocation", "/assets"}:
            threading.Event().wait(seconds)

    return instead(compute)


async def test_costs_may_take_longer_than_the_read_limit() -> None:
    with Served(slow(0.3)) as server:
        costs = await ask(server.url, settings=replace(HASTY, read_seconds=0.1))
    assert (costs.status, costs.assets_complete, costs.coverage.hours_covered) == (Status.OK, True, 24)


async def test_days_of_a_slow_source_are_collected() -> None:
    settings = replace(HASTY, read_seconds=0.1)
    with Served(slow(0.3)) as server:
        only = account(1, server.url)
        fleet = (only,)

        async def all_accounts() -> AccountSnapshot:
            return fleet

        opener = AccountOpener(all_accounts, source_opener(settings))
        reader = Reader(opener.source, opener.metrics, FixedClock(), deadline_seconds=settings.deadline_seconds)
        days = [day async for day in reader.days(only, [date(2026, 11, 20), date(2026, 11, 21)])]
    assert [type(day) for day in days] == [CollectedDay] * 2


async def test_shorter_window_is_advised_only_for_several_days() -> None:
    advice = "ask for a shorter window, or raise KUBETALLY_DEADLINE_SECONDS"
    messages = []
    with Served(slow(5)) as server:
        for asked in (DAY, WHOLE):
            with pytest.raises(DeadlinePassed, match=r"within the overall deadline of 0\.2 s") as caught:
                await ask(server.url, asked, settings=replace(HASTY, deadline_seconds=0.2))
            messages.append(str(caught.value))
    assert "window" not in messages[0]
    assert "raise KUBETALLY_DEADLINE_SECONDS" in messages[0]
    assert advice in messages[1]


async def test_a_slow_source_is_waited_for(faulty: FaultServer) -> None:
    asking = asyncio.create_task(ask(faulty.fault_url("slow", "aurora")))
    while not any(asked.path == "/allocation" for asked in faulty.asked):  # noqa: ASYNC110  (it has a thread of its own)
        await asyncio.sleep(0)
    assert not asking.done()
    faulty.release.set()
    assert (await asking).bill == (await sound(faulty)).bill


async def test_a_source_that_fails_once_is_asked_again(faulty: FaultServer) -> None:
    costs = await ask(faulty.fault_url("flaky", "aurora"), settings=Settings(attempts=2))
    assert costs.status is Status.OK
    assert costs.bill == (await sound(faulty)).bill


@pytest.mark.parametrize("day", range(3))
async def test_failed_day_of_three_is_missing_and_the_others_are_whole(day: int) -> None:
    with Served(instead(lambda asked: BROKEN if of_day(day)(asked) else None)) as source:
        costs = await ask(source.url, WHOLE)
    with Served(instead(lambda _: None)) as source:
        days = [await ask(source.url, window(",".join(DAYS[other]))) for other in range(3) if other != day]
    assert costs.status is Status.PARTIAL
    assert (costs.coverage.hours_asked, costs.coverage.hours_covered) == (72, 48)
    assert costs.bill == Costs.sum(one.bill for one in days)
    (issue,) = of_kind(costs, IssueKind.SOURCE_FAILED)
    assert issue.window == window(",".join(DAYS[day]))
    assert "out of memory" in issue.message
    (error,) = answer(costs, DetailLevel.SUMMARY)["errors"]
    assert (error["start"], error["end"], error["code"]) == (*DAYS[day], "source_failed")


async def test_two_failed_days_do_not_hide_the_day_between_them() -> None:
    with Served(instead(lambda asked: BROKEN if of_day(0)(asked) or of_day(2)(asked) else None)) as source:
        costs = await ask(source.url, WHOLE)
    missing = [issue.window for issue in of_kind(costs, IssueKind.SOURCE_FAILED)]
    assert missing == [window(",".join(DAYS[0])), window(",".join(DAYS[2]))]


async def test_all_days_failing_is_an_error_and_not_an_answer() -> None:
    with (
        Served(instead(lambda asked: BROKEN if asked.path == "/allocation" else None)) as source,
        pytest.raises(SourceFailed, match="out of memory"),
    ):
        await ask(source.url, WHOLE)


async def test_hours_without_data_inside_of_a_day_are_named(faulty: FaultServer) -> None:
    def without_two_hours(asked: Asked) -> Any:
        if asked.path != "/allocation":
            return None
        content = Recording("aurora").json("matrix-day1-1h-default")
        content["data"][5] = None
        content["data"][6] = {}
        return content

    with Served(instead(without_two_hours)) as source:
        costs = await ask(source.url)
    assert costs.status is Status.PARTIAL
    assert (costs.coverage.hours_asked, costs.coverage.hours_covered) == (24, 22)
    (issue,) = of_kind(costs, IssueKind.WINDOW_WITHOUT_DATA)
    assert issue.window == window("2026-11-20T05:00:00Z,2026-11-20T07:00:00Z")
    assert not costs.assets_complete, "assets of a whole day are no bill for the rows of 22 hours"
    assert costs.bill.cpu < (await sound(faulty)).bill.cpu


@pytest.mark.parametrize("answer_of", ["/allocation", "/assets"])
async def test_a_window_that_is_none_spoils_its_own_day_only(answer_of: str) -> None:
    def garbled(asked: Asked) -> Any:
        if asked.path != answer_of or not asked.params["window"].startswith("2026-11-21"):
            return None
        content = Recording("aurora").json("allocation-day2-idle" if answer_of == "/allocation" else "assets-day2")
        sets = content["data"] if answer_of == "/allocation" else [content["data"]]
        for row in sets[0].values():
            row["window"] = {"start": "?", "end": "2026-11-22T00:00:00Z"}
        return content

    with Served(instead(garbled)) as source, capture_logs() as logs:
        costs = await ask(source.url, WHOLE)
    assert costs.status is Status.PARTIAL
    assert costs.coverage.hours_covered == (48 if answer_of == "/allocation" else 72)
    (issue,) = of_kind(costs, IssueKind.SOURCE_FAILED)
    assert source.url in issue.message
    assert "an invalid window" in issue.message
    assert answer_of != "/allocation" or any(line.get("path") == "/allocation" for line in logs)


@pytest.mark.parametrize(
    "said",
    [b'{"version": NaN}', b'{"code":200,"status":"success","data":null}', b"[1,2]", b"null", b'"x"', b"\xff\xfe"],
    ids=["nan", "null data", "list", "null", "text", "no utf-8"],
)
async def test_an_odd_word_about_itself_leaves_a_source_its_costs(said: bytes) -> None:
    paths = {"/installInfo", "/clusterInfo", "/clusterInfoMap", "/getConfigs"}
    with Served(instead(lambda asked: Reply(200, said) if asked.path in paths else None)) as source:
        costs = await ask(source.url)
        assert costs.status is Status.OK
        assert costs.source.cluster_id is None
        chosen = await ask(source.url, cluster_id="aurora")
    assert chosen.bill == costs.bill


async def test_hourly_sets_where_a_day_was_asked_make_the_same_bill(faulty: FaultServer) -> None:
    by_hour, by_day = await ask(faulty.fault_url("hourly", "aurora")), await sound(faulty)
    assert by_hour.status is Status.OK
    assert by_hour.assets_complete
    assert by_hour.coverage.hours_covered == 24
    assert not of_kind(by_hour, IssueKind.ROWS_MERGED_BY_SOURCE)
    assert not of_kind(by_hour, IssueKind.SET_PRORATED)
    for component in Component:
        # Of what is on the bill by allocations, a figure an hour is rounded where there was one a day.
        allowed = 5 * 24 * len(by_day.rows) if component is Component.NETWORK else 0
        assert abs(by_hour.bill.of(component) - by_day.bill.of(component)) <= allowed, component
    ours = {group.key[0]: group.costs.total for group in by_hour.by("namespace")}
    # The source gets other figures from hours than from a day: balancers and shared claims are up to 8 % apart.
    for group in by_day.by("namespace"):
        assert ours[group.key[0]] == pytest.approx(group.costs.total, rel=0.02), group.key[0]
    assert by_hour.efficiency.cpu == pytest.approx(by_day.efficiency.cpu, rel=0.001)


async def test_rows_that_come_twice_count_once(faulty: FaultServer) -> None:
    costs, expected = await ask(faulty.fault_url("duplicate", "aurora")), await sound(faulty)
    assert costs.bill == expected.bill
    assert costs.source_total == expected.source_total
    assert [group.costs for group in costs.by("namespace")] == [group.costs for group in expected.by("namespace")]


@pytest.mark.parametrize("kind", ["nan", "nocosts"])
async def test_a_figure_that_is_none_is_no_free_workload_in_silence(faulty: FaultServer, kind: str) -> None:
    costs, expected = await ask(faulty.fault_url(kind, "aurora")), await sound(faulty)
    (issue,) = of_kind(costs, IssueKind.FIGURE_MISSING)
    assert "cpuCost" in issue.message
    assert costs.status is Status.PARTIAL
    assert not costs.assets_complete
    # The nodes were paid for: what their workload lacks stands as difference, not as external cost, not as idle.
    assert costs.bill.external == 0
    # A part of a node that is null (kind nan) is what the node's total leaves for it.
    assert costs.bill == expected.bill
    difference = costs.balance[Component.CPU].difference
    assert difference == expected.bill.cpu - sum(costs.balance[Component.CPU][1:5])
    assert difference > 0
    line = next(line for line in costs.lines if line.kind is Kind.DIFFERENCE)
    assert Cause.FIGURE_MISSING in dict(line.causes)
    assert Cause.UNKNOWN not in dict(line.causes)


@pytest.mark.parametrize(
    ("kind", "named", "component"),
    [
        ("lostnode", "node ip-", Component.CPU),
        ("lostdisk", "volume ", Component.PV),
        ("lostbalancer", "load balancer shop/storefront-lb", Component.LOAD_BALANCER),
    ],
)
async def test_what_is_charged_without_an_asset_enters_the_bill_by_name(
    faulty: FaultServer, kind: str, named: str, component: Component
) -> None:
    costs, expected = await ask(faulty.fault_url(kind, "aurora")), await sound(faulty)
    (issue,) = of_kind(costs, IssueKind.RESOURCE_WITHOUT_ASSET)
    assert named in issue.message
    assert not costs.assets_complete
    assert costs.bill.of(component) > 0
    assert 0.5 < costs.bill.of(component) / expected.bill.of(component) < 1.5


@pytest.mark.parametrize("kind", ["noassets", "emptyassets"])
async def test_without_assets_the_bill_is_the_sum_of_the_rows(faulty: FaultServer, kind: str) -> None:
    costs = await ask(faulty.fault_url(kind, "aurora"))
    assert costs.bill.total == pytest.approx(costs.source_total, abs=1000)
    assert {Component.NODE_DISK, Component.MANAGEMENT} <= costs.not_measured
    assert answer(costs, DetailLevel.SUMMARY)["summary"]["node_disk_cost"] is None
    assert not costs.balance[Component.CPU].difference


async def test_a_source_of_several_clusters_names_them(faulty: FaultServer) -> None:
    with raises_code("several_clusters") as caught:
        await ask(faulty.fault_url("twoclusters", "aurora"))
    assert f"aurora, {OTHER_CLUSTER}" in str(caught.value)
    assert "--cluster-id" in str(caught.value)


@pytest.mark.parametrize("cluster_id", ["aurora", OTHER_CLUSTER])
async def test_a_chosen_cluster_has_its_own_figures_only(faulty: FaultServer, cluster_id: str) -> None:
    costs, expected = (
        await ask(faulty.fault_url("twoclusters", "aurora"), cluster_id=cluster_id),
        await sound(faulty),
    )
    assert costs.bill == expected.bill
    assert costs.source.cluster_id == cluster_id
    assert costs.assets_complete


async def test_unknown_cluster_is_an_error_that_names_the_known_ones(faulty: FaultServer) -> None:
    with pytest.raises(ClusterNotThere) as caught:
        await ask(faulty.fault_url("twoclusters", "aurora"), cluster_id="australis")
    assert f"aurora, {OTHER_CLUSTER}" in str(caught.value)
    assert "'australis'" in str(caught.value)


async def test_assets_of_an_idle_cluster_are_not_billed_to_another() -> None:
    def with_another_node(asked: Asked) -> Any:
        if asked.path != "/assets":
            return None
        content = Recording("aurora").json("assets-day1")
        key, node = next((key, row) for key, row in content["data"].items() if row["type"] == "Node")
        other = json.loads(json.dumps(node))
        other["properties"]["cluster"] = OTHER_CLUSTER
        content["data"][key + "/again"] = other
        return content

    with Served(instead(with_another_node)) as source:
        with raises_code("several_clusters"):
            await ask(source.url)
        costs = await ask(source.url, cluster_id="aurora")
    assert costs.bill.cpu == 28_699_200


async def test_a_skewed_clock_is_told_with_its_minutes(faulty: FaultServer) -> None:
    (issue,) = of_kind(await ask(faulty.fault_url("skew", "aurora")), IssueKind.CLOCK_DIFFERS)
    assert "+60 minutes" in issue.message


def counting_in(currency: str) -> Callable[[Asked], Any]:
    return lambda asked: {"code": 200, "data": {"currencyCode": currency}} if asked.path == "/getConfigs" else None


async def test_another_currency_than_stated_is_an_error() -> None:
    with Served(instead(counting_in("EUR"))) as source:
        with raises_code("currency_differs", match="counts in EUR, the account in USD"):
            await ask(source.url, currency="USD")
        assert (await ask(source.url, currency="EUR")).currency == "EUR"
        assert (await ask(source.url)).currency == "EUR"


async def test_a_currency_that_can_not_be_asked_is_assumed_and_said_so() -> None:
    with Served(instead(lambda asked: BROKEN if asked.path == "/getConfigs" else None)) as source:
        costs = await ask(source.url)
    assert costs.currency == "USD"
    assert costs.status is Status.OK
    (issue,) = of_kind(costs, IssueKind.SOURCE_WARNING)
    assert "USD is assumed" in issue.message


async def test_a_window_that_is_not_over_counts_its_whole_hours(faulty: FaultServer) -> None:
    costs = await ask(faulty.url_of("aurora"), WHOLE, now=datetime(2026, 11, 21, 12, 40, tzinfo=UTC))
    assert (costs.coverage.hours_asked, costs.coverage.hours_covered) == (36, 36)
    (issue,) = of_kind(costs, IssueKind.WINDOW_NOT_OVER)
    assert "2026-11-21T12:00:00Z" in issue.message
    assert costs.window == WHOLE
    assert not any("2026-11-22" in asked.params.get("window", "") for asked in faulty.asked)


async def test_a_window_in_the_future_is_no_data(faulty: FaultServer) -> None:
    first = datetime(2027, 1, 1, tzinfo=UTC)
    costs = await ask(faulty.url_of("aurora"), Window(first, first + timedelta(days=1)))
    assert costs.status is Status.NO_DATA
    assert of_kind(costs, IssueKind.WINDOW_NOT_OVER)
    assert set(answer(costs, DetailLevel.SUMMARY)["summary"].values()) == {None}


async def test_half_a_day_without_assets_is_the_sum_of_its_rows(faulty: FaultServer) -> None:
    """Of half days the recordings have allocations only, as a Kubecost has that keeps its assets by the day."""
    halves = [
        await ask(faulty.url_of("aurora"), window(f"{start},{end}"))
        for start, end in (("2026-11-21T00:00:00Z", "2026-11-21T12:00:00Z"), ("2026-11-21T12:00:00Z", "2026-11-22"))
    ]
    for half, name in zip(halves, ("morning", "evening"), strict=True):
        rows = Recording("aurora").json(f"matrix-day2-{name}-nostep-default")["data"][0].values()
        assert half.coverage.hours_covered == 12
        assert not half.assets_complete
        assert half.bill.total / 1e6 == pytest.approx(sum(row["totalCost"] for row in rows), abs=1e-3)
    asked = [request.params["window"] for request in faulty.asked if request.path == "/allocation"]
    assert asked == ["2026-11-21T00:00:00Z,2026-11-21T12:00:00Z", "2026-11-21T12:00:00Z,2026-11-22T00:00:00Z"]


async def test_assets_of_another_window_are_no_bill_for_half_a_day() -> None:
    def whole_days(asked: Asked) -> Any:
        return Recording("aurora").json("assets-day2") if asked.path == "/assets" else None

    with Served(instead(whole_days)) as source:
        costs = await ask(source.url, window("2026-11-21T00:00:00Z,2026-11-21T12:00:00Z"))
    assert costs.status is Status.OK
    assert not costs.assets_complete
    assert of_kind(costs, IssueKind.NOT_AUDITED)
    assert Component.NODE_DISK in costs.not_measured


def by_the_hour(asked: Asked) -> Any:
    """Single hours of the first day, as recorded in one answer of hourly steps."""
    if asked.path == "/assets":
        return NOT_FOUND
    if asked.path != "/allocation":
        return None
    start, end = (datetime.fromisoformat(text) for text in asked.params["window"].split(","))
    steps = Recording("aurora").json("matrix-day1-1h-default")["data"]
    assert end - start == timedelta(hours=1)
    return {"code": 200, "data": [steps[start.hour]]}


async def test_an_edge_within_an_hour_is_that_hour_prorated() -> None:
    with Served(instead(by_the_hour)) as source:
        first = await ask(source.url, window("2026-11-20T10:00:00Z,2026-11-20T10:45:00Z"))
        second = await ask(source.url, window("2026-11-20T10:45:00Z,2026-11-20T11:00:00Z"))
        both = await ask(source.url, window("2026-11-20T10:00:00Z,2026-11-20T11:00:00Z"))
        ragged = await ask(source.url, window("2026-11-20T10:45:00Z,2026-11-20T11:20:00Z"))
    assert first.bill.plus(second.bill) == both.bill
    assert first.bill.total == pytest.approx(both.bill.total * 0.75, abs=100)
    assert (first.coverage.hours_covered, second.coverage.hours_covered) == (0.75, 0.25)
    assert ragged.coverage.hours_covered == pytest.approx(35 / 60)
    for costs in (first, second, ragged):
        (issue,) = of_kind(costs, IssueKind.EDGES_PRORATED)
        assert issue.window == costs.window
    assert not of_kind(both, IssueKind.EDGES_PRORATED)
    asked = [request.params["window"] for request in source.asked if request.path == "/allocation"]
    assert all(
        start.endswith(":00:00Z") and end.endswith(":00:00Z") for start, end in (one.split(",") for one in asked)
    )


async def test_a_window_of_no_length_costs_nothing_and_asks_for_no_cost(faulty: FaultServer) -> None:
    costs = await ask(faulty.url_of("aurora"), window("2026-11-21,2026-11-21"))
    body = answer(costs, DetailLevel.NAMESPACE)
    assert body["status"] == "ok"
    assert body["summary"]["total_cost"] == 0
    assert body["coverage"] == {"hours_asked": 0, "hours_covered": 0, "state": None}
    assert "breakdown_by_namespace" not in body
    assert not any(asked.path == "/allocation" for asked in faulty.asked)


@pytest.mark.parametrize("kind", [*FAILING, "nullset", "noassets", "nan", "twoclusters"])
async def test_user_and_password_of_a_url_are_nowhere_to_be_read(faulty: FaultServer, kind: str) -> None:
    url = faulty.fault_url(kind, "aurora").replace("http://", "http://scout:hush-hush@")
    told: list[object] = []
    with capture_logs() as logs:
        (found,) = await get_costs_of_all([Cluster(url)], DAY, settings=HASTY, clock=FixedClock())
    if isinstance(found, Failed):
        error: BaseException | None = found.error
        assert isinstance(error, KubetallyError)
        told += [failure(error, found.source), found.source]
        while error is not None:
            told += [str(error), repr(error), getattr(error, "__dict__", {})]
            error = error.__cause__ or error.__context__
    else:
        told += [answer(found, DetailLevel.WORKLOAD), found.source, found.issues]
    shown = repr(told) + repr(logs)
    assert "***@127.0.0.1" in shown
    for secret in SECRETS:
        assert secret not in shown
