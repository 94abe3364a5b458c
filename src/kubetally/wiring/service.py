"""The service, from the settings to the socket."""

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field

from kubetally import __version__
from kubetally.domain.window import Clock
from kubetally.ledger.service import CostService
from kubetally.settings import Settings
from kubetally.store.meta.private_file import UnusableFile, read_or_make
from kubetally.web.app import create_app
from kubetally.web.question import DEFAULT_WINDOW
from kubetally.web.secret import MIN_SECRET_LENGTH, is_weak
from kubetally.web.server import AddressNotFree, check_address, serve
from kubetally.wiring.beside import kept_running
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.environment import UnusableSetting
from kubetally.wiring.lake import shown_lake
from kubetally.wiring.ledger import open_ledger
from kubetally.wiring.opener import FleetInStore, Opener
from kubetally.wiring.storage_health import storage_check

SECRET_VARIABLE = "KUBETALLY_SECRET"  # noqa: S105
_SECRET_BYTES = 32
_HOW_TO_MAKE = "`openssl rand -base64 32` prints a strong one"
_AT_THE_DATABASE = 4
_AT_THE_LAKE = 2


@dataclass(frozen=True, slots=True)
class SecretInUse:
    """The secret that callers have to send; `file` is where it is kept, None where the environment has it."""

    text: str = field(repr=False)
    file: str | None


@dataclass(frozen=True, slots=True)
class Started:
    """What a person has to know of a service that takes connections. `accounts` is how many clusters it has."""

    url: str
    secret: SecretInUse
    database: str
    lake: str
    accounts: int


def secret_of(settings: Settings) -> SecretInUse:
    """The secret of the settings, else of the file in the home folder, which is made if missing.

    Raises: UnusableSetting, for a weak secret; UnusableFile, also when others than its owner may read it.
    """
    if settings.secret:
        if is_weak(settings.secret):
            raise UnusableSetting(SECRET_VARIABLE, f"it has fewer than {MIN_SECRET_LENGTH} characters; {_HOW_TO_MAKE}")
        return SecretInUse(settings.secret, None)
    file = settings.home_folder / "secret"
    text = read_or_make(file, lambda: secrets.token_urlsafe(_SECRET_BYTES)).strip()
    if not text:
        raise UnusableFile(str(file), "it is empty: remove it, and one is made")
    if is_weak(text):
        why = f"its secret has fewer than {MIN_SECRET_LENGTH} characters: remove the file, and a strong one is made"
        raise UnusableFile(str(file), why)
    return SecretInUse(text, str(file))


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

    Raises: AddressNotFree, StoreError, UnusableSetting, UnusableFile.
    """
    clock = clock or SystemClock()
    if not or_free_port:
        check_port(host, port)  # before a database is opened and a collector is started
    secret = secret_of(settings)
    with (
        open_ledger(settings, clock) as ledger,
        ThreadPoolExecutor(_AT_THE_DATABASE, "accounts") as executor,
        ThreadPoolExecutor(_AT_THE_LAKE, "history") as history_executor,
        ThreadPoolExecutor(1, "storage") as storage_executor,
        kept_running() if collects else nullcontext(),
    ):
        accounts = ledger.accounts
        opener = Opener(FleetInStore(accounts, executor), settings)
        service = CostService(
            accounts,
            opener.source,
            clock,
            open_metrics=opener.metrics,
            executor=executor,
            history=ledger.history,
            history_executor=history_executor,
            deadline_seconds=settings.deadline_seconds,
        )
        storage = storage_check(ledger, storage_executor)
        app = create_app(
            service, secret.text, __version__, clock, page_window=page_window, secret_file=secret.file, storage=storage
        )
        known = len(accounts.all())

        def listening(url: str) -> None:
            started(Started(url, secret, ledger.database, shown_lake(settings), known))

        try:
            serve(app, host, port, listening=listening)
        except AddressNotFree:
            if not or_free_port:
                raise
            serve(app, host, 0, listening=listening)
