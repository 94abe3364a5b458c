"""Answers of `/api/v1` over the recorded days of three clusters, byte for byte. WRITE_GOLDEN=1 writes them anew."""

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from kubetally.ledger.collect.collector import Collector
from kubetally.ledger.collect.savings import SavingsCollector
from kubetally.ledger.stores import Ledger
from kubetally.query.opening import open_duck
from kubetally.query.reader import LedgerReader
from kubetally.samples.replay import ReplayServer
from kubetally.settings import Settings
from kubetally.wiring.collect import with_collector
from kubetally.wiring.ledger import open_ledger
from tests.native import native_app
from tests.served import FixedClock
from tests.service import SECRET, AccountsInMemory, account

GOLDEN = Path(__file__).parent / "golden" / "api"
CLUSTERS = ("aurora", "cygnus", "draco")
FIRST, END = date(2026, 11, 20), date(2026, 11, 23)
DAYS = {"start": f"{FIRST}", "end": f"{END}"}
ONE = {**DAYS, "filter": 'cluster:"cygnus"+namespace:"monitoring"+component:"cpu"', "end": "2026-11-21"}
QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "clusters": ("clusters", DAYS),
    "coverage": ("coverage", DAYS),
    "costs": ("costs", DAYS),
    "costs-by-cluster-component": ("costs", {**DAYS, "group": "cluster,component"}),
    "costs-by-namespace-day": ("costs", {**DAYS, "group": "namespace", "step": "day", "top": 3, "idle": "weighted"}),
    "compare": ("compare", {"start": "2026-11-22", "end": "2026-11-23", "group": "cluster"}),
    "explain": ("explain", ONE),
    "assets": ("assets", {**DAYS, "filter": 'cluster:"cygnus"'}),
    "assets-by-type": ("assets", {**DAYS, "group": "cluster,asset_type"}),
    "balance": ("balance", {**DAYS, "filter": 'cluster:"aurora"', "step": "day"}),
    "labels": ("labels", DAYS),
    "problem": ("costs", {**DAYS, "group": "colour"}),
}


@pytest.fixture(scope="module")
def client(replay: ReplayServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient[Any]]:
    settings, clock = Settings(home=str(tmp_path_factory.mktemp("home"))), FixedClock()
    with open_ledger(settings, clock) as ledger:
        organization = ledger.accounts.organization().id
        for number, name in enumerate(CLUSTERS, 1):
            ledger.accounts.add(replace(account(number, replay.url_of(name), name=name), organization_id=organization))
    asyncio.run(with_collector(settings, clock, _backfill))
    with (
        open_ledger(settings, clock) as ledger,
        LedgerReader(ledger, open_duck) as reader,
        TestClient(native_app(reader, AccountsInMemory())) as client,
    ):
        client.headers["Secret"] = SECRET
        yield client


async def _backfill(ledger: Ledger, collector: Collector, savings: SavingsCollector) -> None:
    for name in CLUSTERS:
        await collector.backfill([name], FIRST, end=END)


@pytest.mark.parametrize("name", QUESTIONS)
def test_answer_is_as_the_golden_file(client: TestClient[Any], replay: ReplayServer, name: str) -> None:
    path, parameters = QUESTIONS[name]
    body = client.get(f"/api/v1/{path}", params=parameters).json()
    text = json.dumps(body, indent=1, ensure_ascii=False).replace(replay.url, "http://opencost:9003") + "\n"
    file = GOLDEN / f"{name}.json"
    if os.environ.get("WRITE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, "utf-8")
    assert text == file.read_text("utf-8")
