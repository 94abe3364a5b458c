"""What tokens open: the rows of their organization that pass their filter, through every route, and nothing else."""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from kubetally.domain.access import Role
from kubetally.domain.account import Organization
from kubetally.domain.errors import StoreError
from kubetally.ledger.accounts.token_cache import TokenCache
from kubetally.ledger.accounts.tokens import revoke_token, token_digest
from kubetally.query.opening import open_duck
from kubetally.query.reader import LedgerReader
from kubetally.web import documentation
from tests.native import DAYS, ONE, TWO, Home, money, native_app
from tests.served import FixedClock
from tests.service import ORGANIZATION, SECRET, account
from tests.tokens import TokensInMemory

SHOP = Organization("0b0a3c1e-6a53-4b93-8a8e-9d7e3c7f0a11", "shop", "USD", ORGANIZATION.created_at)
EMPTY = Organization("0b0a3c1e-6a53-4b93-8a8e-9d7e3c7f0a12", "empty", "USD", ORGANIZATION.created_at)
TEAM = 'namespace:"team-01"|label[app]:"app-0"'
ROUTES = ["session", "clusters", "costs", "compare", "explain", "exports", "labels", "assets", "balance", "coverage"]
WHOLE_CLUSTERS = ["assets", "balance"]


@dataclass
class Doors:
    """Two organizations with a cluster each, and what opens them."""

    home: Home
    tokens: TokensInMemory
    client: TestClient[Any]

    def get(self, path: str, token: str | None, **parameters: Any) -> Any:
        headers = {"Secret": SECRET} if token is None else {"Authorization": f"Bearer {token}"}
        about = {} if path == "session" else DAYS | parameters
        return self.client.get(f"/api/v1/{path}", params=about, headers=headers)

    def body(self, path: str, token: str | None, **parameters: Any) -> dict[str, Any]:
        response = self.get(path, token, **parameters)
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("home"))
    home.accounts.others += [SHOP, EMPTY]
    home.accounts.accounts = [
        account(1, "http://one.test"),
        replace(account(2, "http://two.test"), organization_id=SHOP.id),
    ]
    return home


@pytest.fixture
def doors(home: Home) -> Iterator[Doors]:
    tokens = TokensInMemory()
    cache = TokenCache(tokens, FixedClock(), fresh_seconds=0.0)
    with LedgerReader(home, open_duck) as reader, TestClient(native_app(reader, home.accounts, cache)) as client:
        yield Doors(home, tokens, client)


def test_every_route_of_the_native_api_is_known_here() -> None:
    document = json.loads((Path(documentation.__file__).parent / "openapi.json").read_bytes())
    paths = {path.removeprefix("/api/v1/") for path in document["paths"] if path.startswith("/api/v1/")}
    assert paths == set(ROUTES)


@pytest.mark.parametrize("path", ROUTES)
def test_route_opens_to_nobody_without_a_valid_token(doors: Doors, path: str) -> None:
    valid, revoked = (doors.tokens.token(SHOP) for _ in range(2))
    revoke_token(doors.tokens, revoked, by="test")
    expired = doors.tokens.token(SHOP, expires_in=timedelta(seconds=-1))
    for text in (revoked, expired, valid[:-1], valid + "0", valid.swapcase(), "", "kt_", SECRET):
        response = doors.get(path, text)
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer"), text
        assert response.json()["code"] == "invalid_token"
        assert valid not in response.text
    for headers in ({}, {"Authorization": f"Basic {valid}"}, {"Authorization": valid}):
        assert doors.client.get(f"/api/v1/{path}", params=DAYS, headers=headers).status_code == 401
    assert doors.client.get(f"/api/v1/{path}", params=DAYS | {"token": valid}).status_code == 401
    refused = doors.get(path, doors.tokens.token(SHOP, Role.INGEST))
    assert (refused.status_code, refused.json()["code"]) == (403, "reads_nothing")


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR, Role.ADMIN])
def test_token_shows_nothing_of_other_organizations(doors: Doors, path: str, role: Role) -> None:
    foreign, own = doors.get(path, doors.tokens.token(EMPTY, role)), doors.get(path, doors.tokens.token(SHOP, role))
    assert (foreign.status_code, own.status_code) == (200, 200)
    for text in (foreign.text, own.text):
        assert ONE not in text
        assert "cluster-1" not in text
        assert ORGANIZATION.id not in text
    assert TWO not in foreign.text
    assert "cluster-2" not in foreign.text


@pytest.mark.parametrize("group", ["", "cluster", "namespace,pod", "kind", "component", "label:app"])
def test_token_has_the_costs_of_its_organization(doors: Doors, group: str) -> None:
    token = doors.tokens.token(SHOP)
    own = doors.body("costs", token, group=group, limit=10_000)
    same = doors.body("costs", None, group=group, limit=10_000, filter='organization:"shop"')
    for body in (own, same):
        del body["question"]
    assert own == same
    assert money(own["total"]["total_cost"]) < doors.home.bill


@pytest.mark.parametrize("path", ["costs", "compare", "explain", "labels", "exports"])
def test_filtered_token_has_the_rows_that_pass(doors: Doors, path: str) -> None:
    token = doors.tokens.token(SHOP, condition=TEAM)
    more = {"group": "namespace,pod,kind"} if path in {"costs", "compare"} else {}
    for asked in ("", 'namespace:"team-02"', 'namespace!:"team-02"'):
        both = f'organization:"shop"+({TEAM})' + (f"+({asked})" if asked else "")
        parameters = more | ({"filter": asked} if asked else {})
        own, same = doors.get(path, token, **parameters), doors.get(path, None, **more, filter=both)
        if path == "exports":
            assert _lines(own.text) == _lines(same.text)
            continue
        bodies = own.json(), same.json()
        for body in bodies:
            assert body.pop("question")["filter"] != bodies
            body.pop("issues")
            body.pop("request", None)
        assert bodies[0] == bodies[1], asked


def test_session_says_who_asks_and_what_they_may_see(doors: Doors) -> None:
    operator = doors.client.get("/api/v1/session", headers={"Secret": SECRET})
    assert operator.headers["cache-control"] == "no-store"
    body = operator.json()
    assert (body["name"], body["is_operator"]) == ("operator", True)
    assert [(its["name"], its["role"]) for its in body["organizations"]] == [
        ("default", None),
        ("empty", None),
        ("shop", None),
    ]
    token = doors.tokens.token(SHOP, Role.EDITOR, condition='namespace:"team-01"')
    body = doors.client.get("/api/v1/session", headers={"Authorization": f"Bearer {token}"}).json()
    assert (body["name"].startswith("token editor ("), body["is_operator"]) == (True, False)
    (own,) = body["organizations"]
    assert (own["id"], own["name"], own["currency"], own["role"]) == (SHOP.id, "shop", "USD", "editor")
    assert own["filter"] == {"field": "namespace", "op": ":", "values": ["team-01"], "position": 0}


def _lines(text: str) -> list[dict[str, str]]:
    return sorted(csv.DictReader(io.StringIO(text)), key=str)


def test_filter_of_the_question_is_shown_as_it_was_asked(doors: Doors) -> None:
    token = doors.tokens.token(SHOP, condition=TEAM)
    assert doors.body("costs", token)["question"]["filter"] is None
    tree = doors.body("costs", token, filter='namespace:"team-02"')["question"]["filter"]
    assert tree == {"field": "namespace", "op": ":", "values": ["team-02"], "position": 0}


@pytest.mark.parametrize("path", WHOLE_CLUSTERS)
def test_whole_clusters_are_refused_to_who_sees_a_part_of_them(doors: Doors, path: str) -> None:
    refused = doors.get(path, doors.tokens.token(SHOP, condition=TEAM))
    assert (refused.status_code, refused.json()["code"]) == (403, "partial_view")
    assert "ask for costs" in refused.json()["detail"]
    assert doors.get(path, doors.tokens.token(SHOP, condition='cluster:"cluster-2"')).status_code == 200
    body = doors.body(path, doors.tokens.token(SHOP, condition='cluster:"cluster-1"'))
    assert body["rows"] == []


def test_costs_of_whole_clusters_are_not_shown_to_who_sees_a_part_of_them(doors: Doors) -> None:
    token = doors.tokens.token(SHOP, condition=TEAM)
    clusters, coverage = doors.body("clusters", token), doors.body("coverage", token)
    assert [its["name"] for its in clusters["clusters"]] == ["cluster-2"]
    assert (clusters["total_cost"], clusters["clusters"][0]["total_cost"]) == (None, None)
    assert {(day["rows"], day["total_cost"]) for day in coverage["days"]} == {(None, None)}
    for body in (clusters, coverage):
        assert [issue["kind"] for issue in body["issues"]].count("costs_not_shown") == 1
    whole = doors.body("clusters", doors.tokens.token(SHOP))
    assert whole["clusters"][0]["total_cost"] == whole["total_cost"] > 0


def test_names_that_are_not_shown_are_not_suggested(doors: Doors) -> None:
    """A name that exists elsewhere is as unknown as one that does not exist."""
    token = doors.tokens.token(SHOP, condition='namespace:"team-01"')
    for asked in ('namespace:"team-02"', 'namespace:"team-99"', 'cluster:"cluster-1"', 'organization:"default"'):
        body = doors.body("costs", token, filter=asked)
        assert body["rows"] == []
        assert not body["total"]["total_cost"]
        said = json.dumps(body["issues"]).replace(repr(asked.split('"')[1]), "")
        assert not re.search("team-0[^1]|cluster-1|default", said), said
    shown = doors.body("costs", doors.tokens.token(SHOP), filter='namespace:"team-0"')
    assert "team-00" in json.dumps(shown["issues"])


def test_namespace_that_is_left_out_is_unknown_unless_it_is_shown(doors: Doors) -> None:
    token = doors.tokens.token(SHOP, condition='namespace:"team-01"')

    def notes(asked: str) -> list[str]:
        issues = doors.body("costs", token, filter=asked)["issues"]
        return [issue["message"] for issue in issues if issue["kind"] == "no_match"]

    hidden, none = notes('namespace!:"team-00"'), notes('namespace!:"team-99"')
    assert hidden == [note.replace("team-99", "team-00") for note in none]
    assert len(hidden) == 1
    assert notes("") == notes('namespace!:"team-01"')[1:] == []


def test_answers_of_one_token_are_not_those_of_another(doors: Doors) -> None:
    """Kept answers and pages are found by what who asks may see."""
    whole, part = doors.tokens.token(SHOP), doors.tokens.token(SHOP, condition=TEAM)
    tags, totals = [], []
    for token in (None, whole, part, None, whole, part):
        response = doors.get("costs", token, group="pod", limit=1)
        tags.append(response.headers["etag"])
        totals.append(response.json()["total"]["total_cost"])
    assert tags[:3] == tags[3:]
    assert len(set(tags)) == len(set(totals)) == 3
    first = doors.body("costs", whole, group="pod", limit=1)
    stolen = doors.get("costs", part, group="pod", limit=1, cursor=first["next"])
    assert (stolen.status_code, stolen.json()["parameter"]) == (400, "cursor")
    response = doors.client.get(
        "/api/v1/costs",
        params=DAYS | {"group": "pod", "limit": 1},
        headers={"Authorization": f"Bearer {part}", "If-None-Match": tags[1]},
    )
    assert response.status_code == 200


def test_token_is_looked_up_once_in_a_while_and_its_use_is_noted(home: Home) -> None:
    tokens = TokensInMemory()
    text = tokens.token(SHOP)
    cache = TokenCache(tokens, FixedClock(), fresh_seconds=60.0)
    with LedgerReader(home, open_duck) as reader, TestClient(native_app(reader, home.accounts, cache)) as client:
        doors = Doors(home, tokens, client)
        for _ in range(3):
            doors.body("clusters", text)
    assert tokens.asked == 1
    assert tokens.by_digest[token_digest(text)].last_used_at == FixedClock().now()


def test_known_token_opens_while_the_database_is_silent(doors: Doors) -> None:
    known, unknown = doors.tokens.token(SHOP), doors.tokens.token(SHOP)
    before = doors.body("costs", known)
    doors.tokens.failure = StoreError("the database is gone", code="store_unavailable", retryable=True)
    assert doors.body("costs", known) == before
    refused = doors.get("costs", unknown)
    assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
