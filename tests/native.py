"""The native API over accounts with stored days."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from kubetally.domain.collection import CollectedDay
from kubetally.ledger.accounts.token_cache import TokenCache
from kubetally.ledger.costs.service import CostService
from kubetally.query.answers import LedgerAnswers
from kubetally.query.engine import OpenEngine
from kubetally.query.opening import open_duck
from kubetally.query.reader import LedgerReader
from kubetally.sources.opencost.client import day_requests
from kubetally.store.lake.delta import DeltaLake
from kubetally.tasks import calculate_here
from kubetally.web.app import create_app
from kubetally.web.instrumented_app import InstrumentedApp
from tests.cluster_days import cluster_day
from tests.kept import CoverageInMemory
from tests.served import NOON_AFTER, FixedClock
from tests.service import SECRET, AccountsInMemory, account, account_id
from tests.tokens import OrganizationsInMemory

DAYS = {"start": "2026-11-20", "end": "2026-11-22"}
COLLECTED = NOON_AFTER - timedelta(hours=9)
"""Before the days are settled."""

ONE, TWO = account_id(1), account_id(2)


class Home:
    """Two accounts with a stored day each, or none, and the API on them."""

    def __init__(self, folder: Path, *, is_collected: bool = True) -> None:
        self.lake, self.coverage = DeltaLake(str(folder / "lake")), CoverageInMemory()
        self.accounts = AccountsInMemory([account(1, "http://one.test"), account(2, "http://two.test")])
        self.retention, self.clock = timedelta(days=400), FixedClock()
        self.days = [cluster_day(each, collected_at=COLLECTED) for each in (ONE, TWO)] if is_collected else []
        if is_collected:
            self.store(*self.days)

    def store(self, *days: CollectedDay) -> None:
        self.coverage.intend([day.collection for day in days])
        self.coverage.confirm([day.collection.id for day in days], self.lake.put(days))

    @property
    def bill(self) -> Decimal:
        return sum((Decimal(day.collection.head.bill.total).scaleb(-6) for day in self.days), Decimal())


def native_app(reader: LedgerReader, accounts: AccountsInMemory, tokens: TokenCache | None = None) -> InstrumentedApp:
    """The service with the native API; it asks no source."""
    service = CostService(accounts, lambda _: None, FixedClock(), calculate=calculate_here)  # type: ignore[arg-type, return-value]
    return create_app(
        service,
        SECRET,
        version="0",
        clock=FixedClock(),
        ledger=LedgerAnswers(reader, day_requests),
        organizations=OrganizationsInMemory(accounts.organizations),
        tokens=tokens,
    )


@contextmanager
def native_client(home: Home, open_engine: OpenEngine = open_duck) -> Iterator[TestClient[Any]]:
    """A client of the native API that sends the secret."""
    with LedgerReader(home, open_engine) as reader, TestClient(native_app(reader, home.accounts)) as client:
        client.headers["Secret"] = SECRET
        yield client


@pytest.fixture
def client(home: Home) -> Iterator[TestClient[Any]]:
    """A client of the native API over the home of a module."""
    with native_client(home) as client:
        yield client


def body_of(client: TestClient[Any], path: str, **parameters: Any) -> dict[str, Any]:
    """The body of an answer of the native API about `DAYS`, unless the parameters name others."""
    response = client.get(f"/api/v1/{path}", params=DAYS | parameters)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def all_pages(client: TestClient[Any], path: str, key: str, **parameters: Any) -> dict[str, Any]:
    """The body of the first page, with the rows of all pages in its list `key`."""
    body = body_of(client, path, **parameters)
    while body["next"]:
        page = body_of(client, path, **parameters, cursor=body["next"])
        body[key] += page[key]
        body["next"] = page["next"]
    return body


def money(amount: float | str | None) -> Decimal:
    """An amount of a body, exactly; 0 where it has none."""
    return Decimal(str(amount or 0)).quantize(Decimal("1e-6"))
