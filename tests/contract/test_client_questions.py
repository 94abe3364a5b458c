"""Requests of the client as they are sent, and as the recorded OpenCost answers them."""

import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kubetally.domain.errors import RequestError
from kubetally.domain.question.comma_lists import parse_list_filters
from kubetally.domain.question.filter import AllOf, Condition, Field, Filter, Op
from kubetally.domain.window import Window, parse_instant, parse_window
from kubetally.samples.replay import ReplayServer
from kubetally.sources.access import Access
from kubetally.sources.faults import SourceRefused
from kubetally.sources.opencost.client import CostModelClient
from kubetally.sources.opencost.source import CostModelSource
from kubetally.sources.transport import Transport
from tests.errors import raises_code
from tests.recordings import DAYS, Recording
from tests.served import NOON_AFTER, NOT_FOUND, Asked, Reply, Served

WHOLE = parse_window(f"{DAYS[0][0]},{DAYS[-1][1]}", NOON_AFTER)
IN_SHOP = Condition(Field.NAMESPACE, Op.EQUALS, ("shop",))


@pytest.fixture
async def aurora(replay: ReplayServer) -> AsyncIterator[CostModelClient]:
    async with Transport(Access.parse(replay.url_of("aurora"))) as transport:
        yield CostModelClient(transport)


async def test_currency_is_requested_along_with_assets() -> None:
    recorded, currency_asked = Recording("aurora"), threading.Event()

    def answers(asked: Asked) -> Any:
        if asked.path == "/getConfigs":
            currency_asked.set()
            return {"code": 200, "data": {"currencyCode": "EUR"}}
        if asked.path == "/assets" and not currency_asked.wait(30):
            return NOT_FOUND
        return recorded.json("allocation-day1-idle" if asked.path == "/allocation" else "assets-day1")

    with Served(answers) as server:
        async with Transport(Access.parse(server.url)) as transport:
            reading = await CostModelSource(CostModelClient(transport)).read(Window(*map(parse_instant, DAYS[0])))
    assert (reading.currency, reading.assets is None) == ("EUR", False)
    assert [asked.path for asked in server.asked].count("/getConfigs") == 1


async def question(where: Filter | None = None, **asked: Any) -> list[tuple[str, str]]:
    """The parameters of a request except the window."""
    with Served(lambda _: {"code": 200, "data": [{}]}) as source:
        async with Transport(Access.parse(source.url)) as transport:
            await CostModelClient(transport).allocations(WHOLE, where=where, **asked)
    (one,) = source.asked
    assert one.pairs[0] == ("window", "2026-11-20T00:00:00Z,2026-11-23T00:00:00Z")
    return list(one.pairs[1:])


@pytest.mark.parametrize(
    ("aggregate", "recorded"),
    [
        ("namespace", "by-namespace"),
        ("pod", "by-pod"),
        ("controller", "by-controller"),
        ("service", "by-service"),
        ("label:app", "by-label-app"),
        ("cluster", "by-cluster"),
        ("node", "by-node"),
        ("controllerKind", "by-controllerKind"),
        ("CONTROLLERKIND", "by-controllerKind"),
        ("container", "by-container"),
        ("deployment", "by-deployment"),
        ("statefulset", "by-statefulset"),
        ("daemonset", "by-daemonset"),
        ("job", "by-job"),
        ("team", "by-team"),
        ("department", "by-department"),
        ("annotation:owner", "by-annotation-owner"),
        ("label:does-not.exist", "by-label-does_not_exist"),
        ("namespace, controller", "by-namespace+controller"),
        ("cluster,namespace,pod", "by-cluster+namespace+pod"),
        ("namespace,label:team", "by-namespace+label-team"),
        ("all", "by-all"),
    ],
)
async def test_each_aggregate_is_sent_and_its_answer_read(
    aurora: CostModelClient, aggregate: str, recorded: str
) -> None:
    answered = await aurora.allocations(WHOLE, aggregate=aggregate, step="1d")
    expected = Recording("aurora").json(recorded)["data"]
    assert [list(step) for step in answered.sets] == [list(step) for step in expected]
    for step, rows in zip(answered.sets, expected, strict=True):
        for name, row in step.items():
            assert row.total_cost == rows[name]["totalCost"]
            assert row.cpu_cost == rows[name]["cpuCost"]
    assert not answered.filtered_here


async def test_sets_can_be_accumulated_and_idle_left_out(aurora: CostModelClient) -> None:
    (accumulated,) = (await aurora.allocations(WHOLE, aggregate="namespace", step="1d", accumulate=True)).sets
    assert accumulated.keys() == Recording("aurora").json("by-namespace-accumulated")["data"][0].keys()
    without_idle = await aurora.allocations(WHOLE, step="1d", idle=False)
    assert [step.keys() for step in without_idle.sets] == [
        step.keys() for step in Recording("aurora").json("days-default")["data"]
    ]


@pytest.mark.parametrize("aggregate", ["namespaces", "unknown-word", "label", "label:", "all,namespace", " ", "pod,"])
async def test_aggregate_that_the_source_would_ignore_is_refused(
    replay: ReplayServer, aurora: CostModelClient, aggregate: str
) -> None:
    asked = len(replay.asked)
    with pytest.raises(RequestError, match="the aggregate"):
        await aurora.allocations(WHOLE, aggregate=aggregate)
    assert len(replay.asked) == asked


async def test_request_has_the_spelling_of_both_products() -> None:
    assert await question() == [("includeIdle", "true"), ("idle", "true")]
    assert await question(aggregate="namespace,label:app", step="1d", accumulate=True, idle=False) == [
        ("includeIdle", "false"),
        ("idle", "false"),
        ("aggregate", "namespace,label:app"),
        ("step", "1d"),
        ("accumulate", "true"),
    ]


async def test_a_filter_goes_out_in_both_grammars() -> None:
    where = parse_list_filters(namespaces="production,staging", labels="app=backend,env=prod")
    assert (await question(where))[2:] == [
        ("filter", 'namespace:"production","staging"+(label[app]:"backend"|label[env]:"prod")'),
        ("filterNamespaces", "production,staging"),
        ("filterLabels", "app:backend,env:prod"),
    ]


async def test_filter_that_v1_can_not_express_is_sent_as_v2_only() -> None:
    where = Condition(Field.NAMESPACE, Op.NOT_CONTAINS, ("kube",))
    assert (await question(where))[2:] == [("filter", 'namespace!~:"kube"')]


async def test_special_characters_of_a_url_arrive_unchanged() -> None:
    where = Condition(Field.LABEL, Op.EQUALS, ("a&b=c +#%2B",), "app.kubernetes.io/name")
    assert ("filter", 'label[app_kubernetes_io_name]:"a&b=c +#%2B"') in await question(where)
    with pytest.raises(RequestError, match="can't be sent"):
        await question(Condition(Field.NAMESPACE, Op.EQUALS, ('say "hi"',)))


async def test_rows_of_a_source_that_ignores_filters_are_filtered(aurora: CostModelClient) -> None:
    answered = await aurora.allocations(WHOLE, where=IN_SHOP, step="1d")
    assert answered.filtered_here
    for step, rows in zip(answered.sets, Recording("aurora").json("days-idle")["data"], strict=True):
        assert step.keys() == {name for name, row in rows.items() if row["properties"].get("namespace") == "shop"}
        assert step


@pytest.mark.parametrize(
    ("where", "keeps"),
    [
        (Condition(Field.TEAM, Op.EQUALS, ("finance",)), lambda row: row.get("labels", {}).get("team") == "finance"),
        (
            Condition(Field.LABEL, Op.PREFIX, ("s",), "team"),
            lambda row: row.get("labels", {}).get("team", "").startswith("s"),
        ),
        (Condition(Field.SERVICES, Op.EQUALS, ("cart",)), lambda row: "cart" in row.get("services", [])),
        (Condition(Field.NODE, Op.NOT_EQUALS, ("",)), lambda row: bool(row.get("node"))),
    ],
)
async def test_unmerged_rows_have_every_filtered_field(aurora: CostModelClient, where: Filter, keeps: Any) -> None:
    answered = await aurora.allocations(WHOLE, where=where, step="1d")
    for step, rows in zip(answered.sets, Recording("aurora").json("days-idle")["data"], strict=True):
        expected = {name for name, row in rows.items() if keeps(row["properties"])}
        assert step.keys() == expected
        assert expected


async def test_grouped_rows_are_filtered_by_their_group(aurora: CostModelClient) -> None:
    answered = await aurora.allocations(WHOLE, where=IN_SHOP, aggregate="namespace", step="1d")
    assert [list(step) for step in answered.sets] == [["shop"]] * 3
    assert answered.filtered_here


@pytest.mark.parametrize(
    ("aggregate", "where"),
    [
        ("namespace", Condition(Field.POD, Op.PREFIX, ("web",))),
        ("namespace", AllOf((IN_SHOP, Condition(Field.NODE, Op.EQUALS, ("node-1",))))),
        # Merged rows have lost their labels: held against the filter, all of them would be gone.
        ("label:team", Condition(Field.LABEL, Op.EQUALS, ("finance",), "team")),
        ("team", Condition(Field.TEAM, Op.EQUALS, ("finance",))),
        ("service", Condition(Field.SERVICES, Op.EQUALS, ("cart",))),
    ],
)
async def test_grouped_rows_without_the_filtered_field_are_refused(
    aurora: CostModelClient, aggregate: str, where: Filter
) -> None:
    with raises_code("filter_not_applied", match="ignores filters"):
        await aurora.allocations(WHOLE, where=where, aggregate=aggregate, step="1d")


async def test_source_that_applies_filters_is_trusted_with_merged_rows() -> None:
    row = {"name": "shop", "properties": {"namespace": "shop"}, "totalCost": 1.0}
    with Served(lambda _: {"code": 200, "data": [{"shop": row}]}) as source:
        async with Transport(Access.parse(source.url)) as transport:
            client = CostModelClient(transport, applies_filters=True)
            where = Condition(Field.POD, Op.PREFIX, ("web",))
            answered = await client.allocations(WHOLE, where=where, aggregate="namespace")
    assert [list(step) for step in answered.sets] == [["shop"]]
    assert not answered.filtered_here


async def test_a_filter_that_every_row_passes_is_not_sent() -> None:
    assert (await question(AllOf(())))[2:] == []


def behind(prefix: str, elsewhere: Reply = NOT_FOUND) -> Any:
    def answers(asked: Asked) -> Any:
        return {"code": 200, "data": [{}]} if asked.path.startswith(f"{prefix}/allocation") else elsewhere

    return answers


@pytest.mark.parametrize(
    "elsewhere",
    [NOT_FOUND, Reply(200, b"<!doctype html><title>Kubecost</title>", "text/html"), Reply(405, b"", "text/plain")],
)
async def test_prefix_of_the_api_is_looked_for_once(elsewhere: Reply) -> None:
    with Served(behind("/model", elsewhere)) as source:
        async with Transport(Access.parse(source.url)) as transport:
            client = CostModelClient(transport)
            for _ in range(3):
                await client.allocations(WHOLE)
    paths = [asked.path for asked in source.asked]
    assert paths == ["/allocation", *["/model/allocation"] * 3]


@pytest.mark.parametrize("written", ["/model", "/model/"])
async def test_a_prefix_in_the_url_is_not_added_again(written: str) -> None:
    with Served(behind("/model")) as source:
        async with Transport(Access.parse(source.url + written)) as transport:
            await CostModelClient(transport).allocations(WHOLE)
    assert [asked.path for asked in source.asked] == ["/model/allocation"]


async def test_url_without_api_is_refused_with_its_likeliest_answer() -> None:
    window: Window = WHOLE
    with Served(behind("/nowhere")) as source:
        async with Transport(Access.parse(source.url)) as transport:
            with pytest.raises(SourceRefused, match="404 page not found") as caught:
                await CostModelClient(transport).allocations(window)
    assert caught.value.url == f"{source.url}/allocation"
