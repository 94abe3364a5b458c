"""Errors as exit codes and one line on standard error."""

import sys

from kubetally.domain.errors import (
    BalanceError,
    Forbidden,
    Gone,
    KubetallyError,
    NotFound,
    RequestError,
    SourceError,
    StoreError,
)
from kubetally.present.grid import escaped

OK = 0
PAST_TOLERANCE = 1
DECLINED = 1
BACKUP_DAMAGED = 1
LAKE_DAMAGED = 1
DIFFERENT = 1
USAGE = 2
NO_SOURCE = 3
INTERRUPTED = 130

# The first family that fits.
EXITS: tuple[tuple[type[KubetallyError], int], ...] = (
    (RequestError, USAGE),
    (NotFound, USAGE),
    (Forbidden, USAGE),
    (Gone, USAGE),
    (SourceError, NO_SOURCE),
    (StoreError, NO_SOURCE),
    (BalanceError, NO_SOURCE),
)


def exit_code(error: KubetallyError) -> int:
    """The exit code for what stopped a command."""
    return next((code for family, code in EXITS if isinstance(error, family)), NO_SOURCE)


def complain(message: str) -> None:
    """One error, on standard error."""
    print(f"error: {escaped(message)}", file=sys.stderr)
