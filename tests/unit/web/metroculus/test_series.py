"""Samples of metrics over HTTP: their maximum, and on which thread they are encoded."""

import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from kubetally.domain.account import Account
from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.metrics import CPU_SAVINGS, INFRASTRUCTURE, MANAGEMENT
from kubetally.domain.series import MAX_POINTS, MeasuredSeries, SeriesPoint
from kubetally.domain.window import Window
from kubetally.ledger.costs.service import CostService
from tests.served import FixedClock
from tests.service import SECRET, AccountsInMemory, E, S, account, account_id, by_http, serving

PATH = "/metroculus/v2/"


class Watched(dict[str, tuple[SeriesPoint, ...]]):
    """Points that record which threads read those of a metric."""

    def __init__(self, points: dict[str, tuple[SeriesPoint, ...]]) -> None:
        super().__init__(points)
        self.threads = set[int]()

    def get(self, key: str, default: Any = None) -> Any:
        self.threads.add(threading.get_ident())
        return super().get(key, default)


class Metrics:
    """A Prometheus with a number of samples of one metric."""

    url, account = "http://prometheus.test", None

    def __init__(self) -> None:
        self.metric, self.count, self.loop = MANAGEMENT, 1, 0
        self.points_given = Watched({})

    async def read(self, window: Window) -> Infrastructure:
        return Infrastructure(window, (), self.url)

    async def points(self, window: Window, names: Sequence[str]) -> MeasuredSeries:
        self.loop = threading.get_ident()
        points = {self.metric: (SeriesPoint(S, 0.1, {}),) * self.count} if self.count else {}
        self.points_given = Watched(points)
        return MeasuredSeries(window, self.points_given)

    @asynccontextmanager
    async def open(self, _: Account) -> AsyncIterator["Metrics"]:
        yield self


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def url(metrics: Metrics) -> Iterator[str]:
    accounts = AccountsInMemory([account(1, "http://127.0.0.1:1")])
    service = CostService(accounts, by_http, FixedClock(), open_metrics=metrics.open)
    with serving(service) as url:
        yield url


def ask(url: str, name: str = "kubecost_metrics", **more: str) -> httpx.Response:
    params: dict[str, str | int] = {"cloud_account_id": account_id(1), "start_date": S, "end_date": E, **more}
    return httpx.get(url + PATH + name, params=params, headers={"Secret": SECRET}, timeout=60)


@pytest.mark.parametrize("name", ["kubecost_metrics", "kubecost_savings"])
def test_too_many_samples_are_an_error_with_advice(url: str, metrics: Metrics, name: str) -> None:
    metrics.count = MAX_POINTS + 1
    answer = ask(url, name)
    assert (answer.status_code, answer.headers["x-kubetally-error"]) == (400, "too_many_points")
    assert answer.json()["error"] == {
        "status_code": 400,
        "error_code": "OM0010",
        "reason": "There are 200001 samples, and an answer has at most 200000: "
        "ask for a shorter window or fewer metrics",
        "params": ["200001", "200000"],
    }


def test_body_is_not_encoded_on_the_event_loop(url: str, metrics: Metrics) -> None:
    assert len(ask(url).json()["metrics"][MANAGEMENT]) == 1
    assert metrics.points_given.threads
    assert metrics.loop not in metrics.points_given.threads


@pytest.mark.parametrize(
    ("name", "asked"), [("kubecost_metrics", [*INFRASTRUCTURE.values()]), ("kubecost_savings", [CPU_SAVINGS])]
)
def test_error_names_metrics_if_none_has_samples(url: str, metrics: Metrics, name: str, asked: list[str]) -> None:
    metrics.count = 0
    body = ask(url, name).json()
    (error,) = body["errors"]
    assert error["kind"] == "not_measured"
    assert all(metric in error["message"] for metric in asked)


def test_error_names_requested_metric_without_samples(url: str) -> None:
    names = f"{MANAGEMENT},kubecost_first,kubecost_second"
    body = ask(url, metrics=names).json()
    assert list(body["metrics"]) == ["kubecost_cluster_management_cost"]
    (error,) = body["errors"]
    assert error["kind"] == "not_measured"
    assert "no sample of kubecost_first, kubecost_second" in error["message"]


@pytest.mark.parametrize("names", ["", ",", MANAGEMENT])
def test_default_metrics_may_lack_samples(url: str, names: str) -> None:
    assert ask(url, metrics=names).json()["errors"] == []


def head() -> str:
    return f'{{"cloud_account_id":"{account_id(1)}","start_date":{S},"end_date":{E},'


def test_bodies_have_the_keys_of_the_existing_api_in_order(url: str, metrics: Metrics) -> None:
    sample = f'{{"timestamp":{S},"value":0.1,"labels":{{}}}}'
    assert ask(url, metrics=MANAGEMENT).text == f'{head()}"metrics":{{"{MANAGEMENT}":[{sample}]}},"errors":[]}}'
    metrics.metric = CPU_SAVINGS
    assert ask(url, "kubecost_savings").text == f'{head()}"cpu_savings":[{sample}],"memory_savings":[],"errors":[]}}'


def test_account_without_prometheus_has_code_before_message() -> None:
    with serving(CostService(AccountsInMemory([account(1, "http://127.0.0.1:1")]), by_http, FixedClock())) as url:
        error = (
            '{"kind":"not_measured","code":"no_prometheus","message":"these series come from a Prometheus, and this '
            'account has none: `kubetally accounts update NAME --prometheus-url URL`"}'
        )
        assert ask(url).text == f'{head()}"metrics":{{}},"errors":[{error}]}}'
        assert ask(url, "kubecost_savings").text == (
            f'{head()}"cpu_savings":[],"memory_savings":[],"errors":[{error}]}}'
        )
