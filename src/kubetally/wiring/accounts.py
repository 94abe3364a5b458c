"""Changing the accounts of the settings' database."""

from collections.abc import Iterator
from contextlib import contextmanager

from kubetally.ledger.accounts.register import AccountEditor
from kubetally.settings import Settings
from kubetally.sources.account_sources import ProbedSources
from kubetally.wiring.ledger import open_ledger
from kubetally.wiring.sources import source_opener


@contextmanager
def open_editor(settings: Settings) -> Iterator[AccountEditor]:
    """What adds and changes accounts. Raises StoreError, RequestError."""
    with open_ledger(settings) as ledger:
        sources = ProbedSources(source_opener(settings))
        yield AccountEditor(ledger, sources, settings.currency, settings.prometheus_url)
