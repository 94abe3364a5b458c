"""The 404 of APIs that are not served here, in the formats that their clients expect."""

import json
from collections.abc import Callable
from typing import Final

from kubetally.web.problems import Failure, Problem

_JSON: Final = "application/json"
_REST: Final = {"error": {"status_code": 404, "error_code": "OE0257", "reason": "Not found", "params": []}}
_OPENCOST: Final = {"code": 404, "message": "404 page not found"}


def _always(body: bytes, media_type: str) -> Callable[[Failure], Problem]:
    """Makes the 404 of an API: nothing is there, whatever else is wrong with a request."""
    return lambda _: Problem(404, body, media_type)


UNSERVED: Final[tuple[tuple[tuple[str, ...], Callable[[Failure], Problem]], ...]] = (
    (("/restapi", "/auth"), _always(json.dumps(_REST).encode(), _JSON)),
    (("/allocation", "/assets", "/model"), _always(json.dumps(_OPENCOST).encode(), _JSON)),
    (("/storage",), _always(b"", "text/plain")),
)
"""Prefixes of paths, and what makes the response."""
