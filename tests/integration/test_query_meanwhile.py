"""An answer is of one collection each, though a collector commits meanwhile."""

import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from kubetally.domain.question.cost_question import CostQuestion, Idle
from kubetally.domain.question.group import parse_group
from kubetally.domain.window import DAY as ONE_DAY
from kubetally.domain.window import Clock, Window, parse_instant
from kubetally.ledger.ports.accounts import Accounts
from kubetally.ledger.ports.coverage import Coverage
from kubetally.query.opening import open_duck
from kubetally.query.reader import LedgerReader
from kubetally.query.reports import LedgerReports
from kubetally.store.lake.delta import DeltaLake
from kubetally.store.meta.metadata import open_meta
from tests.cluster_days import cluster_day
from tests.integration import committing
from tests.integration.collected_days import KEYS
from tests.served import FixedClock
from tests.service import AccountsInMemory, account

GENERATIONS = 15
WINDOW = Window(parse_instant("2026-11-20"), parse_instant("2026-11-20") + ONE_DAY)


@dataclass
class Stores:
    accounts: Accounts
    coverage: Coverage
    lake: DeltaLake
    clock: Clock
    retention: timedelta = timedelta(days=400)


def test_answers_are_of_one_collection_while_a_collector_commits(tmp_path: Path) -> None:
    database, url = f"sqlite:///{tmp_path / 'database'}", str(tmp_path / "lake")
    committing.main(database, url)
    bills = [cluster_day("a", generation).collection.head.bill for generation in range(GENERATIONS)]
    groups = [parse_group(text) for text in ("", "namespace", "pod,label:app", "component")]
    seen = []
    with open_meta(database, KEYS, clock=FixedClock()) as meta:
        listed = AccountsInMemory([replace(account(1, "http://one.test"), id="a")])
        stores = Stores(listed, meta.coverage, DeltaLake(url), FixedClock())
        arguments = [sys.executable, "-m", "tests.integration.committing", database, url, "1", str(GENERATIONS - 1)]
        with (
            LedgerReader(stores, open_duck) as reader,
            subprocess.Popen(arguments, stdout=subprocess.DEVNULL) as collector,
        ):
            reports = LedgerReports(reader)
            while collector.poll() is None or seen[-1] < GENERATIONS - 1:
                for group in groups:
                    report = reports.costs(CostQuestion(WINDOW, group, idle=Idle.WEIGHTED))
                    seen.append(bills.index(report.bill))  # of one collection whole, of no mixture
                    assert report.coverage.hours_covered == 24
        assert collector.returncode == 0
    assert seen == sorted(seen)
    assert seen[-1] == GENERATIONS - 1
    assert len(set(seen)) > 2, "nothing was committed meanwhile: the test proves nothing"
