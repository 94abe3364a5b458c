"""The header of a file with what is wrong with its data: the file has no place for that."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from kubetally.domain.collection import NO_DATA
from tests.cluster_days import DAY, cluster_day
from tests.native import COLLECTED, DAYS, ONE, TWO, Home, body_of
from tests.served import NOON_AFTER

GROUPS = ({}, {"group": "namespace"})
ON_NEXT = {"start": "2026-11-21T00:00:00Z", "end": "2026-11-22T00:00:00Z"}
NEXT = DAY + timedelta(days=1)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Two accounts, one of them with both days."""
    home = Home(tmp_path)
    home.store(cluster_day(TWO, day=NEXT, collected_at=COLLECTED))
    return home


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
def test_file_of_sound_data_has_no_issue(
    home: Home, client: TestClient[Any], group: dict[str, str], format_: str
) -> None:
    home.store(cluster_day(ONE, day=NEXT, collected_at=COLLECTED))
    assert header(client, **group, format=format_) == {
        "count": 0,
        "issues": [],
        "see": "/api/v1/costs?start=2026-11-20&end=2026-11-22" + "".join(f"&{key}={group[key]}" for key in group),
    }


@pytest.mark.parametrize("group", GROUPS)
def test_file_names_days_that_failed(home: Home, client: TestClient[Any], group: dict[str, str]) -> None:
    home.coverage.failed(ONE, NEXT, NOON_AFTER, code=NO_DATA, message="the source has no data")
    message = "1 day could not be collected: the source has no data"
    assert header(client, **group)["issues"] == [{"kind": "source_failed", "message": message, **ON_NEXT}]


@pytest.mark.parametrize("group", GROUPS)
def test_file_names_days_that_were_never_tried(client: TestClient[Any], group: dict[str, str]) -> None:
    words = "has no data: `kubetally coverage` shows which, `kubetally backfill` collects past days"
    issue = {"kind": "window_without_data", "message": f"1 day of cluster-1 {words}", **ON_NEXT}
    assert header(client, **group)["issues"] == [issue]


def test_file_names_what_matches_nothing(client: TestClient[Any]) -> None:
    asked = {"group": "pod", "filter": 'namespace:"täm-00\x7f"'}
    sent = header(client, **asked)
    body = body_of(client, "costs", **asked)
    assert [issue["kind"] for issue in sent["issues"]] == ["no_match", "window_without_data"]
    assert sent["issues"][0]["message"] == body["issues"][0]["message"]
    assert client.get(sent["see"]).json()["issues"] == body["issues"]


@pytest.mark.parametrize("group", GROUPS)
def test_file_without_account_says_so(client: TestClient[Any], group: dict[str, str]) -> None:
    (issue,) = header(client, **group, filter='cluster:"nosuch"')["issues"]
    assert issue["message"].startswith("no account passes the filter")


def test_long_issues_and_questions_are_left_out_and_counted(client: TestClient[Any]) -> None:
    asked = "group=pod", f'filter=namespace:"{"x" * 1200}"'
    sent = header(client, **dict(part.split("=", 1) for part in asked))
    assert sent == {"count": 2, "issues": [], "see": None}
