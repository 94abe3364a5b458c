"""Pages without scripts: one frame, one style sheet, everything escaped."""

from html import escape
from importlib.resources import files
from typing import Any, Final

from litestar import Request
from litestar.response import Response

STYLE: Final = files("kubetally.web").joinpath("style.css").read_bytes()
PAGE_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
}


def text(value: object) -> str:
    """The value, escaped for text and quoted attributes."""
    return escape(str(value), quote=True)


def page(title: str, body: str, *, head: str = "") -> bytes:
    """A whole document. body, head: markup, not escaped here."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{text(title)}</title><link rel="stylesheet" href="/style.css">{head}</head>'
        f"<body>{body}</body></html>"
    ).encode()


def html_response(content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response[bytes]:
    """The response with a page, which may load nothing from elsewhere."""
    return Response(content, status_code=status, media_type="text/html", headers=PAGE_HEADERS | (headers or {}))


AnyRequest = Request[Any, Any, Any]
