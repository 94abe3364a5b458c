"""Error responses: the status of each family of errors. Their bodies are made by the face of the path."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from litestar.response import Response

from kubetally.cache import GivenUp
from kubetally.domain.errors import (
    BalanceError,
    Forbidden,
    Gone,
    KubetallyError,
    NotFound,
    RequestError,
    SourceError,
    StoreError,
)
from kubetally.ledger.costs.service import Overloaded

NO_STORE: Final = {"Cache-Control": "no-store"}
# The status of an error is that of the first family it belongs to.
FAMILIES: Final[tuple[tuple[type[KubetallyError], int], ...]] = (
    (Overloaded, 503),
    (GivenUp, 503),
    (Gone, 410),
    (NotFound, 404),
    (Forbidden, 403),
    (RequestError, 400),
    (SourceError, 424),
    (StoreError, 503),
    (BalanceError, 500),
)
LONGEST_QUERY: Final = 8192
_RETRY: Final = {"Retry-After": "5"}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request failed, in no format yet. error: None if the request or a defect is the cause. method: of a 405."""

    status: int
    error: KubetallyError | None = None
    method: str = ""

    @classmethod
    def of(cls, error: KubetallyError) -> Self:
        """The failure of an error, with the status of its family."""
        status = next((status for family, status in FAMILIES if isinstance(error, family)), 500)
        if status == 503 and not error.retryable:  # existing clients would retry a 503 for ten seconds
            status = 500
        return cls(status, error)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every face; `X-Kubetally-Error` has the error's own code."""
        headers = {} if self.error is None else {"X-Kubetally-Error": self.error.code}
        if self.status == 405:  # every path that has a route allows GET
            headers["Allow"] = "GET"
        return headers | (_RETRY if self.status in {429, 503} else {})


class Problem(Exception):
    """An error response in the format of a face."""

    def __init__(self, status: int, body: bytes, media_type: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"status {status}")
        self.status, self.body, self.media_type, self.headers = status, body, media_type, dict(headers or {})

    def response(self) -> Response[bytes]:
        """The response: body, status and headers."""
        headers = NO_STORE | self.headers
        return Response(self.body, status_code=self.status, media_type=self.media_type, headers=headers)
