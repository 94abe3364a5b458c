"""Questions to a year of a fleet, beside the same SQL written by hand for DuckDB over the same files.

`BENCH_FLEET` names a home folder of `kubetally sample` to use instead of the one that is made and kept.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from bench import fresh
from bench import lake as bench_lake
from bench.service import cpu_seconds_of
from bench.table import Line
from kubetally.domain.component import Component
from kubetally.domain.efficiency import Hours, RatedHours
from kubetally.settings import Settings
from kubetally.wiring.ledger import open_ledger

_TURNS = 7
_CLIENTS, _SECONDS = 50, 30.0
_MOST, _MOST_HTTP = 1.3, 1.5
_MOST_MIB = 600
_OPENCOST_SECONDS = 21.0  # 30 days of one cluster by namespace, measured at a real OpenCost
SECRET = "bench-of-the-service"  # noqa: S105
_NAMESPACE = "checkout"


@dataclass(frozen=True)
class Question:
    """A question: its parameters at /api/v1/costs, and the same in SQL.

    days: of the window; 0 for all. keys: columns of SQL that are grouped by. where: of the rows.
    """

    about: str
    days: int
    parameters: Mapping[str, str]
    keys: str
    where: str = "true"
    shares: bool = False
    has_hours: bool = True
    order: str = ""


def questions(account: str, cluster: str) -> dict[str, Question]:
    """The questions. account: id of a cluster, whose name is `cluster`."""
    top, of_account, of_shop = "total DESC LIMIT 50", f"account_id = '{account}'", f"namespace = '{_NAMESPACE}'"
    only = {"filter": f'cluster:"{cluster}"'}
    shop = {"filter": f'namespace:"{_NAMESPACE}"', "top": "50"}
    return {
        "q1": Question("one cluster by namespace", 30, {"group": "namespace", **only}, "kind, namespace", of_account),
        "q2": Question("by cluster and component", 30, {"group": "cluster,component"}, "account_id", has_hours=False),
        "q3": Question("by day", 0, {"step": "day"}, "day"),
        "q4": Question("by label team", 30, {"group": "label:team"}, "kind, labels['team'] AS team"),
        "q5": Question("top 50 pods of a namespace", 7, {"group": "pod", **shop}, "kind, pod", of_shop, order=top),
        "q6": Question("by cluster and namespace", 0, {"group": "cluster,namespace"}, "account_id, kind, namespace"),
        "q7": Question(
            "by cluster and namespace, idle=weighted", 30,
            {"group": "cluster,namespace", "idle": "weighted"}, "account_id, kind, namespace", shares=True,
        ),
    }  # fmt: skip


def lines() -> list[Line]:
    """A year of a fleet, with its roll-ups made before."""
    home = home_of_fleet()
    with _ledger(home) as ledger:
        began = time.perf_counter()
        added = ledger.roll_up(ledger)
        made = time.perf_counter() - began
    figures = fresh.run(in_process, home)
    return [
        Line("query", "bringing the roll-ups up to date", f"{added:,} cluster-days, {made:.0f} s"),
        *_lines_of_questions(home, figures),
        *_lines_of_days(figures),
        *_lines_of_server(home),
    ]


def _lines_of_questions(home: str, figures: Mapping[str, Any]) -> Iterator[Line]:
    for name, question in questions("", "").items():
        rows, summed, sql = (figures[name][case] for case in ("rows", "sums", "sql"))
        days = f"{question.days} days" if question.days else "a year"
        what = f"{name}: {days} {question.about}"
        text = f"{rows * 1e3:.0f} ms from rows, {sql * 1e3:.0f} ms by hand: {rows / sql:.2f}x"
        yield Line("query", what, text, f"at most {_MOST}x", rows <= _MOST * sql)
        if figures[name]["is_summed"]:
            text, is_target = f"{summed * 1e3:.1f} ms, {rows / summed:.0f}x as fast", name in ("q3", "q6")
            is_reached = (summed < 0.05 and rows >= 5 * summed) if is_target else None
            yield Line("query", f"{name} from a roll-up", text, "5x, under 50 ms" if is_target else "", is_reached)
    seconds = min(figures["q1"]["sums"], figures["q1"]["rows"])
    ratio = _OPENCOST_SECONDS / seconds
    what = f"q1 beside a real OpenCost, which takes {_OPENCOST_SECONDS:.0f} s"
    yield Line("query", what, f"{ratio:,.0f}x as fast", "1,000x", ratio >= 1000)


def _lines_of_days(figures: Mapping[str, Any]) -> Iterator[Line]:
    first, again = figures["days"]["first"] * 1e3, figures["days"]["again"] * 1e3
    text = f"{first:.0f} ms; {again:.1f} ms while the database is unchanged"
    yield Line("query", "coverage and issues of the year", text, "under 50 ms", first < 50)


# --- in the process


def in_process(home: str) -> dict[str, Any]:
    """The least seconds of each question: from rows, from roll-ups where there are any, and by hand."""
    from kubetally.domain.question.arrange import arrange_report
    from kubetally.query.opening import open_duck
    from kubetally.query.reader import LedgerReader
    from kubetally.query.reports import LedgerReports
    from kubetally.web.v1.parameters import parse_costs

    figures: dict[str, Any] = {}
    with (
        _ledger(home) as ledger,
        LedgerReader(ledger, open_duck, uses_roll_ups=False) as rows,
        LedgerReader(ledger, open_duck) as sums,
    ):
        first, last, account, cluster = _about(ledger)
        by_hand = _ByHand(ledger.lake.url)
        for name, question in questions(account, cluster).items():
            days = _days(first, last, question, 0)
            cost_question, page = parse_costs(_query(question, days), ledger.clock.now())

            def ours(reader: LedgerReader, of: Any = (cost_question, page)) -> None:
                arrange_report(LedgerReports(reader).costs(of[0]), of[1].order, of[1].top)

            cases = {
                "rows": lambda ours=ours: ours(rows),
                "sums": lambda ours=ours: ours(sums),
                "sql": lambda of=(question, days): by_hand.run(*of),
            }
            is_summed = bool(sums.snapshot(cost_question).roll_ups)
            figures[name] = {**_least(cases), "is_summed": is_summed}
        year = parse_costs(_query(questions(account, cluster)["q3"], (first, last)), ledger.clock.now())[0]
        figures["days"] = _least({
            "first": lambda: _coverage_and_issues(LedgerReader(ledger, open_duck), year),
            "again": lambda: _coverage_and_issues(sums, year),
        })  # fmt: skip
    return figures


def _coverage_and_issues(reader: Any, question: Any) -> None:
    from kubetally.query.issues import issues_of_facts, issues_of_failures

    snapshot = reader.snapshot(question)
    assert reader.coverage(snapshot, question.window).hours_covered
    list(issues_of_facts(snapshot.facts, len(snapshot.readable)))
    list(issues_of_failures(snapshot.days))


def _least(cases: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """The least seconds of each case, in turns, after a first time that warms up."""
    seconds = {name: float("inf") for name in cases}
    for turn in range(_TURNS + 1):
        for name, case in cases.items():
            began = time.perf_counter()
            case()
            if turn:
                seconds[name] = min(seconds[name], time.perf_counter() - began)
    return seconds


class _ByHand:
    """The same sums in SQL, on a connection of its own with as many threads."""

    def __init__(self, url: str) -> None:
        import duckdb

        self._folder, self._connection = Path(url, "allocations"), duckdb.connect()
        self._connection.execute("SET threads = 2")

    def run(self, question: Question, days: tuple[date, date]) -> Any:
        """The sums of all rows of these days."""
        return self._connection.sql(self._text(question, days)).to_arrow_table()

    def _text(self, question: Question, days: tuple[date, date]) -> str:
        costs = [f"{component}_cost" for component in Component]
        sums = [f"sum({name}) AS {name}" for name in costs]
        if question.shares:
            sums += [f"sum(idle_{name}_weighted) AS shared_{name}" for name in ("cpu", "ram", "gpu")]
        if question.has_hours:
            sums += [f"sum({name}) AS {name}" for name in Hours._fields]
            sums += [f"sum({name}) FILTER ({_both(name)}) AS rated_{name}" for name in RatedHours._fields]
            sums.append(
                f"sum(CAST(floor(({_unused('cpu_core', 'cpu')} + {_unused('ram_byte', 'ram')}) * 1e6 + 0.5) AS BIGINT))"
            )
        if question.order:
            sums.append(f"sum({' + '.join(f'coalesce({name}, 0)' for name in costs)}) AS total")
        order = f" ORDER BY {question.order}" if question.order else ""
        names = ", ".join(str(number + 1) for number in range(question.keys.count(",") + 1))
        return (
            f"SELECT {question.keys}, {', '.join(sums)} FROM {self._files(days)} WHERE {question.where} "  # noqa: S608
            f"GROUP BY {names}{order}"
        )

    def _files(self, days: tuple[date, date]) -> str:
        count = (days[1] - days[0]).days + 1
        folders = (self._folder / f"day={days[0] + timedelta(days=number)}" for number in range(count))
        files = [str(file) for folder in folders for file in folder.glob("*.parquet")]
        return f"read_parquet({files!r}, hive_partitioning = true)"


def _both(name: str) -> str:
    request = name.replace("usage", "request")
    return f"{request} IS NOT NULL AND {request.replace('request', 'usage')} IS NOT NULL"


def _unused(hours: str, cost: str) -> str:
    """The cost of what a row requested and did not use."""
    unused = f"greatest(coalesce({hours}_request_hours - {hours}_usage_hours, 0), 0)"
    allocated = f"CASE WHEN {hours}_hours > 0 THEN {hours}_hours END"
    return f"greatest(coalesce(least({unused}, {allocated}) / ({allocated}) * CAST({cost}_cost AS DOUBLE), 0), 0)"


# --- through HTTP


def _lines_of_server(home: str) -> Iterator[Line]:
    with _ledger(home) as ledger:
        about = _about(ledger)
    with serve(home) as server:
        figures = _through_http(server, home, about)
        for name, (ours, sql) in figures.items():
            text = f"{ours * 1e3:.0f} ms, {sql * 1e3:.0f} ms by hand: {ours / sql:.2f}x"
            yield Line("query", f"{name} through HTTP", text, f"at most {_MOST_HTTP}x", ours <= _MOST_HTTP * sql)
        peak = server.peak_mib()
        text = f"{peak} MiB, after each question on {_TURNS} windows"
        yield Line("query", "peak memory of the server", text, f"under {_MOST_MIB} MiB", peak < _MOST_MIB)
        yield asyncio.run(_many_clients(server, about))
        yield Line("query", "peak memory of the server after them", f"{server.peak_mib()} MiB")


def _through_http(server: "Server", home: str, about: tuple[date, date, str, str]) -> dict[str, tuple[float, float]]:
    """The least seconds of each question and of the SQL, each time of another window, as answers are kept."""
    import httpx

    first, last, account, cluster = about
    by_hand, figures = _ByHand(f"{home}/lake"), {}
    with httpx.Client(base_url=server.url, headers={"Secret": SECRET}, timeout=120) as client:
        for name, question in questions(account, cluster).items():
            ours, sql = [], []
            for shift in range(_TURNS):
                days = _days(first, last, question, shift)
                began = time.perf_counter()
                client.get(f"/api/v1/costs?{_query(question, days).decode()}").raise_for_status()
                ours.append(time.perf_counter() - began)
                began = time.perf_counter()
                by_hand.run(question, days)
                sql.append(time.perf_counter() - began)
            figures[name] = min(ours), min(sql)
    return figures


async def _many_clients(server: "Server", about: tuple[date, date, str, str]) -> Line:
    """Clients that ask all questions again and again, of some windows."""
    import httpx

    first, last, account, cluster = about
    paths = [
        f"/api/v1/costs?{_query(question, _days(first, last, question, shift)).decode()}"
        for question in questions(account, cluster).values()
        for shift in range(3)
    ]
    bodies: dict[str, bytes] = {}
    answers, wrong, waits = 0, 0, list[float]()

    async def ask(client: httpx.AsyncClient, number: int) -> None:
        nonlocal answers, wrong
        while time.perf_counter() < until:
            path, began = paths[(number := number + 1) % len(paths)], time.perf_counter()
            answer = await client.get(path)
            waits.append(time.perf_counter() - began)
            answers += 1
            wrong += answer.status_code != 200 or bodies.setdefault(path, answer.content) != answer.content

    limits = httpx.Limits(max_connections=_CLIENTS)
    until = time.perf_counter() + _SECONDS
    async with httpx.AsyncClient(base_url=server.url, headers={"Secret": SECRET}, timeout=120, limits=limits) as client:
        await asyncio.gather(*(ask(client, number) for number in range(_CLIENTS)))
    most = sorted(waits)[int(len(waits) * 0.99)]
    text = f"{answers / _SECONDS:,.0f}/s, {wrong} errors or other figures; 99 % within {most:.1f} s"
    return Line("query", f"{_CLIENTS} clients for {_SECONDS:g} s", text, "no error, same figures", wrong == 0)


@dataclass
class Server:
    """`kubetally serve` in a process of its own."""

    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """The CPU time that it used."""
        return cpu_seconds_of(self.pid)

    def peak_mib(self) -> int:
        """The most memory that it ever had."""
        status = Path(f"/proc/{self.pid}/status").read_text("utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) // 1024


@contextmanager
def serve(home: str) -> Iterator[Server]:
    environment = os.environ | {"KUBETALLY_HOME": home, "KUBETALLY_SECRET": SECRET, "KUBETALLY_LOG_LEVEL": "warning"}
    command = [sys.executable, "-m", "kubetally", "serve", "--port", "0", "--no-collector"]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            yield Server(_url_in(output, process), process.pid)
        finally:
            process.terminate()
            process.wait(30)


def _url_in(output: Any, process: "subprocess.Popen[bytes]") -> str:
    """The address that the service printed once it listened."""
    import re

    while process.poll() is None:
        output.seek(0)
        if match := re.search(r"http://127\.0\.0\.1:\d+", output.read()):
            return match[0]
        time.sleep(0.1)
    output.seek(0)
    raise RuntimeError(output.read())


# --- the fleet


def home_of_fleet() -> str:
    if (named := os.environ.get("BENCH_FLEET")) is not None:
        return named
    bench_lake.made()
    return str(bench_lake.YEAR / "home")


def _ledger(home: str) -> Any:
    return open_ledger(replace(Settings(), home=home))


def _about(ledger: Any) -> tuple[date, date, str, str]:
    """The first and the last stored day, and id and name of an account."""
    days = [day.day for day in ledger.coverage.days(date(2000, 1, 1), end=date(2100, 1, 1)) if day.is_stored]
    account = min(ledger.accounts.listed(), key=lambda account: account.name)
    return min(days), max(days), account.id, account.name


def _days(first: date, last: date, question: Question, shift: int) -> tuple[date, date]:
    """The first and the last day of a question, so many days earlier; of a year the first days are left out."""
    end = last - timedelta(days=shift)
    return (first, end) if not question.days else (max(first, end - timedelta(days=question.days - 1)), end)


def _query(question: Question, days: Sequence[date]) -> bytes:
    from urllib.parse import urlencode

    window = {"start": days[0].isoformat(), "end": (days[1] + timedelta(days=1)).isoformat()}
    return urlencode({**window, **question.parameters}).encode()


if __name__ == "__main__":
    print(json.dumps(in_process(sys.argv[1]), indent=1))
