"""The service, from the settings to the socket."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field

from kubetally import __version__
from kubetally.domain.window import Clock
from kubetally.ledger.accounts.snapshot import StoredSnapshot
from kubetally.ledger.collect.supervisor import supervised_process
from kubetally.ledger.costs.calculations import calculations
from kubetally.ledger.costs.database_timeout import DATABASE_SECONDS
from kubetally.ledger.costs.service import CostService
from kubetally.settings import Settings
from kubetally.tasks import usable_cores
from kubetally.web.app import create_app
from kubetally.web.connections import ConnectionLimits
from kubetally.web.proxies import TrustedProxies
from kubetally.web.question import DEFAULT_WINDOW
from kubetally.web.server import AddressNotFree, check_address, serve
from kubetally.web.sign_in import SignIn
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.diagnosis import storage_check
from kubetally.wiring.environment import unusable_setting
from kubetally.wiring.lake import lake_location
from kubetally.wiring.ledger import open_ledger
from kubetally.wiring.opener import Opener
from kubetally.wiring.secret import SecretInUse, link_of, secret_of

_AT_THE_DATABASE = 4
_ANSWER_SECONDS = 4.0  # of the database; hung threads are free again after it, and a reconnection
_AT_THE_LAKE = 2
_INTERPRETERS = 2


@dataclass(frozen=True, slots=True)
class Started:
    """What a person has to know of a service that takes connections. `accounts` is how many clusters it has.

    link: signs a browser in, once.
    """

    url: str
    link: str = field(repr=False)
    secret: SecretInUse
    database: str
    lake: str
    accounts: int


def trusted_proxies(settings: Settings) -> TrustedProxies:
    """The reverse proxies of the settings. Raises RequestError."""
    try:
        return TrustedProxies.parse(settings.trusted_proxies)
    except ValueError as error:
        raise unusable_setting(
            "KUBETALLY_TRUSTED_PROXIES", f"{error}; give addresses or networks, with commas"
        ) from error


def check_port(host: str, port: int) -> None:
    """Raises AddressNotFree, where the service could not listen now."""
    check_address(host, port)


def run_service(
    settings: Settings,
    host: str,
    port: int,
    *,
    started: Callable[[Started], None],
    clock: Clock | None = None,
    page_window: str = DEFAULT_WINDOW,
    or_free_port: bool = False,
    collects: bool = False,
) -> None:
    """Serve the accounts of the settings' database until SIGTERM or SIGINT; `or_free_port` where `port` is taken.

    collects: whether what is due is collected meanwhile, by a process beside this one.

    Raises: AddressNotFree, StoreError, RequestError, UnusableFile.
    """
    clock = clock or SystemClock()
    if not or_free_port:
        check_port(host, port)  # before a database is opened and a collector is started
    secret, proxies = secret_of(settings), trusted_proxies(settings)
    with (
        open_ledger(settings, clock, answer_seconds=_ANSWER_SECONDS) as ledger,
        ThreadPoolExecutor(_AT_THE_DATABASE, "accounts") as executor,
        ThreadPoolExecutor(_AT_THE_LAKE, "history") as history_executor,
        ThreadPoolExecutor(1, "storage") as storage_executor,
        calculations(min(_INTERPRETERS, usable_cores())) as calculate,
        supervised_process() if collects else nullcontext(),
    ):
        accounts = ledger.accounts
        snapshot = StoredSnapshot(accounts, executor, timeout_seconds=DATABASE_SECONDS)
        opener = Opener(snapshot, settings, calculate.in_process)
        service = CostService(
            accounts,
            opener.source,
            clock,
            open_metrics=opener.metrics,
            executor=executor,
            history=ledger.history,
            history_executor=history_executor,
            deadline_seconds=settings.deadline_seconds,
            calculate=calculate.on_thread,
        )
        storage = storage_check(ledger, settings, storage_executor)
        app = create_app(
            service,
            secret.text,
            __version__,
            clock,
            page_window=page_window,
            secret_file=secret.file,
            storage=storage,
            sign_in=SignIn(secret.text, SystemClock()),  # links are made by the machine's clock
            proxies=proxies,
        )
        known = len(accounts.places())
        limits = ConnectionLimits(per_address=settings.connections_per_address)

        def listening(url: str) -> None:
            started(Started(url, link_of(url, secret), secret, ledger.database, lake_location(settings).shown, known))

        try:
            serve(app, host, port, listening=listening, limits=limits)
        except AddressNotFree:
            if not or_free_port:
                raise
            serve(app, host, 0, listening=listening, limits=limits)
