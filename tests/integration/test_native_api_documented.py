"""The native API answers any request as its OpenAPI document says."""

from collections.abc import Iterator
from typing import Any
from zlib import crc32

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

from kubetally.query.answers import LedgerAnswers
from kubetally.query.opening import open_duck
from kubetally.query.reader import LedgerReader
from tests.native import Home
from tests.service import SECRET, cost_service, serving
from tests.unit.web.test_openapi import GOLDEN

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ANY_REQUEST = settings(
    max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)
LIKELY = {
    "filter": ['namespace:"namespace-0"', 'label[app]!:"x"', 'kind:"idle"', 'component:"cpu"', "namespace:"],
    "group": ["cluster,namespace", "pod,component", "label:app", "kind", "colour"],
    "order": ["-total_cost", "total_cost", "cpu_cost", "colour"],
    "as_of": ["2026-11-23T12:00:00Z", "2026-11-22", "2020-01-01"],
}
"""Words that a generator does not find, good ones and bad ones."""
schema = schemathesis.openapi.from_path(GOLDEN).include(path_regex="^/api/v1/")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = Home(tmp_path_factory.mktemp("home"))
    with (
        LedgerReader(home, open_duck) as reader,
        serving(cost_service(home.accounts), ledger=LedgerAnswers(reader)) as url,
    ):
        yield url


@schema.parametrize()
@ANY_REQUEST
def test_any_request_is_answered_as_documented(url: str, case: Any) -> None:
    case.call_and_validate(base_url=url, headers={"Secret": SECRET}, checks=CHECKS)


@schema.parametrize()
@ANY_REQUEST
def test_any_likely_request_is_answered_as_documented(url: str, case: Any) -> None:
    query = case.query or {}
    for name in query.keys() & LIKELY.keys():
        words = LIKELY[name]
        query[name] = words[crc32(str(query[name]).encode()) % len(words)]
    if "cursor" not in query and len(query) % 4:
        query |= {"start": "2026-11-20", "end": "2026-11-23"}
    case.query = query
    case.call_and_validate(base_url=url, headers={"Secret": SECRET}, checks=CHECKS)
