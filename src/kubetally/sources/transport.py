"""HTTP to one source: the limits, the one retry, and the one place where the libraries' errors are translated."""

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
from kubetally.sources.failures import broken_connection, keeps_all_out, redirected, refusal
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
_SHUT_OUT_SECONDS = 10.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SEE_OTHER = 303  # leads to what came of a question, to be fetched without it
_LARGEST_FORM_BYTES = _MIB
_LARGE_BYTES = _MIB
_HEADERS = {"accept": "*/*", "connection": "keep-alive", "user-agent": "kubetally"}
_FORM_HEADERS = ((b"content-type", b"application/x-www-form-urlencoded"),)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long, how much and how often.

    read_seconds:     the longest silence, before the head and between pieces of the body; not of a question that waits
                      `until_deadline`.
    deadline_seconds: for one question with all its tries and the pauses between them.
    max_bytes:        of a body, decompressed.
    attempts:         tries of one question, 1 for no retry.
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
class _Question:
    """A GET, or a POST where there is a form; `shown` is the address without query or secret.

    read_seconds: the longest silence of its answer; None where only the deadline limits it.
    """

    url: httpx.URL
    shown: str
    form: bytes | None = None
    read_seconds: float | None = None

    @property
    def method(self) -> str:
        return "GET" if self.form is None else "POST"


class Transport:
    """Questions to one source, with one pool of connections; close it with `aclose` or `async with`.

    Raises: UnusableCertificateFile, when a file that `access` names can't be loaded.
    """

    def __init__(
        self,
        access: Access,
        limits: Limits | None = None,
        *,
        resolve: Resolve = system_resolve,
        clock: Clock | None = None,
        renew: Renew | None = None,
    ) -> None:
        """`renew` is asked when the source answers 401, and the question repeated with the headers it gives."""
        self.access, self.masked_url = access, access.masked_url
        self._limits = limits or Limits()
        self._clock = clock or _SystemClock()
        self._renew, self._renewing = renew, asyncio.Lock()
        # Where the certificate has another name than the host; `CheckedAddresses` names the host otherwise.
        self._extensions = {"sni_hostname": access.server_name} if access.server_name else {}
        # Proxies and certificates out of the environment would go round the check of addresses, so neither reads it.
        # Requests go to it without a client of httpx before it: redirects, credentials and retries are ours, no cookie
        # is kept, and what that client does besides takes a third of a small question's time.
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
        self._shut_out: tuple[SourceError, float] | None = None

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
        question = _Question(self._address_of(path, params), self._shown(path), read_seconds=read_seconds)
        return await self._answer(path, question, expected, quiet)

    async def post(
        self, path: str, form: Params, *, expected: frozenset[int] = frozenset(), quiet: bool = False
    ) -> Answer:
        """As `get`, with the parameters in a form: for a question that is too long for a URL.

        It has to be a mere question: after a failure it is asked again, as a `get` is.

        Raises: as `get`, and RequestError where the form is too large.
        """
        shown = self._shown(path)
        body = urlencode(_pairs(form)).encode("ascii")
        if len(body) > _LARGEST_FORM_BYTES:
            raise RequestError(
                f"the request to {shown} has {len(body):,} bytes, more than the limit of {_LARGEST_FORM_BYTES:,}; "
                "ask for less",
                code="question_too_large",
            )
        question = _Question(self._address_of(path, ()), shown, body, self._limits.read_seconds)
        return await self._answer(path, question, expected, quiet)

    async def _answer(self, path: str, question: _Question, expected: frozenset[int], quiet: bool) -> Answer:
        began, tries = time.monotonic(), Tries()
        if self._shut_out is not None and began < self._shut_out[1]:
            raise self._shut_out[0]
        try:
            answer = await self._before_deadline(question, tries)
        except SourceError as error:
            expected_refusal = isinstance(error, SourceRefused) and error.status in expected
            if not expected_refusal and not (keeps_all_out(error) and self._shut_out is not None):
                (logs.debug if quiet else logs.warning)(
                    "source_request_failed",
                    source=self.masked_url,
                    path=path,
                    error=error.code,
                    attempts=tries.started,
                    duration_seconds=round(time.monotonic() - began, 3),
                )
            if keeps_all_out(error) and not quiet:
                self._shut_out = (error, time.monotonic() + _SHUT_OUT_SECONDS)
            raise
        self._shut_out = None
        logs.debug("source_answered", source=self.masked_url, path=path, bytes=len(answer.body))
        return answer

    async def _before_deadline(self, question: _Question, tries: Tries) -> Answer:
        deadline = asyncio.timeout(self._limits.deadline_seconds)
        try:
            async with deadline:
                return await self._let_in(question, tries)
        except TimeoutError as error:
            # What the last whole try met says more about the reason than our own timer.
            raise SourceTimeout(question.shown, Waiting.DEADLINE, self._limits.deadline_seconds) from (
                tries.last or error
            )

    async def _let_in(self, question: _Question, tries: Tries) -> Answer:
        """The answer, with credentials renewed once if those at hand have expired."""
        shown_before = self._headers.get("authorization")
        try:
            return await self._with_retries(question, tries)
        except SourceRefused as error:
            if error.status != 401 or self._renew is None:
                raise
            async with self._renewing:
                # Of several questions that were refused together, the first one renews for all.
                if self._headers.get("authorization") == shown_before:
                    renewed = await self._renew()
                    self._headers, self._mask = _headers_of(renewed), self._mask | renewed.mask()
        return await self._with_retries(question, tries)

    async def _with_retries(self, question: _Question, tries: Tries) -> Answer:
        limits = self._limits
        async for attempt in tries.attempts(
            limits.attempts, limits.backoff_initial_seconds, limits.backoff_max_seconds
        ):
            with attempt:
                tries.started += 1
                return await self._try(question)
        raise AssertionError("stamina ends with an answer or an error")

    async def _try(self, question: _Question) -> Answer:
        began, shown = time.monotonic(), question.shown
        try:
            async with self._followed(question) as response:
                received_at = self._clock.now()
                if not response.is_success:
                    raise refusal(shown, response.status_code, await start_of(response), self._mask)
                body = await self._masked(await read(response, shown, self._limits.max_bytes, self._mask))
        # An alert of TLS 1.3 after the handshake reaches us as ssl.SSLError itself, which is an OSError.
        except (httpx.TransportError, OSError) as error:
            raise self._translated(error, shown) from error
        return Answer(
            status=response.status_code,
            body=body,
            content_type=response.headers.get("content-type", ""),
            server_date=_date(response.headers.get("date")),
            received_at=received_at,
            duration_seconds=time.monotonic() - began,
            url=shown,
            mask=self._mask,
        )

    async def _masked(self, body: bytes) -> bytes:
        if len(body) < _LARGE_BYTES or not self._mask.changes_data:
            return self._mask.data(body)
        return await asyncio.to_thread(self._mask.data, body)  # which takes 10 ms for each secret and 20 MB

    @asynccontextmanager
    async def _followed(self, question: _Question) -> AsyncIterator[httpx.Response]:
        """The first answer that redirects nowhere; only the source's own host is followed."""
        url, shown, form = question.url, question.shown, question.form
        for _ in range(self._limits.max_redirects + 1):
            async with self._response(question, url) as response:
                location = response.headers.get("location")
                if response.status_code not in _REDIRECTS or not location:
                    yield response
                    return
                if form is not None and response.status_code == _SEE_OTHER:
                    raise RedirectRefused(shown, url.host, "where the request can't be repeated")
                url = redirected(url, location, shown, self._mask)
        raise RedirectRefused(shown, url.host, f"more than {self._limits.max_redirects} times in a row")

    @asynccontextmanager
    async def _response(self, question: _Question, url: httpx.URL) -> AsyncIterator[httpx.Response]:
        form, timeout = question.form, {**self._timeout, "read": question.read_seconds}
        headers = self._headers.raw if form is None else [*self._headers.raw, *_FORM_HEADERS]
        extensions = {"timeout": timeout, **self._extensions}
        request = httpx.Request(question.method, url, headers=headers, content=form, extensions=extensions)
        response = await self._connections.handle_async_request(request)
        response.request = request
        try:
            yield response
        finally:
            await response.aclose()

    def _translated(self, error: Exception, shown: str) -> SourceError:
        match error:
            case httpx.ConnectTimeout():
                return SourceTimeout(shown, Waiting.CONNECT, self._limits.connect_seconds)
            case httpx.PoolTimeout():
                return SourceTimeout(shown, Waiting.DEADLINE, self._limits.deadline_seconds)
            case httpx.TimeoutException():
                return SourceTimeout(shown, Waiting.READ, self._limits.read_seconds)
        return broken_connection(error, shown, self._mask)

    def _address_of(self, path: str, params: Params) -> httpx.URL:
        pairs = _pairs(params)
        address = f"{self.access.url}/{path.lstrip('/')}"
        return httpx.URL(address, params=pairs) if pairs else httpx.URL(address)

    def _shown(self, path: str) -> str:
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
