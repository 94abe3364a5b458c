"""The OpenAPI document is in git, and the service answers as it says."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from kubetally.present.meanings import MEANINGS, OWN_MEANINGS
from kubetally.query.opening import open_duck
from kubetally.query.reader import LedgerReader
from kubetally.samples.replay import ReplayServer
from kubetally.web import documentation
from tests.native import Home, native_app
from tests.service import SECRET, AccountsInMemory, account, account_id, cost_service, serving

GOLDEN = Path(documentation.__file__).parent / "openapi.json"


def test_document_is_that_in_git(tmp_path: Path) -> None:
    """WRITE_GOLDEN=1 rewrites it."""
    with LedgerReader(Home(tmp_path), open_duck) as reader:
        document = documentation.document(native_app(reader, AccountsInMemory()))
    if os.environ.get("WRITE_GOLDEN"):
        GOLDEN.write_bytes(document)
    assert document == GOLDEN.read_bytes()


def native_api() -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """The parameters of `/api/v1`, and the properties of each schema of its answers."""
    document = json.loads(GOLDEN.read_bytes())
    operations = [verbs["get"] for path, verbs in document["paths"].items() if path.startswith("/api/v1/")]
    schemas = dict[str, dict[str, Any]]()

    def collect(part: Any) -> None:
        for name in re.findall(r"#/components/schemas/(\w+)", json.dumps(part)):
            if name not in schemas:
                schema = document["components"]["schemas"][name]
                schemas[name] = schema["properties"]
                collect(schema)

    collect(operations)
    return [parameter for operation in operations for parameter in operation.get("parameters", ())], schemas


def test_every_key_and_parameter_of_the_native_api_has_a_meaning() -> None:
    parameters, schemas = native_api()
    assert {"Report", "Row", "Coverage", "ProblemDetails"} <= schemas.keys()
    keys = [(name, key) for name, its in schemas.items() for key, about in its.items() if not _is_a_line(about)]
    assert keys == []
    assert [parameter["name"] for parameter in parameters if not _is_a_line(parameter)] == []


def test_every_meaning_is_of_a_key() -> None:
    _, schemas = native_api()
    assert [name for name, its in OWN_MEANINGS.items() if its.keys() - schemas[name].keys()] == []
    shared = {key for name, its in schemas.items() for key in its.keys() - OWN_MEANINGS.get(name, {}).keys()}
    assert MEANINGS.keys() - shared == set()


def _is_a_line(about: dict[str, Any]) -> bool:
    text = about.get("description", "")
    return text.endswith(".") and "\n" not in text


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
schema = schemathesis.openapi.from_path(GOLDEN).exclude(path_regex="^/api/v1/")


@pytest.fixture(scope="module")
def url(replay: ReplayServer) -> Iterator[str]:
    accounts = AccountsInMemory([account(1, replay.url_of("draco")), account(2, "http://127.0.0.1:1")])
    with serving(cost_service(accounts)) as url:
        yield url


@schema.parametrize()
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
def test_any_request_is_answered_as_documented(url: str, case: Any) -> None:
    case.call_and_validate(base_url=url, headers={"Secret": SECRET}, checks=CHECKS)


@schema.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
def test_any_request_for_a_cluster_is_answered_as_documented(url: str, case: Any) -> None:
    """A generated id is a 404 at best; only with an existing one do the other parameters matter."""
    if "cloud_account_id" in (case.query or {}):
        case.query["cloud_account_id"] = account_id(1)
        for date in ("start_date", "end_date"):  # recent, so that the source is not asked for 50 years
            if date in case.query and not isinstance(case.query[date], float):
                digits = re.sub(r"\D", "", str(case.query[date]))[:9]
                case.query[date] = 1795132800 + int(digits) % 400_000 if digits else "x"
    case.call_and_validate(base_url=url, headers={"Secret": SECRET}, checks=CHECKS)
