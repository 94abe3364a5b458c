"""The header of a file with what is wrong with its data: the file has no place for that."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from kubetally.domain.collection import NO_DATA
from tests.cluster_days import DAY
from tests.native import DAYS, ONE, Home, body_of
from tests.served import NOON_AFTER

GROUPS = ({}, {"group": "namespace"})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def header(client: TestClient[Any], **parameters: Any) -> dict[str, Any]:
    response = client.get("/api/v1/exports", params=DAYS | parameters)
    assert response.status_code == 200, response.text
    text = response.headers["Kubetally-Issues"]
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 2500
    body: dict[str, Any] = json.loads(text)
    return body


@pytest.mark.parametrize("format_", ["csv", "parquet"])
@pytest.mark.parametrize("group", GROUPS)
def test_file_of_sound_data_has_no_issue(client: TestClient[Any], group: dict[str, str], format_: str) -> None:
    assert header(client, **group, format=format_) == {
        "count": 0,
        "issues": [],
        "see": "/api/v1/costs?start=2026-11-20&end=2026-11-22" + "".join(f"&{key}={group[key]}" for key in group),
    }


@pytest.mark.parametrize("group", GROUPS)
def test_file_names_days_that_failed(home: Home, client: TestClient[Any], group: dict[str, str]) -> None:
    home.coverage.failed(ONE, DAY + timedelta(days=1), NOON_AFTER, code=NO_DATA, message="the source has no data")
    message = "1 day could not be collected: the source has no data"
    assert header(client, **group)["issues"] == [{"kind": "source_failed", "message": message}]


def test_file_names_what_matches_nothing(client: TestClient[Any]) -> None:
    asked = {"group": "pod", "filter": 'namespace:"täm-00\x7f"'}
    sent = header(client, **asked)
    body = body_of(client, "costs", **asked)
    assert [issue["kind"] for issue in sent["issues"]] == ["no_match"]
    assert sent["issues"][0]["message"] == body["issues"][0]["message"]
    assert client.get(sent["see"]).json()["issues"] == body["issues"]


@pytest.mark.parametrize("group", GROUPS)
def test_file_without_account_says_so(client: TestClient[Any], group: dict[str, str]) -> None:
    (issue,) = header(client, **group, filter='cluster:"nosuch"')["issues"]
    assert issue["message"].startswith("no account passes the filter")


def test_long_issues_and_questions_are_left_out_and_counted(client: TestClient[Any]) -> None:
    asked = "group=pod", f'filter=namespace:"{"x" * 1200}"'
    sent = header(client, **dict(part.split("=", 1) for part in asked))
    assert sent == {"count": 1, "issues": [], "see": None}
