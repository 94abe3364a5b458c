"""`kubetally migrate`: Kubetally's own databases, and OptScale's."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.commands import Done
from tests.integration.databases import PASSWORD as DATABASE_PASSWORD
from tests.integration.databases import Database
from tests.integration.test_accounts_command import NOBODY, Home, home
from tests.integration.test_optscale_migration import OptScale, made

__all__ = ["home", "made"]

PASSWORD = "hunter2-of-kubecost"
URL = "http://kubecost-prod-01.example.com:9090"


@pytest.fixture
def stored(home: Home, database: Database) -> Home:
    """A home whose accounts are in a database of each kind in turn."""
    return replace(home, settings={"KUBETALLY_DATABASE_URL": database.url})


def tables(database: Database) -> set[str]:
    """What is in it."""
    question = {
        "sqlite": "SELECT name AS name FROM sqlite_master WHERE type = 'table'",
        "mariadb": "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()",
        "postgresql": "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'",
    }[database.kind]
    return {str(row["name"]) for row in database.rows(question)}


def without_password(*dones: Done) -> bool:
    told = "".join(done.out + done.err for done in dones)
    assert DATABASE_PASSWORD not in told
    assert "p%40ss" not in told
    assert "Traceback" not in told
    return True


# --- Kubetally's own


def test_it_may_be_run_twice_and_leaves_the_data(stored: Home, database: Database) -> None:
    done = stored.call("accounts", "add", "prod", "--url", NOBODY)
    assert done.code == 0, done.err
    before = database.rows("SELECT * FROM cloudaccount")
    dones = [stored.run("migrate"), stored.call("migrate"), stored.call("migrate", "--to", "head")]
    assert [one.code for one in dones] == [0, 0, 0]
    assert all(re.search(r" is at revision \d{4}\n$", one.out) for one in dones)
    assert without_password(done, *dones)
    assert stored.names() == ["prod"]
    assert database.rows("SELECT * FROM cloudaccount") == before


def test_an_empty_database_is_set_up_by_it(stored: Home, database: Database) -> None:
    assert tables(database) == set()
    done = stored.call("migrate")
    assert (done.code, done.err) == (0, "")
    assert "kubetally_version" in tables(database)
    assert stored.names() == []
    assert not (stored.folder / "kubetally.db").exists()


def test_base_drops_all_tables_and_head_recreates_them(stored: Home, database: Database) -> None:
    stored.add("prod", "--url", NOBODY)
    for _ in range(2):
        done = stored.call("migrate", "--to", "base", "--yes")
        assert (done.code, done.err) == (0, "")
        assert done.out.endswith("is at revision base\n")
    assert tables(database) <= {"kubetally_version"}
    assert stored.call("migrate").code == 0
    assert stored.names() == []
    stored.add("prod", "--url", NOBODY)
    assert stored.names() == ["prod"]


@pytest.mark.parametrize("is_empty", [True, False])
def test_a_revision_that_there_is_not_exits_2(stored: Home, database: Database, *, is_empty: bool) -> None:
    if not is_empty:
        stored.add("prod", "--url", NOBODY)
    done = stored.call("migrate", "--to", "9999")
    assert (done.code, done.out) == (2, "")
    assert "'9999'" in done.err
    assert without_password(done)
    if not is_empty:
        assert stored.names() == ["prod"]


def test_default_database_is_a_file_in_the_home_folder(home: Home) -> None:
    for _ in range(2):
        done = home.run("migrate")
        assert (done.code, done.err) == (0, "")
        assert str(home.folder / "kubetally.db") in done.out
    assert (home.folder / "kubetally.db").stat().st_mode & 0o777 == 0o600


def test_the_tables_of_another_program_are_left_alone(stored: Home, made: OptScale) -> None:
    before = made.rows()
    for command in (("accounts", "list"), ("costs",), ("serve", "--port", "0")):
        done = stored.call(*command)
        assert done.code in {0, 3}, done
        assert without_password(done)
    assert made.rows() == before


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        ("mariadb://root:s3cr3t@127.0.0.1:1/kubetally", 3, "root:***@127.0.0.1:1/kubetally"),
        ("postgresql://root:s3cr3t@127.0.0.1:1/kubetally", 3, "root:***@127.0.0.1:1/kubetally"),
        ("mariadb://root:s3cr3t@127.0.0.1", 2, "has no database"),
        ("oracle://root:s3cr3t@127.0.0.1/kubetally", 2, "has an unknown scheme"),
        ("root:s3cr3t@127.0.0.1/kubetally", 2, "can't be read"),
        ("sqlite://", 2, "has no file"),
        ("sqlite:///costs.db", 2, "'sqlite:///costs.db' has a relative path"),
        ("sqlite:///~nobody-there/costs.db", 2, "relative path"),
        ("mariadb://root:s3cr3t@127.0.0.1/kubetally?nonsense=s3cr3t", 2, "options"),
    ],
)
def test_unusable_database_is_named_without_its_password(home: Home, url: str, code: int, says: str) -> None:
    commands = (("migrate",), ("accounts", "list"), ("accounts", "add", "prod"), ("costs",), ("serve", "--port", "0"))
    for command in commands:
        done = home.call(*command, KUBETALLY_DATABASE_URL=url)
        assert (done.code, done.out) == (code, ""), (command, done)
        assert says in done.err
        assert code != 2 or done.err.startswith("error: KUBETALLY_DATABASE_URL can't be used: ")
        assert "s3cr3t" not in done.err


def test_a_wrong_password_is_refused_and_not_shown(home: Home, served_database: Database) -> None:
    url = served_database.url.replace("@127.0.0.1", "X@127.0.0.1")
    done = home.run("migrate", KUBETALLY_DATABASE_URL=url)
    assert (done.code, done.out) == (3, "")
    assert without_password(done)


def test_accounts_and_services_share_a_database(stored: Home, tmp_path: Path) -> None:
    account_id = stored.add("größe 🚀", "--url", f"http://jane:{PASSWORD}@127.0.0.1:1", "--currency", "EUR")
    other = replace(stored, folder=tmp_path / "other")
    other.folder.mkdir()
    (other.folder / "keys").write_bytes((stored.folder / "keys").read_bytes())
    (other.folder / "keys").chmod(0o600)
    kept = other.show("größe 🚀")
    assert (kept["id"], kept["currency"], kept["has_credentials"]) == (account_id, "EUR", True)
    assert other.call("accounts", "rotate-keys").code == 0
    assert stored.call("accounts", "remove", account_id).code == 0
    assert other.names() == []


# --- OptScale's


def test_the_column_is_added_set_and_taken_away_again(home: Home, made: OptScale) -> None:
    before = made.rows()
    there = {"KUBETALLY_OPTSCALE_DATABASE_URL": made.url}
    first = home.run("migrate", "optscale", "--set", f"{made.cluster}={URL}", **there)
    assert (first.code, first.err) == (0, "")
    assert first.out == f"column kubecost_url: added\n{made.cluster}: {URL}\n"
    assert made.urls() == {made.cluster: URL, made.second: None, made.aws: None}
    again = home.call("migrate", "optscale", "--set", f" {made.cluster} = {URL} ", **there)
    assert (again.code, again.err) == (0, "")
    assert again.out == f"column kubecost_url: was added before\n{made.cluster}: {URL}\n"
    bare = home.call("migrate", "optscale", **there)
    assert bare.out == "column kubecost_url: was added before\n"
    assert made.urls()[made.cluster] == URL
    for words in ("dropped", "was dropped before"):
        down = home.call("migrate", "optscale", "--down", **there)
        assert (down.code, down.out) == (0, f"column kubecost_url: {words}\n")
    assert made.rows() == before
    assert without_password(first, again, bare, down)
    assert not home.folder.exists()  # OptScale's database alone is concerned


def test_several_urls_may_have_equals_signs_in_them(home: Home, made: OptScale) -> None:
    more = "https://two.example.com/a=b"
    args = ("--set", f"{made.cluster}={URL}", "--set", f"{made.second}={more}")
    assert home.call("migrate", "optscale", "--database-url", made.url, *args).code == 0
    assert made.urls() == {made.cluster: URL, made.second: more, made.aws: None}


def test_ids_of_other_account_types_are_warned_of(home: Home, made: OptScale) -> None:
    args = [part for one in (made.aws, made.cluster, "nobody") for part in ("--set", f"{one}={URL}")]
    done = home.call("migrate", "optscale", *args, KUBETALLY_OPTSCALE_DATABASE_URL=made.url)
    assert done.code == 0
    assert [line for line in done.err.splitlines() if line] == [
        f"warning: {id_} is not a Kubernetes account of this database; it got no URL" for id_ in (made.aws, "nobody")
    ]
    assert made.aws not in done.out
    assert made.urls() == {made.cluster: URL, made.second: None, made.aws: None}


def test_the_option_comes_before_the_environment(home: Home, made: OptScale) -> None:
    more = {"KUBETALLY_OPTSCALE_DATABASE_URL": "mariadb://root:s3cr3t@127.0.0.1:1/my-db"}
    assert home.call("migrate", "optscale", "--database-url", made.url, **more).code == 0


def test_a_database_of_something_else_is_refused(home: Home, database: Database) -> None:
    there = {"KUBETALLY_OPTSCALE_DATABASE_URL": database.url}
    empty = home.call("migrate", "optscale", "--set", f"id={URL}", **there)
    assert (empty.code, empty.out) == (3, "")
    assert "has no table cloudaccount" in empty.err
    assert home.call("migrate", KUBETALLY_DATABASE_URL=database.url).code == 0
    for args in ((), ("--down",)):
        ours = home.call("migrate", "optscale", *args, **there)
        assert (ours.code, ours.out) == (3, "")
        assert "is Kubetally's own" in ours.err
    assert without_password(empty, ours)
    assert home.call("accounts", "list", KUBETALLY_DATABASE_URL=database.url).code == 0


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("--set", "id"), 2, "ID=URL"),
        (("--set", f"=http://jane:{PASSWORD}@host"), 2, "ID=URL"),
        (("--set", f"http://jane:{PASSWORD}@host"), 2, "ID=URL"),
        (("--set", f"id:http://jane:{PASSWORD}"), 2, "ID=URL"),
        (("--set", "id="), 2, "ID=URL"),
        (("--set", f"id=http://jane:{PASSWORD}@host"), 2, "without user and password"),
        (("--set", f"id={URL}/{'x' * 255}"), 2, "255"),
        (("--set", "id=ftp://host"), 2, "http://"),
        (("--set", f"id={URL}", "--down"), 2, "not both"),
        (("--down", "--database-url", f"nothing:{PASSWORD}@host"), 2, "database URL"),
    ],
)
def test_what_can_t_be_done_exits_2_and_changes_nothing(
    home: Home, tmp_path: Path, args: tuple[str, ...], code: int, says: str
) -> None:
    file = tmp_path / "not-made.db"
    done = home.call("migrate", "optscale", *args, KUBETALLY_OPTSCALE_DATABASE_URL=f"sqlite:///{file}")
    assert (done.code, done.out) == (code, "")
    assert says in done.err
    assert PASSWORD not in done.err
    assert not file.exists()


def test_without_a_database_it_says_how_to_name_one(home: Home) -> None:
    for args in ((), ("--down",), ("--set", f"id={URL}")):
        done = home.call("migrate", "optscale", *args)
        assert (done.code, done.out) == (2, "")
        assert "KUBETALLY_OPTSCALE_DATABASE_URL=" in done.err
    assert not home.folder.exists()


def test_a_server_that_is_not_there_exits_3_without_its_password(home: Home) -> None:
    for url in ("mariadb://root:s3cr3t@127.0.0.1:1/my-db", "postgresql://root:s3cr3t@127.0.0.1:1/my-db"):
        done = home.call("migrate", "optscale", KUBETALLY_OPTSCALE_DATABASE_URL=url)
        assert (done.code, done.out) == (3, "")
        assert "root:***@127.0.0.1:1/my-db" in done.err
        assert "s3cr3t" not in done.err
