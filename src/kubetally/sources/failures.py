"""The errors of failed requests: by status, redirect or broken connection. URLs in them are masked."""

import os
import ssl

import httpx

from kubetally.domain.errors import SourceError
from kubetally.masking import Mask
from kubetally.sources.address import AddressRefused
from kubetally.sources.faults import (
    CertificateNotTrusted,
    RedirectRefused,
    SourceFailed,
    SourceRefused,
    SourceTimeout,
    SourceUnavailable,
    Waiting,
    own_words,
    printable,
)

UNREACHABLE = "source_unreachable"
"""Code where no connection could be made: refused, no route, no such name."""
_UNAVAILABLE_STATUSES = frozenset({429, 502, 503, 504})


def fails_every_request(error: SourceError) -> bool:
    """Whether every other request would fail like this too: one line of the log and one round of attempts is enough."""
    if isinstance(error, SourceTimeout):
        return error.waiting is Waiting.CONNECT
    return isinstance(error, AddressRefused | CertificateNotTrusted) or error.code == UNREACHABLE


def refusal(url: str, status: int, start: bytes, mask: Mask) -> SourceError:
    """The error of a status other than 2xx."""
    said = own_words(start, mask)
    if status in _UNAVAILABLE_STATUSES:
        return SourceUnavailable(url, f"it answered {status}" + (f": {said!r}" if said else ""), status=status)
    if status >= 500:
        return SourceFailed(url, status, said)
    return SourceRefused(url, status, said, start, mask)


def redirected(origin: httpx.URL, location: str, *, masked_url: str, mask: Mask) -> httpx.URL:
    """Where `location` leads from `origin`. Raises RedirectRefused, if that is not the same host."""
    try:
        target = origin.join(location)
        # The client would send userinfo of the target in place of our credentials.
        target = target.copy_with(userinfo=b"", fragment=None)
    except (httpx.InvalidURL, ValueError) as error:
        raise RedirectRefused(masked_url, host="an address that can't be read", why="which is refused") from error
    is_same = (target.scheme, target.host, target.port) == (origin.scheme, origin.host, origin.port)
    is_upgrade = (origin.scheme, target.scheme) == ("http", "https") and target.host == origin.host
    if not (is_same or is_upgrade):
        place = printable(mask.beginning(f"{target.scheme}://{target.netloc.decode('ascii')}"), 300)
        raise RedirectRefused(masked_url, host=place, why="where neither question nor credentials are sent")
    return target


def broken_connection(error: Exception, url: str, mask: Mask) -> SourceError:
    """The error of a connection, other than a timeout."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return CertificateNotTrusted(url, printable(mask.beginning(cause.verify_message), 200))
    if isinstance(error, httpx.ConnectError):
        return SourceUnavailable(url, _reason(error, mask), code=UNREACHABLE)
    return SourceUnavailable(url, _reason(error, mask))


def _causes(error: BaseException) -> list[BaseException]:
    """`error` and what it came from, the deepest last."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return chain


def _reason(error: Exception, mask: Mask) -> str:
    """Why a connection failed, for a person, without what was sent."""
    if isinstance(error, httpx.LocalProtocolError):
        return "the request can't be sent as HTTP"  # h11 quotes the header that it can't send
    for cause in reversed(_causes(error)):
        if isinstance(cause, ssl.SSLError) and cause.reason:
            return f"TLS failed with {cause.reason.lower().replace('_', ' ')!r}"
        if isinstance(cause, OSError) and cause.strerror:
            # asyncio puts "Connect call failed" where the system's words would be; resolvers have errors of their own.
            number = cause.errno or 0
            return printable(mask(os.strerror(number) if number > 0 else cause.strerror), 200)
    said = mask.beginning(str(error))  # h11 quotes the line that it can't read
    return printable(said, 200) or "the connection broke"
