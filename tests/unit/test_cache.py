"""Loading once for many, and keeping what was loaded."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.cache import AsyncCache, GivenUp, digest_of

V = TypeVar("V")


def one_by_one(values: Iterable[V]) -> Callable[[], Coroutine[Any, Any, V]]:
    """A load that returns the next value each time."""
    rest = iter(values)

    async def load() -> V:
        return next(rest)

    return load


async def test_least_recently_used_leaves_first_and_newest_stays() -> None:
    cache: AsyncCache[str, int] = AsyncCache(weigh=lambda value: 99 if value == 9 else 1, max_weight=3)

    def kept(keys: str) -> list[int | None]:
        return [cached[0] if (cached := cache.last(key)) else None for key in keys]

    for key in "abc":
        await cache.get(key, one_by_one([ord(key)]))
    assert await cache.get("a", one_by_one([0])) == ord("a")
    await cache.get("d", one_by_one([1]))
    assert kept("abcd") == [ord("a"), None, ord("c"), 1]
    await cache.get("large", one_by_one([9]))
    assert (await cache.get("large", one_by_one([0])), len(cache)) == (9, 1)
    await cache.get("small", one_by_one([2]))
    assert len(cache) == 1
    await cache.reload("small", one_by_one([3]))
    cache.forget("no such key")
    assert len(cache) == 1
    assert [cached[0] for key in ("large", "small") if (cached := cache.last(key))] == [3]


async def test_many_load_once_and_each_later_reload_is_new() -> None:
    loads, go = 0, asyncio.Event()

    async def load() -> int:
        nonlocal loads
        loads += 1
        await go.wait()
        return loads

    cache: AsyncCache[str, int] = AsyncCache()
    waiting = [asyncio.create_task(cache.get("key", load)) for _ in range(50)]
    other = asyncio.create_task(cache.get("other", load))
    await asyncio.sleep(0)
    assert (cache.loading, len(cache)) == (2, 0)
    waiting[0].cancel()
    go.set()
    assert set(await asyncio.gather(*waiting[1:], other)) <= {1, 2}
    assert loads == 2
    assert waiting[0].cancelled()
    assert await cache.reload("key", load) == 3
    assert (cache.loading, len(cache)) == (0, 2)


async def test_load_that_nobody_waits_for_is_kept() -> None:
    go = asyncio.Event()

    async def load() -> str:
        await go.wait()
        return "loaded"

    cache: AsyncCache[int, str] = AsyncCache()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await cache.get(1, load)
    go.set()
    assert await cache.get(1, one_by_one(["another"])) == "loaded"


async def test_failure_reaches_all_who_wait_and_is_not_kept() -> None:
    failures = [ValueError("first")]

    async def load() -> str:
        await asyncio.sleep(0)
        if failures:
            raise failures.pop()
        return "loaded"

    cache: AsyncCache[int, str] = AsyncCache()
    both = await asyncio.gather(cache.get(1, load), cache.get(1, load), return_exceptions=True)
    assert [str(error) for error in both] == ["first", "first"]
    assert await cache.get(1, load) == "loaded"


async def test_close_gives_up_what_is_loading() -> None:
    cache: AsyncCache[int, None] = AsyncCache()
    waiting = asyncio.create_task(cache.get(1, lambda: asyncio.sleep(60)))
    await asyncio.sleep(0)
    await cache.close()
    with pytest.raises(GivenUp):
        await waiting


async def test_value_is_loaded_again_after_its_own_time() -> None:
    now, load = 0.0, one_by_one(["first", "second", None, "last"])
    cache: AsyncCache[str, str | None] = AsyncCache(lambda value: 10 if value else 1, clock=lambda: now)
    assert [await cache.get("key", load) for _ in range(2)] == ["first", "first"]
    now = 10.0
    assert cache.peek("key") == ("first", 10.0)
    now = 11.0
    assert (cache.peek("key"), cache.last("key")) == (None, ("first", 11.0))
    assert await cache.get("key", load) == "second"
    cache.forget("key")
    assert [await cache.get("key", load) for _ in range(2)] == [None, None]
    now = 13.0
    assert await cache.get("key", load) == "last"


async def test_clock_that_is_set_back_makes_no_value_fresh() -> None:
    now = 100.0
    cache: AsyncCache[str, str] = AsyncCache(lambda _: 10, clock=lambda: now)
    await cache.get("key", one_by_one(["first"]))
    now = 99.0
    assert await cache.get("key", one_by_one(["second"])) == "second"


async def test_value_that_is_not_kept_replaces_the_one_before() -> None:
    cache: AsyncCache[str, int] = AsyncCache(lambda value: 60 if value else None)
    load = one_by_one([5, 0])
    assert [await cache.reload("key", load) for _ in range(2)] == [5, 0]
    assert (cache.last("key"), len(cache)) == (None, 0)


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_digests_are_equal_only_for_equal_parts(one: list[str], two: list[str]) -> None:
    assert (digest_of(*one) == digest_of(*two)) is (one == two)
    assert digest_of(*map(str.encode, one), b"x") != digest_of(*map(str.encode, one), b"y")
    assert digest_of("\ud800") != digest_of("?")
