"""Errors of `/healthz`, `/readyz`, `/metrics` and `/openapi.json`: a small JSON object."""

import json
from http import HTTPStatus
from typing import Final

from kubetally.web.problems import Failure, Problem

PATHS: Final = ("/healthz", "/readyz", "/metrics", "/openapi.json")
_JSON: Final = "application/json"


def problem_of(failure: Failure) -> Problem:
    """The response to a failure."""
    code, reason, params = f"U0{failure.status}", HTTPStatus(failure.status).phrase, list[str]()
    if failure.status == 404:
        code, reason = "OM0002", "Not found"
    elif failure.status == 405:
        code, reason, params = "OM0003", f"{failure.method} method not allowed", [failure.method]
    error = {"status_code": failure.status, "error_code": code, "reason": reason, "params": params}
    return Problem(failure.status, json.dumps({"error": error}).encode(), _JSON, failure.headers)
