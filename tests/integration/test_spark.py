"""What Spark needs, what it says without it, and that it recovers."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubetally.ledger.ports.lake import Scan
from kubetally.query.engine import Engine
from tests.cluster_days import DAY as FIRST
from tests.cluster_days import cluster_day
from tests.errors import raises_code
from tests.integration.commands import call, environment
from tests.integration.spark_cluster import ON_SPARK, SETTINGS
from tests.integration.test_engines import rich_rows, version_1_file
from tests.integration.test_serve_command import Program, Start, start
from tests.lake_tables import allocation_table

pytestmark = ON_SPARK
_ = start
LIFE = """
import sys
import ibis
from pyspark import SparkContext
from kubetally.domain.errors import StoreError
from kubetally.query.spark import SparkEngine

def ask():
    return engine.run(ibis.memtable({"a": [1]})).to_pylist() == [{"a": 1}]

engine = SparkEngine("local[1]", {"spark.driver.extraJavaOptions": sys.argv[2]})
assert ask()
SparkContext.getOrCreate().stop()
assert ask(), "the application is started again"
driver = SparkContext._gateway.proc
driver.kill()
driver.wait()
assert ask(), "the driver is started again"
try:
    SparkEngine(sys.argv[1])
except StoreError as error:
    assert error.code == "spark_in_use", error
engine.close()
"""
GREEDY = """
import sys
import ibis
from kubetally.domain.errors import StoreError
from kubetally.query.spark import SparkEngine

engine = SparkEngine(sys.argv[1], worker_seconds=0.5)
try:
    engine.run(ibis.memtable({"a": [1]}))
except StoreError as error:
    print(error.code, error.retryable, error)
"""


def python(code: str, *arguments: str, **more: str) -> str:
    """What a program prints, in a process of its own: a process has one application of Spark."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=100, env=environment(**more)
    ).stdout


def test_application_that_ended_is_started_again(spark_url: str) -> None:
    python(LIFE, spark_url, SETTINGS["spark.driver.extraJavaOptions"])


def test_query_that_no_worker_takes_is_an_error(spark_url: str, tmp_path: Path) -> None:
    (tmp_path / "spark-defaults.conf").write_text("spark.executor.memory 1000g\n", encoding="ascii")
    said = python(GREEDY, spark_url, SPARK_CONF_DIR=str(tmp_path))
    assert said.startswith(f"spark_without_worker True no worker of {spark_url} took the query")


def test_engine_has_an_executor_on_each_worker(spark: Engine) -> None:
    from pyspark import SparkContext

    assert spark.run(ibis.memtable(pa.table({"a": [1]}))).to_pylist() == [{"a": 1}]
    executors = SparkContext.getOrCreate()._jsc.sc().statusTracker().getExecutorInfos()
    assert len(executors) == 3, "the driver is one"


def test_file_that_workers_can_not_read_is_an_error(spark: Engine, tmp_path: Path) -> None:
    scan = version_1_file(tmp_path)
    rows = spark.rows([scan])
    Path(scan.paths[1]).unlink()
    with raises_code("lake_unreadable_by_spark", match="at the same path on every worker"):
        spark.run(rows)
    with raises_code("lake_unreadable_by_spark", match="at the same path on every worker"):
        list(spark.batches(rows))
    Path(scan.paths[0]).unlink()
    with raises_code("lake_unreadable_by_spark"):
        spark.rows([scan.__class__(scan.paths[:1])])


def test_cluster_does_not_read_an_object_store(spark: Engine) -> None:
    with raises_code("lake_not_on_disk", match="unset KUBETALLY_ENGINE"):
        spark.rows([Scan(("s3://bucket/allocations/day=2026-11-20/part.parquet",))])


def test_view_that_an_expression_reads_is_not_dropped(spark: Engine, tmp_path: Path) -> None:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    from kubetally.query.spark_views import SparkViews

    paths = [str(tmp_path / f"{number}.parquet") for number in range(70)]  # more than it keeps for later expressions
    for number, path in enumerate(paths):
        pq.write_table(pa.table({"number": [number]}), path)
    views = SparkViews(SparkSession(SparkContext.getOrCreate()).newSession())
    early = views.of((paths[0],)).filter(ibis._.number == 0)
    for path in paths[1:]:
        views.of((path,))
    assert views.frame(early).toArrow().to_pylist() == [{"number": 0}]
    assert len(views.session.catalog.listTables()) == 65
    del early
    views.forget()
    assert views.session.catalog.listTables() == []


def test_parts_of_tables_are_taken(spark: Engine) -> None:
    day = allocation_table(cluster_day("a", rows=rich_rows(1)))
    day = day.append_column("day", pa.array([FIRST] * len(day), pa.date32()))
    part = pa.concat_tables([day] * 3000).combine_chunks().slice(7, 25_000)
    rows = spark.run(spark.rows([], [part]))
    assert rows.to_pylist() == part.select(rows.column_names).to_pylist()


def test_batches_are_small(spark: Engine, tmp_path: Path) -> None:
    rows = spark.rows([version_1_file(tmp_path)])
    many = rows.cross_join(rows.select(other="ordinal")).cross_join(rows.select(another="ordinal"))
    sizes = [batch.num_rows for batch in spark.batches(many.select("pod", "other", "another"))]
    assert (sum(sizes), max(sizes) <= 20_000) == (18**3, True)


def test_master_that_does_not_answer_is_named(spark_url: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{closed.getsockname()[1]}"
        code = "import sys; from kubetally.query.opening import open_spark; open_spark(sys.argv[1])"
        command = [sys.executable, "-c", code, f"spark://{place}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert f"StoreError: no Spark master answers ({place}: Connection refused): start it" in done.stderr


def test_without_java_the_error_names_it(tmp_path: Path) -> None:
    code = "from kubetally.query.opening import open_spark; open_spark('local[1]')"
    env = environment(JAVA_HOME=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60, env=env
    )
    assert "StoreError: KUBETALLY_ENGINE=local[1] needs Java 17 or 21" in done.stderr


@pytest.fixture
def without_spark(tmp_path: Path) -> dict[str, str]:
    """The environment of a Python whose packages are those of this one but Spark."""
    import pyspark

    packages, folder = Path(pyspark.__file__).parent.parent, tmp_path / "packages"
    folder.mkdir()
    for package in packages.iterdir():
        if not package.name.startswith(("pyspark", "py4j")):
            (folder / package.name).symlink_to(package)
    import kubetally

    ours = Path(kubetally.__file__).parent.parent
    return environment(PYTHONPATH=os.pathsep.join([str(ours), str(folder)]))


def test_without_the_extra_the_error_names_it(without_spark: dict[str, str]) -> None:
    code = "from kubetally.query.opening import open_spark; open_spark('local[1]')"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False, timeout=60, env=without_spark
    )
    assert (
        "StoreError: KUBETALLY_ENGINE=local[1] needs Spark, which is not installed: `pip install 'kubetally[spark]'`"
        in (done.stderr)
    )


@pytest.fixture
def service(start: Start, tmp_path: Path) -> Callable[..., Program]:
    """Starts the service on a small fleet with roll-ups."""
    fleet = ("sample", "--clusters", "2", "--pods", "30", "--days", "3", "--last", "2026-11-22")
    assert call(*fleet, "--out", str(tmp_path / "fleet")).code == 0
    assert call("maintain", KUBETALLY_HOME=str(tmp_path / "fleet")).code == 0

    def begin(**more: str) -> Program:
        program = start("serve", "--port", "0", "--no-collector", KUBETALLY_HOME=str(tmp_path / "fleet"), **more)
        program.until(r"Secret: .*\n")
        return program

    return begin


def answers(program: Program, folder: Path) -> Iterator[str]:
    headers = {"Secret": (folder / "secret").read_text("ascii").strip()}
    for page in (
        "costs?start=2026-11-20&end=2026-11-23&group=namespace,pod&limit=1000&idle=weighted",
        "costs?start=2026-11-20&end=2026-11-23&group=cluster,namespace&step=day",
        "exports?start=2026-11-20&end=2026-11-23&group=label:app",
        "assets?start=2026-11-20&end=2026-11-23&limit=1000",
        "assets?start=2026-11-20&end=2026-11-23&group=cluster,asset_type&filter=kind!:%22disk%22",
        "balance?start=2026-11-20&end=2026-11-23&step=day",
    ):
        answer = httpx.get(f"{program.url}/api/v1/{page}", headers=headers, timeout=200)
        assert answer.status_code == 200, (answer.text, program.err)
        yield answer.text


def test_service_answers_on_spark_as_on_duckdb(service: Callable[..., Program], tmp_path: Path) -> None:
    texts = []
    for engine in ("duckdb", "local[2]"):
        program = service(KUBETALLY_ENGINE=engine)
        texts.append(list(answers(program, tmp_path / "fleet")))
        assert program.stop() == 0
    assert texts[0] == texts[1]
