"""Costs and savings are collected beside each other."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kubetally.domain.savings import SavingsDay
from kubetally.ledger.collect.collector import Report
from kubetally.settings import Settings
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.collect import Forever
from kubetally.wiring.ledger import open_ledger


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
            await forever(ledger, costs, savings, SystemClock(), stop).run()
    assert (costs.rounds, savings.was_cancelled) == (1, True)
