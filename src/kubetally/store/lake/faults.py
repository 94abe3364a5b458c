"""What can go wrong with a lake, and the one place that tells it from the errors of the libraries and the disk."""

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
_LONGEST = 300
UNREADABLE = (pa.ArrowException, ValueError, LookupError, TypeError, ArithmeticError)
"""What libraries and conversions raise of bytes that nobody wrote: bad text, unknown keys, numbers out of range."""


class InvalidLakeUrl(RequestError):
    """The URL of the lake can't be used; `url` has no credentials."""

    code = "invalid_lake_url"

    def __init__(self, url: str, why: str) -> None:
        self.url, self.why = url, why
        super().__init__(
            f"the lake's URL {url!r} {why}: write a folder, s3://bucket/path, gs://bucket/path or az://container/path, "
            "and give credentials as storage options"
        )


class LakeUnavailable(StoreError):
    """Where the lake is does not answer: it may answer later."""

    code = "lake_unavailable"
    retryable = True

    def __init__(self, url: str, why: str) -> None:
        self.url, self.why = url, why
        super().__init__(
            f"the lake {url} is not available ({why}): check that it can be reached from here, and its endpoint"
        )


class LakeRefused(StoreError):
    """Where the lake is we may not read or write."""

    code = "lake_refused"

    def __init__(self, url: str, why: str) -> None:
        self.url, self.why = url, why
        super().__init__(
            f"the lake {url} refused ({why}): check that its bucket or folder exists, and our rights and credentials"
        )


class LakeFull(StoreError):
    """There is no space left; what is in the lake is as it was."""

    code = "lake_full"

    def __init__(self, url: str, why: str) -> None:
        self.url, self.why = url, why
        super().__init__(
            f"there is no space left for the lake {url} ({why}): make space, then collect again; nothing was changed"
        )


class LakeBusy(StoreError):
    """Others committed each time that we were about to."""

    code = "lake_busy"
    retryable = True

    def __init__(self, url: str, attempts: int) -> None:
        self.url, self.attempts = url, attempts
        super().__init__(
            f"others wrote to the lake {url} at each of {attempts} attempts: try again, and let one program write to it"
        )


class LakeNewer(StoreError):
    """The tables are of a later version of Kubetally."""

    code = "lake_newer"

    def __init__(self, url: str, found: int, known: int) -> None:
        self.url, self.found, self.known = url, found, known
        super().__init__(
            f"the lake {url} has tables of version {found}, this program knows version {known}: upgrade Kubetally"
        )


class LakeProtocolNewer(StoreError):
    """The tables need a later version of the Delta protocol, or features of it that this program lacks."""

    code = "lake_protocol_newer"

    def __init__(self, url: str, why: str) -> None:
        self.url, self.why = url, why
        super().__init__(
            f"the lake {url} needs a later Delta protocol than this program knows ({why}); its data are not damaged: "
            "upgrade Kubetally, and upgrade no table of its lake with other programs"
        )


class LakeForeign(StoreError):
    """There is a table that is not Kubetally's."""

    code = "lake_foreign"

    def __init__(self, url: str, why: str) -> None:
        self.url, self.why = url, why
        super().__init__(f"the table {url} is not Kubetally's ({why}): name another place for the lake")


class LakeDamaged(StoreError):
    """The log or a file of a table is missing or can't be read."""

    code = "lake_damaged"

    def __init__(self, url: str, why: str) -> None:
        self.url, self.why = url, why
        super().__init__(
            f"the lake {url} is damaged or was changed by another program ({why}): restore its backup "
            "with `kubetally restore` into an empty folder and database, or collect these days again into a new lake, "
            "with a new database"
        )


@contextmanager
def translated(url: str, secrets: tuple[str, ...] = ()) -> Iterator[None]:
    """Errors of deltalake, obstore, pyarrow and the disk as ours. `url` is shown in them; `secrets` are not."""
    try:
        yield
    except (DeltaError, BaseError, OSError, *UNREADABLE) as error:
        raise meaning(error, url, secrets) from error
    except BaseException as error:
        if not is_panic(error):
            raise
        raise LakeDamaged(url, shown(error, secrets)) from error


def is_panic(error: BaseException) -> bool:
    """Whether it is a defect of a library in Rust, which is no Exception; its class can't be imported."""
    return type(error).__name__ == "PanicException"


def meaning(error: Exception, url: str, secrets: tuple[str, ...] = ()) -> StoreError:
    """What an error of a library or the disk is to us."""
    text, number = str(error).lower(), getattr(error, "errno", None)
    why = shown(error, secrets)
    if number in _ERRNO_FULL or any(mark in text for mark in _FULL):
        return LakeFull(url, why)
    if isinstance(error, DeltaProtocolError) or _PROTOCOL_NEWER.search(text):
        return LakeProtocolNewer(url, why)
    if number in _ERRNO_REFUSED or _STATUS_REFUSED.search(text) or any(mark in text for mark in _REFUSED):
        return LakeRefused(url, why)
    if _STATUS_UNAVAILABLE.search(text) or any(mark in text for mark in _UNAVAILABLE):
        return LakeUnavailable(url, why)
    return LakeDamaged(url, why)


def shown(error: BaseException, secrets: tuple[str, ...] = ()) -> str:
    """What a library says, on one line, short, without credentials."""
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(error)).replace("↳", "").split())
    text = text.partition(" Debug source:")[0]
    text = _BACKTRACE.split(text, maxsplit=1)[0]
    text = Mask(secrets).beginning(text)
    text = re.sub(r"(\w://[^\s?]*)\?\S*", r"\1?***", text)
    return (text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…") or type(error).__name__
