"""The port `Coverage`: one suite for all that implement it, in memory and on every database."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from kubetally.domain.account import StoredDays
from kubetally.domain.collection import LAKE_VERSION, NO_DATA, Collection, CoveredDay, DayState
from kubetally.domain.collection_facts import facts_of
from kubetally.domain.component import Component
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.window import HOUR, Window
from kubetally.ledger.ports.coverage import Coverage, Progress
from tests.integration.collected_days import DAY, NOW, SetClock, collection, opener_of
from tests.integration.databases import KINDS, Server, new_database
from tests.kept import CoverageInMemory, status_of, sums_of

END, LAST = DAY + timedelta(days=1), DAY + timedelta(days=3)
Port = tuple[Coverage, SetClock]


@pytest.fixture(params=["memory", *KINDS])
def port(request: pytest.FixtureRequest, server_of: Callable[[str], Server], tmp_path: Path) -> Iterator[Port]:
    """An empty coverage of each kind in turn, and its clock."""
    if request.param == "memory":
        clock = SetClock()
        yield CoverageInMemory(clock), clock
    else:
        for opens in opener_of(new_database(request.param, server_of, tmp_path).url):
            yield opens().coverage, opens.clock


@pytest.fixture
def coverage(port: Port) -> Coverage:
    return port[0]


@pytest.fixture
def clock(port: Port) -> SetClock:
    return port[1]


def keep(coverage: Coverage, version: int, *collections: Collection) -> list[Collection]:
    """Noted and confirmed; as they should come back."""
    coverage.intend(collections)
    coverage.confirm([collection.id for collection in collections], version)
    return [replace(collection, version=version) for collection in collections]


def held(coverage: Coverage, as_of: datetime | None = None, account_id: str = "a") -> list[str]:
    return [collection.id for collection in coverage.collections(account_id, DAY, end=END, as_of=as_of)]


def with_issues(name: str, account_id: str = "a", day: date = DAY, **more: object) -> Collection:
    """A collection whose source lost half of the day, and which has no fee and no traffic."""
    made = collection(name, account_id, day, **more)
    start = made.head.window.start
    half = Issue(IssueKind.SAMPLES_MISSING, "half is lost", "s", Window(start, start + 12 * HOUR), facts={"at": (1, 2)})
    early = Issue(IssueKind.SAMPLES_MISSING, "so is a part", "s", Window(start - HOUR, start + HOUR))
    timeless = Issue(IssueKind.CLOCK_DIFFERS, "its clock is ahead", "s", subject="clock")
    missing = frozenset({Component.MANAGEMENT, Component.NETWORK})
    issues = (half, *made.head.issues, early, timeless)
    return replace(made, head=replace(made.head, not_measured=missing, issues=issues))


def is_as_the_heads_say(coverage: Coverage) -> bool:
    """Whether all that is read of facts is what the heads of what holds say."""
    ids = sorted({known.account_id for known in coverage.days(date.min, end=date.max)})
    heads = [collection for id_ in ids for collection in coverage.collections(id_, date.min, end=date.max)]
    issues = {item.id: list(item.head.issues) for item in heads if item.head.issues}
    found = coverage.issues(date.min, end=date.max, kinds=IssueKind)
    return found == issues and coverage.fact_sums(date.min, end=date.max) == sums_of(heads)


def test_collecting_times_are_the_first_and_last_of_each_day(coverage: Coverage) -> None:
    assert coverage.collecting_times() == []
    noon = NOW.replace(hour=12, microsecond=123_457)
    minutes, yesterday = timedelta(minutes=1), noon - timedelta(days=1)
    for number, at in enumerate([noon, noon - minutes, noon + minutes, yesterday]):
        keep(coverage, number, collection(f"c{number}", collected_at=at))
    assert coverage.collecting_times() == [(noon - minutes, noon + minutes), (yesterday, yesterday)]


def test_days_have_figures_of_the_stored_collection(coverage: Coverage) -> None:
    keep(coverage, 3, collection("c1", cost=-9_000_000_000_000_001))
    assert coverage.days(DAY, end=END) == [
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


def test_day_collected_in_the_future_is_provisional(coverage: Coverage, clock: SetClock) -> None:
    coverage.intend([collection("a", collected_at=NOW + timedelta(days=60))])
    coverage.confirm(["a"], 1)
    (known,) = coverage.days(DAY, end=DAY + timedelta(days=1))
    assert (known.is_stored, known.state) == (True, DayState.PROVISIONAL)
    clock.forward(timedelta(days=61).total_seconds())
    (known,) = coverage.days(DAY, end=DAY + timedelta(days=1))
    assert known.state is DayState.SETTLED


def test_missing_day_ends_and_an_earlier_one_is_restored(coverage: Coverage) -> None:
    for version, name in enumerate(("first", "second"), 1):
        coverage.intend([collection(name)])
        coverage.confirm([name], version)
    (known,) = coverage.days(DAY, end=DAY + timedelta(days=1))
    assert coverage.mark_missing(known, NOW, "the lake lacks it")
    (lost,) = coverage.days(DAY, end=DAY + timedelta(days=1))
    assert (lost.is_stored, lost.total, lost.attempts) == (False, 0, 0)
    assert lost.last_error == ("collection_gone", "the lake lacks it")
    assert held(coverage) == []
    assert held(coverage, NOW + timedelta(days=1)) == ["second"], "an earlier one did not hold then"
    assert (coverage.collections_on(DAY), coverage.collections_on(DAY, or_lost=True)["a"].id) == ({}, "second")
    assert coverage.known_ids(["first", "second", "third"]) == {"first", "second"}
    assert coverage.restore([], ["first"]) == {"first"}
    (again,) = coverage.days(DAY, end=DAY + timedelta(days=1))
    assert (again.collection_id, again.last_error) == ("first", None)
    assert coverage.collections_on(DAY, or_lost=True)["a"].id == "first"
    assert not coverage.mark_missing(known, NOW, "another holds by now")


def test_history_is_as_it_was_after_a_restored_day(coverage: Coverage, clock: SetClock) -> None:
    instants = []
    for version, name in enumerate(("first", "second"), 1):
        keep(coverage, version, collection(name))
        instants.append(clock.at)
        clock.forward(60)
    (known,) = coverage.days(DAY, end=DAY + timedelta(days=1))
    coverage.mark_missing(known, clock.at, "the lake lacks it")
    assert [held(coverage, at) for at in instants] == [["first"], ["second"]]
    coverage.restore([], ["first"])
    assert [held(coverage, at) for at in (*instants, clock.at)] == [["first"], ["second"], ["first"]]
    clock.forward(60)
    coverage.restore([], ["second"])
    assert [held(coverage, at) for at in (instants[0], clock.at)] == [["first"], ["second"]]


def test_days_are_ordered_by_account_and_day(coverage: Coverage) -> None:
    for number in range(4):
        day = DAY + timedelta(days=number)
        keep(coverage, number, *(collection(f"{account}{number}", account, day) for account in ("b", "a", "B", "ä")))
    first, end = DAY + timedelta(days=1), DAY + timedelta(days=3)
    assert [collection.collection_id for collection in coverage.days(first, end=end)] == [
        "B1",
        "B2",
        "a1",
        "a2",
        "b1",
        "b2",
        "ä1",
        "ä2",
    ]
    assert [
        collection.collection_id for collection in coverage.days(first, end=end, account_ids=iter(["b", "none"]))
    ] == ["b1", "b2"]
    assert coverage.days(first, end=end, account_ids=[]) == coverage.days(end, end=first) == []
    assert [collection.id for collection in coverage.collections("a", first, end=end)] == ["a1", "a2"]


def test_a_later_collection_takes_the_place_of_an_earlier_one(coverage: Coverage) -> None:
    keep(coverage, 3, collection("old"))
    [new] = keep(coverage, 4, collection("new", cost=8_000_000))
    assert coverage.collections("a", DAY, end=END) == [new]
    [day] = coverage.days(DAY, end=END)
    assert (day.collection_id, day.total) == ("new", 8_000_000)


def test_late_confirmation_does_not_replace_later_version(coverage: Coverage) -> None:
    coverage.intend([collection("old"), collection("new"), collection("older, running", is_running=True)])
    coverage.confirm(["new"], 4)
    for name in ("old", "older, running"):
        coverage.confirm([name], 3)
        assert held(coverage) == held(coverage, NOW) == ["new"]
        assert coverage.days(DAY, end=END)[0].collection_id == "new"
    assert coverage.pending() == []


def test_whole_day_replaces_running_day_of_any_version(coverage: Coverage) -> None:
    keep(coverage, 900, collection("running 1", is_running=True))
    keep(coverage, 901, collection("running 2", is_running=True))
    assert held(coverage) == ["running 2"]
    assert coverage.days(DAY, end=END)[0].is_running
    keep(coverage, 5, collection("whole"))
    assert held(coverage) == ["whole"]
    assert not coverage.days(DAY, end=END)[0].is_running


def test_as_of_returns_earlier_collections_until_forgotten(coverage: Coverage, clock: SetClock) -> None:
    instants = []
    for number in range(3):
        keep(coverage, number, collection(f"c{number}"), collection(f"other{number}", "b"))
        instants.append(clock.at)
        clock.forward(0.5)
    assert [held(coverage, at) for at in instants] == [["c0"], ["c1"], ["c2"]]
    assert held(coverage, NOW - timedelta(microseconds=1)) == []
    assert coverage.collections("a", DAY, end=END, as_of=NOW)[0].version == 0
    assert coverage.forget(instants[1]) == 0
    assert coverage.forget(instants[2]) == 2
    assert [held(coverage, at) for at in instants] == [[], ["c1"], ["c2"]]
    assert coverage.forget(clock.at + timedelta(days=1000)) == 2
    assert held(coverage) == ["c2"]


def test_days_as_of_are_those_of_the_collections(coverage: Coverage, clock: SetClock) -> None:
    instants = [NOW - timedelta(microseconds=1)]
    for number, made in enumerate([with_issues("c0"), collection("c1"), with_issues("c2")]):
        keep(coverage, number, made, with_issues(f"other{number}", "b", LAST), collection(f"away{number}", "c"))
        instants.append(clock.at)
        clock.forward(0.5)
    window = {"first": DAY, "end": LAST + timedelta(days=1)}
    for at in instants:
        found = {past.day.collection_id: past for past in coverage.days_as_of(at, **window, account_ids=["b", "a"])}
        held = [one for id_ in "ab" for one in coverage.collections(id_, **window, as_of=at)]
        assert list(found) == [one.id for one in held]
        for one in held:
            day, version, last_version, facts = found[one.id]
            assert (version, last_version, day.currency) == (one.version, one.last_version, one.head.currency)
            assert (day.hours_covered, day.rows, day.state) == (one.hours_covered, one.rows, one.state)
            assert (day.total, day.assets_complete) == (one.head.bill.total, one.head.assets_complete)
            assert (day.collected_at, day.currency_origin) == (one.collected_at, one.head.currency_origin)
            assert facts == {fact.what for fact in facts_of(one.head)}
    assert coverage.days_as_of(NOW, **window, account_ids=[]) == []


def last_versions(coverage: Coverage, instants: list[datetime], account_id: str = "a") -> list[int | None]:
    """Of the collections that held at these instants."""
    return [
        collection.last_version
        for at in instants
        for collection in coverage.collections(account_id, DAY, end=END, as_of=at)
    ]


def test_replaced_collection_keeps_its_last_version(coverage: Coverage, clock: SetClock) -> None:
    instants = []
    for version in (3, 7, 20):
        keep(coverage, version, collection(f"a{version}"), collection(f"b{version}", "b"))
        instants.append(clock.at)
        clock.forward(60)
    keep(coverage, 30, collection("a30"), collection("c30", "c"))
    assert last_versions(coverage, [*instants, clock.at]) == [6, 19, 29, None]
    assert last_versions(coverage, [*instants, clock.at], "b") == [6, 19, None, None]


def test_the_last_version_is_that_of_days_that_are_over_and_held(coverage: Coverage) -> None:
    assert coverage.last_version() is None
    coverage.intend([collection("pending")])
    keep(coverage, 900, collection("running", "b", is_running=True))
    assert coverage.last_version() is None
    keep(coverage, 4, collection("c4", day=END))
    keep(coverage, 7, collection("c7", "c"))
    keep(coverage, 6, collection("c6"))
    assert coverage.last_version() == 7


def test_clock_set_back_does_not_restore_replaced_days(coverage: Coverage, clock: SetClock) -> None:
    keep(coverage, 1, collection("old"))
    clock.forward(-60)
    keep(coverage, 2, collection("new"))
    assert held(coverage, clock.at) == held(coverage, NOW) == held(coverage) == ["new"]


def test_only_uncommitted_collections_are_dropped(coverage: Coverage) -> None:
    keep(coverage, 1, collection("kept"))
    coverage.intend([collection("lost"), collection("waiting", "b")])
    coverage.drop(["lost", "kept", "never noted"])
    coverage.drop([])
    assert [collection.id for collection in coverage.pending()] == ["waiting"]
    assert held(coverage) == ["kept"]


def test_balances_are_those_of_what_holds(coverage: Coverage) -> None:
    keep(coverage, 1, collection("a1"), collection("b1", "b"), collection("a0", day=DAY - timedelta(days=1)))
    keep(coverage, 2, later := collection("a2", cost=8_000_000))
    assert coverage.balances(DAY, end=END, account_ids=["a"]) == {"a2": later.balance}
    assert set(coverage.balances(DAY - timedelta(days=1), end=END, account_ids=["a", "b"])) == {"a0", "a2", "b1"}


def test_progress_counts_only_the_requested_accounts(coverage: Coverage) -> None:
    assert coverage.progress(["a", "b"], DAY) == Progress()
    last = NOW + timedelta(minutes=5)
    keep(coverage, 1, collection("a1"), collection("b1", "b"), collection("c1", "c"))
    keep(coverage, 2, collection("a2", day=DAY + timedelta(days=1), collected_at=last))
    keep(coverage, 3, collection("d1", "d", is_running=True))
    coverage.failed("a", DAY - timedelta(days=1), NOW, code="source_unavailable", message="nobody answers")
    coverage.failed("a", DAY - timedelta(days=2), NOW, code=NO_DATA, message="the source holds nothing")
    coverage.failed("b", DAY, NOW, code="fewer_hours", message="the stored day was kept")
    assert coverage.progress(["a", "b", "d"], DAY) == Progress(4, 1, 2, last)
    assert coverage.progress(["c"], DAY + timedelta(days=1)) == Progress(1, 0, 0, NOW)
    assert coverage.progress([], DAY) == Progress()


def test_where_a_history_begins_is_as_it_was_found_last(coverage: Coverage) -> None:
    assert coverage.history_begins("a") is None
    coverage.note_history("a", DAY, NOW)
    coverage.note_history("b", date(2020, 2, 29), NOW)
    coverage.note_history("a", END, NOW)
    assert (coverage.history_begins("a"), coverage.history_begins("b")) == (END, date(2020, 2, 29))


def test_a_whole_commit_is_confirmed_at_once(coverage: Coverage) -> None:
    first = [collection(f"first-{number:03}", f"a{number:03}") for number in range(100)]
    second = [collection(f"second-{number:03}", f"a{number:03}") for number in range(100)]
    keep(coverage, 1, *first)
    coverage.intend(second)
    coverage.confirm([collection.id for collection in reversed(second)], 2)
    assert [day.collection_id for day in coverage.days(DAY, end=END)] == [collection.id for collection in second]


def test_days_that_an_earlier_version_stored_are_examined_once(coverage: Coverage) -> None:
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
    (day,) = coverage.days(DAY, end=END, account_ids=["a"])
    assert (day.hours_covered, day.state) == (12, DayState.PROVISIONAL)


def test_day_replaced_during_examination_is_unchanged(coverage: Coverage) -> None:
    (old,) = keep(coverage, 1, collection("old", examined_by=0))
    (newer,) = keep(coverage, 2, collection("newer", examined_by=1))
    coverage.note_examined([replace(old, head=replace(old.head, covered=()), examined_by=1)])
    assert coverage.collections_on(DAY) == {"a": newer}
    assert coverage.days(DAY, end=END)[0].hours_covered == 24
    assert coverage.collections("a", DAY, end=END, as_of=NOW)[0].hours_covered == 24


def test_facts_are_read_by_kind_account_and_day(coverage: Coverage) -> None:
    keep(coverage, 1, with_issues("a1"), with_issues("b1", "b"))
    keep(coverage, 2, with_issues("a2", day=END), collection("a3", day=END + timedelta(days=1)))
    kinds = [IssueKind.SAMPLES_MISSING, IssueKind.CLOCK_DIFFERS]
    assert set(coverage.issues(DAY, end=LAST, kinds=kinds)) == {"a1", "b1", "a2"}
    assert set(coverage.issues(DAY, end=END, kinds=kinds, account_ids=["a"])) == {"a1"}
    assert [issue.message for issue in coverage.issues(DAY, end=END, kinds=kinds)["a1"]] == [
        *("half is lost", "so is a part", "its clock is ahead"),
    ]
    by_what = {fact.what: fact for fact in coverage.fact_sums(DAY, end=LAST, account_ids=["a"])}
    samples, fee = by_what["samples_missing"], by_what["management"]
    assert (samples.days, samples.hours, samples.first, samples.last) == (2, 26, DAY, END)
    assert (fee.days, fee.hours, fee.is_issue, samples.is_issue) == (3, 72, False, True)
    assert by_what["clock_differs"].hours is None
    assert [fact.account_id for fact in coverage.fact_sums(DAY, end=END, account_ids=["b"])] == ["b"] * 5
    unmeasured = {Component.MANAGEMENT, Component.NETWORK}
    assert coverage.not_measured(DAY, end=END, account_ids=["a"]) == {"a1": unmeasured}
    assert set(coverage.not_measured(DAY, end=LAST, account_ids=["a", "b"])) == {"a1", "b1", "a2", "a3"}
    assert coverage.issues(DAY, end=LAST, kinds=[]) == {}
    assert coverage.fact_sums(DAY, end=LAST, account_ids=[]) == []


def test_facts_are_those_of_the_current_collection(coverage: Coverage, clock: SetClock) -> None:
    keep(coverage, 1, with_issues("c1"), with_issues("other", "b"))
    keep(coverage, 3, collection("c3"))
    assert set(coverage.issues(DAY, end=LAST, kinds=IssueKind)) == {"c3", "other"}
    keep(coverage, 2, with_issues("late"))
    assert set(coverage.issues(DAY, end=LAST, kinds=IssueKind)) == {"c3", "other"}
    assert is_as_the_heads_say(coverage)
    (known,) = coverage.days(DAY, end=LAST, account_ids=["a"])
    assert coverage.mark_missing(known, clock.forward(1), "lost")
    assert set(coverage.issues(DAY, end=LAST, kinds=IssueKind)) == {"other"}
    assert coverage.restore([], ["c1"]) == {"c1"}
    assert set(coverage.issues(DAY, end=LAST, kinds=IssueKind)) == {"c1", "other"}
    assert is_as_the_heads_say(coverage)


def test_facts_follow_the_examination_of_a_day(coverage: Coverage) -> None:
    keep(coverage, 1, collection("old", examined_by=0))
    held = coverage.collections_on(DAY)["a"]
    marked = replace(held, head=with_issues("old").head, examined_by=2)
    coverage.note_examined([marked])
    assert coverage.issues(DAY, end=LAST, kinds=IssueKind)["old"] == list(marked.head.issues)
    assert is_as_the_heads_say(coverage)
    coverage.note_examined([replace(marked, id="gone", head=held.head)])
    assert coverage.issues(DAY, end=LAST, kinds=IssueKind)["old"] == list(marked.head.issues)


def test_statuses_agree_with_days(coverage: Coverage, clock: SetClock) -> None:
    keep(coverage, 1, with_issues("a1"), collection("b1", "b"))
    keep(coverage, 2, collection("a2", day=END, is_running=True))
    coverage.failed("a", DAY - timedelta(days=1), NOW, code="source_unreachable", message="nobody answers")
    coverage.failed("b", DAY, NOW, code="day_damaged", message="bytes differ")
    clock.forward(-3600)
    for ids in (None, ["a"], ["b", "c"], []):
        known = coverage.days(DAY - timedelta(days=1), end=LAST, account_ids=ids)
        found = coverage.statuses(DAY - timedelta(days=1), end=LAST, account_ids=ids)
        assert [day for id_ in sorted(found) for day in found[id_]] == [status_of(day) for day in known]
    (status,) = coverage.statuses(DAY, end=LAST)["b"]
    assert status.is_stored
    assert status.is_damaged
    assert status.is_missing
    assert not status.has_costs


def test_stored_days_are_counted_over_accounts(coverage: Coverage) -> None:
    assert coverage.stored_days(["a", "b"]) == coverage.stored_days([]) == StoredDays(0, None, None)
    keep(coverage, 1, collection("a1"), collection("b1", "b", END), collection("c1", "c", LAST))
    coverage.intend([collection("pending", day=LAST)])
    coverage.failed("a", LAST, NOW, code=NO_DATA, message="nothing")
    assert coverage.stored_days(["a", "b"]) == StoredDays(2, DAY, END)
    assert coverage.stored_days(["a"]) == StoredDays(1, DAY, DAY)


def test_days_of_earlier_lakes_are_counted_by_account(coverage: Coverage) -> None:
    assert collection("new").lake_version == 2
    old = {"lake_version": LAKE_VERSION - 1}
    keep(coverage, 1, collection("a1", **old), collection("b1", "b"), collection("c1", "c", **old))
    keep(coverage, 2, collection("a2", day=END, **old), collection("c2", "c", END))
    keep(coverage, 3, collection("c3", "c"))
    coverage.intend([collection("pending", "d", **old)])
    assert coverage.days_of_earlier_lakes(LAKE_VERSION) == {"a": StoredDays(2, DAY, END)}
    assert coverage.days_of_earlier_lakes(LAKE_VERSION - 1) == {}
    assert coverage.collections("a", DAY, end=END)[0].lake_version == 1


def test_lost_day_is_the_last_one_that_was_stored(coverage: Coverage) -> None:
    keep(coverage, 1, collection("first"), collection("b", "b"))
    keep(coverage, 2, collection("second"))
    for known in coverage.days(DAY, end=END):
        coverage.mark_missing(known, NOW, "the lake lacks it")
    assert [each.id for each in coverage.lost()] == ["b", "second"]
    keep(coverage, 3, collection("b2", "b"))
    assert [each.id for each in coverage.lost()] == ["second"]


def test_damage_stays_until_it_is_cleared(coverage: Coverage) -> None:
    [stored] = keep(coverage, 1, collection("a1"))
    coverage.failed("a", DAY, NOW, code="day_damaged", message="bytes differ")
    coverage.failed("a", DAY, NOW, code="source_unavailable", message="nobody answers")
    [day] = coverage.days(DAY, end=END)
    assert (day.attempts, day.last_error, day.is_damaged) == (2, ("day_damaged", "bytes differ"), True)
    coverage.clear_damage([stored])
    [day] = coverage.days(DAY, end=END)
    assert (day.attempts, day.last_error, day.is_damaged) == (0, None, False)
