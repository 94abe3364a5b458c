"""Facts of stored days in SQL: what the heads say, without reading them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import pytest

from kubetally.domain.collection import LAKE_VERSION, Collection
from kubetally.domain.component import Component
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.window import HOUR, Window
from kubetally.ledger.ports.account_days import StoredDays
from kubetally.store.meta.coverage import SqlCoverage
from kubetally.store.meta.schema import downgrade, upgrade
from tests.integration.collected_days import DAY, NOW, Opener, SetClock, collection, opener_of
from tests.integration.databases import Database
from tests.kept import status_of, sums_of

NEXT = DAY + timedelta(days=1)
END = DAY + timedelta(days=3)
ALL_ROWS = "SELECT * FROM collection_facts ORDER BY account_id, day, ordinal"


@pytest.fixture
def opens(database: Database) -> Iterator[Opener]:
    yield from opener_of(database.url)


@pytest.fixture
def coverage(opens: Opener) -> SqlCoverage:
    found = opens().coverage
    assert isinstance(found, SqlCoverage)
    return found


@pytest.fixture
def clock(opens: Opener) -> SetClock:
    return opens.clock


def keep(coverage: SqlCoverage, version: int, *collections: Collection) -> None:
    coverage.intend(collections)
    coverage.confirm([one.id for one in collections], version)


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


def is_as_the_heads_say(coverage: SqlCoverage) -> bool:
    """Whether all that is read of facts is what the heads of what holds say."""
    ids = sorted({known.account_id for known in coverage.days(date.min, date.max)})
    heads = [one for id_ in ids for one in coverage.collections(id_, date.min, date.max)]
    issues = {one.id: list(one.head.issues) for one in heads if one.head.issues}
    found = coverage.issues(date.min, date.max, IssueKind)
    return found == issues and coverage.fact_sums(date.min, date.max) == sums_of(heads)


def test_facts_of_a_day_are_there_once_it_is_confirmed(coverage: SqlCoverage, database: Database) -> None:
    day = with_issues("c1")
    coverage.intend([day])
    assert database.execute("SELECT count(*) FROM collection_facts") == [(0,)]
    coverage.confirm(["c1"], 1)
    assert is_as_the_heads_say(coverage)
    assert database.execute("SELECT what, hours FROM collection_facts ORDER BY ordinal") == [
        *[("network", 24), ("management", 24), ("samples_missing", 12), ("resource_without_asset", 24)],
        *[("samples_missing", 1), ("clock_differs", None)],
    ]
    coverage.confirm(["c1"], 1)
    assert is_as_the_heads_say(coverage)


def test_facts_are_asked_by_kind_account_and_day(coverage: SqlCoverage) -> None:
    keep(coverage, 1, with_issues("a1"), with_issues("b1", "b"))
    keep(coverage, 2, with_issues("a2", day=NEXT), collection("a3", day=NEXT + timedelta(days=1)))
    kinds = [IssueKind.SAMPLES_MISSING, IssueKind.CLOCK_DIFFERS]
    assert set(coverage.issues(DAY, END, kinds)) == {"a1", "b1", "a2"}
    assert set(coverage.issues(DAY, NEXT, kinds, ["a"])) == {"a1"}
    assert [issue.message for issue in coverage.issues(DAY, NEXT, kinds)["a1"]] == [
        *("half is lost", "so is a part", "its clock is ahead"),
    ]
    by_what = {fact.what: fact for fact in coverage.fact_sums(DAY, END, ["a"])}
    samples, fee = by_what["samples_missing"], by_what["management"]
    assert (samples.days, samples.hours, samples.first, samples.last) == (2, 26, DAY, NEXT)
    assert (fee.days, fee.hours, fee.is_issue, samples.is_issue) == (3, 72, False, True)
    assert by_what["clock_differs"].hours is None
    assert [fact.account_id for fact in coverage.fact_sums(DAY, NEXT, ["b"])] == ["b"] * 5
    assert coverage.issues(DAY, END, []) == {}
    assert coverage.fact_sums(DAY, END, []) == []


def test_facts_go_when_their_collection_holds_no_longer(coverage: SqlCoverage, clock: SetClock) -> None:
    keep(coverage, 1, with_issues("c1"), with_issues("other", "b"))
    keep(coverage, 3, collection("c3"))
    assert set(coverage.issues(DAY, END, IssueKind)) == {"c3", "other"}
    keep(coverage, 2, with_issues("late"))
    assert set(coverage.issues(DAY, END, IssueKind)) == {"c3", "other"}
    assert is_as_the_heads_say(coverage)
    (known,) = coverage.days(DAY, END, ["a"])
    assert coverage.mark_missing(known, clock.forward(1), "lost")
    assert set(coverage.issues(DAY, END, IssueKind)) == {"other"}
    assert coverage.restore([], ["c1"]) == {"c1"}
    assert set(coverage.issues(DAY, END, IssueKind)) == {"c1", "other"}
    assert is_as_the_heads_say(coverage)


def test_facts_are_those_of_a_day_that_was_examined(coverage: SqlCoverage) -> None:
    keep(coverage, 1, collection("old", examined_by=0))
    held = coverage.collections_on(DAY)["a"]
    marked = replace(held, head=with_issues("old").head, examined_by=2)
    coverage.note_examined([marked])
    assert coverage.issues(DAY, END, IssueKind)["old"] == list(marked.head.issues)
    assert is_as_the_heads_say(coverage)
    coverage.note_examined([replace(marked, id="gone", head=held.head)])
    assert coverage.issues(DAY, END, IssueKind)["old"] == list(marked.head.issues)


def test_facts_go_with_a_running_day_and_with_a_purge(opens: Opener, database: Database) -> None:
    meta = opens()
    assert isinstance(meta.coverage, SqlCoverage)
    keep(meta.coverage, 1, with_issues("running", is_running=True))
    keep(meta.coverage, 1, collection("whole"), with_issues("other", "b"))
    assert set(meta.coverage.issues(DAY, END, IssueKind)) == {"whole", "other"}
    meta.days.purge("a")
    assert set(meta.coverage.issues(DAY, END, IssueKind)) == {"other"}
    meta.days.purge("b")
    assert database.execute("SELECT count(*) FROM collection_facts") == [(0,)]


def test_facts_of_a_head_that_can_t_be_read_say_so(coverage: SqlCoverage, database: Database) -> None:
    keep(coverage, 1, with_issues("c1"))
    keep(coverage, 2, with_issues("c2"))
    database.execute("UPDATE collections SET head = :head WHERE id = 'c1'", head='{"source": {}, "booking": {}}')
    (known,) = coverage.days(DAY, END)
    coverage.mark_missing(known, NOW, "lost")
    assert coverage.restore([], ["c1"]) == {"c1"}
    ((issue,),) = coverage.issues(DAY, END, IssueKind).values()
    assert (issue.kind, issue.facts) == (IssueKind.SOURCE_WARNING, {"code": "collection_not_understood"})


def test_statuses_say_what_days_say(coverage: SqlCoverage, clock: SetClock) -> None:
    keep(coverage, 1, with_issues("a1"), collection("b1", "b"))
    keep(coverage, 2, collection("a2", day=NEXT, is_running=True))
    coverage.failed("a", DAY - timedelta(days=1), NOW, "source_unreachable", "nobody answers")
    coverage.failed("b", DAY, NOW, "day_damaged", "bytes differ")
    clock.forward(-3600)
    for ids in (None, ["a"], ["b", "c"], []):
        known = coverage.days(DAY - timedelta(days=1), END, ids)
        found = coverage.statuses(DAY - timedelta(days=1), END, ids)
        assert [day for id_ in sorted(found) for day in found[id_]] == [status_of(day) for day in known]
    (status,) = coverage.statuses(DAY, END)["b"]
    assert status.is_stored
    assert status.is_damaged
    assert status.is_missing
    assert not status.has_costs


def test_state_and_issues_are_read_without_heads(coverage: SqlCoverage, database: Database) -> None:
    keep(coverage, 1, with_issues("a1"))
    heads = coverage.collections("a", DAY, END)
    database.execute("UPDATE collections SET head = 'lost', balance = 'lost'")
    assert [day.collection_id for day in coverage.statuses(DAY, END)["a"]] == ["a1"]
    assert coverage.issues(DAY, END, IssueKind) == {"a1": list(heads[0].head.issues)}
    assert coverage.fact_sums(DAY, END) == sums_of(heads)


def test_days_of_earlier_lakes_are_counted_by_account(coverage: SqlCoverage) -> None:
    assert collection("new").lake_version == 2
    old = {"lake_version": LAKE_VERSION - 1}
    keep(coverage, 1, collection("a1", **old), collection("b1", "b"), collection("c1", "c", **old))
    keep(coverage, 2, collection("a2", day=NEXT, **old), collection("c2", "c", NEXT))
    keep(coverage, 3, collection("c3", "c"))
    coverage.intend([collection("pending", "d", **old)])
    assert coverage.days_of_earlier_lakes(LAKE_VERSION) == {"a": StoredDays(2, DAY, NEXT)}
    assert coverage.days_of_earlier_lakes(LAKE_VERSION - 1) == {}
    assert coverage.collections("a", DAY, NEXT)[0].lake_version == 1


def test_migration_makes_the_facts_of_stored_days(coverage: SqlCoverage, database: Database) -> None:
    keep(coverage, 1, with_issues("a1"), with_issues("b1", "b"), collection("replaced", "c"))
    keep(coverage, 2, collection("c2", "c"), collection("a2", day=NEXT, is_running=True))
    coverage.intend([collection("pending", "d")])
    before = database.rows(ALL_ROWS)
    assert len(before) == 16
    assert downgrade(database.url, "0005") == downgrade(database.url, "0005") == "0005"
    for undone in (
        (),
        ("DELETE FROM collection_facts WHERE account_id = 'a'", "UPDATE collection_facts SET ordinal = ordinal + 7"),
        ("DROP TABLE collection_facts",),
    ):
        for statement in undone:  # as MariaDB leaves it, where it was interrupted
            database.execute(statement)
        if undone:
            database.execute("UPDATE kubetally_version SET version_num = '0005'")
        upgrade(database.url)
        assert database.rows(ALL_ROWS) == before
        assert is_as_the_heads_say(coverage)
    assert coverage.days_of_earlier_lakes(2) == {  # running days are written again anyway
        "a": StoredDays(1, DAY, DAY),
        "b": StoredDays(1, DAY, DAY),
        "c": StoredDays(1, DAY, DAY),
    }


def test_migration_passes_heads_that_can_t_be_read(coverage: SqlCoverage, database: Database) -> None:
    heads = {
        "a": "{",
        "b": "{}",
        "c": '{"booking": {"issues": [7], "window": {}, "not_measured": []}}',
        "no kind": '{"booking": {"issues": [{}], "window": {}, "not_measured": []}}',
    }
    keep(coverage, 1, *(collection(id_, id_) for id_ in heads), with_issues("sound", "d"))
    for id_, head in heads.items():
        database.execute("UPDATE collections SET head = :head WHERE id = :id", head=head, id=id_)
    downgrade(database.url, "0005")
    upgrade(database.url)
    found = coverage.issues(DAY, END, IssueKind)
    assert set(found) == {*heads, "sound"}
    assert [[issue.facts for issue in found[id_]] for id_ in heads] == [[{"code": "collection_not_understood"}]] * 4
