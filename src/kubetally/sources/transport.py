"""HTTP to one source: limits, retries, and the translation of the libraries' errors."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

import httpx

from kubetally import logs
from kubetally.domain.errors import RequestError, SourceError
from kubetally.domain.window import Clock
from kubetally.sources.access import Access
from kubetally.sources.address import CheckedAddresses, Resolve, system_resolve
from kubetally.sources.body import read, start_of
from kubetally.sources.failures import broken_connection, fails_every_request, redirected, refusal
from kubetally.sources.faults import (
    Answer,
    RedirectRefused,
    SourceRefused,
    SourceTimeout,
    Waiting,
)
from kubetally.sources.retries import Tries

Params = Sequence[tuple[str, str]] | Mapping[str, str]
Renew = Callable[[], Awaitable[Access]]
"""Gets fresh credentials, where those at hand have expired. Raises KubetallyError."""

_MIB = 1024 * 1024
_BLOCKED_SECONDS = 10.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SEE_OTHER = 303  # leads to the result of a POST, to be fetched without its form
_LARGEST_FORM_BYTES = _MIB
_LARGE_BYTES = _MIB
_HEADERS = {"accept": "*/*", "connection": "keep-alive", "user-agent": "kubetally"}
_FORM_HEADERS = ((b"content-type", b"application/x-www-form-urlencoded"),)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long, how much and how often.

    read_seconds:     the longest silence, before the head and between pieces of the body; not of a request that waits
                      `until_deadline`.
    deadline_seconds: for one request with all its attempts and the pauses between them.
    max_bytes:        of a body, decompressed.
    attempts:         of one request, 1 for no retry.
    """

    connect_seconds: float = 5.0
    read_seconds: float = 30.0
    deadline_seconds: float = 120.0
    max_bytes: int = 512 * _MIB
    attempts: int = 3
    backoff_initial_seconds: float = 0.2
    backoff_max_seconds: float = 5.0
    allow_link_local: bool = False
    max_redirects: int = 3


class _SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Request:
    """A GET, or a POST if there is a form. masked_url: the address without query and secrets.

    read_seconds: the longest silence of its answer; None where only the deadline limits it.
    """

    url: httpx.URL
    masked_url: str
    form: bytes | None = None
    read_seconds: float | None = None

    @property
    def method(self) -> str:
        return "GET" if self.form is None else "POST"


class Transport:
    """Sends requests to one source over one pool of connections; close it with `aclose` or `async with`.

    Raises: UnusableCertificateFile, when a file that `access` names can't be loaded.
    """

    def __init__(
        self,
        access: Access,
        limits: Limits | None = None,
        *,
        resolve: Resolve = system_resolve,
        clock: Clock | None = None,
        timer: Callable[[], float] = time.monotonic,
        renew: Renew | None = None,
    ) -> None:
        """renew: called when the source answers 401; the request is repeated with the headers it returns.

        timer: seconds since any instant, for durations.
        """
        self.access, self.masked_url = access, str(access.url)
        self._log = logs.get_logger(__name__).bind(source=self.masked_url)
        self._limits = limits or Limits()
        self._clock, self._timer = clock or _SystemClock(), timer
        self._renew, self._renewing = renew, asyncio.Lock()
        # Where the certificate has another name than the host; `CheckedAddresses` names the host otherwise.
        self._extensions = {"sni_hostname": access.server_name} if access.server_name else {}
        # Proxies and certificates out of the environment would go round the check of addresses, so neither reads it.
        # Requests go to it without a client of httpx before it: redirects, credentials and retries are ours, no cookie
        # is kept, and what that client does besides takes a third of a small request's time.
        self._connections = CheckedAddresses(
            httpx.AsyncHTTPTransport(verify=access.ssl_context(), trust_env=False),
            resolve=resolve,
            connect_seconds=self._limits.connect_seconds,
            allow_link_local=self._limits.allow_link_local,
        )
        self._headers = _headers_of(access)
        # All that is quoted of an answer goes through it. What was sent once stays in it: an answer may come late.
        self._mask = access.mask()
        self._timeout: dict[str, float | None] = {
            "connect": self._limits.connect_seconds,
            "write": self._limits.read_seconds,
            "pool": self._limits.deadline_seconds,
        }
        # The error that every request would meet, and until when none is sent.
        self._blocked: tuple[SourceError, float] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connections.aclose()

    async def get(
        self,
        path: str,
        params: Params = (),
        *,
        expected: frozenset[int] = frozenset(),
        quiet: bool = False,
        until_deadline: bool = False,
    ) -> Answer:
        """The 2xx answer to `path` under the source's URL; tries again where that may help, and logs a failure once.

        Shape:  `params` as pairs in their order, or as a mapping; names and values as they are, not encoded.
                A refusal with a status in `expected` is no failure to log: the caller asks whether a path exists.
                `quiet`: nothing depends on the answer, so that its failure is not worth a line of the log.
                `until_deadline`: the source may compute in silence until the deadline; no read limit applies.
        Raises: SourceRefused (with `status`, so that a caller may try another path), SourceUnavailable, SourceTimeout,
                SourceFailed, AnswerNotUnderstood (a body that does not decompress), RedirectRefused, AddressRefused,
                CertificateNotTrusted, SourceError (a body that is too large).
        """
        read_seconds = None if until_deadline else self._limits.read_seconds
        request = _Request(self._address_of(path, params), self._masked_url_of(path), read_seconds=read_seconds)
        return await self._answer(path, request, expected, quiet)

    async def post(
        self, path: str, form: Params, *, expected: frozenset[int] = frozenset(), quiet: bool = False
    ) -> Answer:
        """As `get`, with the parameters in a form: for a query that is too long for a URL.

        It must not change anything: after a failure it is sent again, as a `get` is.

        Raises: as `get`, and RequestError where the form is too large.
        """
        masked_url = self._masked_url_of(path)
        body = urlencode(_pairs(form)).encode("ascii")
        if len(body) > _LARGEST_FORM_BYTES:
            raise RequestError(
                f"the request to {masked_url} has {len(body):,} bytes, more than the limit of {_LARGEST_FORM_BYTES:,}; "
                "ask for less",
                code="question_too_large",
            )
        request = _Request(self._address_of(path, ()), masked_url, body, self._limits.read_seconds)
        return await self._answer(path, request, expected, quiet)

    async def _answer(self, path: str, request: _Request, expected: frozenset[int], quiet: bool) -> Answer:
        began, tries = self._timer(), Tries()
        if self._blocked is not None and began < self._blocked[1]:
            raise self._blocked[0]
        try:
            answer = await self._within_deadline(request, tries)
        except SourceError as error:
            expected_refusal = isinstance(error, SourceRefused) and error.status in expected
            if not expected_refusal and not (fails_every_request(error) and self._blocked is not None):
                (self._log.debug if quiet else self._log.warning)(
                    "source_request_failed",
                    path=path,
                    error=error.code,
                    attempts=tries.started,
                    duration_seconds=round(self._timer() - began, 3),
                )
            if fails_every_request(error) and not quiet:
                self._blocked = (error, self._timer() + _BLOCKED_SECONDS)
            raise
        self._blocked = None
        self._log.debug("source_answered", path=path, bytes=len(answer.body))
        return answer

    async def _within_deadline(self, request: _Request, tries: Tries) -> Answer:
        deadline = asyncio.timeout(self._limits.deadline_seconds)
        try:
            async with deadline:
                return await self._with_fresh_credentials(request, tries)
        except TimeoutError as error:
            # What the last whole try met says more about the reason than our own timer.
            raise SourceTimeout(request.masked_url, Waiting.DEADLINE, self._limits.deadline_seconds) from (
                tries.last or error
            )

    async def _with_fresh_credentials(self, request: _Request, tries: Tries) -> Answer:
        """The answer, with credentials renewed once if those at hand have expired."""
        authorization = self._headers.get("authorization")
        try:
            return await self._with_retries(request, tries)
        except SourceRefused as error:
            if error.status != 401 or self._renew is None:
                raise
            async with self._renewing:
                # Of several requests that were refused together, the first renews the credentials for all.
                if self._headers.get("authorization") == authorization:
                    renewed = await self._renew()
                    self._headers, self._mask = _headers_of(renewed), self._mask | renewed.mask()
        return await self._with_retries(request, tries)

    async def _with_retries(self, request: _Request, tries: Tries) -> Answer:
        limits = self._limits
        async for attempt in tries.attempts(
            limits.attempts,
            backoff_seconds=limits.backoff_initial_seconds,
            backoff_max_seconds=limits.backoff_max_seconds,
        ):
            with attempt:
                tries.started += 1
                return await self._try(request)
        raise AssertionError("stamina ends with an answer or an error")

    async def _try(self, request: _Request) -> Answer:
        began, masked_url = self._timer(), request.masked_url
        try:
            async with self._follow_redirects(request) as response:
                received_at = self._clock.now()
                if not response.is_success:
                    raise refusal(masked_url, response.status_code, await start_of(response), self._mask)
                body = await self._masked(await read(response, masked_url, self._limits.max_bytes, self._mask))
        # An alert of TLS 1.3 after the handshake reaches us as ssl.SSLError itself, which is an OSError.
        except (httpx.TransportError, OSError) as error:
            raise self._translate(error, masked_url) from error
        return Answer(
            status=response.status_code,
            body=body,
            content_type=response.headers.get("content-type", ""),
            server_date=_date(response.headers.get("date")),
            received_at=received_at,
            duration_seconds=self._timer() - began,
            url=masked_url,
            mask=self._mask,
        )

    async def _masked(self, body: bytes) -> bytes:
        if len(body) < _LARGE_BYTES or not self._mask.changes_data:
            return self._mask.data(body)
        return await asyncio.to_thread(self._mask.data, body)  # which takes 10 ms for each secret and 20 MB

    @asynccontextmanager
    async def _follow_redirects(self, request: _Request) -> AsyncIterator[httpx.Response]:
        """The first answer that redirects nowhere; only the source's own host is followed."""
        url, masked_url, form = request.url, request.masked_url, request.form
        for _ in range(self._limits.max_redirects + 1):
            async with self._response(request, url) as response:
                location = response.headers.get("location")
                if response.status_code not in _REDIRECTS or not location:
                    yield response
                    return
                if form is not None and response.status_code == _SEE_OTHER:
                    raise RedirectRefused(masked_url, host=url.host, why="where the request can't be repeated")
                url = redirected(url, location, masked_url=masked_url, mask=self._mask)
        raise RedirectRefused(masked_url, host=url.host, why=f"more than {self._limits.max_redirects} times in a row")

    @asynccontextmanager
    async def _response(self, request: _Request, url: httpx.URL) -> AsyncIterator[httpx.Response]:
        form, timeout = request.form, {**self._timeout, "read": request.read_seconds}
        headers = self._headers.raw if form is None else [*self._headers.raw, *_FORM_HEADERS]
        extensions = {"timeout": timeout, **self._extensions}
        sent = httpx.Request(request.method, url, headers=headers, content=form, extensions=extensions)
        response = await self._connections.handle_async_request(sent)
        response.request = sent
        try:
            yield response
        finally:
            await response.aclose()

    def _translate(self, error: Exception, masked_url: str) -> SourceError:
        match error:
            case httpx.ConnectTimeout():
                return SourceTimeout(masked_url, Waiting.CONNECT, self._limits.connect_seconds)
            case httpx.PoolTimeout():
                return SourceTimeout(masked_url, Waiting.DEADLINE, self._limits.deadline_seconds)
            case httpx.TimeoutException():
                return SourceTimeout(masked_url, Waiting.READ, self._limits.read_seconds)
        return broken_connection(error, masked_url, self._mask)

    def _address_of(self, path: str, params: Params) -> httpx.URL:
        pairs = _pairs(params)
        address = f"{self.access.url.address}/{path.lstrip('/')}"
        return httpx.URL(address, params=pairs) if pairs else httpx.URL(address)

    def _masked_url_of(self, path: str) -> str:
        return f"{self.masked_url}/{path.lstrip('/')}"


def _headers_of(access: Access) -> httpx.Headers:
    headers = _HEADERS | access.request_headers() | {"accept-encoding": "gzip"}
    # Names of users and groups may have any letters; Go sends them as UTF-8.
    impersonation = [(name.encode("ascii"), value.encode()) for name, value in access.impersonation]
    return httpx.Headers([*((name.encode(), value.encode()) for name, value in headers.items()), *impersonation])


def _pairs(params: Params) -> tuple[tuple[str, str], ...]:
    return tuple(params.items() if isinstance(params, Mapping) else params)


def _date(header: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(header or "")
    except (ValueError, OverflowError):
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
