"""Costs and savings are collected beside each other."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

from kubetally.domain.collection_report import Report
from kubetally.domain.savings import SavingsDay
from kubetally.ledger.collect.collector import Collector
from kubetally.ledger.collect.committer import Committer
from kubetally.ledger.collect.forever import Forever
from kubetally.ledger.collect.savings import SavingsCollector
from kubetally.settings import Settings
from kubetally.wiring.collect import with_collector
from kubetally.wiring.ledger import Ledger, open_ledger
from tests.cluster_days import cluster_day
from tests.kubecost_savings import CATEGORIES
from tests.served import Asked, FixedClock, Served
from tests.service import account


class HangingSavings:
    """A collector of savings whose source never answers."""

    def __init__(self) -> None:
        self.is_asking, self.was_cancelled = asyncio.Event(), False

    async def collect(
        self, names: Sequence[str] = (), should_continue: Callable[[], bool] = lambda: True
    ) -> list[SavingsDay]:
        self.is_asking.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        return []


class Costs:
    """A collector of costs that has nothing due before savings are being asked for."""

    def __init__(self, savings: HangingSavings, stop: asyncio.Event) -> None:
        self._savings, self._stop = savings, stop
        self.rounds = 0

    async def due(self, names: Sequence[str] = ()) -> list[Any]:
        await self._savings.is_asking.wait()
        return [Due()]

    async def collect(self, dues: Sequence[Any], watch: object) -> Report:
        self.rounds += 1
        self._stop.set()
        return Report(planned=len(dues))


class Due:
    has_failed = False


async def test_costs_are_collected_while_a_source_of_savings_hangs(tmp_path: Path) -> None:
    stop, savings = asyncio.Event(), HangingSavings()
    costs = Costs(savings, stop)
    with open_ledger(Settings(home=str(tmp_path))) as ledger:
        forever: Any = Forever
        async with asyncio.timeout(30):
            await forever(ledger, costs, savings, stop).run()
    assert (costs.rounds, savings.was_cancelled) == (1, True)


async def test_savings_have_the_deadline_of_the_settings(tmp_path: Path) -> None:
    clock, is_over = FixedClock(), Event()

    def answers(asked: Asked) -> Any:
        path = asked.path.removeprefix("/model")
        if path.startswith("/savings/"):
            is_over.wait()
        return {"code": 200, "data": CATEGORIES if path == "/savings" else {"id": "one"}}

    with Served(answers) as server:

        async def collect(ledger: Ledger, _: Collector, savings: SavingsCollector) -> list[SavingsDay]:
            organization = ledger.accounts.organization().id
            added = ledger.accounts.add(replace(account(1, server.url), organization_id=organization))
            day = cluster_day(added.id, day=clock.now().date(), is_running=True)
            source = replace(day.collection.source, product="Kubecost")
            day = replace(day, collection=replace(day.collection, source=source, collected_at=clock.now()))
            Committer(ledger.writer()).commit(ledger.lake.pack([day]))
            return await savings.collect()

        settings = Settings(home=str(tmp_path), deadline_seconds=0.3, attempts=1, collect_processes=1)
        try:
            (day,) = await with_collector(settings, clock, collect)
        finally:
            is_over.set()
    assert day.code == "deadline_passed"
