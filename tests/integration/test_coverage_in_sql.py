"""The port `Coverage` on every database."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event

from kubetally.domain.booking import Booking
from kubetally.domain.collection import NO_DATA, Collection, CoveredDay, DayState
from kubetally.domain.component import Costs
from kubetally.domain.errors import StoreError
from kubetally.domain.window import Window
from kubetally.ledger.ports.coverage import Progress
from kubetally.store.meta.booking_json import CollectionNotUnderstood
from kubetally.store.meta.coverage import SqlCoverage
from tests.errors import raises_code
from tests.integration.collected_days import DAY, NOW, Opener, SetClock, collection, opener_of
from tests.integration.databases import Database

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


def keep(coverage: SqlCoverage, version: int, *collections: Collection) -> list[Collection]:
    """Noted and confirmed; as they should come back."""
    coverage.intend(collections)
    coverage.confirm([one.id for one in collections], version)
    return [replace(one, version=version) for one in collections]


def held(coverage: SqlCoverage, as_of: datetime | None = None, account_id: str = "a") -> list[str]:
    return [one.id for one in coverage.collections(account_id, DAY, END, as_of)]


def test_a_collection_is_read_by_nobody_until_it_is_confirmed_and_comes_back_whole(
    coverage: SqlCoverage, opens: Opener
) -> None:
    given = collection("c1", collected_at=NOW.replace(microsecond=123_457))
    coverage.intend([given])
    assert coverage.pending() == [given]
    assert held(coverage) == coverage.days(DAY, END) == []
    coverage.confirm(["c1"], 3)
    assert coverage.pending() == []
    for elsewhere in (coverage, opens().coverage):
        assert elsewhere.collections("a", DAY, END) == [replace(given, version=3)]


def test_collecting_times_are_the_first_and_last_of_each_day(coverage: SqlCoverage) -> None:
    assert coverage.collecting_times() == []
    noon = NOW.replace(hour=12, microsecond=123_457)
    minutes, yesterday = timedelta(minutes=1), noon - timedelta(days=1)
    for number, at in enumerate([noon, noon - minutes, noon + minutes, yesterday]):
        keep(coverage, number, collection(f"c{number}", collected_at=at))
    assert coverage.collecting_times() == [(noon - minutes, noon + minutes), (yesterday, yesterday)]


def test_days_tell_what_is_held_without_its_head(coverage: SqlCoverage) -> None:
    keep(coverage, 3, collection("c1", cost=-9_000_000_000_000_001))
    assert coverage.days(DAY, END) == [
        CoveredDay(
            "a",
            DAY,
            "c1",
            DayState.SETTLED,
            assets_complete=True,
            source="http://source:9003",
            rows=1,
            hours_covered=24.0,
            total=-9_000_000_000_000_001,
            currency="USD",
            collected_at=NOW,
            tried_at=NOW,
        )
    ]


def test_day_collected_in_the_future_is_provisional(coverage: SqlCoverage, clock: SetClock) -> None:
    coverage.intend([collection("a", collected_at=NOW + timedelta(days=60))])
    coverage.confirm(["a"], 1)
    (known,) = coverage.days(DAY, DAY + timedelta(days=1))
    assert (known.is_stored, known.state) == (True, DayState.PROVISIONAL)
    clock.forward(timedelta(days=61).total_seconds())
    (known,) = coverage.days(DAY, DAY + timedelta(days=1))
    assert known.state is DayState.SETTLED


def test_missing_day_holds_no_longer_and_an_earlier_one_is_restored(coverage: SqlCoverage) -> None:
    for version, name in enumerate(("first", "second"), 1):
        coverage.intend([collection(name)])
        coverage.confirm([name], version)
    (known,) = coverage.days(DAY, DAY + timedelta(days=1))
    assert coverage.mark_missing(known, NOW, "the lake lacks it")
    (lost,) = coverage.days(DAY, DAY + timedelta(days=1))
    assert (lost.is_stored, lost.total, lost.attempts) == (False, 0, 0)
    assert lost.last_error == ("collection_gone", "the lake lacks it")
    assert held(coverage) == []
    assert held(coverage, NOW + timedelta(days=1)) == ["second"], "an earlier one did not hold then"
    assert (coverage.collections_on(DAY), coverage.collections_on(DAY, or_lost=True)["a"].id) == ({}, "second")
    assert coverage.known_ids(["first", "second", "third"]) == {"first", "second"}
    assert coverage.restore([], ["first"]) == {"first"}
    (again,) = coverage.days(DAY, DAY + timedelta(days=1))
    assert (again.collection_id, again.last_error) == ("first", None)
    assert coverage.collections_on(DAY, or_lost=True)["a"].id == "first"
    assert not coverage.mark_missing(known, NOW, "another holds by now")


def test_history_is_as_it_was_after_a_restored_day(coverage: SqlCoverage, clock: SetClock) -> None:
    instants = []
    for version, name in enumerate(("first", "second"), 1):
        keep(coverage, version, collection(name))
        instants.append(clock.at)
        clock.forward(60)
    (known,) = coverage.days(DAY, DAY + timedelta(days=1))
    coverage.mark_missing(known, clock.at, "the lake lacks it")
    assert [held(coverage, at) for at in instants] == [["first"], ["second"]]
    coverage.restore([], ["first"])
    assert [held(coverage, at) for at in (*instants, clock.at)] == [["first"], ["second"], ["first"]]
    clock.forward(60)
    coverage.restore([], ["second"])
    assert [held(coverage, at) for at in (instants[0], clock.at)] == [["first"], ["second"]]


def test_days_come_by_account_and_day_from_the_first_to_before_the_end(coverage: SqlCoverage) -> None:
    for number in range(4):
        day = DAY + timedelta(days=number)
        keep(coverage, number, *(collection(f"{account}{number}", account, day) for account in ("b", "a", "B", "ä")))
    first, end = DAY + timedelta(days=1), DAY + timedelta(days=3)
    assert [one.collection_id for one in coverage.days(first, end)] == ["B1", "B2", "a1", "a2", "b1", "b2", "ä1", "ä2"]
    assert [one.collection_id for one in coverage.days(first, end, iter(["b", "none"]))] == ["b1", "b2"]
    assert coverage.days(first, end, []) == coverage.days(end, first) == []
    assert [one.id for one in coverage.collections("a", first, end)] == ["a1", "a2"]


def test_a_later_collection_takes_the_place_of_an_earlier_one(coverage: SqlCoverage) -> None:
    keep(coverage, 3, collection("old"))
    [new] = keep(coverage, 4, collection("new", cost=8_000_000))
    assert coverage.collections("a", DAY, END) == [new]
    [day] = coverage.days(DAY, END)
    assert (day.collection_id, day.total) == ("new", 8_000_000)


def test_what_is_confirmed_late_does_not_take_the_place_of_a_later_version(coverage: SqlCoverage) -> None:
    coverage.intend([collection("old"), collection("new"), collection("older, running", is_running=True)])
    coverage.confirm(["new"], 4)
    for name in ("old", "older, running"):
        coverage.confirm([name], 3)
        assert held(coverage) == held(coverage, NOW) == ["new"]
        assert coverage.days(DAY, END)[0].collection_id == "new"
    assert coverage.pending() == []


def test_a_running_day_gives_way_to_the_whole_day_whatever_the_version_of_its_table(coverage: SqlCoverage) -> None:
    keep(coverage, 900, collection("running 1", is_running=True))
    keep(coverage, 901, collection("running 2", is_running=True))
    assert held(coverage) == ["running 2"]
    assert coverage.days(DAY, END)[0].is_running
    keep(coverage, 5, collection("whole"))
    assert held(coverage) == ["whole"]
    assert not coverage.days(DAY, END)[0].is_running


def test_running_days_are_not_kept_and_never_were(coverage: SqlCoverage, clock: SetClock, database: Database) -> None:
    for number in range(3):
        keep(coverage, number, collection(f"running {number}", is_running=True))
        assert held(coverage, clock.at) == []
        clock.forward(900)
    assert database.execute("SELECT id FROM collections") == [("running 2",)]
    keep(coverage, 1, collection("whole"))
    assert held(coverage, clock.at - timedelta(seconds=1)) == []
    assert database.execute("SELECT id FROM collections") == [("whole",)]


def test_what_held_at_an_instant_is_found_until_it_is_forgotten(coverage: SqlCoverage, clock: SetClock) -> None:
    instants = []
    for number in range(3):
        keep(coverage, number, collection(f"c{number}"), collection(f"other{number}", "b"))
        instants.append(clock.at)
        clock.forward(0.5)
    assert [held(coverage, at) for at in instants] == [["c0"], ["c1"], ["c2"]]
    assert held(coverage, NOW - timedelta(microseconds=1)) == []
    assert coverage.collections("a", DAY, END, NOW)[0].version == 0
    assert coverage.forget(instants[1]) == 0
    assert coverage.forget(instants[2]) == 2
    assert [held(coverage, at) for at in instants] == [[], ["c1"], ["c2"]]
    assert coverage.forget(clock.at + timedelta(days=1000)) == 2
    assert held(coverage) == ["c2"]


def last_versions(coverage: SqlCoverage, instants: list[datetime], account_id: str = "a") -> list[int | None]:
    """Of the collections that held at these instants."""
    return [one.last_version for at in instants for one in coverage.collections(account_id, DAY, END, at)]


def test_what_is_replaced_keeps_the_last_version_that_had_it(coverage: SqlCoverage, clock: SetClock) -> None:
    instants = []
    for version in (3, 7, 20):
        keep(coverage, version, collection(f"a{version}"), collection(f"b{version}", "b"))
        instants.append(clock.at)
        clock.forward(60)
    keep(coverage, 30, collection("a30"), collection("c30", "c"))
    assert last_versions(coverage, [*instants, clock.at]) == [6, 19, 29, None]
    assert last_versions(coverage, [*instants, clock.at], "b") == [6, 19, None, None]


def test_what_is_confirmed_late_is_put_between_the_versions_around_it(
    coverage: SqlCoverage, database: Database
) -> None:
    names = {"c2": 2, "c9": 9, "c11": 11, "c5": 5, "running": 4, "c4": 4}
    coverage.intend([collection(name, is_running=name == "running") for name in names])
    for name, version in names.items():
        coverage.confirm([name], version)
    rows = database.execute("SELECT id, version, last_version FROM collections ORDER BY version")
    assert rows == [("c2", 2, 3), ("c4", 4, 4), ("c5", 5, 8), ("c9", 9, 10), ("c11", 11, None)]


def test_the_last_version_is_that_of_days_that_are_over_and_held(coverage: SqlCoverage) -> None:
    assert coverage.last_version() is None
    coverage.intend([collection("pending")])
    keep(coverage, 900, collection("running", "b", is_running=True))
    assert coverage.last_version() is None
    keep(coverage, 4, collection("c4", day=END))
    keep(coverage, 7, collection("c7", "c"))
    keep(coverage, 6, collection("c6"))
    assert coverage.last_version() == 7


def test_a_clock_that_was_set_back_does_not_bring_back_what_was_replaced(
    coverage: SqlCoverage, clock: SetClock
) -> None:
    keep(coverage, 1, collection("old"))
    clock.forward(-60)
    keep(coverage, 2, collection("new"))
    assert held(coverage, clock.at) == held(coverage, NOW) == held(coverage) == ["new"]


def test_what_is_confirmed_twice_is_as_confirmed_once(
    coverage: SqlCoverage, clock: SetClock, database: Database
) -> None:
    keep(coverage, 1, collection("old"))
    clock.forward(60)
    keep(coverage, 2, collection("new"))
    coverage.failed("a", DAY, clock.at, "source_unavailable", "no answer")
    before = [database.rows(f"SELECT * FROM {table}") for table in ("collections", "coverage")]  # noqa: S608
    clock.forward(60)
    coverage.confirm(["old"], 1)
    coverage.confirm(["new", "never noted"], 2)
    coverage.confirm([], 7)
    coverage.intend([collection("new"), collection("old")])
    coverage.intend([])
    assert before == [database.rows(f"SELECT * FROM {table}") for table in ("collections", "coverage")]  # noqa: S608


def test_what_was_not_committed_is_dropped_and_what_was_is_not(coverage: SqlCoverage) -> None:
    keep(coverage, 1, collection("kept"))
    coverage.intend([collection("lost"), collection("waiting", "b")])
    coverage.drop(["lost", "kept", "never noted"])
    coverage.drop([])
    assert [one.id for one in coverage.pending()] == ["waiting"]
    assert held(coverage) == ["kept"]


def test_attempts_that_fail_are_counted_until_one_succeeds(coverage: SqlCoverage, clock: SetClock) -> None:
    for number in (1, 2):
        coverage.failed("a", DAY, clock.forward(60), f"code_{number}", "no answer\0 \ud83d")
    [day] = coverage.days(DAY, END)
    assert day == CoveredDay(
        "a", DAY, attempts=2, tried_at=clock.at, last_error=("code_2", "no answer \N{REPLACEMENT CHARACTER}")
    )
    assert not day.is_stored
    keep(coverage, 1, collection("c1"))
    [day] = coverage.days(DAY, END)
    assert (day.is_stored, day.attempts, day.last_error) == (True, 0, None)
    coverage.failed("a", DAY, clock.at, "source_unavailable", "x" * 100_000)
    [day] = coverage.days(DAY, END)
    assert day.last_error is not None
    assert (day.collection_id, day.attempts, len(day.last_error[1])) == ("c1", 1, 2000)
    assert held(coverage) == ["c1"]


def test_balances_are_those_of_what_holds(coverage: SqlCoverage) -> None:
    keep(coverage, 1, collection("a1"), collection("b1", "b"), collection("a0", day=DAY - timedelta(days=1)))
    keep(coverage, 2, later := collection("a2", cost=8_000_000))
    assert coverage.balances(DAY, END, ["a"]) == {"a2": later.balance}
    assert set(coverage.balances(DAY - timedelta(days=1), END, ["a", "b"])) == {"a0", "a2", "b1"}


def test_how_far_collecting_has_come_is_counted_over_the_accounts_asked_about(coverage: SqlCoverage) -> None:
    assert coverage.progress(["a", "b"], DAY) == Progress()
    last = NOW + timedelta(minutes=5)
    keep(coverage, 1, collection("a1"), collection("b1", "b"), collection("c1", "c"))
    keep(coverage, 2, collection("a2", day=DAY + timedelta(days=1), collected_at=last))
    keep(coverage, 3, collection("d1", "d", is_running=True))
    coverage.failed("a", DAY - timedelta(days=1), NOW, "source_unavailable", "nobody answers")
    coverage.failed("a", DAY - timedelta(days=2), NOW, NO_DATA, "the source holds nothing")
    coverage.failed("b", DAY, NOW, "fewer_hours", "the stored day was kept")
    assert coverage.progress(["a", "b", "d"], DAY) == Progress(4, 1, 2, last)
    assert coverage.progress(["c"], DAY + timedelta(days=1)) == Progress(1, 0, 0, NOW)
    assert coverage.progress([], DAY) == Progress()


def test_where_a_history_begins_is_as_it_was_found_last(coverage: SqlCoverage) -> None:
    assert coverage.history_begins("a") is None
    coverage.note_history("a", DAY, NOW)
    coverage.note_history("b", date(2020, 2, 29), NOW)
    coverage.note_history("a", END, NOW)
    assert (coverage.history_begins("a"), coverage.history_begins("b")) == (END, date(2020, 2, 29))


def test_an_account_that_is_removed_keeps_its_history(opens: Opener, database: Database) -> None:
    keep(opens().coverage, 1, collection("c1", "gone"))
    database.execute("DELETE FROM cloudaccount")
    assert held(opens().coverage, account_id="gone") == ["c1"]


def test_a_whole_commit_is_confirmed_at_once(coverage: SqlCoverage) -> None:
    first = [collection(f"first-{number:03}", f"a{number:03}") for number in range(100)]
    second = [collection(f"second-{number:03}", f"a{number:03}") for number in range(100)]
    keep(coverage, 1, *first)
    coverage.intend(second)
    coverage.confirm([one.id for one in reversed(second)], 2)
    assert [one.collection_id for one in coverage.days(DAY, END)] == [one.id for one in second]


def test_days_of_many_accounts_are_one_question_that_decodes_no_head(coverage: SqlCoverage) -> None:
    accounts = [f"account-{number:02}" for number in range(50)]
    for number in range(3):
        day = DAY + timedelta(days=number)
        keep(coverage, number, *(collection(f"{account}-{number}", account, day) for account in accounts))
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(coverage._engine, "before_cursor_execute", note)
    assert len(coverage.days(DAY, DAY + timedelta(days=3), accounts)) == 150
    (question,) = (one for one in asked if one.startswith("SELECT"))
    assert "head" not in question
    assert "balance" not in question


def test_of_many_who_confirm_a_day_at_once_the_latest_version_holds(opens: Opener) -> None:
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
    assert coverages[0].days(DAY, END)[0].collection_id == "c11"
    assert coverages[0].pending() == []


def test_one_that_can_t_be_noted_keeps_out_all_of_its_call(coverage: SqlCoverage) -> None:
    sound = collection("sound")
    bill = Costs(cpu=2**62, ram=2**62)
    with pytest.raises(StoreError, match=r"2026-11-20 of account a .* correct the prices") as caught:
        coverage.intend([sound, collection("large", head=replace(sound.head, bill=bill))])
    assert caught.value.code == "total_too_large"
    assert coverage.pending() == []


def test_text_that_is_none_is_kept_as_far_as_it_is(coverage: SqlCoverage) -> None:
    sound = collection("c1")
    issue = replace(sound.head.issues[0], message="half \ud83d, nul \0")
    head: Booking = replace(sound.head, issues=(issue,))
    [kept] = keep(coverage, 1, replace(sound, head=head, source=replace(sound.source, url="http://nul\0")))
    [found] = coverage.collections("a", DAY, END)
    assert found.head.issues[0].message == "half \N{REPLACEMENT CHARACTER}, nul "
    assert coverage.days(DAY, END)[0].source == "http://nul"
    assert replace(found, head=kept.head, source=kept.source) == kept


def test_a_long_head_is_kept_whole(coverage: SqlCoverage) -> None:
    sound = collection("c1")
    facts = {"resources": tuple(f"node ip-10-0-{number}.internal ö" for number in range(20_000))}
    head = replace(sound.head, issues=(replace(sound.head.issues[0], facts=facts),))
    [kept] = keep(coverage, 1, replace(sound, head=head))
    assert coverage.collections("a", DAY, END) == [kept]


def test_what_a_newer_version_wrote_is_told_and_hinders_no_calendar(coverage: SqlCoverage, database: Database) -> None:
    keep(coverage, 1, collection("c1"))
    database.execute("UPDATE collections SET head = :head", head='{"source": {}, "booking": {}}')
    with pytest.raises(CollectionNotUnderstood, match=r"collection c1 can't be read .*install"):
        coverage.collections("a", DAY, END)
    assert len(coverage.days(DAY, END)) == 1


def test_tables_that_are_not_there_are_told(coverage: SqlCoverage, database: Database) -> None:
    database.execute("DROP TABLE coverage")
    with raises_code("tables_missing", match="kubetally restore"):
        coverage.days(DAY, END)


def test_a_writer_and_many_readers_of_a_sqlite_file_work_side_by_side(tmp_path: Path) -> None:
    first, end = DAY, DAY + timedelta(days=40)
    done = threading.Event()

    def read(coverage: SqlCoverage) -> int:
        times = 0
        while not done.is_set() or not times:
            there = {one.collection_id for one in coverage.days(first, end, ["a"])}
            assert there <= {one.id for one in coverage.collections("a", first, end)}
            times += 1
        return times

    with contextmanager(opener_of)(f"sqlite:///{tmp_path / 'kubetally.db'}") as opens:
        writer, readers = opens().coverage, [opens().coverage for _ in range(2)]
        with ThreadPoolExecutor(8) as pool:
            reading = [pool.submit(read, readers[number % 2]) for number in range(8)]
            try:
                for number in range(40):
                    day = first + timedelta(days=number)
                    keep(writer, number, *(collection(f"{one}-{number}", one, day) for one in "abc"))
                    writer.failed("d", day, NOW, "code", "message")
            finally:
                done.set()
            assert all(one.result(30) for one in reading)
        assert len(writer.days(first, end)) == 160


def test_days_that_an_earlier_version_stored_are_examined_once(coverage: SqlCoverage) -> None:
    old, new = collection("old", examined_by=0), collection("new", "b", examined_by=2)
    running = collection("running", "c", is_running=True, examined_by=0)
    keep(coverage, 1, old, new, running)
    assert coverage.days_to_examine(1) == coverage.days_to_examine(2) == [DAY]
    assert coverage.days_to_examine(0) == []
    half = Window(old.head.window.start, old.head.window.start + timedelta(hours=12))
    marked = replace(coverage.collections_on(DAY)["a"], head=replace(old.head, covered=(half,)), examined_by=2)
    coverage.note_examined([marked])
    assert coverage.days_to_examine(2) == []
    assert coverage.collections_on(DAY)["a"] == marked
    assert set(coverage.collections_on(DAY)) == {"a", "b", "c"}
    (day,) = coverage.days(DAY, END, ["a"])
    assert (day.hours_covered, day.state) == (12, DayState.PROVISIONAL)


def test_a_day_that_was_replaced_while_it_was_examined_stays_as_it_is(coverage: SqlCoverage) -> None:
    (old,) = keep(coverage, 1, collection("old", examined_by=0))
    (newer,) = keep(coverage, 2, collection("newer", examined_by=1))
    coverage.note_examined([replace(old, head=replace(old.head, covered=()), examined_by=1)])
    assert coverage.collections_on(DAY) == {"a": newer}
    assert coverage.days(DAY, END)[0].hours_covered == 24
    assert coverage.collections("a", DAY, END, NOW)[0].hours_covered == 24
