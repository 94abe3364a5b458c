"""The port `Coverage` on every database."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event

from kubetally.domain.account import Account, AccountType
from kubetally.domain.booking import Booking
from kubetally.domain.collection import CoveredDay
from kubetally.domain.component import Costs
from kubetally.domain.errors import StoreError
from kubetally.store.booking_json import CollectionNotUnderstood
from kubetally.store.meta.coverage import SqlCoverage
from tests.errors import raises_code
from tests.integration.collected_days import DAY, NOW, Opener, SetClock, collection, opener_of
from tests.integration.databases import Database
from tests.integration.test_coverage_port import held, keep
from tests.service import account_id

END = DAY + timedelta(days=1)


@pytest.fixture
def opens(database: Database) -> Iterator[Opener]:
    yield from opener_of(database.url)


@pytest.fixture
def clock(opens: Opener) -> SetClock:
    return opens.clock


@pytest.fixture
def coverage(opens: Opener) -> SqlCoverage:
    return opens().coverage


def test_collection_is_read_once_it_is_confirmed(coverage: SqlCoverage, opens: Opener) -> None:
    given = collection("c1", collected_at=NOW.replace(microsecond=123_457))
    coverage.intend([given])
    assert coverage.pending() == [given]
    assert held(coverage) == coverage.days(DAY, end=END) == []
    coverage.confirm(["c1"], 3)
    assert coverage.pending() == []
    for elsewhere in (coverage, opens().coverage):
        assert elsewhere.collections("a", DAY, end=END) == [replace(given, version=3)]


def test_running_days_are_not_kept_and_never_were(coverage: SqlCoverage, clock: SetClock, database: Database) -> None:
    for number in range(3):
        keep(coverage, number, collection(f"running {number}", is_running=True))
        assert held(coverage, clock.at) == []
        clock.forward(900)
    assert database.execute("SELECT id FROM collections") == [("running 2",)]
    keep(coverage, 1, collection("whole"))
    assert held(coverage, clock.at - timedelta(seconds=1)) == []
    assert database.execute("SELECT id FROM collections") == [("whole",)]


def test_late_confirmation_is_put_between_versions(coverage: SqlCoverage, database: Database) -> None:
    names = {"c2": 2, "c9": 9, "c11": 11, "c5": 5, "running": 4, "c4": 4}
    coverage.intend([collection(name, is_running=name == "running") for name in names])
    for name, version in names.items():
        coverage.confirm([name], version)
    rows = database.execute("SELECT id, version, last_version FROM collections ORDER BY version")
    assert rows == [("c2", 2, 3), ("c4", 4, 4), ("c5", 5, 8), ("c9", 9, 10), ("c11", 11, None)]


def test_second_confirmation_changes_nothing(coverage: SqlCoverage, clock: SetClock, database: Database) -> None:
    keep(coverage, 1, collection("old"))
    clock.forward(60)
    keep(coverage, 2, collection("new"))
    coverage.failed("a", DAY, clock.at, code="source_unavailable", message="no answer")
    before = [database.rows(f"SELECT * FROM {table}") for table in ("collections", "coverage")]  # noqa: S608
    clock.forward(60)
    coverage.confirm(["old"], 1)
    coverage.confirm(["new", "never noted"], 2)
    coverage.confirm([], 7)
    coverage.intend([collection("new"), collection("old")])
    coverage.intend([])
    assert before == [database.rows(f"SELECT * FROM {table}") for table in ("collections", "coverage")]  # noqa: S608


def test_attempts_that_fail_are_counted_until_one_succeeds(coverage: SqlCoverage, clock: SetClock) -> None:
    for number in (1, 2):
        coverage.failed("a", DAY, clock.forward(60), code=f"code_{number}", message="no answer\0 \ud83d")
    [day] = coverage.days(DAY, end=END)
    assert day == CoveredDay(
        "a", DAY, attempts=2, tried_at=clock.at, last_error=("code_2", "no answer \N{REPLACEMENT CHARACTER}")
    )
    assert not day.is_stored
    keep(coverage, 1, collection("c1"))
    [day] = coverage.days(DAY, end=END)
    assert (day.is_stored, day.attempts, day.last_error) == (True, 0, None)
    coverage.failed("a", DAY, clock.at, code="source_unavailable", message="x" * 100_000)
    [day] = coverage.days(DAY, end=END)
    assert day.last_error is not None
    assert (day.collection_id, day.attempts, len(day.last_error[1])) == ("c1", 1, 2000)
    assert held(coverage) == ["c1"]


def test_an_account_that_is_removed_keeps_its_history(opens: Opener, database: Database) -> None:
    keep(opens().coverage, 1, collection("c1", "gone"))
    database.execute("DELETE FROM cloudaccount")
    assert held(opens().coverage, account_id="gone") == ["c1"]


def test_days_of_many_accounts_are_one_query_without_heads(coverage: SqlCoverage) -> None:
    accounts = [f"account-{number:02}" for number in range(50)]
    for number in range(3):
        day = DAY + timedelta(days=number)
        keep(coverage, number, *(collection(f"{account}-{number}", account, day) for account in accounts))
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(coverage._engine, "before_cursor_execute", note)
    assert len(coverage.days(DAY, end=DAY + timedelta(days=3), account_ids=accounts)) == 150
    (question,) = (request for request in asked if request.startswith("SELECT"))
    assert "head" not in question
    assert "balance" not in question


def test_latest_of_concurrent_confirmations_is_current(opens: Opener) -> None:
    coverages = [opens().coverage for _ in range(4)]
    names = [f"c{number}" for number in range(12)]
    coverages[0].intend([collection(name) for name in names])
    start = threading.Barrier(4)

    def confirm(worker: int) -> None:
        start.wait()
        for number in range(worker, 12, 4):
            while True:
                try:
                    coverages[worker].confirm([names[number]], number)
                    break
                except StoreError as error:  # two lock each other out, and one of them has to retry
                    if not error.retryable:
                        raise

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(confirm, range(4)))
    assert held(coverages[0]) == ["c11"]
    assert coverages[0].days(DAY, end=END)[0].collection_id == "c11"
    assert coverages[0].pending() == []


def test_one_that_can_t_be_noted_keeps_out_all_of_its_call(coverage: SqlCoverage) -> None:
    sound = collection("sound")
    bill = Costs(cpu=2**62, ram=2**62)
    with pytest.raises(StoreError, match=r"2026-11-20 of account a .* correct the prices") as caught:
        coverage.intend([sound, collection("large", head=replace(sound.head, bill=bill))])
    assert caught.value.code == "total_too_large"
    assert coverage.pending() == []


def test_invalid_characters_are_replaced(coverage: SqlCoverage) -> None:
    sound = collection("c1")
    issue = replace(sound.head.issues[0], message="half \ud83d, nul \0")
    head: Booking = replace(sound.head, issues=(issue,))
    [kept] = keep(coverage, 1, replace(sound, head=head, source=replace(sound.source, url="http://nul\0")))
    [found] = coverage.collections("a", DAY, end=END)
    assert found.head.issues[0].message == "half \N{REPLACEMENT CHARACTER}, nul "
    assert coverage.days(DAY, end=END)[0].source == "http://nul"
    assert replace(found, head=kept.head, source=kept.source) == kept


def test_a_long_head_is_kept_whole(coverage: SqlCoverage) -> None:
    sound = collection("c1")
    facts = {"resources": tuple(f"node ip-10-0-{number}.internal ö" for number in range(20_000))}
    head = replace(sound.head, issues=(replace(sound.head.issues[0], facts=facts),))
    [kept] = keep(coverage, 1, replace(sound, head=head))
    assert coverage.collections("a", DAY, end=END) == [kept]


def test_unreadable_collection_does_not_affect_days(coverage: SqlCoverage, database: Database) -> None:
    keep(coverage, 1, collection("c1"))
    database.execute("UPDATE collections SET head = :head", head='{"source": {}, "booking": {}}')
    with pytest.raises(CollectionNotUnderstood, match=r"collection c1 can't be read .*install"):
        coverage.collections("a", DAY, end=END)
    assert len(coverage.days(DAY, end=END)) == 1


def test_missing_tables_are_an_error(coverage: SqlCoverage, database: Database) -> None:
    database.execute("DROP TABLE coverage")
    with raises_code("tables_missing", match="kubetally restore"):
        coverage.days(DAY, end=END)


def test_writer_and_many_readers_share_a_sqlite_file(tmp_path: Path) -> None:
    first, end = DAY, DAY + timedelta(days=40)
    done = threading.Event()

    def read(coverage: SqlCoverage) -> int:
        times = 0
        while not done.is_set() or not times:
            there = {collection.collection_id for collection in coverage.days(first, end=end, account_ids=["a"])}
            assert there <= {collection.id for collection in coverage.collections("a", first, end=end)}
            times += 1
        return times

    with contextmanager(opener_of)(f"sqlite:///{tmp_path / 'kubetally.db'}") as opens:
        writer, readers = opens().coverage, [opens().coverage for _ in range(2)]
        with ThreadPoolExecutor(8) as pool:
            reading = [pool.submit(read, readers[number % 2]) for number in range(8)]
            try:
                for number in range(40):
                    day = first + timedelta(days=number)
                    keep(writer, number, *(collection(f"{item}-{number}", item, day) for item in "abc"))
                    writer.failed("d", day, NOW, code="code", message="message")
            finally:
                done.set()
            assert all(future.result(30) for future in reading)
        assert len(writer.days(first, end=end)) == 160


def test_revision_changes_with_every_commit_that_answers_depend_on(opens: Opener) -> None:
    reader, writer, seconds = opens().coverage, opens(), [0.0]
    reader.seconds = lambda: seconds[0]
    organization, revisions = writer.accounts.organization(), [reader.revision()]
    for change in (
        lambda: writer.coverage.intend([collection("c1")]),
        lambda: reader.confirm(["c1"], 1),
        lambda: writer.accounts.add(Account(account_id(1), organization.id, "prod", AccountType.KUBERNETES_CNR)),
        lambda: writer.accounts.remove("prod"),
    ):
        change()
        revisions.append(reader.revision())
        assert reader.revision() == revisions[-1]
    assert len(set(revisions)) == len(revisions)
    lease = writer.leases.acquire("collector")
    assert lease is not None
    lease.release()
    assert reader.revision() == revisions[-1]
    seconds[0] = 61.0  # somebody may have written without it
    assert reader.revision() != revisions[-1]


def test_writers_do_not_refuse_each_other(opens: Opener, database: Database) -> None:
    """Nor on a MariaDB that refuses rows which changed since a transaction began, as later versions do by default."""
    is_strict = database.url.startswith(("mysql", "mariadb"))
    if is_strict:
        database.execute("SET GLOBAL innodb_snapshot_isolation = ON")
    stores, organization = opens(), opens().accounts.organization()

    def collect() -> None:
        for number in range(40):
            keep(stores.coverage, number + 1, collection(f"c{number}", day=DAY))

    def edit() -> None:
        for number in range(40):
            stores.accounts.add(Account(account_id(number), organization.id, f"n{number}", AccountType.KUBERNETES_CNR))
            stores.accounts.remove(f"n{number}")

    try:
        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(collect), pool.submit(edit)]:
                done.result(60)
    finally:
        if is_strict:
            database.execute("SET GLOBAL innodb_snapshot_isolation = OFF")
    assert len(held(stores.coverage)) == 1
