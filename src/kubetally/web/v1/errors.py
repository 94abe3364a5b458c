"""Errors of the native API, as RFC 9457 describes them."""

import json
from http import HTTPStatus
from typing import Final

from kubetally.web.problems import Failure, Problem
from kubetally.web.v1.parameters import InvalidParameter

PROBLEM_JSON: Final = "application/problem+json"
_DETAILS: Final = {
    401: "send the secret of the service in the header `Secret`",
    404: "there is nothing at this address: docs/api.md lists what there is",
    405: "only GET is allowed here",
}


def problem_of(failure: Failure) -> Problem:
    """The response to a failure: type, title, status, what is wrong and what to do, code, and the wrong parameter."""
    status = 401 if failure.status == 403 else failure.status  # a wrong secret is like none
    body: dict[str, object] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    if failure.error is not None:
        # What went wrong inside is for the log; what is wrong with the request is for its caller.
        detail = str(failure.error) if status < 500 else "the service could not answer; its log says why"
        body |= {"detail": detail, "code": failure.error.code}
        if isinstance(failure.error, InvalidParameter):
            body["parameter"] = failure.error.parameter
    elif status in _DETAILS:
        body["detail"] = _DETAILS[status]
    return Problem(status, json.dumps(body).encode(), PROBLEM_JSON, failure.headers)
