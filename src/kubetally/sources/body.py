"""The body of an answer, read with a count of what it becomes once decompressed."""

import io
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

import httpx

from kubetally.sources.faults import AnswerNotUnderstood, AnswerTooLarge, AnswerTruncated, printable

_PIECE_BYTES = 1024 * 1024  # how much a step of decompression may yield before the count is looked at
_FAILURE_BYTES = 64 * 1024  # how much of the body of a failure is read for its message


async def read(response: httpx.Response, shown: str, limit: int) -> bytes:
    """The whole body, decompressed. Raises AnswerTooLarge, AnswerTruncated, AnswerNotUnderstood."""
    announced = response.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise AnswerTooLarge(shown, limit, int(announced))
    # Unlike a list that is joined, BytesIO hands out its own buffer: the body is in memory once, not twice.
    body, count = io.BytesIO(), 0
    try:
        async with aclosing(_decompressed(response)) as decompressed:
            async for piece in decompressed:
                count += len(piece)
                if count > limit:
                    raise AnswerTooLarge(shown, limit)
                body.write(piece)
    except (httpx.RemoteProtocolError, httpx.ReadError, EOFError) as error:
        raise AnswerTruncated(shown, printable(str(error), 200) or "the connection broke", bytes_read=count) from error
    except zlib.error as error:
        raise AnswerNotUnderstood(shown, "answered with compressed data that can't be decompressed") from error
    return body.getvalue()


async def start_of(response: httpx.Response) -> bytes:
    """The first 64 KiB of the body of a failure, or what can be had of it: the status says enough without."""
    start = b""
    try:
        async with aclosing(_decompressed(response)) as decompressed:
            async for piece in decompressed:
                start += piece
                if len(start) > _FAILURE_BYTES:
                    break
    except (httpx.TransportError, OSError, EOFError, zlib.error):
        pass
    return start[:_FAILURE_BYTES]


async def _decompressed(response: httpx.Response) -> AsyncGenerator[bytes]:
    """The body in pieces of bounded size. Raises EOFError, when gzip data ends early, and zlib.error.

    httpx would expand each 64 KiB at once, to 64 MiB of a bomb, and again per further encoding; nor does it notice that
    the end is missing.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        async with aclosing(_raw(response)) as raw:
            async for data in raw:
                yield data
        return
    if encoding not in {"gzip", "x-gzip"}:
        raise zlib.error("only gzip was asked for")
    member, started = zlib.decompressobj(zlib.MAX_WBITS | 16), False
    async with aclosing(_raw(response)) as raw:
        async for data in raw:
            rest, started = data, True
            while rest and not member.eof:
                yield member.decompress(rest, _PIECE_BYTES)
                rest = member.unconsumed_tail
    if started and not member.eof:
        raise EOFError("the compressed data ends early")


def _raw(response: httpx.Response) -> AsyncGenerator[bytes]:
    # It is a generator, though declared as an iterator; one that is left early has to be closed at once, not by the GC.
    return cast(AsyncGenerator[bytes], response.aiter_raw())
