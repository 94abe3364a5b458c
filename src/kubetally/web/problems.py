"""Errors in the format of the existing API; its texts and the order of keys are part of the contract."""

import json
from http import HTTPStatus
from typing import Final

from litestar.response import Response

from kubetally.cache import GivenUp
from kubetally.domain.errors import BalanceError, KubetallyError, NotFound, RequestError, SourceError, StoreError
from kubetally.domain.series import TooManyPoints
from kubetally.ledger.costs.service import ClusterUnreadable, Overloaded
from kubetally.ledger.costs.stored_days import HistoryGone

JSON: Final = 'application/json; charset="utf-8"'
NO_STORE: Final = {"Cache-Control": "no-store"}
_CODES: Final = {
    "OM0002": (404, "Not found"),
    "OM0003": (405, "{} method not allowed"),
    "OM0005": (403, "Bad secret"),
    "OM0006": (400, "Invalid {}"),
    "OM0007": (401, "This resource requires authorization"),
    "OM0008": (400, "{} is not provided"),
    "OM0009": (424, "{} is unavailable"),
    "OM0010": (400, "There are {} samples, and an answer has at most {}: ask for a shorter window or fewer metrics"),
}
# The status of an error is that of the first family it belongs to.
FAMILIES: Final[tuple[tuple[type[KubetallyError], int], ...]] = (
    (Overloaded, 503),
    (GivenUp, 503),
    (HistoryGone, 410),
    (NotFound, 404),
    (RequestError, 400),
    (SourceError, 424),
    (StoreError, 503),
    (BalanceError, 500),
)


class Problem(Exception):
    """An error response. `code`: of the contract, or None for `U0` and the status; `params` fill its text."""

    def __init__(
        self,
        code: str | None,
        *params: str,
        status: int = 500,
        headers: dict[str, str] | None = None,
        media_type: str = JSON,
    ) -> None:
        if code is None:
            self.code, self.status, self.reason = f"U0{status}", status, HTTPStatus(status).phrase
        else:
            self.code, (self.status, text) = code, _CODES[code]
            self.reason = text.format(*params)
        self.params, self.headers, self.media_type = params, headers or {}, media_type
        super().__init__(self.reason)

    @property
    def body(self) -> bytes:
        """The body, byte for byte as the existing service writes it."""
        error = {
            "status_code": self.status,
            "error_code": self.code,
            "reason": self.reason,
            "params": list(self.params),
        }
        return json.dumps({"error": error}).replace("</", "<\\/").encode()

    def response(self) -> Response[bytes]:
        """The response: body, status and headers."""
        headers = NO_STORE | self.headers
        return Response(self.body, status_code=self.status, media_type=self.media_type, headers=headers)


def problem_of(error: KubetallyError) -> Problem:
    """The problem of an error in terms of the existing API; `X-Kubetally-Error` has the error's own code."""
    status = next((status for family, status in FAMILIES if isinstance(error, family)), 500)
    if status == 503 and not error.retryable:  # existing clients would retry a 503 for ten seconds
        status = 500
    match error:
        case ClusterUnreadable():
            return Problem("OM0009", error.source, headers={"X-Kubetally-Error": error.why.code})
        case TooManyPoints():
            counts = str(error.count), str(error.max_points)
            return Problem("OM0010", *counts, headers={"X-Kubetally-Error": error.code})
        case NotFound() if status == 404:
            return Problem("OM0002", headers={"X-Kubetally-Error": error.code})
        case _:
            retry = {"Retry-After": "5"} if status == 503 else {}
            return Problem(None, status=status, headers={"X-Kubetally-Error": error.code, **retry})
