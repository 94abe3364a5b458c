"""`kubetally tokens`: what it prints, and what opens the service afterwards."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.test_accounts_command import UUID4, Home

TOKEN = re.compile(r"kt_[0-9A-Za-z]{43}\n")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_create_prints_the_token_alone_and_keeps_its_digest(home: Home) -> None:
    home.call("organizations", "add", "shop")
    done = home.call("tokens", "create", "--organization", "shop", "--role", "viewer", "--filter", 'namespace:"a"')
    assert (done.code, done.err) == (0, "")
    assert TOKEN.fullmatch(done.out)
    assert done.out.strip().encode() not in home.raw()
    (listed,) = home.call("tokens", "list", "--format", "json").json
    assert UUID4.fullmatch(listed["id"] + "\n")
    about = {name: listed[name] for name in ("name", "role", "filter", "owner", "expires_at", "last_used_at")}
    assert about == {
        "name": "viewer",
        "role": "viewer",
        "filter": 'namespace:"a"',
        "owner": "operator",
        "expires_at": None,
        "last_used_at": None,
    }
    assert home.call("tokens", "list", "--organization", "default").out.startswith("No token yet: kubetally tokens")
    assert "shop" in home.call("tokens", "list").out


def test_token_is_revoked_by_id_or_text(home: Home) -> None:
    first, second = (home.call("tokens", "create", "--role", "admin").out.strip() for _ in range(2))
    done = home.call("tokens", "revoke", first)
    assert re.fullmatch(r"Revoked token admin \([0-9a-f-]{36}\)\.\n", done.out)
    (left,) = home.call("tokens", "list", "--format", "json").json
    assert home.call("tokens", "revoke", left["id"]).code == 0
    assert home.call("tokens", "list", "--format", "json").json == []
    done = home.call("tokens", "revoke", second[:-1])
    assert (done.code, second[:-1] in done.err) == (2, False)
    assert "there is no such token" in done.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--role", "boss"], "'boss' is not one of 'viewer', 'editor', 'admin', 'ingest'"),
        (["--role", "viewer", "--expires", "1y"], "'1y' is no lifetime of a token: write it as 24h, 30d or 2w"),
        (["--role", "viewer", "--filter", "namespace=x"], "the filter can't be read at position"),
        (["--role", "ingest", "--filter", 'pod:"x"'], "a token to ingest reads nothing: leave out --filter"),
        (["--role", "viewer", "--organization", "shop"], "there is no organization 'shop'"),
    ],
)
def test_bad_option_is_named(home: Home, options: list[str], message: str) -> None:
    done = home.call("tokens", "create", *options)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_expired_token_is_shown_as_such(home: Home) -> None:
    home.call("tokens", "create", "--role", "viewer", "--expires", "1h")
    with closing(sqlite3.connect(home.folder / "kubetally.db")) as database, database:
        database.execute("UPDATE token SET expires_at = 1000000")
    assert "expired 1970-01-01 00:00" in home.call("tokens", "list").out
