"""Keeping answers, and asking once for many."""

import asyncio

import pytest

from kubetally.cache import AsyncCache, Bounded, GivenUp, SingleFlight


def test_what_was_not_wanted_for_longest_leaves_first_and_the_newest_stays() -> None:
    kept: Bounded[str, int] = Bounded(3)
    for number, key in enumerate("abc"):
        kept.put(key, number)
    assert kept.get("a") == 0
    kept.put("d", 3)
    assert [kept.get(key) for key in "abcd"] == [0, None, 2, 3]
    kept.put("large", 9, weight=99)
    assert (kept.get("large"), len(kept)) == (9, 1)
    kept.put("small", 1)
    assert (kept.get("large"), kept.get("small")) == (None, 1)
    kept.put("small", 2)
    kept.drop("none such")
    assert (kept.get("small"), len(kept)) == (2, 1)


async def test_many_ask_once_and_each_later_flight_is_new() -> None:
    asked, go = 0, asyncio.Event()

    async def ask() -> int:
        nonlocal asked
        asked += 1
        await go.wait()
        return asked

    flights: SingleFlight[str, int] = SingleFlight()
    waiting = [asyncio.create_task(flights("key", ask)) for _ in range(50)]
    other = asyncio.create_task(flights("other", ask))
    await asyncio.sleep(0)
    assert len(flights) == 2
    waiting[0].cancel()
    go.set()
    assert set(await asyncio.gather(*waiting[1:], other)) <= {1, 2}
    assert asked == 2
    assert waiting[0].cancelled()
    assert await flights("key", ask) == 3
    assert len(flights) == 0


async def test_an_error_is_everyones_and_not_the_next_ones() -> None:
    errors = iter([ValueError("first"), None])

    async def ask() -> str:
        await asyncio.sleep(0)
        error = next(errors)
        if error:
            raise error
        return "well"

    flights: SingleFlight[int, str] = SingleFlight()
    both = await asyncio.gather(flights(1, ask), flights(1, ask), return_exceptions=True)
    assert [str(one) for one in both] == ["first", "first"]
    assert await flights(1, ask) == "well"


async def test_who_waits_when_it_closes_is_told() -> None:
    flights: SingleFlight[int, None] = SingleFlight()
    waiting = asyncio.create_task(flights(1, lambda: asyncio.sleep(60)))
    await asyncio.sleep(0)
    await flights.close()
    with pytest.raises(GivenUp):
        await waiting


async def test_cache_loads_again_after_its_time_and_sooner_without_a_value() -> None:
    now, values = 0.0, iter(["first", "second", None, "last"])

    async def load() -> str | None:
        return next(values)

    cache: AsyncCache[str, str | None] = AsyncCache(10.0, empty_seconds=1.0, clock=lambda: now)
    assert [await cache.get("key", load) for _ in range(2)] == ["first", "first"]
    now = 11.0
    assert await cache.get("key", load) == "second"
    cache.forget("key")
    assert [await cache.get("key", load) for _ in range(2)] == [None, None]
    now = 13.0
    assert await cache.get("key", load) == "last"


async def test_cache_keeps_no_failure() -> None:
    failures = [ValueError()]

    async def load() -> str:
        if failures:
            raise failures.pop()
        return "loaded"

    cache: AsyncCache[str, str] = AsyncCache(10.0)
    with pytest.raises(ValueError):  # noqa: PT011 - it is the one above
        await cache.get("key", load)
    assert await cache.get("key", load) == "loaded"
