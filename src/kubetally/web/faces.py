"""The 404 of each API and of the page, in the format of its callers."""

import json
from collections.abc import Callable
from typing import Final

from litestar.response import Response

from kubetally.web.page.html import html_response, page
from kubetally.web.problems import Problem

_PAGE: Final = page(
    "Kubetally: not found", '<h1>Not found</h1><p>There is no page at this address. <a href="/">Clusters</a></p>'
)


class NoSuchPath(Problem):
    """A 404 with its own body; `code` is that of the metroculus API, for the log."""

    def __init__(self, body: bytes, media_type: str) -> None:
        super().__init__("OM0002", media_type=media_type)
        self._body = body

    @property
    def body(self) -> bytes:
        """The body as the callers of this path expect it."""
        return self._body


class NoSuchPage(NoSuchPath):
    """The 404 page for people."""

    def __init__(self) -> None:
        super().__init__(_PAGE, "text/html")

    def response(self) -> Response[bytes]:
        """The page, with the headers of a page."""
        return html_response(self.body, self.status)


def no_such_path(path: str) -> Problem:
    """The 404 of `path` in the format of its API; an HTML page if no API has its prefix."""
    cleaned = "/" + path.lstrip("/")
    for prefixes, make in _FACES:
        if any(cleaned == prefix or cleaned.startswith(f"{prefix}/") for prefix in prefixes):
            return make()
    return NoSuchPage()


def _json(content: object, media_type: str = "application/json") -> Problem:
    return NoSuchPath(json.dumps(content).encode(), media_type)


def _router() -> Problem:
    """The 404 of the metroculus router itself, whose content type has no charset."""
    return Problem("OM0002", media_type="application/json")


def _rest() -> Problem:
    return _json({"error": {"status_code": 404, "error_code": "OE0257", "reason": "Not found", "params": []}})


def _problem_details() -> Problem:
    """The 404 in the format of RFC 9457."""
    return _json({"type": "about:blank", "title": "Not Found", "status": 404}, "application/problem+json")


def _opencost() -> Problem:
    return _json({"code": 404, "message": "404 page not found"})


def _empty() -> Problem:
    return NoSuchPath(b"", "text/plain")


_FACES: Final[tuple[tuple[tuple[str, ...], Callable[[], Problem]], ...]] = (
    (("/metroculus", "/healthz", "/readyz", "/metrics", "/openapi.json"), _router),
    (("/restapi", "/auth"), _rest),
    (("/api",), _problem_details),
    (("/allocation", "/assets", "/model"), _opencost),
    (("/storage",), _empty),
)
