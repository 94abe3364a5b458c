"""Answers that clients keep: each has a tag, and whoever sends it back is told that it is still the same."""

from typing import Final

from litestar.response import Response

JSON: Final = "application/json"
_REVALIDATED: Final = {"Cache-Control": "private, no-cache", "Vary": "Secret, Authorization"}


def is_known(tag: str, *, if_none_match: str | None) -> bool:
    """Whether the header `If-None-Match` has this tag, or `*` for any."""
    parts = [part.strip() for part in (if_none_match or "").split(",")]
    return parts == ["*"] or tag in (part.removeprefix("W/").strip('"') for part in parts)


def with_etag(body: bytes, tag: str) -> Response[bytes]:
    """A body of JSON with its tag."""
    return Response(body, media_type=JSON, headers=_REVALIDATED | {"ETag": f'"{tag}"'})


def not_modified(tag: str) -> Response[bytes]:
    """The response to a client that has the answer with this tag."""
    return Response(b"", status_code=304, headers=_REVALIDATED | {"ETag": f'"{tag}"'})
