"""What is wrong with a home is told with what to do about it, without a traceback."""

import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.commands import PROGRAM, environment
from tests.integration.test_accounts_command import NOBODY, TOKEN, Home
from tests.integration.upstream import Upstream, added, backfill
from tests.served import Served


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


def test_new_keys_let_credentials_be_set_anew(home: Home, tmp_path: Path) -> None:
    home = with_credentials(home, tmp_path)
    (home.folder / "keys").unlink()
    done = home.call("costs", "prod")
    assert done.code == 3
    assert "from the backup of the keys" in done.err
    assert "set the credentials anew (`kubetally accounts update" in done.err
    assert home.call("accounts", "update", "prod", "--token-file", str(tmp_path / "token")).code == 0
    assert home.show("prod")["credentials_readable"] is True


def test_dropped_table_is_told_as_removed(home: Home) -> None:
    home.add("prod", "--url", NOBODY)
    with sqlite3.connect(home.folder / "kubetally.db") as opened:
        opened.execute("DROP TABLE coverage")
    for command in ("coverage", "maintain", "collect", "migrate"):
        done = home.call(command)
        assert done.code == 3, command
        assert "no such table: coverage): something else removed them" in done.err
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


def test_later_protocol_is_told_as_a_reason_to_upgrade(upstream: tuple[Upstream, Served], home: Home) -> None:
    added(home, upstream[1])
    backfill(home)
    log = home.folder / "lake" / "allocations" / "_delta_log"
    entry = log / f"{len(list(log.glob('*.json'))):020d}.json"
    for name, protocol in PROTOCOLS.items():
        entry.write_text(json.dumps({"protocol": protocol}) + "\n")
        for command in ("maintain", "collect"):
            done = home.call(command)
            assert done.code == 3, (name, command)
            assert "needs a later Delta protocol" in done.err, name
            assert "upgrade Kubetally" in done.err
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
