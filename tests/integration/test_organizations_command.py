"""`kubetally organizations`, and accounts that belong to them."""

from pathlib import Path

import pytest

from kubetally.samples.replay import ReplayServer
from tests.integration.commands import WHOLE
from tests.integration.test_accounts_command import NOBODY, UUID4, Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_add_prints_the_id_alone(home: Home) -> None:
    done = home.call("organizations", "add", "shop", "--currency", "eur")
    assert (done.code, done.err) == (0, "")
    assert UUID4.fullmatch(done.out)
    listed = home.call("organizations", "list", "--format", "json").json
    assert [(its["name"], its["currency"]) for its in listed] == [("default", "USD"), ("shop", "EUR")]
    assert listed[1]["id"] == done.out.strip()
    assert home.call("organizations", "list").out.splitlines()[2].split() == ["shop", done.out.strip(), "EUR"]


def test_accounts_belong_to_the_organization_that_was_named(home: Home) -> None:
    shop = home.call("organizations", "add", "shop").out.strip()
    first = home.add("prod", "--organization", shop, "--url", NOBODY)
    assert "organization" not in home.call("accounts", "list").out
    home.add("prod", "--url", NOBODY)
    assert home.show(first)["organization_id"] == shop
    rows = [line.split() for line in home.call("accounts", "list").out.splitlines()]
    assert rows[0] == ["name", "id", "organization", "source"]
    assert sorted(row[2] for row in rows[1:]) == ["default", "shop"]
    done = home.call("accounts", "add", "prod", "--organization", "shop", "--url", NOBODY)
    assert (done.code, "'prod' already exists in organization 'shop'" in done.err) == (2, True)
    done = home.call("accounts", "add", "test", "--organization", "shpo", "--url", NOBODY)
    assert "there is no organization 'shpo' (did you mean 'shop'?)" in done.err


def test_organizations_of_unlike_currencies_are_asked_for_one_at_a_time(home: Home, replay: ReplayServer) -> None:
    home.call("organizations", "add", "shop", "--currency", "EUR")
    home.add("prod", "--url", replay.url_of("aurora"))
    home.add("shop-prod", "--organization", "shop", "--url", replay.url_of("cygnus"))
    by = ("costs", *WHOLE, "--by", "organization,cluster")
    refused = home.call(*by)
    assert (refused.code, 'with the filter currency:"EUR"' in refused.err) == (2, True)
    for condition in ('organization:"shop"', 'currency:"EUR"'):
        done = home.call(*by, "--filter", condition)
        assert (done.code, "EUR (assumed)" in done.out, "shop-prod" in done.out) == (0, True, True), done.err


def test_accounts_of_one_name_are_shown_with_their_organizations(home: Home, replay: ReplayServer) -> None:
    home.call("organizations", "add", "shop")
    home.add("prod", "--url", replay.url_of("aurora"))
    home.add("prod", "--organization", "shop", "--url", replay.url_of("cygnus"))
    home.add("test", "--url", replay.url_of("draco"))
    for command in ("costs", "costs --by cluster", "coverage", "verify", "doctor"):
        shown = home.call(*command.split(), *WHOLE).out
        names = {line.split()[0].rstrip(":") for line in shown.splitlines() if line.strip()}
        assert {"default/prod", "shop/prod", "test"} <= names, shown
        assert "prod" not in names
    both = home.call("costs", *WHOLE, "--by", "organization,cluster").out
    assert [line.split()[:2] for line in both.splitlines() if " prod " in line] == [
        ["shop", "prod"],
        ["default", "prod"],
    ]
    assert "shop/prod http" not in home.call("costs", "shop/prod", *WHOLE).out, "alone it has its name"
    assert {body["account"] for body in home.call("costs", *WHOLE, "--format", "json").json} == {"prod", "test"}
    refused = home.call("costs", "prod", *WHOLE)
    assert (refused.code, "give one of default/prod (id " in refused.err) == (2, True)


def test_account_that_is_added_again_keeps_its_organization(home: Home) -> None:
    for name in ("shop", "bank"):
        home.call("organizations", "add", name, "--currency", "EUR")
    account = home.add("prod", "--organization", "shop", "--url", NOBODY)
    its = home.show(account)["organization_id"]
    home.call("accounts", "remove", account, "--yes")
    again = home.call("accounts", "add", "prod", "--id", account, "--url", NOBODY)
    assert (again.code, "move" in again.err) == (0, False)
    assert home.show(account)["organization_id"] == its
    home.call("accounts", "remove", account, "--yes")
    moved = home.call("accounts", "add", "prod", "--id", account, "--organization", "bank", "--url", NOBODY)
    assert "warning: the stored days of the account move from organization 'shop' to 'bank'" in moved.err
    assert home.show(account)["organization_id"] != its
    home.call("accounts", "remove", account, "--yes")
    home.call("organizations", "remove", "bank")
    left = home.call("accounts", "add", "prod", "--id", account, "--url", NOBODY)
    assert "move from organization 'bank' to 'default'" in left.err
    assert "Currency of prod: USD (assumed)" in left.err


def test_organization_is_renamed_and_removed(home: Home) -> None:
    home.call("organizations", "add", "shop")
    renamed = home.call("organizations", "rename", "shop", "store")
    assert renamed.out == "Renamed organization shop to store.\n"
    account = home.add("prod", "--organization", "store", "--url", NOBODY)
    done = home.call("organizations", "remove", "store")
    assert "organization 'store' has 1 account (prod): remove it first" in done.err
    home.call("accounts", "remove", account, "--yes")
    assert home.call("organizations", "remove", "store").out == "Removed organization store.\n"
    for refused in (("remove", "default"), ("rename", "default", "other")):
        done = home.call("organizations", *refused)
        assert (done.code, "'default' always exists" in done.err) == (2, True)
