"""Looking what is due, once for two kinds of clusters."""

import asyncio
from dataclasses import dataclass, field

from kubetally.ledger.collect.due_poller import DuePoller
from kubetally.ledger.collect.schedule import Due, Reason
from tests.served import NOON_AFTER

DAY = NOON_AFTER.date()
SOUND, FAILED = Due(Reason.MISSING, DAY, "sound"), Due(Reason.MISSING, DAY, "failed", has_failed=True)


@dataclass
class Ledger:
    """Counts how often it is looked at, which takes it a while."""

    takes_seconds: float = 0.0
    looks: int = 0
    now: float = 1000.0
    dues: list[Due] = field(default_factory=lambda: [SOUND, FAILED])

    async def due(self) -> list[Due]:
        self.looks += 1
        self.now += self.takes_seconds
        await asyncio.sleep(0)
        return list(self.dues)

    def looked_at(self) -> DuePoller:
        return DuePoller(self.due, lambda: self.now)


async def test_one_poll_serves_both_kinds() -> None:
    ledger = Ledger()
    looks = ledger.looked_at()
    found = await asyncio.gather(looks.due(of_failed=False), looks.due(of_failed=True))
    assert found == [[SOUND], [FAILED]]
    assert ledger.looks == 1


async def test_polled_days_are_returned_once_and_expire() -> None:
    ledger = Ledger()
    looks = ledger.looked_at()
    await looks.due(of_failed=False)
    ledger.dues = []
    assert await looks.due(of_failed=False) == []
    assert ledger.looks == 2
    ledger.now += looks.pause_seconds
    ledger.dues = [FAILED]
    assert await looks.due(of_failed=True) == [FAILED]
    assert ledger.looks == 3


async def test_polling_takes_at_most_a_twentieth_of_the_time() -> None:
    ledger = Ledger(takes_seconds=0.1)
    looks = ledger.looked_at()
    await looks.due(of_failed=True)
    assert looks.pause_seconds == 30
    ledger.takes_seconds = 6.0
    await looks.due(of_failed=True)
    assert round(looks.pause_seconds) == 120
