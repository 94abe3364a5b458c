"""Holding a lease, as the only one of all processes that share a database."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from kubetally.domain.errors import StoreError
from kubetally.ledger.ports.leases import Lease, Leases

LEASE_WAIT_SECONDS = 120.0
_POLL_SECONDS = 0.1
_RENEW_SECONDS = 10.0  # a third of the time after which a lease expires


class AnotherWriter(StoreError):
    """Another process holds the write lock on the lake."""

    code = "another_writer"
    retryable = True

    def __init__(self, url: str, *, holder: str, seconds: float) -> None:
        self.url, self.holder, self.seconds = url, holder, seconds
        super().__init__(
            f"{holder} still holds the write lock on {url} after {seconds:g} s. Nothing was written; retry, or check "
            "that process"
        )


@contextmanager
def hold_lease(
    leases: Leases,
    name: str,
    *,
    url: str,
    wait_seconds: float = LEASE_WAIT_SECONDS,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[Lease]:
    """Hold the lease of that name, and renew it however long the work takes.

    url: of the lake, for the error. wait_seconds: longest wait for another holder. Blocks.
    Raises: AnotherWriter, StoreError.
    """
    until = time.monotonic() + wait_seconds
    while (lease := leases.acquire(name)) is None:
        if time.monotonic() > until:
            raise AnotherWriter(url, holder=leases.holder(name) or "another process", seconds=wait_seconds)
        pause(_POLL_SECONDS)
    with _renewing(lease):
        try:
            yield lease
        finally:
            lease.release()


@contextmanager
def _renewing(lease: Lease) -> Iterator[None]:
    """Renew the lease regularly, on a thread."""
    done = threading.Event()

    def renew() -> None:
        is_ours = True
        while is_ours and not done.wait(_RENEW_SECONDS):
            with suppress(StoreError):  # the database may come back in time
                is_ours = lease.renew()

    renewing = threading.Thread(target=renew, name="lease", daemon=True)
    renewing.start()
    try:
        yield
    finally:
        done.set()
        renewing.join()
