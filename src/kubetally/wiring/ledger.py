"""Opens the database and the lake of the settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from kubetally.domain.window import Clock
from kubetally.ledger.stores import Ledger
from kubetally.settings import Settings, size_in_bytes
from kubetally.store.lake.location import LakeLocation
from kubetally.store.meta.metadata import open_meta
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.queries import query_engine
from kubetally.wiring.store import database_url, naming_setting, open_keys

if TYPE_CHECKING:
    from kubetally.query.engine import OpenEngine


def lake_location(settings: Settings) -> LakeLocation:
    """Where the lake of the settings is."""
    place = settings.lake_url or str(settings.home_folder.absolute() / "lake")
    cache = settings.home_folder.absolute() / "query-cache", size_in_bytes(settings.query_cache)
    return LakeLocation(place, settings.lake_options, timedelta(days=settings.history_days), cache)


@contextmanager
def open_ledger(
    settings: Settings, clock: Clock | None = None, *, answer_seconds: float | None = None, may_lock: bool = False
) -> Iterator[Ledger]:
    """What the settings' database and lake hold. Raises StoreError, RequestError.

    may_lock: missing keys are made, also where there are credentials that these do not decrypt.
    answer_seconds: timeout of the database once it is open; as long as writers wait if None.
    """
    clock, url, keys = clock or SystemClock(), database_url(settings), open_keys(settings, may_lock=may_lock)
    lake, open_engine = lake_location(settings), query_engine(settings, in_process=True)
    with (
        naming_setting("KUBETALLY_DATABASE_URL"),
        open_meta(url, keys, clock=clock, answer_seconds=answer_seconds) as meta,
    ):
        yield Ledger(*meta, lake, meta.database, lake.keep, clock, partial(roll_up, open_engine))


def roll_up(open_engine: "OpenEngine", ledger: Ledger) -> int:
    """Bring the roll-ups of a lake up to date; returns how many days were added. Raises StoreError."""
    from kubetally.query.rollup_builder import RollUpBuilder  # heavy: Ibis and DuckDB

    return RollUpBuilder(ledger.coverage, lambda: ledger.lake, open_engine).rebuild(ledger.clock.now())
