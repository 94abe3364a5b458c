"""The port `Leases` on every database, under contention of threads and of processes."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from kubetally.store.meta.instants import to_microseconds
from kubetally.store.meta.leases import SqlLeases
from kubetally.store.meta.process import Process
from tests.errors import raises_code
from tests.integration.collected_days import NOW, Opener, SetClock, opener_of
from tests.integration.databases import Database

COMMITTER = "committer"
CONTENDER = """
import sys
from datetime import UTC, datetime
from kubetally.store.meta.leases import SqlLeases
from kubetally.store.meta.schema import ready_engine

class Clock:
    def now(self):
        return datetime.now(UTC)

with ready_engine(sys.argv[1]) as engine:
    leases = SqlLeases(engine, Clock())
    print("ready", flush=True)
    for line in sys.stdin:
        lease = leases.acquire(line.strip())
        print("none" if lease is None else lease.token, flush=True)
"""


@pytest.fixture
def opens(database: Database) -> Iterator[Opener]:
    yield from opener_of(database.url)


@pytest.fixture
def clock(opens: Opener) -> SetClock:
    return opens.clock


@pytest.fixture
def leases(opens: Opener) -> SqlLeases:
    return opens().leases


class Contender:
    """A process of its own that takes leases when it is told to."""

    def __init__(self, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CONTENDER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __str__(self) -> str:
        return f"process {self.process.pid} on {Process.this().host}"

    def ask(self, name: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def contenders(url: str, count: int) -> Iterator[Sequence[Contender]]:
    with ExitStack() as stack:
        made = [Contender(url) for _ in range(count)]
        for item in made:
            stack.enter_context(item.process)
            stack.callback(item.process.kill)
        assert [item.answer() for item in made] == ["ready"] * count
        yield made


def elsewhere(database: Database, host: str = "elsewhere") -> None:
    """Let whoever has leases be on another machine."""
    database.execute("UPDATE leases SET host = :host", host=host)


def test_a_lease_is_one_s_alone_until_it_is_given_back(leases: SqlLeases, opens: Opener) -> None:
    assert leases.holder(COMMITTER) is None
    lease = leases.acquire(COMMITTER)
    assert lease is not None
    for other in (leases, opens().leases):
        assert other.acquire(COMMITTER) is None
        assert other.holder(COMMITTER) == str(Process.this())
    assert leases.acquire("another") is not None
    assert lease.renew()
    lease.release()
    assert leases.holder(COMMITTER) is None
    assert not lease.renew()
    again = opens().leases.acquire(COMMITTER)
    assert again is not None
    assert again.token > lease.token
    lease.release()  # of one that is another's by now, nothing
    assert leases.holder(COMMITTER) is not None
    assert again.renew()


def test_lease_of_another_machine_expires_after_30_seconds(
    leases: SqlLeases, clock: SetClock, database: Database
) -> None:
    lease = leases.acquire(COMMITTER)
    assert lease is not None
    elsewhere(database)
    clock.forward(29)
    assert lease.renew()
    clock.forward(29.9)
    assert leases.acquire(COMMITTER) is None
    assert leases.holder(COMMITTER) == str(Process.this()).replace(Process.this().host, "elsewhere")
    clock.forward(0.1)
    assert leases.holder(COMMITTER) is None
    taken = leases.acquire(COMMITTER)
    assert taken is not None
    assert not lease.renew()
    assert taken.renew()


def test_a_lease_that_expired_is_held_again_if_nobody_took_it(leases: SqlLeases, clock: SetClock) -> None:
    lease = leases.acquire(COMMITTER)
    assert lease is not None
    clock.forward(3600)
    assert leases.holder(COMMITTER) is None
    assert lease.renew()
    assert leases.acquire(COMMITTER) is None


def test_a_holder_that_stands_still_loses_it_also_on_this_machine(leases: SqlLeases, clock: SetClock) -> None:
    assert leases.acquire(COMMITTER) is not None
    clock.forward(30)
    assert leases.acquire(COMMITTER) is not None


def test_a_holder_on_this_machine_that_was_killed_loses_it_at_once(database: Database, opens: Opener) -> None:
    leases = opens().leases
    with contenders(database.url, 1) as [holder]:
        opens.clock.at = datetime.now(UTC)
        holder.ask(COMMITTER)
        assert holder.answer() == "1"
        assert leases.acquire(COMMITTER) is None
        assert leases.holder(COMMITTER) == str(holder)
        holder.process.kill()
        holder.process.wait()
        assert leases.holder(COMMITTER) is None
        assert leases.acquire(COMMITTER) is not None


@pytest.mark.parametrize(
    ("column", "value", "gone"),
    [("started", 1, True), ("pid", 2**30, True), ("boot", "another container", False), ("host", "elsewhere", False)],
)
def test_process_of_a_holder_is_checked_on_its_machine(
    leases: SqlLeases, database: Database, column: str, value: object, gone: bool
) -> None:
    lease = leases.acquire(COMMITTER)
    assert lease is not None
    database.execute(f"UPDATE leases SET {column} = :value", value=value)  # noqa: S608
    assert (leases.acquire(COMMITTER) is not None) == gone
    assert lease.renew() != gone


def test_a_clock_that_was_set_back_delays_nobody_for_ever(
    leases: SqlLeases, clock: SetClock, database: Database
) -> None:
    lease = leases.acquire(COMMITTER)
    assert lease is not None
    elsewhere(database)
    clock.forward(-30)  # it expires 60 s ahead, as that of a machine may whose clock is 30 s ahead
    assert leases.acquire(COMMITTER) is None
    clock.forward(-1)
    assert leases.acquire(COMMITTER) is not None
    assert not lease.renew()


def test_renewal_after_a_clock_set_back_lasts_its_full_length(
    leases: SqlLeases, clock: SetClock, database: Database
) -> None:
    lease = leases.acquire(COMMITTER)
    assert lease is not None
    clock.forward(-86_400)
    assert lease.renew()
    expiry = to_microseconds(NOW - timedelta(days=1) + timedelta(seconds=30))
    assert database.execute("SELECT expires_at FROM leases") == [(expiry,)]
    assert leases.acquire(COMMITTER) is None


@pytest.mark.parametrize("before", ["never taken", "given back", "expired", "gone"])
def test_one_of_many_threads_acquires_a_lease(database: Database, opens: Opener, before: str) -> None:
    ours = [opens().leases for _ in range(3)]
    if before != "never taken":
        first = ours[0].acquire(COMMITTER)
        assert first is not None
        if before == "given back":
            first.release()
        elif before == "expired":
            opens.clock.forward(31)
        else:
            database.execute("UPDATE leases SET started = 1")
    start = threading.Barrier(9)

    def take(number: int) -> object:
        start.wait()
        return ours[number % 3].acquire(COMMITTER)

    with ThreadPoolExecutor(9) as pool:
        assert sum(item is not None for item in pool.map(take, range(9))) == 1


def test_one_of_many_processes_acquires_a_lease(database: Database) -> None:
    with contextmanager(opener_of)(database.url), contenders(database.url, 4) as processes:
        for number in range(15):
            for process in processes:
                process.ask(f"lease-{number}")
            answers = [process.answer() for process in processes]
            assert sorted(answers) == ["1", "none", "none", "none"]


def test_holding_and_taking_by_turns_no_two_have_it_at_once(opens: Opener) -> None:
    inside, most, tokens = 0, 0, []
    counting, ours = threading.Lock(), [opens().leases for _ in range(2)]

    def work(number: int) -> None:
        nonlocal inside, most
        for _ in range(10):
            lease = ours[number % 2].acquire(COMMITTER)
            if lease is None:
                continue
            with counting:
                inside += 1
                most = max(most, inside)
                tokens.append(lease.token)
            assert lease.renew()
            with counting:
                inside -= 1
            lease.release()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert most == 1
    assert tokens == list(range(1, len(tokens) + 1))


def test_a_lease_is_not_held_by_the_word_of_a_server_that_is_away(served_database: Database) -> None:
    assert served_database.server is not None
    with contextmanager(opener_of)(served_database.url) as opens:
        leases = opens().leases
        lease = leases.acquire(COMMITTER)
        assert lease is not None
        served_database.server.stop()
        try:
            for act in (lease.renew, lease.release, lambda: leases.acquire(COMMITTER)):
                with raises_code("store_unavailable"):
                    act()
        finally:
            served_database.server.start()
        assert lease.renew()
