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


async def test_one_look_serves_both_kinds_though_they_look_at_once() -> None:
    ledger = Ledger()
    looks = ledger.looked_at()
    found = await asyncio.gather(looks.due(of_failed=False), looks.due(of_failed=True))
    assert found == [[SOUND], [FAILED]]
    assert ledger.looks == 1


async def test_what_was_seen_is_given_once_and_not_when_it_is_old() -> None:
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


async def test_looking_takes_a_twentieth_of_the_time_at_most() -> None:
    ledger = Ledger(takes_seconds=0.1)
    looks = ledger.looked_at()
    await looks.due(of_failed=True)
    assert looks.pause_seconds == 30
    ledger.takes_seconds = 6.0
    await looks.due(of_failed=True)
    assert round(looks.pause_seconds) == 120
