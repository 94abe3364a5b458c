"""What is wrong with a home is told with what to do about it, without a traceback."""

import json
import os
import shutil
import sqlite3
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from kubetally.store.meta.secrets import KeyRing
from tests.integration.commands import PROGRAM, environment
from tests.integration.databases import Database, served_database, server_of
from tests.integration.test_accounts_command import NOBODY, TOKEN, Home
from tests.integration.upstream import Upstream, added, backfill, costs, figures
from tests.served import Served

__all__ = ["served_database", "server_of"]


def with_credentials(home: Home, tmp_path: Path) -> Home:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    home.add("prod", "--url", NOBODY, "--token-file", str(token))
    home.add("plain", "--url", NOBODY)
    return home


@pytest.mark.parametrize("command", [("costs", "prod"), ("collect",), ("maintain",), ("accounts", "list")])
def test_emptied_keys_are_told_with_whom_they_lock_and_what_to_do(
    home: Home, tmp_path: Path, command: tuple[str, ...]
) -> None:
    home = with_credentials(home, tmp_path)
    (home.folder / "keys").write_text("")
    done = home.call(*command)
    assert done.code == 3
    assert "the credentials of 'prod' can't be decrypted. Restore the keys from their backup" in done.err
    assert "accounts update NAME" in done.err
    assert "remove" not in done.err
    assert (home.folder / "keys").read_text() == ""


def test_new_keys_let_credentials_be_set_again(home: Home, tmp_path: Path) -> None:
    home = with_credentials(home, tmp_path)
    (home.folder / "keys").write_text(KeyRing.new_key())
    done = home.call("costs", "prod")
    assert done.code == 3
    assert "from the backup of the keys" in done.err
    assert "set the credentials again (`kubetally accounts update" in done.err
    assert home.call("accounts", "update", "prod", "--token-file", str(tmp_path / "token")).code == 0
    assert home.show("prod")["credentials_readable"] is True


def test_missing_keys_are_not_replaced_by_new_ones(home: Home, tmp_path: Path) -> None:
    home = with_credentials(home, tmp_path)
    keys = home.folder / "keys"
    kept = keys.read_text()
    keys.unlink()
    for command in (["costs", "prod"], ["accounts", "list"], ["accounts", "rotate-keys"], ["collect"]):
        done = home.call(*command)
        assert (done.code, keys.exists()) == (3, False), command
        assert "the credentials of 'prod' can't be decrypted. Restore the keys from their backup" in done.err
    advised = done.err.split("create a new key (`")[1].split("`), and set")[0]
    keys.write_text(kept)
    keys.chmod(0o600)
    assert home.show("prod")["credentials_readable"] is True
    keys.unlink()
    subprocess.run(["/bin/sh", "-c", advised], check=True)
    assert home.show("prod")["credentials_readable"] is False
    assert home.call("accounts", "update", "prod", "--token-file", str(tmp_path / "token")).code == 0
    assert home.show("prod")["credentials_readable"] is True


@pytest.mark.parametrize("content", [b"no key", b"\xff\xfe", b"\0" * 45])
def test_garbage_in_the_keys_says_to_put_them_back(home: Home, tmp_path: Path, content: bytes) -> None:
    home = with_credentials(home, tmp_path)
    (home.folder / "keys").write_bytes(content)
    done = home.call("costs", "prod")
    assert done.code == 3
    assert str(home.folder / "keys") in done.err
    assert "backup" in done.err.split("keys", 1)[1]
    assert (home.folder / "keys").read_bytes() == content


def test_restored_home_makes_keys_and_says_whom_they_lock(home: Home, tmp_path: Path) -> None:
    home = with_credentials(home, tmp_path)
    assert home.call("backup", str(tmp_path / "one.tar")).code == 0
    other = Home(tmp_path / "other")
    done = other.call("restore", str(tmp_path / "one.tar"))
    assert (done.code, "no key at hand decrypts the credentials of prod" in done.err) == (0, True)
    shutil.copy(home.folder / "keys", other.folder / "keys")
    assert other.show("prod")["credentials_readable"] is True


def test_advice_about_a_dropped_table_works(home: Home, upstream: tuple[Upstream, Served], tmp_path: Path) -> None:
    source, server = upstream
    id_ = added(home, server)
    backfill(home)
    before, backup = figures(costs(home)), tmp_path / "one.tar"
    assert home.call("backup", str(backup)).code == 0
    with sqlite3.connect(home.folder / "kubetally.db") as opened:
        opened.execute("DROP TABLE coverage")
    source.mode = "down"
    done = home.call("coverage")
    assert "Set KUBETALLY_HOME to a new folder" in done.err
    new = Home(tmp_path / "new")
    new.folder.mkdir()
    shutil.copy(home.folder / "keys", new.folder / "keys")
    assert new.call("restore", str(backup)).code == 0
    assert figures(costs(new)) == before
    home = replace(home, settings={"KUBETALLY_DATABASE_URL": f"sqlite:///{tmp_path}/empty.db"})
    done = home.call("maintain", "--check")
    assert f"`kubetally accounts add NAME --id {id_}`, then `kubetally maintain`" in done.out
    home.add("aurora", "--url", f"{server.url}/aurora", "--id", id_)
    assert home.call("maintain").code == 0
    assert figures(costs(home))["summary"] == before["summary"]


def set_read_only(database: Database, *, is_on: bool) -> str:
    """Of the server, for everybody without the right to write all the same; returns the URL of such a user."""
    url = make_url(database.url)
    if database.kind == "postgresql":
        writing = url.update_query_dict({"options": "-c default_transaction_read_only=off"})
        database = replace(database, url=writing.render_as_string(hide_password=False))
        state = "on" if is_on else "off"
        database.execute(f"ALTER DATABASE {url.database} SET default_transaction_read_only = {state}")
        return url.render_as_string(hide_password=False)
    database.execute("CREATE USER IF NOT EXISTS plain@'%' IDENTIFIED BY 'plain-password'")
    database.execute(f"GRANT ALL ON {url.database}.* TO plain@'%'")
    database.execute(f"SET GLOBAL read_only = {'ON' if is_on else 'OFF'}")
    return url.set(username="plain", password="plain-password").render_as_string(hide_password=False)


def test_read_only_server_is_named_with_its_setting(
    home: Home, upstream: tuple[Upstream, Served], tmp_path: Path, served_database: Database
) -> None:
    _, server = upstream
    there = replace(home, settings={"KUBETALLY_DATABASE_URL": set_read_only(served_database, is_on=False)})
    added(there, server)
    backfill(there, "aurora", "--to", "2026-11-22")
    before = figures(costs(there))
    files = sorted(path for path in home.folder.rglob("*") if path.is_file())
    setting = "default_transaction_read_only" if served_database.kind == "postgresql" else "read_only"
    set_read_only(served_database, is_on=True)
    try:
        for command in (
            ["accounts", "add", "more", "--url", NOBODY],
            ["backfill", "aurora", "--from", "2026-11-22", "--to", "2026-11-23"],
            ["collect"],
            ["maintain"],
            ["backup", str(tmp_path / "one.tar")],
            ["accounts", "rotate-keys"],
        ):
            done = there.call(*command)
            assert done.code == 3, (command, done)
            assert f"Nothing was changed. Set its {setting} to off" in done.err, (command, done.err)
            assert "Traceback" not in done.err
        assert figures(costs(there)) == before, "what is stored is answered"
    finally:
        set_read_only(served_database, is_on=False)
    assert sorted(path for path in home.folder.rglob("*") if path.is_file()) == files
    assert not list(tmp_path.glob("*.tar*"))
    assert there.names() == ["aurora"]
    assert there.call("maintain", "--check").code == 0
    backfill(there)


def test_read_only_server_without_tables_is_named(home: Home, served_database: Database) -> None:
    there = replace(home, settings={"KUBETALLY_DATABASE_URL": set_read_only(served_database, is_on=True)})
    try:
        done = there.call("accounts", "list")
        assert done.code == 3
        assert "Nothing was changed. Set its" in done.err
    finally:
        set_read_only(served_database, is_on=False)
    assert there.call("accounts", "list").code == 0


def test_dropped_table_is_told_as_removed(home: Home) -> None:
    home.add("prod", "--url", NOBODY)
    with sqlite3.connect(home.folder / "kubetally.db") as opened:
        opened.execute("DROP TABLE coverage")
    for command in ("coverage", "maintain", "collect", "migrate"):
        done = home.call(command)
        assert done.code == 3, command
        assert "no such table: coverage). Something else removed them" in done.err
        assert "kubetally restore" in done.err
        assert "run `kubetally migrate`" not in done.err


PROTOCOLS: dict[str, dict[str, Any]] = {
    "reader version": {"minReaderVersion": 4, "minWriterVersion": 9},
    "unknown feature": {
        "minReaderVersion": 3,
        "minWriterVersion": 7,
        "readerFeatures": ["later"],
        "writerFeatures": ["later"],
    },
    "deletion vectors": {
        "minReaderVersion": 3,
        "minWriterVersion": 7,
        "readerFeatures": ["deletionVectors"],
        "writerFeatures": ["deletionVectors"],
    },
    "writer version": {"minReaderVersion": 1, "minWriterVersion": 9},
}


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_later_protocol_is_told_as_a_reason_to_upgrade(
    upstream: tuple[Upstream, Served], home: Home, protocol: dict[str, Any]
) -> None:
    added(home, upstream[1])
    backfill(home)
    log = home.folder / "lake" / "allocations" / "_delta_log"
    entry = log / f"{len(list(log.glob('*.json'))):020d}.json"
    entry.write_text(json.dumps({"protocol": protocol}) + "\n")
    for command in ("maintain", "collect"):
        done = home.call(command)
        assert done.code == 3, command
        assert "needs a newer Delta protocol" in done.err, command
        assert "Upgrade Kubetally" in done.err
        assert "is damaged" not in done.err


def as_another_user(home: Home, *args: str) -> "subprocess.CompletedProcess[str]":
    """The program without the right of root to open everything."""
    drop = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", "--inh-caps=-all")
    return subprocess.run(
        [*(drop if os.geteuid() == 0 else ()), PROGRAM, *args],
        env=environment(KUBETALLY_HOME=str(home.folder), KUBETALLY_ATTEMPTS="1"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def lock(path: Path, mode: int) -> None:
    """Give it to another user where we may, with rights that leave us out."""
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    path.chmod(mode)


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="needs setpriv to be another user")
@pytest.mark.parametrize(
    ("what", "mode", "command"),
    [
        ("", 0o000, ["maintain"]),
        ("kubetally.db", 0o000, ["maintain"]),
        ("lake", 0o000, ["maintain"]),
        ("kubetally.db", 0o444, ["maintain"]),
        ("", 0o000, ["costs"]),
        ("", 0o000, ["link", "--url", "http://localhost:8000"]),
        ("lake", 0o000, ["coverage"]),
        ("lake", 0o000, ["maintain", "--check"]),
        ("lake", 0o000, ["maintain", "--repair"]),
        ("lake", 0o000, ["backup", "BACKUP"]),
        ("lake", 0o000, ["sample", "--out", "PLACE/fleet"]),
    ],
)
def test_what_another_user_owns_is_told_without_traceback(
    upstream: tuple[Upstream, Served], home: Home, tmp_path: Path, what: str, mode: int, command: list[str]
) -> None:
    added(home, upstream[1])
    backfill(home)
    place = home.folder / what
    lock(place, mode)
    try:
        words = (word.replace("BACKUP", str(tmp_path / "b.tar")).replace("PLACE", str(place)) for word in command)
        done = as_another_user(home, *words)
        assert done.returncode == 3, done
        assert "Traceback" not in done.stderr
        assert str(place) in done.stderr
        assert any(word in done.stderr for word in ("ermission", "writable", "rights")), done.stderr
    finally:
        place.chmod(0o700)
