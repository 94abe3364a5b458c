"""Errors of the native API, as RFC 9457 describes them."""

from http import HTTPStatus
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from kubetally.domain.errors import KubetallyError
from kubetally.ledger.ports.coverage import HistoryGone
from kubetally.web.problems import LONGEST_QUERY, Failure, Problem
from kubetally.web.v1.query_string import InvalidParameter

PROBLEM_JSON: Final = "application/problem+json"
_DETAILS: Final = {
    401: "send a token as `Authorization: Bearer TOKEN`, or the secret of the service in the header `Secret`",
    404: "there is nothing at this address: /docs lists what there is",
    405: "only GET is allowed here",
    414: f"the query is longer than {LONGEST_QUERY:,} bytes: shorten the filter, or ask in parts",
    429: "too many wrong secrets came from this address: retry later with the right one",
    503: "the service can't answer now: retry in a few seconds",
}


_HEADERS: Final = {401: {"WWW-Authenticate": "Bearer"}, 405: {"Allow": "GET, HEAD, OPTIONS"}}
_PARAMETERS: Final = {"unlike_currencies": "filter", HistoryGone.code: "as_of", "pages_gone": "cursor"}


class ProblemDetails(Struct, forbid_unknown_fields=True):
    """Why a request failed. `detail`: what is wrong and what to do. `parameter`: the one that is wrong."""

    type: str
    title: str
    status: int
    detail: str | UnsetType = UNSET
    code: str | UnsetType = UNSET
    parameter: str | UnsetType = UNSET


def problem_of(failure: Failure) -> Problem:
    """The response to a failure: type, title, status, what is wrong and what to do, code, and the wrong parameter."""
    status = 401 if failure.status == 403 and failure.error is None else failure.status  # a wrong secret is like none
    body = ProblemDetails("about:blank", HTTPStatus(status).phrase, status)
    if failure.error is not None:
        # What went wrong inside is for the log; what is wrong with the request is for its caller.
        body.detail = str(failure.error) if status < 500 else "the service could not answer; its log says why"
        body.code = failure.error.code
        if (parameter := _parameter_of(failure.error)) is not None:
            body.parameter = parameter
    elif status in _DETAILS:
        body.detail = _DETAILS[status]
    headers = failure.headers | _HEADERS.get(status, {})
    return Problem(status, msgspec.json.encode(body), PROBLEM_JSON, headers)


def _parameter_of(error: KubetallyError) -> str | None:
    """The parameter that an error is about, or that mends it."""
    if isinstance(error, InvalidParameter):
        return error.parameter
    return _PARAMETERS.get(error.code)
