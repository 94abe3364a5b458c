"""Whose metrics are whose, where accounts have one server."""

from dataclasses import replace
from typing import Any

import pytest

from kubetally.domain.account import Account, Credentials
from kubetally.domain.errors import RequestError
from kubetally.domain.source_url import SourceUrl
from kubetally.domain.window import parse_window
from kubetally.ledger.ports.clusters import AccountCluster
from kubetally.settings import Settings
from tests.opened import open_metrics
from tests.served import NOON_AFTER, Asked, Served
from tests.service import account

DAY = parse_window("2026-11-20,2026-11-21", NOON_AFTER)


def nothing(_: Asked) -> Any:
    return {"status": "success", "data": {"resultType": "matrix", "result": []}}


async def query_of(one: Account, *others: Account) -> str:
    """What the server is asked for the account's fee, beside the other accounts."""
    with Served(nothing) as server:
        url = {"prometheus_url": server.url}
        accounts = tuple(account_at(kept, **url) for kept in (one, *others))
        async with open_metrics(AccountCluster(accounts[0], accounts), Settings(attempts=1)) as metrics:
            assert metrics is not None
            await metrics.points(DAY, ("kubecost_cluster_management_cost",))
        return server.asked[-1].params["query"]


def account_at(one: Account, prometheus_url: str) -> Account:
    return replace(one, prometheus_url=SourceUrl.parse(prometheus_url))


def org(name: str) -> Credentials:
    return Credentials(headers={"X-Scope-OrgID": name})


async def test_only_account_of_a_server_gets_unlabelled_metrics_too() -> None:
    assert 'cluster_id=~"|a"' in await query_of(account(1, "", cluster_id="a"))
    assert "cluster_id" not in await query_of(account(1, ""))


@pytest.mark.parametrize("tenant", [None, "t"])
async def test_accounts_of_one_server_get_only_their_cluster_id(tenant: str | None) -> None:
    one, other = (account(n, "", cluster_id=name, tenant=tenant) for n, name in enumerate("ab", 1))
    assert 'cluster_id=~"a"' in await query_of(one, other)


async def test_another_tenant_tells_accounts_apart() -> None:
    one, other = (account(n, "", cluster_id="a", tenant=name) for n, name in enumerate("tu", 1))
    query = await query_of(one, other)
    assert 'tenant_id="t"' in query
    assert 'cluster_id=~"|a"' in query


async def test_a_header_that_chooses_a_tenant_makes_another_server_of_it() -> None:
    one, other = (account(n, "", prometheus_credentials=org(name)) for n, name in enumerate("ab", 1))
    assert "cluster_id" not in await query_of(one, other)
    same = account(2, "", prometheus_credentials=org("a"))
    with pytest.raises(RequestError, match="--tenant"):
        await query_of(one, same)
