"""Errors of the lake, and the one place where the libraries' are translated."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from deltalake.exceptions import CommitFailedError, DeltaError
from pyarrow import ArrowException

from kubetally.domain.errors import StoreError


class LakeUnavailable(StoreError):
    """The lake can't be read or written now."""

    code = "lake_unavailable"
    retryable = True

    def __init__(self, url: str, why: str) -> None:
        self.url, self.why = url, why
        super().__init__(f"the lake {url} can't be used: {why}; see KUBETALLY_LAKE_URL, its rights and credentials")


class LakeFull(StoreError):
    """There is no room left for what was to be written."""

    code = "lake_full"

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(
            f"there is no room left for the lake {url}: nothing of this day was written; make room, or clear away what "
            "was replaced with `kubetally maintain` and a lower KUBETALLY_HISTORY_DAYS"
        )


class LakeNewer(StoreError):
    """A newer version of Kubetally has changed the tables."""

    code = "lake_newer"

    def __init__(self, url: str, found: str, known: int) -> None:
        self.url, self.found, self.known = url, found, known
        super().__init__(
            f"the lake {url} is of version {found}, this Kubetally knows none above {known}: install the newer Kubetally"
        )


class NotALake(StoreError):
    """There is a Delta table of somebody else."""

    code = "not_a_lake"

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(f"{url} holds a Delta table that is none of Kubetally's: give the lake a place of its own")


class Conflict(Exception):
    """Somebody else committed first."""


@contextmanager
def translated(url: str) -> Iterator[None]:
    """What the libraries raise, as our own. Raises LakeFull, LakeUnavailable, Conflict."""
    try:
        yield
    except CommitFailedError as error:
        raise Conflict(str(error)) from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT} or _says_full(error):
            raise LakeFull(url) from error
        raise LakeUnavailable(url, _words(error)) from error
    except (DeltaError, ArrowException) as error:
        if _says_full(error):
            raise LakeFull(url) from error
        raise LakeUnavailable(url, _words(error)) from error


def _says_full(error: Exception) -> bool:
    text = str(error).lower()
    return "no space left" in text or "os error 28" in text or "quota exceeded" in text


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
