"""Wrong secrets are slowed down by address; no test waits."""

import asyncio

from kubetally.web.wrong_secrets import WrongSecrets


class Time:
    """A clock, and a sleep that records its duration and lasts until `wake` is set."""

    def __init__(self) -> None:
        self.at, self.slept = 0.0, list[float]()
        self.wake = asyncio.Event()
        self.wake.set()

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.wake.wait()


async def test_delay_grows_by_address_and_is_reset() -> None:
    time = Time()
    wrong = WrongSecrets(time.now, time.sleep)
    for _ in range(10):
        assert await wrong.wait("192.0.2.1")
    assert time.slept == []
    for _ in range(8):
        assert await wrong.wait("192.0.2.1")
    assert time.slept == [0.25, 0.5, 1, 2, 4, 5, 5, 5]
    assert await wrong.wait("192.0.2.2")
    time.at += 599
    assert await wrong.wait("192.0.2.1")
    assert len(time.slept) == 9
    time.at += 600
    assert await wrong.wait("192.0.2.1")
    assert len(time.slept) == 9


async def test_few_answers_wait_at_a_time() -> None:
    time = Time()
    wrong = WrongSecrets(time.now, time.sleep)
    time.wake.clear()
    for _ in range(10):
        await wrong.wait("192.0.2.1")
    waiting = [asyncio.create_task(wrong.wait("192.0.2.1")) for _ in range(16)]
    await asyncio.sleep(0)
    assert not await wrong.wait("192.0.2.1")
    assert await wrong.wait("192.0.2.2")
    time.wake.set()
    assert await asyncio.gather(*waiting) == [True] * 16
    assert await wrong.wait("192.0.2.1")


async def test_number_of_addresses_is_bounded() -> None:
    time = Time()
    wrong = WrongSecrets(time.now, time.sleep)
    for _ in range(12):
        await wrong.wait("first")
    for number in range(10_000):
        await wrong.wait(str(number))
    assert len(time.slept) == 2
    await wrong.wait("first")
    assert len(time.slept) == 2, "the oldest address was forgotten"
