"""Collections as a test wants them, and the metadata of a database with a clock that a test sets."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from kubetally.domain.allocation import Kind
from kubetally.domain.booking import Booking
from kubetally.domain.collection import Collection, new_collected_day, window_of
from kubetally.domain.component import NO_CLASSES, Component, Costs
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.row import Row
from kubetally.domain.source_identity import SourceIdentity
from kubetally.store.meta.metadata import Metadata, open_meta
from kubetally.store.meta.secrets import KeyRing

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
DAY = date(2026, 11, 20)
KEYS = KeyRing([KeyRing.new_key()], "KUBETALLY_KEYS")


@dataclass
class SetClock:
    """A clock that a test sets."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> datetime:
        """Set it on, or back; what it shows then."""
        self.at += timedelta(seconds=seconds)
        return self.at


@dataclass
class Opener:
    """Opens the metadata of one database, again and again; all that it opened ends with it."""

    url: str
    clock: SetClock
    stack: ExitStack

    def __call__(self) -> Metadata:
        return self.stack.enter_context(open_meta(self.url, KEYS, clock=self.clock))


def opener_of(url: str) -> Iterator[Opener]:
    """For a fixture."""
    with ExitStack() as stack:
        yield Opener(url, SetClock(), stack)


def collection(name: str, account_id: str = "a", day: date = DAY, cost: int = 7_000_000, **more: object) -> Collection:
    """A collection with one row that costs so many micros, started now."""
    window = window_of(day)
    costs = Costs(cpu=cost)
    issue = Issue(
        IssueKind.RESOURCE_WITHOUT_ASSET, "„Knoten“ 🚀", "http://source", window, "cpu", {"resources": ("node a", "b")}
    )
    booking = Booking(
        window=window,
        covered=(window,),
        rows=(Row(Kind.WORKLOAD, namespace="web", costs=costs),),
        bill=costs,
        bill_network_classes=NO_CLASSES,
        not_measured=frozenset({Component.MANAGEMENT}),
        assets_complete=True,
        currency="USD",
        source="http://source",
        source_total=cost,
        issues=(issue,),
    )
    source = SourceIdentity("http://source:9003", "OpenCost", "1.118", "c-1", "Zürich", account_id)
    made = new_collected_day(
        name, account_id=account_id, day=day, collected_at=NOW, source=source, booking=booking, assets=()
    )
    return replace(made.collection, **more)  # type: ignore[arg-type]
