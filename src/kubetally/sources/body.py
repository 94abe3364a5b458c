"""The body of an answer, read with a count of what it becomes once decompressed."""

import asyncio
import io
import zlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import cast

import httpx

from kubetally.domain.errors import SourceError
from kubetally.masking import Mask
from kubetally.sources.faults import AnswerNotUnderstood, SourceUnavailable, printable

_PIECE_BYTES = 1024 * 1024  # how much a step of decompression may yield before the size is checked
_FAILURE_BYTES = 64 * 1024  # how much of the body of a failure is read for its message
_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # RFC 8259 lets a parser ignore it before JSON; ours does not


async def read(response: httpx.Response, url: str, limit: int, mask: Mask) -> bytes:
    """The whole body, decompressed and without a byte order mark; `mask` is for what the library quotes of it.

    Raises: SourceError (too large), SourceUnavailable (broken off), AnswerNotUnderstood.
    """
    announced = response.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(url, limit, f"an answer of {int(announced):,} bytes")
    # Unlike a list that is joined, BytesIO hands out its own buffer: the body is in memory once, not twice.
    body, count = io.BytesIO(), 0
    try:
        async with aclosing(_plain(response)) as pieces:
            async for piece in pieces:
                count += len(piece)
                if count > limit:
                    raise _too_large(url, limit, "an answer")
                body.write(piece)
    except (httpx.RemoteProtocolError, httpx.ReadError, EOFError) as error:
        why = printable(mask.beginning(str(error)), 200) or "the connection broke"
        raise SourceUnavailable(
            url,
            why,
            code="answer_truncated",
            message=f"the answer of {url} broke off after {count:,} bytes: {why}; usual causes are a restart of the "
            "source and the time limit of a proxy",
        ) from error
    except zlib.error as error:
        raise AnswerNotUnderstood(url, "answered with compressed data that can't be decompressed") from error
    return body.getvalue()


def _too_large(url: str, limit: int, what: str) -> SourceError:
    return SourceError(
        f"{url} has {what}, more than the limit of {limit:,} bytes; raise KUBETALLY_MAX_ANSWER_MIB",
        code="answer_too_large",
    )


async def start_of(response: httpx.Response) -> bytes:
    """The first 64 KiB of the body of a failure, or as much as arrives: the status says enough."""
    start = b""
    try:
        async with aclosing(_plain(response)) as pieces:
            async for piece in pieces:
                start += piece
                if len(start) > _FAILURE_BYTES:
                    break
    except (httpx.TransportError, OSError, EOFError, zlib.error):
        pass
    return start[:_FAILURE_BYTES]


async def _plain(response: httpx.Response) -> AsyncGenerator[bytes]:
    """The decompressed body in pieces, without a byte order mark. Raises as `_decompressed`."""
    start, is_begun = b"", False
    async with aclosing(_decompressed(response)) as pieces:
        async for piece in pieces:
            if not is_begun:
                start += piece
                if len(start) < len(_BYTE_ORDER_MARK) and _BYTE_ORDER_MARK.startswith(start):
                    continue
                piece, is_begun = start.removeprefix(_BYTE_ORDER_MARK), True  # noqa: PLW2901
            yield piece
    if not is_begun:
        yield start


async def _decompressed(response: httpx.Response) -> AsyncGenerator[bytes]:
    """The body in pieces of bounded size. Raises EOFError, when gzip data ends early, and zlib.error.

    httpx would expand each 64 KiB at once, to 64 MiB of a bomb, and again per further encoding; nor does it notice that
    the end is missing.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in {"", "identity", "gzip", "x-gzip"}:
        raise zlib.error("only gzip was asked for")
    members = _GzipMembers() if "gzip" in encoding else None
    async with aclosing(_raw(response)) as raw:
        async for data in raw:
            if members is None:
                yield data
                continue
            for piece in members.feed(data):
                yield piece
                await asyncio.sleep(0)  # what was received expands to many pieces, and others wait for the loop
    if members is not None:
        members.close()


class _GzipMembers:
    """Decompresses gzip data of one member or several, which RFC 1952 allows and parallel compressors write."""

    def __init__(self) -> None:
        self._member = _new_member()
        self._is_begun = self._is_over = False
        self._between = b""  # follows a whole member, and is too short to tell whether another one begins

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What `data` becomes, in pieces of bounded size. Raises zlib.error."""
        while data and not self._is_over:
            if self._member.eof:
                # Zeros are padding. Anything else that is no further member is ignored, as gzip and browsers do.
                data, self._between = (self._between + data).lstrip(b"\0"), b""
                if not data.startswith(_GZIP_MAGIC):
                    self._between, self._is_over = data, not _GZIP_MAGIC.startswith(data)
                    return
                self._member = _new_member()
            self._is_begun = True
            yield self._member.decompress(data, _PIECE_BYTES)
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def close(self) -> None:
        """Raises EOFError, when the last member is not whole. No data at all are whole."""
        if (self._is_begun and not self._member.eof) or (self._between and not self._is_over):
            raise EOFError("the compressed data ends early")


def _new_member() -> "zlib._Decompress":
    return zlib.decompressobj(zlib.MAX_WBITS | 16)


def _raw(response: httpx.Response) -> AsyncGenerator[bytes]:
    # It is a generator, though declared as an iterator; one that is left early has to be closed at once, not by the GC.
    return cast(AsyncGenerator[bytes], response.aiter_raw())
