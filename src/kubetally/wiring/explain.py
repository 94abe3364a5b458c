"""Explaining figures of the ledger of the settings."""

from collections.abc import Iterator
from contextlib import contextmanager

from kubetally.ledger.stores import Ledger
from kubetally.query.explain import Explainer
from kubetally.query.reader import LedgerReader
from kubetally.settings import Settings
from kubetally.sources.opencost.client import day_requests
from kubetally.wiring.ledger import open_ledger
from kubetally.wiring.queries import query_engine


@contextmanager
def open_explainer(settings: Settings) -> Iterator[tuple[Ledger, Explainer]]:
    """The ledger, and what explains its figures. Raises StoreError, RequestError."""
    with open_ledger(settings) as ledger, LedgerReader(ledger, query_engine(settings)) as reader:
        yield ledger, Explainer(reader, day_requests)
