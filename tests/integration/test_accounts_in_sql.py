"""Accounts in SQL: concurrent writers, secrets, migrations, and databases that change or disappear.

What the port `Accounts` promises is tested in test_accounts_port.
"""

import logging
import os
import sqlite3
import subprocess
import sys
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from kubetally.domain.account import Account, AccountType, Credentials
from kubetally.domain.errors import KubetallyError, StoreError
from kubetally.domain.source_url import SourceUrl
from kubetally.ledger.ports.accounts import (
    AccountNotFound,
    Accounts,
)
from kubetally.store.meta import schema
from kubetally.store.meta.accounts import SqlAccounts, open_accounts
from kubetally.store.meta.engine import exclusive_transaction, open_engine
from kubetally.store.meta.schema import downgrade, upgrade
from kubetally.store.meta.secrets import KeyRing, WrongKey
from kubetally.store.meta.tables import METADATA
from tests.errors import raises_code
from tests.integration.databases import PASSWORD, Database
from tests.served import FixedClock

url = SourceUrl.parse

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
TOKEN = "xoxb-the-very-secret-token"
SECRETS = Credentials(TOKEN, "reader", "tr0ub4dor", {"X-Scope-OrgID": "tenant-söcret"})
KEYS = [KeyRing.new_key() for _ in range(3)]
Opens = Callable[..., SqlAccounts]


@pytest.fixture
def opens(database: Database) -> Iterator[Opens]:
    """Opens the accounts of the test's database, with the keys given by their numbers."""
    with ExitStack() as stack:

        def get(*keys: int) -> SqlAccounts:
            ring = KeyRing([KEYS[number] for number in keys or (0,)], "KUBETALLY_KEYS")
            return stack.enter_context(open_accounts(database.url, ring, clock=FixedClock(NOW)))

        yield get


@pytest.fixture
def accounts(opens: Opens) -> SqlAccounts:
    return opens()


def account(accounts: Accounts, name: str = "prod", **more: object) -> Account:
    made = Account(str(uuid.uuid4()), accounts.organization().id, name, AccountType.KUBERNETES_CNR)
    return replace(made, **more)  # type: ignore[arg-type]


def test_account_is_read_by_another_process(accounts: Accounts, opens: Opens) -> None:
    added = accounts.add(account(accounts, credentials=SECRETS))
    assert opens().find(added.id) == opens().find("prod") == added
    assert opens().all() == [added]


def test_two_changes_at_once_do_not_undo_each_other(opens: Opens) -> None:
    one, other = opens(), opens()
    kept = one.add(account(one))
    reading, may_continue = threading.Event(), threading.Event()

    def slowly(found: Account) -> Account:
        reading.set()
        may_continue.wait(10)
        return replace(found, cluster_id="c1")

    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(one.change, kept.id, slowly)
        assert reading.wait(10)
        quick = threads.submit(other.change, kept.id, lambda found: replace(found, name="renamed"))
        may_continue.set()
        slow.result(20)
        assert quick.result(20).cluster_id == "c1"
    assert one.find("renamed").cluster_id == "c1"
    with pytest.raises(AccountNotFound):
        one.change("00000000-0000-4000-8000-000000000000", slowly)


def test_name_is_added_once_by_concurrent_writers(opens: Opens) -> None:
    contenders = [opens() for _ in range(6)]
    start = threading.Barrier(len(contenders))

    def add(one: SqlAccounts) -> Account | KubetallyError:
        given = account(one)
        start.wait()
        try:
            return one.add(given)
        except KubetallyError as error:
            return error

    with ThreadPoolExecutor(len(contenders)) as pool:
        outcomes = list(pool.map(add, contenders))
    [winner] = [outcome for outcome in outcomes if isinstance(outcome, Account)]
    assert {getattr(outcome, "code", "added") for outcome in outcomes} == {"added", "account_exists"}
    assert contenders[0].all() == [winner]


def test_removed_account_keeps_its_row_without_credentials(accounts: Accounts, database: Database) -> None:
    ids = []
    for _ in range(3):  # all in one second
        kept = accounts.add(account(accounts, credentials=SECRETS))
        accounts.remove(kept.id)
        assert accounts.all() == []
        for gone in (kept.id, "prod"):
            with pytest.raises(AccountNotFound):
                accounts.find(gone)
        ids.append(kept.id)
    with pytest.raises(AccountNotFound):
        accounts.remove(ids[0])
    last = accounts.add(account(accounts))
    now = int(NOW.timestamp())
    rows = database.execute("SELECT id, deleted_at, credentials FROM cloudaccount ORDER BY deleted_at")
    assert rows == [(last.id, 0, None), *((one, now + number, None) for number, one in enumerate(ids))]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "n" * 256),
        ("kubecost_url", url("http://" + "h" * 249)),
        ("currency", "EURO"),
        ("tenant", "with\0nul"),
        ("context", "half \ud83d"),
    ],
)
def test_oversized_values_are_refused_by_every_database(accounts: Accounts, field: str, value: object) -> None:
    with raises_code("value_does_not_fit", match=field):
        accounts.add(account(accounts, **{field: value}))
    kept = accounts.add(account(accounts))
    with raises_code("value_does_not_fit", match=field):
        accounts.update(replace(kept, **{field: value}))  # type: ignore[arg-type]
    assert accounts.find("prod") == kept


def test_values_of_maximum_length_are_stored(accounts: Accounts) -> None:
    given = account(accounts, "🚀" * 255, kubecost_url=url("http://" + "h" * 248), currency="EUR")
    assert accounts.find(accounts.add(given).id).name == given.name
    with raises_code("value_does_not_fit", match="credentials"):
        accounts.add(account(accounts, credentials=Credentials(token="t" * 60_000)))


# Secrets


def test_credentials_are_not_readable_on_disk(accounts: Accounts, database: Database) -> None:
    accounts.add(account(accounts, "a-name-to-be-found", credentials=SECRETS))
    accounts.update(replace(accounts.find("a-name-to-be-found"), tenant="t"))
    raw = database.raw()
    assert b"a-name-to-be-found" in raw  # it is the right place to look
    for secret in (TOKEN, "tr0ub4dor", "tenant-söcret", KEYS[0]):
        assert secret.encode() not in raw


def test_a_new_key_takes_over_from_the_old(opens: Opens) -> None:
    old = opens(0)
    kept = [old.add(account(old, name, credentials=SECRETS)) for name in ("a", "b")]
    old.add(account(old, "without"))
    both = opens(1, 0)
    assert both.find("a") == kept[0]
    assert both.rotate() == 2
    assert opens(1).find("a") == kept[0]
    assert opens(2, 1).find("b") == kept[1]
    assert old.find("a").locked == "KUBETALLY_KEYS"


def test_wrong_key_locks_one_account_only(opens: Opens) -> None:
    right, wrong = opens(0), opens(1)
    kept = right.add(account(right, credentials=SECRETS))
    plain = wrong.add(account(wrong, "plain"))
    with pytest.raises(WrongKey, match=r"account 'prod' .* keys in KUBETALLY_KEYS\. Restore their key") as caught:
        wrong.rotate()
    assert isinstance(caught.value, StoreError)
    assert not caught.value.retryable
    locked = replace(kept, credentials=Credentials(), locked="KUBETALLY_KEYS")
    assert wrong.all() == [plain, locked]
    assert wrong.find("prod") == locked
    assert right.find("prod") == kept
    # What can't be read is not taken away by a change of something else.
    wrong.update(replace(locked, cluster_id="one"))
    assert right.find("prod") == replace(kept, cluster_id="one")
    wrong.remove("prod")
    assert wrong.all() == [plain]


def test_credentials_moved_to_another_account_are_not_handed_out(accounts: Accounts, database: Database) -> None:
    theirs = accounts.add(account(accounts, "theirs", credentials=SECRETS))
    own = Credentials(token="x")
    ours = accounts.add(account(accounts, "ours", kubecost_url=url("http://attacker"), credentials=own))
    [(stolen,)] = database.execute("SELECT credentials FROM cloudaccount WHERE id = :id", id=theirs.id)
    database.execute("UPDATE cloudaccount SET credentials = :stolen WHERE id = :id", stolen=stolen, id=ours.id)
    assert accounts.find("ours").locked == "KUBETALLY_KEYS"
    assert accounts.find("ours").credentials.is_empty


@pytest.mark.parametrize("written", ["http://jane:hunter2@host:9003", "ftp://jane:hunter2@host"])
def test_url_written_by_hand_is_shown_without_its_password(
    accounts: Accounts, database: Database, written: str
) -> None:
    prod = accounts.add(account(accounts))
    database.execute("UPDATE cloudaccount SET kubecost_url = :url WHERE id = :id", url=written, id=prod.id)
    [found] = accounts.all()
    assert found.place == str(accounts.places()[0].kubecost_url) == written.replace("jane:hunter2", "***")
    assert "hunter2" not in repr(found) + repr(accounts.places())
    accounts.update(replace(found, tenant="t"))
    assert database.execute("SELECT kubecost_url, tenant FROM cloudaccount") == [(written, "t")]


def test_no_secret_is_in_logs_errors_or_representations(
    opens: Opens, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = []
    accounts = opens(0)
    kept = accounts.add(account(accounts, credentials=SECRETS))
    told += [repr(kept), repr(accounts), repr(accounts.all()), str(accounts.database)]
    for act in (
        lambda: accounts.add(account(accounts, credentials=SECRETS)),
        lambda: accounts.add(account(accounts, "x" * 300, credentials=SECRETS)),
        lambda: opens(1).find("prod"),
        lambda: database.execute("DROP TABLE cloudaccount"),
        lambda: accounts.add(account(accounts, credentials=SECRETS)),
    ):
        try:
            act()
        except KubetallyError:
            told.append(traceback.format_exc())
    assert "no such table" in told[-1] or "exist" in told[-1]
    whole = "\n".join((*told, caplog.text))
    assert "lacks tables or columns" in whole
    for secret in (TOKEN, "tr0ub4dor", "tenant-söcret", *KEYS, PASSWORD, "p%40ss"):
        assert secret not in whole


# Migrations


def test_migrations_go_up_and_down_and_up_again_and_twice(database: Database) -> None:
    assert upgrade(database.url) == upgrade(database.url) == schema.NEWEST
    assert downgrade(database.url, revision="base") is None
    assert downgrade(database.url, revision="base") is None
    assert upgrade(database.url, revision=schema.NEWEST) == schema.NEWEST
    assert upgrade(database.url, revision=schema.NEWEST) == schema.NEWEST


def test_data_survives_a_repeated_migration(opens: Opens, database: Database) -> None:
    first = opens()
    organization = first.organization()
    kept = first.add(account(first, credentials=SECRETS))
    upgrade(database.url)
    assert opens().find("prod") == kept
    assert opens().organization() == organization
    downgrade(database.url, revision="base")
    upgrade(database.url)
    assert opens().all() == []
    assert opens().organization().id != organization.id


def test_a_migration_that_was_interrupted_is_finished_by_the_next(database: Database, opens: Opens) -> None:
    # As MariaDB leaves it, where a change of tables can't be taken back.
    upgrade(database.url)
    database.execute("DROP TABLE cloudaccount")
    database.execute("DELETE FROM kubetally_version")
    accounts = opens()
    assert accounts.all() == []
    assert database.execute("SELECT count(*) FROM organization") == [(1,)]


def test_accounts_outlast_the_migrations_of_what_was_collected(opens: Opens, database: Database) -> None:
    first = opens()
    kept = first.add(account(first, credentials=SECRETS))
    first.remove(first.add(account(first, "gone")).id)
    before = database.rows("SELECT * FROM cloudaccount ORDER BY id")
    assert downgrade(database.url, revision="0001") == downgrade(database.url, revision="0001") == "0001"
    assert database.rows("SELECT * FROM cloudaccount ORDER BY id") == before
    for table in ("collections", "coverage", "histories", "leases"):
        with raises_code("tables_missing", match=table):
            database.execute(f"SELECT * FROM {table}")  # noqa: S608
    for _ in range(2):
        assert upgrade(database.url) == schema.NEWEST
        assert database.rows("SELECT * FROM cloudaccount ORDER BY id") == before
        assert database.execute("SELECT count(*) FROM collections") == [(0,)]
    assert opens().all() == [kept]


def test_interrupted_second_migration_is_finished(database: Database) -> None:
    for undone in (
        ["DROP TABLE leases", "DROP TABLE histories"],
        ["DROP TABLE coverage"],
        ["DROP INDEX ix_coverage_day" + (" ON coverage" if database.kind == "mariadb" else "")],
    ):
        upgrade(database.url)
        for statement in (*undone, "UPDATE kubetally_version SET version_num = '0001'"):
            database.execute(statement)
        assert upgrade(database.url) == schema.NEWEST
        assert downgrade(database.url, revision="0001") == "0001"


def test_migrations_make_the_tables_of_the_program(database: Database) -> None:
    upgrade(database.url)
    engine = open_engine(database.url)
    try:
        with exclusive_transaction(engine) as connection:
            context = MigrationContext.configure(
                connection, opts={"version_table": schema.VERSION_TABLE, "compare_server_default": True}
            )
            assert compare_metadata(context, METADATA) == []
    finally:
        engine.dispose()


def test_the_newest_migration_is_the_one_that_the_program_expects() -> None:
    scripts = ScriptDirectory(Path(schema.__file__).parent / "migrations")
    assert scripts.get_current_head() == schema.NEWEST


def test_processes_that_migrate_at_once_do_not_break_each_other(database: Database) -> None:
    program = (
        "import sys, alembic.command; from kubetally.store.meta.schema import upgrade;"
        "print('ready', flush=True); input(); print(upgrade(sys.argv[1]))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, database.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    with ThreadPoolExecutor(len(processes)) as pool:
        ends = list(pool.map(lambda item: (item.communicate("\n", timeout=60)[0], item.returncode), processes))
    assert ends == [(f"{schema.NEWEST}\n", 0)] * len(processes)
    assert database.execute("SELECT count(*) FROM organization") == [(1,)]


def test_threads_that_open_an_empty_database_at_once_all_get_it(opens: Opens) -> None:
    start = threading.Barrier(6)

    def get(_number: int) -> str:
        start.wait()
        return opens().organization().id

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(get, range(6)))) == 1


def test_a_database_of_a_newer_version_is_left_alone(opens: Opens, database: Database) -> None:
    accounts = opens()
    kept = accounts.add(account(accounts))
    database.execute("UPDATE kubetally_version SET version_num = '9999'")
    for act in (opens, lambda: upgrade(database.url), lambda: downgrade(database.url, revision="base")):
        with raises_code("schema_mismatch", match=r"at revision 9999, newer .* Install that version") as caught:
            act()
        assert PASSWORD not in str(caught.value)
    assert accounts.find("prod") == kept


def test_unknown_revision_is_refused(database: Database) -> None:
    for act in (upgrade, downgrade):
        upgrade(database.url)
        with raises_code("unknown_revision", match="'no-such'"):
            act(database.url, revision="no-such")


def test_tables_of_another_program_are_not_touched(database: Database, opens: Opens) -> None:
    database.execute("CREATE TABLE cloudaccount (id char(36))")
    for act in (opens, lambda: upgrade(database.url), lambda: downgrade(database.url, revision="base")):
        with raises_code("schema_mismatch", match=r"another program \(cloudaccount\).*migrate optscale"):
            act()
    assert database.execute("SELECT * FROM cloudaccount") == []


def test_server_database_is_migrated_by_its_operator(served_database: Database) -> None:
    served_database.execute("CREATE TABLE something_else (id char(36))")
    ring = KeyRing(KEYS, "KUBETALLY_KEYS")
    with (
        raises_code("schema_mismatch", match="Run `kubetally migrate`"),
        open_accounts(served_database.url, ring, clock=FixedClock(NOW)),
    ):
        pass
    upgrade(served_database.url)
    with open_accounts(served_database.url, ring, clock=FixedClock(NOW)) as accounts:
        assert accounts.all() == []


# What goes wrong


def test_a_server_that_goes_away_is_unavailable_until_it_is_back(served_database: Database) -> None:
    assert served_database.server is not None
    ring = KeyRing(KEYS, "KUBETALLY_KEYS")
    with open_accounts(served_database.url, ring, clock=FixedClock(NOW)) as accounts:
        kept = accounts.add(account(accounts))
        served_database.server.stop()
        try:
            for act in (
                lambda: accounts.find("prod"),
                accounts.all,
                lambda: accounts.add(kept),
                lambda: accounts.update(kept),
                lambda: accounts.remove("prod"),
                lambda: upgrade(served_database.url),
                lambda: open_accounts(served_database.url, ring, clock=FixedClock(NOW)).__enter__(),
            ):
                with raises_code("store_unavailable", match=r"kubetally:\*\*\*@127.0.0.1") as caught:
                    act()
                assert caught.value.retryable
                assert PASSWORD not in str(caught.value)
                assert "\n" not in str(caught.value)
        finally:
            served_database.server.start()
        assert accounts.find("prod") == kept


def test_a_wrong_password_is_refused_and_not_shown(served_database: Database) -> None:
    wrong = served_database.url.replace("p%40ss", "gu3ss")
    assert wrong != served_database.url
    with raises_code("store_refused", match=r"(?i)access denied|authentication failed") as caught:
        upgrade(wrong)
    assert "gu3ss" not in "".join(traceback.format_exception(caught.value))


def test_a_database_that_does_not_exist_is_refused(served_database: Database) -> None:
    with raises_code("store_refused", match=r"(?i)nowhere"):
        upgrade(served_database.url.rpartition("/")[0] + "/nowhere")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "new" / "kubetally.db"


def test_a_sqlite_file_is_its_owner_s_alone_whatever_the_umask(file: Path) -> None:
    before = os.umask(0)
    try:
        with open_accounts(f"sqlite:///{file}", KeyRing(KEYS, "here"), clock=FixedClock(NOW)) as accounts:
            accounts.add(account(accounts))
            assert {item.name: f"{item.stat().st_mode & 0o777:o}" for item in file.parent.iterdir()} == {
                "kubetally.db": "600",
                "kubetally.db-wal": "600",
                "kubetally.db-shm": "600",
            }
    finally:
        os.umask(before)
    assert file.parent.stat().st_mode & 0o777 == 0o700
    with sqlite3.connect(file) as opened:
        assert opened.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    opened.close()


def test_readers_of_a_sqlite_file_do_not_wait_for_a_writer(file: Path) -> None:
    with open_accounts(f"sqlite:///{file}", KeyRing(KEYS, "here"), clock=FixedClock(NOW), wait_seconds=0.1) as accounts:
        kept = accounts.add(account(accounts))
        engine = open_engine(f"sqlite:///{file}")
        with exclusive_transaction(engine):
            assert accounts.find("prod") == kept
            with raises_code("store_unavailable", match="locked"):
                accounts.update(kept)
        engine.dispose()
        assert accounts.update(kept) == kept


def test_removed_sqlite_file_is_not_created_again(file: Path) -> None:
    with open_accounts(f"sqlite:///{file}", KeyRing(KEYS, "here"), clock=FixedClock(NOW)) as accounts:
        kept = accounts.add(account(accounts))
        elsewhere = file.rename(file.with_name("elsewhere.db"))
        for act in (lambda: accounts.find("prod"), lambda: accounts.add(account(accounts, "lost"))):
            with raises_code("store_unavailable", match="unable to open"):
                act()
        assert not file.exists()
        elsewhere.rename(file)
        assert accounts.all() == [kept]


def test_a_file_that_is_no_database_is_left_as_it_is(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("minutes of the meeting\n" * 100, encoding="utf-8")
    with (
        raises_code("store_refused", match="not a database"),
        open_accounts(f"sqlite:///{file}", KeyRing(KEYS, "here"), clock=FixedClock(NOW)),
    ):
        pass
    assert file.read_text(encoding="utf-8").startswith("minutes")


def test_folder_that_can_not_be_created_is_an_error(file: Path) -> None:
    file.parent.write_text("in the way", encoding="utf-8")
    with (
        raises_code("store_unavailable", match=r"exists|directory"),
        open_accounts(f"sqlite:///{file}", KeyRing(KEYS, "here"), clock=FixedClock(NOW)),
    ):
        pass
