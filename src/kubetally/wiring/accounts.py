"""Accounts of the settings' database, to be changed, and as clusters whose sources can be asked."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager as AsyncContext
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from kubetally.domain.account import Account
from kubetally.ledger.accounts.register import AccountEditor
from kubetally.settings import Settings
from kubetally.sources.account_sources import ProbedSources
from kubetally.sources.opencost.source import CostModelSource
from kubetally.wiring.cluster import AccountCluster
from kubetally.wiring.ledger import open_ledger
from kubetally.wiring.sources import Metrics, metrics_server_of, open_metrics, open_source


@contextmanager
def open_editor(settings: Settings) -> Iterator[AccountEditor]:
    """What adds and changes accounts. Raises StoreError, RequestError."""

    def source(account: Account, accounts: Sequence[Account], seconds: float) -> AsyncContext[CostModelSource]:
        return open_source(AccountCluster(account, tuple(accounts)), _within(settings, seconds))

    def prometheus(account: Account, accounts: Sequence[Account], seconds: float) -> AsyncContext[Metrics | None]:
        return open_metrics(AccountCluster(account, tuple(accounts)), _within(settings, seconds))

    sources = ProbedSources(
        source,
        prometheus,
        partial(metrics_server_of, settings=settings),
        connect_seconds=settings.connect_seconds,
        allow_link_local=settings.allow_link_local,
    )
    with open_ledger(settings) as ledger:
        yield AccountEditor(ledger, sources, settings.currency)


def _within(settings: Settings, seconds: float) -> Settings:
    """The settings with one attempt of at most `seconds`."""
    return replace(
        settings,
        connect_seconds=min(settings.connect_seconds, seconds),
        read_seconds=min(settings.read_seconds, seconds),
        deadline_seconds=min(settings.deadline_seconds, seconds),
        attempts=1,
    )
