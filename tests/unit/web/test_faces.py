"""Errors have the format of the face of their path, whatever goes wrong there."""

import json

import pytest

from kubetally.domain.errors import StoreError
from kubetally.web.faces import problem_at
from kubetally.web.problems import Failure
from kubetally.web.v1.query_string import InvalidParameter

STATUSES = [400, 401, 403, 404, 405, 414, 424, 429, 500, 503]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("path", ["/metroculus/v2/kubecost_cluster_costs", "/healthz", "/metrics"])
def test_errors_of_programs_are_json(path: str, status: int) -> None:
    problem = problem_at(path, Failure(status, method="POST"))
    error = json.loads(problem.body)["error"]
    assert (problem.status, error["status_code"], error.keys()) == (
        status,
        status,
        {"status_code", "error_code", "reason", "params"},
    )
    assert problem.media_type.startswith("application/json")


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("path", ["/", "/sign-in", "/nothing"])
def test_errors_for_people_are_pages(path: str, status: int) -> None:
    problem = problem_at(path, Failure(status))
    assert (problem.status, problem.media_type) == (status, "text/html")
    assert b"<h1>" in problem.body
    assert "Content-Security-Policy" in problem.headers


@pytest.mark.parametrize("path", ["/", "/readyz", "/metroculus/v2/kubecost_savings", "/api/v1/costs"])
def test_every_face_names_the_error_and_when_to_retry(path: str) -> None:
    failure = Failure.of(StoreError("what happened", code="gone", retryable=True))
    problem = problem_at(path, failure)
    assert (problem.status, problem.headers["X-Kubetally-Error"], problem.headers["Retry-After"]) == (503, "gone", "5")
    assert b"what happened" not in problem.body


@pytest.mark.parametrize("path", ["/restapi/v2/x", "/allocation/x", "/storage/x"])
def test_nothing_is_there_where_no_api_is_served(path: str) -> None:
    assert {problem_at(path, Failure(status)).status for status in STATUSES} == {404}


@pytest.mark.parametrize("status", STATUSES)
def test_errors_of_the_native_api_are_problem_details(status: int) -> None:
    problem = problem_at("/api/v1/costs", Failure(status))
    body = json.loads(problem.body)
    assert (problem.media_type, body["status"]) == ("application/problem+json", problem.status)
    assert problem.status == (401 if status == 403 else status)


def test_native_api_says_what_is_wrong_with_a_request() -> None:
    failure = Failure.of(InvalidParameter("group", "the group has no such dimension", code="unknown_dimension"))
    body = json.loads(problem_at("/api/v1/costs", failure).body)
    assert (body["parameter"], body["code"], body["detail"]) == (
        "group", "unknown_dimension", "parameter group: the group has no such dimension",
    )  # fmt: skip
