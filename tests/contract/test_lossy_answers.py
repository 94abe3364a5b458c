"""An OpenCost whose Prometheus lost samples: when its answers replace a stored day."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from itertools import count
from pathlib import Path

import pytest

from kubetally.domain.account import Account
from kubetally.domain.collection import Collection
from kubetally.domain.collection_report import Report
from kubetally.domain.issues import IssueKind
from kubetally.ledger.collect.collector import Collector
from kubetally.ledger.collect.committer import Committer
from kubetally.ledger.collect.examine import Examination, examine_stored_days
from kubetally.ledger.collect.reader import Reader
from kubetally.ledger.ports.clusters import Cluster
from kubetally.ledger.ports.sources import CostSource
from kubetally.ledger.writing.writer import LakeWriter
from kubetally.samples.replay import ReplayServer
from kubetally.settings import Settings
from kubetally.store.meta.metadata import open_meta
from kubetally.store.meta.secrets import KeyRing
from tests.kept import CoverageInMemory, LakeInMemory, LeasesInMemory, sums_of
from tests.opened import open_source
from tests.recordings import ALL, LOSSY, Recording, folders, lossy_folders
from tests.served import FixedClock
from tests.service import AccountsInMemory, account, account_id

FIRST, DAY, END = date(2026, 11, 20), date(2026, 11, 21), date(2026, 11, 23)
COMPARABLE = [name for name in LOSSY if name != "cygnus-gap"]
"""A gap leaves no trace in the hours of nodes and containers."""


class Stored:
    """An account whose source answers by one recording and later by another, and its stored day."""

    def __init__(self, server: ReplayServer) -> None:
        self._server = server
        self._numbers = count()
        self.coverage, self.lake = CoverageInMemory(), LakeInMemory()

    async def backfill(self, recording: str, *, force: bool = False) -> Report:
        self._server.clusters["here"] = Recording(recording).cluster
        clock = FixedClock()

        @asynccontextmanager
        async def source(of: Account) -> AsyncIterator[CostSource]:
            async with open_source(Cluster(of.kubecost_url), Settings()) as opened:
                yield opened

        @asynccontextmanager
        async def no_metrics(of: Account) -> AsyncIterator[None]:
            yield None

        reader = Reader(source, no_metrics, clock, new_id=lambda: f"{recording}-{next(self._numbers)}")
        committer = Committer(LakeWriter(self.lake, self.coverage, LeasesInMemory(), clock))
        accounts = AccountsInMemory([account(1, self._server.url_of("here"))])
        collector = Collector(accounts, self.coverage, reader, committer, clock, linger_seconds=0.05)
        return await collector.backfill([account_id(1)], FIRST, end=END, force=force)

    def as_an_earlier_version(self) -> None:
        """Take every stored day for whole, as earlier versions did, and measured and examined by none."""
        self.coverage.confirmed = [
            replace(
                day,
                head=replace(
                    day.head,
                    covered=(day.head.window,),
                    issues=tuple(issue for issue in day.head.issues if not issue.is_missing_data),
                ),
                completeness=None,
                examined_by=0,
            )
            for day in self.coverage.confirmed
        ]

    def day(self) -> Collection:
        return self.coverage.collections(account_id(1), DAY, end=END)[0]

    def last_error(self) -> tuple[str, str] | None:
        return self.coverage.days(DAY, end=END, account_ids=[account_id(1)])[0].last_error


@pytest.fixture
def stored() -> Iterator[Stored]:
    with ReplayServer(folders() | lossy_folders()) as server:
        yield Stored(server)


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_recordings_answer_what_a_day_is_asked_for(name: str) -> None:
    lossy, full = Recording(name), Recording("cygnus")
    for answer in ("allocation-day1-idle", "allocation-day2-idle", "allocation-day3-idle", "assets-day2"):
        assert lossy.json(answer)["code"] == 200
        assert lossy.answers[answer].params == full.answers[answer].params
    assert lossy.body("allocation-day2-idle") != full.body("allocation-day2-idle")


@pytest.mark.parametrize("name", COMPARABLE)
async def test_stored_day_outlives_loss(stored: Stored, name: str) -> None:
    await stored.backfill("cygnus")
    before = stored.day()
    report = await stored.backfill(name)
    assert stored.day() == before
    assert [outcome.day for outcome in report.failed] == [DAY], "the days around it are as complete as they were"
    code, why = stored.last_error() or ("", "")
    assert code in {"less_complete", "fewer_hours"}
    assert "are stored" in why


@pytest.mark.parametrize("name", COMPARABLE)
async def test_full_answer_replaces_lossy_day(stored: Stored, name: str) -> None:
    await stored.backfill(name)
    lossy = stored.day()
    await stored.backfill("cygnus")
    day = stored.day()
    assert day.id.startswith("cygnus-")
    assert day.id != lossy.id
    assert day.hours_covered == 24
    assert stored.last_error() is None
    assert day.completeness is not None
    assert day.completeness.container_hours == pytest.approx(80660 / 60)
    assert day.completeness.node_hours == 4 * 24


async def test_forced_answer_replaces_fuller_day_and_says_so(stored: Stored) -> None:
    await stored.backfill("cygnus")
    full = stored.day()
    await stored.backfill("cygnus-half", force=True)
    day = stored.day()
    assert day.id != full.id
    (issue,) = [issue for issue in day.head.issues if issue.kind is IssueKind.REPLACED_BY_FORCE]
    assert issue.facts == {"collection": day.id, "replaced": full.id, "at": "2026-11-23T12:00:00Z"}
    others = stored.coverage.collections(account_id(1), FIRST, end=DAY)
    assert all(issue.kind is not IssueKind.REPLACED_BY_FORCE for day in others for issue in day.head.issues)
    await stored.backfill("cygnus")
    assert stored.day().head.bill == full.head.bill, "a fuller answer replaces at once"


@pytest.mark.parametrize(
    ("name", "hours", "subjects"),
    [
        ("cygnus", 24, []),
        ("cygnus-half", 12, ["samples"]),
        ("cygnus-half-midnight", 12, ["pods"]),
        ("cygnus-short", 22, ["samples"]),
        ("cygnus-opencost-day", 0, ["nodes"]),
        ("cygnus-opencost-half", 12, ["nodes"]),
        ("cygnus-ksm-day", 0, ["pods"]),
        ("cygnus-cadvisor-day", 24, ["usage"]),
    ],
)
async def test_lossy_day_of_earlier_version_is_marked_at_start(
    stored: Stored, name: str, hours: float, subjects: list[str]
) -> None:
    await stored.backfill(name)
    stored.as_an_earlier_version()
    marked = 1 if subjects else 0
    assert examine_stored_days(stored.coverage, stored.lake) == Examination(3, marked)
    assert examine_stored_days(stored.coverage, stored.lake) == Examination(), "once"
    days = {day.day: day for day in stored.coverage.collections(account_id(1), FIRST, end=END)}
    assert days[DAY].hours_covered == pytest.approx(hours, abs=0.1)
    assert [issue.subject for issue in days[DAY].head.issues if issue.is_missing_data] == subjects
    assert all(days[day].hours_covered == 24 for day in days if day != DAY)
    assert all(day.completeness is not None for day in days.values())
    await stored.backfill("cygnus")
    assert stored.day().hours_covered == 24, "the full answer replaces it"


@pytest.mark.parametrize("name", ALL)
async def test_full_days_of_earlier_versions_raise_no_alarm(stored: Stored, name: str) -> None:
    await stored.backfill(name)
    stored.as_an_earlier_version()
    assert examine_stored_days(stored.coverage, stored.lake) == Examination(3, 0)


async def test_examination_goes_on_where_it_was_stopped(stored: Stored) -> None:
    await stored.backfill("cygnus")
    stored.as_an_earlier_version()
    answers = iter([True, False])
    assert examine_stored_days(stored.coverage, stored.lake, lambda: next(answers), max_rows=1) == Examination(1, 0)
    assert examine_stored_days(stored.coverage, stored.lake) == Examination(2, 0)


async def test_day_that_can_not_be_read_is_passed_over_once(stored: Stored) -> None:
    await stored.backfill("cygnus-half")
    stored.as_an_earlier_version()
    lost = stored.coverage.confirmed[0].day
    for version in stored.lake.versions:
        version.pop((account_id(1), lost), None)
    assert examine_stored_days(stored.coverage, stored.lake).examined == 3
    assert examine_stored_days(stored.coverage, stored.lake) == Examination()


@pytest.mark.parametrize("name", [*ALL, *LOSSY])
async def test_facts_of_recorded_days_equal_their_heads(stored: Stored, name: str, tmp_path: Path) -> None:
    await stored.backfill(name)
    collections = stored.coverage.collections(account_id(1), FIRST, end=END)
    assert len(collections) == 3
    keys = KeyRing([KeyRing.new_key()], "KUBETALLY_KEYS")
    with open_meta(f"sqlite:///{tmp_path / 'kubetally.db'}", keys, clock=FixedClock()) as meta:
        meta.coverage.intend(collections)
        meta.coverage.confirm([collection.id for collection in collections], 1)
        issues = meta.coverage.issues(FIRST, end=END, kinds=IssueKind)
        assert issues == {collection.id: list(collection.head.issues) for collection in collections}
        sums = meta.coverage.fact_sums(FIRST, end=END)
    assert sums == sums_of(collections)
    assert {fact.what for fact in sums if not fact.is_issue} == {
        component.value for collection in collections for component in collection.head.not_measured
    }
