"""State and issues of a year of a fleet, from facts, beside reading them from the heads of the collections."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from statistics import median

from bench import fresh
from bench.table import Line
from kubetally.domain.collection import Collection
from kubetally.domain.collection_facts import FactSum
from kubetally.domain.component import Component
from kubetally.domain.issues import MISSING_DATA, Issue, IssueKind
from kubetally.domain.status import DayState
from kubetally.domain.window import HOUR, Window
from kubetally.ledger.ports.coverage import Coverage
from kubetally.store.meta.metadata import open_meta
from kubetally.store.meta.secrets import KeyRing
from kubetally.wiring.clock import SystemClock
from tests.cluster_days import cluster_day
from tests.kept import sums_of

CLUSTERS, DAYS = 50, 365
_FIRST = date(2025, 11, 22)
_END = _FIRST + timedelta(days=DAYS)
_IDS = [f"{number:08}-0000-4000-8000-000000000000" for number in range(CLUSTERS)]
_SAMPLES_ARE_MISSING_EVERY = 20
_TURNS, _TIMES_A_TURN = 3, 5
_MOST_MILLISECONDS = 50.0
_KEYS = KeyRing([KeyRing.new_key()], "KUBETALLY_KEYS")


def lines() -> list[Line]:
    """A database that is made for it: of every day the fee is unknown, of every twentieth half of the samples."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'kubetally.db'}"
        facts = _fill(url)
        figures = fresh.in_turns({"facts": from_facts, "heads": from_heads}, url, times=_TURNS)
    now, before = (figures[case]["seconds"] * 1e3 for case in ("facts", "heads"))
    return [
        Line("coverage", "the coverage", f"{CLUSTERS} clusters x {DAYS} days on SQLite, {facts:,} facts"),
        Line("coverage", "before: state of every day, then heads for what unsettled days lack", f"{before:.0f} ms"),
        Line(
            "coverage",
            "state of every day, what unsettled days lack, and sums of all issues, from facts",
            f"{now:.0f} ms, {before / now:.0f}x as fast",
            f"under {_MOST_MILLISECONDS:g} ms",
            now < _MOST_MILLISECONDS,
        ),
    ]


def from_facts(url: str) -> dict[str, float]:
    """The median of reading it without heads."""

    def read(coverage: Coverage) -> tuple[int, int, Sequence[FactSum]]:
        days = coverage.statuses(_FIRST, end=_END)
        missing = coverage.issues(_FIRST, end=_END, kinds=MISSING_DATA)
        return sum(map(len, days.values())), len(missing), coverage.fact_sums(_FIRST, end=_END)

    return _time(url, read)


def from_heads(url: str) -> dict[str, float]:
    """The median of reading it as it was read before there were facts: with the collections of unsettled days."""

    def read(coverage: Coverage) -> tuple[int, int, Sequence[FactSum]]:
        days = coverage.days(_FIRST, end=_END, account_ids=_IDS)
        first: dict[str, date] = {}
        for day in days:
            if day.state is not DayState.SETTLED:
                first.setdefault(day.account_id, day.day)
        held = [one for id_, day in first.items() for one in coverage.collections(id_, day, end=_END)]
        missing = [one for one in held if any(issue.is_missing_data for issue in one.head.issues)]
        return len(days), len(missing), ()

    return _time(url, read)


def _time(url: str, read: Callable[[Coverage], tuple[int, int, Sequence[FactSum]]]) -> dict[str, float]:
    seconds = []
    with open_meta(url, _KEYS, clock=SystemClock()) as meta:
        for _ in range(_TIMES_A_TURN):
            began = time.perf_counter()
            days, missing, sums = read(meta.coverage)
            seconds.append(time.perf_counter() - began)
        assert (days, missing) == (CLUSTERS * DAYS, CLUSTERS * len(range(0, DAYS, _SAMPLES_ARE_MISSING_EVERY)))
        assert not sums or list(sums) == sums_of(_held(meta.coverage))
    return {"seconds": median(seconds)}


def _fill(url: str) -> int:
    """Store every day; how many facts there are."""
    with open_meta(url, _KEYS, clock=SystemClock()) as meta:
        for number in range(DAYS):
            collections = [_collection(id_, number) for id_ in _IDS]
            meta.coverage.intend(collections)
            meta.coverage.confirm([one.id for one in collections], number)
        return sum(len(one.head.not_measured) + len(one.head.issues) for one in _held(meta.coverage))


def _held(coverage: Coverage) -> list[Collection]:
    return [one for id_ in _IDS for one in coverage.collections(id_, _FIRST, end=_END)]


def _collection(account_id: str, number: int) -> Collection:
    day = _FIRST + timedelta(days=number)
    made = cluster_day(account_id, day=day, rows=(), assets=()).collection
    window = made.head.window
    told = [
        Issue(IssueKind.NOT_MEASURED, "the source tells no management fee: it is unknown", "s", window, "management")
    ]
    if number % _SAMPLES_ARE_MISSING_EVERY == 0:
        half, message = Window(window.start, window.start + 12 * HOUR), "Prometheus has samples of some hours only"
        told.append(Issue(IssueKind.SAMPLES_MISSING, message, "s", half, "samples"))
    head = replace(made.head, not_measured=frozenset({Component.MANAGEMENT}), issues=tuple(told))
    at = datetime.combine(day, datetime.min.time(), window.start.tzinfo) + timedelta(days=5)
    return replace(made, head=head, collected_at=at)
