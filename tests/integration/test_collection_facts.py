"""Facts of stored days in SQL: what the heads say, without reading them."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from kubetally.domain.account import StoredDays
from kubetally.domain.issues import IssueKind
from kubetally.store.meta.coverage import SqlCoverage
from kubetally.store.meta.schema import downgrade, upgrade
from tests.integration.collected_days import DAY, NOW, Opener, SetClock, collection, opener_of
from tests.integration.databases import Database
from tests.integration.test_coverage_port import is_as_the_heads_say, keep, with_issues
from tests.kept import sums_of

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


def test_facts_go_with_a_running_day_and_with_a_purge(opens: Opener, database: Database) -> None:
    meta = opens()
    assert isinstance(meta.coverage, SqlCoverage)
    keep(meta.coverage, 1, with_issues("running", is_running=True))
    keep(meta.coverage, 1, collection("whole"), with_issues("other", "b"))
    assert set(meta.coverage.issues(DAY, end=END, kinds=IssueKind)) == {"whole", "other"}
    meta.days.purge("a")
    assert set(meta.coverage.issues(DAY, end=END, kinds=IssueKind)) == {"other"}
    meta.days.purge("b")
    assert database.execute("SELECT count(*) FROM collection_facts") == [(0,)]


def test_facts_of_a_head_that_can_t_be_read_say_so(coverage: SqlCoverage, database: Database) -> None:
    keep(coverage, 1, with_issues("c1"))
    keep(coverage, 2, with_issues("c2"))
    database.execute("UPDATE collections SET head = :head WHERE id = 'c1'", head='{"source": {}, "booking": {}}')
    (known,) = coverage.days(DAY, end=END)
    coverage.mark_missing(known, NOW, "lost")
    assert coverage.restore([], ["c1"]) == {"c1"}
    ((issue,),) = coverage.issues(DAY, end=END, kinds=IssueKind).values()
    assert (issue.kind, issue.facts) == (IssueKind.SOURCE_WARNING, {"code": "collection_not_understood"})


def test_state_and_issues_are_read_without_heads(coverage: SqlCoverage, database: Database) -> None:
    keep(coverage, 1, with_issues("a1"))
    heads = coverage.collections("a", DAY, end=END)
    database.execute("UPDATE collections SET head = 'lost', balance = 'lost'")
    assert [day.collection_id for day in coverage.statuses(DAY, end=END)["a"]] == ["a1"]
    assert coverage.issues(DAY, end=END, kinds=IssueKind) == {"a1": list(heads[0].head.issues)}
    assert coverage.fact_sums(DAY, end=END) == sums_of(heads)


def test_migration_makes_the_facts_of_stored_days(coverage: SqlCoverage, database: Database) -> None:
    keep(coverage, 1, with_issues("a1"), with_issues("b1", "b"), collection("replaced", "c"))
    keep(coverage, 2, collection("c2", "c"), collection("a2", day=NEXT, is_running=True))
    coverage.intend([collection("pending", "d")])
    before = database.rows(ALL_ROWS)
    assert len(before) == 16
    assert downgrade(database.url, revision="0005") == downgrade(database.url, revision="0005") == "0005"
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
    downgrade(database.url, revision="0005")
    upgrade(database.url)
    found = coverage.issues(DAY, end=END, kinds=IssueKind)
    assert set(found) == {*heads, "sound"}
    assert [[issue.facts for issue in found[id_]] for id_ in heads] == [[{"code": "collection_not_understood"}]] * 4
