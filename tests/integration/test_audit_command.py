"""`kubetally audit`: who changed what, without secrets."""

from pathlib import Path

import pytest

from tests.integration.test_accounts_command import NOBODY, Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_changes_are_listed_newest_first(home: Home) -> None:
    assert home.call("audit").out == "Nobody changed anything yet.\n"
    shop = home.call("organizations", "add", "shop", "--currency", "EUR").out.strip()
    account = home.add("prod", "--organization", "shop", "--url", "http://jane:hunter2-in-url@127.0.0.1:1")
    home.call("accounts", "update", account, "--tenant", "t")
    token = home.call("tokens", "create", "--role", "viewer").out.strip()
    home.call("organizations", "rename", "shop", "store")
    home.add("other", "--url", NOBODY)
    lines = home.call("audit").out.splitlines()
    assert len(lines) == 1 + 6
    text = "\n".join(line for line in lines if shop in line)
    assert "operator" in text
    assert "name shop -> store" in text
    of_shop = home.call("audit", "--organization", "store", "--format", "json").json
    assert [(its["action"], its["subject"]) for its in of_shop] == [
        ("changed", "organization"),
        ("changed", "account"),
        ("added", "account"),
        ("added", "organization"),
    ]
    assert (of_shop[1]["before"], of_shop[1]["after"]) == ({"tenant": None}, {"tenant": "t"})
    assert len(home.call("audit", "--limit", "2", "--format", "json").json) == 2
    everything = home.call("audit", "--format", "json").out
    assert "hunter2" not in everything
    assert token not in everything
