"""docs/recipes.md: what other tools read has the figures of `/api/v1`."""

import csv
import io
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from kubetally.ledger.sample.make import SampleFleet
from kubetally.query.answers import LedgerAnswers
from kubetally.query.opening import open_duck
from kubetally.query.reader import LedgerReader
from kubetally.settings import Settings
from kubetally.wiring.ledger import open_ledger
from kubetally.wiring.sample import make_sample
from tests.integration.commands import environment
from tests.integration.documented import Example, examples
from tests.served import FixedClock
from tests.service import SECRET, AccountsInMemory, cost_service, serving

PAGE = "docs/recipes.md"
ADDRESS = "http://127.0.0.1:8080"
DAYS = {"start": "2026-11-20", "end": "2026-11-23"}
BY_NAMESPACE = (
    "\nimport json; print(json.dumps([[name if isinstance(name, str) else None, str(cost)] for name, cost in {}]))"
)
Sums = dict[str | None, Decimal]


@dataclass(frozen=True)
class Here:
    """A home folder below `folder`, and a service on it."""

    folder: Path
    url: str

    def get(self, path: str, **parameters: str) -> httpx.Response:
        answer = httpx.get(f"{self.url}{path}", params=parameters or None, headers={"Secret": SECRET}, timeout=60)
        return answer.raise_for_status()

    def costs(self, group: str) -> list[dict[str, Any]]:
        answer = self.get("/api/v1/costs", **DAYS, group=group, limit="10000")
        rows: list[dict[str, Any]] = json.loads(answer.content, parse_float=Decimal, parse_int=Decimal)["rows"]
        return rows

    def by_namespace(self) -> Sums:
        return summed((row["key"]["namespace"], row["total_cost"]) for row in self.costs("namespace"))

    def run(self, code: str) -> str:
        """What Python prints, in a process of its own: pyarrow can't use pandas where Kubetally has hidden it."""
        command = [sys.executable, "-W", "error", "-c", code.replace(ADDRESS, self.url)]
        env = environment(HOME=str(self.folder))
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


def summed(costs: Any) -> Sums:
    sums = defaultdict[str | None, Decimal](Decimal)
    for name, cost in costs:
        sums[name] += Decimal(cost)
    return dict(sums)


def block(language: str, containing: str = "") -> str:
    """The only block of the page in this language that contains a text."""
    found: list[Example] = [each for each in examples() if each.page == PAGE and each.language == language]
    (content,) = [each.content for each in found if containing in each.content]
    return content


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    folder = tmp_path_factory.mktemp("recipes")
    make_sample(SampleFleet(2, 30, 4, date(2026, 11, 22)), folder / ".kubetally")
    (folder / ".kubetally" / "secret").write_text(SECRET)
    with (
        open_ledger(Settings(home=str(folder / ".kubetally")), FixedClock()) as ledger,
        LedgerReader(ledger, open_duck) as reader,
        serving(cost_service(AccountsInMemory()), ledger=LedgerAnswers(reader)) as url,
    ):
        yield Here(folder, url)


@pytest.mark.parametrize(
    ("library", "pairs"),
    [
        ("import pandas", 'costs.groupby("namespace", dropna=False)["total_cost"].sum().items()'),
        ("import polars", 'costs.group_by("namespace").agg(polars.col("total_cost").sum()).rows()'),
        ("import duckdb", 'duckdb.sql("SELECT namespace, sum(total_cost) FROM costs GROUP BY ALL").fetchall()'),
    ],
)
def test_python_has_the_figures_of_the_api(here: Here, library: str, pairs: str) -> None:
    printed = here.run(block("python", library) + BY_NAMESPACE.format(pairs))
    assert summed(json.loads(printed.splitlines()[-1])) == here.by_namespace()


def test_rows_of_the_lake_are_those_of_the_api(here: Here) -> None:
    wanted = 'duckdb.sql("SELECT cluster, namespace, kind, total_cost FROM costs").fetchall()'
    code = f"{block('python', 'import duckdb')}\nimport json; print(json.dumps({wanted}, default=str))"
    rows = json.loads(here.run(code).splitlines()[-1])
    assert {(*key, Decimal(cost)) for *key, cost in rows} == {
        (row["key"]["cluster"], row["key"]["namespace"], row["key"]["kind"], row["total_cost"])
        for row in here.costs("cluster,namespace,kind")
    }


def test_query_of_grafana_finds_its_columns(here: Here) -> None:
    query = json.loads(block("json"))
    url = query["url"]
    for macro, day in (("${__from:date:YYYY-MM-DD}", DAYS["start"]), ("${__to:date:YYYY-MM-DD}", DAYS["end"])):
        url = url.replace(macro, day)
    answer = json.loads(here.get(url.removeprefix(ADDRESS)).content, parse_float=Decimal, parse_int=Decimal)
    rows = answer[query["root_selector"]]
    for row in rows:
        for column in query["columns"]:
            value = row
            for name in column["selector"].split("."):
                value = value[name]
            assert value is None or isinstance(value, Decimal) is (column["type"] == "number"), column
    assert {row["window_start"] for row in rows} == {f"2026-11-{day}T00:00:00Z" for day in (20, 21, 22)}
    assert sum(row["total_cost"] for row in rows) == sum(here.by_namespace().values())


def test_data_source_of_grafana_sends_the_secret_as_a_header() -> None:
    text = block("yaml")
    assert f'allowedHosts: ["{ADDRESS}"]' in text
    assert "httpHeaderName1: Secret\n" in text


def rows_of(file: httpx.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.text)))


def test_power_query_names_columns_that_are_there(here: Here) -> None:
    text = block("powerquery")
    (path,) = re.findall(r'RelativePath = "(.+)"', text)
    (query,) = re.findall(r"Query = \[(.+)\]", text)
    rows = rows_of(here.get(f"/{path}", **dict(re.findall(r'(\w+) = "([^"]+)"', query))))
    typed = re.findall(r'\{"(\w+)", type', text)
    assert typed
    assert set(typed) <= rows[0].keys()
    assert sum(Decimal(row["total_cost"]) for row in rows) == sum(here.by_namespace().values())


def test_script_of_a_sheet_asks_for_rows(here: Here) -> None:
    (url,) = re.findall(r'url = "(.+)"', block("javascript"))
    rows = rows_of(here.get(url.removeprefix(ADDRESS)))
    assert sum(Decimal(row["total_cost"]) for row in rows) == sum(here.by_namespace().values())
