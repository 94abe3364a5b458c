"""Stored days joined with what sources answered for the rest give the rows that stored days alone give."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from kubetally.domain.account import ListedAccount
from kubetally.domain.booking import Booking
from kubetally.domain.collection import CollectedDay, window_of
from kubetally.domain.component import Component
from kubetally.domain.damage import DayDamaged
from kubetally.domain.errors import RequestError, SourceError, StoreError
from kubetally.domain.fleet import Failed
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.live_costs import LiveCosts
from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.question.cost_question import CostQuestion, Idle
from kubetally.domain.question.group import parse_group
from kubetally.domain.question.steps import Step
from kubetally.domain.question.v2 import parse_v2
from kubetally.domain.report import CostReport, CostRow
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.status import DayState, Status
from kubetally.domain.window import DAY as ONE_DAY
from kubetally.domain.window import HOUR, Window
from kubetally.query.joined import JoinedCluster, JoinedReader
from kubetally.query.joined_report import get_joined_report
from kubetally.query.opening import open_duck
from kubetally.query.reader import LedgerReader
from kubetally.query.reports import LedgerReports
from kubetally.store.lake.delta import DeltaLake
from kubetally.store.lake.encode import allocation_tables
from tests.cluster_days import DAY, cluster_day
from tests.kept import CoverageInMemory
from tests.served import FixedClock
from tests.service import AccountsInMemory, account, account_id

ONE, TWO = account_id(1), account_id(2)
NAMES = {ONE: "cluster-1", TWO: "cluster-2"}
CODES = ("USD", "EUR", "USD")
STATED = ("USD", CurrencyOrigin.STATED)
WINDOW = Window(window_of(DAY).start, window_of(DAY).start + 3 * ONE_DAY)
QUESTIONS = [
    CostQuestion(WINDOW, parse_group(group), step, idle=idle)
    for group, step, idle in (
        ("", None, Idle.SEPARATE),
        ("cluster", Step.DAY, Idle.NONE),
        ("namespace,component", None, Idle.WEIGHTED),
        ("label:app,pod", Step.WEEK, Idle.EVEN),
        ("cluster,namespace", Step.MONTH, Idle.SEPARATE),
    )
]


def made(account_id_: str, number: int, **more: bool) -> CollectedDay:
    return cluster_day(account_id_, day=DAY + timedelta(days=number), **more)


def booking_of(day: CollectedDay) -> Booking:
    return day.collection.with_rows(day.rows)


class Home:
    """Accounts, a lake and its database; the clock is a week after the last day unless a test sets another."""

    def __init__(self, folder: Path) -> None:
        self.lake, self.coverage = DeltaLake(str(folder / "lake")), CoverageInMemory()
        self.accounts = AccountsInMemory([account(1, "http://one.test"), account(2, "http://two.test")])
        self.retention, self.clock = timedelta(days=400), FixedClock(WINDOW.end + 7 * ONE_DAY)
        self.engine = open_duck()

    def store(self, *days: CollectedDay) -> None:
        for day in days:
            self.coverage.intend([day.collection])
            self.coverage.confirm([day.collection.id], self.lake.put([day]))

    def damage(self, day: date) -> None:
        """Overwrite the files of a day's rows."""
        for file in Path(self.lake.url).rglob(f"allocations/day={day}/*.parquet"):
            file.write_bytes(b"damaged")

    def reader(self, *ids: str, has_account: bool = True) -> JoinedReader:
        clusters = [JoinedCluster(ListedAccount(id_, NAMES.get(id_, id_), "acme"), has_account) for id_ in ids]
        stores = self if has_account else None
        return JoinedReader(clusters, stores, lambda: self.engine, allocation_tables, self.clock)  # type: ignore[arg-type]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.engine.close()


def live(bookings: Sequence[Booking], *issues: Issue, name: str | None = None) -> LiveCosts:
    return LiveCosts(SourceIdentity("http://one.test", cluster_name=name), STATED, tuple(bookings), issues)


def asked(reader: JoinedReader, question: CostQuestion, **answers: LiveCosts | Failed) -> CostReport:
    """The report, once the sources have answered; by id with `_` for `-`, a cluster without answer has nothing."""
    reader.stored(question)
    reader.join(question.window, {id_.replace("_", "-"): answer for id_, answer in answers.items()})
    return reader.without_places(LedgerReports(reader).costs(question))


def rows_of(report: CostReport) -> dict[object, CostRow]:
    return {(row.key, row.kind, row.start, row.account_id): row for row in (*report.rows, *report.lines)}


def test_removed_account_counts_by_its_stored_days_as_in_the_api(home: Home) -> None:
    """Its source is not asked, and other hours are not missing."""
    home.store(*(made(ONE, number) for number in range(3)), made(TWO, 1))
    home.coverage.failed(TWO, DAY, home.clock.now(), code="source_refused", message="no route")
    home.accounts.remove(TWO)
    clusters = list(map(JoinedCluster, home.accounts.listed()))
    with LedgerReader(home, open_duck) as ledger:  # type: ignore[arg-type]
        for question in QUESTIONS:
            reader = JoinedReader(clusters, home, lambda: home.engine, allocation_tables, home.clock)  # type: ignore[arg-type]
            assert reader.clusters_to_ask(question) == [ONE]
            joined, stored = asked(reader, question), LedgerReports(ledger).costs(question)
            assert (joined.bill, joined.coverage) == (stored.bill, stored.coverage)
            assert rows_of(joined) == rows_of(stored)
    assert reader.labels() == {ONE: "cluster-1", TWO: "cluster-2 (removed)"}
    later = replace(QUESTIONS[1], window=Window(WINDOW.start + 2 * ONE_DAY, WINDOW.end))
    reader = JoinedReader(clusters, home, lambda: home.engine, allocation_tables, home.clock)  # type: ignore[arg-type]
    assert asked(reader, later).coverage.hours_asked == 24
    assert reader.labels() == {ONE: "cluster-1"}


def test_day_of_a_removed_account_that_the_window_cuts_is_missing(home: Home) -> None:
    home.store(made(ONE, 0), made(ONE, 1))
    home.accounts.remove(ONE)
    clusters = [JoinedCluster(listed) for listed in home.accounts.listed() if listed.id == ONE]
    for window in (Window(WINDOW.start + HOUR, WINDOW.end), Window(WINDOW.start, WINDOW.start + ONE_DAY + HOUR)):
        reader = JoinedReader(clusters, home, lambda: home.engine, allocation_tables, home.clock)  # type: ignore[arg-type]
        report = asked(reader, replace(QUESTIONS[0], window=window))
        assert report.coverage.hours_covered == 24
        (issue,) = [issue for issue in report.issues if issue.kind is IssueKind.NOT_HELD]
        assert "begin and end the window at 00:00 UTC" in issue.message
        assert reader.labels() == {ONE: "cluster-1 (removed)"}
        assert report.status is Status.PARTIAL


def test_unreadable_day_of_a_removed_account_is_missing(home: Home) -> None:
    home.store(made(ONE, 0), made(ONE, 1))
    home.accounts.remove(ONE)
    home.damage(DAY)
    clusters = [JoinedCluster(listed) for listed in home.accounts.listed() if listed.id == ONE]
    reader = JoinedReader(clusters, home, lambda: home.engine, allocation_tables, home.clock)  # type: ignore[arg-type]
    with pytest.raises(StoreError) as error:
        asked(reader, QUESTIONS[2])
    assert reader.set_aside(error.value)
    report = asked(reader, QUESTIONS[2])
    assert (report.coverage.hours_covered, report.status) == (24, Status.PARTIAL)
    assert [issue.kind for issue in report.issues if issue.is_missing_data] == [IssueKind.SOURCE_FAILED]


def _without_ids(report: CostReport) -> CostReport:
    rows, lines = ([replace(row, account_id=None) for row in many] for many in (report.rows, report.lines))
    return replace(report, rows=tuple(rows), lines=tuple(lines))


def under(id_: str) -> str:
    return id_.replace("-", "_")


@pytest.mark.parametrize("stored", [[], [0], [1], [0, 2], [1, 2]], ids=str)
def test_any_split_into_stored_and_live_days_has_the_same_rows(home: Home, tmp_path: Path, stored: list[int]) -> None:
    days = [made(ONE, number) for number in range(3)]
    home.store(*days, made(TWO, 1))
    other = Home(tmp_path / "other")
    other.store(*(days[number] for number in stored), made(TWO, 1))
    rest = live([booking_of(day) for number, day in enumerate(days) if number not in stored])
    for question in QUESTIONS:
        expected = asked(home.reader(ONE, TWO), question)
        report = asked(other.reader(ONE, TWO), question, **{under(ONE): rest})
        assert rows_of(report) == rows_of(expected)
        assert (report.bill, report.waste, report.workloads) == (expected.bill, expected.waste, expected.workloads)
        assert report.coverage.hours_covered == expected.coverage.hours_covered == 96
        assert (report.coverage.hours_asked, report.status) == (144, Status.PARTIAL)
        assert [step.total for step in report.steps] == [step.total for step in expected.steps]
    other.engine.close()


def test_cluster_without_account_is_grouped_by_the_same_code(home: Home) -> None:
    days = [made(ONE, number) for number in range(3)]
    home.store(*days)
    bookings = live([booking_of(day) for day in days], name="cluster-1")
    for question in QUESTIONS:
        stored = asked(home.reader(ONE), question)
        alone = home.reader("http://one.test", has_account=False)
        report = asked(alone, question, **{"http://one.test": bookings})
        assert rows_of(report) == rows_of(_without_ids(stored))
        assert report.coverage.hours_covered == report.coverage.hours_asked == 72


def test_copy_of_a_running_day_counts_while_it_is_fresh(home: Home) -> None:
    noon = window_of(DAY).start + 12 * HOUR
    question = CostQuestion(Window(window_of(DAY).start, window_of(DAY).end), parse_group("cluster"))
    morning = made(ONE, 0, is_running=True)
    span = Window(question.window.start, noon)
    head = replace(morning.collection.head, window=span, covered=(span,))
    morning = replace(morning, collection=replace(morning.collection, head=head, collected_at=noon + HOUR / 12))
    home.store(morning)
    for minutes, used in ((10, [span]), (59, [])):
        home.clock = FixedClock(noon + timedelta(minutes=minutes))
        assert home.reader(ONE).stored(question).get(ONE, []) == used
    report = asked(home.reader(ONE), question, **{under(ONE): live([booking_of(morning)])})
    assert report.bill == morning.collection.head.bill
    assert (report.coverage.hours_asked, report.coverage.hours_covered) == (12, 12)
    home.clock = FixedClock(noon + timedelta(minutes=10))
    report = asked(home.reader(ONE), question)
    assert report.bill == morning.collection.head.bill
    assert report.coverage.state is DayState.PROVISIONAL


def test_hours_stored_and_hours_asked_of_one_day_add_up(home: Home) -> None:
    """A day whose copy ended at two and that no later answer completed, and what its source has of the rest."""
    start = window_of(DAY).start
    spans = Window(start, start + 14 * HOUR), Window(start + 14 * HOUR, start + 24 * HOUR)
    unmeasured = frozenset({Component.MANAGEMENT})
    copy = made(ONE, 0, is_running=True)
    head = replace(copy.collection.head, window=spans[0], covered=(spans[0],), not_measured=unmeasured)
    home.store(replace(copy, collection=replace(copy.collection, head=head, collected_at=spans[0].end)))
    rest = replace(booking_of(cluster_day(ONE, 1)), window=spans[1], covered=(spans[1],))
    question = CostQuestion(window_of(DAY), parse_group("component"), Step.DAY)
    for measured in (True, False):
        part = rest if measured else replace(rest, not_measured=unmeasured)
        report = asked(home.reader(ONE), question, **{under(ONE): live([part])})
        assert report.bill.total == sum(row.costs.total for row in report.rows)
        assert report.not_measured == (frozenset() if measured else unmeasured)
        assert report.coverage.hours_covered == 24
    assert report.steps[0].total == report.bill.total


def test_windows_that_begin_within_a_day_count_what_is_whole(home: Home) -> None:
    home.store(*(made(ONE, number) for number in range(3)))
    start, end = WINDOW.start + 6 * HOUR, WINDOW.end - 6 * HOUR
    question = CostQuestion(Window(start, end), parse_group("namespace"), Step.DAY)
    reader = home.reader(ONE)
    assert reader.stored(question) == {ONE: [window_of(DAY + timedelta(days=1))]}
    edges = [
        replace(booking_of(cluster_day(ONE, 1, day=DAY + timedelta(days=number))), window=span, covered=(span,))
        for number, span in ((0, Window(start, WINDOW.start + ONE_DAY)), (2, Window(WINDOW.end - ONE_DAY, end)))
    ]
    reader.join(question.window, {ONE: live(edges)})
    report = LedgerReports(reader).costs(question)
    assert (report.coverage.hours_asked, report.coverage.hours_covered) == (60, 60)
    assert [(step.window.start, step.coverage.hours_covered) for step in report.steps] == [
        (start, 18),
        (WINDOW.start + ONE_DAY, 24),
        (WINDOW.start + 2 * ONE_DAY, 18),
    ]
    assert {row.start for row in report.rows} == {step.window.start for step in report.steps}


def test_cluster_without_answer_is_an_issue_and_its_hours_are_missing(home: Home) -> None:
    home.store(*(made(ONE, number) for number in range(3)))
    failed = Failed(SourceIdentity("http://two.test"), SourceError("two is away", code="away"))
    report = asked(home.reader(ONE, TWO), QUESTIONS[1], **{under(TWO): failed})
    assert (report.coverage.hours_asked, report.coverage.hours_covered) == (144, 72)
    (issue,) = [issue for issue in report.issues if issue.kind is IssueKind.SOURCE_FAILED]
    assert (issue.message, issue.facts) == ("two is away", {"accounts": [TWO], "days": 3, "code": "away"})
    assert issue in report.issues[:1], "missing data come first"


async def test_damaged_day_is_asked_of_its_source(home: Home) -> None:
    days = [made(ONE, number) for number in range(3)]
    home.store(*days)
    home.damage(DAY)
    seen = list[Mapping[str, Sequence[Window]]]()

    async def ask(
        question: CostQuestion, ids: Collection[str], stored: Mapping[str, Sequence[Window]]
    ) -> dict[str, LiveCosts | Failed]:
        assert (question, list(ids)) == (QUESTIONS[2], [ONE])
        seen.append(stored)
        return {ONE: live([] if len(stored[ONE]) == 3 else [booking_of(days[0])])}

    report, failed = await get_joined_report(
        home.reader(ONE), [QUESTIONS[2]], lambda reports: reports.costs(QUESTIONS[2]), ask
    )
    assert failed == []
    assert seen == [{ONE: [window_of(DAY + timedelta(days=number)) for number in of]} for of in ((0, 1, 2), (1, 2))]
    assert report.coverage.hours_covered == 72
    (issue,) = [issue for issue in report.issues if issue.subject == "history"]
    assert (issue.kind, issue.facts["accounts"]) == (IssueKind.SOURCE_WARNING, [ONE])
    assert "could not be read, so it was requested from the source" in issue.message


@pytest.mark.parametrize(
    ("error", "attempts"), [(StoreError("the lake is away"), 1), (DayDamaged("lake", DAY, why="torn"), 2)]
)
async def test_error_of_no_stored_day_in_use_is_raised(home: Home, error: StoreError, attempts: int) -> None:
    computed = list[LedgerReports]()

    async def ask(*_: object) -> dict[str, LiveCosts | Failed]:
        return {}

    def compute(reports: LedgerReports) -> CostReport:
        computed.append(reports)
        raise error

    home.store(made(ONE, 0))
    with pytest.raises(type(error)):
        await get_joined_report(home.reader(ONE), [QUESTIONS[0]], compute, ask)
    assert len(computed) == attempts


async def test_cluster_that_answers_for_one_period_has_not_failed(home: Home) -> None:
    before = replace(QUESTIONS[0], window=Window(WINDOW.start - ONE_DAY, WINDOW.start))

    async def ask(question: CostQuestion, *_: object) -> dict[str, LiveCosts | Failed]:
        failed = {id_: Failed(SourceIdentity(id_), SourceError("away")) for id_ in (ONE, TWO)}
        return {**failed, ONE: live([booking_of(made(ONE, 0))])} if question.window == WINDOW else {**failed}

    _, failed = await get_joined_report(
        home.reader(ONE, TWO), [before, QUESTIONS[0]], lambda reports: reports.costs(QUESTIONS[0]), ask
    )
    assert [failure.source.url for failure in failed] == [TWO]


def test_stores_that_can_not_be_read_leave_everything_to_the_source(home: Home) -> None:
    home.store(made(ONE, 0))

    class Broken(Home):
        coverage, accounts, retention, clock = home.coverage, home.accounts, home.retention, home.clock

        def __init__(self) -> None:
            """Without a lake."""
            self.engine = home.engine

        @property
        def lake(self) -> DeltaLake:  # type: ignore[override]
            raise StoreError("the lake is away")

    reader, question = Broken().reader(ONE), QUESTIONS[2]
    assert reader.stored(question) == {}
    reader.join(question.window, {ONE: live([booking_of(made(ONE, 0))])})
    report = LedgerReports(reader).costs(question)
    assert (report.bill, report.coverage.hours_covered) == (made(ONE, 0).collection.head.bill, 24)
    assert "so all were requested from the source: the lake is away" in report.issues[0].message
    after_storing = datetime.now(home.clock.at.tzinfo) + HOUR
    with pytest.raises(StoreError, match="the lake is away"):
        Broken().reader(ONE).stored(replace(question, as_of=after_storing))


def test_issues_that_say_the_same_are_one(home: Home) -> None:
    note = Issue(IssueKind.WINDOW_NOT_OVER, "the window is not over", "http://one.test", WINDOW)
    report = asked(home.reader(ONE, TWO), QUESTIONS[1], **{under(id_): live([], note) for id_ in (ONE, TWO)})
    assert [(issue.message, issue.facts["accounts"], issue.facts["days"]) for issue in report.issues] == [
        ("the window is not over", [ONE, TWO], 6)
    ]
    assert (report.status, report.currency) == (Status.NO_DATA, None)


def test_stored_days_have_the_currency_that_is_stated_now(home: Home) -> None:
    stored = made(ONE, 0)
    head = replace(stored.collection.head, currency="EUR", currency_origin=CurrencyOrigin.ASSUMED)
    home.store(replace(stored, collection=replace(stored.collection, head=head)))
    now = replace(booking_of(made(ONE, 1)), currency_origin=CurrencyOrigin.STATED)
    report = asked(home.reader(ONE), QUESTIONS[2], **{under(ONE): live([now])})
    assert (report.currency, report.coverage.hours_covered) == ("USD", 48)
    assert report.bill == head.bill.plus(now.bill)


def test_unlike_currencies_are_an_error_unless_one_is_chosen(home: Home) -> None:
    home.store(made(ONE, 0))
    euros = replace(booking_of(made(TWO, 0)), currency="EUR", currency_origin=CurrencyOrigin.SOURCE)
    answers = {under(TWO): live([euros])}
    with pytest.raises(RequestError, match="EUR and USD"):
        asked(home.reader(ONE, TWO), QUESTIONS[1], **answers)
    for text, currency in (('currency:"EUR"', "EUR"), ('cluster:"cluster-1"', "USD"), ('currency!:"EUR"', "USD")):
        report = asked(home.reader(ONE, TWO), replace(QUESTIONS[1], filter=parse_v2(text)), **answers)
        assert report.currency == currency
        assert report.bill.total == sum(row.costs.total for row in report.rows) > 0
        assert (report.coverage.hours_asked, report.coverage.hours_covered) == (72, 24)


@pytest.mark.parametrize("is_live", [False, True])
def test_other_currency_of_a_day_leaves_its_hours_and_facts(home: Home, *, is_live: bool) -> None:
    """Asked live or stored: the fact of each day is counted in its own currency."""
    lacking = frozenset({Component.GPU})
    days = [made(ONE, number) for number in range(3)]
    heads = [
        replace(day.collection.head, not_measured=lacking, currency=code) for day, code in zip(days, CODES, strict=True)
    ]
    stored = [
        replace(day, collection=replace(day.collection, head=head)) for day, head in zip(days, heads, strict=True)
    ]
    home.store(*stored[: 2 if is_live else 3])
    answers = (
        {under(ONE): live([replace(booking_of(stored[2]), currency_origin=CurrencyOrigin.SOURCE)])} if is_live else {}
    )
    for currency, hours in (("EUR", 24), ("USD", 48)):
        asked_of = replace(QUESTIONS[1], filter=parse_v2(f'currency:"{currency}"'))
        report = asked(home.reader(ONE), asked_of, **answers)
        assert (report.coverage.hours_asked, report.coverage.hours_covered) == (hours, hours)
        assert report.not_measured == lacking
        assert [issue.facts["days"] for issue in report.issues] == [hours // 24]


def test_names_of_clusters_without_account_are_told_apart(home: Home) -> None:
    question = CostQuestion(WINDOW, parse_group("cluster,organization"))
    places = ("http://one.test", "http://two.test")
    answers = {place: live([booking_of(made(ONE, 0))], name="default") for place in places}
    report = asked(home.reader(*places, has_account=False), question, **answers)
    assert sorted(row.key for row in report.rows) == [(place, "acme") for place in places]
    one = asked(home.reader(places[0], has_account=False), question, **{places[0]: answers[places[0]]})
    assert [(row.key, row.account_id) for row in one.rows] == [(("default", "acme"), None)]


def test_as_of_an_instant_no_running_day_and_no_source_counts(home: Home) -> None:
    home.store(made(ONE, 0))
    before = datetime.now(home.clock.at.tzinfo)
    home.store(cluster_day(ONE, 1))
    home.clock = FixedClock(before + HOUR)
    question = replace(QUESTIONS[2], as_of=before)
    report = asked(home.reader(ONE), question)
    assert report.bill == made(ONE, 0).collection.head.bill
    assert report.coverage.hours_covered == 24
