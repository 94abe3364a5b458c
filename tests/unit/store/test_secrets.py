"""Where keys come from, and that they stay there."""

import os
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kubetally.store.meta.secrets import KeyRing, UnusableKeys, WrongKey

OLD, NEW = KeyRing.new_key(), KeyRing.new_key()


def test_encrypted_text_is_decrypted(tmp_path: Path) -> None:
    ring = KeyRing.open(NEW, tmp_path)
    sealed = ring.encrypt("söcret 🚀")
    assert sealed.isascii()
    assert "cret" not in sealed
    assert ring.decrypt(sealed, account="prod") == "söcret 🚀"


def test_the_first_key_encrypts_and_all_decrypt(tmp_path: Path) -> None:
    old, both, new = (KeyRing.open(keys, tmp_path) for keys in (OLD, f" {NEW} ,{OLD},", NEW))
    assert both.decrypt(old.encrypt("a"), account="prod") == "a"
    assert new.decrypt(both.encrypt("b"), account="prod") == "b"
    with pytest.raises(WrongKey, match="'prod'"):
        old.decrypt(both.encrypt("c"), account="prod")
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("damage", [lambda text: text[:-4], lambda text: "", lambda text: "é", lambda text: text[::-1]])
def test_damaged_text_is_not_decrypted(tmp_path: Path, damage: Callable[[str], str]) -> None:
    ring = KeyRing.open(NEW, tmp_path)
    with pytest.raises(WrongKey, match=r"KUBETALLY_KEYS.* remove the account and add it again"):
        ring.decrypt(damage(ring.encrypt("a")), account="prod")


def test_missing_key_file_is_created_once_for_its_owner(tmp_path: Path) -> None:
    home = tmp_path / "not" / "yet"
    before = os.umask(0)
    try:
        sealed = KeyRing.open(None, home).encrypt("a")
    finally:
        os.umask(before)
    assert [item.name for item in home.iterdir()] == ["keys"]
    assert (home / "keys").stat().st_mode & 0o777 == 0o600
    assert KeyRing.open("  ", home).decrypt(sealed, account="prod") == "a"


def test_concurrent_creators_of_the_file_get_one_key(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def get(_number: int) -> KeyRing:
        start.wait()
        return KeyRing.open(None, tmp_path)

    with ThreadPoolExecutor(8) as pool:
        rings = list(pool.map(get, range(8)))
    sealed = rings[0].encrypt("a")
    assert [ring.decrypt(sealed, account="prod") for ring in rings] == ["a"] * 8
    assert [item.name for item in tmp_path.iterdir()] == ["keys"]


def test_a_file_may_hold_several_keys_a_line_each(tmp_path: Path) -> None:
    sealed = KeyRing.open(OLD, tmp_path).encrypt("a")
    file = tmp_path / "keys"
    file.write_text(f"{NEW}\n\n{OLD}\n", encoding="ascii")
    file.chmod(0o600)
    assert KeyRing.open(None, tmp_path).decrypt(sealed, account="prod") == "a"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    KeyRing.open(None, tmp_path)
    (tmp_path / "keys").chmod(mode)
    with pytest.raises(UnusableKeys, match=rf"{tmp_path}/keys .* \(mode {mode:04o}\); run chmod 600"):
        KeyRing.open(None, tmp_path)


@pytest.mark.parametrize(
    "content",
    ["", "\n \n", "not a key", "ü" * 43 + "=", NEW[:-2], f"{NEW}\nhunter2"],
    ids=["nothing", "blank", "words", "not ASCII", "cut off", "a key and a word"],
)
def test_invalid_key_is_refused_and_not_shown(tmp_path: Path, content: str) -> None:
    file = tmp_path / "keys"
    file.write_text(content, encoding="utf-8")
    file.chmod(0o600)
    with pytest.raises(UnusableKeys, match="keys") as caught:
        KeyRing.open(None, tmp_path)
    told = "".join(traceback.format_exception(caught.value))
    assert not any(line.strip() and line.strip() in str(caught.value) for line in content.splitlines())
    assert NEW not in told
    assert caught.value.__cause__ is None


def test_a_file_that_is_no_file_or_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder" / "keys").mkdir(parents=True)
    with pytest.raises(UnusableKeys, match="directory; make it readable, or set KUBETALLY_KEYS"):
        KeyRing.open(None, tmp_path / "folder")
    file = tmp_path / "keys"
    file.write_bytes(b"\xff\xfe")
    file.chmod(0o600)
    with pytest.raises(UnusableKeys, match="not text"):
        KeyRing.open(None, tmp_path)
    with pytest.raises(UnusableKeys, match="KUBETALLY_KEYS"):
        KeyRing.open(None, file / "home")


def test_no_key_is_in_the_representation(tmp_path: Path) -> None:
    ring = KeyRing.open(f"{NEW},{OLD}", tmp_path)
    assert repr(ring) == str(ring) == "KeyRing(origin='KUBETALLY_KEYS')"
