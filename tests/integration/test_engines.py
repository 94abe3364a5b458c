"""Spark gives the answers of DuckDB, to the last digit and in the same order."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ibis import ir
from litestar.testing import TestClient

from kubetally.domain.account import ListedAccount
from kubetally.domain.allocation import Kind, LoadBalancerCost, VolumeCost
from kubetally.domain.booking import Booking
from kubetally.domain.component import Costs
from kubetally.domain.efficiency import Hours
from kubetally.domain.live_costs import LiveCosts
from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.question.cost_question import NOTHING_SHARED, CostQuestion, Idle, Sharing, Split
from kubetally.domain.question.filter import Op
from kubetally.domain.question.steps import Step
from kubetally.domain.question.v2 import parse_v2
from kubetally.domain.report import CostRow
from kubetally.domain.row import Cause, Row, RowDetails
from kubetally.domain.source_identity import SourceIdentity
from kubetally.ledger.ports.lake import Scan
from kubetally.query.costs import cost_rows
from kubetally.query.duck import DuckEngine
from kubetally.query.engine import Engine
from kubetally.query.joined import JoinedCluster, JoinedReader
from kubetally.query.opening import open_spark
from kubetally.query.reports import LedgerReports
from kubetally.query.unknown_shared import unknown_shared
from kubetally.store.lake.encode import allocation_tables
from kubetally.store.lake.schema import ALLOCATIONS
from kubetally.store.lake.upgrade import ADDED
from tests.cluster_days import DAY as FIRST
from tests.cluster_days import cluster_day
from tests.integration.spark_cluster import ON_SPARK, SETTINGS
from tests.integration.test_query_costs import ACCOUNTS, FILTERS, GROUPS, ledger, query, total
from tests.integration.test_query_joined import booking_of
from tests.lake_tables import allocation_table
from tests.native import ONE, TWO, Home, native_client
from tests.served import FixedClock
from tests.unit.domain.clusters import booked_days

pytestmark = ON_SPARK
DAYS = "start=2026-11-20&end=2026-11-23"
MORE_GROUPS = ["container", "annotation:team", "namespace_label:team", "label:team,service", "node,kind"]
MORE_FILTERS = [
    *(f'{field}{op}"a","shop"' for field in ("namespace", "label[team]", "services") for op in Op),
    'annotation[team]:"web"', 'namespace_label[team]!:"red"', 'annotation~:"te"', 'label!<~:"te"', 'container:""',
    'node:"__unallocated__"', 'pod~>:"1"+(label[team]!:"web"|component!:"cpu")', 'currency!:"USD"', 'team:"web"',
    'organization!:"acme"',
]  # fmt: skip
IDLES = cycle(["separate", "weighted", "even", "none"])
STEPS = cycle(["", "&step=day", "&step=week", "&step=month"])


def pages() -> Iterator[str]:
    """Questions in which each group and each filter occurs."""
    groups = [*GROUPS, *MORE_GROUPS]
    filters = [*FILTERS, *MORE_FILTERS]
    for number in range(max(len(groups), (len(filters) + 1) // 2)):
        pair = [f"({text})" for text in filters[2 * number : 2 * number + 2]]
        asked = f"&filter={'|'.join(pair).replace('+', '%2B')}" if pair and number % 4 else ""
        yield f"costs?{DAYS}&group={groups[number % len(groups)]}&idle={next(IDLES)}{next(STEPS)}{asked}&limit=10000"


def rich_rows(shift: int) -> list[Row]:
    """Rows with all that a row may have or lack, and with ties."""
    hours = Hours(*(0.1 * shift + number / 7 for number in range(len(Hours._fields))))
    few = hours._replace(cpu_core_usage_hours=None, ram_byte_request_hours=None, gpu_request_hours=None)
    costs = Costs(*(1_000_003 * (number + 1) + shift for number in range(len(Costs._fields))))
    details = RowDetails(
        provider_id="aws:///i-1",
        annotations={"team": "web", "note": 'it\'s "so" \\ ü\n'},
        volumes=(VolumeCost("pvc-1", 1_000_000, 2.5, "vol-1", 7),),
        load_balancers=(LoadBalancerCost("shop/web", 500_000, 24.0, True, "10.0.0.1", 1),),
    )
    web = Row(
        Kind.WORKLOAD, None, "shop", "deployment", "web", "web-1", "nginx", "n1", 1, 1440.0, hours, costs,
        services=("web", "a"), labels={"team": "web", "app": "x"}, namespace_labels={"team": "red"}, details=details,
    )  # fmt: skip
    return [
        web,
        web._replace(pod="web-2", labels={"team": ""}, services=()),
        web._replace(namespace="a", pod="a-1", labels=None, namespace_labels=None, details=None, hours=few),
        web._replace(namespace="a", controller=None, controller_kind=None, pod="a-2", node=None, container=None),
        web._replace(namespace="ab", labels={}, services=("a",), costs=Costs(), hours=Hours(*[0.0] * len(hours))),
        Row(Kind.IDLE, costs=Costs(cpu=77_777_777, ram=55_555_555 + shift, gpu=3)),
        Row(Kind.UNMOUNTED, namespace="ab-unmounted-pvcs", costs=Costs(pv=12_345_678)),
        Row(Kind.OVERHEAD, costs=Costs(management=240_000_000, shared=-1_000_001)),
        Row(Kind.DIFFERENCE, Cause.ROUNDING, costs=Costs(cpu=-13)),
    ]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Days in several files, some replaced, one of them running."""
    home = Home(tmp_path_factory.mktemp("home [1]"))
    days = [FIRST + timedelta(days=number) for number in range(3)]
    home.store(*(cluster_day(account, 1, rows=rich_rows(1)) for account in (ONE, TWO)))
    home.store(cluster_day(ONE, day=days[1], rows=rich_rows(2)), cluster_day(TWO, day=days[1]))
    home.store(cluster_day(ONE, 1, day=days[1], rows=rich_rows(3)))
    home.store(cluster_day(TWO, day=days[2], rows=rich_rows(4), is_running=True))
    return home


@pytest.fixture(scope="module")
def duckdb_client(home: Home) -> Iterator[TestClient[Any]]:
    with native_client(home) as client:
        yield client


@pytest.fixture(scope="module")
def spark_client(home: Home, spark_url: str) -> Iterator[TestClient[Any]]:
    with native_client(home, partial(open_spark, spark_url, SETTINGS)) as client:
        yield client


@pytest.fixture(scope="module")
def duckdb() -> Iterator[Engine]:
    engine = DuckEngine(threads=1)
    yield engine
    engine.close()


@pytest.mark.parametrize("page", [
    *pages(),
    f"costs?{DAYS}&group=namespace,pod&order=namespace,-cpu_cost&top=3&step=day",
    f"costs?{DAYS}&group=namespace,pod&top=3&idle=weighted",
    f"costs?{DAYS}&group=label:none,pod&order=label:none&limit=3",
    "compare?start=2026-11-21&end=2026-11-22&group=namespace,label:team&idle=weighted",
    f"explain?{DAYS}&filter=component:%22cpu%22&idle=even",
    f"explain?{DAYS}&filter=namespace!:%22web%22&share_namespaces=shop&share_split=even",
    f"costs?{DAYS}&group=namespace&share_namespaces=shop&share_split=even&idle=even&step=day",
    f"assets?{DAYS}",
    f"assets?{DAYS}&group=cluster,asset_type",
    f"balance?{DAYS}",
    f"labels?{DAYS}",
    f"labels?{DAYS}&filter=namespace:%22shop%22|component:%22cpu%22",
    f"exports?{DAYS}&group=cluster,namespace&step=day&top=2",
])  # fmt: skip
def test_answers_of_both_engines_are_equal(
    duckdb_client: TestClient[Any], spark_client: TestClient[Any], page: str
) -> None:
    asked, answer = duckdb_client.get(f"/api/v1/{page}"), spark_client.get(f"/api/v1/{page}")
    assert answer.status_code == 200, answer.text
    assert answer.text == asked.text


SHARED = [
    NOTHING_SHARED,
    Sharing(namespaces=("shop",)),
    Sharing(labels=(("team", "web"),), split=Split.EVEN),
    Sharing(("shop", "none"), (("app", "x"),)),
]


@given(
    days=booked_days(),
    group=st.sampled_from(GROUPS),
    text=st.sampled_from(["", *FILTERS]),
    step=st.sampled_from([None, *Step]),
    idle=st.sampled_from(Idle),
    sharing=st.sampled_from(SHARED),
)
@settings(max_examples=8)
@pytest.mark.timeout(600)  # cut off while it talks to Spark, the next example would read the answer of this one
def test_random_ledgers_have_the_same_rows_on_both_engines(
    spark: Engine,
    duckdb: Engine,
    days: list[Booking],
    group: str,
    text: str,
    step: Step | None,
    idle: Idle,
    sharing: Sharing,
) -> None:
    rows = ibis.memtable(pa.concat_tables([ledger(days), ledger(days[:1], "b" * 8)]))
    question = query(group, filter=parse_v2(text), step=step, idle=idle, sharing=sharing)
    check_alike(spark, duckdb, rows, question)


@pytest.mark.parametrize("sharing", SHARED[1:])
@pytest.mark.parametrize("group", ["namespace", "pod", "cluster,component"])
def test_shared_cost_is_the_same_on_both_engines(spark: Engine, duckdb: Engine, group: str, sharing: Sharing) -> None:
    days = [allocation_table(cluster_day(id_ * 8, rows=rich_rows(shift))) for shift, id_ in enumerate("ab")]
    rows = pa.concat_tables(table.append_column("day", pa.array([FIRST] * len(table), pa.date32())) for table in days)
    check_alike(spark, duckdb, ibis.memtable(rows), query(group, idle=Idle.WEIGHTED, sharing=sharing))
    more = Sharing((*sharing.namespaces, "shpo"), (*sharing.labels, ("team", "wbe"), ("temm", "web")))
    issues = [unknown_shared(engine.run, ibis.memtable(rows), more) for engine in (spark, duckdb)]
    assert issues[0] == issues[1]
    assert [issue.message.partition("'")[2] for issue in issues[0]][-3:] == [
        "shpo' (did you mean shop?)",
        "team:wbe' (did you mean team:web?)",
        "temm:web' (did you mean team?)",
    ]


def check_alike(spark: Engine, duckdb: Engine, rows: ir.Table, question: CostQuestion) -> None:
    answers = [cost_rows(engine.run, rows, question, ACCOUNTS, "USD") for engine in (spark, duckdb)]
    assert total(answers[0]) == total(answers[1])
    assert in_order(answers[0]) == in_order(answers[1])


def in_order(rows: list[CostRow]) -> list[CostRow]:
    return sorted(rows, key=lambda row: str((row.key, row.kind, row.start, row.account_id)))


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "&filter=kind:%22workload%22|kind!:%22workload%22",
        "&filter=component:%22cpu%22|namespace:%22shop%22",
        "&filter=namespace:%22nobody%22",
    ],
)
def test_exports_of_stored_rows_are_equal(
    duckdb_client: TestClient[Any], spark_client: TestClient[Any], asked: str
) -> None:
    """An engine may read files in any order."""
    path = f"/api/v1/exports?{DAYS}{asked}&format="
    texts = [sorted(client.get(f"{path}csv").text.splitlines()) for client in (duckdb_client, spark_client)]
    assert texts[0] == texts[1]
    first, second = (
        pq.read_table(pa.BufferReader(client.get(f"{path}parquet").content)) for client in (duckdb_client, spark_client)
    )
    assert first.schema == second.schema == ALLOCATIONS
    key = [("collection_id", "ascending"), ("ordinal", "ascending")]
    assert first.sort_by(key).to_pylist() == second.sort_by(key).to_pylist()


def version_1_file(folder: Path) -> Scan:
    """A file with the columns of version 1 of the lake, beside another."""
    table = ledger_of_rows()
    paths = []
    for day in ("2026-11-20", "2026-11-21"):
        paths.append(folder / "allocations" / f"day={day}" / "part.parquet")
        paths[-1].parent.mkdir(parents=True)
        pq.write_table(table, paths[-1])
    return Scan(tuple(map(str, paths)), accounts=frozenset("a"), is_version_1=True)


def ledger_of_rows() -> pa.Table:
    table = allocation_table(cluster_day("a", rows=rich_rows(1)))
    table = table.drop_columns([name for name in ADDED if name in table.column_names])
    kinds = ["unexplained" if kind == "difference" else kind for kind in table["kind"].to_pylist()]
    table = table.set_column(table.schema.get_field_index("kind"), "kind", pa.array(kinds))
    return table.rename_columns(["audited" if name == "assets_complete" else name for name in table.column_names])


def test_files_of_version_1_are_read_alike(spark: Engine, duckdb: Engine, tmp_path: Path) -> None:
    scan = version_1_file(tmp_path)
    answers = [engine.run(engine.rows([scan]).select(ALLOCATIONS.names)) for engine in (spark, duckdb)]
    assert answers[0].schema == answers[1].schema
    rows = [sorted(map(str, answer.to_pylist())) for answer in answers]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 2 * len(rich_rows(1))
    assert set(answers[0]["kind"].to_pylist()) == {kind.value for kind in Kind}


def test_files_and_arrow_tables_are_read_together(spark: Engine, duckdb: Engine, tmp_path: Path) -> None:
    scan, table = version_1_file(tmp_path), ALLOCATIONS.empty_table()
    booked = allocation_table(cluster_day("b", rows=rich_rows(2)))
    booked = booked.append_column("day", pa.array([FIRST] * booked.num_rows, pa.date32()))
    question = query("namespace,label:team")
    answers = [
        in_order(cost_rows(engine.run, engine.rows([scan], [table, booked]), question, ACCOUNTS, "USD"))
        for engine in (spark, duckdb)
    ]
    assert answers[0] == answers[1]
    assert len(answers[0]) > 5


def test_days_that_were_asked_live_are_equal(spark: Engine, duckdb: Engine) -> None:
    days = [cluster_day("x", rows=rich_rows(number), day=FIRST + timedelta(days=number)) for number in range(3)]
    live = LiveCosts(SourceIdentity("http://x"), ("USD", CurrencyOrigin.STATED), tuple(map(booking_of, days)), ())
    question = query("namespace,label:team", idle=Idle.WEIGHTED)
    answers = []
    for engine in (spark, duckdb):
        cluster = JoinedCluster(ListedAccount("http://x", "x", ""), has_account=False)
        reader = JoinedReader([cluster], None, lambda one=engine: one, allocation_tables, FixedClock())
        reader.stored(question)
        reader.join(question.window, {"http://x": live})
        report = LedgerReports(reader).costs(question)
        answers.append(in_order([*report.rows, *report.lines]))
    assert answers[0] == answers[1]
    assert len(answers[0]) > 5
