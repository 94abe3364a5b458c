"""Which requests are answered from the cache, without a route and with the same answer."""

from dataclasses import replace
from typing import Any

import pytest

from kubetally.ledger.costs.service import CostService
from kubetally.web.metroculus.costs import CostAnswers, ReadyAnswer
from kubetally.web.ops.metrics import HttpMetrics
from kubetally.web.secret import Secret
from kubetally.web.wrong_secrets import is_wrong
from tests.served import FixedClock
from tests.service import PATH, SECRET, AccountsInMemory, E, S, account, account_id
from tests.unit.ledger.costs.test_cost_service import Source

QUERY = f"cloud_account_id={account_id(1)}&start_date={S}&end_date={E}".encode()


class World:
    """The endpoint of a source that counts requests."""

    def __init__(self, **more: float) -> None:
        self.source, self.accounts = Source(), AccountsInMemory([account(1, "http://source")])
        service = CostService(self.accounts, self.source.open, FixedClock(), **more)  # type: ignore[arg-type]
        self.http_metrics = HttpMetrics(service, "test")
        self.costs = CostAnswers(service, Secret(SECRET), FixedClock(), self.http_metrics)


def request(query: bytes = QUERY, *, secret: str | None = SECRET, **more: object) -> Any:
    headers = [] if secret is None else [(b"secret", secret.encode())]
    scope = {"type": "http", "method": "GET", "path": PATH, "query_string": query, "headers": headers, "state": {}}
    return scope | more


async def sent(answer: ReadyAnswer | None, scope: Any) -> list[Any]:
    assert answer is not None
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    await answer(scope, send, send)  # type: ignore[arg-type]
    return messages


@pytest.mark.parametrize("query", [QUERY, f"cloud_account_id={account_id(1)}".encode(), QUERY + b"&limit=1"])
async def test_cached_answer_is_that_of_the_route(query: bytes) -> None:
    world = World()
    assert world.costs.cached(request(query)) is None
    await world.costs.answer(request(query))
    routed, scope = await sent(await world.costs.answer(request(query)), request(query)), request(query)
    assert await sent(world.costs.cached(scope), scope) == routed
    assert scope["path_template"] == PATH
    assert len(world.source.asked) == len(set(world.source.asked))
    assert b'kubetally_cache_questions_total{result="hit"} 2.0' in world.http_metrics.exposition()


@pytest.mark.parametrize(
    "other",
    [
        request(secret=None),
        request(secret="wrong"),
        request(secret=SECRET + "x"),
        request(method="POST"),
        request(method="HEAD"),
        request(path=PATH + "/"),
        request(path="/metroculus/v2/kubecost_metrics"),
        request(b""),
        request(QUERY + b"&detail_level=other"),
        request(QUERY + b"&detail_level=namespace"),
        request(QUERY + b"&infrastructure=legacy_sum"),
        request(QUERY.replace(account_id(1).encode(), account_id(2).encode())),
    ],
)
async def test_other_requests_are_left_to_their_routes(other: Any) -> None:
    world = World()
    await world.costs.answer(request())
    assert world.costs.cached(other) is None
    assert world.costs.cached(request()) is not None


async def test_wrong_secret_is_marked_before_any_lookup() -> None:
    world, scope = World(), request(b"", secret="wrong")
    assert world.costs.cached(scope) is None
    assert is_wrong(scope)


async def test_account_of_a_cached_answer_is_looked_up_again() -> None:
    world = World(lookup_seconds=0)
    await world.costs.answer(request())
    assert world.costs.cached(request()) is None


async def test_change_of_account_is_seen_at_the_next_lookup() -> None:
    """The cached lookup is used until the account is looked up again."""
    world = World()
    await world.costs.answer(request())
    world.accounts.update(replace(world.accounts.accounts[0], currency="EUR"))
    assert world.costs.cached(request()) is not None
    await world.costs.answer(request(QUERY + b"&start_date=0"))  # another window, which is not cached
    assert world.costs.cached(request()) is None
