"""Requests to the sources of an account that is added or changed."""

from asyncio import gather
from collections.abc import Sequence
from datetime import datetime

from kubetally.domain.account import Account, AnyAccount
from kubetally.domain.errors import KubetallyError
from kubetally.domain.window import HOUR, Window, whole_hour
from kubetally.ledger.ports.account_sources import AccountSources
from kubetally.ledger.ports.sources import About

_ADDRESS_REFUSED, _SHARED_PROMETHEUS = "address_refused", "metrics_serve_one"


async def probe_sources(
    sources: AccountSources, account: Account, accounts: Sequence[AnyAccount], now: datetime
) -> tuple[About | None, list[str]]:
    """The description of its cost source, if any, and warnings about the source and its Prometheus.

    Raises: RequestError, SourceError with the code `address_refused`.
    """
    for url in filter(None, (account.kubecost_url, account.prometheus_url)):
        await sources.check_address(url)
    about, warnings = None, list[str]()
    try:
        async with sources.open_source(account, accounts) as source:
            about = await source.introduce()
            if about.product is None:  # costs may fail for the same reason, which is worth a warning
                hour = whole_hour(now)
                await source.check_costs(Window(hour - HOUR, hour))
    except KubetallyError as error:  # may be repaired later; until then `costs` reports the same
        if error.code == _ADDRESS_REFUSED:
            raise
        warnings.append(str(error))
    if account.prometheus_url is not None:
        try:
            await sources.check_prometheus(account, accounts, now)
        except KubetallyError as error:
            if error.code != _SHARED_PROMETHEUS:  # `warn_of_shared_prometheus` names all of its accounts
                warnings.append(str(error))
    return about, warnings


async def ask_cluster_ids(
    sources: AccountSources, accounts: Sequence[Account], *, all_accounts: Sequence[AnyAccount]
) -> dict[str, str]:
    """The ids of their clusters, as their sources return them, by account id."""
    ids = await gather(*(sources.cluster_id(account, all_accounts) for account in accounts))
    return {account.id: id_ for account, id_ in zip(accounts, ids, strict=True) if id_}
