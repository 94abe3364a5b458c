"""A roll-up changes how long an answer takes, and no figure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import product
from pathlib import Path

import ibis
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kubetally.domain.allocation import Kind
from kubetally.domain.booking import Booking
from kubetally.domain.collection import CollectedDay
from kubetally.domain.component import Costs
from kubetally.domain.question.arrange import DEFAULT_ORDER, arrange_report
from kubetally.domain.question.cost_question import NOTHING_SHARED, CostQuestion, Idle, Sharing, Split
from kubetally.domain.question.group import parse_group
from kubetally.domain.question.steps import Step
from kubetally.domain.question.v2 import parse_v2
from kubetally.domain.report import CostRow
from kubetally.domain.row import Cause, Row
from kubetally.domain.window import DAY, Window
from kubetally.ledger.ports.lake import StoredRows
from kubetally.ledger.ports.rollups import Grain, RollUp
from kubetally.present.cost_report import Shown, report_body
from kubetally.query.balance import BalanceReports
from kubetally.query.costs import cost_rows
from kubetally.query.duck import DuckEngine
from kubetally.query.reader import LedgerReader
from kubetally.query.reports import LedgerReports
from kubetally.query.rollup_builder import RollUpBuilder
from kubetally.query.rollup_choice import choose, grains_of
from kubetally.query.rollup_sums import rolled_up, sums_of
from kubetally.store.lake.copying import LakeFiles
from kubetally.store.lake.delta import DeltaLake
from tests.cluster_days import DAY as FIRST
from tests.cluster_days import cluster_day
from tests.integration.test_query_costs import ACCOUNTS, ledger, query
from tests.kept import CoverageInMemory
from tests.served import FixedClock
from tests.service import AccountsInMemory, account, account_id
from tests.unit.domain.clusters import MIDNIGHT, booked_days

ONE, TWO = account_id(1), account_id(2)
ONE_DAY = timedelta(days=1)
WINDOW = Window(MIDNIGHT, MIDNIGHT + 3 * DAY)
GROUPS = ["", "cluster", "organization,kind", "component", "namespace", "cluster,namespace", "namespace,component"]
FILTERS = [
    "", 'cluster:"prod"', 'namespace:"shop"', 'namespace!:"shop"', 'kind:"idle"', 'component:"cpu"', 'currency:"USD"',
    'namespace:"shop"|component:"ram"', 'kind!:"workload"+cluster:"test"', 'namespace:"__unallocated__"',
]  # fmt: skip


class Home:
    """A ledger, and readers of it with and without roll-ups."""

    def __init__(self, folder: str | Path, engine: DuckEngine) -> None:
        self.lake, self.coverage = DeltaLake(f"{folder}/lake"), CoverageInMemory()
        self.accounts = AccountsInMemory(
            [account(1, "http://one.test", name="prod"), account(2, "http://two.test", name="test")]
        )
        self.retention, self.clock = timedelta(days=400), FixedClock()
        self.engine = engine
        self.readers = [LedgerReader(self, lambda: engine, uses_roll_ups=uses) for uses in (True, False)]

    def store(self, *days: CollectedDay) -> None:
        for day in days:
            self.coverage.intend([day.collection])
            self.coverage.confirm([day.collection.id], self.lake.put([day]))

    def roll_up(self) -> int:
        engines = lambda: DuckEngine(threads=1)  # noqa: E731
        return RollUpBuilder(self.coverage, lambda: self.lake, engines).rebuild(self.clock.now())

    def answers(self, question: CostQuestion) -> list[bytes]:
        """The bodies with and without roll-ups."""
        return [_body(reader, question) for reader in self.readers]


def _body(reader: LedgerReader, question: CostQuestion) -> bytes:
    report = LedgerReports(reader).costs(question)
    lines, rows = arrange_report(report, DEFAULT_ORDER, None)
    return msgspec.json.encode(report_body(report, Shown(rows, lines, len(rows), DEFAULT_ORDER, 10_000)))


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckEngine]:
    engine = DuckEngine(threads=1)
    yield engine
    engine.close()


@pytest.fixture
def home(tmp_path: Path, engine: DuckEngine) -> Home:
    return Home(tmp_path, engine)


@settings(max_examples=25, deadline=None)
@given(
    days=booked_days(),
    others=booked_days(),
    rolled=st.sets(st.integers(0, 5)),
    stale=st.integers(0, 5),
    group=st.sampled_from(GROUPS),
    text=st.sampled_from(FILTERS),
    step=st.sampled_from([None, *Step]),
    idle=st.sampled_from(Idle),
    sharing=st.sampled_from([NOTHING_SHARED, Sharing(("shop",)), Sharing(("batch",), split=Split.EVEN)]),
)
def test_sums_of_some_days_give_the_rows_of_all(
    engine: DuckEngine,
    days: list[Booking],
    others: list[Booking],
    rolled: set[int],
    stale: int,
    group: str,
    text: str,
    step: Step | None,
    idle: Idle,
    sharing: Sharing,
) -> None:
    """Some collections are rolled up, one of them is not wanted, and rows of the others are beside."""
    tables = [ledger(days, "a" * 8), ledger(others, "b" * 8)]
    collections = [
        (id_, table["account_id"][0].as_py(), table["day"][0].as_py(), its)
        for table, name in zip(tables, "ab", strict=True)
        for id_, its in _by_collection(table, name)
    ]
    question = query(group, filter=parse_v2(text), step=step, idle=idle, sharing=sharing)
    grains = grains_of(question)
    assert grains
    wanted = [entry for number, entry in enumerate(collections) if number != stale]
    assume(wanted)
    held = {id_: (account_id, day) for n, (id_, account_id, day, _) in enumerate(collections) if n in rolled}
    files = [RollUp("", held)] if held else []
    choice = choose(grains, lambda _: files, [StoredRows(*entry[:3]) for entry in wanted])
    rows = ibis.memtable(pa.concat_tables([entry[3] for entry in wanted]))
    expected = cost_rows(engine.run, rows, question, ACCOUNTS, "USD")
    if not choice.roll_ups:
        assert not {entry[0] for entry in wanted} & held.keys()
        return
    held_rows = ibis.memtable(pa.concat_tables([entry[3] for entry in collections if entry[0] in held]))
    rest = [entry[3] for entry in wanted if entry[0] in {its.id for its in choice.rest}]
    beside = ibis.memtable(pa.concat_tables(rest)) if rest else None
    sums = sums_of([(scan, rolled_up(held_rows, scan.grain)) for scan in choice.roll_ups], beside, "USD")
    assert _sorted(cost_rows(engine.run, sums, question, ACCOUNTS, "USD")) == _sorted(expected)


def _by_collection(table: pa.Table, name: str) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each day, as a collection of its own."""
    for day in table["day"].unique().to_pylist():
        its = table.filter(pc.equal(table["day"], pa.scalar(day)))
        id_, place = f"{name}{day}", its.schema.get_field_index("collection_id")
        yield id_, its.set_column(place, its.schema.field(place), pa.array([id_] * len(its), its.schema.types[place]))


def _sorted(rows: Sequence[CostRow]) -> list[CostRow]:
    return sorted(rows, key=repr)


def test_answers_are_the_same_with_and_without_roll_up(home: Home) -> None:
    home.store(*(cluster_day(id_, day=FIRST + n * ONE_DAY) for id_ in (ONE, TWO) for n in range(2)))
    assert home.roll_up() == 4
    at = home.clock.now()
    home.store(cluster_day(ONE, 1), cluster_day(TWO, day=FIRST + 2 * ONE_DAY, is_running=True))
    windows = [WINDOW, Window(MIDNIGHT + DAY, MIDNIGHT + 2 * DAY)]
    for window, group, text in product(windows, GROUPS[::2], ("", *FILTERS[1:3])):
        for as_of in (None, at):
            question = CostQuestion(window, parse_group(group), Step.DAY, parse_v2(text), Idle.WEIGHTED, as_of=as_of)
            with_, without = home.answers(question)
            assert with_ == without, (window, group, text, as_of)


def test_days_stored_later_are_read_beside_it(home: Home) -> None:
    days = [cluster_day(id_, day=FIRST + number * ONE_DAY) for id_ in (ONE, TWO) for number in range(2)]
    home.store(*days[:3])
    assert home.roll_up() == 3
    home.store(days[3], cluster_day(ONE, 1))
    question = CostQuestion(WINDOW, parse_group("namespace"))
    assert home.readers[0].snapshot(question).roll_ups
    with_, without = home.answers(question)
    assert with_ == without
    assert home.roll_up() == 2
    assert home.roll_up() == 0
    assert not home.readers[0].snapshot(question).rest
    assert home.answers(question) == [without, without]


def test_whole_months_are_read_as_such(home: Home) -> None:
    home.store(*(cluster_day(id_, day=FIRST + n * ONE_DAY) for id_ in (ONE, TWO) for n in range(2)))
    home.roll_up()
    for days, step, text, grains in (
        (3, None, "", [Grain.MONTH]),
        (3, Step.MONTH, 'namespace:"shop"', [Grain.MONTH]),
        (3, Step.DAY, "", [Grain.ACCOUNT]),
        (1, None, "", [Grain.ACCOUNT]),
        (1, None, 'namespace:"shop"', [Grain.NAMESPACE]),
    ):
        window = Window(MIDNIGHT, MIDNIGHT + days * DAY)
        question = CostQuestion(window, parse_group("cluster"), step, parse_v2(text))
        assert [roll_up.grain for roll_up in home.readers[0].snapshot(question).roll_ups] == grains, (days, step, text)
        assert len(set(home.answers(question))) == 1


def test_sums_of_months_are_made_anew_without_reading_rows(home: Home) -> None:
    home.store(cluster_day(ONE), cluster_day(TWO))
    home.roll_up()
    kept, made = (home.lake.roll_ups.files(grain) for grain in (Grain.NAMESPACE, Grain.MONTH))
    Path(made[0].path).unlink()
    home.lake = DeltaLake(home.lake.url)
    assert home.roll_up() == 0
    assert home.lake.roll_ups.files(Grain.NAMESPACE) == kept
    assert [file.ids for file in home.lake.roll_ups.files(Grain.MONTH)] == [kept[0].ids]


def test_balance_and_its_causes_are_the_same_from_sums(home: Home) -> None:
    home.store(*(_differing(id_, day) for id_ in (ONE, TWO) for day in range(2)))
    home.roll_up()
    home.store(_differing(ONE, 0, generation=1))  # its rows are added beside the sums
    for step, days in product((None, Step.DAY, Step.WEEK), (1, 3)):
        question = CostQuestion(Window(MIDNIGHT, MIDNIGHT + days * DAY), (), step)
        used, unused = (BalanceReports(reader).balance(question).compute() for reader in home.readers)
        assert used == unused, (step, days)
        assert {cause for row in used.rows for cause, _ in row.causes} == {Cause.ROUNDING, Cause.UNKNOWN}
    assert {roll_up.grain for roll_up in home.readers[0].snapshot(question).roll_ups} == {Grain.ACCOUNT}
    for file in files(home):
        file.write_bytes(b"")  # what is damaged is answered from rows
    assert BalanceReports(home.readers[0]).balance(question).compute() == used


def _differing(account: str, number: int, generation: int = 0) -> CollectedDay:
    """A day whose bill and use differ for two causes, by other amounts on each day."""
    rounding = Row(Kind.DIFFERENCE, Cause.ROUNDING, costs=Costs(cpu=-13 - number, ram=generation))
    unknown = Row(Kind.DIFFERENCE, Cause.UNKNOWN, costs=Costs(cpu=1000 * number, pv=7))
    workload = Row(Kind.WORKLOAD, namespace="shop", pod="web", costs=Costs(cpu=10**6))
    rows = [workload, rounding, unknown]
    return cluster_day(account, generation, day=FIRST + number * ONE_DAY, rows=rows)


def test_question_on_pods_reads_rows(home: Home) -> None:
    home.store(cluster_day(ONE), cluster_day(TWO))
    home.roll_up()
    for group, text, is_used in (
        ("cluster", "", True),
        ("namespace", 'kind:"workload"', True),
        ("pod", "", False),
        ("namespace", 'pod:"x"', False),
        ("label:team", "", False),
    ):
        snapshot = home.readers[0].snapshot(CostQuestion(WINDOW, parse_group(group), filter=parse_v2(text)))
        assert bool(snapshot.roll_ups) is is_used, (group, text)


def files(home: Home) -> list[Path]:
    return sorted(Path(home.lake.url, "rollups").rglob("*.parquet"))


@pytest.mark.parametrize("is_read_before", [False, True])
@pytest.mark.parametrize("damage", ["removed", "cut", "changed"])
def test_damaged_file_changes_no_answer(tmp_path: Path, damage: str, is_read_before: bool) -> None:
    engine = DuckEngine(threads=1)
    home, question = Home(tmp_path, engine), CostQuestion(WINDOW, parse_group("cluster,namespace"))
    home.store(cluster_day(ONE), cluster_day(TWO))
    home.roll_up()
    if is_read_before:
        assert len(set(home.answers(question))) == 1
    for file in files(home):
        content = file.read_bytes()
        match damage:
            case "removed":
                file.unlink()
            case "cut":
                file.write_bytes(content[:-100])
            case _:
                file.write_bytes(content[:200] + bytes(255 - byte for byte in content[200:400]) + content[400:])
    if not is_read_before:
        home.lake = DeltaLake(home.lake.url)
    with_, without = home.answers(question)
    assert with_ == without
    engine.close()


def test_purged_account_vanishes_at_once(home: Home) -> None:
    home.store(cluster_day(ONE), cluster_day(TWO))
    home.roll_up()
    home.store(cluster_day(TWO, 1))
    home.roll_up()
    assert home.lake.reconcile(TWO, {}) > 0
    for grain in Grain:
        assert [set(file.accounts) for file in home.lake.roll_ups.files(grain)] == [{ONE}]
    assert not any(TWO.encode() in file.read_bytes() for file in files(home))


def test_relabelled_currency_leaves_it(home: Home) -> None:
    day = cluster_day(ONE)
    home.store(day)
    home.roll_up()
    before = files(home)
    home.lake.reconcile(ONE, {day.collection.id: "EUR"})
    assert files(home) == before


def test_replaced_file_stays_for_an_hour(home: Home) -> None:
    home.store(cluster_day(ONE))
    home.roll_up()
    home.store(cluster_day(TWO))
    home.roll_up()
    assert len(files(home)) == 2 * len(Grain)
    assert home.lake.roll_ups.remove_replaced(home.clock.now() + timedelta(hours=1)) == len(Grain)
    assert len(files(home)) == len(Grain)
    assert len(set(home.answers(CostQuestion(WINDOW, parse_group("cluster"))))) == 1


def test_rows_that_differ_from_the_database_are_not_rolled_up(home: Home) -> None:
    first, second = cluster_day(ONE), cluster_day(TWO)
    home.store(first, second)
    home.coverage.confirmed = [
        replace(collection, rows=collection.rows + 1) if collection.account_id == TWO else collection
        for collection in home.coverage.confirmed
    ]
    assert home.roll_up() == 1
    assert [set(file.accounts) for file in home.lake.roll_ups.files(Grain.ACCOUNT)] == [{ONE}]


def test_day_that_cannot_be_read_is_left_out(home: Home) -> None:
    home.store(*(cluster_day(id_, day=day) for id_ in (ONE, TWO) for day in (FIRST, date(2026, 11, 21))))
    for file in Path(home.lake.url, "allocations", f"day={FIRST}").glob("*.parquet"):
        file.write_bytes(b"PAR1")
    assert home.roll_up() == 2


def test_roll_ups_are_not_in_backups(home: Home) -> None:
    home.store(cluster_day(ONE))
    home.roll_up()
    assert files(home)
    assert not [file for file in LakeFiles(home.lake.url).all() if file.path.startswith("rollups")]
