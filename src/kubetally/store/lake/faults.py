"""Errors of a lake, and the one place that makes them of errors of the libraries and the disk."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from deltalake.exceptions import DeltaError, DeltaProtocolError
from obstore.exceptions import BaseError

from kubetally.domain.errors import RequestError, StoreError
from kubetally.masking import Mask

_FULL = ("no space left", "os error 28", "disk quota exceeded", "os error 122", "storage full", "errno 28")
_REFUSED = (
    "permission denied",
    "os error 13",
    "read-only file system",
    "os error 30",
    "accessdenied",
    "invalidaccesskeyid",
    "signaturedoesnotmatch",
    "unauthenticated",
    "unauthorized",
    "forbidden",
    "nosuchbucket",
    "bucket does not exist",
    "credential",
    "not a directory",
    "os error 20",
)
_UNAVAILABLE = (
    "error sending request",
    "connection",
    "timed out",
    "timeout",
    "dns",
    "error performing",
    "server error",
    "slow down",
    "slowdown",
)
# Whole numbers only: the name of a log's entry has the version in it.
_STATUS_REFUSED, _STATUS_UNAVAILABLE = re.compile(r"\b40[13]\b"), re.compile(r"\b50[03]\b")
_ERRNO_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_ERRNO_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR})
_PROTOCOL_NEWER = re.compile(
    r"unsupported (?:minimum|table) |unsupported: |feature '[^']*' is not supported|invalid protocol action"
)
_BACKTRACE = re.compile(r" \d+: (?:<unknown>|start_thread\b|\S+ (?:at \S+:\d|\d+: <?\w))")
_MAX_LENGTH = 300
UNREADABLE = (pa.ArrowException, ValueError, LookupError, TypeError, ArithmeticError)
"""What libraries and conversions raise for damaged bytes: bad text, unknown keys, numbers out of range."""


class LakeDamaged(StoreError):
    """The log or a file of a table is missing or can't be read."""

    code = "lake_damaged"

    def __init__(self, url: str, why: str) -> None:
        self.url, self.why = url, why
        super().__init__(
            f"the lake {url} is damaged or was changed by another program ({why}). Restore its backup with "
            "`kubetally restore` into an empty folder and database, or collect its days again into a new lake with a "
            "new database"
        )


class LakeNewer(StoreError):
    """Only a newer version of Kubetally can read the tables."""

    code = "lake_newer"

    def __init__(self, url: str, why: str, *, code: str | None = None) -> None:
        super().__init__(f"the lake {url} {why}", code=code)


def newer_schema(url: str, *, version: int, known: int) -> LakeNewer:
    """The tables have a newer version of the columns."""
    return LakeNewer(url, f"has tables of version {version}; this program supports up to {known}. Upgrade Kubetally")


def newer_protocol(url: str, why: str) -> LakeNewer:
    """The tables need a newer version of the Delta protocol, or features of it that this program lacks."""
    return LakeNewer(
        url,
        f"needs a newer Delta protocol than this program supports ({why}). Its data is not damaged. "
        "Upgrade Kubetally, and upgrade no table of its lake with other programs",
        code="lake_protocol_newer",
    )


def invalid_url(url: str, why: str) -> RequestError:
    """The URL of the lake can't be used; `url` has no credentials."""
    return RequestError(
        f"the lake URL {url!r} {why}. Use a folder, s3://bucket/path, gs://bucket/path or az://container/path, and "
        "give credentials as storage options",
        code="invalid_lake_url",
    )


def unavailable(url: str, why: str) -> StoreError:
    """The place of the lake does not respond; it may later."""
    return StoreError(
        f"the lake {url} is not available ({why}). Check its endpoint, and that this machine can reach it",
        code="lake_unavailable",
        retryable=True,
    )


def refused(url: str, why: str) -> StoreError:
    """The place of the lake can't be read or written with these credentials."""
    return StoreError(
        f"the lake {url} refused access ({why}). Check that its bucket or folder exists, the credentials and the "
        "permissions",
        code="lake_refused",
    )


def full(url: str, why: str) -> StoreError:
    """There is no space left; the lake is unchanged."""
    return StoreError(
        f"no space is left for the lake {url} ({why}). Nothing was changed; free space, then collect again",
        code="lake_full",
    )


def busy(url: str, attempts: int) -> StoreError:
    """Other writers committed before each of our attempts."""
    return StoreError(
        f"other programs wrote to the lake {url} during each of {attempts} attempts. Nothing was changed; retry, and "
        "let only one program write to it",
        code="lake_busy",
        retryable=True,
    )


def foreign(url: str, why: str) -> StoreError:
    """There is a table that is not Kubetally's."""
    return StoreError(
        f"the table {url} is not Kubetally's ({why}). Use another place for the lake", code="lake_foreign"
    )


@contextmanager
def translated(url: str, secrets: tuple[str, ...] = ()) -> Iterator[None]:
    """Raise errors of deltalake, obstore, pyarrow and the disk as errors of the lake; `secrets` are masked in them."""
    try:
        yield
    except (DeltaError, BaseError, OSError, *UNREADABLE) as error:
        raise meaning(error, url, secrets) from error
    except BaseException as error:
        if not is_panic(error):
            raise
        raise LakeDamaged(url, shown(error, secrets)) from error


def is_panic(error: BaseException) -> bool:
    """Whether it is a panic of a Rust library, which is not an Exception; its class can't be imported."""
    return type(error).__name__ == "PanicException"


def meaning(error: Exception, url: str, secrets: tuple[str, ...] = ()) -> StoreError:
    """The error of the lake for an error of a library or the disk."""
    text, number = str(error).lower(), getattr(error, "errno", None)
    why = shown(error, secrets)
    if number in _ERRNO_FULL or any(mark in text for mark in _FULL):
        return full(url, why)
    if isinstance(error, DeltaProtocolError) or _PROTOCOL_NEWER.search(text):
        return newer_protocol(url, why)
    if number in _ERRNO_REFUSED or _STATUS_REFUSED.search(text) or any(mark in text for mark in _REFUSED):
        return refused(url, why)
    if _STATUS_UNAVAILABLE.search(text) or any(mark in text for mark in _UNAVAILABLE):
        return unavailable(url, why)
    return LakeDamaged(url, why)


def shown(error: BaseException, secrets: tuple[str, ...] = ()) -> str:
    """The message of an error on one line, short, without credentials."""
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(error)).replace("↳", "").split())
    text = text.partition(" Debug source:")[0]
    text = _BACKTRACE.split(text, maxsplit=1)[0]
    text = Mask(secrets).beginning(text)
    text = re.sub(r"(\w://[^\s?]*)\?\S*", r"\1?***", text)
    return (text if len(text) <= _MAX_LENGTH else text[: _MAX_LENGTH - 1] + "…") or type(error).__name__
