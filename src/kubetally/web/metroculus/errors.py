"""Errors in the format of the existing API; its texts and the order of keys are part of the contract."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from litestar.types import Scope
from msgspec import to_builtins

from kubetally.domain.series import TooManyPoints
from kubetally.ledger.costs.service import ClusterUnreadable
from kubetally.web.metroculus.wire import Error, ErrorFacts
from kubetally.web.problems import Failure, Problem
from kubetally.web.secret import Secret

JSON: Final = 'application/json; charset="utf-8"'
_ROUTER_JSON: Final = "application/json"
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
_CODE_OF_STATUS: Final = {401: "OM0007", 403: "OM0005", 404: "OM0002", 405: "OM0003"}


def invalid(parameter: str) -> Problem:
    """The problem of an invalid parameter."""
    return _problem("OM0006", parameter)


def missing(parameter: str) -> Problem:
    """The problem of a missing parameter."""
    return _problem("OM0008", parameter)


def require(secret: Secret, scope: Scope) -> None:
    """Check the header `Secret`. Raises Problem."""
    failure = secret.check(scope)
    if failure is not None:
        raise problem_of(failure)


def problem_of(failure: Failure) -> Problem:
    """The response to a failure; its code is `U0` and the status if the API has none for it."""
    headers = failure.headers
    match failure.error:
        case ClusterUnreadable() as error:
            return _problem("OM0009", error.source, headers=headers | {"X-Kubetally-Error": error.why.code})
        case TooManyPoints() as error:
            return _problem("OM0010", str(error.count), str(error.max_points), headers=headers)
    # The content type of the router, which knows no such path, has no charset.
    is_no_path = failure.status == 404 and failure.error is None
    if (code := _CODE_OF_STATUS.get(failure.status)) is not None:
        params = [failure.method] if failure.status == 405 else []
        return _problem(code, *params, headers=headers, media_type=_ROUTER_JSON if is_no_path else JSON)
    facts = ErrorFacts(failure.status, f"U0{failure.status}", HTTPStatus(failure.status).phrase, [])
    return Problem(failure.status, _encode(facts), JSON, headers)


def no_such_account() -> Problem:
    """The problem of an id that no account has."""
    return _problem("OM0002")


def _problem(code: str, *params: str, headers: Mapping[str, str] | None = None, media_type: str = JSON) -> Problem:
    status, text = _CODES[code]
    return Problem(status, _encode(ErrorFacts(status, code, text.format(*params), list(params))), media_type, headers)


def _encode(facts: ErrorFacts) -> bytes:
    """The body, byte for byte as the existing service writes it."""
    return json.dumps(to_builtins(Error(facts))).replace("</", "<\\/").encode()
