"""What probes are answered while a store hangs."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest

from kubetally.cache import GivenUp
from kubetally.domain.errors import StoreError
from kubetally.ledger.diagnose.storage import StorageCheck, StorageHealth, StorageProblemKind

OVERDUE = [StorageProblemKind.STORAGE_CHECK_OVERDUE]


@dataclass
class Hanging:
    """A database that answers once `answers` is set; a lake and leases that are always well; and the time."""

    answers: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)
    now: float = 0.0

    def damaged(self) -> list[tuple[str, date]]:
        self.asked.set()
        self.answers.wait()
        return []

    def last_version(self) -> int | None:
        return None

    def acquire(self, name: str) -> None:
        return None


@contextmanager
def checked(store: Hanging) -> Iterator[tuple[StorageCheck, ThreadPoolExecutor]]:
    with ThreadPoolExecutor(1) as executor:
        try:
            yield (
                StorageCheck(
                    store,  # type: ignore[arg-type]
                    store,  # type: ignore[arg-type]
                    lambda: None,
                    {},
                    executor=executor,
                    clock=lambda: store.now,
                ),
                executor,
            )
        finally:
            store.answers.set()


def kinds(health: StorageHealth) -> list[StorageProblemKind]:
    return [problem.kind for problem in health.problems]


async def at_once(check: StorageCheck) -> StorageHealth:
    """The answer, which must not wait for anything."""
    asked = asyncio.create_task(check.latest())
    await asyncio.sleep(0)
    assert asked.done()
    return asked.result()


async def finished(executor: ThreadPoolExecutor) -> None:
    """Once the check before is over, and was noted."""
    for _ in range(3):
        await asyncio.get_running_loop().run_in_executor(executor, lambda: None)


def test_store_that_hangs_for_ten_seconds_is_a_problem() -> None:
    async def probe(store: Hanging, check: StorageCheck, executor: ThreadPoolExecutor) -> None:
        store.answers.set()
        assert kinds(await check.latest()) == []
        store.answers.clear()
        store.now = 31.0
        assert kinds(await at_once(check)) == []
        store.now = 41.5
        assert kinds(await at_once(check)) == OVERDUE
        store.now = 600.0
        assert kinds(await at_once(check)) == OVERDUE
        store.answers.set()
        await finished(executor)
        assert kinds(await at_once(check)) == []

    store = Hanging()
    with checked(store) as (check, executor):
        asyncio.run(probe(store, check, executor))


def test_silent_store_is_a_problem_after_ten_seconds() -> None:
    async def probe(store: Hanging, check: StorageCheck) -> None:
        first = asyncio.create_task(check.latest())
        await asyncio.to_thread(store.asked.wait)
        first.cancel()  # its patience is over
        store.now = 10.5
        assert kinds(await at_once(check)) == OVERDUE
        store.now = 0.5
        waiting = asyncio.create_task(check.latest())
        await asyncio.sleep(0)
        await check.close()
        with pytest.raises(GivenUp):
            await waiting

    store = Hanging()
    with checked(store) as (check, _):
        asyncio.run(probe(store, check))


class Absent:
    """A database that is away."""

    def damaged(self) -> list[tuple[str, date]]:
        raise StoreError("the database is not available")

    last_version = acquire = damaged


class ReadableLake:
    """A lake that is well, or behind what the database knows."""

    url = "/lake"

    def newest_version(self) -> int:
        return 3

    def check_writable(self) -> None:
        return


class Ahead(Hanging):
    """A database that knows of a later version of the lake."""

    def damaged(self) -> list[tuple[str, date]]:
        return []

    def last_version(self) -> int | None:
        return 4


@pytest.mark.parametrize(
    ("store", "kind"),
    [(Absent(), StorageProblemKind.DATABASE_UNREADABLE), (Ahead(), StorageProblemKind.LAKE_UNREADABLE)],
)
def test_absent_database_is_no_trouble_of_the_lake(store: Any, kind: StorageProblemKind) -> None:
    check = StorageCheck(store, store, ReadableLake, {})  # type: ignore[arg-type]
    assert kinds(check.check()) == [kind]
