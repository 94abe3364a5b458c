"""The service, built from the settings."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

from kubetally import __version__
from kubetally.domain.service_secret import ServiceSecret
from kubetally.domain.window import Clock
from kubetally.ledger.accounts.database_timeout import DATABASE_SECONDS
from kubetally.ledger.accounts.snapshot import StoredSnapshot
from kubetally.ledger.accounts.token_cache import TokenCache
from kubetally.ledger.costs.calculations import calculations
from kubetally.ledger.costs.service import CostService
from kubetally.ledger.costs.stored_days import History
from kubetally.ledger.diagnose.storage import StorageCheck
from kubetally.ledger.stores import Ledger
from kubetally.query.answers import LedgerAnswers
from kubetally.query.reader import LedgerReader
from kubetally.settings import Settings
from kubetally.sources.opencost.client import day_requests
from kubetally.sources.opener import AccountOpener
from kubetally.store.meta.service_secret import open_secret, running_secret
from kubetally.tasks import usable_cores
from kubetally.web.app import create_app
from kubetally.web.connections import ConnectionLimits
from kubetally.web.metroculus.question import DEFAULT_WINDOW
from kubetally.web.proxies import TrustedProxies
from kubetally.web.server import AddressNotFree, check_address, serve
from kubetally.web.sign_in import SignIn, sign_in_link
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.diagnosis import storage_check
from kubetally.wiring.ledger import lake_location, open_ledger
from kubetally.wiring.queries import query_engine
from kubetally.wiring.sources import source_opener

check_port = check_address
_DATABASE_THREADS, _LAKE_THREADS, _TOKEN_THREADS, _INTERPRETERS = 4, 2, 2, 2
_ANSWER_SECONDS = 4.0  # of the database; after that a thread that hangs is free again, and reconnects


@dataclass(frozen=True, slots=True)
class Started:
    """What `kubetally serve` prints once it listens. accounts: their number. link: signs a browser in, once."""

    url: str
    link: str = field(repr=False)
    secret: ServiceSecret
    database: str
    lake: str
    accounts: int


def run_service(
    settings: Settings,
    host: str,
    port: int,
    *,
    started: Callable[[Started], None],
    clock: Clock | None = None,
    page_window: str = DEFAULT_WINDOW,
    or_free_port: bool = False,
    collector: AbstractContextManager[None] | None = None,
) -> None:
    """Serve the accounts of the database until SIGTERM or SIGINT.

    started: called once it listens. or_free_port: use another port if `port` is taken. collector: runs as
    long as the service.

    Raises: AddressNotFree, StoreError, RequestError, UnusableFile.
    """
    clock = clock or SystemClock()
    if not or_free_port:
        check_port(host, port)  # before a database is opened and a collector is started
    secret = open_secret(settings.secret, settings.home_folder)
    proxies = TrustedProxies.parse(settings.trusted_proxies)
    with (
        open_service(settings, clock, collector=collector) as (ledger, service, storage),
        LedgerReader(ledger, query_engine(settings)) as reader,
        ThreadPoolExecutor(_TOKEN_THREADS, "tokens") as token_threads,
    ):
        app = create_app(
            service,
            secret.text,
            version=__version__,
            clock=clock,
            page_window=page_window,
            secret_file=secret.file,
            storage=storage,
            sign_in=SignIn(secret.text, SystemClock()),  # links are made by the clock of the machine
            proxies=proxies,
            ledger=LedgerAnswers(reader, day_requests),
            organizations=ledger.organizations,
            tokens=TokenCache(ledger.tokens, SystemClock(), executor=token_threads),
        )
        limits, count = ConnectionLimits(per_address=settings.connections_per_address), len(ledger.accounts.places())

        def listening(url: str) -> None:
            link = sign_in_link(url, secret=secret.text, now=SystemClock().now())
            started(Started(url, link, secret, ledger.database, lake_location(settings).shown, count))

        try:
            serve(app, host, port, listening=listening, limits=limits)
        except AddressNotFree:
            if not or_free_port:
                raise
            serve(app, host, 0, listening=listening, limits=limits)


def new_link(settings: Settings, url: str) -> str:
    """See `sign_in_link`. Raises RequestError, also without a secret; UnusableFile."""
    return sign_in_link(url, secret=running_secret(settings.secret, settings.home_folder).text, now=SystemClock().now())


@contextmanager
def open_service(
    settings: Settings, clock: Clock, *, collector: AbstractContextManager[None] | None = None
) -> Iterator[tuple[Ledger, CostService, StorageCheck]]:
    """The ledger, the service on it and the check of its stores; all are closed afterwards."""
    with (
        open_ledger(settings, clock, answer_seconds=_ANSWER_SECONDS) as ledger,
        ThreadPoolExecutor(_DATABASE_THREADS, "accounts") as executor,
        ThreadPoolExecutor(_LAKE_THREADS, "history") as history_executor,
        ThreadPoolExecutor(1, "storage") as storage_executor,
        calculations(min(_INTERPRETERS, usable_cores())) as calculate,
        collector or nullcontext(),
    ):
        accounts, url = ledger.accounts, settings.prometheus_url
        snapshot = StoredSnapshot(accounts, executor, prometheus_url=url, timeout_seconds=DATABASE_SECONDS)
        opener = AccountOpener(snapshot, source_opener(settings, calculate=calculate.in_process))
        service = CostService(
            accounts,
            opener.source,
            clock,
            open_metrics=opener.metrics,
            executor=executor,
            history=History.of(ledger),
            history_executor=history_executor,
            currency=settings.currency,
            deadline_seconds=settings.deadline_seconds,
            calculate=calculate.on_thread,
        )
        yield ledger, service, storage_check(ledger, settings, storage_executor)
