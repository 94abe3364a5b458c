"""A made-up fleet in a home folder of its own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kubetally.domain.errors import RequestError
from kubetally.ledger.sample.make import SampleFleet, make_fleet
from kubetally.settings import Settings
from kubetally.store.reach import is_in_use
from kubetally.wiring.ledger import open_ledger


def make_sample(fleet: SampleFleet, folder: Path, on_day: Callable[[], None] = lambda: None) -> int:
    """`make_fleet` in `folder`, which becomes a home folder. Raises RequestError, StoreError."""
    if is_in_use(folder):
        problem = f"{folder} is not empty: name a new folder with --out, or remove it"
        raise RequestError(problem, code="folder_not_empty")
    with open_ledger(replace(Settings(), home=str(folder))) as ledger:
        return make_fleet(ledger, fleet, on_day)
